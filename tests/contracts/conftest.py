"""One Anvil and one deployment for all tests of the bindings."""

from tests.contracts.local_chain import contracts, deployment, local_chain

__all__ = ["contracts", "deployment", "local_chain"]
