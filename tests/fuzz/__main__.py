"""`python tests/fuzz [messages|services] [--seconds 60]`: atheris, guided by what the library's code has run.

    python tests/fuzz messages --input FILE     # one input again, without atheris: to see a finding's traceback

New inputs that reach more go to build/fuzz, a finding, too; a finding exits with 1 and says how to see it again.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "build" / "fuzz"
sys.path[0] = str(HERE.parent)


def main() -> int:
    options = argparse.ArgumentParser(prog="fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument(
        "target", nargs="?", choices=("messages", "services"), help="default: both, half the time each"
    )
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--input", type=Path)
    options.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.input is not None:
        from fuzz.targets import TARGETS

        TARGETS[chosen.target or "messages"](chosen.input.read_bytes())
        return 0
    try:
        import atheris
    except ImportError:
        print(
            f"Fuzzing is skipped: atheris is not installed. Its wheels are for CPython on Linux x86_64; this is "
            f"{platform.python_implementation()} {platform.python_version()} on {sys.platform} {platform.machine()}. "
            f"The tests in tests/fuzz run the same targets without it."
        )
        return 0
    if chosen.inside:
        fuzz(atheris, chosen.target, chosen.seconds)
    targets = [chosen.target] if chosen.target else ["messages", "services"]
    # A process each: libFuzzer ends the one it runs in.
    each = max(1, chosen.seconds // len(targets))
    return max(run(target, each) for target in targets)


def run(target: str, seconds: int) -> int:
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    found = set(folder.parent.glob(f"{target}-*"))
    command = [sys.executable, str(HERE), target, "--seconds", str(seconds), "--inside"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(*(line for line in done.stderr.splitlines() if "Instrumenting" not in line), sep="\n", file=sys.stderr)
        for finding in sorted(set(folder.parent.glob(f"{target}-*")) - found):
            where = os.path.relpath(finding)
            print(f"Again: {os.path.relpath(sys.executable)} tests/fuzz {target} --input {where}", file=sys.stderr)
        return 1
    stats = dict(line.removeprefix("stat::").split(":", 1) for line in done.stderr.splitlines() if "stat::" in line)
    ran, speed = stats["number_of_executed_units"].strip(), stats["average_exec_per_sec"].strip()
    print(f"{target}: {int(ran):,} inputs ({speed}/s), {int(stats['new_units_added']):,} reached new code; no finding")
    return 0


def fuzz(atheris: object, target: str, seconds: int) -> None:
    """Does not return."""
    # dnspython's branches guide, too: what it refuses, and why, is half of the comparison.
    with atheris.instrument_imports(include=["headless_discovery", "dns"]):  # type: ignore[attr-defined]
        from fuzz.targets import TARGETS
    arguments = [
        sys.argv[0],
        str(OUT / target),
        str(HERE / "corpus" / target),
        f"-max_total_time={seconds}",
        "-max_len=4096" if target == "services" else "-max_len=1400",
        "-timeout=10",  # seconds for one input: an endless loop
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        f"-artifact_prefix={OUT}/{target}-",
    ]
    atheris.Setup(arguments, TARGETS[target])  # type: ignore[attr-defined]
    atheris.Fuzz()  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
