"""Traces of two generated clips: `python -m tests.golden` compares them with those kept here, and `--write` replaces these.

They guard against changes that nobody intended. The clips are written without loss, so that other codecs decode the same:

- talking: a face and speech, 6 s.
- two: two faces side by side, of which one is covered for 2 s; frames at uneven times; speech from 1 s on; 6 s.

After a change that is meant to change values, write them again, and say in the changelog by how much they changed.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from vatrace import Model

FOLDER = Path(__file__).with_name("golden_traces")
TOLERANCE = 0.02
"""By which a value may differ: twice what other processors and versions of libraries change (docs/reproducibility.md)."""
MAX_OTHER_ROWS = 0.02
"""Share of rows in which a modality may be present in one trace alone: words may begin or end one step earlier."""
WHOLE = frozenset({"face", "voice", "words", "supported", "speaking", "person"})
"""Columns of whole numbers."""
SECONDS = 6
OPTIONS = {"talking": {}, "two": {"people": "all"}}
"""The clips, and the arguments of `Model.predict` for each."""


def write_clip(path: Path, images: Sequence[Image.Image], times: Sequence[float], sound: NDArray[np.float32]) -> None:
    """Write an MKV with FFV1 and PCM, which lose nothing, whatever the version of FFmpeg."""
    import av

    from vatrace.media.reading import SAMPLING_RATE

    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=1000)
        video.width, video.height, video.pix_fmt = *images[0].size, "bgr0"
        audio = container.add_stream("pcm_s16le", rate=SAMPLING_RATE, layout="mono")
        for time, image in zip(times, images, strict=True):
            frame = av.VideoFrame.from_image(image).reformat(format="bgr0")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray((sound[None] * 32767).round().astype(np.int16), "s16", "mono")
        samples.sample_rate, samples.pts = SAMPLING_RATE, 0
        container.mux(audio.encode(samples))
        container.mux(audio.encode(None))


def make_clips(folder: Path) -> dict[str, Path]:
    """Write the clips; their paths by name."""
    from PIL import Image, ImageOps

    from vatrace.media.demo import FACE, SPEECH, packaged_file
    from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader

    faces = [frame.image.crop((8, 0, 168, 144)) for frame in VideoReader(packaged_file(*FACE), 30)]
    faces = (faces + faces[::-1])[: SECONDS * 30]
    speech = np.concatenate(list(AudioReader(packaged_file(*SPEECH), 60)))[: SECONDS * SAMPLING_RATE]
    paths = {name: folder / f"{name}.mkv" for name in OPTIONS}
    write_clip(paths["talking"], faces, [index / 30 for index in range(len(faces))], speech)
    pairs, times = [], [index / 25 + (0.013 if index % 3 else 0) for index in range(SECONDS * 25)]
    for index, time in enumerate(times):
        pair = Image.new("RGB", (320, 144), "grey")
        pair.paste(faces[index], (0, 0))
        if not 2 <= time < 4:
            pair.paste(ImageOps.mirror(faces[-1 - index]), (160, 0))
        pairs.append(pair)
    write_clip(paths["two"], pairs, times, np.concatenate([np.zeros(SAMPLING_RATE, np.float32), speech[:-SAMPLING_RATE]]))
    return paths


def trace_text(model: Model, name: str, path: Path) -> str:
    """The table of a clip, as `vatrace predict` writes it."""
    from vatrace.output.writers import csv_text

    return csv_text(model.predict(path, **OPTIONS[name]))  # type: ignore[arg-type]


def differences(text: str, golden: str) -> list[str]:
    """How a trace differs from the golden one, beyond the tolerances; [] if it doesn't."""
    rows, expected = (list(csv.DictReader(table.splitlines())) for table in (text, golden))
    if len(rows) != len(expected) or list(rows[0]) != list(expected[0]):
        return [f"{len(rows)} rows of {', '.join(rows[0])}, not {len(expected)} of {', '.join(expected[0])}"]
    found = []
    for name in expected[0]:
        if name in WHOLE:
            others = sum(row[name] != one[name] for row, one in zip(rows, expected, strict=True))
            if others > MAX_OTHER_ROWS * len(rows):
                found.append(f"{name}: different in {others} of {len(rows)} rows")
        else:
            values, wanted = (np.array([float(row[name]) for row in table]) for table in (rows, expected))
            if np.abs(values - wanted).max() > TOLERANCE:
                found.append(
                    f"{name}: by up to {np.abs(values - wanted).max():.4f}, on average {(values - wanted).mean():+.4f}"
                )
    return found


def versions(model: Model) -> dict[str, object]:
    """What the golden traces were made with."""
    import vatrace
    from vatrace.output.provenance import library_versions, model_versions

    return {
        "vatrace": vatrace.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "libraries": library_versions(),
        "models": model_versions(model.encoders, None),
    }


def read_golden(name: str) -> str:
    """The golden trace of a clip."""
    return (FOLDER / f"{name}.csv").read_text(encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace the golden traces")
    args = parser.parse_args()
    from vatrace import load_model

    model, failed = load_model(), False
    with tempfile.TemporaryDirectory() as folder:
        for name, path in make_clips(Path(folder)).items():
            text = trace_text(model, name, path)
            if args.write:
                (FOLDER / f"{name}.csv").write_text(text, encoding="utf-8")
                continue
            found = differences(text, read_golden(name))
            failed |= bool(found)
            print(f"{name}: {'; '.join(found) or 'the same within the tolerance'}")
    if args.write:
        (FOLDER / "versions.json").write_text(json.dumps(versions(model), indent=1) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
