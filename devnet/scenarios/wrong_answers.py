"""Answers that are not the model's: one token swapped, or the answer of another prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from prover.model.execute import Executor, Generation, StepObserver, Watch
from prover.model.weights import IntegerModel
from prover.sampling import Sampling

from .hosted_provider import HostedProvider
from .result import ScenarioResult
from .stage import Stage

MAX_TOKENS = 16


class TokenSwapper:
    """Replaces the middle token by the model's second choice and goes on from there.

    swapped: of the last answer, the position that predicts the token, and the model's own.
    """

    def __init__(self, model: IntegerModel) -> None:
        self.swapped = (0, 0)
        self._executor = Executor(model)
        self._ends = model.end_tokens

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        *,
        sampling: Sampling | None = None,
        on_token: Callable[[int], None] | None = None,
        on_step: StepObserver | None = None,
        cancelled: Callable[[], bool] | None = None,
        watch: Watch | None = None,
    ) -> Generation:
        """What the node's queue calls."""
        right = self._executor.generate(prompt, max_tokens, cancelled=cancelled).ids
        kept = right[: len(right) // 2]
        self.swapped = len(prompt) + len(kept) - 1, right[len(kept)]
        ids = [*kept, self._second_choice([*prompt, *kept])]
        reason = "length"
        if len(ids) < max_tokens:
            rest = self._executor.generate([*prompt, *ids], max_tokens - len(ids), cancelled=cancelled)
            ids, reason = [*ids, *rest.ids], rest.finish_reason
        for token in ids:
            if on_token:
                on_token(token)
        return Generation(ids, reason)  # type: ignore[arg-type]

    def _second_choice(self, ids: list[int]) -> int:
        rows = self._executor.feed(ids, self._executor.start())
        order = np.argsort(-self._executor.logits(rows[-1:], len(ids) - 1)[0], kind="stable")
        return next(int(token) for token in order[1:] if int(token) not in self._ends)


class AnswerCache:
    """Runs the model once and gives everybody that answer."""

    def __init__(self, model: IntegerModel) -> None:
        self._executor = Executor(model)
        self._kept: Generation | None = None

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        *,
        sampling: Sampling | None = None,
        on_token: Callable[[int], None] | None = None,
        on_step: StepObserver | None = None,
        cancelled: Callable[[], bool] | None = None,
        watch: Watch | None = None,
    ) -> Generation:
        """What the node's queue calls."""
        if self._kept is None:
            self._kept = self._executor.generate(prompt, max_tokens, cancelled=cancelled)
        for token in self._kept.ids:
            if on_token:
                on_token(token)
        return self._kept


def swapped_token(stage: Stage) -> ScenarioResult:
    """Must end `challenger_wins`, with a head pair contested."""
    house = stage.hire("spare 1", generator=TokenSwapper(stage.prepared.model))
    stage.tell("a provider swaps one token of every answer")
    return _judged_wrong(stage, house, "swapped-token", "spare 1", "Who wrote Romeo and Juliet?")


def cached_answer(stage: Stage) -> ScenarioResult:
    """Must end `challenger_wins`, with a head pair contested; the first, right answer stays undisputed."""
    house = stage.hire("spare 2", generator=AnswerCache(stage.prepared.model))
    stage.tell("a provider answers every prompt with the first prompt's answer")
    _, first = stage.ask(house, "What do bees make?", MAX_TOKENS)
    honest_verdict = stage.await_verdict(first)
    result = _judged_wrong(stage, house, "cached-answer", "spare 2", "How many legs does a spider have?")
    if honest_verdict != "valid":
        result.problem = "the first answer, which was right, was found invalid"
    return result


def _judged_wrong(
    stage: Stage, house: HostedProvider, name: str, account: str, prompt: str
) -> ScenarioResult:
    """Ask, and watch the honest challenger deal with the answer."""
    book = stage.open_book(provider=account, challenger="challenger")
    answered, posted = stage.ask(house, prompt, MAX_TOKENS)
    stage.await_verdict(posted)
    game = stage.play_out(stage.await_game(posted), lambda: bool(house.refused_moves))
    result = stage.dispute_result(name, answered, game, book, house)
    stage.tell(f"{result.outcome}: {game.reason.name.lower()}")
    if (result.contested or {}).get("step") != "head":
        result.problem = f"it was narrowed to {result.contested}"
    return result
