"""What runs in the pods: an HTTP server and a gRPC server, which note who asked them and when."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from kubernetes.pods import HttpPod

from .client import GRPC_PORT, HTTP_PORT

GRACE = 1.0  # s for gRPC calls that are under way when the server stops


@dataclass
class Asked:
    """When somebody's first and last request came (time.time()), of so many."""

    first: float
    last: float
    requests: int = 1


class Pod:
    def __init__(self, name: str, addresses: Sequence[str], ports: Sequence[int]) -> None:
        assert set(ports) == {HTTP_PORT, GRPC_PORT}
        self.name = name
        self.asked: dict[str, Asked] = {}
        self._http = _Http(self, addresses)
        self._address = addresses[0]
        self._grpc: grpc.aio.Server | None = None

    async def start(self) -> None:
        await self._http.start()
        self._grpc = grpc.aio.server(handlers=[_Grpc(self)])
        self._grpc.add_insecure_port(f"{self._address}:{GRPC_PORT}")
        await self._grpc.start()

    async def stop(self) -> None:
        await self._http.stop()
        if self._grpc is not None:
            await self._grpc.stop(GRACE)

    def note(self, label: str) -> None:
        now = time.time()
        if (known := self.asked.get(label)) is None:
            self.asked[label] = Asked(now, now)
        else:
            known.last = now
            known.requests += 1


class _Http(HttpPod):
    def __init__(self, pod: Pod, addresses: Sequence[str]) -> None:
        super().__init__(pod.name, addresses, [HTTP_PORT])
        self._pod = pod

    def heard(self, head: bytes) -> None:
        super().heard(head)
        self._pod.note(head.split()[1].decode().strip("/"))


class _Grpc(grpc.GenericRpcHandler):
    """Answers every method, and takes its name for that of the client: /bench/LABEL."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            self._pod.note(handler_call_details.method.rpartition("/")[2])
            return self._pod.name.encode()

        return grpc.unary_unary_rpc_method_handler(answer)
