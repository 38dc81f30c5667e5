"""Does the live trace keep up? A recording is played to it as camera and microphone, at the pace of the clock.

    python benchmarks/live.py
    python benchmarks/live.py --seconds 120 --video talk.mp4

Prints how many of the ten values a second came, how long after their moment (median and 95th percentile), how many pictures a
second were looked at, and the share of one core that it took. The recording is the demo's unless another is named.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np

from vatrace.inference.feed import Feed
from vatrace.inference.streamer import RATE, Streamer
from vatrace.media.demo import make_demo
from vatrace.media.devices import pictures, sound


def play(video: Path, seconds: float, feed: Feed) -> tuple[list[float], list[str]]:
    """Delays of all values in seconds, and the notes."""
    start, stop = time.monotonic(), Event()

    def look() -> None:
        for image, moment in pictures(str(video), start, stop):
            feed.add_frame(image, moment)

    def listen() -> None:
        for block, moment in sound(str(video), start, stop):
            feed.add_audio(block, moment)

    for work in (look, listen):
        Thread(target=work, daemon=True).start()
    delays: list[float] = []
    notes: list[str] = []
    while (now := time.monotonic() - start) < seconds:
        values, pace = feed.poll(now)
        delays += [now - value.time for value in values]
        if pace.note and pace.note not in notes:
            notes.append(pace.note)
        time.sleep(0.02)
    stop.set()
    print(f"pictures looked at: {pace.pictures:.1f} a second")
    return delays, notes


def main() -> None:
    """Play, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="(default: the demo's, 30 s)")
    parser.add_argument("--seconds", type=float, default=29.0)
    parser.add_argument("--model", type=Path, help="a streaming model (default: the package's)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = args.video or Path(folder) / "demo.mp4"
        if args.video is None:
            make_demo(video)
        feed = Feed(Streamer(args.model))
        used = time.process_time()
        delays, notes = play(video, args.seconds, feed)
        used = time.process_time() - used
        feed.close()
    print(f"values: {len(delays) / (args.seconds * RATE):.1%} of ten a second")
    print(f"delay: median {np.median(delays):.2f} s, 95 % within {np.percentile(delays, 95):.2f} s")
    print(f"processor time: {used / args.seconds:.2f} of one core (decoding the file counts too)")
    print("\n".join(notes) or "it kept up")


if __name__ == "__main__":
    main()
