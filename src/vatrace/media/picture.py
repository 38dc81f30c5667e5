"""A decoded frame as it is meant to be seen: upright, with square pixels, in the colours of a standard screen.

Colours follow the file's tags: FFmpeg's own conversion applies the matrix and the range; the wide gamuts of BT.2020 and Display
P3, and the transfer of HDR video (PQ of SMPTE ST 2084, HLG of ARIB STD-B67), are converted here. Untagged video is taken for
BT.601 in limited range, as FFmpeg does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

UNTAGGED = 2
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
"""swscale's number of each matrix of ITU-T H.273: BT.709, FCC, BT.601 (twice), SMPTE 240M, BT.2020."""
BT601, FULL_RANGE = 5, 2
LINEAR, PQ, HLG = 8, 16, 18
"""Transfers of ITU-T H.273 that must be converted for a standard screen."""

D65 = (0.3127, 0.3290)
GAMUTS = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),  # BT.709
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
"""Chromaticities of red, green and blue by the number of the primaries in ITU-T H.273. Others are close to BT.709."""
BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)

SDR_WHITE, HLG_PEAK, HLG_GAMMA = 203.0, 1000.0, 1.2
"""cd/m2 of a white surface in HDR video (BT.2408) and of the peak of HLG on its reference screen, and that screen's system
gamma (BT.2100)."""
SCREEN_GAMMA = 2.4
"""Gamma of a standard screen (BT.1886)."""
KNEE = 0.75
"""Share of white above which luminance is compressed, so that highlights keep some detail."""

TURNS: tuple[tuple[Image.Transpose | None, tuple[tuple[int, int], tuple[int, int]]], ...] = (
    (None, ((1, 0), (0, 1))),
    (Image.Transpose.FLIP_LEFT_RIGHT, ((-1, 0), (0, 1))),
    (Image.Transpose.FLIP_TOP_BOTTOM, ((1, 0), (0, -1))),
    (Image.Transpose.ROTATE_180, ((-1, 0), (0, -1))),
    (Image.Transpose.ROTATE_90, ((0, 1), (-1, 0))),
    (Image.Transpose.ROTATE_270, ((0, -1), (1, 0))),
    (Image.Transpose.TRANSPOSE, ((0, 1), (1, 0))),
    (Image.Transpose.TRANSVERSE, ((0, -1), (-1, 0))),
)
"""Pillow's eight ways to turn an image, each with the directions (columns) of a step to the right and of one down."""

EXIF_ORIENTATION = 0x0112
EXIF_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The turn that puts an image with this EXIF orientation upright (CIPA DC-008)."""


STILL_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
"""The formats that Pillow may read. Of others, it runs programs, such as Ghostscript for EPS."""


def _new_converter() -> Any:
    from av.video.reformatter import VideoReformatter

    return VideoReformatter()


@dataclass(frozen=True)
class Look:
    """How to show the frames of a stream, as far as this isn't stated for each frame.

    Attributes:
        aspect: width of a pixel over its height.
        turn: the turn that puts every frame upright; None to follow each frame's display matrix.
        transfer: number in ITU-T H.273, for frames that don't state it.
        primaries: number in ITU-T H.273, for frames that don't state them.
        converter: FFmpeg's conversion to RGB, set up once for all frames that are alike; for one thread at a time.
    """

    aspect: float = 1.0
    turn: Image.Transpose | None = None
    transfer: int = UNTAGGED
    primaries: int = UNTAGGED
    converter: Any = field(default_factory=_new_converter, compare=False)


def stream_look(stream: Any, still: Path | None = None) -> Look:
    """The look of a stream's frames.

    Args:
        stream: a video stream.
        still: the path if it is an image file; None for video.
    """
    context = stream.codec_context
    return Look(
        aspect=float(stream.sample_aspect_ratio or 1),  # some cameras' pixels aren't square
        turn=None if still is None else _exif_turn(still),
        transfer=int(getattr(context, "color_trc", None) or UNTAGGED),
        primaries=int(getattr(context, "color_primaries", None) or UNTAGGED),
    )


def to_image(frame: Any, look: Look, max_side: int) -> Image.Image:
    """A frame as it is meant to be seen, RGB, its longer side at most `max_side` pixels."""
    width, height = frame.width * look.aspect, frame.height
    shrink = min(1.0, max_side / max(width, height))
    size = {"width": max(1, round(width * shrink)), "height": max(1, round(height * shrink))}
    transfer, primaries = _tag(frame, "color_trc", look.transfer), _tag(frame, "color_primaries", look.primaries)
    matrix = MATRICES.get(int(frame.colorspace), BT601)
    options: dict[str, Any] = {**size, "src_colorspace": matrix, "dst_colorspace": matrix, "dst_color_range": FULL_RANGE}
    options["threads"] = 1  # more would take the time from what else is running
    if frame.color_range:
        options["src_color_range"] = int(frame.color_range)
    if transfer in {LINEAR, PQ, HLG} or (primaries in GAMUTS and primaries != 1):
        deep = look.converter.reformat(frame, format="gbrp16le", **options)
        image = Image.fromarray(to_standard(_samples(deep), transfer, primaries))
    else:
        image = _image(look.converter.reformat(frame, format="rgb24", **options))
    turn = _display_turn(frame) if look.turn is None else look.turn
    return image if turn is None else image.transpose(turn)


def _image(frame: Any) -> Image.Image:
    """A copy of a frame in the format rgb24; PyAV's own takes ten times as long, row by row."""
    plane = frame.planes[0]
    return Image.frombytes("RGB", (frame.width, frame.height), memoryview(plane), "raw", "RGB", plane.line_size, 1)


def _samples(frame: Any) -> NDArray[np.uint16]:
    """Red, green and blue (H, W, 3) of a frame in the format gbrp16le; PyAV 16 and 17 mix up the bytes of rgb48le."""
    green, blue, red = (
        np.frombuffer(plane, "<u2").reshape(-1, plane.line_size // 2)[: frame.height, : frame.width] for plane in frame.planes
    )
    return np.stack([red, green, blue], axis=-1)


def to_standard(pixels: NDArray[np.uint16], transfer: int, primaries: int) -> NDArray[np.uint8]:
    """Show HDR or wide-gamut RGB on a standard screen.

    Luminance is relative to white (203 cd/m2, BT.2408). It is preserved up to `KNEE`, and compressed above. Colours outside
    BT.709 are clipped.

    Args:
        pixels: (H, W, 3), full range.
        transfer: number in ITU-T H.273.
        primaries: number in ITU-T H.273.

    Returns:
        (H, W, 3) for BT.709's primaries and gamma 2.4.
    """
    light = _to_light(transfer)[pixels]
    if transfer == HLG:  # the screen's system gamma
        luminance = np.maximum(light @ BT2020_LUMA, 1e-6)[..., None]
        light *= luminance ** np.float32(HLG_GAMMA - 1) * np.float32(HLG_PEAK / SDR_WHITE)
    if primaries in GAMUTS and primaries != 1:
        light = light @ _to_bt709(primaries).T
    if transfer in {PQ, HLG}:
        beyond = np.maximum(light - KNEE, 0) / (1 - KNEE)
        light = np.minimum(light, KNEE) + (1 - KNEE) * beyond / (1 + beyond)
    return (np.clip(light, 0, 1) ** np.float32(1 / SCREEN_GAMMA) * 255 + 0.5).astype(np.uint8)


@cache
def _to_light(transfer: int) -> NDArray[np.float32]:
    """Linear light for each sample value (65536,), relative to white; for HLG, scene light relative to its peak."""
    signal = np.arange(1 << 16) / ((1 << 16) - 1)
    if transfer == PQ:  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = signal ** (1 / m2)
        light = 10_000 / SDR_WHITE * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    elif transfer == HLG:  # ARIB STD-B67
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    else:
        light = signal if transfer == LINEAR else signal**SCREEN_GAMMA
    return light.astype(np.float32)


@cache
def _to_bt709(primaries: int) -> NDArray[np.float32]:
    """The (3, 3) matrix from linear RGB of other primaries to that of BT.709."""
    return (np.linalg.inv(_to_xyz(1)) @ _to_xyz(primaries)).astype(np.float32)


def _to_xyz(primaries: int) -> NDArray[np.float64]:
    """The (3, 3) matrix from linear RGB to CIE XYZ, with D65 as white."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in GAMUTS[primaries]]).T
    x, y = D65
    return columns * np.linalg.solve(columns, np.array([x / y, 1, (1 - x - y) / y]))


def _tag(frame: Any, name: str, of_stream: int) -> int:
    """A colour tag of a frame, or of its stream if the frame has none; PyAV before 16 doesn't provide the frame's."""
    value = getattr(frame, name, None)
    return of_stream if value is None or int(value) in {0, UNTAGGED} else int(value)


def matrix_turn(matrix: NDArray[Any]) -> Image.Transpose | None:
    """The turn that puts a frame upright by its display matrix: the nearest of the eight, which include mirroring.

    Args:
        matrix: (5,) or (9,) as in ISO/IEC 14496-12: a, b, u, c, d, v, x, y, w, which take (p, q) to (ap + cq + x, bp + dq + y).
    """
    a, b, _, c, d = matrix[:5].astype(np.float64)
    given = np.array([[a, c], [b, d]])
    if not given.any():
        return None
    return max(TURNS, key=lambda turn: float((np.array(turn[1]) * given).sum()))[0]


def _display_turn(frame: Any) -> Image.Transpose | None:
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # the frame has other side data that PyAV doesn't know
        angle = np.radians(getattr(frame, "rotation", 0))
        return matrix_turn(np.round(65536 * np.array([np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle)])))
    return None if matrix is None else matrix_turn(np.frombuffer(bytes(matrix), dtype=np.int32)[:9])


def _exif_turn(path: Path) -> Image.Transpose | None:
    """The turn that puts an image file upright by its EXIF data, which not all versions of FFmpeg read."""
    try:
        with Image.open(path, formats=STILL_FORMATS) as image:
            return EXIF_TURNS.get(image.getexif().get(EXIF_ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
