"""Strategic agents over many rounds, paid by the rules of `money.py`: does anybody do better than honestly?

A round is the time until a first lost game can pause the provider. In it the provider gives `answers` answers and lies in
a share of them; whoever is awake re-runs a random share and opens a game about what is wrong. Then come those who do
not look themselves: friends of the provider, who open games about lies that were found, conceded to them; copiers,
who open games where games are open; fillers, friends who hold all places first and lose them; drowners, who open more
games about right answers than the provider can defend.

Each round gives every role its utility in dollars: ether by the protocol's rules, gas, what a lie saves and a re-run costs.
Ether is conserved: what one role loses another gets, or it is burned (`Round.ether_created_wei`, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from contracts.protocol.parameters import ProtocolParameters

from .gas import GAS, GasTable
from .money import bond_of_next_game, bond_of_provider_burned, forfeited, voided
from .prices import Prices

#: Shares of lies that a strategic provider considers.
LYING = (0.0, 0.01, 0.1, 0.3, 1.0)
ROLES = ("provider", "friends", "lookers", "copiers", "clients", "drowners", "burned")


@dataclass(frozen=True)
class World:
    """Who is there. Shares and chances are between 0 and 1.

    `client_share`: of their own answers that clients re-run, always awake. `looker_share`: of all answers that
    each of `lookers` challengers re-runs; each is `asleep` for a whole round with that chance.
    `friends`: games that friends of the provider open about each lie that was found. `filling`: friends hold all places of
    each lie before it is found, and win the race for a freed place with the chance `races_won`.
    `copiers`: games that others open about each answer with an open game. `drowning`: games that are opened at once about
    right answers, of which the provider can defend `capacity`.
    """

    parameters: ProtocolParameters
    prices: Prices
    answers: int
    client_share: float = 0.0
    lookers: int = 1
    looker_share: float = 0.0
    asleep: float = 0.0
    friends: int = 0
    filling: bool = False
    races_won: float = 0.5
    copiers: int = 0
    drowning: int = 0
    capacity: int = 10**6
    gas: GasTable = field(default=GAS)

    @property
    def share(self) -> float:
        """The chance that a given answer is re-run by anybody who is awake."""
        missed = (1 - self.client_share) * (1 - self.looker_share * (1 - self.asleep)) ** self.lookers
        return 1 - missed


@dataclass
class Round:
    """What one round brought: ether in wei and dollars beside it, by role."""

    wei: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    usd: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ROLES, 0.0))
    lies: int = 0
    found: int = 0

    @property
    def ether_created_wei(self) -> int:
        """0: the protocol moves ether and burns it."""
        return sum(self.wei.values())

    def move(self, amount_wei: int, source: str, target: str) -> None:
        self.wei[source] -= amount_wei
        self.wei[target] += amount_wei

    def utility(self, role: str, prices: Prices) -> float:
        return self.usd[role] + prices.usd(self.wei[role])


def play_round(world: World, lying: float, random: np.random.Generator) -> Round:
    """One round with a provider that lies in a share of its answers."""
    result, prices = Round(lies=int(random.binomial(world.answers, lying))), world.prices
    result.usd["provider"] += prices.saving_per_lie * result.lies
    result.usd["provider"] += prices.fee_per_answer * world.answers
    result.usd["clients"] -= prices.fee_per_answer * world.answers
    finders = _look(world, result, random)
    lost = 0
    for by_client, by_lookers in finders:
        _lose_a_lie(world, result, by_client, by_lookers, lost, random)
        lost += 1
    result.found = lost
    _drown(world, result, lost)
    return result


def _look(world: World, result: Round, random: np.random.Generator) -> list[tuple[bool, int]]:
    """Per lie that is found: whether its client found it, and how many lookers did. Everybody pays for re-runs."""
    prices = world.prices
    client_found = random.random(result.lies) < world.client_share
    looker_found = np.zeros(result.lies, dtype=np.int64)
    for _ in range(world.lookers):
        if random.random() < world.asleep:
            continue
        looker_found += random.random(result.lies) < world.looker_share
        result.usd["lookers"] -= world.looker_share * world.answers * prices.cost_of_recheck
    result.usd["clients"] -= world.client_share * world.answers * prices.cost_of_recheck
    found = np.flatnonzero(client_found | (looker_found > 0))
    return [(bool(client_found[lie]), int(looker_found[lie])) for lie in found]


def _lose_a_lie(
    world: World, result: Round, by_client: bool, by_lookers: int, lost: int, random: np.random.Generator
) -> None:
    """A lie that somebody disputes: its lock is shared out and burned, its fee goes back, the first one burns the bond."""
    parameters, prices, gas = world.parameters, world.prices, world.gas
    if world.filling:
        _fill(world, result, random)
    # Who found it committed first; places that are left go to friends, then to copiers.
    places = parameters.max_games_per_response
    takers = [("clients", int(by_client)), ("lookers", by_lookers)]
    takers += [("friends", world.friends), ("copiers", world.copiers)]
    games: list[tuple[str, int]] = []
    for role, wanted in takers:
        taken = min(wanted, places)
        places -= taken
        games.append((role, taken))
    lock = voided(parameters, sum(taken for _, taken in games))
    for role, taken in games:
        result.move(lock.reward * taken, "provider", role)
        # A friend's game is conceded: it pays for the commitment only, which flatters it.
        per_game = gas.commit_opening if role == "friends" else gas.challenger
        result.usd[role] -= taken * prices.gas_usd(per_game)
    result.move(lock.burned, "provider", "burned")
    result.move(bond_of_provider_burned(parameters, lost), "provider", "burned")
    result.usd["provider"] -= prices.fee_per_answer + prices.gas_usd(gas.provider_moves)
    result.usd["clients"] += prices.fee_per_answer


def _fill(world: World, result: Round, random: np.random.Generator) -> None:
    """Friends hold every place and lose a game each time the honest wait for one, until they lose a race for it."""
    parameters, prices = world.parameters, world.prices
    losses = parameters.max_games_per_response
    while random.random() < world.races_won:
        losses += 1
    bond = forfeited(bond_of_next_game(parameters, parameters.max_games_per_response - 1))
    result.move(bond.to_provider * losses, "friends", "provider")
    result.move(bond.burned * losses, "friends", "burned")
    result.usd["friends"] -= losses * prices.gas_usd(world.gas.commit_opening)


def _drown(world: World, result: Round, lost: int) -> None:
    """Games about right answers: the defended ones lose their bonds, the others take locks, and perhaps the bond."""
    parameters, prices, gas = world.parameters, world.prices, world.gas
    for number in range(world.drowning):
        result.usd["drowners"] -= prices.gas_usd(gas.challenger)
        if number < world.capacity:
            bond = forfeited(bond_of_next_game(parameters, number))
            result.move(bond.to_provider, "drowners", "provider")
            result.move(bond.burned, "drowners", "burned")
            result.usd["provider"] -= prices.gas_usd(gas.provider_moves)
        else:
            lock = voided(parameters, 1)
            result.move(lock.reward, "provider", "drowners")
            result.move(lock.burned, "provider", "burned")
            result.move(bond_of_provider_burned(parameters, lost), "provider", "burned")
            result.usd["provider"] -= prices.fee_per_answer
            result.usd["clients"] += prices.fee_per_answer
            lost += 1


@dataclass(frozen=True)
class Outcome:
    """Means over rounds, in dollars per round; `coalition` is the provider together with its friends."""

    lying: float
    utility: dict[str, float]
    found: float

    @property
    def coalition(self) -> float:
        return self.utility["provider"] + self.utility["friends"]


def play(world: World, lying: float, rounds: int, seed: int) -> Outcome:
    """The mean of so many rounds; the same seed draws the same luck for every strategy."""
    results = [play_round(world, lying, np.random.default_rng((seed, number))) for number in range(rounds)]
    utility = {
        role: float(np.mean([result.utility(role, world.prices) for result in results])) for role in ROLES
    }
    return Outcome(lying, utility, float(np.mean([result.found for result in results])))


def best_response(
    world: World, rounds: int, seed: int, strategies: Sequence[float] = LYING
) -> tuple[Outcome, list[Outcome]]:
    """(the strategy that is best for provider and friends together, all of them); honesty wins ties."""
    outcomes = [play(world, lying, rounds, seed) for lying in strategies]
    return max(outcomes, key=lambda outcome: (outcome.coalition, -outcome.lying)), outcomes


def least_honest_share(
    world: World, shares: Sequence[float], rounds: int, seed: int, by_clients: bool = True
) -> float | None:
    """The smallest of `shares` from which on honesty is the best response at all larger ones; None: at none."""
    honest_from: float | None = None
    for share in sorted(shares, reverse=True):
        at = replace(world, client_share=share) if by_clients else replace(world, looker_share=share)
        if best_response(at, rounds, seed)[0].lying > 0:
            break
        honest_from = share
    return honest_from
