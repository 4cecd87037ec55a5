"""A chain with the protocol and a synthetic model, shared by the challenger's tests."""

from __future__ import annotations

import pytest

from contracts.bindings.deployment import ProtocolContracts
from tests.contracts.chain_game import Arena
from tests.contracts.local_chain import LocalChain, contracts, deployment, local_chain
from tests.contracts.synthetic import SyntheticModel

__all__ = ["contracts", "deployment", "local_chain"]


@pytest.fixture(scope="module")
def arena(local_chain: LocalChain, contracts: ProtocolContracts) -> Arena:
    return Arena.prepare(local_chain, contracts, SyntheticModel(step_count=6))
