"""The commands predict and demo."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from vatrace.cli.terminal import (
    LOCAL_CLUSTER,
    add_adapt_option,
    add_language_option,
    add_model_options,
    add_ray_option,
    complain,
    count,
    find_all,
    load,
    make_folder,
    plural,
    progress_bars,
    refuse_existing,
    say,
    warn,
)
from vatrace.errors import UsageError
from vatrace.files import shown, written_whole
from vatrace.media.folders import passed_over
from vatrace.media.transcripts import is_transcript
from vatrace.names import ALSO, DEFAULT_RATE, MAX_PEOPLE, MAX_RATE, MODALITIES
from vatrace.output.formats import FORMATS, check_formats
from vatrace.watcher import working_on

if TYPE_CHECKING:
    from vatrace.cli.batch import Item, Outcome, Task
    from vatrace.inference.model import Model
    from vatrace.output.batch import Choice
    from vatrace.output.recordings_list import Listed

NO_TRANSCRIPT = Path("none")
"""As --transcript: to use none."""

PREDICT_EPILOG = """examples:
  vatrace predict talk.mp4
  vatrace predict talk.mp4 --out traces --format csv,json --report
  vatrace predict videos/ --out traces --summary all.csv --jobs 4
  vatrace predict --list study.csv --out traces        recordings and your own columns from a table
  vatrace predict --list study.csv --out traces --table study.sav --by sentence --baseline first:30
  vatrace predict --list study.csv --out traces --bids    also traces/bids/sub-P01/..., named by the list's columns
  vatrace predict videos/ --out traces --modalities face,voice
  vatrace predict talk.mp4 --transcript talk.srt       your own transcript instead of speech recognition
  vatrace predict videos/ --transcript transcripts/    talk.srt for talk.mp4, and so on
  vatrace predict talk.mp4 --transcript talk.srt --language de     a transcript in German
  vatrace predict interview.mp4 --language zh          speech in Chinese; otherwise it is detected
  vatrace predict talk.mp4 --transcript none           speech recognition, even if talk.srt is in the folder
  vatrace predict interview.mp4 --people left          the person on the left, of the two most prominent
  vatrace predict panel.mp4 --people all --per-person  everyone: panel.1.csv, panel.2.csv, ...
  vatrace predict panel.mp4 --people 3 --format csv,turns    the three most prominent people, and who speaks when
  vatrace predict videos/ --person anna.jpg            the person whose face is in the picture
  vatrace predict videos/ --people all --names people.csv    names such as P01 instead of the numbers 1, 2, ...
  vatrace predict talk.mp4 --also emotions,face,voice  also facial expressions, head pose, pitch, ...
  vatrace predict podcast.mp3                          audio only
  vatrace predict talk.srt                             words only
  vatrace predict talk.mp4 --format csv,elan,textgrid  also for ELAN and Praat
  vatrace predict talk.mp4 --model run/model.onnx --encoders face=my_package:MyEncoder
  vatrace predict videos/ --adapt mine.json            fitted to your own ratings by vatrace adapt

The CSV has the columns time (s), valence, arousal (-1..1), face, voice, words (1 where the modality was present, else 0),
valence_low, valence_high, arousal_low, arousal_high (90 % intervals), supported (1 where any modality was present, else 0),
person (1 for the most prominent one, and so on), speaking (1 where this person alone speaks, else 0; empty if unknown).
With --explain it also has face_share, voice_share, words_share (how much each modality contributes to the value; their sum
is 1; empty where none contributes) and recursion_1, ... (how far each recursion of the attention moved the point).

Prominence is the time for which a person is visible, times the size of the face. If nobody is visible, each voice is a person,
and the most prominent one is the one that speaks longest.

With the extra `languages`, speech in about 100 languages is recognised. Words in a language that the words network doesn't
understand are in the transcript, but they don't affect the values; a note gives their number.

Recordings whose files, options and versions are the same as those of existing results are skipped. What has changed is done
again, unless you have edited the results. talk.json records how talk.csv was made (see: vatrace again --help), and codebook.csv
explains all columns. With several recordings, quality.html shows which of them need a look.

The table of --summary has one row per recording and person: mean, SD, minimum and maximum of valence and arousal over the
supported rows, the shares of time in which each modality was present and in which the person speaks, the number of doubtful
words that were left out, notes, errors, and the version, model and options.

Exit status: 0 for success, 1 if a recording failed (the others are done), 2 for a wrong command, 70 for a bug in vatrace, 130
for ctrl-C, 143 for SIGTERM.
"""
WITH_COLUMNS = {"json", *(kind for kind, known in FORMATS.items() if known.has_rows)}
"""Formats that have the columns of `--explain` and `--also`."""


def add_parsers(commands: Any) -> None:
    """Add predict and demo to the commands."""
    _add_predict(commands)
    demo = commands.add_parser(
        "demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Make a recording from a real face and real speech in installed packages, and predict it.",
        epilog="examples:\n  vatrace demo\n  vatrace demo --out somewhere --overwrite\n",
    )
    where = "where to write (default: %(default)s)"
    demo.add_argument("--out", type=Path, default=Path("vatrace-demo"), metavar="DIR", help=where)
    demo.add_argument("--overwrite", action="store_true", help="replace results that already exist")
    add_model_options(demo)
    demo.set_defaults(run=run_demo)


def _add_predict(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        epilog=PREDICT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Write the trace of valence and arousal of each recording, and a figure of it.",
    )
    add = parser.add_argument
    add(
        "sources",
        nargs="*",
        type=Path,
        metavar="FILE|FOLDER",
        help="video, audio, image, SRT, VTT or ASS; or a folder of videos and audio, with its subfolders",
    )
    add(
        "--list",
        type=Path,
        metavar="FILE",
        help="instead: a CSV with the column recording and, if you like, transcript, person, start, end, and columns of your "
        "own, such as participant and condition, which are added to all tables",
    )
    add("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: this folder)")
    add(
        "--format",
        type=partial(_names, choices=FORMATS),
        default=["csv"],
        metavar="LIST",
        help=f"of {', '.join(FORMATS)}, separated by commas (default: csv)",
    )
    add("--rate", type=_rate, default=DEFAULT_RATE, metavar="HZ", help="rows per second (default: %(default)g)")
    add(
        "--modalities",
        type=partial(_names, choices=MODALITIES),
        default=list(MODALITIES),
        metavar="LIST",
        help=f"of {', '.join(MODALITIES)}, separated by commas (default: all)",
    )
    _add_words_options(parser)
    _add_people_options(parser)
    add("--explain", action="store_true", help="add columns with the contribution of each modality")
    add(
        "--also",
        type=partial(_names, choices=ALSO),
        default=[],
        metavar="LIST",
        help="add columns: emotions, the probabilities of eight facial expressions; face, the pose of the head, gaze, how "
        "far eyes and mouth are open, blinks, and 52 blendshapes; voice, pitch, loudness, speech rate and pauses "
        "(extra `prosody`)",
    )
    add("--report", action="store_true", help="also write an HTML report, <name>.html")
    add("--overlay", action="store_true", help="also write a video with the trace in it, <name>.overlay.mp4")
    _add_batch_options(parser)
    add_model_options(parser)
    add_adapt_option(parser)
    parser.set_defaults(run=run_predict)


def _add_batch_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--summary", type=Path, metavar="FILE", help="also write a CSV with one row per recording and person")
    add("--table", type=Path, metavar="FILE", help="also write one table of all traces: .csv, .parquet, or .sav for SPSS")
    add(
        "--by",
        metavar="WHAT",
        help="rows of --table: segment, sentence, turn, word, seconds:5, or a CSV of events with start and end "
        "(default: a row per time)",
    )
    add(
        "--baseline",
        metavar="WHAT",
        help="subtract each person's own mean in --table: over first:30 seconds, over everything (person), or over the "
        "stretches in a CSV with recording, start and end",
    )
    add(
        "--bids",
        action="store_true",
        help="also write a derivative dataset of BIDS to the folder bids of --out, named by the columns participant, session, "
        "task and run of --list",
    )
    add("--methods", action="store_true", help="also write methods.md, a paragraph for your paper")
    add("--overwrite", action="store_true", help="do everything again, and replace results that already exist")
    add("--jobs", type=count, metavar="N", help="number of processes for several recordings (default: 1)")
    add_ray_option(parser)


def _add_words_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--transcript",
        "--words-from",
        type=Path,
        metavar="PATH",
        help="SRT, VTT or ASS instead of speech recognition, or a folder of such files, or `none` (default: talk.srt or "
        "talk.en.vtt next to talk.mp4)",
    )
    add(
        "--encoding",
        metavar="NAME",
        help="encoding of the transcripts, such as windows-1251 or shift_jis (default: UTF-8, UTF-16, or guessed)",
    )
    add_language_option(parser)


def _add_people_options(parser: argparse.ArgumentParser) -> None:
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--people",
        type=_people,
        default="main",
        metavar="WHO",
        help="whose traces to write: main, the most prominent person; all; left or right, the person on that side of the two "
        f"most prominent; or a number, for that many of the most prominent, at most {MAX_PEOPLE} (default: main)",
    )
    who.add_argument("--person", type=Path, metavar="PICTURE", help="instead: the person whose face is in this picture")
    add = parser.add_argument
    add("--per-person", action="store_true", help="write CSV and Parquet as a file for each person: <name>.1.csv, <name>.2.csv")
    names = "CSV with the columns recording, person, name, as `vatrace people` writes it: names to use instead of numbers"
    add("--names", type=Path, metavar="FILE", help=names)


def _people(text: str) -> str | int:
    if text in {"main", "all", "left", "right"}:
        return text
    if text.isdecimal() and 1 <= int(text) <= MAX_PEOPLE:
        return int(text)
    raise argparse.ArgumentTypeError(f"main, all, left, right, or a number from 1 to {MAX_PEOPLE}, not {text!r}")


def _names(text: str, choices: Collection[str]) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names or not set(names) <= set(choices):
        raise argparse.ArgumentTypeError(f"choose from {', '.join(choices)}, separated by commas, not {text!r}")
    return names


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= MAX_RATE:
        raise argparse.ArgumentTypeError(f"a number above 0 and at most {MAX_RATE:g}, not {text!r}")
    return rate


def run_predict(args: argparse.Namespace) -> int:
    """Run the predict command."""
    from vatrace.cli.batch import Outcome, plan
    from vatrace.cli.batch_tables import check_tables, write_summary, write_tables
    from vatrace.free_memory import check_memory
    from vatrace.output.provenance import model_versions

    check_formats(args.format)
    _check_people(args)
    _check_effects(args)
    items, all_found, model = _items(args)
    if not items:
        return 1
    if args.encoding and not any(item.choice.path or is_transcript(item.path) for item in items):
        raise UsageError("--encoding is of transcripts, and no recording has one that is used")
    _check_apart(items, args)
    make_folder(args.out)
    tables = check_tables(items, args)
    outcomes: dict[int, Outcome] = {}
    tasks: dict[int, Task] = {}
    for place, planned in enumerate(plan(items, args, model_versions(model.encoders, args.whisper, args.active_speaker))):
        if isinstance(planned, Outcome):
            outcomes[place] = planned
        else:
            tasks[place] = planned
    _report_planned(list(outcomes.values()), tasks.values(), len(items))
    if len(tasks) == 1:
        check_memory()
        Thread(target=import_module, args=("matplotlib.figure",), daemon=True).start()  # it takes 0.3 s, and is needed last
    try:
        for place, outcome in _processed(tasks, args, model):
            outcomes[place] = outcome
    finally:  # also if the batch is stopped
        write_summary([outcomes[place] for place in sorted(outcomes)], items, args)
    write_tables([outcomes[place] for place in sorted(outcomes)], items, args, tables)
    done = sum(not outcome.error for outcome in outcomes.values())
    if len(items) > 1:
        say(f"{done} of {len(items)} recordings done")
    return int(not all_found or done < len(items))


def _items(args: argparse.Namespace) -> tuple[list[Item], bool, Model]:
    """The recordings of the command, whether all sources have some, and the model."""
    from vatrace.cli.batch import Item
    from vatrace.output.batch import Choice, result_names
    from vatrace.output.recordings_list import Listed, read_list

    roots: dict[Path, Path] = {}
    if args.list is not None:
        listed = read_list(args.list)
        folder, all_found = args.list.parent, True
        roots = {row.path: folder for row in listed if _is_below(row.path, folder)}
    else:
        found, all_found = find_all(args.sources, args.out)
        listed = [Listed(path, 0) for path in found]
        roots = {path: root for path, root in found.items() if path != root}
    recordings = [row.path for row in listed]
    names = result_names(recordings, roots)
    people = _person_names(args.names, recordings)
    model = _checked_model(args, listed) if listed else load(args)
    choices = _transcripts(args, recordings, model)
    items = [
        Item(row.path, name, named, Choice(row.transcript) if row.transcript or row.no_transcript else choice, row)
        for row, name, named, choice in zip(listed, names, people, choices, strict=True)
    ]
    return items, all_found, model


def _is_below(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) and ".." not in path.relative_to(folder).parts


def _checked_model(args: argparse.Namespace, listed: Sequence[Listed]) -> Model:
    """The model, after it has checked all pictures of people."""
    model = load(args)
    pictures = [args.person, *(row.picture for row in listed)]
    model.check_also(args.also, args.modalities)
    for picture in dict.fromkeys(path for path in pictures if path is not None):
        for note in model.check_picture(picture):
            warn(note)
    return model


def _report_planned(outcomes: Sequence[Outcome], tasks: Iterable[Task], total: int) -> None:
    """Print which recordings are done, which aren't processed and why, and which are done again."""
    done = sum(not outcome.error for outcome in outcomes)
    if done:
        say(f"{done} of {plural(total, 'recording')} already done, with the same files, options and versions", flush=True)
    for outcome in outcomes:
        if outcome.error:
            complain(outcome.error)
    for task in tasks:
        if task.why:
            say(f"{shown(task.item.name)}: done again, because of changes: {shown(task.why)}", flush=True)


def _processed(tasks: Mapping[int, Task], args: argparse.Namespace, model: Model) -> Iterator[tuple[int, Outcome]]:
    """Process the tasks, print what came of them, and yield it with the task's key, in the order in which they end."""
    from vatrace.cli.batch import lost, process, with_threads, work
    from vatrace.cli.batch_progress import batch_progress
    from vatrace.output.batch import LOG
    from vatrace.workers import in_processes, on_ray

    if not tasks:
        return
    places = {task.item.name: place for place, task in tasks.items()}
    with batch_progress(len(tasks), args.out / LOG) as progress:

        def show(task: Task, stage: str, share: float) -> None:
            progress.show(task.item.name, stage, share)

        outcomes: Iterator[Outcome]
        if args.ray is not None:
            address = None if args.ray == LOCAL_CLUSTER else args.ray
            outcomes = on_ray(with_threads([*tasks.values()], 1), address, work, lost)
        elif len(tasks) > 1:  # not in this process: a crash in a codec must not end the batch
            jobs = args.jobs or 1
            threads = max(1, (args.threads or os.cpu_count() or 1) // jobs) if jobs > 1 else args.threads
            outcomes = in_processes(with_threads([*tasks.values()], threads), jobs, work, lost, show)
        else:
            outcomes = (process(task, model, partial(show, task)) for task in tasks.values())
        for outcome in outcomes:
            _print_outcome(outcome)
            progress.finished(outcome.item.name, outcome.error or outcome.text.partition("\n")[0])
            yield places[outcome.item.name], outcome


def _print_outcome(outcome: Outcome) -> None:
    if outcome.error:
        complain(outcome.error)
    else:
        say(outcome.text, flush=True)
    if outcome.warning:
        warn(outcome.warning)


def _check_people(args: argparse.Namespace) -> None:
    """Check the options about recordings and people before any work is done."""
    if (args.list is None) == (not args.sources):
        raise UsageError("give either recordings and folders, or a list of recordings with --list")
    if args.person is not None and not args.person.is_file():
        raise UsageError(f"{args.person}: no such picture")
    if args.per_person and (args.person is not None or args.people in {"main", "left", "right", 1}):
        raise UsageError("--per-person is for several people: add --people all or a number")
    if args.per_person and not any(FORMATS[kind].has_rows for kind in args.format):
        tables = " or ".join(kind for kind, known in FORMATS.items() if known.has_rows)
        raise UsageError(f"--per-person is for tables: add {tables} to --format; other formats hold everyone in one file")


def _check_effects(args: argparse.Namespace) -> None:
    """Refuse options that would have no effect because of others."""
    if args.ray is not None and args.jobs is not None:
        raise UsageError("--jobs is for processes on this machine, and --ray starts those of the cluster: choose one")
    if args.ray is not None and args.threads is not None:
        raise UsageError("--threads has no effect with --ray, where each recording has one CPU: leave it out")
    if (args.explain or args.also) and not set(args.format) & WITH_COLUMNS:
        option = "explain" if args.explain else "also"
        raise UsageError(f"--{option} adds columns to {', '.join(sorted(WITH_COLUMNS))}: add one of them to --format")


def _person_names(table: Path | None, recordings: Sequence[Path]) -> Sequence[Mapping[str, str]]:
    """The names of the people in each recording, by number; recordings that only one side has are printed."""
    if table is None:
        return [{}] * len(recordings)
    from vatrace.output.person_names import read_names

    found, absent, unlisted = read_names(table, recordings)
    if absent:
        warn(f"{table}: names people of recordings that are not processed now: {passed_over(absent)}")
    if unlisted:
        warn(f"{table}: no names for {passed_over(unlisted)}: their people keep their numbers")
    return found


def _check_apart(items: Iterable[Item], args: argparse.Namespace) -> None:
    """Check that no two results are the same file, such as the turns of talk.mp4 and the table of talk.turns.mp4."""
    path, times = Counter(result.path for item in items for result in set(item.possible(args))).most_common(1)[0]
    if times > 1:
        raise UsageError(f"{path}: would be a result of two recordings; predict them one by one, each with its own --out")


def _transcripts(args: argparse.Namespace, recordings: Sequence[Path], model: Model) -> list[Choice]:
    """The transcript of each recording: the one that was given, or one in its folder if the words are wanted."""
    from vatrace.output.batch import Choice, match_transcripts

    given: Path | None = args.transcript
    if given == NO_TRANSCRIPT or (given is None and ("words" not in args.modalities or "words" not in model.modalities)):
        return [Choice()] * len(recordings)
    choices = match_transcripts(given, recordings, args.language)
    absent = [shown(recording.name) for recording, choice in zip(recordings, choices, strict=True) if choice.path is None]
    if given is not None and absent:
        warn(f"{given}: no transcript for {passed_over(absent)}: speech recognition is used if they contain audio")
    return choices


def run_demo(args: argparse.Namespace) -> int:
    """Run the demo command."""
    from vatrace.cli.batch import description
    from vatrace.media.demo import make_demo
    from vatrace.media.recording import open_recording
    from vatrace.output.batch import SIDE, result_files
    from vatrace.output.provenance import model_versions, starting
    from vatrace.output.results import write_results
    from vatrace.weights import find_whisper

    results = result_files(args.out, "demo", ("csv", "png", "html", SIDE))
    video, page = args.out / "demo.mp4", results[2].path
    refuse_existing([*(result.path for result in results), video], args.overwrite)
    find_whisper(args.whisper)  # report a missing file before anything is made
    make_folder(args.out)
    model = load(args)
    with written_whole(video) as temporary:
        make_demo(temporary)
    files = {"model": args.model, "active_speaker": args.active_speaker}
    models = model_versions(model.encoders, args.whisper, args.active_speaker)
    made = starting(video, args.out, files, {"encoders": args.encoders}, models)
    with progress_bars(video.name) as progress, working_on(video):
        recording = open_recording(video)
        prediction = model.predict(recording, explain=True, progress=progress)
        write_results(prediction, recording, results, made, explain=False, progress=progress)
    say(description(prediction, results))
    say(f"open {page} in a browser; it was made from {video}")
    return 0
