"""The fuzz targets without atheris: the corpus as it is, and mutated for some seconds."""

from __future__ import annotations

import random
import struct

import dns.flags
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headless_discovery import glue, lookup, membership, reader, wire
from headless_discovery.errors import LookupFailed
from headless_discovery.message import Message, WireError

from . import targets
from .corpus import load, mutated

MESSAGES, SERVICES = load("messages"), load("services")
budget = settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("seed", MESSAGES)
def test_a_message_of_the_corpus(seed: str) -> None:
    targets.messages(MESSAGES[seed])


@pytest.mark.parametrize("seed", SERVICES)
def test_a_service_of_the_corpus(seed: str) -> None:
    targets.services(SERVICES[seed])


@budget
@given(st.sampled_from(sorted(MESSAGES)), st.integers(0, 2**32))
@example("bind-a3-a", 3903246926)  # the opcode UPDATE
@example("knot-http._tcp.srv3-srv", 2150)  # a name that points into itself
@example("own-truncate", 911903)  # TC, and cut in the question
def test_messages_gone_wrong(seed: str, number: int) -> None:
    targets.messages(mutated(MESSAGES[seed], random.Random(number), list(MESSAGES.values())))


@settings(budget, max_examples=400)
@given(st.sampled_from(sorted(SERVICES)), st.integers(0, 2**32))
def test_services_gone_wrong(seed: str, number: int) -> None:
    targets.services(mutated(SERVICES[seed], random.Random(number), list(SERVICES.values())))


@settings(budget, max_examples=400)
@given(
    st.integers(0, 255),
    st.lists(
        st.tuples(st.sampled_from([b"f", b"f", b"f", b"w", b"t", b"r"]), st.sampled_from(sorted(MESSAGES))), max_size=24
    ),
    st.integers(0, 2**32),
)
def test_services_out_of_any_messages(choice: int, steps: list[tuple[bytes, str]], number: int) -> None:
    rng = random.Random(number)
    others = list(MESSAGES.values())
    told = [
        way + (mutated(MESSAGES[seed], rng, others) if rng.random() < 0.3 else MESSAGES[seed]) for way, seed in steps
    ]
    targets.services(targets.script(choice, *told))


# The targets themselves: what would break a rule is noticed.


def broken(data: bytes, monkeypatch: pytest.MonkeyPatch, where: object, name: str, replacement: object) -> None:
    monkeypatch.setattr(where, name, replacement)
    with pytest.raises(AssertionError):
        targets.messages(data)


def test_a_reader_that_takes_too_much_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(data: bytes) -> Message:
        return Message(0, False, False, False, len(data))

    broken(MESSAGES["own-a"], monkeypatch, reader, "read", read)
    broken(MESSAGES["own-garbage"], monkeypatch, reader, "read", read)


def test_a_reader_that_reads_on_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = reader.read

    def read(data: bytes) -> Message:
        for size in range(len(data), 11, -1):
            try:
                message = honest(data[:size])
            except (reader.Unusual, WireError):
                continue
            message.size = len(data)
            return message
        raise WireError

    broken(MESSAGES["own-a"], monkeypatch, reader, "read", read)


def test_a_query_that_believes_others_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(MESSAGES["own-a"], monkeypatch, wire.Query, "read", lambda self, data: wire.read(data))


def test_another_error_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(data: bytes) -> Message:
        raise ValueError

    monkeypatch.setattr(reader, "read", read)
    with pytest.raises(ValueError):
        targets.messages(MESSAGES["own-a"])


def test_a_reader_in_circles_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = reader._Reader.answers

    def answers(self: reader._Reader, at: int, count: int, message: Message) -> int:
        for _ in range(100_000):
            self.name(12)
        return honest(self, at, count, message)

    broken(MESSAGES["own-a"], monkeypatch, reader._Reader, "answers", answers)


def believe_nothing(self: membership.Membership, error: LookupFailed, now: float) -> None:
    self._scopes.clear()
    self.due = now + 1


@pytest.mark.parametrize(
    ("where", "name", "replacement"),
    [
        (membership.Membership, "failed", believe_nothing),
        (glue.Usable, "__call__", lambda self, addresses, server: list(addresses)),
        (lookup.Lookup, "_srv_part", None),  # a TypeError comes out
    ],
    ids=["a failure that empties", "metadata addresses", "another error"],
)
def test_what_services_break_is_noticed(
    where: object, name: str, replacement: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, replacement)
    caught = 0
    for data in SERVICES.values():
        try:
            targets.services(data)
        except (AssertionError, TypeError):
            caught += 1
    assert caught


def test_the_corpus_reaches_what_it_is_for() -> None:
    """Both readers are used, answers are believed, and lookups end well and badly."""
    fast = [name for name, data in MESSAGES.items() if targets.reads_alike(data)[0] is not None]
    slow = [name for name, data in MESSAGES.items() if targets.reads_alike(data)[0] is None]
    assert len(fast) > 30
    assert {"own-garbage", "own-short"} <= set(slow)
    asked = [name for name, data in MESSAGES.items() if targets.question_of(data) is not None]
    assert len(asked) > 40
    assert any(struct.unpack_from("!H", data, 2)[0] & dns.flags.TC for data in MESSAGES.values())
