"""A chain with the protocol and a synthetic model."""

from tests.challenger.conftest import arena
from tests.contracts.local_chain import contracts, deployment, local_chain

__all__ = ["arena", "contracts", "deployment", "local_chain"]
