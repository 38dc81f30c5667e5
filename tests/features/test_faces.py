from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from vatrace.features.faces import (
    CROP_SIZE,
    FER_DROP,
    FER_EYE_TO_EYE,
    FER_EYE_TO_MOUTH,
    MAX_FACES,
    Detection,
    FaceTracker,
    aligned_square,
    face_crop,
    is_overexposed,
)
from vatrace.features.landmarker import (
    LEFT_EYE,
    MOUTH,
    NUM_LANDMARKS,
    RIGHT_EYE,
    Landmarker,
    Roi,
    crop,
    roi_from_mesh,
    square_matrix,
)
from vatrace.features.people import Person, Track, group_tracks, rows_on_grid
from vatrace.media.reading import VideoReader


@pytest.fixture(scope="module")
def landmarker() -> Landmarker:
    return Landmarker()


def detections(landmarker: Landmarker, images: list[Image.Image], rate: float = 10) -> list[list[Detection]]:
    tracker = FaceTracker(landmarker)
    return [tracker.update(image, step / rate) for step, image in enumerate(images)]


def follow(landmarker: Landmarker, images: list[Image.Image]) -> list[Track]:
    """The tracks of a video with one frame a step."""
    tracks: dict[int, Track] = {}
    for step, found in enumerate(detections(landmarker, images)):
        for detection in found:
            tracks.setdefault(detection.track, Track()).add(detection, [step], row=step)
    return list(tracks.values())


def mesh(eye_to_eye: float, eye_to_mouth: float, angle: float = 0.0) -> NDArray[np.float64]:
    points = np.zeros((NUM_LANDMARKS, 2))
    points[list(RIGHT_EYE)] = (-eye_to_eye / 2, 0)
    points[list(LEFT_EYE)] = (eye_to_eye / 2, 0)
    points[list(MOUTH)] = (0, eye_to_mouth)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + 100


@pytest.mark.parametrize("angle", [0.0, 0.4, -0.4])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_aligned_square_puts_a_face_where_fer2013_has_it(angle: float, scale: float) -> None:
    square = aligned_square(mesh(FER_EYE_TO_EYE * scale, FER_EYE_TO_MOUTH * scale, angle))
    assert (square.side, square.angle) == pytest.approx((CROP_SIZE * scale, angle))
    # from the square's middle, back in the face's own upright frame, half-way from eyes to mouth is FER_DROP further down
    down = np.array([-np.sin(angle), np.cos(angle)])
    half_way = 100 + down * FER_EYE_TO_MOUTH * scale / 2
    np.testing.assert_allclose(half_way - (square.x, square.y), down * FER_DROP * scale, atol=1e-9)


@pytest.mark.parametrize("place", [(400, 300), (90, 500), (-900, -900)])
@pytest.mark.parametrize("finest", [1, 3])
def test_a_large_square_that_is_reduced_first_shows_the_same(place: tuple[int, int], finest: int) -> None:
    y, x = np.mgrid[:600, :800]
    waves = 128 + 60 * np.sin(x / 40) + 60 * np.cos(y / 50 + x / 90)
    image = Image.fromarray(waves.astype(np.uint8))
    matrix = square_matrix(Roi(*place, 500, 0.3), 48)
    shown, expected = (np.asarray(crop(image, matrix, 48, samples), float) for samples in (finest, 10))
    inside = np.asarray(crop(Image.new("L", image.size, 255), matrix, 48, 10)) == 255
    assert np.abs(shown - expected)[inside].max(initial=0) <= 3  # of 240 grey levels
    assert place == (400, 300) or not shown[0, 0]  # black where there is no picture


def test_turning_or_nodding_does_not_change_the_size_of_the_crop() -> None:
    frontal = aligned_square(mesh(FER_EYE_TO_EYE, FER_EYE_TO_MOUTH)).side
    assert aligned_square(mesh(FER_EYE_TO_EYE * 0.6, FER_EYE_TO_MOUTH)).side == pytest.approx(frontal)
    assert aligned_square(mesh(FER_EYE_TO_EYE, FER_EYE_TO_MOUTH * 0.7)).side == pytest.approx(frontal)


def test_a_face_is_overexposed_where_two_colours_are_lost() -> None:
    crop = np.full((48, 48, 3), 180, np.uint8)
    assert not is_overexposed(crop)
    crop[:, :, 0] = 255  # red alone, as of bright skin
    assert not is_overexposed(crop)
    crop[16:30, 16:32, 1] = 255
    assert is_overexposed(crop)
    around = np.full((64, 64, 3), 255, np.uint8)  # a bright background doesn't count
    around[4:60, 10:54] = 120
    assert not is_overexposed(around)


@pytest.mark.parametrize("degrees", [-25, 25])
def test_landmarks_turn_with_the_picture(landmarker: Landmarker, face_images: list[Image.Image], degrees: int) -> None:
    image = face_images[0].resize((352, 288))
    squares = []
    for picture in (image, image.rotate(degrees, Image.Resampling.BICUBIC)):
        roi = landmarker.detect(picture)[0]
        points = landmarker.landmarks(picture, roi).points
        squares.append(aligned_square(landmarker.landmarks(picture, roi_from_mesh(points)).points))
    assert np.degrees(squares[0].angle - squares[1].angle) == pytest.approx(degrees, abs=4)
    assert squares[1].side == pytest.approx(squares[0].side, rel=0.06)
    upright, turned_back = (
        face_crop(p, s) for p, s in zip((image, image.rotate(degrees, Image.Resampling.BICUBIC)), squares, strict=True)
    )
    assert np.corrcoef(upright.ravel(), turned_back.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("size", [(640, 360), (360, 640)])
def test_small_faces_in_wide_and_tall_pictures_are_found_once(
    landmarker: Landmarker, face_images: list[Image.Image], size: tuple[int, int]
) -> None:
    images = []
    for image in face_images[::6]:
        scene = Image.new("RGB", size, (90, 90, 90))
        scene.paste(image.resize((180, 135)), (size[0] // 3, size[1] // 3))  # its crop has a side of about 60 pixels
        images.append(scene)
    (person,) = group_tracks(follow(landmarker, images), len(images))
    assert len(person.steps) >= 0.9 * len(images)


def test_a_talking_face_is_one_track_all_the_time(landmarker: Landmarker, face_images: list[Image.Image]) -> None:
    images = face_images[::3]
    (track,) = follow(landmarker, images)
    assert len(track.steps) >= 0.95 * len(images)


def test_a_face_in_a_single_picture_of_many_is_a_mistake_but_in_a_still_is_a_face(
    landmarker: Landmarker, face_images: list[Image.Image]
) -> None:
    blank = Image.new("RGB", face_images[0].size, (90, 90, 90))
    assert group_tracks(follow(landmarker, [blank, blank, face_images[0], blank, blank]), 5) == []
    assert len(group_tracks(follow(landmarker, [face_images[0]]), 1)) == 1


def test_no_face_no_track(landmarker: Landmarker) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (144, 176, 3)).astype(np.uint8)
    assert follow(landmarker, [Image.new("RGB", (176, 144)), Image.fromarray(noise)]) == []


def test_the_larger_of_two_people_is_followed_and_not_confused(landmarker: Landmarker, face_images: list[Image.Image]) -> None:
    images = []
    for image in face_images[::6]:
        scene = Image.new("RGB", (640, 288), "black")
        scene.paste(ImageOps.mirror(image).resize((264, 216)), (12, 40))
        scene.paste(image.resize((352, 288)), (288, 0))
        images.append(scene)
    persons = group_tracks(follow(landmarker, images), len(images))
    assert len(persons) == 2
    assert all(min(track.centres) > 288 for track in persons[0].tracks)
    assert all(max(track.centres) < 288 for track in persons[1].tracks)


def test_a_face_that_goes_and_comes_back_stays_the_same_person(landmarker: Landmarker, face_images: list[Image.Image]) -> None:
    blank = Image.new("RGB", face_images[0].size, (90, 90, 90))
    images = [*face_images[:60:3], *[blank] * 40, *face_images[:60:3]]  # four seconds away: too long to rejoin by place
    persons = group_tracks(follow(landmarker, images), len(images))
    assert len(persons) == 1
    valid = rows_on_grid(persons[0], len(images)) >= 0
    assert valid[:20].mean() > 0.9 and not valid[20:60].any() and valid[60:].mean() > 0.9


@pytest.mark.parametrize("hidden_steps", [10, 30])
def test_a_face_that_is_hidden_keeps_its_number(
    landmarker: Landmarker, face_images: list[Image.Image], hidden_steps: int
) -> None:
    images = []
    for index in range(10 + hidden_steps + 10):
        scene = Image.new("RGB", (384, 144), (60, 70, 80))
        scene.paste(face_images[3 * (index % 10)], (192, 0))
        if 10 <= index < 10 + hidden_steps:
            scene.paste((60, 70, 80), (240, 10, 340, 110))
        images.append(scene)
    found = detections(landmarker, images)
    assert not any(found[11 : 10 + hidden_steps])
    assert sorted({detection.track for frame in found for detection in frame}) == [0]


GRID = ("bbaf2n.mpg", "lbax4n.mpg", "lrwp9a.mpg", "brbk7n.mpg")
"""Four speakers in one studio; the last two are the most alike of all speakers of the clips."""


@pytest.fixture(scope="module")
def speakers(shared: Path) -> dict[str, list[Image.Image]]:
    return {name: [frame.image for frame in VideoReader(shared / "clips" / name, 10)][:12] for name in GRID}


@pytest.mark.parametrize("names", list(permutations(GRID, 2)))
def test_a_cut_to_another_speaker_in_the_same_studio_is_another_person(
    landmarker: Landmarker, speakers: dict[str, list[Image.Image]], names: tuple[str, str]
) -> None:
    people = group_tracks(follow(landmarker, speakers[names[0]] + speakers[names[1]]), 24)
    assert [person.steps for person in sorted(people, key=lambda person: min(person.steps))] == [
        set(range(12)),
        set(range(12, 24)),
    ]


def test_a_cut_back_is_to_the_same_person(landmarker: Landmarker, speakers: dict[str, list[Image.Image]]) -> None:
    one, other = speakers["bbaf2n.mpg"], speakers["lrwp9a.mpg"]
    tracks = follow(landmarker, one + other + one)
    assert sorted(track.steps for track in tracks) == [[*range(12), *range(24, 36)], list(range(12, 24))]


def test_a_dissolve_to_another_speaker_is_another_person(
    landmarker: Landmarker, speakers: dict[str, list[Image.Image]]
) -> None:
    one, other = speakers["bbaf2n.mpg"], speakers["lrwp9a.mpg"]
    dissolve = [Image.blend(one[-1], other[0], step / 20) for step in range(1, 20)]
    people = group_tracks(follow(landmarker, one + dissolve + other * 4), 12 + 19 + 48)
    first, last = sorted(people, key=lambda person: min(person.steps))
    assert set(range(12)) <= first.steps and set(range(79 - 25, 79)) <= last.steps


def test_a_head_that_turns_in_a_close_up_is_one_person_who_is_never_lost(landmarker: Landmarker, shared: Path) -> None:
    images = [frame.image for frame in VideoReader(shared / "real" / "closeup_moving_head.mp4", 10)]
    (track,) = follow(landmarker, images)
    assert track.steps == list(range(len(images)))


def paste(size: tuple[int, int], *parts: tuple[Image.Image, int, int], keyed: bool = False) -> Image.Image:
    """Pictures at their places, the last in front; `keyed`: without the blue wall behind GRID's speakers."""
    scene = Image.new("RGB", size, (110, 110, 110))
    for picture, left, top in parts:
        red, green, blue = np.moveaxis(np.asarray(picture, dtype=int), -1, 0)
        wall = (blue - red > 15) & (green - red > 5) & keyed
        scene.paste(picture, (left, top), Image.fromarray((~wall * 255).astype(np.uint8)).filter(ImageFilter.MedianFilter(5)))
    return scene


def back_and_forth(images: list[Image.Image], step: int) -> Image.Image:
    return images[abs((step + len(images) - 1) % (2 * len(images) - 2) - len(images) + 1)]


def share_at(person: Person, steps: range, left: float, right: float) -> float:
    """At how many of the steps a person was seen between two places."""
    places = {step: x for track in person.tracks for step, x in zip(track.steps, track.centres, strict=True)}
    return float(np.mean([left < places.get(step, -1) < right for step in steps]))


def test_four_people_side_by_side_are_found_at_once(landmarker: Landmarker, speakers: dict[str, list[Image.Image]]) -> None:
    images = [paste((1440, 288), *((speakers[name][step], 360 * at, 0) for at, name in enumerate(GRID))) for step in range(12)]
    people = group_tracks(follow(landmarker, images), 12)
    assert [person.steps for person in people] == [set(range(12))] * 4
    assert sorted(int(person.centre // 360) for person in people) == [0, 1, 2, 3]


@pytest.mark.parametrize(("size", "seen_from"), [((216, 172), 0), ((126, 100), 0)])
def test_a_small_face_next_to_a_close_up_is_found(
    landmarker: Landmarker, speakers: dict[str, list[Image.Image]], size: tuple[int, int], seen_from: int
) -> None:
    close, small = speakers["bbaf2n.mpg"], speakers["brbk7n.mpg"]
    images = [paste((1280, 720), (close[k].resize((900, 720)), 0, 0), (small[k].resize(size), 1050, 90)) for k in range(12)]
    first, second = group_tracks(follow(landmarker, images), 12)
    assert first.steps == set(range(12)) and second.steps == set(range(seen_from, 12))
    assert first.centre < 700 and second.centre > 1050


@pytest.mark.parametrize(("size", "most_steps"), [((216, 172), 21), ((126, 100), 5 * 18 + 5)])
def test_who_comes_in_small_is_found_after_a_while(
    landmarker: Landmarker, speakers: dict[str, list[Image.Image]], size: tuple[int, int], most_steps: int
) -> None:
    """The large squares are searched every 2 s, and all fine ones within 9 s."""
    close, small = speakers["bbaf2n.mpg"], speakers["brbk7n.mpg"]
    tracker = FaceTracker(landmarker)
    for step in range(most_steps + 6):
        parts = [(back_and_forth(close, step).resize((900, 720)), 0, 0)]
        if step > 5:
            parts.append((back_and_forth(small, step).resize(size), 1050, 90))
        if len(tracker.update(paste((1280, 720), *parts), step / 10)) == 2:
            break
    else:
        pytest.fail("never found")


def crowd(speakers: dict[str, list[Image.Image]], step: int) -> Image.Image:
    """Forty faces, of which those in the last row are the largest."""
    parts = []
    for index in range(40):
        row, column = divmod(index, 8)
        scale = 0.6 if row == 4 else 0.4
        picture = back_and_forth(speakers[GRID[index % 4]], step + index).resize((round(360 * scale), round(288 * scale)))
        parts.append((picture, 220 * column, 124 * row))
    return paste((1760, 720), *parts)


def test_of_forty_faces_the_eight_largest_are_followed_and_all_are_counted(
    landmarker: Landmarker, speakers: dict[str, list[Image.Image]]
) -> None:
    tracker = FaceTracker(landmarker)
    found = [tracker.update(crowd(speakers, step), step / 10) for step in range(12)]
    assert all(len(frame) == MAX_FACES and min(face.square.y for face in frame) > 496 for frame in found)
    assert len({face.track for frame in found for face in frame}) == MAX_FACES
    assert 38 <= tracker.most_seen <= 41


def test_who_becomes_larger_takes_the_place_of_the_smallest(
    landmarker: Landmarker, speakers: dict[str, list[Image.Image]]
) -> None:
    tracker = FaceTracker(landmarker, max_faces=1)
    large, small = speakers["bbaf2n.mpg"][0], speakers["lbax4n.mpg"][0].resize((252, 202))
    images = [paste((720, 288), (large, 0, 0), (small, 400, 40))] * 2
    images += [paste((720, 288), (large.resize((180, 144)), 0, 0), (small, 400, 40))] * 12
    found = [tracker.update(image, step / 10) for step, image in enumerate(images)]
    assert [len(frame) for frame in found] == [1] * len(found)
    assert found[0][0].square.x < 360 < found[-1][0].square.x and tracker.most_seen == 2


@pytest.mark.parametrize("names", [("brbk7n.mpg", "bbaf2n.mpg"), ("lbax4n.mpg", "bbaf2n.mpg")])
def test_two_people_who_cross_keep_their_numbers(
    landmarker: Landmarker, speakers: dict[str, list[Image.Image]], names: tuple[str, str]
) -> None:
    behind, before = (speakers[name] for name in names)
    images = []
    for step in range(80):
        place = min(max(8 * (step - 5), 0), 540)
        further, nearer = (back_and_forth(clip, step) for clip in (behind, before))
        images.append(paste((900, 288), (further, 540 - place, 0), (nearer, place, 0), keyed=True))
    people = group_tracks(follow(landmarker, images), len(images))
    assert len(people) == 2
    one, other = sorted(people, key=lambda person: -share_at(person, range(20), 450, 900))
    assert share_at(one, range(20), 450, 900) == share_at(other, range(20), 0, 450) == 1
    assert share_at(one, range(60, 80), 0, 450) == share_at(other, range(60, 80), 450, 900) == 1


@pytest.mark.parametrize("name", ["bbaf2n.mpg", "brbk7n.mpg"])
def test_a_person_and_their_mirror_image_are_two_who_look_alike(
    landmarker: Landmarker, speakers: dict[str, list[Image.Image]], name: str
) -> None:
    mirrored = [ImageOps.mirror(image).resize((288, 230)) for image in speakers[name]]
    images = [paste((720, 288), (image, 0, 0), (other, 380, 30)) for image, other in zip(speakers[name], mirrored, strict=True)]
    images += [paste((720, 288), (image, 180, 0)) for image in speakers["lbax4n.mpg"]]
    images += images[:12]
    people = group_tracks(follow(landmarker, images), 36)
    assert len(people) == 3 and [person.steps for person in people].count({*range(12), *range(24, 36)}) == 2
    doubles = [person for person in people if person.looks_like is not None]
    assert len(doubles) == 1 and people[doubles[0].looks_like or 0].centre < doubles[0].centre


@pytest.mark.parametrize("slides", [["lbax4n.mpg"], ["lbax4n.mpg", "brbk7n.mpg"]])
def test_pictures_on_a_screen_come_after_the_person_beside_them(
    landmarker: Landmarker, speakers: dict[str, list[Image.Image]], slides: list[str]
) -> None:
    """A paused video, and a slideshow of several people; both larger than the person."""
    images = []
    for step in range(60):
        slide = speakers[slides[step // 30 % len(slides)]][0].resize((480, 384))
        images.append(paste((860, 400), (slide, 0, 0), (back_and_forth(speakers["bbaf2n.mpg"], step), 490, 60)))
    first, *others = group_tracks(follow(landmarker, images), 60)
    assert first.centre > 490 and first.steps == set(range(60)) and not first.is_still
    assert [person.is_still for person in others] == [True] * len(slides)


def test_a_mirrored_shot_shows_the_same_person(landmarker: Landmarker, speakers: dict[str, list[Image.Image]]) -> None:
    one, other = speakers["brbk7n.mpg"], speakers["lrwp9a.mpg"]
    images = one + other + [ImageOps.mirror(image) for image in one] + [ImageOps.mirror(image) for image in other]
    people = group_tracks(follow(landmarker, images), 48)
    assert sorted(sorted(person.steps) for person in people) == [
        [*range(12), *range(24, 36)],
        [*range(12, 24), *range(36, 48)],
    ]


def test_two_people_who_change_places_at_a_cut_are_not_confused(
    landmarker: Landmarker, speakers: dict[str, list[Image.Image]]
) -> None:
    one, other = speakers["bbaf2n.mpg"], speakers["lbax4n.mpg"]
    images = [paste((720, 288), (one[step], 0, 0), (other[step], 360, 0)) for step in range(12)]
    images += [paste((720, 288), (other[step], 0, 0), (one[step], 360, 0)) for step in range(12)]
    people = group_tracks(follow(landmarker, images), 24)
    assert [person.steps for person in people] == [set(range(24))] * 2
    for person in people:
        assert {share_at(person, range(12), 0, 360), share_at(person, range(12, 24), 0, 360)} == {0.0, 1.0}
