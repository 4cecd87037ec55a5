"""Whatever is guessed, the same tokens come out, and everybody sees them as if each had been fed alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from prover.model import batch as batches
from prover.model import execute
from prover.model.batch import Batch, Request, Running
from prover.model.errors import GenerationCancelledError
from prover.model.execute import Executor
from prover.model.library import load_model
from prover.model.look_ahead import MOST_GUESSES, LookAhead
from prover.model.row_blocks import RowBlocks
from prover.sampling import Sampling
from tests.prover.model.test_batch import FAMILIES, LEAVERS, alone, leaver, requests, run_together

# --- guesses ----------------------------------------------------------------------------------------------


def ahead(ids: Sequence[int], room: int = 100) -> LookAhead:
    known = LookAhead(ids, room)
    known.note(MOST_GUESSES)
    return known


def test_the_last_three_tokens_are_looked_for_before_the_last_two_and_the_nearest_counts() -> None:
    assert ahead([1, 2, 3, 9, 7, 2, 3, 8, 5, 1, 2, 3]).guess(2) == [9, 7], "three, although two are nearer"
    assert ahead([4, 2, 3, 9, 7, 2, 3, 8, 5, 6, 2, 3]).guess(2) == [8, 5], "the nearest of two"
    assert ahead([1, 2, 3, 9, 1, 2, 3, 8, 1, 2, 3]).guess(1) == [8], "the nearest of three"
    assert ahead([2, 3, 9, 7, 2, 3]).guess(4) == [9, 7, 2, 3], "at the beginning of the text"
    assert ahead([5, 5, 5]).guess() == [5] * MOST_GUESSES, "what is repeated goes on"
    assert ahead([4, 1, 2, 1, 2]).guess(5) == [1, 2, 1, 2, 1]
    assert ahead([1, 2, 3, 4]).guess() == [] and ahead([1, 1]).guess() == [] and ahead([1]).guess() == []


def test_what_was_added_counts_and_no_more_is_guessed_than_can_be_fed() -> None:
    known = ahead([1, 2, 3], room=6)
    for token in (4, 1, 2):
        known.add(token)
    assert known.guess() == [3, 4], "three tokens are left, of which the last is not fed"
    known.add(3)
    assert known.guess() == [4]
    known.add(4)
    assert known.guess() == []


def test_right_guesses_make_longer_ones_and_wrong_ones_rare() -> None:
    known = ahead([1, 2] * 20, room=1000)
    lengths = []
    for right in (0, 1, 3, 5, 9):
        known.note(right)
        lengths.append(len(known.guess()))
    assert lengths == [2, 3, 5, MOST_GUESSES, MOST_GUESSES]
    pauses = []
    for _ in range(9):
        known.note(0)
        pause = 0
        while not known.guess():
            pause += 1
        pauses.append(pause)
    assert pauses == [0, 1, 2, 4, 8, 16, 32, 32, 32]
    known.note(1)
    known.give_up()
    assert known.guess() == [] != known.guess()


# --- the same answers -------------------------------------------------------------------------------------


class Foretold(LookAhead):
    """Guesses a part of the true answer, and behind it chance: other tokens, and such as leave their range."""

    answers: dict[tuple[int, ...], list[int]]
    draw: random.Random

    def __init__(self, prompt: Sequence[int], max_tokens: int) -> None:
        super().__init__(prompt, max_tokens)
        self._answer, self._given = self.answers.get(tuple(prompt), []), 0

    def add(self, token: int) -> None:
        super().add(token)
        self._given += 1

    def guess(self, most: int = MOST_GUESSES) -> list[int]:
        right = self._answer[self._given : self._given + self.draw.randrange(5)]
        wrong = self.draw.choices([*LEAVERS, 7, 9], k=self.draw.randrange(4))
        return [*right, *wrong][: max(0, min(most, self._left - 1))]


@pytest.fixture
def foretold(monkeypatch: pytest.MonkeyPatch) -> Callable[[Executor, Sequence[Request]], list[Any]]:
    """Answers without guesses; from then on they are foretold."""

    def prepare(executor: Executor, wanted: Sequence[Request]) -> list[Any]:
        monkeypatch.setitem(vars(executor), "looks_ahead", False)
        expected = [alone(executor, request) for request in wanted]
        answers = {
            tuple(request.prompt): right.ids
            for request, right in zip(wanted, expected, strict=True)
            if not isinstance(right, Exception)
        }
        monkeypatch.setitem(vars(executor), "looks_ahead", True)
        told = type("Told", (Foretold,), {"answers": answers, "draw": random.Random(len(wanted))})
        for module in (batches, execute):
            monkeypatch.setattr(module, "LookAhead", told)
        return expected

    return prepare


def run_alone(batch: Batch, request: Request) -> Running:
    sequence = batch.admit(request)
    assert sequence is not None
    while not sequence.has_ended:
        batch.step(64)
    return sequence


@pytest.mark.parametrize("family", FAMILIES)
def test_any_guess_changes_nothing(family: str, foretold: Callable[..., list[Any]]) -> None:
    """Greedy and sampled, alone and in company, with rows that leave their range in the text and in guesses."""
    executor, draw = leaver(family), random.Random(f"{family} ahead")
    wanted = requests(executor, draw, 16)
    expected = foretold(executor, wanted)
    batch = Batch(executor, RowBlocks(20, executor.model.config.layers))
    ended = run_together(batch, wanted, draw)
    for request, right in zip(wanted, expected, strict=True):
        own = alone(executor, request)
        for found in (ended[id(request)], run_alone(batch, request)):
            if isinstance(right, Exception):
                assert type(found.failure) is type(own) is type(right) and str(own) == str(right)
            else:
                assert found.result == own == right
    assert batch.right_guesses > 0 and batch.guessed_rows > batch.right_guesses
    assert batch.blocks.available == 20 and not batch.running


def test_passes_are_saved_and_what_others_read_is_as_if_each_token_had_been_fed_alone(
    executor: Executor, foretold: Callable[..., list[Any]]
) -> None:
    """A text to its last position, and then another that begins with all of it."""
    most = executor.model.config.max_positions
    first = Request([3, 1, 4], most - 40, end_ids=(), scope=b"a")
    (right,) = foretold(executor, [first])
    batch = Batch(executor, RowBlocks(8, executor.model.config.layers))
    assert run_alone(batch, first).result == executor.generate([3, 1, 4], most - 40, end_ids=()) == right
    assert batch.passes < 0.8 * len(right.ids)
    assert batch.fed_rows == -(-(3 + len(right.ids) - 1) // 32) * 32 or batch.fed_rows == 3 + len(right.ids)
    longer = Request([3, 1, 4, *right.ids], 9, end_ids=(), scope=b"a")
    again = run_alone(batch, longer)
    assert again.reused >= 32
    assert again.result == Executor(executor.model).generate(longer.prompt, 9, end_ids=())


@pytest.mark.parametrize("tokens", [1, 2, 7])
def test_nothing_is_fed_that_an_answer_up_to_the_last_position_has_no_room_for(
    executor: Executor, tokens: int, foretold: Callable[..., list[Any]]
) -> None:
    request = Request([5] * (executor.model.config.max_positions + 1 - tokens), tokens, end_ids=())
    (right,) = foretold(executor, [request])
    blocks = RowBlocks(executor.model.config.max_positions // 32, executor.model.config.layers)
    assert run_alone(Batch(executor, blocks), request).result == right
    assert executor.generate(request.prompt, tokens, end_ids=()) == right


@dataclass
class Until:
    """Ends an answer with its n-th token."""

    last: int
    wants_logits: bool
    seen: list[tuple[int, np.ndarray | None]] = field(default_factory=list)

    def chosen(self, token: int, logits: np.ndarray | None) -> bool:
        self.seen.append((token, logits))
        return len(self.seen) == self.last


@pytest.mark.parametrize("wants_logits", [True, False])
@pytest.mark.parametrize("sampling", [None, Sampling(800, 5)])
def test_an_answer_ends_in_the_midst_of_a_guess(
    executor: Executor, sampling: Sampling | None, wants_logits: bool, foretold: Callable[..., list[Any]]
) -> None:
    """By its watch or by an end token, after any number of tokens; all are told in turn, with their own logits."""
    prompt = [2, 7, 1, 8]
    (right,) = foretold(executor, [Request(prompt, 12, sampling, end_ids=())])
    rows = executor.feed([*prompt, *right.ids], executor.start())[len(prompt) - 1 :]
    logits = executor.logits(rows)
    for last in range(1, 12):
        for by_watch in (True, False):
            ends = () if by_watch else (right.ids[last - 1],)
            expected = right.ids[: last if by_watch else right.ids.index(ends[0]) + 1]
            for alone_too in (True, False):
                watch, told = Until(last if by_watch else 99, wants_logits), list[int]()
                options: dict[str, Any] = {"end_ids": ends, "on_token": told.append, "watch": watch}
                if alone_too:
                    found = executor.generate(prompt, 12, sampling=sampling, **options)
                else:
                    batch = Batch(executor, RowBlocks(4, executor.model.config.layers))
                    result = run_alone(batch, Request(prompt, 12, sampling, **options)).result
                    assert result is not None and batch.blocks.available == 4
                    found = result
                assert found.ids == told == [token for token, _ in watch.seen] == expected
                assert found.finish_reason == ("stop" if by_watch or ends else "length")
                for (_, own), row in zip(watch.seen, logits, strict=False):
                    assert (own is not None) == wants_logits and (own is None or np.array_equal(own, row))


def test_a_cancelled_sequence_is_told_nothing_of_the_rest_of_its_guess(
    executor: Executor, foretold: Callable[..., list[Any]]
) -> None:
    request = Request([2, 7, 1, 8], 12, end_ids=())
    foretold(executor, [request])
    for last in range(1, 10):
        for alone_too in (True, False):
            told = list[int]()
            options: dict[str, Any] = {
                "end_ids": (),
                "on_token": told.append,
                "cancelled": lambda told=told, last=last: len(told) >= last,
            }
            if alone_too:
                with pytest.raises(GenerationCancelledError):
                    executor.generate(request.prompt, 12, **options)
            else:
                batch = Batch(executor, RowBlocks(4, executor.model.config.layers))
                sequence = run_alone(batch, Request(request.prompt, 12, **options))
                assert isinstance(sequence.failure, GenerationCancelledError)
                assert batch.blocks.available == 4
            assert len(told) == last


def test_nothing_is_guessed_in_company_beside_prompts_of_mixtures_or_where_steps_are_watched(
    executor: Executor, foretold: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [[2, number, 1] for number in range(5)]
    foretold(executor, [Request(prompt, 20, end_ids=()) for prompt in prompts])
    batch = Batch(executor, RowBlocks(20, executor.model.config.layers))
    for prompt in prompts:
        assert batch.admit(Request(prompt, 20, end_ids=()))
    for _ in range(8):
        batch.step(64)
    assert batch.guessed_rows == 0
    batch.running[0].request.cancelled = lambda: True
    batch.step(64)
    batch.step(64)
    assert batch.guessed_rows > 0
    guessed = batch.guessed_rows
    assert batch.admit(Request([1] * 40, 2, end_ids=()))
    batch.running[0].request.cancelled = lambda: True
    batch.step(32)
    assert batch.guessed_rows == guessed

    steps = len(executor.model.config.schedule)
    lengths = [0] * steps
    seen = executor.generate(
        prompts[0],
        20,
        end_ids=(),
        on_step=lambda step, written: (
            lengths.__setitem__(step, lengths[step] + len(next(iter(written.values()))))
            if step >= 0
            else None
        ),
    )
    assert seen.ids and set(lengths) == {32}

    monkeypatch.undo()
    assert Executor(load_model("tiny")).looks_ahead and not Executor(load_model("tiny-mixtral")).looks_ahead
    assert not Executor(load_model("tiny"), observer=lambda *_: None).looks_ahead
