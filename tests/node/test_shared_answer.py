"""A crowd that asks at the same time is one question, and nobody gets an answer from before it asked."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from node.shared_answer import SharedAnswer


def test_a_crowd_shares_one_answer_that_was_begun_after_all_had_come() -> None:
    begun, release, asked = threading.Event(), threading.Event(), []

    def ask() -> int:
        asked.append(time.monotonic())
        begun.set()
        assert release.wait(10)
        return len(asked)

    question = SharedAnswer(ask)
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(question)
        assert begun.wait(10)
        crowd = [pool.submit(question) for _ in range(15)]
        time.sleep(0.2)  # all of them wait, while the first question is still being asked
        assert len(asked) == 1
        release.set()
        assert first.result(10) == 1 and {one.result(10) for one in crowd} == {2}
    assert question() == 3 == len(asked)


def test_nobody_gets_an_answer_that_was_begun_before_it_asked() -> None:
    now = [0]

    def ask() -> int:
        begun = now[0]
        time.sleep(0.002)
        return begun

    question = SharedAnswer(ask)

    def often(_: int) -> bool:
        for _ in range(40):
            asked_at = now[0]
            if question() < asked_at:
                return False
            now[0] += 1
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(often, range(8)))


def test_a_failure_is_everybodys_and_the_next_question_is_asked_anew() -> None:
    outcomes = iter([ValueError("down"), None])

    def ask() -> None:
        if (error := next(outcomes)) is not None:
            raise error

    question = SharedAnswer(ask)
    with pytest.raises(ValueError, match="down"):
        question()
    assert question() is None
