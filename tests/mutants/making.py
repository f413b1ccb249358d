"""The mutants of a module: mutmut's operators, applied to one place at a time.

mutmut itself leaves out what stands under a decorator, and every constant outside of a function. Our rules are there,
too, so we take its operators only and apply them everywhere, with two exceptions that docs/reliability.md states:

* words: a string with a space in it, or what stands in such an f-string. They are messages and not rules.
* types: annotations, type aliases and variables, and the type in a `cast`. Nothing reads them when the code runs.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

SOURCES = Path(__file__).resolve().parents[2] / "src" / "headless_discovery"


@dataclass(frozen=True)
class Mutant:
    module: str
    function: str  # with its class, or "" for what stands outside of functions
    lines: frozenset[int]  # of the statement, where it begins: whoever runs the mutation runs one of them
    change: str  # the lines that differ
    code: str = field(repr=False)

    @property
    def key(self) -> str:
        """What names this mutant for as long as the lines stay as they are."""
        return f"{self.module} {self.function or '(outside of functions)'}\n{self.change}"


def mutants_of(module: str, source: str | None = None) -> tuple[list[Mutant], int]:
    """All mutants of a module, and the number of changes to words that were left out."""
    source = (SOURCES / f"{module}.py").read_text() if source is None else source
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    finder = _Finder()
    wrapper.visit(finder)
    made: list[Mutant] = []
    codes = {source}
    changes: Counter[tuple[str, str]] = Counter()
    for place in finder.places:
        code, change = _replaced(source, place, wrapper.module)
        if code in codes:
            continue
        codes.add(code)
        changes[place.function, change] += 1
        if (number := changes[place.function, change]) > 1:
            change += f"\n  (such a line, number {number})"
        made.append(Mutant(module, place.function, place.lines, change, code))
    return made, finder.words


def _replaced(source: str, place: _Place, module: cst.Module) -> tuple[str, str]:
    """The whole source with one place mutated, and the lines that differ.

    Positions leave out the parentheses around an expression, so those of the mutated one go, too.
    """
    mutated = place.mutated
    if isinstance(mutated, cst.BaseExpression):
        mutated = mutated.with_changes(lpar=[], rpar=[])
    lines = source.splitlines(keepends=True)
    first, last = place.where.start, place.where.end
    before = "".join(lines[: first.line - 1])
    old = "".join(lines[first.line - 1 : last.line])
    after = "".join(lines[last.line :])
    tail = lines[last.line - 1][last.column :]
    new = lines[first.line - 1][: first.column] + module.code_for_node(mutated) + tail
    differ = difflib.ndiff(_bare(old), _bare(new))
    return before + new + after, "\n".join(line.rstrip() for line in differ if line[0] in "+-")


def _bare(text: str) -> list[str]:
    """The lines without indentation and comments: whoever improves a comment still means the same line."""
    return [line.strip().partition("  # ")[0] for line in text.splitlines()]


@dataclass(frozen=True)
class _Place:
    node: cst.CSTNode
    mutated: cst.CSTNode
    where: CodeRange
    function: str
    lines: frozenset[int]


class _Finder(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.places: list[_Place] = []
        self.words = 0
        self._names: list[str] = []
        self._lines: list[frozenset[int]] = [frozenset()]

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._names.append(node.name.value)
        if isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement | cst.ExceptHandler):
            self._lines.append(self._lines_of(node))
        if _is_type(node):
            return False
        if _is_words(node):
            self.words += len(list(_mutations(node)))
            return False
        for mutated in _mutations(node):
            if _changes_words(node, mutated):
                self.words += 1
            else:
                where = self.get_metadata(PositionProvider, node)
                self.places.append(_Place(node, mutated, where, ".".join(self._names), self._lines[-1]))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self._names.pop()
        if isinstance(original_node, cst.BaseSmallStatement | cst.BaseCompoundStatement | cst.ExceptHandler):
            self._lines.pop()

    def _lines_of(self, node: cst.CSTNode) -> frozenset[int]:
        """The lines of a statement; of one with a body, those before it."""
        where = self.get_metadata(PositionProvider, node)
        end = where.end.line
        body = getattr(node, "body", None)
        if isinstance(body, cst.IndentedBlock):
            end = max(where.start.line, self.get_metadata(PositionProvider, body.body[0]).start.line - 1)
        return frozenset(range(where.start.line, end + 1))


def _mutations(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            yield from operator(node)


def _is_type(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.Annotation):
        return True
    if isinstance(node, cst.AnnAssign):
        return isinstance(node.annotation.annotation, cst.Name) and node.annotation.annotation.value == "TypeAlias"
    if isinstance(node, cst.Assign):
        return isinstance(node.value, cst.Call) and _called(node.value) == "TypeVar"
    return False


def _called(call: cst.Call) -> str:
    return call.func.value if isinstance(call.func, cst.Name) else ""


def _is_words(node: cst.CSTNode) -> bool:
    """A message: a string or an f-string with a space in it."""
    match node:
        case cst.SimpleString():
            return " " in node.value
        case cst.FormattedString():
            return any(isinstance(part, cst.FormattedStringText) and " " in part.value for part in node.parts)
        case cst.ConcatenatedString():
            return _is_words(node.left) or _is_words(node.right)
    return False


def _changes_words(node: cst.CSTNode, mutated: cst.CSTNode) -> bool:
    """A message became None, or the type in a `cast` did."""
    if isinstance(node, cst.Call) and isinstance(mutated, cst.Call) and len(node.args) == len(mutated.args):
        pairs = list(zip(_values(node.args), _values(mutated.args), strict=True))
        if _called(node) == "cast" and pairs[0][0] is not pairs[0][1]:
            return True
        return any(old is not new and _is_words(old) for old, new in pairs)
    if isinstance(node, cst.Assign) and isinstance(mutated, cst.Assign):
        return node.value is not mutated.value and _is_words(node.value)
    return False


def _values(args: Iterable[cst.Arg]) -> list[cst.BaseExpression]:
    return [arg.value for arg in args]
