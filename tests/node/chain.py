"""A provider on a real local chain, serving the tiny model with its generated verifiers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.bindings.deployment import Deployment, ProtocolContracts, verifier_artifacts
from contracts.bindings.keys import Signer, UnlockedSigner
from contracts.bindings.registration import register_model
from contracts.bindings.sender import Sender
from contracts.protocol.game import Outcome
from node.chain_access import ChainAccess
from node.provider import Provider
from node.serving import CommittedServing
from node.settings import ProviderSettings, load_settings
from prover.curve.srs import SRS
from prover.model.weights import IntegerModel
from prover.model_commitment import commit_model
from tests.contracts.local_chain import LocalChain
from verifier_gen import generate_sources

PROVIDER, CHALLENGER, CLIENT = 1, 2, 3
_STAKE_ETHER = 500


@pytest.fixture(scope="session")
def serving(tiny: IntegerModel, local_chain: LocalChain, contracts: ProtocolContracts) -> CommittedServing:
    """The tiny model, committed and registered."""
    return registered(tiny, local_chain, contracts)


def registered(tiny: IntegerModel, local: LocalChain, contracts: ProtocolContracts) -> CommittedServing:
    """The same on any chain."""
    srs = SRS.devnet(18)
    commitment = commit_model(tiny, srs, cache_dir=None)
    model_id = register_model(
        local.sender(0), contracts, commitment, verifier_artifacts(generate_sources(tiny.config, srs))
    )
    return CommittedServing("tiny", tiny, commitment, srs, model_id)


@dataclass
class ProviderHouse:
    """Makes providers over one database, as often as it takes: a second one is a restart."""

    local: LocalChain
    contracts: ProtocolContracts
    serving: CommittedServing
    settings: ProviderSettings
    signer: Signer

    def start(self) -> Provider:
        self.local.mine()  # the chain has no blocks of its own: its time would be that of the last test's last one
        access = ChainAccess(self.contracts.chain, self.contracts, self.contracts.stake.parameters(), 0, None)
        provider = Provider(self.settings, access, self.serving, self.signer)
        provider.prepare()
        return provider

    def other(self, account: int) -> Sender:
        """A sender of somebody else."""
        return self.local.sender(account)

    def pass_time(self, seconds: int) -> None:
        self.local.pass_time(seconds)


@pytest.fixture
def house(
    tmp_path: Path, local_chain: LocalChain, contracts: ProtocolContracts, serving: CommittedServing
) -> ProviderHouse:
    return make_house(tmp_path / "node.sqlite", local_chain, contracts, serving)


def make_house(
    database: Path, local: LocalChain, contracts: ProtocolContracts, serving: CommittedServing
) -> ProviderHouse:
    address = local.chain.unlocked_accounts()[PROVIDER]
    end_games(local, contracts, address)
    if contracts.stake.free_stake(address) < 50 * 10**18:
        sender = local.sender(PROVIDER, journal=f"stake-{database.parent.name}")
        sender.send(contracts.stake.deposit(_STAKE_ETHER * 10**18), f"stake at {sender.chain.nonce(address)}")
        if contracts.stake.is_paused(address):  # an earlier test lost a response
            local.pass_time(1)
            sender.send(contracts.stake.resume(), f"resume at {sender.chain.nonce(address)}")
    settings = load_settings(
        model="tiny", rpc_url=local.chain.rpc_url, account=address, batch_interval_s=5,
        database_url=f"sqlite:///{database}", traces_dir=database.parent / "traces",
    )  # fmt: skip
    return ProviderHouse(local, contracts, serving, settings, UnlockedSigner(local.chain, address))


def end_games(local: LocalChain, contracts: ProtocolContracts, provider: str) -> None:
    """End what earlier tests left open: a node that plays a game puts other work off."""
    if not contracts.ledger.open_games_of(provider):
        return
    sender, games = local.sender(0, "games of earlier tests"), contracts.game
    for number in range(games.game_count(), 0, -1):
        game = games.game(number)
        if game.provider != provider or game.outcome is not Outcome.UNDECIDED:
            continue
        if contracts.ledger.response(game.batch_id, game.index).is_void:
            sender.send(games.resolve_void(number), f"void game {number}")
            continue
        local.pass_time(max(0, game.deadline - local.chain.head().timestamp) + 1)
        sender.send(games.timeout(number), f"timeout of game {number}")
    assert contracts.ledger.open_games_of(provider) == 0


def play(step: Callable[[], object], rounds: int = 3) -> None:
    """Repeat a step."""
    for _ in range(rounds):
        step()


__all__ = ["CHALLENGER", "CLIENT", "Deployment", "ProviderHouse", "house", "make_house", "play", "serving"]
