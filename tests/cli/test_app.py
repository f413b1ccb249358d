"""The command line as a whole: how it is started, helps, completes, and stays out of the library."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("typer")

import headless_discovery
from headless_discovery import HeadlessService
from headless_discovery.cli import asking
from headless_discovery.cli.output import as_options
from support.processes import python

from .running import ENVIRONMENT, Terminal, invoke, run

COMMANDS = ("resolve", "watch", "pick", "doctor", "demo")
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def test_the_library_imports_nothing_of_it() -> None:
    python("""
import importlib, pkgutil, headless_discovery
for module in pkgutil.walk_packages(headless_discovery.__path__, "headless_discovery."):
    if not module.name.startswith(("headless_discovery.cli.", "headless_discovery.testing.plugin")):
        importlib.import_module(module.name)
assert not {"typer", "rich", "matplotlib"} & {name.partition(".")[0] for name in sys.modules}
""")


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    script = WITHOUT.format(missing=missing) + "from headless_discovery.cli import main\nmain()\n"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    said = f"headless-discovery: {missing} is not installed: pip install 'headless-discovery[cli]'\n"
    assert (ran.stdout, ran.stderr) == ("", said)


def test_an_import_that_fails_in_it_is_not_hidden() -> None:
    script = WITHOUT.format(missing="json") + "from headless_discovery.cli import main\nmain()\n"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "No module named 'json'" in ran.stderr


def test_it_is_installed_as_a_script() -> None:
    script = Path(sys.executable).with_name("headless-discovery")
    ran = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, f"headless-discovery {headless_discovery.__version__}\n")


def test_as_a_module() -> None:
    ran = run("--version")
    assert (ran.returncode, ran.stdout) == (0, f"headless-discovery {headless_discovery.__version__}\n")


def test_help() -> None:
    shown = invoke("--help")
    assert shown.exit_code == 0
    for command in COMMANDS:
        assert re.search(rf"^│ {command} ", shown.stdout, re.MULTILINE)
    assert "Exit codes: 0 there are peers" in shown.stdout
    assert "Usage:" in invoke().output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str) -> None:
    shown = invoke(command, "-h")
    assert shown.exit_code == 0
    assert "\x1b" not in shown.stdout
    if command != "demo":
        assert "Examples" in shown.stdout
        examples = shown.stdout.partition("Examples")[2]
        assert f"headless-discovery {command} headless-svc.moon" in examples
    assert "[bold]" not in shown.stdout


@pytest.mark.parametrize("columns", [80, 120])
def test_help_on_a_terminal(columns: int) -> None:
    with Terminal("watch", "--help", columns=columns, lines=80) as terminal:
        assert terminal.end() == 0
    assert any("--on-change" in line for line in terminal.screen)


def test_options_have_the_defaults_of_the_library() -> None:
    library = inspect.signature(HeadlessService).parameters
    renamed = {"server": "nameservers", "allow_network": "allow_networks"}
    own = inspect.signature(asking.Asking).parameters
    for name, parameter in own.items():
        if name not in ("target", "json"):
            assert parameter.default == library[renamed.get(name, name)].default, name
    not_here = {"strategy", "retry_wait", "seed"}
    assert {renamed.get(name, name) for name in own} - {"json"} == set(library) - not_here


def test_options_reach_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reached(Exception):
        pass

    def service(*arguments: object, **options: object) -> None:
        raise Reached(arguments, options)

    monkeypatch.setattr(asking, "HeadlessService", service)
    given = """--port http --protocol udp --family any --zone a --zone-policy pin --exclude-self --server 10.0.0.1
        --server 10.0.0.2 --resolv-conf /x --hosts /h --tcp always --timeout 1 --min-ttl 2 --max-ttl 3 --answers sample
        --empty-grace 4 --max-stale 5 --allow-network 10.0.0.0/8 --allow-network fd00::/8 --max-peers 6"""
    reached = invoke("resolve", "name", *given.split()).exception
    assert isinstance(reached, Reached)
    assert reached.args == (
        ("name", "http"),
        {
            "protocol": "udp",
            "family": "any",
            "zone": "a",
            "zone_policy": "pin",
            "exclude_self": True,
            "nameservers": ["10.0.0.1", "10.0.0.2"],
            "resolv_conf": "/x",
            "hosts": "/h",
            "tcp": "always",
            "timeout": 1.0,
            "min_ttl": 2.0,
            "max_ttl": 3.0,
            "answers": "sample",
            "empty_grace": 4.0,
            "max_stale": 5.0,
            "allow_networks": ["10.0.0.0/8", "fd00::/8"],
            "max_peers": 6,
        },
    )


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("headless-discovery ", set(COMMANDS)),
        ("headless-discovery resolve x --fam", {"--family"}),
        ("headless-discovery resolve x --family ip", {"ipv4", "ipv6"}),
        ("headless-discovery pick x --strategy r", {"round_robin", "random", "ring_hash", "rendezvous"}),
    ],
)
def test_completion(typed: str, offered: set[str]) -> None:
    words = typed.split(" ")
    ran = subprocess.run(
        [Path(sys.executable).with_name("headless-discovery")],
        capture_output=True,
        text=True,
        env=ENVIRONMENT
        | {
            "_HEADLESS_DISCOVERY_COMPLETE": "complete_bash",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(len(words) - 1),
        },
        check=False,
    )
    assert offered <= set(ran.stdout.split()), ran.stdout + ran.stderr


def test_messages_speak_of_options() -> None:
    for said, wanted in (
        ("port='http' was given too", "--port http was given too"),
        ('if so, use answers="sample"', "if so, use --answers sample"),
        ("are more than max_peers=3; the set", "are more than --max-peers 3; the set"),
        ("see allow_networks=", "see --allow-network"),
        ("leave out nameservers=", "leave out --server"),
        ("lasted for empty_grace=30 s", "lasted for --empty-grace 30 s"),
        ("the support='x'", "the support='x'"),
    ):
        assert as_options(said) == wanted
