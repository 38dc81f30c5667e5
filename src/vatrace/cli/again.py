"""The command again: make a result a second time from its side file, and compare."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vatrace.cli.terminal import add_device_option, add_threads_option, add_whisper_option, load, progress_bars, say, warn
from vatrace.errors import UsageError
from vatrace.files import shown, temporary_folder
from vatrace.languages import AUTO
from vatrace.names import DEFAULT_RATE, DIMENSIONS, MAX_PEOPLE, MODALITIES
from vatrace.records import typed

if TYPE_CHECKING:
    from vatrace.cli.batch import Item
    from vatrace.output.provenance import Provenance

EPILOG = """examples:
  vatrace again traces/talk.json
  vatrace again traces/talk.json --recording moved/talk.mp4

talk.json is the side file that vatrace predict writes with its results. The recording, and all other files that the result was
made from, are found by the paths in it, which are relative to its folder. Nothing is replaced: the result is made in a
temporary folder, and its table is compared with that of the earlier result.
Exit status: 0 if the table is the same, 1 if it differs or can't be made again.
"""
NUMBERS = [*map(str, range(1, MAX_PEOPLE + 1))]
"""Of the only person to keep."""
OPTIONS: dict[str, Any] = {
    **{"rate": float, "modalities": list[str], "people": str | int, "kept": Literal[*NUMBERS] | None, "per_person": bool},
    **{"language": str, "encoding": str | None, "also": list[str], "explain": bool, "encoders": str},
    **{"names": dict[str, str], "about": dict[str, str], "span": tuple[float | None, float | None] | None},
    **{"transcript": str, "other transcripts": list[str]},
}
"""What the options in a side file must be."""
NEAR = 5e-4
"""A difference that rounding to four decimals, or another machine's arithmetic, can explain."""


def add_parsers(commands: Any) -> None:
    """Add again to the commands."""
    parser = commands.add_parser(
        "again",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Make a result again, and say whether it is the same.",
    )
    parser.add_argument("side", type=Path, metavar="FILE", help="side file of the result, such as talk.json")
    parser.add_argument(
        "--recording", type=Path, metavar="FILE", help="where the recording is now (default: as in the side file)"
    )
    add_whisper_option(parser)
    add_device_option(parser)
    add_threads_option(parser)
    parser.set_defaults(run=run_again)


def run_again(args: argparse.Namespace) -> int:
    """Run the again command."""
    from vatrace.cli.batch import Task, process, wanted
    from vatrace.output.provenance import model_versions, read_provenance

    if not args.side.is_file():
        raise UsageError(f"{args.side}: no such file")
    earlier = read_provenance(args.side)
    if earlier is None:
        raise UsageError(f"{args.side}: not a side file of vatrace predict, or one of an earlier version")
    found = earlier[0]
    with temporary_folder() as folder:
        item, options = _as_before(args, found, folder)
        model = load(options)
        models = model_versions(model.encoders, args.whisper, options.active_speaker)
        made = wanted(item, options, models, None)
        if made is None:
            raise UsageError(f"{item.path}: no such file, or another file that it needs is missing; give --recording")
        changes = found.changes(made)
        if changes:
            warn(f"changed since then: {shown(', '.join(changes))}")
        with progress_bars(item.path.name) as progress:
            outcome = process(Task(item, options, models, made), model, progress)
        if outcome.error:
            raise UsageError(outcome.error)
        after = read_provenance(item.side(options))
        assert after is not None
        if after[0].trace == found.trace:
            say(f"{args.side}: the same result (SHA-256 of the table {found.trace[:12]})")
            return 0
        say(f"{args.side}: {_difference(args.side, item.side(options))}")
        return 1


def _as_before(args: argparse.Namespace, found: Provenance, out: Path) -> tuple[Item, argparse.Namespace]:
    """The recording and the options of the earlier result."""
    from vatrace.cli import parse
    from vatrace.cli.batch import Item
    from vatrace.output.batch import Choice
    from vatrace.output.provenance import located
    from vatrace.output.recordings_list import Listed

    files = {role: located(facts, args.side) for role, facts in found.inputs.items()}
    recording, options = args.recording or located(found.recording, args.side), _checked(found.options, args.side)
    parsed = parse(["predict", str(recording), "--out", str(out)])
    for name in ("rate", "explain", "encoders", "language", "encoding", "also"):
        setattr(parsed, name, options.get(name, getattr(parsed, name)))
    parsed.modalities = options.get("modalities", parsed.modalities)
    parsed.people = options.get("people", parsed.people)
    parsed.whisper, parsed.device, parsed.threads = args.whisper, args.device, args.threads
    for name in ("adapt", "model", "active_speaker"):
        setattr(parsed, name, files.get(name))
    parsed.per_person = options.get("per_person", False)
    parsed.person = files.get("person")
    span = options.get("span")
    listed = Listed(
        recording,
        0,
        about=options.get("about", {}),
        people=options.get("kept") or "",
        span=None if span is None else (span[0], math.inf if span[1] is None else span[1]),
    )
    others = tuple(recording.parent / name for name in options.get("other transcripts", []))
    choice = Choice(files.get("transcript"), options.get("transcript") != "found", others)
    return Item(recording, recording.stem, options.get("names", {}), choice, listed), parsed


def _checked(options: Mapping[str, Any], side: Path) -> dict[str, Any]:
    """The options in a side file.

    Raises:
        UsageError: if one can't be an option of `vatrace predict`.
    """
    from vatrace.inference.model import check_options

    try:
        known = {name: typed(kind, options[name]) for name, kind in OPTIONS.items() if name in options}
        defaults = {"rate": DEFAULT_RATE, "modalities": MODALITIES, "people": "main", "language": AUTO, "also": ()}
        check_options(**{name: known.get(name, default) for name, default in defaults.items()})
    except (TypeError, ValueError) as error:
        raise UsageError(f"{side}: an option in it can't be used ({error})") from error
    return known


def _difference(old: Path, new: Path) -> str:
    """How the traces of two results differ, in words."""
    from vatrace.output.bids import ENDING
    from vatrace.output.traces import read_traces

    if old.stem.endswith(ENDING):
        return "the result differs"
    before, after = list(read_traces("", old)), list(read_traces("", new))
    if [trace.person for trace in before] != [trace.person for trace in after]:
        return "the result differs: it has traces of other people"
    largest = dict.fromkeys(DIMENSIONS, 0.0)
    for one, other in zip(before, after, strict=True):
        if len(one.table) != len(other.table):
            return f"the result differs: it has {len(other.table)} rows instead of {len(one.table)}"
        for name in DIMENSIONS:
            largest[name] = max(largest[name], float((one.table[name] - other.table[name]).abs().max()))
    sizes = ", ".join(f"{name} by up to {size:.4f}" for name, size in largest.items())
    rounding = "; that is within rounding" if max(largest.values()) < NEAR else ""
    return f"the result differs: {sizes}{rounding}"
