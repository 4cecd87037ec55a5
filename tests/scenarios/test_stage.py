"""Stories beyond the demo's: the corners of a sequence, the embedding, a provider that hides or vanishes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from contracts.protocol.game import Game, Outcome, Reason, Target
from devnet.scenarios.false_challenges import MALICIOUS, Aim, FalseChallenger
from devnet.scenarios.hosted_provider import HostedProvider
from devnet.scenarios.stage import Posted, Stage
from prover.model.execute import Executor, Generation
from prover.model.weights import IntegerModel
from prover.sampling import Sampling

pytestmark = pytest.mark.xdist_group("scenarios")


def commit(stage: Stage, house: HostedProvider, positions: int, outputs: int = 1) -> Posted:
    """Have a right answer committed whose sequence has so many positions."""
    prompt = [(7 * position) % 251 for position in range(positions + 1 - outputs)]
    right = Executor(stage.prepared.model).generate(prompt, outputs, end_ids=()).ids
    house.provider.follower.step()
    issued = house.provider.desk.issue(prompt, right, outputs, "length")
    stage.pass_time(2)
    while house.receipt(issued.receipt_id)["batch_id"] is None:
        house.step()
    shown = house.receipt(issued.receipt_id)
    return Posted(shown["batch_id"], shown["index"], bytes.fromhex(shown["leaf"][2:]))


def disputed(stage: Stage, posted: Posted, aim: Aim) -> Game:
    liar = FalseChallenger(stage, posted, aim)
    return stage.play_out(liar.game_id, None, liar)


@pytest.mark.parametrize(
    ("positions", "aim"),
    [
        pytest.param(1, Aim(Target.STEP, 0, 0), id="one position, first step"),
        pytest.param(31, Aim(Target.STEP, 3, 0), id="31 positions, last step", marks=pytest.mark.long),
        pytest.param(32, Aim(Target.STEP, 2, 0), id="32 positions, attention", marks=pytest.mark.long),
        pytest.param(33, Aim(Target.STEP, 0, 1), id="33 positions, second window", marks=pytest.mark.long),
        pytest.param(33, Aim(Target.EMBEDDING, window=1), id="33 positions, embedding with padding"),
        pytest.param(
            64, Aim(Target.EMBEDDING, window=0), id="embedding of a full window", marks=pytest.mark.long
        ),
        pytest.param(256, Aim(Target.STEP, 2, 7), id="the longest sequence, last window"),
    ],
)
def test_every_corner_can_be_defended(stage: Stage, positions: int, aim: Aim) -> None:
    house = stage.honest_provider()
    book = stage.open_book(provider="provider", challenger=MALICIOUS)
    game = disputed(stage, commit(stage, house, positions), aim)
    assert (game.outcome, game.reason, game.target) == (Outcome.PROVIDER_WON, Reason.PROVEN, aim.target)
    changes = book.close()
    assert changes["challenger"] == -game.bond and changes["provider"] == changes["burned"] == game.bond // 2


class TooShort:
    """Stops an answer early and says that it was long enough."""

    def __init__(self, model: IntegerModel) -> None:
        self._executor = Executor(model)

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        *,
        sampling: Sampling | None = None,
        on_token: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Generation:
        return Generation(self._executor.generate(prompt, 2, end_ids=()).ids, "length")


class Silent(HostedProvider):
    """Posts its batches and never answers a dispute."""

    def defend(self) -> None:
        return


def test_a_cut_short_answer_loses_at_once(stage: Stage) -> None:
    house = stage.hire("spare 0", generator=TooShort(stage.prepared.model))
    _, posted = stage.ask(house, "Count to ten.", 12)
    assert stage.await_verdict(posted) == "invalid"
    game = stage.play_out(stage.await_game(posted))
    assert (game.outcome, game.reason) == (Outcome.CHALLENGER_WON, Reason.TRUNCATED)


def test_a_provider_that_vanishes_loses_by_timeout(stage: Stage) -> None:
    house = stage.hire("spare 1", host=lambda provider, name: Silent(provider, name))
    house.provider.follower.step()
    issued = house.provider.desk.issue([1, 2, 3], [4, 5], 2, "length")
    stage.pass_time(2)
    while house.receipt(issued.receipt_id)["batch_id"] is None:
        house.step()
    shown = house.receipt(issued.receipt_id)
    posted = Posted(shown["batch_id"], shown["index"], bytes.fromhex(shown["leaf"][2:]))
    assert stage.await_verdict(posted) == "invalid"
    number = stage.await_game(posted)
    stage.pass_time(stage.contracts.game.game(number).deadline + 1 - stage.chain.head().timestamp)
    game = stage.play_out(number)
    assert (game.outcome, game.reason) == (Outcome.CHALLENGER_WON, Reason.TIMED_OUT)
