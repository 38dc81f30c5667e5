"""Options, progress bars, messages and checks of output paths that the commands share."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from vatrace.errors import MediaError, message, reason
from vatrace.languages import AUTO, LANGUAGES, language_of
from vatrace.media.folders import passed_over

if TYPE_CHECKING:
    from vatrace.inference.model import Model
    from vatrace.names import Progress


def positive(text: str) -> float:
    """Parse a number above 0, as the `type` of an option."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"a number above 0, not {text!r}")
    return number


def count(text: str) -> int:
    """Parse a whole number of at least 1, as the `type` of an option."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1, not {text!r}")
    return int(text)


def refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    """Raise FileExistsError if a result already exists and may not be replaced."""
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(f"{existing[0]}: already exists: choose another name or folder, or replace it with --overwrite")


def make_folder(folder: Path) -> None:
    """Make a folder, and check that it is writable, before any long work.

    Raises:
        OSError: if they can't.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{folder}: can't be written to ({reason(error)})") from error


def add_whisper_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names Whisper's weights."""
    parser.add_argument(
        "--whisper",
        metavar="DIR|NAME",
        help="Whisper model for the words: a folder in CTranslate2 format, or a name such as small, which is downloaded once "
        "(default: tiny.en for English, base for other languages if the extra `languages` is installed)",
    )


def add_language_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the language of speech and transcripts."""
    parser.add_argument(
        "--language",
        type=_language,
        default=AUTO,
        metavar="CODE",
        help="language of speech and transcripts: en, de, zh and so on (default: auto, which detects it; speech in languages "
        "other than English needs the extra `languages`)",
    )


def _language(text: str) -> str:
    found = text if text == AUTO else language_of(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"auto, or a code such as {', '.join(LANGUAGES)}; not {text!r}")
    return found


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that `apply_device` reads."""
    parser.add_argument(
        "--device",
        default="cpu",
        metavar="NAME",
        help="where the networks run: cpu, cuda, cuda:1, auto (CUDA if available), or another device that the installed ONNX "
        "Runtime offers, such as coreml (default: cpu)",
    )


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that limits the CPU threads."""
    parser.add_argument("--threads", type=count, metavar="N", help="CPU threads (default: one for each core)")


def apply_device(args: argparse.Namespace) -> str:
    """Use the device that --device names, before anything is loaded; return its name, with `auto` replaced."""
    from vatrace.accelerator import use_device

    device, note = use_device(args.device)
    if note:
        warn(note)
    return str(device)


def add_active_speaker_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the user's active-speaker network."""
    parser.add_argument(
        "--active-speaker",
        type=Path,
        metavar="FILE",
        help="an active-speaker network in ONNX that decides which visible person speaks (default: by the motion of mouths)",
    )


LOCAL_CLUSTER = "local"
"""As --ray: a cluster on this machine that ends with the work."""


def add_ray_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a Ray cluster."""
    parser.add_argument(
        "--ray",
        nargs="?",
        const=LOCAL_CLUSTER,
        metavar="ADDRESS",
        help="use a Ray cluster: a local one, or the one at HOST:PORT",
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `load` reads."""
    parser.add_argument("--model", type=Path, metavar="PATH", help="a fusion model in ONNX (default: the package's)")
    parser.add_argument(
        "--encoders",
        default="",
        metavar="LIST",
        help="encoders that the model was trained with, as for extract: face=NAME or face=NAME:FILE, and so on; naming a class "
        "(face=package.module:Class) runs its code",
    )
    add_whisper_option(parser)
    add_active_speaker_option(parser)
    add_device_option(parser)
    add_threads_option(parser)


def add_adapt_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names an adaptation, which `load` reads as well."""
    parser.add_argument(
        "--adapt", type=Path, metavar="FILE", help="values and intervals fitted to your ratings: a file of vatrace adapt"
    )


def load(args: argparse.Namespace, threads: int | None = None) -> Model:
    """Load the model that the options of `add_model_options` and `add_adapt_option` name, by default with its threads."""
    from vatrace.encoders import parse_encoders
    from vatrace.inference.model import load_model

    apply_device(args)
    return load_model(
        fusion=args.model,
        whisper=args.whisper,
        threads=threads or getattr(args, "threads", None),
        encoders=parse_encoders(args.encoders),
        active_speaker=args.active_speaker,
        adapt=getattr(args, "adapt", None),
    )


def find_all(sources: Sequence[Path], out: Path | None = None) -> tuple[dict[Path, Path], bool]:
    """Find the recordings of files and folders, each once, and print what is wrong.

    Args:
        sources: files and folders; the latter with their subfolders.
        out: the folder of the results, which isn't searched.

    Returns:
        For each recording, the folder that was searched, or the recording itself if it was named; and whether every source
        has a recording, and every folder could be read.
    """
    from vatrace.output.batch import find_recordings

    recordings: dict[Path, Path] = {}
    complete = True
    for source in sources:
        try:
            found = find_recordings(source, out)
        except (MediaError, OSError) as error:
            complete = False
            complain(error)
            continue
        for path in found.recordings:
            recordings.setdefault(path, source)
        if found.others:
            warn(f"{source}: ignored (neither video nor audio): {passed_over(found.others)}")
        for unread in found.unread:
            complete = False
            complain(unread)
    return recordings, complete


@contextmanager
def progress_bars(name: str) -> Iterator[Progress]:
    """Yield a function that shows a bar for each stage, or does nothing without a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda stage, share: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    both = sys.stdout is not None and sys.stdout.isatty()  # printed lines then appear above the bars
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=both) as bars:
        stages = {}

        def show(stage: str, share: float) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(f"{escape(name.translate(CONTROLS))}: {stage}", total=1.0)
            bars.update(stages[stage], completed=share)

        yield show


CONTROLS = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
}
"""Characters that control terminals, or the direction of text, and what is printed instead; not line feeds and tabs."""


def say(text: object, file: TextIO | None = None, flush: bool = False) -> None:
    """Print a text whose parts may come from files and their names: none of it can control the terminal."""
    print(str(text).translate(CONTROLS), file=file, flush=flush)


def complain(error: object) -> None:
    """Print an error; the caller decides whether the command continues."""
    say(f"error: {message(error)}", file=sys.stderr, flush=True)


def warn(text: object) -> None:
    """Print a warning."""
    say(f"warning: {text}", file=sys.stderr, flush=True)


def plural(number: int, noun: str) -> str:
    """Format a count, such as `1 recording` or `2 recordings`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table as plain text. All columns except the last are padded."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in [header, *rows]
    )
