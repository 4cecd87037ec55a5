"""The money rules of the contracts, in wei: where each wei of a bond, a lock and a price goes.

Mirrors `InferenceLedger`, `DisputeGame` and `ProviderStake`; amounts are rounded as they are there. Everything else in
this package counts with these functions, and tests compare them with what the contracts do on a chain.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.protocol.parameters import ProtocolParameters


@dataclass(frozen=True)
class Forfeit:
    """A bond whose owner lost its game."""

    to_provider: int
    burned: int


@dataclass(frozen=True)
class Voided:
    """The lock of a response that became void: what each paid game gets, for how many, and what is burned."""

    reward: int
    paid_games: int
    burned: int

    @property
    def lost(self) -> int:
        return self.reward * self.paid_games + self.burned


def bond_of_next_game(parameters: ProtocolParameters, open_games: int) -> int:
    """Bond of a game against a provider that has `open_games` others open: linear, doubled at `bond_load`."""
    return parameters.challenger_bond + parameters.challenger_bond * open_games // parameters.bond_load


def bonds_of_games(parameters: ProtocolParameters, games: int) -> int:
    """Bonds of so many games opened one after the other while none of them ends."""
    return sum(bond_of_next_game(parameters, open_games) for open_games in range(games))


def forfeited(bond: int) -> Forfeit:
    """A challenger's lost bond: half to the provider, the odd wei burned."""
    to_provider = bond // 2
    return Forfeit(to_provider, bond - to_provider)


def voided(parameters: ProtocolParameters, open_games: int) -> Voided:
    """The lock of a response that becomes void while so many games are open on it (joiners counted)."""
    paid = min(open_games, parameters.max_games_per_response)
    burned = parameters.lock_per_response - paid * parameters.game_reward
    return Voided(parameters.game_reward, paid, burned)


def bond_of_provider_burned(parameters: ProtocolParameters, lost_before: int) -> int:
    """What a lost response burns beside its lock: the provider's bond, once for all that was posted behind it.

    `lost_before`: earlier losses of responses that were posted behind the same bond; a new one is deposited to resume.
    """
    return parameters.provider_bond if lost_before == 0 else 0


def most_rewards(parameters: ProtocolParameters) -> int:
    """The largest part of a lock that is not burned: all places taken."""
    return parameters.game_reward * parameters.max_games_per_response
