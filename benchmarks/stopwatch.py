"""The time that a piece of code takes, also on a busy machine."""

from __future__ import annotations

import resource
import time


class Stopwatch:
    """Runs from when it is made, on one thread.

    `seconds()` is by the wall clock, with whatever the code waits for; but where the thread was made to give the
    processor up meanwhile (getrusage(2), ru_nivcsw), which tells about the neighbours, it is the thread's CPU time.
    """

    __slots__ = ("_began", "_cpu", "_interruptions")

    def __init__(self) -> None:
        self._interruptions = _interruptions()
        self._cpu = time.thread_time()
        self._began = time.perf_counter()

    def seconds(self) -> float:
        wall = time.perf_counter() - self._began
        return wall if _interruptions() == self._interruptions else time.thread_time() - self._cpu


def _interruptions() -> int:
    if not hasattr(resource, "RUSAGE_THREAD"):  # Linux only
        return 0
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
