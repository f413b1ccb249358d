"""Rule 7: fork() is safe. Each test is a script in a process of its own; the DNS server lives in the parent."""

from __future__ import annotations

import os

import pytest

from support.processes import python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork() here")

SERVER = """
with DNSServer(ttl=1, cache=False) as dns:
    web = dns.service("headless-svc", "moon", pods=2)
    options = {"nameservers": [dns.nameserver], **QUICK}
"""


def script(text: str) -> str:
    """`text` inside the block of SERVER."""
    return SERVER + "\n".join("    " + line for line in text.strip("\n").splitlines())


def test_a_child_inherits_set_and_subscriptions_and_refreshes_for_itself() -> None:
    python(
        script("""
svc = HeadlessService(NAME, 8080, **options)
record, iterator = Record(), svc.changes()
svc.watch(record)
before = svc.start()
record.told(before)
next(iterator)
asked = {query.source for query in dns.queries}

def child(it):
    assert svc.peers() is before and svc.pick() in before
    inherited = svc.status
    assert (inherited.state, inherited.changes) == ("fresh", 1)
    it.say("inherited")
    grown = svc.wait_for(3, PATIENCE)
    record.told(grown)
    assert_consistent(record.changes)
    assert [len(change.current) for change in record.changes] == [2, 3]  # the first was told before the fork
    assert next(iterator).previous == before
    assert svc.status.lookups > inherited.lookups
    assert svc.refresh() == grown
    svc.close()
    assert svc.status.state == "closed"
    try:
        svc.peers()
    except ServiceClosed:
        it.say("closed")

child = Child(child)
assert child.hear() == "inherited"
web.scale(3)
grown = svc.wait_for(3, PATIENCE)
assert record.told(grown)[-1].previous == before
assert child.hear() == "closed"
child.join()
web.scale(4)  # the parent goes on, whatever the child closed
assert svc.wait_for(4, PATIENCE) == svc.refresh()
assert_consistent(record.told(svc.peers()))
assert svc.status.failures == 0
svc.close()
""")
    )


def test_a_fork_in_the_middle_of_a_lookup() -> None:
    """The child closes the parent's sockets and asks itself; the parent's lookup ends well."""
    python(
        script("""
from headless_discovery.iothread import io

svc = HeadlessService(NAME, 8080, nameservers=[dns.nameserver], min_ttl=0)
before = svc.start()
dns.fail("hold")
web.scale(3)
refreshed = []
thread = threading.Thread(target=lambda: refreshed.append(svc.refresh()))
thread.start()
dns.wait_for_queries(2)

def inodes(fds):
    return {os.fstat(fd).st_ino for fd in fds}

with io.lock:
    parents = inodes([sock.fileno() for sock in io._callbacks] + [io._wake_read.fileno(), io._wake_write.fileno()])
assert len(parents) == 3

def child(it):
    mine = set()
    for entry in os.listdir("/proc/self/fd"):
        try:
            mine |= inodes([int(entry)])
        except OSError:
            pass
    assert not mine & parents, "the parent's sockets are still open"
    assert svc.peers() is before
    it.say("ready")
    assert len(svc.refresh()) == 3

child = Child(child)
assert child.hear() == "ready"
dns.recover()
thread.join(PATIENCE)
assert [len(peers) for peers in refreshed] == [3]
child.join()
assert svc.status.failures == 0
svc.close()
""")
    )


def test_a_fork_before_the_first_answer() -> None:
    python(
        script("""
svc = HeadlessService(NAME, 8080, **options)
dns.fail("hold")
thread = threading.Thread(target=svc.start)
thread.start()
dns.wait_for_queries(1)
child = Child(lambda it: (it.say("up"), svc.start(), it.say(str(len(svc.peers())))))
assert child.hear() == "up"
dns.recover()
assert child.hear() == "2"
child.join()
thread.join(PATIENCE)
assert len(svc.peers()) == 2
svc.close()
""")
    )


def test_a_service_made_before_and_started_after() -> None:
    python(
        script("""
svc, other = HeadlessService(NAME, 8080, **options), HeadlessService(NAME, 8080, **options)
with other:  # so that there is an I/O thread
    child = Child(lambda it: (svc.start(), it.say(str(len(svc.peers()))), svc.close(), other.close()))
    assert child.hear() == "2"
    child.join()
    assert len(other.refresh()) == 2
assert svc.status.state == "starting"
""")
    )


def test_forks_from_a_callback() -> None:
    python(
        script("""
children = []

def work(it):
    told = Record()
    svc.watch(told)
    told.told(svc.refresh())
    assert svc.pick() in svc.peers()
    svc.close()

svc = HeadlessService(NAME, 8080, **options)
record = Record(lambda change: children.append(Child(work)))
svc.watch(record)
record.calls(1)
eventually(lambda: len(children) == 1)
children[0].join()
web.scale(3)
record.told(svc.wait_for(3, PATIENCE))
eventually(lambda: len(children) == 2)
children[1].join()
svc.close()
""")
    )


def test_many_forks_while_other_threads_are_at_work() -> None:
    """No lock is left locked in a child, whatever the other threads were doing."""
    python(
        script("""
svc = HeadlessService(NAME, 8080, **options)
svc.start()
stop = threading.Event()

def disturb():
    while not stop.is_set():
        svc.refresh()
        with svc.watch(lambda change: svc.peers()):
            svc.pick()
        resolve(NAME, nameservers=[dns.nameserver])

threads = [threading.Thread(target=disturb) for _ in range(3)]
for thread in threads:
    thread.start()

def child(it):
    told = Record()
    svc.watch(told)
    told.told(svc.refresh())
    assert len(resolve(NAME, nameservers=[dns.nameserver])) == 2
    assert len(peers(NAME, nameservers=[dns.nameserver])) == 2
    with HeadlessService(NAME, 8080, **options) as own:
        assert own.pick() in svc.peers()

for _ in range(15):
    Child(child).join()
stop.set()
for thread in threads:
    thread.join(PATIENCE)
    assert not thread.is_alive()
svc.close()
""")
    )


def test_a_child_of_a_child() -> None:
    python(
        script("""
svc = HeadlessService(NAME, 8080, **options)
svc.start()

def child(it):
    inner = Child(lambda it: (svc.refresh(), it.say("grandchild")))
    assert inner.hear() == "grandchild"
    inner.join()
    svc.refresh()
    it.say("child")

child = Child(child)
assert child.hear() == "child"
child.join()
svc.close()
""")
    )


def test_round_robin_goes_on_elsewhere_in_each_child() -> None:
    """Or all the workers that a server forks would send their first requests to the same peer."""
    python(
        script("""
web.scale(200)
svc = HeadlessService(NAME, 8080, **options)
svc.start()
svc.pick()
firsts = []
for _ in range(8):
    child = Child(lambda it: it.say(svc.pick().address))
    firsts.append(child.hear())
    child.join()
assert len(set(firsts)) > 1, firsts
svc.close()
""")
    )


def test_children_ask_at_times_of_their_own() -> None:
    """New randomness, also where the parent's was seeded: or all children would ask at the same times for ever."""
    python(
        script("""
dns.ttl = 30
svc = HeadlessService(NAME, 8080, nameservers=[dns.nameserver], seed=1)
svc.start()
jitters = []
for _ in range(4):
    child = Child(lambda it: it.say(repr([svc._service._rng.random() for _ in range(3)])))
    jitters.append(child.hear())
    child.join()
assert len(set(jitters)) == 4, jitters
svc.close()
""")
    )


def test_a_child_that_exits_normally_is_quiet() -> None:
    python(
        script("""
svc = HeadlessService(NAME, 8080, **options)
svc.start()
pid = os.fork()
if pid == 0:
    dns.stop()
    sys.exit(0)  # atexit handlers run, the service is open
assert os.waitpid(pid, 0)[1] == 0
assert len(svc.refresh()) == 2
svc.close()
""")
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str) -> None:
    python(
        script(f"""
import multiprocessing
from support.processes import resolved

svc = HeadlessService(NAME, 8080, **options)
with svc:
    context = multiprocessing.get_context("{method}")
    with context.Pool(2) as pool:
        found = pool.starmap(resolved, [(NAME, dns.nameserver)] * 4)
        pool.close()
        pool.join()
    assert found == [list(svc.peers().addresses)] * 4, found
    assert len(svc.refresh()) == 2
""")
    )


def test_multiprocessing_fork_with_the_parents_service() -> None:
    python(
        script("""
import multiprocessing

context = multiprocessing.get_context("fork")
svc = HeadlessService(NAME, 8080, **options)

def work(queue):
    queue.put(("at once", len(svc.peers())))
    queue.put(("later", len(svc.wait_for(3, PATIENCE))))

with svc:
    queue = context.SimpleQueue()
    process = context.Process(target=work, args=(queue,))
    process.start()
    assert queue.get() == ("at once", 2)
    web.scale(3)
    assert queue.get() == ("later", 3)
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert len(svc.wait_for(3, PATIENCE)) == 3
""")
    )


def test_an_async_service_says_so_in_a_child_and_the_child_may_have_its_own() -> None:
    python(
        script("""
def refused(member):
    try:
        found = member()
        if hasattr(found, "send"):
            found.send(None)
    except ServiceClosed as error:
        assert "before fork()" in str(error) and "AsyncHeadlessService in the child" in str(error), error
    else:
        raise AssertionError("a service whose loop is in another process answered")

async def own():
    async with AsyncHeadlessService(NAME, 8080, **options) as svc:
        return len(await svc.refresh())

async def main():
    async with AsyncHeadlessService(NAME, 8080, **options) as svc:
        changes = svc.changes()
        await anext(changes)
        dns.fail("hold")
        lookup = asyncio.create_task(svc.refresh())
        await asyncio.to_thread(dns.wait_for_queries, 2)

        def child(it):
            it.say("up")
            for member in (svc.peers, svc.pick, svc.changes, lambda: svc.watch(print), svc.lease, svc.start,
                           svc.refresh, svc.wait_for, lambda: svc.pick_many(1), lambda: svc.call(print)):
                refused(member)
            assert svc.status.state == "closed"
            assert asyncio.run(own()) == 2
            it.say("done")

        child = Child(child)
        assert child.hear() == "up"
        dns.recover()
        assert len(await lookup) == 2  # the parent's own lookup is not disturbed
        assert await asyncio.to_thread(child.hear) == "done"
        await asyncio.to_thread(child.join)
        web.scale(3)
        assert len(await svc.wait_for(3, PATIENCE)) == 3
        assert len((await anext(changes)).added) == 1

asyncio.run(main())
""")
    )
