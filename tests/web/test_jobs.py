from __future__ import annotations

import errno
import json
import time
from pathlib import Path

import pytest

from damage import BYTES, damaged
from made_faults import DEADLY, Crashing, Noting, WithABug
from vatrace import load_model
from vatrace.errors import VatraceError
from vatrace.web.job import Job
from vatrace.web.jobs import Jobs

SRT = "1\n00:00:00,000 --> 00:00:01,000\nhello there\n"


def run_all(jobs: Jobs, *names: str) -> dict[str, Job]:
    """Add transcripts of these names, and wait until all are predicted."""
    for name in names:
        job, path = jobs.add(name)
        path.write_text(SRT)
        jobs.start(job)
    end = time.monotonic() + 120
    while any(job.state not in {"done", "failed"} for job in jobs.all()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return {job.name: job for job in jobs.all()}


def test_a_full_disk_ends_one_recording_not_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(tmp_path, load_model)
    note = jobs._note

    def no_room(job: Job) -> None:
        if job.state == "done" and job.name == "first.srt":
            raise OSError(errno.ENOSPC, "No space left on device")
        note(job)

    monkeypatch.setattr(jobs, "_note", no_room)
    found = run_all(jobs, "first.srt", "second.srt")
    assert {name: job.state for name, job in found.items()} == {"first.srt": "done", "second.srt": "done"}
    jobs.close()


def test_a_bug_is_said_to_be_one_and_the_queue_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vatrace.web.jobs.Predicting", WithABug)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "results").mkdir()
    jobs = Jobs(tmp_path / "results", load_model)
    found = run_all(jobs, "first.srt", "second.srt")
    (file,) = tmp_path.glob("vatrace-bug-*")
    assert found["first.srt"].state == "failed" and found["second.srt"].state == "done"
    assert found["first.srt"].message == f"first.srt: a bug in vatrace (KeyError: 'valence'); please report it with {file}"
    jobs.close()


def test_a_crash_costs_one_recording_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vatrace.web.jobs.Predicting", Crashing)
    jobs = Jobs(tmp_path, load_model)
    found = run_all(jobs, f"{DEADLY}.srt", "second.srt")
    assert found["second.srt"].state == "done" and found[f"{DEADLY}.srt"].state == "failed"
    assert found[f"{DEADLY}.srt"].message == f"{DEADLY}.srt: its process crashed (SIGSEGV)"
    left = {path.name for path in (tmp_path / found[f"{DEADLY}.srt"].id).iterdir()}
    assert left == {"job.json", "page.html", "upload.srt"}
    jobs.close()


def test_notes_of_results_of_an_older_version_are_read_from_them(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, load_model)
    (job,) = run_all(jobs, "talk.srt").values()
    jobs.close()
    path = tmp_path / job.id / "job.json"
    content = json.loads(path.read_text())
    result = json.loads((path.parent / "result.json").read_text())
    (path.parent / "result.json").write_text(json.dumps(result | {"notes": ["no face found"]}))
    del content["notes"]
    path.write_text(json.dumps(content))
    again = Jobs(tmp_path, load_model)
    assert again.get(job.id).notes == ["no face found"]
    again.close()


def test_the_people_who_were_asked_for_are_predicted_after_a_crash_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vatrace.web.jobs.Predicting", Noting)
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    jobs = Jobs(tmp_path, load_model)
    job, path = jobs.add("talk.srt", "all")
    path.write_text(SRT)
    jobs.start(job)
    run_all(jobs, "other.srt")
    jobs.close()
    job.state = "waiting"
    jobs._note(job)
    path.write_text(SRT)
    again = Jobs(tmp_path, load_model)
    run_all(again)
    again.close()
    assert (tmp_path / "asked").read_text().split() == ["all", "main", "all"]


def test_a_damaged_job_does_not_stop_the_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs(tmp_path, load_model)
    (job,) = run_all(jobs, "good.srt").values()
    jobs.close()
    good = json.loads((tmp_path / job.id / "job.json").read_text())
    contents = [json.dumps(content).encode() for _, content in damaged(good)]
    for index, content in enumerate([*contents, *BYTES]):
        folder = tmp_path / f"damaged-{index:04}"
        folder.mkdir()
        (folder / "job.json").write_bytes(content)
    again = Jobs(tmp_path, load_model)
    assert [one.id for one in again.all()] == [job.id]
    assert again.result(again.get(job.id)).duration == again.duration(job) > 0
    again.close()
    assert len(caplog.messages) == len(contents) + len(BYTES) and all(
        "damaged, so it isn't shown" in text for text in caplog.messages
    )


def test_the_order_of_completion_goes_on_after_jobs_were_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vatrace.web.jobs.Predicting", Noting)
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    folder = tmp_path / "results"
    folder.mkdir()
    jobs = Jobs(folder, load_model)
    run_all(jobs, "1.srt", "2.srt", "3.srt")
    seen = jobs.finished()
    assert [job.order for job in seen] == [1, 2, 3]
    for job in seen[1:]:
        jobs.remove(job.id)
    jobs.close()
    again = Jobs(folder, load_model)
    run_all(again, "4.srt")
    assert [(job.name, job.order) for job in again.finished(after=3)] == [("4.srt", 4)]
    again.close()
    for damage in (*BYTES, b"{}", b'{"finished": "4"}', b'{"finished": null}'):
        (folder / "finished.json").write_bytes(damage)
        caplog.clear()
        Jobs(folder, load_model).close()
        assert "finished.json: damaged, so orders go on from the latest job that is left" in caplog.text
    last = Jobs(folder, load_model)
    run_all(last, "5.srt")
    assert [job.order for job in last.finished(after=3)] == [4, 5]
    last.close()


def no_room(*paths: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_person_in_the_picture_is_followed_again_unless_others_are_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(tmp_path, load_model)
    job, path = jobs.add("talk.mp4", picture="he.jpg")
    path.write_bytes(b"the recording")
    jobs.picture(job).write_bytes(b"the picture")
    again = jobs.again(job, transcript="other")  # "other": it isn't started
    assert again.picture == "he.jpg" and jobs.picture(again).read_bytes() == b"the picture"
    assert jobs.again(job, people="all", transcript="other").picture == ""
    assert jobs.again(job, person=[0.0, 0.5, 0.5], transcript="other").picture == ""
    num_jobs = len(jobs.all())
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr("shutil.copyfile", no_room)
        jobs.again(job)
    assert len(jobs.all()) == num_jobs == len(list(tmp_path.iterdir()))
    jobs.picture(job).unlink()
    with pytest.raises(VatraceError, match=r"^talk.mp4: the picture of the person to follow has been deleted"):
        jobs.again(job)
    jobs.close()
