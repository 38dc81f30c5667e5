"""One recording that is being perceived, by two threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from threading import Event

import numpy as np
from numpy.typing import NDArray

from vatrace.media.mixing import Mix, choose_mix
from vatrace.media.reading import AudioReader
from vatrace.media.recording import Recording
from vatrace.names import Progress


@dataclass(frozen=True)
class Task:
    """A recording, how it is perceived, and how this ends.

    Attributes:
        recording: what is perceived.
        rate: steps a second.
        progress: called with the progress of each stage.
        also: what else is measured, of `names.ALSO`.
        stop: set when one thread fails, so that the other ends as well.
    """

    recording: Recording
    rate: float
    progress: Progress
    also: frozenset[str] = frozenset()
    stop: Event = field(default_factory=Event)

    @cached_property
    def mix(self) -> Mix:
        """The track, channels and level of the recording's audio."""
        return choose_mix(self.recording.path)

    def blocks(self, reader: AudioReader, first: float = 0.0, last: float = 1.0) -> Iterator[NDArray[np.float32]]:
        """The reader's blocks with the speech at its usual level, until the other thread fails.

        Args:
            reader: of the audio.
            first: share of the stage "voice and words" that is done at the start.
            last: and at the end.
        """
        duration, gain = self.recording.duration, np.float32(self.mix.gain)
        for block in reader:
            if self.stop.is_set():
                return
            yield block * gain
            if duration:
                self.progress("voice and words", first + (last - first) * min(reader.end / duration, 1.0))
