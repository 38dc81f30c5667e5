"""What all commands have in common on the terminal."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vatrace.errors import reason

if TYPE_CHECKING:
    from vatrace.features.perceiver import Progress


def positive(text: str) -> float:
    """An option's number above 0, as argparse takes types."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"a number above 0, not {text!r}")
    return number


def refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    """Raise FileExistsError if a result is there already and may not be replaced."""
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(f"{existing[0]}: already there: give another folder with --out, or replace it with --overwrite")


def make_folder(folder: Path) -> None:
    """Make the folder and see that it can be written in, before hours of work.

    Raises:
        OSError: if it can't.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{folder}: can't write there ({reason(error)})") from error


def add_whisper_option(parser: argparse.ArgumentParser) -> None:
    """Where speech is to be heard and understood."""
    parser.add_argument(
        "--whisper", type=Path, metavar="DIR", help="Whisper tiny.en in CTranslate2 form (default: look for it)"
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which networks predict."""
    parser.add_argument("--model", type=Path, metavar="PATH", help="a fusion model in ONNX (default: the package's)")
    add_whisper_option(parser)


@contextmanager
def progress_bars(name: str) -> Iterator[Progress | None]:
    """A bar for each stage, on a terminal only."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    both = sys.stdout is not None and sys.stdout.isatty()  # what is printed then goes above the bars, else where it should
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=both) as bars:
        stages = {}

        def show(stage: str, share: float) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(f"{escape(name)}: {stage}", total=1.0)
            bars.update(stages[stage], completed=share)

        yield show


def complain(error: object) -> None:
    """Print an error; the command goes on or ends as its caller says."""
    print(f"error: {error}", file=sys.stderr, flush=True)


def warn(text: object) -> None:
    """Print what the user should know though it goes on."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def plural(number: int, noun: str) -> str:
    """`1 recording`, `2 recordings`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in plain text; only its last column is as long as it needs to be."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in [header, *rows]
    )
