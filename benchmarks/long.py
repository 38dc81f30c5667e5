"""Memory, open descriptors and speed of `predict` over a long recording, or a thousand short ones.

    python benchmarks/long.py recording --hours 3 --out docs
    python benchmarks/long.py files --count 1000 --out docs

Writes long-recording.png or long-files.png, and the samples as CSV. The recording repeats the demo's face, small and with two
frames a second, and its speech, for a quarter of the time. The status is 1 if memory or descriptors grow by more than a tenth
from the first half to the second, or if the second half takes longer by more than MAX_SLOWER.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from threading import Thread
from typing import IO

import av
import numpy as np

from vatrace.media.demo import FACE, SPEECH, packaged_file
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.media.writing import write_video
from watching import Sample, Watch, draw, halves, summary, write_samples

FRAME_RATE, PART, SPOKEN = 2, 40, 10
"""Frames a second of the long recording, the seconds of which it is a repetition, and for how many of them somebody speaks.

They are few, so that three hours take a quarter of an hour of CPU time."""
SHORT = 1
"""Seconds of each of the many recordings."""
MAX_GROWTH = 1.1
MAX_SLOWER = 1.5
"""Other programs disturb the speed more than the memory."""

PREDICT = """
import sys
from pathlib import Path
import vatrace
from vatrace.output.figure import write_picture
from vatrace.output.writers import write_csv

def tell(stage, share):  # two threads call it: a line is written at once
    sys.stdout.write(f"{stage}\\t{share}\\n")
    sys.stdout.flush()


path = Path(sys.argv[1])
prediction = vatrace.predict(path, progress=tell)
write_csv(prediction, path.with_suffix(".csv"))
write_picture(prediction, path.with_suffix(".png"))
"""


def make_part(path: Path, duration: int, frame_rate: int, spoken: int) -> None:
    """Write the demo's face and speech, with silence after `spoken` seconds."""
    images = [frame.image for frame in VideoReader(packaged_file(*FACE), frame_rate)]
    images += images[-2:0:-1]
    frames = [images[index % len(images)] for index in range(duration * frame_rate)]
    speech = np.concatenate(list(AudioReader(packaged_file(*SPEECH), 60)))[: spoken * SAMPLING_RATE]
    silence = np.zeros((duration - spoken) * SAMPLING_RATE, np.float32)
    write_video(path, frames, frame_rate, [np.concatenate([speech, silence])])


def repeat(part: Path, path: Path, times: int) -> None:
    """Write a recording again and again into one file, without encoding it again."""
    with av.open(str(part)) as source, av.open(str(path), "w") as container:
        streams = {stream.index: container.add_stream_from_template(stream) for stream in source.streams}
        packets = [packet for packet in source.demux() if packet.dts is not None]
        original = [(packet.pts or 0, packet.dts or 0, packet.stream_index, packet.time_base) for packet in packets]
        for number in range(times):
            for packet, (pts, dts, index, base) in zip(packets, original, strict=True):
                shift = round(number * PART / (base or Fraction(1)))
                packet.stream = streams[index]
                packet.time_base, packet.pts, packet.dts = base, pts + shift, dts + shift
                container.mux(packet)


def watch_recording(hours: float, folder: Path) -> list[Sample]:
    """Predict one long recording; samples over the hours that both the face and the voice have reached."""
    make_part(folder / "part.mp4", PART, FRAME_RATE, SPOKEN)
    repeat(folder / "part.mp4", folder / "long.mkv", round(hours * 3600 / PART))
    shares = {"face": 0.0, "voice and words": 0.0}

    def read(lines: IO[str]) -> None:
        for line in lines:
            stage, share = line.rstrip("\n").split("\t")
            shares[stage] = float(share)

    command = [sys.executable, "-c", PREDICT, str(folder / "long.mkv")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    Thread(target=read, args=(process.stdout,), daemon=True).start()
    with Watch(process.pid, lambda: 60 * hours * min(shares["face"], shares["voice and words"])) as watch:
        status = process.wait()
    if status:
        raise SystemExit(f"status {status}")
    with (folder / "long.csv").open(encoding="utf-8") as table:
        print(f"{sum(1 for _ in table) - 1} rows")
    return watch.samples


def watch_files(count: int, folder: Path) -> list[Sample]:
    """Predict many short recordings in one command."""
    make_part(folder / "part.mp4", SHORT, 25, SHORT)
    (folder / "clips").mkdir()
    for number in range(count):
        shutil.copy(folder / "part.mp4", folder / "clips" / f"{number:05}.mp4")
    out = folder / "out"
    out.mkdir()
    command = [sys.executable, "-m", "vatrace.cli", "predict", str(folder / "clips"), "--out", str(out), "--summary"]
    process = subprocess.Popen([*command, str(folder / "all.csv")], stdout=subprocess.DEVNULL)

    def done() -> float:
        return sum(1 for _ in out.glob("[0-9]*.csv"))

    with Watch(process.pid, done) as watch:
        status = process.wait()
    if status or done() != count:
        raise SystemExit(f"status {status}, {done():.0f} results")
    return watch.samples


def check(samples: list[Sample]) -> bool:
    """Whether neither memory nor descriptors grow, and the speed stays."""
    first, second = halves(samples)

    def median(half: list[Sample], name: str) -> float:
        return float(np.median([getattr(sample, name) for sample in half]))

    def pace(half: list[Sample]) -> float:
        return (half[-1].seconds - half[0].seconds) / max(half[-1].done - half[0].done, 1e-9)

    grows = any(median(second, name) > MAX_GROWTH * median(first, name) for name in ("memory", "descriptors"))
    return not grows and pace(second) <= MAX_SLOWER * pace(first)


def main() -> None:
    """Run one of the two, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["recording", "files"])
    parser.add_argument("--hours", type=float, default=3, help="length of the recording (default: %(default)g)")
    parser.add_argument("--count", type=int, default=1000, help="number of short recordings (default: %(default)d)")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: this folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if args.what == "recording":
            samples = watch_recording(args.hours, Path(name))
            title, unit, units = f"A recording of {args.hours:g} hours", "minute", "minutes of the recording"
        else:
            samples = watch_files(args.count, Path(name))
            title, unit, units = f"{args.count} recordings of {SHORT} s in one command", "recording", "recordings"
    print(f"{title}: {samples[-1].seconds:.0f} s; {summary(samples, unit)}")
    write_samples(samples, args.out / f"long-{args.what}.csv")
    draw(samples, args.out / f"long-{args.what}.png", title, unit, units)
    sys.exit(int(not check(samples)))


if __name__ == "__main__":
    main()
