"""Fiat-Shamir transcript over Keccak-256.

    state_0     = keccak(domain tag)
    state_{i+1} = keccak(state_i || label || words)       label: 32 bytes, words: 32 bytes each, big endian

A challenge is the new state modulo the field order r. 2^256 is 5.29 r, so no value is more than 6/5.29 = 1.134
times as likely as under the uniform distribution: each soundness error grows by at most that factor. One call
both absorbs and squeezes, so nothing can be squeezed before what it depends on has been absorbed. Every call
site has its own label; a loop adds its index to the label. See docs/proof-system.md#transcript.
"""

from __future__ import annotations

from collections.abc import Iterable

from eth_hash.auto import keccak

from ..field.reference import SCALAR_MODULUS as MODULUS

__all__ = ["Transcript", "label_word"]


def label_word(label: str, index: int = 0) -> int:
    """A label of at most 28 ASCII characters, left-aligned in 32 bytes, plus an index below 2^32."""
    encoded = label.encode("ascii")
    if len(encoded) > 28 or not 0 <= index < 1 << 32:
        raise ValueError(f"transcript label {label!r} with index {index} does not fit into a word")
    return int.from_bytes(encoded.ljust(32, b"\0"), "big") + index


class Transcript:
    """Absorbs words under labels and yields challenges. `sites` records every call for the pinned inventory."""

    def __init__(self, domain: str) -> None:
        self.state = keccak(domain.encode("ascii"))
        self.sites: list[tuple[str, int, int]] = []  # (label, index, number of words)

    def challenge(self, label: str, words: Iterable[int] = (), index: int = 0) -> int:
        """Absorb the words under the label; the challenge is the new state modulo r."""
        listed = list(words)
        self.sites.append((label, index, len(listed)))
        data = b"".join(word.to_bytes(32, "big") for word in (label_word(label, index), *listed))
        self.state = keccak(self.state + data)
        return int.from_bytes(self.state, "big") % MODULUS

    def challenges(self, label: str, count: int) -> list[int]:
        """`count` challenges that depend on everything absorbed so far."""
        return [self.challenge(label, (), index) for index in range(count)]
