"""Writers of predictions: tables, and the formats of annotation tools. `vatrace.output.formats` lists them."""

from __future__ import annotations

import csv
import io
import json
import math
import mimetypes
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vatrace.errors import UsageError, one_line
from vatrace.features.spoken_languages import Stretch, mean_probability, shares
from vatrace.files import harmless, shown
from vatrace.inference.explain import Explanation
from vatrace.inference.prediction import OFF_SCREEN, SEVERAL, Prediction, Turn
from vatrace.languages import is_right_to_left, joined
from vatrace.media.folders import MADE_BY
from vatrace.media.transcripts import Word, sentences
from vatrace.names import DIMENSIONS, MODALITIES
from vatrace.output.cells import harmless_table
from vatrace.output.columns import MEASURED, SUMMARY, TRACE, TURNS, YES_NO, Column, described
from vatrace.output.flags import flags
from vatrace.output.lines import broken
from vatrace.output.naming import title
from vatrace.output.sketch import sketch

if TYPE_CHECKING:
    import pandas as pd

TIER_STEP = 1.0
"""Seconds over which ELAN's and Praat's tiers average the values: these programs show spans of text, not curves."""

Span = tuple[float, float, str]
"""Start and end in seconds, and the text."""


def write_csv(prediction: Prediction, path: Path) -> None:
    """The columns of `Prediction.to_pandas`, with four decimals."""
    path.write_text(csv_text(prediction), encoding="utf-8", newline="")


def csv_text(prediction: Prediction) -> str:
    """The content of the CSV; as pandas writes it, without the time to import it."""
    people = [found.columns() for found in prediction.people.values()]
    columns = {name: np.concatenate([columns[name] for columns in people]).tolist() for name in people[0]}
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(map(_cell, columns))
    table.writerows(
        zip(*([_cell(value, name in YES_NO_COLUMNS) for value in values] for name, values in columns.items()), strict=True)
    )
    return text.getvalue()


def _cell(value: str | float, yes_no: bool = False) -> str:
    """A value in a CSV, without decimals if it is 0 or 1 for no or yes."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.0f}" if yes_no else f"{value:.4f}"
    return harmless(shown(value)) if isinstance(value, str) else str(value)


def write_parquet(prediction: Prediction, path: Path) -> None:
    """The columns of the CSV in full precision, and the provenance as JSON in the file's metadata, with the key `vatrace`."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pandas(prediction.to_pandas(), preserve_index=False)
    made = {b"vatrace": shown(json.dumps(prediction.provenance)).encode()} if prediction.provenance else {}
    pyarrow.parquet.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **made}), path)


def write_json(prediction: Prediction, path: Path) -> None:
    """The columns of the CSV as lists (null where undefined), the words, the turns, the languages, the notes and the boxes.

    If there are several people, `people` is a list of what belongs to each: `person`, the columns, the words in `transcript`,
    `words_left_out`, `notes` and `boxes`. Words have times, and speakers where they are known. A box is [left, top, right,
    bottom] of the face as shares of the picture, or null. Bytes of names that aren't UTF-8 become replacement characters.
    """
    _write_content(prediction, path, _person)


def write_side(prediction: Prediction, path: Path) -> None:
    """The side file of tables: like `write_json`, without the columns and the boxes."""
    _write_content(prediction, path, _about_person)


def _write_content(prediction: Prediction, path: Path, person: Callable[[Prediction], dict[str, object]]) -> None:
    people = [person(found) for found in prediction.people.values()]
    content: dict[str, object] = {}
    if prediction.provenance:  # first, so that it can be read without the rest
        content = {"provenance": prediction.provenance, "summary": summary_rows(prediction)}
    content |= {"source": prediction.source.name, "rate": prediction.rate}
    content |= {"about": prediction.about} if prediction.about else {}
    content |= {"span": list(prediction.span)} if prediction.span else {}
    content |= {"people": people} if len(people) > 1 else people[0]
    content |= {"turns": [_turn(turn) for turn in prediction.turns]}
    content |= {"languages": [_stretch(found) for found in prediction.languages], "made_by": prediction.made_by}
    if prediction.provenance:
        content["columns"] = {column.name: meaning(column) for column in described(prediction.columns(), TRACE)}
    write_entries(content, path)


def write_entries(content: Mapping[str, object], path: Path) -> None:
    """Write a side file, an entry a line. `provenance` and `summary` come first, so that they can be read without the rest."""
    text = ",\n".join(f"{json.dumps(name)}: {_json(value, indented=name == 'provenance')}" for name, value in content.items())
    path.write_text(shown(f"{{\n{text}\n}}\n"), encoding="utf-8")


def _json(value: object, indented: bool) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1 if indented else None)


def meaning(column: Column) -> dict[str, str]:
    """What a column means, with the keys of BIDS where it has one."""
    facts = {"Description": column.meaning, "Units": column.unit, "Range": column.range, "Missing": column.missing}
    return {name: text for name, text in facts.items() if text}


def _person(prediction: Prediction) -> dict[str, object]:
    """What belongs to one person, for JSON."""
    table = prediction.to_pandas().drop(columns=["person", *prediction.about]).round(4)
    columns = {str(name): [None if np.isnan(x) else x for x in column.tolist()] for name, column in table.items()}
    for name in YES_NO_COLUMNS & columns.keys():
        columns[name] = [None if value is None else int(value) for value in columns[name]]
    about = _about_person(prediction)
    if prediction.boxes is not None:
        boxes = prediction.boxes[prediction.counted].round(4).tolist()
        about["boxes"] = [None if np.isnan(box[0]) else box for box in boxes]
    return {"person": prediction.person, **columns, **about}


def _about_person(prediction: Prediction) -> dict[str, object]:
    """What belongs to one person and isn't in the table of the trace."""
    about: dict[str, object] = {"person": prediction.person, "transcript": [_word(word) for word in prediction.words]}
    about |= {"words_left_out": prediction.words_left_out, "words_unused": prediction.words_unused}
    return about | {"notes": prediction.notes}


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

    Raises:
        UsageError: if the file is damaged.
        OSError: if it can't be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        first, *others = [_read_person(content | person) for person in content.get("people", [{}])]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: damaged ({one_line(error)})") from error
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
        words=read_words(content["transcript"]),
        notes=content["notes"],
        explanation=explanation,
        bounds=(bounds[0], bounds[1]) if bounds else None,
        made_by=content.get("made_by", {}),
        words_left_out=content.get("words_left_out", 0),
        words_unused=content.get("words_unused", 0),
        languages=[Stretch(**found) for found in content.get("languages", [])],
        boxes=None if boxes is None else np.array([box or [np.nan] * 4 for box in boxes]),
        also={name: column for name, column in columns.items() if name in ALSO_COLUMNS},
        person=content.get("person", "1"),
        speaking=None if np.isnan(speaking).any() else speaking > 0,
        turns=[
            Turn(turn["start"], turn["end"], turn["person"], tuple(read_words(turn["words"])))
            for turn in content.get("turns", [])
        ],
        about=content.get("about", {}),
        provenance=content.get("provenance", {}),
    )


def read_words(words: Iterable[Mapping[str, Any]]) -> list[Word]:
    """The words of a JSON file."""
    return [Word(word["text"], word["start"], word["end"], word.get("speaker"), word.get("language")) for word in words]


ALSO_COLUMNS = frozenset(column.name for column in MEASURED)
"""The columns of `Prediction.also`."""
YES_NO_COLUMNS = frozenset(column.name for column in MEASURED if column.range == YES_NO)
"""Those that are 0, 1 or unknown; texts have them without decimals."""
NOT_COLUMNS = frozenset(
    {
        *("source", "rate", "people", "person", "transcript", "words_left_out", "words_unused", "notes", "turns", "languages"),
        *("made_by", "boxes", "provenance", "summary", "about", "span", "columns"),
    }
)
"""The keys that `write_json` writes in addition to the columns."""


def write_turns(prediction: Prediction, path: Path) -> None:
    """The table of `turn_table` as CSV."""
    table = turn_table(prediction)
    harmless_table(table.assign(**prediction.about)).to_csv(path, index=False)


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
    """(T,) The rows that count from `start` to before `end`, in seconds; the one nearest to `start` if there are none."""
    inside = (prediction.times >= start) & (prediction.times < end) & prediction.counted
    away = np.where(prediction.counted, abs(prediction.times - start), np.inf)
    return inside if inside.any() else np.arange(len(inside)) == np.argmin(away)


TURN_COLUMNS = tuple(column.name for column in TURNS)
"""The columns of every table of turns."""


def summary_rows(prediction: Prediction) -> list[dict[str, object]]:
    """One recording as rows of a table of many, one for each person.

    A row has the person; the duration in seconds; mean, SD, minimum and maximum of valence and arousal over the supported rows;
    the share of the time (0..1) in which each modality was present, the values are supported, and the person speaks (none if it
    isn't known); the languages of the speech, the most frequent one first, and the probability of that one; the numbers of
    doubtful words that were left out, and of words that did not count because of their language; the flags and the notes; a
    sketch of the trace, which isn't a column of the table; and `made_by` of the recording, without its `language`, and with its
    `person` as `person picture`.
    """
    made_by = {"person picture" if name == "person" else name: value for name, value in prediction.made_by.items()}
    made_by.pop("language", None)  # the one that was asked for, which nobody need speak
    return [prediction.about | _summary_row(found) | made_by for found in prediction.people.values()]


def _summary_row(prediction: Prediction) -> dict[str, object]:
    counted = prediction.counted
    row: dict[str, object] = {"person": prediction.person, "duration": round(float(counted.sum()) / prediction.rate, 3)}
    for dimension, values in prediction.statistics().items():
        row |= {f"{dimension}_{name.lower()}": None if np.isnan(value) else round(value, 4) for name, value in values.items()}
    masks = prediction.presence | {"supported": prediction.supported}
    masks |= {} if prediction.speaking is None else {"speaking": prediction.speaking}
    row |= {name: round(float(mask[counted].mean()), 4) for name, mask in masks.items()}
    spoken = list(shares(prediction.languages))
    if spoken:
        probability = mean_probability(prediction.languages, spoken[0])
        row |= {"language": " ".join(spoken), "language_probability": None if probability is None else round(probability, 4)}
    row |= {"words_left_out": prediction.words_left_out, "words_unused": prediction.words_unused}
    row |= {"flags": "; ".join(flags(prediction)), "notes": "; ".join(prediction.notes)}
    return row | {"sketch": sketch(prediction)}


SUMMARY_COLUMNS = tuple(column.name for column in SUMMARY)
"""The columns of every table of many recordings, whatever the recordings contain; then those of the user's own list."""


def summary_table(rows: Sequence[Mapping[str, object]], own: Sequence[str] = ()) -> pd.DataFrame:
    """A table of SUMMARY_COLUMNS: each recording's name, and its `summary_rows` or its error. Other cells are empty.

    Bytes of names that aren't UTF-8 become replacement characters.

    Args:
        rows: by column.
        own: further columns, after that of the recording.
    """
    import pandas as pd

    first, *rest = SUMMARY_COLUMNS
    readable = [{name: shown(cell) if isinstance(cell, str) else cell for name, cell in row.items()} for row in rows]
    return pd.DataFrame(readable, columns=[first, *own, *rest])


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
    first, last = prediction.span or (0.0, prediction.duration)
    for name in ("valence", "arousal"):
        means = []
        for start in np.arange(0, prediction.duration, TIER_STEP):
            inside = (prediction.times >= start) & (prediction.times < start + TIER_STEP) & prediction.supported
            if inside.any():
                ends = max(float(start), first), min(float(start) + TIER_STEP, last)
                means.append((*ends, f"{getattr(prediction, name)[inside].mean():+.2f}"))
        result[name] = means
    return result | {name: [(start, end, name) for start, end in prediction.spans(name)] for name in ("face", "voice")}


def _apart(spans: Iterable[Span]) -> list[Span]:
    """The same spans, each cut off where the next one starts, without those shorter than a millisecond."""
    ordered = sorted(spans)
    following = [start for start, _, _ in ordered[1:]] + [np.inf]
    cut = [(start, min(end, limit), text) for (start, end, text), limit in zip(ordered, following, strict=False)]
    return [span for span in cut if round(1000 * span[1]) > round(1000 * span[0])]


def write_elan(prediction: Prediction, path: Path) -> None:
    """An ELAN document with `tiers`, which names the recording by its absolute and its relative path."""
    import pympi

    document = pympi.Eaf(author="vatrace")
    source = prediction.source
    kind = mimetypes.guess_type(source.name)[0] or "video/mp4"
    if source.is_file():
        whole = source.absolute()
        document.add_linked_file(_url(whole), relpath=_relative(whole, path.parent), mimetype=kind)
    else:  # the name of a recording that was uploaded
        document.add_linked_file(shown(source.name), relpath=f"./{shown(source.name)}", mimetype=kind)
    for name, text in made_by_lines(prediction).items():
        document.add_property(f"vatrace: {name}", text)
    people = prediction.people
    for tier, spans in tiers(prediction).items():
        whose = next((name for name in people if len(people) > 1 and tier.startswith(f"{name} ")), prediction.person)
        document.add_tier(tier, part=None if tier == "turns" else title(whose), ann="vatrace")
        for start, end, text in spans:
            document.add_annotation(tier, round(1000 * start), round(1000 * end), text)
    document.remove_tier("default")
    path.unlink(missing_ok=True)  # otherwise pympi keeps a copy of the old file
    document.to_file(str(path))


def _url(path: Path) -> str:
    return Path(shown(path)).as_uri()


def _relative(path: Path, folder: Path) -> str:
    """A path from a folder, as ELAN writes it; only the name if there is no way, as between two drives."""
    try:
        below = Path(shown(os.path.relpath(path, folder.absolute()))).as_posix()
    except ValueError:
        below = shown(path.name)
    return below if below.startswith("../") else f"./{below}"


def made_by_lines(prediction: Prediction) -> dict[str, str]:
    """What a reader of a file should know about its making, by name; without line breaks."""
    people = ", ".join(prediction.people)
    found = {"person": people, **prediction.about}
    made = prediction.provenance
    if made:
        recording, models = made["recording"], made["models"]
        found |= {"recording": f"{shown(prediction.source.name)}, SHA-256 {recording['sha256']}", "date": made["created"]}
        found |= {"command": made["command"], "version": f"vatrace {made['vatrace']}, schema {made['schema']}"}
        found |= {"models": ", ".join(f"{name} {value[:24]}" for name, value in models.items())}
        found |= {"libraries": ", ".join(f"{name} {value}" for name, value in made["libraries"].items())}
    elif prediction.made_by:
        found["version"] = ", ".join(f"{name} {value}" for name, value in prediction.made_by.items())
    return {name: " ".join(shown(text).split()) for name, text in found.items()}


def write_textgrid(prediction: Prediction, path: Path) -> None:
    """A Praat TextGrid with `tiers`, and a tier `vatrace` that says how it was made, because TextGrids have no header."""
    from praatio.data_classes.interval_tier import IntervalTier
    from praatio.data_classes.textgrid import Textgrid

    grid = Textgrid(0, prediction.duration)
    for name, spans in tiers(prediction).items():
        inside = [(start, min(end, prediction.duration), text) for start, end, text in spans if start < prediction.duration]
        grid.addTier(IntervalTier(name, inside, 0, prediction.duration))
    made = "; ".join(f"{name}: {text}" for name, text in made_by_lines(prediction).items())
    grid.addTier(IntervalTier("vatrace", [(0, prediction.duration, made)], 0, prediction.duration))
    grid.save(str(path), "long_textgrid", includeBlankSpaces=True)


def write_subtitles(prediction: Prediction, path: Path) -> None:
    """WebVTT: each sentence in order of time, and below it the speaker's mean valence and arousal while it was spoken.

    Long sentences are broken into lines between words.

    Speakers are named where a transcript names them, and everywhere if there are several. Those without a trace have no values.
    A note at the start says how the file was made.
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
    made = [f"{name}: {text}".replace("-->", "->") for name, text in made_by_lines(prediction).items()]
    header = "\n".join([f"WEBVTT\n\n{MADE_BY} wrote these subtitles", *made])
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
