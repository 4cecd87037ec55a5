"""When honesty pays, who can afford to look, and what attacks cost: closed forms. docs/economics.md derives them.

    S saving per lie, F fee, p share of answers that are re-checked, L' what a void response costs its provider,
    B provider's bond, N lies that can be told before the first lost game pauses the provider.

    U(N) = N (S - p (L' + F)) - B (1 - (1 - p)^N)

U is convex in N and U(0) = 0, so the best number of lies is none or all. U falls as p grows; its root is the threshold.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from contracts.protocol.parameters import ProtocolParameters

from .gas import GAS, GasTable
from .money import bonds_of_games, most_rewards
from .prices import Prices, PricesError

BATCHES = (1, 16, 256, 4096)
DAY = 86_400
_MOST_GAMES = 10**6
_HALVINGS = 200


@dataclass(frozen=True)
class Figures:
    """Dollars and seconds, unless the name says otherwise."""

    # what is at stake
    lock_usd: float
    provider_bond_usd: float
    challenger_bond_usd: float
    game_reward_usd: float
    ask_price_usd: float
    least_burned_share: float
    # lying
    exposure_s: int
    lies_before_pause: float
    loss_per_caught_lie_usd: float
    friends_save_usd: float
    gain_of_always_lying_usd: float
    honest_share_whatever_is_at_stake: float
    honest_share: float
    honesty_pays: bool
    # looking
    dispute_gas_challenger_usd: float
    dispute_gas_provider_usd: float
    reward_over_gas: float
    lock_over_gas: float
    wrong_share_for_lookers: float | None
    wrong_share_for_askers: float | None
    paying_for_looking_usd_per_day: float
    paying_for_looking_over_fees: float | None
    # drowning
    games: int
    capacity: int
    bonds_of_games_usd: float
    drowning_costs_usd: float
    drowning_wins_usd: float
    provider_loses_usd: float
    capacity_at_which_the_bond_is_safe: int
    # running
    capital_eth_per_answer_per_second: float
    capital_eth: float
    undisputed_usd_by_batch: dict[int, float]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def exposure_s(parameters: ProtocolParameters, rounds: int = 2) -> int:
    """Longest time from an answer to the game that it loses: posted at the last moment, disputed in the last second of
    its window by somebody who moves at once, against a provider that uses all its time and loses by silence."""
    first = max(parameters.clock, parameters.trace_extension)
    later = (rounds - 1) * parameters.move_extension + parameters.prove_extension
    return parameters.posting_window + parameters.challenge_window + first + later


def gain_of_lying(
    lies: float, share: float, saving: float, loss_per_caught: float, provider_bond: float
) -> float:
    """U(N) of the module's head: what so many lies bring on average, in the amounts' unit."""
    caught_once = -math.expm1(lies * math.log1p(-share)) if share < 1 else float(lies > 0)
    return lies * (saving - share * loss_per_caught) - provider_bond * caught_once


def honest_share(lies: float, saving: float, loss_per_caught: float, provider_bond: float) -> float:
    """The share p from which no number of lies up to `lies` pays. More than 1: none does."""
    if saving == 0 or lies == 0:
        return 0.0
    if gain_of_lying(lies, 1.0, saving, loss_per_caught, provider_bond) > 0:
        return math.inf
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if gain_of_lying(lies, middle, saving, loss_per_caught, provider_bond) > 0:
            low = middle
        else:
            high = middle
    return high


def friends_save_usd(parameters: ProtocolParameters, prices: Prices, gas: GasTable = GAS) -> float:
    """What a provider gets back of a lock when its friends hold every place: at most two fifths of it, less their gas."""
    per_game = prices.usd(parameters.game_reward) - prices.gas_usd(gas.commit_opening)
    return max(0.0, per_game) * parameters.max_games_per_response


def safe_capacity(parameters: ProtocolParameters) -> int:
    """Games that a provider must be able to defend at once so that taking its bond from it by drowning costs as much."""
    spent = games = 0
    while spent < parameters.provider_bond and games < _MOST_GAMES:
        spent += parameters.challenger_bond + parameters.challenger_bond * games // parameters.bond_load
        games += 1
    return games


def figures(
    parameters: ProtocolParameters,
    prices: Prices,
    *,
    games: int = 1000,
    capacity: int | None = None,
    gas: GasTable = GAS,
) -> Figures:
    """Everything about one deployment. `capacity`: games that the provider can defend at once (None: all of `games`).

    Raises PricesError when a number of games is out of range.
    """
    capacity = games if capacity is None else capacity
    for name, number in (("--games", games), ("--capacity", capacity)):
        if not 0 <= number <= _MOST_GAMES:
            raise PricesError(f"{name} is {number}; give a number of games from 0 to {_MOST_GAMES}")
    usd, gas_usd = prices.usd, prices.gas_usd
    lock, bond, reward = (
        usd(parameters.lock_per_response),
        usd(parameters.provider_bond),
        usd(parameters.game_reward),
    )
    saves = friends_save_usd(parameters, prices, gas)
    caught = lock - saves + prices.fee_per_answer
    exposed = exposure_s(parameters)
    lies = prices.answers_per_second * exposed
    share = honest_share(lies, prices.saving_per_lie, caught, bond)
    net_reward = reward - gas_usd(gas.challenger)
    asking = usd(parameters.ask_price) + gas_usd(gas.ask)
    defended = min(games, capacity)
    lost = games - defended
    looking_per_day = prices.recheck_share * prices.answers_per_second * DAY * prices.cost_of_recheck
    fees_per_day = prices.fee_per_answer * prices.answers_per_second * DAY
    locked = parameters.lock_per_response / 1e18 * parameters.challenge_window
    return Figures(
        lock_usd=lock,
        provider_bond_usd=bond,
        challenger_bond_usd=usd(parameters.challenger_bond),
        game_reward_usd=reward,
        ask_price_usd=usd(parameters.ask_price),
        least_burned_share=1 - most_rewards(parameters) / parameters.lock_per_response,
        exposure_s=exposed,
        lies_before_pause=lies,
        loss_per_caught_lie_usd=caught,
        friends_save_usd=saves,
        gain_of_always_lying_usd=gain_of_lying(
            lies, prices.recheck_share, prices.saving_per_lie, caught, bond
        ),
        honest_share_whatever_is_at_stake=prices.saving_per_lie / caught if caught else math.inf,
        honest_share=share,
        honesty_pays=prices.recheck_share >= share,
        dispute_gas_challenger_usd=gas_usd(gas.challenger),
        dispute_gas_provider_usd=gas_usd(gas.provider_moves),
        reward_over_gas=reward / gas_usd(gas.challenger),
        lock_over_gas=lock / gas_usd(gas.challenger),
        wrong_share_for_lookers=_break_even(prices.cost_of_recheck, net_reward),
        wrong_share_for_askers=_break_even(prices.cost_of_recheck + asking, net_reward),
        paying_for_looking_usd_per_day=looking_per_day,
        paying_for_looking_over_fees=looking_per_day / fees_per_day if fees_per_day else None,
        games=games,
        capacity=capacity,
        bonds_of_games_usd=usd(bonds_of_games(parameters, games)),
        drowning_costs_usd=usd(bonds_of_games(parameters, defended)) + games * gas_usd(gas.challenger),
        drowning_wins_usd=lost * reward,
        provider_loses_usd=(lost * lock + bond) if lost else 0.0,
        capacity_at_which_the_bond_is_safe=safe_capacity(parameters),
        capital_eth_per_answer_per_second=locked,
        capital_eth=locked * prices.answers_per_second + parameters.provider_bond / 1e18,
        undisputed_usd_by_batch={size: gas_usd(gas.undisputed_batch) / size for size in BATCHES},
    )


def _break_even(cost: float, net_reward: float) -> float | None:
    """How often a looked-at answer must be wrong so that looking pays; None: it never does."""
    if net_reward <= 0 or cost > net_reward:
        return None
    return cost / net_reward
