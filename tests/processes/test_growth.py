"""100,000 times the same leaves nothing behind: no objects, threads or descriptors."""

from __future__ import annotations

import pytest

from headless_discovery.testing import DNSServer
from support.processes import python

MEASURE = """
import tracemalloc
from collections import Counter

def descriptors():
    return len(os.listdir("/proc/self/fd"))

def settled():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]

GROWTH = 100_000  # octets: one that each of 100,000 cycles left behind
"""

SYNC = (
    MEASURE
    + """
svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:])
svc.start()
told = []

def cycles(number):
    for _ in range(number):
        svc.watch(told.append).cancel()
    del told[:]
    eventually(lambda: not iothread.workers._jobs, "all jobs taken")

from headless_discovery import iothread

cycles(2000)
tracemalloc.start()
threads, open_before, before = threading.active_count(), descriptors(), settled()
cycles(100_000)
after = settled()
assert after - before < GROWTH, (before, after)
assert descriptors() == open_before
assert threading.active_count() <= threads + iothread.MAX_CALLBACK_THREADS
assert not svc._service.watchers.called
assert svc.status.callback_errors == 0
svc.close()
"""
)

ASYNC = (
    MEASURE
    + """
async def main():
    async with AsyncHeadlessService(NAME, 8080, nameservers=sys.argv[1:]) as svc:
        told = []

        async def cycles(number):
            for turn in range(number):
                svc.watch(told.append).cancel()
                if turn % 100 == 0:
                    await asyncio.sleep(0)
            del told[:]
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0)

        await cycles(2000)
        tracemalloc.start()
        open_before, before = descriptors(), settled()
        await cycles(100_000)
        after = settled()
        assert after - before < GROWTH, (before, after)
        assert descriptors() == open_before
        assert not svc._service.watchers.called

asyncio.run(main())
"""
)


@pytest.mark.parametrize("script", [SYNC, ASYNC], ids=["sync", "async"])
def test_100_000_times_watch_and_cancel(headless_dns: DNSServer, script: str) -> None:
    headless_dns.service("headless-svc", "moon", pods=3)
    python(script, headless_dns.nameserver)


def test_100_000_iterators_that_are_dropped_or_closed(headless_dns: DNSServer) -> None:
    headless_dns.service("headless-svc", "moon", pods=3)
    python(
        MEASURE
        + """
svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:])
svc.start()

def cycles(number):
    for turn in range(number):
        changes = svc.changes()
        next(changes)
        if turn % 2:
            changes.close()

cycles(2000)
tracemalloc.start()
before = settled()
cycles(100_000)
after = settled()
assert after - before < GROWTH, (before, after)
svc.close()
""",
        headless_dns.nameserver,
    )


def test_thousands_of_refreshes_leave_no_timers_behind(headless_dns: DNSServer) -> None:
    """Each lookup sets a time limit and cancels it; the limits are seconds away."""
    headless_dns.service("headless-svc", "moon", pods=3)
    python(
        MEASURE
        + """
from headless_discovery.iothread import io

svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], min_ttl=0)
svc.start()
for _ in range(5000):
    svc.refresh()
with io.lock:
    waiting = len(io._timers)
assert waiting < 500, waiting
svc.close()
""",
        headless_dns.nameserver,
    )


def test_thousands_of_services_come_and_go(headless_dns: DNSServer) -> None:
    headless_dns.service("headless-svc", "moon", pods=3)
    python(
        MEASURE
        + """
from headless_discovery.iothread import io

def cycles(number):
    for turn in range(number):
        with HeadlessService(NAME, 8080, nameservers=sys.argv[1:]) as svc:
            svc.watch(lambda change: None)

async def async_cycles(number):
    for turn in range(number):
        async with AsyncHeadlessService(NAME, 8080, nameservers=sys.argv[1:]) as svc:
            svc.changes()

cycles(200)
asyncio.run(async_cycles(200))
tracemalloc.start()
open_before, before = descriptors(), settled()
cycles(700)
asyncio.run(async_cycles(700))
after = settled()
assert after - before < GROWTH, (before, after)
assert descriptors() == open_before
assert not io.services and not io._callbacks
""",
        headless_dns.nameserver,
    )
