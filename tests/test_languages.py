from __future__ import annotations

import pytest

from vatrace.languages import LANGUAGES, check_language, continues, is_right_to_left, joined, language_of, name_of


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("de", "de"),
        ("DEU", "de"),
        ("ger", "de"),
        ("pt-BR", "pt"),
        ("zh_Hant", "zh"),
        ("German", "de"),
        ("xx", None),
        ("", None),
    ],
)
def test_a_language_is_named_by_its_codes_or_in_english(text: str, code: str | None) -> None:
    assert language_of(text) == code


def test_the_languages_are_those_of_whisper() -> None:
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    assert set(LANGUAGES) == set(_LANGUAGE_CODES)
    assert name_of("de") == "German" and name_of("und") == "an unknown language"


def test_an_unknown_choice_is_refused() -> None:
    check_language("auto")
    with pytest.raises(ValueError, match=r"a code such as en, de or zh .*not 'german'"):
        check_language("german")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["It", "was."], "It was."),
        (["你可以", "去", "车站。"], "你可以去车站。"),
        (["我们", "去", "iPhone", "商店。"], "我们去 iPhone 商店。"),
        (["오늘", "날씨가"], "오늘 날씨가"),
        (["สวัสดี", "ครับ"], "สวัสดีครับ"),
        (["שלום,", "מה"], "שלום, מה"),
        ([], ""),
    ],
)
def test_words_are_joined_as_their_script_is_written(words: list[str], text: str) -> None:
    assert joined(words) == text


def test_directions_and_marks() -> None:
    assert is_right_to_left("«שלום") and is_right_to_left("7 أيام") and not is_right_to_left("Hello שלום")
    assert continues("\u0e34") and continues("\u093f") and not continues("a") and not continues("")
