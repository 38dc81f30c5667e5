"""Processes the audio of a recording: speaker turns, voice features, and words.

If there are several voices, each is processed separately, with the others replaced by silence. Otherwise Whisper's windows of
28 s would mix them, and sentences would run from one speaker into the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vatrace.features.perceived import Sound
from vatrace.features.speakers import ENVELOPE_RATE, Diarizer, Voices
from vatrace.features.speech import BLOCK_DUR
from vatrace.features.spoken_languages import SpokenLanguages, Stretch, mean_probability, merged, shares
from vatrace.features.spool import Spool
from vatrace.features.task import Task
from vatrace.features.turns import Turn, one_voice, turn_at
from vatrace.languages import AUTO, ENGLISH, name_of
from vatrace.media.mixing import gain_from
from vatrace.media.reading import SAMPLING_RATE, AudioReader
from vatrace.timeline import frames_on_grid, spans_to_mask
from vatrace.weights import INSTALL_LANGUAGES

if TYPE_CHECKING:
    from vatrace.features.speech import Listener

DIARIZED = 0.1
"""Share of the stage "voice and words" that diarization takes, for the progress."""
MIN_LANGUAGE_DUR, MIN_LANGUAGE_SHARE = 2.0, 0.02
"""Seconds, and share of the speech, of a language that a note names in addition to the first."""
LATE, MAX_LATE = "the sound starts late", 0.5
"""How the note on sound that starts more than MAX_LATE seconds after the picture begins. Encoders delay it by less:
in six kinds of container, it starts within 0.1 s (`tests/real/test_flags.py`)."""
UNSURE = 0.5
"""Probability of a language below which a note says that it is uncertain."""


@dataclass(frozen=True)
class Hearing:
    """Processes the audio of recordings.

    Attributes:
        diarizer: finds who speaks when.
        listener: finds speech and transcribes it; None if neither words nor Whisper's frames are needed.
        encoder: of the voice; None to leave its features out.
        on_whisper: whether the encoder needs Whisper's frames.
        transcribe: whether to recognise words.
        new_spool: makes a store for the voice features.
        language: the code of the language that is spoken, or AUTO to find out, if the listener can.
    """

    diarizer: Diarizer
    listener: Listener | None
    encoder: Any | None
    on_whisper: bool
    transcribe: bool
    new_spool: Callable[[], Spool]
    language: str = AUTO

    def hear(self, task: Task, voices: Voices | None = None) -> Sound:
        """Process the audio of a recording.

        Args:
            task: the recording.
            voices: the speaker turns, if they are already known; None to find them.
        """
        task.progress("voice and words", 0.0)
        reader = AudioReader(task.recording.path, BLOCK_DUR, task.mix)
        sound = Sound(self.new_spool(), voices=voices or self._tell_apart(task, reader))
        if self.listener is not None:
            reader = self._listen(task, self.listener, sound)
        if self.encoder is not None and not self.on_whisper:
            reader = self._embed(task, self.encoder, sound)
        sound.end = reader.end
        sound.notes = [*task.mix.notes, *_notes(reader, sound, self.language)]
        if task.recording.has_frames and reader.start is not None and reader.start > MAX_LATE:
            sound.notes.append(f"{LATE} ({reader.start:.1f} s after the picture): check that it fits the picture")
        task.progress("voice and words", 1.0)
        return sound

    def _tell_apart(self, task: Task, reader: AudioReader) -> Voices:
        """Who speaks when, by voice alone; no turns if voice activity detection found no speech, because noise has no voice."""
        voices = self.diarizer(task.blocks(reader, 0.0, DIARIZED))
        return voices if task.mix.level is not None else replace(voices, turns=[], embeddings=voices.embeddings[:0])

    def _listen(self, task: Task, listener: Listener, sound: Sound) -> AudioReader:
        """Find the speech and the words of each voice; voice features are computed from the Whisper frames of the listener."""
        voices = sound.voices
        assert voices is not None
        numbers = sorted({turn.voice for turn in voices.turns if turn.voice is not None}) or [0]
        spoken = self._spoken_languages(listener)
        for done, voice in enumerate(numbers):
            reader = AudioReader(task.recording.path, BLOCK_DUR, task.mix)
            first, last = (DIARIZED + (1 - DIARIZED) * share / len(numbers) for share in (done, done + 1))
            blocks = task.blocks(reader, first, last)
            alone = blocks if len(numbers) == 1 else _alone(blocks, voices, voice)
            for window in listener.listen(alone, self.transcribe, spoken):
                if task.stop.is_set():
                    return reader
                sound.words += window.words
                sound.num_doubtful += window.num_doubtful
                sound.spans += window.spans
                if self.on_whisper and self.encoder is not None:
                    start, vectors = frames_on_grid(window.start, self.encoder(window.frames), task.rate)
                    steps = range(start, start + len(vectors))
                    for run in [steps] if len(numbers) == 1 else _own_steps(steps, task.rate, voices.turns, voice):
                        sound.frames.write(run.start, vectors[run.start - start : run.stop - start])
                        sound.covered.append(run)
        sound.words.sort(key=lambda word: word.start)
        sound.languages = merged(spoken.stretches) if spoken else []
        if not voices.turns:  # speech that the diarizer missed is one voice's
            sound.voices = replace(voices, turns=[Turn(start, end, 0) for start, end in sound.spans])
        return reader

    def _spoken_languages(self, listener: Listener) -> SpokenLanguages | None:
        """What finds out which languages are spoken; None if nothing is transcribed, or no model knows other languages."""
        if not self.transcribe:
            return None
        if self.language != AUTO:
            return SpokenLanguages(self.language)
        return SpokenLanguages(AUTO, listener.multilingual) if listener.multilingual else None

    def _embed(self, task: Task, encoder: Any, sound: Sound) -> AudioReader:
        """Compute the voice features from the audio itself; all of it counts as voice."""
        reader = AudioReader(task.recording.path, BLOCK_DUR, task.mix)
        for start, vectors in encoder.steps(task.blocks(reader, DIARIZED), task.rate):
            sound.frames.write(start, vectors)
            sound.covered.append(range(start, start + len(vectors)))
        sound.spans = [(0.0, reader.end)]
        return reader


def _notes(reader: AudioReader, sound: Sound, language: str) -> Iterator[str]:
    """What the user should know about the audio and its words."""
    if reader.num_silenced:
        samples = "1 audio sample was" if reader.num_silenced == 1 else f"{reader.num_silenced} audio samples were"
        where = f"{'at' if reader.num_silenced == 1 else 'from'} {reader.silenced_from:.1f} s"
        yield f"{samples} replaced by silence ({where}): not finite, or too large for sound"
    if sound.num_doubtful:
        total = len(sound.words) + sound.num_doubtful
        why = ""
        if sound.num_doubtful > total / 2:
            if language == AUTO and not sound.languages:
                why = f" (is the speech in English? for other languages: {INSTALL_LANGUAGES})"
            elif language != AUTO:
                why = f" (is the speech in {name_of(language)}?)"
        yield f"{sound.num_doubtful} of {total} words were left out as doubtful{why}"
    if language == AUTO:
        yield from language_notes(sound.languages)
    if reader.damage:
        yield f"some audio is damaged and was left out ({reader.damage})"


def language_notes(stretches: list[Stretch]) -> Iterator[str]:
    """What the user should know about the language that was found; nothing if it is certainly English."""
    durs = shares(stretches)
    first = next(iter(durs), ENGLISH)
    others = [
        code
        for code, dur in durs.items()
        if code != first and dur >= max(MIN_LANGUAGE_DUR, MIN_LANGUAGE_SHARE * sum(durs.values()))
    ]
    probability = mean_probability(stretches, first)
    if probability is not None and probability < UNSURE:
        yield f"the language is uncertain: it may be {name_of(first)} (probability {probability:.2f}); name it with --language"
    elif first != ENGLISH and probability is not None:
        yield f"the speech is in {name_of(first)} (probability {probability:.2f})"
    for code in others:
        start = next(stretch.start for stretch in stretches if stretch.language == code)
        share = durs[code] / sum(durs.values())
        yield f"{durs[code]:.1f} s of speech ({share:.0%}) are in {name_of(code)}, the first at {start:.1f} s"


def _alone(blocks: Iterator[NDArray[np.float32]], voices: Voices, voice: int) -> Iterator[NDArray[np.float32]]:
    """The blocks with one voice alone, at the usual level of speech."""
    gain, start = np.float32(_gain(voices, voice)), 0
    for block in blocks:
        yield one_voice(block, start / SAMPLING_RATE, voices.turns, voice) * gain
        start += len(block)


def _gain(voices: Voices, voice: int) -> float:
    """The gain that brings one of several voices to the usual level: people sit at different distances from a microphone."""
    spans = [(turn.start, turn.end) for turn in voices.turns if turn.voice == voice]
    power = np.square(voices.envelope[spans_to_mask(spans, len(voices.envelope), ENVELOPE_RATE)], dtype=np.float64)
    return gain_from(10 * np.log10(power.mean())) if power.any() else 1.0


def _own_steps(steps: range, rate: float, turns: list[Turn], voice: int) -> list[range]:
    """The parts of a window's steps that belong to one of several voices; the window also covers turns of others."""
    voices = np.array([-1 if turn.voice is None else turn.voice for turn in turns])
    own = voices[turn_at(turns, np.array(steps) / rate)] == voice
    edges = np.flatnonzero(np.diff(own.astype(int), prepend=0, append=0)).reshape(-1, 2) + steps.start
    return [range(first, stop) for first, stop in edges.tolist()]
