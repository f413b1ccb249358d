"""The measured process of bench_size.py: size.py RECORDS PEERS. Prints KB as JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tracemalloc

from canned import CannedHost
from shared import answers

from headless_discovery import AsyncHeadlessService, Peer, PeerSet


def answer(records: str, peers: int) -> bytes:
    pods = answers.pod_addresses(peers)
    if records == "A":
        return answers.addresses(pods)
    return answers.srv([(f"web-{number}", packed) for number, packed in enumerate(pods)])


def held() -> float:
    """KB allocated and not freed: objects, texts, dictionaries, everything."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1000


async def started(records: str, peers: int) -> AsyncHeadlessService:
    """After its first answer and a refresh, on a host of its own."""
    host = CannedHost(asyncio.get_running_loop(), answer(records, peers))
    service = host.service(answers.PORT if records == "A" else "http")
    await service.start()
    await service.refresh()
    return service


def copied(text: str | None) -> str | None:
    """Nobody else's, so that it is counted."""
    return None if text is None else text.encode().decode()


async def main() -> None:
    records, peers = sys.argv[1], int(sys.argv[2])
    await (await started(records, 3)).close()  # what is imported and made once in a process
    tracemalloc.start()
    before = held()
    service = await started(records, peers)
    whole = held() - before
    found = service.peers()
    assert len(found) == peers
    before = held()
    alone = PeerSet(Peer(copied(p.address) or "", p.port, copied(p.hostname)) for p in found)
    assert alone == found
    assert alone.get(found[-1].endpoint) is not None  # which makes its index
    made = held() - before
    print(json.dumps({"set": made, "service": whole}))
    await service.close()


asyncio.run(main())
