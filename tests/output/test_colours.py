"""The colours, and that they have no other place."""

import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from vatrace.output.colours import BOX, BOX_EDGE, DARK, LIGHT, PRINT, css_variables


def luminance(colour: str) -> float:
    """Relative luminance, by its definition in WCAG 2.2."""
    channels = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
def test_text_and_traces_stand_out_from_the_ground(colours: dict[str, str]) -> None:
    assert contrast(colours["ink"], colours["paper"]) >= 7  # WCAG 2.2, 1.4.6
    assert contrast(colours["soft"], colours["paper"]) >= 4.5  # 1.4.3
    for trace in ("valence", "arousal"):
        assert contrast(colours[trace], colours["paper"]) >= 3  # 1.4.11


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
