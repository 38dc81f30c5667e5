"""Speaker diarization (who speaks when, by voice alone) with the networks of pyannote's speaker-diarization-community-1.

The first network takes windows of 10 s and finds up to three speakers in each. It joins the sentences of a speaker even across
a second of silence, so voice activity detection removes the pauses. A turn ends where another speaker starts or at a pause. The
second network maps each turn to a vector, and the vectors are clustered into voices (`voices.py`). `recipes/speakers.py` makes
the files of both networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from vatrace.features.fbank import fbank
from vatrace.features.turns import Turn
from vatrace.features.voices import Speech, voices_of
from vatrace.media.voice_activity import CHUNK, RATE, speech_probabilities
from vatrace.weights import onnx_session

ENVELOPE_RATE = 100
"""Values of the envelope in a second."""
WINDOW = 10 * RATE
"""Samples in a window of the first network."""
STEP, FIRST = 270, 495
"""Samples from the middle of one of its frames to the next, and where the first middle is."""
NUM_FRAMES, NUM_LOCAL = 589, 3
"""Frames, and speakers, in a window."""
HOP = 296
"""Frames from one window to the next, half a window. Each window decides about the frames nearest to its middle."""
MARGIN = (NUM_FRAMES - HOP) // 2
WARM_UP = RATE
"""Samples of context that voice activity detection gets before those that are decided about, because it is recurrent."""
MIN_VOICED = 0.15
"""Probability of speech below which nobody speaks. It was measured on 196 recordings composed of sentences from seven corpora,
clean or with noise, hum, music, reverberation or breaths, and on the tuning scenes of `benchmarks/scenes.py`. In shares of
speech, the silence taken for speech falls from 0.068 to 0.024 and from 0.060 to 0.017, while 0.013 and 0.002 more of the time
between the first and the last sound of a sentence, pauses included, is missed. With 0.5, it is 0.038 and 0.010 more."""
PAUSE = round(0.3 * RATE / STEP)
"""Length in frames of the shortest pause that ends a turn."""
MAX_TURN = round(10 * RATE / STEP)
"""Length in frames of the longest turn that becomes one vector."""
MIN_SHARED = 6
"""Frames that speakers of two successive windows must share to be taken for the same one (0.1 s)."""
EMBED_STRIDE = 8
"""Frames of the filter bank per frame of the second network, before pooling."""
MIN_TURN_DUR = 0.2
"""Seconds of the shortest turn; shorter ones are left out."""


@dataclass(frozen=True)
class Voices:
    """The voices in a recording.

    Attributes:
        turns: all speaker turns, in order. They don't overlap, and `person` is None.
        embeddings: (V, 256) of each voice, of unit length.
        envelope: (N,) root mean square of the audio, `ENVELOPE_RATE` values a second.
    """

    turns: list[Turn]
    embeddings: NDArray[np.float64]
    envelope: NDArray[np.float32]


class Diarizer:
    """Speaker diarization of 16 kHz audio whose speech has the usual level (`choose_mix`).

    Args:
        threads: CPU threads of each network.
    """

    def __init__(self, threads: int = 1) -> None:
        self._finder = onnx_session("speaker_turns.onnx", threads)
        self._encoder = onnx_session("speaker_embedding.onnx", threads)

    def __call__(self, blocks: Iterable[NDArray[np.float32]]) -> Voices:
        """The voices in successive blocks (N,) of audio, the first of which starts at 0 s."""
        envelope = Envelope()
        speech = list(self.hear(envelope.follow(blocks)))
        voices, embeddings = voices_of(speech)
        return Voices(turns_of(speech, voices), embeddings, envelope.values)

    def hear(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[Speech]:
        """The stretches of speech, whose voices are not yet known."""
        stitcher = Stitcher()
        kept, begin = np.zeros(0, np.float32), 0  # audio that may still be needed, and the sample where it begins
        for start, window, is_last in windows(blocks):
            kept = np.concatenate([kept, window[begin + len(kept) - start :]])
            active = self._find(window, decided(start == 0, is_last))
            for first, last, speakers in stitcher.add(active, is_last):
                yield self._encode(kept, begin, first, last, speakers)
            needed = min(stitcher.open_from * STEP, start + HOP * STEP)
            kept, begin = kept[max(needed - begin, 0) :], max(needed, begin)

    def _find(self, window: NDArray[np.float32], frames: range) -> NDArray[np.bool_]:
        """(589, 3) Whether each of the speakers in a window of audio is active; frames after its end are not.

        Pauses are removed only from the frames that the window decides about.
        """
        padded = np.pad(window, (0, WINDOW - len(window)))
        (active,) = self._finder.run(None, {"waveforms": padded[None, None]})
        found: NDArray[np.bool_] = active[0] > 0.5
        middles = np.arange(NUM_FRAMES) * STEP + FIRST
        found[middles >= len(window)] = False
        inside = [frame for frame in frames if found[frame].any()]
        if inside:
            first = max(int(middles[inside[0]]) - WARM_UP, 0)
            voiced = speech_probabilities(window[first : middles[inside[-1]] + CHUNK]) >= MIN_VOICED
            found[inside] &= voiced[(middles[inside] - first) // CHUNK, None]
        return found

    def _encode(self, audio: NDArray[np.float32], begin: int, first: int, last: int, speakers: tuple[int, ...]) -> Speech:
        """The vector of a turn in frames [first, last) of the recording, from audio that begins at a sample of it."""
        start, end = (FIRST + first * STEP - STEP // 2), (FIRST + last * STEP - STEP // 2)
        bank = fbank(audio[max(start - begin, 0) : max(end - begin, 0)])
        embedding = None
        if len(speakers) == 1 and len(bank) >= 2 * EMBED_STRIDE:
            weights = np.ones((1, -(-len(bank) // EMBED_STRIDE)), np.float32)
            bank -= bank.mean(axis=0)
            (found,) = self._encoder.run(None, {"fbank": bank[None], "weights": weights})
            embedding = found[0].astype(np.float64)
        return Speech(max(start, 0) / RATE, end / RATE, speakers, embedding)


def windows(blocks: Iterable[NDArray[np.float32]]) -> Iterator[tuple[int, NDArray[np.float32], bool]]:
    """Overlapping windows of audio: the first sample, up to 10 s, and whether it is the last."""
    kept, start = np.zeros(0, np.float32), 0
    for block in blocks:
        kept = np.concatenate([kept, block])
        while len(kept) > WINDOW:
            yield start, kept[:WINDOW], False
            kept, start = kept[HOP * STEP :], start + HOP * STEP
    if len(kept):
        yield start, kept, True


def decided(is_first: bool, is_last: bool) -> range:
    """The frames that a window decides about."""
    return range(0 if is_first else MARGIN, NUM_FRAMES if is_last else MARGIN + HOP)


@dataclass
class Stitcher:
    """Joins the speakers of successive windows, and cuts their speech into turns.

    Attributes:
        open_from: the frame of the recording from which turns may still come.
    """

    open_from: int = 0
    _next: int = 0
    _chains: list[int] = field(default_factory=list)
    _before: NDArray[np.bool_] | None = None
    _start: int = 0
    _turn: tuple[int, int, tuple[int, ...]] | None = None

    def add(self, active: NDArray[np.bool_], is_last: bool) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """Add a window's decisions (589, 3); the turns that have ended: first frame, end frame, speakers."""
        self._chains = self._continued(active)
        self._before = active
        frames = decided(self._start == 0, is_last)
        for index in frames:
            speakers = tuple(chain for chain, speaks in zip(self._chains, active[index], strict=True) if speaks)
            yield from self._step(self._start + index, speakers)
        self.open_from = self._turn[0] if self._turn else self._start + frames.stop
        self._start += HOP
        if is_last and self._turn:
            yield self._turn
            self._turn = None

    def _step(self, frame: int, speakers: tuple[int, ...]) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        turn = self._turn
        if turn and (
            (speakers and speakers != turn[2]) or frame - turn[1] >= PAUSE or (speakers and frame - turn[0] >= MAX_TURN)
        ):
            yield turn
            turn = None
        if speakers:
            turn = (turn[0] if turn else frame, frame + 1, speakers)
        self._turn = turn

    def _continued(self, active: NDArray[np.bool_]) -> list[int]:
        """A number for each speaker of a window: that of the speaker of the window before with whom it shares most frames."""
        chains = [-1] * NUM_LOCAL
        if self._before is not None:
            shared = self._before[HOP:].astype(int).T @ active[: NUM_FRAMES - HOP]
            best = max(permutations(range(NUM_LOCAL)), key=lambda order: sum(shared[i, j] for i, j in enumerate(order)))
            for before, now in enumerate(best):
                if shared[before, now] >= MIN_SHARED:
                    chains[now] = self._chains[before]
        for index, chain in enumerate(chains):
            if chain < 0:
                chains[index], self._next = self._next, self._next + 1
        return chains


class Envelope:
    """Measures the root mean square of audio that passes through."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._values: list[NDArray[np.float32]] = []

    def follow(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Yield the blocks unchanged, and add to the envelope."""
        size = RATE // ENVELOPE_RATE
        for block in blocks:
            audio = np.concatenate([self._rest, block])
            whole = len(audio) // size * size
            self._add(audio[:whole].reshape(-1, size))
            self._rest = audio[whole:]
            yield block
        if len(self._rest):
            self._add(self._rest[None])

    def _add(self, audio: NDArray[np.float32]) -> None:
        self._values.append(np.sqrt(np.mean(np.square(audio), axis=1, dtype=np.float32)))

    @property
    def values(self) -> NDArray[np.float32]:
        """(N,) The envelope so far."""
        return np.concatenate([np.zeros(0, np.float32), *self._values])


def turns_of(speech: Sequence[Speech], voices: Sequence[int | None]) -> list[Turn]:
    """Stretches of speech as turns with their voices; too short ones are left out, and those split for length are rejoined."""
    turns: list[Turn] = []
    before: tuple[int, ...] = ()
    for part, voice in zip(speech, voices, strict=True):
        if part.dur < MIN_TURN_DUR:
            continue
        if turns and part.speakers == before and voice == turns[-1].voice and part.start == turns[-1].end:
            turns[-1] = replace(turns[-1], end=part.end)
        else:
            turns.append(Turn(part.start, part.end, voice))
        before = part.speakers
    return turns
