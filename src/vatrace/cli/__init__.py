"""The command line; the only part that prints or exits."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from vatrace import __version__
from vatrace.cli import extract as corpus
from vatrace.cli import live, predict, serve
from vatrace.cli import train as training
from vatrace.cli.terminal import complain
from vatrace.errors import VatraceError

INTERRUPTED = 130

TOP_EPILOG = """examples:
  vatrace demo                                   try it on a recording made from installed packages
  vatrace predict talk.mp4                       talk.csv and talk.png in this folder
  vatrace predict videos/ --out traces           every recording in a folder
  vatrace serve                                  a page in your browser to drop recordings on
  vatrace live                                   follow a camera and a microphone

with recordings of your own that are annotated:
  vatrace check corpus/                          what is wrong with it
  vatrace extract corpus/ --store store          features to train from
  vatrace train default --store store --out run
  vatrace evaluate run --store store --out report

Everything runs on this machine; nothing is sent anywhere.
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="vatrace",
        description="Valence and arousal over time from video, by face, voice and words.",
        epilog=TOP_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vatrace {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    predict.add_parsers(commands)
    serve.add_parsers(commands)
    live.add_parsers(commands)
    corpus.add_parsers(commands)
    training.add_parsers(commands)
    for command in commands.choices.values():
        command.set_defaults(parser=command)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal can't show must not lose its results
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(message)s")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    args, unknown = build_parser().parse_known_args(argv)
    if unknown:  # argparse would show the usage of all commands, not of this one
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)} (see {args.parser.prog} --help)")
    try:
        status = args.run(args)
    except BrokenPipeError:  # whoever read the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except (VatraceError, OSError) as error:
        complain(error)
        status = 1
    except KeyboardInterrupt:
        print("stopped; what was finished before is kept", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)
