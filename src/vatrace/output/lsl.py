"""Live values as a stream of the Lab Streaming Layer (LSL), in time with the other streams of a laboratory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING

from vatrace.errors import require
from vatrace.names import MODALITIES

if TYPE_CHECKING:
    from vatrace.inference.follower import Value

CHANNELS = ("valence", "arousal", "valence_low", "valence_high", "arousal_low", "arousal_high", *MODALITIES, "person")
"""Values that aren't known are NaN; face, voice and words are 1 if they were present, and 0 if not."""
LAST_DUR = 0.5
"""Seconds for which the stream stays open after the last value: a thread of LSL sends it."""
TYPE = "Affect"
"""Type of the stream, by which programs find it."""


@contextmanager
def open_outlet(name: str, rate: float) -> Iterator[Callable[[Value, float], None]]:
    """Offer a stream to the local network until the end of the block.

    Args:
        name: of the stream.
        rate: values a second.

    Yields:
        A function that sends a value, given also the time at which the live session started, on LSL's clock in seconds. The
        sample's time stamp is that of the value, not that of its sending.

    Raises:
        MissingExtraError: if pylsl isn't installed.
    """
    require("an LSL stream", ["pylsl"], "lsl")
    import pylsl

    info = pylsl.StreamInfo(name, TYPE, len(CHANNELS), rate, pylsl.cf_float32, f"vatrace-{name}")
    channels = info.desc().append_child("channels")
    for label in CHANNELS:
        channels.append_child("channel").append_child_value("label", label)
    outlet = pylsl.StreamOutlet(info)

    def send(value: Value, start: float) -> None:
        low, high = value.low or (math.nan, math.nan), value.high or (math.nan, math.nan)
        ends = (low[0], high[0], low[1], high[1])
        present = (float(value.presence[name]) for name in MODALITIES)
        outlet.push_sample([value.valence, value.arousal, *ends, *present, float(value.person)], start + value.time)

    yield send
    sleep(LAST_DUR)


def lsl_clock() -> float:
    """LSL's clock, in seconds."""
    import pylsl

    return float(pylsl.local_clock())
