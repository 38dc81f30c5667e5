"""Text in scripts that run from right to left, have no spaces or combine letters: from a transcript to every output."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import praatio.textgrid
import pympi
import pysubs2
import pytest

from browser import open_page
from vatrace.inference.prediction import Prediction
from vatrace.languages import joined
from vatrace.media.transcripts import Word, read_transcript
from vatrace.output.lines import MAX_WIDTH, width
from vatrace.output.report import write_page
from vatrace.output.writers import read_json, write_elan, write_json, write_subtitles, write_textgrid

TEXTS = {
    "ar": ("يغادر القطار في الساعة السابعة صباحا. كنت سعيدا جدا برؤية أصدقائي القدامى مرة أخرى بعد وقت طويل.", "cp1256"),
    "he": ("הרכבת יוצאת בשבע בבוקר. שמחתי מאוד לראות שוב את החברים הישנים שלי אחרי זמן כל כך רב.", "cp1255"),
    "hi": ("ट्रेन सुबह सात बजे निकलती है। इतने लंबे समय के बाद अपने पुराने दोस्तों को देखकर मैं बहुत खुश था।", "utf-16"),
    "ja": ("電車は朝七時に出発します。久しぶりに昔の友達に会えて、とても嬉しかったです。", "shift-jis"),
    "ko": ("기차는 아침 일곱 시에 출발합니다. 오랜만에 옛 친구들을 다시 만나서 정말 기뻤습니다.", "euc-kr"),
    "th": ("รถไฟออกตอนเจ็ดโมงเช้า ฉันดีใจมากที่ได้พบเพื่อนเก่าอีกครั้งหลังจากไม่ได้เจอกันนานมาก", "cp874"),
    "zh": ("火车早上七点出发。过了这么久又见到老朋友，我非常高兴，我们一起去公园散步，聊了很多以前的事情。", "gb18030"),
}
"""What is said, and an encoding that has been usual for it."""
SPACED = {"ar", "he", "hi", "ko"}
DUR = 6.0


def words_of(folder: Path, language: str) -> list[Word]:
    """The words of a transcript in an encoding that is named."""
    text, encoding = TEXTS[language]
    path = folder / "talk.srt"
    path.write_bytes(f"1\n00:00:00,000 --> 00:00:0{DUR:.0f},000\n{text}\n".encode(encoding))
    transcript = read_transcript(path, language, encoding)
    assert transcript.notes == ()
    return list(transcript.words)


def prediction(words: list[Word]) -> Prediction:
    steps = round(words[-1].end * 10)
    presence = {name: np.full(steps, name == "words") for name in ("face", "voice", "words")}
    return Prediction(Path("talk.mp4"), 10.0, np.arange(steps) / 10, np.full(steps, 0.4), np.zeros(steps), presence, words)


@pytest.mark.parametrize("language", TEXTS)
def test_every_file_has_the_words_as_they_are_written(language: str, tmp_path: Path) -> None:
    pytest.importorskip("budoux")
    words, (text, _) = words_of(tmp_path, language), TEXTS[language]
    said = [word.text for word in words]
    assert "".join(said) == "".join(text.split()) and {word.language for word in words} == {language}
    assert joined(said) == text if language in SPACED else 5 < len(said) < width(text) / 2
    made = prediction(words)
    write_json(made, tmp_path / "a.json")
    assert [word.text for word in read_json(tmp_path / "a.json").words] == said
    write_elan(made, tmp_path / "a.eaf")
    assert [entry[2] for entry in sorted(pympi.Eaf(str(tmp_path / "a.eaf")).get_annotation_data_for_tier("words"))] == said
    write_textgrid(made, tmp_path / "a.TextGrid")
    grid = praatio.textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=False)
    assert [entry.label for entry in grid.getTier("words").entries] == said


@pytest.mark.parametrize("language", TEXTS)
def test_subtitles_are_broken_between_words(language: str, tmp_path: Path) -> None:
    pytest.importorskip("budoux")
    words = words_of(tmp_path, language)
    write_subtitles(prediction(words), tmp_path / "a.vtt")
    captions = [caption.plaintext.split("\n") for caption in pysubs2.load(str(tmp_path / "a.vtt"))]
    lines = [line for caption in captions for line in caption[:-1]]
    assert all(caption[-1].startswith("(valence") for caption in captions) and len(lines) > len(captions)
    assert all(width(line) <= MAX_WIDTH for line in lines)
    ends, place = set[int](), 0
    for word in words:
        place += len(word.text)
        ends.add(place)
    place = 0
    for line in lines:
        place += len(line.replace(" ", ""))
        assert place in ends
    assert place == max(ends)


def test_the_report_shows_each_script_in_its_direction_and_without_spaces_where_it_has_none(tmp_path: Path) -> None:
    pytest.importorskip("budoux")
    found = {language: words_of(tmp_path, language) for language in TEXTS}
    later = [
        replace(word, start=word.start + DUR * place, end=word.end + DUR * place)
        for place, words in enumerate(found.values())
        for word in words
    ]
    write_page(prediction(later), tmp_path / "a.html", "")
    with open_page(f"file://{tmp_path}/a.html", viewport={"width": 900, "height": 900}) as opened:
        for language, (text, _) in TEXTS.items():
            shown = opened.page.locator(f'.transcript bdi[lang="{language}"]')
            assert "".join("".join(shown.all_inner_texts()).split()) == "".join(text.split())
            assert language in SPACED or not any(" " in part for part in shown.all_inner_texts())
            first, second = (shown.first.locator("span").nth(index).bounding_box() for index in range(2))
            assert first is not None and second is not None and abs(first["y"] - second["y"]) < 3
            assert (second["x"] < first["x"]) == (language in {"ar", "he"})
        assert not opened.complaints
