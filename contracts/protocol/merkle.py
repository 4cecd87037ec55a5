"""Merkle trees of batches: the same ones that commit a model, see `prover.merkle`."""

from __future__ import annotations

from prover.merkle import MerkleTree, leaf_hash, pair_hash, verify_path

__all__ = ["MerkleTree", "leaf_hash", "pair_hash", "verify_path"]
