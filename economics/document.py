"""The tables and the plot of docs/economics.md, made from the formulas and the simulation.

Rewrite them with `python -m economics.document`; a test checks that they are current.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from contracts.protocol.ether import show_ether
from contracts.protocol.parameters import L1, L2, ProtocolParameters

from .figures import BATCHES, Figures, figures, friends_save_usd, honest_share
from .gas import GAS
from .plots import Line, Panel, svg
from .prices import GAS_PRICE_GWEI, Prices
from .simulation import World, best_response, play

DOCUMENT = Path(__file__).parents[1] / "docs" / "economics.md"
PLOT = DOCUMENT.with_suffix(".svg")
_PRESETS = {"l1": L1, "l2": L2}
_RATES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
_ROUNDS, _SEED, _ANSWERS = 300, 13, 3000
#: The bond of the simulated provider: its answers are fewer than a real one gives before a pause, so its bond is, too.
_SMALL_BOND = 10**14
_FACTORS = (0.25, 0.5, 0.8, 1.25, 2.0, 4.0)


def _prices(name: str) -> Prices:
    return Prices(GAS_PRICE_GWEI[name])


def _number(value: float | None) -> str:
    return "never" if value is None or value == float("inf") else f"{value:.2g}"


def _amounts() -> str:
    def row(name: str, show: Callable[[str, ProtocolParameters, Figures], str]) -> str:
        cells = [show(key, p, figures(p, _prices(key))) for key, p in _PRESETS.items()]
        return f"| {name} | {' | '.join(cells)} |"

    def ether(field: str) -> Callable[[str, ProtocolParameters, Figures], str]:
        return lambda key, p, _: (
            f"{show_ether(getattr(p, field))} (${_prices(key).usd(getattr(p, field)):,.2f})"
        )

    return "\n".join(
        [
            "| | l1 | l2 |",
            "| --- | --- | --- |",
            row("gas price", lambda key, p, f: f"{GAS_PRICE_GWEI[key]:g} gwei"),
            row("lock per response L", ether("lock_per_response")),
            row("L over a challenger's gas", lambda key, p, f: f"{f.lock_over_gas:.1f}"),
            row("provider's bond B", ether("provider_bond")),
            row("challenger's bond, first game", ether("challenger_bond")),
            row("reward of a game", ether("game_reward")),
            row("reward over a challenger's gas", lambda key, p, f: f"{f.reward_over_gas:.1f}"),
            row(
                "half a bond over a defence's gas",
                lambda key, p, f: f"{f.challenger_bond_usd / 2 / f.dispute_gas_provider_usd:.1f}",
            ),
            row("price of asking", ether("ask_price")),
            row("friends save of a lock, at most", lambda key, p, f: f"${f.friends_save_usd:,.2f}"),
            row("longest time to a pause", lambda key, p, f: f"{f.exposure_s / 86_400:.1f} days"),
            row(
                "p from which honesty pays, 1 answer/s",
                lambda key, p, f: _number(f.honest_share),
            ),
            row(
                "the same without the bond, S / (L' + F)",
                lambda key, p, f: _number(f.honest_share_whatever_is_at_stake),
            ),
            row(
                "wrong share that pays looking",
                lambda key, p, f: _number(f.wrong_share_for_lookers),
            ),
            row("the same when everything is hidden", lambda key, p, f: _number(f.wrong_share_for_askers)),
            row(
                "games to defend at once for a safe bond",
                lambda key, p, f: str(f.capacity_at_which_the_bond_is_safe),
            ),
            row(
                "capital per answer per second",
                lambda key, p, f: f"{f.capital_eth_per_answer_per_second:,.4g} ETH",
            ),
            *(
                row(
                    f"an undisputed answer, batch of {size:,}",
                    lambda key, p, f, size=size: f"${f.undisputed_usd_by_batch[size]:.2g}",  # type: ignore[misc]
                )
                for size in BATCHES
            ),
        ]
    )


def _world(**changes: object) -> tuple[World, float]:
    """A simulated provider, and the share from which the closed form says that honesty pays."""
    parameters, prices = replace(L2, provider_bond=_SMALL_BOND), _prices("l2")
    world = replace(World(parameters, prices, _ANSWERS), **changes)  # type: ignore[arg-type]
    loss = prices.usd(parameters.lock_per_response) + prices.fee_per_answer
    if world.friends:
        loss -= friends_save_usd(parameters, prices)
    else:
        loss += prices.gas_usd(GAS.provider_moves)
    return world, honest_share(_ANSWERS, prices.saving_per_lie, loss, prices.usd(_SMALL_BOND))


_CASES: dict[str, dict[str, object]] = {
    "nobody else": {},
    "four friends": {"friends": 4},
    "all places held": {"filling": True},
    "four copiers": {"copiers": 4},
}


def _at(world: World, share: float) -> World:
    return replace(world, client_share=share)


def _simulated() -> str:
    lines = [
        "| lying pays in the simulation at p = … times the threshold | "
        + " | ".join(f"{f:g}" for f in _FACTORS)
        + " |",
        "| --- |" + " --- |" * len(_FACTORS),
    ]
    for name, changes in _CASES.items():
        world, share = _world(**changes)
        cells = []
        for factor in _FACTORS:
            best, _ = best_response(_at(world, share * factor), _ROUNDS, _SEED)
            cells.append("no" if best.lying == 0 else f"yes ({best.lying:g} of answers)")
        lines.append(f"| {name}, threshold {share:.2g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _sleepy() -> str:
    lines = [
        "| asleep | what they re-run together | best share of lies | lookers earn per round |",
        "| --- | --- | --- | --- |",
    ]
    world, share = _world()
    for asleep in (0.0, 0.25, 0.5, 0.75, 0.9):
        at = replace(world, lookers=4, looker_share=1.5 * share / 4, asleep=asleep)
        best, outcomes = best_response(at, 2 * _ROUNDS, _SEED)
        lines.append(
            f"| {100 * asleep:.0f} % | {at.share / share:.2f} thresholds | {best.lying:g} | "
            f"${outcomes[0].utility['lookers']:.4f} from an honest provider |"
        )
    return "\n".join(lines)


def _plot() -> str:
    rates = [
        Line(
            name + (" without the bond" if dashed else ""),
            [
                (
                    rate,
                    (found.honest_share_whatever_is_at_stake if dashed else found.honest_share),
                )
                for rate in (10 ** (exponent / 4) for exponent in range(-8, 13))
                for found in [figures(parameters, replace(_prices(name), answers_per_second=rate))]
            ],
            dashed,
        )
        for name, parameters in _PRESETS.items()
        for dashed in (False, True)
    ]
    gains = []
    for name, changes in _CASES.items():
        world, _ = _world(**changes)
        _, threshold = _world()
        points = []
        for factor in (0.1, 0.2, 0.4, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0):
            at = _at(world, threshold * factor)
            gain = play(at, 1.0, _ROUNDS, _SEED).coalition - play(at, 0.0, 1, _SEED).coalition
            points.append((factor, gain))
        gains.append(Line(name, points))
    return svg(
        [
            Panel(
                "From this share of re-checks on honesty pays", "answers per second", "p",
                rates, _RATES, (1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1), y_log=True,
            ),
            Panel(
                "What always lying brings in the simulation", "p over the threshold", "dollars per round",
                gains, (0.1, 0.5, 1, 2, 5), (-12, -9, -6, -3, 0, 3), names_below=True,
            ),
        ]
    )  # fmt: skip


_PARTS: dict[str, Callable[[], str]] = {"amounts": _amounts, "simulation": _simulated, "sleepy": _sleepy}


def rewritten(text: str) -> str:
    """The document with its tables made anew."""
    for name, make in _PARTS.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, rest = text.split(start)
        _, after = rest.split(end)
        text = before + start + make() + "\n" + end + after
    return text


def plot() -> str:
    """The SVG beside it."""
    return _plot()


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    PLOT.write_text(plot(), encoding="utf-8")
