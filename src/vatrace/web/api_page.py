"""The page that shows the OpenAPI description of the interface for programs. It needs no script and nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }
h2 { margin: 2.5rem 0 0; font-size: 1.1rem; overflow-wrap: anywhere; }
h2 b { display: inline-block; min-width: 4.5rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 1rem 0.25rem 0; }
td { border-bottom: 1px solid color-mix(in srgb, currentColor 40%, transparent); }
caption { text-align: left; font-weight: 600; padding-top: 0.75rem; }
code, pre { font-family: ui-monospace, monospace; overflow-x: auto; }
"""
EXAMPLE = """curl -H "Authorization: Bearer $TOKEN" --data-binary @talk.mp4 "ADDRESS/v1/jobs?name=talk.mp4&amp;people=all"
curl -H "Authorization: Bearer $TOKEN" -F file=@talk.mp4 -F transcript=@talk.srt -F person=@anna.jpg "ADDRESS/v1/jobs"
curl -H "Authorization: Bearer $TOKEN" -X POST "ADDRESS/v1/paths?path=study/talk.mp4"
curl -H "Authorization: Bearer $TOKEN" "ADDRESS/v1/finished?after=0&amp;wait=30"
curl -H "Authorization: Bearer $TOKEN" "ADDRESS/v1/jobs/ID/result/csv\""""
LONG = 12
"""Choices above which only the first ones are shown."""


def api_page(description: Mapping[str, Any]) -> str:
    """The page (HTML) of an OpenAPI description."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>vatrace: interface for programs</title><style>{STYLE}</style></head><body>",
        "<h1>vatrace: interface for programs</h1>",
        f"<p>{escape(description['info'].get('summary', ''))} Every request needs the header ",
        '<code>Authorization: Bearer TOKEN</code>. Errors are problem documents (RFC 9457). <a href="openapi.json">OpenAPI ',
        f"description</a></p><pre>{EXAMPLE}</pre>",
    ]
    prefix = description["servers"][0]["url"]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(method.upper(), prefix + path, operation))
    return "".join([*parts, "</body></html>"])


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f"<section><h2><b>{method}</b> <code>{escape(path)}</code></h2><p>{escape(operation.get('description', ''))}</p>"]
    rows = [
        (f"<code>{escape(given['name'])}</code>", f"<code>{escape(_kind(given['schema']))}</code>", _about(given))
        for given in operation.get("parameters", [])
    ]
    body = operation.get("requestBody")
    if body:
        rows.append(("body", f"<code>{escape(', '.join(body['content']))}</code>", escape(body["description"])))
    parts.append(_table("Parameters", rows))
    answers = operation["responses"].items()
    parts.append(_table("Answers", [(escape(str(status)), escape(found["description"]), "") for status, found in answers]))
    return "".join([*parts, "</section>"])


def _about(given: Mapping[str, Any]) -> str:
    text = escape(given.get("description") or given["schema"].get("description", ""))
    default = given["schema"].get("default")
    return text if default in (None, [], "") else f"{text} Default: <code>{escape(str(default))}</code>"


def _kind(schema: Mapping[str, Any]) -> str:
    """A short form of a JSON schema."""
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "enum" in schema:
        choices = [str(choice) for choice in schema["enum"]]
        return ", ".join(choices) if len(choices) <= LONG else f"{', '.join(choices[:LONG])} … ({len(choices)})"
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("const", schema.get("type", "any")))


def _table(title: str, rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{title}</caption>{cells}</table>"
