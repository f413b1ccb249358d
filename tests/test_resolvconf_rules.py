"""resolv.conf(5): the edges of each rule."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from headless_discovery import LookupFailed
from headless_discovery.resolvconf import ResolvConf, ResolvConfFile, read
from headless_discovery.target import Server

ONE = Server("10.0.0.1")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    path = tmp_path / "resolv.conf"

    def write(text: str) -> str:
        path.write_text(text)
        return str(path)

    return write


class TestTheValue:
    def test_what_is_not_said(self) -> None:
        conf = ResolvConf((ONE,))
        assert (conf.search, conf.ndots, conf.use_vc) == ((), 1, False)

    def test_it_is_frozen_and_has_no_room_for_anything_else(self) -> None:
        conf = ResolvConf((ONE,))
        with pytest.raises(dataclasses.FrozenInstanceError):
            conf.ndots = 2  # type: ignore[misc]
        assert not hasattr(conf, "__dict__")
        assert hash(conf) == hash(ResolvConf((ONE,)))


class TestCandidates:
    def test_253_octets_are_a_name_and_254_are_none(self) -> None:
        conf = ResolvConf((ONE,), ("ab",), ndots=5)
        longest = ".".join(["a" * 63] * 3 + ["a" * 61])
        assert len(longest) == 253
        assert conf.candidates(longest) == [longest]
        short = longest[3:]
        assert conf.candidates(short) == [f"{short}.ab", short]
        assert conf.candidates(longest[2:]) == [longest[2:]]

    @pytest.mark.parametrize(("name", "first"), [("a.b", "a.b"), ("a", "a.x"), ("a.b.c", "a.b.c")])
    def test_with_as_many_dots_as_ndots_the_name_itself_is_first(self, name: str, first: str) -> None:
        assert ResolvConf((ONE,), ("x",)).candidates(name)[0] == first

    def test_a_suffix_with_a_dot_makes_absolute_and_one_without_does_not(self) -> None:
        conf = ResolvConf((ONE,), ("local", "svc.local"), ndots=5)
        assert conf.is_absolute("web.svc.local")
        assert not conf.is_absolute("web.local")
        assert not conf.is_absolute("svc.local")
        assert not conf.is_absolute("websvc.local")


class TestReading:
    def test_use_vc(self, write: Callable[[str], str]) -> None:
        assert read(write("nameserver 10.0.0.1\noptions ndots:3 use-vc\n")) == ResolvConf((ONE,), (), 3, True)
        assert read(write("nameserver 10.0.0.1\noptions ndots:3 use-vcs\n")) == ResolvConf((ONE,), (), 3, False)

    def test_what_cannot_be_read_says_why_and_what_to_do(self, tmp_path: Path) -> None:
        hint = "give nameservers=, or resolv_conf= with another file"
        with pytest.raises(LookupFailed) as failure:
            read(str(tmp_path / "none"))
        assert str(failure.value) == f"{tmp_path}/none cannot be read (No such file or directory): {hint}"
        with pytest.raises(LookupFailed) as failure:
            read("a\0b")
        assert str(failure.value) == f"a\0b cannot be read (embedded null byte): {hint}"

    def test_no_usable_server_says_which_file(self, write: Callable[[str], str]) -> None:
        path = write("nameserver nonsense\n")
        with pytest.raises(LookupFailed) as failure:
            read(path)
        assert str(failure.value) == f"{path} has no usable nameserver line: give nameservers="


class TestTheFile:
    def test_a_path_that_no_file_can_have_is_a_failed_lookup(self) -> None:
        with pytest.raises(LookupFailed):
            ResolvConfFile("a\0b").current()

    def test_what_was_read_stays_while_the_file_is_away_and_a_new_one_counts(self, write: Callable[[str], str]) -> None:
        path = write("nameserver 10.0.0.1\n")
        file = ResolvConfFile(path)
        before = file.current()
        os.unlink(path)
        assert file.current() is before
        write("nameserver 10.0.0.1\noptions ndots:4\n")
        assert file.current().ndots == 4

    def test_it_is_read_again_only_when_it_changed(self, write: Callable[[str], str]) -> None:
        path = write("nameserver 10.0.0.1\n")
        file = ResolvConfFile(path)
        before = file.current()
        assert file.current() is before
        os.utime(path, ns=(1, 1))
        assert file.current() is not before
        assert file.current() == before
