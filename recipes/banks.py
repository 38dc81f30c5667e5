"""Encode the samples that recordings are composed of: faces, utterances, sentences.

    python recipes/banks.py DATA --out BANKS

DATA contains ferplus/, clips/, ravdess/, speech/ and emobank/. The files {face,voice,words}-{train,dev,test}.npz are written to
BANKS. The encoders are the package's own, so train them first. Splits: FER+ and EmoBank have their own; those of speakers are
in `speech_corpora.py`; how talking faces move is the same in all. About 15 minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from composed import RATE, Bank
from face import TABLE, augment
from face import load as load_faces
from speech_corpora import train_utterances
from vatrace.encoders.face import FerPlusEncoder
from vatrace.encoders.voice import RavdessEncoder
from vatrace.encoders.words import MiniLMEncoder
from vatrace.features.perceiver import Perceiver
from vatrace.features.speech import Listener
from vatrace.media.recording import open_recording
from vatrace.timeline import frames_on_grid
from vatrace.weights import find_whisper
from voice import hear, speech
from words import load as load_sentences

NUM_VARIANTS = 3
MIN_EMOTIONS = 6
"""Of a speaker whose voice is used. Those of ravdess, emodb, nemo and emovo have as many, with few exceptions."""
WORDS_GAIN = 2.0
"""EmoBank's ratings lie within a narrow range (SD 0.17 and 0.13): they are multiplied by this factor and clipped to -1..1
before sentences are matched with faces and voices."""


def bank(labels: list[NDArray[np.float32]], frames: list[NDArray[np.float32]], groups: list[int]) -> Bank:
    """Join samples."""
    offsets = np.cumsum([0, *map(len, frames)])
    return Bank(np.array(labels, np.float32), offsets, np.concatenate(frames).astype(np.float16), np.array(groups))


def face_bank(data: Path, split: str) -> Bank:
    """Each face with its expected valence and arousal: the original and augmented variants."""
    faces = load_faces(data, split)
    generator, encoder = torch.Generator().manual_seed(0), FerPlusEncoder(threads=2)
    variants = []
    for variant in range(NUM_VARIANTS):
        batches = [part if variant == 0 else augment(part, generator) for part in faces.images.split(512)]
        variants.append(np.concatenate([encoder(batch[:, 0].round().byte().numpy()) for batch in batches]))
    stills = bank(list((faces.votes @ TABLE).numpy()), list(np.stack(variants, axis=1)), [0] * len(faces.images))
    return replace(stills, wander=talking_faces(data))


def talking_faces(data: Path) -> NDArray[np.float16]:
    """How the features of a face move about their mean while it talks, (K, T, D): the first seconds of each clip."""
    perceiver, courses = Perceiver(), []
    for path in sorted((data / "clips").glob("*.mpg")):
        percept = perceiver.percept(perceiver.perceive(open_recording(path), RATE, {"face"}), 0)
        frames = percept.features(0, percept.num_steps)["face"][percept.valid["face"]].astype(np.float32)
        courses.append(frames - frames.mean(axis=0))
    length = min(map(len, courses))
    return np.array([course[:length] for course in courses], np.float16)


def voice_bank(data: Path, split: str) -> Bank:
    """Each utterance several times, among others of its speaker: as recorded in the studio, and augmented.

    Only speakers with many emotions can follow a path of valence and arousal.
    """
    listener, encoder = Listener(find_whisper(), threads=2), RavdessEncoder(threads=2)
    spoken = train_utterances(data, split)
    emotions = {(one.corpus, one.speaker): set[str]() for one in spoken}
    for one in spoken:
        emotions[one.corpus, one.speaker].add(one.emotion)
    speakers = sorted(speaker for speaker, names in emotions.items() if len(names) >= MIN_EMOTIONS)
    said = [one for one in spoken if (one.corpus, one.speaker) in speakers]
    sounds = [speech(listener, utterance.path) for utterance in said]
    labels, frames, groups = [], [], []
    for variant in range(NUM_VARIANTS):
        rng = np.random.default_rng([variant, 1])  # not the talks that the voice network was trained on
        for heard in hear(listener, sounds, said, variant == 0, rng):
            _, steps = frames_on_grid(0.0, encoder(heard.frames.astype(np.float32)), RATE)
            labels.append(np.array(said[heard.utterance].valence_arousal, np.float32))
            frames.append(steps)
            groups.append(speakers.index((said[heard.utterance].corpus, said[heard.utterance].speaker)))
    return bank(labels, frames, groups)


def words_bank(data: Path, split: str) -> Bank:
    """Each sentence, with one vector per word."""
    encoder = MiniLMEncoder(threads=2)
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
