"""Each row of the fault matrix, for both twins; and the page that shows them."""

from __future__ import annotations

import pytest

from faults.matrix import PAGE, SECTIONS, Row, World, page, rows
from support.twins import AsyncTwin, SyncTwin, Twin

ALL = [row for section in SECTIONS for row in rows(section)]
REAL = [row for row in ALL if not row.virtual]
VIRTUAL = [row for row in ALL if row.virtual]


def ident(value: Row | Twin) -> str:
    return f"{value.section}-{value.name}" if isinstance(value, Row) else value.kind


@pytest.mark.parametrize("twin", [SyncTwin, AsyncTwin], ids=ident)
@pytest.mark.parametrize("row", REAL, ids=ident)
def test_row(row: Row, twin: Twin, world: World) -> None:
    row.body(world)


@pytest.mark.parametrize("row", VIRTUAL, ids=ident)
def test_row_in_virtual_time(row: Row) -> None:
    row.body()


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in ALL}) == len(ALL)


def test_the_page_is_of_these_rows() -> None:
    assert PAGE.read_text() == page(), "docs/fault-matrix.md is out of date: python tests/faults"
