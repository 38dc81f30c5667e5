"""Chooses which of the people in a recording was annotated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vatrace.corpora.corpus import Source
from vatrace.errors import MediaError
from vatrace.features.attribution import Attribution
from vatrace.features.choice import choose, find_person, several_faces
from vatrace.features.people import MIN_SHARE_OF_OTHERS, people_like
from vatrace.features.perceived import Perceived, Sight
from vatrace.files import shown
from vatrace.media.recording import Recording

if TYPE_CHECKING:
    from vatrace.features.perceiver import Perceiver

EVERYBODYS = "so voice and words include everyone's speech"
"""The end of a note, if the annotated person's turns aren't known."""

Choice = tuple[Perceived, int | None, list[str]]
"""What was perceived, the index of the annotated person in its `people` (None for nobody), and what the user should know."""


def has_several_voices(perceived: Perceived) -> bool:
    """Whether there is more than one voice, so that it matters who speaks."""
    return len({turn.voice for turn in perceived.turns}) > 1


def choose_annotated(source: Source, recording: Recording, perceived: Perceived, perceiver: Perceiver) -> Choice:
    """Choose the person whom the corpus names, or the main one.

    Args:
        source: what the corpus says about the recording.
        recording: its media.
        perceived: what was seen and heard in it.
        perceiver: recognises the face in a picture.

    Raises:
        MediaError: if the person isn't in the recording, or the picture can't be used.
    """
    if source.person is None and source.face_folder is None:
        return perceived, next(iter(choose(perceived, "main")), None), []
    if recording.has_frames and "face" not in perceived.modalities:
        several = has_several_voices(perceived)
        notes = [f"several people speak, but faces are not used, {EVERYBODYS}"] if several else []
        return replace(perceived, attribution=Attribution([])), None, notes
    index, notes = _named(source, perceived, perceiver)
    return perceived, index, notes


def choose_cropped(source: Source, perceived: Perceived, sight: Sight, perceiver: Perceiver) -> Choice:
    """Take the faces of a recording from its cropped faces, and voice and words from the turns of the same person.

    Args:
        source: what the corpus says about the recording.
        perceived: what was heard in it; and if several people speak, also what was seen.
        sight: the cropped faces.
        perceiver: recognises them.
    """
    (cropped,) = sight.people
    alone = replace(perceived, sight=sight, people=[cropped], attribution=Attribution([]))
    if not has_several_voices(perceived):
        return alone, 0, []
    assert source.face_folder is not None
    view = perceiver.view_of_crops(source.face_folder)
    alike = [] if view is None else people_like(perceived.people, view)
    index = alike[0] if alike else None
    if len(alike) != 1 and source.person is not None:
        try:
            index, _ = _named(source, perceived, perceiver)
        except MediaError:
            index = None
    if index is None:
        return alone, 0, [f"several people speak, but the cropped face was not found in the video, {EVERYBODYS}"]
    people = list(perceived.people)
    people[index] = cropped
    return replace(perceived, sight=sight, people=people), index, []


def _named(source: Source, perceived: Perceived, perceiver: Perceiver) -> tuple[int, list[str]]:
    """The index of the person whom the corpus names, and doubts about it."""
    person, people = source.person, perceived.people
    if isinstance(person, Path):
        view, num_faces = perceiver.view_of(person)
        index, doubts = find_person(people, view, shown(person.name))
        if index is None:
            raise MediaError(f"{source.media}: nobody in it looks like {shown(person.name)}")
        return index, several_faces(shown(person.name), num_faces) + doubts
    if isinstance(person, int):
        if not 1 <= person <= len(people):
            found = "1 was found" if len(people) == 1 else f"{len(people)} were found"
            raise MediaError(f"{source.media}: there is no person {person} in it; {found}")
        return person - 1, []
    assert person is not None
    longest = max((len(one.steps) for one in people), default=0)
    seen = [index for index, one in enumerate(people) if one.tracks and len(one.steps) > MIN_SHARE_OF_OTHERS * longest][:2]
    if not seen:
        raise MediaError(f"{source.media}: nobody was seen, so nobody is on the {person}")
    index = sorted(seen, key=lambda index: people[index].centre)[0 if person == "left" else -1]
    doubts = [f"only one person was seen, who is taken for the one on the {person}"] if len(seen) == 1 else []
    if people[index].moves is False:
        how = "never moves, so it is probably" if people[index].is_still else "hardly moves, so it may be"
        doubts.append(f"the face on the {person} {how} a photograph")
    return index, doubts
