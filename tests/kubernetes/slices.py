"""The API's own EndpointSlices: the truth that membership is compared with, now and at any moment before."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from support.twins import Loop

from .api import AsyncApi, Object

Address = str
ServiceName = tuple[str, str]  # namespace, name


class Endpoint(NamedTuple):
    address: Address
    port: int | None
    zone: str | None


class Slices:
    """Watches them all. `addresses` is what a DNS server should say; `held_since` what it should have said."""

    def __init__(self, api: Callable[[], AsyncApi]) -> None:
        self._make_api = api
        self._task: asyncio.Task[None] | None = None
        self._loop = Loop()
        self._since: dict[tuple[ServiceName, Address], float] = {}
        self._by_service: dict[ServiceName, dict[str, frozenset[Endpoint]]] = defaultdict(dict)

    def start(self) -> None:
        self._loop.run(self._begin())

    def stop(self) -> None:
        self._loop.run(self._end())
        self._loop.stop()

    def endpoints(self, service: ServiceName) -> frozenset[tuple[Address, int | None]]:
        """Address and port of all endpoints that are to be published, IPv4 and IPv6."""
        return frozenset((e.address, e.port) for e in self._endpoints(service))

    def addresses(self, service: ServiceName, version: int = 4, zone: str | None = None) -> frozenset[Address]:
        return frozenset(
            e.address
            for e in self._endpoints(service)
            if (":" in e.address) == (version == 6) and zone in (None, e.zone)
        )

    def _endpoints(self, service: ServiceName) -> Iterator[Endpoint]:
        for endpoints in list(self._by_service.get(service, {}).values()):
            yield from endpoints

    def held_since(self, service: ServiceName, address: Address) -> float | None:
        """Since when (time.time()) the address has been there all the time; None where it is not."""
        return self._since.get((service, address))

    async def _begin(self) -> None:
        self._api = self._make_api()
        self._task = asyncio.create_task(self._watch())

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            await self._api.close()

    async def _watch(self) -> None:
        async for happened, found in self._api.watch("EndpointSlice"):
            name = found["metadata"].get("labels", {}).get("kubernetes.io/service-name")
            if name is None:
                continue
            service = (found["metadata"]["namespace"], name)
            before = {endpoint.address for endpoint in self._endpoints(service)}
            of_service = self._by_service[service]
            if happened == "DELETED":
                of_service.pop(found["metadata"]["uid"], None)
            else:
                of_service[found["metadata"]["uid"]] = _published(found)
            now, after = time.time(), {endpoint.address for endpoint in self._endpoints(service)}
            for address in after - before:
                self._since[service, address] = now
            for address in before - after:
                del self._since[service, address]


def _published(found: Object) -> frozenset[Endpoint]:
    """As the specification of Kubernetes' DNS has it: ready ones; where `ready` is not said, it is true."""
    ports = [port.get("port") for port in found.get("ports") or ()] or [None]
    return frozenset(
        Endpoint(address, port, endpoint.get("zone"))
        for endpoint in found.get("endpoints") or ()
        if endpoint.get("conditions", {}).get("ready") is not False
        for address in endpoint["addresses"]
        for port in ports
    )
