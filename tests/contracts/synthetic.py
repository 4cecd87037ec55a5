"""A model and traces without a prover: window commitments are small multiples of the generator.

The models have several streams, two of them placed and one that is reset, and three kinds of step; `TWO_KINDS` is the shape of
one stream. A statement is "provable" exactly when it is about honest commitments, and its proof is the keccak of the
verifier's key and inputs, which `SealVerifier` checks. So whole games can be played, on paper and on chain,
without any cryptography.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

from eth_abi.abi import encode
from eth_hash.auto import keccak
from py_ecc.bn128 import G1, multiply

from contracts.protocol.merkle import MerkleTree
from contracts.protocol.model import step_key_leaf, token_row_leaf, verifier_name
from contracts.protocol.response import WINDOW_ROWS
from contracts.protocol.streams import Point, StepAccess, Use, access_word, boundary_hash, stream_root
from prover.errors import OutOfRangeError
from prover.sampling import ZERO

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


@dataclass(frozen=True)
class Shape:
    """Streams, kinds of step, and the kinds of a model's steps, which repeat."""

    chunk_bits: tuple[int, ...]
    kinds: dict[str, int]
    order: tuple[int, ...]


_RESIDUAL, _KEYS, _VALUES, _SUM = range(4)
STREAMS = Shape(
    chunk_bits=(0, 2, 2, 0),
    kinds={
        "keys_values": access_word(reads_own=[_RESIDUAL], writes=[_KEYS, _VALUES], names_window=True),
        "tile": access_word(
            reads_own=[_RESIDUAL, _SUM], reads_all=[_KEYS, _VALUES], writes=[_SUM], names_window=True
        ),
        "close": access_word(reads_own=[_RESIDUAL, _SUM], writes=[_RESIDUAL], resets=[_SUM]),
    },
    order=(0, 1, 1, 2),
)
TWO_KINDS = Shape(
    chunk_bits=(0,),
    kinds={
        "attention": access_word(reads_all=[_RESIDUAL], writes=[_RESIDUAL], names_window=True),
        "mlp": access_word(reads_own=[_RESIDUAL], writes=[_RESIDUAL]),
    },
    order=(0, 1),
)


def seal_verifier_sources(kinds: Sequence[str] = (*STREAMS.kinds, *TWO_KINDS.kinds)) -> dict[str, str]:
    """Verifiers (with a code hash each), as the generator would name them."""
    return _sources(SEAL_VERIFIER, kinds)


def stranger_verifier_sources(
    accepts: bool, kinds: Sequence[str] = (*STREAMS.kinds, *TWO_KINDS.kinds)
) -> dict[str, str]:
    """What a stranger registers somebody's model with: verifiers that accept everything, or nothing."""
    honest = 'proof.length == 32 && bytes32(proof) == keccak256(abi.encode(key, inputs, "NAME"))'
    return _sources(SEAL_VERIFIER.replace(honest, str(accepts).lower()), kinds)


def _sources(template: str, kinds: Sequence[str]) -> dict[str, str]:
    names = [
        verifier_name(kind).removesuffix("Verifier") for kind in (*kinds, "embedding", "head", "head_tile")
    ]
    return {f"{name}Verifier.sol": template.replace("NAME", name) for name in names}


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
    logit_scale: int = 24
    end_tokens: tuple[int, ...] = (2,)
    architecture_digest: bytes = b"\1" * 32
    tokenizer_digest: bytes = b"\2" * 32
    srs_digest: bytes = b"\3" * 32
    shape: Shape = STREAMS
    head_tiles: int = 0
    step_keys: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.chunk_bits = self.shape.chunk_bits
        self.kind_names, self.accesses = tuple(self.shape.kinds), tuple(self.shape.kinds.values())
        self.step_keys = [b"step key %d" % step for step in range(self.step_count)]
        self.tile_keys = [b"tile key %d" % tile for tile in range(self.head_tiles)]
        leaves = [step_key_leaf(step, self.kind(step), key) for step, key in enumerate(self.step_keys)]
        leaves += [
            step_key_leaf(self.step_count + tile, len(self.kind_names), key)
            for tile, key in enumerate(self.tile_keys)
        ]
        self._keys = MerkleTree(leaves)
        self._rows = MerkleTree([token_row_leaf(t, *self.row(t)) for t in range(self.vocabulary)])
        self.step_keys_root = self._keys.root
        self.embedding_rows_root = self._rows.root

    def kind(self, step: int) -> int:
        return self.shape.order[step % len(self.shape.order)]

    def access(self, step: int) -> StepAccess:
        return StepAccess(self.chunk_bits, self.accesses[self.kind(step)])

    def step_name(self, step: int) -> str:
        return f"{self.kind_names[self.kind(step)]} of layer {step // len(self.shape.order)}"

    def last_writer(self, s: int, stream: int) -> int | None:
        """The step that wrote what a stream holds at boundary s, -1 for the embedding; None when it has no windows."""
        for step in range(s - 1, -1, -1):
            use = self.access(step).use(stream)
            if Use.RESETS in use:
                return None
            if Use.WRITES in use:
                return step
        return -1 if stream == 0 else None

    def step_key_path(self, step: int) -> list[bytes]:
        return self._keys.path(step)

    def tile_key_path(self, tile: int) -> list[bytes]:
        return self._keys.path(self.step_count + tile)

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

    With `wrong_from = (s, w)` what steps write from boundary s, window w on is wrong, as if step
    s - 1 (or for s = 0 the embedding) had been computed wrongly there. With `ends_at = (s, w)` a value leaves its range
    in step s, window w for the first time, and in the later windows `also_out` of the same step; at `dark_positions` one leaves
    the head's.
    """

    def __init__(
        self,
        model: SyntheticModel,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        wrong_from: tuple[int, int] | None = None,
        ends_at: tuple[int, int] | None = None,
        dark_positions: Sequence[int] = (),
        also_out: Collection[int] = (),
    ) -> None:
        self.model = model
        self.prompt_ids = list(prompt_ids)
        self.output_ids = list(output_ids)
        self.fed = [*prompt_ids, *output_ids][:-1]
        self.windows = -(-len(self.fed) // WINDOW_ROWS)
        self._wrong_from, self._ends_at, self._dark = wrong_from, ends_at, frozenset(dark_positions)
        #: Windows of the step of `ends_at` that have no proof.
        self.out = frozenset() if ends_at is None else frozenset({ends_at[1], *also_out})

    def first_unprovable(self) -> tuple[int, int] | None:
        return self._ends_at

    def step_kind(self, s: int) -> int:
        return self.model.kind(s)

    def stream_points(self, s: int, stream: int) -> list[Point]:
        writer = self.model.last_writer(s, stream)
        if writer is None:
            return []
        sums, total = [], 0
        for window in range(self._known_windows(s, writer)):
            starts = window % (1 << self.model.chunk_bits[stream]) == 0
            total = (0 if starts else total) + self._factor(s, stream, writer, window)
            sums.append(generator_multiple(total))
        return sums

    def window_commitments(self, s: int, stream: int) -> list[Point | None]:
        writer = self.model.last_writer(s, stream)
        if writer is None:
            return []
        if self._ends_at is not None and writer > self._ends_at[0]:
            raise OutOfRangeError(f"boundary {s} lies behind a value that left its range")
        out: frozenset[int] = frozenset()
        if writer == -1:  # a window with an id that no row belongs to
            out = frozenset(
                p // WINDOW_ROWS for p, token in enumerate(self.fed) if token >= self.model.vocabulary
            )
        out = self.out if self._ends_at is not None and writer == self._ends_at[0] else out
        return [
            None if window in out else generator_multiple(self._factor(s, stream, writer, window))
            for window in range(self.windows)
        ]

    def _known_windows(self, s: int, writer: int) -> int:
        if self._ends_at is None or s <= self._ends_at[0]:
            return self.windows
        if s > self._ends_at[0] + 1:
            return 0
        return self._ends_at[1] if writer == self._ends_at[0] else self.windows

    def stream_roots(self, s: int) -> tuple[bytes, ...]:
        if self._ends_at is not None and s > self._ends_at[0]:
            raise OutOfRangeError(f"boundary {s} lies behind a value that left its range")
        streams = range(len(self.model.chunk_bits))
        return tuple(stream_root(self.stream_points(s, stream)) for stream in streams)

    def boundary_hash(self, s: int) -> bytes:
        return boundary_hash(self.stream_roots(s))

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
        if not self._is_provable(s, window):
            raise NotProvable
        streams = range(len(self.model.chunk_bits))
        before = [self.stream_points(s, stream) for stream in streams]
        after = [self.stream_points(s + 1, stream) for stream in streams]
        inputs = self.model.access(s).statement_inputs(window, before, after)
        name = verifier_name(self.model.kind_names[self.model.kind(s)]).removesuffix("Verifier")
        return _seal(self.model.step_keys[s], inputs, name)

    def _is_provable(self, s: int, window: int) -> bool:
        """About wrong inputs anything can be claimed, about right ones the right output alone."""
        access = self.model.access(s)
        own, every = access.streams_with(Use.READS_OWN), access.streams_with(Use.READS_ALL)
        read = [(stream, window) for stream in own]
        read += [(stream, w) for stream in every for w in range(window + 1)]
        if any(self._is_wrong(s, stream, w) for stream, w in read):
            return True
        return not any(self._is_wrong(s + 1, stream, window) for stream in access.written)

    def prove_embedding(self, window: int) -> bytes:
        if self._is_wrong(0, 0, window):
            raise NotProvable
        tokens = self.fed[WINDOW_ROWS * window : WINDOW_ROWS * (window + 1)]
        rows = [self.model.row(token)[0] for token in tokens]
        rows += [(0, 0)] * (WINDOW_ROWS - len(rows))
        flat = [coordinate for point in rows for coordinate in point]
        return _seal(b"", [*flat, *self.stream_points(0, 0)[window]], "Embedding")

    def winner(self, position: int, rival: int) -> int:
        return [*self.prompt_ids, *self.output_ids][position + 1]

    def prove_head(self, position: int, rival: int) -> bytes:
        chosen = [*self.prompt_ids, *self.output_ids][position + 1]
        if self.argmax(position) != chosen:
            raise NotProvable
        window, row = divmod(position, WINDOW_ROWS)
        point = self.stream_points(self.model.step_count, 0)[window]
        offset = ZERO - (rival < chosen)
        inputs = [row, 1, offset, *self.model.row(chosen)[1], *self.model.row(rival)[1], *point]
        return _seal(b"", inputs, "Head")

    def _is_wrong(self, s: int, stream: int, window: int) -> bool:
        """Whether the commitment of a stream's window at boundary s is not the true one."""
        writer = self.model.last_writer(s, stream)
        if self._wrong_from is None or writer is None:
            return False
        return writer + 1 >= self._wrong_from[0] and window >= self._wrong_from[1]

    def _factor(self, s: int, stream: int, writer: int, window: int) -> int:
        if self._is_wrong(s, stream, window):
            # 301.. never collides with the honest 1..256.
            return 301 + 32 * writer + 8 * stream + window
        # Window commitments depend on the tokens up to the window's end only: the model is causal.
        fed = self.fed[: WINDOW_ROWS * (window + 1)]
        return 1 + sha256(repr((stream, writer, fed)).encode()).digest()[0]


def _seal(key: bytes, inputs: list[int], name: str) -> bytes:
    return keccak(encode(["bytes", "uint256[]", "string"], [key, inputs, name]))
