"""`resolve`: ask now, and show all that the answer says."""

from __future__ import annotations

import typer

from .asking import Asking, asks
from .output import Code, peers_json, print_json


@asks
def resolve(asking: Asking) -> None:
    """Ask DNS once and show all peers.

    Examples:

      headless-discovery resolve headless-svc.moon --port http

      headless-discovery resolve dns://10.96.0.10/headless-svc.moon.svc.cluster.local:8080 --json
    """
    with asking.service() as service:
        peers = service.peers()
        if asking.json:
            print_json(peers_json(service.target, peers))
        else:
            for peer in peers:
                print(peer)
    raise typer.Exit(Code.PEERS if peers else Code.NO_PEERS)
