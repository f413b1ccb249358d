"""The fast reader against dnspython: the same data, whatever else is in the message; and how much work it may be."""

from __future__ import annotations

import random
import struct
import sys
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
from headless_discovery.wire import FALLBACK_SIZE, read
from support import hostile
from support.oracle import oracle

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
        for rrset in rrsets:  # one by one, in this order
            section.append(dns.rrset.from_text(*rrset))
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


STRANGERS = {
    "TXT": (SVC, 5, "IN", "TXT", '"x"', '"y"'),
    "CH": (SVC, 5, "CH", "A", "a.b. 1"),
    "RRSIG": (SVC, 5, "IN", "RRSIG", "A 8 2 5 20300101000000 20200101000000 1 a.b. AAAA"),
    "DNAME": ("b.", 5, "IN", "DNAME", "c."),
    "HTTPS": (SVC, 5, "IN", "HTTPS", "1 . alpn=h2"),
    "an unknown type": (SVC, 5, "IN", "TYPE65399", "\\# 3 010203"),
    "no data": (SVC, 5, "IN", "TYPE65399", "\\# 0"),
}


@pytest.mark.parametrize("where", ["before", "between", "behind"])
@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_is_not_read_is_stepped_over(stranger, where):
    """In all three sections, wherever it stands."""
    mine = [(SVC, 5, "IN", "A", *ADDRESSES[:2]), (SVC, 5, "IN", "A", ADDRESSES[2])]
    glue = [("x." + SVC, 5, "IN", "A", ADDRESSES[3]), ("y." + SVC, 5, "IN", "A", ADDRESSES[4])]
    soa = [("b.", 5, "IN", "SOA", "ns. host. 1 2 3 4 5"), ("b.", 5, "IN", "NS", "ns.")]

    def among(rrsets):
        at = {"before": 0, "between": 1, "behind": 2}[where]
        return [*rrsets[:at], STRANGERS[stranger], *rrsets[at:]]

    wire = made(among(mine), among(soa), among(glue), edns=0)
    found = reader.read(wire)
    same(found, oracle(wire))
    plain = reader.read(made(mine, soa, glue, edns=0))
    plain.size = found.size
    same(found, plain)


def test_a_signature_is_stepped_over():
    """TSIG (RFC 8945) is of class ANY, and dnspython wants its key."""
    data = b"\x08hmac-md5\7sig-alg\3reg\3int\0" + bytes(6) + b"\1\x2c\0\4abcd" + bytes(6)
    tsig = b"\3key\0" + struct.pack("!HHIH", 250, 255, 0, len(data)) + data
    wire = PLAIN["3 A"]
    signed = wire[:10] + (1).to_bytes(2, "big") + wire[12:] + tsig
    assert reader.read(signed).answer == reader.read(wire).answer


@given(
    st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=40)), max_size=5),
    st.integers(0, 2),
)
def test_options_are_stepped_over(options, records):
    """RFC 6891, 6.1.2: any number of them, known or not; the extended rcode before them counts."""
    data = b"".join(struct.pack("!2H", code, len(value)) + value for code, value in options)
    plain = made([(SVC, 5, "IN", "A", *ADDRESSES[: records + 1])], rcode=16, edns=0)
    assert plain[-2:] == b"\0\0"
    wire = plain[:-2] + len(data).to_bytes(2, "big") + data
    found = reader.read(wire)
    same(found, oracle(wire))
    assert found.rcode == 16
    for broken in (wire[:-1], wire + b"\0", plain[:-2] + (len(data) + 1).to_bytes(2, "big") + data):
        with pytest.raises(WireError):
            reader.read(broken)


def test_an_extended_error_makes_no_difference():
    """RFC 8914: 1000 addresses with one are read in bulk, too."""
    rrset = (SVC, 5, "IN", "A", *ADDRESSES[:1000])
    plain = made([rrset], edns=0)
    error = struct.pack("!3H", 15, 9, 3) + b"Stale"
    wire = plain[:-2] + len(error).to_bytes(2, "big") + error
    assert calls(plain) == calls(wire) < 150
    assert read(wire).answer == read(plain).answer


def test_several_soas_and_cnames():
    """There may be one of each (RFC 2308, 3; RFC 2181, 10.1). Of several, the lowest times, and the first name."""
    soas = ["ns. host. 1 2 3 4 9", "ns. host. 1 2 3 4 5", "ns. host. 1 2 3 4 7"]
    wire = made(
        authority=[(f"{zone}.", ttl, "IN", "SOA", soa) for zone, ttl, soa in zip("abc", (7, 8, 6), soas, strict=True)]
    )
    assert reader.read(wire).soa == oracle(wire).soa == fallback.read(wire).soa == (6, 5)
    owner = struct.pack("!HHHIH", 0xC00C, 5, 1, 5, 3)
    wire = b"\0\1\x84\0\0\1\0\2\0\0\0\0\1a\0\0\1\0\1" + owner + b"\1b\0" + owner + b"\1c\0"
    for reads in (reader.read, oracle, fallback.read):
        assert reads(wire).answer["a", 5].values == ["b", "c"]


octets = st.one_of(
    st.binary(min_size=1, max_size=63),
    st.sampled_from([b"10.0.0.1", b"fd00::1", b"a b", b"a\\b", b"@$;()", b"\xff\0", b".", b"A.", b'"', b"-_"]),
)


@given(st.lists(st.lists(octets, min_size=1, max_size=4), min_size=1, max_size=4), st.booleans())
@example([[b"fd00::1"], [b"10", b"0", b"0", b"1"], [b"10.0.0.1"]], False)
@example([[b"\xff" * 63, b"\xff" * 63, b"\xff" * 63]], True)
def test_any_octets_in_a_name_are_escaped_as_dnspython_does_it(names, compress):
    """RFC 1035, 5.1. As owner, target and glue; twice, as some of it is remembered."""
    names = [dns.name.Name([*labels, b""]) for labels in names if sum(map(len, labels)) + len(labels) < 255]
    rrsets = [(name, 5, "IN", "SRV", f"0 1 80 {name}") for name in names]
    wire = made(rrsets, additional=[(name, 5, "IN", "A", "10.0.0.1") for name in names], compress=compress)
    for _ in range(2):
        same(reader.read(wire), oracle(wire))


def led_through(pointers: int) -> bytes:
    """An address whose owner leads through pointers that no other name does, out of a record that is stepped over."""
    at = 12 + 7 + 11  # behind the header, the question and the fixed part of the record
    places = [at, *range(at + 3, at + 3 + 2 * pointers, 2)]
    data = b"\1a\0" + b"".join(map(hostile.pointer, places[:-1]))
    hidden = hostile.record(b"\0", hostile.UNKNOWN, data)
    return hostile.message([[hidden, hostile.record(hostile.pointer(places[-1]), A, b"\x0a\0\0\1")], [], []], b"\1x\0")


@pytest.mark.parametrize("octet", [b"a", b"\xff", b"."])
@pytest.mark.parametrize("behind", [0, 1, 2])
@pytest.mark.parametrize("first", [60, 61, 62, 63])
def test_the_longest_name(octet, first, behind):
    """255 octets on the wire (RFC 1035, 2.3.4), however long as text; in full, and before a pointer."""
    labels = [bytes([size]) + octet * size for size in (first, 63, 63, 62)]
    for places in range(1, 5):
        owner = b"".join(labels[places:]) + b"\0"
        full = hostile.record(b"".join(labels) + b"\0", A, bytes(4))
        pointing = hostile.record(b"".join(labels[:places]) + hostile.pointer(12), A, bytes(4))
        differ(hostile.message([[full], [], []], owner))
        differ(hostile.message([[pointing], [], []], owner))
        differ(hostile.message([[], [], [pointing] * (1 + behind)], owner))


@pytest.mark.parametrize("pointers", [0, 1, 14, 15, 16, 17, 200])
def test_a_name_leads_through_as_many_pointers_as_for_dnspython(pointers):
    differ(led_through(pointers))


def test_what_nobody_answers_with_is_dnspythons_where_it_is_small():
    """Another opcode, and several questions. A query believes neither, see TestWhoIsBelieved."""
    notify, two = bytearray(PLAIN["3 A"]), bytearray(made([(SVC, 5, "IN", "A", "10.0.0.1")]))
    notify[2] |= 4 << 3
    two[5], two[12:12] = 2, b"\1x\0\0\1\0\1"
    two[-16:-14] = b"\xc0\x13"
    for wire in map(bytes, (notify, two)):
        with pytest.raises(reader.Unusual):
            reader.read(wire)
        assert len(wire) <= FALLBACK_SIZE
        same(read(wire), fallback.read(wire))
    large = PLAIN["EDNS"][:2] + bytes([PLAIN["EDNS"][2] | 4 << 3]) + PLAIN["EDNS"][3:]
    assert len(large) > FALLBACK_SIZE
    assert fallback.read(large).answer
    with pytest.raises(WireError, match="opcode"):
        read(large)


@pytest.mark.parametrize("kind", SMALL)
def test_with_tc_what_is_whole_is_read(kind):
    """Some servers cut where the datagram ends, in the middle of a record, and leave the counts as they were."""
    wire = PLAIN[kind]
    wire = wire[:2] + bytes([wire[2] | 2]) + wire[3:]
    for end in range(len(wire)):
        differ(wire[:end])
    differ(wire + b"\0")


def test_pointer_loops_end():
    base = bytearray(made([(SVC, 5, "IN", "A", "10.0.0.1")]))
    at = base.index(b"\xc0\x0c", 12)
    base[:2] = b"\xff\xff"  # the id, which is no name at offset 0
    for target in (at, at + 1, 12, 0, 0x3FFF):
        base[at : at + 2] = (0xC000 | target).to_bytes(2, "big")
        try:
            reader.read(bytes(base))
        except WireError:
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
    with pytest.raises(WireError):
        reader.read(bytes(wire))


def test_a_pointer_is_remembered_as_nothing():
    """Only in its own message is a pointer a name: one to the root must not be the root in the next message."""

    def pointing(owner: str, at: int, label: bytes = b"") -> bytes:
        question = dns.name.from_text(owner).to_wire() + b"\0\x21\0\1"
        data = b"\0\0\0\0\0\x50" + label + (0xC000 | at).to_bytes(2, "big")
        header = b"\0\1\x84\0\0\1\0\1\0\0\0\0"
        return header + question + b"\xc0\x0c\0\x21\0\1\0\0\0\5\0" + bytes([len(data)]) + data

    for owner, target in (("a.b.c.", ""), ("abcde.x.b.c.", "x.b.c")):  # where one has its root, the other has a label
        same(reader.read(pointing(owner, 18)), fallback.read(pointing(owner, 18)))
        (rrset,) = reader.read(pointing(owner, 18)).answer.values()
        assert [record.target for record in rrset.values] == [target]
        for label in (b"\1a", b"\2a.", b"\1.", b"\3\xffab"):  # as text with an escape, one is as long as on the wire
            same(reader.read(pointing(owner, 18, label)), oracle(pointing(owner, 18, label)))


def differ(wire: bytes) -> None:
    """Same data, or a refusal by both; nothing but `WireError` comes out."""
    try:
        fast = reader.read(wire)
    except reader.Unusual:
        with suppress(WireError):
            read(wire)
    except WireError:
        assert oracle(wire) is None, "dnspython takes what the fast reader refuses"
    else:
        slow = oracle(wire)
        assert slow is not None, "the fast reader takes what dnspython refuses"
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
        with pytest.raises(WireError):
            reader.read(wire)


def calls(wire: bytes) -> int:
    """Calls of functions and methods, of C's too: each step of a loop in the reader has at least one."""
    found = 0

    def count(frame, event, argument):
        nonlocal found
        found += event in ("call", "c_call")

    reader._seen.clear()
    reader._seen_srv.clear()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        with suppress(WireError):
            read(wire)
    finally:
        sys.setprofile(before)
    return found


HONEST, HOSTILE = hostile.honest(), hostile.hostile()
MOST_CALLS = 30_000  # the honest ones take up to 20,300


@pytest.mark.parametrize("kind", HONEST)
def test_the_largest_answers_are_read(kind):
    """Where nothing of them was seen before, which is the most work."""
    reader._seen.clear()
    reader._seen_srv.clear()
    same(reader.read(HONEST[kind]), oracle(HONEST[kind]))
    assert calls(HONEST[kind]) < MOST_CALLS


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_message_is_more_work_than_the_largest_answers(kind, monkeypatch):
    def refuse(data):
        raise AssertionError("dnspython was asked")

    monkeypatch.setattr(fallback, "read", refuse)
    assert calls(HOSTILE[kind]) < MOST_CALLS


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_message_is_compared_in_bulk_again_and_again(kind, monkeypatch):
    compared = 0
    honest = reader._Reader.addresses

    def addresses(self, at, fixed, end, ttl, count):
        nonlocal compared
        before = self.misses
        found = honest(self, at, fixed, end, ttl, count)
        if found[2] > 1 or self.misses > before:
            compared += min(len(self.data) - at, count * (end - at))
        return found

    monkeypatch.setattr(reader._Reader, "addresses", addresses)
    with suppress(WireError):
        reader.read(HOSTILE[kind])
    assert compared <= 8 * len(HOSTILE[kind])


def test_what_others_left_is_forgotten_not_kept_for_ever(monkeypatch):
    """The names of one message at a time are remembered beyond the most."""
    monkeypatch.setattr(reader, "_SEEN_MAX", 100)
    for number in range(20):
        wire = made([(SVC, 5, "IN", "SRV", *(f"0 1 80 w{number}-{i}.{SVC}" for i in range(30)))], rdtype="SRV")
        reader.read(wire)
        reader.read(uncompressed(dns.message.from_wire(wire)))
        assert max(len(reader._seen), len(reader._seen_srv)) < 200
        same(reader.read(wire), oracle(wire))


def test_too_much_is_said():
    wire = HOSTILE["SRV to 6 labels never seen, answer"]
    reader._seen.clear()
    reader._seen_srv.clear()
    with pytest.raises(WireError, match="more names and records"):
        read(wire)
    for _ in range(5):  # what was read of it is known
        with suppress(WireError):
            read(wire)
    assert len(read(wire).answer[SVC[:-1], SRV].values) > 1000
