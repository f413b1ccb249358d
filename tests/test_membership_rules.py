"""Joining and leaving (docs/architecture.md, "Who joins and who leaves"): the edges of each rule, in virtual time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import cycle
from math import ceil, log

import pytest

from headless_discovery.answer import Addresses, Detail, Held, Key, Part, Rival
from headless_discovery.errors import LookupFailed
from headless_discovery.membership import Membership
from headless_discovery.message import AAAA, SRV, A
from sansio import NS1, SVC, Watch, a_part, answer, known, negative, srv_part

WEB = [f"web-{i}.{SVC}" for i in range(10)]
OLD = 11.0  # seconds after which a peer is not young any more


def numbered(*hosts: int) -> tuple[str, ...]:
    return tuple(f"10.0.{h // 256}.{h % 256}" for h in sorted(hosts))


class Drawing(random.Random):
    """A random source that draws the same each time."""

    def __init__(self, drawn: float) -> None:
        super().__init__(0)
        self.drawn = drawn

    def random(self) -> float:
        return self.drawn


def watch_that_draws(drawn: float, **options: object) -> Watch:
    watch = Watch(**options)  # type: ignore[arg-type]
    watch.membership = Membership(watch.settings, 8080, Drawing(drawn), lambda n, error: 0.25 * 2**n, 0.0)
    return watch


def wait(watch: Watch) -> float:
    return watch.membership.due - watch.now


class TestYoung:
    """A peer first seen less than 10 s ago leaves after two complete answers without it, `min_ttl` apart."""

    def test_a_moment_before_10_s_a_peer_is_young(self) -> None:
        watch = Watch()
        watch.hear(a_part(1, 2))
        assert watch.hear(a_part(1), after=9.99).addresses == numbered(1, 2)
        watch = Watch()
        watch.hear(a_part(1, 2))
        assert watch.hear(a_part(1), after=10).addresses == numbered(1)

    def test_age_counts_from_the_first_answer_and_not_from_the_last(self) -> None:
        watch = Watch()
        watch.hear(a_part(1, 2))
        watch.hear(a_part(1, 2), after=5)
        assert watch.hear(a_part(1), after=5).addresses == numbered(1)

    def test_also_where_it_came_by_an_incomplete_answer(self) -> None:
        watch = Watch()
        watch.hear(a_part(1, 2, complete=False))
        assert watch.hear(a_part(1), after=5).addresses == numbered(1, 2)

    def test_each_peer_has_its_own_age(self) -> None:
        watch = Watch()
        watch.hear(a_part(1, 2))
        watch.hear(a_part(1, 2, 3, 4), after=OLD)
        assert watch.hear(a_part(1, 3), after=5).addresses == numbered(1, 3, 4)

    @pytest.mark.parametrize("min_ttl", [0.5, 3.0])
    def test_the_second_answer_comes_min_ttl_after_the_first_that_missed_it(self, min_ttl: float) -> None:
        watch = Watch(min_ttl=min_ttl)
        watch.hear(a_part(1, 2))
        watch.hear(a_part(1), after=1)
        assert watch.hear(a_part(1), after=min_ttl - 0.01).addresses == numbered(1, 2)
        assert watch.hear(a_part(1), after=0.01).addresses == numbered(1)

    def test_with_min_ttl_0_it_still_takes_two(self) -> None:
        watch = Watch(min_ttl=0)
        watch.hear(a_part(1, 2))
        assert watch.hear(a_part(1), after=1).addresses == numbered(1, 2)
        assert watch.hear(a_part(1), after=0).addresses == numbered(1, 2)
        assert watch.hear(a_part(1), after=0.01).addresses == numbered(1)

    @pytest.mark.parametrize("complete", [True, False])
    def test_an_answer_that_has_it_again_starts_anew(self, complete: bool) -> None:
        watch = Watch()
        watch.hear(a_part(1, 2))
        watch.hear(a_part(1), after=1)
        watch.hear(a_part(2, 1, complete=complete), after=1)
        assert watch.hear(a_part(1), after=1).addresses == numbered(1, 2)
        assert watch.hear(a_part(1), after=1).addresses == numbered(1)

    def test_who_was_missed_when_young_leaves_with_the_next_one_when_old(self) -> None:
        watch = Watch(min_ttl=5)
        watch.hear(a_part(1, 2))
        watch.hear(a_part(1), after=9)
        assert watch.hear(a_part(1), after=1).addresses == numbered(1)

    def test_who_comes_back_is_young_again(self) -> None:
        watch = Watch()
        watch.hear(a_part(1, 2))
        watch.hear(a_part(1), after=OLD)
        watch.hear(a_part(1, 2), after=OLD)
        assert watch.hear(a_part(1), after=5).addresses == numbered(1, 2)

    def test_after_emptiness_everybody_is_young_again(self) -> None:
        watch = Watch(empty_grace=0)
        watch.hear(a_part(1, 2))
        watch.hear(negative(), after=OLD)
        watch.hear(a_part(1, 2), after=5)
        assert watch.hear(a_part(1), after=5).addresses == numbered(1, 2)

    def test_who_is_missed_is_checked_after_min_ttl_and_a_tenth_of_a_second_at_least(self) -> None:
        for min_ttl, expected in ((1.0, 1.0), (2.5, 2.5), (0.05, 0.1), (0.0, 0.1)):
            watch = Watch(min_ttl=min_ttl)
            watch.hear(a_part(1, 2, ttl=30))
            watch.hear(a_part(1, ttl=30), after=5)
            assert wait(watch) == pytest.approx(expected)

    def test_a_ttl_that_ends_sooner_is_not_waited_beyond(self) -> None:
        watch = watch_that_draws(0.0, min_ttl=0.05)
        watch.hear(a_part(1, 2, ttl=0.06))
        watch.hear(a_part(1, ttl=0.06), after=1)
        assert wait(watch) == pytest.approx(0.06)

    def test_no_reason_to_check_soon_lasts_longer_than_its_answer(self) -> None:
        for next_one in (a_part(1, 2, ttl=30), negative(ttl=10)):
            watch = Watch()
            watch.hear(a_part(1, 2, ttl=30))
            watch.hear(a_part(1, ttl=30), after=5)
            assert wait(watch) == 1
            watch.hear(next_one, after=1)
            assert wait(watch) >= 10


class TestCompleteAnswers:
    def test_one_that_says_the_same_is_no_change(self) -> None:
        watch = Watch()
        assert watch.membership.answered(answer(a_part(1, 2)), 0.0)
        assert not watch.membership.answered(answer(a_part(1, 2)), 5.0)
        assert not watch.membership.answered(answer(a_part(2, 1)), 10.0)
        assert watch.membership.answered(answer(a_part(2, 3)), 25.0)

    def test_of_srv_the_same_is_no_change_but_after_a_cut_one_it_may_be(self) -> None:
        """Which target an endpoint goes by depends on the newest answer."""
        both = srv_part({WEB[0]: ["10.0.0.1"], WEB[1]: ["10.0.0.2"]})
        watch = Watch()
        watch.hear(both)
        assert not watch.membership.answered(answer(both), 5.0)
        watch.now = 5.0
        watch.hear(srv_part({WEB[0]: ["10.0.0.1"]}, complete=False), after=5)
        assert watch.membership.answered(answer(both), 15.0)
        assert not watch.membership.answered(answer(both), 20.0)

    def test_of_addresses_it_is_none_after_a_cut_one_either(self) -> None:
        watch = Watch()
        watch.hear(a_part(1, 2))
        assert not watch.membership.answered(answer(a_part(1, complete=False)), 5.0)
        assert not watch.membership.answered(answer(a_part(1, 2)), 10.0)

    def test_one_change_of_several_is_a_change(self) -> None:
        """Whatever the parts behind it say."""
        watch = Watch(family="any", empty_grace=0)
        v6 = a_part("fd00::1", rdtype=AAAA)
        nobody, no_v6 = negative(nxdomain=False), negative(nxdomain=False, rdtype=AAAA)
        assert watch.membership.answered(answer(a_part(1), v6), 0.0)
        assert watch.membership.answered(answer(a_part(2, 1), v6), 5.0)
        assert watch.membership.answered(answer(nobody, no_v6), 10.0)
        web = srv_part({WEB[0]: ["10.0.0.9"]})
        assert watch.membership.answered(answer(nobody, no_v6, instead=(web,)), 15.0)
        assert watch.membership.answered(answer(negative(rdtype=SRV)), 20.0)
        assert watch.membership.answered(answer(negative(rdtype=SRV), instead=(a_part(1), no_v6)), 25.0)

    def test_a_young_peer_that_stays_is_no_change(self) -> None:
        watch = Watch()
        watch.hear(a_part(1, 2))
        assert not watch.membership.answered(answer(a_part(1)), 5.0)

    def test_after_incomplete_ones_it_makes_the_set_complete_and_the_other_way_round(self) -> None:
        watch = Watch()
        assert not watch.membership.complete
        watch.hear(a_part(1, 2))
        assert watch.membership.complete
        watch.hear(a_part(1, 2, complete=False), after=1)
        assert not watch.membership.complete
        watch.hear(a_part(1, 2), after=1)
        assert watch.membership.complete

    def test_nobody_is_complete_too(self) -> None:
        watch = Watch()
        watch.hear(negative())
        assert watch.membership.complete

    def test_one_of_which_a_family_failed_is_not(self) -> None:
        watch = Watch(family="any")
        watch.hear(a_part(1), whole=False)
        assert not watch.membership.complete

    def test_both_families_have_to_be(self) -> None:
        watch = Watch(family="any")
        v6 = a_part("fd00::1", rdtype=AAAA, complete=False)
        watch.hear(a_part(1), v6)
        assert not watch.membership.complete
        watch.hear(a_part(1), a_part("fd00::1", rdtype=AAAA), after=OLD)
        assert watch.membership.complete


class TestEmptiness:
    """At least three such answers, over at least `empty_grace`, with no positive one between."""

    @pytest.mark.parametrize("grace", [5.0, 60.0])
    def test_three_that_span_the_grace_exactly(self, grace: float) -> None:
        watch = Watch(empty_grace=grace)
        watch.hear(a_part(1))
        watch.hear(negative(), after=OLD)
        watch.hear(negative(), after=1)
        assert watch.hear(negative(), after=grace - 1.01)
        assert not watch.hear(negative(), after=0.01)

    def test_it_counts_from_the_first_of_them(self) -> None:
        watch = Watch(now=500.0)
        watch.hear(a_part(1))
        assert watch.hear(negative(), after=400)
        assert watch.hear(negative(), after=15)
        assert not watch.hear(negative(), after=15)

    def test_once_believed_the_next_one_needs_its_own_three(self) -> None:
        watch = Watch()
        for _ in range(2):
            watch.hear(a_part(1), after=OLD)
            assert watch.hear(negative(), after=15)
            assert watch.hear(negative(), after=15)
            assert not watch.hear(negative(), after=15)
            assert not watch.hear(negative(), after=15)

    def test_answers_before_there_was_anybody_do_not_count(self) -> None:
        watch = Watch()
        for _ in range(5):
            watch.hear(negative(), after=20)
        watch.hear(a_part(1), after=1)
        assert watch.hear(negative(), after=1)
        assert watch.hear(negative(), after=15)
        assert not watch.hear(negative(), after=15)

    def test_an_incomplete_answer_between_starts_anew(self) -> None:
        watch = Watch()
        watch.hear(a_part(1))
        watch.hear(negative(), after=OLD)
        watch.hear(negative(), after=15)
        watch.hear(a_part(1, complete=False), after=10)
        assert watch.hear(negative(), after=5)
        assert watch.hear(negative(), after=25)
        assert not watch.hear(negative(), after=5)

    def test_with_a_grace_the_soa_makes_no_difference(self) -> None:
        watch = Watch(empty_grace=10)
        watch.hear(a_part(1))
        for after, there in ((OLD, True), (5, True), (5, False)):
            assert bool(watch.hear(negative(has_soa=False), after=after)) == there

    def test_without_grace_and_soa_30_s_and_three(self) -> None:
        watch = Watch(empty_grace=0)
        watch.hear(a_part(1))
        watch.hear(negative(has_soa=False), after=OLD)
        assert watch.hear(negative(has_soa=False), after=100)
        assert not watch.hear(negative(has_soa=False), after=0.1)
        watch.hear(a_part(1), after=1)
        watch.hear(negative(has_soa=False), after=OLD)
        watch.hear(negative(has_soa=False), after=1)
        assert watch.hear(negative(has_soa=False), after=28.99)
        assert not watch.hear(negative(has_soa=False), after=0.01)

    @pytest.mark.parametrize(("nxdomain", "word"), [(True, "NXDOMAIN"), (False, "NODATA")])
    def test_meanwhile_the_status_says_who_says_what(self, nxdomain: bool, word: str) -> None:
        watch = Watch(empty_grace=12.5)
        watch.hear(a_part(1))
        watch.hear(negative(nxdomain=nxdomain), after=OLD)
        assert str(watch.membership.error) == (
            f"{SVC}: {NS1} says {word}; the peers stay until that has lasted for empty_grace=12.5 s"
        )

    def test_it_is_an_answer_but_not_a_believed_one(self) -> None:
        watch = Watch()
        watch.hear(a_part(1))
        watch.hear(negative(), after=OLD)
        assert watch.membership.answered_at == OLD
        assert watch.membership.believed_at == 0
        watch.hear(negative(), after=15)
        watch.hear(negative(), after=15)
        assert watch.membership.believed_at == OLD + 30

    def test_another_family_joins_with_the_answer_that_empties_the_first(self) -> None:
        watch = Watch()
        v6 = a_part("fd00::1", rdtype=AAAA)
        watch.hear(a_part(1))
        watch.hear(negative(nxdomain=False), after=15)
        watch.hear(negative(nxdomain=False), after=15)
        assert watch.hear(negative(nxdomain=False), after=15, instead=(v6,)).addresses == ("fd00::1",)
        assert watch.membership.believed_at == 45

    def test_where_nobody_was_it_joins_at_once(self) -> None:
        watch = Watch()
        v6 = a_part("fd00::1", rdtype=AAAA)
        assert watch.hear(negative(nxdomain=False), instead=(v6,)).addresses == ("fd00::1",)


class TestAnotherName:
    """For the name that is held, another name that has peers is emptiness: it has to last."""

    RIVAL = Rival("other.example", (a_part(7),))

    def test_three_answers_over_empty_grace(self) -> None:
        watch = Watch(empty_grace=20)
        watch.hear(a_part(1))
        assert watch.hear(a_part(1), after=OLD, rival=self.RIVAL).addresses == numbered(1)
        assert str(watch.membership.error) == (
            f"other.example has peers, too; those of {SVC} stay until that has lasted for empty_grace=20 s"
        )
        assert watch.hear(a_part(1), after=19.9, rival=self.RIVAL).addresses == numbered(1)
        assert watch.hear(a_part(1), after=0.1, rival=self.RIVAL).addresses == numbered(7)
        assert watch.membership.held() == Held(A, name="other.example")

    def test_already_with_the_first_answer_it_needs_three(self) -> None:
        watch = Watch(now=100.0)
        assert watch.hear(a_part(1), rival=self.RIVAL).addresses == numbered(1)
        assert watch.hear(a_part(1), after=29, rival=self.RIVAL).addresses == numbered(1)
        assert watch.hear(a_part(1), after=1, rival=self.RIVAL).addresses == numbered(7)

    def test_until_then_nothing_changes(self) -> None:
        watch = Watch()
        watch.hear(a_part(1))
        assert not watch.membership.answered(answer(a_part(1), rival=self.RIVAL), 5.0)

    def test_it_replaces_all_of_them_and_its_own_families_join(self) -> None:
        watch = Watch(family="any", empty_grace=0)
        v6 = a_part("fd00::7", rdtype=AAAA)
        watch.hear(a_part(1), a_part("fd00::1", rdtype=AAAA))
        both = Rival("other.example", (a_part(7), v6))
        assert watch.hear(a_part(1), after=5, rival=both).addresses == (*numbered(7), "fd00::7")
        without = Rival("third.example", (negative(), a_part("fd00::8", rdtype=AAAA)))
        assert watch.hear(a_part(7), v6, after=5, rival=without).addresses == ("fd00::8",)

    def test_samples_of_it_count_as_samples(self) -> None:
        watch = Watch(answers="sample", empty_grace=0)
        watch.hear(a_part(1))
        watch.hear(a_part(2), after=1)
        assert watch.hear(a_part(1), after=1, rival=self.RIVAL).addresses == numbered(7)

    def test_two_are_not_enough(self) -> None:
        watch = Watch()
        watch.hear(a_part(1))
        watch.hear(a_part(1), after=OLD, rival=self.RIVAL)
        assert watch.hear(a_part(1), after=100, rival=self.RIVAL).addresses == numbered(1)

    def test_an_answer_without_it_starts_anew(self) -> None:
        watch = Watch()
        watch.hear(a_part(1))
        for _ in range(3):
            watch.hear(a_part(1), after=20, rival=self.RIVAL)
            watch.hear(a_part(1), after=20, rival=self.RIVAL)
            assert watch.hear(a_part(1), after=20).addresses == numbered(1)

    def test_its_peers_count_for_max_peers(self) -> None:
        watch = Watch(max_peers=2)
        watch.hear(a_part(1))
        watch.hear(a_part(1), after=5, rival=Rival("other.example", (a_part(7, 8, 9),)))
        assert watch.membership.failures == 1
        assert not watch.membership.answered(answer(a_part(1), rival=Rival("x", (a_part(7, 8, 9),))), watch.now)
        assert "3 peers are more than max_peers=2" in str(watch.membership.error)

    def test_with_grace_0_it_replaces_at_once(self) -> None:
        watch = Watch(empty_grace=0)
        watch.hear(a_part(1))
        assert watch.hear(a_part(1), after=OLD, rival=self.RIVAL).addresses == numbered(7)


def shown_in_turn(everybody: int, shown: int, turnover: int) -> Iterator[Part]:
    """Incomplete answers that show so many of 1, 2, 3, ..., each so many that the one before did not show."""
    start = 0
    while True:
        yield a_part(*((start + i) % everybody + 1 for i in range(shown)), complete=False)
        start += turnover


S1, S2 = (
    a_part(*range(1, 81), complete=False),
    a_part(*range(9, 89), complete=False),
)  # turnover 8, half of the expected
ENOUGH = 28  # such answers, where there are 100: ln(1e-12 / 100) / ln(0.14 + 0.86 * 0.2) is 27.7


class TestChance:
    """Who is missed by A answers in a row, each a fresh draw, leaves when the sum of ln p is at most ln(1e-12 / U)."""

    @pytest.mark.parametrize(("union", "shown", "turnover"), [(8, 6, 1), (20, 12, 3), (4, 2, 1), (101, 99, 1)])
    def test_as_many_answers_as_it_takes_and_not_one_less(self, union: int, shown: int, turnover: int) -> None:
        needed = ceil(log(1e-12 / union) / log(0.14 + 0.86 * (1 - shown / union)))
        watch = Watch()
        watch.hear(a_part(*range(1, union + 1)))
        for number, part in zip(range(1, needed + 1), shown_in_turn(union - 1, shown, turnover), strict=False):
            there = numbered(union)[0] in watch.hear(part, after=5).addresses
            assert there == (number < needed), number
        assert len(watch.peers()) == union - 1

    def test_each_answer_counts_for_what_it_shows(self) -> None:
        """Those of 90 say more than those of 80."""
        more = a_part(*range(9, 99), complete=False)
        of_80, of_90 = log(0.14 + 0.86 * 0.2), log(0.14 + 0.86 * 0.1)
        watch = Watch()
        watch.hear(a_part(*range(1, 101)))
        account, parts = 0.0, cycle([(S1, of_80), (more, of_90)])
        while len(watch.peers()) == 100:
            assert account > log(1e-14)
            part, log_chance = next(parts)
            watch.hear(part, after=5)
            account += log_chance
        assert account <= log(1e-14)
        assert set(watch.addresses) == set(numbered(*range(1, 99)))

    def test_half_of_the_expected_turnover_is_a_fresh_draw(self) -> None:
        watch = Watch()
        watch.hear(a_part(*range(1, 101)))
        for number, part in zip(range(1, ENOUGH + 1), cycle([S1, S2]), strict=False):
            watch.hear(part, after=5)
            assert len(watch.peers()) == (100 if number < ENOUGH else 88)

    def test_so_it_is_where_the_numbers_are_exact(self) -> None:
        """64 of 128 are expected to bring 32 new ones; here it is 16."""
        needed = ceil(log(1e-12 / 128) / log(0.14 + 0.86 * 0.5))
        first, second = a_part(*range(1, 65), complete=False), a_part(*range(17, 81), complete=False)
        watch = Watch()
        watch.hear(a_part(*range(1, 129)))
        for number, part in zip(range(1, needed + 1), cycle([first, second]), strict=False):
            watch.hear(part, after=5)
            assert len(watch.peers()) == (128 if number < needed else 80)

    def test_it_takes_three_however_unlikely(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("headless_discovery.membership.CHANCE", 4.0)  # of 5: one answer would do
        watch = Watch()
        watch.hear(a_part(*range(1, 6)))
        for number, part in zip((1, 2, 3), shown_in_turn(4, 3, 1), strict=False):
            there = numbered(5)[0] in watch.hear(part, after=OLD).addresses
            assert there == (number < 3)

    def test_what_is_no_evidence_is_no_change(self) -> None:
        watch = Watch()
        watch.hear(a_part(*range(1, 101)))
        for part in (S1, S1, a_part(*range(2, 82), complete=False), a_part(*range(40, 80), complete=False)):
            assert not watch.membership.answered(answer(part), watch.now + 5)

    def test_less_is_none(self) -> None:
        watch = Watch()
        watch.hear(a_part(*range(1, 101)))
        for _, part in zip(range(3 * ENOUGH), cycle([S1, a_part(*range(8, 88), complete=False)]), strict=False):
            assert len(watch.hear(part, after=5)) == 100

    def test_the_same_draw_again_does_not_count_and_costs_nothing(self) -> None:
        watch = Watch()
        watch.hear(a_part(*range(1, 101)))
        for number, part in zip(range(1, 2 * ENOUGH), cycle([S1, S1, S2, S2]), strict=False):
            watch.hear(part, after=5)
            assert len(watch.peers()) == (100 if number < 2 * ENOUGH - 1 else 88)

    def test_a_complete_answer_closes_the_account(self) -> None:
        everybody = a_part(*range(1, 101))
        watch = Watch()
        watch.hear(everybody)
        for _ in range(3):
            for _, part in zip(range(ENOUGH - 1), cycle([S1, S2]), strict=False):
                watch.hear(part, after=5)
            assert len(watch.hear(everybody, after=5)) == 100

    def test_the_first_answer_after_a_complete_one_is_a_fresh_draw_whatever_was_before(self) -> None:
        watch = Watch()
        watch.hear(a_part(*range(1, 101)))
        watch.hear(S1, after=5)
        watch.hear(a_part(*range(1, 101)), after=5)
        for number, part in zip(range(1, ENOUGH + 1), cycle([S1, S2]), strict=False):
            watch.hear(part, after=5)
            assert len(watch.peers()) == (100 if number < ENOUGH else 88)

    def test_emptiness_between_does_not_close_it(self) -> None:
        """It was not believed, so it says nothing of anybody."""
        watch = Watch()
        watch.hear(a_part(*range(1, 101)))
        for number, part in zip(range(1, ENOUGH + 1), cycle([S1, S2]), strict=False):
            watch.hear(part, after=5)
            if number < ENOUGH:
                watch.hear(negative(), after=1)
        assert len(watch.peers()) == 88

    def test_a_peer_that_joins_has_an_account_of_its_own(self) -> None:
        watch = Watch()
        watch.hear(a_part(*range(1, 101)))
        for _, part in zip(range(ENOUGH - 1), cycle([S1, S2]), strict=False):
            watch.hear(part, after=5)
        watch.hear(a_part(*range(9, 88), 101, complete=False), after=5)
        assert numbered(101)[0] in watch.hear(S1, after=5).addresses

    def test_exactly_half_of_the_union_counts_and_less_does_not(self) -> None:
        for shown, left in ((50, 99), (49, 100)):
            watch = Watch()
            watch.hear(a_part(*range(1, 101)))
            parts = shown_in_turn(99, shown, 49)
            for _, part in zip(range(100), parts, strict=False):
                watch.hear(part, after=5)
            assert len(watch.peers()) == left


class TestSamplesPerRefresh:
    """While incomplete A answers still bring somebody new, one refresh takes up to four of them."""

    def cut(self, *hosts: int) -> Part:
        return a_part(*hosts, complete=False)

    def test_four_and_the_next_refresh_four_again(self) -> None:
        watch = Watch()
        for first in (0, 10):
            for number in range(1, 5):
                watch.hear(self.cut(first + number), after=0.01)
                assert watch.membership.sampling == (number < 4)
                assert (wait(watch) == 0) == (number < 4)
            assert wait(watch) > 4.9
            watch.now = watch.membership.due

    def test_one_that_brings_nobody_ends_it(self) -> None:
        watch = Watch()
        watch.hear(self.cut(1, 2))
        watch.hear(self.cut(1, 3), after=0.01)
        assert watch.membership.sampling
        watch.hear(self.cut(2, 3), after=0.01)
        assert not watch.membership.sampling
        assert wait(watch) >= 5
        for number in range(1, 5):  # and the next one has four again
            watch.hear(self.cut(10 + number), after=0.01)
            assert watch.membership.sampling == (number < 4)

    def test_a_complete_one_ends_it(self) -> None:
        watch = Watch()
        watch.hear(self.cut(1, 2))
        watch.hear(a_part(1, 2, 3, 4), after=0.01)
        assert not watch.membership.sampling
        assert wait(watch) >= 5

    def test_a_failure_ends_it(self) -> None:
        watch = Watch()
        watch.hear(self.cut(1))
        watch.fail(after=0.01)
        assert not watch.membership.sampling
        assert wait(watch) == 0.5
        for number in range(1, 5):
            watch.hear(self.cut(10 + number), after=0.01)
            assert watch.membership.sampling == (number < 4)

    def test_emptiness_ends_it(self) -> None:
        watch = Watch()
        watch.hear(self.cut(1))
        watch.hear(negative(), after=0.01)
        assert not watch.membership.sampling

    def test_the_first_refresh_is_over_with_its_last_answer(self) -> None:
        watch = Watch()
        assert watch.membership.unsettled
        watch.fail()
        assert watch.membership.unsettled
        watch.hear(self.cut(1))
        assert watch.membership.unsettled
        watch.hear(self.cut(1), after=0.01)
        assert not watch.membership.unsettled

    def test_answers_that_are_samples_for_sure_are_asked_for_likewise(self) -> None:
        watch = Watch(answers="sample")
        watch.hear(a_part(1, 2))
        assert watch.membership.sampling
        watch.hear(a_part(1, 2), after=0.01)
        assert not watch.membership.sampling

    def test_srv_answers_are_no_samples(self) -> None:
        watch = Watch()
        watch.hear(srv_part({WEB[0]: ["10.0.0.1"]}, complete=False))
        assert not watch.membership.sampling
        assert wait(watch) >= 5


class TestSampleMode:
    """`answers="sample"`: a peer leaves max(60 s, 10 TTL) after it was last seen."""

    @pytest.mark.parametrize(("ttl", "bound"), [(5, 60), (6, 60), (7, 70)])
    def test_then_and_not_a_moment_earlier(self, ttl: float, bound: float) -> None:
        watch = Watch(answers="sample")
        watch.hear(a_part(1, ttl=ttl))
        assert watch.hear(a_part(2, ttl=ttl), after=bound - 0.01).addresses == numbered(1, 2)
        assert watch.hear(a_part(2, ttl=ttl), after=0.01).addresses == numbered(2)

    def test_each_time_it_is_seen_counts(self) -> None:
        watch = Watch(answers="sample")
        watch.hear(a_part(1))
        watch.hear(a_part(1), after=50)
        assert watch.hear(a_part(2), after=59).addresses == numbered(1, 2)
        assert watch.hear(a_part(2), after=1).addresses == numbered(2)

    def test_no_answer_is_complete(self) -> None:
        watch = Watch(answers="sample")
        watch.hear(a_part(1))
        assert not watch.membership.complete

    def test_the_young_have_no_rule_of_their_own_and_chance_has_none(self) -> None:
        watch = Watch(answers="sample")
        watch.hear(a_part(*range(1, 101)))
        for _, part in zip(range(50), cycle([S1, S2]), strict=False):
            assert len(watch.hear(part, after=1)) == 100

    def test_emptiness_is_judged_as_ever(self) -> None:
        watch = Watch(answers="sample")
        watch.hear(a_part(1))
        assert watch.hear(negative(), after=1)
        assert watch.hear(negative(), after=15)
        assert not watch.hear(negative(), after=15)

    def test_who_left_is_seen_anew_when_it_is_back(self) -> None:
        watch = Watch(answers="sample")
        watch.hear(a_part(1))
        watch.hear(a_part(2), after=60)
        watch.hear(a_part(1), after=1)
        assert set(watch.hear(a_part(2), after=59).addresses) == set(numbered(1, 2))

    def test_a_change_is_told_when_somebody_leaves_and_only_then(self) -> None:
        watch = Watch(answers="sample")
        assert watch.membership.answered(answer(a_part(1, 2)), 0.0)
        assert not watch.membership.answered(answer(a_part(1)), 5.0)
        assert watch.membership.answered(answer(a_part(1)), 60.0)
        assert not watch.membership.answered(answer(a_part(1)), 65.0)


class TestMaxPeers:
    def test_as_many_are_fine_and_one_more_is_a_failure(self) -> None:
        for hosts, failures in (((1, 2, 3), 0), ((1, 2, 3, 4), 1)):
            watch = Watch(max_peers=3)
            watch.hear(a_part(*hosts))
            assert watch.membership.failures == failures
            assert len(watch.peers()) == (3 if not failures else 0)

    def test_it_says_so_and_is_tried_again_as_after_any_failure(self) -> None:
        watch = Watch(max_peers=1)
        watch.hear(a_part(1, 2), after=7)
        assert str(watch.membership.error) == f"{SVC}: 2 peers are more than max_peers=1"
        assert wait(watch) == 0.5
        assert watch.membership.consecutive_failures == 1
        assert watch.membership.answered_at is None

    def test_a_complete_answer_counts_alone_and_an_incomplete_one_with_those_who_are_in(self) -> None:
        watch = Watch(max_peers=3)
        watch.hear(a_part(1, 2, 3))
        assert watch.hear(a_part(4, 5, 6), after=OLD).addresses == numbered(4, 5, 6)
        watch.hear(a_part(4, 7, complete=False), after=5)
        assert watch.membership.failures == 1
        watch.hear(a_part(4, 5, complete=False), after=5)
        assert watch.membership.failures == 1

    def test_families_count_together(self) -> None:
        watch = Watch(max_peers=3, family="any")
        v6 = a_part("fd00::1", "fd00::2", rdtype=AAAA)
        watch.hear(a_part(1), v6)
        assert watch.membership.failures == 0
        watch.hear(a_part(1, 2), v6, after=OLD)
        assert watch.membership.failures == 1

    def test_who_was_not_seen_lately_does_not_count(self) -> None:
        watch = Watch(max_peers=3, answers="sample")
        watch.hear(a_part(1, 2))
        watch.hear(a_part(3), after=30)
        watch.hear(a_part(4, 5), after=29.9)
        assert watch.membership.failures == 1
        watch.hear(a_part(4, 5), after=0.1)
        assert watch.membership.failures == 1
        assert watch.addresses == numbered(3, 4, 5)


class TestWhenToAsk:
    """At the end of the TTL and up to J later; at short TTLs four refreshes of five are not late at all."""

    @pytest.mark.parametrize(
        ("ttl", "drawn", "expected"),
        [
            (5, 0.0, 5.0),
            (5, 0.8, 5.0),
            (5, 0.9, 5.25),
            (5, 0.95, 5.375),
            (5, 1.0, 5.5),
            (3, 0.9, 3.15),
            (1, 0.9, 1.05),
            (10, 0.9, 10.25),
            (10.5, 0.9, 10.5 + 0.945),
            (20, 0.0, 20.0),
            (20, 0.25, 20.5),
            (20, 1.0, 22.0),
            (600, 0.5, 31.5),
            (0, 0.9, 1.05),
        ],
    )
    def test_the_end_of_the_ttl_and_how_much_later(self, ttl: float, drawn: float, expected: float) -> None:
        watch = watch_that_draws(drawn)
        watch.hear(a_part(1, ttl=ttl), after=3)
        assert wait(watch) == pytest.approx(expected)

    def test_within_min_ttl_and_max_ttl(self) -> None:
        for ttl, expected in ((1, 4.0), (4, 4.0), (5, 5.0), (8, 8.0), (9, 8.0)):
            watch = watch_that_draws(0.0, min_ttl=4, max_ttl=8)
            watch.hear(a_part(1, ttl=ttl))
            assert wait(watch) == expected

    def test_a_negative_answer_has_its_own_bounds(self) -> None:
        """The lookup has kept its TTL within 1 s and 10 s."""
        watch = watch_that_draws(0.0, min_ttl=4, max_ttl=8)
        for ttl in (1, 10):
            watch.hear(negative(ttl=ttl))
            assert wait(watch) == ttl

    def test_of_two_parts_the_sooner(self) -> None:
        watch = watch_that_draws(0.0, family="any")
        watch.hear(a_part(1, ttl=20), negative(ttl=3, rdtype=AAAA))
        assert wait(watch) == 3
        watch.hear(a_part(1, ttl=2), negative(ttl=3, rdtype=AAAA))
        assert wait(watch) == 2

    def test_after_a_failure_as_the_backoff_says_and_never_in_the_past(self) -> None:
        heard: list[tuple[int, str]] = []

        def backoff(failures: int, error: LookupFailed) -> float:
            heard.append((failures, str(error)))
            return 1.5 if failures == 1 else -1.0

        watch = Watch()
        watch.membership = Membership(watch.settings, 8080, Drawing(0.0), backoff, 0.0)
        watch.fail("a", after=4)
        assert wait(watch) == 1.5
        watch.fail("b", after=1)
        assert wait(watch) == 0
        assert heard == [(1, "a"), (2, "b")]
        assert str(watch.membership.error) == "b"

    def test_the_first_is_due_at_once(self) -> None:
        assert Watch(now=5.0).membership.due == 5.0


class TestTrust:
    def test_stale_from_one_whole_attempt_after_the_refresh_was_due(self) -> None:
        watch = watch_that_draws(0.0, timeout=3)
        assert not watch.membership.stale(1e9)
        watch.hear(a_part(1), after=2)
        assert not watch.membership.stale(9.99)
        assert watch.membership.stale(10.0)

    def test_a_warning_is_the_error_until_the_next_answer(self) -> None:
        watch = Watch()
        watch.hear(a_part(1), warning="odd")
        assert isinstance(watch.membership.error, LookupFailed)
        assert str(watch.membership.error) == "odd"
        watch.hear(a_part(1), after=5)
        assert watch.membership.error is None

    def test_failures_are_counted_and_those_in_a_row_until_an_answer(self) -> None:
        watch = Watch()
        assert (watch.membership.failures, watch.membership.consecutive_failures) == (0, 0)
        watch.fail()
        watch.fail()
        assert (watch.membership.failures, watch.membership.consecutive_failures) == (2, 2)
        watch.hear(a_part(1))
        assert (watch.membership.failures, watch.membership.consecutive_failures) == (2, 0)
        assert watch.membership.error is None

    def test_nothing_is_known_before_the_first_answer(self) -> None:
        membership = Watch().membership
        assert (membership.error, membership.answered_at, membership.believed_at) == (None, None, None)
        assert not membership.complete
        assert not membership.sampling
        assert not membership.given_up
        assert (membership.lookups, membership.queries) == (0, 0)
        assert membership.held() == Held()
        assert membership.peers() == []

    @pytest.mark.parametrize(("max_stale", "timeout", "chance"), [(60, 5, 5), (60, 20, 20), (6, 5, 3)])
    def test_before_max_stale_is_over_a_refresh_has_a_timeout_or_half_of_it(
        self, max_stale: float, timeout: float, chance: float
    ) -> None:
        watch = watch_that_draws(0.0, max_stale=max_stale, timeout=timeout, max_ttl=600)
        watch.hear(a_part(1, ttl=600), after=2)
        assert wait(watch) == max_stale - chance
        assert watch.membership.expires_at == watch.now + max_stale

    def test_min_ttl_comes_first_and_then_max_stale_waits_for_the_refresh(self) -> None:
        watch = watch_that_draws(0.0, max_stale=1, min_ttl=3, timeout=5)
        watch.hear(a_part(1, ttl=600))
        assert wait(watch) == 3
        assert watch.membership.expires_at == 3.5
        assert not watch.membership.expired(3.49)
        assert watch.membership.expired(3.5)

    def test_it_wakes_for_what_comes_first(self) -> None:
        watch = watch_that_draws(0.0, max_stale=20)
        watch.hear(a_part(1))
        assert watch.membership.wakes_at == 5
        watch.membership.due = 100.0
        assert watch.membership.wakes_at == 20

    def test_who_is_given_up_is_gone_and_that_is_told_once(self) -> None:
        watch = Watch(max_stale=20)
        watch.hear(a_part(1))
        assert watch.membership.expired(20.0)
        assert watch.membership.given_up
        assert str(watch.membership.error) == "no believable answer for max_stale=20 s"
        assert not watch.membership.expired(21.0)
        assert watch.membership.held() == Held()
        watch.hear(a_part(1), after=30)
        assert not watch.membership.given_up

    def test_an_unbelieved_emptiness_does_not_put_it_off(self) -> None:
        watch = Watch(max_stale=20)
        watch.hear(a_part(1))
        watch.hear(negative(), after=15)
        assert watch.membership.expires_at == 20
        watch.hear(a_part(1), after=1)
        assert watch.membership.expires_at == 36


class TestFlapping:
    """Removed peers that come back in three of five refreshes of one size: answers may be samples."""

    def hear(self, *sets: tuple[int, ...]) -> list[bool]:
        watch = Watch()
        said = []
        for hosts in sets:
            watch.hear(a_part(*hosts), after=OLD)
            said.append(watch.membership.error is not None)
        return said

    def test_the_third_of_five_says_it(self) -> None:
        assert self.hear((1, 2), (1, 3), (1, 2), (1, 3), (1, 2)) == [False, False, False, False, True]

    def test_that_lasts_while_three_of_the_last_five_are_so(self) -> None:
        sets = [(1, 2), (1, 3), (1, 2), (1, 3), (1, 2), (1, 2), (1, 2), (1, 2)]
        assert self.hear(*sets) == [False] * 4 + [True] * 3 + [False]

    def test_unchanged_answers_between_count_as_refreshes(self) -> None:
        sets = [(1, 2), (1, 3), (1, 2), (1, 2), (1, 3), (1, 2), (1, 2), (1, 3)]
        assert self.hear(*sets) == [False] * 5 + [True] * 3
        sets = [(1, 2), (1, 3), (1, 2), (1, 2), (1, 2), (1, 2), (1, 3), (1, 2)]
        assert not any(self.hear(*sets))

    def test_answers_of_other_sizes_do_not_count(self) -> None:
        assert not any(self.hear(*[(1, 2), (1,)] * 5))

    def test_who_is_new_is_not_back(self) -> None:
        assert not any(self.hear(*((1, number) for number in range(2, 12))))

    def test_who_left_long_ago_is_as_good_as_new(self) -> None:
        """As many are remembered as there are members, and 64 at least."""

        def flaps(size: int, groups: int) -> bool:
            sets = [tuple(range(first, first + size)) for first in range(1, groups * size, size)]
            return any(self.hear(*(sets * 4)))

        assert flaps(size=10, groups=3), "20 others left since"
        assert flaps(size=70, groups=2)
        assert not flaps(size=70, groups=3), "140 others left since"

    def test_an_srv_target_at_another_address_is_another_pod(self) -> None:
        watch = Watch()
        for number in range(12):
            watch.hear(srv_part({WEB[number % 2]: [f"10.0.0.{number + 1}"]}), after=OLD)
            assert watch.membership.error is None
        for number in range(5):
            watch.hear(srv_part({WEB[number % 2]: [f"10.0.0.{number % 2 + 1}"]}), after=OLD)
        assert watch.membership.error is not None, "at the same ones it is not"

    def test_it_says_what_to_do(self) -> None:
        watch = Watch()
        for number in range(10):
            watch.hear(a_part(1, 2 + number % 2), after=OLD)
        assert str(watch.membership.error).startswith(f"{SVC}: peers leave and come back at every answer")


class TestSRV:
    def cut(self, *targets: str) -> Part:
        return srv_part({t: [f"10.0.0.{WEB.index(t) + 1}"] for t in targets}, complete=False)

    def whole(self, count: int) -> Part:
        return srv_part({t: [f"10.0.0.{i + 1}"] for i, t in enumerate(WEB[:count])})

    def test_three_incomplete_answers_in_a_row_make_a_suspect(self) -> None:
        watch = Watch()
        watch.hear(self.whole(2))
        watch.hear(self.cut(WEB[0]), after=5)
        watch.hear(self.cut(WEB[0]), after=5)
        watch.hear(self.cut(WEB[1]), after=5)  # seen: from the beginning
        for _ in range(2):
            watch.hear(self.cut(WEB[0]), after=5)
        assert watch.membership.held().verify == ()
        watch.hear(self.cut(WEB[0]), after=5)
        assert watch.membership.held().verify == (WEB[1],)

    def test_a_complete_answer_clears_all_suspicion(self) -> None:
        watch = Watch()
        watch.hear(self.whole(2))
        for _ in range(3):
            watch.hear(self.cut(WEB[0]), after=5)
        watch.hear(self.whole(2), after=5)
        assert watch.membership.held().verify == ()

    def test_suspects_are_named_once_and_in_order(self) -> None:
        """A target with two ports is one name to ask for."""
        members: dict[Key, Detail | None] = {
            (t, port): Detail(0, 1, known([f"10.0.0.{i}"])) for i, t in enumerate(WEB[3:0:-1]) for port in (80, 81)
        }
        watch = Watch()
        watch.hear(Part(SRV, 5, {**members, **self.whole(1).members}))
        for _ in range(3):
            watch.hear(self.cut(WEB[0]), after=5)
        assert watch.membership.held().verify == (WEB[1], WEB[2], WEB[3])

    def test_no_such_name_removes_all_ports_of_it(self) -> None:
        members: dict[Key, Detail | None] = {(WEB[1], port): Detail(0, 1, known(["10.0.0.2"])) for port in (80, 81)}
        watch = Watch()
        watch.hear(Part(SRV, 5, {**members, **self.whole(1).members}))
        for _ in range(3):
            watch.hear(self.cut(WEB[0]), after=5)
        assert watch.hear(self.cut(WEB[0]), after=5, verified={WEB[1]: known(())}).addresses == ("10.0.0.1",)

    def test_an_address_keeps_it_and_clears_the_suspicion(self) -> None:
        watch = Watch()
        watch.hear(self.whole(2))
        for _ in range(3):
            watch.hear(self.cut(WEB[0]), after=5)
        assert not watch.membership.answered(
            answer(self.cut(WEB[0]), verified={WEB[1]: known(["10.0.0.2"])}), watch.now + 5
        )
        assert watch.membership.held().verify == ()
        for _ in range(2):
            watch.hear(self.cut(WEB[0]), after=5)
            assert watch.membership.held().verify == ()
        watch.hear(self.cut(WEB[0]), after=5)
        assert watch.membership.held().verify == (WEB[1],)

    def test_another_address_is_a_change(self) -> None:
        watch = Watch()
        watch.hear(self.whole(2))
        for _ in range(3):
            watch.hear(self.cut(WEB[0]), after=5)
        assert watch.membership.answered(
            answer(self.cut(WEB[0]), verified={WEB[1]: known(["10.0.0.9"])}), watch.now + 5
        )
        assert watch.addresses == ("10.0.0.1", "10.0.0.9")

    def test_priority_and_weight_of_a_member_may_change_alone(self) -> None:
        watch = Watch()
        watch.hear(Part(SRV, 5, {(WEB[0], 80): Detail(0, 1, known(["10.0.0.1"]))}))
        watch.hear(Part(SRV, 5, {(WEB[0], 80): Detail(1, 7, known(["10.0.0.1"]))}), after=5)
        assert [(p.priority, p.weight, p.port, p.hostname) for p in watch.peers()] == [(1, 7, 80, WEB[0])]

    def test_several_addresses_of_both_families_are_ipv4_peers_under_auto_and_all_of_them_under_any(self) -> None:
        part = srv_part({WEB[0]: ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"]})
        for family, addresses in (
            ("auto", ("10.0.0.1", "10.0.0.2")),
            ("any", ("10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2")),
        ):
            assert Watch(family=family).hear(part).addresses == addresses

    def test_one_endpoint_under_two_targets_leaves_the_others_alone(self) -> None:
        watch = Watch()
        watch.hear(srv_part({WEB[2]: ["10.0.0.1"], WEB[1]: ["10.0.0.1"], WEB[0]: ["10.0.0.9"]}))
        assert {(p.address, p.hostname) for p in watch.peers()} == {("10.0.0.1", WEB[1]), ("10.0.0.9", WEB[0])}

    def test_of_two_suspects_one_that_moved_is_a_change_whoever_comes_after_it(self) -> None:
        watch = Watch()
        watch.hear(self.whole(3))
        for _ in range(3):
            watch.hear(self.cut(WEB[0]), after=5)
        verified = {WEB[1]: known(["10.0.0.9"]), WEB[2]: known(["10.0.0.3"])}
        assert watch.membership.answered(answer(self.cut(WEB[0]), verified=verified), watch.now + 5)

    def test_a_family_that_is_not_known_stays_as_it_was(self) -> None:
        watch = Watch()
        watch.hear(Part(SRV, 5, {(WEB[0], 80): Detail(0, 1, known(["10.0.0.1", "fd00::1"]))}))
        v4 = known(["10.0.0.9"])._replace(v6=None)
        watch.hear(Part(SRV, 5, {(WEB[0], 80): Detail(0, 1, v4)}), after=5)
        assert [p.addresses for p in watch.peers()] == [("10.0.0.9", "fd00::1")]
        v6 = Addresses(None, known(["fd00::9"]).v6)
        watch.hear(Part(SRV, 5, {(WEB[0], 80): Detail(0, 1, v6)}), after=5)
        assert [p.addresses for p in watch.peers()] == [("10.0.0.9", "fd00::9")]

    def test_a_target_without_address_makes_the_set_incomplete(self) -> None:
        for hosts, complete in ((["10.0.0.1"], True), ([], False), (None, False)):
            watch = Watch()
            watch.hear(srv_part({WEB[0]: hosts, WEB[1]: ["10.0.0.2"]}))
            assert watch.membership.complete == complete

    def test_the_young_rule_holds_for_targets_too(self) -> None:
        watch = Watch()
        watch.hear(self.whole(2))
        assert len(watch.hear(self.whole(1), after=5)) == 2
        assert len(watch.hear(self.whole(1), after=1)) == 1


class TestTheSameObject:
    def test_peers_are_made_once(self) -> None:
        watch = Watch()
        watch.hear(a_part(1, 2), srv_part({WEB[0]: ["10.0.0.9"]}))
        before = watch.membership.peers()
        watch.hear(a_part(1, 2, 3), srv_part({WEB[0]: ["10.0.0.9"], WEB[1]: ["10.0.0.8"]}), after=5)
        after = {peer.address: peer for peer in watch.membership.peers()}
        assert all(after[peer.address] is peer for peer in before)
        assert len(after) == 5

    def test_one_that_changed_is_made_anew(self) -> None:
        watch = Watch()
        watch.hear(srv_part({WEB[0]: ["10.0.0.1"]}))
        watch.membership.peers()
        watch.hear(srv_part({WEB[0]: ["10.0.0.2"]}), after=5)
        assert [peer.address for peer in watch.membership.peers()] == ["10.0.0.2"]

    def test_held_is_the_same_while_nothing_changed(self) -> None:
        watch = Watch()
        watch.hear(a_part(1, 2))
        held = watch.membership.held()
        watch.hear(a_part(2, 1), after=5)
        assert watch.membership.held() is held
        assert held.members.keys() == a_part(1, 2).members.keys()
        watch.hear(a_part(2, 1, 3), after=5)
        assert watch.membership.held() is not held
        assert watch.membership.held().members.keys() == a_part(1, 2, 3).members.keys()
