from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vatrace.languages import joined
from vatrace.output.lines import MAX_WIDTH, broken, width


def test_short_sentences_stay_on_one_line() -> None:
    assert broken(["It", "was."]) == ["It was."] and broken([]) == []


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("今天", 4), ("กิ", 1), ("नि", 2), ("שלום", 4)])
def test_widths(text: str, columns: int) -> None:
    assert width(text) == columns


@given(st.lists(st.sampled_from(["a", "while", "foolishness,", "今天", "天气很好。", "สวัสดี", "שלום"]), max_size=40))
def test_lines_are_short_and_complete(words: list[str]) -> None:
    lines = broken(words)
    assert all(0 < width(line) <= MAX_WIDTH for line in lines)
    assert joined(lines).replace(" ", "") == "".join(words)
    fewest = -(-width(joined(words)) // MAX_WIDTH)
    assert len(lines) <= 2 * fewest
