from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vatrace.media import segmentation
from vatrace.media.segmentation import split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It was the best of times.", ["It", "was", "the", "best", "of", "times."]),
        ("今天天气很好。", ["今天", "天气", "很", "好。"]),
        ("今日は天気がいいです。", ["今日は", "天気が", "いいです。"]),
        ("我有iPhone手机", ["我", "有", "iPhone", "手机"]),
        ("", []),
    ],
)
def test_text_is_divided_into_words(text: str, words: list[str]) -> None:
    pytest.importorskip("budoux")
    assert split_words(text) == words


def test_without_budoux_characters_stand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "budoux", None)
    segmentation._parser.cache_clear()
    assert split_words("今天。 ไปเที่ยว ok") == ["今", "天。", "ไปเที่ยว", "ok"]
    segmentation._parser.cache_clear()


@given(st.text(st.sampled_from("今天日は。、กิน ab1.क्\u093f"), max_size=12))
def test_nothing_but_spaces_is_lost(text: str) -> None:
    words = split_words(text)
    assert "".join(words) == "".join(text.split()) and all(words)
