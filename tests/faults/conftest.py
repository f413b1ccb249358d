"""Nothing leaks: what is open after a row was open before it."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.matrix import World
from headless_discovery import HeadlessService
from headless_discovery.iothread import io
from support.subscribers import eventually
from support.twins import Twin


def descriptors() -> Counter[str]:
    """Open file descriptors by kind: socket, anon_inode:[eventpoll], pipe, a file's path."""
    kinds: Counter[str] = Counter()
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:  # the one that listdir itself used
            continue
        kinds[target.partition(":[")[0] if target.startswith(("socket:", "pipe:")) else target] += 1
    return kinds


def threads() -> set[threading.Thread]:
    """Without the library's pool, whose size is bounded and whose idle threads end by themselves."""
    return {t for t in threading.enumerate() if not t.name.startswith("headless-discovery-callback")}


@pytest.fixture(scope="module")
def io_thread() -> Iterator[None]:
    """One static service, so that the I/O thread is there before and after each row."""
    with HeadlessService("10.0.0.1:1"):
        yield


@pytest.fixture
def nothing_leaks(io_thread: None) -> Iterator[None]:
    gc.collect(1)  # what the row before has left in cycles; all of it would take longer than most rows
    open_before, threads_before, services_before = descriptors(), threads(), set(io.services)
    yield
    assert set(io.services) == services_before
    assert not io._callbacks, "sockets are left open"
    eventually(lambda: threads() == threads_before, "the end of the threads")
    assert descriptors() == open_before


@pytest.fixture
def world(twin: Twin, nothing_leaks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(twin, tmp_path, monkeypatch)
    try:
        yield world
    finally:
        world.close()
