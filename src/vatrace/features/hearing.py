"""The audio of a recording: who speaks when, the voice's features, and the words.

Where several voices speak, each is listened to alone, with silence in place of the others. Otherwise Whisper's windows of 28 s
would mix them, and sentences would run from one speaker into the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vatrace.features.perceived import Sound
from vatrace.features.speakers import ENVELOPE_RATE, Diarizer, Voices
from vatrace.features.speech import BLOCK_DUR
from vatrace.features.task import Task
from vatrace.features.turns import Turn, one_voice, turn_at
from vatrace.media.mixing import gain_from
from vatrace.media.reading import SAMPLING_RATE, AudioReader
from vatrace.timeline import frames_on_grid, spans_to_mask

if TYPE_CHECKING:
    from vatrace.features.speech import Listener

DIARIZED = 0.1
"""Share of the stage "voice and words" that is done when it is known who speaks when, for the progress."""


def tell_voices_apart(task: Task, diarizer: Diarizer, sound: Sound) -> AudioReader:
    """Find out who speaks when, by voice alone."""
    reader = AudioReader(task.recording.path, BLOCK_DUR, task.mix)
    sound.voices = diarizer(task.blocks(reader, 0.0, DIARIZED))
    sound.end = reader.end
    return reader


def listen(task: Task, listener: Listener, sound: Sound, encoder: Any | None, transcribe: bool) -> None:
    """Find the speech of each voice and its words; the voice's features are made from the listener's own frames.

    Args:
        task: the recording.
        listener: finds and transcribes speech.
        sound: knows the voices; everything else is added.
        encoder: of the voice, on Whisper's frames; None to leave its features out.
        transcribe: whether to recognise words.
    """
    assert sound.voices is not None
    turns, num_voices = sound.voices.turns, max(len(sound.voices.embeddings), 1)
    for voice in range(num_voices):
        first, last = (DIARIZED + (1 - DIARIZED) * done / num_voices for done in (voice, voice + 1))
        blocks = task.blocks(AudioReader(task.recording.path, BLOCK_DUR, task.mix), first, last)
        if num_voices > 1:
            blocks = _alone(blocks, sound.voices, voice)
        for window in listener.listen(blocks, transcribe):
            if task.stop.is_set():
                return
            sound.words += window.words
            sound.num_doubtful += window.num_doubtful
            sound.spans += window.spans
            if encoder is not None:
                start, vectors = frames_on_grid(window.start, encoder(window.frames), task.rate)
                for run in _own_steps(range(start, start + len(vectors)), task.rate, turns, voice, num_voices):
                    sound.frames.write(run.start, vectors[run.start - start : run.stop - start])
                    sound.covered.append(run)
    sound.words.sort(key=lambda word: word.start)


def embed(task: Task, encoder: Any, sound: Sound) -> None:
    """Make the voice's features from the audio itself; all of it counts as voice."""
    reader = AudioReader(task.recording.path, BLOCK_DUR, task.mix)
    for start, vectors in encoder.steps(task.blocks(reader, DIARIZED), task.rate):
        sound.frames.write(start, vectors)
        sound.covered.append(range(start, start + len(vectors)))
    sound.spans = [(0.0, reader.end)]


def _alone(blocks: Iterator[NDArray[np.float32]], voices: Voices, voice: int) -> Iterator[NDArray[np.float32]]:
    """The blocks with one voice alone, at the usual level of speech."""
    gain, start = np.float32(_gain(voices, voice)), 0
    for block in blocks:
        yield one_voice(block, start / SAMPLING_RATE, voices.turns, voice) * gain
        start += len(block)


def _gain(voices: Voices, voice: int) -> float:
    """The factor that brings one of several voices to the usual level: people sit at different distances from a microphone."""
    spans = [(turn.start, turn.end) for turn in voices.turns if turn.voice == voice]
    power = np.square(voices.envelope[spans_to_mask(spans, len(voices.envelope), ENVELOPE_RATE)], dtype=np.float64)
    return gain_from(10 * np.log10(power.mean())) if power.any() else 1.0


def _own_steps(steps: range, rate: float, turns: list[Turn], voice: int, num_voices: int) -> list[range]:
    """The parts of a window's steps that belong to a voice; the window also covers turns of others."""
    if num_voices == 1:
        return [steps]
    voices = np.array([-1 if turn.voice is None else turn.voice for turn in turns])
    own = voices[turn_at(turns, np.array(steps) / rate)] == voice
    edges = np.flatnonzero(np.diff(own.astype(int), prepend=0, append=0)).reshape(-1, 2) + steps.start
    return [range(first, stop) for first, stop in edges.tolist()]
