"""Tasks that wait for exchanges, stepped without I/O: the rules of a lookup read top to bottom, also where they wait.

A task is a generator. It yields an exchange to wait for its reply, or a list of tasks to wait for all their outcomes,
of which an error is one. Whoever moves the bytes opens the exchanges that `begin`, `replied` and `failed` return, and
tells what became of each, until `result` is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from .errors import LookupFailed

T = TypeVar("T")
E = TypeVar("E")  # exchange
M = TypeVar("M")  # its reply

Task: TypeAlias = Generator[Any, Any, T]
IN_FLIGHT = 10  # tasks of a list that run at the same time


class ExchangeFailed(Exception):
    """Raised in the task that waits for an exchange.

    `timed_out`: no reply came in time. `asked`: False if the question was never sent. `rcode`: what the reply said.
    """

    def __init__(self, problem: str, *, timed_out: bool = False, asked: bool = True, rcode: int | None = None) -> None:
        super().__init__(problem)
        self.rcode = rcode
        self.timed_out = timed_out
        self.asked = asked


@dataclass(slots=True)
class _Group:
    owner: _Run
    waiting: Iterator[tuple[int, Task[Any]]]
    results: list[Any]
    open: int


@dataclass(slots=True)
class _Run:
    task: Task[Any]
    group: _Group | None = None
    index: int = 0


class Steps(Generic[E, M, T]):
    """Runs one task to its `result`: what it returns, or the `LookupFailed` it raises.

    `now` is the time of the last step, in seconds; `queries` counts the exchanges.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.result: T | LookupFailed | None = None
        self.queries = 0
        self._waiting: dict[E, _Run] = {}
        self._opened: list[E] = []
        self._ready: deque[tuple[_Run, Any]] = deque()

    def start(self, now: float) -> list[E]:
        """The exchanges to open first; a subclass says what to `begin` with."""
        raise NotImplementedError

    def begin(self, task: Task[T], now: float) -> list[E]:
        return self._step(now, _Run(task), None)

    def replied(self, exchange: E, message: M, now: float) -> list[E]:
        return self._step(now, self._waiting.pop(exchange), message)

    def failed(self, exchange: E, problem: str, now: float, *, timed_out: bool = False) -> list[E]:
        return self._step(now, self._waiting.pop(exchange), ExchangeFailed(problem, timed_out=timed_out))

    def _step(self, now: float, run: _Run, value: Any) -> list[E]:
        self.now = now
        self._ready.append((run, value))
        while self._ready:
            run, value = self._ready.popleft()
            try:
                effect = run.task.throw(value) if isinstance(value, Exception) else run.task.send(value)
            except StopIteration as stop:
                self._ended(run, stop.value)
            except LookupFailed as error:
                self._ended(run, error)
            else:
                if isinstance(effect, list):
                    self._fork(run, effect)
                else:
                    self.queries += 1
                    self._waiting[effect] = run
                    self._opened.append(effect)
        opened, self._opened = self._opened, []
        return opened

    def _fork(self, owner: _Run, tasks: list[Task[Any]]) -> None:
        group = _Group(owner, iter(enumerate(tasks)), [None] * len(tasks), 0)
        for _ in range(IN_FLIGHT):
            self._spawn(group)
        if not group.open:
            self._ready.append((owner, group.results))

    def _spawn(self, group: _Group) -> None:
        for index, task in group.waiting:
            group.open += 1
            self._ready.append((_Run(task, group, index), None))
            return

    def _ended(self, run: _Run, outcome: Any) -> None:
        if run.group is None:
            self.result = outcome
            return
        group = run.group
        group.results[run.index] = outcome
        group.open -= 1
        self._spawn(group)
        if not group.open:
            self._ready.append((group.owner, group.results))
