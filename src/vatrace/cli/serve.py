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
from vatrace.errors import MissingWeightsError, UsageError, require
from vatrace.files import written_whole

if TYPE_CHECKING:
    from fastapi import FastAPI

    from vatrace.inference.model import Model
    from vatrace.inference.streamer import Streamer
    from vatrace.output.provenance import Provenance
    from vatrace.web.jobs import Jobs
    from vatrace.web.predicting import Task

HOST = "127.0.0.1"
TOKEN_VARIABLE = "VATRACE_API_TOKEN"
"""Environment variable with the token of the interface for programs."""
EPILOG = """examples:
  vatrace serve                               opens the page in your browser
  vatrace serve --port 9000 --no-browser      only prints its address
  vatrace serve --folder results              keeps the results in this folder
  vatrace serve --api --allow recordings      also the interface for programs
  vatrace serve --host 192.168.1.20           raters whom you invite can annotate from the same network
  vatrace serve --other-model run/model.onnx  lets you choose between this model and the package's for each recording
  vatrace serve --adapt mine.json             fits the recordings' values to your ratings

The page is available on this machine only, at an address with a token that is new each time. With --host, raters whom you
invite on the page can annotate from other machines, over a connection that is not encrypted. Recordings are deleted when the
server ends (ctrl-C). Results, each with a small copy of the recording, are kept until you delete them on the page.

The page Live always uses the package's own streaming model: --model, --encoders, --active-speaker and --adapt are for
recordings only. --adapt doesn't apply to recordings predicted with --other-model.
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
    add(
        "--host",
        metavar="NAME",
        help="also let invited raters annotate from your network, at this name or IPv4 address of the machine; they reach "
        "nothing else",
    )
    add("--max-upload", type=positive, default=4.0, metavar="GB", help="size of the largest recording (default: %(default)g)")
    add("--api", action="store_true", help="also serve the interface for programs, at /v1 (docs/api.md)")
    add(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the token of the interface, made if it doesn't exist (default: api-token in the folder of the results; the "
        "environment variable VATRACE_API_TOKEN replaces it)",
    )
    add("--allow", type=Path, action="append", default=[], metavar="DIR", help="let programs name files in this folder")
    add("--no-browser", action="store_true", help="don't open the page")
    add_model_options(parser)
    add(
        "--other-model",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="another fusion model that can be chosen on the page; may be repeated",
    )
    add_adapt_option(parser)
    parser.set_defaults(run=run_serve)


def _default_folder() -> Path:
    """The folder for vatrace's data in the user's data folder."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "vatrace"


def run_serve(args: argparse.Namespace) -> int:
    """Run the serve command."""
    require("the page", ["fastapi", "pydantic", "python_multipart", "uvicorn", "websockets"], "web")
    import uvicorn

    from vatrace.web.connections import MAX_CONNECTIONS, MAX_MESSAGE, patient_protocol
    from vatrace.web.gate import Network
    from vatrace.web.jobs import Jobs
    from vatrace.web.server import make_app
    from vatrace.weights import find_whisper

    if not args.api and (args.allow or args.token_file is not None):
        raise UsageError(f"--{'allow' if args.allow else 'token-file'} is for the interface for programs: add --api")
    network = None if args.host is None else Network(args.host, _address(args.host))
    listener = _listen(HOST, args.port)
    port = listener.getsockname()[1]
    listeners = [listener, *([] if network is None else [_listen(network.address, port)])]
    os.umask(0o077)  # recordings of people are private: nobody else may read what the server writes
    make_folder(args.folder)
    with _locked(args.folder):
        try:
            find_whisper(args.whisper)
        except MissingWeightsError as error:
            warn(f"{error}. Until then, recordings with audio fail")
        token = secrets.token_urlsafe(16)
        address = f"http://{HOST}:{port}/{token}/"
        model, models = load(args), _other_models(args)  # now, to report what is wrong before anything is uploaded
        jobs = Jobs(args.folder, partial(_load, args), partial(_provenance, args))
        max_upload = round(args.max_upload * 1e9)
        app = make_app(jobs, _streamers(args.whisper, args.threads), token, max_upload, network, models)
        also = [_add_api(app, jobs, model, args, port)] if args.api else []
        if network is not None:
            also.append(f"http://{network.name}:{port} only for raters whom you invite on a recording's page Annotate")
        print(address, *also, "ctrl-C ends it", sep="\n", flush=True)
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
            uvicorn.Server(config).run(sockets=listeners)
    return 0


def _add_api(app: FastAPI, jobs: Jobs, model: Model, args: argparse.Namespace, port: int) -> str:
    """Add the interface for programs, and return its address and where its token is."""
    from vatrace.web.api import PREFIX, make_api, mount

    for folder in args.allow:
        if not folder.is_dir():
            raise UsageError(f"--allow {folder}: not a folder")
    file = args.token_file or args.folder / "api-token"
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    source = TOKEN_VARIABLE if token else str(file)
    if not token:
        token = _token(file)
    mount(app, make_api(jobs, model, token, round(args.max_upload * 1e9), args.allow))
    return f"http://{HOST}:{port}{PREFIX}/docs (its token is in {source})"


def _token(file: Path) -> str:
    """The token in a file, which is made if it doesn't exist; only its owner can read it.

    Raises:
        UsageError: if the file contains no token.
    """
    if not file.exists():
        make_folder(file.parent)
        with written_whole(file) as path:
            path.write_text(secrets.token_urlsafe(32) + "\n", encoding="ascii")
    token = file.read_text(encoding="utf-8", errors="replace").strip()
    if not 16 <= len(token) <= 1000 or not token.isascii() or any(map(str.isspace, token)):
        raise UsageError(f"{file}: must contain a token of at least 16 characters without spaces")
    return token


def _load(args: argparse.Namespace, fusion: Path | None) -> Model:
    """Load the model of the server, or one with another fusion model, for which the adaptation isn't."""
    other = {} if fusion is None else {"model": fusion, "adapt": None}
    return load(argparse.Namespace(**vars(args) | other))


def _provenance(args: argparse.Namespace, task: Task, model: Model) -> Provenance:
    """How the results of a recording are made."""
    from vatrace.output.provenance import model_versions, starting
    from vatrace.web.job import options_of

    other = task.job.options.model
    fusion, adapt = (Path(other), None) if other else (args.model, args.adapt)
    files = {"transcript": task.transcript, "adapt": adapt, "model": fusion, "active_speaker": args.active_speaker}
    models = model_versions(model.encoders, args.whisper, args.active_speaker)
    files["person"] = task.picture
    return starting(task.source, task.source.parent, files, {**options_of(task.job), "encoders": args.encoders}, models)


def _streamers(whisper: str | None, threads: int | None) -> Callable[[], Streamer]:
    """A function that makes streamers. Whisper is loaded for the first one, and shared by all."""
    from vatrace.features.speech import Listener, open_listener
    from vatrace.inference.streamer import Streamer

    @cache
    def listener() -> Listener:
        return open_listener(whisper, max(1, (threads or os.cpu_count() or 1) - 1))

    return lambda: Streamer(listener=listener(), threads=threads)


def _other_models(args: argparse.Namespace) -> dict[str, Path]:
    """The paths of the models that can be chosen on the page, by name; each is loaded once, to report what is wrong.

    Raises:
        UsageError: if two have the same name.
    """
    found: dict[str, Path] = {}
    for path in args.other_model:
        name = _load(args, path.resolve()).name
        if name in found:
            raise UsageError(f"--other-model {path}: named twice")
        found[name] = path.resolve()
    return found


def _address(host: str) -> str:
    """The IPv4 address of this machine with this name.

    Raises:
        UsageError: if it has none, or is not one address.
    """
    try:
        found = socket.gethostbyname(host)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: not found ({error}); give this machine's IPv4 address in your network") from error
    if found in {"0.0.0.0", HOST}:
        raise UsageError(f"--host {host}: give this machine's name or IPv4 address in your network, such as 192.168.1.20")
    return found


def _listen(address: str, port: int) -> socket.socket:
    """Open a listening socket, so that a browser waits until the server answers."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        place = f"port {port}" if address == HOST else f"--host {address}, port {port}"
        raise OSError(f"{place}: can't be used ({error}); try another --port, or 0") from error
    return listener


def _locked(folder: Path) -> AbstractContextManager[object]:
    """Lock the folder now; the lock is released at the end of the block."""
    from filelock import FileLock, Timeout

    try:
        return FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout as error:
        raise OSError(f"{folder}: already used by another vatrace serve; name another folder with --folder") from error
