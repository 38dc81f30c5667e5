from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from vatrace.prediction import Prediction
from vatrace.report import figure, summary, write_page
from vatrace.transcripts import Word


def prediction(steps: int = 30) -> Prediction:
    presence = {name: np.zeros(steps, bool) for name in ("face", "voice", "words")}
    presence["face"][steps // 3 :] = True
    times = np.arange(steps) / 10
    return Prediction(Path("<b>talk.mp4"), times, np.sin(times), np.cos(times), presence, [Word("<script>", 0, 1)], ["a & b"])


def test_the_figure_draws_both_traces_and_the_presence_under_them() -> None:
    above, below = figure(prediction()).axes
    drawn = {line.get_label(): line.get_ydata() for line in above.lines}
    np.testing.assert_allclose(drawn["valence"][10:], np.sin(np.arange(10, 30) / 10))
    assert np.isnan(drawn["valence"][:10]).all()  # strong only where something was there
    (span,) = below.collections[0].get_paths()
    assert (span.vertices[:, 0].min(), span.vertices[:, 0].max()) == (1.0, 3.0)


def test_one_row_and_no_support_can_be_drawn_too() -> None:
    single = prediction(1)
    figure(single).canvas.draw()
    single.presence["face"][:] = False
    figure(single).canvas.draw()
    assert summary(single).startswith("0.0 s")


def test_the_page_is_whole_and_lets_nothing_in(tmp_path: Path) -> None:
    write_page(prediction(), tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")

    class Links(HTMLParser):
        found: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in {"script", "link", "b"}
            self.found += [value or "" for name, value in attrs if name in {"src", "href"}]

    parser = Links()
    parser.feed(text)
    assert len(parser.found) == 1 and parser.found[0].startswith("data:image/png;base64,")
    assert "&lt;script&gt;" in text and "a &amp; b" in text
