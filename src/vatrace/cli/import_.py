"""The command import: from features of other tools to a store of features and labels."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.extract import add_label_options, add_reader_option, label_and_report, report_done, report_findings
from vatrace.cli.terminal import positive, progress_bars
from vatrace.errors import UsageError

if TYPE_CHECKING:
    from vatrace.corpora.importing import ImportOptions

DEFAULT_RATE = 10.0

EPILOG = """examples:
  vatrace import features/ --store store --feature-rate 25
  vatrace import features/ --store store --name opensmile-3.0
  vatrace import features/ --store store --name voice=opensmile-3.0,physiology=e4-1.2

FEATURES is a folder with
  MODALITY/NAME.npy                         (rows, channels), at --feature-rate rows per second
  MODALITY/NAME.csv, .parquet               columns of numbers, with a column `time` in seconds, or at --feature-rate
  annotations.csv, annotations/, splits.csv as for extract (see: vatrace check --help)
MODALITY is face, voice, words, or any other name, such as physiology. Rows with NaN or empty cells are missing.

It can be stopped at any time: the same command continues, and repeats only what has changed.
Exit status: 0 if everything is in the store, 1 if a recording failed, 130 for ctrl-C, 143 if told to end.
"""


def add_parsers(commands: Any) -> None:
    """Add import to the commands."""
    parser = commands.add_parser(
        "import",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Write features from other tools, and their labels, to a store, on one time grid.",
    )
    parser.add_argument("features", type=Path, metavar="FEATURES", help="folder of the features")
    parser.add_argument("--store", type=Path, required=True, metavar="STORE", help="folder of the store")
    parser.add_argument(
        "--rate", type=positive, default=DEFAULT_RATE, metavar="HZ", help="steps per second of the grid (default: %(default)g)"
    )
    parser.add_argument("--feature-rate", type=positive, metavar="HZ", help="rows per second of files without a column `time`")
    parser.add_argument(
        "--name",
        default="",
        metavar="NAME",
        help="the tool that made the features, with its version, or several as MODALITY=NAME,MODALITY=NAME: only features of "
        "the same name and number of channels are mixed in a store or used by a model (default: imported)",
    )
    add_label_options(parser)
    add_reader_option(parser, "features")
    parser.set_defaults(run=run_import)


def _options(args: argparse.Namespace) -> ImportOptions:
    from vatrace.corpora.importing import DEFAULT_NAME, ImportOptions

    default, names = DEFAULT_NAME, {}
    for part in filter(None, (part.strip() for part in args.name.split(","))):
        modality, equals, name = part.partition("=")
        if equals and modality and name:
            names[modality] = name
        elif not equals and default == DEFAULT_NAME:
            default = part
        else:
            raise UsageError(f"--name takes NAME, or MODALITY=NAME separated by commas, not {args.name!r}")
    return ImportOptions(args.feature_rate, default, names)


def run_import(args: argparse.Namespace) -> int:
    """Run the import command."""
    from vatrace.corpora import open_corpus
    from vatrace.corpora.importing import import_features, import_schema
    from vatrace.store import Store

    corpus = open_corpus(args.features, args.reader)
    num_errors = report_findings(corpus)
    if not any(source.features for source in corpus.sources):
        raise UsageError(f"{args.features}: contains recordings, not features: use vatrace extract")
    options = _options(args)
    unknown = sorted(options.names.keys() - {modality for source in corpus.sources for modality in source.features})
    if unknown:
        raise UsageError(f"--name {unknown[0]}={options.names[unknown[0]]}: {args.features} has no features of {unknown[0]}")
    store = Store.create(args.store, import_schema(corpus.sources, args.rate, options))
    with store.writing():
        with progress_bars(args.features.name) as progress:
            outcomes = list(import_features(corpus.sources, store, options, lambda share: progress("recordings", share)))
        report_done(corpus, len(outcomes), store)
        outdated = [outcome.name for outcome in outcomes if outcome.error is not None]
        return max(label_and_report(corpus, store, outcomes, outdated, args), int(num_errors > 0))
