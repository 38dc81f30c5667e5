"""The stream of the Lab Streaming Layer, received by a real inlet."""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

from command import Result, run
from vatrace.inference.follower import Value

pylsl = pytest.importorskip("pylsl")

from vatrace.output.lsl import CHANNELS, open_outlet  # noqa: E402


def received(name: str, seconds: float) -> tuple[np.ndarray, np.ndarray, object]:
    """The samples (N, C) of a stream and their times (N,), until none comes for some seconds."""
    (info,) = pylsl.resolve_byprop("name", name, timeout=30)
    inlet = pylsl.StreamInlet(info)
    inlet.open_stream(timeout=10)
    about = inlet.info(10)
    samples, times = [], []
    while True:
        sample, time = inlet.pull_sample(timeout=seconds)
        if sample is None:
            return np.array(samples), np.array(times), about
        samples.append(sample)
        times.append(time)


def test_samples_have_the_values_and_their_times() -> None:
    name = f"vatrace-{uuid4()}"
    found: list[tuple[np.ndarray, np.ndarray, object]] = []
    with open_outlet(name, 10.0) as send:
        inlet = threading.Thread(target=lambda: found.append(received(name, 2.0)))
        inlet.start()
        outlets = [cell.cell_contents for cell in send.__closure__ if isinstance(cell.cell_contents, pylsl.StreamOutlet)]
        assert outlets[0].wait_for_consumers(30)
        present = {"face": True, "voice": False, "words": False}
        send(Value(0.5, 0.25, -0.5, present, low=(0.0, -0.75), high=(0.5, -0.25), person=1), 100.0)
        send(Value(0.6, 0.0, 0.0, present), 100.0)
        inlet.join()
    ((samples, times, info),) = found
    np.testing.assert_array_equal(samples[0], [0.25, -0.5, 0.0, 0.5, -0.75, -0.25, 1, 0, 0, 1])
    assert np.isnan(samples[1, 2:6]).all() and not np.isnan(samples[1][[0, 1, 6, 7, 8, 9]]).any()
    np.testing.assert_allclose(times, [100.5, 100.6])
    channel, labels = info.desc().child("channels").child("channel"), []
    while not channel.empty():
        labels.append(channel.child_value("label"))
        channel = channel.next_sibling()
    assert labels == list(CHANNELS) and info.type() == "Affect" and info.nominal_srate() == 10.0


def test_live_sends_what_it_writes(talking: Path, tmp_path: Path) -> None:
    name, results = f"vatrace-{uuid4()}", list[Result]()

    def follow() -> None:
        results.append(run("live", "--camera", talking, "--microphone", "none", "--out", tmp_path / "live.csv", "--lsl", name))

    command = threading.Thread(target=follow)
    command.start()
    samples, times, _ = received(name, 5.0)
    command.join()
    assert results[0].status == 0, results[0].err
    table = pd.read_csv(tmp_path / "live.csv")
    first = np.flatnonzero(np.abs(table["valence"] - samples[0, 0]) < 1e-4)[0]  # earlier values may come before the inlet
    table = table[first:]
    assert len(samples) == len(table) > 5
    np.testing.assert_allclose(samples[:, :2], table[["valence", "arousal"]], atol=1e-4)
    np.testing.assert_allclose(np.diff(times), np.diff(table["time"]), atol=1e-3)
