"""Camera and microphone of the browser, over a web socket, to a `Streamer` and back.

From the browser: first `{"rate": 48000, "absent": []}`, the sampling rate of its sound, and "face" or "voice" where it has no
camera or microphone, at second 0; then bytes, of which the first is 1 for a picture (its time as a little-endian float64, then
JPEG) and 2 for sound (little-endian float32 mono). Back: JSON with values, pace and words.
"""

from __future__ import annotations

import asyncio
import io
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict

import numpy as np
from fastapi import WebSocket, WebSocketDisconnect
from PIL import Image
from starlette.concurrency import run_in_threadpool

from vatrace.errors import VatraceError
from vatrace.inference.feed import Feed
from vatrace.inference.streamer import Streamer
from vatrace.media.reading import SAMPLING_RATE

PICTURE, SOUND = b"\x01", b"\x02"
POLL = 0.05
"""Seconds between looks for new values."""
MAX_PICTURE = 2_000_000
"""Bytes of the largest picture that is taken."""


async def serve_live(socket: WebSocket, make_streamer: Callable[[], Streamer]) -> None:
    """Follow one browser until it goes."""
    await socket.accept()
    try:
        streamer = await run_in_threadpool(make_streamer)
    except (VatraceError, OSError) as error:
        await socket.send_json({"error": str(error)})
        await socket.close()
        return
    await socket.send_json({"ready": True})
    feed = Feed(streamer)
    try:
        hello = await socket.receive_json()
        sampling_rate = int(hello["rate"])
        for modality in hello.get("absent", []):
            feed.end(modality)
        start = time.monotonic()
        receiving = asyncio.create_task(_receive(socket, feed, sampling_rate, start))
        while not receiving.done():
            values, pace = feed.poll(time.monotonic() - start)
            if values:
                words = [word.text for word in list(streamer.words)[-20:]]
                await socket.send_json({"values": [asdict(v) for v in values], "pace": asdict(pace), "words": words})
            await asyncio.sleep(POLL)
        receiving.result()
    except (WebSocketDisconnect, RuntimeError):  # it has gone, which Starlette says in either way
        pass
    except (ValueError, KeyError, OSError) as error:
        with suppress(RuntimeError):
            await socket.send_json({"error": f"live: {error}"})
    finally:
        await run_in_threadpool(feed.close)


async def _receive(socket: WebSocket, feed: Feed, sampling_rate: int, start: float) -> None:
    resampler = make_resampler()
    while True:
        message = await socket.receive_bytes()
        kind, content = message[:1], message[1:]
        if kind == PICTURE and 8 < len(content) <= MAX_PICTURE:
            (moment,) = struct.unpack("<d", content[:8])
            feed.add_frame(Image.open(io.BytesIO(content[8:])), moment)  # it is decoded where it is looked at
        elif kind == SOUND and content:  # FFmpeg takes no empty frame
            feed.add_audio(resampler(np.frombuffer(content, "<f4"), sampling_rate), time.monotonic() - start)


def make_resampler() -> Callable[[np.ndarray, int], np.ndarray]:
    """What turns blocks of mono sound of one rate into 16 kHz, without a seam."""
    import av

    inner = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLING_RATE)

    def resample(samples: np.ndarray, rate: int) -> np.ndarray:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None], np.float32), format="fltp", layout="mono")
        frame.sample_rate = rate
        parts = [part.to_ndarray()[0] for part in inner.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    return resample
