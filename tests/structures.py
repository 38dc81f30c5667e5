"""Files of the right form with wrong content, by the thousand: `python -m tests.structures --count 200`.

Hypothesis makes documents of each kind that vatrace reads: values of other types and sizes, parts that are missing, repeated,
nested or in another order, references to nothing. Each must end in a result, or in one error of one line that names the file.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import logging
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

MAX_SECONDS = 5.0
"""CPU seconds that a file of a few kilobytes may take; most take a few milliseconds."""

NUMBERS = st.one_of(
    st.integers(-3, 20),
    st.sampled_from([-1, 2**31, 2**63, 10**12, 10**30, 0.1, 1e-300, 1e300, float("inf"), -float("inf"), float("nan")]),
    st.floats(-10, 100),
)
TEXTS = st.one_of(
    st.sampled_from(["", "x", "face", "1", "../a", "/etc/passwd", "a\nb", "\0", "é\u202e", "=1+1", "nan", "1e999", "a" * 300]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
"""What JSON can express, and NaN and infinity, which Python writes and reads as well."""


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        path: where the file is.
        contents: what it may contain.
        use: reads all of it.
        names: what an error must name; "" for the file.
    """

    path: Path
    contents: st.SearchStrategy[bytes]
    use: Callable[[], object]
    names: str = ""


def attempt(target: Target, content: bytes) -> str:
    """Write and use a file; what came of it: "result" or "error".

    Raises:
        AssertionError: if an error isn't one line that names the file, or it takes too long.
    """
    from vatrace.errors import VatraceError

    target.path.write_bytes(content)
    answer = "result"
    signal.signal(signal.SIGVTALRM, too_slow)
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_SECONDS)
    try:
        target.use()
    except VatraceError as error:
        answer = "error"
        assert (target.names or target.path.name) in str(error) and "\n" not in str(error), f"{content[:2000]!r}: {error!r}"
    except Exception as error:
        raise AssertionError(f"{content[:2000]!r}: {error!r}") from error
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return answer


def too_slow(*_: object) -> None:
    """End what takes too long."""
    raise TimeoutError(f"more than {MAX_SECONDS:g} s")


def places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values in a JSON value; of long lists, only to the first items."""
    found = [before] if before else []
    keys = list(value) if isinstance(value, dict) else range(min(len(value), 4)) if isinstance(value, list) else ()
    for key in keys:
        found += places(value[key], (*before, key))
    return found


@st.composite
def edited(draw: st.DrawFn, good: Any) -> Any:
    """A JSON value with up to three values replaced, removed, renamed, repeated or nested."""
    content = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        paths = places(content)
        if not paths:
            break
        *parents, last = draw(st.sampled_from(paths))
        holder = content
        for key in parents:
            holder = holder[key]
        what = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "repeat", "nest", "add"]))
        if what == "replace":
            holder[last] = draw(VALUES)
        elif what == "remove":
            del holder[last]
        elif what == "nest":
            holder[last] = draw(st.sampled_from([[holder[last]], {"a": holder[last]}]))
        elif isinstance(holder, list):
            holder.insert(last, draw(VALUES) if what == "add" else copy.deepcopy(holder[last]))
        elif what == "rename":
            holder[draw(TEXTS)] = holder.pop(last)
        elif what == "repeat":
            holder[draw(TEXTS)] = copy.deepcopy(holder[last])
        else:
            holder[draw(TEXTS)] = draw(VALUES)
    return content


def edited_json(path: Path, write: Callable[[Any], str] = json.dumps) -> st.SearchStrategy[bytes]:
    """The JSON in a file, edited, or now and then another value."""
    good = json.loads(path.read_text(encoding="utf-8"))
    contents = st.one_of(*[edited(good)] * 9, VALUES)
    return contents.map(lambda content: write(content).encode())


def mostly(draw: st.DrawFn, usual: Any, others: list[Any]) -> Any:
    """A value that is usually as it should be."""
    return usual if draw(st.integers(0, 19)) else draw(st.sampled_from(others))


CELLS = st.one_of(
    st.sampled_from(["", "0", "1", "0.5", "-0,5", "1e300", "inf", "nan", "NA", "a.wav", "a", "../a.wav", "/dev/null", "."]),
    st.sampled_from(["train", "dev", "left", "main", "all", "9", "1.0", "none", "anna", '"', "=1+1", "a\0b", " ", "²", "١"]),
    TEXTS,
)
CLEAN = 0.9
"""Share of cells that are as they should be, so that faults are found alone as well as together."""


@st.composite
def tables(draw: st.DrawFn, columns: dict[str, list[str]]) -> bytes:
    """A CSV table with these columns or others, and rows that may be too short or too long.

    Args:
        draw: of Hypothesis.
        columns: possible cells of each; `{i}` is the number of the row.
    """
    others = st.lists(st.one_of(st.sampled_from(list(columns)), TEXTS), max_size=len(columns) + 2)
    names = list(columns) if draw(st.integers(0, 9)) else draw(others)
    rows = []
    for number in range(draw(st.integers(0, 6))):
        cells = []
        for name in names:
            good = name in columns and draw(st.floats(0, 1)) < CLEAN
            cells.append(draw(st.sampled_from(columns[name])).replace("{i}", str(number)) if good else draw(CELLS))
        rows.append(cells[: len(names) - (draw(st.integers(0, 19)) == 1)] + [draw(CELLS)] * (draw(st.integers(0, 19)) == 1))
    delimiter = mostly(draw, ",", [";", "\t"])
    text = mostly(draw, "\n", ["\r\n", "\r"]).join(delimiter.join(line) for line in [names, *rows])
    return text.encode(mostly(draw, "utf-8", ["utf-8-sig", "utf-16"]))


MOMENTS = {"srt": "00:00:0{},000", "vtt": "00:00:0{}.000", "ass": "0:00:0{}.00"}
OTHER_MOMENTS = st.sampled_from(["00:01.000", "0:00:02.00", "99:59:59,999", "-1:00:00,000", "00:99:99,9", "x", ""])
SAID = st.one_of(
    st.sampled_from(
        ["Hello you", "<i>Hi</i>", "<v Anna>Yes", r"{\an8}No", "<00:00:01.200><c>a</c>", "&lt;b&gt;", "ANNA: well"]
    ),
    TEXTS,
)
HEADS = {"srt": [], "vtt": ["WEBVTT", ""], "ass": ["[Script Info]", "ScriptType: v4.00+", "", "[V4+ Styles]"]}
FIELDS = ["Layer", "Start", "End", "Style", "Name", "MarginL", "MarginR", "MarginV", "Effect", "Text"]
OTHER_LINES = ["NOTE x", "STYLE", "[V4+ Styles]", "[Fonts]", "fontname: a", "X-TIMESTAMP-MAP=x", "\0", "-->"]


@st.composite
def captions(draw: st.DrawFn, kind: str) -> bytes:
    """SRT, WebVTT or ASS whose parts are valid, missing, repeated, or of another format."""
    lines = list(HEADS[kind])
    if kind == "ass":
        fields = mostly(draw, FIELDS, [FIELDS[:4], FIELDS[::-1], FIELDS * 2, []])
        lines += ["Format: Name, Fontname", "Style: Default,Arial", "", "[Events]", f"Format: {', '.join(fields)}"]
    for number in range(draw(st.integers(0, 5))):
        times = [MOMENTS[kind].format(number + later) if draw(st.integers(0, 9)) else draw(OTHER_MOMENTS) for later in (0, 1)]
        (start, end), text = times, ("\n" if kind != "ass" else r"\N").join(draw(st.lists(SAID, min_size=1, max_size=3)))
        if kind == "ass":
            what = draw(st.sampled_from(["Dialogue", "Dialogue", "Comment", "x"]))
            lines.append(f"{what}: 0,{start},{end},Default,Anna,0,0,0,,{text}")
        else:
            lines += [str(number)] if draw(st.booleans()) else []
            lines += [f"{start}{draw(st.sampled_from([' --> ', ' --> ', '-->', ' -> ']))}{end}", text, ""]
    return "\n".join([*lines, *draw(st.lists(st.sampled_from(OTHER_LINES), max_size=2))]).encode()


SLOTS = ["ts1", "ts2", "ts3", "ts4"]
MILLISECONDS = ["0", "100", "1000", "2500", "-5", "99999999999", "1e9", "", "x", None]
NAMES = st.sampled_from(["a1", "a2", "a3", "a4", ""])
MEDIA = ['<MEDIA_DESCRIPTOR MEDIA_URL="file:///a.wav" TIME_ORIGIN="x"/>', '<MEDIA_DESCRIPTOR TIME_ORIGIN="-500"/>']
ENTITIES = ['<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>', '<!DOCTYPE a [<!ENTITY e "ee">]>']


@st.composite
def annotation(draw: st.DrawFn) -> str:
    """An annotation of ELAN, with times or with a reference to another one."""
    name, value = draw(NAMES), mostly(draw, "0.5", ["-1", "2", "x", "", "&#233;", "&e;"])
    inner = mostly(draw, f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE>", [""])
    if draw(st.integers(0, 9)):
        first = draw(st.integers(0, 2))
        last = mostly(draw, first + 1, [0, 1, 2, 3])
        slots = f'TIME_SLOT_REF1="{SLOTS[first]}" TIME_SLOT_REF2="{SLOTS[last]}"'
        head = f'<ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" {slots}>'
    else:
        before = draw(st.sampled_from(["", ' PREVIOUS_ANNOTATION="a1"']))
        head = f'<REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{draw(NAMES)}"{before}>'
    return f"<ANNOTATION>{head}{inner}</{head[1:].split()[0]}></ANNOTATION>"


@st.composite
def elan(draw: st.DrawFn) -> bytes:
    """An ELAN document with slots, tiers and annotations that may refer to nothing, to each other, or backwards."""
    slots = ""
    for number, name in enumerate(mostly(draw, SLOTS, [SLOTS[1:], SLOTS[::-1], SLOTS * 2, []])):
        value = mostly(draw, str(500 * number), MILLISECONDS)
        slots += f'<TIME_SLOT TIME_SLOT_ID="{name}"' + ("" if value is None else f' TIME_VALUE="{value}"') + "/>"
    body, more = "", mostly(draw, [], [["Valence"], ["valence"], ["other", ""]])
    for name in draw(st.permutations(["valence", "arousal", *more])):
        parent = mostly(draw, "", [' PARENT_REF="valence"', ' PARENT_REF="arousal"', ' PARENT_REF="none"'])
        notes = "".join(draw(st.lists(annotation(), max_size=3)))
        body += f'<TIER LINGUISTIC_TYPE_REF="default" TIER_ID={quoteattr(name)}{parent}>{notes}</TIER>'
    header = f'<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">{mostly(draw, "", MEDIA)}</HEADER>'
    kind = '<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default" TIME_ALIGNABLE="true"/>'
    kept = "".join(mostly(draw, part, [""]) for part in (header, f"<TIME_ORDER>{slots}</TIME_ORDER>", body, kind))
    facts = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="EAFv3.0.xsd" '
    facts += f'AUTHOR="" DATE="{mostly(draw, "2026-01-01T00:00:00+00:00", ["x"])}" FORMAT="3.0" VERSION="3.0"'
    entity = mostly(draw, "", ENTITIES)
    return f'<?xml version="1.0"?>{entity}<ANNOTATION_DOCUMENT {facts}>{kept}</ANNOTATION_DOCUMENT>'.encode()


def as_toml(value: Any) -> str:
    """A value of TOML; null, which TOML lacks, becomes an empty text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {as_toml(item)}" for name, item in value.items()) + "}"
    return json.dumps(value or "", ensure_ascii=False)


def toml_document(content: Any) -> str:
    """A TOML document, with one line for each of its tables."""
    return "\n".join(f"{json.dumps(name, ensure_ascii=False)} = {as_toml(value)}" for name, value in content.items())


def text_targets(folder: Path) -> dict[str, Target]:
    """Transcripts, tables and ELAN documents."""
    from vatrace.analysis.design import read_study
    from vatrace.corpora.elan import read_elan
    from vatrace.corpora.feature_files import read_features
    from vatrace.media.transcripts import read_transcript
    from vatrace.output.person_names import read_names
    from vatrace.output.recordings_list import read_list
    from vatrace.output.stretches import read_events

    recordings = [folder / f"r{number}.wav" for number in range(6)]
    corpus = folder / "corpus"
    corpus.mkdir()
    for path in (*recordings, *(corpus / path.name for path in recordings)):
        path.write_bytes(b"no audio")
    study = folder / "study.csv"
    rows = [f"{path.stem},{time / 10},0.1,0.2\n" for path in recordings for time in range(9)]
    study.write_text("".join(["recording,time,valence,arousal\n", *rows]))
    recording, person, value = ["r{i}.wav"], ["1", "main", ""], ["0.5", "-0.2", "1", ""]
    span = {"start": ["{i}", "0", ""], "end": ["1{i}", ""]}
    listed = {"recording": recording, "transcript": ["none", ""], "person": person, **span, "condition": ["a", "b"]}
    events = {"start": ["{i}"], "end": ["1{i}"], "recording": ["r1.wav", "r{i}", ""], "person": ["1", ""], "event": ["a", "b"]}
    about = {"participant": ["P1", "P{i}"], "condition": ["a", "b"], "person": [""], "pair": ["x", ""]}
    traces = {
        "recording": ["r1", "r{i}"],
        "participant": ["P1"],
        "person": ["1"],
        "time": ["{i}", "0.{i}"],
        "supported": ["1", "0"],
    }
    rated = {"recording": ["r1", "r{i}", "r{i}.wav"], "time": ["{i}", "0.{i}"], "annotator": ["anna", "ben", ""]}
    both = {"valence": value, "arousal": value}
    splits = {"recording": recording, "split": ["train", "dev", "Test"], "subject": ["s1", ""], "person": ["left", "1", ""]}
    readers: dict[str, tuple[str, st.SearchStrategy[bytes], Callable[[Path], object]]] = {
        "SRT": ("words.srt", captions("srt"), read_transcript),
        "WebVTT": ("words.vtt", captions("vtt"), read_transcript),
        "ASS": ("words.ass", captions("ass"), read_transcript),
        "ELAN": ("a.eaf", elan(), lambda path: list(read_elan(path, {"a"}))),
        "list": ("list.csv", tables(listed), read_list),
        "names": (
            "names.csv",
            tables({"recording": recording, "person": ["1", "2"], "name": ["P{i}", "P1"]}),
            lambda path: read_names(path, recordings),
        ),
        "events": ("events.csv", tables(events), read_events),
        "design": ("design.csv", tables({"recording": ["r{i}"], **about}), lambda path: read_study(study, path)),
        "study": ("table.csv", tables(traces | both), lambda path: read_study(path, None)),
        "features": ("f.csv", tables({"time": ["{i}"], "x1": ["0.5", ""], "x2": ["1e3"]}), read_features),
        "annotations": ("corpus/annotations.csv", tables(rated | both), lambda path: use_corpus(path.parent)),
        "splits": ("corpus/splits.csv", tables(splits), lambda path: use_corpus(path.parent)),
    }
    return {
        kind: Target(folder / name, contents, lambda read=read, path=folder / name: read(path))
        for kind, (name, contents, read) in readers.items()
    }


def use_corpus(folder: Path) -> None:
    """Read all of a corpus without its media. What is wrong with one recording is left to it."""
    import numpy as np

    from vatrace.corpora import open_corpus
    from vatrace.errors import CorpusError

    opened = open_corpus(folder)
    for finding in opened.findings:
        assert "\n" not in finding.what, finding
    for source in opened.sources:
        try:
            opened.annotations(source, np.arange(10) / 10)
        except CorpusError as error:
            assert "\n" not in str(error), repr(str(error))


def json_targets(folder: Path) -> dict[str, Target]:
    """The files that vatrace itself writes: stores, results, jobs, adaptations."""
    from command import run
    from made_stores import make_store, use_all
    from vatrace.errors import VatraceError
    from vatrace.inference.adaptation import Adaptation, Correction, read_adaptation, write_adaptation
    from vatrace.names import DIMENSIONS
    from vatrace.output.provenance import read_provenance
    from vatrace.output.traces import read_traces
    from vatrace.web.job import Job
    from vatrace.web.jobs import Jobs

    store = make_store(folder / "store", {"a": "train", "b": "dev"}, steps=20).path
    (folder / "talk.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nwonderful day\n")
    assert run("predict", folder / "talk.srt", "--out", folder / "out", "--format", "csv,json").status == 0
    side, adaptation = folder / "out" / "talk.json", folder / "adapt.json"
    corrections = {name: Correction(1.0, 0.0, 1.0) for name in DIMENSIONS}
    write_adaptation(adaptation, Adaptation("0" * 64, corrections, {"recordings": ["a"]}, "a"))
    job = folder / "jobs" / "1" / "job.json"
    job.parent.mkdir(parents=True)
    job.write_text(json.dumps(asdict(Job("1", "a.srt", state="failed"))))

    def use_store() -> None:
        use_all(store)

    def use_side() -> None:
        if read_provenance(side) is None:
            raise VatraceError(f"{side}: no side file")
        assert list(read_traces("talk", side))

    def use_job() -> None:
        jobs = Jobs(job.parents[1])
        shown = json.dumps([asdict(one) for one in jobs.all()], allow_nan=False)
        jobs.close()
        job.parent.mkdir(exist_ok=True)  # unfinished uploads are deleted
        if shown == "[]":
            raise VatraceError(f"{job}: not shown")

    def as_written(content: Any) -> str:
        """A side file as vatrace writes it, with each entry in a line."""
        if not isinstance(content, dict):
            return json.dumps(content)
        return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in content.items()) + "\n}"

    stored = ("store.json", "corpus.json", "recordings/a/meta.json")
    return {
        **{name: Target(store / name, edited_json(store / name), use_store, names=str(store)) for name in stored},
        "side file": Target(side, edited_json(side, as_written), use_side),
        "adaptation": Target(adaptation, edited_json(adaptation), lambda: read_adaptation(adaptation)),
        "job.json": Target(job, edited_json(job), use_job),
    }


def training_targets(folder: Path) -> dict[str, Target]:
    """Configs, runs and models, which PyTorch writes or reads."""
    import tomllib

    import onnx

    from made_stores import CONFIG, make_store
    from vatrace.inference.fusion import open_fusion
    from vatrace.models.affect import AffectModel, ModelConfig
    from vatrace.training.config import read_config
    from vatrace.training.export import export_onnx
    from vatrace.training.run import Run
    from vatrace.training.train import train_run

    store, config = make_store(folder / "trained", steps=60), folder / "run.toml"
    config.write_text(CONFIG.replace("num_epochs = 4", "num_epochs = 1"))
    run = train_run(read_config(config), store, folder / "r")
    assert run is not None
    dims, model = {"face": 128, "voice": 128, "words": 384}, folder / "model.onnx"
    network = AffectModel(ModelConfig(fusion="concat", feature_dims=dims, widths=dict.fromkeys(dims, 4), num_levels=1))
    export_onnx(network.eval(), model, metadata={"rate": 10, "win_len": 30, "intervals": '{"face": [0.1, 0.2]}'})
    proto = onnx.load(model)
    facts = {prop.key: parsed(prop.value) for prop in proto.metadata_props}

    def with_metadata(content: dict[str, Any]) -> bytes:
        changed = onnx.ModelProto()
        changed.CopyFrom(proto)
        del changed.metadata_props[:]
        for name, value in content.items():
            changed.metadata_props.add(key=name, value=value if isinstance(value, str) else json.dumps(value))
        return bytes(changed.SerializeToString())

    def use_run() -> None:
        opened = Run.open(run.folder)
        opened.check_fits(store)
        opened.check_held_out(["e"], "dev")

    configs = edited(tomllib.loads(CONFIG)).map(lambda content: toml_document(content).encode())
    file = run.folder / "run.json"
    return {
        "config": Target(config, configs, lambda: read_config(config)),
        "run.json": Target(file, edited_json(file), use_run, names=str(run.folder)),
        "ONNX metadata": Target(model, edited(facts).map(with_metadata), lambda: open_fusion(model, streams=False, threads=1)),
    }


def parsed(text: str) -> Any:
    """The value of a text that is JSON, or the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


Group = Callable[[Path], dict[str, Target]]
GROUPS: tuple[Group, ...] = (text_targets, json_targets, training_targets)


def search(target: Target, count: int, seed: int | None = None) -> Counter[str]:
    """Try a number of files; how many ended in a result, and how many in an error.

    Args:
        target: the kind of file.
        count: how many.
        seed: of the search; None for one that is always the same.

    Raises:
        AssertionError: for a file that ends otherwise; it contains the smallest one that was found.
    """
    counts: Counter[str] = Counter()
    good = target.path.read_bytes() if target.path.exists() else b""
    if good:
        assert attempt(target, good) == "result"

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        derandomize=seed is None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(content=target.contents)
    def check(content: bytes) -> None:
        counts[attempt(target, content)] += 1

    logging.disable(logging.WARNING)
    try:
        (check if seed is None else seeded(seed)(check))()
    finally:
        logging.disable(logging.NOTSET)
        target.path.write_bytes(good)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, metavar="N")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="files of each kind (default: %(default)d)")
    args = parser.parse_args()
    total, failures = Counter[str](), io.StringIO()
    for group in GROUPS:
        with tempfile.TemporaryDirectory() as name:
            for kind, target in group(Path(name)).items():
                started = time.process_time()
                try:
                    counts = search(target, args.count, args.seed)
                except AssertionError as error:
                    counts = Counter({"failure": 1})
                    print(f"{kind}: {error}", file=failures)
                total += counts
                listed = ", ".join(f"{number} {what}s" for what, number in sorted(counts.items()))
                print(f"{kind}: {listed} ({time.process_time() - started:.0f} s of CPU)", flush=True)
    print(failures.getvalue(), end="")
    print(f"{sum(total.values())} files: {', '.join(f'{number} {what}s' for what, number in sorted(total.items()))}")
    return int(bool(total["failure"]))


if __name__ == "__main__":
    sys.exit(main())
