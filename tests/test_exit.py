"""The ends: of an interpreter with services open, and of services that nobody closed."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref

import pytest

from headless_discovery import HeadlessService
from headless_discovery.iothread import io
from headless_discovery.testing import DNSServer
from support import PATIENCE, QUICK
from support.processes import python, run
from support.subscribers import Record, eventually

NAME = "headless-svc.moon.svc.cluster.local"

# As users run it, and with everything that Python can warn about.
interpreters = pytest.mark.parametrize("options", [(), ("-X", "dev", "-W", "error")], ids=["plain", "dev"])

IN_FLIGHT = """
def in_flight(svc):
    eventually(lambda: any(name.in_flight for name in svc._service._names), "a lookup in flight")
"""


@pytest.fixture
def dns(headless_dns: DNSServer) -> DNSServer:
    headless_dns.service("headless-svc", "moon", pods=2)
    return headless_dns


# --- the interpreter exits: quietly, with code 0, and without waiting for anything


@interpreters
def test_with_an_open_service(dns: DNSServer, options: tuple[str, ...]) -> None:
    python(
        """
        svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK)
        svc.start()
        assert len(svc.refresh()) == 2
        """,
        dns.nameserver,
        options=options,
    )


@interpreters
@pytest.mark.parametrize("call", ["svc.refresh()", "resolve(NAME, 8080, nameservers=sys.argv[1:])", "svc.watch(print)"])
def test_asking_after_the_end(dns: DNSServer, options: tuple[str, ...], call: str) -> None:
    """In a handler that was registered before the library was imported there is nobody left who could ask."""
    said = python(
        f"""
        from headless_discovery.iothread import io

        def late():
            assert len(svc.peers()) == len(svc.pick_many(2)) == 2
            try:
                {call}
            except ServiceClosed as error:
                assert "exiting" in str(error), error
                svc.close()
                print("closed")

        atexit.unregister(io.stop)
        atexit.register(late)
        atexit.register(io.stop)
        svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK)
        svc.start()
        """,
        dns.nameserver,
        options=options,
    )
    assert said == "closed\n"


@interpreters
def test_with_an_open_service_and_subscribers(dns: DNSServer, options: tuple[str, ...]) -> None:
    python(
        """
        svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK)
        record, changes = Record(), svc.changes()
        subscription = svc.watch(record)
        record.calls(1)
        next(changes)
        """,
        dns.nameserver,
        options=options,
    )


@interpreters
@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_in_the_middle_of_a_lookup(dns: DNSServer, options: tuple[str, ...], transport: str) -> None:
    dns.fail("timeout")
    python(
        IN_FLIGHT
        + """
svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:2], tcp=sys.argv[2], timeout=3600)
svc.watch(print)
in_flight(svc)
""",
        dns.nameserver,
        "always" if transport == "TCP" else "never",
        options=options,
    )
    assert dns.count(transport="tcp" if transport == "TCP" else "udp") <= 1  # if it was sent by then


@interpreters
def test_with_a_running_callback(dns: DNSServer, options: tuple[str, ...]) -> None:
    python(
        """
        svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK)
        record = Record(lambda change: threading.Event().wait())
        svc.watch(record)
        record.calls(1)
        """,
        dns.nameserver,
        options=options,
    )


@interpreters
def test_with_threads_that_wait(dns: DNSServer, options: tuple[str, ...]) -> None:
    python(
        """
        svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK)
        svc.start()
        got = []
        for wait in (lambda: svc.wait_for(9), lambda: got.extend(svc.changes())):
            threading.Thread(target=wait, daemon=True).start()
        svc.refresh()
        """,
        dns.nameserver,
        options=options,
    )


@interpreters
def test_with_a_service_that_cannot_get_an_answer(dns: DNSServer, options: tuple[str, ...]) -> None:
    dns.fail("SERVFAIL")
    python(
        """
        svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:])
        try:
            svc.start()
        except LookupFailed:
            pass
        """,
        dns.nameserver,
        options=options,
    )


def test_users_atexit_handlers_may_use_and_close_services(dns: DNSServer) -> None:
    out = python(
        """
        svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK)

        @atexit.register
        def last_words():
            print(len(svc.peers()), svc.pick() in svc.peers())
            svc.close()
            print(svc.status.state)

        svc.start()
        """,
        dns.nameserver,
    )
    assert out.split() == ["2", "True", "closed"]


def test_a_script_that_raises_in_the_with_block_shows_its_own_error_only(dns: DNSServer) -> None:
    done = run(
        """
        with HeadlessService(NAME, 8080, nameservers=sys.argv[1:]) as svc:
            raise SystemExit(7)
        """,
        dns.nameserver,
    )
    assert (done.returncode, done.stderr) == (7, "")


@interpreters
def test_with_an_open_async_service(dns: DNSServer, options: tuple[str, ...]) -> None:
    python(
        """
        svc = AsyncHeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK)

        async def main():
            await svc.start()
            svc.watch(lambda change: asyncio.Event().wait())
            await svc.refresh()

        asyncio.run(main())
        assert len(svc.peers()) == 2
        """,
        dns.nameserver,
        options=options,
    )


def test_with_an_async_service_in_the_middle_of_a_lookup(dns: DNSServer) -> None:
    dns.fail("timeout")
    python(
        """
        svc = AsyncHeadlessService(NAME, 8080, nameservers=sys.argv[1:])

        async def main():
            task = asyncio.create_task(svc.start())
            while not any(name.in_flight for name in svc._service._names):
                await asyncio.sleep(0)
            task.cancel()

        asyncio.run(main())
        """,
        dns.nameserver,
    )


# --- a service that nobody holds


def test_an_unreferenced_service_stops_by_itself(dns: DNSServer) -> None:
    kept = [HeadlessService(NAME, 8080, nameservers=[dns.nameserver], **QUICK)]
    kept[0].start()
    core = kept[0]._service
    assert core in io.services
    with pytest.warns(ResourceWarning, match=f"unclosed service {NAME}"):
        kept.clear()
    eventually(lambda: core not in io.services, "the service let go")
    assert core.status(0.0).state == "closed"


def test_an_unreferenced_service_in_a_reference_cycle(dns: DNSServer) -> None:
    class Client:
        def __init__(self) -> None:
            self.me = self
            self.service = HeadlessService(NAME, 8080, nameservers=[dns.nameserver], **QUICK)
            self.service.start()

    core = Client().service._service
    with pytest.warns(ResourceWarning, match="unclosed service"):
        gc.collect()
    eventually(lambda: core not in io.services, "the service let go")


def test_a_service_stops_although_its_warning_is_an_error(dns: DNSServer) -> None:
    done = run(
        """
        from headless_discovery.iothread import io
        svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:])
        svc.start()
        del svc
        eventually(lambda: not io.services)
        print("stopped")
        """,
        dns.nameserver,
        options=("-W", "error::ResourceWarning"),
    )
    assert (done.returncode, done.stdout) == (0, "stopped\n")
    assert f"ResourceWarning: unclosed service {NAME}" in done.stderr


def test_who_holds_a_subscription_or_an_iterator_holds_the_service(dns: DNSServer) -> None:
    record = Record()
    service = HeadlessService(NAME, 8080, nameservers=[dns.nameserver], **QUICK)
    subscription, changes = service.watch(record), service.changes()
    alive = weakref.ref(service)
    del service
    gc.collect()
    assert alive() is not None
    next(changes)
    subscription.cancel()
    del changes
    alive().close()
    del subscription
    assert alive() is None


def test_closed_and_never_started_services_go_without_a_word(dns: DNSServer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HeadlessService(NAME, 8080, nameservers=[dns.nameserver])
        with HeadlessService(NAME, 8080, nameservers=[dns.nameserver]):
            pass
        gc.collect()


def test_a_waiter_keeps_the_service_alive(dns: DNSServer) -> None:
    """`HeadlessService(...).wait_for(2)`: nobody but the call holds it."""
    found: list[int] = []

    def wait() -> None:
        with pytest.warns(ResourceWarning, match="unclosed service"):
            found.append(len(HeadlessService(NAME, 8080, nameservers=[dns.nameserver], **QUICK).wait_for(2)))

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert found == [2]
