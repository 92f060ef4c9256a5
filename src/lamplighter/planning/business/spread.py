"""Spread: blocks worked here, in processes of this machine, or by Dask on many. The same code does it.

A `Spread` maps a function over tasks and gives the answers in the tasks' order, whoever was first. What is
mapped is pure and draws its own numbers, so that the answers do not depend on who works, nor on how many.
"""

from __future__ import annotations

import multiprocessing
import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from lamplighter.kit import LamplighterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Task = TypeVar("Task")
Answer = TypeVar("Answer")

WORKERS_MAX: Final = 1_024
LOCAL: Final = "local"
"""Instead of a scheduler's address: a Dask cluster of this machine, for this once."""
_SHARES: Final = 64
"""Parts a worker: enough that one who is late does not keep the others waiting."""
_CONNECT_SECONDS: Final = 20


class SpreadError(LamplighterError):
    """Workers died, or a scheduler does not answer."""


class Spread(Protocol):
    """Who does the work."""

    workers: int
    """How many."""

    def map(self, work: Callable[[Task], Answer], tasks: Sequence[Task]) -> Iterator[Answer]:
        """The answer to each task, in their order; `work` must pickle."""


class Here:
    """This process, one task after the other."""

    workers = 1

    def map(self, work: Callable[[Task], Answer], tasks: Sequence[Task]) -> Iterator[Answer]:
        """The answer to each task."""
        return map(work, tasks)


class _Pool:
    def __init__(self, pool: ProcessPoolExecutor, workers: int) -> None:
        self._pool = pool
        self.workers = workers

    def map(self, work: Callable[[Task], Answer], tasks: Sequence[Task]) -> Iterator[Answer]:
        size = max(1, -(-len(tasks) // (self.workers * _SHARES)))
        try:
            yield from self._pool.map(work, tasks, chunksize=size)
        except BrokenProcessPool as cause:
            raise SpreadError(
                "a worker process died: too little memory? fewer --workers, fewer --replicas"
            ) from cause


class _Dask:
    def __init__(self, client: Any, workers: int) -> None:
        self._client = client
        self.workers = workers

    def map(self, work: Callable[[Task], Answer], tasks: Sequence[Task]) -> Iterator[Answer]:
        size = max(1, -(-len(tasks) // (self.workers * _SHARES)))
        parts = [tuple(tasks[first : first + size]) for first in range(0, len(tasks), size)]
        # Not pure: Dask would hash each part to see whether it has met it before.
        futures = self._client.map(partial(_part, work), parts, pure=False)
        for future in futures:
            yield from future.result()


def _part(work: Callable[[Task], Answer], tasks: Sequence[Task]) -> list[Answer]:
    return [work(task) for task in tasks]


@contextmanager
def processes(workers: int) -> Iterator[Spread]:
    """So many processes of this machine; with one, this process itself.

    Raises `UsageError` for a number that cannot be, `SpreadError` where a process dies.
    """
    if not 1 <= workers <= WORKERS_MAX:
        raise UsageError(f"{workers} workers: allowed are 1 to {WORKERS_MAX}")
    if workers == 1:
        yield Here()
        return
    # Spawned: what the parent's threads hold is not inherited half-way.
    context = multiprocessing.get_context("spawn")
    with _single_threaded(), ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield _Pool(pool, workers)


@contextmanager
def dask(address: str, workers: int) -> Iterator[Spread]:
    """The workers of a Dask scheduler, or with `LOCAL` a cluster of so many processes on this machine.

    The workers need this version of the package and of numpy. Raises `UsageError` where Dask is not
    installed, `SpreadError` where the scheduler does not answer.
    """
    try:
        from distributed import Client, LocalCluster  # noqa: PLC0415 # an extra, and slow to import
    except ImportError as cause:
        raise UsageError("--dask needs Dask: install lamplighter[dask]") from cause
    with warnings.catch_warnings():
        # Dask warns of its own affairs, such as a dashboard's port that is taken: they change no result.
        warnings.simplefilter("ignore")
        if address == LOCAL:
            with (
                _single_threaded(),
                LocalCluster(  # type: ignore[no-untyped-call] # Dask has no types
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=None,
                    host="127.0.0.1",
                    silence_logs=40,  # ERROR
                ) as cluster,
                Client(cluster) as client,  # type: ignore[no-untyped-call] # as above
            ):
                yield _Dask(client, workers)
            return
        try:
            client = Client(address, timeout=_CONNECT_SECONDS)  # type: ignore[no-untyped-call] # as above
        except (OSError, TimeoutError, ValueError) as cause:
            raise SpreadError(f"no Dask scheduler at {address}: {str(cause) or 'no answer'}") from cause
        with client:
            found = len(client.scheduler_info(n_workers=-1)["workers"])
            if not found:
                raise SpreadError(f"the Dask scheduler at {address} has no workers")
            yield _Dask(client, found)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Children begin with one thread for linear algebra each: they are as many as there are cores."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: before[name] or "1" for name in names})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
