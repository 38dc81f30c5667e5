"""Passes the browser's camera and microphone over a web socket to a `Streamer`, and its values back.

The browser sends `{"rate": 48000, "absent": []}` first: the sampling rate of its audio, and "face" or "voice" where it has no
camera or microphone. Then it sends bytes. The first byte is 1 for a frame (its time in seconds since the start as a
little-endian float64, then JPEG) and 2 for audio (little-endian float32 mono). It receives JSON with values, pace and words, or
with an error. At the end it sends `{"end": 12.3}`, the seconds since the start, and receives the last values with
`"done": true`.
"""

from __future__ import annotations

import asyncio
import io
import json
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import WebSocket, WebSocketDisconnect
from PIL import Image
from starlette.concurrency import run_in_threadpool

from vatrace.errors import UsageError, VatraceError, report_bug
from vatrace.inference.feed import Feed, Pace
from vatrace.inference.streamer import Streamer, Value
from vatrace.media.reading import SAMPLING_RATE

FRAME, AUDIO = b"\x01", b"\x02"
POLL = 0.05
"""Seconds between polls for new values."""
MAX_FRAME = 2_000_000
"""Bytes of the largest frame that is accepted."""


async def serve_live(socket: WebSocket, make_streamer: Callable[[], Streamer]) -> None:
    """Follow one browser until it leaves. Errors are sent to it in one line."""
    await socket.accept()
    try:
        streamer = await run_in_threadpool(make_streamer)
        await _send(socket, {"ready": True})
        feed = Feed(streamer)
        try:
            await _follow(socket, streamer, feed)
        finally:
            await run_in_threadpool(feed.close)
        return
    except WebSocketDisconnect:
        return
    except (VatraceError, OSError) as error:
        message = str(error)
    except Exception as error:
        message = report_bug(error, "live")
    with suppress(WebSocketDisconnect):
        await _send(socket, {"error": message})
        await socket.close()


async def _follow(socket: WebSocket, streamer: Streamer, feed: Feed) -> None:
    """Pass frames and audio to the feed, and its values to the browser.

    Raises:
        WebSocketDisconnect: when the browser has left.
        UsageError: if its first message isn't as described above.
    """
    try:
        hello = await socket.receive_json()
        sampling_rate, absent = int(hello["rate"]), list(hello.get("absent", []))
        resampler = make_resampler(sampling_rate)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError("live: the first message must be JSON with the sampling rate of the audio") from error
    for modality in absent:
        feed.end(modality)
    start, pace = time.monotonic(), Pace(0.0, 0.0, "")
    receiving = asyncio.create_task(_receive(socket, feed, resampler, start))
    try:
        while not receiving.done():
            values, pace = feed.poll(time.monotonic() - start)
            if values:
                await _send(socket, _message(streamer, values, pace))
            await asyncio.sleep(POLL)
    finally:
        receiving.cancel()
    end = receiving.result()
    last = await run_in_threadpool(feed.drain, end)
    await _send(socket, _message(streamer, last, pace) | {"done": True})
    await socket.close()


def _message(streamer: Streamer, values: list[Value], pace: Pace) -> dict[str, Any]:
    words = [word.text for word in list(streamer.words)[-20:]]
    return {"values": [asdict(value) for value in values], "pace": asdict(pace), "words": words}


async def _receive(socket: WebSocket, feed: Feed, resampler: Callable[[np.ndarray], np.ndarray], start: float) -> float:
    """Pass on frames and audio until the browser ends the stream; the seconds from the start until then.

    Raises:
        WebSocketDisconnect: if the browser leaves first.
    """
    while True:
        try:
            received = await socket.receive()
        except RuntimeError as error:  # Starlette's, if the socket is closed
            raise WebSocketDisconnect from error
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        message = received.get("bytes")
        if message is None:
            end = _end(received.get("text"))
            if end is None:
                continue
            return min(end, time.monotonic() - start)
        kind, content = message[:1], message[1:]
        if kind == FRAME and 8 < len(content) <= MAX_FRAME:
            (moment,) = struct.unpack("<d", content[:8])
            feed.add_frame(Image.open(io.BytesIO(content[8:])), moment)  # the feed's thread decodes it
        elif kind == AUDIO and content and len(content) % 4 == 0:  # FFmpeg accepts no empty frame
            feed.add_audio(resampler(np.frombuffer(content, "<f4")), time.monotonic() - start)


def _end(text: str | None) -> float | None:
    """The seconds in a message that ends the stream; None for any other text."""
    try:
        end = float(json.loads(text or "")["end"])
    except (ValueError, KeyError, TypeError):
        return None
    return end if end >= 0 else None


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    try:
        await socket.send_json(message)
    except RuntimeError as error:  # Starlette's, if the socket is closed
        raise WebSocketDisconnect from error


def make_resampler(rate: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function that resamples successive blocks of mono audio to 16 kHz, without gaps between them.

    Raises:
        ValueError: if the sampling rate isn't above 0 and at most 1 MHz.
    """
    import av

    if not 0 < rate <= 1_000_000:
        raise ValueError(f"the sampling rate must be above 0 and at most 1 MHz, not {rate}")
    inner = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLING_RATE)

    def resample(samples: np.ndarray) -> np.ndarray:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None], np.float32), format="fltp", layout="mono")
        frame.sample_rate = rate
        parts = [part.to_ndarray()[0] for part in inner.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    return resample
