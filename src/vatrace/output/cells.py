"""Text in tables that a spreadsheet may open: it must not be run as a formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vatrace.files import shown

if TYPE_CHECKING:
    import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet's formulas start with (OWASP, "CSV injection")."""


def safe(text: str) -> str:
    """A text for a cell: an apostrophe is put before what a spreadsheet would run. Numbers are kept."""
    if not text.startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def safe_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts are `safe`, and UTF-8: bytes of names that aren't become replacement characters."""
    texts = [name for name, column in table.items() if column.dtype == object or str(column.dtype).startswith("str")]
    changed = {name: [safe(shown(cell)) if isinstance(cell, str) else cell for cell in table[name]] for name in texts}
    named = {name: safe(shown(str(name))) for name in table.columns}
    return table.assign(**changed).rename(columns=named) if texts or any(old != new for old, new in named.items()) else table
