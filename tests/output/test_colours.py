"""The colours, and that they have no other place."""

import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from vatrace.names import MODALITIES
from vatrace.output.colours import BOX, BOX_EDGE, DARK, LIGHT, PEOPLE, PRINT, css_variables


def linear(colour: str) -> np.ndarray:
    """Linear sRGB, 0..1."""
    channels = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    """Relative luminance, by its definition in WCAG 2.2."""
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
def test_text_and_traces_stand_out_from_the_ground(colours: dict[str, str]) -> None:
    for ground in (colours[name] for name in ("ground", "paper", "panel")):
        assert contrast(colours["ink"], ground) >= 7  # WCAG 2.2, 1.4.6
        for text in ("soft", "accent", "bad", "valence", "arousal"):
            assert contrast(colours[text], ground) >= 4.5  # 1.4.3
        for drawn in (*MODALITIES, "pleasant", "unpleasant", "edge"):
            assert contrast(colours[drawn], ground) >= 3  # 1.4.11
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5


def test_pages_have_every_colour_in_light_dark_and_print() -> None:
    style = css_variables()
    for name in LIGHT:
        assert style.count(f"--{name}:") == 3
    light, dark, paper = (style.index(f"--ink: {colours['ink']}") for colours in (LIGHT, DARK, PRINT))
    assert light < style.index("prefers-color-scheme: dark") < dark < style.index("@media print") < paper
    assert f"--box: {BOX}" in style
    assert f"--box-edge: {BOX_EDGE}" in style


def test_no_other_file_names_a_colour() -> None:
    package = Path(str(files("vatrace")))
    paths = [path for suffix in ("py", "css", "js", "html") for path in package.rglob(f"*.{suffix}")]
    own = [path for path in paths if path.name != "colours.py" and "uPlot" not in path.name]
    assert len(own) > 100
    for path in own:
        assert not re.findall(r"""["': ]#[0-9a-fA-F]{3,8}\b""", path.read_text(encoding="utf-8")), path


OKLAB = (
    np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    ),
    np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    ),
)
"""Linear sRGB to cones, and their cube roots to Oklab (Ottosson, 2020)."""
SIGHT = {
    "normal": np.eye(3),
    "without green cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "without red cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}
"""Of linear sRGB (Machado, Oliveira and Fernandes, 2009, severity 1)."""


def oklab(colour: str, sight: str) -> np.ndarray:
    seen = np.clip(SIGHT[sight] @ linear(colour), 0, 1)
    return np.asarray(OKLAB[1] @ np.cbrt(OKLAB[0] @ seen))


@pytest.mark.parametrize("sight", list(SIGHT))
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_people_differ_from_each_other_and_from_the_traces(colours: dict[str, str], sight: str) -> None:
    names = [f"person-{number}" for number in range(1, len(PEOPLE) + 1)]
    for count, least in ((4, 0.07), (8, 0.055)):
        shown = [oklab(colours[name], sight) for name in ("valence", "arousal", "soft", *names[:count])]
        apart = [np.linalg.norm(one - other) for index, one in enumerate(shown) for other in shown[index + 1 :]]
        assert len(apart) == (count + 3) * (count + 2) / 2 and min(apart) >= least


def test_people_stand_out_and_their_numbers_can_be_read() -> None:
    for light, dark in PEOPLE:
        assert contrast(light, LIGHT["paper"]) >= 3 and contrast(dark, DARK["paper"]) >= 4.5  # WCAG 2.2, 1.4.11 and 1.4.3
