"""Who is followed live, when others come and go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vatrace.inference.eyes import BRIEF_SECONDS, MAX_GAP, NEW_PERSON_SECONDS, Eyes, Seen
from vatrace.media.reading import VideoReader

RATE = 10.0
Place = tuple[str, int, float]
"""A speaker's clip, or the empty studio; how far to the right; and how large."""


@pytest.fixture(scope="module")
def clips(shared: Path) -> dict[str, list[Image.Image]]:
    """Two women who look alike, and two men."""
    names = ("brbk7n", "lbbc2a", "bbaf2n", "pwij3p")
    return {name: [frame.image for frame in VideoReader(shared / "clips" / f"{name}.mpg", RATE)][:24] for name in names}


def scene(clips: dict[str, list[Image.Image]], step: int, places: Sequence[Place], still: str = "") -> Image.Image:
    image = Image.new("RGB", (760, 300), (90, 100, 110))
    for name, left, size in places:
        frame = clips[name][0 if name == still else abs((step % 46) - 23)]
        image.paste(frame.resize((round(360 * size), round(288 * size))), (left, 0))
    return image


def watch(
    clips: dict[str, list[Image.Image]], shots: Sequence[tuple[float, Sequence[Place]]], still: str = "", rate: float = RATE
) -> list[Seen]:
    """What is in view in each frame of shots of so many seconds."""
    eyes, seen, step = Eyes(RATE), [], 0
    for seconds, places in shots:
        for _ in range(round(seconds * rate)):
            eyes.add_frame(scene(clips, step, places, still), step / rate)
            seen.append(eyes.at(step / rate))
            step += 1
    return seen


def faces(seen: Sequence[Seen]) -> float:
    """Share of moments with the face of the person who is followed."""
    return float(np.mean([moment.vector is not None for moment in seen]))


def test_a_larger_person_who_steps_in_front_is_not_followed_and_the_first_one_is_when_back(
    clips: dict[str, list[Image.Image]],
) -> None:
    mine, other = ("brbk7n", 0, 0.8), ("lbbc2a", 380, 1.0)
    seen = watch(clips, [(2, [mine]), (2, [mine, other]), (4, [other]), (2, [("brbk7n", 300, 1.0)]), (2, [])])
    alone, both, gone, back, empty = seen[:20], seen[20:40], seen[40:80], seen[80:100], seen[101:]
    assert faces(alone) == faces(both) == 1 and faces(gone) == faces(empty) == 0 and faces(back) > 0.9
    assert {moment.person for moment in seen} == {1}
    assert [{moment.others for moment in part[8:]} for part in (alone, both, gone, back, empty)] == [{0}, {1}, {1}, {0}, {0}]


def test_another_person_is_followed_only_after_a_long_time_and_with_a_new_number(clips: dict[str, list[Image.Image]]) -> None:
    mine, other = ("bbaf2n", 0, 1.0), ("pwij3p", 380, 1.0)
    rate = 4.0
    seen = watch(clips, [(3, [mine]), (NEW_PERSON_SECONDS + 4, [other]), (3, [mine, other])], rate=rate)
    changed = next(index for index, moment in enumerate(seen) if moment.person == 2) / rate
    assert 3 + NEW_PERSON_SECONDS <= changed <= 3 + NEW_PERSON_SECONDS + 1
    before, after = seen[round(3 * rate) : round(changed * rate)], seen[round(changed * rate) :]
    assert faces(before) == 0 and faces(after) == 1 and {moment.person for moment in after} == {2}
    assert seen[-1].others == 1  # the first one is back, and isn't followed


def test_somebody_who_was_seen_only_briefly_is_not_waited_for(clips: dict[str, list[Image.Image]]) -> None:
    first, other = ("bbaf2n", 0, 1.0), ("pwij3p", 380, 1.0)
    brief = BRIEF_SECONDS / 4  # as if the first pictures of a camera showed nobody who can be recognised
    seen = watch(clips, [(brief, [first]), (4, [other])])
    changed = next(index for index, moment in enumerate(seen) if moment.person == 2) / RATE
    assert brief + MAX_GAP <= changed <= brief + MAX_GAP + 0.5
    assert faces(seen[round(changed * RATE) :]) == 1


def test_somebody_who_comes_and_goes_is_never_followed_instead(clips: dict[str, list[Image.Image]]) -> None:
    mine, other = ("bbaf2n", 0, 1.0), ("pwij3p", 380, 1.0)
    shots = [(3, [mine]), (NEW_PERSON_SECONDS / 2, [other]), (2, []), (NEW_PERSON_SECONDS / 2 + 4, [other])]
    seen = watch(clips, shots, rate=4.0)
    assert {moment.person for moment in seen} == {1} and faces(seen[13:]) == 0


def test_a_photograph_is_not_a_person_in_view_and_not_followed_if_somebody_moves(clips: dict[str, list[Image.Image]]) -> None:
    photograph, mine = ("pwij3p", 380, 1.0), ("brbk7n", 0, 0.8)
    seen = watch(clips, [(8, [photograph, mine])], still="pwij3p")
    assert {moment.person for moment in seen[-20:]} == {2} and {moment.others for moment in seen[-20:]} == {0}
    assert faces(seen) == 1 and seen[30].person == 1  # until it is known to be a photograph


def test_before_anybody_is_seen_nobody_is_followed(clips: dict[str, list[Image.Image]]) -> None:
    assert watch(clips, [(0.5, [])]) == [Seen()] * 5
