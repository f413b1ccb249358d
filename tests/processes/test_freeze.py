"""SIGSTOP, then SIGCONT: a frozen process asks once when it wakes, and again when the TTL is over; no burst.

Time has to pass while it is frozen. Another service, in this process, shows that it did: by its own refreshes.
"""

from __future__ import annotations

import os
import signal

import pytest

from headless_discovery import HeadlessService
from headless_discovery.testing import DNSServer
from support import PATIENCE
from support.subscribers import eventually

from .talking import Talking

REPORT = """
def report(status, before):
    # From one answer to the next question: a TTL, however late anybody looks.
    print(status.lookups - before.lookups, status.queries - before.queries, status.failures,
          status.age + status.next_refresh_in >= 1, status.state)
"""

SYNC = (
    REPORT
    + """
svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], timeout=0.5)
with svc:
    before = svc.status
    print("up")
    eventually(lambda: len(svc.peers()) == 3)
    report(svc.status, before)
"""
)

ASYNC = (
    REPORT
    + """
async def main():
    svc = AsyncHeadlessService(NAME, 8080, nameservers=sys.argv[1:], timeout=0.5)
    async with svc:
        before = svc.status
        print("up")
        await svc.wait_for(3, PATIENCE)
        report(svc.status, before)

asyncio.run(main())
"""
)

twins = pytest.mark.parametrize("script", [SYNC, ASYNC], ids=["sync", "async"])


def stopped(pid: int) -> None:
    """The process has come to a stop."""
    with open(f"/proc/{pid}/stat") as stat:
        eventually(lambda: bool(stat.seek(0) or stat.read().rpartition(") ")[2].startswith("T")), "a stopped process")


def pass_time(dns: DNSServer, ttls: int) -> None:
    """So many TTLs of 1 s, as another service counts them."""
    dns.service("clock", "moon", pods=1)
    name = "clock.moon.svc.cluster.local"
    with HeadlessService(name, nameservers=[dns.nameserver]):
        dns.wait_for_queries(1 + ttls, PATIENCE, name=name)


@twins
def test_asleep_for_several_ttls(headless_dns: DNSServer, script: str) -> None:
    web = headless_dns.service("headless-svc", "moon", pods=2)
    with Talking(script, headless_dns.nameserver) as process:
        process.hear("up")
        os.kill(process.pid, signal.SIGSTOP)
        stopped(process.pid)
        asked = headless_dns.count(web)
        pass_time(headless_dns, 3)
        web.scale(3)
        assert headless_dns.count(web) == asked
        os.kill(process.pid, signal.SIGCONT)
        process.hear(f"{asked} {asked} 0 True fresh")  # the first one was before "up", and one is new


@twins
def test_asleep_in_the_middle_of_a_lookup(headless_dns: DNSServer, script: str) -> None:
    """The answer came while it slept, and all of the lookup's time is over: what is there is read first."""
    web = headless_dns.service("headless-svc", "moon", pods=2)
    with Talking(script, headless_dns.nameserver) as process:
        process.hear("up")
        asked = headless_dns.count(web)
        headless_dns.fail("hold")
        headless_dns.wait_for_queries(asked + 1, PATIENCE, name=web)
        web.scale(3)
        os.kill(process.pid, signal.SIGSTOP)
        stopped(process.pid)
        headless_dns.recover()  # and the answer is on its way, with what was there before
        pass_time(headless_dns, 2)
        os.kill(process.pid, signal.SIGCONT)
        report = process.hear()
        assert report.endswith("True fresh"), report
        lookups, queries, _ = map(int, report.split()[:3])
        assert lookups <= 3
        assert queries <= 4


def test_nobody_waits_for_a_frozen_neighbour(headless_dns: DNSServer) -> None:
    """A child that is frozen in mid-lookup has no lock that its parent needs."""
    script = """
    svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK)
    svc.start()
    child = Child(lambda it: (it.say("up"), svc.wait_for(4, PATIENCE)))
    child.hear()
    os.kill(child.pid, signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)
    for _ in range(20):
        svc.refresh()
    print("refreshed")
    svc.wait_for(4, PATIENCE)
    os.kill(child.pid, signal.SIGCONT)
    child.join()
    svc.close()
    print("both")
    """
    web = headless_dns.service("headless-svc", "moon", pods=2)
    with Talking(script, headless_dns.nameserver) as process:
        process.hear("refreshed")
        web.scale(4)
        process.hear("both")
