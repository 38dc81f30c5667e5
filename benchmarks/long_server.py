"""Memory, open descriptors and speed of `vatrace serve` under load.

    python benchmarks/long_server.py jobs --count 1000 --out docs     recordings of a second, one after the other
    python benchmarks/long_server.py live --count 1000 --out docs     live sessions that end, are closed, or are cut off
    python benchmarks/long_server.py clients --count 200              at once: each uploads, waits, downloads, deletes
    python benchmarks/long_server.py half-closed --count 400          connections that stop within six kinds of requests

The first two write long-jobs.png or long-live.png, and the samples as CSV. The status is 1 if anything fails, or if memory or
descriptors grow (see long.py).
"""

from __future__ import annotations

import argparse
import io
import json
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from long import check, make_part
from vatrace.media.demo import FACE, SPEECH, packaged_file
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from watching import Watch, draw, family, measured, summary, write_samples

QUEUED = 4
"""Jobs that wait or run at once, so that the server never waits for this program."""
POLL = 0.3
"""Seconds between requests for what has become of a recording: as often as its page asks, and a little more."""
CLIENT_POLL = 5.0
"""The same, of each of the clients."""
MAX_WAIT = 300.0
"""Seconds after which a client gives up, and after which a connection that has stopped must have been closed."""
SRT = "1\n00:00:00,000 --> 00:00:03,000\nhello there my friend\n"


@dataclass(frozen=True)
class Served:
    """A server.

    Attributes:
        process: in which it runs.
        address: of its page, with the token.
        folder: of its results.
    """

    process: subprocess.Popen[str]
    address: str
    folder: Path

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send a request; the body of the answer.

        Raises:
            OSError: if the answer is an error.
        """
        request = urllib.request.Request(self.address + path, body, method=method)
        with urllib.request.urlopen(request, timeout=MAX_WAIT) as response:
            return bytes(response.read())

    def jobs(self) -> dict[str, dict[str, Any]]:
        """All recordings by their IDs."""
        return {job["id"]: job for job in json.loads(self.ask("GET", "jobs"))["jobs"]}

    def upload(self, name: str, content: bytes) -> str:
        """Upload a recording; its ID."""
        return str(json.loads(self.ask("POST", f"jobs?name={name}", content))["id"])


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Start a server, and end it.

    Raises:
        SystemExit: if it doesn't end without an error.
    """
    command = [sys.executable, "-m", "vatrace.cli", "serve", "--port", "0", "--no-browser", "--folder", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Served(process, process.stdout.readline().strip(), folder)
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait()
    if status:
        raise SystemExit(f"the server ended with the status {status}")


def run_jobs(server: Served, folder: Path, count: int, finished: Callable[[int], None]) -> str:
    """Upload recordings, a few ahead of the queue."""
    make_part(folder / "clip.mp4", 1, 25, 1)
    content, uploaded, done = (folder / "clip.mp4").read_bytes(), 0, 0
    while done < count:
        jobs = server.jobs()
        done = sum(job["state"] == "done" for job in jobs.values())
        failed = [job["message"] for job in jobs.values() if job["state"] == "failed"]
        if failed:
            raise SystemExit(f"failed: {failed[0]}")
        finished(done)
        while uploaded < min(done + QUEUED, count):
            server.upload(f"{uploaded:05}.mp4", content)
            uploaded += 1
        time.sleep(POLL)
    disk = sum(path.stat().st_size for path in server.folder.rglob("*") if path.is_file())
    return f"{disk / count / 1000:.0f} kB of disk per job, of which {len(content) / 1000:.0f} kB are the recording"


def run_live(server: Served, folder: Path, count: int, finished: Callable[[int], None]) -> str:
    """Open one live session after the other, each with a frame and half a second of speech."""
    picture = io.BytesIO()
    next(iter(VideoReader(packaged_file(*FACE), 1))).image.save(picture, "JPEG")
    frame = b"\1" + struct.pack("<d", 0.0) + picture.getvalue()
    speech = np.concatenate(list(AudioReader(packaged_file(*SPEECH), 60)))[SAMPLING_RATE : SAMPLING_RATE * 3 // 2]
    audio = b"\2" + speech.astype("<f4").tobytes()
    waits = []
    for number, end in zip(range(count), cycle(["end", "close", "cut off"]), strict=False):
        started = time.monotonic()
        with opened(server, started + MAX_WAIT) as session:
            waits.append(time.monotonic() - started)
            session.send(json.dumps({"rate": SAMPLING_RATE}))
            session.send(frame)
            session.send(audio)
            while json.loads(session.recv(MAX_WAIT)).get("face") is None:
                pass
            if end == "end":
                session.send(json.dumps({"end": 0.5}))
                while not json.loads(session.recv(MAX_WAIT)).get("done"):
                    pass
            elif end == "cut off":
                session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                session.socket.shutdown(socket.SHUT_RD)
                session.close_socket()
        finished(number + 1)
    return f"the place was free after {statistics.median(waits):.2f} s (median), {max(waits):.2f} s (longest)"


@contextmanager
def opened(server: Served, end: float) -> Iterator[ClientConnection]:
    """A live session, as soon as the one before it has ended.

    Raises:
        SystemExit: if the place isn't free by `end` of the monotonic clock.
    """
    while time.monotonic() < end:
        with connect(server.address.replace("http", "ws") + "live/stream", open_timeout=MAX_WAIT) as session:
            answer = None
            with suppress(ConnectionClosed):
                answer = json.loads(session.recv(MAX_WAIT))
            if answer == {"ready": True}:
                yield session
                return
        time.sleep(0.02)
    raise SystemExit("the live session before doesn't end")


def run_clients(server: Served, count: int) -> str:
    """All clients at once; how long requests took."""

    def client(number: int) -> list[float]:
        times = []

        def ask(method: str, path: str, body: bytes | None = None) -> bytes:
            started = time.monotonic()
            content = server.ask(method, path, body)
            times.append(time.monotonic() - started)
            return content

        ask("GET", "")
        name = json.loads(ask("POST", f"jobs?name={number}.srt", SRT.encode()))["id"]
        while (state := next(one for one in json.loads(ask("GET", "jobs"))["jobs"] if one["id"] == name))["state"] != "done":
            if state["state"] == "failed":
                raise SystemExit(state["message"])
            time.sleep(CLIENT_POLL)
        assert ask("GET", f"jobs/{name}/download/csv").startswith(b"time,")
        assert b"<html" in ask("GET", f"jobs/{name}/page")
        ask("DELETE", f"jobs/{name}")
        return times

    with ThreadPoolExecutor(count) as pool:
        times = sorted(duration for found in pool.map(client, range(count)) for duration in found)
    assert not server.jobs()
    middle, late = times[len(times) // 2], times[int(0.95 * len(times))]
    return f"{len(times)} requests, none failed: median {middle:.2f} s, 95 % within {late:.2f} s, longest {times[-1]:.2f} s"


def run_half_closed(server: Served, count: int) -> str:
    """Connections that send part of a request and then nothing more; how long it takes until all are closed."""
    parts = urlsplit(server.address)
    line = f"{parts.path}jobs?name=a.mp4 HTTP/1.1\r\nHost: {parts.netloc}\r\n"
    upload = f"POST {line}Content-Length: 1000000\r\n\r\n".encode() + bytes(1000)
    upgrade = f"GET {parts.path}live/stream HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    kinds: list[tuple[bytes, bool]] = [  # what is sent, and whether the sending direction is closed after it
        (b"", True),
        (b"GET / HT", False),
        (b"GET / HTTP/1.1\r\nHost: a", True),
        (upload, True),
        (upload, False),
        ((upgrade + key).encode(), True),
    ]
    server.ask("GET", "jobs")
    _, base = measured(server.process.pid)
    connections = []
    for number in range(count):
        connection = socket.create_connection((parts.hostname, parts.port), timeout=MAX_WAIT)
        sent, closes = kinds[number % len(kinds)]
        connection.sendall(sent)
        if closes:
            connection.shutdown(socket.SHUT_WR)
        connections.append(connection)
    started = time.monotonic()
    server.ask("GET", "jobs")
    answered, (_, most) = time.monotonic() - started, measured(server.process.pid)
    while (left := measured(server.process.pid)[1]) > base and time.monotonic() < started + MAX_WAIT:
        time.sleep(0.5)
    for connection in connections:
        connection.close()
    if left > base or server.jobs():
        raise SystemExit(f"{left - base} descriptors and {len(server.jobs())} recordings are left")
    return (
        f"another request was answered in {answered:.2f} s; {base} descriptors before, {most} then, and {left} after "
        f"{time.monotonic() - started:.0f} s; no recording is left"
    )


def main() -> None:
    """Run one of the four."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["jobs", "live", "clients", "half-closed"])
    parser.add_argument("--count", type=int, default=1000, metavar="N")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: this folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, served(Path(name) / "results") as server:
        if args.what == "clients":
            print(f"{args.count} clients at once: {run_clients(server, args.count)}")
            return
        if args.what == "half-closed":
            print(f"{args.count} half-closed connections: {run_half_closed(server, args.count)}")
            return
        run, unit, units = {"jobs": (run_jobs, "job", "jobs"), "live": (run_live, "session", "sessions")}[args.what]
        title = {"jobs": f"{args.count} jobs of vatrace serve", "live": f"{args.count} live sessions of vatrace serve"}[
            args.what
        ]
        number = [0]
        with Watch(server.process.pid, lambda: number[0]) as watch:
            found = run(server, Path(name), args.count, lambda done: number.__setitem__(0, done))
        processes = len(family(server.process.pid))
    samples = watch.samples
    print(f"{title}: {samples[-1].seconds:.0f} s; {summary(samples, unit)}; {processes} processes; {found}")
    write_samples(samples, args.out / f"long-{args.what}.csv")
    draw(samples, args.out / f"long-{args.what}.png", title, unit, units)
    sys.exit(int(not check(samples)))


if __name__ == "__main__":
    main()
