"""Train the voice network on RAVDESS, augmented with many rooms and microphones, and export it to ONNX.

    python recipes/voice.py DATA --frames FRAMES --out src/vatrace/weights/voice.onnx

DATA contains ravdess/*.flac; Whisper must be installed. Whisper's frames of the utterances are written to FRAMES (1 GB) and
used again if they exist. Actors 1-18 are train, 19-21 dev and 22-24 test. About 30 minutes on two CPU cores, 5 if the frames
exist.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from categories import CATEGORY_VALENCE_AROUSAL
from sounds import Sound, other_speaker, recorded
from vatrace.encoders.networks.voice import VOICE_EMOTIONS, VoiceNet
from vatrace.features.speech import FRAME_RATE, MAX_WINDOW_DUR, Listener
from vatrace.media.reading import SAMPLING_RATE, AudioReader
from vatrace.metrics import concordance_cc
from vatrace.models.losses import ccc_loss
from vatrace.weights import find_whisper

ACTORS = {"train": range(1, 19), "dev": range(19, 22), "test": range(22, 25)}
NORMAL_INTENSITY = 0.7
"""Valence and arousal of normal intensity relative to strong intensity: our own choice, not based on ratings."""
NUM_VARIANTS = {"train": 8, "dev": 3}
"""Variants of each utterance: the first is as recorded in the studio, the others are augmented."""

MAX_TALK_DUR = MAX_WINDOW_DUR / 1.2
"""Seconds; even when played slower, a talk is no longer than Whisper's window."""
SHORT_TALKS = 0.75
"""Share of talks with a single utterance; about a third of all utterances are then encoded alone, as in short clips."""

EPOCHS = 40
BATCH = 64
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
EMA_DECAY = 0.99
SMOOTHING = 0.1
EVERY = 3
"""Every third frame is used in training."""
NOISE = 0.2
"""Standard deviation of the noise on standardised frames in training."""


class Utterance(NamedTuple):
    """One file: who speaks, with which emotion."""

    path: Path
    actor: int
    emotion: int
    """Index into VOICE_EMOTIONS."""
    valence_arousal: tuple[float, float]
    """Proxy, -1..1."""


def utterances(data: Path, split: str) -> list[Utterance]:
    """The utterances of one split, in the order of actors."""
    found = []
    for path in sorted((data / "ravdess").glob("*.flac"), key=lambda path: (path.stem[-2:], path.stem)):
        _, _, emotion, intensity, _, _, actor = map(int, path.stem.split("-"))
        strength = 1.0 if intensity == 2 else NORMAL_INTENSITY
        valence, arousal = CATEGORY_VALENCE_AROUSAL[VOICE_EMOTIONS[emotion - 1]]
        if actor in ACTORS[split]:
            found.append(Utterance(path, actor, emotion - 1, (valence * strength, arousal * strength)))
    return found


def speech(listener: Listener, path: Path) -> Sound:
    """The sound from the start to the end of speech."""
    sound = np.concatenate(list(AudioReader(path, 60)))
    spans = listener.speech_spans(sound)
    if not spans:
        return sound
    return sound[round(spans[0][0] * SAMPLING_RATE) : round(spans[-1][1] * SAMPLING_RATE)]


class Heard(NamedTuple):
    """An utterance as Whisper encoded it once.

    Attributes:
        frames: (n, 384) float16, Whisper's.
        utterance: its index in the list of utterances.
    """

    frames: NDArray[np.float16]
    utterance: int


def hear(listener: Listener, sounds: list[Sound], actors: list[int], studio: bool, rng: np.random.Generator) -> Iterator[Heard]:
    """Encode all utterances of each actor once, in random order, as talks of one or several utterances with pauses.

    Args:
        listener: encodes the talks.
        sounds: the utterances.
        actors: the actor of each utterance.
        studio: whether the talks are left as recorded; otherwise they are augmented.
        rng: source of all choices.

    Yields:
        The frames of each utterance.
    """
    queue: list[int] = []
    for actor in sorted(set(actors)):
        queue += rng.permutation([index for index, who in enumerate(actors) if who == actor]).tolist()
    while queue:
        limit = 0.0 if rng.random() < SHORT_TALKS else MAX_TALK_DUR
        pieces: list[Sound] = []
        places: list[tuple[int, float, float]] = []
        actor, length = actors[queue[0]], 0.0
        while queue and actors[queue[0]] == actor and (not pieces or length + len(sounds[queue[0]]) / SAMPLING_RATE < limit):
            sound, pause = sounds[queue[0]], rng.uniform(0.1, 0.8)
            pieces += [sound, np.zeros(round(pause * SAMPLING_RATE), np.float32)]
            places.append((queue.pop(0), length, length + len(sound) / SAMPLING_RATE))
            length += len(sound) / SAMPLING_RATE + pause
        talk = np.concatenate(pieces)
        tempo = 1.0
        if not studio:
            talk = recorded(other_speaker(talk, rng), sounds, rng)
            tempo = len(talk) / SAMPLING_RATE / length
        frames, _, _ = listener.encode(talk)
        for index, start, end in places:
            inside = frames[round(start * tempo * FRAME_RATE) : round(end * tempo * FRAME_RATE)]
            yield Heard(inside.astype(np.float16), index)


def all_heard(data: Path, split: str, folder: Path) -> list[Heard]:
    """The encoded utterances of one split, read from `folder` if they exist there."""
    path = folder / f"{split}.npz"
    if not path.is_file():
        listener = Listener(find_whisper(), threads=2)
        said = utterances(data, split)
        sounds, actors = [speech(listener, utterance.path) for utterance in said], [utterance.actor for utterance in said]
        found: list[Heard] = []
        for variant in range(NUM_VARIANTS[split]):
            started = time.time()
            found += hear(listener, sounds, actors, variant == 0, np.random.default_rng([variant, len(said)]))
            print(f"{split} variant {variant + 1}/{NUM_VARIANTS[split]} {time.time() - started:.0f} s", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        frames, ends = np.concatenate([heard.frames for heard in found]), np.cumsum([len(heard.frames) for heard in found])
        np.savez(path, frames=frames, ends=ends, utterance=[heard.utterance for heard in found])
    with np.load(path) as file:
        return [
            Heard(*pair) for pair in zip(np.split(file["frames"], file["ends"][:-1]), file["utterance"].tolist(), strict=True)
        ]


def collate(stretches: list[NDArray[np.float16]]) -> tuple[Tensor, Tensor]:
    """Padded frames (B, N, 384), and where they are valid (B, N)."""
    length = max(map(len, stretches))
    frames, valid = torch.zeros(len(stretches), length, stretches[0].shape[1]), torch.zeros(len(stretches), length)
    for row, stretch in enumerate(stretches):
        frames[row, : len(stretch)] = torch.from_numpy(stretch.astype(np.float32))
        valid[row, : len(stretch)] = 1
    return frames, valid > 0


def cut(frames: NDArray[np.float16], rng: np.random.Generator) -> NDArray[np.float16]:
    """Every third frame of 1..3 s of an utterance; pooling does not depend on the density of frames."""
    length = int(rng.integers(FRAME_RATE, 3 * FRAME_RATE + 1))
    start = int(rng.integers(max(len(frames) - length, 0) + 1))
    return frames[start : start + length][int(rng.integers(EVERY)) :: EVERY]


def spliced(
    first: NDArray[np.float16], second: NDArray[np.float16], rng: np.random.Generator
) -> tuple[NDArray[np.float16], float]:
    """The beginning of one stretch and the end of another, and the first one's share of the frames.

    There are few utterances of each emotion; a splice of two is a new one, with both labels (mixup in time, arXiv 1710.09412).
    """
    share = rng.random()
    kept, other = first[: round(share * len(first))], second[round(share * len(second)) :]
    if not len(kept) + len(other):
        return first, 1.0
    return np.concatenate([kept, other]), len(kept) / (len(kept) + len(other))


def rate(model: VoiceNet, found: list[Heard]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean emotion probabilities (N, 8), and mean valence and arousal (N, 2), of each utterance over its frames."""
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(found), BATCH):
            frames, valid = collate([heard.frames[::EVERY] for heard in found[start : start + BATCH]])
            _, logits, values = model(frames, valid)
            outputs = torch.cat([logits.softmax(-1), values], dim=-1) * valid[:, :, None]
            parts.append(outputs.sum(dim=1) / valid.sum(dim=1, keepdim=True))
    mean = torch.cat(parts).numpy()
    return mean[:, :-2], mean[:, -2:]


def scores(said: list[Utterance], probabilities: NDArray[np.float32], values: NDArray[np.float32]) -> dict[str, float]:
    """Unweighted average recall of the eight emotions, and CCC of proxy valence and arousal."""
    emotion, predicted = np.array([u.emotion for u in said]), probabilities.argmax(axis=1)
    recalls = [np.mean(predicted[emotion == index] == index) for index in range(len(VOICE_EMOTIONS))]
    truth = np.array([u.valence_arousal for u in said])
    ccc = {name: concordance_cc(truth[:, k], values[:, k]) for k, name in enumerate(("valence", "arousal"))}
    return {"UAR": float(np.mean(recalls))} | {f"CCC {name}": value for name, value in ccc.items()}


def train(said: list[Utterance], found: list[Heard], seed: int, report: Callable[[VoiceNet], None] | None = None) -> VoiceNet:
    """Train with AdamW and a one-cycle schedule; return the moving average of the weights.

    Args:
        said: the utterances.
        found: their encoded variants.
        seed: seed of weights, order and splices.
        report: called with the averaged network every 10 epochs.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    emotion = torch.tensor([u.emotion for u in said])
    weight = 1 / emotion.bincount()
    classes = F.one_hot(emotion) * (weight / weight.mean())[emotion][:, None]  # every emotion has the same weight
    classes = (1 - SMOOTHING) * classes + SMOOTHING * classes.sum(dim=1, keepdim=True) / classes.shape[1]
    target = torch.tensor([u.valence_arousal for u in said])
    model = VoiceNet()
    sample = np.concatenate([heard.frames[::20] for heard in found]).astype(np.float32)
    model.mean.copy_(torch.from_numpy(sample.mean(axis=0)))
    model.scale.copy_(torch.from_numpy(sample.std(axis=0)))
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA_DECAY))
    averaged = cast(VoiceNet, average.module)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    per_epoch = len(found) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, EPOCHS * per_epoch, pct_start=0.1)
    for epoch in range(EPOCHS):
        model.train()
        for chosen in torch.randperm(len(found))[: per_epoch * BATCH].view(per_epoch, BATCH):
            others = chosen[torch.randperm(BATCH)]
            stretches, shares = [], []
            for one, other in zip(chosen.tolist(), others.tolist(), strict=True):
                stretch, share = spliced(cut(found[one].frames, rng), cut(found[other].frames, rng), rng)
                stretches.append(stretch)
                shares.append([share])
            frames, valid = collate(stretches)
            _, logits, values = model(frames + NOISE * model.scale * torch.randn_like(frames), valid, whole=True)
            share_of_one = torch.tensor(shares)
            first, second = (torch.tensor([found[row].utterance for row in rows.tolist()]) for rows in (chosen, others))
            wanted = share_of_one * classes[first] + (1 - share_of_one) * classes[second]
            loss = -(wanted * logits[:, 0].log_softmax(dim=1)).sum(dim=1).mean()
            loss = loss + ccc_loss(share_of_one * target[first] + (1 - share_of_one) * target[second], values[:, 0])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
        if report and epoch % 10 == 9:
            report(averaged)
    return averaged.eval()


class Exported(torch.nn.Module):
    """VoiceNet on one stretch without padding, with probabilities instead of logits."""

    def __init__(self, model: VoiceNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 384) -> (N, E), (N, 8), (N, 2)."""
        embedding, logits, values = self.model(frames[None], torch.ones_like(frames[None, :, 0], dtype=torch.bool))
        return embedding.squeeze(0), logits.softmax(dim=2).squeeze(0), values.squeeze(0)


def export(model: VoiceNet, path: Path) -> None:
    """Write the ONNX file: `frames` (N, 384) -> `embedding` (N, 128), `emotion` (N, 8), `valence_arousal` (N, 2)."""
    names = ["embedding", "emotion", "valence_arousal"]
    torch.onnx.export(
        Exported(model).eval(),
        (torch.zeros(200, 384),),
        str(path),
        input_names=["frames"],
        output_names=names,
        dynamic_axes={name: {0: "frames"} for name in ("frames", *names)},
        opset_version=17,
        dynamo=False,
    )


def main() -> None:
    """Encode, train, report on dev, and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=Path, required=True, help="folder for Whisper's frames of the talks")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    dev_said, dev = utterances(args.data, "dev"), all_heard(args.data, "dev", args.frames)

    def report(model: VoiceNet) -> None:
        for place, part in (("studio", dev[: len(dev_said)]), ("augmented", dev[len(dev_said) :])):
            result = scores([dev_said[heard.utterance] for heard in part], *rate(model, part))
            print(f"dev, {place}: " + " ".join(f"{name} {value:.3f}" for name, value in result.items()), flush=True)

    found = all_heard(args.data, "train", args.frames)
    export(train(utterances(args.data, "train"), found, args.seed, report), args.out)


if __name__ == "__main__":
    main()
