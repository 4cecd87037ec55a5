"""A local chain for tests: one Anvil and one deployment per test session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.bindings.chain import Chain
from contracts.bindings.deployment import Deployment, ProtocolContracts, deploy_protocol
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.sender import Sender, open_sender
from contracts.protocol.parameters import DEVNET
from devnet.anvil import free_port, start_anvil, stop_process

_BLOCKS_A_REQUEST = 50


@dataclass
class LocalChain:
    """A chain whose clock and mining the test controls."""

    chain: Chain
    directory: Path

    def sender(self, account: int, journal: str = "journal") -> Sender:
        address = self.chain.unlocked_accounts()[account]
        url = f"sqlite:///{self.directory / f'{journal}-{account}.sqlite'}"
        return open_sender(self.chain, UnlockedSigner(self.chain, address), url)

    def pass_time(self, seconds: int) -> None:
        self.chain.request("evm_increaseTime", [seconds])
        self.mine()

    def mine(self, blocks: int = 1) -> None:
        """In requests that a busy machine answers before a client gives up."""
        for mined in range(0, blocks, _BLOCKS_A_REQUEST):
            self.chain.request("anvil_mine", [hex(min(_BLOCKS_A_REQUEST, blocks - mined))])


@pytest.fixture(scope="session")
def local_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChain]:
    directory = tmp_path_factory.mktemp("anvil")
    anvil = start_anvil(free_port(), directory / "anvil.log", block_time_s=None)
    yield LocalChain(Chain(anvil.rpc_url), directory)
    stop_process(anvil.pid)


@pytest.fixture(scope="session")
def deployment(local_chain: LocalChain) -> Deployment:
    return deploy_protocol(local_chain.sender(0), DEVNET)


@pytest.fixture(scope="session")
def contracts(local_chain: LocalChain, deployment: Deployment) -> ProtocolContracts:
    return ProtocolContracts(local_chain.chain, deployment)
