"""Query parameters that no address knows are refused: in silence, a misspelt one would give another result."""

from __future__ import annotations

from fastapi import HTTPException
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from vatrace.errors import one_line


def known_only(connection: HTTPConnection) -> None:
    """Refuse a request with an unknown query parameter, as a dependency of all addresses.

    Raises:
        HTTPException: with the status 422.
    """
    dependant = getattr(connection.scope.get("route"), "dependant", None)
    known: set[str] = set()
    for field in dependant.query_params if dependant else ():
        kind = field.field_info.annotation
        is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
        known |= set(kind.model_fields) if is_model else {field.alias}
    unknown = sorted(set(connection.query_params) - known)
    if unknown:
        others = f"; known: {', '.join(sorted(known))}" if known else ""
        raise HTTPException(422, f"{one_line(unknown[0])}: no such parameter{others}")
