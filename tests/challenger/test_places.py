"""When an opening can be made it is made in that block: not refused before, not late, not after confirmations."""

from __future__ import annotations

from types import SimpleNamespace as Fake

import pytest
from structlog.testing import capture_logs

from challenger.bot import Options
from challenger.openings import Opener, opening_key
from challenger.policies import RandomShare
from challenger.tables import DisputedRow, OpeningRow
from contracts.bindings.chain import Block
from contracts.bindings.contract import Call
from contracts.bindings.errors import ContractError
from contracts.bindings.events import GameOpened, OpeningCommitted, PlaceFreed
from contracts.bindings.log_reader import Cursor
from contracts.protocol.parameters import DEVNET
from tests.challenger.test_asking import to_the_second
from tests.challenger.test_bot import Scene, make_challenger, make_scene, wrong
from tests.challenger.test_front_runs import stored
from tests.challenger.test_openings import all_events, held, of_batch
from tests.contracts.chain_game import Arena, PostedBatch
from tests.contracts.local_chain import LocalChain

__all__ = ["held", "make_scene"]
_FAR = 1e12


def full_house(arena: Arena, batch: PostedBatch, index: int = 0) -> list[int]:
    return [arena.open(batch, index) for _ in range(DEVNET.max_games_per_response)]


def own_games(scene: Scene, batch: PostedBatch) -> list[GameOpened]:
    return [event for event in of_batch(scene.arena, GameOpened, batch) if event.challenger == scene.address]


def concede(arena: Arena, game_id: int) -> None:
    arena.challenger.send(arena.conceding(game_id), f"concede {game_id}")


def committed(scene: Scene, batch: PostedBatch) -> None:
    scene.run()
    row = next(opening for row, opening in scene.store.all_responses() if row.batch_id == batch.batch_id)
    assert row is not None and row.committed_in is not None and not own_games(scene, batch)


def test_a_place_that_came_free_is_waited_for_and_taken_in_its_first_block(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, held: LocalChain
) -> None:
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    friends = full_house(arena, batch)
    committed(scene, batch)
    concede(arena, friends[0])
    (freed,) = of_batch(arena, PlaceFreed, batch)
    with capture_logs() as logs:
        scene.run()
        to_the_second(arena, freed.empty_until - 1)
        held.mine()
        scene.run()
        assert not own_games(scene, batch)
        to_the_second(arena, freed.empty_until)
        held.mine()
        last = arena.contracts.chain.head()
        assert last.timestamp == freed.empty_until
        # The next block is the first in which the place can be taken.
        held.chain.request("evm_setAutomine", [False])
        to_the_second(arena, freed.empty_until + 1)
        for _ in range(3):
            scene.challenger.tick()
        held.mine()
    (opened,) = own_games(scene, batch)
    assert opened.at.block_number == last.number + 1
    assert [line["because"] for line in logs if line["event"] == "not disputed"] == []


def test_the_next_blocks_time_is_known_by_this_machines_clock() -> None:
    """Blocks of twelve seconds: the place can be taken in the next one long before that is made."""
    store, _ = stored()
    clock = Fake(now=500.0)
    opener = Opener(Fake(), Fake(), store, margin_s=2, clock=lambda: clock.now)  # type: ignore[arg-type]
    block = Block(7, b"7", b"6", 1_000, 0)
    assert opener.time_of_next(block) == 1_001
    clock.now += 6.9
    assert opener.time_of_next(block) == 1_006
    assert opener.time_of_next(Block(8, b"8", b"7", 1_012, 0)) == 1_013


@pytest.mark.parametrize(
    "name,pending,asked",
    [
        ("PlaceStaysEmpty", 80_000, [None, "pending"]),
        ("OpeningCommittedLate", 80_000, [None, "pending"]),
        ("PlaceStaysEmpty", None, [None, "pending"]),
        ("TooManyGames", 80_000, [None]),  # whoever plays with the mempool decides that
    ],
)
def test_only_what_the_next_blocks_time_allows_is_estimated_there(  # type: ignore[no-untyped-def]
    local_chain: LocalChain, monkeypatch: pytest.MonkeyPatch, name: str, pending: int | None, asked
) -> None:
    sender, blocks = local_chain.sender(7), []

    def estimated(*_: object, block: str | None = None, **__: object) -> int:
        blocks.append(block)
        if block is None or pending is None:
            raise ContractError(name if block is None else "Other", {}, "")
        return pending

    monkeypatch.setattr(sender.chain, "estimate_gas", estimated)
    call = Call(sender.address, b"", 0)
    if pending is None or asked == [None]:
        with pytest.raises(ContractError, match=name):
            sender.prices.gas(call)
    else:
        assert sender.prices.gas(call) == 100_000
    assert blocks == asked


def test_what_waits_for_a_place_does_not_stand_before_the_others() -> None:
    store, _ = stored()
    freed = DisputedRow(batch_id=1, index=0, block_number=2, empty_until=60)
    store.advance(Cursor(2, b"2"), None, [freed], {})
    assert store.openings_due(50, _FAR, 9, 51), "it must be committed meanwhile"
    store.set_committed(1, 0, 2)
    assert not store.openings_due(50, _FAR, 9, 51) and not store.openings_due(50, _FAR, 9, 60)
    assert store.openings_due(50, _FAR, 9, 61)
    store.advance(Cursor(3, b"x"), 1, [], {})  # both blocks are gone: so is the commitment
    (due,) = store.openings_due(50, _FAR, 9, 51)
    assert (due.opening.committed_in, due.empty_until) == (None, 0)


def test_a_pause_ends_when_a_place_comes_free() -> None:
    store, _ = stored()
    late = OpeningRow(batch_id=1, index=0, problem="TooManyGames", tries=9, next_try_at=60.0)
    store.set_opening(late)
    assert not store.openings_due(50, 1.0, 9)
    freed = DisputedRow(batch_id=1, index=0, block_number=2, empty_until=40)
    store.advance(Cursor(2, b"2"), None, [freed], {})
    assert [due.opening.tries for due in store.openings_due(50, 1.0, 9)] == [0]


def slow_scene(make_scene, arena: Arena) -> Scene:  # type: ignore[no-untyped-def]
    """Acts on blocks with three on top, as challengers outside devnets do."""
    scene: Scene = make_scene()
    options = Options(confirmations=3)
    scene.challenger = make_challenger(arena, scene.server, scene.store, options, RandomShare(1.0))
    arena.local_chain.mine(4)
    return scene


def waiting_commitment(scene: Scene, held: LocalChain) -> PostedBatch:
    """A finding whose commitment is in the mempool."""
    batch = scene.post(wrong(scene.arena, 0))
    held.mine(4)
    held.chain.request("evm_setAutomine", [False])
    for _ in range(6):
        scene.challenger.tick()
    row = scene.store.response(batch.batch_id, 0)
    assert row is not None and scene.challenger._dispatcher is not None
    assert scene.challenger._dispatcher.carries(f"commit {opening_key(row, 0)}")
    return batch


def commitment_blocks(scene: Scene, first: int) -> list[int]:
    made = all_events(scene.arena, OpeningCommitted)
    return [e.at.block_number for e in made if e.sender == scene.address and e.at.block_number >= first]


def test_a_commitment_waits_for_no_confirmations(make_scene, arena: Arena, held: LocalChain) -> None:  # type: ignore[no-untyped-def]
    scene = slow_scene(make_scene, arena)
    batch = waiting_commitment(scene, held)
    for _ in range(2):
        held.mine()
        for _ in range(3):
            scene.challenger.tick()
    head = arena.contracts.chain.head().number
    (opened,) = own_games(scene, batch)
    assert opened.at.block_number == head
    assert commitment_blocks(scene, head - 1) == [head - 1]
    for _ in range(6):
        held.mine()
        for _ in range(3):
            scene.challenger.tick()
    assert commitment_blocks(scene, head - 1) == [head - 1] and len(own_games(scene, batch)) == 1
    assert [row.state for _, row in scene.store.all_responses() if row is not None] == ["opened"]


def test_a_commitment_whose_block_is_taken_back_is_made_again(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, held: LocalChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mined, not confirmed, and gone: it is sent again, and only then the game is opened."""
    monkeypatch.setattr("contracts.bindings.sender._HAND_OVER_AGAIN_S", 0.0)
    scene = slow_scene(make_scene, arena)
    batch = waiting_commitment(scene, held)
    snapshot = held.chain.request("evm_snapshot", [])
    held.mine()
    mined = arena.contracts.chain.head().number
    assert commitment_blocks(scene, mined) == [mined]
    held.chain.request("evm_revert", [snapshot])
    held.chain.request("anvil_dropAllTransactions", [])
    held.mine(2)
    assert commitment_blocks(scene, mined) == []
    for _ in range(12):
        for _ in range(3):
            scene.challenger.tick()
        held.mine()
    (opened,) = own_games(scene, batch)
    (again,) = commitment_blocks(scene, mined)
    assert mined < again < opened.at.block_number


def test_a_confirmed_commitment_that_is_taken_back_is_made_again(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, held: LocalChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it waits for a place, with a journal that holds it for done."""
    monkeypatch.setattr("challenger.chain_record.SHOWN_AGAIN_S", 0.0)
    monkeypatch.setattr("challenger.store.SHOWN_AGAIN_S", 0.0)
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    friends = full_house(arena, batch)
    first = arena.contracts.chain.head().number + 1
    snapshot = held.chain.request("evm_snapshot", [])
    committed(scene, batch)
    scene.challenger.settle()
    assert len(commitment_blocks(scene, first)) == 1
    left = arena.contracts.chain.head().number
    held.chain.request("evm_revert", [snapshot])
    held.mine(left - arena.contracts.chain.head().number + 1)
    for _ in range(3):
        scene.run()
    assert len(commitment_blocks(scene, first)) == 1
    concede(arena, friends[0])
    held.pass_time(DEVNET.join_window + 1)
    for _ in range(3):
        scene.run()
    assert len(own_games(scene, batch)) == 1
