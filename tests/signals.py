"""Plain images and tones, and how they are recognised again after they were encoded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vatrace.media.reading import SAMPLING_RATE


def grey(level: float, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """An image of one grey, 0..255."""
    return Image.new("RGB", size, (round(level),) * 3)


def level(image: Image.Image) -> float:
    """Mean grey of an image, 0..255."""
    return float(np.asarray(image.convert("L")).mean())


def tone(start: float, duration: float) -> NDArray[np.float32]:
    """Audio of `duration` seconds: silence, and from `start` seconds on a tone of amplitude 0.5."""
    times = np.arange(round(duration * SAMPLING_RATE)) / SAMPLING_RATE
    return (0.5 * np.sin(2 * np.pi * 440 * times) * (times >= start)).astype(np.float32)


def onset(audio: NDArray[np.float32]) -> float:
    """When a tone starts, in seconds."""
    return float(np.argmax(np.abs(audio) > 0.2)) / SAMPLING_RATE
