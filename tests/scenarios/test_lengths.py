"""An honest provider defends answers whose length is one below, at and one above two windows."""

from __future__ import annotations

import pytest

from contracts.protocol.game import Outcome, Reason, Target
from devnet.scenarios.false_challenges import MALICIOUS, Aim
from devnet.scenarios.stage import Stage
from tests.scenarios.test_stage import commit, disputed

# A stage of its own takes longer than the disputes: not for the short suite.
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("scenarios")]


@pytest.mark.parametrize(
    ("positions", "aim"),
    [
        pytest.param(63, Aim(Target.STEP, 3, 1), id="63 positions, last step, one padded row"),
        pytest.param(64, Aim(Target.STEP, 2, 1), id="64 positions, attention over two full windows"),
        pytest.param(65, Aim(Target.STEP, 0, 2), id="65 positions, a window of one row"),
        pytest.param(65, Aim(Target.EMBEDDING, window=2), id="65 positions, embedding of one row"),
    ],
)
def test_two_windows_more_or_less_can_be_defended(stage: Stage, positions: int, aim: Aim) -> None:
    house = stage.honest_provider()
    book = stage.open_book(provider="provider", challenger=MALICIOUS)
    game = disputed(stage, commit(stage, house, positions), aim)
    assert (game.outcome, game.reason, game.target) == (Outcome.PROVIDER_WON, Reason.PROVEN, aim.target)
    assert game.prompt_length + game.output_length - 1 == positions
    changes, accepted = book.close(), book.accepted_proof()
    assert accepted is not None and accepted.window == aim.window
    assert changes["challenger"] == -game.bond and changes["provider"] == changes["burned"] == game.bond // 2
