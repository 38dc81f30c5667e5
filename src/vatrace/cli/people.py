"""The command people: who is who across all recordings of a study."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.terminal import (
    add_device_option,
    add_threads_option,
    apply_device,
    complain,
    find_all,
    make_folder,
    plural,
    progress_bars,
    refuse_existing,
    say,
    table,
)
from vatrace.errors import VatraceError, report_bug
from vatrace.files import shown, written_whole
from vatrace.watcher import working_on

if TYPE_CHECKING:
    from vatrace.features.perceiver import Perceiver
    from vatrace.output.study import Attendance, Row

EPILOG = """examples:
  vatrace people videos/                               writes people.csv and people.png to this folder
  vatrace people videos/ --out study
  vatrace people session1/ session2/ --out study       the same people in several folders

people.png has a row of faces for each name, with one face per recording. Check it, and correct the column `name` of people.csv:
give rows of the same person the same name, and rows of different people different names. You can also use your own codes
instead of P01, P02, ... Two people in one recording can't have the same name.

people.csv has the columns
  recording, person             the file, and the person's number in it, as in `vatrace predict --people all`
  name                          the same for the same person in all recordings
  seconds, share, first_seen    how long the person is visible, the share of the recording, and the first time (s)
  distance                      of the face to those of the same name in other recordings; below 0.5 counts as the same person
  next_name, next_distance      the most similar other person
  note                          why a match is doubtful; such faces have a frame in people.png
It is not replaced unless you pass --overwrite.

This is biometric matching: use it only for participants of your own study who have consented to it. Everything stays on this
machine. Embeddings of faces are not written to disk; people.png shows faces, so delete it when you have checked the names.
Exit status: 0 for success, 1 if a recording failed (the others are done), 2 for a wrong command, 70 for a bug in vatrace, 130
for ctrl-C (nothing is written).
"""


def add_parsers(commands: Any) -> None:
    """Add people to the commands."""
    parser = commands.add_parser(
        "people",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Find the same people in all recordings of a study by their faces, and write a table for you to check.",
    )
    add = parser.add_argument
    add("sources", nargs="+", type=Path, metavar="FOLDER|FILE", help="folder of videos and audio, or a video")
    add("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: this folder)")
    add("--overwrite", action="store_true", help="replace people.csv and people.png")
    add_device_option(parser)
    add_threads_option(parser)
    parser.set_defaults(run=run_people)


def run_people(args: argparse.Namespace) -> int:
    """Run the people command."""
    from vatrace.features.perceiver import Perceiver
    from vatrace.output.study import compare, contact_sheet, write_people

    csv_path, png_path = args.out / "people.csv", args.out / "people.png"
    refuse_existing([csv_path, png_path], args.overwrite)
    found, all_found = find_all(args.sources, args.out)
    recordings = list(found)
    if not recordings:
        return 1
    make_folder(args.out)
    apply_device(args)
    perceiver = Perceiver(threads=args.threads)
    attendances = [seen for path in recordings if (seen := _attended(path, perceiver)) is not None]
    if not attendances:
        return 1
    rows = compare(attendances)
    with written_whole(csv_path) as temporary:
        write_people(rows, temporary, args.out)
    written = [csv_path]
    if any(row.seen is not None for row in rows):
        with written_whole(png_path) as temporary:
            contact_sheet(rows).save(temporary, "PNG")
        written.append(png_path)
    _print_people(rows, len(recordings), written)
    return int(not all_found or len(attendances) < len(recordings))


def _attended(path: Path, perceiver: Perceiver) -> Attendance | None:
    """Find and print who is in a recording; if it can't be read, print the error and return None."""
    from vatrace.output.study import attend

    try:
        with progress_bars(path.name) as progress, working_on(path):
            found = attend(path, perceiver, progress)
    except BrokenPipeError:
        raise
    except (VatraceError, OSError) as error:
        complain(error)
        return None
    except Exception as error:  # other recordings must not fail because of it
        complain(report_bug(error, path))
        return None
    say(f"{shown(path.name)}: {found.note or _counted(len(found.people))}", flush=True)
    return found


def _counted(people: int) -> str:
    return "1 person" if people == 1 else f"{people} people"


def _print_people(rows: Sequence[Row], num_recordings: int, written: Sequence[Path]) -> None:
    """Print how often each person was seen, what is doubtful, and what to do next."""
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        if row.seen is not None:
            by_name.setdefault(row.name, []).append(row)
    lines = []
    for name, inside in by_name.items():
        seconds = sum(row.seen.seconds for row in inside if row.seen)
        doubtful = sum(bool(row.note) for row in inside)
        lines.append([name, str(len(inside)), f"{seconds:.0f}", f"{doubtful} doubtful" if doubtful else ""])
    if lines:
        say(table(["name", "recordings", "seconds", ""], lines))
    total = f"{_counted(len(by_name))} in {plural(num_recordings, 'recording')}"
    say(f"{total} -> {', '.join(map(str, written))}")
    if lines:
        say(f"check people.png, correct the column `name`, then run: vatrace predict ... --people all --names {written[0]}")
