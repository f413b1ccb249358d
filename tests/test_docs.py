"""README and docs/ are true: links lead somewhere, and the Python in them runs.

Blocks fenced as ```` ```python ```` run in order, those of one page in one namespace (`await` at top level is fine), in
what looks to them like a pod: the service `headless-svc.moon.svc.cluster.local` has three pods and a port `http` 8080.
A block that cannot run here (it serves for ever, or wants a web server) is fenced ```` ```python no-run ````: it is
compiled, and what it imports from this library must exist.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any
from urllib.parse import unquote

import pytest

from headless_discovery import resolvconf
from headless_discovery.settings import Settings
from headless_discovery.target import parse_server
from headless_discovery.testing import DNSServer

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@dataclass(frozen=True)
class Block:
    language: str
    words: list[str]
    line: int
    text: str

    @property
    def runs(self) -> bool:
        return self.language == "python" and "no-run" not in self.words


def blocks(page: str) -> tuple[list[Block], str]:
    """The fenced blocks of a page, and the page without them, line for line."""
    found: list[Block] = []
    prose: list[str] = []
    fence, info, start, inside = "", "", 0, list[str]()
    for number, line in enumerate(page.splitlines(), 1):
        opening = re.match(r" {0,3}(`{3,}|~{3,})(.*)$", line)
        if not fence and opening:
            fence, info, start, inside = opening[1], opening[2].strip(), number, []
        elif fence and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            words = info.split() or [""]
            found.append(Block(words[0], words[1:], start, "\n".join(inside)))
            fence = ""
        elif fence:
            inside.append(line)
        prose.append("" if fence or opening else line)
    return found, "\n".join(prose)


def anchors(page: str) -> set[str]:
    """What GitHub calls the headings of a page: lower case, punctuation gone, spaces to dashes, repeats numbered."""
    seen: dict[str, int] = {}
    result = set()
    for heading in re.findall(r"^#{1,6} +(.*?)#*$", blocks(page)[1], re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        result.add(slug if slug not in seen else f"{slug}-{seen[slug]}")
        seen[slug] = seen.get(slug, 0) + 1
    return result


def broken_links(path: Path, root: Path) -> list[str]:
    prose = re.sub(r"`[^`\n]*`", "", blocks(path.read_text())[1])
    targets = re.findall(r"\]\(<?([^)>\s]+)>?(?: +\"[^\"]*\")?\)", prose)
    targets += re.findall(r"^\[[^]]+\]: *(\S+)", prose, re.MULTILINE)
    broken = []
    for target in targets:
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue  # other people's pages: whether they answer today is not ours to test
        file, _, anchor = unquote(target).partition("#")
        found = (root / file.lstrip("/") if file.startswith("/") else path.parent / file) if file else path
        if not found.exists() or (anchor and found.suffix == ".md" and anchor not in anchors(found.read_text())):
            broken.append(target)
    return broken


def compiled(path: Path, block: Block) -> CodeType:
    # Blank lines in front make tracebacks point into the page.
    code = compile("\n" * block.line + block.text, str(path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    assert isinstance(code, CodeType)
    return code


def missing_imports(block: Block) -> list[str]:
    missing = []
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "headless_discovery":
            module = importlib.import_module(node.module or "")
            missing += [f"{node.module}.{name.name}" for name in node.names if not hasattr(module, name.name)]
    return missing


async def run_blocks(path: Path, chosen: list[Block]) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    try:
        for block in chosen:
            result = eval(compiled(path, block), namespace)
            if inspect.isawaitable(result):
                await result
    finally:
        for value in list(namespace.values()):  # as at the end of a program
            close = getattr(value, "close", None)
            if close is not None and type(value).__module__.startswith("headless_discovery"):
                closing = close()
                if inspect.isawaitable(closing):
                    await closing


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=identify)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path, ROOT) == []


@pytest.mark.parametrize("path", PAGES, ids=identify)
def test_python_that_cannot_run_here_still_compiles(path: Path) -> None:
    for block in blocks(path.read_text())[0]:
        if block.language == "python":
            compiled(path, block)
            assert missing_imports(block) == []


@pytest.fixture
def like_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """resolv.conf is a pod's, and leads to a test server on loopback (no resolv.conf can name a port)."""
    read, of = resolvconf.read, Settings.of
    path = tmp_path / "resolv.conf"  # not /etc/resolv.conf: what is read once is remembered by the process
    path.touch()

    with DNSServer(zone="cluster.local", ttl=5) as dns:
        dns.service("headless-svc", "moon", pods=3, ports={"http": 8080})
        conf = resolvconf.ResolvConf(
            (parse_server(dns.nameserver),), ("moon.svc.cluster.local", "svc.cluster.local", "cluster.local"), 5
        )

        def settings(*, resolv_conf: str | None, **options: Any) -> Settings:
            return of(resolv_conf=resolv_conf or str(path), **options)

        monkeypatch.setattr(resolvconf, "read", lambda file: conf if file == str(path) else read(file))
        monkeypatch.setattr(Settings, "of", staticmethod(settings))
        yield


@pytest.mark.parametrize(
    "path", [p for p in PAGES if any(block.runs for block in blocks(p.read_text())[0])], ids=identify
)
@pytest.mark.usefixtures("like_a_pod")
def test_python_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [block for block in blocks(path.read_text())[0] if block.runs]
    monkeypatch.chdir(tmp_path)
    # Each page in a loop of its own, also where it calls asyncio.run itself.
    if any(compiled(path, block).co_flags & inspect.CO_COROUTINE for block in chosen):
        asyncio.run(run_blocks(path, chosen))
    else:
        with pytest.raises(StopIteration):
            run_blocks(path, chosen).send(None)


# The checks themselves.


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Two Words, `code`\n\n# Again\n\n# Again\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#two-words-code) [c](other.md#again-1) [d](https://example.com/x) [e](#here)\n"
        "# Here\n```\n[not](a-link.md)\n```\n`[nor](this.md)` [g](gone.md)\n"
        "[h](other.md#gone) [i](#gone) [j]\n\n[j]: gone\n"
    )
    assert broken_links(page, tmp_path) == ["gone.md", "other.md#gone", "#gone", "gone"]


def test_blocks_are_told_apart() -> None:
    page = "a\n```python\nx = 1\n```\nb\n~~~~sh\n```\n~~~~\n```python no-run\ny\n```\n"
    found, prose = blocks(page)
    assert [(b.language, b.runs, b.line, b.text) for b in found] == [
        ("python", True, 2, "x = 1"),
        ("sh", False, 6, "```"),
        ("python", False, 9, "y"),
    ]
    assert prose.split() == ["a", "b"]


async def test_blocks_share_a_namespace_and_fail_loudly(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    first = Block("python", [], 1, "import asyncio\nx = 1\nawait asyncio.sleep(0)")
    await run_blocks(page, [first, Block("python", [], 5, "assert x == 1")])
    with pytest.raises(AssertionError):
        await run_blocks(page, [first, Block("python", [], 5, "assert x == 2")])
    with pytest.raises(SyntaxError):
        compiled(page, Block("python", [], 1, "x ="))


def test_a_missing_name_is_found() -> None:
    block = Block("python", ["no-run"], 1, "from headless_discovery.errors import NoPeers, NoSuchName")
    assert missing_imports(block) == ["headless_discovery.errors.NoSuchName"]
