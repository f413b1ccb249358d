"""The pytest plugin, run by pytest itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headless_discovery.testing import DNSServer

from .dnsclient import addresses

pytest_plugins = "pytester"

# pytest-asyncio, where it is installed, warns without this.
ARGS = ("-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function", "-W", "error")


def test_the_fixture_is_a_running_server(headless_dns: DNSServer) -> None:
    assert headless_dns.running
    web = headless_dns.service("web", "shop", pods=2)
    assert len(addresses(headless_dns, web.name)) == 2
    web.scale(3)
    assert len(addresses(headless_dns, web.name)) == 3  # no cache


@pytest.mark.headless_dns(ttl=7, zone="example.org", cache=True)
class TestMarkers:
    def test_of_the_class(self, headless_dns: DNSServer) -> None:
        assert (headless_dns.ttl, headless_dns.zone) == (7, "example.org")

    @pytest.mark.headless_dns(ttl=9)
    def test_the_closest_wins(self, headless_dns: DNSServer) -> None:
        assert (headless_dns.ttl, headless_dns.zone) == (9, "example.org")


def test_ini_options_and_defaults(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nheadless_dns_zone = a.example\nheadless_dns_ttl = 3\n")
    pytester.makepyfile(
        """
        import pytest

        seen = []

        def test_one(headless_dns):
            assert (headless_dns.zone, headless_dns.ttl) == ("a.example", 3)
            seen.append(headless_dns)

        @pytest.mark.headless_dns(ttl=4)
        def test_two(headless_dns):
            assert (headless_dns.zone, headless_dns.ttl) == ("a.example", 4)
            assert headless_dns is not seen[0]
            assert not seen[0].running
        """
    )
    pytester.runpytest(*ARGS, "--strict-markers").assert_outcomes(passed=2)


def test_default_ttl_is_one_second(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "def test_it(headless_dns): assert (headless_dns.zone, headless_dns.ttl) == ('cluster.local', 1)"
    )
    pytester.runpytest(*ARGS).assert_outcomes(passed=1)


def test_positional_arguments_of_the_marker_are_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.headless_dns(5)
        def test_it(headless_dns): pass
        """
    )
    result = pytester.runpytest(*ARGS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*takes keyword arguments only, not (5,)*"])


def test_an_error_in_a_custom_fault_is_an_error_of_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import socket

        def test_it(headless_dns):
            headless_dns.fail(lambda x: 1 // 0)
            with socket.create_connection((headless_dns.host, headless_dns.port), 10) as sock:
                sock.sendall(bytes([0, 19, 1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 97, 0, 0, 1, 0, 1]))
                sock.recv(1)
        """
    )
    result = pytester.runpytest(*ARGS)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ZeroDivisionError*"])


def test_help_shows_marker_and_options(pytester: pytest.Pytester) -> None:
    pytester.runpytest(*ARGS, "--markers").stdout.fnmatch_lines(["@pytest.mark.headless_dns(*"])
    pytester.runpytest(*ARGS, "--help").stdout.fnmatch_lines(["*headless_dns_zone*", "*headless_dns_ttl*"])


def test_loading_the_plugin_loads_no_server() -> None:
    code = """
import sys
import headless_discovery.testing.plugin
loaded = {name.rpartition(".")[2] for name in sys.modules if name.startswith("headless_discovery.testing.")}
assert loaded == {"plugin"}, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_public_names() -> None:
    from headless_discovery import testing

    for name in testing.__all__:
        assert getattr(testing, name).__name__ == name
    assert sorted(testing.__all__) == testing.__all__ == dir(testing)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = testing.nothing  # type: ignore[attr-defined]
