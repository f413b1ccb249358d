"""An ASGI app that knows its peers from startup on, and passes each request to one of them.

Run in a pod: `uvicorn --factory asgi_startup:create_app`. FastAPI takes the same `lifespan=`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headless_discovery import AsyncHeadlessService, NoPeers, Peer

log = logging.getLogger(__name__)


def create_app(target: str = "headless-svc.moon.svc.cluster.local", port: str = "http", **options: Any) -> Starlette:
    service = AsyncHeadlessService(target, port=port, **options)  # no I/O yet: that starts with the app

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # If DNS does not answer, this raises LookupFailed, the app does not start, and the pod is restarted.
        async with service, httpx.AsyncClient(timeout=2) as client:
            log.info("started with the peers %s", service.peers())
            app.state.client = client
            yield

    async def forward(request: Request) -> Response:
        client: httpx.AsyncClient = request.app.state.client

        async def send(peer: Peer) -> httpx.Response:
            return await client.get(peer.url(path=request.url.path))

        try:
            answer = await service.call(send)  # picks a peer, and another one where no connection can be made
        except NoPeers:
            return Response("nobody is there to ask", status_code=503)
        except httpx.TransportError as error:
            return Response(f"no peer answered: {error}", status_code=502)
        return Response(answer.content, answer.status_code)

    async def who(request: Request) -> Response:
        """One pick without a request: which peer would be next."""
        try:
            return JSONResponse({"next": service.pick().netloc, "of": [peer.netloc for peer in service.peers()]})
        except NoPeers:
            return JSONResponse({"next": None, "of": []}, status_code=503)

    async def health(request: Request) -> Response:
        """Old peers are better than none, so a stale set is a warning and not a reason to restart the pod."""
        status = service.status
        return JSONResponse({"peers": len(service.peers()), "state": status.state, "error": str(status.error or "")})

    return Starlette(
        routes=[Route("/who", who), Route("/healthz", health), Route("/{path:path}", forward)], lifespan=lifespan
    )
