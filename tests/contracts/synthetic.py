"""A model and traces without a prover: window commitments are small multiples of the generator.

A statement is "provable" exactly when it is about honest commitments, and its proof is the keccak of the
verifier's key and inputs, which `SealVerifier` checks. So whole games can be played, on paper and on chain,
without any cryptography.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

from eth_abi.abi import encode
from eth_hash.auto import keccak
from py_ecc.bn128 import G1, multiply

from contracts.protocol.merkle import MerkleTree
from contracts.protocol.model import Point, boundary_hash, step_key_leaf, token_row_leaf
from contracts.protocol.response import WINDOW_ROWS
from prover.errors import OutOfRangeError

SEAL_VERIFIER = """
pragma solidity ^0.8.28;
import {ILayerVerifier} from "contracts/src/interfaces/ILayerVerifier.sol";

/// Accepts a "proof" that is the hash of its statement.
contract NAMEVerifier is ILayerVerifier {
    function verify(bytes calldata key, uint256[] calldata inputs, bytes calldata proof)
        external
        pure
        returns (bool)
    {
        return proof.length == 32 && bytes32(proof) == keccak256(abi.encode(key, inputs, "NAME"));
    }
}
"""


def seal_verifier_sources() -> dict[str, str]:
    """Four verifiers (with four code hashes), as the generator would name them."""
    names = ["Mlp", "Attention", "Embedding", "Head"]
    return {f"{name}Verifier.sol": SEAL_VERIFIER.replace("NAME", name) for name in names}


def stranger_verifier_sources(accepts: bool) -> dict[str, str]:
    """What a stranger registers somebody's model with: verifiers that accept everything, or nothing."""
    honest = 'proof.length == 32 && bytes32(proof) == keccak256(abi.encode(key, inputs, "NAME"))'
    source = SEAL_VERIFIER.replace(honest, str(accepts).lower())
    names = ["Mlp", "Attention", "Embedding", "Head"]
    return {f"{name}Verifier.sol": source.replace("NAME", name) for name in names}


class NotProvable(Exception):
    """The statement is false."""


@cache
def generator_multiple(factor: int) -> Point:
    x, y = multiply(G1, factor)
    return int(x), int(y)


@dataclass
class SyntheticModel:
    """Satisfies `CommittedModel`."""

    step_count: int = 4
    vocabulary: int = 20
    max_positions: int = 512
    end_tokens: tuple[int, ...] = (2,)
    architecture_digest: bytes = b"\1" * 32
    tokenizer_digest: bytes = b"\2" * 32
    srs_digest: bytes = b"\3" * 32
    step_keys: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.step_keys = [b"step key %d" % step for step in range(self.step_count)]
        self._keys = MerkleTree([step_key_leaf(step, key) for step, key in enumerate(self.step_keys)])
        self._rows = MerkleTree([token_row_leaf(t, *self.row(t)) for t in range(self.vocabulary)])
        self.step_keys_root = self._keys.root
        self.embedding_rows_root = self._rows.root

    def step_key_path(self, step: int) -> list[bytes]:
        return self._keys.path(step)

    def row(self, token: int) -> tuple[Point, Point]:
        return generator_multiple(1000 + 2 * token), generator_multiple(1001 + 2 * token)

    def row_path(self, token: int) -> list[bytes]:
        return self._rows.path(token)

    def next_token(self, prefix: Sequence[int]) -> int:
        """Deterministic, and an end token now and then."""
        return sha256(repr(list(prefix)).encode()).digest()[0] % self.vocabulary

    def generate(self, prompt: Sequence[int], max_tokens: int) -> list[int]:
        output: list[int] = []
        while len(output) < max_tokens and not (output and output[-1] in self.end_tokens):
            output.append(self.next_token([*prompt, *output]))
        return output


class SyntheticTrace:
    """The trace of a provider or challenger; satisfies `ProvingTrace`.

    With `wrong_from = (s, w)` the window commitments from boundary s, window w on are wrong, as if step
    s - 1 (or for s = 0 the embedding) had been computed wrongly there. With `ends_at = (s, w)` a value leaves its range
    in step s, window w for the first time; at `dark_positions` one leaves the head's.
    """

    def __init__(
        self,
        model: SyntheticModel,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        wrong_from: tuple[int, int] | None = None,
        ends_at: tuple[int, int] | None = None,
        dark_positions: Sequence[int] = (),
    ) -> None:
        self.model = model
        self.prompt_ids = list(prompt_ids)
        self.output_ids = list(output_ids)
        self.fed = [*prompt_ids, *output_ids][:-1]
        self.windows = -(-len(self.fed) // WINDOW_ROWS)
        self._wrong_from, self._ends_at, self._dark = wrong_from, ends_at, frozenset(dark_positions)

    def first_unprovable(self) -> tuple[int, int] | None:
        return self._ends_at

    def boundary_points(self, s: int) -> list[Point]:
        return [self._point(s, window) for window in range(self._known_windows(s))]

    def _known_windows(self, s: int) -> int:
        if self._ends_at is None or s <= self._ends_at[0]:
            return self.windows
        return self._ends_at[1] if s == self._ends_at[0] + 1 else 0

    def boundary_hash(self, s: int) -> bytes:
        if self._known_windows(s) < self.windows:
            raise OutOfRangeError(f"boundary {s} lies behind a value that left its range")
        return boundary_hash(self.boundary_points(s))

    def argmax(self, position: int) -> int | None:
        if position in self._dark:
            return None
        sequence = [*self.prompt_ids, *self.output_ids]
        return self.model.next_token(sequence[: position + 1])

    def first_wrong_output(self) -> tuple[int, int] | None:
        for position, token in enumerate(self.output_ids, start=len(self.prompt_ids) - 1):
            if (right := self.argmax(position)) != token:
                return position, int(token == 0) if right is None else right
        return None

    def prove_step(self, s: int, window: int) -> bytes:
        if self._is_wrong(s + 1, window) and not self._is_wrong(s, window):
            raise NotProvable
        before, after = self.boundary_points(s), self.boundary_points(s + 1)
        if s % 2:
            return _seal(self.model.step_keys[s], [*before[window], *after[window]], "Mlp")
        seen = [coordinate for point in before[: window + 1] for coordinate in point]
        return _seal(self.model.step_keys[s], [window, *seen, *after[window]], "Attention")

    def prove_embedding(self, window: int) -> bytes:
        if self._is_wrong(0, window):
            raise NotProvable
        tokens = self.fed[WINDOW_ROWS * window : WINDOW_ROWS * (window + 1)]
        rows = [self.model.row(token)[0] for token in tokens]
        rows += [(0, 0)] * (WINDOW_ROWS - len(rows))
        flat = [coordinate for point in rows for coordinate in point]
        return _seal(b"", [*flat, *self._point(0, window)], "Embedding")

    def prove_head(self, position: int, rival: int) -> bytes:
        chosen = [*self.prompt_ids, *self.output_ids][position + 1]
        if self.argmax(position) != chosen:
            raise NotProvable
        window, row = divmod(position, WINDOW_ROWS)
        point = self._point(self.model.step_count, window)
        inputs = [row, int(rival < chosen), *self.model.row(chosen)[1], *self.model.row(rival)[1], *point]
        return _seal(b"", inputs, "Head")

    def _is_wrong(self, s: int, window: int) -> bool:
        return self._wrong_from is not None and s >= self._wrong_from[0] and window >= self._wrong_from[1]

    def _point(self, s: int, window: int) -> Point:
        # Window commitments depend on the tokens up to the window's end only: the model is causal.
        honest = generator_multiple(
            1
            + int.from_bytes(sha256(repr((s, self.fed[: WINDOW_ROWS * (window + 1)])).encode()).digest()[:1])
        )
        # 301.. never collides with the honest 1..256.
        return generator_multiple(301 + 8 * s + window) if self._is_wrong(s, window) else honest


def _seal(key: bytes, inputs: list[int], name: str) -> bytes:
    return keccak(encode(["bytes", "uint256[]", "string"], [key, inputs, name]))
