"""Breaks the core on purpose, one rule at a time, in a copy, and sees the tests catch it.

    python tests/breakages.py [WORD ...]     # all, or those whose description has one of the words

Exits with 1 if a breakage survives, or if its text is not found any more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FAST = "tests/test_lookup.py tests/test_membership.py tests/test_reader.py tests/test_wire.py tests/test_model.py"
READER = "tests/test_reader.py tests/test_wire.py"
REAL = "tests/test_twins.py tests/test_sync.py tests/test_aio.py tests/test_fork.py tests/test_watchers.py"

RULES = (
    "tests/test_glue.py tests/test_search.py tests/test_hosts.py tests/test_resolvconf.py tests/faults/test_matrix.py"
)
CONNECTIONS = "tests/test_connections.py tests/test_pickers.py tests/test_ticks.py tests/faults/test_matrix.py"


class Breakage(NamedTuple):
    what: str
    file: str
    old: str
    new: str
    tests: str = FAST


BREAKAGES = [
    Breakage(
        "believe an empty answer at once",
        "membership.py",
        "if self._grace == 0 and has_soa:",
        "if True:",
    ),
    Breakage("believe two empty answers", "membership.py", "EMPTY_ANSWERS = 3", "EMPTY_ANSWERS = 2"),
    Breakage("failures reset the count of empty answers", "membership.py", "self.failures += 1", "self.failures += 1\n        for s in self._scopes.values(): s._emptiness.over()"),
    Breakage("drop on TC", "lookup.py", "complete=not message.truncated)", "complete=True)"),
    Breakage("an SRV answer cut by block is whole", "lookup.py", "return 0 < with_glue < len(targets)", "return True"),
    Breakage(
        "believe the second server's NXDOMAIN",
        "servers.py",
        "if server == trusted or len(negatives) == len(self._conf.servers):",
        "if True:",
    ),
    Breakage("the search walk goes on after a failure", "lookup.py", "if failure is not None and name != self.question.name:", "if False:", RULES),
    Breakage("a failure removes everybody", "membership.py", "self._samples = 0\n        self.due = now + max", "self._scopes.clear()\n        self._samples = 0\n        self.due = now + max"),
    Breakage("forget the young", "membership.py", "YOUNG = 10.0", "YOUNG = 0.0"),
    Breakage("two absences are chance enough", "membership.py", "absence.answers >= 3 and absence.log_chance <= bound", "absence.answers >= 2"),
    Breakage("any incomplete answer is a fresh draw", "membership.py", "if seen == before or turnover < expected / 2:", "if False:"),
    Breakage("samples below half of the union count", "membership.py", "if share < 0.5:", "if False:"),
    Breakage("an SRV suspect leaves unasked", "membership.py", "self._absent.setdefault(key, _Absence()).answers += 1", "self._absent.setdefault(key, _Absence()).answers += 1\n        self._remove([k for k, a in self._absent.items() if a.answers >= 3])"),
    Breakage("peers of SRV have no fixed key", "membership.py", "if None in detail.addresses:", "if False:"),
    Breakage("the newest answer's target does not count", "membership.py", "return key not in self.latest,", "return False,"),
    Breakage("compare lists instead of sets", "model.py", "return self._peers == other._peers", "return self._peers is other._peers"),
    Breakage("key members by identity", "model.py", "by_endpoint.setdefault(peer.endpoint, peer)", "by_endpoint.setdefault(peer.identity, peer)"),
    Breakage("a shared hostname identifies", "model.py", "self.hostname is None or self._ambiguous or", "self.hostname is None or"),
    Breakage("accept any id", "wire.py", "if ident != self.ident or", "if"),
    Breakage("accept any question", "wire.py", "if data[12:end].lower() != self._question.lower():", "if False:"),
    Breakage("a dashed target is taken at its word anywhere", "glue.py", "if target[0] not in HEX or not target.endswith(\".\" + base) or target.count(\".\") != base.count(\".\") + 1:", "if False:", RULES),
    Breakage("link-local addresses get in", "settings.py", "if ip.is_link_local:", "if False:"),
    Breakage("a CNAME chain without end", "servers.py", "if hops > MAX_CNAMES:", "if hops > 100:"),
    Breakage("the TTL's top bit counts", "reader.py", "return rdtype, 0 if ttl & 0x8000_0000 else ttl, start, end", "return rdtype, ttl, start, end"),
    Breakage("only the first record of a run is compared", "reader.py", "if any(data[at + column : stop : stride].count(data[at + column]) != count for column in alike):", "if False:"),
    Breakage("only the first record of a short run is compared", "reader.py", "if beginnings.count(beginnings[0]) == count == lengths.count(size):", "if True:"),
    Breakage("a name may point into itself", "reader.py", "if after > start:", "if False:", READER + " tests/fuzz"),
    Breakage("a name may lead through any number of pointers", "reader.py", "if depth >= _POINTERS:", "if depth >= 500:", READER),
    Breakage("names have no longest", "reader.py", "if octets > 255:", "if False:", READER),
    Breakage("names and records cost nothing", "reader.py", "_STEPS = 15_000", "_STEPS = 10**9", READER),
    Breakage("a run of records costs nothing", "reader.py", "_RUN = 24 ", "_RUN = 0 ", READER),
    Breakage("the largest answers are too much", "reader.py", "_STEPS = 15_000", "_STEPS = 12_000", READER),
    Breakage("bulk is never given up", "reader.py", "self.misses > _MISSES", "False", READER),
    Breakage("OPT has no options", "reader.py", "                if rdtype == OPT:\n                    if name or opts:", "                if rdtype == OPT:\n                    if name or opts or length:", READER),
    Breakage("several OPT records", "reader.py", "if name or opts:", "if name:", READER),
    Breakage("OPT in the answer section is stepped over", "reader.py", "            if rdtype == OPT:\n                raise WireError(\"an OPT record outside", "            if False:\n                raise WireError(\"an OPT record outside", READER),
    Breakage("another class is read as ours", "reader.py", "if rdclass != 1 or rdtype == OPT:", "if rdtype == OPT:", READER),
    Breakage("escapes are not counted as one octet", "reader.py", "self.octets[name] = octets", "self.octets[name] = len(name) + 2", READER),
    Breakage("names with escapes are remembered", "reader.py", 'bool(name) and "\\\\" not in name', "bool(name)", READER + " tests/fuzz"),
    Breakage("control characters stand for themselves", "reader.py", "for octet in range(0x21, 0x7F)", "for octet in range(0x7F)", READER),
    Breakage("a pointer is remembered as a name's end", "reader.py", "if everywhere := _is_everywhere(target, name):", "if everywhere := True:", READER),
    Breakage("names are remembered for ever", "reader.py", "if len(_seen) >= _SEEN_MAX:", "if False:", READER),
    Breakage("cut messages are refused", "reader.py", "if not message.truncated:\n                raise", "raise", READER),
    Breakage("the last of several CNAMEs is followed", "reader.py", "rrset.values += values", "rrset.values[:0] = values", READER),
    Breakage("the last SOA's times count", "reader.py", "if message.soa is not None:", "if False:", READER),
    Breakage("dnspython reads anything", "wire.py", "if len(data) > FALLBACK_SIZE:", "if False:", READER),
    Breakage("a server may send any number of messages at once", "connections.py", "if number >= STRANGERS:", "if False:", CONNECTIONS),
    Breakage("no jitter", "membership.py", "_late(ttl, self._rng.random())", "0.0"),
    Breakage("jitter at each refresh", "membership.py", "max(0.0, 1 - (1 - drawn) / LATE)", "drawn"),
    Breakage("a fifth of the jitter", "membership.py", "max(0.0, 1 - (1 - drawn) / LATE)", "drawn * LATE"),
    Breakage("a cut answer is checked soon for ever", "membership.py", "        self.recheck = False\n        before", "        before"),
    Breakage("max_stale is over before the refresh", "membership.py", "settings.max_stale - self._chance()))", "settings.max_stale + 60))"),
    Breakage("one answer of several ends the first refresh", "membership.py", "self.answered_at is None or self.sampling", "self.answered_at is None", "tests/test_scale.py"),
    Breakage("max_peers bounds an answer, not the union of samples", "membership.py", 'if self._settings.answers == "sample":\n            return len', "if False:\n            return len"),
    Breakage("max_stale is forgotten", "membership.py", "if now < self.expires_at:", "if True:"),
    Breakage("skip the after-fork hook", "iothread.py", "after_in_child=io.after_fork_in_child", "after_in_child=lambda: None", REAL),
    Breakage("refresh does not ask", "service.py", "name.membership.due = max(now, (name.ended_at or now) + MIN_PAUSE) if failing else now", "pass", REAL),
    Breakage("no new lookup after a failure", "service.py", "        self._sleep(name)\n        if membership.sampling:", "        if error is None: self._sleep(name)\n        if membership.sampling:", REAL),
    Breakage("a subscriber is told from the service's last set", "watchers.py", "change = Change(self._told, current)", "change = Change(PeerSet(), current)", REAL),
    Breakage("a cancelled subscriber is called", "watchers.py", "is not self._told and self.active", "is not self._told", REAL),
    Breakage("a kept connection that is dead is a failure", "transport.py", "if self._kept and not self._alive:", "if False:", CONNECTIONS),
    Breakage("a connection with more than the answer is kept", "connections.py", "if self._frames.pending or", "if", CONNECTIONS),
    Breakage("connections never grow old", "connections.py", "self._timer = self._host.call_near(self.expires, self._drop)", "pass", CONNECTIONS),
    Breakage("connections outlive the services", "asker.py", "if not self._askers:", "if False:", CONNECTIONS),
    Breakage("a picker that is built picks who has left", "pickers.py", "if now.get(peer.endpoint) is None]", "if False]", CONNECTIONS),
    Breakage("an SRV answer with other weights is the same", "servers.py", "if records != self.records and set(records) != set(self.records):", "if len(records) != len(self.records):"),
    Breakage("an SRV answer with other glue is the same", "servers.py", "if len(known) - len(rest) != len(set(shown)):", "if False:"),
    Breakage("missing glue is taken for the old one", "glue.py", "elif bare.addresses.issuperset(ours):", "elif True:"),
    Breakage("a timer may be early", "ticks.py", "ceil(min(when, NEVER) / TICK - self._phase)", "int(min(when, NEVER) / TICK - self._phase)", CONNECTIONS),
    # Dual stack (field: 700 pods that do not change lost thousands of endpoints).
    Breakage("a family that is not shown is gone", "glue.py", "    if not seen:\n        return ours, False", "    if not seen:\n        return (), True", RULES),
    Breakage("cut glue replaces", "glue.py", "if not truncated or not ours or seen == ours:", "if True:", RULES),
    Breakage("cut glue only adds", "glue.py", "if not settled and seen and known != ours:", "if False:", RULES),
    Breakage("IPv6 alone is a peer already", "membership.py", 'if known.v4 is None and family != "ipv6":', "if False:", RULES),
    Breakage("dashed names of the other family are asked for", "lookup.py", "return kept if v4 else targets", "return targets", RULES),
    Breakage("the bare name speaks for every registry", "glue.py", "if listed and (known := others[target]) and listed.issuperset(known):", "if bare.complete and not bare.addresses:", RULES),
    Breakage("two targets may have one address for ever", "glue.py", "if any(claims[address] > 1 for address in ours):", "if False:", RULES),
    Breakage("no budget for own names", "glue.py", "to_ask = urgent if self._first else self._drawn(urgent, later, budget)", "to_ask = urgent", RULES),
    Breakage("a whole RRset that lacks one is the same", "servers.py", "if not truncated and any(len(address) in sizes for address in rest):", "if False:", RULES),
    Breakage("glue in step is cut glue", "lookup.py", "return 0 < with_glue < len(targets)", "return 0 < with_glue", RULES),
    # Servers that count, names that win.
    Breakage("before a positive answer anybody counts", "servers.py", "trusted = self._memory.positive or self._conf.servers[0]", "trusted = self._memory.positive or server", RULES),
    Breakage("a new resolv.conf is believed at once", "servers.py", "self.name = self.good = None", "self.name = self.good = self.positive = None", RULES),
    Breakage("a wildcard keeps the service for ever", "lookup.py", "if remembered and anybody and self.now < memory.earlier_at:", "if remembered and anybody:", RULES),
    Breakage("another name replaces at once", "membership.py", "if self._members() and not self._rival.believed(now, has_soa):", "if False:", RULES),
    Breakage("another name need not last", "membership.py", "if answer.rival is None:\n            self._rival.over()", "if answer.rival is None:\n            pass", RULES),
    Breakage("a held name is dropped with its suffix", "lookup.py", "return names if held is None or held in names else [*names, held]", "return names", RULES),
    Breakage("earlier names may take all the time", "lookup.py", "self._ask_by(min(self._deadline, self.now + EARLIER_TIMEOUT))", "self._ask_by(self._deadline)", RULES),
    Breakage("a refused suffix ends the walk", "lookup.py", "                refused.append(error)", "                raise", RULES),
    Breakage("a name that was used after a failure is remembered", "lookup.py", "if isinstance(other, LookupFailed) and anybody and not remembered:", "if False:", RULES),
    Breakage("an answer for another name is emptiness", "servers.py", "elif foreign := [", "elif False and [", RULES),
    Breakage("NXDOMAIN is believed for every type", "lookup.py", "if self._held.rdtype is not None or self.now < memory.next_types_at:", "if True:", RULES),
    Breakage("any after SRV asks for IPv4 alone", "lookup.py", 'family: (rdtypes,) if family == "any" else', 'family:', RULES),
    Breakage("a chain that was cut is no answer", "servers.py", "elif name != asked and (message.truncated or message.soa is None):", "elif name != asked and message.soa is None:", RULES),
    # Targets, files, time.
    Breakage("an IP address as target is a name", "glue.py", "elif (literal := literal_target(target)) is not None:", "elif (literal := None) is not None:", RULES),
    Breakage("targets without an address are not told", "lookup.py", "        if lost:", "        if False:", RULES),
    Breakage("port 0 is not told", "lookup.py", "if portless := sum(not record.port for record in records):", "if portless := 0:", RULES),
    Breakage("an instance on the same host is lost", "lookup.py", "if len(known) > 1 and len(crowded) < len(ports):", "if False:", RULES),
    Breakage("a resolv.conf that could not be read once is not read again", "resolvconf.py", "                self._stamp = stamp  # only now: what could not be read is tried again", "                pass\n            finally:\n                self._stamp = stamp", RULES),
    Breakage("use-vc is not read", "resolvconf.py", 'elif word == "use-vc":', "elif False:", RULES),
    Breakage("use-vc does nothing", "servers.py", 'always = settings.tcp == "always" or (settings.tcp == "auto" and self._conf.use_vc)', 'always = settings.tcp == "always"', RULES),
    Breakage("a zone id is lost", "connections.py", "if not percent:", "if True:", RULES),
    Breakage("max_stale waits for the lookup", "service.py", "if name.in_flight and membership.expires_at < inf:", "if False:", RULES),
    Breakage("what max_stale emptied is empty", "service.py", "elif not live.peers and any(m.given_up for m in memberships):", "elif False:", RULES),
    Breakage("oneself is where the DNS server is reached from", "transport.py", "sock.connect((address, 9))", 'sock.connect(("127.0.0.1", 9))', RULES),
    Breakage("SRV questions look into the hosts file", "lookup.py", "return _Found(name, (Part(SRV, HOSTS_TTL, has_soa=True),), None) if localhost else None", "return self._by_hosts_file(name)", RULES),
    Breakage("the hosts file is read once", "hosts.py", "if stamp == self._stamp:", "if self._stamp:", RULES),
    Breakage("a child forgets which server counts", "asker.py", "if before is not None:", "if False:", REAL),
]  # fmt: skip


def survives(breakage: Breakage) -> str | None:
    """None if the tests catch it, else what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("src", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        path = copy / "src" / "headless_discovery" / breakage.file
        text = path.read_text()
        if text.count(breakage.old) != 1:
            return f"its text stands {text.count(breakage.old)} times in {breakage.file}"
        path.write_text(text.replace(breakage.old, breakage.new))
        tests = [test for test in breakage.tests.split() if (copy / test).exists()]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        env = {**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            run = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            return None  # it hangs: caught
        return None if run.returncode == 1 else f"pytest ended with {run.returncode}: {run.stdout[-300:]}"


def main() -> int:
    words = sys.argv[1:]
    chosen = [b for b in BREAKAGES if not words or any(word in b.what for word in words)]
    failed = 0
    for number, breakage in enumerate(chosen, 1):
        problem = survives(breakage)
        failed += problem is not None
        print(f"[{number}/{len(chosen)}] {'caught  ' if problem is None else 'SURVIVED'} {breakage.what}", flush=True)
        if problem is not None:
            print(f"    {problem}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} breakages caught")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
