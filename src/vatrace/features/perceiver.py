"""From a recording to features of face, voice and words on one grid."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders import DEFAULT_ENCODERS, EncoderSpec, FaceEncoder, SpeechEncoder, VoiceEncoder, WordEncoder
from vatrace.encoders.face import EXPRESSIONS
from vatrace.errors import MediaError
from vatrace.features.named_speakers import by_labels, turns_of
from vatrace.features.perceived import Perceived, Percept, Sight, Sound
from vatrace.features.spoken_languages import Stretch
from vatrace.features.spool import Spool
from vatrace.features.task import Task
from vatrace.features.turns import by_speaker, labelled_turns, same_voices
from vatrace.free_memory import check_memory
from vatrace.languages import AUTO, ENGLISH, name_of
from vatrace.media.reading import AudioReader, VideoReader
from vatrace.media.recording import Recording, packets_end
from vatrace.media.transcripts import Word
from vatrace.names import MODALITIES, Progress
from vatrace.timeline import num_steps, spans_to_mask
from vatrace.weights import E5_DISTRIBUTION

if TYPE_CHECKING:
    from vatrace.features.active_speaker import Judgement
    from vatrace.features.attribution import Attribution
    from vatrace.features.hearing import Hearing
    from vatrace.features.identity import IdentityEncoder, View
    from vatrace.features.landmarker import Landmarker
    from vatrace.features.mouths import Mouth
    from vatrace.features.people import Person
    from vatrace.features.speakers import Diarizer, Voices
    from vatrace.features.speech import Listener

PERCEPTION = 3
"""Raise it when the features of the same recording change, for instance by other face crops or another level of the audio:
recordings in a store with another number are extracted again, since a model must not be trained on both kinds."""

CHUNK = 4096
"""Rows of a spool that are read at a time."""
MAX_SHORTFALL = 1.0
"""Seconds by which a recording may be shorter than its container states without a note."""


class Perceiver:
    """All the parts that turn recordings into features. Each is loaded when it is first needed, then kept.

    Args:
        encoders: by modality; a modality without one is left out. The package's own by default.
        whisper: a folder with a Whisper model in CTranslate2 form, or the name of one that faster-whisper downloads; None for
            tiny.en, and base for languages other than English if it is installed (see `vatrace.weights`).
        threads: CPU threads; None for one a core.
        keep_crops: whether to keep face crops in addition to their embeddings.
        active_speaker: an ONNX network that decides which visible person speaks (`vatrace.features.active_speaker`); None to
            decide by the motion of mouths. It is loaded now.

    Raises:
        CheckpointError: if `active_speaker` can't be read or doesn't fit.
    """

    def __init__(
        self,
        encoders: Mapping[str, EncoderSpec] = DEFAULT_ENCODERS,
        whisper: str | Path | None = None,
        threads: int | None = None,
        keep_crops: bool = False,
        active_speaker: Path | None = None,
    ) -> None:
        from vatrace.features.active_speaker import ActiveSpeaker

        self.encoders = dict(encoders)
        self.keep_crops = keep_crops
        self._whisper = whisper
        self._threads = threads or os.cpu_count() or 1
        self.active_speaker = None if active_speaker is None else ActiveSpeaker(active_speaker, self._threads)

    @cached_property
    def _landmarker(self) -> Landmarker:
        from vatrace.features.landmarker import Landmarker

        return Landmarker()

    @cached_property
    def _identities(self) -> IdentityEncoder:
        from vatrace.features.identity import IdentityEncoder

        return IdentityEncoder()

    @cached_property
    def _diarizer(self) -> Diarizer:
        from vatrace.features.speakers import Diarizer

        return Diarizer()

    @cached_property
    def _face_encoder(self) -> FaceEncoder:
        return self.encoders["face"].build(1)

    @cached_property
    def _voice_encoder(self) -> SpeechEncoder | VoiceEncoder:
        return self.encoders["voice"].build(self._threads)

    @cached_property
    def _word_encoder(self) -> WordEncoder:
        return self.encoders["words"].build(self._threads)

    @cached_property
    def _foreign_word_encoder(self) -> WordEncoder:
        """Of words in languages that the package's own English encoder doesn't understand."""
        spec = self.encoders["words"].foreign
        assert spec is not None
        return spec.build(self._threads)

    def _words_encoder(self, language: str | None) -> WordEncoder | None:
        """The encoder of words in a language (None for English); None if no encoder understands it."""
        spec = self.encoders["words"].for_language(language)
        if spec is None:
            return None
        return self._word_encoder if spec == self.encoders["words"] else self._foreign_word_encoder

    @cached_property
    def _listener(self) -> Listener:
        from vatrace.features.speech import open_listener

        return open_listener(self._whisper, max(1, self._threads - 1))

    @cached_property
    def _voice_listener(self) -> Listener:
        """A listener that can't recognise words, so that it needs no Whisper model."""
        from vatrace.features.speech import Listener

        return Listener(threads=max(1, self._threads - 1))

    def _spool(self, modality: str) -> Spool:
        if modality not in self.encoders:
            return Spool((1,))
        spec = self.encoders[modality]
        return Spool((spec.dim,), maker=f"{modality} encoder {spec.path or spec.name}")

    def _new_sight(self, also: Collection[str] = ()) -> Sight:
        crops = Spool((48, 48, 3), np.uint8) if self.keep_crops else None
        expressions = Spool((len(EXPRESSIONS),), np.float32, "face encoder") if "emotions" in also else None
        measures = None
        if "face" in also:
            from vatrace.features.face_meter import MEASURES

            measures = Spool((len(MEASURES),), np.float32, "landmarks")
        return Sight(self._spool("face"), crops, expressions, measures)

    def perceive(
        self,
        recording: Recording,
        rate: float,
        modalities: Collection[str],
        progress: Progress = lambda stage, share: None,
        transcribe: bool = True,
        language: str = AUTO,
        also: Collection[str] = (),
    ) -> Perceived:
        """Process the video and audio of a recording, at the same time.

        Args:
            recording: what to perceive.
            rate: steps a second.
            modalities: those to perceive, which the recording can have.
            progress: called with the progress of each stage.
            transcribe: whether to recognise the words, where they are wanted and the recording has no transcript.
            language: the code of the language that is spoken, or AUTO to find out (see `vatrace.languages`).
            also: what else is measured, of `vatrace.names.ALSO`.

        Raises:
            MediaError: if nothing in it can be decoded.
            MissingExtraError: if the words are to be recognised in another language than English, and no model knows it.
            MissingWeightsError: if Whisper's weights are needed and missing.
        """
        from vatrace.features.attribution import Attribution
        from vatrace.features.people import voices_only

        wanted = frozenset(modalities)
        if recording.kind == "transcript":
            sound = Sound(self._spool("voice"), words=list(recording.words or ()))
            sound.end = max(word.end for word in sound.words)
            turns = labelled_turns(sound.words)
            self._note_languages(sound, recording.words)
            if "voice" in also:
                sound.prosody = np.full((num_steps(sound.end, rate), 2), np.nan)
            return Perceived(rate, wanted, self._new_sight(also), sound, voices_only(turns), Attribution(turns))
        task = Task(recording, rate, progress, frozenset(also))
        sight, sound = self._see_and_hear(task, wanted, transcribe, language)
        hearing = self._hearing(recording, wanted, transcribe, language)
        return self._understood(task, wanted, hearing, sight, sound)

    def see_as_well(
        self,
        recording: Recording,
        perceived: Perceived,
        progress: Progress = lambda stage, share: None,
        transcribe: bool = True,
        language: str = AUTO,
    ) -> Perceived:
        """Process the video of a recording whose audio was perceived alone, and assign turns to people.

        Args:
            recording: what to perceive.
            perceived: its audio.
            progress: called with the progress of each stage.
            transcribe: as in `perceive`.
            language: as in `perceive`.
        """
        wanted = perceived.modalities | {"face"}
        hearing, task = self._hearing(recording, wanted, transcribe, language), Task(recording, perceived.rate, progress)
        return self._understood(task, wanted, hearing, self._see(task), perceived.sound)

    def _understood(self, task: Task, wanted: frozenset[str], hearing: Hearing | None, sight: Sight, sound: Sound) -> Perceived:
        """Combine video and audio, and assign turns to people; if that changes the speakers, process the audio again."""
        recording = task.recording
        people, attribution = self._who_speaks(task, sight, sound.voices)
        notes: list[str] = []
        if recording.words is not None and "words" in wanted:
            turns, owners, notes = by_labels(attribution.turns, recording.words)
            attribution = replace(attribution, turns=by_speaker(turns), owners=owners)
        if hearing and sound.voices and not same_voices(sound.voices.turns, attribution.turns):
            sound = hearing.hear(task, replace(sound.voices, turns=attribution.turns))
        _check_end(recording, wanted, sight, sound)
        if recording.words is not None and "words" in wanted:
            sound.words = list(recording.words)
        sound.notes += notes
        if "words" in wanted:
            self._note_languages(sound, recording.words)
        if "voice" in task.also:
            sound.prosody = _prosody(task, max(sight.end, sound.end))
        return Perceived(task.rate, wanted, sight, sound, people, attribution)

    @staticmethod
    def _transcribes(recording: Recording, wanted: Collection[str], transcribe: bool) -> bool:
        """Whether words are to be recognised."""
        return transcribe and recording.words is None and "words" in wanted

    def _note_languages(self, sound: Sound, transcript: Sequence[Word] | None) -> None:
        """Keep the language of a transcript; count and note the words in languages that no words encoder understands."""
        if transcript:
            end = max(word.end for word in transcript)
            sound.languages = [Stretch(transcript[0].start, end, transcript[0].language or ENGLISH)]
        unused = Counter(word.language for word in sound.words if self.encoders["words"].for_language(word.language) is None)
        sound.num_unused = unused.total()
        for language, number in unused.most_common():
            words = "1 word" if number == 1 else f"{number} words"
            e5 = self.encoders["words"] == DEFAULT_ENCODERS["words"] and EncoderSpec("words", "e5").understands(language)
            advice = f" (to add the network for them: pip install {E5_DISTRIBUTION})" if e5 else ""
            sound.notes.append(
                f"{words} in {name_of(language or ENGLISH)} did not count: the words network doesn't understand them{advice}"
            )

    def _hearing(self, recording: Recording, wanted: Collection[str], transcribe: bool, language: str) -> Hearing | None:
        """The audio processing that a recording needs, or None."""
        from vatrace.features.hearing import Hearing

        if not recording.has_audio or not {"voice", "words"} & set(wanted):
            return None
        transcribe = self._transcribes(recording, wanted, transcribe)
        encoder = self._voice_encoder if "voice" in wanted else None
        on_whisper = encoder is not None and self.encoders["voice"].on_whisper
        listener = self._listener if transcribe else self._voice_listener if on_whisper else None
        if transcribe:
            self._listener.check_knows(language)
        return Hearing(self._diarizer, listener, encoder, on_whisper, transcribe, partial(self._spool, "voice"), language)

    def _see_and_hear(self, task: Task, wanted: Collection[str], transcribe: bool, language: str) -> tuple[Sight, Sound]:
        """Process video and audio at the same time; each thread loads its own models."""
        check_memory()
        with ThreadPoolExecutor(1) as pool:
            heard = pool.submit(self._hear, task, wanted, transcribe, language)
            try:
                sight = self._see(task) if "face" in wanted else self._new_sight(task.also)
                if "words" in wanted and not task.stop.is_set():
                    self._word_encoder  # noqa: B018  # is loaded while the audio is still processed
                sound = heard.result()
            except BaseException:  # an error or ctrl-C in this thread must stop the other
                task.stop.set()
                raise
            finally:
                del heard  # its error refers to this frame, and that to all that was seen so far
        return sight, sound

    def _hear(self, task: Task, wanted: Collection[str], transcribe: bool, language: str) -> Sound:
        try:
            hearing = self._hearing(task.recording, wanted, transcribe, language)
            return hearing.hear(task) if hearing else Sound(self._spool("voice"))
        except BaseException:  # the frames aren't needed any more
            task.stop.set()
            raise

    def _who_speaks(self, task: Task, sight: Sight, voices: Voices | None) -> tuple[list[Person], Attribution]:
        """The people who can be followed, and the turns assigned to them."""
        from vatrace.features.attribution import Attribution, attribute, one_speaker
        from vatrace.features.mouths import says_nothing, talks
        from vatrace.features.people import living, voices_only

        turns = voices.turns if voices else []
        alive = living(sight.people)
        if voices is None or not turns:
            return sight.people, Attribution([])
        if not alive:
            return [*voices_only(turns), *sight.people], Attribution([replace(turn, person=turn.voice) for turn in turns])
        spans = [(turn.start, turn.end) for turn in turns]
        is_alone = len(alive) == 1 and len({turn.voice for turn in turns}) == 1
        if is_alone and self.active_speaker is None:
            speaks = talks(alive[0], spans, task.rate)
            if speaks or says_nothing(alive[0], spans, task.rate):
                return sight.people, Attribution([replace(turn, person=0 if speaks else None) for turn in turns])
        mouths, judged = self._watch(task, sight, alive, spans)
        found = attribute(turns, voices.envelope, alive, mouths, judged)
        if is_alone:
            found = one_speaker(found)
        return sight.people, replace(found, turns=by_speaker(found.turns))

    def _watch(
        self, task: Task, sight: Sight, alive: Sequence[Person], spans: Sequence[tuple[float, float]]
    ) -> tuple[list[Mouth], list[Judgement] | None]:
        """The mouths of visible people during speech, and the scores of the active-speaker network, if there is one."""
        from vatrace.features.active_speaker import watch_speakers
        from vatrace.features.mouths import mouth_on_grid, watch_mouths
        from vatrace.features.speech import BLOCK_DUR

        reader, progress = VideoReader(task.recording.path, task.rate), partial(task.progress, "who speaks")
        if self.active_speaker is None:
            return watch_mouths(reader, alive, sight.boxes, spans, self._landmarker, progress, task.stop), None
        audio, gain = AudioReader(task.recording.path, BLOCK_DUR, task.mix), np.float32(task.mix.gain)
        blocks = (block * gain for block in audio)
        judged = watch_speakers(self.active_speaker, reader, blocks, alive, sight.boxes, spans, progress)
        return [mouth_on_grid(person, task.rate) for person in alive], judged

    def _see(self, task: Task) -> Sight:
        from vatrace.features.face_meter import FaceMeter
        from vatrace.features.faces import MAX_FACES, FaceTracker
        from vatrace.features.seeing import look

        sight, tracker = self._new_sight(task.also), FaceTracker(self._landmarker, self._identities)
        meter = FaceMeter(self._landmarker) if "face" in task.also else None
        look(task, tracker, self._face_encoder, sight, meter)
        if tracker.most_seen > MAX_FACES:
            sight.notes.append(f"{tracker.most_seen} faces seen at once: the {MAX_FACES} largest are followed")
        return sight

    def view_of(self, path: Path) -> tuple[View, int]:
        """The largest face in an image, and the number of faces in it.

        Raises:
            MediaError: if the file isn't an image, or no face is found in it.
        """
        from vatrace.features.people import view_in

        return view_in(path, self._landmarker, self._identities)

    def see_crops(self, folder: Path, times: NDArray[np.float64], rate: float, end: float) -> Sight:
        """Process one person's face crops, named by the video's frame number from 1.

        Args:
            folder: of `00001.jpg`, ...; a frame without an image shows no face.
            times: (F,) when each frame is shown, seconds.
            rate: steps a second.
            end: of the video, in seconds.
        """
        from vatrace.features.cropped_faces import read_crops
        from vatrace.features.people import Person, Track

        sight, track, encoder = self._new_sight(), Track(), self._face_encoder
        for steps, crops in read_crops(folder, times, rate, num_steps(end, rate), encoder.crop_size):
            first = sight.embeddings.length
            sight.embeddings.write(first, encoder(crops))
            track.steps += steps
            track.rows += range(first, first + len(steps))
        if sight.crops is not None:
            for _, crops in read_crops(folder, times, rate, num_steps(end, rate)):
                sight.crops.write(sight.crops.length, crops)
        sight.people, sight.end = [Person([track], set(track.steps))], end
        return sight

    def view_of_crops(self, folder: Path) -> View | None:
        """How the person in a folder of cropped faces looks (`see_crops`); None if no face can be recognised in them."""
        from vatrace.features.cropped_faces import view_of_crops

        return view_of_crops(folder, self._landmarker, self._identities)

    def percept(self, perceived: Perceived, person: int | None, words: Sequence[Word] | None = None) -> Percept:
        """Put the features of one person on the grid: their face, and the voice and words of their own turns.

        Voice and words are everybody's where nothing is known about turns, as in a transcript.

        Args:
            perceived: what was seen and heard of everybody.
            person: the index in `perceived.people`; None for nobody in particular.
            words: used instead of those that were perceived.
        """
        from vatrace.features.people import rows_on_grid

        sight, sound, rate = perceived.sight, perceived.sound, perceived.rate
        steps = num_steps(perceived.duration, rate)
        own = perceived.is_theirs(person, np.arange(steps) / rate)
        said = sound.words if words is None else list(words)
        if perceived.turns:
            places = turns_of(said, perceived.turns, perceived.attribution.owners)
            said = [word for word, place in zip(said, places, strict=True) if perceived.turns[place].person == person]
        valid = {name: np.zeros(steps, bool) for name in MODALITIES}
        rows = np.full(steps, -1)
        if "face" in perceived.modalities and person is not None:
            rows = rows_on_grid(perceived.people[person], steps)
            valid["face"] = rows >= 0
        if "voice" in perceived.modalities:
            for covered in sound.covered:
                valid["voice"][covered.start : covered.stop] = True
            valid["voice"] &= spans_to_mask(sound.spans, steps, rate) & own
        vectors = self._spool("words")
        if "words" in perceived.modalities and said:
            from vatrace.encoders.words import words_on_grid

            for language, run in groupby(said, key=lambda word: word.language):
                encoder = self._words_encoder(language)
                for inside, vector in words_on_grid(list(run), encoder, rate) if encoder else ():
                    vectors.write(inside.start, np.repeat(vector[None], len(inside), axis=0))
                    valid["words"][inside.start : inside.stop] = True

        def features(start: int, stop: int) -> dict[str, NDArray[np.float16]]:
            return {
                "face": _gather(sight.embeddings, rows[start:stop]),
                "voice": sound.frames.read(start, stop),
                "words": vectors.read(start, stop),
            }

        def crops(start: int, stop: int) -> NDArray[np.uint8]:
            assert sight.crops is not None
            return _gather(sight.crops, rows[start:stop])

        kept = crops if self.keep_crops else None
        turns = [(turn.start, turn.end) for turn in perceived.turns if turn.person == person]
        speaking = spans_to_mask(turns, steps, rate) if perceived.turns and person is not None else None
        boxes = _boxes_at(sight.boxes, rows)
        also = _expressions(sight, rows) | _measures(sight, rows)
        if sound.prosody is not None:
            also |= _voice(sound, valid["voice"], said, rate)
        return Percept(rate, perceived.duration, valid, features, kept, said, speaking, boxes, also, _blinks(perceived, person))


def _check_end(recording: Recording, wanted: Collection[str], sight: Sight, sound: Sound) -> None:
    """Note if a recording is shorter than its container states, and set the end of one of which nothing had to be decoded.

    Raises:
        MediaError: if nothing in it can be decoded.
    """
    end = max(sight.end, sound.end)
    if not end and sound.voices is None and "face" not in wanted:  # nothing had to be decoded
        sound.end = recording.duration or packets_end(recording)
    elif not end and recording.kind != "image":
        reasons = "; ".join(sight.notes + sound.notes) or "it is empty"
        raise MediaError(f"{recording.path}: nothing in it can be decoded ({reasons})")
    elif recording.duration and end < recording.duration - MAX_SHORTFALL and ("face" in wanted or not recording.has_frames):
        sound.notes.append(f"ends at {end:.1f} s, although its container states a length of {recording.duration:.1f} s")


def _boxes_at(boxes: Sequence[tuple[float, ...]], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The boxes in the given rows (T, 4), NaN for -1 and where none are known."""
    found = np.full((len(rows), 4), np.nan)
    if boxes:
        found[rows >= 0] = np.array(boxes)[rows[rows >= 0]]
    return found


def _prosody(task: Task, end: float) -> NDArray[np.float64]:
    """Pitch and loudness of a recording that ends at `end` seconds; NaN without audio."""
    from vatrace.features.prosody import pitch_and_loudness
    from vatrace.features.speech import BLOCK_DUR

    steps = num_steps(end, task.rate)
    if not task.recording.has_audio:
        return np.full((steps, 2), np.nan)
    reader = AudioReader(task.recording.path, BLOCK_DUR, task.mix)
    return pitch_and_loudness(task.blocks(reader, first=1.0), task.rate, steps)


def _voice(sound: Sound, speech: NDArray[np.bool_], said: Sequence[Word], rate: float) -> dict[str, NDArray[np.float64]]:
    """The columns of a voice, from the rows (T,) with one person's voice and their words; NaN elsewhere."""
    from vatrace.features.prosody import PROSODY, pauses, speech_rate

    assert sound.prosody is not None
    others = spans_to_mask(sound.spans, len(speech), rate) & ~speech
    pitch, loudness = np.where(speech, sound.prosody.T, np.nan)
    pause = pauses(speech, others, rate) if sound.voices is not None else np.full(len(speech), np.nan)
    spoken = speech_rate(said, speech, rate) if said else np.full(len(speech), np.nan)
    return dict(zip(PROSODY, (pitch, loudness, spoken, pause), strict=True))


def _measures(sight: Sight, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """What the landmarks show, in the given rows (T,) of a person; NaN for -1, and for the gaze of closed eyes."""
    from vatrace.features.blinks import BLINK
    from vatrace.features.face_meter import MEASURES

    if sight.measures is None:
        return {}
    columns = dict(zip(MEASURES, _rows_of(sight.measures, rows).T, strict=True))
    openness = columns["eye_openness"]
    if (rows >= 0).any():
        closed = openness < BLINK * np.nanmedian(openness)
        columns |= {name: np.where(closed, np.nan, columns[name]) for name in ("gaze_yaw", "gaze_pitch")}
    return columns


def _blinks(perceived: Perceived, person: int | None) -> NDArray[np.float64] | None:
    """When the blinks of a person, by the index in `perceived.people`, begin; None if faces weren't measured."""
    from vatrace.features.blinks import blinks, joined

    if perceived.sight.measures is None:
        return None
    tracks = [] if person is None else perceived.people[person].tracks
    return blinks(*joined([track.openness for track in tracks]))


def _expressions(sight: Sight, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """The probabilities of expressions in the given rows (T,) of a person; NaN for -1."""
    if sight.expressions is None:
        return {}
    columns = _rows_of(sight.expressions, rows).T
    return {f"expression_{name}": column for name, column in zip(EXPRESSIONS, columns, strict=True)}


def _rows_of(spool: Spool, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The given rows (T,) of a spool (T, ...), NaN for -1."""
    values = np.full((len(rows), *spool.shape), np.nan)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        values[start : start + CHUNK][part >= 0] = _gather(spool, part)[part >= 0]
    return values


def _gather(spool: Spool, rows: NDArray[np.int64]) -> NDArray[Any]:
    """The given rows of a spool (n, ...), zeros for -1. Rows of one window lie close together."""
    present = rows >= 0
    if not present.any():
        return np.zeros((len(rows), *spool.shape), spool.dtype)
    first = rows[present].min()
    found = spool.read(first, rows.max() + 1)[np.where(present, rows - first, 0)]
    found[~present] = 0
    return found
