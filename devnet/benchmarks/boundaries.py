"""What committing to an answer's boundaries costs beside generating it, in processor seconds of all threads and on the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contracts.protocol.audits import BoundaryTree
from prover.answer_commitments import AnswerCommitments, WindowCommitter
from prover.audits.head_tiles import HeadAudit
from prover.audits.private_head import chosen_logit_points
from prover.curve.g1 import Point
from prover.curve.srs import SRS
from prover.model.execute import Executor, Rows
from prover.model.stream_versions import StreamVersions
from prover.model_blindings import ModelBlindings, ResponseBlindings
from prover.stream_commitments import running_sums, stream_root
from prover.streams import RESIDUAL

_PROMPT, _OUTPUT = 32, 128
_RUNS = 3
_EVERY_LAYERS = (1, 3)
"""Depths that no model can be registered with: what they would cost."""


@dataclass(frozen=True)
class Spent:
    """One run. last_token_s: until the client has all tokens; root_s: until the answer's receipt can be signed."""

    cpu_s: float
    last_token_s: float
    root_s: float


def measure_boundaries(executor: Executor, srs: SRS) -> dict[str, Any]:
    """A public answer, a private one, and ones whose boundaries are those behind whole layers only, by turns; the least of some runs.

    A prompt of 32 tokens and 128 of output, or as many as the model's positions take. Serving is all until the root of the boundaries is known:
    generating, committing, hashing. Drawing of blindings, HTTP and signature are in both or below a millisecond.
    """
    config = executor.model.config
    room = min(_PROMPT + _OUTPUT, config.max_positions)
    prompt = [1 + token % (config.vocabulary - 1) for token in range(_PROMPT)]
    committer = WindowCommitter(config.streams, len(config.schedule), srs)
    blindings = ModelBlindings.draw(bytes(32))

    def private(every: int) -> Spent:
        """Boundaries behind every so many layers, or behind every step (0)."""
        begun = committer.begin(ResponseBlindings.draw(blindings))
        keeper = begun.keep if not every else _whole_layers(executor, begun, every)

        def finish(output: list[int]) -> None:
            points = begun.finish()
            if not every:
                audit = HeadAudit(executor.model, srs, prompt, output, begun.last_rows)
                _root(executor, points, chosen_logit_points(audit, begun.blindings), srs)

        return _spent(executor, prompt, room - len(prompt), keeper, finish)

    def public() -> Spent:
        return _spent(executor, prompt, room - len(prompt), None, lambda _: None)

    depths = [every for every in _EVERY_LAYERS if every == 1 or every < config.layers]
    runs: dict[str, list[Spent]] = {"public": [], "step": [], **{f"layers {every}": [] for every in depths}}
    private(0)  # tables, and kernels that are read from the disk
    for _ in range(_RUNS):
        runs["public"].append(public())
        runs["step"].append(private(0))
        for every in depths:
            runs[f"layers {every}"].append(private(every))
    committer.close()
    least = {
        name: Spent(
            *(min(getattr(run, field) for run in each) for field in ("cpu_s", "last_token_s", "root_s"))
        )
        for name, each in runs.items()
    }
    plain, every_step = least["public"], least["step"]
    of_layers = {
        f"boundaries_every_{every}_layers_percent": _percent(least[f"layers {every}"].cpu_s, plain.cpu_s)
        for every in depths
    }
    return {
        "serve_cpu_s": round(plain.cpu_s, 3),
        "private_cpu_s": round(every_step.cpu_s, 3),
        "boundaries_percent": _percent(every_step.cpu_s, plain.cpu_s),
        **of_layers,
        "serve_s": round(plain.root_s, 3),
        "private_last_token_s": round(every_step.last_token_s, 3),
        "private_root_s": round(every_step.root_s, 3),
    }


def _percent(spent: float, plain: float) -> float:
    return round(100 * (spent / plain - 1), 1)


def _spent(
    executor: Executor,
    prompt: list[int],
    tokens: int,
    keeper: Callable[[int, Rows], None] | None,
    finish: Callable[[list[int]], None],
) -> Spent:
    told = 0.0

    def tell(_: int) -> None:
        nonlocal told
        told = time.perf_counter()

    cpu, started = time.process_time(), time.perf_counter()
    generated = executor.generate(prompt, tokens, end_ids=(), on_token=tell, on_step=keeper)
    finish(generated.ids)
    return Spent(time.process_time() - cpu, told - started, time.perf_counter() - started)


def _whole_layers(executor: Executor, begun: AnswerCommitments, every: int) -> Callable[[int, Rows], None]:
    """Keeps the residual stream behind every so many layers, and nothing in between."""
    schedule = executor.model.config.schedule
    ends = {step for step, each in enumerate(schedule[:-1]) if each.layer != schedule[step + 1].layer}
    ends = {step for step in ends if (schedule[step].layer + 1) % every == 0} | {-1, len(schedule) - 1}

    def keep(step: int, written: Rows) -> None:
        begun.keep(step, {RESIDUAL: written[RESIDUAL]} if step in ends else {})

    return keep


def _root(executor: Executor, points: Any, chosen: list[Point], srs: SRS) -> bytes:
    """As a provider computes it: of every boundary the roots of its streams, and that of the chosen logits."""
    config, versions = executor.model.config, StreamVersions(executor.model.config)
    known: dict[tuple[int, str] | None, bytes] = {None: stream_root([])}
    roots = []
    for boundary in range(len(config.schedule) + 1):
        of_streams = []
        for stream in config.streams:
            version = versions.version(boundary, stream.name)
            key = None if version is None else (version, stream.name)
            if key is not None and key not in known:
                windows: list[Point] = points[key]
                known[key] = stream_root(running_sums(windows, stream.chunk_windows_bits(srs.mu)))
            of_streams.append(known[key])
        roots.append(of_streams)
    return BoundaryTree.of(roots, stream_root(chosen)).root
