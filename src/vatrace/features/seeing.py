"""The video of a recording: the people in it, and the features of their faces."""

from __future__ import annotations

import numpy as np

from vatrace.encoders import FaceEncoder
from vatrace.errors import MediaError, TooLongError
from vatrace.features.faces import FaceTracker, box_in, face_crop, is_overexposed
from vatrace.features.people import Track, group_tracks
from vatrace.features.perceived import Sight
from vatrace.features.task import Task
from vatrace.media.reading import VideoReader
from vatrace.timeline import num_steps


def look(task: Task, tracker: FaceTracker, encoder: FaceEncoder, sight: Sight) -> None:
    """Follow every face in a video; the results are added to `sight`.

    Raises:
        MediaError: if no frame can be decoded, and there is no audio either.
    """
    recording, reader = task.recording, VideoReader(task.recording.path, task.rate)
    tracks: dict[int, Track] = {}
    task.progress("face", 0.0)
    try:
        for frame in reader:
            if task.stop.is_set():
                break
            detections = tracker.update(frame.image, frame.time)
            if detections:
                first = sight.embeddings.length
                crops = np.stack([face_crop(frame.image, found.square, encoder.crop_size) for found in detections])
                sight.embeddings.write(first, encoder(crops))
                sight.boxes += [box_in(found.square, frame.image.size) for found in detections]
                if sight.crops is not None:
                    sight.crops.write(first, np.stack([face_crop(frame.image, found.square) for found in detections]))
                for row, (found, crop) in enumerate(zip(detections, crops, strict=True), first):
                    track = tracks.setdefault(found.track, Track())
                    track.add(found, frame.steps, row)
                    track.num_overexposed += len(frame.steps) * is_overexposed(crop)
            if recording.duration:
                task.progress("face", min(frame.time / recording.duration, 1.0))
    except MediaError as error:
        if not recording.has_audio or isinstance(error, TooLongError):
            raise
        sight.notes.append(str(error).removeprefix(f"{recording.path}: "))
    else:
        if recording.video_track:
            sight.notes.append(recording.video_track)
        if reader.damage:
            sight.notes.append(f"some frames are damaged and were left out ({reader.damage})")
    task.progress("face", 1.0)
    sight.people, sight.end = group_tracks(list(tracks.values()), num_steps(reader.end, task.rate)), reader.end
    sight.frame_times = np.array(reader.times)
