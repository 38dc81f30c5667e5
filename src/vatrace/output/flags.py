"""Short warnings about a trace, for tables of many recordings: which of them should somebody look at?"""

from __future__ import annotations

import numpy as np

from vatrace.features.hearing import LATE
from vatrace.features.perceived import DAMAGED, DARK_PICTURE
from vatrace.features.spoken_languages import shares
from vatrace.inference.notes import DARK, HEARD, MIN_SECONDS, OVEREXPOSED, SEEN
from vatrace.inference.prediction import Prediction
from vatrace.languages import ENGLISH
from vatrace.media.mixing import CLIPPED

LOW_SUPPORT = 0.5
"""Share of supported rows below which the means describe the smaller part of the recording."""
OTHER_SPEECH = 0.1
"""Share of the speech in languages other than English from which the words of the trace are incomplete. A single short word in
another language is no reason to look."""
MIN_DOUBTFUL = 3
"""Words left out as doubtful that, if they outnumber the others, suggest another language: one or two may be a cough."""
LOST_DUR, LOSSES = 0.5, 4.0
"""Seconds for which a face isn't visible that count as a loss, and losses a minute from which the face is lost often: then it
is visible for less than 15 s at a time."""

FLAGS = {
    "low support": f"less than {LOW_SUPPORT:.0%} of the time is supported by a face, voice or words",
    "other language": f"more than {OTHER_SPEECH:.0%} of the speech isn't in English, or most recognised words are doubtful",
    "several people": "other people were seen or heard",
    "face lost often": f"the face disappeared for {LOST_DUR:g} s or more at least {LOSSES:g} times a minute",
    "overexposed": "much of the skin is white",
    "dark": "the face, or a picture without a face, is nearly black",
    "clipped sound": "the peaks of the speech are cut off",
    "late sound": "the sound starts more than 0.5 s after the picture",
    "damaged": "some frames could not be decoded",
}
"""What each flag means, in the order in which flags are listed."""


def flags(prediction: Prediction) -> list[str]:
    """The flags of one person's trace, in the order of FLAGS."""
    found = {
        "low support": float(prediction.supported[prediction.counted].mean()) < LOW_SUPPORT,
        "other language": _is_foreign(prediction),
        "several people": _has_others(prediction),
        "face lost often": losses(prediction) >= LOSSES,
        "overexposed": OVEREXPOSED in prediction.notes,
        "dark": bool({DARK, DARK_PICTURE} & set(prediction.notes)),
        "clipped sound": CLIPPED in prediction.notes,
        "late sound": any(note.startswith(LATE) for note in prediction.notes),
        "damaged": any(note.startswith(DAMAGED) for note in prediction.notes),
    }
    return [name for name in FLAGS if found[name]]


def _is_foreign(prediction: Prediction) -> bool:
    durs = shares(prediction.languages)
    foreign = sum(dur for code, dur in durs.items() if code != ENGLISH)
    doubtful = prediction.words_left_out
    return foreign > OTHER_SPEECH * sum(durs.values()) or doubtful >= max(MIN_DOUBTFUL, len(prediction.words) + 1)


def _has_others(prediction: Prediction) -> bool:
    noted = any(f" {what}: " in note and note[:1].isdigit() for note in prediction.notes for what in (SEEN, HEARD))
    others = sum(turn.end - turn.start for turn in prediction.turns if turn.person != prediction.person)
    return noted or bool(prediction.others) or others >= MIN_SECONDS


def losses(prediction: Prediction) -> float:
    """How often the face is lost for LOST_DUR or longer, per minute between its first and its last appearance."""
    seen = np.flatnonzero(prediction.presence["face"] & prediction.counted)
    gaps = np.diff(seen) - 1
    num_lost = int((gaps >= LOST_DUR * prediction.rate).sum())
    return 0.0 if num_lost < 2 else 60 * num_lost * prediction.rate / float(seen[-1] - seen[0] + 1)
