"""The command adapt: from a few minutes of ratings to a file that fits predictions to them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.extract import add_reader_option, report_findings
from vatrace.cli.terminal import (
    add_model_options,
    complain,
    load,
    make_folder,
    progress_bars,
    refuse_existing,
    say,
    table,
    warn,
)
from vatrace.errors import MissingWeightsError, UsageError, VatraceError, report_bug
from vatrace.watcher import working_on

if TYPE_CHECKING:
    from vatrace.corpora.corpus import Annotation, Corpus
    from vatrace.evaluation.adapt import Agreement, Fit
    from vatrace.evaluation.ratings import Lags
    from vatrace.inference.model import Model
    from vatrace.inference.prediction import Prediction

EPILOG = """examples:
  vatrace adapt rated/ --out mine.json
  vatrace predict talk.mp4 --adapt mine.json
  vatrace adapt corpus/ --model run/model.onnx --out mine.json

The folder has recordings and ratings of them, of some or all of their time (see: vatrace check --help): for instance, the
recordings that you annotated in vatrace serve, and next to them its download of all annotations, unpacked. 3 to 10 minutes of
ratings are enough, from several recordings if you can; with less than 1 minute, nothing is fitted. Recordings of the test
split are left out.

For valence and arousal, it fits a scale and a shift, close to none if there is little data, and the width of the intervals, so
that they contain 90 % of the ratings. The lag of the ratings is estimated and removed first. The table shows the agreement
before and after, on recordings that the fit did not use (of too few recordings: on blocks of 20 %). If CCC and RMSE don't both
improve, scale and shift are left out, and the file changes the intervals only.
Exit status: 0 for success, 1 if nothing could be fitted, or a recording failed (the others are used).
"""
SHORT = 180.0
"""Seconds of ratings below which a warning says that more are better."""


def add_parsers(commands: Any) -> None:
    """Add adapt to the commands."""
    parser = commands.add_parser(
        "adapt",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Fit values and intervals to your own ratings, and measure by cross-validation what that gains.",
    )
    parser.add_argument("corpus", type=Path, metavar="FOLDER", help="recordings and annotations (see: vatrace check --help)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write, for predict --adapt")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it already exists")
    add_model_options(parser)
    add_reader_option(parser)
    parser.set_defaults(run=run_adapt)


def run_adapt(args: argparse.Namespace) -> int:
    """Run the adapt command."""
    from vatrace.corpora import open_corpus
    from vatrace.evaluation.adapt import fit
    from vatrace.evaluation.ratings import annotated, lags_behind, rated
    from vatrace.inference.adaptation import write_adaptation

    refuse_existing([args.out], args.overwrite)
    corpus = open_corpus(args.corpus, args.reader)
    num_failed = report_findings(corpus)
    given, failures = annotated(corpus)
    for name, why in failures.items():
        complain(f"{name}: {why}")
    if not given:
        raise UsageError(f"{args.corpus}: contains no annotated recordings (see: vatrace check {args.corpus})")
    make_folder(args.out.parent)
    model = load(args)
    predictions = _predictions(corpus, given, model)
    num_failed += len(failures) + len(given) - len(predictions)
    if not predictions:
        return 1
    lags = lags_behind(predictions, given, corpus.lag)
    data = [rated(name, prediction, given[name], lags, model) for name, prediction in predictions.items()]
    result = fit(data, calibrated=bool(model.half_widths))
    _check_enough(args.corpus, result)
    _print_lags(lags)
    _print_fit(result)
    write_adaptation(args.out, result.adaptation(model.name, model.sha256, lags.seconds))
    say(f"{args.out}: next: vatrace predict ... --adapt {args.out}")
    return int(num_failed > 0)


def _predictions(corpus: Corpus, given: Mapping[str, list[Annotation]], model: Model) -> dict[str, Prediction]:
    """The model's traces by recording. Failures are printed, and left out."""
    from vatrace.evaluation.ratings import predicted

    found = {}
    for source in (source for source in corpus.sources if source.name in given):
        try:
            with progress_bars(source.name) as progress, working_on(source.media):
                found[source.name] = predicted(source, model, given[source.name], progress)
        except (MissingWeightsError, BrokenPipeError):
            raise  # the other recordings would fail too
        except (VatraceError, OSError) as error:
            complain(f"{source.name}: {error}")
        except Exception as error:  # other recordings must not fail because of it
            complain(report_bug(error, source.name))
    return found


def _check_enough(folder: Path, result: Fit) -> None:
    """Refuse too few ratings for both dimensions, and warn of few."""
    from vatrace.evaluation.adapt import MIN_SECONDS

    needed, better = f"at least {MIN_SECONDS:.0f} s are needed", f"{SHORT / 60:.0f} to 10 minutes are better"
    rated = {name: f"{math.floor(10 * result.seconds(name)) / 10:g} s of {name}" for name in result.found}
    if not any(result.found.values()):
        where = "where a face, a voice or words are present"
        raise UsageError(f"{folder}: only {' and '.join(rated.values())} are rated {where}; {needed} of one, and {better}")
    for name, fitted in result.found.items():
        if fitted is None:
            warn(f"{name} isn't adapted: only {rated[name]} are rated; {needed}")
        elif fitted.seconds < SHORT:
            warn(f"only {rated[name]} are rated; {better}")


def _print_lags(lags: Lags) -> None:
    named = {name: name or "(no name)" for name in lags.seconds}
    say("lag of the ratings, removed: " + ", ".join(f"{named[name]} {lag:.1f} s" for name, lag in lags.seconds.items()))
    if lags.unclear:
        names = ", ".join(named[name] for name in lags.unclear)
        warn(f"the lag of {names} behind the recordings can't be estimated, because model and ratings agree too little")


def _print_fit(result: Fit) -> None:
    """Print the table, and what it means."""
    rows, remarks = [], []
    for name, fitted in result.found.items():
        if fitted is None:
            continue
        change, was, tried = fitted.correction, fitted.before, fitted.tried
        rows.append([name, "before", f"{fitted.seconds / 60:.1f}", "", "", "", *_cells(was)])
        rows.append(["", "after", "", f"{change.scale:.2f}", f"{change.shift:+.2f}", f"{change.interval:.2f}"])
        rows[-1] += _cells(fitted.after)
        if tried is not None:
            scores = f"CCC {was.ccc:.2f} to {tried.ccc:.2f}, RMSE {was.rmse:.2f} to {tried.rmse:.2f}"
            remarks.append(f"{name}: no gain from scale and shift ({scores}), so only its intervals change")
    say(table(["", "", "minutes", "scale", "shift", "width", "CCC", "r", "RMSE", "in the interval"], rows))
    say(f"cross-validated over {result.over}; 90 % of the ratings should be in the interval")
    if not result.by_recording:
        remarks.append("other recordings may differ more than blocks of the same: ratings of several recordings are better")
    for remark in remarks:
        say(f"  note: {remark}")


def _cells(found: Agreement) -> list[str]:
    inside = "" if math.isnan(found.coverage) else f"{found.coverage:.0%}"
    return [f"{found.ccc:.2f}", f"{found.r:.2f}", f"{found.rmse:.2f}", inside]
