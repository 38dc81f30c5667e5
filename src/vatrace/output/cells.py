"""Tables that a spreadsheet may open: it must not run their texts as formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vatrace.files import harmless, shown

if TYPE_CHECKING:
    import pandas as pd


def harmless_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts are `harmless`, and UTF-8: bytes of names that aren't become replacement characters."""
    texts = [name for name, column in table.items() if column.dtype == object or str(column.dtype).startswith("str")]
    changed = {name: [harmless(shown(cell)) if isinstance(cell, str) else cell for cell in table[name]] for name in texts}
    named = {name: harmless(shown(str(name))) for name in table.columns}
    return table.assign(**changed).rename(columns=named)
