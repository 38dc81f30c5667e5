"""A made-up recording of several people, who speak one after the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from vatrace.inference.prediction import OFF_SCREEN, SEVERAL, Prediction, Turn
from vatrace.media.transcripts import Word


def composed(num_people: int, source: Path = Path("talk.mp4"), steps: int = 0) -> Prediction:
    """People in a row, each a second of speech: person N says "word N." from N - 1 s on and has the valence N / 10.

    Then somebody off screen speaks for a second, and then several at once. At 10 Hz; `steps` rows, or to the end of the speech.
    """
    steps = steps or 10 * (num_people + 2)
    times = np.arange(steps) / 10
    names = [*map(str, range(1, num_people + 1)), OFF_SCREEN, SEVERAL]
    turns = [
        Turn(
            second,
            second + 1,
            name,
            () if name == SEVERAL else (Word("word", second, second + 0.4), Word(f"{name}.", second + 0.5, second + 0.9)),
        )
        for second, name in enumerate(names)
    ]
    people = []
    for place, turn in enumerate(turns[:num_people]):
        speaking = (times >= turn.start) & (times < turn.end)
        left = place / num_people
        boxes = np.tile([left + 0.02, 0.2, left + 0.8 / num_people, 0.6], (steps, 1))
        presence = {"face": np.ones(steps, bool), "voice": speaking, "words": speaking}
        valence, arousal = np.full(steps, (place + 1) / 10), np.full(steps, -(place + 1) / 20)
        people.append(
            Prediction(
                *(source, 10.0, times, valence, arousal, presence, list(turn.words)),
                boxes=boxes,
                person=turn.person,
                speaking=speaking,
                turns=turns,
            )
        )
    return replace(people[0], others=tuple(people[1:]))
