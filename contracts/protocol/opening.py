"""Openings of games: committed in one block, revealed in a later one, so that nobody can copy a finding in time."""

from __future__ import annotations

import hmac
from hashlib import sha256

from eth_abi.abi import encode
from eth_hash.auto import keccak

_COMMITMENT_TYPES = ["uint256", "address", "address", "uint256", "uint256", "bytes32"]


def opening_commitment(
    chain_id: int, ledger: str, challenger: str, batch_id: int, index: int, secret: bytes
) -> bytes:
    """keccak256(abi.encode(chainId, ledger, challenger, batchId, index, secret)).

    Computed here: an endpoint that is asked for it would learn what was found before anybody else.
    """
    return keccak(encode(_COMMITMENT_TYPES, [chain_id, ledger, challenger, batch_id, index, secret]))


def opening_secret(own_secret: bytes, batch_root: bytes, index: int) -> bytes:
    """32 bytes that only the holder of `own_secret` knows, the same for a response whenever they are asked for.

    So nothing is to be stored before a commitment is sent, and a kill between committing and opening loses nothing.
    """
    return hmac.new(own_secret, b"gainsay opening" + batch_root + index.to_bytes(32, "big"), sha256).digest()
