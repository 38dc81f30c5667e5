from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from vatrace.inference.feed import MAX_BACKLOG, Feed
from vatrace.inference.streamer import Value
from vatrace.media.reading import SAMPLING_RATE


class SlowStreamer:
    """Takes a long time over everything."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.seen, self.heard, self.skipped = seconds, [], 0, 0.0
        self.ended: list[str] = []

    def add_frame(self, picture: Image.Image, moment: float) -> None:
        time.sleep(self.seconds)
        self.seen.append(moment)

    def add_audio(self, sound: np.ndarray, hurry: bool) -> None:
        time.sleep(self.seconds)
        self.heard += len(sound)

    def skip_audio(self, seconds: float) -> None:
        self.skipped += seconds

    def end(self, modality: str) -> None:
        self.ended.append(modality)

    def values(self, now: float) -> list[Value]:
        return [Value(now, 0.0, 0.0, {}, late=("voice",))]


def test_a_machine_that_can_not_keep_up_leaves_out_and_says_so() -> None:
    streamer = SlowStreamer(0.25)
    feed = Feed(streamer)  # type: ignore[arg-type]
    notes = set()
    for index in range(60):
        feed.add_frame(Image.new("RGB", (8, 8)), index / 20)
        feed.add_audio(np.ones(SAMPLING_RATE, np.float32), index + 1)  # twenty times faster than it is recorded
        notes.add(feed.poll(index / 20)[1].note)
        time.sleep(0.05)
    assert feed._waiting() <= MAX_BACKLOG
    feed.end("voice")
    feed.end("face")
    for thread in feed._threads:
        thread.join(5)
    feed.close()
    assert sorted(streamer.ended) == ["face", "voice"]
    assert streamer.skipped > MAX_BACKLOG and streamer.heard / SAMPLING_RATE + streamer.skipped == 60  # all is accounted for
    assert len(streamer.seen) < 20 and streamer.seen == sorted(streamer.seen)
    assert any("processes only" in note for note in notes)
    assert any("the voice is late for 100%" in note for note in notes)


@pytest.mark.parametrize(("stall", "lost"), [(1.0, False), (2.5, False), (2.5, True)])
def test_sound_that_is_lost_on_the_way_is_told_from_sound_that_is_held_up(stall: float, lost: bool) -> None:
    streamer = SlowStreamer(0)
    feed = Feed(streamer)  # type: ignore[arg-type]
    for step in range(1, 200):  # 20 s in blocks of 0.1 s
        moment = step / 10
        held_up = 6 < moment <= 6 + stall
        if not (lost and held_up):
            feed.add_audio(np.ones(SAMPLING_RATE // 10, np.float32), 6 + stall if held_up else moment)
        time.sleep(0.002)
    feed.end("voice")
    feed._threads[1].join(5)
    feed.close()
    assert streamer.heard / SAMPLING_RATE + streamer.skipped == pytest.approx(19.9, abs=0.1)


def test_an_error_in_its_threads_is_raised_where_values_are_asked_for() -> None:
    class Broken(SlowStreamer):
        def add_frame(self, picture: Image.Image, moment: float) -> None:
            raise ValueError("no eyes")

    feed = Feed(Broken(0))  # type: ignore[arg-type]
    feed.add_frame(Image.new("RGB", (8, 8)), 0.0)
    time.sleep(0.2)
    with pytest.raises(ValueError, match="no eyes"):
        feed.poll(1.0)
    feed.close()


def test_what_is_waiting_at_the_end_is_still_processed() -> None:
    streamer = SlowStreamer(0.3)
    feed = Feed(streamer)  # type: ignore[arg-type]
    feed.add_frame(Image.new("RGB", (8, 8)), 1.9)
    for step in range(20):
        feed.add_audio(np.ones(SAMPLING_RATE // 10, np.float32), step / 10)
    values = feed.drain(2.05)
    feed.close()
    assert streamer.seen == [1.9] and streamer.heard == 2 * SAMPLING_RATE and sorted(streamer.ended) == ["face", "voice"]
    assert values == []  # its only value is at 2.05 s, and that is the end
