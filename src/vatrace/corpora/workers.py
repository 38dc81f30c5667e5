"""Who does the work of extraction: this process, several of them, or a Ray cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from vatrace.corpora.extract import Outcome, Task, extract
from vatrace.errors import missing


def _failed(task: Task, reason: str) -> list[Outcome]:
    return [Outcome(source.name, reason) for source in task.sources]


def _ignore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is the parent's to handle


@contextmanager
def _pool(num_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that are gone when the block ends, however it does."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, initializer=_ignore_interrupt) as pool:
        try:
            yield pool
        except BaseException:
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def in_processes(tasks: Sequence[Task], num_workers: int) -> Iterator[list[Outcome]]:
    """Extract in several processes of this machine; yields what became of each task as it is done.

    Where a worker dies (as for want of memory), what was being worked on is begun once more, each by itself.
    """
    waiting = deque(tasks)
    while waiting:
        running: dict[Future[list[Outcome]], Task] = {}
        try:
            with _pool(num_workers) as pool:
                while waiting or running:
                    while waiting and len(running) < num_workers:
                        running[pool.submit(extract, waiting[0])] = waiting[0]
                        waiting.popleft()
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        yield future.result()
                        del running[future]
        except BrokenProcessPool:
            yield from (_alone(task) for task in running.values())


def _alone(task: Task) -> list[Outcome]:
    """In a process of its own, so that it can only harm itself."""
    try:
        with _pool(1) as pool:
            return pool.submit(extract, task).result()
    except BrokenProcessPool:
        return _failed(task, "its worker died, also by itself (out of memory?)")


def _see_that_it_answers(address: str) -> None:
    """Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise ConnectionError(f"{address}: no Ray cluster answers there (HOST:PORT of its head is needed): {error}") from error


def on_ray(tasks: Sequence[Task], address: str | None = None) -> Iterator[list[Outcome]]:
    """Extract on a Ray cluster, one task a video; yields what became of each as it is done.

    A task whose worker is lost is begun anew elsewhere, up to three times. All machines of a cluster must see the recordings
    and the store under the same paths.

    Args:
        tasks: what to do.
        address: of a cluster's head that is there; None for a local one that ends with the work.

    Raises:
        ImportError: if ray is not installed.
        ConnectionError: if there is no cluster at the address, or it wants another token than this user's.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    has_token = os.environ.get("RAY_AUTH_TOKEN") or (Path.home() / ".ray" / "auth_token").is_file()
    if address is not None and has_token:  # clusters ask for it; Ray by itself offers it to those alone that it starts
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError as error:
        raise missing("--ray needs Ray", "ray") from error
    if address is None:
        ray.init("local", log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    else:
        _see_that_it_answers(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        work = ray.remote(max_retries=3)(extract)
        pending = {work.options(num_cpus=task.setting.threads).remote(task): task for task in tasks}
        while pending:
            (ready,), _ = ray.wait(list(pending))
            task = pending.pop(ready)
            try:
                yield ray.get(ready)
            except ray.exceptions.RayTaskError as error:  # what `extract` itself raises: the others would fail alike
                raise error.as_instanceof_cause() from error
            except ray.exceptions.RayError as error:
                yield _failed(task, f"lost by the cluster, 4 times ({type(error).__name__})")
    finally:
        ray.shutdown()
