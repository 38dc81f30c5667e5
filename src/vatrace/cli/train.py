"""The commands train, evaluate, compare and submit: from a store to a trained model and its evaluation."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.terminal import add_threads_option, make_folder, plural, progress_bars, refuse_existing, say
from vatrace.errors import StoreError, TrainingError, UsageError

if TYPE_CHECKING:
    from vatrace.evaluation.evaluate import Evaluation
    from vatrace.names import Progress
    from vatrace.training.loop import Epoch
    from vatrace.training.run import Predictor
    from vatrace.training.train import Report

TRAIN_EPILOG = """examples:
  vatrace train recipes/affwild2.toml --store store --out run
  vatrace train default --store store --out run --folds 6
  vatrace train run.toml --store store --out run --device cuda --seed 1
  torchrun --nproc-per-node 4 -m vatrace.cli train run.toml --store store --out run --device cuda

RUN.toml is a file, or one of the presets default, streaming and paper (see docs/training.md). If it names a fusion from outside
(fusion = "package.module:Class"), that class is imported, which runs its code.
Training can be stopped at any time: the same command continues after the last complete epoch, with the same result.
"""

EVALUATE_EPILOG = """examples:
  vatrace evaluate run --store store
  vatrace evaluate run --store store --out report
  vatrace evaluate run --store store --split test --unlock-test

For a run with folds, dev is all recordings except those of test, each predicted by models that were not trained on it.
The test split is for the end, after all choices have been made: each evaluation on it is logged in test-log.jsonl of the store
and of the run.
"""

COMPARE_EPILOG = """examples:
  vatrace compare run-a run-b run-c --store store
"""

SUBMIT_EPILOG = """examples:
  vatrace submit run --store store --out predictions.txt
  vatrace submit run --store store --out predictions.txt --frames Aff-Wild2/CVPR_6th_ABAW_VA_test_set_sample.txt
"""


def add_parsers(commands: Any) -> None:  # a list of options
    """Add train, evaluate, compare and submit to the commands."""
    train = _add_parser(
        commands,
        "train",
        "features in, a trained model out",
        TRAIN_EPILOG,
        "Train the models that a TOML file describes, and select weights on dev.",
    )
    train.add_argument("config", metavar="RUN.toml", help="a file, or a preset")
    _add_store(train)
    train.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder for the run")
    train.add_argument("--folds", type=_folds, default=0, metavar="N", help="cross-validate over all recordings except test")
    train.add_argument("--seed", type=_seed, default=0, metavar="N", help="seed of all random numbers (default: %(default)s)")
    _add_device(train)
    train.set_defaults(run=run_train)

    evaluate = _add_parser(
        commands,
        "evaluate",
        "how well a run agrees with labels, and why",
        EVALUATE_EPILOG,
        "Measure a run's agreement with the labels: a table, and with --out also JSON and a page.",
    )
    evaluate.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    _add_store(evaluate)
    _add_split(evaluate)
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="also write evaluation.json and evaluation.html there")
    evaluate.add_argument("--overwrite", action="store_true", help="replace existing results")
    _add_device(evaluate)
    _add_plugins(evaluate)
    evaluate.set_defaults(run=run_evaluate)

    compare = _add_parser(
        commands,
        "compare",
        "whether one run is better than another",
        COMPARE_EPILOG,
        "Compare runs on the same recordings, by a paired bootstrap over them.",
    )
    compare.add_argument("run_folders", nargs="+", type=Path, metavar="RUN", help="folders of at least two runs")
    _add_store(compare)
    _add_split(compare)
    _add_device(compare)
    _add_plugins(compare)
    compare.set_defaults(run=run_compare)

    submit = _add_parser(
        commands,
        "submit",
        "predictions of the test split in the format of ABAW",
        SUBMIT_EPILOG,
        "Write a value for every frame of the recordings in the test split.",
    )
    submit.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    _add_store(submit)
    submit.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    submit.add_argument("--frames", type=Path, metavar="FILE", help="the challenge's list of frames (default: all frames)")
    submit.add_argument("--overwrite", action="store_true", help="replace an existing file")
    _add_device(submit)
    _add_plugins(submit)
    submit.set_defaults(run=run_submit)


def _add_parser(commands: Any, name: str, text: str, epilog: str, description: str) -> Any:
    raw = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=text, epilog=epilog, formatter_class=raw, description=description)


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, required=True, metavar="STORE", help="made by vatrace extract or vatrace import")


def _add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", choices=["dev", "test"], default="dev", help="which recordings (default: %(default)s)")
    parser.add_argument("--unlock-test", action="store_true", help="needed for --split test; each use is logged")


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda, cuda:1, ... (default: %(default)s)")
    add_threads_option(parser)


def _add_plugins(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="CLASS",
        help="package.module:Class, a fusion from outside that the run may import, which runs its code (repeatable)",
    )


def _folds(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"a whole number of at least 2, not {text!r}")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number of at least 0, not {text!r}")
    return int(text)


def run_train(args: argparse.Namespace) -> int:
    """Run the train command."""
    from vatrace.training.device import check_device

    check_device(args.device, args.threads)
    import torch

    from vatrace.store import Store
    from vatrace.training.config import read_config
    from vatrace.training.train import RunOptions, train_run

    config, store = read_config(args.config), Store(args.store)
    workers = 2 if args.device.startswith("cuda") else 0
    options = RunOptions(folds=args.folds, seed=args.seed, device=args.device, num_workers=workers)
    with progress_bars(args.out.name) as progress:
        try:
            run = train_run(config, store, args.out, options, _report(config.train.num_epochs, progress))
        except torch.OutOfMemoryError as error:
            raise TrainingError(f"{args.device} has too little memory for this: try a smaller batch_size or win_len") from error
    if run is not None:
        say(f"{run.folder}: {plural(len(run.members), 'model')}; next: vatrace evaluate {run.folder} --store {store.path}")
    return 0


def _check_unlocked(args: argparse.Namespace) -> None:
    if args.unlock_test and args.split != "test":
        raise UsageError("--unlock-test has no effect without --split test: add it, or leave out --unlock-test")


def _report(num_epochs: int, progress: Progress) -> Report:
    """Functions that print the progress; under torchrun, only the first process prints."""
    from vatrace.training.train import Report

    def print_epoch(member: str, epoch: Epoch) -> None:
        scores = ", ".join(f"{name} {score:.3f}" for name, score in epoch.scores.items())
        number = f"{epoch.number}/{num_epochs}"
        say(f"{member} {number}: loss {epoch.loss:.3f}, dev CCC {scores}, rate {epoch.learning_rate:.2g}", flush=True)

    if int(os.environ.get("RANK", "0")) > 0:
        return Report()
    return Report(print_epoch, lambda member, epochs: progress(member, epochs / num_epochs), lambda text: say(f"note: {text}"))


def _predictor(args: argparse.Namespace, folder: Path) -> Predictor:
    from vatrace.training.run import Predictor, Run

    return Predictor(Run.open(folder), args.device, args.plugin)


def run_evaluate(args: argparse.Namespace) -> int:
    """Run the evaluate command."""
    from vatrace.training.device import check_device

    check_device(args.device, args.threads)
    from vatrace.evaluation.evaluate import text_table
    from vatrace.evaluation.held_out import evaluate_run
    from vatrace.evaluation.page import write_json, write_page
    from vatrace.files import written_whole
    from vatrace.store import Store, num_looks

    _check_unlocked(args)
    targets = [] if args.out is None else [args.out / "evaluation.json", args.out / "evaluation.html"]
    refuse_existing(targets, args.overwrite)
    store, predictor = Store(args.store), _predictor(args, args.run_folder)
    if args.out is not None:
        make_folder(args.out)
    run = predictor.run
    with progress_bars(run.folder.name) as progress:
        evaluation, predictions = evaluate_run(
            predictor, store, args.split, args.unlock_test, lambda done: progress("evaluate", done)
        )
    say(text_table(evaluation), flush=True)  # first: it must not be lost if the files can't be written
    if targets:
        looks = num_looks(store.path)
        facts = _facts(f"{run.folder.name} on {args.split}", run.has_folds, evaluation, looks)
        with written_whole(targets[0]) as numbers:
            write_json(numbers, {"run": str(run.folder), "split": args.split, "test_looks": looks}, evaluation)
        with written_whole(targets[1]) as page:
            rates = {name: store.recording(name).meta.rate for name in predictions}
            write_page(page, f"{run.folder.name}: {args.split}", facts, evaluation, predictions, rates)
        say(f"-> {', '.join(map(str, targets))}")
    return 0


def _facts(what: str, has_folds: bool, evaluation: Evaluation, looks: int) -> list[str]:
    """The sentences at the top of the page."""
    return [
        f"{what}, each recording predicted by models that were not trained on it." if has_folds else f"{what}.",
        f"{plural(evaluation.num_recordings, 'recording')}, {evaluation.num_steps} labelled steps; "
        f"at {evaluation.unsupported:.0%} of these no modality was present.",
        f"The test split of this store has been evaluated {plural(looks, 'time')}."
        if looks
        else "The test split has never been evaluated.",
    ]


def run_compare(args: argparse.Namespace) -> int:
    """Run the compare command."""
    from vatrace.training.device import check_device

    check_device(args.device, args.threads)
    from vatrace.evaluation.bootstrap import caution
    from vatrace.evaluation.compare import text_table
    from vatrace.evaluation.held_out import compare_runs
    from vatrace.store import Store

    _check_unlocked(args)
    if len(set(args.run_folders)) < 2 or len(set(args.run_folders)) < len(args.run_folders):
        raise UsageError("to compare, name at least two runs, each once")
    store, predictors = Store(args.store), [_predictor(args, folder) for folder in args.run_folders]
    with progress_bars("compare") as progress:
        differences, num_units = compare_runs(
            predictors, store, args.split, args.unlock_test, lambda done: progress("predict", done)
        )
    say(text_table(differences))
    if doubt := caution(num_units):
        say(doubt)
    return 0


def run_submit(args: argparse.Namespace) -> int:
    """Run the submit command."""
    from vatrace.training.device import check_device

    check_device(args.device, args.threads)
    from vatrace.corpora.affwild2_files import read_listing
    from vatrace.corpora.submission import write_submission
    from vatrace.evaluation.held_out import predict_test
    from vatrace.store import Store

    refuse_existing([args.out], args.overwrite)
    store, listing = Store(args.store), None if args.frames is None else read_listing(args.frames)
    absent = store.without_features("test")
    if absent and listing is None:
        raise StoreError(
            f"{', '.join(absent[:5])}: in the test split, but not in {store.path}; extract again, or give --frames"
        )
    make_folder(args.out.parent)
    predictor = _predictor(args, args.run_folder)
    with progress_bars(predictor.run.folder.name) as progress:
        recordings, predictions = predict_test(predictor, store, lambda done: progress("predict", done))
    notes = write_submission(args.out, recordings, predictions, listing)
    say(f"{args.out}: {plural(len(predictions), 'recording')}")
    for note in notes:
        say(f"  note: {note}")
    return 0
