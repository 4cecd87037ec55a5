"""A challenger risks no more than it was told, on a real chain, and stops itself when it loses."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from challenger.bot import Challenger, Options
from challenger.budgets import DAY_S, GAS_OF_A_GAME, Budgets, Limits
from challenger.errors import LostTooManyGames
from challenger.policies import RandomShare
from challenger.store import Store, open_engine
from contracts.bindings.log_reader import Cursor
from contracts.bindings.openings import bond_to_send
from contracts.protocol.game import Outcome, Side
from contracts.protocol.parameters import DEVNET
from tests.contracts.chain_game import Arena, PostedBatch

from .test_bot import Scene, make_challenger, make_scene, wrong

__all__ = ["make_scene"]
BOND = DEVNET.challenger_bond


def budgets_of(scene: Scene) -> Budgets:
    return scene.challenger._budgets


def games(scene: Scene) -> int:
    return len(scene.store.games())


def set_gas_price(arena: Arena, gwei: int) -> int:
    """The next blocks have about this base fee: it falls by an eighth with each empty one."""
    arena.contracts.chain.request("anvil_setNextBlockBaseFeePerGas", [hex(gwei * 10**9)])
    arena.local_chain.mine()
    return gwei * 10**9


def due(arena: Arena) -> int:
    """What is sent with the next opening: its bond, and what others' openings in the same block may raise it by."""
    return bond_to_send(arena.contracts, arena.provider.address)


def bonds(scene: Scene, *, running: bool) -> int:
    """Bonds of this challenger's games, as the chain says."""
    game = scene.arena.contracts.game
    rows = [row for row in scene.store.games() if not running or row.outcome is None]
    return sum(game.game(row.game_id).bond for row in rows)


def test_no_more_bonds_are_at_risk_than_the_budget_and_ended_games_make_room(
    make_scene, arena: Arena
) -> None:  # type: ignore[no-untyped-def]
    budget = 2 * due(arena) + BOND // 2
    scene = make_scene(limits=Limits(bonds_wei=budget))
    scene.post(wrong(arena, 0), wrong(arena, 1), wrong(arena, 2))
    with capture_logs() as logs:
        scene.run()
    assert games(scene) == 2
    assert budgets_of(scene).spent().bonds_at_risk_wei == bonds(scene, running=True) <= budget
    assert any("bond_budget_wei" in str(line.get("because")) for line in logs)
    first = scene.store.games()[0]
    scene.defend(first.game_id, None)  # a provider that says nothing loses
    assert scene.arena.contracts.game.game(first.game_id).outcome is Outcome.CHALLENGER_WON
    scene.run()
    spent = budgets_of(scene).spent()
    assert spent.bonds_at_risk_wei == bonds(scene, running=True) <= budget


@pytest.mark.parametrize("more,opened", [(-1, 0), (0, 1), (100 * BOND, 3)])
def test_the_days_budget_of_bonds_is_kept_to_the_wei(
    make_scene, arena: Arena, more: int, opened: int
) -> None:  # type: ignore[no-untyped-def]
    budget = due(arena) + more
    scene = make_scene(limits=Limits(bonds_per_day_wei=budget))
    scene.post(wrong(arena, 0), wrong(arena, 1), wrong(arena, 2))
    scene.run()
    assert games(scene) == opened
    assert budgets_of(scene).spent().bonds_of_day_wei == bonds(scene, running=False) <= budget


def test_a_day_later_the_days_budgets_are_new_and_bonds_at_risk_are_not(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    scene.post(wrong(arena, 0))
    scene.run()
    now = arena.contracts.chain.head().timestamp
    bond = bonds(scene, running=True)
    for later, of_day in ((DAY_S - 120, bond), (DAY_S + 120, 0)):
        then = Budgets(arena.contracts, scene.store, Limits(), lambda later=later: now + later)  # type: ignore[misc]
        assert then.spent().bonds_of_day_wei == of_day
        assert then.spent().bonds_at_risk_wei == bond > 0
    assert budgets_of(scene).spent().gas_of_day_wei > 0


def test_above_its_gas_price_it_opens_nothing_and_goes_on_when_gas_is_cheap(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    base_fee = set_gas_price(arena, 50)
    scene = make_scene(limits=Limits(gas_price_wei=base_fee // 4))
    scene.post(wrong(arena, 0))
    with capture_logs() as logs:
        scene.run()
    assert games(scene) == 0
    assert [line for line in logs if "open_below_gas_price_wei" in str(line.get("because"))]
    scene.challenger._budgets.limits = Limits(gas_price_wei=10 * base_fee)
    scene.run()
    assert games(scene) == 1


def test_gas_for_finishing_what_is_open_is_kept_back(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    price = set_gas_price(arena, 50)
    # Enough for one whole game and its opening, not for two.
    scene = make_scene(limits=Limits(gas_per_day_wei=int(1.6 * GAS_OF_A_GAME * price)))
    scene.post(wrong(arena, 0))
    scene.run()
    scene.post(wrong(arena, 1))
    set_gas_price(arena, 50)
    scene.run()
    assert games(scene) == 1
    scene.defend(scene.store.games()[0].game_id, None)  # what runs is played to its end
    scene.run()
    assert budgets_of(scene).spent().open_games == 0


def accuse(scene: Scene, batch: PostedBatch, index: int) -> None:
    """Its verdict about a right answer is wrong."""
    row = scene.store.response(batch.batch_id, index)
    assert row is not None
    scene.store.set_verdict(row.id, "invalid", "a broken machine says so")


def lost_scene(make_scene, arena: Arena, lost: int, limit: int) -> tuple[Scene, PostedBatch]:  # type: ignore[no-untyped-def]
    """A challenger that accused right answers, one after the other."""
    scene = make_scene(limits=Limits(lost_games=limit))
    batch = scene.post(None, None, None, None)
    scene.run()
    for index in range(lost):
        accuse(scene, batch, index)
        scene.run()
        game_id = scene.the_game(batch, index)
        for _ in range(30):
            if arena.contracts.game.game(game_id).outcome is not Outcome.UNDECIDED:
                break
            if not arena.move(game_id, Side.PROVIDER, scene.trace(None, index)):
                call = arena.conceding(game_id)
                scene.challenger._dispatcher.sender.send(call, key=f"concede {game_id}")  # type: ignore[union-attr]
        assert arena.contracts.game.game(game_id).outcome is Outcome.PROVIDER_WON
        scene.run()
    return scene, batch


def again(scene: Scene, limit: int) -> Challenger:
    """The same database in another process."""
    options = Options(limits=Limits(lost_games=limit))
    return make_challenger(scene.arena, scene.server, scene.store, options, RandomShare(1.0))


def test_it_stops_itself_after_so_many_lost_games_and_remembers_it(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene, batch = lost_scene(make_scene, arena, lost=2, limit=2)
    accuse(scene, batch, 2)
    with capture_logs() as logs:
        scene.run()
    assert games(scene) == 2
    with pytest.raises(LostTooManyGames, match=r"2 games were lost.*gainsay challenger resume"):
        scene.challenger.require_trust()
    restarted = again(scene, limit=2)
    for _ in range(10):
        restarted.tick()
    assert games(scene) == 2
    with pytest.raises(LostTooManyGames):
        restarted.require_trust()
    assert restarted._budgets.accept_lost_games() == 2
    restarted.require_trust()
    for _ in range(10):
        restarted.tick()
    assert games(scene) == 3
    del logs


def test_one_lost_game_less_does_not_stop_it(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene, batch = lost_scene(make_scene, arena, lost=1, limit=2)
    scene.challenger.require_trust()
    accuse(scene, batch, 2)
    scene.run()
    assert games(scene) == 2


def test_a_game_that_runs_is_played_on_by_one_that_stopped_itself(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene, batch = lost_scene(make_scene, arena, lost=1, limit=2)
    scene.post(wrong(arena, 0))
    scene.run()
    running = scene.store.games()[-1].game_id
    scene.challenger._budgets.limits = Limits(lost_games=1)
    assert scene.challenger._budgets.stopped() is not None
    scene.challenger.require_trust()  # not before the last game is over
    scene.defend(running, scene.trace(wrong(arena, 0), 0))
    assert arena.contracts.game.game(running).outcome is Outcome.CHALLENGER_WON
    scene.run()
    with pytest.raises(LostTooManyGames):
        scene.challenger.require_trust()
    assert batch.batch_id


def test_a_restart_forgets_neither_bonds_nor_gas(make_scene, arena: Arena, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    store = Store(open_engine(tmp_path / "challenger.sqlite"))
    head = arena.contracts.chain.head()
    store.advance(Cursor(head.number, head.hash), None, [], {})
    bot = make_challenger(arena, scene.server, store, Options(), RandomShare(1.0))
    scene.post(wrong(arena, 0))
    for _ in range(10):
        bot.tick()
    before = bot._budgets.spent()
    assert before.bonds_at_risk_wei >= BOND and before.gas_of_day_wei > 0
    store.engine.dispose()
    reopened = Store(open_engine(tmp_path / "challenger.sqlite"))
    again = make_challenger(arena, scene.server, reopened, Options(), RandomShare(1.0))
    again.watch()
    assert again._budgets.spent() == before
