"""Draws the diagram of the architecture page: `python docs/diagram.py` writes docs/pictures/architecture.svg."""

from __future__ import annotations

from html import escape
from pathlib import Path

TARGET = Path(__file__).parent / "pictures" / "architecture.svg"
LEFTS, WIDTH, HALF = (20, 360, 700), 260, 120
"""Left ends of the columns, and the width of a box and of half of one."""
TOP, HEIGHT, STEP = 56, 44, 92
"""Top of the first row, height of a box, and distance of the rows."""
BOXES = {  # name: text, column, row, and which part of the column
    "input": ("video, audio, image or transcript", 0, 0, "all"),
    "recording": ("Recording", 0, 1, "all"),
    "perceived": ("Perceived:\npeople, voice, words", 0, 2, "all"),
    "percept": ("Percept: features and\nmasks of one person", 0, 3, "all"),
    "prediction": ("Prediction", 0, 4, "all"),
    "files": ("CSV, Parquet, JSON, HTML, MP4, ...", 0, 5, "all"),
    "annotated": ("annotated\nrecordings", 1, 0, "left"),
    "elsewhere": ("features from\nother tools", 1, 0, "right"),
    "corpus": ("Corpus", 1, 1, "left"),
    "store": ("Store", 1, 2, "all"),
    "loop": ("training loop: AffectModel", 1, 3, "all"),
    "run": ("Run", 1, 4, "all"),
    "page": ("evaluation page", 1, 5, "all"),
    "camera": ("camera", 2, 0, "left"),
    "microphone": ("microphone", 2, 0, "right"),
    "follower": ("Follower", 2, 1, "all"),
    "value": ("Value, ten per second", 2, 2, "all"),
}
ARROWS = [  # from, to, and what does it
    ("input", "recording", "open_recording"),
    ("recording", "perceived", "Perceiver.perceive"),
    ("perceived", "percept", "Perceiver.percept"),
    ("percept", "prediction", "FusionModel.run"),
    ("prediction", "files", "writers, report, overlay"),
    ("annotated", "corpus", "open_corpus"),
    ("corpus", "store", "extract"),
    ("elsewhere", "store", "vatrace import"),
    ("store", "loop", "Windows"),
    ("loop", "run", "save_model, export_onnx"),
    ("run", "page", "evaluate, compare"),
    ("run", "prediction", "model.onnx"),
    ("camera", "follower", "add_frame"),
    ("microphone", "follower", "add_audio"),
    ("follower", "value", "FusionModel.step"),
]
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1b1f24; text-anchor: middle; }
.head { font-weight: 600; }
.note { font-size: 12px; fill: #57606a; }
.beside { text-anchor: start; }
rect { fill: #eef4fb; stroke: #2f6fb0; }
path { fill: none; stroke: #57606a; stroke-width: 1.5; marker-end: url(#end); }
"""


def drawn() -> str:
    """The diagram as SVG."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 980 576" role="img" aria-label="From a recording to a trace">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<polygon points="0,0 8,4 0,8" fill="#57606a"/></marker></defs>',
        '<rect width="980" height="576" style="fill:#fff;stroke:none"/>',
    ]
    for left, title in zip(LEFTS, ("Predict", "Train", "Live"), strict=True):
        parts.append(_text(left + WIDTH / 2, 34, title, "head"))
    for start, stop, note in ARROWS:
        parts.append(_arrow(start, stop, note))
    for name, (text, *_) in BOXES.items():
        left, top, width = _place(name)
        parts.append(f'<rect x="{left}" y="{top}" width="{width}" height="{HEIGHT}" rx="6"/>')
        lines = text.split("\n")
        first = top + HEIGHT / 2 + 5 - 9 * (len(lines) - 1)
        parts += [_text(left + width / 2, first + 18 * number, line) for number, line in enumerate(lines)]
    return "\n".join([*parts, "</svg>\n"])


def _place(name: str) -> tuple[float, float, float]:
    """Left end, top and width of a box."""
    _, column, row, part = BOXES[name]
    left = LEFTS[column] + (WIDTH - HALF if part == "right" else 0)
    return left, TOP + row * STEP, WIDTH if part == "all" else HALF


def _arrow(start: str, stop: str, note: str) -> str:
    """An arrow down, or to the left if both boxes are in one row."""
    left, top, width = _place(start)
    other_left, other_top, other_width = _place(stop)
    if top == other_top:
        y = top + HEIGHT / 2
        middle = (left + other_left + other_width) / 2
        return f'<path d="M{left} {y}H{other_left + other_width}"/>' + _text(middle, y - 8, note, "note")
    x = left + width / 2 if width <= other_width else other_left + other_width / 2
    y = other_top - (STEP - HEIGHT) / 2 + 3
    return f'<path d="M{x} {top + HEIGHT}V{other_top}"/>' + _text(x + 8, y, note, "note beside")


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}"' + (f' class="{kind}"' if kind else "") + f">{escape(text)}</text>"


if __name__ == "__main__":
    TARGET.write_text(drawn(), encoding="utf-8")
