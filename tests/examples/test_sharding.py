from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from headless_discovery import HeadlessService
from headless_discovery.testing.cluster import Service

from .conftest import ADDRESSES, Pod

KEYS = [f"user-{number}" for number in range(40)]


def test_a_key_is_on_its_two_pods_and_survives_one_of_them(
    example: Callable[[str], ModuleType], web: Service, pods: list[Pod], options: dict[str, Any]
) -> None:
    with HeadlessService(web.name, port="http", strategy="consistent_hash", **options) as service:
        store = example("sharding").ShardedStore(service)
        for key in KEYS:
            store.put(key, key.upper().encode())
            holders = {pod.address for pod in pods if f"/{key}" in pod.values}
            assert holders == {peer.address for peer in store.owners(key)}
            assert len(holders) == 2
        assert all(any(f"/{key}" in pod.values for key in KEYS) for pod in pods)
        pods[0].stop()
        assert [store.get(key) for key in KEYS] == [key.upper().encode() for key in KEYS]
        pods[1].stop()
        pods[2].stop()
        with pytest.raises(ConnectionError):
            store.get(KEYS[0])


def test_a_pod_with_a_new_address_has_its_old_keys(
    example: Callable[[str], ModuleType], web: Service, options: dict[str, Any]
) -> None:
    with HeadlessService(web.name, port="http", strategy="consistent_hash", **options) as service:
        store = example("sharding").ShardedStore(service)
        before = {key: [peer.identity for peer in store.owners(key)] for key in KEYS}
        web.restart("web-1", ADDRESSES[3])
        for change in service.changes():
            if ADDRESSES[3] in change.current.addresses:
                break
        assert {key: [peer.identity for peer in store.owners(key)] for key in KEYS} == before
        assert {peer.address for key in KEYS for peer in store.owners(key)} == {*ADDRESSES} - {ADDRESSES[1]}


def test_main_prints_owners(
    example: Callable[[str], ModuleType],
    web: Service,
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = example("sharding")
    monkeypatch.setattr(module, "HeadlessService", lambda *a, **k: HeadlessService(*a, **k, **options))
    monkeypatch.setattr("sys.argv", ["sharding", web.name, "alice"])
    module.main()
    name, owners = capsys.readouterr().out.rstrip().split(" belongs to ")
    assert name == "alice"
    assert {f"web-{n}.{web.name}" for n in range(3)} > set(owners.split(" and "))
