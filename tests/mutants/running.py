"""Runs tests against mutants, many a second.

pytest collects the quick tests once. A first child process runs them all and notes which lines each of them runs. Then
there is a child for each mutant: it gets the mutated code in place of the function's own, and runs the tests that run
the mutated statement, the shortest first, until one fails. `fork()` takes milliseconds, collecting takes seconds.

What is no function's code (constants, defaults, decorators) cannot be put in later. There a child begins before pytest
has collected anything, and imports the mutated module.

A test that fails, a child that dies, or one that takes far longer than its tests did before, kills the mutant.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from coverage import Coverage
from hypothesis import HealthCheck, Phase, settings

from .making import SOURCES, Mutant

PACKAGE = "headless_discovery"
LOG = Path(tempfile.gettempdir()) / "headless-discovery-mutants.log"  # what the children write, and who survives
MEMORY = 2 << 30  # octets a child may have: a mutated loop may collect values for ever
SOCKETS = "headless_dns"  # a fixture: whoever wants it asks a real server, and is not quick
EXAMPLES = 25  # that Hypothesis makes up for a test; the same ones each time
SURVIVED, KILLED, BROKEN = 0, 1, 99

settings.register_profile(
    "mutants",
    settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    ),
)


@dataclass
class Notes:
    """What the tests do without a mutant."""

    seconds: dict[str, float] = field(default_factory=dict)  # by test
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)  # tests, by module and line
    failed: list[str] = field(default_factory=list)

    def tests_at(self, mutant: Mutant) -> list[str]:
        """Who runs the mutated statement, the shortest first."""
        lines = self.lines.get(mutant.module, {})
        return self._ordered(test for line in mutant.lines for test in lines.get(line, ()))

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Who runs anything of the module."""
        return self._ordered(test for tests in self.lines.get(mutant.module, {}).values() for test in tests)

    def _ordered(self, tests: Iterable[str]) -> list[str]:
        return sorted({test for test in tests if test}, key=lambda test: self.seconds[test])

    def limit(self, tests: Iterable[str]) -> float:
        """Seconds after which these tests wait for something that never comes, also on a busy machine."""
        return 60.0 + 20 * sum(self.seconds[test] for test in tests)

    def cpu_limit(self, test: str) -> float:
        """Seconds of CPU after which a test is in a loop without end. No test of the sans-IO middle waits."""
        return 2.0 + 10 * self.seconds[test]


class TestsFail(Exception):
    """The tests fail without any mutant."""


def run(mutants: Sequence[Mutant], files: Sequence[Path], jobs: int) -> dict[str, bool]:
    """Whether the tests kill each mutant, by its key. Raises `TestsFail`."""
    LOG.write_text("")
    progress = _Progress(len(mutants))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = folder / "results"
        list(_children([(None, 36_000.0, lambda: _warm(mutants, files, jobs, folder, results, progress))], 1))
        if not results.exists():
            raise RuntimeError(f"pytest has not collected the tests: see {LOG}")
        notes: Notes
        killed: dict[str, bool]
        late: list[Mutant]
        notes, killed, late = pickle.loads(results.read_bytes())
        if notes.failed:
            raise TestsFail("\n".join(notes.failed))
        progress.done = len(killed)
        killed |= _cold(late, notes, jobs, folder, progress)
    return killed


class _Progress:
    """A line for each hundred mutants, also from a child whose own stderr goes to the log; there, the survivors."""

    def __init__(self, total: int) -> None:
        self.done = 0
        self._total = total
        self._out = os.dup(2)
        self._start = time.monotonic()

    def step(self, mutant: Mutant, dead: bool) -> None:
        self.done += 1
        if not dead:
            with LOG.open("a") as log:
                log.write(f"survived: {mutant.key}\n")
        if self.done % 100 == 0:
            line = f"{self.done} of {self._total} mutants, {time.monotonic() - self._start:.0f} s\n"
            os.write(self._out, line.encode())


# Functions.


def _warm(
    mutants: Sequence[Mutant], files: Sequence[Path], jobs: int, folder: Path, results: Path, progress: _Progress
) -> int:
    _pytest(files, _Forking(mutants, jobs, folder / "notes", results, progress), folder)
    return 0


class _Forking:
    """In place of running the tests: a child to take notes, then a child for each mutant."""

    def __init__(self, mutants: Sequence[Mutant], jobs: int, notes: Path, results: Path, progress: _Progress) -> None:
        self._mutants = mutants
        self._jobs = jobs
        self._notes = notes
        self._results = results
        self._progress = progress

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if SOCKETS not in getattr(item, "fixturenames", ())]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        list(_children([(None, 3600.0, lambda: _take_notes(session.items, self._notes))], 1))
        notes: Notes = pickle.loads(self._notes.read_bytes())
        late: list[Mutant] = []
        killed: dict[str, bool] = {}
        if not notes.failed:
            items = {item.nodeid: item for item in session.items}
            for mutant, code in _children(self._work(items, notes, late, killed), self._jobs):
                killed[mutant.key] = code != SURVIVED
                self._progress.step(mutant, killed[mutant.key])
        self._results.write_bytes(pickle.dumps((notes, killed, late)))
        return True

    def _work(
        self, items: dict[str, pytest.Item], notes: Notes, late: list[Mutant], killed: dict[str, bool]
    ) -> Iterator[_Work]:
        for mutant in self._mutants:
            changed = _changed_functions(sys.modules[f"{PACKAGE}.{mutant.module}"], mutant.code)
            if changed is None:
                late.append(mutant)
            elif tests := notes.tests_at(mutant):
                chosen = [(items[test], notes.cpu_limit(test)) for test in tests]
                yield mutant, notes.limit(tests), partial(_run_until_failure, changed, chosen)
            else:
                killed[mutant.key] = False  # no test ever comes there
                self._progress.step(mutant, False)


def _run_until_failure(changed: list[tuple[FunctionType, CodeType]], items: list[tuple[pytest.Item, float]]) -> int:
    for function, code in changed:
        function.__code__ = code
    try:
        for (item, seconds), (following, _) in zip(items, [*items[1:], (None, 0)], strict=True):
            signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF ends the process
            if any(report.failed for report in runtestprotocol(item, log=False, nextitem=following)):
                return KILLED
    except BaseException:  # out of memory, or what else tears pytest down
        return KILLED
    return SURVIVED


def _take_notes(items: Sequence[pytest.Item], path: Path) -> int:
    notes = Notes()
    coverage = Coverage(data_file=None, config_file=False, include=[f"{SOURCES}/*.py"])
    coverage.start()
    for item, following in zip(items, [*items[1:], None], strict=True):
        coverage.switch_context(item.nodeid)
        start = time.perf_counter()
        reports = runtestprotocol(item, log=False, nextitem=following)
        notes.seconds[item.nodeid] = time.perf_counter() - start
        notes.failed += [f"{item.nodeid}\n{report.longreprtext}" for report in reports if report.failed]
    coverage.stop()
    data = coverage.get_data()
    for measured in data.measured_files():
        notes.lines[Path(measured).stem] = data.contexts_by_lineno(measured)
    path.write_bytes(pickle.dumps(notes))
    return 0


def _changed_functions(module: ModuleType, mutated: str) -> list[tuple[FunctionType, CodeType]] | None:
    """The functions whose code the mutated source changes; None if it changes anything else."""
    path = str(module.__file__)
    old, new = (compile(source, path, "exec", dont_inherit=True) for source in (Path(path).read_text(), mutated))
    if _outline(old) != _outline(new):
        return None
    changed = []
    for before, after in zip(_functions(old), _functions(new), strict=True):
        if _whole(before) != _whole(after):
            function = _living(module, after.co_qualname)
            if function is None or function.__code__.co_freevars != after.co_freevars:
                return None
            changed.append((function, after))
    return changed


def _is_function(code: CodeType) -> bool:
    return bool(code.co_flags & 0x0002)  # CO_NEWLOCALS: not a module and not the body of a class


def _functions(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if _is_function(constant):
                yield constant
            else:
                yield from _functions(constant)


def _outline(code: CodeType) -> tuple[object, ...]:
    """All that a module does when it is imported."""
    inner = [(c.co_qualname if _is_function(c) else _outline(c)) for c in code.co_consts if isinstance(c, CodeType)]
    return _own(code), inner


def _whole(code: CodeType) -> tuple[object, ...]:
    return _own(code), [_whole(constant) for constant in code.co_consts if isinstance(constant, CodeType)]


def _own(code: CodeType) -> tuple[object, ...]:
    """What a code object does. Lines may have moved, so where it stands is left out."""
    constants = [(type(c), repr(c)) for c in code.co_consts if not isinstance(c, CodeType)]
    signature = (code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_varnames, code.co_flags)
    return code.co_code, code.co_names, code.co_freevars, code.co_exceptiontable, constants, signature


def _living(module: ModuleType, name: str) -> FunctionType | None:
    """The function of that name in the module that is imported, under its decorators."""
    found: Any = module
    for part in name.split("."):
        found = vars(found).get(part)
        if found is None:
            return None
    found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
    found = getattr(found, "__wrapped__", found)
    return found if isinstance(found, FunctionType) else None


# All else.


def _cold(mutants: Sequence[Mutant], notes: Notes, jobs: int, folder: Path, progress: _Progress) -> dict[str, bool]:
    def work() -> Iterator[_Work]:
        for number, mutant in enumerate(mutants):
            tests = notes.tests_of(mutant)
            yield mutant, notes.limit(tests), partial(_import, mutant, tests, folder / str(number))

    killed: dict[str, bool] = {}
    for mutant, code in _children(work(), jobs):
        killed[mutant.key] = code != SURVIVED
        progress.step(mutant, killed[mutant.key])
    return killed


def _import(mutant: Mutant, tests: list[str], folder: Path) -> int:
    folder.mkdir()
    files = dict.fromkeys(SOURCES.parents[1] / test.partition("::")[0] for test in tests)
    return _pytest(files, _Importing(mutant, tests), folder)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != f"{PACKAGE}.{self._mutant.module}":
            return None
        file = str(SOURCES / f"{self._mutant.module}.py")
        return importlib.util.spec_from_file_location(fullname, file, loader=_Loader(fullname, file, self._mutant.code))


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, source: str) -> None:
        super().__init__(fullname, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Importing:
    """Puts the mutated module in, and the tests into order."""

    def __init__(self, mutant: Mutant, tests: list[str]) -> None:
        self._mutant = mutant
        self._places = {test: place for place, test in enumerate(tests)}

    def pytest_configure(self) -> None:
        # Not earlier: pytest puts its own finder first, and that one takes all packages with a plugin for pytest.
        sys.meta_path.insert(0, _Finder(self._mutant))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        places = self._places
        items[:] = sorted((item for item in items if item.nodeid in places), key=lambda item: places[item.nodeid])


def _pytest(arguments: Iterable[object], plugin: object, folder: Path) -> int:
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", f"no:{PACKAGE}", "--timeout=0"]
    options += ["--hypothesis-profile=mutants", f"--basetemp={folder / 'tests'}", "--tb=short"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported before pytest begins
    return int(pytest.main([*options, *map(str, arguments)], plugins=[plugin]))


# Processes.

_Work = tuple[Any, float, Callable[[], int]]  # what for, seconds it may take, what to do


def _children(work: Iterable[_Work], jobs: int) -> Iterator[tuple[Any, int]]:
    """A process for each piece of work, `jobs` at a time, and the code it ended with; -9 where time was over."""
    waiting = iter(work)
    running: dict[int, tuple[Any, float]] = {}
    more = True
    while more or running:
        while more and len(running) < jobs:
            piece = next(waiting, None)
            if piece is None:
                more = False
                break
            subject, limit, do = piece
            running[_child(do)] = subject, time.monotonic() + limit
        if not running:
            break
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            subject, _ = running.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if code == BROKEN:
                raise RuntimeError(f"see {LOG}")
            yield subject, code
            continue
        now = time.monotonic()
        for late in [pid for pid, (_, deadline) in running.items() if now > deadline]:
            os.kill(late, signal.SIGKILL)
        time.sleep(0.002)


def _child(do: Callable[[], int]) -> int:
    if pid := os.fork():
        return pid
    code = BROKEN
    try:
        quiet = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        code = do()
    except SystemExit:
        code = KILLED
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)
