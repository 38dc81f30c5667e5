"""Work on many recordings by several processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Lock, Thread
from typing import Generic, NoReturn, TypeVar

from vatrace.errors import missing
from vatrace.files import announce_unfinished, remove, remove_unfinished
from vatrace.names import Progress

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")
Work = Callable[[Task, Progress], Outcome]
"""A function at the top level of a module, or another object that can be pickled. Its outcome is not None."""
PATIENCE = 10.0
"""Seconds for which a process may go on after it was told to end."""
WINDOWS_CRASH = 0xC0000000
"""From here on, the statuses of processes on Windows are errors of the system, such as 0xc0000005 for an invalid address."""
Failed = Callable[[Task, str], Outcome]
"""Makes the outcome of a task whose worker was lost, from the reason."""


class Worker(Generic[Task, Outcome]):
    """A process that does one task at a time. It is started when it is needed, also after it has died.

    Args:
        work: does a task; it is sent to the process once, so it can keep models.

    Attributes:
        task: what it is doing; None for nothing.
    """

    def __init__(self, work: Work[Task, Outcome]) -> None:
        self._work = work
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._unfinished: set[Path] = set()
        self.task: Task | None = None

    def begin(self, task: Task) -> None:
        """Give it a task. It must not have another one."""
        assert self.task is None
        if self._process is None or not self._process.is_alive():
            self.end()
            context = multiprocessing.get_context("spawn")
            self._connection, other = context.Pipe()
            self._process = context.Process(target=_serve, args=(other, self._work), name="vatrace worker")
            with _uninterrupted():
                self._process.start()
            other.close()  # then its end can be noticed
        assert self._connection is not None
        self.task = task
        with suppress(OSError):  # it has just died, which `answer` will notice
            self._connection.send(task)

    def answer(self, progress: Progress) -> Outcome | None:
        """Wait for what it says next: None for progress, or the outcome of its task.

        Args:
            progress: called with the stage of the work and the share of it that is done, 0..1.

        Raises:
            WorkerLostError: if it has died.
            Exception: what `work` raised.
        """
        assert self._connection is not None and self._process is not None
        try:
            kind, *content = self._connection.recv()
        except (EOFError, OSError) as error:
            self.task = None
            self._process.join(PATIENCE)
            self._clear()
            raise WorkerLostError(_death(self._process.exitcode)) from error
        if kind == "progress":
            progress(*content)
            return None
        if kind == "unfinished":
            path, exists = content
            (self._unfinished.add if exists else self._unfinished.discard)(path)
            return None
        self.task = None
        if kind == "error":
            raise content[0]
        return content[0]

    def end(self, now: bool = False) -> None:
        """End it, if it lives; the next task starts it again.

        Args:
            now: whether to stop its work, which may leave results unwritten, but none half-written.
        """
        self.task = None
        if self._connection is not None and self._process is not None:
            self._connection.close()
            if now:
                self._process.terminate()
            self._process.join(PATIENCE)
            self._process.kill()  # if it still lives
            self._process.join()
            self._process.close()
            self._clear()
        self._connection = self._process = None

    def _clear(self) -> None:
        """Delete what it has left unfinished. It must have ended."""
        for path in self._unfinished:
            remove(path)
        self._unfinished.clear()


class WorkerLostError(Exception):
    """A worker died while it had a task; the message says how."""


def _death(status: int | None) -> str:
    """How a process ended, in words."""
    if status is None:
        return "its process doesn't answer"
    if status >= WINDOWS_CRASH:
        return f"its process crashed ({status:#x})"
    if status >= 0:
        return f"its process ended (status {status})"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    return f"its process was killed ({name}; out of memory?)" if name == "SIGKILL" else f"its process crashed ({name})"


def _serve(connection: Connection, work: Work[Task, Outcome]) -> None:
    """Do the tasks that come through a connection, and send what comes of them, until it is closed."""
    _begin_worker()
    sending = Lock()

    def send(*message: object) -> None:
        with sending, suppress(BrokenPipeError):
            connection.send(message)

    announce_unfinished(lambda path, exists: send("unfinished", path.absolute(), exists))
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            _end_worker(0)
        try:
            outcome = work(task, lambda stage, share: send("progress", stage, share))
        except Exception as error:
            error.add_note("".join(traceback.format_exception(error)))  # it isn't sent with the error
            send("error", error)
        else:
            send("outcome", outcome)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let no ctrl-C reach a process that is started in the block, which would print a traceback, nor this one until its end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    """Leave ctrl-C to the parent, and end when told to, or with the parent, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as by nohup
            signal.signal(number, lambda number, frame: _end_worker())
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        _end_worker()

    Thread(target=follow, name="parent", daemon=True).start()


def _end_worker(status: int = 1) -> NoReturn:
    """End at once: nobody waits for the result."""
    remove_unfinished()
    os._exit(status)


def in_processes(
    tasks: Sequence[Task],
    num_workers: int,
    work: Work[Task, Outcome],
    failed: Failed[Task, Outcome],
    progress: Callable[[Task, str, float], None] = lambda task, stage, share: None,
) -> Iterator[Outcome]:
    """Work in other processes of this machine; yields the outcome of each task when it is done.

    A crash, for instance in a codec, costs one task. With several workers, this task is tried once more when all others are
    done: memory may have been short.

    Args:
        tasks: the tasks.
        num_workers: number of processes.
        work: does a task.
        failed: makes the outcome of a task whose process died.
        progress: called with a task, the stage of the work and the share of it that is done, 0..1.
    """
    waiting, alone = deque(tasks), deque[Task]()
    workers = [Worker(work) for _ in range(min(num_workers, len(tasks)))]
    finished = False
    try:
        while waiting or alone or any(worker.task is not None for worker in workers):
            for worker in workers:
                if worker.task is None and waiting:
                    worker.begin(waiting.popleft())
            if all(worker.task is None for worker in workers):
                for worker in workers[1:]:  # they need memory
                    worker.end()
                del workers[1:]
                workers[0].begin(alone.popleft())
            for worker in _ready(workers):
                task = worker.task
                assert task is not None
                try:
                    outcome = worker.answer(partial(progress, task))
                except WorkerLostError as error:
                    if len(workers) > 1:
                        alone.append(task)
                        continue
                    outcome = failed(task, f"{error}, even when it ran alone" if num_workers > 1 else str(error))
                if outcome is not None:
                    yield outcome
        finished = True
    finally:
        for worker in workers:
            worker.end(now=not finished)


def _ready(workers: Sequence[Worker[Task, Outcome]]) -> list[Worker[Task, Outcome]]:
    """The workers with a task that have something to say; waits until there is one."""
    busy = {worker._connection: worker for worker in workers if worker.task is not None}
    return [busy[connection] for connection in wait([*busy])]  # type: ignore[index, list-item]


def _check_answers(address: str) -> None:
    """Raise ConnectionError if nothing answers; Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise ConnectionError(f"{address}: no Ray cluster answers (HOST:PORT of its head is needed): {error}") from error


def _unseen(stage: str, share: float) -> None:
    """Progress that nobody sees."""


def on_ray(
    tasks: Sequence[Task],
    address: str | None,
    work: Work[Task, Outcome],
    failed: Failed[Task, Outcome],
    threads: int = 1,
) -> Iterator[Outcome]:
    """Work on a Ray cluster; yields the outcome of each task when it is done.

    A task whose worker is lost is restarted elsewhere, up to three times. Recordings and results must have the same paths
    on all machines of a cluster.

    Args:
        tasks: the tasks.
        address: of a running cluster's head; None for a local cluster that ends with the work.
        work: does a task.
        failed: makes the outcome of a task that was lost.
        threads: CPUs that a task takes; fewer if no machine of the cluster has that many.

    Raises:
        MissingExtraError: if Ray is not installed.
        ConnectionError: if there is no cluster at the address, or it requires another token than this user's.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray must not send usage reports
    has_token = os.environ.get("RAY_AUTH_TOKEN") or (Path.home() / ".ray" / "auth_token").is_file()
    if address is not None and has_token:  # clusters require it; by default, Ray sends it only to clusters that it started
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError as error:
        raise missing("--ray needs Ray", "ray") from error
    if address is None:
        ray.init("local", log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    else:
        _check_answers(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        largest = max((node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
        cpus = min(threads, largest) if largest >= 1 else threads  # a task that no machine can take would wait for ever
        remote = ray.remote(max_retries=3, num_cpus=cpus)(work)
        pending = {remote.remote(task, _unseen): task for task in tasks}
        while pending:
            (ready,), _ = ray.wait(list(pending))
            task = pending.pop(ready)
            try:
                yield ray.get(ready)
            except ray.exceptions.RayTaskError as error:  # from the work itself: the other tasks would fail in the same way
                raise error.as_instanceof_cause() from error
            except ray.exceptions.RayError as error:
                yield failed(task, f"lost by the cluster, 4 times ({type(error).__name__})")
    finally:
        ray.shutdown()
