from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import write_movie
from vatrace.media.picture import HLG, KNEE, LINEAR, PQ, SDR_WHITE, matrix_turn, to_standard
from vatrace.media.reading import VideoReader

BT709, BT601, BT2020, P3 = 1, 5, 9, 12
LIMITED, FULL = 1, 2

MARKED = np.zeros((48, 64, 3), np.uint8)
MARKED[:16, :16] = 255  # a corner
MARKED[:16, 16:24] = 128  # and which side of it is longer

EXIF = {
    1: MARKED,
    2: MARKED[:, ::-1],
    3: MARKED[::-1, ::-1],
    4: MARKED[::-1],
    5: MARKED.transpose(1, 0, 2),
    6: MARKED[::-1].transpose(1, 0, 2),  # rows become columns, the last row the first column: turned clockwise
    7: MARKED[::-1, ::-1].transpose(1, 0, 2),
    8: MARKED.transpose(1, 0, 2)[::-1],
}
"""What an image with this orientation shows (CIPA DC-008)."""

ONE, W = 1 << 16, 1 << 30
DISPLAY = {  # a, b, c, d of the display matrix: (p, q) is shown at (ap + cq, bp + dq)
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""The same eight in the header of a video."""


def first(path: Path) -> Image.Image:
    return next(iter(VideoReader(path, 10))).image


def difference(image: Image.Image, pixels: NDArray[np.uint8]) -> float:
    assert image.size == (pixels.shape[1], pixels.shape[0])
    return float(np.abs(np.asarray(image, float) - pixels).mean())


@pytest.mark.parametrize("orientation", EXIF)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_images_are_upright_whatever_their_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"still.{suffix}"
    Image.fromarray(MARKED).save(path, exif=exif, quality=95)
    assert difference(first(path), EXIF[orientation]) < 4


@pytest.mark.parametrize("orientation", DISPLAY)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_video_is_upright_whatever_its_display_matrix(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = write_movie(tmp_path / f"phone.{suffix}", [Image.fromarray(MARKED)] * 3)
    a, b, c, d = (ONE * value for value in DISPLAY[orientation])
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of other fields
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in (a, b, 0, c, d, 0, 0, 0, W))
    path.write_bytes(data)
    assert difference(first(path), EXIF[orientation]) < 6


def test_a_matrix_between_two_turns_is_the_nearer_and_an_empty_one_is_none() -> None:
    assert matrix_turn(np.array([ONE, ONE // 4, 0, -ONE // 4, ONE, 0, 0, 0, W])) is None
    assert matrix_turn(np.array([ONE // 4, ONE, 0, -ONE, ONE // 4, 0, 0, 0, W])) is Image.Transpose.ROTATE_270
    assert matrix_turn(np.zeros(9, np.int32)) is None


def encoded(path: Path, ycc: tuple[int, int, int], matrix: int, colour_range: int, transfer: int = 1) -> Path:
    """Two frames of one colour (Y', Cb, Cr) in 10 bits, lossless, with these tags."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p10le"
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_trc = matrix, colour_range, transfer
        context.color_primaries = BT2020 if matrix == BT2020 else BT709
        for index in range(2):
            frame = av.VideoFrame(64, 48, "yuv444p10le")
            for plane, value in zip(frame.planes, ycc, strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, "<u2").tobytes())
            frame.pts, frame.time_base = index, Fraction(1, 25)
            frame.colorspace, frame.color_range = matrix, colour_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


LUMA = {BT709: (0.2126, 0.0722), BT601: (0.299, 0.114), BT2020: (0.2627, 0.0593)}
"""Kr and Kb (ITU-R BT.709, BT.601, BT.2020)."""


def ycc(rgb: tuple[float, float, float], matrix: int, colour_range: int) -> tuple[int, int, int]:
    """RGB in 0..1 as ten-bit Y', Cb and Cr (ITU-T H.273)."""
    red, green, blue = rgb
    kr, kb = LUMA[matrix]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = ((blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr))
    if colour_range == LIMITED:
        return round(64 + 876 * luma), *(round(512 + 896 * value) for value in chroma)
    return round(1023 * luma), *(round(512 + 1023 * value) for value in chroma)


@pytest.mark.parametrize("matrix", [BT709, BT601])
@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
def test_the_matrix_and_the_range_of_samples_are_obeyed(tmp_path: Path, matrix: int, colour_range: int) -> None:
    skin = (0.85, 0.6, 0.5)
    path = encoded(tmp_path / "tagged.mp4", ycc(skin, matrix, colour_range), matrix, colour_range)
    np.testing.assert_allclose(np.asarray(first(path))[20, 20] / 255, skin, atol=0.012)


def pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse EOTF of SMPTE ST 2084."""
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grey on a screen of 1000 cd/m2 as HLG (BT.2100): the inverse of the system gamma, then the OETF."""
    light = (nits / 1000) ** (1 / 1.2)
    return np.where(
        light <= 1 / 12, np.sqrt(3 * light), 0.17883277 * np.log(np.maximum(12 * light - 0.28466892, 1e-9)) + 0.55991073
    )


@pytest.mark.parametrize(("transfer", "encode"), [(PQ, pq), (HLG, hlg)])
def test_hdr_greys_up_to_three_quarters_of_white_are_as_bright_as_in_sdr(transfer: int, encode: object) -> None:
    assert callable(encode)
    sdr = np.linspace(0.05, KNEE ** (1 / 2.4), 20)  # signal of a standard screen: BT.1886, gamma 2.4
    signal = encode(SDR_WHITE * sdr**2.4)
    pixels = np.repeat(np.round(signal * 65535).astype(np.uint16)[None, :, None], 3, axis=2)
    np.testing.assert_allclose(to_standard(pixels, transfer, BT2020)[0] / 255, np.repeat(sdr[:, None], 3, axis=1), atol=0.006)


@pytest.mark.parametrize(("transfer", "encode"), [(PQ, pq), (HLG, hlg)])
def test_hdr_highlights_stay_apart(transfer: int, encode: object) -> None:
    assert callable(encode)
    signal = encode(np.array([150.0, 203.0, 400.0, 990.0]))
    pixels = np.repeat(np.round(signal * 65535).astype(np.uint16)[None, :, None], 3, axis=2)
    shown = to_standard(pixels, transfer, BT2020)[0, :, 0].astype(int)
    assert (np.diff(shown) >= 2).all() and shown[0] > 220


def test_linear_light_is_shown_with_the_screens_gamma() -> None:
    pixels = np.full((1, 1, 3), round(0.2 * 65535), np.uint16)
    assert to_standard(pixels, LINEAR, BT709)[0, 0] / 255 == pytest.approx(0.2 ** (1 / 2.4), abs=0.004)


@pytest.mark.parametrize("primaries", [BT2020, P3])
def test_wide_gamut_greys_stay_and_its_colours_become_stronger(primaries: int) -> None:
    grey = np.full((1, 1, 3), 30_000, np.uint16)
    np.testing.assert_allclose(to_standard(grey, BT709, primaries)[0, 0], 30_000 / 257, atol=1)
    skin = np.array([[[50_000, 38_000, 32_000]]], np.uint16)
    red, _, blue = to_standard(skin, BT709, primaries)[0, 0].astype(float)
    assert red - blue > (50_000 - 32_000) / 257 + 2


def test_bt2020_skin_is_what_bt709_shows(tmp_path: Path) -> None:
    # ITU-R BT.2087: the linear RGB of BT.709 in BT.2020's primaries
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    skin = np.array([0.85, 0.6, 0.5])
    wide = (to_2020 @ skin**2.4) ** (1 / 2.4)
    path = encoded(tmp_path / "wide.mp4", ycc(tuple(wide.tolist()), BT2020, LIMITED), BT2020, LIMITED, transfer=14)
    np.testing.assert_allclose(np.asarray(first(path))[20, 20] / 255, skin, atol=0.012)


@pytest.mark.parametrize(("transfer", "encode"), [(PQ, pq), (HLG, hlg)])
def test_hdr_video_is_shown_as_its_tags_say(tmp_path: Path, transfer: int, encode: object) -> None:
    assert callable(encode)
    signal = float(encode(np.array(SDR_WHITE * 0.6**2.4)))
    path = encoded(tmp_path / "hdr.mp4", ycc((signal,) * 3, BT2020, LIMITED), BT2020, LIMITED, transfer)
    np.testing.assert_allclose(np.asarray(first(path))[20, 20] / 255, 0.6, atol=0.012)
