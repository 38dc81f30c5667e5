"""All colours of figures, pages and overlays. Okabe & Ito's, which colour-blind people can tell apart as well.

The pages take them as CSS variables (`--valence`, `--ink`, ...), the figures and the overlay from these dicts.
"""

from __future__ import annotations

from collections.abc import Mapping

LIGHT = {
    "valence": "#0072B2",
    "arousal": "#D55E00",
    "face": "#009E73",
    "voice": "#CC79A7",
    "words": "#E69F00",
    "pleasant": "#009E73",
    "unpleasant": "#D55E00",
    "ink": "#1A1D21",
    "soft": "#5B626B",
    "paper": "#FFFFFF",
    "panel": "#F4F5F7",
    "line": "#D4D8DD",
}
"""On a light ground; `soft` is for less important text, `panel` for boxes, `line` for rules and grids."""

DARK = LIGHT | {
    "valence": "#56B4E9",
    "arousal": "#F2884B",
    "unpleasant": "#F2884B",
    "ink": "#E8EAED",
    "soft": "#A3ABB5",
    "paper": "#14171A",
    "panel": "#1E2226",
    "line": "#3B4148",
}
"""On a dark ground, and in the overlay."""

PRINT = LIGHT | {"ink": "#000000", "soft": "#444444", "panel": "#FFFFFF", "line": "#BBBBBB"}
"""On paper."""

BOX, BOX_EDGE = "#7CE0B8", DARK["paper"]
"""The frame around a face, and its thin edge, which keeps it visible on a bright picture."""


def css_variables() -> str:
    """The CSS variables of all pages: light, dark where the reader's system is, and for print."""

    def root(colours: Mapping[str, str]) -> str:
        return ":root { " + " ".join(f"--{name}: {value};" for name, value in colours.items()) + " }"

    box = f":root {{ color-scheme: light dark; --box: {BOX}; --box-edge: {BOX_EDGE}; }}"
    dark, paper = f"@media (prefers-color-scheme: dark) {{ {root(DARK)} }}", f"@media print {{ {root(PRINT)} }}"
    return "\n".join([box, root(LIGHT), dark, paper, ""])
