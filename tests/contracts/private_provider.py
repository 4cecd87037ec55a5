"""A provider of a private model, for tests: blinded step keys, a response's blinded windows, masked proofs about both.

Everything real but the embedding, whose private statement is another's: items name steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from contracts.bindings.audit_game import StepAnswer, step_answer
from contracts.protocol.audits import AuditItem, BoundaryTree
from contracts.protocol.streams import StepAccess, chunk_ends
from prover.curve.g1 import Point
from prover.curve.srs import SRS
from prover.field.arrays import MODULUS
from prover.hiding import Blindings, blind, blinding_base, draw_blinding
from prover.merkle import MerkleTree
from prover.model.weights import IntegerModel
from prover.model_commitment import ModelCommitment, decode_step_key, step_key_leaf
from prover.plan import PRIVATE
from prover.proof_system import ProofSystem
from prover.prove import prove
from prover.replay import Replay
from prover.statement import Statement, StepKey
from prover.streams import RESIDUAL


@dataclass(frozen=True)
class PrivateModel:
    """A model, its commitment with blinded step keys, and their blindings by step."""

    model: IntegerModel
    srs: SRS
    commitment: ModelCommitment
    key_blindings: tuple[tuple[int, ...], ...]

    @classmethod
    def hide(cls, model: IntegerModel, srs: SRS, commitment: ModelCommitment) -> PrivateModel:
        system, base = ProofSystem.shared(model.config, srs), blinding_base(srs.digest)
        keys, drawn, leaves = [], [], []
        for step in range(commitment.step_count):
            key = decode_step_key(system, commitment, step)
            blindings = tuple(draw_blinding() for _ in key.points)
            points = tuple(blind(p, b, base) for p, b in zip(key.points, blindings, strict=True))
            keys.append(StepKey(key.parameters, points).encode())
            drawn.append(blindings)
            leaves.append(step_key_leaf(step, commitment.kind(step), keys[-1]))
        hidden = replace(commitment, step_keys=keys, step_tree=MerkleTree(leaves))
        return cls(model, srs, hidden, tuple(drawn))


class PrivateReplay(Replay):
    """A response under a private model: like `Replay`, with a blinding for every window of every stream."""

    def __init__(
        self,
        private: PrivateModel,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        runs: IntegerModel | None = None,
    ) -> None:
        """`runs`: another model than the committed one, which a lying provider runs instead."""
        super().__init__(runs or private.model, private.commitment, private.srs, prompt_ids, output_ids)
        self._private = private
        self._hidden: dict[tuple[int, str], tuple[list[Point], list[int]]] = {}

    def _hide(self, boundary: int, stream: str) -> tuple[list[Point], list[int]]:
        version = self.trace.version(boundary, stream)
        if version is None:
            return [], []
        if (version, stream) not in self._hidden:
            points, base = super().window_points(boundary, stream), blinding_base(self.srs.digest)
            blindings = [draw_blinding() for _ in points]
            hidden = [blind(p, b, base) for p, b in zip(points, blindings, strict=True)]
            self._hidden[version, stream] = hidden, blindings
        return self._hidden[version, stream]

    def window_points(self, boundary: int, stream: str = RESIDUAL) -> list[Point]:
        return self._hide(boundary, stream)[0]

    def boundaries(self) -> BoundaryTree:
        return BoundaryTree.of([self.stream_roots(b) for b in range(self.commitment.step_count + 1)])

    def answer(self, boundaries: BoundaryTree, item: AuditItem, proof: bytes | None = None) -> StepAnswer:
        step, window = item.step, item.window
        streams = range(len(self.commitment.chunk_bits))
        before, after = ([self.stream_points(b, s) for s in streams] for b in (step, step + 1))
        access = StepAccess(tuple(self.commitment.chunk_bits), self.commitment.accesses[self.step_kind(step)])
        proof = proof or self.prove_step(step, window)
        return step_answer(self.commitment, access, boundaries, step, window, before, after, proof)  # type: ignore[arg-type]

    def prove_step(self, step: int, window: int) -> bytes:
        return self.prove_with(
            self.step_statement(step, window), self._private.key_blindings[step], step, window
        )

    def prove_with(
        self, statement: Statement, key_blindings: tuple[int, ...], step: int, window: int
    ) -> bytes:
        """A masked proof of the statement about the tensors of the model that runs here."""
        scheduled = self.model.config.schedule[step]
        key = self.system.verifying_key(scheduled.kind, PRIVATE)
        bits = statement.context_bits(key.plan)
        tensors: dict[str, np.ndarray] = key.plan.program.witness(
            self.step_tensors(step, window, bits),
            self.model.layer_parameters(scheduled.layer, scheduled.kind, scheduled.tile),
            statement.publics,
            bits,
        )
        blindings = Blindings(key_blindings, self._input_blindings(step, window))
        return prove(key, self.srs, statement, tensors, blindings=blindings).encode()

    def _input_blindings(self, step: int, window: int) -> tuple[int, ...]:
        program = self._program(step)
        found: list[int] = []
        for stream, tensor in program.reads.items():
            drawn = self._hide(step, stream)[1]
            if not drawn:
                found.append(0)
            elif "context" not in program.tensors[tensor].axes:
                found.append(drawn[window])
            else:
                bits = self._streams[stream].chunk_windows_bits(self.srs.mu)
                for end in chunk_ends(window, bits):
                    found.append(sum(drawn[(end >> bits) << bits : end + 1]) % MODULUS)
        return (*found, *(self._hide(step + 1, stream)[1][window] for stream in program.writes))
