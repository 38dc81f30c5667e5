"""The command live."""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import IO, TYPE_CHECKING, Any

from vatrace.cli.terminal import add_whisper_option, make_folder, positive, refuse_existing, warn
from vatrace.errors import MediaError, UsageError
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.recording import open_recording
from vatrace.names import MODALITIES
from vatrace.timeline import TOLERANCE

if TYPE_CHECKING:
    from vatrace.inference.feed import Feed, Pace
    from vatrace.inference.streamer import Value

EPILOG = """examples:
  vatrace live                                  camera 0 and the default microphone, until ctrl-C
  vatrace live --camera 1 --microphone none     the face alone
  vatrace live --out session.csv                also keeps the values
  vatrace live --camera talk.mp4                a file, at the pace at which it was recorded

On a terminal it shows the values; into a pipe it writes CSV. Pictures and sound are not kept. Voice and words are heard a
moment later than the face is seen; values wait for the voice, up to 1.5 s, and words count from when they are understood.
The CSV has the columns of predict, and `late`: face or voice (or both, with a +) where a machine that can't keep up was
still looking or listening when the value had to be given out, or left it out, so that it counts as absent.
"""
DEFAULT_MICROPHONE = "default"
POLL = 0.05
"""Seconds between looks for new values."""
LAST_DUR = 2.0
"""Seconds in which the last values still come once a file has ended."""
BAR = 41
"""Characters from -1 to 1."""


def add_parsers(commands: Any) -> None:
    """Add live to the commands."""
    live = commands.add_parser(
        "live",
        help="follow a camera and a microphone",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Show valence and arousal of who is in front of the camera, ten times a second.",
    )
    live.add_argument("--camera", default="0", metavar="NAME", help="number or name, a video file, or none (default: 0)")
    live.add_argument(
        "--microphone", metavar="NAME", help="name, a file, or none (default: the default one, or that of the file)"
    )
    live.add_argument("--seconds", type=positive, metavar="S", help="stop after so long")
    live.add_argument("--out", type=Path, metavar="FILE", help="a CSV file for the values")
    live.add_argument("--overwrite", action="store_true", help="replace the file if it is there already")
    live.add_argument("--model", type=Path, metavar="PATH", help="a streaming fusion model in ONNX (default: the package's)")
    add_whisper_option(live)
    live.set_defaults(run=run_live)


def run_live(args: argparse.Namespace) -> int:
    """The live command."""
    from vatrace.inference.feed import MOST_LATE, Feed
    from vatrace.inference.streamer import Streamer
    from vatrace.media.devices import is_file

    microphone = args.microphone or DEFAULT_MICROPHONE
    if not args.microphone and is_file(args.camera):
        microphone = args.camera if open_recording(Path(args.camera)).has_audio else "none"
    if args.camera == microphone == "none":
        raise UsageError("neither camera nor microphone: nothing to follow")
    if args.out is not None:
        refuse_existing([args.out], args.overwrite)
        make_folder(args.out.parent)
    streamer = Streamer(fusion=args.model, whisper=args.whisper, has_audio=microphone != "none")
    with ExitStack() as stack:
        outputs = [stack.enter_context(args.out.open("w", newline="", encoding="utf-8"))] if args.out else []
        if not sys.stdout.isatty():
            outputs.append(sys.stdout)
        feed = Feed(streamer)
        stack.callback(feed.close)
        start = time.monotonic()
        capture = stack.enter_context(_captured(feed, args.camera, microphone, start))
        show = stack.enter_context(_screen())
        delays: list[float] = []
        rows, end = Rows(outputs), args.seconds or math.inf
        with suppress(KeyboardInterrupt):
            while (now := time.monotonic() - start) < end:
                if capture.error:
                    raise capture.error
                if capture.end < math.inf:
                    end = min(end, now + LAST_DUR)
                values, pace = feed.poll(now)
                values = [value for value in values if value.time < capture.end - TOLERANCE]
                rows.write(values)
                delays += [now - value.time for value in values]
                show(values, pace, delays[-100:])
                time.sleep(POLL)
    if delays:
        print(f"{rows.number} values, median delay {median(delays):.2f} s", file=sys.stderr)
        for name, number in rows.late.items():
            if number > MOST_LATE * rows.number:
                warn(f"the {name} came too late for {number / rows.number:.0%} of them: this machine was too busy")
    return 0


class Rows:
    """Values as CSV, a row each, at once.

    Attributes:
        number: of the values.
        late: for how many of them face and voice came too late.
    """

    def __init__(self, files: list[IO[str]]) -> None:
        self.number = 0
        self.late: Counter[str] = Counter()
        self._files = files
        self._writers = [csv.writer(file, lineterminator="\n") for file in files]
        for writer in self._writers:
            columns = ["valence_low", "valence_high", "arousal_low", "arousal_high"]
            writer.writerow(["time", "valence", "arousal", *MODALITIES, *columns, "supported", "late"])

    def write(self, values: list[Value]) -> None:
        """Add rows."""
        for value in values:
            there = [int(value.presence[name]) for name in MODALITIES]
            ends = [""] * 4 if value.low is None or value.high is None else _ends(value.low, value.high)
            numbers = [f"{number:.4f}" for number in (value.time, value.valence, value.arousal)]
            row = [*numbers, *there, *ends, int(any(there)), "+".join(value.late)]
            self.late.update(value.late)
            for writer in self._writers:
                writer.writerow(row)
        self.number += len(values)
        for file in self._files:
            file.flush()


def _ends(low: tuple[float, float], high: tuple[float, float]) -> list[str]:
    return [f"{end:.4f}" for pair in zip(low, high, strict=True) for end in pair]


class Capture:
    """Threads that bring pictures and sound.

    Attributes:
        error: what ended one of them.
        end: when all files have come to their end, the seconds at which they did; until then infinite.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.end = math.inf


@contextmanager
def _captured(feed: Feed, camera: str, microphone: str, start: float) -> Iterator[Capture]:
    from vatrace.inference.streamer import RATE
    from vatrace.media.devices import is_file, pictures, sound

    capture, stop = Capture(), Event()
    ends = [0.0, 0.0]

    def look() -> None:
        length = open_recording(Path(camera)).duration if is_file(camera) else None
        for image, moment in pictures(camera, start, stop):
            feed.add_frame(image, moment)
            ends[0] = min(moment + 1 / RATE, length or math.inf)

    def listen() -> None:
        try:
            for block, moment in sound(microphone, start, stop):
                feed.add_audio(block, moment)
                ends[1] += len(block) / SAMPLING_RATE
        except MediaError as error:
            if microphone != DEFAULT_MICROPHONE or camera == "none":
                raise
            warn(f"{error}; going on without sound")

    def guarded(modality: str, work: Callable[[], None], device: str) -> None:
        try:
            if device != "none":
                work()
        except BaseException as error:  # raised where the values are waited for
            capture.error = error
        feed.end(modality)

    works = (("face", look, camera), ("voice", listen, microphone))
    threads = [Thread(target=guarded, args=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()

    def watch() -> None:
        for thread in threads:
            thread.join()
        capture.end = max(ends)

    Thread(target=watch, daemon=True).start()
    try:
        yield capture
    finally:
        stop.set()


@contextmanager
def _screen() -> Iterator[Any]:
    """Something that shows the latest values: bars on a terminal; into a pipe, once, that the machine can't keep up."""
    if not sys.stdout.isatty():
        told = False

        def tell(values: list[Value], pace: Pace, delays: list[float]) -> None:
            nonlocal told
            if pace.note and not told:
                warn(pace.note)
                told = True

        yield tell
        return
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as screen:

        def show(values: list[Value], pace: Pace, delays: list[float]) -> None:
            if values:
                screen.update(Text(_lines(values[-1], pace, median(delays))), refresh=True)

        yield show


def _lines(value: Value, pace: Pace, delay: float) -> str:
    """The latest value for the terminal."""
    lines = []
    for name, number in (("valence", value.valence), ("arousal", value.arousal)):
        bar = ["·"] * BAR
        bar[BAR // 2] = "|"
        bar[round((number + 1) / 2 * (BAR - 1))] = "█"
        lines.append(f"{name:8} {number:+.2f}  -1 {''.join(bar)} +1")
    there = ", ".join(name for name in MODALITIES if value.presence[name]) or "nobody"
    lines.append(f"{value.time:6.1f} s   delay {delay:.1f} s   {there}   {pace.note}")
    return "\n".join(lines)
