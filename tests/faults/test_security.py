"""docs/security.md: what it names exists, and what no other test shows of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from faults.matrix import NAME, SECTIONS, SRV_NAME, World, rows
from headless_discovery import Peer
from headless_discovery.testing import Exchange, Send
from headless_discovery.testing.faults import Action
from headless_discovery.testing.message import Record, address, join, srv
from support.twins import AsyncTwin, SyncTwin, Twin

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
twins = pytest.mark.parametrize("twin", [SyncTwin, AsyncTwin], ids=lambda twin: twin.kind)


def names_in(path: Path) -> set[str]:
    """The names of the tests of a module, those in classes behind the class's name, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {node.name} | {f"{node.name}::{f.name}" for f in node.body if isinstance(f, ast.FunctionDef)}
    return found


def test_the_page_names_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?`", PAGE)
    assert len(named) > 10
    for file, name in named:
        assert (ROOT / file).is_file(), file
        assert not name or name in names_in(ROOT / file), f"{file}::{name}"


def test_the_page_names_rows_that_exist() -> None:
    named = set(re.findall(r"row `([\w-]+)`", PAGE)) | {
        name
        for several in re.findall(r"rows ((?:`[\w-]+`(?:, | and )?)+)", PAGE)
        for name in re.findall("`(.*?)`", several)
    }
    assert len(named) > 20
    assert named <= {row.name for section in SECTIONS for row in rows(section)}


@twins
def test_ids_and_ports_are_the_systems_randomness_also_where_there_is_a_seed(twin: Twin, world: World) -> None:
    """Two services with the same seed ask with ids of their own: `seed` is for picking and jitter."""
    seen = []
    for timeout in (5, 6):  # or they would share their lookups, and so their ids
        world.dns.clear_queries()
        with world.watch(seed=1, timeout=timeout) as svc:
            for _ in range(200):
                svc.refresh()
        seen.append([(query.id, query.source[1]) for query in world.dns.queries])
    assert [ident for ident, _ in seen[0]] != [ident for ident, _ in seen[1]]
    ids, ports = zip(*seen[0], *seen[1], strict=True)
    assert len(set(ids)) > 380, "65,536 ids, 402 drawn: fewer than 1.3 are expected twice"
    assert len(set(ports)) > 300
    steps = {second - first for first, second in pairwise(ids)}
    assert len(steps) > 380, "ids that can be guessed from the ones before"


@twins
def test_a_hostile_hostname_stays_a_hostname(twin: Twin, world: World) -> None:
    """Octets that could end a line of a log, or a part of a URL, arrive escaped; URLs are made of addresses."""
    evil = join(b"a\r\nX-Evil: 1", b"b@c/d?e#f", b"\xff\x00", suffix=b"\0")

    def answer(x: Exchange) -> Iterable[Action]:
        records: list[Record] = [srv(x.question.owner, 5, 0, 1, 8080, evil)]
        yield Send(x.reply(answer=records, additional=[address(evil, 5, bytes([10, 0, 0, 1]))]))

    world.dns.fail(answer, name=SRV_NAME)
    with world.watch(port="http") as svc:
        (peer,) = svc.peers()
        assert isinstance(peer, Peer)
        assert peer.hostname is not None
        assert peer.hostname.isprintable()
        assert peer.hostname.isascii()
        assert " " not in peer.hostname
        assert peer.url() == "http://10.0.0.1:8080/"
        assert str(peer).isprintable()
        assert repr(svc.peers()).isprintable()


@twins
def test_no_query_leaves_for_a_name_that_an_answer_made_up(twin: Twin, world: World) -> None:
    """Of what an answer holds only SRV targets and CNAMEs are asked for, and of those no more than the budget."""

    def many(x: Exchange) -> Iterable[Action]:
        targets = [join(b"t%d" % number, suffix=x.question.owner) for number in range(900)]
        yield Send(x.reply(answer=[srv(x.question.owner, 5, 0, 1, 1, target) for target in targets]))

    with world.watch(port="http", tcp="always") as svc:
        world.dns.clear_queries()
        with world.fault(many, name=SRV_NAME):
            svc.refresh()
        assert world.dns.count() <= 1 + 1 + 50  # SRV, the bare name, and the budget
        assert world.dns.count(NAME) <= 1
        assert {peer.address for peer in svc.peers()} <= set(world.web.addresses)
        world.gone.update(world.web.addresses)
