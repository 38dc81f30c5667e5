"""Predictions in the format of the ABAW challenges: a row for each frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vatrace.corpora.affwild2_files import Listing
from vatrace.errors import StoreError
from vatrace.files import written_whole
from vatrace.store import StoredRecording
from vatrace.timeline import resample

HEADER = "image_location,valence,arousal"


def write_submission(
    path: Path,
    recordings: Sequence[StoredRecording],
    predictions: Mapping[str, NDArray[np.float64]],
    listing: Listing | None = None,
) -> list[str]:
    """Write `NAME/00001.jpg,valence,arousal` for every frame: the prediction at the time at which it is shown.

    Args:
        path: the file; replaced if it exists.
        recordings: those of the test split.
        predictions: (T, 2) by name.
        listing: the frames, in its order; None for all frames of all recordings.

    Returns:
        Notes for the user.

    Raises:
        StoreError: if a listed recording is missing, has no frames, or lacks valence or arousal; or if a frame's number is
            below 1.
    """
    by_name = {recording.name: recording for recording in recordings}
    names = list(by_name) if listing is None else list(listing.names)
    missing = [name for name in names if name not in by_name]
    if missing:
        raise StoreError(f"{', '.join(missing[:5])}: listed, but not in the test split of the store")
    notes = []
    values: dict[str, NDArray[np.float64]] = {}
    for name in names:
        times = by_name[name].frame_times
        if not len(times):
            raise StoreError(f"{name}: has no video frames")
        if np.isnan(predictions[name]).any():
            raise StoreError(f"{name}: valence or arousal is not predicted, and a submission needs both; train a run with both")
        traces = [resample(predictions[name][:, column], by_name[name].meta.rate, times) for column in range(2)]
        values[name] = np.clip(np.stack(traces, axis=1), -1, 1)
    if listing is None or not len(listing.picture):
        rows = [(name, number) for name in names for number in range(1, len(values[name]) + 1)]
    else:
        rows = list(dict.fromkeys((listing.names[i], int(k)) for i, k in zip(listing.recording, listing.picture, strict=True)))
    below = [name for name, number in rows if number < 1]
    if below:
        raise StoreError(f"{below[0]}: frames are counted from 1, but the list has {below[0]}/00000.jpg")
    beyond: dict[str, int] = {}
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(HEADER + "\n")
        for name, number in rows:
            frame = values[name][min(number, len(values[name])) - 1]
            if number > len(values[name]):
                beyond[name] = beyond.get(name, 0) + 1
            file.write(f"{name}/{number:05d}.jpg,{frame[0]:.6f},{frame[1]:.6f}\n")
    notes += [f"{name}: {count} listed frames beyond its end have the last value" for name, count in beyond.items()]
    return notes
