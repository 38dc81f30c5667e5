"""The commands predict and demo."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatrace.cli.terminal import add_model_options, complain, find_all, load, make_folder, progress_bars, refuse_existing, warn
from vatrace.errors import MissingWeightsError, UsageError, VatraceError, reason, report_bug
from vatrace.files import shown, written_whole
from vatrace.media.folders import passed_over
from vatrace.names import DEFAULT_RATE, MAX_RATE, MODALITIES
from vatrace.output.formats import FORMATS, check_formats

if TYPE_CHECKING:
    from vatrace.features.task import Progress
    from vatrace.inference.model import Model
    from vatrace.inference.prediction import Prediction
    from vatrace.media.recording import Recording
    from vatrace.output.batch import Choice

NO_TRANSCRIPT = Path("none")
"""As --transcript: to use none."""

PREDICT_EPILOG = """examples:
  vatrace predict talk.mp4
  vatrace predict talk.mp4 --out traces --format csv,json --report
  vatrace predict videos/ --out traces --summary all.csv
  vatrace predict videos/ --out traces --modalities face,voice
  vatrace predict talk.mp4 --transcript talk.srt       your own transcript instead of speech recognition
  vatrace predict videos/ --transcript transcripts/    talk.srt for talk.mp4, and so on
  vatrace predict talk.mp4 --transcript none           speech recognition, even if talk.srt is in the folder
  vatrace predict interview.mp4 --side left            the person on the left, where two are visible
  vatrace predict podcast.mp3                          audio only
  vatrace predict talk.srt                             words only
  vatrace predict talk.mp4 --format csv,elan,textgrid  also for ELAN and Praat
  vatrace predict talk.mp4 --model run/model.onnx --encoders face=my_package:MyEncoder

The CSV has the columns time (s), valence, arousal (-1..1), face, voice, words (1 where the modality was present, else 0),
valence_low, valence_high, arousal_low, arousal_high (90 % intervals), supported (1 where any modality was present, else 0).
With --explain it also has face_share, voice_share, words_share (how much each modality contributes to the value; their sum
is 1; empty where none contributes) and recursion_1, ... (how far each recursion of the attention moved the point).
The table of --summary has one row per recording: mean, SD, minimum and maximum of valence and arousal over the supported
rows, the share of time in which each modality was present, how many doubtful words were left out, notes, errors, and the
version and model.
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
    add(
        "--transcript",
        type=Path,
        metavar="PATH",
        help="SRT, VTT or ASS instead of speech recognition, or a folder of such files, or `none` (default: talk.srt or "
        "talk.en.vtt next to talk.mp4)",
    )
    add(
        "--side", choices=["left", "right"], help="which of two people to follow (default: the one visible longest and largest)"
    )
    add("--explain", action="store_true", help="add columns with the contribution of each modality")
    add("--report", action="store_true", help="also write an HTML report, <name>.html")
    add("--overlay", action="store_true", help="also write a video with the trace in it, <name>.overlay.mp4")
    add("--summary", type=Path, metavar="FILE", help="also write a CSV with one row per recording")
    add("--overwrite", action="store_true", help="replace results that already exist")
    add_model_options(parser)
    parser.set_defaults(run=run_predict)


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
    from vatrace.output.batch import result_names
    from vatrace.output.writers import write_summary

    check_formats(args.format)
    recordings, all_found = find_all(args.sources)
    names = result_names(recordings)
    if not recordings:
        return 1
    targets = [_targets(name, args) for name in names]
    make_folder(args.out)
    if args.summary is not None:
        _check_summary(args.summary, [*recordings, *chain.from_iterable(paths.values() for paths in targets)], args.overwrite)
    model = load(args)
    choices = _transcripts(args, recordings, model)
    rows: list[dict[str, object]] = []
    try:
        for recording, name, choice, paths in zip(recordings, names, choices, targets, strict=True):
            rows.append({"recording": name} | _row(recording, choice, paths, args, model))
    finally:  # also if the batch is stopped
        if args.summary is not None and rows:
            with written_whole(args.summary) as temporary:
                write_summary(rows, temporary)
    done = sum("error" not in row for row in rows)
    if len(recordings) > 1:
        print(f"{done} of {len(recordings)} recordings done")
    return int(not all_found or done < len(recordings))


def _transcripts(args: argparse.Namespace, recordings: Sequence[Path], model: Model) -> list[Choice]:
    """The transcript of each recording: the one that was given, or one in its folder if the words are wanted."""
    from vatrace.output.batch import Choice, match_transcripts

    given: Path | None = args.transcript
    if given == NO_TRANSCRIPT or (given is None and ("words" not in args.modalities or "words" not in model.modalities)):
        return [Choice()] * len(recordings)
    choices = match_transcripts(given, recordings)
    absent = [shown(recording.name) for recording, choice in zip(recordings, choices, strict=True) if choice.path is None]
    if given is not None and absent:
        warn(f"{given}: no transcript for {passed_over(absent)}: speech recognition is used if they contain audio")
    return choices


def _check_summary(path: Path, others: Sequence[Path], overwrite: bool) -> None:
    """Check that the summary can be written to a path."""
    if path.resolve() in {other.resolve() for other in others}:
        raise UsageError(f"{path}: is a recording or one of its results: give the summary another name")
    refuse_existing([path], overwrite)
    make_folder(path.parent)


def _targets(name: str, args: argparse.Namespace) -> dict[str, Path]:
    """The result files of a recording, by kind."""
    suffixes = {kind: FORMATS[kind].suffix for kind in args.format} | {"png": "png"}
    suffixes |= {"html": "html"} if args.report else {}
    suffixes |= {"overlay": "overlay.mp4"} if args.overlay else {}
    return {kind: args.out / f"{name}.{suffix}" for kind, suffix in suffixes.items()}


def _row(
    recording: Path, choice: Choice, targets: Mapping[str, Path], args: argparse.Namespace, model: Model
) -> dict[str, object]:
    """Predict one recording; return its row of the summary, or its error, which is also printed."""
    from vatrace.output.writers import summary_row

    try:
        return summary_row(_process(recording, choice, targets, args, model))
    except (MissingWeightsError, BrokenPipeError):
        raise  # the other recordings would fail too
    except (VatraceError, OSError) as error:
        failure = str(error)
    except Exception as error:  # other recordings must not fail because of it
        failure = report_bug(error, recording)
    complain(failure)
    return {"error": failure}


def _process(path: Path, choice: Choice, targets: Mapping[str, Path], args: argparse.Namespace, model: Model) -> Prediction:
    """Predict one recording and write its results."""
    for source in (path, choice.path):
        if source and any(target.exists() and source.exists() and target.samefile(source) for target in targets.values()):
            raise FileExistsError(f"{source}: its own result would replace it: give another folder with --out")
    refuse_existing(targets.values(), args.overwrite)
    with progress_bars(path.name) as progress:
        recording = choice.open(path)
        prediction = model.predict(
            recording,
            rate=args.rate,
            modalities=args.modalities,
            side=args.side,
            explain=args.explain or args.report,
            progress=progress,
        )
        _write(prediction, recording, targets, args.explain, progress)
    _print_summary(prediction, targets)
    return prediction


def _write(
    prediction: Prediction, recording: Recording, targets: Mapping[str, Path], explain: bool, progress: Progress
) -> None:
    """Write the results; the tables contain the explanation only with `explain`, the report always."""
    from vatrace.output.overlay import write_overlay
    from vatrace.output.report import embedded, write_page, write_picture

    tabulated = prediction if explain else replace(prediction, explanation=None)
    try:
        with ExitStack() as files:  # all are written before any is moved into place
            temporaries = {kind: files.enter_context(written_whole(path)) for kind, path in targets.items()}
            for kind, temporary in temporaries.items():
                if kind == "png":
                    write_picture(prediction, temporary)
                elif kind == "html":
                    write_page(prediction, temporary, embedded(recording, partial(progress, "report")))
                elif kind == "overlay":
                    write_overlay(prediction, recording, temporary, partial(progress, "overlay"))
                else:
                    FORMATS[kind].write(tabulated, temporary)
    except OSError as error:
        folder = next(iter(targets.values())).parent
        raise OSError(f"{prediction.source}: can't write its results to {folder} ({reason(error)})") from error


def _print_summary(prediction: Prediction, targets: Mapping[str, Path]) -> None:
    from vatrace.output.report import summary

    print(f"{prediction.source.name}: {summary(prediction)} -> {', '.join(map(str, targets.values()))}", flush=True)
    for note in prediction.notes:
        print(f"  note: {note}", flush=True)


def run_demo(args: argparse.Namespace) -> int:
    """Run the demo command."""
    from vatrace.media.demo import make_demo
    from vatrace.media.recording import open_recording
    from vatrace.weights import find_whisper

    targets = {kind: args.out / f"demo.{kind}" for kind in ("csv", "png", "html")}
    video = args.out / "demo.mp4"
    refuse_existing([*targets.values(), video], args.overwrite)
    find_whisper(args.whisper)  # report a missing file before anything is made
    make_folder(args.out)
    model = load(args)
    with written_whole(video) as temporary:
        make_demo(temporary)
    with progress_bars(video.name) as progress:
        recording = open_recording(video)
        prediction = model.predict(recording, explain=True, progress=progress)
        _write(prediction, recording, targets, explain=False, progress=progress)
    _print_summary(prediction, targets)
    print(f"open {targets['html']} in a browser; it was made from {video}")
    return 0
