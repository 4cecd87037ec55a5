"""What a provider hides is asked for by its place, judged when it is shown, and lost when it is not."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from challenger.bot import Options
from challenger.policies import RandomShare
from challenger.store import BatchRow, Store, open_engine
from challenger.tables import AskingRow
from contracts.bindings.events import Event, PartChallenged, ResponseAsked, ResponseNotShown
from contracts.bindings.inference_ledger import ResponseStatus
from contracts.bindings.log_reader import Cursor
from contracts.protocol.game import Outcome, Side
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from tests.contracts.chain_game import Arena, PostedBatch

from .test_bot import _MAX_TOKENS, _PROMPTS, Scene, make_challenger, make_scene, wrong

__all__ = ["make_scene"]
_HALF = DEVNET.challenge_window // 2


def ids_of(arena: Arena, index: int, output: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
    prompt = _PROMPTS[index]
    return prompt, list(output if output is not None else arena.model.generate(prompt, _MAX_TOKENS))


def post_unlisted(arena: Arena, *outputs: Sequence[int] | None) -> PostedBatch:
    """A batch that its provider lists nowhere; None stands for the model's own output."""
    ids = [ids_of(arena, index, output) for index, output in enumerate(outputs)]
    return arena.post([ResponseFields.of(*each, _MAX_TOKENS, 0) for each in ids])


def show(arena: Arena, batch: PostedBatch, index: int, output: Sequence[int] | None = None) -> None:
    call = arena.contracts.ledger.show(
        batch.batch_id, index, batch.fields[index], batch.tree.path(index), *ids_of(arena, index, output)
    )
    arena.provider.send(call, key=f"show {batch.salt.hex()} {index}")


def events(arena: Arena, kind: type[Event], batch: PostedBatch) -> list[int]:
    """Indices of the batch's responses with such an event, one for each."""
    chain = arena.contracts.chain
    logs = chain.logs([arena.contracts.ledger.address], 0, chain.head().number)
    found = [event for event in arena.contracts.events.decode(logs) if isinstance(event, kind)]
    return sorted(event.index for event in found if event.batch_id == batch.batch_id)  # type: ignore[attr-defined]


def to_the_second(arena: Arena, timestamp: int) -> None:
    """The next block has this time."""
    arena.contracts.chain.request("evm_setNextBlockTimestamp", [timestamp])


def at_half(scene: Scene) -> None:
    scene.run()
    scene.arena.local_chain.pass_time(_HALF + 1)
    scene.run()


def test_withheld_ids_are_asked_for_and_judged_when_shown(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(ask=True)
    batch = scene.post(wrong(arena, 0), None, shown=False)
    scene.run()
    assert events(arena, ResponseAsked, batch) == [0, 1] and scene.store.games() == []
    credits = arena.contracts.stake.credits(arena.provider.address)
    show(arena, batch, 0, wrong(arena, 0))
    show(arena, batch, 1)
    assert arena.contracts.stake.credits(arena.provider.address) == credits + 2 * DEVNET.ask_price
    scene.run()
    assert [scene.state(batch, index) for index in range(2)] == ["invalid", "valid"]
    stored = scene.store.batch(batch.batch_id)
    assert stored is not None and stored.state == "listed"
    game_id = scene.the_game(batch, 0)
    scene.defend(game_id, scene.trace(wrong(arena, 0), 0))
    assert arena.contracts.game.game(game_id).outcome is Outcome.CHALLENGER_WON


def test_attack_a_provider_that_lists_nothing_and_answers_no_ask_loses_everything(
    make_scene, arena: Arena
) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(ask=True)
    scene.run()
    batch = post_unlisted(arena, None, wrong(arena, 1), None)
    scene.run()
    assert events(arena, ResponseAsked, batch) == []  # it may still be listed
    before = arena.contracts.chain.balance_wei(scene.address)
    locked = arena.contracts.stake.account(arena.provider.address).locked
    arena.local_chain.pass_time(_HALF + 1)
    scene.run()
    assert events(arena, ResponseAsked, batch) == [0, 1, 2]
    arena.local_chain.pass_time(DEVNET.show_window + 1)
    scene.run()
    ledger, stake = arena.contracts.ledger, arena.contracts.stake
    assert {ledger.response_status(batch.batch_id, index) for index in range(3)} == {ResponseStatus.VOID}
    assert stake.account(arena.provider.address).locked == locked - 3 * DEVNET.lock_per_response
    # The prices are back with a reward each, and withdrawn.
    gained = arena.contracts.chain.balance_wei(scene.address) - before
    assert gained > 3 * DEVNET.game_reward - 10**16
    assert stake.credits(scene.address) == 0
    scene.run()
    assert events(arena, ResponseNotShown, batch) == [0, 1, 2]


def test_attack_a_wrong_answer_that_is_shown_in_the_last_second_still_loses(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    """Listed to nobody, and shown so late that the batch's own window is long over and final otherwise."""
    scene = make_scene(ask=True)
    scene.run()
    batch = post_unlisted(arena, wrong(arena, 0), None)
    at_half(scene)
    assert events(arena, ResponseAsked, batch) == [0, 1]
    deadlines = [arena.contracts.ledger.response(batch.batch_id, index).show_deadline for index in range(2)]
    assert min(deadlines) > arena.contracts.ledger.batch(batch.batch_id).deadline + 20
    show(arena, batch, 1)
    scene.run()
    to_the_second(arena, deadlines[0] - 1)
    arena.local_chain.mine()
    scene.run()
    to_the_second(arena, deadlines[0])
    show(arena, batch, 0, wrong(arena, 0))
    scene.run()
    assert [scene.state(batch, index) for index in range(2)] == ["invalid", "valid"]
    game_id = scene.the_game(batch, 0)
    scene.defend(game_id, scene.trace(wrong(arena, 0), 0, (2, 0)))
    assert arena.contracts.game.game(game_id).outcome is Outcome.CHALLENGER_WON
    assert arena.contracts.ledger.response_status(batch.batch_id, 0) is ResponseStatus.VOID
    assert len(scene.store.games()) == 1


def test_attack_one_root_posted_several_times_hides_none_of_them(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    """Leaves bind the salt, so at most one of such batches can be shown at all; every one is asked for."""
    scene = make_scene(ask=True)
    scene.run()
    first = post_unlisted(arena, None)
    salt = secrets.token_bytes(32)
    call = arena.contracts.ledger.post_batch(arena.provider.address, first.tree.root, salt, arena.model_id, 1)
    arena.provider.send(call, key=f"again {salt.hex()}")
    second = replace(first, batch_id=arena.contracts.ledger.batch_of(arena.provider.address, salt), salt=salt)
    at_half(scene)
    assert events(arena, ResponseAsked, first) == events(arena, ResponseAsked, second) == [0]


def test_what_others_asked_for_is_judged_like_the_rest(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(ask=True)
    batch = scene.post(wrong(arena, 0), shown=False)
    other = arena.challenger
    other.send(arena.contracts.ledger.ask(batch.batch_id, 0, DEVNET.ask_price), f"ask {batch.salt.hex()}")
    with capture_logs() as logs:
        scene.run()
    assert events(arena, ResponseAsked, batch) == [0]
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    show(arena, batch, 0, wrong(arena, 0))
    scene.run()
    assert scene.state(batch, 0) == "invalid"
    scene.the_game(batch, 0)


def test_somebody_faster_in_the_same_moment_is_no_error(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(ask=True)
    batch = scene.post(None, shown=False)
    scene.challenger.watch()
    for client in scene.challenger._providers.clients():
        scene.challenger._lister.step(client)
    scene.challenger._look_for_unseen()
    call = arena.contracts.ledger.ask(batch.batch_id, 0, DEVNET.ask_price)
    arena.challenger.send(call, f"ask first {batch.salt.hex()}")
    with capture_logs() as logs:
        scene.challenger.play()
        scene.run()
    assert {entry["log_level"] for entry in logs} <= {"info"}
    asked = [row for row in scene.store.asks.asked() if row.batch_id == batch.batch_id]
    assert [row.asker for row in asked] == [arena.challenger.address]


def test_who_asked_is_paid_when_a_game_voids_it_first(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(ask=True)
    batch = scene.post(wrong(arena, 0), shown=False)
    scene.run()
    before = arena.contracts.chain.balance_wei(scene.address)
    game_id = arena.open(batch, 0)
    arena.provider.send(arena.conceding(game_id), f"concede {game_id}")
    scene.run()
    assert arena.contracts.ledger.response(batch.batch_id, 0).is_asked_for is False
    gained = arena.contracts.chain.balance_wei(scene.address) - before
    paid = DEVNET.ask_price + DEVNET.game_reward
    assert paid - 10**16 < gained <= paid
    assert events(arena, ResponseNotShown, batch) == []


def test_asks_keep_within_their_budget_and_leave_a_bond(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(ask=True, ask_budget_wei=2 * DEVNET.ask_price)
    scene.run()
    first = post_unlisted(arena, None, None, None, None)
    at_half(scene)
    assert len(events(arena, ResponseAsked, first)) == 2
    second = post_unlisted(arena, None, None)
    at_half(scene)
    assert events(arena, ResponseAsked, second) == []  # the window's budget is spent
    poor = make_scene(ask=True)
    poor.run()
    third = post_unlisted(arena, None, None, None)
    chain = arena.contracts.chain
    balance = chain.balance_wei(poor.address)
    chain.request(
        "anvil_setBalance", [poor.address, hex(DEVNET.challenger_bond + 2 * DEVNET.ask_price + 10**15)]
    )
    at_half(poor)
    assert len(events(arena, ResponseAsked, third)) == 1
    assert chain.balance_wei(poor.address) > DEVNET.challenger_bond
    chain.request("anvil_setBalance", [poor.address, hex(balance)])


def test_nothing_is_asked_for_unless_wanted_drawn_and_of_a_trusted_model(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scenes = [
        make_scene(),
        make_scene(ask=True, policy=RandomShare(0.0)),
        make_scene(ask=True, trusted=[]),
        make_scene(ask=True, watch_only=True),
    ]
    for scene in scenes:
        scene.run()
    batch = post_unlisted(arena, None, None)
    for scene in scenes:
        scene.run()
    arena.local_chain.pass_time(_HALF + 1)
    for scene in scenes:
        scene.run()
    assert events(arena, ResponseAsked, batch) == []


def test_a_restart_at_any_point_asks_and_claims_once(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    """After every step another process takes over, with nothing but the database."""
    scene = make_scene(ask=True)
    scene.run()
    batch = post_unlisted(arena, None, None)

    def live(rounds: int = 8) -> None:
        for _ in range(rounds):
            for step in ("watch", "_look_for_unseen", "play"):
                scene.challenger = make_challenger(
                    arena, scene.server, scene.store, Options(ask=True), RandomShare(1.0)
                )
                scene.challenger.watch()
                getattr(scene.challenger, step)()

    arena.local_chain.pass_time(_HALF + 1)
    live()
    assert events(arena, ResponseAsked, batch) == [0, 1]
    show(arena, batch, 1)
    arena.local_chain.pass_time(DEVNET.show_window + 1)
    live()
    assert events(arena, ResponseAsked, batch) == [0, 1]
    assert events(arena, ResponseNotShown, batch) == [0]
    assert scene.state(batch, 1) == "pending"
    assert arena.contracts.stake.credits(scene.address) == 0


def test_a_reorganisation_takes_back_what_was_shown(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(ask=True)
    batch = scene.post(None, shown=False)
    scene.run()
    snapshot = arena.contracts.chain.request("evm_snapshot", [])
    show(arena, batch, 0)
    scene.run()
    (asked,) = [row for row in scene.store.asks.asked() if row.batch_id == batch.batch_id]
    assert asked.closed_block is not None
    arena.contracts.chain.request("evm_revert", [snapshot])
    arena.local_chain.mine(2)
    scene.run()
    (asked,) = [row for row in scene.store.asks.asked() if row.batch_id == batch.batch_id]
    assert asked.closed_block is None
    arena.local_chain.pass_time(DEVNET.show_window + 1)
    scene.run()
    assert arena.contracts.ledger.response_status(batch.batch_id, 0) is ResponseStatus.VOID


def test_a_game_that_runs_waits_for_no_ask(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    """In the round in which everything is due, moves and openings go out in front of the asks."""
    scene = make_scene(ask=True)
    batch = scene.post(wrong(arena, 0))
    scene.run()
    game_id = scene.the_game(batch, 0)
    post_unlisted(arena, *[None] * 6)
    scene.challenger.watch()
    arena.local_chain.pass_time(_HALF + 1)
    arena.move(game_id, Side.PROVIDER, scene.trace(wrong(arena, 0), 0, (2, 0)))
    first = arena.contracts.chain.head().number + 1
    scene.challenger.watch()
    scene.challenger._look_for_unseen()
    scene.challenger.play()
    chain = arena.contracts.chain
    logs = chain.logs(arena.contracts.addresses, first, chain.head().number)
    sent = [type(event) for event in arena.contracts.events.decode(logs)]
    assert 0 < sent.count(ResponseAsked) <= 4  # the rest waits until moves were looked at again
    assert PartChallenged in sent and sent.index(PartChallenged) < sent.index(ResponseAsked)


def test_a_provider_that_hides_much_does_not_use_up_the_turn_of_another() -> None:
    store = Store(open_engine(None))
    rows = [
        BatchRow(
            batch_id=number, block_number=1, provider=provider, model_id=b"m", root=bytes([number]), salt=b"s",
            count=1000, deadline=100,
        )
        for number, provider in ((1, "flooder"), (2, "small"))
    ]  # fmt: skip
    store.advance(Cursor(1, b"h"), None, rows, {})
    store.asks.add_wishes(
        [AskingRow(batch_id=1, index=i, provider="flooder", deadline=50, ticket=i) for i in range(900)]
    )
    store.asks.add_wishes([AskingRow(batch_id=2, index=0, provider="small", deadline=100, ticket=7)])
    assert [row.provider for row, _ in store.asks.wishes(10, 0.0)][:3].count("small") == 1


@pytest.mark.parametrize("count", [3, 2**32 - 1])
def test_a_batch_of_any_size_is_drawn_from(make_scene, arena: Arena, count: int) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene(ask=True, ask_budget_wei=2 * DEVNET.ask_price)
    row = BatchRow(
        batch_id=10**6, block_number=1, provider=arena.provider.address, model_id=arena.model_id,
        root=count.to_bytes(32, "big"), salt=b"s", count=count, deadline=100,
    )  # fmt: skip
    wishes = scene.challenger._wishes
    assert wishes is not None
    chosen = wishes._hidden(row)
    assert len(chosen) == 2 and len({wish.index for wish in chosen}) == 2
    assert all(0 <= wish.index < count for wish in chosen)
    assert [wish.index for wish in wishes._hidden(row)] == [wish.index for wish in chosen]
