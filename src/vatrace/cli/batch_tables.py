"""What `vatrace predict` writes about all recordings: summary, table, codebook, methods."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.batch import Item, Outcome
from vatrace.cli.terminal import make_folder, plural, say, warn
from vatrace.errors import UsageError
from vatrace.files import written_whole
from vatrace.media.folders import passed_over
from vatrace.output.batch import CODEBOOK, METHODS, QUALITY, result_files
from vatrace.output.columns import SUMMARY, TRACE, TURNS, described
from vatrace.output.provenance import read_provenance
from vatrace.output.study_tables import (
    check_kind,
    check_replaceable,
    codebook_of,
    is_codebook,
    side_of,
    write_codebook,
    write_study_table,
)
from vatrace.output.traces import TABLE_KINDS, edited_tables

if TYPE_CHECKING:
    from vatrace.output.baseline import Baseline
    from vatrace.output.bids import Entry
    from vatrace.output.stretches import By


@dataclass(frozen=True)
class Tables:
    """The tables of a batch, checked before any work is done.

    Attributes:
        by: what a row of `--table` is; None for a row of a trace.
        baseline: what is subtracted; None for nothing.
        bids: the traces of each recording in the dataset of `--bids`; empty without this option.
    """

    by: By | None = None
    baseline: Baseline | None = None
    bids: Sequence[Sequence[Entry]] = ()


def check_tables(items: Sequence[Item], args: argparse.Namespace) -> Tables:
    """Check the options about tables, and that all can be written.

    Raises:
        VatraceError: if an option is wrong, or a library is missing.
        OSError: if a file can't be written, or exists and isn't a table of these results.
    """
    from vatrace.output.baseline import parse_baseline
    from vatrace.output.stretches import parse_by

    if args.table is None and (args.by or args.baseline):
        raise UsageError(f"--{'by' if args.by else 'baseline'} changes the rows of --table: add --table study.csv")
    if args.table is not None and not set(args.format) & set(TABLE_KINDS):
        raise UsageError("--table is made from the tables of the recordings: add csv or parquet to --format")
    bids = _check_bids(items, args) if args.bids else ()
    for path in (args.summary, args.table):
        if path is not None:
            _check_place(path, items, args)
            check_kind(path)
    tables = Tables(parse_by(args.by) if args.by else None, parse_baseline(args.baseline) if args.baseline else None, bids)
    for path in (args.summary, args.table):
        if path is not None:
            if not args.overwrite:
                check_replaceable(path, args.out, [item.name for item in items])
            make_folder(path.parent)
    return tables


def _check_bids(items: Sequence[Item], args: argparse.Namespace) -> Sequence[Sequence[Entry]]:
    """Check that the dataset of `--bids` can be written; the traces of each recording in it."""
    from vatrace.output.bids import FOLDER, check_dataset, entries

    if args.list is None:
        raise UsageError("--bids needs a list of recordings with the column participant: add --list study.csv")
    if not set(args.format) & set(TABLE_KINDS):
        raise UsageError("--bids is made from the tables of the recordings: add csv or parquet to --format")
    dataset = args.out / FOLDER
    names: list[Mapping[str, str] | None] = []
    for item in items:
        people, picture, kept = item.who(args)
        several = picture is None and kept is None and people not in {"main", "left", "right", 1}
        if several and not item.names:
            raise UsageError(
                f"{args.list}: line {item.listed.line}: --bids has to know who is who in a recording with several traces: name "
                "the participants with --names, or choose one with --people left or --person, or in the column person"
            )
        names.append(item.names if several else None)
        if item.name.startswith(f"{FOLDER}/"):
            raise UsageError(f"{item.path}: its results would be inside of the dataset {dataset}: rename the folder {FOLDER}")
    found = entries(args.list, [item.listed for item in items], dataset, names)
    check_dataset(dataset, [entry for traces in found for entry in traces], args.overwrite)
    return found


def _check_place(path: Path, items: Sequence[Item], args: argparse.Namespace) -> None:
    """Check that a table takes no other file's place."""
    option = "summary" if path == args.summary else "table"
    ours = {file.resolve() for file in (path, side_of(path), codebook_of(path))}
    results = [result.path for item in items for result in item.possible(args)]
    if ours & {other.resolve() for other in [*(item.path for item in items), *results]}:
        raise UsageError(f"{path}: is a recording or one of its results: give the {option} another name")
    needed = {args.person, args.names, args.adapt, args.list, *map(_path, (args.by, args.baseline))} - {None}
    if ours & {Path(other).resolve() for other in needed}:
        raise UsageError(f"{path}: is an input of this command: give the {option} another name")
    if option == "table" and args.summary is not None and ours & {args.summary.resolve(), side_of(args.summary).resolve()}:
        raise UsageError(f"{path}: the summary has this name, too: give the table another one")


def _path(text: str | None) -> Path | None:
    return Path(text) if text and Path(text).is_file() else None


def write_tables(outcomes: Sequence[Outcome], items: Sequence[Item], args: argparse.Namespace, tables: Tables) -> None:
    """Write the codebook, the page on a batch, and the table and the methods if they were asked for."""
    done = [outcome.item for outcome in outcomes if not outcome.error]
    if done and set(args.format) & {"csv", "parquet", "turns"}:
        _write_codebook(args, list(items[0].listed.about))
    if args.table is not None and done:
        failed = [outcome.item.name for outcome in outcomes if outcome.error]
        _write_table(done, args, tables, {"recordings": [item.name for item in items], "missing": failed})
    if tables.bids and done:
        _write_bids(outcomes, items, args, tables.bids)
    if args.methods and done:
        _write_methods(done, len(outcomes) - len(done), args)
    if len(items) > 1:
        _write_quality(outcomes, args)


def write_summary(outcomes: Sequence[Outcome], items: Sequence[Item], args: argparse.Namespace) -> None:
    """Write the summary, if it was asked for and something is known."""
    rows = [row for outcome in outcomes for row in outcome.summary]
    if args.summary is not None and rows:
        from vatrace.output.writers import summary_table

        table = summary_table(rows, list(items[0].listed.about))
        columns = described(map(str, table.columns), SUMMARY)
        facts = {"recordings": [item.name for item in items], "table": "summary"}
        write_study_table(table, args.summary, columns, args.out, facts)


def _write_table(done: Sequence[Item], args: argparse.Namespace, tables: Tables, facts: dict[str, Any]) -> None:
    from vatrace.output.long_table import long_table

    edited = [str(path) for item in done for path in edited_tables(item.side(args))]
    if edited:
        warn(f"{args.table}: contains tables that were edited: {passed_over(edited)}")
        facts["edited"] = edited
    table, columns = long_table([(item.name, item.side(args)) for item in done], tables.by, tables.baseline)
    facts |= {"table": "trace" if tables.by is None else "stretches", "by": args.by, "baseline": args.baseline}
    write_study_table(table, args.table, columns, args.out, facts)
    say(f"{plural(len(table), 'row')} of {plural(len(done), 'recording')} -> {args.table}, {codebook_of(args.table)}")


def _write_bids(
    outcomes: Sequence[Outcome], items: Sequence[Item], args: argparse.Namespace, places: Sequence[Sequence[Entry]]
) -> None:
    from vatrace.output.bids import FOLDER, others_in, write_dataset

    dataset = args.out / FOLDER
    of_item = {item.name: place for item, place in zip(items, places, strict=True)}
    done = [outcome.item for outcome in outcomes if not outcome.error]
    traces = [(entry, item.name, item.side(args)) for item in done for entry in of_item[item.name]]
    edited, missing = write_dataset(dataset, traces)
    if missing:
        warn(f"{dataset}: not in it, because they have no trace: {passed_over(missing)}")
    named = {item.name: {entry.person for entry in of_item[item.name]} - {None} for item in done}
    nameless = [
        f"{row['person']} in {outcome.item.name}"
        for outcome in outcomes
        for row in outcome.rows
        if named.get(outcome.item.name) and row["person"] not in named[outcome.item.name]
    ]
    if nameless:
        warn(f"{dataset}: not in it, because they have no name in {args.names}: {passed_over(nameless)}")
    if edited:
        tables = passed_over([str(path) for path in edited])
        warn(f"{dataset}: these tables were edited, so their recordings weren't updated in it (--overwrite): {tables}")
    if others := others_in(dataset, [entry for entries in places for entry in entries]):
        warn(f"{dataset}: also contains traces of recordings that aren't in {args.list}: {passed_over(others)}")
    say(f"{plural(len(done), 'recording')} -> {dataset}")


def _write_codebook(args: argparse.Namespace, own: Sequence[str]) -> None:
    path = args.out / CODEBOOK
    if path.exists() and not is_codebook(path):
        warn(f"{path}: not replaced, because it isn't a codebook of vatrace")
        return
    parts = {"trace": TRACE, "turns": TURNS}
    write_codebook(path, {name: [*columns, *described(own, ())] for name, columns in parts.items()})


def _write_quality(outcomes: Sequence[Outcome], args: argparse.Namespace) -> None:
    """Write the page on all recordings, unless another file has its name."""
    from vatrace.output.quality import is_quality, write_quality

    path = args.out / QUALITY
    if path.exists() and not is_quality(path):
        warn(f"{path}: not replaced, because it isn't a page of vatrace on a batch")
        return
    pages = {outcome.item.name: result_files(args.out, outcome.item.name, ["html"])[0].path for outcome in outcomes}
    reports = {name: page.relative_to(args.out).as_posix() for name, page in pages.items() if page != path and page.is_file()}
    rows = [row for outcome in outcomes for row in outcome.summary]
    write_quality(rows, list(outcomes[0].item.listed.about), reports, path)


def _write_methods(done: Sequence[Item], num_failed: int, args: argparse.Namespace) -> None:
    """Write the methods paragraph, unless there is another one, which may have been edited."""
    from vatrace.output.methods import methods

    found = [read_provenance(item.side(args)) for item in done]
    made = [provenance[0] for provenance in found if provenance is not None]
    path, text = args.out / METHODS, methods(made, num_failed, args.by or "", args.baseline or "")
    if path.exists() and not args.overwrite:
        if path.read_text(encoding="utf-8", errors="replace") != text:
            warn(f"{path}: not replaced, because it differs; rename it, or add --overwrite")
        return
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    say(f"{path}: a paragraph for your paper; check it")
