"""A key-value store over the pods of a StatefulSet: each key belongs to a pod, and has a copy on another.

With `consistent_hash` a pod that joins or leaves takes or gives only its own share of the keys, and a pod that restarts
with a new address under its old name keeps them. All clients agree on who has a key, as each asks DNS and computes.
"""

from __future__ import annotations

import http.client
import sys

from headless_discovery import HeadlessService, Peer


class ShardedStore:
    """PUT and GET /<key>, on the pods that a key belongs to."""

    def __init__(self, service: HeadlessService, copies: int = 2) -> None:
        self.service = service
        self.copies = copies

    def owners(self, key: str) -> list[Peer]:
        """The pod that has the key, then those that have its copies: the same for every client."""
        return self.service.pick_many(self.copies, key)

    def put(self, key: str, value: bytes) -> None:
        """To all owners. Raises `OSError` if one of them cannot be reached."""
        for peer in self.owners(key):
            request(peer, "PUT", key, value)

    def get(self, key: str) -> bytes | None:
        """From the first owner that answers; raises the last one's `OSError` if none does."""
        for peer in self.owners(key):
            try:
                return request(peer, "GET", key)
            except OSError as error:
                last = error
        raise last


def request(peer: Peer, method: str, key: str, body: bytes | None = None) -> bytes | None:
    connection = http.client.HTTPConnection(peer.address, peer.port, timeout=2)
    try:
        connection.request(method, f"/{key}", body)
        response = connection.getresponse()
        content = response.read()
        return content if response.status == 200 else None
    finally:
        connection.close()


def main() -> None:
    target, *keys = sys.argv[1:] or ["headless-svc.moon.svc.cluster.local", "alice", "bob"]
    with HeadlessService(target, port="http", strategy="consistent_hash") as service:
        store = ShardedStore(service)
        for key in keys:
            print(key, "belongs to", " and ".join(peer.identity for peer in store.owners(key)))


if __name__ == "__main__":
    main()
