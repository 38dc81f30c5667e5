"""The command serve."""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import webbrowser
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import cache, partial
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

from vatrace.cli.terminal import add_adapt_option, add_model_options, load, make_folder, positive, warn
from vatrace.errors import MissingWeightsError, require

if TYPE_CHECKING:
    from vatrace.inference.streamer import Streamer

HOST = "127.0.0.1"
EPILOG = """examples:
  vatrace serve                               opens the page in your browser
  vatrace serve --port 9000 --no-browser      only prints its address
  vatrace serve --folder results              keeps the results in this folder
  vatrace serve --adapt mine.json             fits the recordings' values to your ratings (not those of Live)

The page is available on this machine only, at an address with a token that is new each time. Recordings are deleted when the
server ends (ctrl-C). Results, each with a small copy of the recording, are kept until you delete them on the page.
"""


def add_parsers(commands: Any) -> None:
    """Add serve to the commands."""
    parser = commands.add_parser(
        "serve",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Serve a page on this machine: drop recordings on it, view and annotate their traces, download them.",
    )
    add = parser.add_argument
    add("--port", type=int, default=8765, help="(default: %(default)d; 0 for any free port)")
    add("--folder", type=Path, default=_default_folder(), metavar="DIR", help="where results are kept (default: %(default)s)")
    add("--max-upload", type=positive, default=4.0, metavar="GB", help="size of the largest recording (default: %(default)g)")
    add("--no-browser", action="store_true", help="don't open the page")
    add_model_options(parser)
    add_adapt_option(parser)
    parser.set_defaults(run=run_serve)


def _default_folder() -> Path:
    """The folder for vatrace's data in the user's data folder."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "vatrace"


def run_serve(args: argparse.Namespace) -> int:
    """Run the serve command."""
    require("the page", ["fastapi", "filelock", "pydantic", "uvicorn", "websockets"], "web")
    import uvicorn

    from vatrace.web.connections import MAX_CONNECTIONS, MAX_MESSAGE, patient_protocol
    from vatrace.web.jobs import Jobs
    from vatrace.web.server import make_app
    from vatrace.weights import find_whisper

    listener = _listen(args.port)
    os.umask(0o077)  # recordings of people are private: nobody else may read what the server writes
    make_folder(args.folder)
    with _locked(args.folder):
        try:
            find_whisper(args.whisper)
        except MissingWeightsError as error:
            warn(f"{error}. Until then, recordings with audio fail")
        token = secrets.token_urlsafe(16)
        address = f"http://{HOST}:{listener.getsockname()[1]}/{token}/"
        load(args)  # to report now what is wrong
        jobs = Jobs(args.folder, partial(load, args))
        app = make_app(jobs, _streamers(args.whisper), token, round(args.max_upload * 1e9))
        print(f"{address}\nctrl-C ends it", flush=True)
        if not args.no_browser:
            Timer(0.5, webbrowser.open, [address]).start()
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=5,
            limit_concurrency=MAX_CONNECTIONS,
            http=patient_protocol(),
            ws_max_size=MAX_MESSAGE,
        )
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after it has shut down
            uvicorn.Server(config).run(sockets=[listener])
    return 0


def _streamers(whisper: str | None) -> Callable[[], Streamer]:
    """A function that makes streamers. Whisper is loaded for the first one, and shared by all."""
    from vatrace.features.speech import Listener
    from vatrace.inference.streamer import Streamer
    from vatrace.weights import find_whisper

    @cache
    def listener() -> Listener:
        return Listener(find_whisper(whisper), max(1, (os.cpu_count() or 1) - 1))

    return lambda: Streamer(listener=listener())


def _listen(port: int) -> socket.socket:
    """Open a listening socket, so that a browser waits until the server answers."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        raise OSError(f"port {port}: can't be used ({error}); try another --port, or 0") from error
    return listener


def _locked(folder: Path) -> AbstractContextManager[object]:
    """Lock the folder now; the lock is released at the end of the block."""
    from filelock import FileLock, Timeout

    try:
        return FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout as error:
        raise OSError(f"{folder}: already used by another vatrace serve; name another folder with --folder") from error
