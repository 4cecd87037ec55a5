"""`gainsay dispute` about an answer that leaves its range: the challenger's own moves, one at a time, on a chain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from challenger.disputes_by_hand import DisputeTable, NothingToDo
from challenger.local_models import LocalModel
from challenger.provider_client import provider_book
from contracts.protocol.game import Outcome, Phase, Reason, Side
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from tests.challenger.listing_server import ListingServer
from tests.contracts.adaptive_liar import AdaptiveLiar
from tests.contracts.chain_game import Arena
from tests.contracts.synthetic import SyntheticTrace

_PROMPT, _OUTPUT = [(7 * position) % 20 for position in range(68)], [1, 3, 4]


@pytest.fixture
def server() -> Iterator[ListingServer]:
    server = ListingServer()
    yield server
    server.close()


@pytest.mark.parametrize("end", [(0, 0), (2, 1), (5, 2)])
def test_the_failing_step_is_named_by_hand(arena: Arena, server: ListingServer, end: tuple[int, int]) -> None:
    batch = arena.post([ResponseFields.of(_PROMPT, _OUTPUT, len(_OUTPUT), 0)])
    server.show(batch, [(_PROMPT, _OUTPUT)])
    table = DisputeTable(
        arena.contracts, provider_book([f"{arena.provider.address}={server.url}"]), b"secret"
    )
    model = LocalModel(
        "synthetic", arena.model, lambda p, o, _: SyntheticTrace(arena.model, p, o, ends_at=end)
    )
    liar = AdaptiveLiar(SyntheticTrace(arena.model, _PROMPT, _OUTPUT), end)

    game_id = table.open(arena.challenger, batch.batch_id, 0).game_id
    moves = []
    while table.game(game_id).phase is not Phase.AWAIT_PROOF:
        arena.move(game_id, Side.PROVIDER, liar)
        moves.append(table.honest_move(arena.challenger, game_id, [model]).move)
    assert moves == ["ChallengePart"]
    with pytest.raises(NothingToDo, match="provider's move"):
        table.honest_move(arena.challenger, game_id, [model])
    assert not arena.move(game_id, Side.PROVIDER, liar)  # it has no proof
    arena.local_chain.pass_time(DEVNET.clock + DEVNET.prove_extension + 1)
    assert table.resolve(arena.challenger, game_id).move == "Timeout"
    game = table.game(game_id)
    assert game.range_start == end[0]
    assert (game.outcome, game.reason) == (Outcome.CHALLENGER_WON, Reason.TIMED_OUT)
