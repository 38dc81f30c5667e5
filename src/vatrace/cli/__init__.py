"""The command line; the only part that prints or exits."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

from vatrace import __version__
from vatrace.cli.terminal import complain
from vatrace.errors import VatraceError, report_bug

COMMANDS = {
    "predict": ("vatrace.cli.predict", "recordings in, traces of valence and arousal out"),
    "again": ("vatrace.cli.again", "make a result again, and compare"),
    "demo": ("vatrace.cli.predict", "predict a recording made from installed packages"),
    "people": ("vatrace.cli.people", "find the same people in all recordings of a study"),
    "serve": ("vatrace.cli.serve", "a page in your browser: recordings, live, annotation"),
    "live": ("vatrace.cli.live", "follow a camera and a microphone"),
    "adapt": ("vatrace.cli.adapt", "fit predictions and intervals to your own ratings"),
    "check": ("vatrace.cli.extract", "find errors in a corpus"),
    "extract": ("vatrace.cli.extract", "a corpus in, features for training out"),
    "import": ("vatrace.cli.import_", "features from other tools in, a store for training out"),
    "train": ("vatrace.cli.train", "features in, a trained model out"),
    "evaluate": ("vatrace.cli.train", "how well a run agrees with labels, and why"),
    "compare": ("vatrace.cli.train", "whether one run is better than another"),
    "submit": ("vatrace.cli.train", "predictions of the test split in the format of ABAW"),
}
"""For each command, the module that defines it, imported when the command is used, and its line in `vatrace --help`."""

FAILED, BUG, INTERRUPTED = 1, 70, 130
"""Exit statuses; argparse's for a wrong command is 2."""

EPILOG = """examples:
  vatrace demo                                   try it on a recording made from installed packages
  vatrace predict talk.mp4                       writes talk.csv and talk.png to this folder
  vatrace predict videos/ --out traces           every recording in a folder
  vatrace serve                                  a page in your browser that takes recordings
  vatrace live                                   follow a camera and a microphone

with your own annotated recordings:
  vatrace adapt rated/ --out mine.json           a few minutes of ratings are enough; then: predict --adapt mine.json
  vatrace check corpus/                          find errors in a corpus
  vatrace extract corpus/ --store store          features for training
  vatrace train default --store store --out run
  vatrace evaluate run --store store --out report

Exit status: 0 for success, 1 if something failed, 2 for a wrong command, 70 for a bug in vatrace, 130 for ctrl-C.
Everything runs on this machine; nothing is sent anywhere.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal can't show must not lose results
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(message)s")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    args = parse(sys.argv[1:] if argv is None else argv)
    try:
        status = args.run(args)
    except BrokenPipeError:  # the reader of the output has ended, like `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILED
    except (VatraceError, OSError) as error:
        complain(error)
        status = FAILED
    except KeyboardInterrupt:
        print("stopped; finished work is kept", file=sys.stderr)
        status = INTERRUPTED
    except Exception as error:
        complain(report_bug(error, f"vatrace {args.command}"))
        status = BUG
    sys.exit(status)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments. Only the module of the given command is imported."""
    parser = argparse.ArgumentParser(
        prog="vatrace",
        description="Valence and arousal over time from video: face, voice and words.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vatrace {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    if argv and argv[0] in COMMANDS:
        import_module(COMMANDS[argv[0]][0]).add_parsers(commands)
    else:
        for name, (_, text) in COMMANDS.items():
            commands.add_parser(name, help=text)
    args, unknown = parser.parse_known_args(argv)
    if unknown:  # argparse would show the usage of vatrace, not of this command
        command = commands.choices[args.command]
        command.error(f"unrecognized arguments: {' '.join(unknown)} (see {command.prog} --help)")
    return args
