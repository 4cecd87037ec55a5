"""Token ids as the chain sees them: 4 bytes big-endian each, hashed with Keccak-256."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from eth_hash.auto import keccak

from prover.errors import BadInputError

ID_BYTES = 4
ID_LIMIT = 1 << 32


class InvalidTokenIds(BadInputError, ValueError):
    """Token ids that cannot be packed, or bytes that are not packed token ids."""


def pack_token_ids(ids: Sequence[int]) -> bytes:
    """Each id as 4 bytes big-endian, concatenated; raises `InvalidTokenIds` unless 0 <= id < 2^32."""
    try:
        return struct.pack(f">{len(ids)}I", *ids)
    except struct.error as error:
        raise InvalidTokenIds(f"Token ids must be integers in 0..{ID_LIMIT - 1}: {error}.") from error


def unpack_token_ids(packed: bytes) -> list[int]:
    """Inverse of `pack_token_ids`; raises `InvalidTokenIds` when the length is not a multiple of 4."""
    if len(packed) % ID_BYTES:
        raise InvalidTokenIds(f"{len(packed)} bytes are not a whole number of {ID_BYTES}-byte token ids.")
    return list(struct.unpack(f">{len(packed) // ID_BYTES}I", packed))


def token_ids_hash(ids: Sequence[int]) -> bytes:
    """keccak256 of the packed ids, 32 bytes."""
    return keccak(pack_token_ids(ids))
