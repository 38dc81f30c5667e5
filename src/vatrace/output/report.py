"""A prediction as a figure of its traces, and as a page that shows it next to the recording."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vatrace.inference.prediction import NOBODY, Prediction
from vatrace.media.recording import Recording
from vatrace.media.transcripts import sentences
from vatrace.media.writing import preview_type, write_preview
from vatrace.names import MODALITIES
from vatrace.output.colours import LIGHT, css_variables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_POINTS, MAX_BOXES = 4000, 20_000


def figure(prediction: Prediction) -> Figure:
    """Valence and arousal over time with their intervals, and below them the presence of face, voice and words.

    The traces are faint where nothing supports them.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    drawn = Figure(figsize=(11, 4.6), layout="constrained")
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    times, supported = prediction.times, prediction.supported
    thin = max(1, len(times) // MAX_POINTS)
    above.axhline(0, color="0.75", linewidth=0.8, zorder=1)
    for column, name in enumerate(("valence", "arousal")):
        values = getattr(prediction, name)
        if prediction.bounds is not None:
            low, high = (ends[::thin, column] for ends in prediction.bounds)
            for where, alpha in ((supported, 0.14), (~supported, 0.04)):
                above.fill_between(times[::thin], low, high, where[::thin], color=LIGHT[name], alpha=alpha, linewidth=0)
        style = {"color": LIGHT[name], "marker": "o" if len(times) == 1 else None}
        above.plot(times[::thin], values[::thin], alpha=0.25, linewidth=1, **style)
        shown = np.where(supported, values, np.nan)
        above.plot(times[::thin], shown[::thin], linewidth=1.8, label=name, **style)
    above.set(ylim=(-1, 1), ylabel="valence, arousal")
    name = os.fsencode(prediction.source.name).decode("utf-8", "replace")
    drawn.suptitle(name, x=0.01, ha="left", fontsize="large", parse_math=False)
    above.set_yticks([-1, -0.5, 0, 0.5, 1])
    handles = above.get_legend_handles_labels()[0]
    if prediction.bounds is not None:
        handles.append(Patch(color="0.5", alpha=0.3, linewidth=0, label="90 % interval"))
    above.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), frameon=False, ncols=3, borderaxespad=0.2)
    above.spines[["top", "right"]].set_visible(False)
    for row, name in enumerate(MODALITIES):
        spans = [(start, end - start) for start, end in prediction.spans(name)]
        below.broken_barh(spans, (len(MODALITIES) - row - 1.4, 0.8), color=LIGHT[name])
    below.set(ylim=(-0.6, len(MODALITIES) - 0.4), xlim=(0, prediction.duration), xlabel="time in s")
    if not supported.any():
        below.text(0.5, 0.5, NOBODY, transform=below.transAxes, ha="center", va="center", color="0.3")
    below.set_yticks(range(len(MODALITIES)), reversed(MODALITIES))
    below.tick_params(axis="y", length=0)
    below.spines[["top", "right", "left"]].set_visible(False)
    return drawn


def write_picture(prediction: Prediction, path: Path | io.BytesIO) -> None:
    """The figure as a PNG of about 1650 x 690 pixels."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # characters that the font lacks are drawn as boxes
        figure(prediction).savefig(path, dpi=150, format="png")


def summary(prediction: Prediction) -> str:
    """One line: the length, mean and range of both traces over the supported rows, and the share of each modality."""
    where = prediction.supported if prediction.supported.any() else np.ones(len(prediction.times), bool)
    parts = [f"{prediction.duration:.1f} s"]
    for name in ("valence", "arousal"):
        values = getattr(prediction, name)[where]
        parts.append(f"{name} {values.mean():+.2f} (from {values.min():+.2f} to {values.max():+.2f})")
    parts += [f"{name} {prediction.presence[name].mean():.0%}" for name in MODALITIES]
    return ", ".join(parts)


def style() -> str:
    """The style of all pages, light and dark."""
    return css_variables() + web_file("page.css")


def web_file(name: str) -> str:
    """The content of a file of the pages."""
    return (files(__package__) / name).read_text(encoding="utf-8")


POLICY = "default-src 'none'; img-src 'self' data:; media-src 'self' data:; style-src {style}; script-src {script}"
"""The report's content security policy: its own content and script, and nothing from elsewhere."""

BANDS = (
    "Bands are 90 % intervals: on recordings like those that the model was calibrated on (composed recordings, for the model "
    "that comes with vatrace), they contain the true value 9 times in 10. Expect less on other recordings. "
)
"""The page's text on intervals."""

CONTRIBUTIONS = (
    "A contribution is given only where the modality was detected, or lies within the model's memory (some seconds before and "
    "after): where leaving it out moves the point by 0.005 or more. "
)
"""The page's text on contributions."""
FACE = "The box shows the face that the trace follows. "
"""The page's text on the box."""

NUM_TINTS, STRONGEST_TINT = 10, 0.5
"""Strengths of the tint of a word, and the opacity of the strongest, on which text is readable."""

QUADRANTS = {
    "unpleasant, excited": (-1, 1),
    "pleasant, excited": (1, 1),
    "unpleasant, calm": (-1, -1),
    "pleasant, calm": (1, -1),
}
"""Signs of valence and arousal."""


def write_page(prediction: Prediction, path: Path, media: str) -> None:
    """Write one HTML file that needs no network: the recording next to its traces, the words, the numbers.

    Args:
        prediction: what to show.
        path: the page.
        media: the recording as an HTML element, such as `embedded` returns; "" for none.
    """
    picture = io.BytesIO()
    write_picture(prediction, picture)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in prediction.notes)
    styles = style() + web_file("uPlot.min.css") + web_file("report.css") + _tints()
    script = web_file("uPlot.iife.min.js") + web_file("report.js")
    text = web_file("report.html").format(
        policy=POLICY.format(style=_digest(styles), script=_digest(script)),
        title=html.escape(os.fsencode(prediction.source.name).decode("utf-8", "replace")),
        style=styles,
        media=f'<div class="screen">{media}<i id="face" hidden></i></div>' if media and prediction.boxes is not None else media,
        duration=prediction.duration,
        circumplex=_circumplex(prediction),
        picture=base64.b64encode(picture.getvalue()).decode(),
        numbers=_numbers(prediction),
        notes=f"<h2>Notes</h2><ul>{notes}</ul>" if notes else "",
        transcript=_transcript(prediction),
        view=json.dumps(_view(prediction), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        bands="" if prediction.bounds is None else BANDS,
        contributions="" if prediction.explanation is None else CONTRIBUTIONS,
        face="" if prediction.boxes is None or not media else FACE,
        made_by=_made_by(prediction),
        script=script,
    )
    path.write_text(text, encoding="utf-8")


def embedded(recording: Recording, progress: Callable[[float], None] = lambda share: None) -> str:
    """A small copy of a recording as an HTML element that contains all of it; "" for a transcript.

    `progress` is called with the share done, 0..1.
    """
    if recording.kind == "transcript":
        return ""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        write_preview(recording, copy, progress)
        return embedded_copy(preview_type(recording), copy)


def embedded_copy(kind: str, copy: Path) -> str:
    """An HTML element that contains all of a small copy of this media type."""
    return media_element(kind, f"data:{kind};base64,{base64.b64encode(copy.read_bytes()).decode()}")


def media_element(kind: str, address: str) -> str:
    """An HTML element that shows or plays the file of this media type at an address."""
    tag = kind.partition("/")[0]
    if tag == "image":
        return f'<img alt="The picture" src="{address}">'
    return f'<{tag} controls preload="auto" src="{address}"></{tag}>'


def _view(prediction: Prediction) -> dict[str, Any]:
    """The data that the page's script draws: means over blocks of rows if the rows outnumber the pixels."""
    starts = np.arange(0, len(prediction.times), max(1, -(-len(prediction.times) // MAX_POINTS)))
    sizes = np.diff(starts, append=len(prediction.times))

    def thin(values: NDArray[np.float64]) -> list[float | None]:
        means = np.add.reduceat(values, starts) / sizes
        return [None if np.isnan(value) else round(value, 3) for value in means.tolist()]

    trace: dict[str, list[Any]] = {"time": thin(prediction.times)}
    trace |= {"valence": thin(prediction.valence), "arousal": thin(prediction.arousal)}
    trace["supported"] = np.logical_or.reduceat(prediction.supported, starts).astype(int).tolist()
    if prediction.bounds:
        for column, name in enumerate(("valence", "arousal")):
            low, high = (ends[:, column] for ends in prediction.bounds)
            trace |= {f"{name}_low": thin(low), f"{name}_high": thin(high)}
    spans = {name: np.round(prediction.spans(name), 3).tolist() for name in MODALITIES}
    drawn = {"trace": trace, "presence": spans, "shares": _shares(prediction, starts), "boxes": _boxes(prediction)}
    return {"duration": prediction.duration, **drawn}


def _shares(prediction: Prediction, starts: NDArray[np.int64]) -> dict[str, list[float | None]] | None:
    """Mean shares of the blocks of rows that begin at `starts`, None where they aren't given; those of a block add up to 1."""
    if prediction.explanation is None:
        return None
    shares = prediction.explanation.shares
    any_given = np.logical_or.reduce([~np.isnan(share) for share in shares.values()])
    num_rows, found = np.add.reduceat(any_given.astype(float), starts), {}
    for name, share in shares.items():
        given = np.logical_or.reduceat(~np.isnan(share), starts)
        means = np.add.reduceat(np.nan_to_num(share), starts)[given] / num_rows[given]
        found[name] = np.full(len(starts), None)
        found[name][given] = means.round(3)
    return {name: values.tolist() for name, values in found.items()}


def _boxes(prediction: Prediction) -> dict[str, Any] | None:
    """The boxes of the face, None where there is none, and the seconds from one to the next."""
    if prediction.boxes is None:
        return None
    every = -(-len(prediction.boxes) // MAX_BOXES)
    rows = [None if np.isnan(box[0]) else box for box in prediction.boxes[::every].round(3).tolist()]
    return {"step": every / prediction.rate, "rows": rows}


def _circumplex(prediction: Prediction) -> str:
    """The path of the trace in the plane of valence and arousal, as SVG."""
    thin = max(1, len(prediction.times) // MAX_POINTS)
    points = np.stack([100 * prediction.valence, -100 * prediction.arousal], axis=-1)
    points[~prediction.supported] = np.nan
    parts = np.split(points[::thin], np.flatnonzero(np.isnan(points[::thin, 0])))
    lines = [" ".join(f"{x:.1f},{y:.1f}" for x, y in part[~np.isnan(part[:, 0])]) for part in parts]
    paths = "".join(f'<polyline class="path" points="{line}"/>' for line in lines if line)
    return (
        '<svg class="circumplex" viewBox="-112 -112 224 224" role="img" aria-label="The path in valence and arousal">'
        '<rect class="frame" x="-100" y="-100" width="200" height="200"/>'
        '<path class="frame" d="M-100 0H100M0 -100V100"/><circle class="frame round" r="100"/>'
        '<text x="98" y="-3" text-anchor="end">pleasant</text><text x="-98" y="-3">unpleasant</text>'
        '<text x="3" y="-94">excited</text><text x="3" y="98">calm</text>'
        f'{paths}<circle class="dot" r="4"/></svg>'
    )


def _made_by(prediction: Prediction) -> str:
    """A sentence for the page; "" if nothing is known."""
    facts = ", ".join(f"{name} {value}" for name, value in prediction.made_by.items())
    return f" Made by {html.escape(facts)}." if facts else ""


def _transcript(prediction: Prediction) -> str:
    """The words by sentence, each tinted by the valence while it was said."""
    if not prediction.words:
        return "<p>No words were detected.</p>"
    lines = []
    for sentence in sentences(prediction.words):
        spans = []
        for word in sentence:
            valence, arousal = prediction.at((word.start + word.end) / 2)
            tint = f"{'pleasant' if valence > 0 else 'unpleasant'}-{round(min(2 * abs(valence), 1) * NUM_TINTS)}"
            spans.append(
                f'<span data-start="{word.start:.3f}" data-end="{word.end:.3f}" class="{tint}" '
                f'title="valence {valence:+.2f}, arousal {arousal:+.2f}">{html.escape(word.text)}</span>'
            )
        start = sentence[0].start
        time = f"{int(start) // 60}:{int(start) % 60:02d}"
        lines.append(f'<p><a href="#time" data-start="{start:.3f}">{time}</a> {" ".join(spans)}</p>')
    keys = " or ".join(f'<span class="{name}-{NUM_TINTS}">{name}</span>' for name in ("pleasant", "unpleasant"))
    hint = f'<p class="hint">Words are tinted by the valence while they were said: {keys}.</p>'
    return f'{hint}<div class="transcript">{"".join(lines)}</div>'


def _tints() -> str:
    shades = [(step, f"{STRONGEST_TINT * step / NUM_TINTS:.0%}") for step in range(1, NUM_TINTS + 1)]
    return "".join(
        f".{name}-{step} {{ background: color-mix(in srgb, var(--{name}) {shade}, transparent); }}\n"
        for name in ("pleasant", "unpleasant")
        for step, shade in shades
    )


def _digest(content: str) -> str:
    """The digest by which a content policy allows a script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _numbers(prediction: Prediction) -> str:
    import pandas as pd

    supported = prediction.to_pandas()[prediction.supported]
    if supported.empty:
        return "<p>No face, voice or words were detected.</p>"
    signed, plain = "{:+.2f}".format, "{:.2f}".format
    table: str = prediction.statistics().to_html(border=0, float_format=signed, formatters={"SD": plain})
    signs = np.where(supported[["valence", "arousal"]] > 0, 1, -1)
    quadrants = {name: f"{(signs == sign).all(axis=1).mean():.0%}" for name, sign in QUADRANTS.items()}
    shares = pd.DataFrame({"detected": {name: f"{prediction.presence[name].mean():.0%}" for name in MODALITIES}})
    if prediction.explanation:
        given = pd.DataFrame(prediction.explanation.shares).dropna(how="all")
        means = given.fillna(0).mean().where(given.notna().any())
        shares["contribution"] = means.map("{:.0%}".format, na_action="ignore")
    tables = [table, pd.DataFrame({"share of time": quadrants}).to_html(border=0), shares.to_html(border=0, na_rep="")]
    return "".join(tables).replace(' style="text-align: right;"', "")  # the content policy forbids it
