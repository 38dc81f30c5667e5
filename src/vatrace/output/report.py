"""The HTML report: a prediction next to its recording."""

from __future__ import annotations

import base64
import html
import io
import json
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vatrace.features.spoken_languages import mean_probability, shares
from vatrace.files import temporary_folder
from vatrace.inference.prediction import SEVERAL, Prediction
from vatrace.languages import ENGLISH, NO_SPACES, name_of
from vatrace.media.recording import Recording
from vatrace.media.transcripts import Word, sentences
from vatrace.media.writing import preview_type, write_preview
from vatrace.names import DIMENSIONS, MODALITIES
from vatrace.output.colours import PEOPLE
from vatrace.output.figure import MAX_POINTS, write_picture
from vatrace.output.look import digest, mark_link, masthead, style, web_file
from vatrace.output.naming import colour_numbers, personal_notes, speakers, title
from vatrace.output.writers import made_by_lines

if TYPE_CHECKING:
    import pandas as pd

MIN_POINTS, MAX_BOXES = 1000, 20_000
"""The fewest points drawn per person if there are many: one per pixel of a wide chart. And the most boxes in all: 0.5 MB."""


def summary(prediction: Prediction) -> str:
    """One line: the length, mean and range of both traces over the supported rows, and the share of each modality.

    All of them are those of the part of the recording that counts. With several people, it describes the first.
    """
    where = prediction.supported if prediction.supported.any() else prediction.counted
    parts = [f"{prediction.counted.sum() / prediction.rate:.1f} s"]
    if prediction.others:
        parts.append(f"{len(prediction.people)} people, {title(prediction.person)}")
    for name in ("valence", "arousal"):
        values = getattr(prediction, name)[where]
        parts.append(f"{name} {values.mean():+.2f} (from {values.min():+.2f} to {values.max():+.2f})")
    parts += [f"{name} {prediction.share(name):.0%}" for name in MODALITIES]
    return ", ".join(parts)


POLICY = "default-src 'none'; img-src 'self' data:; media-src 'self' data:; style-src {style}; script-src {script}"
"""The report's content security policy: its own content and script, and nothing from elsewhere."""

BANDS = (
    "Bands are 90 % intervals: on recordings like those that the model was calibrated on (composed recordings, for the model "
    "that comes with vatrace), they contain the true value 9 times in 10. On other recordings, expect them to miss more often. "
)
"""The page's text on intervals."""

CONTRIBUTIONS = (
    "A contribution is given only where the modality was detected, or lies within the model's memory (some seconds before and "
    "after): where leaving it out moves the point by 0.005 or more. "
)
"""The page's text on contributions."""
OUTSIDE = ", and outside of the part from {:.1f} to {:.1f} s, which alone counts"
"""The page's text on where traces are faint, if only a part of the recording counts."""
FACE = "The box shows the face that the trace follows. "
"""The page's text on the box."""
CHOICE = "To choose the person whose trace is shown, click a name or press <kbd>1</kbd> to <kbd>{}</kbd>. "
"""The page's text on several people."""
FACES = "You can also click a face. The box of the person who is speaking is thicker, and its number is filled. "
"""The page's text on the boxes of several people."""

NUM_TINTS, STRONGEST_TINT = 10, 0.5
"""Strengths of the tint of a word, and the opacity of the strongest, on which text is readable."""

QUADRANTS = {
    "unpleasant, excited": (-1, 1),
    "pleasant, excited": (1, 1),
    "unpleasant, calm": (-1, -1),
    "pleasant, calm": (1, -1),
}
"""Signs of valence and arousal."""


def write_page(prediction: Prediction, path: Path, media: str, top: str = "") -> None:
    """Write one HTML file that needs no network: the recording next to its traces, the words, the numbers.

    Args:
        prediction: what to show.
        path: the page.
        media: the recording as an HTML element, such as `embedded` returns; "" for none.
        top: the bar on top of the page; "" for one without links.
    """
    people = list(prediction.people.values())
    picture = io.BytesIO()
    write_picture(prediction, picture)
    styles = style() + web_file("uPlot.min.css") + web_file("report.css") + _tints() + _people_styles()
    script = "".join(map(web_file, ("uPlot.iife.min.js", "elements.js", "report.js")))
    boxed = bool(media) and any(person.boxes is not None for person in people)
    choice, faces = (CHOICE.format(min(len(people), 9)), FACES) if prediction.others else ("", FACE)
    text = web_file("report.html").format(
        policy=POLICY.format(style=digest(styles), script=digest(script)),
        title=html.escape(os.fsencode(prediction.source.name).decode("utf-8", "replace")),
        style=styles,
        icon=mark_link(),
        header=top or masthead(),
        media=f'<div class="screen">{media}{_frames(prediction)}</div>' if boxed else media,
        people=_buttons(prediction),
        duration=prediction.duration,
        circumplex=_circumplex(people),
        picture=base64.b64encode(picture.getvalue()).decode(),
        numbers=_all_numbers(prediction),
        notes=_notes(prediction),
        transcript=_transcript(prediction),
        view=json.dumps(_view(prediction), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        bands="" if prediction.bounds is None else BANDS,
        outside=OUTSIDE.format(*prediction.span) if prediction.span else "",
        contributions="" if prediction.explanation is None else CONTRIBUTIONS,
        face=choice + (faces if boxed else ""),
        made_by=_made_by(prediction),
        script=script,
    )
    path.write_text(text, encoding="utf-8")


def embedded(recording: Recording, progress: Callable[[float], None] = lambda share: None) -> str:
    """A small copy of a recording as an HTML element that contains all of it; "" for a transcript.

    `progress` is called with the share done, 0..1.
    """
    if recording.kind == "transcript":
        return ""
    with temporary_folder() as folder:
        copy = folder / "copy"
        write_preview(recording, copy, progress)
        return embedded_copy(preview_type(recording), copy)


def embedded_copy(kind: str, copy: Path) -> str:
    """An HTML element that contains all of a small copy of this media type."""
    return media_element(kind, f"data:{kind};base64,{base64.b64encode(copy.read_bytes()).decode()}")


def media_element(kind: str, address: str) -> str:
    """An HTML element that shows or plays the file of this media type at an address."""
    tag = kind.partition("/")[0]
    if tag == "image":
        return f'<img alt="The picture" src="{address}">'
    return f'<{tag} controls preload="auto" src="{address}"></{tag}>'


def _view(prediction: Prediction) -> dict[str, Any]:
    """The data that the page's script draws: means over blocks of rows if the rows outnumber the pixels.

    The more people, the longer the blocks.
    """
    people, numbers = list(prediction.people.values()), colour_numbers(prediction)
    most = max(MAX_POINTS // len(people), MIN_POINTS)
    starts = np.arange(0, len(prediction.times), max(1, -(-len(prediction.times) // most)))
    every = max(1, -(-len(prediction.times) * len(people) // MAX_BOXES))
    rows = speakers(prediction)
    listed = [
        {"title": title(name), "colour": f"person-{numbers[name]}" if name in numbers else "soft", "hatched": name == SEVERAL}
        for name in rows
    ]
    turns = [[round(turn.start, 3), round(turn.end, 3), rows.index(turn.person)] for turn in prediction.turns if rows]
    return {
        "duration": prediction.duration,
        "time": _thin(prediction.times, starts),
        "people": [_person(person, starts, every) for person in people],
        "speakers": listed,
        "turns": turns,
    }


def _person(person: Prediction, starts: NDArray[np.int64], every: int) -> dict[str, Any]:
    """What the script draws of one person, in blocks of rows that begin at `starts`; of the boxes, each of `every` rows."""
    trace: dict[str, list[Any]] = {name: _thin(getattr(person, name), starts) for name in DIMENSIONS}
    trace["supported"] = np.logical_or.reduceat(person.supported, starts).astype(int).tolist()
    if person.bounds:
        for column, name in enumerate(DIMENSIONS):
            low, high = (ends[:, column] for ends in person.bounds)
            trace |= {f"{name}_low": _thin(low, starts), f"{name}_high": _thin(high, starts)}
    spans = {name: np.round(person.spans(name), 3).tolist() for name in MODALITIES}
    drawn = {"trace": trace, "presence": spans, "shares": _shares(person, starts), "boxes": _boxes(person, every)}
    return {"title": title(person.person), **drawn}


def _thin(values: NDArray[np.float64], starts: NDArray[np.int64]) -> list[float | None]:
    """Means of the blocks of rows that begin at `starts`; None where they aren't known."""
    means = np.add.reduceat(values, starts) / np.diff(starts, append=len(values))
    return [None if np.isnan(value) else round(value, 3) for value in means.tolist()]


def _shares(prediction: Prediction, starts: NDArray[np.int64]) -> dict[str, list[float | None]] | None:
    """Mean shares of the blocks of rows that begin at `starts`, None where they aren't given; those of a block add up to 1."""
    if prediction.explanation is None:
        return None
    shares = prediction.explanation.shares
    any_given = np.logical_or.reduce([~np.isnan(share) for share in shares.values()])
    num_rows, found = np.add.reduceat(any_given.astype(float), starts), {}
    for name, share in shares.items():
        given = np.logical_or.reduceat(~np.isnan(share), starts)
        means = np.add.reduceat(np.nan_to_num(share), starts)[given] / num_rows[given]
        found[name] = np.full(len(starts), None)
        found[name][given] = means.round(3)
    return {name: values.tolist() for name, values in found.items()}


def _boxes(person: Prediction, every: int) -> dict[str, Any] | None:
    """The box of the face in each of `every` rows, None where there is none, and the seconds from one to the next."""
    if person.boxes is None:
        return None
    rows = [None if np.isnan(box[0]) else box for box in person.boxes[::every].round(3).tolist()]
    return {"step": every / person.rate, "rows": rows}


def _frames(prediction: Prediction) -> str:
    """The frames of the faces over the picture, with a number if there are several people."""
    numbers = colour_numbers(prediction)
    if not prediction.others:
        own = f" colour-{numbers[prediction.person]}" if speakers(prediction) else ""
        return f'<i id="face" class="face{own}" data-person="0" hidden></i>'
    return "".join(
        f'<button class="face colour-{numbers[name]}" data-person="{index}" tabindex="-1" aria-hidden="true" '
        f'title="{html.escape(title(name))}" hidden><b>{html.escape(name)}</b></button>'
        for index, name in enumerate(prediction.people)
    )


def _buttons(prediction: Prediction) -> str:
    """A button for each of several people."""
    if not prediction.others:
        return ""
    numbers = colour_numbers(prediction)
    buttons = "".join(
        f'<button class="pick colour-{numbers[name]}" data-person="{index}" aria-pressed="false" '
        f'aria-label="Show {html.escape(title(name))}">'
        f"{html.escape(title(name))}</button>"
        for index, name in enumerate(prediction.people)
    )
    return f'<div class="people" role="group" aria-label="People">{buttons}</div>'


def _people_styles() -> str:
    """The classes of people's colours: `--person` on the page, `--seen` over the picture."""
    return "".join(
        f".colour-{number} {{ --person: var(--person-{number}); --seen: var(--box-{number}); }}\n"
        for number in range(1, len(PEOPLE) + 1)
    )


def _notes(prediction: Prediction) -> str:
    """The notes, those of only some of several people with the name."""
    notes, others = personal_notes(prediction)
    notes += [f"{', '.join(map(title, names))}: {note}" for note, names in others.items()]
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f'<section class="card"><h2>Notes</h2><ul class="notes">{items}</ul></section>' if items else ""


def _circumplex(people: Sequence[Prediction]) -> str:
    """The path of each person's trace in the plane of valence and arousal, as SVG."""
    paths = "".join(f'<g data-person="{index}">{_path(person, len(people))}</g>' for index, person in enumerate(people))
    return (
        '<svg class="circumplex" viewBox="-112 -112 224 224" role="img" aria-label="The path in valence and arousal">'
        '<rect class="frame" x="-100" y="-100" width="200" height="200"/>'
        '<path class="frame" d="M-100 0H100M0 -100V100"/><circle class="frame round" r="100"/>'
        '<text x="98" y="-3" text-anchor="end">pleasant</text><text x="-98" y="-3">unpleasant</text>'
        '<text x="3" y="-94">excited</text><text x="3" y="98">calm</text>'
        f'{paths}<circle class="dot" r="4"/></svg>'
    )


def _path(person: Prediction, num_people: int) -> str:
    """The supported parts of a trace as lines."""
    thin = max(1, len(person.times) * num_people // MAX_POINTS)
    points = np.stack([100 * person.valence, -100 * person.arousal], axis=-1)
    points[~person.supported] = np.nan
    parts = np.split(points[::thin], np.flatnonzero(np.isnan(points[::thin, 0])))
    lines = [" ".join(f"{x:.1f},{y:.1f}" for x, y in part[~np.isnan(part[:, 0])]) for part in parts]
    return "".join(f'<polyline class="path" points="{line}"/>' for line in lines if line)


def _made_by(prediction: Prediction) -> str:
    """A sentence for the page, and how to make the results again; "" if nothing is known."""
    facts = ", ".join(f"{name} {value}" for name, value in prediction.made_by.items())
    if not prediction.provenance:
        return f" Made by {html.escape(facts)}." if facts else ""
    lines = "".join(f"<li>{html.escape(name)}: {html.escape(text)}</li>" for name, text in made_by_lines(prediction).items())
    return f" Made by {html.escape(facts)}.<details><summary>How it was made</summary><ul>{lines}</ul></details>"


def _transcript(prediction: Prediction) -> str:
    """The words by sentence, each tinted by the valence at its time, with the speakers if there are several."""
    rows, people = speakers(prediction), prediction.people
    spoken = _spoken(prediction) if rows else [(prediction.person, sentence) for sentence in sentences(prediction.words)]
    if not spoken:
        return "<p>No words were detected.</p>"
    numbers, places = colour_numbers(prediction), {name: index for index, name in enumerate(people)}
    lines = []
    for name, sentence in spoken:
        start = sentence[0].start
        time = f"{int(start) // 60}:{int(start) % 60:02d}"
        about, who = "", ""
        if rows:
            about = f' class="{f"colour-{numbers[name]}" if name in numbers else "nobody"}"'
            about += f' data-person="{places[name]}"' if name in places else ""
            who = f"<b>{html.escape(title(name))}</b> "
        said = _sentence(sentence, people.get(name))
        lines.append(f'<p{about}><a href="#time" data-start="{start:.3f}">{time}</a> {who}{said}</p>')
    keys = " or ".join(f'<span class="{name}-{NUM_TINTS}">{name}</span>' for name in ("pleasant", "unpleasant"))
    whose = "The words of the chosen person" if prediction.others else "Words"
    hint = f'<p class="hint">{whose} are tinted by the valence at the time: {keys}.</p>'
    return f'{hint}{_languages(prediction)}<div class="transcript">{"".join(lines)}</div>'


def _languages(prediction: Prediction) -> str:
    """A sentence on the languages that are spoken; "" if only English is, or it isn't known."""
    durs = shares(prediction.languages)
    if not set(durs) - {ENGLISH}:
        return ""
    found = []
    for code, dur in durs.items():
        probability = mean_probability(prediction.languages, code)
        sure = "" if probability is None else f", probability {probability:.2f}"
        found.append(f"{name_of(code)} ({dur:.1f} s{sure})")
    unused = " The words network doesn't understand all of these words, so some don't count." if prediction.words_unused else ""
    return f'<p class="hint">Languages: {html.escape(", ".join(found))}.{unused}</p>'


def _sentence(words: Sequence[Word], person: Prediction | None) -> str:
    """A sentence for the page, in the direction of its script, with spaces where it has them."""
    parts = [_word(words[0], person)]
    for before, word in pairwise(words):
        apart = not (NO_SPACES.match(before.text[-1]) and NO_SPACES.match(word.text[0]))
        parts += [" "] * apart + [_word(word, person)]
    language = words[0].language or ENGLISH
    return "".join(parts) if language == ENGLISH else f'<bdi lang="{html.escape(language)}">{"".join(parts)}</bdi>'


def _spoken(prediction: Prediction) -> list[tuple[str, list[Word]]]:
    """All sentences with the names of their speakers: those of the turns, and people's words outside of turns."""
    said = [(turn.person, turn.words) for turn in prediction.turns]
    known = {(word.start, word.text) for _, words in said for word in words}
    for name, person in prediction.people.items():
        said.append((name, tuple(word for word in person.words if (word.start, word.text) not in known)))
    found = [(name, sentence) for name, words in said for sentence in sentences(words)]
    return sorted(found, key=lambda spoken: spoken[1][0].start)


def _signed(value: float) -> str:
    """With a sign, as the page's script writes it."""
    return f"{value:+.2f}".replace("-", "−")


def _word(word: Word, person: Prediction | None) -> str:
    """A word for the page; the tint and values are those of the person who says it, if their trace is known."""
    times = f'data-start="{word.start:.3f}" data-end="{word.end:.3f}"'
    if person is None:
        return f"<span {times}>{html.escape(word.text)}</span>"
    valence, arousal = person.at((word.start + word.end) / 2)
    tint = f"{'pleasant' if valence > 0 else 'unpleasant'}-{round(min(2 * abs(valence), 1) * NUM_TINTS)}"
    values = f"valence {valence:+.2f}, arousal {arousal:+.2f}"
    return f'<span {times} class="{tint}" title="{values}">{html.escape(word.text)}</span>'


def _tints() -> str:
    shades = [(step, f"{STRONGEST_TINT * step / NUM_TINTS:.0%}") for step in range(1, NUM_TINTS + 1)]
    return "".join(
        f".{name}-{step} {{ background: color-mix(in srgb, var(--{name}) {shade}, transparent); }}\n"
        for name in ("pleasant", "unpleasant")
        for step, shade in shades
    )


def _all_numbers(prediction: Prediction) -> str:
    """The numbers of each person; if there are several, after a table that compares them."""
    import pandas as pd

    if not prediction.others:
        return f'<div class="numbers">{_numbers(prediction)}</div>'
    rows, details = {}, ""
    for index, (name, person) in enumerate(prediction.people.items()):
        means = {name: values["mean"] for name, values in person.statistics().items()}
        means = pd.Series(means).map(_signed, na_action="ignore")
        speaks = "" if person.speaking is None else f"{person.speaking.sum() / person.rate:.1f} s"
        rows[title(name)] = {"visible": f"{person.share('face'):.0%}", "speaks": speaks, **means}
        details += f'<div data-person="{index}"><h3>{html.escape(title(name))}</h3>'
        details += f'<div class="numbers">{_numbers(person)}</div></div>'
    return _table(pd.DataFrame(rows).T, na_rep="") + details


def _numbers(person: Prediction) -> str:
    import pandas as pd

    table = person.to_pandas()
    supported = table[table["supported"] == 1]
    if supported.empty:
        return "<p>No face, voice or words were detected.</p>"
    plain = "{:.2f}".format
    signs = np.where(supported[["valence", "arousal"]] > 0, 1, -1)
    quadrants = {name: f"{(signs == sign).all(axis=1).mean():.0%}" for name, sign in QUADRANTS.items()}
    shares = pd.DataFrame({"detected": {name: f"{person.share(name):.0%}" for name in MODALITIES}})
    if person.explanation:
        given = pd.DataFrame(person.explanation.shares).dropna(how="all")
        means = given.fillna(0).mean().where(given.notna().any())
        shares["contribution"] = means.map("{:.0%}".format, na_action="ignore")
    tables = [_table(pd.DataFrame(person.statistics()).T, float_format=_signed, formatters={"SD": plain})]
    return "".join([*tables, _table(pd.DataFrame({"share of time": quadrants})), _table(shares, na_rep="")])


def _table(table: pd.DataFrame, **options: Any) -> str:
    """A table as HTML without styles in its elements, which the content policy forbids."""
    drawn: str = table.to_html(border=0, **options)
    plain = drawn.replace(' style="text-align: right;"', "").replace("<th></th>", "<td></td>")
    return f'<div class="scroll">{plain}</div>'
