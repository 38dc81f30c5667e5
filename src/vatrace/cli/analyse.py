"""The command analyse: from the table of a study to findings, figures and an R script."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.terminal import make_folder, plural, positive, refuse_existing, say, table, warn
from vatrace.errors import UsageError

if TYPE_CHECKING:
    from vatrace.analysis.analyse import Analysis

EPILOG = """examples:
  vatrace analyse study.parquet --design design.csv      the table that predict --list study.csv --table study.parquet writes
  vatrace analyse study.parquet --design design.csv --events events.csv --before 2 --after 8
  vatrace analyse study.csv --ratings ratings.csv --out agreement

design.csv has a line for each recording (or each person in it):
  recording,participant,condition
  P01/rest,P01,rest
  P01/task,P01,task
It may also have the columns `person`, as in the study, and `pair`, the name of two traces that were recorded together. Without
--design, the columns of the study's own list are used. A recording of two participants is a pair as well.
events.csv has the columns `recording`, `time` (or `start`) in seconds, and `event`, the name of the event.
ratings.csv has the columns `recording`, `time`, `valence` and `arousal` (-1 to 1), and perhaps `rater`.

The folder gets analysis.html, its figures, results.csv and other tables with codebook.csv, and analysis.R, which repeats the
analysis. With fewer than 6 participants or pairs, curves aren't tested.
Exit status: 0 for success, 1 if something could not be analysed.
"""
BEFORE, AFTER = 2.0, 5.0
"""Seconds around an event that are averaged."""


def add_parsers(commands: Any) -> None:
    """Add analyse to the commands."""
    parser = commands.add_parser(
        "analyse",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Compare conditions, average responses to events, and measure synchrony and agreement with ratings.",
    )
    parser.add_argument("study", type=Path, metavar="TABLE", help="CSV or Parquet table of all traces, by predict --table")
    parser.add_argument("--design", type=Path, metavar="FILE", help="CSV table of who was recorded in which condition")
    parser.add_argument("--events", type=Path, metavar="FILE", help="CSV table of events, for event-locked averages")
    parser.add_argument("--before", type=positive, metavar="SECONDS", help=f"before an event (default: {BEFORE:g})")
    parser.add_argument("--after", type=positive, metavar="SECONDS", help=f"after an event (default: {AFTER:g})")
    parser.add_argument("--ratings", type=Path, metavar="FILE", help="CSV table of human ratings, for agreement")
    parser.add_argument(
        "--out", type=Path, default=Path("analysis"), metavar="FOLDER", help="where to write (default: analysis)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier analysis")
    parser.set_defaults(run=run_analyse)


def run_analyse(args: argparse.Namespace) -> int:
    """Run the analyse command."""
    from vatrace.analysis.analyse import Options, analyse
    from vatrace.analysis.result_files import names, write_analysis

    if args.events is None and (args.before or args.after):
        raise UsageError(f"--{'before' if args.before else 'after'} is around the events of --events: add --events events.csv")
    refuse_existing([args.out / name for name in names()], args.overwrite)
    found = analyse(args.study, args.design, Options(args.events, args.ratings, args.before or BEFORE, args.after or AFTER))
    make_folder(args.out)
    given = [path for path in (args.study, args.design, args.events, args.ratings) if path is not None]
    write_analysis(found, args.out, given)
    _print(found, args.out)
    return 0


def _print(found: Analysis, out: Path) -> None:
    from vatrace.analysis.findings_page import HEADER, SECTIONS, cells_of

    study = found.study
    say(f"{plural(len(study.traces), 'trace')} of {plural(len(study.participants), 'participant')}")
    for analysis, (heading, _) in SECTIONS.items():
        rows = found.of(analysis)
        if rows:
            say(f"\n{heading}")
            say(table(HEADER, [cells_of(row) for row in rows]))
    for note in found.notes:
        warn(note)
    say(
        "\nErrors of the model that all recordings of a condition share are not in these intervals (see the end of the page).\n"
        f"{out / 'analysis.html'}: open it in a browser; analysis.R repeats the analysis"
    )
