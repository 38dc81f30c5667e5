"""Train the voice network on acted and spontaneous speech in six languages, augmented, and export it to ONNX.

    python recipes/voice.py DATA --frames FRAMES --out src/vatrace/weights/voice.onnx

DATA contains ravdess/ and speech/ (see `speech_corpora.py`). The frames of all utterances are written to FRAMES (0.8 GB) and
used again if they exist. About 20 minutes on two CPU cores, 5 if the frames exist.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sounds import Sound, other_speaker, recorded, rms
from speech_corpora import TRAIN_CORPORA, Utterance, train_utterances
from vatrace.encoders.networks.voice import VOICE_EMOTIONS, VoiceNet
from vatrace.features.speech import FRAME_RATE, MAX_WINDOW_DUR, Listener
from vatrace.media.mixing import gain_from
from vatrace.media.reading import SAMPLING_RATE, AudioReader
from vatrace.metrics import concordance_cc
from vatrace.models.losses import ccc_loss
from vatrace.weights import find_whisper

NUM_VARIANTS = {"train": 3, "dev": 2}
"""Variants of each utterance: the first is as recorded in the studio, the others are augmented."""

MAX_TALK_DUR = MAX_WINDOW_DUR / 1.2
"""Seconds; even when played slower, a talk is no longer than Whisper's window."""
SHORT_TALKS = 0.75
"""Share of talks with a single utterance; about a third of all utterances are then encoded alone, as in short clips."""

STEPS = 1600
BATCH = 64
SIZE_POWER = 0.5
"""A corpus is drawn as often as this power of its number of utterances: the largest would otherwise have half of them."""
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
NEUTRAL_SHARE = 3
"""How much more often neutral speech is drawn than any other emotion: people mostly speak so, and an unknown neutral voice is
otherwise rated more unpleasant."""
EMA_DECAY = 0.99
SMOOTHING = 0.1
KEPT_RATE = 25
"""Frames a second that are kept on the disk: every second one."""
EVERY = 2
"""Every second of them is used in training."""
NOISE = 0.2
"""Standard deviation of the noise on standardised frames in training."""


def speech(listener: Listener, path: Path) -> Sound:
    """The sound from the start to the end of speech."""
    sound = np.concatenate(list(AudioReader(path, 60)))
    spans = listener.speech_spans(sound)
    if not spans:
        return sound
    return sound[round(spans[0][0] * SAMPLING_RATE) : round(spans[-1][1] * SAMPLING_RATE)]


def at_usual_level(sound: Sound, spoken: Sound) -> Sound:
    """The sound, louder or quieter so that its speech is as loud as the package makes it (`Mix.gain`)."""
    return sound * np.float32(gain_from(20 * np.log10(max(rms(spoken), 1e-9))))


class Heard(NamedTuple):
    """An utterance as it was encoded once.

    Attributes:
        frames: (n, 384) float16, FRAME_RATE a second; KEPT_RATE where they were read from the disk.
        utterance: its index in the list of utterances.
    """

    frames: NDArray[np.float16]
    utterance: int


def hear(
    listener: Listener, sounds: list[Sound], said: list[Utterance], studio: bool, rng: np.random.Generator
) -> Iterator[Heard]:
    """Encode all utterances of each speaker once, in random order, as talks of one or several utterances with pauses.

    Speech has the usual level in each talk as a whole, as in recordings, so that within a talk, loud and quiet remain.

    Args:
        listener: encodes the talks.
        sounds: the utterances.
        said: who says each.
        studio: whether the talks are left as recorded; otherwise they are augmented.
        rng: source of all choices.

    Yields:
        The frames of each utterance.
    """

    def speaker(index: int) -> tuple[str, str]:
        return said[index].corpus, said[index].speaker

    for _, own in groupby(sorted(range(len(said)), key=speaker), key=speaker):
        queue = rng.permutation(list(own)).tolist()
        while queue:
            limit = 0.0 if rng.random() < SHORT_TALKS else MAX_TALK_DUR
            pieces: list[Sound] = []
            places: list[tuple[int, float, float]] = []
            length = 0.0
            while queue and (not pieces or length + len(sounds[queue[0]]) / SAMPLING_RATE < limit):
                sound, pause = sounds[queue[0]][: round(MAX_TALK_DUR * SAMPLING_RATE)], rng.uniform(0.1, 0.8)
                pieces += [sound, np.zeros(round(pause * SAMPLING_RATE), np.float32)]
                places.append((queue.pop(0), length, length + len(sound) / SAMPLING_RATE))
                length += len(sound) / SAMPLING_RATE + pause
            talk = np.concatenate(pieces)
            tempo = 1.0
            if not studio:
                talk = recorded(other_speaker(talk, rng), sounds, rng)
                tempo = len(talk) / SAMPLING_RATE / length
            spoken = [
                talk[round(start * tempo * SAMPLING_RATE) : round(end * tempo * SAMPLING_RATE)] for _, start, end in places
            ]
            frames = listener.encode(at_usual_level(talk, np.concatenate(spoken))).frames
            for index, start, end in places:
                first = round(start * tempo * FRAME_RATE)
                yield Heard(frames[first : max(round(end * tempo * FRAME_RATE), first + 1)].astype(np.float16), index)


def all_heard(data: Path, split: str, folder: Path) -> list[Heard]:
    """The encoded utterances of one split, read from `folder` if they exist there."""
    path = folder / f"{split}.npz"
    if not path.is_file():
        listener = Listener(find_whisper(), threads=2)
        said = train_utterances(data, split)
        sounds = [speech(listener, utterance.path) for utterance in said]
        found: list[Heard] = []
        for variant in range(NUM_VARIANTS[split]):
            started = time.time()
            found += hear(listener, sounds, said, variant == 0, np.random.default_rng([variant, len(said)]))
            print(f"{split} variant {variant + 1}/{NUM_VARIANTS[split]} {time.time() - started:.0f} s", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        kept = [heard.frames[:: FRAME_RATE // KEPT_RATE] for heard in found]
        np.savez(
            path, frames=np.concatenate(kept), ends=np.cumsum(list(map(len, kept))), utterance=[h.utterance for h in found]
        )
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
    """Every second kept frame of 1..3 s of an utterance; pooling does not depend on the density of frames."""
    length = int(rng.integers(KEPT_RATE, 3 * KEPT_RATE + 1))
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
        for heard in found:
            frames = torch.from_numpy(np.repeat(heard.frames.astype(np.float32), FRAME_RATE // KEPT_RATE, axis=0))[None]
            _, logits, values = model(frames, torch.ones(frames.shape[:2], dtype=torch.bool))
            parts.append(torch.cat([logits.softmax(-1), values], dim=-1)[0].mean(dim=0))
    mean = torch.stack(parts).numpy()
    return mean[:, :-2], mean[:, -2:]


def scores(said: list[Utterance], probabilities: NDArray[np.float32], values: NDArray[np.float32]) -> dict[str, float]:
    """Unweighted average recall of the emotions that occur, and CCC of proxy valence and arousal."""
    emotion, predicted = emotion_numbers(said), probabilities.argmax(axis=1)
    recalls = [np.mean(predicted[emotion == index] == index) for index in sorted(set(emotion.tolist()) - {-1})]
    truth = np.array([u.valence_arousal for u in said])
    ccc = {name: concordance_cc(truth[:, k], values[:, k]) for k, name in enumerate(("valence", "arousal"))}
    return {"UAR": float(np.mean(recalls))} | {f"CCC {name}": value for name, value in ccc.items()}


def emotion_numbers(said: list[Utterance]) -> NDArray[np.int64]:
    """Index of each emotion into VOICE_EMOTIONS; -1 for others."""
    return np.array([VOICE_EMOTIONS.index(u.emotion) if u.emotion in VOICE_EMOTIONS else -1 for u in said])


def chances(said: list[Utterance]) -> NDArray[np.float64]:
    """How often each utterance is drawn: within a corpus, every emotion as often, but neutral more often."""
    chance = np.zeros(len(said))
    corpora, emotions = np.array([u.corpus for u in said]), np.array([u.emotion for u in said])
    for corpus in np.unique(corpora):
        own = corpora == corpus
        names = np.unique(emotions[own])
        for name in names:
            chosen = own & (emotions == name)
            share = NEUTRAL_SHARE if name == "neutral" else 1
            chance[chosen] = own.sum() ** SIZE_POWER / len(names) / chosen.sum() * share
    return chance / chance.sum()


def train(said: list[Utterance], found: list[Heard], seed: int, report: Callable[[VoiceNet], None] | None = None) -> VoiceNet:
    """Train with AdamW and a one-cycle schedule; return the moving average of the weights.

    Args:
        said: the utterances.
        found: their encoded variants.
        seed: seed of weights, order and splices.
        report: called with the averaged network from time to time.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    owner = np.array([heard.utterance for heard in found])
    chance = chances(said)[owner]
    number = torch.from_numpy(emotion_numbers(said))
    classes = F.one_hot(number.clamp_min(0), len(VOICE_EMOTIONS)) * (1 - SMOOTHING) + SMOOTHING / len(VOICE_EMOTIONS)
    classes = classes * (number >= 0)[:, None]  # an emotion without a class of its own teaches none
    target = torch.tensor([u.valence_arousal for u in said])
    model = VoiceNet()
    sample = np.concatenate([heard.frames[::20] for heard in found]).astype(np.float32)
    model.mean.copy_(torch.from_numpy(sample.mean(axis=0)))
    model.scale.copy_(torch.from_numpy(sample.std(axis=0)))
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA_DECAY))
    averaged = cast(VoiceNet, average.module)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS, pct_start=0.1)
    for step in range(STEPS):
        model.train()
        chosen = rng.choice(len(found), BATCH, p=chance / chance.sum())
        others = rng.permutation(chosen)
        stretches, shares = [], []
        for one, other in zip(chosen.tolist(), others.tolist(), strict=True):
            stretch, share = spliced(cut(found[one].frames, rng), cut(found[other].frames, rng), rng)
            stretches.append(stretch)
            shares.append([share])
        frames, valid = collate(stretches)
        _, logits, values = model(frames + NOISE * model.scale * torch.randn_like(frames), valid, whole=True)
        share_of_one = torch.tensor(shares)
        first, second = owner[chosen], owner[others]
        wanted = share_of_one * classes[first] + (1 - share_of_one) * classes[second]
        loss = -(wanted * logits[:, 0].log_softmax(dim=1)).sum(dim=1).mean()
        loss = loss + ccc_loss(share_of_one * target[first] + (1 - share_of_one) * target[second], values[:, 0])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        if report and step % 400 == 399:
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
    dev_said, dev = train_utterances(args.data, "dev"), all_heard(args.data, "dev", args.frames)

    def report(model: VoiceNet) -> None:
        for place, part in (("studio", dev[: len(dev_said)]), ("augmented", dev[len(dev_said) :])):
            outputs = rate(model, part)
            of_part = [dev_said[heard.utterance] for heard in part]
            for corpus in TRAIN_CORPORA:
                rows = [row for row, utterance in enumerate(of_part) if utterance.corpus == corpus]
                result = scores([of_part[row] for row in rows], *(output[rows] for output in outputs))
                print(
                    f"dev, {place}, {corpus}: " + " ".join(f"{name} {value:.3f}" for name, value in result.items()), flush=True
                )

    found = all_heard(args.data, "train", args.frames)
    export(train(train_utterances(args.data, "train"), found, args.seed, report), args.out)


if __name__ == "__main__":
    main()
