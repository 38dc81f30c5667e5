"""The evaluation page: one self-contained HTML file with its figures."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vatrace.evaluation.bootstrap import Pair, caution
from vatrace.evaluation.evaluate import Evaluation
from vatrace.names import DIMENSIONS
from vatrace.output.look import digest, mark_link, masthead, style, web_file

MAX_POINTS = 2000
"""Points of a trace that is drawn."""
BINS = 40
"""Bins along each axis of the charts of label and prediction."""
POLICY = "default-src 'none'; img-src data:; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"
"""The page's content security policy: its own content and script, and nothing from elsewhere."""
SCRIPTS = ("uPlot.iife.min.js", "elements.js", "charts.js")


def _agreement_charts(predictions: Mapping[str, Pair]) -> list[dict[str, Any]]:
    """Label against prediction for both dimensions: how many steps are in each cell, and the mean prediction for each label."""
    charts = []
    edges = np.linspace(-1, 1, BINS + 1)
    centers = (edges[:-1] + edges[1:]) / 2
    for column, name in enumerate(DIMENSIONS):
        x, y = (np.clip(np.concatenate([pair[i][:, column] for pair in predictions.values()]), -1, 1) for i in range(2))
        known = ~np.isnan(x) & ~np.isnan(y)
        if not known.any():  # the model has only one output
            continue
        counts = np.histogram2d(x[known], y[known], bins=(edges, edges))[0]
        sums, numbers = np.histogram(x[known], edges, weights=y[known])[0], counts.sum(axis=1)
        means = np.divide(sums, numbers, out=np.full(BINS, np.nan), where=numbers > 0)
        charts.append(
            {
                "kind": "density",
                "title": name.capitalize(),
                "colour": name,
                "x": centers.round(3).tolist(),
                "cells": counts.astype(int).tolist(),
                "series": [{"label": "mean prediction", "colour": "ink", "values": _listed(means)}],
                "y": [-1, 1],
                "x_name": "label",
                "y_name": "predicted",
            }
        )
    return charts


def _trace_charts(evaluation: Evaluation, predictions: Mapping[str, Pair], rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Label and prediction over time, for the worst, the middle and the best recording."""
    names = [row["name"] for row in evaluation.recordings]
    charts = []
    for name in (names[i] for i in sorted({0, len(names) // 2, len(names) - 1})):
        truth, prediction = predictions[name]
        thin = max(1, -(-len(truth) // MAX_POINTS))
        for column, dimension in enumerate(DIMENSIONS):
            if np.isnan(prediction[:, column]).all():
                continue
            series = [
                {"label": "label", "colour": "soft", "values": _listed(truth[::thin, column])},
                {"label": "predicted", "colour": dimension, "values": _listed(prediction[::thin, column])},
            ]
            times = (np.arange(len(truth)) / rates[name])[::thin].round(3).tolist()
            title = f"{name}: {dimension}"
            charts.append({"kind": "line", "title": title, "x": times, "series": series, "y": [-1, 1], "x_name": "time in s"})
    return charts


def _dependence_charts(evaluation: Evaluation) -> list[dict[str, Any]]:
    """CCC against the missing share of each modality, and against the lag."""
    charts = []
    for dimension in DIMENSIONS:
        shares = sorted({share for curve in evaluation.robustness.values() for share in curve})
        series = [
            {
                "label": name,
                "colour": name,
                "values": _listed([curve.get(share, {}).get(dimension, math.nan) for share in shares]),
            }
            for name, curve in evaluation.robustness.items()
        ]
        if any(value is not None for curve in series for value in curve["values"]):
            title = f"CCC in {dimension} when a modality is missing"
            charts.append({"kind": "points", "title": title, "x": shares, "series": series, "x_name": "share removed"})
    lags = sorted(evaluation.lag)
    series = [
        {"label": name, "colour": name, "values": _listed([evaluation.lag[lag][name] for lag in lags])} for name in DIMENSIONS
    ]
    charts.append({"kind": "line", "title": "CCC by lag of the labels", "x": lags, "series": series, "x_name": "lag in s"})
    return charts


def _own_file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _listed(values: Sequence[float] | NDArray[np.floating]) -> list[float | None]:
    """Numbers for JSON; None for NaN."""
    return [None if math.isnan(value) else round(float(value), 3) for value in values]


def _charts(name: str, charts: list[dict[str, Any]]) -> str:
    """The place of some charts, with what is drawn there."""
    content = json.dumps(charts, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return f'<div class="charts" data-name="{name}"><script type="application/json">{content}</script></div>'


def _bars(evaluation: Evaluation) -> str:
    """A table of the CCC with subsets of the modalities, whose numbers have bars."""
    head = "".join(f'<th scope="col">{name}</th>' for name in ("modalities", *DIMENSIONS))
    rows = []
    for name, values in evaluation.ablation.items():
        cells = "".join(_bar(dimension, values[dimension]) for dimension in DIMENSIONS)
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>')
    return f'<table class="bars"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _bar(dimension: str, value: float) -> str:
    length = 0 if math.isnan(value) else 100 * min(max(value, 0.0), 1.0)
    return (
        f'<td><svg class="{dimension}" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{length:.1f}" height="10"/></svg>{value:.3f}</td>'
    )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title} · vatrace</title>
{icon}<style>{style}</style></head><body>
{top}
<main>
<h1>{title}</h1>
<p class="lead">{facts}</p>
<section class="card"><h2>Agreement with the labels</h2>{scores}
<p class="hint">
CCC is 1 for identical traces and 0 for no agreement. It is the correlation, reduced by differences in scale and shift.
Intervals are 95 % bootstrap intervals over subjects, or over recordings where subjects are not known. Sign is the share of
steps with the correct sign. A scale below 1 means that the prediction is too flat. The weights were selected on dev, so
figures on dev are slightly optimistic. Figures on test are not, unless choices are based on them.</p></section>
{fold}Label and prediction</h2></summary>{agreement}
<p class="hint">The darker a cell, the more steps are in it. On the dashed line, the prediction is the label.</p></details>
{fold}The worst, the middle and the best recording</h2></summary>{traces}</details>
{fold}Contribution of the modalities</h2></summary>{ablations}</details>
{fold}Missing modalities and lag</h2></summary>{dependence}
<p class="hint">
For the first two curves, a share of all steps of one modality is removed, in stretches of 3 s. If the peak of the lag curve
is to the right of 0, the labels are later than the prediction; if it is to the left, they are earlier.</p></details>
{fold}Baselines</h2></summary>{baselines}
<p class="hint">
The label of one second before can't be known in practice; it shows how smooth the labels are. A constant has a CCC of 0, so
its RMSE is given instead.</p></details>
{fold}Recordings</h2></summary>{recordings}</details>
</main>
<footer>These figures measure how well a model agrees with the people who annotated these recordings, under the instructions
they had. They don't show what anyone felt, nor how well the model works for other people, cultures, cameras or tasks. Do not
use the model to make decisions about people.</footer><script>{script}</script></body></html>
"""


def write_page(
    path: Path,
    title: str,
    facts: Sequence[str],
    evaluation: Evaluation,
    predictions: Mapping[str, Pair],
    rates: Mapping[str, float],
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        title: name of what was evaluated.
        facts: sentences for the top of the page.
        evaluation: the scores to show.
        predictions: truth and prediction (T, 2) by recording, -1..1.
        rates: steps per second by recording.
    """
    rows = []
    for name, score in evaluation.scores.items():
        ccc = f"{score.ccc:.3f} [{score.ccc_low:.3f}, {score.ccc_high:.3f}]"
        numbers = (score.ccc_by_recording, score.pearson, score.rmse, score.sign_agreement, score.scale, score.shift)
        rows.append([name, ccc, *(f"{value:.3f}" for value in numbers)])
    value, low, high = evaluation.mean_ccc
    rows.append(["mean", f"{value:.3f} [{low:.3f}, {high:.3f}]", *[""] * 6])
    if evaluation.agreement:
        agreed = "; ".join(f"{name} {evaluation.agreement['others'][name]:.3f}" for name in DIMENSIONS)
        facts = [
            *facts,
            f"CCC of each annotator with the mean of the others: {agreed}. A model can hardly exceed this.",
        ]
    facts = [*facts, caution(evaluation.num_units)]
    baselines = [[name, *(f"{values[d]:.3f}" for d in DIMENSIONS)] for name, values in evaluation.baselines.items()]
    recordings = [
        [row["name"], str(row["labels"]), f"{row['ccc_valence']:.3f}", f"{row['ccc_arousal']:.3f}"]
        for row in evaluation.recordings
    ]
    header = ["", "CCC [95 %]", "by recording", "Pearson r", "RMSE", "sign", "scale", "shift"]
    styles = style() + web_file("uPlot.min.css") + _own_file("page.css")
    script = "".join(map(web_file, SCRIPTS)) + _own_file("page.js")
    path.write_text(
        PAGE.format(
            policy=POLICY.format(style=digest(styles), script=digest(script)),
            title=html.escape(title),
            style=styles,
            script=script,
            icon=mark_link(),
            top=masthead(),
            facts=" ".join(html.escape(fact) for fact in facts),
            scores=_table(header, rows),
            agreement=_charts("agreement", _agreement_charts(predictions)),
            traces=_charts("traces", _trace_charts(evaluation, predictions, rates)),
            dependence=_charts("dependence", _dependence_charts(evaluation)),
            ablations=_bars(evaluation),
            fold='<details class="card fold" open><summary><h2>',
            baselines=_table(["", *DIMENSIONS], baselines),
            recordings=_table(["recording, worst first", "labelled steps", "CCC valence", "CCC arousal"], recordings),
        ),
        encoding="utf-8",
    )


def write_json(path: Path, facts: Mapping[str, Any], evaluation: Evaluation) -> None:
    """Write the scores as JSON; undefined values are null."""
    content = {**facts, **asdict(evaluation)}
    path.write_text(json.dumps(_defined(content), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _defined(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _defined(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' if cell else "<td></td>" for cell in header)
    names = [f' data-name="{html.escape(cell)}"' if cell else "" for cell in header]
    lines = [(f"<td{name}>{html.escape(cell)}</td>" for name, cell in zip(["", *names[1:]], row, strict=True)) for row in rows]
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in lines)
    return f'<div class="scroll"><table class="stacked"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
