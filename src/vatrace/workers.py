"""Work on many recordings by several processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TypeVar

from vatrace.errors import missing
from vatrace.files import remove_unfinished

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")
Work = Callable[[Task], Outcome]
"""A function at the top level of a module, which other processes can import."""
Failed = Callable[[Task, str], Outcome]
"""Makes the outcome of a task whose worker was lost, from the reason."""


def _begin_worker() -> None:
    """Leave ctrl-C to the parent, and end when told to, or with the parent, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: _end_worker())
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        _end_worker()

    Thread(target=follow, name="parent", daemon=True).start()


def _end_worker() -> None:
    """End at once: nobody waits for the result. `sys.exit` would be sent to the parent as a result, and the worker live on."""
    remove_unfinished()
    os._exit(1)


@contextmanager
def _pool(num_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that have ended when the block ends, even with an error."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, initializer=_begin_worker) as pool:
        try:
            yield pool
        except BaseException:
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def in_processes(
    tasks: Sequence[Task], num_workers: int, work: Work[Task, Outcome], failed: Failed[Task, Outcome]
) -> Iterator[Outcome]:
    """Work in several processes of this machine; yields the outcome of each task when it is done.

    If a worker dies (for instance because memory is short), all tasks in progress are started again, one at a time.
    """
    waiting = deque(tasks)
    while waiting:
        running: dict[Future[Outcome], Task] = {}
        try:
            with _pool(num_workers) as pool:
                while waiting or running:
                    while waiting and len(running) < num_workers:
                        running[pool.submit(work, waiting[0])] = waiting[0]
                        waiting.popleft()
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        yield future.result()
                        del running[future]
        except BrokenProcessPool:
            yield from (_alone(task, work, failed) for task in running.values())


def _alone(task: Task, work: Work[Task, Outcome], failed: Failed[Task, Outcome]) -> Outcome:
    """Work in a separate process, so that a crash can't affect other tasks."""
    try:
        with _pool(1) as pool:
            return pool.submit(work, task).result()
    except BrokenProcessPool:
        return failed(task, "its worker died, even when it ran alone (out of memory?)")


def _check_answers(address: str) -> None:
    """Raise ConnectionError if nothing answers; Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise ConnectionError(f"{address}: no Ray cluster answers (HOST:PORT of its head is needed): {error}") from error


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
        threads: CPUs that a task needs.

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
        remote = ray.remote(max_retries=3, num_cpus=threads)(work)
        pending = {remote.remote(task): task for task in tasks}
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
