"""Joining and leaving (docs/architecture.md): each test is one rule, told to a `Membership` in virtual time."""

from __future__ import annotations

import random
from math import inf, log
from statistics import fmean, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery.answer import Answer, Held
from headless_discovery.membership import CHANCE, HABIT
from headless_discovery.message import AAAA, SRV, A
from sansio import SVC, Watch, a_part, answer, known, negative, srv_part

WEB = [f"web-{i}.{SVC}" for i in range(10)]
OLD = 11.0  # seconds after which a peer is not young any more


def numbered(*hosts: int) -> tuple[str, ...]:
    return tuple(f"10.0.{h // 256}.{h % 256}" for h in sorted(hosts))


class TestCompleteAnswers:
    def test_join_and_leave(self):
        watch = Watch()
        assert watch.hear(a_part(1, 2, 3)).addresses == numbered(1, 2, 3)
        assert watch.hear(a_part(2, 3, 4), after=OLD).addresses == numbered(2, 3, 4)
        assert {p.port for p in watch.peers()} == {8080}

    def test_the_young_leave_after_two_answers_min_ttl_apart(self):
        watch = Watch()
        watch.hear(a_part(1, 2))
        assert watch.hear(a_part(1), after=5).addresses == numbered(1, 2)
        assert watch.hear(a_part(1), after=0.9).addresses == numbered(1, 2)
        assert watch.hear(a_part(1), after=0.1).addresses == numbered(1)

    def test_a_missed_young_peer_is_checked_soon_not_after_the_whole_ttl(self):
        watch = Watch()
        watch.hear(a_part(1, 2, ttl=30))
        watch.hear(a_part(1, ttl=30), after=5)
        assert watch.membership.due == watch.now + 1.0

    def test_a_cut_answer_is_no_reason_to_check_soon(self):
        watch = Watch()
        watch.hear(a_part(1, 2, ttl=30))
        watch.hear(a_part(1, ttl=30), after=1)
        assert watch.membership.due - watch.now == 1
        watch.hear(a_part(1, ttl=30, complete=False), after=1)
        assert watch.membership.due - watch.now >= 30

    def test_replicas_that_disagree_about_a_new_pod_do_not_flap_it(self):
        watch = Watch()
        watch.hear(a_part(1))
        watch.hear(a_part(1, 2), after=OLD)
        for _ in range(4):
            assert watch.hear(a_part(1), after=1).addresses == numbered(1, 2)
            assert watch.hear(a_part(1, 2), after=1).addresses == numbered(1, 2)

    def test_young_is_less_than_10_s(self):
        watch = Watch()
        watch.hear(a_part(1, 2))
        assert watch.hear(a_part(1), after=10).addresses == numbered(1)

    def test_an_unchanged_answer_in_any_order_changes_nothing(self):
        watch = Watch()
        watch.hear(a_part(1, 2, 3))
        assert not watch.membership.answered(answer(a_part(3, 1, 2)), 5)


class TestEmptiness:
    def test_at_the_first_lookup_it_is_believed(self):
        watch = Watch()
        assert not watch.hear(negative())
        assert watch.membership.believed_at == 0

    @pytest.mark.parametrize("nxdomain", [True, False])
    def test_three_answers_that_span_the_grace(self, nxdomain):
        watch = Watch()
        watch.hear(a_part(1))
        nobody = negative(nxdomain=nxdomain)
        for after in (OLD, 15, 14.9):
            assert watch.hear(nobody, after=after).addresses == numbered(1)
            assert watch.membership.error is not None
        assert watch.membership.believed_at == 0
        assert watch.hear(nobody, after=0.1).addresses == ()
        assert watch.membership.error is None

    def test_two_are_not_enough_however_far_apart(self):
        watch = Watch()
        watch.hear(a_part(1))
        watch.hear(negative(), after=OLD)
        assert watch.hear(negative(), after=1000)
        assert not watch.hear(negative(), after=0.1)

    def test_a_positive_answer_between_starts_anew(self):
        watch = Watch()
        watch.hear(a_part(1))
        for _ in range(2):
            watch.hear(negative(), after=OLD)
            watch.hear(negative(), after=OLD)
            watch.hear(a_part(1), after=OLD)
            assert watch.hear(negative(), after=OLD)

    def test_failures_neither_count_nor_reset(self):
        watch = Watch()
        watch.hear(a_part(1))
        watch.hear(negative(), after=OLD)
        watch.fail(after=10)
        watch.hear(negative(), after=5)
        for _ in range(10):
            watch.fail(after=10)
        assert watch.peers()
        assert not watch.hear(negative(), after=0)

    def test_grace_0_believes_at_once_but_not_without_soa(self):
        watch = Watch(empty_grace=0)
        watch.hear(a_part(1))
        assert watch.hear(negative(has_soa=False), after=OLD)
        assert watch.hear(negative(has_soa=False), after=5)
        assert watch.hear(negative(has_soa=False), after=5)
        assert not watch.hear(negative(), after=5)

    def test_grace_0_without_soa_takes_30_s(self):
        watch = Watch(empty_grace=0)
        watch.hear(a_part(1))
        for after in (OLD, 15):
            assert watch.hear(negative(has_soa=False), after=after)
        assert not watch.hear(negative(has_soa=False), after=15)

    def test_the_family_changes_when_the_old_one_is_believed_empty(self):
        watch = Watch()
        watch.hear(a_part(1))
        v6 = a_part("fd00::1", rdtype=AAAA)
        for _ in range(2):
            assert watch.hear(negative(nxdomain=False), after=15, instead=(v6,)).addresses == numbered(1)
        assert watch.hear(negative(nxdomain=False), after=15, instead=(v6,)).addresses == ("fd00::1",)
        assert watch.membership.held() == Held(AAAA, name=SVC)

    def test_families_of_any_are_judged_apart(self):
        watch = Watch(family="any")
        v6 = a_part("fd00::1", rdtype=AAAA)
        watch.hear(a_part(1), v6)
        watch.hear(a_part(2), after=OLD, whole=False)  # AAAA failed: its peer stays
        assert watch.addresses == (*numbered(2), "fd00::1")
        assert not watch.membership.complete
        for _ in range(2):
            watch.hear(a_part(2), negative(rdtype=AAAA, nxdomain=False), after=15)
        assert "fd00::1" in watch.addresses
        assert watch.hear(a_part(2), negative(rdtype=AAAA, nxdomain=False), after=15).addresses == numbered(2)


class TestChance:
    """A records cut at random, as CoreDNS cuts 5000 to 4092."""

    def sample(self, rng, hosts, k):
        return a_part(*rng.sample(hosts, k), complete=False)

    def test_incomplete_answers_add(self):
        watch = Watch()
        watch.hear(a_part(1, 2, complete=False))
        assert watch.hear(a_part(2, 3, complete=False)).addresses == numbered(1, 2, 3)
        assert not watch.membership.complete

    def test_one_refresh_takes_up_to_4_samples_while_the_union_grows(self):
        rng, hosts = random.Random(1), list(range(1, 501))
        watch = Watch()
        sizes = []
        for _ in range(4):
            watch.hear(self.sample(rng, hosts, 300), after=0.01)
            sizes.append(len(watch.peers()))
            assert watch.membership.sampling == (len(sizes) < 4)
            assert (watch.membership.due == watch.now) == (len(sizes) < 4)
        assert sizes == sorted(sizes)

    def test_5000_converge_within_3_refreshes(self):
        rng, hosts = random.Random(2), list(range(1, 5001))
        watch = Watch()
        refreshes = 0
        while refreshes < 3:
            watch.hear(self.sample(rng, hosts, 4092), after=max(0.01, watch.membership.due - watch.now))
            refreshes += not watch.membership.sampling
        assert len(watch.peers()) == 5000

    def test_a_peer_that_is_gone_leaves_when_chance_does_not_explain_it_and_nobody_else(self):
        rng, hosts = random.Random(3), list(range(1, 1001))
        watch = Watch()
        for _ in range(8):
            watch.hear(self.sample(rng, hosts, 818), after=5)
        assert len(watch.peers()) == 1000
        hosts.remove(7)
        answers = 0
        while len(watch.peers()) == 1000:
            watch.hear(self.sample(rng, hosts, 818), after=5)
            answers += 1
        p = log(HABIT + (1 - HABIT) * (1 - 818 / 1000))
        assert answers == pytest.approx(log(CHANCE / 1000) / p, abs=1)
        assert set(watch.addresses) == set(numbered(*hosts))

    def test_at_least_three_even_where_the_bound_is_reached_sooner(self, monkeypatch):
        monkeypatch.setattr("headless_discovery.membership.CHANCE", 0.9)
        watch = Watch()
        watch.hear(a_part(*range(1, 6)))
        for n, last in ((1, 3), (2, 2)):
            assert numbered(5)[0] in watch.hear(a_part(1, 4, last, complete=False), after=OLD).addresses, n
        assert numbered(5)[0] not in watch.hear(a_part(1, 2, 3, complete=False), after=OLD).addresses

    def test_the_same_cut_again_and_again_is_no_evidence(self):
        watch = Watch()
        watch.hear(a_part(*range(1, 101)))
        for _ in range(500):
            watch.hear(a_part(*range(1, 80), complete=False), after=5)
        assert len(watch.peers()) == 100

    def test_a_cut_that_moves_too_little_is_no_evidence(self):
        watch = Watch()
        watch.hear(a_part(*range(1, 101)))
        for i in range(500):  # always the first 79 and one of two: half the members never have a chance
            watch.hear(a_part(*range(1, 80), 80 + i % 2, complete=False), after=5)
        assert len(watch.peers()) == 100

    def test_answers_below_half_of_the_union_are_no_evidence(self):
        rng = random.Random(4)
        watch = Watch()
        watch.hear(a_part(*range(1, 101)))
        for _ in range(400):
            watch.hear(self.sample(rng, list(range(1, 100)), 49), after=5)
        assert len(watch.peers()) == 100

    def test_being_seen_once_clears_the_account(self):
        rng = random.Random(5)
        watch = Watch()
        everybody = list(range(1, 101))
        watch.hear(a_part(*everybody))
        for _ in range(40):
            for _ in range(14):
                watch.hear(self.sample(rng, everybody[:-1], 80), after=5)
            watch.hear(a_part(*rng.sample(everybody[:-1], 79), 100, complete=False), after=5)
        assert len(watch.peers()) == 100

    def test_a_complete_answer_decides(self):
        watch = Watch()
        watch.hear(a_part(1, 2, 3, complete=False))
        assert watch.hear(a_part(1, 2), after=OLD).addresses == numbered(1, 2)
        assert watch.membership.complete


class TestSample:
    def test_everybody_seen_lately_is_in(self):
        rng = random.Random(6)
        hosts = list(range(1, 11))
        watch = Watch(answers="sample")
        for _ in range(100):
            watch.hear(a_part(*rng.sample(hosts, 3)), after=5)
        assert set(watch.addresses) == set(numbered(*hosts))
        hosts.remove(4)
        before = watch.now
        while numbered(4)[0] in watch.addresses:
            watch.hear(a_part(*rng.sample(hosts, 3)), after=5)
        assert watch.now - before <= 60
        assert not watch.membership.complete

    def test_ten_ttls_where_that_is_longer(self):
        watch = Watch(answers="sample")
        watch.hear(a_part(1, ttl=20))
        assert watch.hear(a_part(2, ttl=20), after=199).addresses == numbered(1, 2)
        assert watch.hear(a_part(2, ttl=20), after=1).addresses == numbered(2)

    def test_max_peers_bounds_the_union(self):
        watch = Watch(answers="sample", max_peers=10)
        watch.hear(a_part(*range(1, 9)))
        watch.hear(a_part(*range(5, 13)), after=5)
        assert watch.addresses == numbered(*range(1, 9))
        assert "12 peers are more than max_peers=10" in str(watch.membership.error)
        assert watch.hear(a_part(*range(5, 13)), after=56).addresses == numbered(*range(5, 13))
        assert watch.membership.error is None

    def test_all_mode_says_when_answers_look_like_samples(self):
        rng = random.Random(7)
        watch = Watch()
        for _ in range(30):
            watch.hear(a_part(*rng.sample(range(1, 11), 3)), after=OLD)
        assert 'answers="sample"' in str(watch.membership.error)

    def test_a_rolling_update_is_not_taken_for_samples(self):
        watch = Watch()
        for i in range(30):
            watch.hear(a_part(i + 1, i + 2, i + 3), after=OLD)
            assert watch.membership.error is None


class TestSRV:
    def test_keys_are_target_and_port_and_addresses_are_replaced_at_once(self):
        watch = Watch()
        watch.hear(srv_part({WEB[0]: ["10.0.0.1"], WEB[1]: ["10.0.0.2"]}))
        after = watch.hear(srv_part({WEB[0]: ["10.0.0.9"]}, complete=False), after=1)
        assert after.addresses == ("10.0.0.9", "10.0.0.2"), "at once, also in an incomplete answer"

    def test_unknown_glue_keeps_the_known_address_and_no_address_is_no_peer(self):
        watch = Watch()
        watch.hear(srv_part({WEB[0]: ["10.0.0.1"], WEB[1]: None}))
        assert watch.addresses == ("10.0.0.1",)
        assert not watch.membership.complete
        watch.hear(srv_part({WEB[0]: None, WEB[1]: ["10.0.0.2"]}), after=5)
        assert watch.addresses == ("10.0.0.1", "10.0.0.2")
        assert watch.hear(srv_part({WEB[0]: [], WEB[1]: ["10.0.0.2"]}), after=5).addresses == ("10.0.0.2",)

    def test_several_of_a_family_are_peers_apart_one_of_each_is_one_peer(self):
        watch = Watch()
        watch.hear(srv_part({WEB[0]: ["10.0.0.1", "fd00::1"], WEB[1]: ["10.0.0.2", "10.0.0.3"]}))
        assert [(p.address, p.addresses, p.hostname) for p in watch.peers()] == [
            ("10.0.0.1", ("10.0.0.1", "fd00::1"), WEB[0]),
            ("10.0.0.2", ("10.0.0.2",), WEB[1]),
            ("10.0.0.3", ("10.0.0.3",), WEB[1]),
        ]

    def test_one_endpoint_under_two_targets_is_one_peer(self):
        dashed, other = f"10-0-0-1.{SVC}", f"a.{SVC}"
        watch = Watch()
        watch.hear(srv_part({dashed: ["10.0.0.1"], WEB[1]: ["10.0.0.1"], WEB[0]: ["10.0.0.1"]}))
        assert [p.hostname for p in watch.peers()] == [WEB[0]], "a stable name, then the lowest"
        watch.hear(srv_part({WEB[1]: ["10.0.0.1"]}, complete=False), after=5)
        assert [p.hostname for p in watch.peers()] == [WEB[1]], "the newest answer's target first"
        watch.hear(srv_part({other: ["10.0.0.1"]}, complete=False), after=5)
        assert [p.hostname for p in watch.peers()] == [other]

    def test_always_the_same_subset_never_removes_a_live_peer(self):
        watch = Watch()
        watch.hear(srv_part({t: [f"10.0.0.{i + 1}"] for i, t in enumerate(WEB)}))
        for _ in range(200):
            watch.hear(srv_part({WEB[0]: ["10.0.0.1"]}, complete=False), after=5)
        assert len(watch.peers()) == 10

    def test_suspects_after_three_are_verified_by_name(self):
        watch = Watch()
        watch.hear(srv_part({t: [f"10.0.0.{i + 1}"] for i, t in enumerate(WEB[:3])}))
        cut = srv_part({WEB[0]: ["10.0.0.1"]}, complete=False)
        for _ in range(2):
            watch.hear(cut, after=5)
            assert watch.membership.held().verify == ()
        watch.hear(cut, after=5)
        assert watch.membership.held().verify == (WEB[1], WEB[2])
        watch.hear(cut, after=5, verified={WEB[1]: known(()), WEB[2]: known(["10.0.0.9"])})
        assert [(p.hostname, p.address) for p in watch.peers()] == [(WEB[0], "10.0.0.1"), (WEB[2], "10.0.0.9")]
        assert watch.membership.held().verify == ()

    def test_held_tells_the_ports(self):
        watch = Watch()
        watch.hear(srv_part({WEB[0]: ["10.0.0.1"]}))
        assert watch.membership.held() == Held(SRV, frozenset({8080}), name=SVC)

    def test_held_knows_addresses_of_members_alone(self):
        watch = Watch()
        watch.hear(srv_part({WEB[0]: ["10.0.0.1"], WEB[1]: ["10.0.0.2"]}))
        watch.hear(srv_part({WEB[0]: ["10.0.0.1"]}), after=OLD)
        assert set(watch.membership.held().members) == {(WEB[0], 8080)}


class TestTime:
    @pytest.mark.parametrize(
        ("ttl", "base", "spread"),
        [
            (5, 5, 0.5),
            (3, 3, 0.3),
            (1, 1, 0.1),
            (0, 1, 0.1),
            (10, 10, 0.5),
            (20, 20, 2),
            (600, 30, 3),
            (2**31 - 1, 30, 3),
        ],
    )
    def test_at_expiry_plus_a_little(self, ttl, base, spread):
        dues = set()
        watch = Watch()
        for _ in range(200):
            watch.hear(a_part(1, ttl=ttl), after=1)
            dues.add(watch.membership.due - watch.now)
        assert base <= min(dues) < base + spread * 0.2
        assert base + spread * 0.8 < max(dues) <= base + spread

    @pytest.mark.parametrize(("ttl", "spread", "mean"), [(1, 0.1, 0.1), (5, 0.5, 0.1), (10, 0.5, 0.1), (20, 2.0, 0.5)])
    def test_at_short_ttls_news_is_seldom_late_and_distances_grow_all_the_same(self, ttl, spread, mean):
        watch, late = Watch(), []
        for _ in range(5000):
            watch.hear(a_part(1, ttl=ttl), after=1)
            late.append((watch.membership.due - watch.now - ttl) / spread)
        assert fmean(late) == pytest.approx(mean, rel=0.1)
        assert pvariance(late) > 0.6 / 12  # that of U(0, 1) is 1/12

    def test_failures_back_off_and_any_valid_answer_resets(self):
        watch = Watch()
        waits = []
        for _ in range(3):
            watch.fail()
            waits.append(watch.membership.due - watch.now)
        assert waits == [0.5, 1.0, 2.0]
        watch.hear(negative())
        watch.fail()
        assert watch.membership.due - watch.now == 0.5
        assert watch.membership.consecutive_failures == 1
        assert watch.membership.failures == 4

    def test_fresh_until_one_whole_attempt_is_overdue(self):
        watch = Watch(timeout=5)
        watch.hear(a_part(1, ttl=5))
        due = watch.membership.due
        watch.fail(after=6)
        assert not watch.membership.stale(due + 4.9)
        assert watch.membership.stale(due + 5)
        watch.hear(a_part(1), after=100)
        assert not watch.membership.stale(watch.now)

    def test_max_stale(self):
        watch = Watch(max_stale=60)
        assert watch.membership.wakes_at == 0
        watch.hear(a_part(1))
        for _ in range(5):
            watch.fail(after=10)
        watch.membership.due = inf
        assert watch.membership.wakes_at == 60
        assert not watch.membership.expired(59.9)
        assert watch.addresses == numbered(1)
        assert watch.membership.expired(60)
        assert watch.addresses == ()
        assert "max_stale=60" in str(watch.membership.error)
        assert watch.hear(a_part(2), after=20).addresses == numbered(2)

    @pytest.mark.parametrize(("max_stale", "ttl"), [(30, 30), (30, 600), (10, 30), (4, 5), (1, 1), (0.5, 1)])
    def test_max_stale_leaves_a_refresh_its_chance(self, max_stale, ttl):
        """Where DNS answers nobody is given up, however long the TTL; and it is not asked more than needed."""
        watch = Watch(max_stale=max_stale)
        for _ in range(20):
            watch.hear(a_part(1, ttl=ttl))
            asked = watch.membership.due
            assert asked - watch.now >= max(1, max_stale / 2)
            assert asked + min(5, max_stale / 2) <= watch.now + max_stale or asked == watch.now + 1
            assert watch.membership.wakes_at == asked
            assert not watch.membership.expired(asked + min(5, max_stale / 2) - 0.01)
            watch.now = asked
        watch.fail()
        assert watch.membership.expired(watch.now + max(max_stale, 1))

    def test_without_max_stale_nothing_expires(self):
        watch = Watch()
        watch.hear(a_part(1))
        assert not watch.membership.expired(1e9)

    def test_an_unbelieved_nxdomain_does_not_make_the_set_fresh(self):
        watch = Watch(max_stale=20)
        watch.hear(a_part(1))
        watch.hear(negative(), after=15)
        assert watch.membership.stale(watch.now)
        assert watch.membership.expired(20)

    def test_more_than_max_peers_in_the_union_is_a_failure_and_the_set_stays(self):
        watch = Watch(max_peers=10)
        watch.hear(a_part(*range(1, 9), complete=False))
        assert len(watch.hear(a_part(*range(5, 13), complete=False), after=5)) == 8
        assert watch.membership.failures == 1
        assert "max_peers=10" in str(watch.membership.error)


@st.composite
def histories(draw):
    """Answers and failures over time, about up to six peers."""
    step = st.one_of(
        st.tuples(st.just("all"), st.sets(st.integers(1, 6), min_size=1)),
        st.tuples(st.just("cut"), st.sets(st.integers(1, 6), min_size=1)),
        st.tuples(st.just("nobody"), st.just(set())),
        st.tuples(st.just("fail"), st.just(set())),
    )
    return draw(st.lists(st.tuples(st.floats(0, 40), step), max_size=40))


@given(histories())
def test_nobody_leaves_without_evidence_and_everybody_named_is_in(history):
    """The oracle: after each step, who is in was named by an answer, and who left was missed by a complete answer or
    by emptiness that lasted.
    """
    watch = Watch()
    named: set[str] = set()
    empties: list[float] = []
    for after, (kind, hosts) in history:
        before = set(watch.addresses)
        if kind == "fail":
            watch.fail(after=after)
        elif kind == "nobody":
            watch.hear(negative(), after=after)
            empties.append(watch.now)
        else:
            watch.hear(a_part(*hosts, complete=kind == "all"), after=after)
            empties.clear()
            named |= set(numbered(*hosts))
            assert set(numbered(*hosts)) <= set(watch.addresses), "missed a change"
        left = before - set(watch.addresses)
        assert set(watch.addresses) <= named
        if left:
            lasted = len(empties) >= 3 and empties[-1] - empties[0] >= 30
            assert kind == "all" or (kind == "nobody" and lasted), f"false removal of {left} by {kind}"
        if kind == "all":
            assert left <= before - set(numbered(*hosts))
        assert watch.membership.due >= watch.now
        assert watch.membership.due <= watch.now + 1000


def test_answers_are_values():
    assert isinstance(answer(a_part(1)), Answer)
    assert answer(a_part(1, ttl=7), negative(ttl=3, rdtype=AAAA)).ttl == 3
    assert a_part(1).rdtype == A
