"""The fast reader against dnspython: the same data, or a refusal, which hands the message to dnspython."""

from __future__ import annotations

import random
import struct
from contextlib import suppress

import dns.flags
import dns.message
import dns.name
import dns.rrset
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headless_discovery import fallback, reader
from headless_discovery.message import AAAA, SRV, A, Message, WireError
from headless_discovery.wire import read

SVC = "headless-svc.moon.svc.cluster.local."


def made(answer=(), authority=(), additional=(), *, name=SVC, rdtype="A", rcode=0, edns=None, compress=True):
    query = dns.message.make_query(name, rdtype, use_edns=edns)
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA | dns.flags.RA
    response.set_rcode(rcode)
    for section, rrsets in (
        (response.answer, answer),
        (response.authority, authority),
        (response.additional, additional),
    ):
        section += [dns.rrset.from_text(*rrset) for rrset in rrsets]
    return response.to_wire(max_size=65535) if compress else uncompressed(response)


def uncompressed(response) -> bytes:
    """As CoreDNS writes small answers: every owner in full."""
    wire = bytearray(response.to_wire(max_size=65535)[:12])
    for question in response.question:
        wire += question.name.to_wire() + question.rdtype.to_bytes(2, "big") + b"\0\1"
    for section in (response.answer, response.authority, response.additional):
        for rrset in section:
            for rdata in rrset:
                data = rdata.to_wire()
                wire += rrset.name.to_wire() + rrset.rdtype.to_bytes(2, "big") + b"\0\1"
                wire += rrset.ttl.to_bytes(4, "big") + len(data).to_bytes(2, "big") + data
    return bytes(wire)


def same(fast: Message, slow: Message) -> None:
    assert fast.glue.keys() == slow.glue.keys()
    assert {k: set(v) for k, v in fast.glue.items()} == {k: set(v) for k, v in slow.glue.items()}
    assert fast.answer.keys() == slow.answer.keys()
    for key, rrset in fast.answer.items():
        assert rrset.ttl == slow.answer[key].ttl
        assert set(rrset.values) == set(slow.answer[key].values)
    for field in ("rcode", "authoritative", "truncated", "recursion_available", "size", "soa", "has_ns"):
        assert getattr(fast, field) == getattr(slow, field), field


ADDRESSES = [f"10.0.{i // 256}.{i % 256}" for i in range(3000)]
PLAIN = {
    "3 A": made([(SVC, 5, "IN", "A", *ADDRESSES[:3])]),
    "3 A uncompressed": made([(SVC, 5, "IN", "A", *ADDRESSES[:3])], compress=False),
    "1000 A": made([(SVC, 5, "IN", "A", *ADDRESSES[:1000])]),
    "1000 A uncompressed": made([(SVC, 5, "IN", "A", *ADDRESSES[:1000])], compress=False),
    "3000 A": made([(SVC, 5, "IN", "A", *ADDRESSES)]),
    "300 AAAA": made([(SVC, 30, "IN", "AAAA", *(f"fd00::{i:x}" for i in range(1, 301)))], rdtype="AAAA"),
    "CNAME": made([("a.b.", 60, "IN", "CNAME", SVC), (SVC, 5, "IN", "A", *ADDRESSES[:20])], name="a.b."),
    "EDNS": made([(SVC, 5, "IN", "A", *ADDRESSES[:20])], edns=0),
    "BADVERS": made(rcode=16, edns=0),
    "NXDOMAIN": made(authority=[("cluster.local.", 5, "IN", "SOA", "ns.dns. host. 1 2 3 4 5")], rcode=3),
    "referral": made(
        authority=[("local.", 5, "IN", "NS", "a.ns.", "b.ns.")], additional=[("a.ns.", 5, "IN", "A", "10.0.0.1")]
    ),
    "upper case": made([(SVC.upper(), 5, "IN", "A", *ADDRESSES[:20])], compress=False),
    "top bit": made([(SVC, 5, "IN", "A", *ADDRESSES[:20])], compress=False).replace(
        b"\0\1\0\1\0\0\0\5", b"\0\1\0\1\xff\0\0\5"
    ),
    "SRV": made(
        [(SVC, 5, "IN", "SRV", *(f"0 1 8080 web-{i}.{SVC}" for i in range(300)))],
        additional=[(f"web-{i}.{SVC}", 5, "IN", "A", ADDRESSES[i]) for i in range(300)],
        rdtype="SRV",
    ),
    "SRV uncompressed": made(
        [(SVC, 5, "IN", "SRV", *(f"0 1 8080 web-{i}.{SVC}" for i in range(300)), "0 0 0 .")],
        additional=[(f"web-{i}.{SVC}", 5, "IN", "A", ADDRESSES[i], "10.1.0.1") for i in range(300)],
        rdtype="SRV",
        compress=False,
    ),
}


# dnspython needs 33 microseconds a record, so mutations are tried on the shorter ones.
SMALL = sorted(kind for kind, wire in PLAIN.items() if len(wire) < 2000)


@pytest.mark.parametrize("kind", PLAIN)
def test_what_discovery_sees_is_read_without_dnspython(kind):
    same(reader.read(PLAIN[kind]), fallback.read(PLAIN[kind]))


@pytest.fixture(params=[3, reader._BULK - 1, reader._BULK + 8], ids=["few", "rows", "columns"])
def count(request):
    """Records in a run: how it is compared depends on that."""
    return request.param


def test_a_run_with_mixed_ttls_has_the_lowest(count):
    wire = made([(SVC, 300, "IN", "A", *ADDRESSES[:count])], compress=False)
    at = wire.index((300).to_bytes(4, "big"), len(wire) // 2)
    mixed = wire[:at] + (7).to_bytes(4, "big") + wire[at + 4 :]
    same(reader.read(mixed), fallback.read(mixed))
    assert reader.read(mixed).answer[SVC[:-1], A].ttl == 7


def test_two_owners_in_one_section_are_told_apart(count):
    first, second = ADDRESSES[:count], ADDRESSES[count : 2 * count]
    wire = made([(SVC, 5, "IN", "A", *first), ("x" + SVC[1:], 5, "IN", "A", *second)], compress=False)
    same(reader.read(wire), fallback.read(wire))
    last = made([(SVC, 5, "IN", "A", *first)], compress=False)
    owner = last.rindex(b"\x0cheadless-svc")
    middle = last.index(b"\x0cheadless-svc", len(last) // 2)
    assert middle < owner
    for other in (b"\x0cHeadless-SVC", b"\x0cheadless-svx"):
        odd = last[:middle] + other + last[middle + 13 :]
        same(reader.read(odd), fallback.read(odd))


@pytest.mark.parametrize(
    "rrset",
    [
        (SVC, 5, "IN", "TXT", '"x"'),
        (SVC, 5, "CH", "A", "a.b. 1"),
        ("sp\\032ace.", 5, "IN", "A", "10.0.0.1"),
        ("d\\.ot.", 5, "IN", "A", "10.0.0.1"),
    ],
)
def test_the_unusual_is_dnspythons(rrset):
    wire = made([rrset])
    with pytest.raises(reader.Unusual):
        reader.read(wire)
    same(read(wire), fallback.read(wire))


def test_pointer_loops_end():
    base = bytearray(made([(SVC, 5, "IN", "A", "10.0.0.1")]))
    at = base.index(b"\xc0\x0c")
    for target in (at, at + 1, 12, 0, 0x3FFF):
        base[at : at + 2] = (0xC000 | target).to_bytes(2, "big")
        try:
            reader.read(bytes(base))
        except reader.Unusual:
            continue
        assert target == 12


def test_a_staircase_of_pointers_ends():
    """Each name points at the one before: legal, but nobody's answer."""
    header = (1).to_bytes(2, "big") + b"\x84\0" + b"\0\0" + (2000).to_bytes(2, "big") + bytes(4)
    wire = bytearray(header)
    previous = None
    for _ in range(2000):
        here = len(wire)
        wire += b"\1a" + (b"\0" if previous is None else (0xC000 | previous).to_bytes(2, "big"))
        wire += b"\0\1\0\1\0\0\0\5\0\4\x0a\0\0\1"
        previous = here
    with pytest.raises(reader.Unusual):
        reader.read(bytes(wire))


def test_a_pointer_is_remembered_as_nothing():
    """Only in its own message is a pointer a name: one to the root must not be the root in the next message."""

    def pointing(owner: str, at: int) -> bytes:
        question = dns.name.from_text(owner).to_wire() + b"\0\x21\0\1"
        data = b"\0\0\0\0\0\x50" + (0xC000 | at).to_bytes(2, "big")
        header = b"\0\1\x84\0\0\1\0\1\0\0\0\0"
        return header + question + b"\xc0\x0c\0\x21\0\1\0\0\0\5\0\x08" + data

    for owner, target in (("a.b.c.", ""), ("abcde.x.b.c.", "x.b.c")):  # where one has its root, the other has a label
        same(reader.read(pointing(owner, 18)), fallback.read(pointing(owner, 18)))
        (rrset,) = reader.read(pointing(owner, 18)).answer.values()
        assert [record.target for record in rrset.values] == [target]


def differ(wire: bytes) -> None:
    """Same data, or a refusal by the fast one; nothing but `WireError` from both together."""
    try:
        fast = reader.read(wire)
    except reader.Unusual:
        with suppress(WireError):
            read(wire)
        return
    try:
        slow = fallback.read(wire)
    except WireError as error:
        raise AssertionError(f"the fast reader takes what dnspython refuses: {error}") from error
    same(fast, slow)


@given(st.binary(max_size=200))
def test_any_bytes(data):
    differ(data)


@settings(max_examples=400)
@given(st.sampled_from(SMALL), st.randoms(use_true_random=False), st.integers(1, 4))
def test_mutated_messages(kind, rng: random.Random, changes):
    wire = bytearray(PLAIN[kind])
    for _ in range(changes):
        match rng.randrange(4):
            case 0:
                wire[rng.randrange(len(wire))] = rng.randrange(256)
            case 1:
                del wire[rng.randrange(12, len(wire)) :]
            case 2:
                at = rng.randrange(len(wire))
                wire[at:at] = rng.randbytes(rng.randrange(1, 20))
            case 3:
                wire[rng.randrange(12)] ^= 1 << rng.randrange(8)
        if len(wire) < 13:
            break
    differ(bytes(wire))


names = st.lists(st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True), min_size=1, max_size=6).map(
    lambda labels: ".".join(labels) + "."
)
v4 = st.ip_addresses(v=4).map(str)
v6 = st.ip_addresses(v=6).map(str)
rrsets = st.one_of(
    st.tuples(names, st.just("A"), st.lists(v4, min_size=1, max_size=30, unique=True)),
    st.tuples(names, st.just("AAAA"), st.lists(v6, min_size=1, max_size=30, unique=True)),
    st.tuples(names, st.just("CNAME"), names.map(lambda n: [n])),
    st.tuples(
        names,
        st.just("SRV"),
        st.lists(st.tuples(*[st.integers(0, 65535)] * 3, names), min_size=1, max_size=12).map(
            lambda records: [f"{p} {w} {port} {target}" for p, w, port, target in records]
        ),
    ),
)


@given(
    st.lists(st.tuples(rrsets, st.integers(0, 2**31 - 1)), max_size=5),
    st.lists(st.tuples(rrsets.filter(lambda r: r[1] in ("A", "AAAA")), st.integers(0, 600)), max_size=5),
    st.booleans(),
    st.booleans(),
)
@example([], [], False, False)
def test_generated_messages(answers, additionals, edns, compress):
    def texts(found):
        return [(name, ttl, "IN", kind, *values) for (name, kind, values), ttl in found]

    differ(
        made(texts(answers), additional=texts(additionals), edns=0 if edns and compress else None, compress=compress)
    )


def test_the_oracle_sees_a_difference():
    wire = PLAIN["3 A"]
    other = reader.read(wire)
    other.answer[SVC[:-1], A].values.append(b"\x0a\0\0\x63")
    with pytest.raises(AssertionError):
        same(other, fallback.read(wire))
    assert {AAAA, SRV} == {28, 33}


@pytest.mark.parametrize("compress", [True, False])
def test_what_was_read_once_is_read_as_fast_again(compress):
    """Dual stack: the AAAA record's owner points to the A record's."""
    targets = [f"web-{i}.{SVC}" for i in range(20)]
    glue = [(t, 5, "IN", "A", ADDRESSES[i]) for i, t in enumerate(targets)]
    glue += [(t, 5, "IN", "AAAA", f"fd00::{i + 1:x}") for i, t in enumerate(targets)]
    records = [f"0 1 8080 {t}" for t in targets]
    wire = made([(SVC, 5, "IN", "SRV", *records)], additional=glue, rdtype="SRV", compress=compress)
    for _ in range(3):
        same(reader.read(wire), fallback.read(wire))


def test_a_pointer_is_no_label():
    """Read as one, its second octet and what follows would be a name that means something else in the next message."""
    target = b"\5web-0\3svc\2ns\0"
    for name in (b"\2_a\2_b\4evil\2ns\0", b"\2_a\2_b\4good\2ns\0"):
        wire = struct.pack("!6H", 1, 0x8400, 1, 1, 0, 1) + name + b"\0\x21\0\1"
        wire += b"\xc0\x0c" + struct.pack("!HHIH3H", 33, 1, 5, 6 + len(target), 0, 1, 80)
        at = len(wire)
        wire += target + b"\xc0\x12" + b"\7" * 191 + struct.pack("!H", 0xC000 | at)
        wire += struct.pack("!HHIH", 1, 1, 5, 4) + b"\x0a\6\6\6"
        with pytest.raises(reader.Unusual):
            reader.read(wire)
