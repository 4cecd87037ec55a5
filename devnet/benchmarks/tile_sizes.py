"""What the size of a tile costs: the measurement behind `STEP_WEIGHTS`.

The first tile of one wide unit is proven at several sizes, each from random normalised rows. Smaller tiles cost less each, but a layer has
more of them, which makes its schedule and commitment longer; larger ones cost a point of calldata and a multiplication on chain for every
chunk. Seconds are of the processor, not of the clock: the sizes are proven in turn, so that a busy machine slows all alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from contracts.bindings.compiler import compile_sources
from prover.argument.commitment import commit_chunks
from prover.committed_values import boundary_chunks, commit_step_key
from prover.curve.srs import SRS
from prover.model.weights import IntegerModel
from prover.model_commitment import padded_weights
from prover.program import WINDOW_BITS, WINDOW_ROWS
from prover.prove import prove
from prover.statement import Statement, VerifyingKey
from verifier_gen import CONTRACTS
from verifier_gen.generator import step_verifier

from .gas import GasMeter, own_chain
from .synthetic import SEED, synthetic_model

CHUNKS = (3, 6, 12, 24, 48)
"""Weights of a tile, in chunks of 2^18."""
WIDTH = 2048
_KIND, _MU = "mlp_tile", 18


def measure_tile_sizes(
    runs: int,
    report: Callable[[str], None],
    *,
    d: int = WIDTH,
    chunks: tuple[int, ...] = CHUNKS,
    chunk_weights: int = 1 << _MU,
    gas: bool = True,
) -> list[dict[str, Any]]:
    """Per size: tiles of a layer, points of a key, proof bytes, gas of the whole transaction, median seconds of the processor."""
    srs, model = SRS.devnet(_MU), synthetic_model(d)
    cases = []
    for count in chunks:
        report(f"tiles of {count} chunks: key")
        config = replace(model.config, step_weights=count * chunk_weights)
        cases.append((count, config.steps[_KIND].tiles, *_statement(replace(model, config=config), srs)))
    seconds: dict[int, list[float]] = {count: [] for count in chunks}
    proofs: dict[int, bytes] = {}
    for run in range(1 + runs):  # the first compiles kernels
        for count, _, key, statement, witness in cases:
            report(f"tiles of {count} chunks: proof {run} of {runs}")
            started = time.process_time()
            proofs[count] = prove(key, srs, statement, witness).encode()
            if run:
                seconds[count].append(time.process_time() - started)
    return [
        {
            "step": _KIND,
            "d": d,
            "chunks": count,
            "tiles": tiles,
            "step_key_points": len(statement.key.points),
            "prove_cpu_s": round(statistics.median(seconds[count]), 3),
            "proof_bytes": len(proofs[count]),
            "verify_gas": _gas(key, statement, proofs[count]) if gas else None,
        }
        for count, tiles, key, statement, _ in cases
    ]


def _statement(model: IntegerModel, srs: SRS) -> tuple[VerifyingKey, Statement, dict[str, np.ndarray]]:
    """The first tile of the first layer on random rows, the first to be added to its sum."""
    program = model.config.programs[_KIND]
    draw, own = np.random.default_rng(SEED), model.config.scales.normalised
    inputs = {
        name: np.zeros(program.shape(program.tensors[name].axes, WINDOW_BITS), np.int64)
        for name in program.reads.values()
    }
    rows = inputs[program.reads["normalised"]]
    rows[:, : model.config.hidden] = draw.integers(-1 << own, 1 << own, (WINDOW_ROWS, model.config.hidden))
    weights = padded_weights(model, model.config.number_of(_KIND))
    parameters = model.layer_parameters(0, _KIND)
    witness = program.witness(inputs | weights, parameters, {}, WINDOW_BITS)
    key = VerifyingKey.create(program, srs)
    points = tuple(
        point
        for tensor in program.inputs
        for point in commit_chunks(srs.g1, boundary_chunks(key.plan, tensor, witness[tensor.name], {}, _MU))
    )
    return key, Statement(commit_step_key(key.plan, srs, parameters, weights), {}, points), witness


def _gas(key: VerifyingKey, statement: Statement, proof: bytes) -> int:
    name = CONTRACTS[_KIND]
    artifact = compile_sources({f"{name}.sol": step_verifier(key, insecure=True)})[name]
    words = [coordinate for point in statement.inputs for coordinate in point]
    with own_chain() as chain:
        return GasMeter(chain, {_KIND: artifact}).verify(_KIND, statement.key.encode(), words, proof)
