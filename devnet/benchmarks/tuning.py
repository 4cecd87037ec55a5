"""What the chunk size and the number of lookups per inverse column cost: the measurements behind both choices.

One step is proven under every choice from the same witness. A chunk must hold the largest public table (2^18 rows),
so mu starts there. Smaller batches mean more inverse columns, whose commitments are full-width; larger ones mean
rounds of a higher degree.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from prover.committed_values import commit_step_key
from prover.curve.srs import SRS
from prover.model.library import load_model
from prover.model.texts import FIDELITY_CHAPTERS, python_prose
from prover.model_commitment import commit_model, padded_weights
from prover.plan import LOOKUPS_PER_INVERSE, Plan
from prover.program import WINDOW_BITS, WINDOW_ROWS
from prover.proof import ProofShape
from prover.prove import prove
from prover.replay import Replay
from prover.statement import Statement, VerifyingKey
from prover.verify import verify

CHUNK_BITS = (18, 20)
BATCHES = (1, 2, 3, 4)


def measure_tuning(
    name: str, models: Path, commitments: Path, runs: int, report: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Median proving times of the MLP step of layer 0: every batch at the default mu, then every mu."""
    model = load_model(name, models=models)
    default = SRS.devnet(CHUNK_BITS[0])
    commitment = commit_model(model, default, cache_dir=commitments)
    ids = model.tokenizer.encode(python_prose(FIDELITY_CHAPTERS).text)[:WINDOW_ROWS]
    replay = Replay(model, commitment, default, ids, [0])
    program = replay.system.verifying_key("mlp").plan.program
    step = model.config.number_of("mlp")
    statement = replay.step_statement(step, 0)
    weights = padded_weights(model, step)
    parameters = model.layer_parameters(0, "mlp")
    witness = program.witness(
        replay.step_tensors(step, 0, WINDOW_BITS), parameters, statement.publics, WINDOW_BITS
    )

    def choices() -> Iterator[tuple[int, int]]:
        yield from ((CHUNK_BITS[0], batch) for batch in BATCHES)
        yield from ((mu, LOOKUPS_PER_INVERSE) for mu in CHUNK_BITS[1:])

    rows = []
    for mu, batch in choices():
        report(f"mu = {mu}, {batch} lookups per inverse")
        srs = SRS.devnet(mu)
        plan = Plan(program, batch, chunk_bits=mu)
        key = replace(VerifyingKey.create(program, srs), plan=plan)
        # one tau, so boundary windows have the same commitments under every mu; weights are cut differently
        own = Statement(commit_step_key(plan, srs, parameters, weights), statement.publics, statement.inputs)
        prove(key, srs, own, witness)  # warm
        seconds = []
        for _ in range(runs):
            started = time.perf_counter()
            proof = prove(key, srs, own, witness)
            seconds.append(time.perf_counter() - started)
        encoded = proof.encode()
        verify(key, own, encoded)
        shape = ProofShape.of(plan, WINDOW_BITS, mu)
        rows.append(
            {
                "step": "mlp",
                "mu": mu,
                "lookups_per_inverse": batch,
                "round_degree": plan.round_degree,
                "prove_s": round(statistics.median(seconds), 3),
                "proof_bytes": len(encoded),
                "commitments": shape.commitments + shape.inverses,
                "step_key_points": len(own.key.points),
            }
        )
    return rows
