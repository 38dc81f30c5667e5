import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from vatrace.encoders.networks.vggish import VGGish
from vatrace.encoders.vggish import VGGishEncoder, log_mel
from vatrace.media.reading import SAMPLING_RATE

SHAPES = {  # of the public PyTorch conversion
    "features.0.weight": (64, 1, 3, 3),
    "features.3.weight": (128, 64, 3, 3),
    "features.6.weight": (256, 128, 3, 3),
    "features.8.weight": (256, 256, 3, 3),
    "features.11.weight": (512, 256, 3, 3),
    "features.13.weight": (512, 512, 3, 3),
    "embeddings.0.weight": (4096, 12288),
    "embeddings.2.weight": (4096, 4096),
    "embeddings.4.weight": (128, 4096),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vggish") / "vggish.pth"
    torch.save(VGGish().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def encoder(weights: Path) -> VGGishEncoder:
    return VGGishEncoder(weights, threads=2)


def test_names_and_shapes_are_those_of_the_public_file() -> None:
    found = {name: tuple(value.shape) for name, value in VGGish().state_dict().items() if name.endswith("weight")}
    assert found == SHAPES


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLING_RATE)).astype(np.float32)


def test_log_mel_is_its_equation() -> None:
    """Written a second time, with loops over frames, bands and bins."""
    sound = noise(0.05)
    found = log_mel(sound)
    assert found.shape == (1 + (800 - 400) // 160, 64)

    def mel(hertz: float) -> float:
        return 1127.0 * math.log(1.0 + hertz / 700.0)

    edges = [mel(125) + i * (mel(7500) - mel(125)) / 65 for i in range(66)]
    for frame, band in ((0, 0), (1, 20), (2, 63)):
        part = [sound[160 * frame + n] * (0.5 - 0.5 * math.cos(2 * math.pi * n / 400)) if n < 400 else 0.0 for n in range(512)]
        total = 0.0
        for k in range(1, 257):
            angle = [2 * math.pi * k * n / 512 for n in range(512)]
            real = sum(x * math.cos(a) for x, a in zip(part, angle, strict=True))
            imaginary = sum(x * math.sin(a) for x, a in zip(part, angle, strict=True))
            place = mel(k * 16000 / 512)
            low, middle, high = edges[band : band + 3]
            total += max(0.0, min((place - low) / (middle - low), (high - place) / (high - middle))) * math.hypot(
                real, imaginary
            )
        assert found[frame, band] == pytest.approx(math.log(total + 0.01), abs=1e-5)


def in_blocks(sound: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    position = 0
    while position < len(sound):
        for size in sizes:
            yield sound[position : position + size]
            position += size


def together(encoder: VGGishEncoder, blocks: Iterator[np.ndarray], rate: float) -> np.ndarray:
    parts = []
    for start, vectors in encoder.steps(blocks, rate):
        assert start == sum(map(len, parts))
        parts.append(vectors)
    return np.concatenate(parts)


def test_each_step_has_the_patch_around_its_time(encoder: VGGishEncoder, weights: Path) -> None:
    sound = noise(2.0)
    found = together(encoder, in_blocks(sound, [len(sound)]), 10)
    assert found.shape == (20, 128)
    network = VGGish()
    network.load_state_dict(torch.load(weights))
    silence = np.zeros(SAMPLING_RATE, np.float32)
    padded = np.concatenate([silence, sound, silence])
    for step in (0, 7, 19):
        start = SAMPLING_RATE + round((step / 10 - 0.48) * SAMPLING_RATE)
        patch = log_mel(padded[start : start + 96 * 160 + 240])
        assert patch.shape == (96, 64)
        with torch.no_grad():
            maps = network.features(torch.from_numpy(patch)[None, None])
            flat = torch.stack([maps[0, c, t, f] for t in range(6) for f in range(4) for c in range(512)])
            expected = network.embeddings(flat[None])[0].numpy()
        np.testing.assert_allclose(found[step], expected, atol=1e-4)


@pytest.mark.parametrize("sizes", [[1600], [16000, 123, 7], [5000, 40000]])
def test_blocks_of_any_size_give_the_same(encoder: VGGishEncoder, sizes: list[int]) -> None:
    sound = noise(3.3)
    whole = together(encoder, in_blocks(sound, [len(sound)]), 10)
    assert len(whole) == 33
    np.testing.assert_allclose(together(encoder, in_blocks(sound, sizes), 10), whole, atol=1e-5)


def test_no_audio_has_no_steps(encoder: VGGishEncoder) -> None:
    assert list(encoder.steps(iter([]), 10)) == []
