from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vatrace.errors import MediaError
from vatrace.features.faces import Detection
from vatrace.features.identity import DIM, SAME_PERSON, Identity, IdentityEncoder, View
from vatrace.features.landmarker import NUM_LANDMARKS, Landmarker, Roi
from vatrace.features.people import (
    Person,
    Track,
    group_tracks,
    people_like,
    rows_on_grid,
    view_in,
)
from vatrace.features.stillness import PATCH_SIZE, FacePatch
from vatrace.media.reading import VideoReader

POINTS = np.zeros((NUM_LANDMARKS, 2))


def view(*start: float) -> View:
    """A view whose embedding starts with these numbers and goes on with zeros."""
    return View(np.pad(np.array(start, dtype=float), (0, DIM - len(start))), 1.0)


def track(steps: range, look: list[float] | None = None, size: float = 10.0, centre: float = 0.0) -> Track:
    identity = Identity()
    if look is not None:
        identity.add(view(*look))
    return Track(
        steps=list(steps),
        sizes=[size] * len(steps),
        centres=[centre] * len(steps),
        rows=[2 * step for step in steps],
        identity=identity,
    )


def test_a_detection_counts_at_every_step_at_which_its_frame_is_shown() -> None:
    followed = Track()
    followed.add(Detection(0, Roi(50.0, 40.0, 30.0, 0.0), POINTS, 0.3, view(2.0)), range(3, 5), row=7)
    followed.add(Detection(0, Roi(60.0, 40.0, 20.0, 0.0), POINTS, 0.5), range(5, 6), row=9)
    followed.add(Detection(0, Roi(60.0, 40.0, 20.0, 0.0), POINTS, 0.6, view(1.0)), range(6, 7), row=11)
    assert (followed.steps, followed.rows) == ([3, 4, 5, 6], [7, 7, 9, 11])
    assert (followed.sizes, followed.centres) == ([30.0, 30.0, 20.0, 20.0], [50.0, 50.0, 60.0, 60.0])
    np.testing.assert_allclose(followed.identity.mean, view(1.5).embedding)


def test_people_who_return_again_and_again_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(5, DIM)) / 8  # about 2 from each other, and one person's 0.3
    tracks = [track(range(30 * i, 30 * i + 30), list(looks[i % 5] + rng.normal(0, 0.02, DIM))) for i in range(1000)]
    people = group_tracks(tracks, 30_000)
    assert sorted(len(person.tracks) for person in people) == [200] * 5


def test_faces_visible_at_the_same_time_are_never_one_person() -> None:
    assert len(group_tracks([track(range(10), [1, 0]), track(range(5, 15), [1, 0])], 15)) == 2
    assert len(group_tracks([track(range(10), [1, 0]), track(range(10, 15), [1, 0.1])], 15)) == 1


@pytest.mark.parametrize(("apart", "num_people"), [(SAME_PERSON - 0.01, 1), (SAME_PERSON + 0.01, 2)])
def test_faces_that_look_different_are_two_people(apart: float, num_people: int) -> None:
    assert len(group_tracks([track(range(10), [1, 0]), track(range(10, 15), [1, apart])], 15)) == num_people


def test_a_track_joins_the_person_it_is_most_like() -> None:
    first, second, third = track(range(10), [0.0]), track(range(10, 19), [0.6]), track(range(20, 28), [0.4])
    assert [found.tracks for found in group_tracks([first, second, third], 28)] == [[second, third], [first]]


def test_a_person_is_known_by_the_views_of_all_tracks() -> None:
    long, short, unseen = track(range(10), [0.0]), track(range(10, 15), [0.3]), track(range(20, 22))
    long.identity.add(view(0.0))
    known = Person([long, short, unseen], set(range(22))).identity
    assert known.weight == 3 and known.distance(view(0.1)) == pytest.approx(0.0, abs=1e-9)


def test_a_face_that_was_never_recognised_is_nobody_elses() -> None:
    assert len(group_tracks([track(range(10)), track(range(10, 15)), track(range(15, 19), [0.0])], 19)) == 3


def test_people_are_ranked_by_time_and_size() -> None:
    small, large = track(range(100), [1, 0], size=10), track(range(60), [0, 1], size=30)
    assert [found.tracks for found in group_tracks([small, large], 100)] == [[large], [small]]


def watched(steps: range, look: float, size: float, mouth: float, is_cut_off: bool = False) -> Track:
    """A track whose mouth opens by so much, at ten steps a second; of a face that `is_cut_off`, the pixels aren't known."""
    followed = track(steps, [look], size)
    rng = np.random.default_rng(0)
    face = rng.normal(size=POINTS.shape) * 40
    for step in steps:
        points = face + rng.normal(0, 0.05, POINTS.shape)
        points[:60, 1] += mouth * np.sin(step)
        patch = FacePatch(Image.new("L", (PATCH_SIZE, PATCH_SIZE), 100), np.eye(2, 3), 1)
        followed.motion.add(points, step / 10, None if mouth or is_cut_off else patch)
    return followed


def test_a_photograph_comes_after_those_who_move() -> None:
    photograph, speaker = watched(range(100), 0.0, 50.0, 0.0), watched(range(100), 1.0, 20.0, 6.0)
    first, last = group_tracks([photograph, speaker], 100)
    assert (first.tracks, last.tracks) == ([speaker], [photograph])
    assert last.is_still and not first.is_still


def test_a_face_of_which_it_is_doubtful_that_it_moves_comes_after_those_who_do() -> None:
    doubtful, speaker = watched(range(100), 0.0, 50.0, 0.0, True), watched(range(100), 1.0, 20.0, 6.0)
    photograph, passing = watched(range(100), 2.0, 60.0, 0.0), watched(range(25), 1.0, 20.0, 6.0)
    found = group_tracks([photograph, doubtful, speaker], 100)
    assert [person.tracks for person in found] == [[speaker], [doubtful], [photograph]]
    assert [(person.moves, person.hardly_moves, person.is_still) for person in found] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    long = watched(range(300), 0.0, 50.0, 0.0, True)
    assert [person.tracks for person in group_tracks([long, passing], 300)] == [[long], [passing]]


def test_a_photograph_comes_before_who_merely_passes_by() -> None:
    photograph, passing = watched(range(300), 0.0, 50.0, 0.0), watched(range(25), 1.0, 20.0, 6.0)
    assert [found.tracks for found in group_tracks([passing, photograph], 300)] == [[photograph], [passing]]


def test_a_person_of_whom_one_track_moves_is_no_photograph() -> None:
    still, moving = watched(range(100), 0.0, 50.0, 0.0), watched(range(100, 130), 0.0, 50.0, 6.0)
    (person,) = group_tracks([still, moving], 130)
    assert not person.is_still


@pytest.mark.parametrize(("num_steps", "num_people"), [(1, 1), (2, 1), (3, 0), (100, 0)])
def test_a_face_in_two_steps_of_many_is_a_false_detection(num_steps: int, num_people: int) -> None:
    assert len(group_tracks([track(range(min(2, num_steps)), [1, 0])], num_steps)) == num_people


def test_no_tracks_are_nobody() -> None:
    assert group_tracks([], 10) == []


def test_rows_on_grid_are_at_their_steps_and_those_beyond_the_end_are_dropped() -> None:
    found = Person([track(range(3, 8), [1, 0]), track(range(0, 1), [1, 0])], set())
    assert rows_on_grid(found, 6).tolist() == [0, -1, -1, 6, 8, 10]


def test_a_double_is_seen_at_the_same_time_and_cannot_be_told_apart() -> None:
    first, twin = track(range(50), [0.0], size=30), track(range(20, 60), [SAME_PERSON - 0.01], size=20)
    stranger = track(range(60), [0.0, 2 * SAME_PERSON], size=5)
    people = group_tracks([stranger, twin, first], 60)
    assert [person.tracks for person in people] == [[first], [twin], [stranger]]
    assert [person.looks_like for person in people] == [None, 0, None]


def test_the_person_in_a_picture_is_the_nearest_one_or_nobody() -> None:
    people = [Person([track(range(9), [0.0])], set(range(9))), Person([track(range(9), [1.0])], set(range(9)))]
    people.append(Person([track(range(9))], set(range(9))))  # never recognised, as in face crops
    assert people_like(people, view(0.1)) == [0] and people_like(people, view(0.9)) == [1]
    assert people_like(people, view(1.0, SAME_PERSON + 0.01)) == [] == people_like([], view(0.0))


def test_the_largest_face_in_an_image_is_the_one_that_is_wanted(shared: Path, tmp_path: Path) -> None:
    landmarker, identities = Landmarker(), IdentityEncoder()
    pictures = [next(iter(VideoReader(shared / "clips" / f"{name}.mpg", 10))).image for name in ("bbaf2n", "brbk7n")]
    views = []
    for name, image in zip(("one.png", "other.png"), pictures, strict=True):
        image.save(tmp_path / name)
        found, num_faces = view_in(tmp_path / name, landmarker, identities)
        views.append(found)
        assert num_faces == 1
    both = Image.new("RGB", (720, 288))
    both.paste(pictures[0].resize((240, 192)), (0, 0))
    both.paste(pictures[1], (360, 0))
    both.save(tmp_path / "both.png")
    found, num_faces = view_in(tmp_path / "both.png", landmarker, identities)
    assert num_faces == 2 and found.distance(views[1]) < 0.2 < SAME_PERSON < found.distance(views[0])


def test_an_image_without_a_face_and_a_video_are_refused_by_name(shared: Path, tmp_path: Path) -> None:
    landmarker, identities = Landmarker(), IdentityEncoder()
    Image.new("RGB", (100, 100)).save(tmp_path / "wall.png")
    with pytest.raises(MediaError, match=r"wall\.png: no face was found in it"):
        view_in(tmp_path / "wall.png", landmarker, identities)
    with pytest.raises(MediaError, match=r"bbaf2n\.mpg: not an image"):
        view_in(shared / "clips" / "bbaf2n.mpg", landmarker, identities)
    with pytest.raises(MediaError, match=r"no\.jpg: no such file"):
        view_in(tmp_path / "no.jpg", landmarker, identities)
