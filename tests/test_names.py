"""Rule 8: no submodule shares a name with a public attribute, whichever of them is imported first."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

import headless_discovery
from support.processes import python

PACKAGES = ["headless_discovery", "headless_discovery.balance", "headless_discovery.testing"]


def submodules(package: ModuleType) -> set[str]:
    return {module.name for module in pkgutil.iter_modules(package.__path__)}


@pytest.mark.parametrize("name", PACKAGES)
def test_no_submodule_has_the_name_of_a_public_attribute(name: str) -> None:
    package = importlib.import_module(name)
    assert submodules(package)
    assert not submodules(package) & set(package.__all__)


@pytest.mark.parametrize("name", PACKAGES)
def test_public_names_are_there_and_are_no_modules(name: str) -> None:
    package = importlib.import_module(name)
    assert len(set(package.__all__)) == len(package.__all__)
    for attribute in package.__all__:
        assert not isinstance(getattr(package, attribute), ModuleType), attribute


def test_the_public_names_of_the_contract() -> None:
    contract = """
        HeadlessService AsyncHeadlessService resolve aresolve peers apeers Peer PeerSet Change Status Subscription
        DiscoveryError TargetError LookupFailed NoPeers WaitTimeout ServiceClosed
    """
    assert set(headless_discovery.__all__) == set(contract.split())
    assert issubclass(headless_discovery.TargetError, ValueError)
    assert issubclass(headless_discovery.WaitTimeout, headless_discovery.NoPeers)
    assert issubclass(headless_discovery.WaitTimeout, TimeoutError)
    errors = [getattr(headless_discovery, name) for name in contract.split()[11:]]
    assert all(issubclass(error, headless_discovery.DiscoveryError) for error in errors)


def test_public_names_survive_the_import_of_every_submodule() -> None:
    """In a process of its own: importing `package.x` binds the name x in the package."""
    python("""
import importlib, pkgutil, headless_discovery, headless_discovery.balance
packages = [headless_discovery, headless_discovery.balance]
before = {package: {name: getattr(package, name) for name in package.__all__} for package in packages}
for package in packages:
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if module.name.rpartition(".")[2] not in ("cli", "testing", "__main__"):
            importlib.import_module(module.name)
for package in packages:
    for name, value in before[package].items():
        assert getattr(package, name) is value, name
""")
