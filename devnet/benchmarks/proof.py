"""Cost of one proof of each kind of step: time, memory, size, and what verifying it takes here and on chain.

Each step is proven in a process of its own, so that its peak memory is that of a prover that has done nothing else:
interpreter, libraries, compiled kernels and the mapped model included.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from prover.replay import Replay


@dataclass(frozen=True)
class StepTask:
    """One step to prove at the last position of `rows` + earlier ones."""

    model: str
    models: Path
    commitments: Path
    step: str
    position: int
    runs: int


@dataclass(frozen=True)
class StepResult:
    """Figures of one step, and the calldata that the verifier contract takes."""

    figures: dict[str, Any]
    key: bytes
    inputs: list[int]
    proof: bytes


def steps(positions: Sequence[int]) -> list[tuple[str, int]]:
    """MLP, embedding and head at the first position; attention, whose cost grows with it, at all."""
    first = positions[0]
    return [("mlp", first), *(("attention", p) for p in positions), ("embedding", first), ("head", first)]


def measure_step(task: StepTask) -> StepResult:
    """Prove one step in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, task).result()


def _measure(task: StepTask) -> StepResult:
    from prover.curve.srs import SRS
    from prover.model.library import load_model
    from prover.model.texts import FIDELITY_CHAPTERS, python_prose
    from prover.model_commitment import commit_model
    from prover.program import WINDOW_ROWS

    model, srs = load_model(task.model, models=task.models), SRS.devnet(18)
    commitment = commit_model(model, srs, cache_dir=task.commitments)
    ids = model.tokenizer.encode(python_prose(FIDELITY_CHAPTERS).text)[: task.position + 1]
    ids += [ids[0]] * (task.position + 1 - len(ids))
    marks: list[tuple[str, float]] = []

    def mark(stage: str, _done: int, _total: int) -> None:
        marks.append((stage.removeprefix("prove: "), time.perf_counter()))

    chosen = Replay(model, commitment, srs, ids, [0]).predictions[0]
    replay = Replay(model, commitment, srs, ids, [chosen], mark)
    window = task.position // WINDOW_ROWS
    _prove(replay, task, window)  # compiles kernels, runs the model, commits boundaries
    seconds: list[float] = []
    phases: dict[str, list[float]] = {}
    proof = b""
    for _ in range(task.runs):
        marks.clear()
        started = time.perf_counter()
        proof = _prove(replay, task, window)
        ended = time.perf_counter()
        seconds.append(ended - started)
        ends = [*(moment for _, moment in marks[1:]), ended][: len(marks)]  # an embedding has no phases
        for (phase, begun), end in zip(marks, ends, strict=True):
            phases.setdefault(phase, []).append(end - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
    key, inputs, verify_s = _verify(replay, task, window, proof)
    figures = {
        "step": task.step,
        "model": model.name,
        "d": model.config.hidden,
        "rows": 1 if task.step == "head" else min(WINDOW_ROWS, replay.positions - WINDOW_ROWS * window),
        "position": task.position,
        "prove_s": round(statistics.median(seconds), 3),
        "peak_rss_mb": round(peak),
        "proof_bytes": len(proof),
        "verify_s": round(verify_s, 4),
        "phases": {phase: round(statistics.median(values), 3) for phase, values in phases.items()},
    }
    return StepResult(figures, key, inputs, proof)


def _prove(replay: Replay, task: StepTask, window: int) -> bytes:
    if task.step == "embedding":
        return replay.prove_embedding(window)
    if task.step == "head":
        return replay.prove_head(task.position, _rival(replay))
    return replay.prove_step(_STEP_INDEX[task.step], window)


_STEP_INDEX = {"attention": 0, "mlp": 1}


def _rival(replay: Replay) -> int:
    return 0 if replay.output_ids[0] else 1


def _verify(replay: Replay, task: StepTask, window: int, proof: bytes) -> tuple[bytes, list[int], float]:
    """(step key, input words, median seconds of the Python verifier) of a proof just made."""
    from prover.embedding import verify_embedding
    from prover.verify import verify

    if task.step == "embedding":
        rows, boundary = replay.embedding_inputs(window)
        inputs = [coordinate for point in (*rows, boundary) for coordinate in point]
        return (
            b"",
            inputs,
            _timed(lambda: verify_embedding(replay.system.embedding_key, rows, boundary, proof)),
        )
    if task.step == "head":
        statement = replay.head_statement(task.position, _rival(replay))
    else:
        statement = replay.step_statement(_STEP_INDEX[task.step], window)
    verifying_key = replay.system.verifying_key(task.step)
    inputs = [statement.publics[name] for name in verifying_key.plan.program.public_scalars]
    inputs += [coordinate for point in statement.inputs for coordinate in point]
    return statement.key.encode(), inputs, _timed(lambda: verify(verifying_key, statement, proof))


def _timed(action: Any, runs: int = 5) -> float:
    action()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
