"""Writers of predictions: tables, and the formats of annotation tools. `vatrace.output.formats` lists them."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vatrace.files import shown
from vatrace.inference.explain import Explanation
from vatrace.inference.prediction import Prediction
from vatrace.media.folders import MADE_BY
from vatrace.media.transcripts import Word, sentences
from vatrace.names import MODALITIES

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
    """The columns of the CSV as lists (null where undefined), the words, the notes, `made_by` and `boxes`.

    Words have times, and speakers where they are known. A box is [left, top, right, bottom] of the face as shares of the
    picture, or null. Bytes of names that aren't UTF-8 become replacement characters.
    """
    table = prediction.to_pandas().round(4)
    columns = {str(name): [None if np.isnan(x) else x for x in column.tolist()] for name, column in table.items()}
    words = [_word(word) for word in prediction.words]
    about: dict[str, object] = {"transcript": words, "words_left_out": prediction.words_left_out}
    about |= {"notes": prediction.notes, "made_by": prediction.made_by}
    if prediction.boxes is not None:
        about["boxes"] = [None if np.isnan(box[0]) else box for box in prediction.boxes.round(4).tolist()]
    content = {"source": prediction.source.name, "rate": prediction.rate, **columns, **about}
    path.write_text(shown(json.dumps(content, ensure_ascii=False)) + "\n", encoding="utf-8")


def _word(word: Word) -> dict[str, object]:
    """A word for JSON; with its speaker where the transcript names one."""
    said: dict[str, object] = {"text": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
    return said | ({"speaker": word.speaker} if word.speaker else {})


def read_json(path: Path) -> Prediction:
    """Read a prediction that `write_json` wrote, with its four decimals."""
    content = json.loads(path.read_text(encoding="utf-8"))
    columns = {name: np.array(values, np.float64) for name, values in content.items() if name not in NOT_COLUMNS}
    ends = [[f"{name}_{end}" for name in ("valence", "arousal")] for end in ("low", "high")]
    bounds = [np.stack([columns[name] for name in names], axis=-1) for names in ends] if ends[0][0] in columns else None
    boxes = content.get("boxes")
    explanation = None
    if "face_share" in columns:
        changes = [column for name, column in columns.items() if name.startswith("recursion_")]
        shares = {name: columns[f"{name}_share"] for name in MODALITIES}
        explanation = Explanation(shares, np.array(changes).reshape(-1, len(columns["time"])))
    return Prediction(
        source=Path(content["source"]),
        rate=content["rate"],
        times=columns["time"],
        valence=columns["valence"],
        arousal=columns["arousal"],
        presence={name: columns[name] > 0 for name in MODALITIES},
        words=[Word(word["text"], word["start"], word["end"], word.get("speaker")) for word in content["transcript"]],
        notes=content["notes"],
        explanation=explanation,
        bounds=(bounds[0], bounds[1]) if bounds else None,
        made_by=content.get("made_by", {}),
        words_left_out=content.get("words_left_out", 0),
        boxes=None if boxes is None else np.array([box or [np.nan] * 4 for box in boxes]),
    )


NOT_COLUMNS = frozenset({"source", "rate", "transcript", "words_left_out", "notes", "made_by", "boxes"})
"""The keys that `write_json` writes in addition to the columns."""


def summary_row(prediction: Prediction) -> dict[str, object]:
    """One recording as a row of a table of many.

    It has the duration in seconds; mean, SD, minimum and maximum of valence and arousal over the supported rows; the share of
    the time (0..1) in which each modality was present and the values are supported; the number of doubtful words that were left
    out; the notes; and `made_by`.
    """
    row: dict[str, object] = {"duration": round(prediction.duration, 3)}
    for dimension, values in prediction.statistics().round(4).iterrows():
        row |= {f"{dimension}_{name.lower()}": value for name, value in values.items()}
    masks = prediction.presence | {"supported": prediction.supported}
    row |= {name: round(float(mask.mean()), 4) for name, mask in masks.items()}
    row["words_left_out"] = prediction.words_left_out
    return row | {"notes": "; ".join(prediction.notes)} | prediction.made_by


SUMMARY_COLUMNS = (
    "recording",
    "duration",
    *(f"{dimension}_{statistic}" for dimension in ("valence", "arousal") for statistic in ("mean", "sd", "min", "max")),
    *MODALITIES,
    "supported",
    "words_left_out",
    "notes",
    "error",
    *("vatrace", "model", "modalities", "transcript", "side"),
)
"""The columns of every table of many recordings, whatever the recordings contain."""


def write_summary(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    """Write a CSV of SUMMARY_COLUMNS: each recording's name, and its `summary_row` or its error. Other cells are empty.

    Bytes of names that aren't UTF-8 become replacement characters.
    """
    import pandas as pd

    readable = [{name: shown(cell) if isinstance(cell, str) else cell for name, cell in row.items()} for row in rows]
    pd.DataFrame(readable, columns=list(SUMMARY_COLUMNS)).to_csv(path, index=False)


def tiers(prediction: Prediction) -> dict[str, list[Span]]:
    """A prediction as tiers of text spans that don't overlap.

    The tiers are the words; who speaks, if a transcript says so; the mean valence and arousal of each second with supported
    rows; and the spans of time in which face and voice were present.
    """
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
    """WebVTT: each sentence, with its speaker where known, and below it the mean valence and arousal while it was spoken."""
    import pysubs2

    subtitles = pysubs2.SSAFile()
    for sentence in sentences(prediction.words):
        start, end = sentence[0].start, sentence[-1].end
        inside = (prediction.times >= start) & (prediction.times < end)
        rows = inside if inside.any() else prediction.times == prediction.times[np.argmin(abs(prediction.times - start))]
        values = f"valence {prediction.valence[rows].mean():+.2f}, arousal {prediction.arousal[rows].mean():+.2f}"
        speaker = f"{sentence[0].speaker}: " if sentence[0].speaker else ""
        text = speaker + " ".join(word.text for word in sentence) + f"\\N({values})"
        subtitles.append(pysubs2.SSAEvent(round(1000 * start), round(1000 * end), text))
    header = f"WEBVTT\n\n{MADE_BY} wrote these subtitles"
    path.write_text(subtitles.to_string("vtt").replace("WEBVTT", header, 1), encoding="utf-8")
