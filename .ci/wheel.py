"""Build sdist and, from it, the wheel; install the wheel alone in a clean environment and import every module of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Runs inside the clean environment: there, only the required dependencies exist. What needs an extra or pytest may
# say so, and nothing else may be missing.
IMPORT_ALL = """
import importlib, importlib.metadata, importlib.resources, pkgutil, sys
import headless_discovery, headless_discovery.balance, headless_discovery.testing
assert importlib.metadata.version("headless-discovery") == headless_discovery.__version__
assert importlib.resources.files("headless_discovery").joinpath("py.typed").is_file(), "py.typed is not in the wheel"
assert sys.prefix in headless_discovery.__file__, headless_discovery.__file__
done = 0
for found in pkgutil.walk_packages(headless_discovery.__path__, "headless_discovery.", onerror=lambda name: None):
    try:
        importlib.import_module(found.name)
        done += 1
    except ModuleNotFoundError as error:
        optional = {"headless_discovery.cli": {"typer", "rich"}, "headless_discovery.testing": {"pytest"}}
        allowed = next((names for part, names in optional.items() if found.name.startswith(part)), set())
        if (error.name or "").partition(".")[0] not in allowed:
            raise
print(f"imported {done} modules of headless-discovery {headless_discovery.__version__}")
"""


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    # PYTHONPATH could let the checkout stand in for the wheel.
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    code = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, check=False).returncode
    if code:
        sys.exit(f"The wheel fails in a clean environment (see above; exit code {code}).")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="headless-discovery-wheel-") as name:
        folder = Path(name)
        print("Building sdist and wheel ...", flush=True)
        log = folder / "build.log"
        with log.open("wb") as out:
            build = [sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(ROOT)]
            failed = subprocess.run(build, cwd=folder, stdout=out, stderr=subprocess.STDOUT, check=False).returncode
        if failed:
            sys.exit(log.read_text(errors="replace") + "\nThe build failed.")
        (wheel,) = (folder / "dist").glob("*.whl")
        print(f"Installing {wheel.name} in a clean environment ...", flush=True)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", wheel)
        run(python, "-m", "pip", "--disable-pip-version-check", "check")
        (folder / "import_all.py").write_text(IMPORT_ALL)
        run(python, "-W", "error", folder / "import_all.py", cwd=folder)
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        shutil.copytree(folder / "dist", ROOT / "dist")
    for built in sorted((ROOT / "dist").iterdir()):
        print(f"dist/{built.name}")


if __name__ == "__main__":
    main()
