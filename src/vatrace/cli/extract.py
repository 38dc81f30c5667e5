"""The commands check and extract: from a corpus's files to a store of features and labels."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.terminal import (
    LOCAL_CLUSTER,
    add_active_speaker_option,
    add_device_option,
    add_language_option,
    add_ray_option,
    add_threads_option,
    add_whisper_option,
    apply_device,
    complain,
    count,
    plural,
    progress_bars,
    say,
    table,
    warn,
)
from vatrace.errors import UsageError

if TYPE_CHECKING:
    from vatrace.corpora.corpus import Corpus
    from vatrace.corpora.extract import Outcome, Task
    from vatrace.corpora.labels import Labelling
    from vatrace.names import Progress
    from vatrace.store import Store

DEFAULT_RATE = 10.0
AUTO = "auto"

CHECK_EPILOG = """examples:
  vatrace check Aff-Wild2/
  vatrace check recordings/
  vatrace check features/

Aff-Wild2 is recognised by the folders that ABAW distributes. Any other corpus is a folder of videos or audio files with
  annotations.csv                recording,time,valence,arousal[,annotator]
  or annotations/NAME.csv        time,valence,arousal; with several annotators NAME.ANNOTATOR.csv (.tsv, .txt or .eaf as well)
  NAME.srt, NAME.en.vtt ...      next to a recording: its words
  splits.csv                     recording,split[,subject][,person]: split is train, dev or test; person is the annotated one
                                 of several people: left, right, a number or the path of a picture
Features from other tools have MODALITY/NAME.npy, .csv or .parquet instead of videos (see: vatrace import --help).
Exit status: 0 without errors (there may be warnings), 1 with errors.
"""

EXTRACT_EPILOG = """examples:
  vatrace extract recordings/ --store store
  vatrace extract recordings/ --store store --workers 4
  vatrace extract Aff-Wild2/ --store store30 --rate frames --crops
  vatrace extract Aff-Wild2/ --store paper --rate frames --crops \\
      --encoders face=ir50:res50_ir_0.887.pth,voice=vggish:vggish-10086976.pth,words=bert:bert-base-uncased

It can be stopped at any time: the same command continues, and repeats only what has changed.
Labels are read again each time, so new annotations need no new features.
Exit status: 0 if everything is in the store, 1 if a recording failed or a file could not be read (the others are done), 130 for
ctrl-C, 143 if told to end.
"""


def add_parsers(commands: Any) -> None:
    """Add check and extract to the commands."""
    raw = argparse.RawDescriptionHelpFormatter
    check = commands.add_parser(
        "check",
        help="find errors in a corpus",
        epilog=CHECK_EPILOG,
        formatter_class=raw,
        description="Compare a corpus's videos, annotations, cropped faces and splits, and list the errors.",
    )
    check.add_argument("corpus", type=Path, metavar="CORPUS", help="folder of the corpus")
    add_reader_option(check)
    check.set_defaults(run=run_check)

    extract = commands.add_parser(
        "extract",
        help="a corpus in, features for training out",
        epilog=EXTRACT_EPILOG,
        formatter_class=raw,
        description="Write the features and labels of all recordings to a store, on one time grid.",
    )
    extract.add_argument("corpus", type=Path, metavar="VIDEOS", help="folder of the corpus (see: vatrace check --help)")
    extract.add_argument("--store", type=Path, required=True, metavar="STORE", help="folder for the features")
    extract.add_argument(
        "--encoders",
        default="",
        metavar="LIST",
        help="face=, voice=, words= NAME or NAME:FILE, separated by commas (default: the package's own)",
    )
    extract.add_argument(
        "--rate",
        type=_rate,
        default=DEFAULT_RATE,
        metavar="HZ",
        help="steps per second, or `frames` for one step per video frame (default: %(default)g)",
    )
    extract.add_argument("--crops", action="store_true", help="also store face crops, to train the face network too")
    extract.add_argument("--workers", type=count, metavar="N", help="number of processes (default: 1)")
    add_ray_option(extract)
    add_whisper_option(extract)
    add_language_option(extract)
    add_active_speaker_option(extract)
    add_device_option(extract)
    add_threads_option(extract)
    add_label_options(extract)
    add_reader_option(extract)
    extract.set_defaults(run=run_extract)


def add_reader_option(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add the option that chooses the corpus's layout."""
    parser.add_argument(
        "--reader",
        default=default,
        metavar="NAME",
        help="layout of the folder: affwild2, folder, features, or package.module:Class, whose code is run "
        f"(default: {default or 'recognised'})",
    )


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for turning annotations into labels."""
    parser.add_argument(
        "--merge",
        choices=["mean", "ewe"],
        default="mean",
        help="how several annotators are merged: mean, or evaluator-weighted (default: %(default)s)",
    )
    parser.add_argument(
        "--lag",
        type=_lag,
        metavar="SECONDS",
        help="the lag of the labels, or `auto` to estimate it (default: auto; 0 for Aff-Wild2)",
    )


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


def _lag(text: str) -> float | str:
    if text == AUTO:
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number of seconds, or `auto`, not {text!r}") from None


def run_check(args: argparse.Namespace) -> int:
    """Run the check command."""
    from vatrace.corpora import open_corpus
    from vatrace.corpora.check import check

    corpus = open_corpus(args.corpus, args.reader)
    with progress_bars(args.corpus.name) as progress:
        findings = check(corpus, lambda share: progress("check", share))
    if findings:
        say(table(["", "recording", "what"], [[f.severity, f.recording, f.what] for f in findings]))
    counts = {kind: sum(f.severity == kind for f in findings) for kind in ("error", "warning", "info")}
    splits = {split: sum(s.split == split for s in corpus.sources) for split in ("train", "dev", "test", None)}
    by_split = ", ".join(f"{count} {split or 'without split'}" for split, count in splits.items() if count)
    found = ", ".join(plural(counts[kind], kind) for kind in ("error", "warning"))
    say(f"{args.corpus}: {plural(len(corpus.sources), 'recording')} ({corpus.kind}: {by_split}); {found}")
    return int(counts["error"] > 0)


def run_extract(args: argparse.Namespace) -> int:
    """Run the extract command."""
    from vatrace.corpora import open_corpus
    from vatrace.corpora.extract import Setting, open_tasks
    from vatrace.encoders import parse_encoders
    from vatrace.features.active_speaker import ActiveSpeaker
    from vatrace.store import Store
    from vatrace.weights import find_whisper

    if args.ray is not None and args.workers is not None:
        raise UsageError(
            "--workers is for processes on this machine, and --ray starts those of the cluster: choose one (with --ray, "
            "--threads is the number of CPUs for a recording)"
        )
    workers = args.workers or 1
    corpus = open_corpus(args.corpus, args.reader)
    num_errors = report_findings(corpus)
    if all(source.features for source in corpus.sources):
        raise UsageError(f"{args.corpus}: contains features, not recordings: use vatrace import")
    encoders = parse_encoders(args.encoders)
    if "words" in encoders:
        find_whisper(args.whisper)  # report a missing file before any worker starts
    if args.active_speaker is not None:
        ActiveSpeaker(args.active_speaker)  # as well
    if args.crops and "face" not in encoders:
        raise UsageError("--crops stores faces, but --encoders face=none leaves them out: choose one")
    device, threads = apply_device(args), max(1, (args.threads or os.cpu_count() or 1) // workers)
    setting = Setting(tuple(encoders.values()), args.whisper, threads, args.crops, args.active_speaker, device, args.language)
    store = Store.create(args.store, setting.schema(args.rate))
    with store.writing():
        tasks, outcomes = open_tasks(corpus.sources, store, setting)
        report_done(corpus, len(outcomes) + sum(len(task.sources) for task in tasks), store)
        waiting = {source.name for task in tasks for source in task.sources}
        for name in waiting & {*store.names}:
            store.remove_labels(name)  # until its features are new: training must not mix them
        with progress_bars(args.corpus.name) as progress:
            for finished, group in enumerate(_work(tasks, args, progress), start=1):
                outcomes += group
                progress("recordings", finished / len(tasks))
        outdated = [outcome.name for outcome in outcomes if outcome.error is not None and outcome.name in waiting]
        return max(label_and_report(corpus, store, outcomes, outdated, args), int(num_errors > 0))


def report_findings(corpus: Corpus) -> int:
    """Print the problems with files of the whole corpus, and return the number of errors. Extraction continues without them."""
    for finding in corpus.findings:
        what = f"{finding.recording}: {finding.what}" if finding.recording else finding.what
        if finding.severity == "error":
            complain(what)
        elif finding.severity == "warning" and not finding.recording:
            warn(what)
    scale = corpus.scale()
    if scale is not None and not scale.certain:
        warn(scale.what)
    return sum(finding.severity == "error" for finding in corpus.findings)


def _work(tasks: Sequence[Task], args: argparse.Namespace, progress: Progress) -> Iterator[list[Outcome]]:
    from vatrace.corpora.extract import extract, lost
    from vatrace.workers import in_processes, on_ray

    if not tasks:
        return iter(())
    if args.ray is not None:
        return on_ray(tasks, None if args.ray == LOCAL_CLUSTER else args.ray, extract, lost, tasks[0].setting.threads)
    if len(tasks) > 1:  # not in this process: a crash in a codec must not end the others
        return in_processes(tasks, args.workers or 1, extract, lost, lambda _, stage, share: progress(stage, share))
    return (extract(task, progress) for task in tasks)


def report_done(corpus: Corpus, num_waiting: int, store: Store) -> None:
    """Print how many recordings are already in the store."""
    done = len(corpus.sources) - num_waiting
    if done:
        say(f"{done} of {len(corpus.sources)} recordings are already in {store.path}", flush=True)


def label_and_report(
    corpus: Corpus, store: Store, outcomes: Sequence[Outcome], outdated: Collection[str], args: argparse.Namespace
) -> int:
    """Write the labels by the options of `add_label_options`, print the results, and return the exit status.

    Args:
        corpus: with the labels.
        store: with the features.
        outcomes: of the recordings that were not done already.
        outdated: recordings whose features could not be extracted or imported again.
        args: the options.
    """
    from vatrace.corpora.labels import label_store

    lag = corpus.lag if args.lag is None else None if args.lag == AUTO else args.lag
    _print_outcomes(outcomes)
    labelling = label_store(corpus, store, args.merge, lag, outdated)
    _print_labelling(labelling, lag)
    others = sorted(set(store.names) - {source.name for source in corpus.sources})
    if others:
        named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        are, they = ("is", "it") if len(others) == 1 else ("are", "they")
        say(
            f"{args.store}: contains {plural(len(others), 'recording')} that {are} not in this corpus; {they} will be used as "
            f"well: {named}"
        )
        folder, labels = args.store / "recordings" / others[0], args.store / "labels" / f"{others[0]}.npy"
        say(f"to leave one out, delete its folder and its labels, such as {folder} and {labels}")
    failed = sum(outcome.error is not None for outcome in outcomes)
    say(f"{args.store}: {plural(len(store.names), 'recording')}, {labelling.num_labelled} with labels; {failed} failed")
    return int(failed + len(labelling.failures) > 0)


def _print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print failures, and notes on the features."""
    failed = [[o.name, "failed", o.error] for o in outcomes if o.error]
    if failed:
        say(table(["recording", "", "why"], failed))
    noted: dict[str, list[str]] = {}
    for outcome in outcomes:
        for note in outcome.notes:
            noted.setdefault(note, []).append(outcome.name)
    if noted:
        rows = [[note, str(len(names)), ", ".join(names[:3])] for note, names in noted.items()]
        say(table(["note", "recordings", "such as"], rows))


def _print_labelling(labelling: Labelling, lag: float | None) -> None:
    """Print how the labels were made, and which are missing."""
    rows = [[name, "no labels", reason] for name, reason in labelling.failures.items()]
    rows += [[name, "warning", doubt] for name, doubt in labelling.warnings.items()]
    if rows:
        say(table(["recording", "", "why"], rows))
    best = labelling.reaction
    if best is not None and best.clear:
        strength = f"r {best.correlations.max():.2f} on held-out recordings"
        say(f"the labels lag by {best.lag:.1f} s, estimated from the features ({strength})")
    elif lag is None and labelling.num_labelled:
        say("the lag of the labels can't be estimated from these recordings; if you know it, give --lag SECONDS")
    named = {name: name or "(no name)" for name in labelling.lags}
    for names, why in (
        (labelling.apart, "share no recording with another annotator, so their lag can't be estimated"),
        (labelling.unclear, "agree too little with the others, so their lag can't be estimated"),
    ):
        if names:
            say(f"annotators {', '.join(named[name] for name in names)}: {why}")
    if labelling.agreement is not None:
        agreed = labelling.agreement
        lags = ", ".join(f"{named[name]} {lag:.2f} s" for name, lag in sorted(labelling.lags.items()))
        others = ", ".join(f"{name} {value:.2f}" for name, value in agreed.others.items() if not math.isnan(value))
        say(f"{agreed.num_annotators} annotators; lags removed: {lags}; CCC of each with the others: {others}")
