"""A provider of a private model, for tests: a response's replay that shows its boundaries and answers audits about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from contracts.bindings.audit_game import StepAnswer, step_answer
from contracts.protocol.audit_evidence import boundary_tree
from contracts.protocol.audits import AuditItem, BoundaryTree
from contracts.protocol.streams import StepAccess
from prover.curve.srs import SRS
from prover.model.weights import IntegerModel
from prover.model_blindings import ModelBlindings, ResponseBlindings, context_of
from prover.model_commitment import ModelCommitment, commit_hiding
from prover.plan import PRIVATE
from prover.proof_system import ProofSystem
from prover.prove import prove
from prover.replay import Replay
from prover.statement import Statement


@dataclass(frozen=True)
class PrivateModel:
    """A model, its hiding commitment, and what opens it."""

    model: IntegerModel
    srs: SRS
    commitment: ModelCommitment
    blindings: ModelBlindings

    @classmethod
    def hide(cls, model: IntegerModel, srs: SRS) -> PrivateModel:
        digest = ProofSystem.shared(model.config, srs, PRIVATE).architecture_digest
        blindings = ModelBlindings.draw(context_of(model, srs, digest))
        return cls(model, srs, commit_hiding(model, srs, blindings), blindings)


class PrivateReplay(Replay):
    """A response under a private model; `runs`: another model than the committed one, which a lying provider runs."""

    def __init__(
        self,
        private: PrivateModel,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        runs: IntegerModel | None = None,
    ) -> None:
        super().__init__(
            runs or private.model,
            private.commitment,
            private.srs,
            prompt_ids,
            output_ids,
            blindings=ResponseBlindings.draw(private.blindings),
        )

    def boundaries(self) -> BoundaryTree:
        return boundary_tree(self, self.commitment.step_count)

    def answer(self, boundaries: BoundaryTree, item: AuditItem, proof: bytes | None = None) -> StepAnswer:
        step, window = item.step, item.window
        streams = range(len(self.commitment.chunk_bits))
        before, after = ([self.stream_points(b, s) for s in streams] for b in (step, step + 1))
        access = StepAccess(tuple(self.commitment.chunk_bits), self.commitment.accesses[self.step_kind(step)])
        proof = proof or self.prove_step(step, window)
        return step_answer(self.commitment, access, boundaries, step, window, before, after, proof)  # type: ignore[arg-type]

    def prove_with(
        self, statement: Statement, key_blindings: tuple[int, ...], step: int, window: int
    ) -> bytes:
        """A masked proof of the statement, whose key has these blindings, about the tensors of the model that runs here."""
        scheduled = self.model.config.schedule[step]
        key = self.system.verifying_key(scheduled.kind)
        bits = statement.context_bits(key.plan)
        tensors: dict[str, np.ndarray] = key.plan.program.witness(
            self.step_tensors(step, window, bits),
            self.model.layer_parameters(scheduled.layer, scheduled.kind, scheduled.tile),
            statement.publics,
            bits,
        )
        blindings = replace(self.step_blindings(step, window), key=key_blindings)
        return prove(key, self.srs, statement, tensors, blindings=blindings).encode()
