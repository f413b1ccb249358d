"""gevent: the library works, whether it is imported or started before or after everything is patched."""

from __future__ import annotations

import pytest

from headless_discovery.testing import DNSServer

from .talking import Talking

PATCH = "from gevent import monkey; monkey.patch_all()\n"

START = """
import sys, os, threading, time
from headless_discovery import *

NAME = "headless-svc.moon.svc.cluster.local"
svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], min_ttl=0, max_ttl=0.05)
told = []
"""

QUICK_END = """
from headless_discovery import iothread

iothread.IDLE = 0.1  # seconds: so that threads end, and greenlets that a fork has copied wake up
"""

BEGIN = """
svc.on_change(told.append)
svc.start()
"""

FORK = """
if (pid := os.fork()):
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""

WORK = """
import gevent

ticks = [0]

def tick():
    while True:
        ticks[0] += 1
        gevent.sleep(0.001)

gevent.spawn(tick)

def until(condition):
    with gevent.Timeout(20):
        while not condition():
            gevent.sleep(0.005)

others = [[], [], []]

def slow(changes):
    def callback(change):
        gevent.sleep(0.01)
        changes.append(change)
    return callback

for changes in others:
    svc.watch(slow(changes))
print(len(svc.peers()))
for number in (3, 4, 5):
    before = ticks[0]
    assert len(svc.wait_for(number, 20)) == number
    assert ticks[0] > before, "the whole process waited"
    assert len(svc.refresh()) == number
    assert svc.pick() in svc.peers()
    for changes in (told, *others):
        until(lambda: changes and len(changes[-1].current) == number)
    print(number)
try:
    svc.wait_for(9, 0.01)
except WaitTimeout:
    print("waited")
many = [gevent.spawn(svc.refresh) for _ in range(20)]
gevent.joinall(many, timeout=20, raise_error=True)
assert all(len(greenlet.value) == 5 for greenlet in many)
assert svc.status.failures == 0 and svc.status.callback_errors == 0
iterator = svc.changes()
next(iterator)
waiting = gevent.spawn(lambda: list(iterator))
gevent.sleep(0)
svc.close()
assert waiting.get(timeout=20) == []
print("closed")
sys.stdout.flush()
"""

CROWD = """
import gevent

crowd = [HeadlessService(NAME, 8080, nameservers=sys.argv[1:]) for _ in range(20)]
waiting = [gevent.spawn(service.wait_for, 2, 20) for service in crowd]
gevent.joinall(waiting, timeout=20, raise_error=True)
for service in crowd:
    service.close()
"""

BLOCK = """
hole = os.pipe()
svc.on_change(lambda change: len(change.current) == 3 and os.read(hole[0], 1))  # blocks whatever thread it is on
"""

ALONE = """
while any("callback" in thread.name for thread in threading.enumerate()):
    time.sleep(0.01)
"""

WATCH = """
import gevent

print(len(svc.peers()))
for number in (3, 4, 5):
    with gevent.Timeout(20):
        while not (len(svc.peers()) == number and told and len(told[-1].current) == number):
            gevent.sleep(0.005)
    print(number)
svc.close()
os.write(hole[1], b".")
sys.stdout.flush()
"""

ORDERS = {
    "patched first": PATCH + QUICK_END + START + BEGIN + WORK,
    "imported first": START + QUICK_END + PATCH + CROWD + BEGIN + WORK,
    "started first": START + BEGIN + PATCH + WORK,
    "started first, in a parent": START + BEGIN + FORK + PATCH + WORK,
    "patched first, started in a parent": PATCH + QUICK_END + START + BEGIN + FORK + WORK,
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_patched_process(headless_dns: DNSServer, order: str) -> None:
    web = headless_dns.service("headless-svc", "moon", pods=2)
    with Talking(ORDERS[order], headless_dns.nameserver, prologue="") as process:
        process.hear("2")
        for number in (3, 4, 5):
            web.scale(number)
            process.hear(str(number))
        process.hear("waited")
        process.hear("closed")


def test_a_process_that_is_patched_late_and_only_watches(headless_dns: DNSServer) -> None:
    """Nobody calls what could move the service to a thread of gevent's. All callback threads have ended by then."""
    script = START + QUICK_END + BLOCK + BEGIN + ALONE + PATCH + WATCH
    web = headless_dns.service("headless-svc", "moon", pods=2)
    with Talking(script, headless_dns.nameserver, prologue="") as process:
        process.hear("2")
        for number in (3, 4, 5):
            web.scale(number)
            process.hear(str(number))
