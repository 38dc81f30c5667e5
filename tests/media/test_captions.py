import pytest

from vatrace.media.captions import Caption, spoken, unrolled


def said(*texts: str) -> list[list[tuple[str | None, str]]]:
    """The speakers and words of captions that follow each other, 2 s each."""
    captions = [Caption(2.0 * index, 2.0 * index + 2, text) for index, text in enumerate(texts)]
    return [list(turn.texts) for turn in spoken(captions)[0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[DRAMATIC MUSIC] It was a wonderful day", "It was a wonderful day"),
        ("(sobbing) and I am so happy", "and I am so happy"),
        ("[door (slams) shut] No", "No"),
        ("[GUNSHOTS,\nSCREAMING]\nRun!", "Run!"),
        ("（笑）はい", "はい"),
        ("*sighs* Fine.", "Fine."),
        ("<i>I</i> <font color='red'>hate</font> <c.yellow>this</c>", "I hate this"),
        (r"{\an8}{\i1}I hate this{\i0}", "I hate this"),
        ("I <00:00:01.500><c>hate</c> this", "I hate this"),
        ("<ruby>漢<rt>kan</rt></ruby>字", "漢字"),
        ("AT&amp;T &lt;3", "AT&T <3"),
        ("- I hate this", "I hate this"),
        ("-I hate this", "I hate this"),
        ("-5 degrees", "-5 degrees"),
        ("&gt;&gt; I hate this", "I hate this"),
        ("\u200e\u202aI hate this\u202c", "I hate this"),
        ("It's 5 < 6, and so on", "It's 5 < 6, and so on"),
    ],
)
def test_markup_and_descriptions_are_no_speech(text: str, expected: str) -> None:
    assert said(text) == [[(None, expected)]]


@pytest.mark.parametrize(
    "text",
    [
        "[MUSIC]",
        "(SOBBING)",
        "♪",
        "♪ I love you ♪",
        "♪ I love you,\nyes I do ♪",
        "♪ I love you",
        "# Happy birthday to you #",
        "MAN: (LAUGHS)",
        "- [sighs]",
        "...",
        "Subtitles by John Doe",
        "Synced and corrected by someone\nwww.example.org",
        "{\\p1}",
    ],
)
def test_nothing_is_said_where_nobody_speaks(text: str) -> None:
    assert said(text) == []


def test_a_song_leaves_out_its_own_line_only() -> None:
    assert said("♪ la la la\n- I hate this") == [[(None, "I hate this")]]


def test_what_is_left_out_is_counted() -> None:
    captions = [Caption(0, 1, "[MUSIC] ♪ la la ♪"), Caption(1, 2, "(LAUGHS) Hello [sighs]")]
    assert str(spoken(captions)[1]) == "1 line of a song and 3 descriptions of sounds"


def test_a_description_may_go_on_in_the_next_caption() -> None:
    assert said("Hello. [distant", "thunder] Goodbye.") == [[(None, "Hello.")], [(None, "Goodbye.")]]
    assert said("Hello.", "a] b") == [[(None, "Hello.")], [(None, "a] b")]]


@pytest.mark.parametrize(
    ("text", "speaker"),
    [
        ("MAN: I hate this", "MAN"),
        ("MAN 2: I hate this", "MAN 2"),
        ("DR. SMITH: I hate this", "DR. SMITH"),
        ("ÉMILIE: I hate this", "ÉMILIE"),
        ("MAN (ON RADIO): I hate this", "MAN"),
        ("- ANNA: I hate this", "ANNA"),
        (">> ANNA: I hate this", "ANNA"),
        ("MAN:\nI hate this", "MAN"),
        ("[ANNA]: I hate this", "ANNA"),
        ("Anna Gross: I hate this", "Anna Gross"),
        ("Speaker 1: I hate this", "Speaker 1"),
        ("<v Anna>I hate this</v>", "Anna"),
        ("<v.loud Anna Gross>I hate this", "Anna Gross"),
    ],
)
def test_labels_name_the_speaker(text: str, speaker: str) -> None:
    assert said(text) == [[(speaker, "I hate this")]]


@pytest.mark.parametrize(
    "text", ["Remember: I hate this", "He said: I hate this", "I have one question: why", "At 10:30 I left"]
)
def test_a_colon_alone_makes_no_speaker(text: str) -> None:
    assert said(text) == [[(None, text)]]


def test_single_names_are_labels_where_a_transcript_has_several() -> None:
    assert said("Anna: Hello.", "Ben: Why?", "Look: there.") == [
        [("Anna", "Hello.")],
        [("Ben", "Why?")],
        [(None, "Look: there.")],
    ]


def test_a_speaker_is_kept_to_the_end_of_the_sentence() -> None:
    assert said("MAN: I hate it,", "it was horrible.", "I love it.") == [
        [("MAN", "I hate it,")],
        [("MAN", "it was horrible.")],
        [(None, "I love it.")],
    ]


def test_a_dialogue_has_several_speakers_in_one_caption() -> None:
    assert said("- ANNA: Why?\n- Because.") == [[("ANNA", "Why?"), (None, "Because.")]]


def test_a_dialogue_may_be_in_one_line() -> None:
    assert said("- ANNA: Why? - BEN: Because.") == [[("ANNA", "Why?"), ("BEN", "Because.")]]
    assert said("I see - and then I left.") == [[(None, "I see - and then I left.")]]
    assert said("Q: Why?", "A: Because.") == [[("Q", "Why?")], [("A", "Because.")]]


def test_a_transcript_in_capitals_still_has_words_before_colons() -> None:
    texts = ["I HATE IT.", "THIS WAS MY PLAN: TO LEAVE.", "ANNA: WHY?"]
    assert said(*texts) == [[(None, "I HATE IT.")], [(None, "THIS WAS MY PLAN: TO LEAVE.")], [("ANNA", "WHY?")]]


def rolled(*captions: tuple[float, float, str]) -> list[str]:
    return [caption.text for caption in unrolled([Caption(*caption) for caption in captions])]


def test_lines_that_roll_up_are_kept_once() -> None:
    three = [(0, 2, "one"), (2, 4, "one\ntwo"), (4, 6, "one\ntwo\nthree"), (6, 8, "two\nthree\nfour")]
    assert rolled(*three) == ["one", "two", "three", "four"]


def test_captions_that_grow_word_by_word_are_kept_once() -> None:
    words = ["I", "have", "never", "been", "so", "happy", "in", "my", "life"]
    assert rolled(*((i, i + 1, " ".join(words[: i + 1])) for i in range(len(words)))) == words


def test_what_is_said_twice_is_kept_twice() -> None:
    assert rolled((0, 2, "no"), (2, 4, "no"), (4, 6, "no no")) == ["no", "no", "no no"]
    assert rolled((0, 2, "no\nno"), (9, 10, "no\nno")) == ["no\nno", "no\nno"]


def test_a_caption_that_is_in_a_file_twice_is_kept_once() -> None:
    assert rolled((0, 2, "no"), (0, 2, "no"), (2, 4, "yes")) == ["no", "yes"]
