"""The mutants themselves: what is changed, what is left out, what names a change, and what is told of survivors."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("mutmut", reason="make mutants installs it")

from .making import SOURCES, Mutant, mutants_of
from .report import BEGIN, END, Score, page_with, read_reasons
from .running import _changed_functions

SOURCE = '''\
"""A module."""

from __future__ import annotations

from typing import TypeVar, cast

T = TypeVar("T")
LIMIT = 8  # of tries


class Box:
    @property
    def small(self) -> bool:
        """Whether it is."""
        if self.size < LIMIT and not self.open:
            return True
        raise ValueError(f"{self} is not small")

    def name(self, text: str = "x") -> str:
        return cast(str, text.lower())
'''


def changes(source: str) -> list[tuple[str, str]]:
    return [(mutant.function, mutant.change) for mutant in mutants_of("sample", source)[0]]


def test_constants_defaults_and_what_is_decorated_are_mutated() -> None:
    assert changes(SOURCE) == [
        ("", "- LIMIT = 8\n+ LIMIT = None"),
        ("", "- LIMIT = 8\n+ LIMIT = 9"),
        ("Box.small", "- if self.size < LIMIT and not self.open:\n+ if self.size < LIMIT or not self.open:"),
        ("Box.small", "- if self.size < LIMIT and not self.open:\n+ if self.size <= LIMIT and not self.open:"),
        ("Box.small", "- if self.size < LIMIT and not self.open:\n+ if self.size < LIMIT and self.open:"),
        ("Box.small", "- return True\n+ return False"),
        ("Box.name", '- def name(self, text: str = "x") -> str:\n+ def name(self, text: str = "XXxXX") -> str:'),
        ("Box.name", '- def name(self, text: str = "x") -> str:\n+ def name(self, text: str = "X") -> str:'),
        ("Box.name", "- return cast(str, text.lower())\n+ return cast(str, None)"),
        ("Box.name", "- return cast(str, text.lower())\n+ return cast(text.lower())"),
        ("Box.name", "- return cast(str, text.lower())\n+ return cast(str, )"),
        ("Box.name", "- return cast(str, text.lower())\n+ return cast(str, text.upper())"),
    ]


def test_words_are_counted_and_left_out() -> None:
    assert mutants_of("sample", SOURCE)[1] == 2  # the message is None; the type in `cast` is None
    assert changes('raise ValueError("it is so")\n') == []
    assert changes('def f(x):\n    return x("it is so", 1)\n') == [
        ("f", '- return x("it is so", 1)\n+ return x("it is so", None)'),
        ("f", '- return x("it is so", 1)\n+ return x(1)'),
        ("f", '- return x("it is so", 1)\n+ return x("it is so", )'),
        ("f", '- return x("it is so", 1)\n+ return x("it is so", 2)'),
    ]


def test_all_of_them_are_python_and_have_names_of_their_own() -> None:
    mutants, _ = mutants_of("servers")
    assert len({mutant.key for mutant in mutants}) == len(mutants) > 300
    for mutant in mutants[::20]:
        compile(mutant.code, "servers", "exec")


def test_two_equal_lines_of_a_function_are_told_apart() -> None:
    found = [change for _, change in changes("def f(x):\n    x += y\n    x += y\n")]
    assert found[:2] == ["- x += y\n+ x = y", "- x += y\n+ x -= y"]
    assert found[2:] == [f"{change}\n  (such a line, number 2)" for change in found[:2]]


def test_neither_comments_nor_indentation_are_part_of_the_name() -> None:
    one = changes("def f(x):\n    return x + 1  # why\n")
    other = changes("def f(x):\n    return x + 1  # why not\n")
    assert one == other


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    path = tmp_path / "sample.py"
    path.write_text(SOURCE)
    made = ModuleType("sample")
    made.__file__ = str(path)
    exec(compile(SOURCE, str(path), "exec"), made.__dict__)
    return made


def test_a_functions_code_is_put_in_and_all_else_needs_an_import(module: ModuleType) -> None:
    put_in = {}
    for mutant in mutants_of("sample", SOURCE)[0]:
        changed = _changed_functions(module, mutant.code)
        put_in[mutant.change.splitlines()[1]] = None if changed is None else [f.__qualname__ for f, _ in changed]
    assert put_in["+ LIMIT = 9"] is None
    assert put_in['+ def name(self, text: str = "X") -> str:'] is None
    assert put_in["+ return False"] == ["Box.small"]
    assert put_in["+ return cast(str, text.upper())"] == ["Box.name"]


def test_the_living_function_does_what_the_mutant_says(module: ModuleType) -> None:
    (mutant,) = (m for m in mutants_of("sample", SOURCE)[0] if "return False" in m.change)
    ((function, code),) = _changed_functions(module, mutant.code) or []
    box = module.Box()
    box.size, box.open = 1, False
    assert box.small is True
    function.__code__ = code
    assert box.small is False


def mutant(number: int) -> Mutant:
    return Mutant("lookup", "f", frozenset({1}), f"- return {number}\n+ return {number + 1}", "")


def test_a_survivor_needs_a_reason() -> None:
    reasons = read_reasons(
        "[[survivors]]\nreason = 'because'\nmutants = ['''\nlookup f\n- return 1\n+ return 2\n''']\n"
    )
    mutants = [mutant(number) for number in range(10)]
    killed = {m.key: m is not mutants[1] and m is not mutants[2] for m in mutants}
    score = Score(mutants, killed, reasons, words=3)
    assert score.of("lookup") == (10, 2)
    assert score.share == 0.8
    assert score.unexplained == [mutants[2]]
    assert score.needless == []
    assert "lookup          8 of    10 killed    80.0%" in score.text()
    assert "does not say why: lookup f\n- return 2\n+ return 3" in score.text()


def test_a_reason_for_one_that_is_killed_is_told() -> None:
    score = Score([mutant(1)], {mutant(1).key: True}, {mutant(1).key: "because", "elsewhere": "else"}, 0)
    assert score.needless == [mutant(1).key]
    assert score.unexplained == []


def test_the_page_gets_the_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    page_with(
        Score([mutant(1), mutant(2)], {mutant(1).key: False, mutant(2).key: True}, {mutant(1).key: "why"}, 4), page
    )
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n| module")
    assert text.endswith(f"{END}\nafter\n")
    assert "| `lookup` | 2 | 1 | 1 | 50.0% |" in text
    assert "| `lookup` f | `- return 1`<br>`+ return 2` | why |" in text
    assert "old" not in text


def test_each_reason_names_a_module_and_a_change() -> None:
    for key, reason in read_reasons().items():
        assert reason
        assert (SOURCES / f"{key.split()[0]}.py").exists()
        assert "\n- " in key
        assert "\n+ " in key
