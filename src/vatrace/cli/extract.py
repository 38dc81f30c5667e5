"""The commands check and extract: from a corpus's files to a store of features and labels."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.terminal import add_whisper_option, plural, progress_bars, table
from vatrace.errors import UsageError

if TYPE_CHECKING:
    from vatrace.corpora.extract import Outcome, Task
    from vatrace.corpora.labels import Labelling
    from vatrace.features.perceiver import Progress

DEFAULT_RATE = 10.0
LOCAL_CLUSTER, AUTO = "local", "auto"

CHECK_EPILOG = """examples:
  vatrace check Aff-Wild2/
  vatrace check recordings/

Aff-Wild2 is known by its folders as ABAW gives them out. Any other corpus is a folder of videos or sound with
  annotations.csv                recording,time,valence,arousal[,annotator]
  or annotations/NAME.csv        time,valence,arousal; of several annotators NAME.ANNOTATOR.csv
  splits.csv                     recording,split[,subject], where split is train, dev or test
Exit status: 0 if there are no errors (warnings may be), 1 if there are.
"""

EXTRACT_EPILOG = """examples:
  vatrace extract recordings/ --store store
  vatrace extract recordings/ --store store --workers 4
  vatrace extract Aff-Wild2/ --store store30 --rate frames --crops
  vatrace extract Aff-Wild2/ --store paper --rate frames --crops \\
      --encoders face=ir50:res50_ir_0.887.pth,voice=vggish:vggish-10086976.pth,words=bert:bert-base-uncased

It can be stopped at any time: the same command goes on where it was, and does again only what has changed.
Labels are read anew each time, so new annotations need no new features.
Exit status: 0 if all is in the store, 1 if a recording could not be done, 130 for ctrl-C.
"""


def add_parsers(commands: Any) -> None:
    """Add check and extract to the commands."""
    raw = argparse.RawDescriptionHelpFormatter
    check = commands.add_parser(
        "check",
        epilog=CHECK_EPILOG,
        formatter_class=raw,
        description="Compare a corpus's videos, annotations, cropped faces and splits, and report what does not fit.",
    )
    check.add_argument("corpus", type=Path, metavar="CORPUS", help="its folder")
    check.set_defaults(run=run_check)

    extract = commands.add_parser(
        "extract",
        epilog=EXTRACT_EPILOG,
        formatter_class=raw,
        description="Put features of face, voice and words of all recordings, and their labels, on one grid into a store.",
    )
    extract.add_argument("corpus", type=Path, metavar="VIDEOS", help="folder of the corpus (see: vatrace check --help)")
    extract.add_argument("--store", type=Path, required=True, metavar="STORE", help="folder for the features")
    extract.add_argument(
        "--encoders",
        default="",
        metavar="LIST",
        help="face=, voice=, words= NAME or NAME:FILE, with commas (default: the package's own)",
    )
    extract.add_argument(
        "--rate",
        type=_rate,
        default=DEFAULT_RATE,
        metavar="HZ",
        help="steps a second, or `frames` for one a video frame (default: %(default)g)",
    )
    extract.add_argument("--crops", action="store_true", help="keep face crops too, to train the face network along")
    extract.add_argument("--workers", type=_count, default=1, metavar="N", help="processes (default: %(default)s)")
    extract.add_argument(
        "--ray",
        nargs="?",
        const=LOCAL_CLUSTER,
        metavar="ADDRESS",
        help="work on a Ray cluster: a local one, or the one at HOST:PORT",
    )
    add_whisper_option(extract)
    extract.add_argument(
        "--merge", choices=["mean", "ewe"], default="mean", help="of several annotators: mean, or evaluator weighted"
    )
    extract.add_argument(
        "--lag",
        type=_lag,
        metavar="SECONDS",
        help="how far labels are behind what is seen, or `auto` to estimate it (default: auto, but 0 for Aff-Wild2)",
    )
    extract.set_defaults(run=run_extract)


def _rate(text: str) -> float | None:
    if text == "frames":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 100:
        raise argparse.ArgumentTypeError(f"a number above 0 and at most 100, or `frames`, not {text!r}")
    return rate


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {text!r}")
    return int(text)


def _lag(text: str) -> float | str:
    if text == AUTO:
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number of seconds, or `auto`, not {text!r}") from None


def run_check(args: argparse.Namespace) -> int:
    """The check command."""
    from vatrace.corpora import open_corpus
    from vatrace.corpora.check import check

    corpus = open_corpus(args.corpus)
    with progress_bars(args.corpus.name) as progress:
        findings = check(corpus, partial(progress, "check"))
    if findings:
        print(table(["", "recording", "what"], [[f.severity, f.recording, f.what] for f in findings]))
    counts = {kind: sum(f.severity == kind for f in findings) for kind in ("error", "warning", "info")}
    splits = {split: sum(s.split == split for s in corpus.sources) for split in ("train", "dev", "test", None)}
    held = ", ".join(f"{count} {split or 'without split'}" for split, count in splits.items() if count)
    found = ", ".join(plural(counts[kind], kind) for kind in ("error", "warning"))
    print(f"{args.corpus}: {plural(len(corpus.sources), 'recording')} ({corpus.kind}: {held}); {found}")
    return int(counts["error"] > 0)


def run_extract(args: argparse.Namespace) -> int:
    """The extract command."""
    from vatrace.corpora import open_corpus
    from vatrace.corpora.extract import Setting, open_tasks
    from vatrace.corpora.labels import label_store
    from vatrace.encoders import parse_encoders
    from vatrace.store import Store
    from vatrace.weights import find_whisper

    corpus = open_corpus(args.corpus)
    encoders = parse_encoders(args.encoders)
    if "words" in encoders or ("voice" in encoders and encoders["voice"].on_whisper):
        find_whisper(args.whisper)  # if it is missing, that should be said before any worker begins
    if args.crops and "face" not in encoders:
        raise UsageError("--crops keeps faces, and --encoders face=none leaves them out: choose one")
    threads = max(1, (os.cpu_count() or 1) // args.workers)
    setting = Setting(tuple(encoders.values()), args.whisper, threads, args.crops)
    store = Store.create(args.store, setting.schema(args.rate))
    store.remove_unfinished()

    tasks, outcomes = open_tasks(corpus.sources, store, setting)
    done_before = len(corpus.sources) - len(outcomes) - sum(len(task.sources) for task in tasks)
    if done_before:
        print(f"{done_before} of {len(corpus.sources)} recordings are in {args.store} already", flush=True)
    with progress_bars(args.corpus.name) as progress:
        for finished, group in enumerate(_work(tasks, args, progress), start=1):
            outcomes += group
            progress("recordings", finished / len(tasks))
    lag = None if args.lag == AUTO else args.lag
    if args.lag is None and corpus.kind == "affwild2":
        lag = 0.0  # the challenge compares with the labels as they are
    _say_outcomes(outcomes)
    labelling = label_store(corpus, store, args.merge, lag)
    _say_labelling(labelling, lag)
    others = sorted(set(store.names) - {source.name for source in corpus.sources})
    if others:
        said = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        print(
            f"{args.store}: holds {plural(len(others), 'recording')} that this corpus has not, which will be used too: {said}"
        )
        print(f"to leave one out, delete its folder, such as {args.store / 'recordings' / others[0]}")
    failed = sum(outcome.error is not None for outcome in outcomes)
    print(f"{args.store}: {plural(len(store.names), 'recording')}, {labelling.num_labelled} with labels; {failed} failed")
    return int(failed + len(labelling.failures) > 0)


def _work(tasks: Sequence[Task], args: argparse.Namespace, progress: Progress) -> Iterator[list[Outcome]]:
    from vatrace.corpora.extract import extract
    from vatrace.corpora.workers import in_processes, on_ray

    if not tasks:
        return iter(())
    if args.ray is not None:
        return on_ray(tasks, None if args.ray == LOCAL_CLUSTER else args.ray)
    if args.workers > 1:
        return in_processes(tasks, args.workers)
    return (extract(task, progress) for task in tasks)


def _say_outcomes(outcomes: Sequence[Outcome]) -> None:
    """What failed, and what else is to be known of the features."""
    failed = [[o.name, "failed", o.error] for o in outcomes if o.error]
    if failed:
        print(table(["recording", "", "why"], failed))
    noted: dict[str, list[str]] = {}
    for outcome in outcomes:
        for note in outcome.notes:
            noted.setdefault(note, []).append(outcome.name)
    if noted:
        print(
            table(["note", "of", "such as"], [[note, str(len(names)), ", ".join(names[:3])] for note, names in noted.items()])
        )


def _say_labelling(labelling: Labelling, lag: float | None) -> None:
    """How the labels came about, and which there are not."""
    rows = [[name, "no labels", reason] for name, reason in labelling.failures.items()]
    rows += [[name, "warning", doubt] for name, doubt in labelling.warnings.items()]
    if rows:
        print(table(["recording", "", "why"], rows))
    best = labelling.reaction
    if best is not None and best.clear:
        strength = f"r {best.correlations.max():.2f} on held-out recordings"
        print(f"by correlation with the features, labels are {best.lag:.1f} s late ({strength})")
    elif lag is None and labelling.num_labelled:
        print("how late labels are can't be told from these recordings; if you know it, name it with --lag SECONDS")
    named = {name: name or "(no name)" for name in labelling.lags}
    for names, why in (
        (labelling.apart, "share no recording with another annotator, so their lag can't be told"),
        (labelling.untold, "agree too little with the others, so their lag can't be told"),
    ):
        if names:
            print(f"annotators {', '.join(named[name] for name in names)}: {why}")
    if labelling.agreement is not None:
        agreed = labelling.agreement
        lags = ", ".join(f"{named[name]} {lag:.2f} s" for name, lag in sorted(labelling.lags.items()))
        others = ", ".join(f"{name} {value:.2f}" for name, value in agreed.others.items() if not math.isnan(value))
        print(f"{agreed.num_annotators} annotators; lags taken out: {lags}; CCC of each with the others: {others}")
