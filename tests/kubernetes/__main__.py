"""`python tests/kubernetes [options of pytest]`: builds the control plane if need be, then runs the scenarios in it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)

from kubernetes.isolation import isolate  # noqa: E402
from kubernetes.parts import MissingPart, Parts  # noqa: E402


def main(parts: Parts) -> int:
    chosen = any(Path(argument.partition("::")[0]).exists() for argument in sys.argv[1:])
    return pytest.main(sys.argv[1:] if chosen else [str(HERE), *sys.argv[1:]])


if __name__ == "__main__":
    try:
        sys.exit(isolate(main))
    except MissingPart as missing:
        sys.exit(f"The Kubernetes tests cannot run: {missing}")
