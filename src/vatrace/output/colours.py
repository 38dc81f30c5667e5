"""All colours of figures, pages and overlays, in the hues of Okabe & Ito's palette, which colour-blind people can tell apart.

The pages take them as CSS variables (`--valence`, `--ink`, ...), the figures and the overlay from these dicts.
"""

from __future__ import annotations

from collections.abc import Mapping

LIGHT = {
    "valence": "#0072B2",
    "arousal": "#B44D00",
    "face": "#008F68",
    "voice": "#B85C90",
    "words": "#A87200",
    "pleasant": "#008F68",
    "unpleasant": "#B44D00",
    "accent": "#4C46C8",
    "on-accent": "#FFFFFF",
    "bad": "#B3261E",
    "ink": "#1A1D21",
    "soft": "#5B626B",
    "ground": "#F3F4F7",
    "paper": "#FFFFFF",
    "panel": "#F4F5F7",
    "line": "#D4D8DD",
    "edge": "#7D858F",
}
"""On a light ground. `accent` is for what can be clicked, `bad` for errors, `soft` for less important text. `ground` is behind
the cards, `paper` is that of cards and figures, `panel` that of boxes in them; `line` is for rules, `edge` outlines inputs.

Okabe & Ito's orange, green, pink and yellow are too bright for text on white; these have the same hues, and a contrast of 4.5
(valence and arousal) or 3 (the others) with all three grounds.
"""

DARK = LIGHT | {
    "valence": "#56B4E9",
    "arousal": "#F2884B",
    "face": "#1DB88C",
    "voice": "#DD8FBC",
    "words": "#E69F00",
    "pleasant": "#1DB88C",
    "unpleasant": "#F2884B",
    "accent": "#A9A6FF",
    "on-accent": "#14171A",
    "bad": "#FF8A80",
    "ink": "#E8EAED",
    "soft": "#A3ABB5",
    "ground": "#0C0E10",
    "paper": "#14171A",
    "panel": "#1E2226",
    "line": "#3B4148",
    "edge": "#727B86",
}
"""On a dark ground, and in the overlay."""

PEOPLE = (
    ("#1EA381", "#96FCDA"),
    ("#4F0E8A", "#9C71DF"),
    ("#74003A", "#CC6689"),
    ("#4B4B00", "#838549"),
    ("#8B83BF", "#C9C2FC"),
    ("#2E1F08", "#E0B584"),
    ("#5D3666", "#AF88B8"),
    ("#838542", "#DADD9F"),
)
"""Of people "1", "2", ...: on a light and on a dark ground, and on pictures, where the second is used.

They were chosen one after the other from colours of other hues than valence and arousal, each as far as possible in Oklab from
the traces, from `soft` and from the people before it, as seen with normal sight, without green cones, and without red ones. The
more people, the less they differ: pages, figures and videos show the names as well.
"""
LIGHT |= {f"person-{number}": light for number, (light, _) in enumerate(PEOPLE, start=1)}
DARK |= {f"person-{number}": dark for number, (_, dark) in enumerate(PEOPLE, start=1)}

PRINT = LIGHT | {"ink": "#000000", "soft": "#444444", "ground": "#FFFFFF", "panel": "#FFFFFF", "line": "#BBBBBB"}
"""On paper."""

BOX, BOX_EDGE, BOX_RING = "#7CE0B8", DARK["paper"], DARK["ink"]
"""The frame around the only face that is followed, the edge of every frame, which keeps it visible on a bright picture, and the
ring around the frame of the person whom the reader has chosen."""


def css_variables() -> str:
    """The CSS variables of all pages: light, dark where the reader's system is, and for print."""

    def root(colours: Mapping[str, str]) -> str:
        return ":root { " + " ".join(f"--{name}: {value};" for name, value in colours.items()) + " }"

    frames = {"box": BOX, "box-edge": BOX_EDGE, "box-ring": BOX_RING}
    frames |= {f"box-{number}": bright for number, (_, bright) in enumerate(PEOPLE, start=1)}
    dark, paper = f"@media (prefers-color-scheme: dark) {{ {root(DARK)} }}", f"@media print {{ {root(PRINT)} }}"
    return "\n".join([":root { color-scheme: light dark; }", root(frames), root(LIGHT), dark, paper, ""])
