"""Damaged recordings and transcripts by the thousand: `python -m tests.hostile --seed 7 --count 2000`.

Real clips in many containers are changed at the level of bytes, by a seed. Each must end in a result, or in one error of one
line that names the file, in bounded time and memory. Files are read in another process, so that a crash in a codec is counted,
and the next file is read by a new one. What is read is all that the package reads of a recording before its models: headers,
the times of all packets, the frames at 10 a second, and the mixed audio.
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

MAX_SECONDS, MAX_BYTES = 60.0, 2_000_000_000
"""Seconds without an answer after which a file counts as one that hangs, and memory above which it counts as too large."""
SRT = "".join(
    f"{i + 1}\n00:00:{i:02},000 --> 00:00:{i + 1:02},000\n<i>Hello</i> there, Anna: number {i}\n\n" for i in range(20)
)
ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name\nStyle: Default\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    + "".join(f"Dialogue: 0,0:00:{i:02}.00,0:00:{i + 1:02}.00,Default,Anna,0,0,0,,{{\\b1}}Hello you {i}\n" for i in range(20))
)
EXTREMES = [
    bytes(4),
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\0\0\x80",
    b"\xff\xff\xff\x7f",
    bytes(8),
    b"\xff" * 8,
]


def originals(folder: Path) -> list[Path]:
    """A second of a talking person in each container, of sound alone, pictures, and transcripts."""
    import av
    import numpy as np

    from conftest import CODECS, write_movie
    from vatrace.media.demo import FACE, SPEECH, packaged_file
    from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader

    images = [frame.image.resize((96, 72)) for frame in VideoReader(packaged_file(*FACE), 25)][:25]
    sound = np.concatenate(list(AudioReader(packaged_file(*SPEECH), 10)))[: 2 * SAMPLING_RATE]
    paths = [write_movie(folder / f"clip.{suffix}", images, sound=sound) for suffix in CODECS]
    for suffix, codec in {"ts": "libx264", "flv": "flv", "wmv": "wmv2", "3gp": "mpeg4", "gif": "gif", "mjpeg": "mjpeg"}.items():
        paths.append(folder / f"clip.{suffix}")
        with av.open(str(paths[-1]), "w") as out:
            stream = out.add_stream(codec, rate=25)
            stream.width, stream.height = images[0].size
            stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
            for image in images:
                out.mux(stream.encode(av.VideoFrame.from_image(image)))
            out.mux(stream.encode(None))
    for suffix, codec in {
        "wav": "pcm_s16le",
        "flac": "flac",
        "mp3": "mp3",
        "ogg": "libopus",
        "aiff": "pcm_s16be",
        "m4a": "aac",
    }.items():
        paths.append(folder / f"sound.{suffix}")
        with av.open(str(paths[-1]), "w") as out:
            stream = out.add_stream(codec, rate=48_000 if suffix == "ogg" else 16_000, layout="mono")
            resampler = av.AudioResampler(stream.codec_context.format, "mono", stream.codec_context.sample_rate, 960)
            frame = av.AudioFrame.from_ndarray((sound[None] * 32767).astype(np.int16), "s16", "mono")
            frame.sample_rate = SAMPLING_RATE
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                out.mux(stream.encode(part))
            out.mux(stream.encode(None))
    for suffix in ("jpg", "png", "bmp", "webp", "tiff"):
        paths.append(folder / f"picture.{suffix}")
        images[0].save(paths[-1])
    for name, text in (("words.srt", SRT), ("words.vtt", "WEBVTT\n\n" + SRT.replace(",000", ".000")), ("words.ass", ASS)):
        paths.append(folder / name)
        paths[-1].write_text(text)
    return paths


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Change some bytes: single ones, extreme integers, cuts, copies, or parts that are repeated or removed."""
    data = bytearray(content)
    head = rng.random() < 0.5  # headers are where the claims are
    for _ in range(rng.choice((1, 1, 2, 5, 20, 100))):
        if not data:
            break
        place = rng.randrange(min(len(data), 600) if head else len(data))
        kind = rng.randrange(7)
        if kind == 0:
            data[place] = rng.randrange(256)
        elif kind == 1:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 2:
            extreme = rng.choice(EXTREMES)
            data[place : place + len(extreme)] = extreme
        elif kind == 3:
            data[place : place + 4] = struct.pack(rng.choice("<>") + "I", rng.choice((1, 2, 0xFFFF, 10**6, 10**9, len(data))))
        elif kind == 4:
            del data[place : place + rng.choice((1, 4, 100, 5000))]
        elif kind == 5:
            other = rng.randrange(len(data))
            data[place:place] = data[other : other + rng.choice((4, 100, 5000))]
        elif rng.random() < 0.2:
            del data[place:]
    return bytes(data)


def read(path: Path) -> str:
    """Read all of a file; what came of it: "result" or "error".

    Raises:
        AssertionError: if an error isn't one line that names the file.
    """
    from vatrace.errors import MediaError
    from vatrace.media.reading import AudioReader, VideoReader
    from vatrace.media.recording import audio_span, frame_times, open_recording

    def part(use: object) -> bool:
        try:
            use()  # type: ignore[operator]
        except MediaError as error:
            assert str(path) in str(error) and "\n" not in str(error), repr(str(error))
            return False
        return True

    recording = None
    try:
        recording = open_recording(path)
    except MediaError as error:
        assert str(path) in str(error) and "\n" not in str(error), repr(str(error))
        return "error"
    parts = []
    if recording.has_frames:
        parts += [part(lambda: [None for _ in VideoReader(path, 10)]), part(lambda: frame_times(path))]
    if recording.has_audio:
        parts += [part(lambda: [None for _ in AudioReader(path, 60.0)]), part(lambda: audio_span(path))]
    return "result" if all(parts) else "error"


def serve() -> None:
    """Read the files that are named on standard input, one a line; print a line for each."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        started = time.process_time()
        try:
            answer = read(Path(line.rstrip("\n")))
        except BaseException as error:
            answer = f"traceback {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        if peak_memory() > MAX_BYTES:
            answer = f"memory {answer}"
        print(f"{time.process_time() - started:.2f} {answer}", flush=True)


def peak_memory() -> int:
    """Bytes that this process has needed at most. The figure of `getrusage` includes the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


class Reader:
    """A process that reads files, and is started again when it has ended."""

    def __init__(self) -> None:
        command = [sys.executable, __file__, "--serve"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._answers: Queue[str] = Queue()
        Thread(target=self._pass_on, daemon=True).start()

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def ask(self, path: Path) -> tuple[float, str]:
        """CPU seconds, and what came of the file: result, error, traceback ..., memory ..., hang, or crash."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        try:
            answer = self._answers.get(timeout=MAX_SECONDS)
        except Empty:
            self._process.kill()
            return MAX_SECONDS, "hang"
        if not answer:
            return 0.0, f"crash (status {self._process.wait()})"
        seconds, _, what = answer.strip().partition(" ")
        return float(seconds), what

    @property
    def lives(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def attack(seed: int, count: int, folder: Path, kept: Path | None = None) -> Iterator[tuple[Path, float, str]]:
    """Yield each damaged file, the CPU seconds that it took, and what came of it. Files that fail are copied to `kept`."""
    clips, reader = originals(folder), Reader()
    for clip in clips:  # undamaged, they are read
        seconds, what = reader.ask(clip)
        assert what == "result", (clip, what)
    for index in range(count):
        rng = random.Random(f"{seed} {index}")
        clip = clips[index % len(clips)]
        path = folder / f"{index:05}{clip.suffix}"
        path.write_bytes(mutated(clip.read_bytes(), rng))
        if not reader.lives:
            reader = Reader()
        seconds, what = reader.ask(path)
        if kept is not None and what not in {"result", "error"}:
            kept.mkdir(exist_ok=True)
            (kept / path.name).write_bytes(path.read_bytes())
        yield path, seconds, what
        path.unlink()
    reader.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, metavar="N")
    parser.add_argument("--count", type=int, default=2000, metavar="N", help="number of files (default: %(default)d)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to put the files that fail")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return 0
    counts, slowest, failures, started = Counter[str](), (0.0, ""), io.StringIO(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for path, seconds, what in attack(args.seed, args.count, Path(folder), args.keep):
            counts[what.split()[0]] += 1
            slowest = max(slowest, (seconds, path.name))
            if what not in {"result", "error"}:
                print(f"{path.name}: {what}", file=failures)
    print(failures.getvalue(), end="")
    listed = ", ".join(f"{number} {what}" for what, number in counts.most_common())
    print(f"{args.count} files in {time.monotonic() - started:.0f} s: {listed}; the slowest: {slowest[0]:.1f} s ({slowest[1]})")
    return int(bool(set(counts) - {"result", "error"}))


if __name__ == "__main__":
    sys.exit(main())
