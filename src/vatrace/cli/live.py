"""The command live."""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import IO, TYPE_CHECKING, Any

from vatrace.cli.terminal import (
    add_device_option,
    add_language_option,
    add_threads_option,
    add_whisper_option,
    apply_device,
    make_folder,
    positive,
    refuse_existing,
    warn,
)
from vatrace.errors import UsageError
from vatrace.languages import AUTO
from vatrace.names import MODALITIES
from vatrace.watcher import working_on

if TYPE_CHECKING:
    from vatrace.inference.follower import Value
    from vatrace.inference.streamer import Pace

EPILOG = """examples:
  vatrace live                                  camera 0 and the default microphone, until ctrl-C
  vatrace live --camera 1 --microphone none     the face only
  vatrace live --out session.csv                also saves the values
  vatrace live --camera talk.mp4                plays a file at its own pace
  vatrace live --language de                    speech in German; otherwise the language of each utterance is detected
  vatrace live --lsl                            also sends the values to LabRecorder and others (extra `lsl`)

In a terminal it shows the values; in a pipe it writes CSV. Frames and audio are not kept. Voice and words are processed later
than the face: a value waits for the voice for up to 1.5 s, and words count from the moment they are recognised. The first
value comes with the first face; if none is found, values come after 3 s.
The CSV has the columns of predict, and `late`: face, voice, or face+voice if they were not processed in time and thus count as
absent; `person`: number of the person whose face is followed; `others`: number of other people in view. The first person is
followed throughout, unless they are away while somebody else is in view for 30 s.
"""
BAR = 41
"""Characters from -1 to 1."""


def add_parsers(commands: Any) -> None:
    """Add live to the commands."""
    parser = commands.add_parser(
        "live",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Show valence and arousal of the person in front of the camera, ten times a second.",
    )
    add = parser.add_argument
    add("--camera", default="0", metavar="NAME", help="number or name, a video file, or none (default: 0)")
    add("--microphone", metavar="NAME", help="name, a file, or none (default: the system's, or the audio of the video file)")
    add("--seconds", type=positive, default=math.inf, metavar="S", help="stop after this time")
    add("--out", type=Path, metavar="FILE", help="CSV file for the values")
    add("--overwrite", action="store_true", help="replace the file if it already exists")
    add("--model", type=Path, metavar="PATH", help="a streaming fusion model in ONNX (default: the package's)")
    add_whisper_option(parser)
    add_language_option(parser)
    add_device_option(parser)
    add_threads_option(parser)
    add(
        "--lsl",
        nargs="?",
        const="vatrace",
        metavar="NAME",
        help="also offer the values to the local network as a stream of the Lab Streaming Layer (default name: %(const)s)",
    )
    parser.set_defaults(run=run_live)


def run_live(args: argparse.Namespace) -> int:
    """Run the live command."""
    from vatrace.inference.capture import NONE, Capture, usual_microphone
    from vatrace.inference.follower import RATE
    from vatrace.inference.streamer import Streamer
    from vatrace.output.lsl import lsl_clock, open_outlet

    microphone = args.microphone or usual_microphone(args.camera)
    if args.camera == microphone == NONE:
        raise UsageError("no camera and no microphone: choose at least one")
    if microphone == NONE and (args.whisper is not None or args.language != AUTO):
        raise UsageError(f"--{'language' if args.whisper is None else 'whisper'} is for speech, and there is no microphone")
    if args.out is not None:
        refuse_existing([args.out], args.overwrite)
        make_folder(args.out.parent)
    apply_device(args)
    streamer = Streamer(
        fusion=args.model,
        whisper=args.whisper,
        threads=args.threads,
        has_audio=microphone != NONE,
        language=args.language,
    )
    with ExitStack() as stack:
        send = stack.enter_context(open_outlet(args.lsl, RATE)) if args.lsl else None
        files = [stack.enter_context(args.out.open("w", newline="", encoding="utf-8"))] if args.out else []
        if not sys.stdout.isatty():
            files.append(sys.stdout)
        rows, delays = _Rows(files), []
        start = lsl_clock() if args.lsl else 0.0

        def deliver(values: Sequence[Value]) -> None:
            rows.write(values)
            if send is not None:
                for value in values:
                    send(value, start)

        stack.callback(streamer.stop)
        stack.enter_context(working_on(f"camera {args.camera}, microphone {microphone}"))
        capture = stack.enter_context(Capture(streamer, args.camera, microphone, warn))
        show = stack.enter_context(_screen())
        try:
            for now, values, pace in capture.values(args.seconds):
                deliver(values)
                delays += [now - value.time for value in values]
                show(values, pace, delays[-100:])
        except KeyboardInterrupt:
            with suppress(KeyboardInterrupt):  # the second one doesn't wait for the last values
                deliver(capture.finish())
    _conclude(rows, delays)
    return 0


class _Rows:
    """Writes values as CSV immediately.

    Attributes:
        number: number of values.
        late: number of values for which face or voice was late.
        num_with_others: number of values at which other people were in view.
    """

    def __init__(self, files: Sequence[IO[str]]) -> None:
        self.number = 0
        self.late: Counter[str] = Counter()
        self.num_with_others = 0
        self._person = 0
        self._files = files
        self._writers = [csv.writer(file, lineterminator="\n") for file in files]
        columns = ["valence_low", "valence_high", "arousal_low", "arousal_high"]
        self._write(["time", "valence", "arousal", *MODALITIES, *columns, "supported", "late", "person", "others"])

    def write(self, values: Sequence[Value]) -> None:
        """Add rows."""
        for value in values:
            present = [int(value.presence[name]) for name in MODALITIES]
            ends = [""] * 4
            if value.low is not None and value.high is not None:
                ends = [f"{end:.4f}" for pair in zip(value.low, value.high, strict=True) for end in pair]
            numbers = [f"{number:.4f}" for number in (value.time, value.valence, value.arousal)]
            self._write([*numbers, *present, *ends, int(any(present)), "+".join(value.late), value.person, value.others])
            self.late.update(value.late)
            self.num_with_others += value.others > 0
            if self._person not in {0, value.person}:
                warn(f"from {value.time:.1f} s on, person {value.person} is followed instead")
            self._person = value.person
        self.number += len(values)
        for file in self._files:
            file.flush()

    def _write(self, row: Sequence[object]) -> None:
        for writer in self._writers:
            writer.writerow(row)


def _conclude(rows: _Rows, delays: Sequence[float]) -> None:
    """Print the delay of the values, for how many other people were in view, and which modalities were late too often."""
    from vatrace.inference.streamer import MOST_LATE

    if delays:
        print(f"{rows.number} values, median delay {median(delays):.2f} s", file=sys.stderr)
    if rows.num_with_others:
        warn(f"another person was in view at {rows.num_with_others} of them; their face was not used")
    for name, number in rows.late.items():
        if number > MOST_LATE * rows.number:
            warn(f"the {name} was late for {number / rows.number:.0%} of them: this machine was too busy")


@contextmanager
def _screen() -> Iterator[Any]:
    """Yield a function that shows the latest value in a terminal; otherwise it warns once if the machine is too slow."""
    if not sys.stdout.isatty():
        warned = False

        def warn_once(values: Sequence[Value], pace: Pace, delays: Sequence[float]) -> None:
            nonlocal warned
            if pace.note and not warned:
                warn(pace.note)
                warned = True

        yield warn_once
        return
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as screen:

        def show(values: Sequence[Value], pace: Pace, delays: Sequence[float]) -> None:
            if values:
                screen.update(Text(_lines(values[-1], pace, median(delays))), refresh=True)

        yield show


def _lines(value: Value, pace: Pace, delay: float) -> str:
    """The latest value as text for the terminal."""
    lines = []
    for name, number in (("valence", value.valence), ("arousal", value.arousal)):
        bar = ["·"] * BAR
        bar[BAR // 2] = "|"
        bar[round((number + 1) / 2 * (BAR - 1))] = "█"
        lines.append(f"{name:8} {number:+.2f}  -1 {''.join(bar)} +1")
    present = ", ".join(name for name in MODALITIES if value.presence[name]) or "nothing detected"
    lines.append(f"{value.time:6.1f} s   delay {delay:.1f} s   {present}   {pace.note}")
    if value.person > 1:
        lines.append(f"now following person {value.person}: the previous one was away for too long")
    if value.others:
        lines.append("another person is in view" if value.others == 1 else f"{value.others} other people are in view")
    return "\n".join(lines)
