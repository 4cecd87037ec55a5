"""What strategic agents do: statements that a wrong rule, amount or formula would break."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.protocol.parameters import L1, L2, ProtocolParameters
from economics.figures import friends_save_usd, honest_share, safe_capacity
from economics.gas import GAS
from economics.prices import GAS_PRICE_GWEI, Prices
from economics.simulation import LYING, World, best_response, play, play_round

_ROUNDS, _SEED = 200, 20_261_128
PRICES = Prices(gas_price_gwei=0.1)
#: Many cheap answers against a small bond: here the threshold is where simulated lies are found often enough.
SMALL_BOND = replace(L2, provider_bond=10**14)


def threshold(parameters: ProtocolParameters, prices: Prices, answers: int, friends: bool = False) -> float:
    loss = prices.usd(parameters.lock_per_response) + prices.fee_per_answer
    loss += 0.0 if friends else prices.gas_usd(GAS.provider_moves)
    loss -= friends_save_usd(parameters, prices) if friends else 0.0
    return honest_share(answers, prices.saving_per_lie, loss, prices.usd(parameters.provider_bond))


def world(**changes: object) -> World:
    return replace(World(SMALL_BOND, PRICES, answers=3000), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("bond", [10**14, 10**15])
def test_above_the_threshold_honesty_is_the_best_response_and_below_it_lying(bond: int) -> None:
    parameters = replace(L2, provider_bond=bond)
    share = threshold(parameters, PRICES, 3000)
    for factor, honest in ((1.5, True), (3.0, True), (0.6, False), (0.2, False)):
        at = world(parameters=parameters, client_share=share * factor)
        best, _ = best_response(at, _ROUNDS, _SEED)
        assert (best.lying == 0) is honest, factor
        assert best.lying in (0.0, 1.0)  # none or all


def test_with_the_presets_bond_one_look_in_a_thousand_is_far_more_than_enough() -> None:
    for name, parameters in (("l1", L1), ("l2", L2)):
        prices = Prices(GAS_PRICE_GWEI[name])
        at = World(parameters, prices, answers=10_000, client_share=0.001)
        assert threshold(parameters, prices, 10_000) < 0.001 / 100
        best, outcomes = best_response(at, 50, _SEED)
        assert best.lying == 0 and outcomes[-1].found > 1
        assert outcomes[-1].coalition < outcomes[0].coalition - 0.9 * prices.usd(parameters.provider_bond)


def test_nobody_looks_and_lying_pays() -> None:
    best, outcomes = best_response(world(), 20, _SEED)
    assert best.lying == 1.0
    assert best.coalition - outcomes[0].coalition == pytest.approx(3000 * PRICES.saving_per_lie)


def test_attack_friends_never_make_lying_pay_beyond_the_stated_saving() -> None:
    most = SMALL_BOND.max_games_per_response
    for friends in (1, most, 10 * most):
        for factor in (1.5, 3.0):
            share = threshold(SMALL_BOND, PRICES, 3000, friends=True) * factor
            best, _ = best_response(world(client_share=share, friends=friends), _ROUNDS, _SEED)
            assert best.lying == 0, (friends, factor)
        at = world(client_share=0.02, friends=friends)
        alone, together = play(replace(at, friends=0), 1.0, 50, _SEED), play(at, 1.0, 50, _SEED)
        saved = (together.coalition - alone.coalition) / alone.found
        assert together.found == alone.found  # the same luck
        assert 0 < saved <= friends_save_usd(SMALL_BOND, PRICES)
        assert together.utility["burned"] >= 0.6 * PRICES.usd(SMALL_BOND.lock_per_response) * together.found


def test_attack_holding_all_places_costs_more_than_it_saves() -> None:
    share = threshold(SMALL_BOND, PRICES, 3000) * 0.6
    assert best_response(world(client_share=share), _ROUNDS, _SEED)[0].lying == 1.0
    for races_won in (0.0, 0.5, 0.9):
        at = world(client_share=0.02, filling=True, races_won=races_won)
        plain = play(replace(at, filling=False), 1.0, 50, _SEED)
        assert play(at, 1.0, 50, _SEED).coalition < plain.coalition, races_won


@pytest.mark.parametrize("name,parameters", [("l1", L1), ("l2", L2)])
def test_attack_drowning_costs_more_than_it_wins(name: str, parameters: ProtocolParameters) -> None:
    """A provider that can defend as many games as its bond needs: the bond is burned for more than it is worth, and
    nothing that an attacker can open besides pays for the defended games."""
    prices, safe = Prices(GAS_PRICE_GWEI[name]), safe_capacity(parameters)
    quiet = World(parameters, prices, answers=10)
    for games in (1, safe // 2, safe, safe + 1, 2 * safe):
        outcome = play(replace(quiet, drowning=games, capacity=safe), 0.0, 1, _SEED)
        assert outcome.utility["drowners"] < 0, games
        if games <= safe:  # every defended game pays its provider for the defence
            assert outcome.utility["provider"] > play(quiet, 0.0, 1, _SEED).utility["provider"]
        else:
            assert outcome.utility["drowners"] < -prices.usd(parameters.provider_bond)


def test_drowning_a_provider_that_cannot_defend_itself_pays() -> None:
    """Why capacity is measured and requests beyond it are refused."""
    outcome = play(World(L2, PRICES, answers=10, drowning=50, capacity=0), 0.0, 1, _SEED)
    assert outcome.utility["drowners"] > 0


def test_sleepy_challengers_raise_the_share_that_is_needed_as_far_as_they_sleep() -> None:
    share = 1.5 * threshold(SMALL_BOND, PRICES, 3000)
    awake = world(lookers=4, looker_share=share / 4)
    assert best_response(awake, _ROUNDS, _SEED)[0].lying == 0
    asleep = replace(awake, asleep=0.75)
    assert asleep.share == pytest.approx(awake.share / 4, rel=0.01)
    assert best_response(asleep, _ROUNDS, _SEED)[0].lying == 1
    made_up_for = replace(asleep, looker_share=share)
    assert best_response(made_up_for, 2 * _ROUNDS, _SEED)[0].lying == 0


def test_rewards_alone_pay_nobody_to_look_at_an_honest_provider() -> None:
    at = world(lookers=1, looker_share=0.01)
    assert play(at, 0.0, 50, _SEED).utility["lookers"] < 0
    wrong_share = PRICES.cost_of_recheck / (PRICES.usd(L2.game_reward) - PRICES.gas_usd(GAS.challenger))
    assert play(at, 2 * wrong_share, 400, _SEED).utility["lookers"] > 0
    assert play(at, wrong_share / 2, 400, _SEED).utility["lookers"] < 0


def test_copiers_take_nothing_from_those_who_found_the_lie() -> None:
    at = world(client_share=0.01, lookers=2, looker_share=0.01)
    alone, copied = play(at, 1.0, 50, _SEED), play(replace(at, copiers=9), 1.0, 50, _SEED)
    assert copied.utility["copiers"] > 0
    for role in ("lookers", "clients"):
        assert copied.utility[role] == pytest.approx(alone.utility[role])
    assert copied.coalition == pytest.approx(alone.coalition)
    assert copied.utility["burned"] < alone.utility["burned"]


def test_no_round_creates_or_loses_ether() -> None:
    for number in range(40):
        random = np.random.default_rng(number)
        at = world(
            client_share=random.random() * 0.2, lookers=3, looker_share=random.random() * 0.2, asleep=0.3,
            friends=int(random.integers(6)), filling=bool(random.integers(2)), copiers=int(random.integers(4)),
            drowning=int(random.integers(40)), capacity=int(random.integers(40)), answers=200,
        )  # fmt: skip
        result = play_round(at, float(random.choice(LYING)), random)
        assert result.ether_created_wei == 0
        assert result.wei["burned"] >= 0
