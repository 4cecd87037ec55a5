"""Openings are committed before they are made, and paid whoever was faster."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from challenger.bot import Options
from challenger.disputes_by_hand import DisputeTable
from challenger.openings import opening_key
from challenger.policies import RandomShare
from challenger.provider_client import provider_book
from challenger.tables import OpeningRow
from contracts.bindings.contract import Call
from contracts.bindings.errors import ContractError
from contracts.bindings.events import Event, GameOpened, OpeningCommitted, OpeningJoined, RewardPaid
from contracts.bindings.inference_ledger import InferenceLedger, ResponseStatus
from contracts.bindings.log_reader import Cursor
from contracts.bindings.openings import bond_to_send, commitment_of
from contracts.protocol.game import Outcome, Reason
from contracts.protocol.opening import opening_commitment, opening_secret
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from tests.challenger.listing_server import ListingServer
from tests.challenger.test_bot import Scene, make_challenger, make_scene, wrong
from tests.contracts.chain_game import Arena, PostedBatch
from tests.contracts.local_chain import LocalChain

__all__ = ["make_scene"]


class Killed(BaseException):
    """The process is gone: nothing that would tidy up runs."""


def committed_step(scene: Scene) -> None:
    """Until the opening is committed, and no further."""
    for _ in range(30):
        scene.challenger.tick()
        if any(event.sender == scene.address for event in all_events(scene.arena, OpeningCommitted)):
            rows = [row for _, row in scene.store.all_responses() if row is not None]
            if rows and rows[-1].state == "waiting":
                return
    raise AssertionError("nothing was committed")


def all_events(arena: Arena, kind: type[Event]) -> list[Any]:
    contracts, first = arena.contracts, arena.contracts.deployment.first_block
    emitters = [contracts.ledger.address, contracts.game.address]
    logs = contracts.chain.logs(emitters, first, contracts.chain.head().number)
    return [event for event in contracts.events.decode(logs) if isinstance(event, kind)]


def of_batch(arena: Arena, kind: type[Event], batch: PostedBatch) -> list[Any]:
    return [event for event in all_events(arena, kind) if event.batch_id == batch.batch_id]


def commitments(arena: Arena, address: str) -> int:
    return sum(event.sender == address for event in all_events(arena, OpeningCommitted))


def malformed(scene: Scene) -> PostedBatch:
    """A leaf that loses at once: more tokens than asked for."""
    prompt = [3] * 40
    output = scene.arena.model.generate(prompt, 6)
    batch = scene.arena.post([ResponseFields.of(prompt, output, len(output) - 1, 0)])
    scene.server.show(batch, [(prompt, output)])
    return batch


@pytest.fixture
def held(local_chain: LocalChain) -> Iterator[LocalChain]:
    """Mining is the test's: what is sent waits in the mempool for all to see."""
    yield local_chain
    local_chain.chain.request("evm_setAutomine", [True])
    local_chain.mine()


def test_the_commitment_is_the_contracts(arena: Arena) -> None:
    secret, own = secrets.token_bytes(32), arena.challenger.address
    expected = arena.contracts.ledger._read("openingCommitment", own, 3, 5, secret)
    assert commitment_of(arena.contracts, own, 3, 5, secret) == expected
    assert opening_commitment(1, own, own, 3, 5, secret) != expected


def test_secrets_differ_by_holder_and_response() -> None:
    made = {
        opening_secret(own, root, index)
        for own in (b"a" * 32, b"b" * 32)
        for root in (b"c" * 32, b"d" * 32)
        for index in (0, 1)
    }
    assert len(made) == 8 and opening_secret(b"a" * 32, b"c" * 32, 0) in made


def test_the_bot_commits_once_and_opens_once(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    before = commitments(arena, scene.address)
    batch = scene.post(wrong(arena, 0))
    scene.run()
    (opened,) = of_batch(arena, GameOpened, batch)
    assert opened.challenger == scene.address
    assert commitments(arena, scene.address) == before + 1
    scene.run()
    assert commitments(arena, scene.address) == before + 1


def test_an_endpoint_that_denies_the_commitment_gets_no_second_one(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene()
    before = commitments(arena, scene.address)
    batch = scene.post(wrong(arena, 0))
    with monkeypatch.context() as lying:
        lying.setattr(InferenceLedger, "opening_block", lambda *_, **__: 0)
        for _ in range(40):
            scene.challenger.tick()
        assert commitments(arena, scene.address) == before + 1 and not of_batch(arena, GameOpened, batch)
    scene.run()
    (opened,) = of_batch(arena, GameOpened, batch)
    assert opened.challenger == scene.address and commitments(arena, scene.address) == before + 1


def test_an_opening_that_is_mined_again_before_its_event_is_read_gets_no_second_commitment(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reorganisation took the game back, and the chain has it again; the watcher is behind."""
    scene = make_scene()
    before = commitments(arena, scene.address)
    batch = scene.post(wrong(arena, 0))
    scene.run()
    (opened,) = of_batch(arena, GameOpened, batch)
    block = opened.at.block_number - 1
    scene.store.advance(Cursor(block, arena.contracts.chain.block_hash(block)), block, [], {})
    scene.store.set_opening(OpeningRow(batch_id=batch.batch_id, index=0, state="waiting", lost=1))
    with monkeypatch.context() as behind:
        behind.setattr(scene.challenger._watcher, "poll", lambda: 0)
        for _ in range(10):
            scene.challenger.tick()
    assert commitments(arena, scene.address) == before + 1
    scene.run()
    assert commitments(arena, scene.address) == before + 1
    assert len(of_batch(arena, GameOpened, batch)) == 1


def test_an_opening_whose_nonce_is_used_after_a_reorganisation_is_made_again(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commitment stays in the chain; the opening was confirmed, was taken back, and something else took its nonce before
    anybody looked."""
    monkeypatch.setattr("challenger.store.SHOWN_AGAIN_S", 0.0)
    monkeypatch.setattr("challenger.chain_record.SHOWN_AGAIN_S", 0.0)
    scene = make_scene()
    before = commitments(arena, scene.address)
    batch = scene.post(wrong(arena, 0))
    dispatcher = scene.challenger._dispatcher
    assert dispatcher is not None
    submit, chain = dispatcher.submit, arena.contracts.chain
    taken: list[str] = []

    def noting(call, key, done):  # type: ignore[no-untyped-def]
        if key.startswith("open ") and not taken:
            taken.append(chain.request("evm_snapshot", []))
        submit(call, key, done)

    monkeypatch.setattr(dispatcher, "submit", noting)
    scene.run()
    assert len(of_batch(arena, GameOpened, batch)) == 1
    chain.request("evm_revert", taken)
    assert not of_batch(arena, GameOpened, batch)
    # as before its journal's word was taken over
    scene.store.set_opening(OpeningRow(batch_id=batch.batch_id, index=0, state="waiting"))
    dispatcher.sender.send(Call(scene.address, b"", 0, "something else"), "something else")
    for _ in range(10):
        arena.local_chain.mine(6)
        scene.run()
    (opened,) = of_batch(arena, GameOpened, batch)
    assert opened.challenger == scene.address and commitments(arena, scene.address) == before + 1


@pytest.mark.parametrize("killed_after", ["commit", "open"])
@pytest.mark.parametrize("where", ["before", "behind"])
def test_a_kill_between_committing_and_opening_repeats_nothing(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, monkeypatch: pytest.MonkeyPatch, killed_after: str, where: str
) -> None:
    """Killed before or behind the journal of either step, and started again on the same store."""
    scene = make_scene()
    before = commitments(arena, scene.address)
    batch = scene.post(wrong(arena, 0))
    dispatcher = scene.challenger._dispatcher
    assert dispatcher is not None
    submit = dispatcher.submit

    def killing(call, key, done):  # type: ignore[no-untyped-def]
        step = "commit" if key.startswith("commit ") else "open" if key.startswith("open ") else ""
        if step == killed_after and where == "before":
            raise Killed
        submit(call, key, done)
        if step == killed_after:
            raise Killed

    monkeypatch.setattr(dispatcher, "submit", killing)
    with pytest.raises(Killed):
        scene.run()
    scene.challenger = make_challenger(arena, scene.server, scene.store, Options(), RandomShare(1.0))
    scene.run()
    assert len(of_batch(arena, GameOpened, batch)) == 1
    assert commitments(arena, scene.address) == before + 1


def test_attack_copying_the_bots_opening_in_the_mempool(  # type: ignore[no-untyped-def]
    make_scene, arena: Arena, held: LocalChain
) -> None:
    """A leaf that loses at once. The copycat sees the opening wait, pays more for its place in the block, and gets
    nothing: its own commitment is of the same block."""
    scene = make_scene()
    batch = malformed(scene)
    committed_step(scene)
    held.chain.request("evm_setAutomine", [False])
    for _ in range(4):
        scene.challenger.tick()
    row = scene.store.response(batch.batch_id, 0)
    assert row is not None and scene.challenger._dispatcher is not None
    assert scene.challenger._dispatcher.carries(opening_key(row, 0))  # it waits in the mempool
    copycat, contracts = arena.challenger.address, arena.contracts
    own = secrets.token_bytes(32)
    calls = [contracts.ledger.commit_opening(commitment_of(contracts, copycat, batch.batch_id, 0, own))]
    bond_wei = bond_to_send(contracts, arena.provider.address)
    calls.append(
        contracts.game.open(batch.batch_id, 0, batch.fields[0], batch.tree.path(0), own, bond_wei=bond_wei)
    )
    sent = [
        held.chain.request(
            "eth_sendTransaction",
            [
                {
                    "from": copycat,
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
    held.mine()
    receipts = [held.chain.request("eth_getTransactionReceipt", [hash_]) for hash_ in sent]
    assert [receipt["status"] for receipt in receipts] == ["0x1", "0x0"]
    held.chain.request("evm_setAutomine", [True])
    held.mine()
    scene.run()
    (opened,) = of_batch(arena, GameOpened, batch)
    game = contracts.game.game(opened.game_id)
    assert (game.challenger, game.reason) == (scene.address, Reason.MALFORMED)
    assert [event.to for event in of_batch(arena, RewardPaid, batch)] == [scene.address]
    with pytest.raises(ContractError) as late:
        arena.challenger.send(contracts.ledger.join(batch.batch_id, 0, own), "join late")
    assert late.value.name == "OpeningCommittedLate"


def test_attack_conceding_to_a_friend_while_the_bots_opening_waits(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    committed_step(scene)
    friends = arena.open(batch, 0)
    arena.provider.send(arena.conceding(friends), f"concede {friends}")
    assert arena.contracts.ledger.response_status(batch.batch_id, 0) is ResponseStatus.VOID
    before = arena.contracts.chain.balance_wei(scene.address)
    scene.run()
    (joined,) = of_batch(arena, OpeningJoined, batch)
    assert joined.challenger == scene.address
    gained = arena.contracts.chain.balance_wei(scene.address) - before
    assert DEVNET.game_reward - 10**16 < gained <= DEVNET.game_reward  # no bond was sent
    assert [row.state for _, row in scene.store.all_responses() if row is not None] == ["joined"]
    scene.run()
    assert len(of_batch(arena, OpeningJoined, batch)) == 1


def test_a_response_that_was_void_before_the_bot_committed_is_left(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    scene.challenger.watch()
    for client in scene.challenger._providers.clients():
        scene.challenger._lister.step(client)
    scene.challenger._judge.step()
    game_id = arena.open(batch, 0)
    arena.provider.send(arena.conceding(game_id), f"concede {game_id}")
    before = commitments(arena, scene.address)
    scene.run()
    assert commitments(arena, scene.address) == before
    assert [row.state for _, row in scene.store.all_responses() if row is not None] == ["missed"]


def test_the_bot_is_paid_for_its_game_when_a_friends_is_conceded(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    scene = make_scene()
    batch = scene.post(wrong(arena, 0))
    scene.run()
    own = scene.the_game(batch, 0)
    friends = arena.open(batch, 0)
    arena.provider.send(arena.conceding(friends), f"concede {friends}")
    arena.local_chain.pass_time(DEVNET.join_window + 20)  # its place is kept for as long as it likes
    scene.run()
    game = arena.contracts.game.game(own)
    assert game.outcome is Outcome.RESPONSE_VOIDED
    paid = of_batch(arena, RewardPaid, batch)
    assert {(event.to, event.amount) for event in paid} == {
        (scene.address, DEVNET.game_reward),
        (arena.challenger.address, DEVNET.game_reward),
    }


def test_the_bond_is_sent_with_an_allowance_for_a_race(make_scene, arena: Arena) -> None:  # type: ignore[no-untyped-def]
    """Another opens between the bot's look and its transaction: the bond is higher by then, and covered."""
    scene = make_scene()
    batch = scene.post(wrong(arena, 0), None)
    committed_step(scene)
    load = arena.contracts.ledger.open_games_of(arena.provider.address)
    held_back = bond_to_send(arena.contracts, arena.provider.address)
    arena.open(batch, 1)
    due = arena.contracts.ledger.bond_for(arena.provider.address)
    assert due == DEVNET.challenger_bond * (DEVNET.bond_load + load + 1) // DEVNET.bond_load <= held_back
    scene.run()
    assert arena.contracts.game.game(scene.the_game(batch, 0)).bond == due


# --- by hand


@pytest.fixture
def server() -> Iterator[ListingServer]:
    server = ListingServer()
    yield server
    server.close()


def test_joining_and_closing_by_hand(arena: Arena, server: ListingServer) -> None:
    """The opening was committed by the command; it is interrupted, the provider concedes to a friend, and it joins."""
    prompt = [3] * 40
    batch = arena.post([ResponseFields.of(prompt, [1, 2], 2, 0)])
    server.show(batch, [(prompt, [1, 2])])
    contracts, own = arena.contracts, b"s" * 32
    table = DisputeTable(contracts, provider_book([f"{arena.provider.address}={server.url}"]), own)
    client = arena.local_chain.sender(5)
    secret = opening_secret(own, batch.tree.root, 0)
    commitment = commitment_of(contracts, client.address, batch.batch_id, 0, secret)
    client.send_next(contracts.ledger.commit_opening(commitment), f"commit {commitment.hex()}")
    friends = arena.open(batch, 0)
    arena.provider.send(
        contracts.game.concede(friends, contracts.game.game(friends).about), f"concede {friends}"
    )
    with pytest.raises(ContractError, match="ResponseIsVoid"):
        table.open(client, batch.batch_id, 0)
    assert table.join(client, batch.batch_id, 0).move == "Join"
    assert contracts.stake.credits(client.address) == DEVNET.game_reward
    with pytest.raises(ContractError, match="JoinWindowOpen"):
        table.close_rewards(client, batch.batch_id, 0)
    arena.local_chain.pass_time(DEVNET.join_window + 1)
    burned = contracts.stake.totals().burned
    table.close_rewards(client, batch.batch_id, 0)
    left = DEVNET.max_games_per_response - 2
    assert contracts.stake.totals().burned - burned == left * DEVNET.game_reward


def test_opening_by_hand_goes_on_where_it_was_interrupted(arena: Arena, server: ListingServer) -> None:
    prompt = [3] * 40
    batch = arena.post([ResponseFields.of(prompt, [1, 2], 2, 0)])
    server.show(batch, [(prompt, [1, 2])])
    table = DisputeTable(
        arena.contracts, provider_book([f"{arena.provider.address}={server.url}"]), b"t" * 32
    )
    client = arena.local_chain.sender(6)
    before = commitments(arena, client.address)

    def killed(*_: object) -> Any:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "send_by_hand", killed)
        with pytest.raises(Killed):
            table.open(client, batch.batch_id, 0)
    assert commitments(arena, client.address) == before + 1
    table.open(client, batch.batch_id, 0)
    assert commitments(arena, client.address) == before + 1
    assert len(of_batch(arena, GameOpened, batch)) == 1
    table.open(client, batch.batch_id, 0)  # another one: typed twice, done twice
    assert commitments(arena, client.address) == before + 2
    assert len(of_batch(arena, GameOpened, batch)) == 2
