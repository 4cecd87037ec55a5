"""Merkle trees: what is in the tree has a path at its place, nothing else has one anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from eth_hash.auto import keccak

from prover.merkle import MerkleTree, leaf_hash, pair_hash, verify_path

SIZES = range(1, 18)


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(bytes([i])) for i in range(count)]


def test_a_leaf_is_hashed_twice() -> None:
    assert leaf_hash(b"a") == keccak(keccak(b"a"))


def test_a_pair_is_hashed_in_its_order() -> None:
    low, high = bytes(32), b"\1" * 32
    assert pair_hash(low, high) == keccak(low + high)
    assert pair_hash(high, low) == keccak(high + low)


@pytest.mark.parametrize("count", SIZES)
def test_every_leaf_has_a_path_to_the_root(count: int) -> None:
    tree = MerkleTree(leaves(count))
    assert len(tree.levels[-1]) == 1
    for index, leaf in enumerate(leaves(count)):
        path = tree.path(index)
        assert verify_path(tree.root, leaf, path, index, count)
        assert MerkleTree.from_levels(tree.levels).path(index) == path
        assert not verify_path(tree.root, leaf_hash(b"other"), path, index, count)
        for place in range(len(path)):
            changed = [*path[:place], leaf, *path[place + 1 :]]
            assert not verify_path(tree.root, leaf, changed, index, count)
            assert not verify_path(tree.root, leaf, path[:place], index, count)
        assert not verify_path(tree.root, leaf, [*path, leaf], index, count)


@pytest.mark.parametrize("count", SIZES)
def test_no_leaf_has_a_path_at_another_place(count: int) -> None:
    tree = MerkleTree(leaves(count))
    for index, leaf in enumerate(leaves(count)):
        for place in (*range(count), count, count + 1, -1):
            for path in (tree.path(index), tree.path(place % count)):
                assert verify_path(tree.root, leaf, path, place, count) == (place == index)


def test_a_batch_of_one_has_one_leaf() -> None:
    """With sorted pairs a tree of 64 leaves could be posted as a batch of one, and each leaf shown at index 0."""
    tree = MerkleTree(leaves(64))
    assert not any(verify_path(tree.root, leaf, tree.path(i), 0, 1) for i, leaf in enumerate(leaves(64)))


@pytest.mark.parametrize("count", SIZES)
def test_nodes_are_hashes_of_neighbours_and_an_odd_last_one_goes_up(count: int) -> None:
    levels = MerkleTree(leaves(count)).levels
    for below, above in pairwise(levels):
        pairs = [below[i : i + 2] for i in range(0, len(below), 2)]
        assert above == [pair_hash(*pair) if len(pair) == 2 else pair[0] for pair in pairs]


def test_what_is_not_there_has_no_path() -> None:
    tree = MerkleTree(leaves(5))
    for index in (-1, 5):
        with pytest.raises(IndexError, match="5 leaves"):
            tree.path(index)
    with pytest.raises(ValueError, match="at least one"):
        MerkleTree([])
