"""Random true statements with proofs, in the words that the contracts take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prover.architectures.audit_steps import HEAD_TILE
from prover.architectures.llama import LlamaConfig
from prover.argument.commitment import commit_chunks
from prover.committed_values import commit_step_key
from prover.curve.srs import SRS
from prover.embedding import EmbeddingKey, verify_embedding
from prover.embedding_prover import prove_embedding
from prover.errors import BadInputError, GainsayError
from prover.hidden_points import blind_all
from prover.hiding import Blindings, draw_blinding
from prover.plan import PRIVATE, PUBLIC, Privacy
from prover.program import WINDOW_ROWS
from prover.prove import prove
from prover.statement import Statement, StepKey, VerifyingKey
from prover.verify import verify
from tests.prover.operators.random_layers import SMALL, TILE_KINDS, input_points, program_of, random_statement
from tests.prover.private.statements import hide, seeded
from verifier_gen import CONTRACTS, generate_sources
from verifier_gen.generator import embedding_verifier, step_verifier

TILES = tuple((kind, 3 if "window" in program_of(kind).public_scalars else 0) for kind in TILE_KINDS)
"""Kinds of statement that only tiles have, with a window."""
REAL = LlamaConfig(
    layers=30,
    hidden=576,
    heads=9,
    kv_heads=3,
    head_size=64,
    feed_forward=1536,
    vocabulary=49152,
    rope_base=100_000,
    norm_epsilon=1e-5,
    max_positions=2048,
)
"""The shape of SmolLM2-135M."""


@dataclass(frozen=True)
class Proven:
    """A statement as calldata: key, inputs, proof."""

    kind: str
    verifying_key: VerifyingKey | EmbeddingKey
    key: bytes
    inputs: list[int]
    proof: bytes

    def python_accepts(self, key: bytes, inputs: Sequence[int], proof: bytes) -> bool:
        """The reference verifier's verdict on the same calldata."""
        try:
            self.verify(key, inputs, proof)
        except GainsayError:
            return False
        return True

    def verify(self, key: bytes, inputs: Sequence[int], proof: bytes) -> None:
        """The reference verifier on the same calldata; raises a GainsayError that says what is wrong."""
        if isinstance(self.verifying_key, EmbeddingKey):
            if key:  # the statement has none, so the reference takes none
                raise BadInputError("an embedding statement has no key")
            points = _points(inputs)
            verify_embedding(self.verifying_key, points[:-1], points[-1], proof)
        else:
            self._verify_step(self.verifying_key, key, inputs, proof)

    def _verify_step(
        self, verifying_key: VerifyingKey, key: bytes, inputs: Sequence[int], proof: bytes
    ) -> None:
        program = verifying_key.plan.program
        scalars = len(program.public_scalars)
        publics = dict(zip(program.public_scalars, inputs[:scalars], strict=True))
        step_key = StepKey.decode(key, verifying_key.plan, verifying_key.chunk_bits)
        statement = Statement(step_key, publics, tuple(_points(inputs[scalars:])))
        verify(verifying_key, statement, proof)


def _points(words: Sequence[int]) -> list[tuple[int, int]]:
    return [(words[i], words[i + 1]) for i in range(0, len(words), 2)]


EMBEDDING = "embedding"
PRIVATE_KINDS = ("private head", "private mlp", "private embedding", "private head_tile")
"""Kinds of statement whose private form has tests wherever public ones have."""


def privacy_of(kind: str) -> tuple[str, Privacy]:
    """("mlp", "private") for "private mlp"."""
    plain = kind.removeprefix("private ")
    return plain, PUBLIC if plain == kind else PRIVATE


def contract_of(kind: str) -> str:
    """The contract of a kind; tests give those of private statements names of their own."""
    plain, privacy = privacy_of(kind)
    return CONTRACTS[plain] if privacy == PUBLIC else f"Private{CONTRACTS[plain]}"


def small_sources(srs: SRS) -> dict[str, str]:
    """Sources of the verifiers of the small shapes: all of the one's, those that only tiles have, the head's in audit form, and some private ones."""
    sources = generate_sources(SMALL, srs)
    embedding = EmbeddingKey.create(SMALL.channel_bits, srs, PRIVATE)
    for kind in (*TILE_KINDS, HEAD_TILE, *PRIVATE_KINDS):
        plain, privacy = privacy_of(kind)
        text = (
            embedding_verifier(embedding, insecure=True)
            if plain == EMBEDDING
            else step_verifier(VerifyingKey.create(program_of(plain), srs, privacy), insecure=True)
        )
        sources[f"{contract_of(kind)}.sol"] = text.replace(
            f"contract {CONTRACTS[plain]} ", f"contract {contract_of(kind)} "
        )
    return sources


def prove_random(kind: str, srs: SRS, window: int = 0, config: LlamaConfig | None = None) -> Proven:
    """A random statement of a layer program, proven."""
    plain, privacy = privacy_of(kind)
    random = random_statement(plain, window, config=config)
    verifying_key = VerifyingKey.create(random.program, srs, privacy)
    tensors = random.witness()
    key = commit_step_key(verifying_key.plan, srs, random.parameters, random.tensors)
    inputs = input_points(verifying_key.plan, srs, tensors, random.publics)
    statement, blindings = Statement(key, random.publics, inputs), None
    if privacy == PRIVATE:
        statement, blindings = hide(verifying_key, statement, seeded(1))
    proof = prove(verifying_key, srs, statement, tensors, blindings=blindings, scalar=seeded(2)).encode()
    words = [random.publics[name] for name in random.program.public_scalars]
    words += [coordinate for point in statement.inputs for coordinate in point]
    return Proven(kind, verifying_key, statement.key.encode(), words, proof)


def prove_random_embedding(
    srs: SRS, config: LlamaConfig = SMALL, tokens: int = 29, privacy: Privacy = PUBLIC, seed: int = 7
) -> Proven:
    """A window of tokens, padded positions behind them."""
    key = EmbeddingKey.create(config.channel_bits, srs, privacy)
    rows = np.zeros((WINDOW_ROWS, 1 << config.channel_bits), dtype=np.int64)
    rows[:tokens, : config.hidden] = np.random.default_rng(seed).integers(
        -30000, 30000, (tokens, config.hidden)
    )
    row_points = commit_chunks(srs.g1, list(rows))
    window = commit_chunks(srs.g1, [rows.reshape(-1)])[0]
    blindings, scalar, kind = None, seeded(seed), EMBEDDING
    if privacy == PRIVATE:
        kind = f"private {EMBEDDING}"
        own = [draw_blinding(scalar) if token < tokens else 0 for token in range(WINDOW_ROWS)]
        blindings = Blindings((), (*own, draw_blinding(scalar)))
        *row_points, window = blind_all([*row_points, window], blindings.inputs, srs.digest)
    proof = prove_embedding(key, srs, row_points, window, rows[:, : config.hidden], rows, blindings, scalar)
    words = [coordinate for point in (*row_points, window) for coordinate in point]
    return Proven(kind, key, b"", words, proof)


def prove_kind(kind: str, srs: SRS, window: int = 0) -> Proven:
    """A random true statement of any kind."""
    plain, privacy = privacy_of(kind)
    if plain == EMBEDDING:
        return prove_random_embedding(srs, privacy=privacy)
    return prove_random(kind, srs, window)
