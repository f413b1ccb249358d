"""Tell every pod: each one drops an entry from its cache. All at once, and each on its own.

A broadcast goes to the peers of this moment. A pod that joins a second later has not heard it; where that matters, let
pods ask somebody when they start, or send again on `on_change`.
"""

from __future__ import annotations

import asyncio
import sys

import httpx

from headless_discovery import AsyncHeadlessService, Peer


async def broadcast(
    service: AsyncHeadlessService, client: httpx.AsyncClient, path: str
) -> dict[Peer, Exception | None]:
    """DELETE `path` on every peer. What went wrong by peer, None where it went well."""

    async def tell(peer: Peer) -> Exception | None:
        try:
            (await client.delete(peer.url(path=path))).raise_for_status()
        except httpx.HTTPError as error:
            return error
        return None

    peers = service.peers()  # one snapshot: it does not change under the loop
    return dict(zip(peers, await asyncio.gather(*map(tell, peers)), strict=True))


async def main() -> None:
    target, path = sys.argv[1:] or ["headless-svc.moon.svc.cluster.local", "/cache/user-1"]
    async with AsyncHeadlessService(target, port="http") as service, httpx.AsyncClient(timeout=2) as client:
        for peer, error in (await broadcast(service, client, path)).items():
            print(peer, "done" if error is None else f"failed: {error}")


if __name__ == "__main__":
    asyncio.run(main())
