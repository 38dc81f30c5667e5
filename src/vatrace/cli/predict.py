"""The commands predict and demo."""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.terminal import add_model_options, complain, make_folder, progress_bars, refuse_existing, warn
from vatrace.errors import MediaError, MissingWeightsError, UsageError, VatraceError, reason
from vatrace.files import written_whole
from vatrace.inference.model import DEFAULT_RATE, MAX_RATE, load_model
from vatrace.media.recording import MEDIA_SUFFIXES, Recording, open_recording
from vatrace.media.transcripts import is_transcript
from vatrace.names import MODALITIES
from vatrace.output.writers import FORMATS, check_formats, summary_row, write_summary
from vatrace.weights import find_whisper

if TYPE_CHECKING:
    from vatrace.features.perceiver import Progress
    from vatrace.inference.model import Model
    from vatrace.inference.prediction import Prediction

PREDICT_EPILOG = """examples:
  vatrace predict talk.mp4
  vatrace predict talk.mp4 --out traces --format csv,json --report
  vatrace predict videos/ --out traces --summary all.csv
  vatrace predict videos/ --out traces --modalities face,voice
  vatrace predict talk.mp4 --transcript talk.srt      the words from a transcript you have
  vatrace predict videos/ --transcript transcripts/   talk.srt for talk.mp4, and so on
  vatrace predict interview.mp4 --side left           of two people, the one on the left
  vatrace predict podcast.mp3                         sound alone: the face is masked
  vatrace predict talk.srt                            words alone
  vatrace predict talk.mp4 --format csv,elan,textgrid  also for ELAN and Praat

The CSV has the columns time (s), valence, arousal (-1..1), face, voice, words (1 where it was there, else 0),
valence_low, valence_high, arousal_low, arousal_high (90 % intervals), supported (0 where nothing supports the values).
The table of --summary has one row a recording: mean, SD, min and max of both where something was there, the share of time of
each modality, notes, errors, and which version and model made it.
With --explain also face_share, voice_share, words_share (how much of the value rests on each: together 1, empty where
nothing matters) and recursion_1, ... (how far each recursion of the attention moved the point).
Exit status: 0 if all went well, 1 if a recording failed (the others are done), 2 for a wrong command, 130 for ctrl-C.
"""


def add_parsers(commands: Any) -> None:
    """Add predict and demo to the commands."""
    raw = argparse.RawDescriptionHelpFormatter
    predict = commands.add_parser(
        "predict",
        help="recordings in, traces out",
        epilog=PREDICT_EPILOG,
        formatter_class=raw,
        description="Write the valence/arousal trace of each recording, and a picture of it.",
    )
    predict.add_argument("sources", nargs="+", type=Path, metavar="VIDEO|FOLDER", help="video, sound, picture, SRT or VTT")
    predict.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: this folder)")
    predict.add_argument(
        "--format",
        type=_formats,
        default=["csv"],
        metavar="LIST",
        help=f"{', '.join(FORMATS)}; several with commas (default: csv)",
    )
    predict.add_argument("--rate", type=_rate, default=DEFAULT_RATE, metavar="HZ", help="rows a second (default: %(default)g)")
    predict.add_argument(
        "--modalities",
        type=_modalities,
        default=list(MODALITIES),
        metavar="LIST",
        help="of face, voice, words (default: all)",
    )
    predict.add_argument(
        "--transcript", type=Path, metavar="PATH", help="SRT or VTT instead of speech recognition, or a folder of them by name"
    )
    predict.add_argument(
        "--side", choices=["left", "right"], help="of two people, follow this one (default: the one seen most)"
    )
    predict.add_argument("--explain", action="store_true", help="add columns that say what each value rests on")
    predict.add_argument("--report", action="store_true", help="also write a page to look at, <name>.html")
    predict.add_argument("--overlay", action="store_true", help="also write a film with the trace in it, <name>.overlay.mp4")
    predict.add_argument(
        "--summary", type=Path, metavar="FILE", help="also write a CSV with one row a recording: means, SDs, what was there"
    )
    predict.add_argument("--overwrite", action="store_true", help="replace results that are there already")
    add_model_options(predict)
    predict.set_defaults(run=run_predict)

    demo = commands.add_parser(
        "demo",
        help="the whole way on a recording made here",
        formatter_class=raw,
        description="Put a recording together from a real face and real speech that installed packages carry, and predict it.",
        epilog="examples:\n  vatrace demo\n  vatrace demo --out somewhere --overwrite\n",
    )
    demo.add_argument("--out", type=Path, default=Path("vatrace-demo"), metavar="DIR", help="(default: %(default)s)")
    demo.add_argument("--overwrite", action="store_true", help="replace results that are there already")
    add_model_options(demo)
    demo.set_defaults(run=run_demo)


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _formats(text: str) -> list[str]:
    names = _names(text)
    if not names or not set(names) <= set(FORMATS):
        raise argparse.ArgumentTypeError(f"choose of {', '.join(FORMATS)}, separated by commas, not {text!r}")
    return names


def _modalities(text: str) -> list[str]:
    names = _names(text)
    if not names or not set(names) <= set(MODALITIES):
        raise argparse.ArgumentTypeError(f"choose of {', '.join(MODALITIES)}, separated by commas, not {text!r}")
    return names


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= MAX_RATE:
        raise argparse.ArgumentTypeError(f"a number above 0 and at most {MAX_RATE:g}, not {text!r}")
    return rate


def expand(source: Path) -> list[Path]:
    """The recordings that are meant: a file as it is, or the videos and sounds in a folder by name.

    Raises:
        MediaError: for a folder without any.
        OSError: for a folder that can't be read.
    """
    if not source.is_dir():
        return [source]
    found = [
        path
        for path in sorted(source.iterdir())
        if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file() and not path.name.startswith(".")
    ]
    if not found:
        raise MediaError(f"{source}: no videos or sound files in this folder")
    return found


def result_names(recordings: Sequence[Path]) -> list[str]:
    """What to call the results: `talk`; `talk.mp4` beside a talk.wav; `P01_talk` for P01/talk.mp4 beside P02/talk.mp4.

    Raises:
        MediaError: if two recordings have the very same name.
    """
    choices = [
        [path.stem, path.name, f"{path.parent.name}_{path.stem}", f"{path.parent.name}_{path.name}"] for path in recordings
    ]
    taken = [Counter(names) for names in zip(*choices, strict=True)]
    result: list[str] = []
    for path, names in zip(recordings, choices, strict=True):
        unique = [name for name, counts in zip(names, taken, strict=True) if counts[name] == 1]
        if not unique or unique[0] in result:  # one's P01_talk can be another's
            raise MediaError(f"{path}: another recording has the same name; predict them one by one, each with its own --out")
        result.append(unique[0])
    return result


def run_predict(args: argparse.Namespace) -> int:
    """The predict command."""
    check_formats(args.format)
    failures = 0
    recordings: list[Path] = []
    for source in args.sources:
        try:
            recordings += expand(source)
        except (MediaError, OSError) as error:
            failures += 1
            complain(error)
    recordings = list(dict.fromkeys(recordings))
    names = result_names(recordings)
    if not recordings:
        return 1
    transcripts = _transcripts(args.transcript, recordings)
    results = [_results(name, args) for name in names]
    make_folder(args.out)
    if args.summary is not None:
        if args.summary.resolve() in {path.resolve() for path in chain(recordings, *(paths.values() for paths in results))}:
            raise UsageError(f"{args.summary}: is a recording, or the result of one: give the summary another name")
        refuse_existing([args.summary], args.overwrite)
        make_folder(args.summary.parent)
    model = _load(args)
    rows: list[dict[str, object]] = []
    try:
        for recording, name, transcript, targets in zip(recordings, names, transcripts, results, strict=True):
            rows.append({"recording": name} | _row(recording, transcript, targets, args, model))
    finally:  # also of a batch that was stopped
        if args.summary is not None and rows:
            with written_whole(args.summary) as temporary:
                write_summary(rows, temporary)
    done = sum("error" not in row for row in rows)
    if len(recordings) > 1:
        print(f"{done} of {len(recordings)} recordings done")
    return int(failures > 0 or done < len(recordings))


def _results(name: str, args: argparse.Namespace) -> dict[str, Path]:
    """Where the results of a recording go, by kind."""
    suffixes = {kind: FORMATS[kind].suffix for kind in args.format} | {"png": "png"}
    suffixes |= {"html": "html"} if args.report else {}
    suffixes |= {"overlay": "overlay.mp4"} if args.overlay else {}
    return {kind: args.out / f"{name}.{suffix}" for kind, suffix in suffixes.items()}


def _transcripts(given: Path | None, recordings: Sequence[Path]) -> list[Path | None]:
    """The transcript of each recording: the file that was given for the only one, or that of its name in the folder.

    Raises:
        ValueError: if there is none for any of them, one file for many, or it can't be told which is whose.
    """
    if given is None or (len(recordings) == 1 and not given.is_dir()):
        return [given] * len(recordings)
    if not given.is_dir():
        raise UsageError(f"{given}: is one transcript for {len(recordings)} recordings; name a folder of them")
    known: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(given.iterdir()):
        if is_transcript(path) and not path.name.startswith("."):
            known[path.stem].append(path)
    stems = Counter(recording.stem for recording in recordings)
    for stem in stems:
        if len(known[stem]) > 1:
            raise UsageError(
                f"{given}: both {' and '.join(path.name for path in known[stem])} are called like {stem}: keep one"
            )
        if known[stem] and stems[stem] > 1:
            raise UsageError(f"{known[stem][0]}: {stems[stem]} recordings are called {stem}: predict them one by one")
    found = [known[recording.stem][0] if known[recording.stem] else None for recording in recordings]
    absent = [recording.name for recording, path in zip(recordings, found, strict=True) if path is None]
    if len(absent) == len(found):
        raise UsageError(f"{given}: no transcript in it is called like a recording, such as {recordings[0].stem}.srt")
    if absent:
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        warn(f"{given}: no transcript of {', '.join(absent[:5])}{more}: speech recognition is used where there is sound")
    return found


def _row(
    recording: Path, transcript: Path | None, targets: dict[str, Path], args: argparse.Namespace, model: Model
) -> dict[str, object]:
    """Predict one recording: its row of the summary, or its error, which has been said."""
    try:
        return summary_row(_process(recording, transcript, targets, args, model))
    except (MissingWeightsError, BrokenPipeError):
        raise  # the others would fail alike
    except (VatraceError, OSError) as error:
        failure = str(error)
    except Exception as error:  # one recording must not stop the others, whatever it is
        failure = f"{recording}: {type(error).__name__}: {error} (a fault in vatrace: please report it)"
    complain(failure)
    return {"error": failure}


def _process(
    recording: Path, transcript: Path | None, targets: dict[str, Path], args: argparse.Namespace, model: Model
) -> Prediction:
    """Predict one recording and write its results."""
    if any(path.exists() and recording.exists() and path.samefile(recording) for path in targets.values()):
        raise FileExistsError(f"{recording}: its own result would replace it, give another folder with --out")
    refuse_existing(targets.values(), args.overwrite)
    with progress_bars(recording.name) as progress:
        opened = open_recording(recording, transcript)
        prediction = model.predict(
            opened,
            rate=args.rate,
            modalities=args.modalities,
            side=args.side,
            explain=args.explain or args.report,
            progress=progress or (lambda stage, share: None),
        )
        _write(prediction, opened, targets, args.explain, progress)
    _say(prediction, targets)
    return prediction


def _write(
    prediction: Prediction, recording: Recording, targets: dict[str, Path], explain: bool, progress: Progress | None
) -> None:
    """Write the results; the tables say what the values rest on only if they are to `explain`, the page always."""
    from vatrace.output.overlay import write_overlay
    from vatrace.output.report import embedded, write_page, write_picture

    report = progress or (lambda stage, share: None)
    tabulated = prediction if explain else replace(prediction, explanation=None)
    try:
        with ExitStack() as files:  # all are written before any takes its place
            temporaries = {kind: files.enter_context(written_whole(path)) for kind, path in targets.items()}
            for kind, temporary in temporaries.items():
                if kind == "png":
                    write_picture(prediction, temporary)
                elif kind == "html":
                    write_page(prediction, temporary, embedded(recording, partial(report, "report")))
                elif kind == "overlay":
                    write_overlay(prediction, recording, temporary, partial(report, "overlay"))
                else:
                    FORMATS[kind].write(tabulated, temporary)
    except OSError as error:
        folder = next(iter(targets.values())).parent
        raise OSError(f"{prediction.source}: can't write its results to {folder} ({reason(error)})") from error


def _say(prediction: Prediction, targets: dict[str, Path]) -> None:
    from vatrace.output.report import summary

    print(f"{prediction.source.name}: {summary(prediction)} -> {', '.join(map(str, targets.values()))}", flush=True)
    for note in prediction.notes:
        print(f"  note: {note}", flush=True)


def run_demo(args: argparse.Namespace) -> int:
    """The demo command."""
    from vatrace.media.demo import make_demo

    targets = {kind: args.out / f"demo.{kind}" for kind in ("csv", "png", "html")}
    video = args.out / "demo.mp4"
    refuse_existing([*targets.values(), video], args.overwrite)
    find_whisper(args.whisper)  # if it is missing, that should be said before anything is made
    make_folder(args.out)
    model = _load(args)
    with written_whole(video) as temporary:
        make_demo(temporary)
    with progress_bars(video.name) as progress:
        recording = open_recording(video)
        prediction = model.predict(recording, explain=True, progress=progress or (lambda stage, share: None))
        _write(prediction, recording, targets, explain=False, progress=progress)
    _say(prediction, targets)
    print(f"open {targets['html']} to look at it, {video} is what it was made from")
    return 0


def _load(args: argparse.Namespace) -> Model:
    return load_model(fusion=args.model, whisper=args.whisper)
