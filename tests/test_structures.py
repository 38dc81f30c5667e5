"""Two hundred files of the right form with wrong content; more in the slow suite, and by `python -m tests.structures`."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

import pytest

import structures
from vatrace.corpora.elan import read_elan
from vatrace.errors import CorpusError, UsageError
from vatrace.output.writers import read_json

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system can't limit the CPU time of a call")

QUICK, MANY = 10, 100
"""Files of each of the 21 kinds."""


@pytest.mark.parametrize("group", structures.GROUPS)
@pytest.mark.parametrize("count", [QUICK, pytest.param(MANY, marks=pytest.mark.slow)])
def test_wrong_content_is_a_result_or_one_line(tmp_path: Path, group: structures.Group, count: int) -> None:
    for kind, target in group(tmp_path).items():
        found = structures.search(target, count)
        assert found["result"] + found["error"] >= count // 2, kind


def test_what_is_found_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structures, "MAX_SECONDS", 0.1)
    path = tmp_path / "a.txt"

    def fail() -> None:
        raise KeyError(path.read_text())

    def hang() -> None:
        while True:
            pass

    for use, what in ((fail, "KeyError"), (hang, "TimeoutError")):
        with pytest.raises(AssertionError, match=what):
            structures.attempt(structures.Target(path, structures.TEXTS.map(str.encode), use), b"x")
    assert not logging.root.manager.disable


def annotation(name: str, refers_to: str) -> str:
    value = "<ANNOTATION_VALUE>0.5</ANNOTATION_VALUE>"
    return (
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{refers_to}">{value}</REF_ANNOTATION></ANNOTATION>'
    )


@pytest.mark.parametrize(("refers_to", "what"), [("a1", "'a1'"), ("a2", "'a1'|'a2'"), ("a9", "'a9'")])
def test_elan_annotations_that_refer_to_each_other_are_refused(tmp_path: Path, refers_to: str, what: str) -> None:
    kind = '<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="d" TIME_ALIGNABLE="true"/>'
    tiers = {"valence": annotation("a1", refers_to) + annotation("a2", "a1"), "arousal": ""}
    body = "".join(
        f'<TIER LINGUISTIC_TYPE_REF="d" TIER_ID="{name}" PARENT_REF="valence">{notes}</TIER>' for name, notes in tiers.items()
    )
    facts = 'AUTHOR="" DATE="2026-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0"'
    schema = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="EAFv3.0.xsd"'
    path = tmp_path / "a.eaf"
    path.write_text(f"<ANNOTATION_DOCUMENT {facts} {schema}><TIME_ORDER/>{body}{kind}</ANNOTATION_DOCUMENT>")
    with pytest.raises(
        CorpusError, match=rf"a\.eaf: tier 'valence' refers to ({what}), which the document lacks, or to itself"
    ):
        list(read_elan(path))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"people": 3}', '{"people": [{"time": "x"}]}', "[" * 100_000])
def test_a_damaged_result_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "talk.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"talk\.json: damaged \(") as error:
        read_json(path)
    assert "\n" not in str(error.value)
