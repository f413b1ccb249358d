"""Signals: of those that interrupt system calls, and of those that end a process."""

from __future__ import annotations

import signal

import pytest

from headless_discovery.testing import DNSServer

from .talking import Talking


@pytest.fixture
def dns(headless_dns: DNSServer) -> DNSServer:
    headless_dns.service("headless-svc", "moon", pods=2)
    return headless_dns


def test_a_storm_of_signals(dns: DNSServer) -> None:
    """A handler that picks peers and reads the status, a thousand times a second, whatever it interrupts."""
    script = """
    svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK)
    svc.start()
    handled = [0]

    def handler(number, frame):
        assert svc.pick() in svc.peers()
        assert svc.status.state == "fresh"
        handled[0] += 1

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    while handled[0] < 500:
        svc.refresh()
        with svc.watch(lambda change: None):
            next(svc.changes())
        svc.wait_for(2, PATIENCE)
        assert len(resolve(NAME, nameservers=sys.argv[1:])) == 2
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert (svc.status.failures, svc.status.callback_errors) == (0, 0)
    svc.close()
    """
    with Talking(script, dns.nameserver):
        pass


def test_a_storm_of_signals_on_an_event_loop(dns: DNSServer) -> None:
    script = """
    async def main():
        async with AsyncHeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK) as svc:
            handled = [0]

            def handler():
                assert svc.pick() in svc.peers()
                handled[0] += 1

            asyncio.get_running_loop().add_signal_handler(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            while handled[0] < 200:
                await svc.refresh()
            signal.setitimer(signal.ITIMER_REAL, 0)
            asyncio.get_running_loop().remove_signal_handler(signal.SIGALRM)
            assert svc.status.failures == 0

    asyncio.run(main())
    """
    with Talking(script, dns.nameserver):
        pass


WAITS = {
    "wait_for": "svc.wait_for(9)",
    "refresh": "svc.refresh()",
    "changes": "list(changes)",
    "start": "svc.start()",
    "call": "svc.call(lambda peer: threading.Event().wait(), retrying=None)",
}


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_a_wait_and_leaves_the_service_usable(dns: DNSServer, wait: str) -> None:
    script = f"""
    svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], min_ttl=0)
    if {wait!r} != "start":  # which begins when DNS is silent
        svc.start()
        changes = svc.changes()
        next(changes)
    print("up")
    signal.sigwait([signal.SIGUSR2])  # the test has made DNS silent
    try:
        print("waits")
        {WAITS[wait]}
    except KeyboardInterrupt:
        print("interrupted")
    signal.sigwait([signal.SIGUSR2])
    print(len(svc.refresh()))
    svc.close()
    """
    # Blocked from the beginning: or one that comes before sigwait would kill.
    script = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])\n" + "\n".join(
        line.removeprefix("    ") for line in script.splitlines()
    )
    with Talking(script, dns.nameserver) as process:
        process.hear("up")
        dns.fail("timeout")
        process.signal(signal.SIGUSR2)
        process.hear("waits")
        process.signal(signal.SIGINT)
        process.hear("interrupted")
        dns.recover()
        process.signal(signal.SIGUSR2)
        process.hear("2")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_sigterm_that_becomes_an_exit_is_a_clean_one(dns: DNSServer, kind: str) -> None:
    """In the middle of a lookup, with a subscriber at work."""
    sync = """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with HeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK) as svc:
        svc.watch(lambda change: threading.Event().wait())
        print("up")
        while True:
            signal.pause()
    """
    asynchronous = """
    async def main():
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        async with AsyncHeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK) as svc:
            svc.watch(lambda change: asyncio.Event().wait())
            print("up")
            await ended.wait()

    asyncio.run(main())
    """
    with Talking(sync if kind == "sync" else asynchronous, dns.nameserver) as process:
        process.hear("up")
        dns.clear_queries()
        dns.fail("timeout")
        dns.wait_for_queries(1)
        process.signal(signal.SIGTERM)


def test_sigterm_without_a_handler_ends_the_process(dns: DNSServer) -> None:
    script = """
    svc = HeadlessService(NAME, 8080, nameservers=sys.argv[1:], **QUICK)
    svc.start()
    print("up")
    threading.Event().wait()
    """
    with Talking(script, dns.nameserver, ends=-signal.SIGTERM) as process:
        process.hear("up")
        process.signal(signal.SIGTERM)
