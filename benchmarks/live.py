"""Measure whether live values keep up with a recording that is played as camera and microphone, in real time.

    python benchmarks/live.py
    python benchmarks/live.py --seconds 120 --video talk.mp4

Prints the share of the ten values per second that were produced, their delay (median and 95th percentile), the frames processed
per second, and the CPU time as a share of one core. The default recording is that of `vatrace demo`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from vatrace.inference.capture import Capture
from vatrace.inference.follower import RATE
from vatrace.inference.streamer import Streamer
from vatrace.media.demo import make_demo


def play(video: Path, seconds: float, streamer: Streamer) -> tuple[list[float], list[str]]:
    """Delays of all values in seconds, and the notes."""
    delays: list[float] = []
    notes: dict[str, None] = {}
    with Capture(streamer, str(video), str(video)) as capture:
        for now, values, pace in capture.values(seconds):
            delays += [now - value.time for value in values]
            if pace.note:
                notes[pace.note] = None
    print(f"frames processed: {pace.frame_rate:.1f} per second")
    return delays, list(notes)


def main() -> None:
    """Play the recording and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="the recording (default: that of the demo, 30 s)")
    parser.add_argument("--seconds", type=float, default=29.0)
    parser.add_argument("--model", type=Path, help="a streaming model (default: the package's)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = args.video or Path(folder) / "demo.mp4"
        if args.video is None:
            make_demo(video)
        streamer = Streamer(args.model)
        used = time.process_time()
        delays, notes = play(video, args.seconds, streamer)
        used = time.process_time() - used
    print(f"values: {len(delays) / (args.seconds * RATE):.1%} of ten per second")
    print(f"delay: median {np.median(delays):.2f} s, 95 % within {np.percentile(delays, 95):.2f} s")
    print(f"CPU time: {used / args.seconds:.2f} of one core (including the decoding of the file)")
    print("\n".join(notes) or "the values kept up")


if __name__ == "__main__":
    main()
