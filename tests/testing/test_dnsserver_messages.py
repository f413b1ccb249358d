"""The bytes, compared with dnspython's reading of them."""

from __future__ import annotations

import contextlib

import dns.flags
import dns.message
import dns.name
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery.testing import Record, message, record

from .dnsclient import question

LABELS = st.text(st.sampled_from("abcXYZ019-_"), min_size=1, max_size=8)
NAMES = st.lists(LABELS, min_size=0, max_size=5).map(".".join)
RECORDS = st.one_of(
    st.builds(lambda n, v: record(n, "A", 5, str(v)), NAMES, st.ip_addresses(v=4)),
    st.builds(lambda n, v: record(n, "AAAA", 2**31 - 1, str(v)), NAMES, st.ip_addresses(v=6)),
    st.builds(lambda n, t: record(n, "CNAME", 0, t + "."), NAMES, NAMES),
    st.builds(lambda n, t: record(n, "MX", 0, f"10 {t}."), NAMES, NAMES),
    st.builds(lambda n, t: record(n, "SRV", 60, f"1 2 3 {t}."), NAMES, NAMES),
    st.builds(lambda n, t, u: record(n, "SOA", 60, f"{t}. {u}. 1 2 3 4 5"), NAMES, NAMES, NAMES),
    st.builds(lambda n, t: record(n, "TXT", 60, f'"{t}"'), NAMES, NAMES),
)
SECTIONS = st.lists(RECORDS, max_size=30)


def as_records(section: list[dns.rrset.RRset]) -> list[Record]:
    """dnspython's RRsets as records again, owners as spelled."""
    return [
        Record(rrset.name.to_wire(), int(rrset.rdtype), rrset.ttl, rdata.to_wire() or b"")
        for rrset in section
        for rdata in rrset
    ]


@given(NAMES, SECTIONS, SECTIONS, SECTIONS, st.integers(600, 2000), st.booleans())
def test_dnspython_reads_what_was_written(
    name: str, answer: list[Record], authority: list[Record], additional: list[Record], limit: int, edns: bool
) -> None:
    query = message.parse(question(name + ".", "A", 1232 if edns else None).to_wire())
    data = message.write(query, answer=answer, authority=authority, additional=additional, limit=limit)
    assert len(data) <= limit
    read = dns.message.from_wire(data, one_rr_per_rrset=True)
    assert read.question[0].name.to_wire() == query.owner
    assert (read.edns >= 0) == edns
    cut = False
    for wanted, section in ((answer, read.answer), (authority, read.authority), (additional, read.additional)):
        spelled = [rr._replace(owner=query.owner) if rr.owner == query.key else rr for rr in wanted]
        found = as_records(section)
        assert found == spelled[: len(found)]
        assert not (cut and found)  # after the first record that did not fit there is none
        cut = cut or len(found) < len(spelled)
    assert bool(read.flags & dns.flags.TC) == cut
    plain = sum(len(rr.owner) + 10 + len(rr.rdata) for rr in [*answer, *authority, *additional])
    plain += 12 + len(query.owner) + 4 + (11 if edns else 0)
    assert len(data) == plain if plain <= limit else len(data) < plain


@given(st.binary(max_size=200))
def test_reading_a_query_raises_nothing_but_bad_message(data: bytes) -> None:
    with contextlib.suppress(message.BadMessage):
        message.parse(data)


@given(NAMES, st.integers(0, 80), st.integers(0, 255))
def test_a_damaged_query_too(name: str, place: int, byte: int) -> None:
    data = bytearray(question(name + ".").to_wire())
    data[place % len(data)] = byte
    with contextlib.suppress(message.BadMessage):
        message.parse(bytes(data))


@given(NAMES, st.data())
def test_every_part_of_a_query_is_cut_short(name: str, data: st.DataObject) -> None:
    query = question(name + ".").to_wire()
    assert message.parse(query).edns == 1232
    with pytest.raises(message.BadMessage):
        message.parse(query[: data.draw(st.integers(0, len(query) - 1))])


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=6))
def test_names_with_any_bytes_are_text_as_dnspython_writes_it(labels: list[bytes]) -> None:
    name = dns.name.Name([*labels, b""])
    text = message.to_text(name.to_wire())
    assert dns.name.from_text(text + ".") == name


@pytest.mark.parametrize("name", ["a..b", ".a", "a" * 64, ".".join(["a" * 60] * 5)])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError):
        message.to_wire(name)


def test_the_root() -> None:
    assert message.to_wire("") == message.to_wire(".") == b"\0"
    assert message.to_text(b"\0") == ""
