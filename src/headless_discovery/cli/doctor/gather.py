"""Gathers the evidence: the interview over real sockets, the library's own lookup, connections to the peers."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from ...aio import LoopHost
from ...answer import NOTHING_HELD, Answer
from ...asker import Asker
from ...connections import Connections
from ...errors import LookupFailed
from ...membership import Membership
from ...model import Peer, PeerSet
from ...service import told_addresses
from ...settings import Settings
from ...target import Question, Target
from ...transport import Conversation, is_own_address, own_addresses
from ..output import plural
from .evidence import Connection, Evidence, Looked
from .interview import Heard, Interview
from .report import Diagnosis

CONNECT = 2.0  # seconds for one connection
CONNECTIONS = 64  # at the same time
CONNECTED_MAX = 512  # peers, or a large service would keep one waiting

Told = Callable[[str], None]


async def examine(
    target: Target, settings: Settings, *, exclude_self: bool, connect: bool, told: Told
) -> list[Diagnosis]:
    """One diagnosis for each name of the target, and for its fixed peers one together.

    Raises `LookupFailed` where there is nobody to ask: no resolv.conf that could be read.
    """
    host = LoopHost(asyncio.get_running_loop())
    found = []
    for question in target.questions:
        evidence = await _about(host, question, settings, told)
        if exclude_self:
            evidence = _without_own(evidence)
        if connect:
            told(f"connecting to {plural(min(len(evidence.looked.peers), CONNECTED_MAX), 'peer')}")
            evidence = replace(evidence, connections=await _connections(_to_connect(evidence)))
        found.append(Diagnosis.of(evidence))
    if target.static:
        fixed = PeerSet(target.static)
        connections = await _connections([peer for peer in fixed if peer.port][:CONNECTED_MAX]) if connect else None
        found.append(Diagnosis.of_fixed(", ".join(peer.netloc for peer in target.static), fixed, connections))
    return found


async def _about(host: LoopHost, question: Question, settings: Settings, told: Told) -> Evidence:
    asker = host.askers.get(question, settings)
    try:
        conf = asker.conf()
        rng = random.SystemRandom()  # message ids, RFC 5452, 9.2
        interview = Interview(question, conf, settings, rng, told)
        looked, heard = await asyncio.gather(_look(host, asker, question, settings), _interview(host, interview))
    finally:
        host.askers.release(asker)
    own = told_addresses() or own_addresses(conf.servers) | {
        address for peer in looked.peers for address in peer.addresses if is_own_address(address)
    }
    return Evidence(
        question,
        settings,
        conf,
        heard.candidates,
        heard.name,
        heard.found,
        heard.main,
        heard.answering,
        tuple(heard.asked),
        tuple(heard.repeats),
        heard.stray,
        looked,
        frozenset(own),
    )


def _without_own(evidence: Evidence) -> Evidence:
    looked = evidence.looked
    excluded = tuple(peer for peer in looked.peers if not evidence.own.isdisjoint(peer.addresses))
    others = PeerSet((peer for peer in looked.peers if peer not in excluded), target=looked.peers.target)
    return replace(evidence, looked=replace(looked, peers=others), excluded=excluded)


async def _interview(host: LoopHost, interview: Interview) -> Heard:
    ended = asyncio.Event()
    connections = Connections(host)
    conversation = Conversation(connections, interview, ended.set)
    try:
        conversation.start()
        await ended.wait()
    finally:
        conversation.cancel()
        connections.close()
    assert isinstance(interview.result, Heard)
    return interview.result


async def _look(host: LoopHost, asker: Asker, question: Question, settings: Settings) -> Looked:
    """As a service does at its start, and once more: what was learnt saves queries."""
    outcome, queries = await _ask(asker)
    if isinstance(outcome, LookupFailed):
        return Looked(outcome, queries)
    membership = Membership(settings, question.port, random.Random(), lambda failures, error: 1.0, host.time())
    membership.answered(outcome, host.time())
    if membership.failures:  # more peers than max_peers
        assert isinstance(membership.error, LookupFailed)
        return Looked(membership.error, queries)
    peers = PeerSet(membership.peers(), target=str(question))
    _, again = await _ask(asker)
    return Looked(outcome, queries, again, peers)


async def _ask(asker: Asker) -> tuple[Answer | LookupFailed, int]:
    ended: asyncio.Future[tuple[Answer | LookupFailed, int]] = asyncio.get_running_loop().create_future()
    asking = asker.ask(NOTHING_HELD, lambda outcome, queries: ended.set_result((outcome, queries)))
    try:
        return await ended
    finally:
        if asking is not None:
            asking.cancel()


def _to_connect(evidence: Evidence) -> list[Peer]:
    """The peers as the library sees them; where they have no port, with the one that SRV records name."""
    peers = evidence.looked.peers[:CONNECTED_MAX] if evidence.tcp_port else ()
    if all(peer.port for peer in peers):
        return list(peers)
    ports = {record.port for record in evidence.srv}
    return [Peer(peer.address, port) for peer in peers for port in sorted(ports)]


async def _connections(peers: list[Peer]) -> tuple[Connection, ...]:
    """Connects to each of them and closes at once."""
    free = asyncio.Semaphore(CONNECTIONS)

    async def one(peer: Peer) -> Connection:
        async with free:
            began = time.monotonic()
            problem = ""
            try:
                async with asyncio.timeout(CONNECT):
                    _, writer = await asyncio.open_connection(peer.address, peer.port)
                writer.close()
                with suppress(OSError):  # it was accepted, whatever became of it
                    await writer.wait_closed()
            except TimeoutError:
                problem = f"no answer within {CONNECT:g} s"
            except OSError as error:
                problem = os.strerror(error.errno).lower() if error.errno else str(error)
            return Connection(peer, time.monotonic() - began, problem)

    return tuple(await asyncio.gather(*map(one, peers)))
