"""Closed forms against brute force, and what the presets promise."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from contracts.protocol.parameters import L1, L2, PRESETS, ProtocolParameters
from economics.figures import exposure_s, figures, gain_of_lying, honest_share, safe_capacity
from economics.gas import GAS
from economics.money import bond_of_next_game, bonds_of_games, forfeited, most_rewards, voided
from economics.prices import GAS_PRICE_GWEI, Prices, PricesError

REAL = [("l1", L1), ("l2", L2)]


@pytest.mark.parametrize("bond", [0.0, 1.0, 50.0, 5000.0])
@pytest.mark.parametrize("lies", [1, 7, 1000])
def test_from_the_threshold_on_no_number_of_lies_pays_and_below_it_one_does(lies: int, bond: float) -> None:
    saving, loss = 0.3, 2.0
    share = honest_share(lies, saving, loss, bond)
    every = range(1, lies + 1)
    above = [gain_of_lying(number, share * 1.001, saving, loss, bond) for number in every]
    assert max(above) <= 1e-9
    below = [gain_of_lying(number, share * 0.99, saving, loss, bond) for number in every]
    assert max(below) > 0
    # No number of lies in between is better than none or all.
    assert max(below) == pytest.approx(max(below[0], below[-1], 0.0))
    assert share <= saving / loss


def test_a_loss_below_the_saving_makes_nobody_honest() -> None:
    assert math.isinf(honest_share(100, saving=3.0, loss_per_caught=2.0, provider_bond=10.0))
    assert honest_share(100, saving=0.0, loss_per_caught=2.0, provider_bond=0.0) == 0


@pytest.mark.parametrize("name,parameters", REAL)
def test_a_reward_is_twice_a_challengers_gas_and_a_lock_ten_rewards(
    name: str, parameters: ProtocolParameters
) -> None:
    gas_wei = GAS.challenger * int(GAS_PRICE_GWEI[name] * 10**9)
    assert parameters.game_reward == pytest.approx(2 * gas_wei, rel=0.05)
    assert parameters.lock_per_response == 10 * parameters.game_reward
    assert voided(parameters, 99).burned == parameters.lock_per_response * 6 // 10


@pytest.mark.parametrize("name,parameters", REAL)
def test_half_a_bond_pays_for_a_defence(name: str, parameters: ProtocolParameters) -> None:
    defence_wei = GAS.provider_moves * int(GAS_PRICE_GWEI[name] * 10**9)
    assert forfeited(parameters.challenger_bond).to_provider >= 1.5 * defence_wei


def test_asking_for_hidden_answers_can_pay_when_most_are_wrong() -> None:
    for name, parameters in REAL:
        found = figures(parameters, Prices(GAS_PRICE_GWEI[name]))
        assert found.wrong_share_for_askers is not None and found.wrong_share_for_lookers is not None
        assert found.wrong_share_for_lookers < found.wrong_share_for_askers < 1


@pytest.mark.parametrize("parameters", PRESETS.values(), ids=list(PRESETS))
def test_bonds_rise_with_load_and_nothing_of_them_is_lost(parameters: ProtocolParameters) -> None:
    load = parameters.bond_load
    assert bond_of_next_game(parameters, 0) == parameters.challenger_bond
    assert bond_of_next_game(parameters, load) == 2 * parameters.challenger_bond
    assert bonds_of_games(parameters, 3) == sum(bond_of_next_game(parameters, k) for k in range(3))
    for bond in (1, 2, 3, bond_of_next_game(parameters, 7)):
        parts = forfeited(bond)
        assert parts.to_provider + parts.burned == bond and parts.burned >= parts.to_provider
    for games in range(2 * parameters.max_games_per_response):
        lock = voided(parameters, games)
        assert lock.lost == parameters.lock_per_response
        assert 5 * lock.burned >= 3 * parameters.lock_per_response
    assert most_rewards(parameters) * 5 <= parameters.lock_per_response * 2


def test_a_provider_of_the_safe_capacity_cannot_be_drowned_for_less_than_its_bond() -> None:
    for _, parameters in REAL:
        safe = safe_capacity(parameters)
        assert bonds_of_games(parameters, safe) >= parameters.provider_bond
        assert bonds_of_games(parameters, safe - 1) < parameters.provider_bond


def test_a_faster_provider_needs_more_looks() -> None:
    shares = [
        figures(L2, replace(Prices(0.1), answers_per_second=rate)).honest_share for rate in (1.0, 10.0, 100.0)
    ]
    assert shares == sorted(shares) and shares[0] < shares[2] / 100
    assert figures(L2, Prices(0.1)).exposure_s == exposure_s(L2) > L2.challenge_window


@pytest.mark.parametrize(
    "field,value",
    [("gas_price_gwei", 0), ("eth_usd", -1), ("recheck_share", 1.5), ("fee_per_answer", math.nan)],
)
def test_impossible_prices_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(PricesError, match="--" + field.replace("_", "-")):
        Prices(**{"gas_price_gwei": 1.0, field: value})  # type: ignore[arg-type]
    with pytest.raises(PricesError, match="--games"):
        figures(L2, Prices(1.0), games=-1)
