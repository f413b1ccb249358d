"""Tables of README and docs/ say what the code says: options with defaults, members, status, errors, modules.

That links lead somewhere and that the Python blocks run is tested in tests/test_docs.py.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import headless_discovery
from headless_discovery import AsyncHeadlessService, DiscoveryError, HeadlessService, PeerSet, Status, errors
from headless_discovery.options import OneShot

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def rows(page: str, heading: str) -> Iterator[list[str]]:
    """The cells of the tables under a heading (of any level), up to the next one."""
    text = (ROOT / page).read_text()
    section = re.search(rf"^(#+) {re.escape(heading)}$\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None, f"{page} has no heading {heading!r}"
    for line in section[2].splitlines():
        if line.startswith("|") and not re.fullmatch(r"[|\s:-]+", line):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def names(cell: str) -> list[str]:
    """The identifiers that a cell begins its code spans with: `pick(key=None)` is pick."""
    return [found[1] for span in re.findall(r"`([^`]+)`", cell) if (found := re.match(r"(\w+)", span))]


OPTION_SECTIONS = ("What to ask for", "Whom to ask", "What to believe", "Whom to pick")


@pytest.mark.parametrize("twin", [HeadlessService, AsyncHeadlessService])
def test_every_option_is_on_its_page_with_its_default(twin: type) -> None:
    said = {
        names(option)[0]: default
        for section in OPTION_SECTIONS
        for option, default, *_ in rows("docs/options.md", section)
        if option != "option"
    }
    real = {
        name: "" if parameter.default is inspect.Parameter.empty else f"`{parameter.default!r}`".replace("'", '"')
        for name, parameter in inspect.signature(twin).parameters.items()
    }
    assert said == real


def test_the_options_of_one_shots_are_listed() -> None:
    section = (ROOT / "docs/options.md").read_text().split("## One-shots")[1].split("##")[0]
    listed = set(re.findall(r"`(\w+)`", section)) - {"resolve", "aresolve", "peers", "apeers", "target", "port"}
    assert listed == set(OneShot.__annotations__)


def test_every_member_is_in_the_table_and_is_a_coroutine_where_it_says_so() -> None:
    table = {name: text for cell, text in rows("README.md", "Members") for name in names(cell) if cell != "member"}
    public = {name for name in vars(HeadlessService) if not name.startswith("_")} - {"target"}
    assert (
        set(table) == public == {name for name in vars(AsyncHeadlessService) if not name.startswith("_")} - {"target"}
    )
    for name, text in table.items():
        assert inspect.iscoroutinefunction(getattr(AsyncHeadlessService, name)) == ("*waits*" in text), name


def test_signatures_in_the_table_are_the_real_ones() -> None:
    for cell, _ in rows("README.md", "Members"):
        for name, written in re.findall(r"`(\w+)\((.*?)\)`", cell):
            parameters = list(inspect.signature(getattr(HeadlessService, name)).parameters)[1:]
            said = re.findall(r"(\w+)(?:=[^,]+)?(?:,|$)", written)
            assert said == parameters, name


def test_every_status_field_is_in_the_table() -> None:
    said = [name for cell, _ in rows("docs/monitoring.md", "Status") if cell != "field" for name in names(cell)]
    assert said == [field.name for field in dataclasses.fields(Status)]


def test_every_error_is_in_the_table_with_its_bases() -> None:
    said = {
        names(error)[0]: set(names(bases))
        for error, bases, _ in rows("docs/troubleshooting.md", "Troubleshooting")
        if error != "error"
    }
    real = {
        name: {base.__name__ for base in error.__bases__} - {"DiscoveryError"}
        for name, error in vars(errors).items()
        if inspect.isclass(error) and issubclass(error, DiscoveryError) and error is not DiscoveryError
    }
    assert said == real


def test_every_module_is_in_the_architecture() -> None:
    said = {name for cell, *_ in rows("docs/architecture.md", "Where to look") for name in names(cell)}
    package = Path(headless_discovery.__file__).parent
    real = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    assert said == real - {"__init__"}


def calls(page: Path) -> Iterator[ast.Call]:
    for block in re.findall(r"^```python[^\n]*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        yield from (node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call))


def unknown_keywords(call: ast.Call) -> list[str]:
    """Keyword arguments that what is called has not got: the public functions, and methods of things named service."""
    function = call.func
    found: Any = None
    if isinstance(function, ast.Name) and function.id in headless_discovery.__all__:
        found = getattr(headless_discovery, function.id)
    elif (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id.endswith("service")
    ):
        found = getattr(HeadlessService, function.attr, None)
        if found is None:
            return [function.attr]
    if found is None or found is PeerSet:
        return []
    parameters = inspect.signature(found).parameters
    known = set(parameters)
    if "options" in parameters:
        known |= set(OneShot.__annotations__)
    elif any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    return [keyword.arg for keyword in call.keywords if keyword.arg is not None and keyword.arg not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_examples_exist(page: Path) -> None:
    """Also in blocks that cannot be run."""
    assert [wrong for call in calls(page) for wrong in unknown_keywords(call)] == []


def test_an_option_that_does_not_exist_is_found() -> None:
    def wrong(text: str) -> list[str]:
        call = ast.parse(text).body[0].value  # type: ignore[attr-defined]
        return unknown_keywords(call)

    assert wrong("HeadlessService('x', ttl=5)") == ["ttl"]
    assert wrong("resolve('x', family='any', strategy='random')") == ["strategy"]
    assert wrong("service.pick('k', excluding=[])") == ["excluding"]
    assert wrong("service.pik()") == ["pik"]
    assert wrong("service.call(f, anything=1)") == wrong("other.pick(x=1)") == []
