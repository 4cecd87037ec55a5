"""Games and losses in front of a bot's opening, in its own block or at its window's end, end nothing."""

from __future__ import annotations

import secrets
from types import SimpleNamespace as Fake
from typing import Any

import pytest

from challenger.bot import Options
from challenger.budgets import Budgets, Limits
from challenger.dispatch import Dispatcher
from challenger.errors import OverBudget
from challenger.openings import Opener, opening_key
from challenger.policies import RandomShare
from challenger.store import OpeningDue, Store, open_engine
from challenger.tables import BatchRow, DisputedRow, OpeningRow, ResponseRow, encode_fields
from contracts.bindings.contract import Call
from contracts.bindings.errors import ContractError
from contracts.bindings.events import GameOpened, OpeningJoined
from contracts.bindings.log_reader import Cursor
from contracts.bindings.openings import bond_to_send, commitment_of
from contracts.protocol.response import ResponseFields
from tests.challenger.test_bot import Scene, make_challenger, make_scene, wrong
from tests.challenger.test_openings import committed_step, held, of_batch
from tests.contracts.chain_game import Arena
from tests.contracts.local_chain import LocalChain

__all__ = ["held", "make_scene"]


def in_front(held: LocalChain, sender: str, calls: list[Call]) -> list[str]:
    return [
        held.chain.request(
            "eth_sendTransaction",
            [
                {
                    "from": sender,
                    "to": call.to,
                    "data": "0x" + call.data.hex(),
                    "value": hex(call.value_wei),
                    "gas": hex(1_500_000),
                    "maxFeePerGas": hex(400 * 10**9),
                    "maxPriorityFeePerGas": hex(300 * 10**9),
                }
            ],
        )
        for call in calls
    ]


def opening_waits(scene: Scene, held: LocalChain, batch: Any) -> None:
    held.chain.request("evm_setAutomine", [False])
    for _ in range(4):
        scene.challenger.tick()
    row = scene.store.response(batch.batch_id, 0)
    assert row is not None and scene.challenger._dispatcher is not None
    assert scene.challenger._dispatcher.carries(opening_key(row, 0))


def ends(scene: Scene, held: LocalChain, sent: list[str]) -> None:
    held.mine()
    assert all(held.chain.request("eth_getTransactionReceipt", [hash_])["status"] == "0x1" for hash_ in sent)
    held.chain.request("evm_setAutomine", [True])
    held.mine()
    for _ in range(3):
        scene.run()


def test_attack_five_games_in_front_of_an_opening_only_make_it_dearer(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, held: LocalChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A friend opens five games on another response of the provider in the block of the bot's opening, before it."""
    monkeypatch.setattr("challenger.openings._FIRST_RETRY_S", 0.0)
    scene = make_scene()
    batch = scene.post(wrong(arena, 0), None)
    committed_step(scene)
    contracts, friend = arena.contracts, arena.challenger.address
    own = [secrets.token_bytes(32) for _ in range(5)]
    for number, secret in enumerate(own):
        call = contracts.ledger.commit_opening(commitment_of(contracts, friend, batch.batch_id, 1, secret))
        arena.challenger.send(call, f"friend {batch.batch_id} {number}")
    opening_waits(scene, held, batch)
    bond_wei = 3 * bond_to_send(contracts, arena.provider.address)
    calls = [
        contracts.game.open(batch.batch_id, 1, batch.fields[1], batch.tree.path(1), secret, bond_wei=bond_wei)
        for secret in own
    ]
    ends(scene, held, in_front(held, friend, calls))
    states = [(r.index, o.state, o.problem) for r, o in scene.store.all_responses() if o is not None]
    opened = [e for e in of_batch(arena, GameOpened, batch) if e.challenger == scene.address]
    assert opened, f"never again: {states}"


def test_attack_conceding_in_front_of_an_opening_leaves_it_a_place(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, held: LocalChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Committed long before, places are left, and still the bot does not join: its opening reverted as `Reverted`."""
    monkeypatch.setattr("challenger.openings._FIRST_RETRY_S", 0.0)
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    committed_step(scene)
    friends = arena.open(batch, 0)
    opening_waits(scene, held, batch)
    ends(
        scene,
        held,
        in_front(
            held,
            arena.provider.address,
            [arena.conceding(friends)],
        ),
    )
    states = [(r.index, o.state, o.problem) for r, o in scene.store.all_responses() if o is not None]
    assert of_batch(arena, OpeningJoined, batch), f"not joined: {states}"


def gas_paid(arena: Arena, address: str, first: int) -> list[tuple[bool, int]]:
    """(succeeded, fee) of every transaction of an account since a block, as the chain says."""
    chain, found = arena.contracts.chain, []
    for number in range(first, chain.head().number + 1):
        for sent in chain.request("eth_getBlockByNumber", [hex(number), True])["transactions"]:
            if sent["from"].lower() == address.lower():
                receipt = chain.receipt(bytes.fromhex(sent["hash"][2:]))
                assert receipt is not None
                found.append((receipt.succeeded, receipt.gas_used * receipt.effective_gas_price_wei))
    return found


def test_attack_gas_burned_by_reverts_counts_in_the_budget(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, held: LocalChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes a bot's transactions revert spends its gas: to the wei, and it stops at its limit."""
    monkeypatch.setattr("challenger.openings._FIRST_RETRY_S", 0.0)
    scene = make_scene()
    scene.run()
    first = arena.contracts.chain.head().number + 1
    spent_before = scene.challenger._budgets.spent().gas_of_day_wei
    batch = scene.post(wrong(arena, 0))
    committed_step(scene)
    friends = arena.open(batch, 0)
    opening_waits(scene, held, batch)
    ends(
        scene,
        held,
        in_front(
            held,
            arena.provider.address,
            [arena.conceding(friends)],
        ),
    )
    scene.challenger.settle()
    paid = gas_paid(arena, scene.address, first)
    assert [succeeded for succeeded, _ in paid].count(False) == 1
    spent = scene.challenger._budgets.spent()
    assert spent.gas_of_day_wei - spent_before == sum(fee for _, fee in paid)
    assert spent.bonds_at_risk_wei == 0
    scene.challenger._budgets.limits = Limits(gas_per_day_wei=spent.gas_of_day_wei)
    assert "gas_budget_per_day_wei" in (
        scene.challenger._budgets.held_back(arena.contracts.chain.head()) or ""
    )


def test_gas_of_what_was_on_its_way_in_a_kill_counts_once(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, held: LocalChain
) -> None:
    scene = make_scene()
    scene.run()
    first = arena.contracts.chain.head().number + 1
    before = scene.challenger._budgets.spent().gas_of_day_wei
    batch = scene.post(wrong(arena, 0))
    committed_step(scene)
    opening_waits(scene, held, batch)
    held.mine()  # mined, and nobody has looked at the receipt
    held.chain.request("evm_setAutomine", [True])
    for _ in range(2):
        scene.challenger = make_challenger(arena, scene.server, scene.store, Options(), RandomShare(1.0))
        scene.challenger.settle()
    paid = gas_paid(arena, scene.address, first)
    assert len(paid) >= 2 and all(succeeded for succeeded, _ in paid)
    assert scene.challenger._budgets.spent().gas_of_day_wei - before == sum(fee for _, fee in paid)


# --- without a chain


def stored(deadline: int = 100) -> tuple[Store, ResponseRow]:
    store = Store(open_engine(None))
    batch = BatchRow(
        batch_id=1,
        block_number=1,
        provider="0xp",
        model_id=b"m",
        root=b"r" * 32,
        salt=b"s",
        count=1,
        deadline=deadline,
    )
    store.advance(Cursor(1, b"1"), None, [batch], {})
    row = ResponseRow(
        batch_id=1,
        index=0,
        provider="0xp",
        model_id=b"m",
        deadline=deadline,
        positions=1,
        ticket=1,
        leaf=b"l" * 32,
        fields_json=encode_fields(ResponseFields.of([1], [2], 1, 0)),
        path_nodes=b"",
        output_hash=b"o",
        prompt_hash=b"p",
        state="invalid",
    )
    store.add_responses(batch, [row])
    found = store.response(1, 0)
    assert found is not None
    return store, found


def test_attack_a_window_that_opens_again_is_looked_at_again() -> None:
    """A full house until the window's end: the opening that came a block too late is the last one."""
    store, row = stored()
    fake = Fake(store=store)
    opener = Opener(Fake(), Fake(carries=lambda _: False), store, margin_s=2)  # type: ignore[arg-type]
    opener._refused(
        OpeningDue(row, OpeningRow(batch_id=1, index=0), 0), ContractError("ChallengeWindowClosed", {}, "")
    )
    # A friend's loss among the full house: empty for a while, then a whole window.
    again = DisputedRow(batch_id=1, index=0, block_number=2, challenge_deadline=10_000)
    fake.store.advance(Cursor(2, b"2"), None, [again], {})
    assert store.openings_due(200, 1e12, 9), "the response can be disputed until 10,000, and is not due"


class Refusing:
    def __init__(self) -> None:
        self.refuses, self.sent = True, []

    def submit(self, call: Call, key: str) -> int:
        if self.refuses:
            raise ContractError("TooManyGames", {}, "")
        self.sent.append(call.value_wei)
        return 1


def budgets(limit: int) -> tuple[Budgets, Dispatcher, Refusing]:
    store, _ = stored()
    contracts = Fake(game=Fake(address="0xg"), stake=Fake(parameters=lambda: Fake(challenger_bond=10)))
    made = Budgets(contracts, store, Limits(bonds_wei=limit), lambda: 50)  # type: ignore[arg-type]
    sender = Refusing()
    return made, Dispatcher(sender, made), sender  # type: ignore[arg-type]


def test_attack_openings_that_were_refused_take_nothing_of_the_budget() -> None:
    made, dispatcher, _ = budgets(100)
    for number in range(10):
        with pytest.raises(ContractError):
            dispatcher.submit(Call("0xg", b"", 10), f"open {number}", lambda _: None)
    assert made.spent().open_games == 0
    assert made.spent().bonds_at_risk_wei == 0, (
        "nothing was sent, nothing is at risk, and nothing can be opened"
    )


def test_attack_a_bond_that_rose_since_it_was_refused_is_asked_of_the_budget() -> None:
    _, dispatcher, sender = budgets(100)
    with pytest.raises(ContractError):
        dispatcher.submit(Call("0xg", b"", 10), "open 1", lambda _: None)
    sender.refuses = False
    with pytest.raises(OverBudget):
        dispatcher.submit(Call("0xg", b"", 5_000), "open 1", lambda _: None)  # friends opened games meanwhile
    assert sum(sender.sent) <= 100, f"{sender.sent} at a limit of 100"
