"""The reader does not become slower unnoticed: instructions are counted, so a busy machine does not matter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .counting import budget, count


@pytest.mark.timeout(300)  # under valgrind everything takes fifty times as long
def test_the_reader_keeps_to_its_budget(require_program: Callable[[str, str], Path]) -> None:
    limits = budget()
    counts = count(require_program("valgrind", "valgrind"))
    assert [each.form for each in counts] == list(limits)
    over = [
        f"{each.form}: {each.ratio:.3f}, not {limits[each.form]}" for each in counts if each.ratio > limits[each.form]
    ]
    assert not over, "more instructions than the budget has; see `make instructions`"
