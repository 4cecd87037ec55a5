"""A deployed verifier, asked by `eth_call` as the game would ask it."""

from __future__ import annotations

from collections.abc import Sequence

from .chain import Chain
from .compiler import protocol_artifacts
from .contract import BoundContract
from .errors import ContractError


class LayerVerifier(BoundContract):
    """What implements `ILayerVerifier` at an address."""

    def __init__(self, chain: Chain, address: str) -> None:
        super().__init__(chain, address, protocol_artifacts()["ILayerVerifier"])

    def accepts(self, key: bytes, inputs: Sequence[int], proof: bytes) -> bool:
        """Whether the proof proves the statement; a revert is a no, as in the game."""
        try:
            return bool(self._read("verify", key, list(inputs), proof))
        except ContractError:
            return False
