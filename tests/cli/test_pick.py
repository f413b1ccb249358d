"""`pick` tells who gets what as the library does, and what moves when the service is scaled."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("typer")

from headless_discovery import HeadlessService, PeerSet
from headless_discovery.balance import make
from headless_discovery.balance.registry import BY_NAME
from headless_discovery.cli import plot as plots
from headless_discovery.cli.simulate import needed, steps
from headless_discovery.testing import DNSServer
from headless_discovery.testing.cluster import Service

from .running import COMMAND, ENVIRONMENT, Terminal, invoke, run, told

NAME = "headless-svc.moon.svc.cluster.local"


@pytest.fixture
def web(headless_dns: DNSServer) -> Service:
    return headless_dns.service("headless-svc", "moon", pods=5, ports={"http": 8080})


@pytest.fixture
def asking(headless_dns: DNSServer, web: Service) -> list[str]:
    return ["pick", NAME, "--port", "http", "--server", headless_dns.nameserver]


def test_shares_are_those_of_the_library(headless_dns: DNSServer, asking: list[str]) -> None:
    found = told(invoke(*asking, "--keys", "500", "--strategy", "maglev", "--json"))
    with HeadlessService(NAME, "http", nameservers=[headless_dns.nameserver], strategy="maglev") as service:
        owners = [service.pick(f"key-{number}").identity for number in range(500)]
    (strategy,) = found["strategies"]
    assert strategy["counts"] == {identity: owners.count(identity) for identity in sorted(set(owners))}
    assert strategy["by_key"] is True
    assert strategy["busiest"] == round(max(map(owners.count, set(owners))) / 100, 4)
    assert found["keys"] == 500
    assert [peer["identity"] for peer in found["peers"]] == [f"web-{n}.{NAME}" for n in range(5)]


def test_a_histogram(asking: list[str]) -> None:
    shown = invoke(*asking, "--keys", "1000", "--strategy", "round_robin", "--strategy", "jump_hash")
    assert shown.exit_code == 0
    assert "round_robin: 1,000 keys over 5 peers, not by key; busiest / mean 1.00, idlest 1.00" in shown.stdout
    assert "jump_hash: 1,000 keys over 5 peers; busiest" in shown.stdout
    rows = [line.split() for line in shown.stdout.splitlines() if line.startswith("web-3")]
    assert rows[0][2:] == ["200", "20.0%", "█" * 40]
    bars = [line.count("█") for line in shown.stdout.splitlines() if "█" in line]
    assert max(bars[5:]) == 40 > min(bars[5:])


def test_all_strategies(asking: list[str]) -> None:
    found = told(invoke(*asking, "--keys", "200", "--strategy", "all", "--json"))
    by_key = {strategy["strategy"]: strategy["by_key"] for strategy in found["strategies"]}
    assert list(by_key) == list(BY_NAME)
    assert not any(by_key[name] for name in ("round_robin", "random", "weighted", "least_loaded"))
    assert all(by_key[name] for name in ("consistent_hash", "ring_hash", "maglev", "rendezvous", "jump_hash"))


def test_whose_a_key_is(headless_dns: DNSServer, web: Service, asking: list[str]) -> None:
    with HeadlessService(NAME, "http", nameservers=[headless_dns.nameserver], strategy="consistent_hash") as service:
        owners = {key: service.pick(key) for key in ("user-1", "user-2")}
    arguments = [*asking, "--key", "user-1", "--key", "user-2"]
    assert [line.split() for line in invoke(*arguments).stdout.splitlines()[1:]] == [
        [key, owner.netloc, owner.hostname] for key, owner in owners.items()
    ]
    found = told(invoke(*arguments, "--json"))
    assert found["picks"] == {key: {"consistent_hash": owner.identity} for key, owner in owners.items()}


def test_keys_from_a_file_and_from_stdin(asking: list[str], tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("grün\n\nuser-2\n")
    shown = invoke(*asking, "--keys", str(file), "--each")
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["KEY", "grün", "user-2"]
    assert invoke(*asking, "--keys", "-", "--each", input="grün\nuser-2\n").stdout == shown.stdout


def test_what_moves(asking: list[str]) -> None:
    found = told(invoke(*asking, "--keys", "2000", "--simulate", "scale 3 10, scale 5, restart web-1", "--json"))
    up, down, restart = found["steps"]
    assert [(step["step"], step["before"], step["after"], step["needed"]) for step in found["steps"]] == [
        ("scale 3 to 10", 3, 10, 0.7),
        ("scale 10 to 5", 10, 5, 0.5),
        ("web-1 restarts", 5, 5, 0.0),
    ]
    of = {step["step"]: {s["strategy"]: s for s in step["strategies"]} for step in found["steps"]}
    for step in (up, down):
        for name in ("consistent_hash", "rendezvous", "jump_hash"):
            assert of[step["step"]][name]["between_those_that_stayed"] == 0
            assert abs(of[step["step"]][name]["moved"] - step["needed"]) < 0.1
        assert of[step["step"]]["round_robin"]["moved"] is None
    assert of[up["step"]]["ring_hash"]["between_those_that_stayed"] > 0
    assert {s["moved"] for s in restart["strategies"]} == {0.0, None}


def test_moves_as_a_table(asking: list[str]) -> None:
    shown = invoke(*asking, "--keys", "1000", "-S", "jump_hash", "-S", "random", "--simulate", "leave 4").stdout
    assert "web-4 leaves: of 1,000 keys, 20.0% have to move for even shares" in shown
    jump, random = (line.split() for line in shown.splitlines() if line.startswith(("jump_hash", "random")))
    assert jump[2] == "0.0%"
    assert abs(float(jump[1].rstrip("%")) - 20) < 5
    assert random[1:4] == ["not", "by", "key"]


def test_simulated_pods_are_like_the_real_ones(headless_dns: DNSServer) -> None:
    with HeadlessService(NAME, "http", nameservers=[headless_dns.nameserver]) as service:
        assert not service.peers()
    real = PeerSet()
    headless_dns.service("headless-svc", "moon", pods=3, ports={"http": 8080})
    with HeadlessService(NAME, "http", nameservers=[headless_dns.nameserver]) as service:
        real = service.peers()
    before, after, later = steps("scale 2 5, restart 1", real)
    assert list(before.peers) == list(real)[:2]
    assert list(after.peers)[:3] == list(real)
    assert [peer.identity for peer in after.peers] == [f"web-{n}.{NAME}" for n in range(5)]
    assert len({peer.address for peer in after.peers}) == 5
    assert {peer.port for peer in after.peers} == {8080}
    assert later.peers[1].identity == real[1].identity
    assert later.peers[1].address != real[1].address
    assert needed(after.peers, later.peers) == 0
    *_, before, after = steps("scale 5, restart web-4", real)
    assert before.peers[4].identity == after.peers[4].identity
    assert before.peers[4].address != after.peers[4].address


@pytest.mark.parametrize(
    ("hostnames", "gone"),
    [(None, 0), (None, 1), (["web-5", "web-6", "web-7"], None), (["web-2", "web-0", "web-1"], None)],
)
def test_pods_go_by_their_ordinals(headless_dns: DNSServer, hostnames: list[str] | None, gone: int | None) -> None:
    """Which need not begin at 0, nor be in the order of the addresses, nor be without gaps."""
    more = {} if hostnames is None else {"hostnames": hostnames}
    web = headless_dns.service("headless-svc", "moon", pods=3, ports={"http": 8080}, **more)
    if gone is not None:
        web.set_ready(gone, False)
    with HeadlessService(NAME, "http", nameservers=[headless_dns.nameserver]) as service:
        real = service.peers()
    by_name = {(peer.hostname or "").partition(".")[0]: peer for peer in real}
    for name, peer in by_name.items():
        assert peer.ordinal is not None
        for step in (f"restart {name}", f"restart {peer.ordinal}"):
            before, after = steps(step, real)
            assert after.title == f"{name} restarts"
            assert set(before.peers) - set(after.peers) == {peer}
            assert {one.identity for one in after.peers} == {one.identity for one in real}
        _, after = steps(f"leave {name}", real)
        assert after.title == f"{name} leaves"
        assert set(after.peers) == set(real) - {peer}
    _, scaled = steps(f"scale {len(real)} 6", real)
    assert set(real) < set(scaled.peers)
    assert len({one.identity for one in scaled.peers}) == len({one.address for one in scaled.peers}) == 6
    (first,) = steps("scale 1", real)[1].peers
    assert first == min(real, key=lambda one: one.ordinal or 0)


def test_pods_of_two_statefulsets_go_by_their_names(headless_dns: DNSServer) -> None:
    headless_dns.service("headless-svc", "moon", pods=4, ports={"http": 8080}, hostnames=["a-0", "a-7", "b-0", "b-7"])
    with HeadlessService(NAME, "http", nameservers=[headless_dns.nameserver]) as service:
        real = service.peers()
    _, after = steps("restart b-0", real)
    assert after.title == "b-0 restarts"
    assert {(peer.hostname or "")[:3] for peer in set(real) - set(after.peers)} == {"b-0"}
    assert len({peer.identity for peer in steps("scale 12", real)[1].peers}) == 12


def test_without_names_a_restart_is_somebody_else(web: Service, headless_dns: DNSServer) -> None:
    found = told(invoke("pick", f"{NAME}:80", "--server", headless_dns.nameserver, "--simulate", "restart 1", "--json"))
    (step,) = found["steps"]
    assert step["needed"] == 0.2
    moved = {strategy["strategy"]: strategy["moved"] for strategy in step["strategies"]}
    assert 0.1 < moved["consistent_hash"] < 0.4
    assert "jump_hash" not in moved
    assert "needs hostnames numbered like web-0" in found["cannot"]["jump_hash"]
    arguments = ["pick", f"{NAME}:80", "--server", headless_dns.nameserver, "--keys", "50"]
    shown = invoke(*arguments, "-S", "jump_hash", "-S", "maglev")
    assert "maglev: 50 keys over 5 peers" in shown.stdout
    assert "jump_hash: JumpHash needs hostnames" in shown.stdout
    assert "--port http" in shown.stdout
    assert invoke(*arguments, "-S", "jump_hash").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--strategy", "nope"], "no strategy 'nope'; there are: all, round_robin"),
        (["--keys", "0"], "from 1 to 10,000,000 keys"),
        (["--keys", "/nonexistent"], "neither a number nor a file with a key on each line"),
        (["--simulate", "scale"], "'scale' is no step: write 'scale 3 10'"),
        (["--simulate", "scale 0 3"], "from 1 to 10,000 peers"),
        (["--simulate", "restart 9"], "there are 0, 1, 2, 3, 4"),
        (["--simulate", "leave web-9"], "there are web-0, web-1, web-2, web-3, web-4"),
        (["--simulate", "scale 1, leave 0"], "it is the last one"),
        (["--plot", "out.txt"], "the name has to end in .svg, .png, .pdf"),
        (["--plot", "/nonexistent/out.svg"], "there is no such folder"),
    ],
)
def test_what_makes_no_sense(asking: list[str], arguments: list[str], said: str) -> None:
    shown = invoke(*asking, *arguments)
    assert shown.exit_code == 2
    assert said.replace(" ", "") in "".join(shown.stderr.replace("│", "").split())


def test_nobody_to_pick(headless_dns: DNSServer) -> None:
    arguments = ["pick", "nope.moon.svc.cluster.local", "--server", headless_dns.nameserver]
    shown = invoke(*arguments)
    assert (shown.exit_code, shown.stdout) == (3, "✗ no peers\n")
    assert told(invoke(*arguments, "--json"))["strategies"] == []


def test_many_peers_are_the_busiest_and_the_idlest(headless_dns: DNSServer) -> None:
    headless_dns.service("big", "moon", pods=300)
    shown = invoke("pick", "big.moon.svc.cluster.local", "--server", headless_dns.nameserver).stdout
    assert "and 275 more" in shown
    assert len(shown.splitlines()) == 28


@pytest.mark.parametrize("columns", [80, 50, 120])
def test_on_a_terminal(asking: list[str], columns: int) -> None:
    with Terminal(*asking, columns=columns) as terminal:
        assert terminal.end() == 0
    rows = [line for line in terminal.screen if line.startswith("web-")]
    assert len(rows) == 5, "lines are broken"
    assert all("█" in row for row in rows)


def test_ascii_where_the_terminal_is(asking: list[str]) -> None:
    ran = run(*asking, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert ran.stdout.isascii()
    assert "####" in ran.stdout
    keys = run(*asking, "--key", "grün", PYTHONUTF8="0", PYTHONIOENCODING="ascii", COLUMNS="50")
    assert (keys.returncode, keys.stderr) == (0, "")
    assert [line.split()[0] for line in keys.stdout.splitlines()] == ["KEY", "gr?n"]


@pytest.mark.parametrize("way", ["--key", "--keys FILE", "--keys -"])
def test_keys_that_are_not_utf8(asking: list[str], tmp_path: Path, way: str) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"user-1\ncaf\xe9\n")
    arguments = {"--key": ["--key", "caf\udce9"], "--keys FILE": ["--keys", str(file)], "--keys -": ["--keys", "-"]}
    with file.open() as stdin:
        ran = subprocess.run(
            [*COMMAND, *asking, *arguments[way]],
            stdin=stdin,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            check=False,
        )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Traceback" not in ran.stderr
    assert "utf-8" in ran.stderr.lower()


# Pictures.


@pytest.fixture
def _matplotlib() -> None:
    pytest.importorskip("matplotlib")


@pytest.mark.usefixtures("_matplotlib")
@pytest.mark.parametrize("more", [[], ["--strategy", "all"], ["--simulate", "scale 3 10, restart 1"]])
def test_a_picture(asking: list[str], tmp_path: Path, more: list[str]) -> None:
    files = [tmp_path / "one.svg", tmp_path / "two.svg", tmp_path / "three.png"]
    for file in files:
        assert invoke(*asking, *more, "--keys", "300", "--seed", "1", "--plot", str(file)).exit_code == 0
    assert files[0].read_bytes() == files[1].read_bytes(), "the same figures give another file"
    assert files[2].read_bytes().startswith(b"\x89PNG")
    text = files[0].read_text()
    for label in ("consistent_hash", *(["scale 3 to 10 (70% needed)"] if "--simulate" in more else ["web-4", "keys"])):
        assert f">{label}" in text


@pytest.mark.usefixtures("_matplotlib")
def test_a_picture_of_many_peers(headless_dns: DNSServer, tmp_path: Path) -> None:
    headless_dns.service("big", "moon", pods=300)
    file = tmp_path / "out.svg"
    invoke("pick", "big.moon.svc.cluster.local", "--server", headless_dns.nameserver, "--plot", str(file))
    assert ">peers, the busiest first<" in file.read_text()


def test_without_matplotlib_the_cure_is_told(asking: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    shown = invoke(*asking, "--plot", "out.svg")
    assert shown.exit_code == 2
    assert "pip install 'headless-discovery[plot]'" in shown.stderr


def test_seeds_repeat(asking: list[str]) -> None:
    first, second = (told(invoke(*asking, "-S", "random", "--seed", "7", "--json")) for _ in range(2))
    assert first["strategies"] == second["strategies"]


def test_spreads_take_any_strategy_of_the_library() -> None:
    assert all(make(name, 1) for name in BY_NAME)
