"""Files that claim more than they hold, or that would open others: refused with one line that names the file, quickly."""

from __future__ import annotations

import os
import struct
import time
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from conftest import write_movie
from vatrace import Model
from vatrace.errors import MediaError
from vatrace.media import container as containers
from vatrace.media.container import FORMATS, LONGEST, MAX_PIXELS, longest
from vatrace.media.folders import MEDIA_SUFFIXES, is_media
from vatrace.media.reading import MAX_HOLD, AudioReader, VideoReader
from vatrace.media.recording import frame_times, open_recording, packets_end
from vatrace.media.writing import images_at


def png_header(width: int, height: int) -> bytes:
    """A PNG of these sides, whose pixels compress to almost nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compressobj(1)
    data = b"".join(rows.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def wav(rate: int, samples: bytes, size: int | None = None) -> bytes:
    """A mono WAV of 8 bits that states this sampling rate, and this number of bytes."""
    size = len(samples) if size is None else size
    form = struct.pack("<HHIIHH", 1, 1, rate, rate, 1, 8)
    head = b"RIFF" + struct.pack("<I", (36 + size) & 0xFFFFFFFF) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", size) + samples


def write_gaps(path: Path, images: list[Image.Image], gap: float) -> Path:
    """Pictures that are `gap` seconds apart, by their time stamps."""
    return write_movie(path, images, [index * gap for index in range(len(images))])


PLAYLISTS = {
    "concat.mp4": "ffconcat version 1.0\nfile '{}'\nfile '{}'\n",
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n",
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4,\nfile:{}\n#EXT-X-ENDLIST\n",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
    "dash.webm": "<?xml version='1.0'?><MPD><Period><AdaptationSet><BaseURL>{}</BaseURL></AdaptationSet></Period></MPD>",
    "frames.txt": "just words about {}\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_file_that_opens_others_is_refused(tmp_path: Path, talking: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(PLAYLISTS[name].format(talking, talking))
    with pytest.raises(MediaError, match="not a readable video, audio or image file but text") as error:
        open_recording(path)
    assert str(path) in str(error.value)
    assert not is_media(path.with_suffix("")) and "\n" not in str(error.value)


def test_a_name_that_is_a_pattern_is_only_its_own_file(tmp_path: Path, face_images: list[Image.Image]) -> None:
    for number in range(3):
        face_images[0].save(tmp_path / f"face{number}.jpg")
    with pytest.raises(MediaError, match=r"[nN]o such file"):
        open_recording(tmp_path / "face%d.jpg")
    face_images[0].save(tmp_path / "face%d.jpg")
    face_images[0].save(tmp_path / "face[0-9]*.jpg")
    for name in ("face%d.jpg", "face[0-9]*.jpg"):
        assert open_recording(tmp_path / name).kind == "image"
        assert len(list(VideoReader(tmp_path / name, 10))) == 1


def test_the_formats_of_all_known_suffixes_are_read() -> None:
    """FFmpeg lists the suffixes of most of its formats."""
    by_suffix: dict[str, set[str]] = {}
    for name in av.formats_available:
        found = av.ContainerFormat(name)
        for suffix in found.extensions if found.is_input else ():
            by_suffix.setdefault(f".{suffix}", set()).update(found.name.split(","))
    known = {suffix: names for suffix, names in by_suffix.items() if suffix in MEDIA_SUFFIXES}
    assert len(known) > 40
    assert not {suffix: names for suffix, names in known.items() if not names & set(FORMATS.split())}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, make: object) -> None:
    path = tmp_path / "camera.mp4"
    make(path)  # type: ignore[operator]
    with pytest.raises(MediaError, match=r"a folder, not a file|a device or a pipe, not a file"):
        open_recording(path)


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (60_000, 2_001), (2_001, 60_000)])
def test_a_picture_with_too_many_pixels_is_not_decoded(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(width, height))
    assert width * height > MAX_PIXELS and path.stat().st_size < 1_000_000
    started = time.process_time()
    with pytest.raises(MediaError, match=r"huge\.png"):
        list(VideoReader(path, 10))
    assert time.process_time() - started < 2


def test_a_large_picture_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png_header(6000, 4000))
    (frame,) = VideoReader(path, 10)
    assert max(frame.image.size) == 1280


def test_time_stamps_beyond_what_the_bytes_can_hold_are_refused(tmp_path: Path, face_images: list[Image.Image]) -> None:
    path = write_gaps(tmp_path / "gaps.mkv", face_images[:10], 599.0)
    assert longest(path) < 5000
    with pytest.raises(MediaError, match="its time stamps are wrong") as error:
        list(VideoReader(path, 10))
    assert str(path) in str(error.value)
    with pytest.raises(MediaError, match="its time stamps are wrong"):
        frame_times(path)


def test_a_gap_is_missing_on_the_grid(tmp_path: Path, face_images: list[Image.Image]) -> None:
    path = write_movie(tmp_path / "gap.mkv", face_images[:40], [*np.arange(20) / 25, *(300 + np.arange(20) / 25)])
    shown = {step for frame in VideoReader(path, 10) for step in frame.steps}
    assert shown == {*range(108), *range(3000, 3008)}
    assert MAX_HOLD == 10.0


def test_a_small_copy_keeps_the_times_across_a_gap(tmp_path: Path, face_images: list[Image.Image]) -> None:
    path = write_movie(tmp_path / "gap.mkv", face_images[:40], [*np.arange(20) / 25, *(60 + np.arange(20) / 25)])
    assert sum(1 for _ in images_at(open_recording(path), 15, 100, lambda share: None)) == pytest.approx(60.8 * 15, abs=1)


@pytest.mark.parametrize("rate", [1, 4_000_000_000])
def test_a_sampling_rate_that_is_only_claimed(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "claims.wav"
    path.write_bytes(wav(rate, bytes(128 + np.random.default_rng(0).integers(-9, 9, 40_000).astype(np.uint8))))
    started = time.process_time()
    try:
        total = sum(len(block) for block in AudioReader(path, 60.0))
    except MediaError as error:
        assert str(path) in str(error)
    else:
        assert total < LONGEST
    assert time.process_time() - started < 5


def test_a_size_that_is_only_claimed(tmp_path: Path) -> None:
    path = tmp_path / "claims.wav"
    path.write_bytes(wav(16_000, bytes([128]) * 32_000, size=0xFFFFFF00))
    recording = open_recording(path)
    assert packets_end(recording) == pytest.approx(2.0)
    assert recording.duration is None or recording.duration < 10


def test_a_last_frame_that_claims_to_be_shown_for_years(tmp_path: Path, face_images: list[Image.Image]) -> None:
    path = tmp_path / "last.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = *face_images[0].size, "yuvj420p"
        for index, image in enumerate(face_images[:5]):
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            for packet in stream.encode(frame):
                packet.duration = 10**9 if index == 4 else packet.duration
                out.mux(packet)
    reader = VideoReader(path, 10)
    list(reader)
    assert reader.end < 1.0


def test_a_file_that_never_yields_a_packet_is_given_up(tmp_path: Path, talking: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "STALL", 0.0)
    with pytest.raises(MediaError, match=r"talking\.mp4: given up, because FFmpeg couldn't open it within 0 s"):
        open_recording(talking)


def test_a_mutated_film_is_refused_instead_of_six_hours_of_one_frame(model: Model, shared: Path) -> None:
    path = shared.parent / "cases" / "hang.flv"
    if not path.is_file():
        pytest.skip("the mutated film is not here")
    with pytest.raises(MediaError, match="its time stamps are wrong"):
        model.predict(path, modalities=["face"])
