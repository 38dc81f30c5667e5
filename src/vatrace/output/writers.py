"""Writers of predictions: tables, and the formats of annotation tools. `vatrace.output.formats` lists them."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vatrace.features.spoken_languages import Stretch, mean_probability, shares
from vatrace.files import shown
from vatrace.inference.explain import Explanation
from vatrace.inference.prediction import OFF_SCREEN, SEVERAL, Prediction, Turn
from vatrace.languages import is_right_to_left, joined
from vatrace.media.folders import MADE_BY
from vatrace.media.transcripts import Word, sentences
from vatrace.names import DIMENSIONS, MODALITIES
from vatrace.output.lines import broken
from vatrace.output.naming import title

if TYPE_CHECKING:
    import pandas as pd

TIER_STEP = 1.0
"""Seconds over which ELAN's and Praat's tiers average the values: these programs show spans of text, not curves."""

Span = tuple[float, float, str]
"""Start and end in seconds, and the text."""


def write_csv(prediction: Prediction, path: Path) -> None:
    """The columns of `Prediction.to_pandas`, with four decimals."""
    prediction.to_pandas().to_csv(path, index=False, float_format="%.4f")


def write_parquet(prediction: Prediction, path: Path) -> None:
    """The columns of the CSV in full precision."""
    prediction.to_pandas().to_parquet(path, index=False)


def write_json(prediction: Prediction, path: Path) -> None:
    """The columns of the CSV as lists (null where undefined), the words, the turns, the languages, the notes and the boxes.

    If there are several people, `people` is a list of what belongs to each: `person`, the columns, the words in `transcript`,
    `words_left_out`, `notes` and `boxes`. Words have times, and speakers where they are known. A box is [left, top, right,
    bottom] of the face as shares of the picture, or null. Bytes of names that aren't UTF-8 become replacement characters.
    """
    people = [_person(found) for found in prediction.people.values()]
    content: dict[str, object] = {"source": prediction.source.name, "rate": prediction.rate}
    content |= {"people": people} if len(people) > 1 else people[0]
    content |= {"turns": [_turn(turn) for turn in prediction.turns]}
    content |= {"languages": [_stretch(found) for found in prediction.languages], "made_by": prediction.made_by}
    path.write_text(shown(json.dumps(content, ensure_ascii=False)) + "\n", encoding="utf-8")


def _person(prediction: Prediction) -> dict[str, object]:
    """What belongs to one person, for JSON."""
    table = prediction.to_pandas().drop(columns="person").round(4)
    columns = {str(name): [None if np.isnan(x) else x for x in column.tolist()] for name, column in table.items()}
    about: dict[str, object] = {"transcript": [_word(word) for word in prediction.words]}
    about |= {"words_left_out": prediction.words_left_out, "words_unused": prediction.words_unused, "notes": prediction.notes}
    if prediction.boxes is not None:
        about["boxes"] = [None if np.isnan(box[0]) else box for box in prediction.boxes.round(4).tolist()]
    return {"person": prediction.person, **columns, **about}


def _turn(turn: Turn) -> dict[str, object]:
    """A turn for JSON."""
    times = {"start": round(turn.start, 3), "end": round(turn.end, 3)}
    return {**times, "person": turn.person, "words": [_word(word) for word in turn.words]}


def _stretch(found: Stretch) -> dict[str, object]:
    """A stretch of speech in one language for JSON."""
    times = {"start": round(found.start, 3), "end": round(found.end, 3)}
    return {
        **times,
        "language": found.language,
        "probability": None if found.probability is None else round(found.probability, 4),
    }


def _word(word: Word) -> dict[str, object]:
    """A word for JSON; with its speaker where the transcript names one, and its language if it isn't English."""
    said: dict[str, object] = {"text": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
    return said | {name: value for name, value in (("speaker", word.speaker), ("language", word.language)) if value}


def read_json(path: Path) -> Prediction:
    """Read a prediction that `write_json` wrote, with its four decimals. All people get the recording's turns and `made_by`.

    Files of earlier versions have no turns, and nobody's number: their one person is "1".
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    first, *others = [_read_person(content | person) for person in content.get("people", [{}])]
    return replace(first, others=tuple(others))


def _read_person(content: Mapping[str, Any]) -> Prediction:
    """One person, by the keys of the recording and of the person."""
    columns = {name: np.array(values, np.float64) for name, values in content.items() if name not in NOT_COLUMNS}
    ends = [[f"{name}_{end}" for name in DIMENSIONS] for end in ("low", "high")]
    bounds = [np.stack([columns[name] for name in names], axis=-1) for names in ends] if ends[0][0] in columns else None
    boxes = content.get("boxes")
    explanation = None
    if "face_share" in columns:
        changes = [column for name, column in columns.items() if name.startswith("recursion_")]
        shares = {name: columns[f"{name}_share"] for name in MODALITIES}
        explanation = Explanation(shares, np.array(changes).reshape(-1, len(columns["time"])))
    speaking = columns.get("speaking", np.array([np.nan]))
    return Prediction(
        source=Path(content["source"]),
        rate=content["rate"],
        times=columns["time"],
        valence=columns["valence"],
        arousal=columns["arousal"],
        presence={name: columns[name] > 0 for name in MODALITIES},
        words=_read_words(content["transcript"]),
        notes=content["notes"],
        explanation=explanation,
        bounds=(bounds[0], bounds[1]) if bounds else None,
        made_by=content.get("made_by", {}),
        words_left_out=content.get("words_left_out", 0),
        words_unused=content.get("words_unused", 0),
        languages=[Stretch(**found) for found in content.get("languages", [])],
        boxes=None if boxes is None else np.array([box or [np.nan] * 4 for box in boxes]),
        person=content.get("person", "1"),
        speaking=None if np.isnan(speaking).any() else speaking > 0,
        turns=[
            Turn(turn["start"], turn["end"], turn["person"], tuple(_read_words(turn["words"])))
            for turn in content.get("turns", [])
        ],
    )


def _read_words(words: Iterable[Mapping[str, Any]]) -> list[Word]:
    return [Word(word["text"], word["start"], word["end"], word.get("speaker"), word.get("language")) for word in words]


NOT_COLUMNS = frozenset(
    {
        *("source", "rate", "people", "person", "transcript", "words_left_out", "words_unused", "notes", "turns", "languages"),
        *("made_by", "boxes"),
    }
)
"""The keys that `write_json` writes in addition to the columns."""


def write_turns(prediction: Prediction, path: Path) -> None:
    """The table of `turn_table` as CSV."""
    turn_table(prediction).to_csv(path, index=False)


def turn_table(prediction: Prediction) -> pd.DataFrame:
    """The turns of speech with the columns start, end, person, words, and for valence and arousal mean, low and high.

    A mean is that of the speaker's trace over the supported rows of the turn, or over the row nearest to its start if none
    lies inside. It is NaN if the speaker has no trace (other people than those asked for, off screen, several), or if no row is
    supported. The ends of its interval are the means of the rows' ends. However the errors of rows depend on each other, the SD
    of their mean is at most the mean of their SDs; so if the errors are about normal, this interval contains the mean of the
    true values at least as often as a row's interval contains its value. It is too wide where the errors of rows cancel out.
    """
    import pandas as pd

    people = prediction.people
    rows: list[dict[str, object]] = []
    for turn in prediction.turns:
        said = joined(word.text for word in turn.words)
        row = {"start": round(turn.start, 3), "end": round(turn.end, 3), "person": turn.person, "words": said}
        rows.append(row | (_means(people[turn.person], turn) if turn.person in people else {}))
    return pd.DataFrame(rows, columns=list(TURN_COLUMNS)).round(4)


def _means(prediction: Prediction, turn: Turn) -> dict[str, float]:
    """The means over a turn, by column; none where nothing is supported."""
    rows = _rows(prediction, turn.start, turn.end) & prediction.supported
    if not rows.any():
        return {}
    means: dict[str, float] = {name: float(getattr(prediction, name)[rows].mean()) for name in DIMENSIONS}
    for end, values in zip(("low", "high"), prediction.bounds or (), strict=False):
        means |= {f"{name}_{end}": float(values[rows, column].mean()) for column, name in enumerate(DIMENSIONS)}
    return means


def _rows(prediction: Prediction, start: float, end: float) -> NDArray[np.bool_]:
    """(T,) The rows from `start` to before `end`, in seconds; the one nearest to `start` if there are none."""
    inside = (prediction.times >= start) & (prediction.times < end)
    return inside if inside.any() else np.arange(len(inside)) == np.argmin(abs(prediction.times - start))


TURN_COLUMNS = ("start", "end", "person", "words", *(f"{name}{end}" for name in DIMENSIONS for end in ("", "_low", "_high")))
"""The columns of every table of turns."""


def summary_rows(prediction: Prediction) -> list[dict[str, object]]:
    """One recording as rows of a table of many, one for each person.

    A row has the person; the duration in seconds; mean, SD, minimum and maximum of valence and arousal over the supported rows;
    the share of the time (0..1) in which each modality was present, the values are supported, and the person speaks (none if it
    isn't known); the languages of the speech, the most frequent one first, and the probability of that one; the numbers of
    doubtful words that were left out, and of words that did not count because of their language; the notes; and `made_by` of
    the recording, whose `person` is `person picture` here.
    """
    made_by = {"person picture" if name == "person" else name: value for name, value in prediction.made_by.items()}
    return [made_by | _summary_row(found) for found in prediction.people.values()]


def _summary_row(prediction: Prediction) -> dict[str, object]:
    row: dict[str, object] = {"person": prediction.person, "duration": round(prediction.duration, 3)}
    for dimension, values in prediction.statistics().round(4).iterrows():
        row |= {f"{dimension}_{name.lower()}": value for name, value in values.items()}
    masks = prediction.presence | {"supported": prediction.supported}
    masks |= {} if prediction.speaking is None else {"speaking": prediction.speaking}
    row |= {name: round(float(mask.mean()), 4) for name, mask in masks.items()}
    spoken = list(shares(prediction.languages))
    if spoken:
        probability = mean_probability(prediction.languages, spoken[0])
        row |= {"language": " ".join(spoken), "language_probability": None if probability is None else round(probability, 4)}
    row |= {"words_left_out": prediction.words_left_out, "words_unused": prediction.words_unused}
    return row | {"notes": "; ".join(prediction.notes)}


SUMMARY_COLUMNS = (
    "recording",
    "person",
    "duration",
    *(f"{dimension}_{statistic}" for dimension in ("valence", "arousal") for statistic in ("mean", "sd", "min", "max")),
    *MODALITIES,
    "supported",
    "speaking",
    "language",
    "language_probability",
    "words_left_out",
    "words_unused",
    "notes",
    "error",
    *("vatrace", "model", "adapt", "modalities", "transcript", "people", "person picture"),
)
"""The columns of every table of many recordings, whatever the recordings contain."""


def write_summary(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    """Write a CSV of SUMMARY_COLUMNS: each recording's name, and its `summary_rows` or its error. Other cells are empty.

    Bytes of names that aren't UTF-8 become replacement characters.
    """
    import pandas as pd

    readable = [{name: shown(cell) if isinstance(cell, str) else cell for name, cell in row.items()} for row in rows]
    pd.DataFrame(readable, columns=list(SUMMARY_COLUMNS)).to_csv(path, index=False)


def tiers(prediction: Prediction) -> dict[str, list[Span]]:
    """A prediction as tiers of text spans that don't overlap.

    The tiers are the words; the speaker, if a transcript names one; the mean valence and arousal of each second with supported
    rows; and the spans of time in which face and voice were present. If there are several people, each has these tiers, whose
    names start with the person's. `turns` says who speaks in the recording, unless nothing was listened to.
    """
    people = prediction.people
    result: dict[str, list[Span]] = {}
    for name, found in people.items():
        result |= {f"{name} {tier}" if len(people) > 1 else tier: spans for tier, spans in _tiers_of_one(found).items()}
    if prediction.turns or prediction.speaking is not None:
        result["turns"] = _apart((turn.start, turn.end, turn.person) for turn in prediction.turns)
    return result


def _tiers_of_one(prediction: Prediction) -> dict[str, list[Span]]:
    """The tiers of one person."""
    result = {"words": _apart((word.start, word.end, word.text) for word in prediction.words)}
    if any(word.speaker for word in prediction.words):
        result["speaker"] = _apart(
            (turn[0].start, turn[-1].end, turn[0].speaker) for turn in sentences(prediction.words) if turn[0].speaker
        )
    for name in ("valence", "arousal"):
        means = []
        for start in np.arange(0, prediction.duration, TIER_STEP):
            inside = (prediction.times >= start) & (prediction.times < start + TIER_STEP) & prediction.supported
            if inside.any():
                end = min(start + TIER_STEP, prediction.duration)
                means.append((float(start), end, f"{getattr(prediction, name)[inside].mean():+.2f}"))
        result[name] = means
    return result | {name: [(start, end, name) for start, end in prediction.spans(name)] for name in ("face", "voice")}


def _apart(spans: Iterable[Span]) -> list[Span]:
    """The same spans, each cut off where the next one starts, without those shorter than a millisecond."""
    ordered = sorted(spans)
    following = [start for start, _, _ in ordered[1:]] + [np.inf]
    cut = [(start, min(end, limit), text) for (start, end, text), limit in zip(ordered, following, strict=False)]
    return [span for span in cut if round(1000 * span[1]) > round(1000 * span[0])]


def write_elan(prediction: Prediction, path: Path) -> None:
    """An ELAN document with `tiers`; ELAN looks for the recording in the same folder."""
    import pympi

    document = pympi.Eaf(author="vatrace")
    kind = mimetypes.guess_type(prediction.source.name)[0] or "video/mp4"
    name = shown(prediction.source.name)
    document.add_linked_file(name, relpath=f"./{name}", mimetype=kind)
    for tier, spans in tiers(prediction).items():
        document.add_tier(tier)
        for start, end, text in spans:
            document.add_annotation(tier, round(1000 * start), round(1000 * end), text)
    document.remove_tier("default")
    path.unlink(missing_ok=True)  # otherwise pympi keeps a copy of the old file
    document.to_file(str(path))


def write_textgrid(prediction: Prediction, path: Path) -> None:
    """A Praat TextGrid with `tiers`."""
    from praatio.data_classes.interval_tier import IntervalTier
    from praatio.data_classes.textgrid import Textgrid

    grid = Textgrid(0, prediction.duration)
    for name, spans in tiers(prediction).items():
        inside = [(start, min(end, prediction.duration), text) for start, end, text in spans if start < prediction.duration]
        grid.addTier(IntervalTier(name, inside, 0, prediction.duration))
    grid.save(str(path), "long_textgrid", includeBlankSpaces=True)


def write_subtitles(prediction: Prediction, path: Path) -> None:
    """WebVTT: each sentence in order of time, and below it the speaker's mean valence and arousal while it was spoken.

    Long sentences are broken into lines between words.

    Speakers are named where a transcript names them, and everywhere if there are several. Those without a trace have no values.
    """
    import pysubs2

    people, spoken = prediction.people, _spoken(prediction)
    several = len({person for person, _ in spoken}) > 1
    subtitles = pysubs2.SSAFile()
    for person, sentence in spoken:
        start, end = sentence[0].start, sentence[-1].end
        speaker = sentence[0].speaker or (_title(person) if several else "")
        said, label = [word.text for word in sentence], [f"{speaker}:"] if speaker else []
        apart = is_right_to_left(said[0])  # on a line with a name, the text would run from the left
        text = "\\N".join([*label, *broken(said)] if apart else broken([*label, *said]))
        if person in people:
            found, rows = people[person], _rows(people[person], start, end)
            text += f"\\N(valence {found.valence[rows].mean():+.2f}, arousal {found.arousal[rows].mean():+.2f})"
        subtitles.append(pysubs2.SSAEvent(round(1000 * start), round(1000 * end), text))
    header = f"WEBVTT\n\n{MADE_BY} wrote these subtitles"
    path.write_text(subtitles.to_string("vtt").replace("WEBVTT", header, 1), encoding="utf-8")


def _spoken(prediction: Prediction) -> list[tuple[str, list[Word]]]:
    """All sentences with the people who say them, whether these have traces or not."""
    people = prediction.people
    said = [(name, found.words) for name, found in people.items()]
    said += [(turn.person, list(turn.words)) for turn in prediction.turns if turn.person not in people]
    return [(person, sentence) for person, words in said for sentence in sentences(words)]


def _title(person: str) -> str:
    """Who speaks, at the start of a subtitle."""
    return {OFF_SCREEN: "Off screen", SEVERAL: "Several people"}.get(person, title(person))
