"""Tasks that wait, stepped without I/O: who runs when, and what becomes of what they return or raise."""

from __future__ import annotations

import pytest

from headless_discovery.errors import LookupFailed
from headless_discovery.steps import IN_FLIGHT, ExchangeFailed, Steps, Task


def asking(*questions: str) -> Task[list[object]]:
    """Asks one after the other, and returns the replies."""
    replies: list[object] = []
    for question in questions:
        reply = yield question
        replies += [reply]
    return replies


def noting(question: str) -> Task[object]:
    """The reply, or why there is none."""
    try:
        return (yield question)
    except ExchangeFailed as failure:
        return str(failure), failure.timed_out, failure.asked


def together(*tasks: Task[object]) -> Task[list[object]]:
    return (yield list(tasks))


def failing(why: str) -> Task[object]:
    yield "question"
    raise LookupFailed(why)


def steps() -> Steps[str, object, object]:
    return Steps()


class TestOneTask:
    def test_a_reply_goes_to_the_task_that_waits_for_it(self) -> None:
        run = steps()
        assert run.result is None
        assert run.begin(asking("a", "b"), 1.0) == ["a"]
        assert run.replied("a", 1, 2.0) == ["b"]
        assert run.result is None
        assert run.replied("b", 2, 3.0) == []
        assert run.result == [1, 2]

    def test_now_is_the_time_of_the_last_step(self) -> None:
        run = steps()
        run.begin(asking("a", "b"), 1.0)
        assert run.now == 1.0
        run.replied("a", 1, 2.0)
        assert run.now == 2.0
        run.replied("b", 2, 3.0)
        assert run.now == 3.0

    def test_queries_counts_the_exchanges(self) -> None:
        run = steps()
        assert run.queries == 0
        run.begin(asking("a", "b", "c"), 0.0)
        for number, question in enumerate("abc", 1):
            assert run.queries == number
            run.replied(question, None, 0.0)
        assert run.queries == 3

    def test_a_lookup_failed_is_the_result(self) -> None:
        run = steps()
        run.begin(failing("no answer"), 0.0)
        run.replied("question", None, 0.0)
        assert isinstance(run.result, LookupFailed)
        assert str(run.result) == "no answer"

    @pytest.mark.parametrize("timed_out", [True, False])
    def test_a_failure_is_raised_where_the_task_waits(self, timed_out: bool) -> None:
        run = steps()
        run.begin(noting("a"), 0.0)
        assert run.failed("a", "reset", 1.0, timed_out=timed_out) == []
        assert run.result == ("reset", timed_out, True)

    def test_a_failure_is_no_time_out_unless_that_is_said(self) -> None:
        run = steps()
        run.begin(noting("a"), 0.0)
        run.failed("a", "reset", 1.0)
        assert run.result == ("reset", False, True)
        assert (ExchangeFailed("x").timed_out, ExchangeFailed("x").asked) == (False, True)
        assert not ExchangeFailed("x", asked=False).asked

    def test_other_errors_are_nobodys_result(self) -> None:
        def broken() -> Task[object]:
            yield "a"
            raise ZeroDivisionError

        run = steps()
        run.begin(broken(), 0.0)
        with pytest.raises(ZeroDivisionError):
            run.replied("a", None, 0.0)

    def test_a_subclass_says_what_to_begin_with(self) -> None:
        with pytest.raises(NotImplementedError):
            steps().start(0.0)


class TestTasksTogether:
    def test_ten_are_in_flight_and_each_end_begins_the_next(self) -> None:
        run = steps()
        names = [f"n{i}" for i in range(23)]
        opened = run.begin(together(*map(noting, names)), 0.0)
        assert opened == names[:IN_FLIGHT]
        assert IN_FLIGHT == 10
        begun = list(opened)
        for name in names:
            begun += run.replied(name, name.upper(), 0.0)
            assert len(begun) == min(len(names), IN_FLIGHT + 1 + names.index(name))
        assert begun == names
        assert run.result == [name.upper() for name in names]

    def test_outcomes_are_in_the_order_of_the_list_whoever_ends_first(self) -> None:
        run = steps()
        run.begin(together(*map(noting, "abc")), 0.0)
        for name in "cab":
            assert run.result is None
            run.replied(name, name * 2, 0.0)
        assert run.result == ["aa", "bb", "cc"]

    def test_an_error_of_one_is_its_outcome_and_the_others_go_on(self) -> None:
        run = steps()
        run.begin(together(failing("no"), noting("b")), 0.0)
        run.replied("question", None, 0.0)
        assert run.result is None
        run.replied("b", 1, 0.0)
        assert isinstance(run.result, list)
        assert str(run.result[0]) == "no"
        assert run.result[1] == 1

    def test_of_an_empty_list_there_are_no_outcomes(self) -> None:
        run = steps()
        assert run.begin(together(), 0.0) == []
        assert run.result == []

    def test_a_task_that_need_not_wait_counts_as_any_other(self) -> None:
        run = steps()
        assert run.begin(together(asking(), noting("b"), asking()), 0.0) == ["b"]
        run.replied("b", 1, 0.0)
        assert run.result == [[], 1, []]

    def test_more_of_them_than_run_at_a_time_end_at_once(self) -> None:
        run = steps()
        assert run.begin(together(*(asking() for _ in range(3 * IN_FLIGHT))), 0.0) == []
        assert run.result == [[]] * (3 * IN_FLIGHT)

    def test_lists_in_lists(self) -> None:
        run = steps()
        run.begin(together(together(noting("a"), noting("b")), noting("c")), 0.0)
        for name in "bca":
            run.replied(name, name, 0.0)
        assert run.result == [["a", "b"], "c"]

    def test_the_queries_of_all_count(self) -> None:
        run = steps()
        run.begin(together(*map(noting, "abc")), 0.0)
        assert run.queries == 3
