"""One Anvil for all tests of the operator's commands."""

from tests.contracts.local_chain import contracts, deployment, local_chain

__all__ = ["contracts", "deployment", "local_chain"]
