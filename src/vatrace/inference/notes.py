"""Notes on whom a trace follows, and on what was left out of it."""

from __future__ import annotations

from vatrace.features.choice import candidates, spoken
from vatrace.features.perceived import Perceived
from vatrace.inference.fusion import Masks
from vatrace.inference.prediction import NOBODY
from vatrace.inference.spoken import label
from vatrace.names import People

MIN_SECONDS = 0.5
"""Seconds of speech below which there is no note, because it would not be worth reading."""
SEEN, HEARD = "people seen", "voices heard"
"""In the note on several people, after their number."""
OVEREXPOSED = "the face is overexposed (much of the skin is white), so its values may be wrong"


def people_notes(perceived: Perceived, people: People, chosen: list[int], named: str) -> list[str]:
    """What the user should know about the choice of people.

    Args:
        perceived: the recording.
        people: who was asked for.
        chosen: the indices of those who were found.
        named: the file name of the picture of the person who was asked for (`--person`); "" for none.
    """
    notes = []
    found = candidates(perceived)
    heard = bool(perceived.people) and not perceived.people[0].tracks
    what = HEARD if heard else SEEN
    if len(found) > 1:
        notes.append(f"{len(found)} {what}: {_choice(perceived, people, chosen, named, heard)}")
    if people in {"left", "right"} and (len(found) < 2 or heard):
        seen = "nobody was seen" if heard else "fewer than two people were seen"
        notes.append(f"{seen}, so left and right make no difference")
    for index in found:
        other = perceived.people[index].looks_like
        if other is not None:
            notes.append(
                f"person {label(index)} looks like person {label(other)} (a twin, a mirror or a screen?), "
                "so they may be mistaken for each other"
            )
    return notes + _still_notes(perceived, chosen, heard)


def _choice(perceived: Perceived, people: People, chosen: list[int], named: str, heard: bool) -> str:
    """Which of several people was chosen, as the second half of a note."""
    most = "the one that speaks longest" if heard else "the most prominent one"
    if any(person.is_still or person.hardly_moves for person in perceived.people) and not heard:
        most += " who moves"
    if named:
        return f"the trace follows the one in {named}"
    if len(chosen) > 1:
        which = "each" if len(chosen) == len(candidates(perceived)) else f"each of the {len(chosen)} most prominent"
        return f"{which} has a trace, starting with {most}"
    if people in {"left", "right"} and not heard:
        return f"the trace follows the one on the {people}"
    return f"the trace follows {most}"


def _still_notes(perceived: Perceived, chosen: list[int], heard: bool) -> list[str]:
    notes = []
    for index in sorted({*chosen, *candidates(perceived)}):
        person = perceived.people[index]
        who = "the face that the trace follows" if chosen == [index] else f"person {label(index)}"
        if person.is_still:
            notes.append(f"{who} never moves, so it is probably a photograph")
        elif person.hardly_moves:
            notes.append(f"{who} hardly moves, so it may be a photograph")
    passed = sum(person.is_still for index, person in enumerate(perceived.people) if index not in chosen)
    if passed:
        rest = "; the trace is based on the audio" if heard else ""
        if passed == 1:
            notes.append(f"one face was not followed: it never moves, so it is probably a photograph{rest}")
        else:
            notes.append(f"{passed} faces were not followed: they never move, so they are probably photographs{rest}")
    return notes


def speech_notes(perceived: Perceived, chosen: list[int]) -> list[str]:
    """What the user should know about speech that is not part of any trace, or of the wrong one."""
    notes = []
    off_screen = spoken(perceived, None)
    of_others = sum(spoken(perceived, index) for index in range(len(perceived.people)) if index not in chosen)
    several = sum(turn.end - turn.start for turn in perceived.turns if turn.voice is None)
    if of_others >= MIN_SECONDS:
        notes.append(f"{of_others:.1f} s of other people's speech was left out")
    if off_screen >= MIN_SECONDS:
        notes.append(f"{off_screen:.1f} s of off-screen speech was left out")
    if several >= MIN_SECONDS:
        notes.append(f"{several:.1f} s of overlapping speech was left out")
    if perceived.attribution.unclear >= MIN_SECONDS:
        notes.append(f"it is uncertain who speaks in {perceived.attribution.unclear:.1f} s of speech")
    for speaker, other in perceived.attribution.alike:
        notes.append(
            f"the mouths of person {label(speaker)} and person {label(other)} move in unison, as in a mirror: "
            f"the speech was attributed to person {label(speaker)}"
        )
    return notes


def person_notes(perceived: Perceived, index: int | None, valid: Masks) -> list[str]:
    """What the user should know about one person's trace.

    Args:
        perceived: the recording.
        index: the person; None if there is nobody.
        valid: where each modality is present.
    """
    notes = []
    if index is not None and perceived.people[index].is_overexposed:
        notes.append(OVEREXPOSED)
    absent = {name for name in perceived.modalities if not valid[name].any()}
    if "face" in absent:
        notes.append("no face was followed" if perceived.sight.people else "no face found")
    if "voice" in absent:
        notes.append("none of the speech was attributed to this person" if perceived.turns else "no speech detected")
    if "words" in absent and not perceived.sound.num_unused and not ("voice" in absent and perceived.turns):
        notes.append("none of the words were attributed to this person" if perceived.sound.words else "no words recognised")
    if not any(mask.any() for mask in valid.values()):
        notes.append(NOBODY)
    return notes
