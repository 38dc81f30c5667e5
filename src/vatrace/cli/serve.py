"""The command serve."""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import webbrowser
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import Any

from vatrace.cli.terminal import add_model_options, complain, make_folder, positive
from vatrace.errors import MissingWeightsError, missing
from vatrace.inference.model import load_model
from vatrace.weights import find_whisper

HOST = "127.0.0.1"
EPILOG = """examples:
  vatrace serve                               opens the page in your browser
  vatrace serve --port 9000 --no-browser      prints its address only
  vatrace serve --folder results              keeps the results in this folder

The page answers this machine only, at an address with a token that is new each time. Recordings are deleted when the server
ends (ctrl-C); results, each with a small copy of the film or sound, when you delete them in the page.
"""


def add_parsers(commands: Any) -> None:
    """Add serve to the commands."""
    serve = commands.add_parser(
        "serve",
        help="a page in your browser to drop recordings on",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Serve a page on this machine: drop recordings on it, look at their traces, download them.",
    )
    serve.add_argument("--port", type=int, default=8765, help="(default: %(default)d; 0 for any that is free)")
    serve.add_argument(
        "--folder", type=Path, default=default_folder(), metavar="DIR", help="where results are kept (default: %(default)s)"
    )
    serve.add_argument(
        "--max-upload", type=positive, default=4.0, metavar="GB", help="largest recording (default: %(default)g)"
    )
    serve.add_argument("--no-browser", action="store_true", help="don't open the page")
    add_model_options(serve)
    serve.set_defaults(run=run_serve)


def default_folder() -> Path:
    """Where programs of this user keep data."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "vatrace"


def run_serve(args: argparse.Namespace) -> int:
    """The serve command."""
    absent = [name for name in ("fastapi", "filelock", "uvicorn", "websockets") if find_spec(name) is None]
    if absent:
        raise missing(f"the page needs {', '.join(absent)}", "web")
    import uvicorn
    from filelock import FileLock, Timeout

    from vatrace.inference.streamer import Streamer
    from vatrace.web.jobs import Jobs
    from vatrace.web.server import make_app

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, args.port))
        listener.listen()  # from now on browsers wait for the answer
    except (OSError, OverflowError) as error:
        raise OSError(f"port {args.port}: can't listen there ({error}); try another --port, or 0") from error
    make_folder(args.folder)
    lock = FileLock(args.folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OSError(f"{args.folder}: another vatrace serve uses this folder; give another one with --folder") from error
    try:
        find_whisper(args.whisper)
    except MissingWeightsError as error:
        complain(f"{error}. Until then recordings with sound fail")
    token = secrets.token_urlsafe(16)
    address = f"http://{HOST}:{listener.getsockname()[1]}/{token}/"
    jobs = Jobs(args.folder, load_model(fusion=args.model, whisper=args.whisper))
    app = make_app(jobs, partial(Streamer, whisper=args.whisper), token, round(args.max_upload * 1e9))
    print(f"{address}\nctrl-C ends it", flush=True)
    if not args.no_browser:
        Timer(0.5, webbrowser.open, [address]).start()
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    with lock, suppress(KeyboardInterrupt):  # uvicorn has ended in order and raises it again
        uvicorn.Server(config).run(sockets=[listener])
    return 0
