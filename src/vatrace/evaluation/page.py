"""The evaluation page: one self-contained HTML file with its figures."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vatrace.evaluation.bootstrap import Pair, caution
from vatrace.evaluation.evaluate import Evaluation
from vatrace.names import DIMENSIONS
from vatrace.output.colours import LIGHT
from vatrace.output.look import mark_link, masthead, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUM_TRACES = 3
MAX_POINTS = 3000


def agreement_figure(predictions: Mapping[str, Pair]) -> Figure:
    """Draw label against prediction for both dimensions; darker means more steps."""
    drawn = _figure(9, 4.2)
    for axes, column, name in zip(drawn.subplots(1, 2), range(2), DIMENSIONS, strict=True):
        x, y = (np.concatenate([pair[i][:, column] for pair in predictions.values()]) for i in range(2))
        known = ~np.isnan(x) & ~np.isnan(y)
        if known.any():
            axes.hexbin(x[known], y[known], gridsize=40, extent=(-1, 1, -1, 1), bins="log", cmap="Blues", mincnt=1)
        axes.plot([-1, 1], [-1, 1], color="0.4", linewidth=0.8, linestyle="--")
        axes.set(xlim=(-1, 1), ylim=(-1, 1), xlabel=f"{name}, label", ylabel=f"{name}, predicted", aspect="equal")
        _plain(axes)
    return drawn


def trace_figure(evaluation: Evaluation, predictions: Mapping[str, Pair], rates: Mapping[str, float]) -> Figure:
    """Draw label and prediction over time, for the worst, the middle and the best recording."""
    from matplotlib.lines import Line2D

    names = [row["name"] for row in evaluation.recordings]
    chosen = [names[i] for i in sorted({0, len(names) // 2, len(names) - 1})]
    drawn = _figure(10, 0.6 + 2.0 * len(chosen))
    grid = drawn.subplots(len(chosen), 2, squeeze=False, sharey=True)
    for row, name in zip(grid, chosen, strict=True):
        truth, prediction = predictions[name]
        times = np.arange(len(truth)) / rates[name]
        thin = max(1, len(times) // MAX_POINTS)
        for axes, column, dimension in zip(row, range(2), DIMENSIONS, strict=True):
            axes.axhline(0, color="0.8", linewidth=0.8)
            axes.plot(times[::thin], truth[::thin, column], color="0.25", linewidth=1.2, label="label")
            axes.plot(times[::thin], prediction[::thin, column], color=LIGHT[dimension], linewidth=1.6)
            axes.set(ylim=(-1, 1), xlim=(0, max(times[-1], 1 / rates[name])))
            axes.set_title(f"{name}: {dimension}", fontsize=9, loc="left", parse_math=False)
            _plain(axes)
    for axes in grid[-1]:
        axes.set_xlabel("time in s")
    handles = [grid[0][0].lines[1], *(Line2D([], [], color=LIGHT[name], label=f"predicted {name}") for name in DIMENSIONS)]
    drawn.legend(handles=handles, loc="outside upper right", frameon=False, fontsize=8, ncols=3)
    return drawn


def dependence_figure(evaluation: Evaluation) -> Figure:
    """Draw CCC against the missing share of each modality, and against the lag."""
    drawn = _figure(10, 3.4)
    for axes, dimension in zip(drawn.subplots(1, 3)[:2], DIMENSIONS, strict=True):
        for name, curve in evaluation.robustness.items():
            axes.plot(list(curve), [values[dimension] for values in curve.values()], "o-", color=LIGHT.get(name), label=name)
        axes.set(xlabel="share of steps removed", title=f"{dimension}: CCC", ylim=_limits(evaluation, dimension))
        if evaluation.robustness:
            axes.legend(frameon=False, fontsize=8)
        _plain(axes)
    axes = drawn.axes[2]
    for dimension in DIMENSIONS:
        values = [value[dimension] for value in evaluation.lag.values()]
        axes.plot(list(evaluation.lag), values, color=LIGHT[dimension], label=dimension)
    axes.axvline(0, color="0.8", linewidth=0.8)
    axes.set(xlabel="lag of the labels in s", title="CCC")
    axes.legend(frameon=False, fontsize=8)
    _plain(axes)
    return drawn


def ablation_figure(evaluation: Evaluation) -> Figure:
    """Draw CCC with subsets of the modalities."""
    names = list(evaluation.ablation)
    drawn = _figure(8, 0.9 + 0.36 * len(names))
    axes = drawn.subplots()
    for offset, dimension in ((-0.19, "valence"), (0.19, "arousal")):
        values = [evaluation.ablation[name][dimension] for name in names]
        axes.barh(np.arange(len(names)) + offset, np.nan_to_num(values), 0.36, color=LIGHT[dimension], label=dimension)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.axvline(0, color="0.5", linewidth=0.8)
    axes.set(xlabel="CCC")
    drawn.legend(loc="outside upper right", frameon=False, fontsize=8, ncols=2)
    _plain(axes)
    return drawn


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _limits(evaluation: Evaluation, dimension: str) -> tuple[float, float]:
    values = [v[dimension] for curve in evaluation.robustness.values() for v in curve.values() if not math.isnan(v[dimension])]
    return (min(0.0, *values) - 0.02, max(0.05, *values) * 1.08) if values else (0.0, 1.0)


MORE_STYLE = """img { display: block; background: white; }
td:first-child { text-align: left; }
details.card { margin-top: 1rem; }
@media (max-width: 40rem) {
  table.stacked, .stacked tbody { display: block; } .stacked thead { display: none; }
  .stacked tr { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  .stacked td { border: 0; padding: 0; text-align: left; }
  .stacked td:first-child { flex: 1 0 100%; font-weight: 600; overflow-wrap: anywhere; }
  .stacked td:empty { display: none; } .stacked td[data-name]::before { content: attr(data-name) " "; color: var(--soft); }
}
"""
"""On a phone, a row of a table is a paragraph, and each figure has the name of its column."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · vatrace</title>
{icon}<style>
{style}</style></head><body>
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
{fold}Label and prediction</h2></summary><img alt="Label against prediction, for valence and arousal" src="{agreement}">
</details>
{fold}The worst, the middle and the best recording</h2></summary>
<img alt="Traces of three recordings: labels and predictions" src="{traces}"></details>
{fold}Contribution of the modalities</h2></summary><img alt="CCC by modalities; the figures are in the table" src="{ablation}">
{ablations}</details>
{fold}Missing modalities and lag</h2></summary><img alt="CCC against missing modalities and lag" src="{dependence}">
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
use the model to make decisions about people.</footer></body></html>
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
    ablations = [[name, *(f"{values[d]:.3f}" for d in DIMENSIONS)] for name, values in evaluation.ablation.items()]
    recordings = [
        [row["name"], str(row["labels"]), f"{row['ccc_valence']:.3f}", f"{row['ccc_arousal']:.3f}"]
        for row in evaluation.recordings
    ]
    header = ["", "CCC [95 %]", "by recording", "Pearson r", "RMSE", "sign", "scale", "shift"]
    path.write_text(
        PAGE.format(
            title=html.escape(title),
            style=style() + MORE_STYLE,
            icon=mark_link(),
            top=masthead(),
            facts=" ".join(html.escape(fact) for fact in facts),
            scores=_table(header, rows),
            agreement=_source(agreement_figure(predictions)),
            traces=_source(trace_figure(evaluation, predictions, rates)),
            ablation=_source(ablation_figure(evaluation)),
            dependence=_source(dependence_figure(evaluation)),
            ablations=_table(["modalities", *DIMENSIONS], ablations),
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


def _source(drawn: Figure) -> str:
    content = io.BytesIO()
    drawn.savefig(content, dpi=130, format="png")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
