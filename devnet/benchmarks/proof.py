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
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from prover.architectures import ModelConfig
from prover.blindings_file import LOWEST_COST
from prover.curve.srs import SRS
from prover.model.weights import IntegerModel
from prover.model_blindings import ResponseBlindings
from prover.model_commitment import ModelCommitment, commit_model
from prover.plan import PRIVATE, PUBLIC, Privacy
from prover.private_model import commit_private
from prover.program import WINDOW_ROWS
from prover.progress import Report, reporting
from prover.replay import Replay
from prover.statement import Statement


@dataclass(frozen=True)
class StepTask:
    """One step to prove at the last position of `rows` + earlier ones."""

    model: str
    models: Path
    commitments: Path
    step: str
    position: int
    runs: int
    privacy: Privacy = PUBLIC


@dataclass(frozen=True)
class StepResult:
    """Figures of one step, and the calldata that the verifier contract takes."""

    figures: dict[str, Any]
    key: bytes
    inputs: list[int]
    proof: bytes


def steps(config: ModelConfig, positions: Sequence[int]) -> list[tuple[str, int]]:
    """Every kind of statement at the first position, and those whose cost grows with it at all."""
    first, growing = positions[0], {kind for kind in config.kinds if config.programs[kind].has_context}
    kinds = [(kind, p) for kind in config.kinds for p in (positions if kind in growing else [first])]
    return [*kinds, ("embedding", first), ("head", first)]


def measure_step(task: StepTask) -> StepResult:
    """Prove one step in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, task).result()


def _measure(task: StepTask) -> StepResult:
    from prover.model.library import load_model
    from prover.model.texts import FIDELITY_CHAPTERS, python_prose

    model, srs = load_model(task.model, models=task.models), SRS.devnet(18)
    if task.privacy == PUBLIC:
        commitment, hidden = commit_model(model, srs, cache_dir=task.commitments), None
    else:
        commitment, hidden = _hidden(model, srs, task.commitments)
    ids = model.tokenizer.encode(python_prose(FIDELITY_CHAPTERS).text)[: task.position + 1]
    ids += [ids[0]] * (task.position + 1 - len(ids))
    with reporting() as report:
        return measure_replay(model, commitment, srs, ids, task.step, task.runs, report, hidden)


def _hidden(model: IntegerModel, srs: SRS, commitments: Path) -> tuple[ModelCommitment, ResponseBlindings]:
    """The model as a private one, with blindings of the benchmark's own: their password is no secret."""
    folder = commitments / "bench"
    own = commit_private(model, srs, lambda new: "bench", models=folder, commitments=folder, cost=LOWEST_COST)
    return own.commitment, ResponseBlindings.draw(own.blindings)


def first_layer(model: IntegerModel) -> IntegerModel:
    """The model without all other layers. Its steps have the numbers, the integers and so the keys that they have in it."""
    shape = model.config.to_json()
    of_layers: dict[str, Any] = {
        name: tuple(value[:1])
        for name, value in shape.items()
        if name.endswith("_kinds") and isinstance(value, list)
    }
    weights = replace(model.weights, layers=model.weights.layers[:1], vectors=model.weights.vectors[:1])
    return replace(model, config=replace(model.config, layers=1, **of_layers), weights=weights)


def compared(public: dict[str, Any], private: dict[str, Any]) -> dict[str, Any]:
    """What a private proof costs beside the public one of the same statement."""
    facts = {
        "step": private["step"],
        "position": private["position"],
        "time_ratio": round(private["prove_s"] / public["prove_s"], 3),
        "memory_ratio": round(private["peak_rss_mb"] / public["peak_rss_mb"], 3),
    }
    for name in ("proof_bytes", "verify_gas", "verifier_bytes"):
        if public.get(name) is not None:
            facts[f"more_{name}"] = private[name] - public[name]
    return facts


class PhaseClock:
    """When each phase of a proof began: the progress of a Replay."""

    def __init__(self, report: Report = lambda _stage, _done, _total: None) -> None:
        self._report = report
        self._started = time.perf_counter()
        self._marks: list[tuple[str, float]] = []

    def __call__(self, stage: str, done: int, total: int) -> None:
        if not stage.startswith("prove: "):  # running the text, which is not measured
            self._report(stage, done, total)
            return
        self._marks.append((stage.removeprefix("prove: "), time.perf_counter()))

    def restart(self) -> None:
        """A proof begins: forget the phases so far."""
        self._marks.clear()
        self._started = time.perf_counter()

    def split(self, ended: float) -> dict[str, float]:
        """Seconds per phase, together the whole proof; empty for an embedding, which has no phases.

        The first phase counts from the start, because its name is told only once its integers are computed.
        """
        begins = [self._started, *(moment for _, moment in self._marks[1:])][: len(self._marks)]
        ends = [*begins[1:], ended]
        return {name: end - begun for (name, _), begun, end in zip(self._marks, begins, ends, strict=False)}


def measure_replay(
    model: IntegerModel,
    commitment: ModelCommitment,
    srs: SRS,
    ids: Sequence[int],
    step: str,
    runs: int,
    report: Report = lambda _stage, _done, _total: None,
    blindings: ResponseBlindings | None = None,
) -> StepResult:
    """Prove a step of the first layer (or embedding, or head) at the last of `ids`: medians after a warm-up.

    What lies behind the first layer is run for the head only: a text of thousands of tokens takes minutes in all layers.
    """
    clock, position = PhaseClock(report), len(ids) - 1
    if step == "head":
        chosen = Replay(model, commitment, srs, ids, [0], report, blindings=blindings).predictions[0]
        if chosen is None:
            raise ValueError("the benchmark's tokens leave the head's range: measure with others")
    else:
        model, chosen = first_layer(model), 0
    replay = Replay(model, commitment, srs, ids, [chosen], clock, blindings=blindings)
    window = position // WINDOW_ROWS
    _prove(replay, step, position)  # compiles kernels, runs the model, commits boundaries
    seconds: list[float] = []
    phases: dict[str, list[float]] = {}
    statement, proof = None, b""
    for _ in range(runs):
        started = time.perf_counter()
        clock.restart()
        statement, proof = _prove(replay, step, position)
        ended = time.perf_counter()
        seconds.append(ended - started)
        for phase, spent in clock.split(ended).items():
            phases.setdefault(phase, []).append(spent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
    key, inputs, verify_s = _verify(replay, step, position, proof, statement)
    figures = {
        "step": step,
        **({"privacy": PRIVATE} if replay.system.privacy == PRIVATE else {}),
        "model": model.name,
        "d": model.config.hidden,
        "rows": 1 if step == "head" else min(WINDOW_ROWS, replay.positions - WINDOW_ROWS * window),
        "position": position,
        "prove_s": round(statistics.median(seconds), 3),
        "peak_rss_mb": round(peak),
        "proof_bytes": len(proof),
        "verify_s": round(verify_s, 4),
        "phases": {phase: round(statistics.median(values), 3) for phase, values in phases.items()},
    }
    return StepResult(figures, key, inputs, proof)


def _prove(replay: Replay, step: str, position: int) -> tuple[Statement | None, bytes]:
    window = position // WINDOW_ROWS
    if step == "embedding":
        return None, replay.prove_embedding(window)
    if step == "head":
        rival = _rival(replay)
        return replay.head_statement(position, rival), replay.prove_head(position, rival)
    number = replay.model.config.number_of(step)
    return replay.step_statement(number, window), replay.prove_step(number, window)


def _rival(replay: Replay) -> int:
    return 0 if replay.output_ids[0] else 1


def _verify(
    replay: Replay, step: str, position: int, proof: bytes, statement: Statement | None
) -> tuple[bytes, list[int], float]:
    """(step key, input words, median seconds of the Python verifier) of a proof just made."""
    from prover.embedding import verify_embedding
    from prover.verify import verify

    window = position // WINDOW_ROWS
    if statement is None:
        rows, boundary = replay.embedding_inputs(window)
        inputs = [coordinate for point in (*rows, boundary) for coordinate in point]
        return (
            b"",
            inputs,
            _timed(lambda: verify_embedding(replay.system.embedding_key, rows, boundary, proof)),
        )
    verifying_key = replay.system.verifying_key(step)
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
