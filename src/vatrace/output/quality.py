"""A page on a batch: a row for each trace, so that recordings that need a look are found quickly."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vatrace import __version__
from vatrace.files import shown, written_whole
from vatrace.names import DIMENSIONS, MODALITIES
from vatrace.output.flags import FLAGS
from vatrace.output.naming import title
from vatrace.output.provenance import now
from vatrace.output.report import POLICY, digest, style, web_file
from vatrace.output.sketch import drawn

FAILED = "failed"
"""The flag of a recording without a result."""
MARK = "<!-- vatrace: quality of a batch -->"
"""The second line of the page, by which it is known to be one that may be replaced."""

Row = Mapping[str, Any]


def write_quality(rows: Sequence[Row], own: Sequence[str], reports: Mapping[str, str], path: Path) -> None:
    """Write the page.

    Args:
        rows: of the summary, in order, with the name of the recording.
        own: names of the user's own columns.
        reports: for each recording that has one, the path of its report from the folder of the page, with slashes.
        path: where.
    """
    styles, script = style() + web_file("quality.css"), web_file("quality.js")
    named = len({row.get("person") for row in rows if not row.get("error")}) > 1
    columns = {"Recording": "text", **dict.fromkeys(map(shown, own), "text")}
    columns |= {"Person": "text"} if named else {}
    columns |= {"Seconds": "number", "Trace": ""}
    columns |= {name.capitalize(): "number" for name in (*DIMENSIONS, *MODALITIES)} | {"Flags": "number", "Notes": "text"}
    counts = Counter(flag for row in rows for flag in _flags(row))
    flagged = ", ".join(f"{flag}: {counts[flag]}" for flag in (FAILED, *FLAGS) if counts[flag])
    num_recordings = len({row["recording"] for row in rows})
    text = web_file("quality.html").format(
        policy=POLICY.format(style=digest(styles), script=digest(script)),
        style=styles,
        count=f"{num_recordings} {'recording' if num_recordings == 1 else 'recordings'}",
        counts=f"{flagged[:1].upper()}{flagged[1:]}." if flagged else "Nothing is flagged.",
        header="".join(_heading(name, kind) for name, kind in columns.items()),
        rows="\n".join(_row(row, own, named, reports.get(row["recording"])) for row in rows),
        flags="".join(f"<dt>{name}</dt><dd>{html.escape(meaning)}</dd>" for name, meaning in FLAGS.items()),
        version=__version__,
        created=now(),
        script=script,
    )
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def is_quality(path: Path) -> bool:
    """Whether a file is such a page, so that it may be replaced."""
    try:
        with path.open(encoding="utf-8") as file:
            return MARK in (file.readline(), file.readline().rstrip("\r\n"))
    except (OSError, UnicodeError):
        return False


def _flags(row: Row) -> list[str]:
    return [FAILED] if row.get("error") else [flag for flag in str(row.get("flags") or "").split("; ") if flag]


def _heading(name: str, kind: str) -> str:
    label = f'<button type="button">{html.escape(name)}</button>' if kind else html.escape(name)
    is_left = kind != "number" or name == "Flags"
    return f'<th scope="col"{" class=text" if is_left else ""} data-kind="{kind}">{label}</th>'


def _row(row: Row, own: Sequence[str], named: bool, report: str | None) -> str:
    name = html.escape(shown(row["recording"]))
    link = name if report is None else f'<a href="{html.escape(quote(report))}">{name}</a>'
    cells = [f'<th scope="row" class="text" data-sort="{name}">{link}</th>']
    cells += [_text(column, row.get(column)) for column in own]
    cells += [_text("Person", row.get("person"), title)] if named else []
    cells.append(_number("Seconds", row.get("duration"), "{:.1f}"))
    found = row.get("sketch")
    cells.append(f"<td>{drawn(found, f'Valence and arousal of {name}')}</td>" if found else "<td></td>")
    cells += [_number(column.capitalize(), row.get(f"{column}_mean"), "{:+.2f}") for column in DIMENSIONS]
    cells += [_number(column.capitalize(), row.get(column), "{:.0%}") for column in MODALITIES]
    flags = _flags(row)
    chips = "".join(f'<span class="flag">{html.escape(flag)}</span>' for flag in flags)
    cells.append(f'<td class="text" data-sort="{len(flags)}">{chips}</td>')
    return f"<tr>{''.join(cells)}{_notes(row)}</tr>"


def _text(name: str, value: object, form: Any = str) -> str:
    text = "" if value is None else html.escape(shown(form(str(value))))
    return f'<td class="text" data-name="{html.escape(shown(name))}" data-sort="{text}">{text}</td>' if text else "<td></td>"


def _number(name: str, value: float | None, form: str) -> str:
    if value is None:
        return "<td></td>"
    text = form.format(value)
    text = "0.00" if text == "-0.00" else text.replace("-", "−")
    return f'<td data-name="{name}" data-sort="{value:.10g}">{text}</td>'


def _notes(row: Row) -> str:
    if row.get("error"):
        error = html.escape(shown(row["error"]))
        return f'<td class="text failed" data-sort="{error}">{error}</td>'
    notes = html.escape(shown(str(row.get("notes") or "")))
    shorter = f"<details><summary>Notes</summary><p>{notes}</p></details>" if notes else ""
    return f'<td class="text" data-sort="{notes}">{shorter}</td>'
