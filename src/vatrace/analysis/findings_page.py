"""The page of an analysis: one self-contained HTML file, light and dark, and the words in which findings are reported."""

from __future__ import annotations

import base64
import html
import io
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vatrace import __version__
from vatrace.analysis.analyse import UNCERTAINTY, Analysis
from vatrace.analysis.drawings import Colours, drawings
from vatrace.analysis.findings import Finding
from vatrace.files import shown
from vatrace.output.colours import DARK, LIGHT
from vatrace.output.look import mark_link, masthead, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECTIONS = {
    "conditions": (
        "Means by condition",
        "Large points are the means, with 95 % intervals; small points are participants, joined by lines across conditions. "
        "Each participant counts once in a condition. A linear mixed model with participant as random effect; "
        "cluster-robust (CR2) standard errors, and Satterthwaite's degrees of freedom. After the intervals of the means, the "
        "means of the ends of the model's 90 % intervals: see below.",
    ),
    "events": (
        "After events",
        "The mean over participants, minus the mean before the event. The narrow band is pointwise: it contains each single "
        "point with 95 % probability. The wide band is simultaneous: it contains the whole curve after the event with 95 % "
        "probability. Participants are the clusters. The test asks whether there is a response at any time after the event; "
        "it changes the signs of the participants' curves. A slow trend in the recordings looks like a response: compare the "
        "time before the event.",
    ),
    "synchrony": (
        "Synchrony",
        "The correlation in windows of 30 s (Fisher's z), minus that of shuffled windows, so that 0 is what chance and common "
        "trends give. At positive lags, the second person of the pair follows the first. Bands as for events, over "
        "pairs; pairs that share a participant count as one. Both may react to the same thing: synchrony is not influence.",
    ),
    "agreement": (
        "Agreement with ratings",
        "CCC is 1 for identical traces and 0 for no agreement. Its interval is a bootstrap over participants.",
    ),
}
"""Heading and explanation of each analysis."""

STYLE = """td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left; }
.found td { font-weight: bold; }
td, th { white-space: nowrap; }
picture img { display: block; width: auto; max-width: 100%; min-width: min(44rem, 100%); border-radius: 0; }
@media (max-width: 40rem) { picture img { max-width: none; width: 44rem; } }
"""
"""On a phone, figures and tables scroll to the side: smaller, their text couldn't be read."""

HEADER = ("", "", "estimate", "95 % interval", "test", "p", "p (Holm)", "n")
"""Of the tables on the page and in the terminal."""


def p_text(value: float) -> str:
    """A p value as papers print it; "" for none."""
    return "" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def cells_of(row: Finding) -> list[str]:
    """The cells of a finding below `HEADER`."""
    test = ""
    if not math.isnan(row.statistic):
        if not math.isnan(row.df2):
            test = f"F({row.df:g}, {row.df2:.1f}) = {row.statistic:.2f}"
        else:
            test = f"t({row.df:.1f}) = {row.statistic:.2f}" if not math.isnan(row.df) else f"max |t| = {row.statistic:.2f}"
    elif not math.isnan(row.trace_low):
        test = f"model [{row.trace_low:.3f}, {row.trace_high:.3f}]"
    where = "" if math.isnan(row.at) else f" at {row.at:.1f} s"
    number = "" if math.isnan(row.estimate) else f"{row.estimate:.3f}{where}"
    ends = "" if math.isnan(row.low) else f"[{row.low:.3f}, {row.high:.3f}]"
    return [row.dimension, shown(row.term), number, ends, test, p_text(row.p), p_text(row.p_holm), str(row.clusters)]


def write_findings(found: Analysis, path: Path, title: str, facts: Sequence[str]) -> None:
    """Write the page.

    Args:
        found: the analysis.
        path: the HTML file.
        title: for instance the name of the study's table.
        facts: sentences for the top of the page.
    """
    figures = drawings(found)
    parts = []
    for analysis, (heading, text) in SECTIONS.items():
        rows = found.of(analysis)
        if not rows:
            continue
        picture = _picture(figures[analysis], heading) if analysis in figures else ""
        parts.append(
            f'<section class="card"><h2>{heading}</h2>{picture}<p class="hint">{text}</p>{_table(rows, heading)}</section>'
        )
    notes = "".join(f"<li>{html.escape(shown(note))}</li>" for note in found.notes)
    path.write_text(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(shown(title))} · vatrace</title>
{mark_link()}<style>
{style()}{STYLE}</style></head><body>
{masthead()}
<main>
<h1>{html.escape(shown(title))}</h1>
<p class="lead">{html.escape(shown(" ".join(facts)))}</p>
{f'<section class="card"><h2>Notes</h2><ul>{notes}</ul></section>' if notes else ""}
{"".join(parts)}
<section class="card"><h2>What the intervals contain</h2><p>{html.escape(UNCERTAINTY)}</p>
<p>Tests are two-sided. p (Holm) is adjusted for the tests of one kind and one dimension, not for valence and arousal, nor for
the different analyses. Adjusted values below 0.05 are bold.</p></section>
</main>
<footer>vatrace {__version__}. The tables next to this page contain all values, codebook.csv explains them, and analysis.R
repeats the analysis in R.</footer></body></html>
""",
        encoding="utf-8",
    )


def _table(rows: Sequence[Finding], name: str) -> str:
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' if cell else "<td></td>" for cell in HEADER)
    body = "".join(
        ('<tr class="found">' if row.significant else "<tr>")
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells_of(row))
        + "</tr>"
        for row in rows
    )
    region = f'class="scroll" tabindex="0" role="region" aria-label="{html.escape(name)}: table"'
    return f"<div {region}><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def png(draw: Callable[[Colours], Figure], colours: Colours) -> bytes:
    """A figure of `drawings` as PNG."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # characters that the font lacks are drawn as boxes
        figure = draw(colours)
        figure.savefig(content, dpi=130, format="png", facecolor=colours["paper"])
    return content.getvalue()


def _picture(draw: Callable[[Colours], Figure], name: str) -> str:
    """The figure for light and for dark pages."""
    light, dark = (_source(draw, colours) for colours in (LIGHT, DARK))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(name)}: figure">'
        f'<picture><source srcset="{dark}" media="(prefers-color-scheme: dark)">'
        f'<img alt="{html.escape(name)}; the values are in the table" src="{light}"></picture></div>'
    )


def _source(draw: Callable[[Colours], Figure], colours: Colours) -> str:
    return "data:image/png;base64," + base64.b64encode(png(draw, colours)).decode()
