"""Encode the samples that recordings are composed of: faces, utterances, sentences.

    python runs/banks.py DATA --out BANKS

DATA holds ferplus/, ravdess/ and emobank/. BANKS gets {face,voice,words}-{train,dev,test}.npz. The encoders are the package's
own, so train those first. Splits: FER+ and EmoBank as given, RAVDESS actors 1-18 train, 19-21 dev, 22-24 test. Three minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from face import augment
from face import load as load_faces
from vatrace.corpora.categories import CATEGORY_VALENCE_AROUSAL
from vatrace.corpora.composed import RATE, Bank
from vatrace.encoders.face import FaceEncoder
from vatrace.encoders.words import WordEncoder
from vatrace.media import SAMPLING_RATE, AudioReader
from vatrace.models.face import EXPRESSIONS
from vatrace.speech import MAX_WINDOW_DUR, Listener, SpeechWindow, frames_on_grid
from vatrace.weights import find_whisper
from words import load as load_sentences

NUM_VARIANTS = 3
WORDS_GAIN = 2.0
"""EmoBank's readers rated sentences within a narrow range (SD 0.17 and 0.13): their labels are stretched by this and clipped
to -1..1 before they are matched with faces and voices."""

RAVDESS_EMOTIONS = ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
RAVDESS_ACTORS = {"train": range(1, 19), "dev": range(19, 22), "test": range(22, 25)}
NORMAL_INTENSITY = 0.7
"""What an utterance of normal intensity has of a strong one's valence and arousal: our choice, no rating stands behind it."""


def bank(labels: list[NDArray[np.float32]], frames: list[NDArray[np.float32]], groups: list[int]) -> Bank:
    """Join samples."""
    offsets = np.cumsum([0, *map(len, frames)])
    return Bank(np.array(labels, np.float32), offsets, np.concatenate(frames).astype(np.float16), np.array(groups))


def face_bank(data: Path, split: str) -> Bank:
    """Each face with its expected valence and arousal, as it is and in augmented variants."""
    faces, votes = load_faces(data, split)
    table = np.array([CATEGORY_VALENCE_AROUSAL[name] for name in EXPRESSIONS], np.float32)
    generator, encoder = torch.Generator().manual_seed(0), FaceEncoder(threads=2)
    variants = []
    for variant in range(NUM_VARIANTS):
        batches = [part if variant == 0 else augment(part, generator) for part in faces.split(512)]
        variants.append(np.concatenate([encoder(batch[:, 0].round().byte().numpy()) for batch in batches]))
    return bank(list(votes.numpy() @ table), list(np.stack(variants, axis=1)), [0] * len(faces))


def ravdess_label(path: Path) -> tuple[NDArray[np.float32], int]:
    """Proxy valence and arousal, and the actor, from a RAVDESS file name."""
    _, _, emotion, intensity, _, _, actor = map(int, path.stem.split("-"))
    strength = 1.0 if intensity == 2 else NORMAL_INTENSITY
    return np.array(CATEGORY_VALENCE_AROUSAL[RAVDESS_EMOTIONS[emotion - 1]], np.float32) * strength, actor


def _utterance(listener: Listener, path: Path) -> NDArray[np.float32]:
    """The sound from where speech begins to where it ends."""
    sound = np.concatenate(list(AudioReader(path, 60)))
    spans = listener.speech_spans(sound)
    if not spans:
        return sound
    return sound[round(spans[0][0] * SAMPLING_RATE) : round(spans[-1][1] * SAMPLING_RATE)]


def _talks(
    utterances: list[NDArray[np.float32]], rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.float32], list[tuple[int, float, float]]]]:
    """One actor's utterances in random order, with pauses, at a random level over random noise, at most 28 s at a time."""
    queue = list(rng.permutation(len(utterances)))
    while queue:
        pieces: list[NDArray[np.float32]] = []
        places, position = [], 0.0
        while queue and position + len(utterances[queue[-1]]) / SAMPLING_RATE < MAX_WINDOW_DUR:
            index = int(queue.pop())
            length = len(utterances[index]) / SAMPLING_RATE
            places.append((index, position, position + length))
            pause = rng.uniform(0.1, 0.8)
            pieces += [utterances[index], np.zeros(round(pause * SAMPLING_RATE), np.float32)]
            position += length + pause
        talk = np.concatenate(pieces)
        talk = talk * (0.05 / max(float(np.sqrt(np.mean(talk**2))), 1e-6)) * 10 ** (rng.uniform(-12, 12) / 20)
        noise = np.sqrt(np.mean(talk**2)) * 10 ** (-rng.uniform(10, 45) / 20)
        yield np.clip(talk + rng.normal(0, noise, len(talk)), -1, 1).astype(np.float32), places


def voice_bank(data: Path, split: str) -> Bank:
    """Each utterance, heard several times among others of its actor, at other levels and in other noise."""
    listener = Listener(find_whisper(), threads=2)
    rng = np.random.default_rng(0)
    labels, frames, groups = [], [], []
    for actor in RAVDESS_ACTORS[split]:
        paths = sorted((data / "ravdess").glob(f"*-{actor:02d}.flac"))
        utterances = [_utterance(listener, path) for path in paths]
        for _ in range(NUM_VARIANTS):
            for talk, places in _talks(utterances, rng):
                encoded, _, _ = listener.encode(talk)
                window = SpeechWindow(0.0, encoded, [], [])
                _, steps = frames_on_grid(window, RATE)
                for index, start, end in places:
                    labels.append(ravdess_label(paths[index])[0])
                    frames.append(steps[round(start * RATE) : max(round(end * RATE), round(start * RATE) + 1)])
                    groups.append(actor)
    return bank(labels, frames, groups)


def words_bank(data: Path, split: str) -> Bank:
    """Each sentence, a vector a word."""
    encoder = WordEncoder(threads=2)
    texts, targets = load_sentences(data, split)
    kept = [(text.split(), label) for text, label in zip(texts, targets.numpy(), strict=True) if text.split()]
    labels = [np.clip(label * WORDS_GAIN, -1, 1) for _, label in kept]
    return bank(labels, [encoder(words) for words, _ in kept], [0] * len(kept))


def main() -> None:
    """Write the nine files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, make in {"face": face_bank, "voice": voice_bank, "words": words_bank}.items():
        for split in ("train", "dev", "test"):
            made = make(args.data, split)
            np.savez(args.out / f"{name}-{split}.npz", **asdict(made))
            print(f"{name} {split}: {len(made.labels)} samples, {len(made.frames)} frames", flush=True)


if __name__ == "__main__":
    main()
