"""The chain and the committed model of the node's tests."""

from tests.contracts.local_chain import contracts, deployment, local_chain  # noqa: F401
from tests.node.chain import house, serving  # noqa: F401
from tests.node.conftest import tiny  # noqa: F401
