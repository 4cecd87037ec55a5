"""Merkle trees of responses: the same trees that model commitments use."""

from __future__ import annotations

from prover.merkle import MerkleTree, leaf_hash, pair_hash, verify_path

__all__ = ["MerkleTree", "leaf_hash", "pair_hash", "verify_path"]
