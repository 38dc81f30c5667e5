"""Work with faults, for processes of its own.

Functions are named in place of `vatrace.cli.batch.work`, and classes in place of `vatrace.web.jobs.Predicting`.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from vatrace.cli.batch import Outcome, Task, work
from vatrace.names import Progress
from vatrace.web import predicting
from vatrace.web.job import Job

DEADLY, HALF = "deadly", "half"
"""Names of recordings: one whose decoder crashes after half a second, and one that crashes while its figure is written."""


def crash() -> None:
    """Read address 0, as a bug in a codec might: SIGSEGV."""
    ctypes.string_at(0)


def with_crashes(task: Task, progress: Progress) -> Outcome:
    from vatrace.media import reading
    from vatrace.output import figure

    to_image, write_picture = reading.to_image, figure.write_picture

    def decoded(frame: object, *options: object) -> object:
        if task.item.path.stem == DEADLY and frame.time > 0.5:
            crash()
        return to_image(frame, *options)

    def written(prediction: object, path: object) -> None:
        write_picture(prediction, path)
        if task.item.path.stem == HALF:
            crash()

    with patch.object(reading, "to_image", decoded), patch.object(figure, "write_picture", written):
        return work(task, progress)


def wrong_for_long(values: NDArray[np.float64], *rest: object) -> object:
    from vatrace.inference.intervals import bounds

    return values + np.zeros((3, 4)) if len(values) > 1 else bounds(values, *rest)


def with_a_bug(task: Task, progress: Progress) -> Outcome:
    from vatrace.inference import model

    model.bounds = wrong_for_long
    return work(task, progress)


class WithABug(predicting.Predicting):
    def __call__(self, task: predicting.Task, progress: Progress) -> Job:
        def broken(prediction: object, path: Path, media: str, top: str) -> None:
            if "first" in prediction.source.name:
                raise KeyError("valence")
            write_page(prediction, path, media, top)

        write_page = predicting.write_page
        with patch.object(predicting, "write_page", broken):
            return super().__call__(task, progress)


class Crashing(predicting.Predicting):
    """It crashes while the result is written."""

    def __call__(self, task: predicting.Task, progress: Progress) -> Job:
        def written(prediction: object, path: Path) -> None:
            write_json(prediction, path)
            if DEADLY in task.job.name:
                crash()

        write_json = predicting.write_json
        with patch.object(predicting, "write_json", written):
            return super().__call__(task, progress)


class Noting(predicting.Predicting):
    """It notes whose traces were asked for."""

    def __call__(self, task: predicting.Task, progress: Progress) -> Job:
        with Path(os.environ["ASKED"]).open("a") as file:
            file.write(f"{task.job.people}\n")
        return super().__call__(task, progress)
