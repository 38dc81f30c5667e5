"""The local page in a real browser, served by a real server."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import stat
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
import pandas as pd
import pyarrow.parquet
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image

from browser import Opened, open_page
from conftest import write_movie
from vatrace import load_model
from vatrace.errors import MediaError
from vatrace.files import sha256
from vatrace.media.reading import SAMPLING_RATE
from vatrace.web.jobs import Jobs
from vatrace.web.server import make_app
from vatrace.weights import find_whisper, package_file
from web_server import Server, fetch, serve


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = serve(tmp_path / "results")
    yield server
    if server.process.poll() is None:
        assert server.end() == 0


def still(path: Path) -> Path:
    Image.new("RGB", (64, 64), "grey").save(path)
    return path


@pytest.fixture
def opened(server: Server) -> Iterator[Opened]:
    with open_page(server.address, viewport={"width": 1200, "height": 900}) as opened:
        yield opened
        assert not opened.complaints
        assert all(request.startswith((server.address, "data:")) for request in opened.requests)  # nothing leaves the machine


def test_a_recording_is_dropped_predicted_looked_at_and_downloaded(
    server: Server, opened: Opened, talking: Path, tmp_path: Path
) -> None:
    find_whisper()
    page = opened.page
    page.set_input_files("#files", talking)
    opened.wait("document.querySelector('#jobs .done')", 120)
    assert "0:04" in page.inner_text("#jobs .facts") and "valence mean" in page.inner_text("#jobs .means")
    opened.wait("document.querySelector('#jobs img.thumb').naturalWidth === 192")
    assert page.get_attribute("#jobs .sketch .valence", "d").count("L") == pytest.approx(40, abs=1)  # a point for each row
    page.click("#jobs >> text=Open report")
    page.locator("canvas").nth(3).wait_for()
    assert page.inner_text("h1") == talking.name
    opened.wait("document.querySelector('video').readyState >= 2")
    page.evaluate("seek(2)")
    assert page.evaluate("document.querySelector('video').currentTime") == 2
    page.click("header >> text=Recordings")
    page.click("#jobs summary:has-text('Download')")
    with page.expect_download() as download:
        page.click(".menu[open] >> text=csv")
    download.value.save_as(tmp_path / "a.csv")
    assert download.value.suggested_filename == f"{talking.stem}.csv"
    table = pd.read_csv(tmp_path / "a.csv")
    assert len(table) == pytest.approx(40, abs=1) and table["face"].mean() > 0.9 and "face_share" in table
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("#jobs button:has-text('Delete')")
    opened.wait("!document.querySelector('#jobs li')")
    assert page.is_visible("#nothing") and not list(server.folder.glob("*/job.json"))


def test_everybody_in_a_recording_is_followed_if_asked_for(
    server: Server, opened: Opened, face_images: list[Image.Image], speech: NDArray[np.float32], tmp_path: Path
) -> None:
    pairs = []
    for image in face_images[:90]:
        pair = Image.new("RGB", (2 * image.width, image.height))
        pair.paste(image, (0, 0))
        pair.paste(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (image.width, 0))
        pairs.append(pair)
    path = write_movie(tmp_path / "pair.mp4", pairs, sound=speech[: 3 * SAMPLING_RATE], frame_rate=30)
    page = opened.page
    page.select_option("#people", "all")
    page.set_input_files("#files", path)
    opened.wait("document.querySelector('#jobs .done')", 120)
    assert all(text in page.inner_text("#jobs .facts") for text in ("everybody", "2 people", "several people"))
    page.click("#jobs >> text=Open report")
    page.locator(".pick").nth(1).click()
    assert page.locator(".chart h2").first.inner_text() == "Valence of Person 2"
    page.click("header >> text=Recordings")
    opened.wait("document.querySelectorAll('#jobs .done').length === 1")  # the page has loaded
    page.select_option("#people", "right")
    page.set_input_files("#files", path)
    opened.wait("document.querySelectorAll('#jobs .done').length === 2", 120)
    assert "the person on the right" in page.locator("#jobs .facts").last.inner_text()  # in the order in which they came
    name = next(job["id"] for job in server.jobs() if job["people"] == "all")
    table = pd.read_csv(io.BytesIO(server.get(f"jobs/{name}/download/csv")[2]))
    assert sorted(table["person"].unique()) == [1, 2]
    about = json.loads(server.get(f"jobs/{name}/annotations")[2])["traces"]["model"]["valence"]
    assert len(about) <= (table["person"] == 1).sum()
    assert {server.get(f"jobs/{name}/download/{kind}")[0] for kind in ("png", "html", "overlay", "json")} == {200}


def test_people_who_are_not_a_choice_are_refused(server: Server) -> None:
    request = urllib.request.Request(f"{server.address}jobs?name=a.mp4&people=nobody", b"", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 422 and server.jobs() == []


def test_files_that_can_not_be_used_are_named_and_stop_nobody(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_text("no video at all")
    (tmp_path / "empty.mp4").touch()
    still(tmp_path / "face.png")
    opened.page.set_input_files("#files", [tmp_path / name for name in ("talk.mp4", "empty.mp4", "face.png")])
    opened.wait("document.querySelectorAll('#jobs .failed').length === 2 && document.querySelector('#jobs .done')", 60)
    text = opened.page.inner_text("#jobs")
    assert "talk.mp4: not a readable video, audio or image file" in text and "empty.mp4: the file is empty" in text
    assert str(tmp_path) not in text and "upload." not in text
    assert opened.page.locator("#jobs .name").all_text_contents() == ["talk.mp4", "empty.mp4", "face.png"]
    opened.page.click("#jobs >> text=Open report")
    opened.page.locator("img[alt='The picture']").wait_for()


def test_notes_are_listed_as_they_are_and_folded_if_they_are_many(opened: Opened, server: Server, tmp_path: Path) -> None:
    still(tmp_path / "face.png")
    name = server.upload(tmp_path / "face.png")
    notes = server.wait(name)["notes"]
    assert "no face found" in notes and len(notes) > 2
    page, item = opened.page, f"#jobs li[data-id='{name}']"
    opened.wait(f'document.querySelector("{item} summary") !== null')
    assert page.inner_text(f"{item} summary") == f"{len(notes)} notes" and not page.is_visible(f"{item} .notes li")
    page.click(f"{item} summary")
    page.wait_for_timeout(1500)  # the list is refreshed meanwhile, and stays open
    assert page.locator(f"{item} .notes li").all_inner_texts() == notes
    few = ["<img src=x onerror='window.bad = 1'>", "</ul><b>bold</b>"]
    shown = page.evaluate(
        "notes => { state = { ...state, jobs: [{ ...state.jobs[0], id: 'other', notes }] }; draw();"
        " return [...document.querySelectorAll('.notes li')].map(item => item.textContent); }",
        few,
    )
    assert shown == few and page.evaluate("window.bad === undefined && !document.querySelector('.notes img, .notes b')")


def test_all_downloads_are_what_they_say(server: Server, talking: Path, tmp_path: Path) -> None:
    name = server.upload(talking)
    assert server.wait(name)["state"] == "done"
    kinds = json.loads(server.get("jobs")[2])["downloads"]
    assert kinds == ["csv", "parquet", "json", "turns", "elan", "textgrid", "vtt", "png", "html", "overlay"]
    found = {kind: server.get(f"jobs/{name}/download/{kind}") for kind in kinds}
    assert {status for status, _, _ in found.values()} == {200}
    assert found["elan"][1]["content-disposition"] == f"attachment; filename*=UTF-8''{talking.stem}.eaf"
    assert {path.name for path in (server.folder / name).iterdir()} == {
        *("job.json", f"upload{talking.suffix}", "copy", "thumb", "page.html", "result.json")
    }
    assert stat.S_IMODE((server.folder / name).stat().st_mode) == 0o700  # others of this machine can't look into it
    assert found["turns"][2].startswith(b"start,end,person,words,valence")
    made = json.loads(found["json"][2])["provenance"]
    assert made["recording"]["sha256"] == sha256(talking) and made["recording"]["path"] == talking.name
    assert "vatrace" in made["command"] and made["options"]["people"] == "main" and "fusion.onnx" in made["models"]
    assert made["recording"]["sha256"] in found["elan"][2].decode() and "vatrace: libraries" in found["elan"][2].decode()
    kept = pyarrow.parquet.read_schema(io.BytesIO(found["parquet"][2])).metadata[b"vatrace"]
    assert json.loads(kept)["trace"] == made["trace"]
    assert found["elan"][2].startswith(b"<?xml") and found["png"][2].startswith(b"\x89PNG")
    assert found["parquet"][2].startswith(b"PAR1") and b"data:video/mp4" in found["html"][2]
    (tmp_path / "o.mp4").write_bytes(found["overlay"][2])
    with av.open(str(tmp_path / "o.mp4")) as film:
        assert film.streams.video[0].height > film.streams.video[0].width * 0.28
    assert server.get(f"jobs/{name}/download/exe")[0] == 400
    status, headers, body = fetch(f"{server.address}jobs/{name}/copy", Range="bytes=0-9")
    assert (status, len(body), headers["content-type"]) == (206, 10, "video/mp4")


def test_options_and_a_transcript_come_with_a_recording_and_change_when_it_is_predicted_again(
    server: Server, opened: Opened, talking: Path, tmp_path: Path
) -> None:
    page, srt = opened.page, tmp_path / f"{talking.stem}.srt"
    srt.write_text("1\n00:00:00,500 --> 00:00:02,000\nWonderful news\n")
    page.select_option("#rate", "5")
    page.uncheck("#how [name=voice]")
    page.set_input_files("#files", [srt, talking])
    opened.wait("document.querySelector('#jobs .done')", 120)
    (first,) = server.jobs()
    table = pd.read_csv(io.BytesIO(server.get(f"jobs/{first['id']}/download/csv")[2]))
    assert table["time"].iloc[1] == pytest.approx(0.2) and not table["voice"].any() and table["words"].any()
    assert b"Wonderful" in server.get(f"jobs/{first['id']}/download/vtt")[2]
    made = json.loads(server.get(f"jobs/{first['id']}/download/json")[2])["provenance"]
    assert made["options"]["transcript"] == "given"
    assert made["inputs"]["transcript"]["sha256"] == hashlib.sha256(srt.read_bytes()).hexdigest()
    facts = page.inner_text("#jobs .facts")
    assert all(text in facts for text in ("only face and words", "5 rows per second", f"words from {srt.name}"))
    page.click("#jobs >> text=Predict again")
    opened.wait("document.querySelector('dialog video').readyState >= 2")
    assert page.input_value("#again-rate") == "5" and not page.is_checked("dialog [name=voice]")
    page.select_option("#again-rate", "10")
    assert page.inner_text("#again-transcript option[value=keep]") == f"from {srt.name}"
    other = tmp_path / "other.vtt"
    other.write_text("WEBVTT\n\n00:00.500 --> 00:02.000\nTerrible news\n")
    page.select_option("#again-transcript", "other")
    page.set_input_files("#again-file", other)
    box = page.locator("dialog video").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.45 * box["height"])
    page.click("#again-go")
    opened.wait("document.querySelectorAll('#jobs .done').length === 2", 120)
    second = next(job for job in server.jobs() if job["id"] != first["id"])
    assert second["person"][1:] == pytest.approx([0.5, 0.45], abs=0.01) and second["options"]["rate"] == 10
    assert second["facts"]["face"] > 0.9 and second["num_people"] == 1
    assert second["transcript"] == other.name and b"Terrible" in server.get(f"jobs/{second['id']}/download/vtt")[2]


def test_another_model_and_a_face_are_chosen_before(talking: Path, tmp_path: Path) -> None:
    model = tmp_path / "lab.onnx"
    model.write_bytes(package_file("fusion.onnx").read_bytes())
    server = serve(tmp_path / "results", "--other-model", str(model))
    with open_page(server.address, viewport={"width": 1200, "height": 900}) as opened:
        page = opened.page
        page.wait_for_selector("#model-choice")
        (name,) = page.evaluate("Object.keys(state.models)")
        page.select_option("#model", name)
        page.select_option("#people", "clicked")
        page.set_input_files("#files", talking)
        opened.wait("document.querySelector('dialog video')?.readyState >= 2")  # the recording itself, not yet uploaded
        assert page.inner_text("#again-title") == f"Whom to follow in {talking.name}?" and not server.jobs()
        page.click("#again-go")
        assert page.inner_text("#again-wrong") == "Click a face first."
        box = page.locator("dialog video").bounding_box()
        page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.45 * box["height"])
        page.click("#again-go")
        opened.wait("document.querySelector('#jobs .done')", 120)
        (job,) = server.jobs()
        assert job["person"][1:] == pytest.approx([0.5, 0.45], abs=0.01) and job["options"]["model"] == str(model)
        assert "model lab.onnx" in page.inner_text("#jobs .facts")
        assert json.loads(server.get(f"jobs/{job['id']}/download/json")[2])["made_by"]["model"] == name
        changed = onnx.load(model)
        changed.doc_string = "trained again"
        onnx.save(changed, model)
        page.set_input_files("#files", talking)
        page.locator("dialog video").click()
        page.click("#again-go")
        opened.wait("document.querySelectorAll('#jobs .done').length == 2", 120)
        second = next(other for other in server.jobs() if other["id"] != job["id"])
        made = json.loads(server.get(f"jobs/{second['id']}/download/json")[2])
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        assert (
            made["provenance"]["inputs"]["model"]["sha256"] == digest and made["made_by"]["model"] == f"lab.onnx {digest[:12]}"
        )
        assert not opened.complaints
    request = urllib.request.Request(f"{server.address}jobs?name=a.mp4&model=elsewhere.onnx", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 422 and "lab.onnx" in json.loads(refused.value.read())["detail"]
    assert server.end() == 0


def test_nobody_is_followed_where_no_face_was_clicked(server: Server, talking: Path) -> None:
    name = server.upload(talking)
    server.wait(name)
    address = f"{server.address}jobs/{name}/again?time=1&x=0.01&y=0.99"
    with urllib.request.urlopen(urllib.request.Request(address, method="POST")) as response:
        again = server.wait(json.loads(response.read())["id"])
    assert again["state"] == "failed" and again["message"] == f"{talking.name}: no face was found where you clicked, at 1.0 s"
    for wrong in ("modalities=ears", "language=klingon", "rate=0", "x=2"):
        request = urllib.request.Request(f"{server.address}jobs/{name}/again?{wrong}", method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        assert refused.value.code == 422


def subtitles(path: Path, text: str) -> Path:
    path.write_text(f"1\n00:00:00,000 --> 00:00:02,000\n{text}\n")
    return path


def test_results_are_found_sorted_selected_and_downloaded_together(server: Server, opened: Opened, tmp_path: Path) -> None:
    texts = {"b.srt": "I love this wonderful day", "a.srt": "This is a horrible disaster", "c.srt": "The table is made of wood"}
    page = opened.page
    page.set_input_files("#files", [subtitles(tmp_path / name, text) for name, text in texts.items()])
    opened.wait("document.querySelectorAll('#jobs .done').length === 3", 60)

    def names() -> list[str]:
        return list(page.locator("#jobs .name").all_text_contents())

    assert names() == ["b.srt", "a.srt", "c.srt"]
    page.select_option("#sort", "name")
    assert names() == ["a.srt", "b.srt", "c.srt"]
    page.select_option("#sort", "valence")
    assert names()[0] == "b.srt" and names()[-1] == "a.srt"
    page.fill("#search", "c.s")
    assert names() == ["c.srt"] and page.inner_text("#count") == "1 of 3"
    page.fill("#search", "")
    for name in ("a.srt", "b.srt"):
        page.check(f"[aria-label='Select {name}']")
    with page.expect_download() as download:
        page.click("#zip")
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        tables = {"traces.csv", "recordings.csv", "codebook.csv", "quality.html"}
        assert {*archive.namelist()} == {"results/a.csv", "results/a.json", "results/b.csv", "results/b.json", *tables}
        traces, single = (pd.read_csv(archive.open(name)) for name in ("traces.csv", "results/a.csv"))
        recordings, codebook = (pd.read_csv(archive.open(name)) for name in ("recordings.csv", "codebook.csv"))
    mine = traces[traces["recording"] == "a"]
    assert mine["valence"].to_numpy() == pytest.approx(single["valence"].to_numpy(), abs=1e-4)
    assert sorted(recordings["recording"]) == ["a", "b"]
    assert {*codebook.loc[codebook["table"] == "traces", "column"]} == {*traces.columns}
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("#delete")
    opened.wait("document.querySelectorAll('#jobs li').length === 1")
    assert names() == ["c.srt"]


def test_only_this_machine_with_the_token_is_answered(server: Server) -> None:
    root, _, _ = server.address.rstrip("/").rpartition("/")
    assert fetch(root + "/")[0] == fetch(root + "/jobs")[0] == fetch(root + "/wrong/jobs")[0] == 404
    assert fetch(server.address, Host="evil.example")[0] == 400
    status, headers, _ = server.get("")
    assert status == 200 and "default-src 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer" and headers["cache-control"] == "no-store"
    assert server.get("assets/../jobs.py")[0] == server.get("assets/jobs.py")[0] == server.get("openapi.json")[0] == 404
    assert server.get("jobs/nobody/page")[0] == 404


def test_a_name_with_a_path_in_it_stays_in_the_folder(server: Server, tmp_path: Path) -> None:
    still(tmp_path / "face.png")
    address = f"{server.address}jobs?name=..%2F..%2Fevil.png"
    with urllib.request.urlopen(
        urllib.request.Request(address, (tmp_path / "face.png").read_bytes(), method="POST")
    ) as response:
        name = json.loads(response.read())["id"]
    assert server.wait(name)["name"] == "evil.png"
    assert {path.name for path in tmp_path.iterdir()} == {"face.png", "results"}


@pytest.mark.slow
def test_a_restart_loses_no_result_and_keeps_no_recording(tmp_path: Path) -> None:
    server = serve(tmp_path / "results")
    done = server.upload(still(tmp_path / "face.png"))
    assert server.wait(done)["state"] == "done"
    assert server.end() == 0
    assert not list(server.folder.rglob("upload*"))
    again = serve(tmp_path / "results")
    assert again.address != server.address
    assert [job["id"] for job in again.jobs()] == [done]
    assert again.get(f"jobs/{done}/page")[0] == again.get(f"jobs/{done}/download/csv")[0] == 200
    again.process.kill()
    again.process.wait()


@pytest.mark.slow
def test_killed_hard_it_takes_up_what_was_waiting(tmp_path: Path, talking: Path) -> None:
    server = serve(tmp_path / "results")
    name = server.upload(talking)
    server.process.kill()
    server.process.wait()
    again = serve(tmp_path / "results")
    assert again.wait(name)["state"] == "done"
    assert again.end() == 0


def test_what_runs_or_waits_can_be_cancelled(server: Server, talking: Path, tmp_path: Path) -> None:
    first, second, third = server.upload(talking), server.upload(talking), server.upload(still(tmp_path / "face.png"))
    server.wait(first, ("running",))
    for name in (first, second):
        urllib.request.urlopen(urllib.request.Request(f"{server.address}jobs/{name}", method="DELETE"))
    assert server.wait(third)["state"] == "done"
    assert [job["id"] for job in server.jobs()] == [third]
    end = time.monotonic() + 10
    while {path.name for path in server.folder.iterdir()} != {third, ".lock", "finished.json"}:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    server = serve(tmp_path / "results", "--max-upload", "0.00001")
    (tmp_path / "large.mp4").write_bytes(bytes(20_000))
    with open_page(server.address) as opened:
        opened.page.set_input_files("#files", tmp_path / "large.mp4")
        opened.wait("document.querySelector('#complaints li')")
        assert "large.mp4: larger than 1e-05 GB (see --max-upload)" in opened.page.inner_text("#complaints")
    assert server.jobs() == [] and server.end() == 0


def answer(app: FastAPI, path: str) -> tuple[int, dict[str, Any]]:
    """What an application answers to a GET request, without a server."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1")]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers, "http_version": "1.1"}
    scope["server"] = ("127.0.0.1", 80)
    asyncio.run(app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], json.loads(body)


def test_errors_are_one_line_of_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(tmp_path, load_model)
    app = make_app(jobs, None, "token", 1)  # type: ignore[arg-type]
    assert answer(app, "/token/jobs/nobody/page") == (404, {"detail": "this recording has been deleted"})

    def fail(error: Exception) -> None:
        raise error

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(jobs, "all", lambda: fail(MediaError("talk.mp4: is damaged")))
    assert answer(app, "/token/jobs") == (400, {"detail": "talk.mp4: is damaged"})
    monkeypatch.setattr(jobs, "all", lambda: fail(TypeError("wrong")))
    status, content = answer(app, "/token/jobs")
    (file,) = tmp_path.glob("vatrace-bug-*")
    line = f"vatrace serve: a bug in vatrace (TypeError: wrong); please report it with {file}"
    assert (status, content) == (500, {"detail": line})
    monkeypatch.undo()
    jobs.close()
