"""What all pages have in common: style, mark, icons and header."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from importlib.resources import files

from vatrace.output.colours import LIGHT, css_variables

ICONS = {
    "annotate": "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
    "back": "M19 12H5M11 6l-6 6 6 6",
    "close": "M6 6l12 12M18 6L6 18",
    "delete": "M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13M10 11v5M14 11v5",
    "down": "M6 9l6 6 6-6",
    "download": "M12 4v11M7 11l5 5 5-5M4 20h16",
    "flag": "M6 21V4M6 5h12l-3 4 3 4H6",
    "live": "M12 9a3 3 0 110 6 3 3 0 010-6M7 7a7 7 0 000 10M17 7a7 7 0 010 10M4 4a11 11 0 000 16M20 4a11 11 0 010 16",
    "note": "M12 4a8 8 0 110 16 8 8 0 010-16M12 11v5M12 8v.01",
    "options": "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
    "people": "M9 5a3 3 0 110 6 3 3 0 010-6M3 19c0-3.5 2.5-5 6-5s6 1.5 6 5M16 5.5a3 3 0 010 5.5M17.5 14.5c2.5.5 3.5 2 3.5 4.5",
    "play": "M7 5v14l12-7z",
    "recordings": "M4 6h16v12H4zM8 6v12M16 6v12M4 12h4M16 12h4",
    "redo": "M19 12a7 7 0 11-2-5l2 2M19 4v5h-5",
    "report": "M4 20V4M4 20h16M7 15l4-5 3 3 5-7",
    "search": "M10.5 4a6.5 6.5 0 110 13 6.5 6.5 0 010-13M15.5 15.5L20 20",
    "table": "M4 5h16v14H4zM4 10h16M4 15h16M10 5v14",
    "time": "M12 4a8 8 0 110 16 8 8 0 010-16M12 8v4l3 2",
    "upload": "M12 16V5M7 9l5-5 5 5M4 16v4h16v-4",
    "warning": "M12 4l9 16H3zM12 10v4M12 17v.01",
}
"""Lines of icons, in a square of 24."""

GROUND = '<rect width="32" height="32" rx="8" fill="{0}"/>'
MARK = (
    '<g fill="none" stroke="{1}" stroke-width="3" stroke-linecap="round"><path d="M5 19c4 0 4-9 8-9s4 12 8 12 3-5 6-5"/>'
    '<path d="M5 13c4 0 5 9 9 9s4-12 8-12 3 3 5 3" opacity=".5"/></g>'
)
"""Two traces that cross, in a square of 32."""


def web_file(name: str) -> str:
    """The content of a file of the pages."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def style() -> str:
    """The style of all pages, light and dark."""
    return css_variables() + web_file("page.css")


def digest(content: str) -> str:
    """The digest by which a content policy allows a script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def mark_image() -> str:
    """The mark as an SVG file, for the tabs of browsers."""
    shapes = (GROUND + MARK).format(LIGHT["accent"], LIGHT["on-accent"])
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{shapes}</svg>'


def mark_link() -> str:
    """The element that gives a page its mark without another file."""
    content = base64.b64encode(mark_image().encode()).decode()
    return f'<link rel="icon" href="data:image/svg+xml;base64,{content}">'


def icon(name: str) -> str:
    """An icon, drawn by `sprite`; the text next to it says what it means."""
    return f'<svg class="icon" aria-hidden="true"><use href="#icon-{name}"/></svg>'


def sprite() -> str:
    """The drawings of all icons, which each page contains once."""
    drawings = ICONS.items()
    symbols = "".join(f'<symbol id="icon-{name}" viewBox="0 0 24 24"><path d="{path}"/></symbol>' for name, path in drawings)
    return f'<svg class="sprite" aria-hidden="true">{symbols}</svg>'


def masthead(links: Mapping[str, tuple[str, str]] | None = None, here: str = "", home: str = "") -> str:
    """The bar on top of a page: the mark, and the links to other pages.

    Args:
        links: the icon and the address of each page, by its name.
        here: the name of the page itself, if it is one of them.
        home: the address of the first page; "" if there is none, as in a file.
    """
    shapes = (GROUND + MARK).format("var(--accent)", "var(--on-accent)")
    brand = f'<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">{shapes}</svg> vatrace'
    brand = f'<a class="brand" href="{html.escape(home)}">{brand}</a>' if home else f'<span class="brand">{brand}</span>'
    items = "".join(
        f'<a href="{html.escape(address)}"{" aria-current=page" if name == here else ""}>{icon(symbol)} {html.escape(name)}</a>'
        for name, (symbol, address) in (links or {}).items()
    )
    pages = f'<nav aria-label="Pages">{items}</nav>' if items else ""
    return f'{sprite()}<header class="masthead"><div>{brand}{pages}</div></header>'
