"""A real `vatrace serve` for the tests of its pages."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Server:
    process: subprocess.Popen[str]
    address: str
    folder: Path

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        return fetch(self.address + path)

    def jobs(self) -> list[dict]:
        return json.loads(self.get("jobs")[2])["jobs"]

    def upload(self, path: Path) -> str:
        request = urllib.request.Request(f"{self.address}jobs?name={path.name}", path.read_bytes(), method="POST")
        with urllib.request.urlopen(request) as response:
            return json.loads(response.read())["id"]

    def wait(self, name: str, states: tuple[str, ...] = ("done", "failed"), seconds: float = 120) -> dict:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = next(job for job in self.jobs() if job["id"] == name)
            if job["state"] in states:
                return job
            time.sleep(0.1)
        raise AssertionError(job)

    def finished_transcript(self, folder: Path, content: str) -> str:
        """The id of a job that has predicted a transcript with this content."""
        path = folder / "talk.srt"
        path.write_text(content)
        name = self.upload(path)
        assert self.wait(name)["state"] == "done"
        return name

    def send(
        self, method: str, path: str, body: str | bytes | None, headers: dict[str, str], timeout: float
    ) -> tuple[int, bytes]:
        """Send a request as it is, with the token; the status and the content of the answer."""
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        connection.request(method, parts.path + path, body, {"Content-Type": "application/json"} | headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)


def fetch(address: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def serve(folder: Path, *arguments: str) -> Server:
    command = [sys.executable, "-m", "vatrace.cli", "serve", "--port", "0", "--no-browser", "--folder", str(folder), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return Server(process, process.stdout.readline().strip(), folder)
