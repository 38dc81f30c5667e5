"""Augmentation for a voice encoder trained on studio recordings: other speakers, rooms, microphones, noises and codecs."""

from __future__ import annotations

import io
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from vatrace.media.reading import SAMPLING_RATE

Sound = NDArray[np.float32]
"""(N,) samples at 16 kHz."""

CODECS = (("ogg", "libopus", 16_000, 8_000), ("ogg", "libopus", 16_000, 16_000), ("mp3", "libmp3lame", 16_000, 24_000))
"""Container, codec, sampling rate and bits a second."""


def other_speaker(sound: Sound, rng: np.random.Generator) -> Sound:
    """Play it up to 15 % faster or slower, which changes the apparent vocal tract length, the pitch and the tempo."""
    return resample(sound, SAMPLING_RATE * float(np.exp(rng.uniform(-0.15, 0.15))))


def resample(sound: Sound, rate: float) -> Sound:
    """Resample from `rate` samples a second to 16 kHz."""
    frame = av.AudioFrame.from_ndarray(sound[None], format="flt", layout="mono")
    frame.sample_rate = round(rate)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLING_RATE)
    return np.concatenate([part.to_ndarray()[0] for part in (*resampler.resample(frame), *resampler.resample(None))])


def room(sound: Sound, rng: np.random.Generator) -> Sound:
    """A room with a reverberation time of 0.1..0.9 s: exponentially decaying noise after the direct sound (Polack 1988)."""
    seconds = rng.uniform(0.1, 0.9)
    time = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    tail = rng.normal(size=len(time)) * np.exp(-6.9 * time / seconds)  # 60 dB down after `seconds`
    tail *= 10 ** (-rng.uniform(0, 12) / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    size = 1 << (len(sound) + len(tail) - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(tail, size), size)[: len(sound)]
    return wet.astype(np.float32)


def microphone(sound: Sound, rng: np.random.Generator) -> Sound:
    """A random frequency response within ±10 dB between 60 Hz and 8 kHz; one time in three also the band of a telephone."""
    frequencies = np.fft.rfftfreq(len(sound), 1 / SAMPLING_RATE)
    knots = np.geomspace(60, 8000, 7)
    gain = np.interp(np.log(frequencies.clip(1)), np.log(knots), rng.uniform(-10, 10, len(knots)))
    if rng.random() < 1 / 3:
        gain = gain - 60 * ((frequencies < rng.uniform(150, 350)) | (frequencies > rng.uniform(3200, 4000)))
    return np.fft.irfft(np.fft.rfft(sound) * 10 ** (gain / 20), len(sound)).astype(np.float32)


def noise(sound: Sound, others: list[Sound], rng: np.random.Generator) -> Sound:
    """Noise 5..40 dB below the voice: white to brown, or babble of two to six other sounds."""
    if others and rng.random() < 0.3:
        added = np.zeros(len(sound), np.float32)
        for index in rng.choice(len(others), rng.integers(2, 7)):
            added += np.resize(np.roll(others[index], rng.integers(len(others[index]))), len(sound))
    else:
        spectrum = np.fft.rfft(rng.normal(size=len(sound)))
        spectrum /= np.maximum(np.arange(len(spectrum)), 20) ** rng.uniform(0, 1)
        added = np.fft.irfft(spectrum, len(sound)).astype(np.float32)
    below = 10 ** (-rng.uniform(5, 40) / 20)
    return sound + added * (below * rms(sound) / max(rms(added), 1e-9))


def coded(sound: Sound, rng: np.random.Generator) -> Sound:
    """Encode with a lossy codec at a low bit rate, and decode."""
    container, codec, rate, bits = CODECS[rng.integers(len(CODECS))]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = cast(av.AudioStream, output.add_stream(codec, rate=rate, layout="mono", bit_rate=bits))
        samples = (np.clip(sound, -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLING_RATE
        output.mux([*stream.encode(frame), *stream.encode(None)])
    file.seek(0)
    with av.open(file, "r") as back:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLING_RATE)
        frames = [part for decoded in back.decode(audio=0) for part in resampler.resample(decoded)]
        decoded_sound = np.concatenate([part.to_ndarray()[0] for part in (*frames, *resampler.resample(None))])
    return np.pad(decoded_sound, (0, max(0, len(sound) - len(decoded_sound))))[: len(sound)]


def level(sound: Sound, rng: np.random.Generator) -> Sound:
    """Scale to a root mean square of -44..-14 dB of full scale; louder peaks are clipped."""
    return np.clip(sound * (10 ** (rng.uniform(-44, -14) / 20) / max(rms(sound), 1e-9)), -1, 1).astype(np.float32)


def rms(sound: Sound) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))


def recorded(sound: Sound, others: list[Sound], rng: np.random.Generator) -> Sound:
    """A talk as recorded in some room, by some microphone, with noise and a codec; each applies about half of the time.

    Args:
        sound: the talk.
        others: sounds to mix babble from.
        rng: source of all choices.
    """
    if rng.random() < 0.5:
        sound = room(sound, rng)
    if rng.random() < 0.5:
        sound = microphone(sound, rng)
    if rng.random() < 0.6:
        sound = noise(sound, others, rng)
    sound = level(sound, rng)
    if rng.random() < 0.4:
        sound = coded(sound, rng)
    return sound
