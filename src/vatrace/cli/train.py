"""The commands train, evaluate, compare and submit: from a store to a model, and to what is known of it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.terminal import make_folder, plural, progress_bars, refuse_existing
from vatrace.errors import TrainingError, UsageError, missing

if TYPE_CHECKING:
    from vatrace.store import Store, StoredRecording
    from vatrace.training.loop import Epoch
    from vatrace.training.run import Run

TRAIN_EPILOG = """examples:
  vatrace train recipes/affwild2.toml --store store --out run
  vatrace train default --store store --out run --folds 6
  vatrace train run.toml --store store --out run --device cuda --seed 1
  torchrun --nproc-per-node 4 -m vatrace.cli train run.toml --store store --out run --device cuda

RUN.toml is a file, or one of the presets default, streaming, paper (docs/models.md says what can be in it).
It can be stopped at any time: the same command goes on after the last epoch done, with the same result.
"""

EVALUATE_EPILOG = """examples:
  vatrace evaluate run --store store
  vatrace evaluate run --store store --out report
  vatrace evaluate run --store store --split test --unlock-test

For a run with folds, dev is all recordings but those of test, each predicted by models that did not learn from it.
The test split is for the end, when all is chosen: each look at it is written to test-log.jsonl of the store and of the run.
"""

COMPARE_EPILOG = """examples:
  vatrace compare run-a run-b run-c --store store
"""

SUBMIT_EPILOG = """examples:
  vatrace submit run --store store --out predictions.txt
  vatrace submit run --store store --out predictions.txt --frames Aff-Wild2/CVPR_6th_ABAW_VA_test_set_sample.txt
"""


def add_parsers(commands: Any) -> None:
    """Add train, evaluate, compare and submit to the commands."""
    raw = argparse.RawDescriptionHelpFormatter
    train = commands.add_parser(
        "train",
        epilog=TRAIN_EPILOG,
        formatter_class=raw,
        description="Train what a TOML file says, choosing by dev.",
    )
    train.add_argument("config", metavar="RUN.toml", help="a file, or a preset")
    _add_store(train)
    train.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder for the run")
    train.add_argument("--folds", type=_folds, default=0, metavar="N", help="cross-validate over all but test")
    train.add_argument("--seed", type=_seed, default=0, metavar="N", help="(default: %(default)s)")
    _add_device(train)
    train.set_defaults(run=run_train)

    evaluate = commands.add_parser(
        "evaluate",
        epilog=EVALUATE_EPILOG,
        formatter_class=raw,
        description="Measure a run's agreement with the labels: a table, and with --out also JSON and a page.",
    )
    evaluate.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    _add_store(evaluate)
    _add_split(evaluate)
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="also write evaluation.json and evaluation.html there")
    evaluate.add_argument("--overwrite", action="store_true", help="replace results that are there already")
    _add_device(evaluate)
    evaluate.set_defaults(run=run_evaluate)

    compare = commands.add_parser(
        "compare",
        epilog=COMPARE_EPILOG,
        formatter_class=raw,
        description="Compare runs on the same recordings, by a paired bootstrap over them.",
    )
    compare.add_argument("run_folders", nargs="+", type=Path, metavar="RUN", help="folders of at least two runs")
    _add_store(compare)
    _add_split(compare)
    _add_device(compare)
    compare.set_defaults(run=run_compare)

    submit = commands.add_parser(
        "submit",
        epilog=SUBMIT_EPILOG,
        formatter_class=raw,
        description="Write a value for every frame of the recordings in the test split.",
    )
    submit.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    _add_store(submit)
    submit.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    submit.add_argument("--frames", type=Path, metavar="FILE", help="the challenge's list of frames (default: all frames)")
    submit.add_argument("--overwrite", action="store_true", help="replace the file if it is there already")
    _add_device(submit)
    submit.set_defaults(run=run_submit)


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, required=True, metavar="STORE", help="made by vatrace extract")


def _add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", choices=["dev", "test"], default="dev", help="(default: %(default)s)")
    parser.add_argument("--unlock-test", action="store_true", help="needed for --split test; it is logged")


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda, cuda:1, ... (default: %(default)s)")


def _folds(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"a whole number from 2 on, not {text!r}")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number from 0 on, not {text!r}")
    return int(text)


def _check_device(device: str) -> None:
    """Raise ValueError if there is no such device."""
    try:
        import torch
    except ImportError as error:
        raise missing("training needs PyTorch", "train") from error
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {device}: not on this machine ({str(error).splitlines()[0]})") from error


def run_train(args: argparse.Namespace) -> int:
    """The train command."""
    _check_device(args.device)
    import torch

    from vatrace.store import Store
    from vatrace.training.config import read_config
    from vatrace.training.train import Report, train_run

    config, store = read_config(args.config), Store(args.store)
    first = int(os.environ.get("RANK", "0")) == 0

    def say(member: str, epoch: Epoch) -> None:
        scores = ", ".join(f"{name} {score:.3f}" for name, score in epoch.scores.items())
        number = f"{epoch.number}/{config.train.num_epochs}"
        print(f"{member} {number}: loss {epoch.loss:.3f}, dev CCC {scores}, rate {epoch.learning_rate:.2g}", flush=True)

    with progress_bars(args.out.name) as progress:

        def step(member: str, epochs: float) -> None:
            progress(member, epochs / config.train.num_epochs)

        report = Report(say, step, lambda text: print(f"note: {text}")) if first else Report()
        workers = 2 if args.device.startswith("cuda") else 0
        try:
            run = train_run(
                config,
                store,
                args.out,
                folds=args.folds,
                seed=args.seed,
                device=args.device,
                num_workers=workers,
                report=report,
            )
        except torch.OutOfMemoryError as error:
            raise TrainingError(f"{args.device} has too little memory for this: try a smaller batch_size or win_len") from error
    if run is not None:
        print(f"{run.folder}: {plural(len(run.members), 'model')}; next: vatrace evaluate {run.folder} --store {store.path}")
    return 0


def _recordings(args: argparse.Namespace, store: Store, runs: Sequence[Run]) -> list[StoredRecording]:
    """Those of the split with their labels; a look at test is written to the logs of the store and the runs.

    Raises:
        ValueError: for test without --unlock-test.
        RunError: if a run has learned from one of them.
    """
    from vatrace.store import log_look

    if args.split == "dev":
        folds = {run.has_folds for run in runs}
        if len(folds) > 1:
            raise UsageError("runs with folds and without have different dev recordings: compare like with like")
        chosen = store.split("dev")
        if folds == {True}:
            chosen = [store.recording(name) for name in sorted({name for member in runs[0].members for name in member.dev})]
        locked = sorted({recording.name for recording in chosen} & set(store.names_in("test")))
        if locked:
            raise UsageError(f"{', '.join(locked[:5])}: now in the test split, but in these folds: train anew")
        for run in runs:
            run.see_that_they_are_new([recording.name for recording in chosen], "dev")
        return chosen
    if not args.unlock_test:
        raise UsageError(
            "the test split is for the end, when all is chosen: with --unlock-test it is evaluated, "
            "and that is written to test-log.jsonl of the store and of the run"
        )
    for run in runs:
        run.see_that_they_are_new(store.names_in("test"), "test")
    why = ", ".join(str(run.folder.absolute()) for run in runs)
    recordings = store.unlock_test(why)
    for run in runs:
        log_look(run.folder, why)
    return recordings


def run_evaluate(args: argparse.Namespace) -> int:
    """The evaluate command."""
    _check_device(args.device)
    import numpy as np

    from vatrace.evaluation.evaluate import evaluate, text_table
    from vatrace.evaluation.page import write_json, write_page
    from vatrace.files import written_whole
    from vatrace.store import Store, num_looks
    from vatrace.training.run import Predictor, Run

    targets = [] if args.out is None else [args.out / "evaluation.json", args.out / "evaluation.html"]
    refuse_existing(targets, args.overwrite)
    store, run = Store(args.store), Run.open(args.run_folder)
    run.see_that_it_fits(store)
    if args.out is not None:
        make_folder(args.out)
    recordings = _recordings(args, store, [run])
    predictor = Predictor(run, args.device)
    predict = predictor.out_of_fold if run.has_folds and args.split == "dev" else predictor.predict
    subjects = {name: member.subject for name, member in store.members.items()}
    with progress_bars(run.folder.name) as progress:
        evaluation, predictions = evaluate(
            lambda recording, change: predict(recording, change=change),
            recordings,
            subjects,
            np.array(run.content["train_mean"]),
            store.corpus_facts.get("agreement"),
            partial(progress, "evaluate"),
        )
    print(text_table(evaluation))
    looks = num_looks(store.path)
    facts = [
        f"{run.folder.name} on {args.split}"
        + (", each recording predicted by models that did not learn from it." if run.has_folds else "."),
        f"{plural(evaluation.num_recordings, 'recording')}, {evaluation.num_steps} labelled steps; "
        f"at {evaluation.unsupported:.0%} of these nothing was seen or heard.",
        f"The test split of this store has been looked at {plural(looks, 'time')}."
        if looks
        else "The test split has never been looked at.",
    ]
    if targets:
        with written_whole(targets[0]) as numbers, written_whole(targets[1]) as page:
            write_json(numbers, {"run": str(run.folder), "split": args.split, "test_looks": looks}, evaluation)
            rates = {recording.name: recording.meta.rate for recording in recordings}
            write_page(page, f"{run.folder.name}: {args.split}", facts, evaluation, predictions, rates)
        print(f"-> {', '.join(map(str, targets))}")
    return 0


def run_compare(args: argparse.Namespace) -> int:
    """The compare command."""
    _check_device(args.device)
    from vatrace.evaluation.bootstrap import caution
    from vatrace.evaluation.compare import compare, text_table
    from vatrace.store import Store
    from vatrace.training.run import Predictor, Run

    if len(set(args.run_folders)) < 2 or len(set(args.run_folders)) < len(args.run_folders):
        raise UsageError("to compare, name at least two runs, each once")
    store, runs = Store(args.store), [Run.open(folder) for folder in args.run_folders]
    for run in runs:
        run.see_that_it_fits(store)
    recordings = _recordings(args, store, runs)
    subjects = {name: member.subject for name, member in store.members.items()}
    predictions = []
    with progress_bars("compare") as progress:
        for run in runs:
            predictor = Predictor(run, args.device)
            predict = predictor.out_of_fold if run.has_folds and args.split == "dev" else predictor.predict
            pairs = {}
            for done, recording in enumerate(recordings, start=1):
                pairs[recording.name] = (recording.labels(), predict(recording))
                progress(run.folder.name, done / len(recordings))
            predictions.append(pairs)
    print(text_table(compare(predictions, [str(folder) for folder in args.run_folders], subjects)))
    if doubt := caution(len({subjects.get(recording.name) or recording.name for recording in recordings})):
        print(doubt)
    return 0


def run_submit(args: argparse.Namespace) -> int:
    """The submit command."""
    _check_device(args.device)
    from vatrace.corpora.affwild2 import read_listing
    from vatrace.corpora.submission import write_submission
    from vatrace.store import Store
    from vatrace.training.run import Predictor, Run

    refuse_existing([args.out], args.overwrite)
    store, run = Store(args.store), Run.open(args.run_folder)
    run.see_that_it_fits(store)
    listing = None if args.frames is None else read_listing(args.frames)
    recordings = store.split("test", labels=False)
    if not recordings:
        raise UsageError(f"{store.path}: no recording of this store is in the test split")
    absent = store.without_features("test")
    if absent and listing is None:
        raise UsageError(
            f"{', '.join(absent[:5])}: in the test split, but not in {store.path}; extract again, or name --frames"
        )
    make_folder(args.out.parent)
    predictor, predictions = Predictor(run, args.device), {}
    with progress_bars(run.folder.name) as progress:
        for done, recording in enumerate(recordings, start=1):
            predictions[recording.name] = predictor.predict(recording)
            progress("submit", done / len(recordings))
    notes = write_submission(args.out, recordings, predictions, listing)
    print(f"{args.out}: {plural(len(predictions), 'recording')}")
    for note in notes:
        print(f"  note: {note}")
    return 0
