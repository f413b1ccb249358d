"""The harness is worth something if it notices a broken core: each breakage is made in a copy and simulated."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import headless_discovery

PACKAGE = Path(headless_discovery.__file__).parent
TESTS = Path(__file__).parent.parent


class Breakage(NamedTuple):
    what: str
    old: str
    new: str
    noticed: str  # what the harness has to say
    world: str = "mixed"


FALSE_REMOVAL = "false removal"
MISSED = "missed change"
WRONG_JOIN = "wrong join"
NOT_TOLD = "not told"

REMOVE_SUSPECTS = """                self._count_absence(part)
                changed |= self._remove([key for key, absence in self._absent.items() if absence.answers >= 3])"""

BREAKAGES = [
    # Leaving.
    Breakage("an empty answer is believed at once", "if self._grace == 0 and has_soa:", "if True:", FALSE_REMOVAL),
    Breakage("two empty answers are enough", "EMPTY_ANSWERS = 3", "EMPTY_ANSWERS = 2", FALSE_REMOVAL, "foreign"),
    Breakage(
        "an answer that was cut is taken for whole", "complete=not message.truncated)", "complete=True)", FALSE_REMOVAL
    ),
    Breakage(
        "SRV cut by block is taken for whole", "return 0 < with_glue < len(targets)", "return True", FALSE_REMOVAL
    ),
    Breakage(
        "SRV whose glue alone was cut is taken for cut", "return 0 < with_glue < len(targets)", "return False", MISSED
    ),
    Breakage(
        "SRV cut in step with its glue is taken for whole",
        "return 0 < with_glue < len(targets)",
        "return 0 < with_glue",
        FALSE_REMOVAL,
        "in-step",
    ),
    Breakage(
        "any server's NXDOMAIN is believed",
        "if server == trusted or len(negatives) == len(self._conf.servers):",
        "if True:",
        "",
        "fallback",
    ),
    Breakage(
        "at the start the fallback server's NXDOMAIN is believed",
        "if server == trusted or len(negatives) == len(self._conf.servers):",
        "if self._memory.positive in (None, server) or len(negatives) == len(self._conf.servers):",
        "",
        "fallback",
    ),
    Breakage(
        "SERVFAIL means that nobody is there",
        "    if message.rcode not in (NOERROR, NXDOMAIN):",
        "    if message.rcode not in (NOERROR, NXDOMAIN, 2):",
        "",
    ),
    Breakage(
        "a lame server's empty answer counts",
        "if message.rcode == NOERROR and not message.answer and message.soa is None and not message.truncated:",
        "if False:",
        "",
    ),
    Breakage(
        "an answer for another name is none",
        "elif foreign := [owner for owner, kind in message.answer if kind in (A, AAAA, SRV) and owner != name]:",
        "elif foreign := []:",
        "",
        "foreign",
    ),
    Breakage("a failure empties the set", "self.failures += 1", "self.failures += 1\n        self._scopes.clear()", ""),
    Breakage("the young leave at once", "YOUNG = 10.0", "YOUNG = 0.0", FALSE_REMOVAL, "caches"),
    Breakage("the old stay longer", "YOUNG = 10.0", "YOUNG = 60.0", MISSED),
    Breakage(
        "the same cut again counts as evidence",
        "if seen == before or turnover < expected / 2:",
        "if False:",
        "",  # in worlds where A records are cut anew each time nothing is lost by it
        "same-cuts",
    ),
    Breakage("little chance is enough", "CHANCE = 1e-12", "CHANCE = 0.9", FALSE_REMOVAL),
    Breakage(
        "being seen does not clear the account",
        "for notes in (self._absent, self._missed_at):",
        "for notes in (self._missed_at,):",
        FALSE_REMOVAL,
        "month",
    ),
    Breakage("a suspect leaves unasked", "                self._count_absence(part)", REMOVE_SUSPECTS, FALSE_REMOVAL),
    Breakage(
        "an own name that fails removes",
        "for target, result in pairs if not isinstance(result, LookupFailed)}",
        "for target, result in [(t, NONE if isinstance(r, LookupFailed) else r) for t, r in pairs]}",
        FALSE_REMOVAL,
    ),
    Breakage(
        "max_stale is forgotten",
        "        if now < self.expires_at:\n            return False",
        "        return False",
        MISSED,
        "age",
    ),
    Breakage(
        "max_stale waits for the lookup that is under way",
        "if name.in_flight and membership.expires_at < inf:",
        "if False:",
        MISSED,
        "age",
    ),
    # Additional records.
    Breakage(
        "a family that is not shown is gone",
        "    if not seen:\n        return ours, False",
        "    if not seen:\n        return (), True",
        "",
        "dual-set",
    ),
    Breakage(
        "a part of a target's addresses is taken for all",
        "if not truncated or not ours or seen == ours:",
        "if True:",
        "",
        "several-addresses",
    ),
    # Names.
    Breakage(
        "another name's peers replace at once",
        "if self._members() and not self._rival.believed(now, has_soa):",
        "if False:",
        FALSE_REMOVAL,
        "suffixes",
    ),
    Breakage(
        "earlier names are never asked again",
        "if remembered and anybody and self.now < memory.earlier_at:",
        "if remembered and anybody:",
        "",
        "suffixes",
    ),
    Breakage(
        "types behind an NXDOMAIN are not asked for",
        "if self._held.rdtype is not None or self.now < memory.next_types_at:",
        "if True:",
        "",
        "types",
    ),
    # Telling.
    Breakage(
        "targets without an address are not told of",
        "        if lost:\n",
        "        if False:\n",
        NOT_TOLD,
        "no-address",
    ),
    Breakage(
        "after a failure nothing is scheduled",
        "self.due = now + max(0.0, self._backoff(self.consecutive_failures, error))",
        "self.due = inf",
        "next refresh",
    ),
    Breakage(
        "what went and came back meanwhile is told",
        "elif current == self._told:",
        "elif False:",
        "history",
        "caches",
    ),
    Breakage(
        "a merged change starts from the newest set",
        "Change(self._told, current)",
        "Change(current, current)",
        "history",
    ),
    Breakage(
        "the timer is not set after a lookup",
        "        self._sleep(name)\n        if membership.sampling:",
        "        if membership.sampling:",
        "no lookup for",
    ),
    Breakage(
        "the back-off is forgotten",
        "self.due = now + max(0.0, self._backoff(self.consecutive_failures, error))",
        "self.due = now",
        "in no time",
    ),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.what)
def test_a_broken_core_is_noticed(breakage: Breakage, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "headless_discovery", ignore=shutil.ignore_patterns("__pycache__"))
    having = [file for file in tmp_path.rglob("*.py") if breakage.old in file.read_text()]
    assert len(having) == 1, f"the text to break is not in one file: {breakage.old!r}"
    having[0].write_text(having[0].read_text().replace(breakage.old, breakage.new))
    simulated = subprocess.run(
        [sys.executable, "-m", "simulation", "--world", breakage.world, "--steps", "20000"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{TESTS}", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert simulated.returncode == 1, simulated.stdout
    assert "BROKEN" in simulated.stderr, simulated.stderr[-2000:]
    assert breakage.noticed in simulated.stderr, simulated.stderr[-2000:]
