"""The command line; the only part that prints or exits."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any

# while NumPy's second thread waits for another product of matrices, it keeps a core busy that the networks need
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from vatrace import __version__
from vatrace.cli.terminal import complain
from vatrace.errors import VatraceError, forget_stop, is_out_of_memory, report_bug, stop, stopped
from vatrace.files import remove_unfinished
from vatrace.watcher import unwatch, watch

COMMANDS = {
    "predict": ("vatrace.cli.predict", "recordings in, traces of valence and arousal out"),
    "again": ("vatrace.cli.again", "make a result again, and compare it with the old one"),
    "analyse": ("vatrace.cli.analyse", "compare conditions, events and pairs of a study"),
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

LOG_LEVELS = ("debug", "info", "warning", "error")
FAILED, BUG, INTERRUPTED, TERMINATED = 1, 70, 130, 143
"""Exit statuses; argparse's for a wrong command is 2."""
REPEAT = 0.1
"""Seconds after which a signal is repeated that came where it had no effect."""

EPILOG = """examples:
  vatrace demo                                   try it on a recording made from installed packages
  vatrace predict talk.mp4                       writes talk.csv, talk.png and talk.json to this folder
  vatrace predict videos/ --out traces           every recording in a folder
  vatrace serve                                  a page in your browser that takes recordings
  vatrace live                                   follow a camera and a microphone

with your own annotated recordings:
  vatrace adapt rated/ --out mine.json           a few minutes of ratings are enough; then: predict --adapt mine.json
  vatrace check corpus/                          find errors in a corpus
  vatrace extract corpus/ --store store          features for training
  vatrace train default --store store --out run
  vatrace evaluate run --store store --out report

Exit status: 0 for success, 1 if something failed, 2 for a wrong command, 70 for a bug in vatrace, 130 for ctrl-C, 143 for
SIGTERM. Everything runs on this machine; nothing is sent anywhere.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal can't show must not lose results
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(message)s")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    unraisable, excepthook, handlers = sys.unraisablehook, threading.excepthook, _catch_signals()
    threading.excepthook = _failed_thread
    command = ""
    try:
        args = parse(sys.argv[1:] if argv is None else argv)
        logging.getLogger("vatrace").setLevel(args.log_level.upper())
        command = f" {args.command}"
        if argv is None:  # not another program's process
            watch(f"vatrace{command}", complain)
        status = args.run(args)
        sys.stdout.flush()  # now, while a closed pipe can still be noticed
    except BrokenPipeError:  # the reader of the output has ended, like `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILED
    except (Exception, KeyboardInterrupt) as error:
        status = _complained(error, f"vatrace{command}")
    finally:
        for number in handlers:  # what remains takes a moment
            signal.signal(number, signal.SIG_IGN)
        remove_unfinished()
        unwatch()
        if argv is not None:  # called by another program
            forget_stop()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            sys.unraisablehook, threading.excepthook = unraisable, excepthook
    sys.exit(status)


def _complained(error: BaseException, command: str) -> int:
    """Print in one line why a command has ended; its exit status."""
    cause = stopped() or error
    if isinstance(cause, KeyboardInterrupt):
        with suppress(OSError, ValueError):
            print("stopped; finished work is kept", file=sys.stderr)
        return TERMINATED if isinstance(cause, _TerminatedError) else INTERRUPTED
    if isinstance(error, VatraceError | OSError):
        complain(error)
        return FAILED
    complain(report_bug(error, command))
    return FAILED if is_out_of_memory(error) else BUG


def _failed_thread(args: threading.ExceptHookArgs) -> None:
    """Print a traceback, unless it is a fault of the machine: the thread that uses TensorBoard's gets the same error."""
    if not isinstance(args.exc_value, OSError | MemoryError):
        threading.__excepthook__(args)


class _TerminatedError(KeyboardInterrupt):
    """The process was asked to end by a signal other than ctrl-C."""


def _catch_signals() -> dict[int, Any]:
    """Let signals that end the process raise KeyboardInterrupt, so that all blocks end as with ctrl-C; the handlers before.

    Only the first one counts: another one would interrupt the clean-up.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    caught = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    before = {number: signal.getsignal(number) for number in caught}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}  # as by nohup

    def end(number: int, frame: object) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        stop(KeyboardInterrupt() if number == signal.SIGINT else _TerminatedError())

    def catch() -> None:
        for number in before:
            signal.signal(number, end)

    def lost(unraisable: Any) -> None:
        """Repeat a signal that came where Python can't pass an exception on, as in `__del__` and in callbacks from C."""
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            sys.__unraisablehook__(unraisable)
            return
        catch()
        number = signal.SIGTERM if isinstance(unraisable.exc_value, _TerminatedError) else signal.SIGINT
        threading.Timer(REPEAT, _send_to_main_thread, [number]).start()

    catch()
    sys.unraisablehook = lost
    return before


def _send_to_main_thread(number: int) -> None:
    """Send a signal so that it also ends a call that the main thread waits in."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:  # on Windows
        signal.raise_signal(number)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments. Only the module of the given command is imported."""
    parser, commands = _parsers(argv[0] if argv else "")
    args, unknown = parser.parse_known_args(argv)
    if unknown:  # argparse would show the usage of vatrace, not of this command
        command = commands.choices[args.command]
        command.error(f"unrecognized arguments: {' '.join(unknown)} (see {command.prog} --help)")
    return args


def help_text(command: str) -> str:
    """What `vatrace COMMAND --help` prints."""
    _, commands = _parsers(command)
    return str(commands.choices[command].format_help())


def _parsers(command: str) -> tuple[argparse.ArgumentParser, Any]:
    """The parser, and those of the commands. Only the module of `command` is imported."""
    parser = argparse.ArgumentParser(
        prog="vatrace",
        description="Valence and arousal over time from video: face, voice and words.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vatrace {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    if command in COMMANDS:
        import_module(COMMANDS[command][0]).add_parsers(commands)
        commands.choices[command].add_argument(
            "--log-level", choices=LOG_LEVELS, default="warning", help="messages to print on standard error (default: warning)"
        )
    else:
        for name, (_, text) in COMMANDS.items():
            commands.add_parser(name, help=text)
    return parser, commands
