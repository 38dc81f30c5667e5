"""All columns of the tables that vatrace writes: what they mean, their units and ranges, and what an empty cell means.

The codebook, the side files, the labels in SPSS files and the check of the user's own column names are made from these lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from vatrace.encoders.face import EXPRESSIONS
from vatrace.features.blendshapes import BLENDSHAPES
from vatrace.names import DIMENSIONS, MODALITIES
from vatrace.output.flags import FLAGS

UNIT_RANGE = "-1..1"
SHARE = "0..1"
YES_NO = "0, 1"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: in the header; `N` stands for a number.
        meaning: in one sentence, for a reader who knows only the field.
        unit: "s" for seconds, "1/s", or "" for none or for text.
        range: of its values, such as "-1..1", or "text".
        missing: what an empty cell means; "" if no cell is ever empty.
    """

    name: str
    meaning: str
    unit: str = ""
    range: str = "text"
    missing: str = ""


POLES = {"valence": "from unpleasant (-1) to pleasant (1)", "arousal": "from calm (-1) to excited (1)"}
DETECTED = {
    "face": "a face was detected",
    "voice": "the person's voice was detected",
    "words": "words of the person were recognised",
}
NO_INTERVAL = "the model has no calibrated intervals"
UNSUPPORTED = "nothing supports the values there: no face, voice or words were detected"
LINE = ", relative to the line of sight from the camera"
SILENT = "the person's voice was not detected"
NO_FACE = "the face isn't visible"
NO_GAZE = f"{NO_FACE}, or the eyes are closed"
NOT_LISTENED = "the audio was not used"
OWN_COLUMN = "a column of your own list of recordings"


def _ends(name: str) -> list[Column]:
    return [
        Column(f"{name}_{end}", f"the {side} end of the model's 90 % interval of {name}", "", UNIT_RANGE, NO_INTERVAL)
        for end, side in (("low", "lower"), ("high", "upper"))
    ]


RECORDING = Column("recording", "the recording: its path below the folder, without its suffix")
PERSON = Column("person", "the person: 1 for the most prominent one in the recording, 2 for the next, and so on, or a name")

MEASURED = (
    *(
        Column(
            f"expression_{name}",
            f"probability, by the face network, that raters would call the facial expression {name}; the eight add up to 1",
            "",
            SHARE,
            NO_FACE,
        )
        for name in EXPRESSIONS
    ),
    Column("head_yaw", f"how far the face is turned to the right of the picture{LINE}", "deg", "-180..180", NO_FACE),
    Column("head_pitch", f"how far the face looks up{LINE}", "deg", "-90..90", NO_FACE),
    Column("head_roll", f"how far the head is tilted clockwise in the picture{LINE}", "deg", "-180..180", NO_FACE),
    Column(
        "gaze_yaw", "how far the eyes are turned to the right of the picture, relative to the head", "deg", "-90..90", NO_GAZE
    ),
    Column("gaze_pitch", "how far the eyes look up, relative to the head", "deg", "-90..90", NO_GAZE),
    Column("eye_openness", "distance between the lids by the length of the eye, mean of both eyes", "", "0..", NO_FACE),
    Column(
        "mouth_opening", "distance between the inner lips by that between the outer corners of the eyes", "", "0..", NO_FACE
    ),
    *(
        Column(
            f"blendshape_{name.removeprefix('_')}",
            f"strength of the movement {name} of the face, by MediaPipe's blendshape network; left and right are the person's",
            "",
            SHARE,
            NO_FACE,
        )
        for name in BLENDSHAPES
    ),
    Column("blink", "1 in the row in which a blink of up to 0.5 s begins, else 0", "", YES_NO, NO_FACE),
    Column("voice_pitch", "median pitch of the person's voice, 0 at 100 Hz", "semitones", "-5..31", f"{SILENT}, or not voiced"),
    Column("voice_loudness", "loudness of the voice, relative to the mean of the recording's speech", "dB", "-60..", SILENT),
    Column("speech_rate", "words by seconds of speech, within 2.5 s before and after", "1/s", "0..", f"{SILENT}, or no words"),
    Column("pause", "1 in silence of 0.25 to 2 s between two parts of the person's speech, else 0", "", YES_NO, NOT_LISTENED),
)
"""Those that `--also` adds."""

TRACE = (
    Column("time", "time from the start of the recording", "s", "0.."),
    *(Column(name, f"{name}, {POLES[name]}", "", UNIT_RANGE) for name in DIMENSIONS),
    *(Column(name, f"1 where {DETECTED[name]}, else 0", "", YES_NO) for name in MODALITIES),
    *(column for name in DIMENSIONS for column in _ends(name)),
    Column(
        "supported", "1 where at least one of face, voice and words was detected; where it is 0, leave the row out", "", YES_NO
    ),
    PERSON,
    Column("speaking", "1 where this person alone speaks, else 0", "", YES_NO, NOT_LISTENED),
    *(
        Column(
            f"{name}_share",
            f"the contribution of the {name} to the values of the row",
            "",
            SHARE,
            "leaving it out changes nothing",
        )
        for name in MODALITIES
    ),
    Column("recursion_N", "how far recursion N of the attention moved the point (valence, arousal)", "", "0..2.83"),
    *MEASURED,
)
"""Of the trace of a recording, as in `Prediction.to_pandas`."""

STATISTICS = {"mean": "mean", "sd": "standard deviation", "min": "minimum", "max": "maximum"}

SUMMARY = (
    RECORDING,
    PERSON,
    Column("duration", "length of the recording, or of the part that was asked for", "s", "0.."),
    *(
        Column(
            f"{name}_{short}",
            f"{long} of {name} over the supported rows",
            "",
            "0..1" if short == "sd" else UNIT_RANGE,
            "no row is supported, or only one",
        )
        for name in DIMENSIONS
        for short, long in STATISTICS.items()
    ),
    *(Column(name, f"share of the time in which {DETECTED[name]}", "", SHARE) for name in MODALITIES),
    Column("supported", "share of the time in which at least one of face, voice and words was detected", "", SHARE),
    Column("speaking", "share of the time in which this person alone speaks", "", SHARE, NOT_LISTENED),
    Column("language", "codes of the languages of the speech, the most frequent one first", missing="the language isn't known"),
    Column("language_probability", "probability of the first of these languages", "", SHARE, "it was named, or isn't known"),
    Column("words_left_out", "number of recognised words of the recording that were left out as doubtful", "", "0.."),
    Column("words_unused", "number of words of the recording that did not count because of their language", "", "0.."),
    Column("flags", f"reasons to look at the recording: {', '.join(FLAGS)}; separated by semicolons", missing="none"),
    Column("notes", "what you should know about the recording", missing="nothing to note"),
    Column("error", "why the recording failed", missing="it did not fail"),
    Column("vatrace", "version of vatrace"),
    Column("model", "file of the fusion model, and the start of its SHA-256"),
    Column("adapt", "file of --adapt, and the start of its SHA-256", missing="not used"),
    Column("modalities", "modalities that were used"),
    Column("transcript", "the transcript whose words were used", missing="speech was recognised, or words weren't used"),
    Column("people", "whose traces were asked for", missing="the most prominent person's"),
    Column("person picture", "the picture of the person who was followed", missing="none"),
)
"""Of the summary of a batch; when a recording failed, the cells after its name are empty."""

TURNS = (
    Column("start", "start of the turn", "s", "0.."),
    Column("end", "end of the turn", "s", "0.."),
    Column("person", "the speaker, as in the trace; `off screen` if not visible, `several` for overlapping speech"),
    Column("words", "the words said", missing="no words were recognised"),
    *(
        column
        for name in DIMENSIONS
        for column in (
            Column(
                name,
                f"mean {name} of the speaker over the supported rows of the turn",
                "",
                UNIT_RANGE,
                "the speaker has no trace",
            ),
            *(replace(end, meaning=f"mean over the turn of {end.meaning}") for end in _ends(name)),
        )
    ),
)
"""Of the table of turns."""

FEW_BLOCKS = "the stretch is too short for its autocorrelation, or has no supported row"

STRETCHES = (
    Column("stretch", "number of the stretch in this trace, from 1", "", "1.."),
    Column("start", "start of the stretch", "s", "0.."),
    Column("end", "end of the stretch", "s", "0.."),
    Column("text", "the words said in the stretch, or the name of the event", missing="none"),
    Column("duration", "length of the stretch", "s", "0.."),
    Column("rows", "number of rows of the trace in the stretch", "", "0.."),
    Column(
        "supported", "share of the rows that are supported; the statistics are over these rows", "", SHARE, "no row lies inside"
    ),
    *(
        column
        for name in DIMENSIONS
        for column in (
            *(
                Column(f"{name}_{short}", f"{long} of {name}", "", SHARE if short == "sd" else UNIT_RANGE, UNSUPPORTED)
                for short, long in STATISTICS.items()
            ),
            Column(f"{name}_slope", f"slope of {name} by least squares", "1/s", "any", "fewer than 3 supported rows"),
            *(
                Column(
                    f"{name}_mean_{end}",
                    f"the {side} end of a 95 % interval of the mean that allows for autocorrelation, not for model errors",
                    "",
                    "any",
                    FEW_BLOCKS,
                )
                for end, side in (("low", "lower"), ("high", "upper"))
            ),
            *(
                Column(
                    f"{name}_{end}",
                    f"mean over the stretch of the {side} end of the model's 90 % interval",
                    "",
                    UNIT_RANGE,
                    NO_INTERVAL,
                )
                for end, side in (("low", "lower"), ("high", "upper"))
            ),
        )
    ),
)
"""Of a table with a row for each stretch of a trace (`--by`), in addition to those that say whose it is."""

MEASURED_MEANS = tuple(
    Column(
        f"{column.name}_mean",
        f"mean over the stretch of: {column.meaning}",
        column.unit,
        SHARE if column.range == YES_NO else column.range,
        f"in all its rows, {column.missing}",
    )
    for column in MEASURED
)
"""Of a table of stretches, for each column of MEASURED that its traces have."""

BASELINE = (
    Column("baseline", "which stretch was taken as the person's neutral state; its mean was subtracted from all values"),
    *(Column(f"{name}_baseline", f"the mean {name} that was subtracted", "", UNIT_RANGE) for name in DIMENSIONS),
)
"""Of tables with `--baseline`, whose values are differences."""

RESERVED = frozenset(
    column.name for part in (TRACE, SUMMARY, TURNS, STRETCHES, MEASURED_MEANS, BASELINE) for column in part
) | {"source"}
"""Names that a column of the user's own can't have."""


def described(names: Iterable[str], known: Iterable[Column]) -> list[Column]:
    """The columns of a table by their names; those that aren't known are the user's own."""
    table = {column.name: column for column in known}
    found = []
    for name in names:
        column = table.get(name) or table.get(re.sub(r"\d+$", "N", name))
        found.append(replace(column, name=name) if column else Column(name, OWN_COLUMN, missing="empty in the list"))
    return found
