"""The API server over HTTPS: objects as JSON, and watches that survive its restarts."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import httpx

Object: TypeAlias = dict[str, Any]
Event: TypeAlias = tuple[str, Object]  # ADDED, MODIFIED or DELETED, and the object

TOKEN = "token-of-the-admin"
PAUSE = 0.1  # s between two tries to reach an API server that is not there
# Kinds that tests use, by apiVersion and plural.
PATHS = {
    "Deployment": ("apis/apps/v1", "deployments"),
    "EndpointSlice": ("apis/discovery.k8s.io/v1", "endpointslices"),
    "Namespace": ("api/v1", "namespaces"),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies"),
    "Node": ("api/v1", "nodes"),
    "Pod": ("api/v1", "pods"),
    "Service": ("api/v1", "services"),
    "StatefulSet": ("apis/apps/v1", "statefulsets"),
}
MERGE = {"Content-Type": "application/merge-patch+json"}


class Refused(RuntimeError):
    """The API server said no; the text is its own."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        try:
            message = response.json()["message"]
        except (ValueError, KeyError):
            message = response.text
        super().__init__(f"{response.request.method} {response.request.url.path}: {self.status} {message}")


def path(kind: str, namespace: str | None = None, name: str | None = None) -> str:
    prefix, plural = PATHS[kind]
    return "/".join(["", prefix, *(["namespaces", namespace] if namespace else []), plural, *([name] if name else [])])


def where(thing: Mapping[str, Any]) -> tuple[str, str | None]:
    """Kind and namespace of an object."""
    return thing["kind"], thing["metadata"].get("namespace")


def _context(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


class Api:
    """For tests: waits for the API server's answer. Safe from any thread."""

    def __init__(self, url: str, certificate: Path) -> None:
        self._client = httpx.Client(
            base_url=url,
            verify=_context(certificate),
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=30,
            trust_env=False,
        )

    def close(self) -> None:
        self._client.close()

    def request(self, method: str, path: str, **options: Any) -> Object:
        response = self._client.request(method, path, **options)
        if response.is_error:
            raise Refused(response)
        return response.json()

    def create(self, thing: Object, **params: str) -> Object:
        """POST it, with strict validation: a field that the API does not know is an error."""
        kind, namespace = where(thing)
        return self.request("POST", path(kind, namespace), json=thing, params={"fieldValidation": "Strict"} | params)

    def get(self, kind: str, namespace: str, name: str) -> Object:
        return self.request("GET", path(kind, namespace, name))

    def items(self, kind: str, namespace: str, selector: str = "") -> list[Object]:
        return self.request("GET", path(kind, namespace), params={"labelSelector": selector})["items"]

    def patch(self, kind: str, namespace: str, name: str, change: Object) -> Object:
        """A JSON merge patch (RFC 7396)."""
        return self.request("PATCH", path(kind, namespace, name), content=json.dumps(change), headers=MERGE)

    def delete(self, kind: str, namespace: str | None, name: str) -> Object:
        return self.request("DELETE", path(kind, namespace, name))


class AsyncApi:
    """For the stand-ins that watch, on their event loop."""

    def __init__(self, url: str, certificate: Path) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            verify=_context(certificate),
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=30,
            limits=httpx.Limits(max_connections=20),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def insist(self, method: str, path: str, **options: Any) -> Object | None:
        """As often as it takes until the API server answers; None where the object is gone."""
        while True:
            try:
                response = await self._client.request(method, path, **options)
            except httpx.TransportError:
                await asyncio.sleep(PAUSE)
                continue
            if response.status_code in (404, 409):  # gone; deleted meanwhile, or done by an earlier try
                return None
            if response.status_code in (429, 500, 503):
                await asyncio.sleep(PAUSE)
                continue
            if response.is_error:
                raise Refused(response)
            return response.json()

    async def watch(self, kind: str, synced: Callable[[], object] = lambda: None) -> AsyncIterator[Event]:
        """Everything of one kind in all namespaces, and what happens to it; for ever.

        A watch that broke is begun anew, and then what vanished meanwhile comes as DELETED. `synced` is called each
        time that what there is has been told.
        """
        known: dict[str, Object] = {}
        while True:
            try:
                listed = await self._client.get(path(kind))
                if listed.is_error:
                    raise Refused(listed)
                there = {item["metadata"]["uid"]: item for item in listed.json()["items"]}
                for uid in known.keys() - there.keys():
                    yield "DELETED", known.pop(uid)
                for uid, item in there.items():
                    before = known.get(uid)
                    known[uid] = item
                    if before is None or before["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                        yield "MODIFIED" if before else "ADDED", item
                synced()
                since = listed.json()["metadata"]["resourceVersion"]
                async for happened, item in self._stream(kind, since):
                    if happened == "DELETED":
                        known.pop(item["metadata"]["uid"], None)
                    else:
                        known[item["metadata"]["uid"]] = item
                    yield happened, item
            except (httpx.TransportError, Refused):
                await asyncio.sleep(PAUSE)

    async def _stream(self, kind: str, since: str) -> AsyncIterator[Event]:
        options: Any = {"params": {"watch": "1", "resourceVersion": since}, "timeout": httpx.Timeout(10, read=None)}
        async with self._client.stream("GET", path(kind), **options) as response:
            if response.is_error:
                await response.aread()
                raise Refused(response)
            async for line in response.aiter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":  # the version is too old: list again
                    return
                yield event["type"], event["object"]
