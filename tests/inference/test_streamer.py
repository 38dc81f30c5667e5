from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from vatrace.inference.eyes import as_image
from vatrace.inference.follower import Value
from vatrace.inference.streamer import MAX_BACKLOG, Streamer
from vatrace.media.reading import SAMPLING_RATE


class SlowFollower:
    """Takes a long time over everything."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.seen, self.heard, self.skipped = seconds, [], 0, 0.0
        self.ended: list[str] = []

    def add_frame(self, picture: Image.Image, moment: float) -> None:
        time.sleep(self.seconds)
        self.seen.append(moment)

    def add_audio(self, sound: np.ndarray, hurry: bool) -> None:
        time.sleep(2 * self.seconds)
        self.heard += len(sound)

    def skip_audio(self, seconds: float) -> None:
        self.skipped += seconds

    def end(self, modality: str) -> None:
        self.ended.append(modality)

    def values(self, now: float) -> list[Value]:
        return [Value(now, 0.0, 0.0, {}, late=("voice",))]


Make = Callable[[SlowFollower], Streamer]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes streamers of other followers, and stops them."""
    made = []

    def make(follower: SlowFollower) -> Streamer:
        monkeypatch.setattr("vatrace.inference.streamer.Follower", lambda *_: follower)
        made.append(Streamer())
        return made[-1]

    yield make
    for streamer in made:
        streamer.stop()


def test_a_machine_that_can_not_keep_up_leaves_out_and_says_so(make: Make) -> None:
    follower = SlowFollower(0.25)
    streamer = make(follower)
    notes = set()
    for index in range(60):
        streamer.add_frame(Image.new("RGB", (8, 8)), index / 20)
        streamer.add_audio(np.ones(SAMPLING_RATE, np.float32), index + 1)  # twenty times faster than it is recorded
        notes.add(streamer.poll(index / 20)[1].note)
        time.sleep(0.05)
    assert streamer._waiting() <= MAX_BACKLOG + 1
    streamer.end("voice")
    streamer.end("face")
    for thread in streamer._works:
        thread.join(5)
    assert sorted(follower.ended) == ["face", "voice"]
    assert follower.skipped > MAX_BACKLOG and follower.heard / SAMPLING_RATE + follower.skipped == 60  # all is accounted for
    assert len(follower.seen) < 20 and follower.seen == sorted(follower.seen)
    assert any("processes only" in note for note in notes)
    assert any("the voice is late for 100%" in note for note in notes)


@pytest.mark.parametrize(("stall", "lost"), [(1.0, False), (2.5, False), (2.5, True)])
def test_sound_that_is_lost_on_the_way_is_told_from_sound_that_is_held_up(make: Make, stall: float, lost: bool) -> None:
    follower = SlowFollower(0)
    streamer = make(follower)
    for step in range(1, 200):  # 20 s in blocks of 0.1 s
        moment = step / 10
        held_up = 6 < moment <= 6 + stall
        if not (lost and held_up):
            streamer.add_audio(np.ones(SAMPLING_RATE // 10, np.float32), 6 + stall if held_up else moment)
        time.sleep(0.002)
    streamer.end("voice")
    streamer._works[1].join(5)
    assert follower.heard / SAMPLING_RATE + follower.skipped == pytest.approx(19.9, abs=0.1)


def test_an_error_in_its_threads_is_raised_where_values_are_asked_for(make: Make) -> None:
    class Broken(SlowFollower):
        def add_frame(self, picture: Image.Image, moment: float) -> None:
            raise ValueError("no eyes")

    streamer = make(Broken(0))
    streamer.add_frame(Image.new("RGB", (8, 8)), 0.0)
    time.sleep(0.2)
    with pytest.raises(ValueError, match="no eyes"):
        streamer.poll(1.0)


def test_what_is_waiting_at_the_end_is_still_processed(make: Make) -> None:
    follower = SlowFollower(0.3)
    streamer = make(follower)
    streamer.add_frame(Image.new("RGB", (8, 8)), 1.9)
    for step in range(20):
        streamer.add_audio(np.ones(SAMPLING_RATE // 10, np.float32), step / 10)
    streamer.close(2.05)
    values = streamer.values()
    assert follower.seen == [1.9] and follower.heard == 2 * SAMPLING_RATE and sorted(follower.ended) == ["face", "voice"]
    assert values == []  # its only value is at 2.05 s, and that is the end


class Steps(SlowFollower):
    """Has a value for every step until now."""

    step = 0

    def values(self, now: float) -> list[Value]:
        steps = range(self.step, int(now * 10 + 1e-6))
        self.step = max(self.step, steps.stop)
        return [Value(step / 10, 0.0, 0.0, {}) for step in steps]


def test_a_block_of_any_length_is_used_although_it_is_longer_than_what_may_wait(make: Make) -> None:
    follower = Steps(0)
    with make(follower) as streamer:
        streamer.add_audio(np.zeros(1600, np.int16))
        streamer.add_audio(np.zeros(0))
        streamer.add_audio(np.zeros(48_000 * 20), sampling_rate=48_000)
    assert follower.skipped == 0 and follower.heard / SAMPLING_RATE == pytest.approx(20.1, abs=0.01)
    times = [value.time for value in streamer.values()]
    assert times == pytest.approx(np.arange(len(times)) / 10) and len(times) in {200, 201}
    assert streamer.values() == []


def test_it_is_iterated_over_while_another_thread_feeds_it(make: Make) -> None:
    streamer = make(Steps(0))

    def feed() -> None:
        with streamer:
            for _ in range(10):
                streamer.add_frame(Image.new("RGB", (8, 8)))
                time.sleep(0.1)

    source = Thread(target=feed)
    source.start()
    values = [(value.time, streamer.time) for value in streamer]
    source.join()
    assert [moment for moment, _ in values] == pytest.approx(np.arange(len(values)) / 10) and len(values) in {10, 11, 12}
    assert all(now - moment < 0.3 for moment, now in values[:-2])  # as soon as they are known


def test_iteration_ends_with_frames_and_audio(make: Make) -> None:
    streamer = make(Steps(0))
    streamer.add_audio(np.zeros(SAMPLING_RATE // 2))
    streamer.end("voice")
    streamer.end("face")
    assert [value.time for value in streamer] == pytest.approx(np.arange(5) / 10)


def test_a_callback_gets_every_value_and_what_it_raises_is_not_lost(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vatrace.inference.streamer.Follower", lambda *_: Steps(0))
    found: list[float] = []
    with Streamer(on_value=lambda value: found.append(value.time)) as streamer:
        streamer.add_audio(np.zeros(SAMPLING_RATE))
    assert found == pytest.approx(np.arange(10) / 10)
    with pytest.raises(ZeroDivisionError), Streamer(on_value=lambda _: 1 / 0) as streamer:
        streamer.add_audio(np.zeros(SAMPLING_RATE))


def test_after_an_error_nothing_is_waited_for(make: Make) -> None:
    follower = SlowFollower(0.2)
    with pytest.raises(KeyError), make(follower) as streamer:
        for moment in range(3):
            streamer.add_audio(np.zeros(SAMPLING_RATE), moment + 1)
        raise KeyError
    assert follower.heard < 3 * SAMPLING_RATE and not any(work.is_alive() for work in streamer._works)


def test_arguments_of_another_kind_are_refused_at_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    streamer = make(Steps(0))
    with pytest.raises(ValueError, match=r"one dimension.*\(10, 2\)"):
        streamer.add_audio(np.zeros((10, 2)))
    with pytest.raises(ValueError, match="sampling rate must be above 0"):
        streamer.add_audio(np.zeros(10), sampling_rate=0)
    with pytest.raises(ValueError, match="uint8"):
        streamer.add_frame(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="'words'"):
        streamer.end("words")
    silent = Streamer(has_audio=False)
    with pytest.raises(ValueError, match="has_audio=False"):
        silent.add_audio(np.zeros(10))
    silent.stop()


def test_an_array_of_opencv_is_the_same_picture() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(np.asarray(as_image(picture[..., ::-1], bgr=True)), picture)


def test_short_blocks_in_real_time_are_taken_at_once_and_give_the_words(speech: np.ndarray) -> None:
    block, waits = round(0.08 * SAMPLING_RATE), []
    with Streamer() as streamer:
        streamer.end("face")
        start = time.monotonic()
        for index in range(0, 5 * SAMPLING_RATE, block):
            before = time.monotonic()
            streamer.add_audio(speech[index : index + block])
            waits.append(time.monotonic() - before)
            time.sleep(max(start + (index + block) / SAMPLING_RATE - time.monotonic(), 0))
        used = time.monotonic() - start
    values = streamer.values()
    assert used < 5.5 and np.median(waits) < 0.01
    assert [value.time for value in values] == pytest.approx(np.arange(51) / 10)  # 63 blocks, 5.04 s
    assert "best of times" in " ".join(word.text for word in streamer.words).lower()
