"""The table of gas is what the contracts use."""

from __future__ import annotations

import secrets

import pytest

from contracts.bindings.results import Mined
from contracts.protocol.parameters import DEVNET, L1, L2
from contracts.protocol.response import ResponseFields
from economics.gas import GAS
from economics.prices import GAS_PRICE_GWEI
from tests.contracts.chain_game import Arena, PostedBatch

_NEAR = 0.2


def post(arena: Arena, count: int) -> Mined:
    if arena.contracts.stake.is_paused(arena.provider.address):  # by a game of another test
        arena.resume()
    call = arena.contracts.ledger.post_batch(
        arena.provider.address, secrets.token_bytes(32), secrets.token_bytes(32), arena.model_id, count
    )
    return arena.provider.send(call, key=f"post {secrets.token_hex(8)}")


@pytest.fixture(scope="module")
def measured(arena: Arena) -> dict[int, tuple[int, int]]:
    """Answers in the batch -> gas of posting and of finalising it."""
    arena.provider.send(arena.contracts.stake.deposit(5000 * 10**18), key="stake for thousands of answers")
    found = {}
    for count in (1, 1, 16, 256, 4096):  # the first one makes the provider's slots, which is paid once
        posted = post(arena, count)
        batch_id = arena.contracts.ledger.batch_count()
        arena.local_chain.pass_time(DEVNET.challenge_window + 1)
        final = arena.provider.send(arena.contracts.ledger.finalise_batch(batch_id), key=f"end {batch_id}")
        found[count] = posted.gas_used, final.gas_used
    return found


def test_posting_and_finalising_cost_what_the_table_says(measured: dict[int, tuple[int, int]]) -> None:
    for count, (posting, finalising) in measured.items():
        print(
            f"batch of {count}: post {posting}, finalise {finalising}, {(posting + finalising) / count:.1f} each"
        )
        assert posting == pytest.approx(GAS.post_batch, rel=_NEAR), count
        assert finalising == pytest.approx(GAS.finalise_batch, rel=_NEAR), count


def test_an_answer_costs_as_little_as_its_batch_is_large(measured: dict[int, tuple[int, int]]) -> None:
    one, many = sum(measured[1]), sum(measured[4096])
    assert many < one + 10_000  # the batch's size is nowhere in it


def shown(arena: Arena, tokens: int, asking: list[int]) -> Mined:
    """An answer of so many tokens, ids above 255, asked for and shown."""
    prompt, output = [300] * (tokens // 2), [300] * (tokens - tokens // 2)
    batch: PostedBatch = arena.post([ResponseFields.of(prompt, output, len(output), 0)])
    ledger = arena.contracts.ledger
    asked = arena.challenger.send(
        ledger.ask(batch.batch_id, 0, DEVNET.ask_price), key=f"ask {batch.salt.hex()}"
    )
    asking.append(asked.gas_used)
    call = ledger.show(batch.batch_id, 0, batch.fields[0], batch.tree.path(0), prompt, output)
    return arena.provider.send(call, key=f"show {batch.salt.hex()}")


def test_the_ask_price_pays_for_showing_the_longest_answer(arena: Arena) -> None:
    asking: list[int] = []
    shown(arena, 256, asking)  # the first one makes the ledger's slots, which is paid once
    assert shown(arena, 256, asking).gas_used == pytest.approx(GAS.show, rel=_NEAR)
    longest = shown(arena, 2048, asking).gas_used
    assert all(0.7 * GAS.ask < gas < 1.2 * GAS.ask for gas in asking[1:]), asking  # less while others wait
    print(f"2,048 tokens shown: {longest} gas")
    for name, parameters in (("l1", L1), ("l2", L2)):
        assert parameters.ask_price >= longest * GAS_PRICE_GWEI[name] * 10**9, name
