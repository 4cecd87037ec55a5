"""Layer program -> plan -> Solidity: one verifier per statement kind and architecture."""

from .generator import CONTRACTS, generate_sources

__all__ = ["CONTRACTS", "generate_sources"]
