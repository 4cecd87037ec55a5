"""From events alone: what random actors leave behind is rebuilt to the wei, reorganisations included."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from contracts.bindings.audit import differences
from contracts.bindings.books import Books
from contracts.bindings.deployment import ProtocolContracts, deploy_protocol, verifier_artifacts
from contracts.bindings.events import Credited, EventDecoder, StakeSlashed, Unreadable
from contracts.bindings.indexer import Indexer
from contracts.bindings.registration import register_model
from contracts.protocol.game import Outcome
from contracts.protocol.parameters import DEVNET
from tests.contracts.local_chain import LocalChain
from tests.contracts.random_play import RandomPlay
from tests.contracts.synthetic import SyntheticModel, seal_verifier_sources

_MODEL = SyntheticModel(step_count=4)
_STRANGER = 8


def start(local_chain: LocalChain, seed: int) -> RandomPlay:
    """A deployment of its own, with a guardian, and actors who are about to begin."""
    parameters = replace(
        DEVNET,
        challenge_window=2 * 3600,  # time runs in leaps of an hour
        posting_window=600,
        receipt_answer_window=1800,
        show_window=1800,
        guardian=local_chain.chain.unlocked_accounts()[6],
        guardian_delay=6 * 3600,
        exit_delay=600 + 120 + 1800 + 12 * 3600 + 1,
    )
    deployment = deploy_protocol(local_chain.sender(0), parameters, key=f"random {seed}")
    contracts = ProtocolContracts(local_chain.chain, deployment)
    registrant = local_chain.sender(
        7, f"journal-{seed}"
    )  # another journal would hold the model for registered
    model_id = register_model(registrant, contracts, _MODEL, verifier_artifacts(seal_verifier_sources()))
    play = RandomPlay(local_chain, contracts, parameters, _MODEL, model_id, seed)
    for provider in (1, 2):
        assert play.send(provider, contracts.stake.deposit(40 * 10**18), "deposit")
        own = local_chain.chain.unlocked_accounts()[provider]
        assert play.send(provider, contracts.stake.register_signer(own, 10**18), "register key")
    return play


def check(indexer: Indexer, contracts: ProtocolContracts) -> Books:
    books = indexer.catch_up()
    assert indexer.cursor is not None
    assert differences(books, contracts, indexer.cursor.number) == []
    balance = contracts.chain.balance_wei(contracts.stake.address)
    totals = books.totals()
    assert totals.stake + totals.escrow + totals.credits + totals.burned == balance
    return books


#: Unless all of these are done, the books are about too little.
_WANTED = {
    "post",
    "commit",
    "open",
    "join",
    "close rewards",
    "move: PostBoundaries",
    "timeout",
    "void",
    "provider concedes",
    "challenger concedes",
    "ask",
    "show",
    "not shown",
    "finalise batch",
    "finalise response",
    "claim receipt",
    "answer claim",
    "slash receipt",
    "deposit",
    "exit",
    "resume",
    "set operator",
    "register key",
    "retire key",
    "withdraw",
    "delay",
    "refused: post",
    "refused: withdraw",
}


def test_books_made_from_events_equal_the_contracts_to_the_wei(local_chain: LocalChain) -> None:
    done = whole_play(local_chain, seed=1)
    assert len(_WANTED & set(done)) > len(_WANTED) // 2, done


@pytest.mark.long
def test_books_of_plays_in_which_everything_happens(local_chain: LocalChain) -> None:
    done: Counter[str] = Counter()
    for seed in range(100, 130):
        done += whole_play(local_chain, seed)
        if set(done) >= _WANTED:
            return
    pytest.fail(f"never done: {_WANTED - set(done)}; done: {done}")


def whole_play(local_chain: LocalChain, seed: int) -> Counter[str]:
    """The books are compared again and again, before and after blocks left the chain; what was done."""
    play = start(local_chain, seed)
    contracts = play.contracts
    indexer = Indexer(contracts)
    for _ in range(4):
        play.run(110)
        check(indexer, contracts)
    # What leaves the chain leaves the books, and what comes in its place enters them.
    chain = contracts.chain
    before, ids = repr(check(indexer, contracts)), [batch.batch_id for batch in play.batches]
    snapshot = chain.request("evm_snapshot", [])
    play.run(50)
    check(indexer, contracts)
    left = chain.head().number
    chain.request("evm_revert", [snapshot])
    local_chain.mine(left - chain.head().number + 1)  # a head that is only lower means an endpoint that lags
    assert repr(check(indexer, contracts)) == before
    play.batches = play.batches[: len(ids)]
    for batch, number in zip(play.batches, ids, strict=True):
        batch.batch_id = number
    play.run(40)
    assert play.send(7, contracts.registry.deprecate(play.model_id), "deprecate")
    books = check(indexer, contracts)
    # Whoever reads from the beginning finds the same.
    assert repr(check(Indexer(contracts), contracts)) == repr(books)
    assert books.models[play.model_id].deprecated
    assert books.games and books.batches, play.done
    return play.done


def test_rewards_that_wait_and_an_ask_that_ends_with_a_void_response(local_chain: LocalChain) -> None:
    play = start(local_chain, 6)
    stake, contracts, challenger = play.contracts.stake, play.contracts, 3
    address = contracts.chain.unlocked_accounts()[challenger]
    indexer = Indexer(contracts)
    play.promise()
    play.post()
    batch, bond = play.batches[0], 2 * play.parameters.challenger_bond  # sent, half of it not due
    assert play.send(4, contracts.ledger.ask(1, 0, play.parameters.ask_price), "ask")
    play.open_at_once(challenger, batch, 0)
    assert play.send(batch.provider, contracts.game.concede(1, contracts.game.game(1).about), "concede")
    books = check(indexer, contracts)
    assert [ask.end for ask in books.asks] == ["void"]
    assert books.account(address).delayable_wei == books.account(address).credits_wei - bond > 0
    until = contracts.chain.head().timestamp + 7_300
    assert play.send(6, stake.delay_until(until), "delay")
    assert play.send(challenger, stake.withdraw(), "withdraw its own")
    assert not play.send(challenger, stake.withdraw(), "withdraw its reward")
    account = check(indexer, contracts).account(address)
    assert (account.withdrawn_wei, account.credits_wei) == (bond, account.delayable_wei)
    local_chain.pass_time(7_300)
    assert play.send(challenger, stake.withdraw(), "withdraw its reward")
    assert check(indexer, contracts).account(address).credits_wei == 0


def test_keys_a_pause_and_a_bond_that_is_burned_once(local_chain: LocalChain) -> None:
    play = start(local_chain, 8)
    stake, contracts, challenger = play.contracts.stake, play.contracts, 3
    accounts, indexer = contracts.chain.unlocked_accounts(), Indexer(play.contracts)
    while [batch.provider for batch in play.batches] != [1, 1]:
        play.batches = [batch for batch in play.batches if batch.provider == 1][:1]
        play.promise()
    while not all(batch.batch_id for batch in play.batches):
        play.post()
    provider, operator, spare = accounts[1], accounts[9], accounts[8]
    bond, total = play.parameters.provider_bond, 40 * 10**18
    burned = []
    for game, batch in enumerate(play.batches, start=1):
        play.open_at_once(challenger, batch, 0)
        assert play.send(1, contracts.game.concede(game, contracts.game.game(game).about), "concede")
        books = check(indexer, contracts)
        burned.append(total - books.account(provider).stake.total)
        total = books.account(provider).stake.total
    lock = play.parameters.lock_per_response
    assert burned == [bond + lock, lock]
    paused_at = books.account(provider).stake.paused_at
    assert books.account(provider).stake.is_paused and paused_at > 0
    local_chain.pass_time(1)  # not in the second of the slash
    assert play.send(1, stake.resume(), "resume")
    assert play.send(1, stake.set_operator(operator), "set operator")
    assert play.send(1, stake.register_signer(spare, 7), "register key")
    assert play.send(1, stake.register_signer(spare, 9), "register key")
    registered_at = contracts.chain.head().timestamp
    local_chain.pass_time(5)
    assert play.send(1, stake.retire_signer(spare), "retire key")
    retired_at = contracts.chain.head().timestamp
    books = check(indexer, contracts)
    assert not books.account(provider).stake.is_paused
    assert books.account(provider).stake.paused_at == paused_at
    assert books.operators == {provider: operator}
    key = books.signer(provider, spare)
    assert key.registered_at <= registered_at < key.retired_at == retired_at
    assert (key.allowance, key.slashed) == (9, 0)


def test_a_lost_receipt_costs_its_key_and_its_provider(local_chain: LocalChain) -> None:
    play = start(local_chain, 9)
    contracts, indexer = play.contracts, Indexer(play.contracts)
    play.promise()
    batch, parameters = play.batches[0], play.parameters
    accounts = contracts.chain.unlocked_accounts()
    provider, claimant = accounts[batch.provider], accounts[5]
    local_chain.pass_time(parameters.posting_window + 1)
    claim = contracts.receipts.claim_unposted(batch.receipt, batch.signature, parameters.receipt_claim_bond)
    assert play.send(5, claim, "claim receipt")
    books, penalty = check(indexer, contracts), parameters.lock_per_response
    assert books.signer(provider, provider).slashed == penalty
    assert books.account(provider).stake.total == 40 * 10**18 - penalty
    assert books.account(claimant).credits_wei == parameters.receipt_claim_bond + 2 * penalty // 5
    assert books.burned_wei == penalty - 2 * penalty // 5
    assert [receipt.penalty_wei for receipt in books.receipts.values()] == [penalty]


def test_a_book_that_is_wrong_by_a_wei_is_noticed(local_chain: LocalChain) -> None:
    play = start(local_chain, 4)
    play.run(40)
    indexer = Indexer(play.contracts)
    check(indexer, play.contracts)
    assert indexer.cursor is not None
    provider = play.contracts.chain.unlocked_accounts()[1]
    indexer.books.apply(Credited(provider, 1, 1))  # type: ignore[arg-type]
    found = differences(indexer.books, play.contracts, indexer.cursor.number)
    assert len(found) == 2 and all("the contract says" in text for text in found)


def test_games_come_in_pages_by_response_by_provider_and_by_challenger(local_chain: LocalChain) -> None:
    play = start(local_chain, 5)
    play.promise()
    play.post()
    batch, contracts = play.batches[0], play.contracts
    assert batch.batch_id
    for index, challenger in [(0, 3), (1, 3), (0, 4), (0, 3), (2, 5)]:
        play.open_at_once(challenger, batch, index)
    books = Indexer(contracts).catch_up()
    accounts = contracts.chain.unlocked_accounts()

    def numbers(page) -> list[int]:  # type: ignore[no-untyped-def]
        return [game.game_id for game in page.games]

    assert numbers(books.games_of_response(batch.batch_id, 0)) == [1, 3, 4]
    page = books.games_of_response(batch.batch_id, 0, first=1, limit=1)
    assert (page.total, numbers(page)) == (3, [3])
    assert numbers(books.games_of_provider(accounts[batch.provider], first=3)) == [4, 5]
    assert numbers(books.games_of_challenger(accounts[3])) == [1, 2, 4]
    assert books.games_of_challenger(accounts[9]).total == 0
    assert numbers(books.all_games(first=4)) == [5]
    assert all(game.outcome is Outcome.UNDECIDED for game in page.games)


def test_an_event_that_cannot_be_read_is_told_and_stops_nobody(contracts: ProtocolContracts) -> None:
    stake = contracts.stake
    chain = contracts.chain
    logs = chain.logs([stake.address], contracts.deployment.first_block, chain.head().number)
    good = next(log for log in logs if log.topics[0] == stake.interface.topics["Initialised"])
    damaged = [
        replace(good, topics=(stake.interface.topics["StakeSlashed"], *good.topics[1:]), data=b"\1"),
        replace(good, topics=good.topics[:1]),
        replace(good, topics=(stake.interface.topics["Credited"], good.topics[1]), data=b"\xff" * 64),
    ]
    decoder = EventDecoder([(stake.address, stake.interface)])
    events = decoder.decode([*damaged, good])
    assert [type(event) for event in events[:3]] == [Unreadable] * 3
    assert events[0].name == StakeSlashed.__name__ and events[0].at.block_number == good.block_number
    assert type(events[3]).__name__ == "Initialised"
    books = Books(DEVNET)
    for event in events:
        books.apply(event)
    assert len(books.unreadable) == 3
