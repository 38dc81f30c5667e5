"""Valence and arousal of emotion categories, for corpora that are labelled with categories only.

The numbers are a *proxy*: they are ratings of the word "anger", not of any single angry face or voice.
"""

from __future__ import annotations

CATEGORY_VALENCE_AROUSAL: dict[str, tuple[float, float]] = {
    "neutral": (0.00, 0.00),
    "happiness": (0.76, 0.48),
    "surprise": (0.40, 0.67),
    "sadness": (-0.63, -0.27),
    "anger": (-0.51, 0.59),
    "disgust": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
    "contempt": (-0.57, 0.29),
    "calm": (0.35, -0.45),
}
"""(valence, arousal) in -1..1.

The first seven are from Russell & Mehrabian 1977 (J. Research in Personality 11, 273-294) as commonly quoted; the row for
surprise is uncertain. The other two are not in that table: they are Warriner et al. 2013's rating of the word minus their
rating of "neutral", rescaled by (mean - 5) / 4.
"""
