"""The figures as a text that a person reads from top to bottom."""

from __future__ import annotations

import math

from contracts.protocol.ether import show_ether
from contracts.protocol.parameters import ProtocolParameters

from .figures import Figures
from .prices import Prices


def report(name: str, parameters: ProtocolParameters, prices: Prices, found: Figures) -> str:
    """Lines under headings, a quantity each."""
    lines = [
        f"Economics of {name} at {prices.gas_price_gwei:g} gwei and {prices.eth_usd:,.0f} dollars per ether",
        "",
        "At stake",
        _line(
            "lock per response",
            _both(parameters.lock_per_response, prices),
            f"{found.lock_over_gas:.1f} times a challenger's gas",
        ),
        _line(
            "provider's bond", _both(parameters.provider_bond, prices), "burned by its first lost response"
        ),
        _line(
            "challenger's bond",
            _both(parameters.challenger_bond, prices),
            f"doubled at {parameters.bond_load} open games",
        ),
        _line(
            "reward of a game",
            _both(parameters.game_reward, prices),
            f"{found.reward_over_gas:.1f} times a challenger's gas",
        ),
        _line("price of asking", _both(parameters.ask_price, prices), "the provider's when it shows"),
        _line(
            "burned of a lost lock",
            f"at least {100 * found.least_burned_share:.0f} %",
            f"friends save at most {_usd(found.friends_save_usd)} of {_usd(found.lock_usd)}",
        ),
        "",
        f"Lying ({_usd(prices.saving_per_lie)} saved per lie, {_usd(prices.fee_per_answer)} per answer, "
        f"{prices.answers_per_second:g} answers per second)",
        _line(
            "time until a pause",
            f"at most {found.exposure_s / 86_400:.1f} days",
            f"{found.lies_before_pause:,.0f} lies",
        ),
        _line(
            "a caught lie costs", _usd(found.loss_per_caught_lie_usd), "lock and fee, less what friends save"
        ),
        _line(
            f"lying always, p = {prices.recheck_share:g}",
            _usd(found.gain_of_always_lying_usd),
            "on average until the pause",
        ),
        _line(
            "honesty pays from p =",
            _share(found.honest_share),
            "it pays here" if found.honesty_pays else "it does NOT pay here",
        ),
        _line(
            "without the bond from p =",
            _share(found.honest_share_whatever_is_at_stake),
            "the saving over the loss of one lie",
        ),
        "",
        f"Looking ({_usd(prices.cost_of_recheck)} per re-check)",
        _line(
            "a dispute's gas",
            f"{_usd(found.dispute_gas_challenger_usd)} challenger",
            f"{_usd(found.dispute_gas_provider_usd)} provider",
        ),
        _line("pays for itself if", _wrong(found.wrong_share_for_lookers), "with rewards alone"),
        _line("and with asking if", _wrong(found.wrong_share_for_askers), "when everything is hidden"),
        _line(
            f"or somebody pays, p = {prices.recheck_share:g}",
            f"{_usd(found.paying_for_looking_usd_per_day)} per day",
            "no fees"
            if found.paying_for_looking_over_fees is None
            else f"{100 * found.paying_for_looking_over_fees:.3g} % of the fees",
        ),
        "",
        f"Drowning ({found.games} games at once, {found.capacity} can be defended)",
        _line("bonds to put up", _usd(found.bonds_of_games_usd), ""),
        _line("the attacker loses", _usd(found.drowning_costs_usd), "bonds of defended games, and gas"),
        _line("the attacker wins", _usd(found.drowning_wins_usd), "rewards of games that were not defended"),
        _line("the provider loses", _usd(found.provider_loses_usd), "most of it is burned"),
        _line(
            "its bond is safe from",
            f"{found.capacity_at_which_the_bond_is_safe} games",
            "defended at once: taking it costs as much",
        ),
        "",
        "Running",
        _line(
            "capital locked",
            f"{found.capital_eth:,.4g} ETH",
            f"{found.capital_eth_per_answer_per_second:,.4g} ETH per answer per second, and the bond",
        ),
        *(
            _line(f"gas per answer, batch of {size:,}", _usd(cost), "")
            for size, cost in found.undisputed_usd_by_batch.items()
        ),
    ]
    return "\n".join(lines)


def _line(name: str, value: str, note: str) -> str:
    return f"  {name:<32}{value:<32}{note}".rstrip()


def _both(wei: int, prices: Prices) -> str:
    return f"{show_ether(wei)} ({_usd(prices.usd(wei))})"


def _usd(amount: float) -> str:
    if amount == 0 or abs(amount) >= 0.01:
        return f"${amount:,.2f}" if amount >= 0 else f"-${-amount:,.2f}"
    return f"${amount:.2g}" if amount > 0 else f"-${-amount:.2g}"


def _share(share: float) -> str:
    return "never" if math.isinf(share) else f"{share:.2g} (1 in {1 / share:,.0f})" if share else "0"


def _wrong(share: float | None) -> str:
    return "never: the reward is too small" if share is None else f"{100 * share:.2g} % of them are wrong"
