"""Passes the browser's camera and microphone over a web socket to a `Streamer`, and its values back.

The browser sends `{"rate": 48000, "absent": []}` first: the sampling rate of its audio, and "face" or "voice" where it has no
camera or microphone. Then it sends bytes. The first byte is 1 for a frame (its time in seconds since the start as a
little-endian float64, then JPEG) and 2 for audio (little-endian float32 mono). It receives JSON with values, pace, the latest
words, and the place of the face in the latest frame (or null), or with an error, which ends the session. A wrong message is
answered with `{"problem": "one line"}`. At the end the browser sends `{"end": 12.3}`, the seconds since the start, and receives
the last values with `"done": true`.
"""

from __future__ import annotations

import asyncio
import io
import json
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import WebSocket, WebSocketDisconnect
from numpy.typing import NDArray
from PIL import Image
from starlette.concurrency import run_in_threadpool

from vatrace.errors import UsageError, VatraceError, report_bug
from vatrace.inference.follower import Value
from vatrace.inference.streamer import Pace, Streamer
from vatrace.media.samples import MAX_RATE

FRAME, AUDIO = b"\x01", b"\x02"
POLL = 0.05
"""Seconds between polls for new values."""
MAX_FRAME, MAX_FRAME_PIXELS = 2_000_000, 8_300_000
"""Bytes and pixels of the largest frame that is accepted: 4K."""
MAX_AHEAD = 10.0
"""Seconds by which frames and audio may be ahead of the server's clock."""
MAX_END = 1e9
"""Seconds of the longest stream, about 30 years."""
MAX_PROBLEMS = 20
"""Wrong messages after which the connection is closed."""


async def serve_live(socket: WebSocket, make_streamer: Callable[[], Streamer]) -> None:
    """Follow one browser until it leaves. Errors are sent to it in one line."""
    await socket.accept()
    try:
        streamer = await run_in_threadpool(make_streamer)
        try:
            await _send(socket, {"ready": True})
            await _follow(socket, streamer)
        finally:
            await asyncio.shield(run_in_threadpool(streamer.stop))  # even where this is cancelled, as at the end of the server
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


async def _follow(socket: WebSocket, streamer: Streamer) -> None:
    """Pass frames and audio to the streamer, and its values to the browser.

    Raises:
        WebSocketDisconnect: when the browser has left.
        UsageError: if its first message isn't as described above.
    """
    sampling_rate, absent = _hello(await _received(socket))
    for modality in absent:
        streamer.end(modality)
    start, pace, place = time.monotonic(), Pace(0.0, 0.0, ""), None
    receiving = asyncio.create_task(_receive(socket, streamer, sampling_rate, start))
    try:
        while not receiving.done():
            values, pace = streamer.poll(time.monotonic() - start)
            if values or streamer.place is not place:
                place = streamer.place
                await _send(socket, _message(streamer, values, pace))
            await asyncio.sleep(POLL)
        end = receiving.result()
    finally:
        receiving.cancel()
        del receiving  # its exception refers to this frame: the networks would stay until the garbage collector finds the cycle
    await run_in_threadpool(streamer.close, end)
    await _send(socket, _message(streamer, streamer.values(), pace) | {"done": True})
    await socket.close()


def _message(streamer: Streamer, values: list[Value], pace: Pace) -> dict[str, Any]:
    words = [{"text": word.text, "start": word.start, "end": word.end} for word in streamer.words[-20:]]
    face = None if streamer.place is None else asdict(streamer.place)
    return {"values": [asdict(value) for value in values], "pace": asdict(pace), "words": words, "face": face}


async def _receive(socket: WebSocket, streamer: Streamer, sampling_rate: int, start: float) -> float:
    """Pass on frames and audio until the browser ends the stream; the seconds from the start until then.

    Raises:
        WebSocketDisconnect: if the browser leaves first.
    """
    heard, num_problems = 0.0, 0
    while True:
        received = await _received(socket)
        elapsed = time.monotonic() - start
        try:
            if (text := received.get("text")) is not None:
                return min(_end(text), elapsed)
            message = received.get("bytes") or b""
            kind, content = message[:1], message[1:]
            if kind == FRAME:
                streamer.add_frame(*await run_in_threadpool(_frame, content, elapsed))
            elif kind == AUDIO:
                samples = _samples(content)
                heard += len(samples) / sampling_rate
                if heard > elapsed + MAX_AHEAD:
                    raise UsageError(f"live: more than {MAX_AHEAD:g} s of audio ahead of time")
                streamer.add_audio(samples, elapsed, sampling_rate)
            else:
                raise UsageError("live: a binary message must start with 1 (a frame) or 2 (audio)")
        except UsageError as error:
            num_problems += 1
            if num_problems > MAX_PROBLEMS:
                raise UsageError(f"{error}; ended after {MAX_PROBLEMS} such messages") from error
            await _send(socket, {"problem": str(error)})


async def _received(socket: WebSocket) -> dict[str, Any]:
    """The next message.

    Raises:
        WebSocketDisconnect: if the browser has left.
    """
    try:
        received = dict(await socket.receive())
    except RuntimeError as error:  # Starlette's, if the socket is closed
        raise WebSocketDisconnect from error
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    return received


def _hello(received: Mapping[str, Any]) -> tuple[int, list[str]]:
    """The sampling rate and the absent modalities in the first message.

    Raises:
        UsageError: if it isn't as described above.
    """
    wrong = UsageError("live: the first message must be JSON with the sampling rate of the audio")
    try:
        hello = json.loads(received.get("text") or "")
    except (ValueError, RecursionError) as error:
        raise wrong from error
    if not isinstance(hello, dict) or type(hello.get("rate")) not in {int, float} or not 0 < hello["rate"] <= MAX_RATE:
        raise wrong
    absent = hello.get("absent", [])
    if not isinstance(absent, list) or any(name not in ("face", "voice") for name in absent):
        raise UsageError('live: absent must be a list of "face" and "voice"')
    return max(int(hello["rate"]), 1), absent


def _frame(content: bytes, elapsed: float) -> tuple[Image.Image, float]:
    """The picture in a message, decoded, and its time in seconds.

    Raises:
        UsageError: if it is too large, no JPEG, damaged, or of another time than now.
    """
    if not 8 < len(content) <= MAX_FRAME:
        raise UsageError(f"live: a frame must have at most {MAX_FRAME // 1_000_000} MB")
    (moment,) = struct.unpack("<d", content[:8])
    if not 0 <= moment <= elapsed + MAX_AHEAD:
        raise UsageError("live: the time of a frame must be in seconds since the start, and not in the future")
    try:
        image = Image.open(io.BytesIO(content[8:]), formats=("JPEG",))
        if image.width * image.height > MAX_FRAME_PIXELS:
            raise UsageError(f"live: a frame of {image.width} x {image.height} pixels; at most {MAX_FRAME_PIXELS} are accepted")
        return image.convert("RGB"), moment
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError("live: a frame isn't a readable JPEG") from error


def _samples(content: bytes) -> NDArray[np.float32]:
    """The audio in a message (N,).

    Raises:
        UsageError: if it isn't a whole number of samples.
    """
    if len(content) % 4:
        raise UsageError("live: audio must be samples of four bytes")
    return np.frombuffer(content, "<f4")


def _end(text: str) -> float:
    """The seconds in the message that ends the stream.

    Raises:
        UsageError: if it is another text.
    """
    try:
        end = json.loads(text)["end"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError('live: a text message must be {"end": seconds}') from error
    if type(end) not in {int, float} or not 0 <= end <= MAX_END:
        raise UsageError("live: the end must be a number of seconds")
    return float(end)


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    try:
        await socket.send_json(message)
    except RuntimeError as error:  # Starlette's, if the socket is closed
        raise WebSocketDisconnect from error
