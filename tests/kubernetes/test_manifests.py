"""What we tell people to apply, applied: examples/kubernetes and the manifests in docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import objects
from .api import Refused, path
from .conftest import Watch
from .control_plane import ControlPlane

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = sorted((CHECKOUT / "examples" / "kubernetes").glob("*.yaml"))
PAGES = sorted((CHECKOUT / "docs").glob("*.md"))
STRICT = {"fieldValidation": "Strict"}  # a field that the API does not know is an error
YAML = {"Content-Type": "application/yaml"}


def in_namespace(manifest: str, namespace: str) -> tuple[str, str]:
    """The manifest and where to post it; `namespace` in the place of the one it names."""
    kind = re.search(r"^kind: *(\w+)", manifest, re.MULTILINE)
    assert kind is not None, manifest
    return re.sub(r"^  namespace: *\S+", f"  namespace: {namespace}", manifest, flags=re.MULTILINE), path(
        kind[1], namespace
    )


def create(cluster: ControlPlane, manifest: str, namespace: str, **params: str) -> None:
    text, where = in_namespace(manifest, namespace)
    cluster.api.request("POST", where, content=text, headers=YAML, params=STRICT | params)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_is_valid(cluster: ControlPlane, namespace: str, file: Path) -> None:
    create(cluster, file.read_text(), namespace, dryRun="All")
    with pytest.raises(Refused, match="unknown field"):
        create(cluster, file.read_text().replace("\nspec:\n", "\nspec:\n  replicaz: 3\n"), namespace, dryRun="All")


def manifests() -> Iterator[object]:
    """The YAML in docs/."""
    for page in PAGES:
        blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        things = [thing for block in blocks for thing in re.split(r"^---\n", block, flags=re.MULTILINE)]
        for number, thing in enumerate(filter(lambda thing: re.search("^kind:", thing, re.MULTILINE), things), 1):
            yield pytest.param(thing, id=f"{page.stem}-{number}")


@pytest.mark.parametrize("manifest", list(manifests()))
def test_a_manifest_in_the_docs_is_valid(cluster: ControlPlane, namespace: str, manifest: str) -> None:
    create(cluster, manifest, namespace, dryRun="All")


def test_the_examples_work_together(cluster: ControlPlane, namespace: str, watch: Watch) -> None:
    """Created for real: the pods are found by the port's name, and the clients run."""
    for file in FILES:
        create(cluster, file.read_text(), namespace)
    cluster.wait_for_endpoints(namespace, 3)
    clients = watch(objects.SERVICE, "http")
    clients.settle()
    for client in clients:
        assert [(peer.ordinal, peer.port) for peer in client.twin.peers()] == [(0, 8080), (1, 8080), (2, 8080)]
    cluster.wait(
        lambda: sum(name.startswith("client-") for name in cluster.kubelet.pods(namespace)) == 2, "two clients run"
    )
