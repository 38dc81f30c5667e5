"""The commands train, evaluate, compare and submit: from a store to a model, and to what is known of it."""

from __future__ import annotations

from typing import Any


def add_parsers(commands: Any) -> None:
    """Add train, evaluate, compare and submit to the commands."""
