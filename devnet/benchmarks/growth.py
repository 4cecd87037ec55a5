"""How the cost of a step proof grows: with the width d, the rows proven, the tokens before them, and the layers.

Models are synthetic (`synthetic.py`) with one layer; a step of layer l costs the same whatever l is. Three axes are
views of the same points, a step of one window of a model:

    d         first window, d = 64 .. 8192: the steps of a wide layer are tiles of bounded size
    rows      d = 576, the sum over windows 0 .. rows/32 - 1, each a proof of its own
    position  d = 576, window w after w others, up to 16,384 tokens
    layers    d = 576, committing all step keys; how many statements there are, and rounds to find the wrong one
    experts   d = 576, 2 to 128 experts of which a row has two: committing them, and the steps of a mixture
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from contracts.protocol.bisection import rounds_at_most
from contracts.protocol.parameters import DEVNET
from prover.program import WINDOW_ROWS

from . import step_process
from .capped_process import DidNotFit, Limits, call_in_process, may_fit_now, unfit
from .gas import GasMeter, gas_meter
from .result_store import ResultStore
from .synthetic import synthetic_config

AXES = ("d", "rows", "position", "layers", "experts")
OF_MIXTURES = ("router", "expert_tile", "mlp_close")
"""What a mixture of experts has in the place of an MLP."""
COMMITMENT = "commitment"

Report = Callable[[str], None]
Row = dict[str, Any]
"""axis, series (a kind of step, or commitment), x, and the figures; or `did_not_fit` in their place."""


@dataclass(frozen=True)
class Sweep:
    """Values of each axis. `width` is d of all axes but d itself; rows are multiples of 32."""

    widths: tuple[int, ...]
    width: int
    rows: tuple[int, ...]
    windows: tuple[int, ...]
    layers: tuple[int, ...]
    experts: tuple[int, ...] = ()


FULL = Sweep(
    widths=(64, 128, 256, 512, 1024, 2048, 4096, 8192),
    width=576,
    rows=tuple(range(32, 257, 32)),
    windows=(0, 1, 3, 7, 15, 31, 63, 127, 255, 511),
    layers=(1, 2, 4, 8, 16, 30),
    experts=(2, 4, 8, 16, 32, 64, 128),
)
QUICK = Sweep(widths=(32, 64), width=32, rows=(32, 64), windows=(0, 1), layers=(1, 2), experts=(2, 4))


@dataclass(frozen=True)
class Commitment:
    """Point: all weights of a model of some layers, committed."""

    d: int
    layers: int = 1
    experts: int = 0

    @property
    def name(self) -> str:
        """Its name in a store."""
        return f"commitment d={self.d} layers={self.layers}{_of_experts(self.experts)}"


@dataclass(frozen=True)
class Step:
    """Point: one step of the last of `window + 1` windows, proven and verified."""

    d: int
    step: str
    window: int = 0
    experts: int = 0

    @property
    def name(self) -> str:
        """Its name in a store."""
        return f"{self.step} d={self.d} window={self.window}{_of_experts(self.experts)}"


def _of_experts(experts: int) -> str:
    return f" experts={experts}" if experts else ""


def points(axis: str, sweep: Sweep) -> list[Commitment | Step]:
    """What an axis needs, cheapest first."""
    match axis:
        case "d":
            steps: list[list[Commitment | Step]] = [
                [Commitment(d), *(Step(d, kind) for kind in kinds_of(d))] for d in sweep.widths
            ]
            return [point for group in steps for point in group]
        case "rows":
            windows: Sequence[int] = range(max(sweep.rows) // WINDOW_ROWS)
        case "position":
            windows = sweep.windows
        case "layers":
            return [Commitment(sweep.width, layers) for layers in sweep.layers]
        case "experts":
            mixtures: list[list[Commitment | Step]] = [
                [
                    Commitment(sweep.width, experts=count),
                    *(Step(sweep.width, kind, experts=count) for kind in OF_MIXTURES),
                ]
                for count in sweep.experts
            ]
            return [point for group in mixtures for point in group]
        case _:
            raise ValueError(f"there is no axis {axis!r}; they are {', '.join(AXES)}")
    return [Step(sweep.width, kind, window) for window in windows for kind in kinds_of(sweep.width)]


def kinds_of(d: int) -> tuple[str, ...]:
    """The kinds of step of a layer of this width."""
    return synthetic_config(d).kinds


class Growth:
    """Measures points, each in a process of its own, and keeps every one as soon as it is known."""

    def __init__(
        self,
        store: ResultStore,
        folder: Path,
        limits: Limits,
        *,
        runs: int,
        gas: bool,
        report: Report = lambda text: None,
    ) -> None:
        self._store, self._folder, self._limits, self._runs = store, folder, limits, runs
        self._gas, self._report = gas, report

    @cached_property
    def _srs(self) -> Any:
        from prover.curve.srs import SRS

        return SRS.devnet(18)

    def measure(self, wanted: Sequence[Commitment | Step]) -> None:
        """Measure what is not known yet. Once a point of a kind did not fit, wider ones are not tried."""
        missing = [point for point in wanted if self._known(point) is None]
        if missing:
            self._report(f"{len(wanted) - len(missing)} of {len(wanted)} points are known")
        full: dict[tuple[str, int, int], int] = {}
        for point in wanted:  # also those of an earlier run
            known = self._known(point)
            if known is not None and "did_not_fit" in known:
                full.setdefault(_kind(point), point.d)
        for d, experts in dict.fromkeys((point.d, point.experts) for point in missing):
            mine = [point for point in missing if (point.d, point.experts) == (d, experts)]
            with self._meter(mine) as meter:
                for point in mine:
                    if full.get(_kind(point), d) < d:
                        reason = f"not tried: d = {full[_kind(point)]} did not fit"
                        result = unfit(reason, self._limits)
                    else:
                        result = self._measured(point, meter)
                    if "did_not_fit" in result:
                        full.setdefault(_kind(point), d)
                    self._store.put(point.name, result)
                    self._report(f"{point.name}  {_summary(result)}")

    def _known(self, point: Commitment | Step) -> dict[str, Any] | None:
        known = self._store.get(point.name)
        return None if known is None or may_fit_now(known, self._limits) else known

    def rows(self, axis: str, sweep: Sweep) -> list[Row]:
        """An axis as rows for tables and fits, from what is known; complete after `measure`."""
        if axis == "rows":
            return list(self._accumulated(sweep))
        result = []
        for point in points(axis, sweep):
            known = self._store.get(point.name)
            if known is not None:
                series = point.step if isinstance(point, Step) else COMMITMENT
                result.append({"axis": axis, "series": series, "x": _x(axis, point), **known})
        return result

    def _accumulated(self, sweep: Sweep) -> Iterator[Row]:
        """Totals over the windows that a number of rows takes; memory is that of the largest, as they run in turn."""
        for step in kinds_of(sweep.width):
            found = [
                self._store.get(Step(sweep.width, step, w).name)
                for w in range(max(sweep.rows) // WINDOW_ROWS)
            ]
            for rows in sweep.rows:
                windows = [
                    w for w in found[: rows // WINDOW_ROWS] if w is not None and "did_not_fit" not in w
                ]
                if len(windows) < rows // WINDOW_ROWS:
                    continue
                gas = [w["verify_gas"] for w in windows]
                yield {
                    "axis": "rows",
                    "series": step,
                    "x": rows,
                    "proofs": len(windows),
                    "prove_s": round(sum(w["prove_s"] for w in windows), 3),
                    "peak_rss_mb": max(w["peak_rss_mb"] for w in windows),
                    "proof_bytes": sum(w["proof_bytes"] for w in windows),
                    "verify_s": round(sum(w["verify_s"] for w in windows), 4),
                    "verify_gas": None if None in gas else sum(gas),
                }

    # --- one point --------------------------------------------------------------------------------------

    def _measured(self, point: Commitment | Step, meter: GasMeter | None) -> dict[str, Any]:
        try:
            if isinstance(point, Commitment):
                return self._commit(point)
            if not self._commitments(point.d, 1, point.experts).is_dir():
                self._commit(Commitment(point.d, experts=point.experts))
            return self._prove(point, meter)
        except DidNotFit as error:
            return unfit(error.reason, self._limits)

    def _commit(self, point: Commitment) -> dict[str, Any]:
        folder = self._commitments(point.d, point.layers, point.experts)
        shutil.rmtree(folder, ignore_errors=True)  # a cached commitment would be read and not made
        shape = {"d": point.d, "layers": point.layers, "experts": point.experts}
        argument = {**shape, "commitments": str(folder)}
        done = call_in_process(step_process.SET_UP, argument, self._limits)
        return {
            **done.result,
            "peak_rss_mb": done.peak_rss_mb,
            "bisection_rounds": rounds_at_most(
                len(synthetic_config(point.d, point.layers, point.experts).schedule), DEVNET.arity
            ),
        }

    def _prove(self, point: Step, meter: GasMeter | None) -> dict[str, Any]:
        argument = {
            "d": point.d,
            "layers": 1,
            "experts": point.experts,
            "commitments": str(self._commitments(point.d, 1, point.experts)),
            "step": point.step,
            "tokens": WINDOW_ROWS * (point.window + 1),
            "runs": self._runs,
        }
        done = call_in_process(step_process.PROVE, argument, self._limits)
        figures = done.result["figures"]
        wanted = ("prove_s", "proof_bytes", "verify_s", "phases")
        return {
            **{name: figures[name] for name in wanted},
            "f": synthetic_config(point.d, experts=point.experts).to_json()["feed_forward"],
            "peak_rss_mb": done.peak_rss_mb,
            **on_chain(meter, point.step, done.result),
        }

    def _commitments(self, d: int, layers: int, experts: int) -> Path:
        return self._folder / f"d{d}-layers{layers}{_of_experts(experts).replace(' ', '-')}"

    def _meter(self, mine: Sequence[Commitment | Step]) -> AbstractContextManager[GasMeter | None]:
        """A meter for points of one shape, if any of them is verified."""
        if not self._gas or not any(isinstance(point, Step) for point in mine):
            return nullcontext()
        return gas_meter(synthetic_config(mine[0].d, experts=mine[0].experts), self._srs)


def on_chain(meter: GasMeter | None, step: str, result: Mapping[str, Any]) -> dict[str, int | None]:
    """Gas of verifying what `step_process.prove_step` returned, and the size of the verifier."""
    if meter is None:
        return {"verify_gas": None, "verifier_bytes": None}
    inputs = [int(word, 16) for word in result["inputs"]]
    key, proof = bytes.fromhex(result["key"]), bytes.fromhex(result["proof"])
    return {"verify_gas": meter.verify(step, key, inputs, proof), "verifier_bytes": meter.code_bytes(step)}


def _kind(point: Commitment | Step) -> tuple[str, int, int]:
    """What a point is apart from its width."""
    if isinstance(point, Step):
        return point.step, point.window, point.experts
    return COMMITMENT, point.layers, point.experts


def _x(axis: str, point: Commitment | Step) -> int:
    if axis == "d":
        return point.d
    if axis == "experts":
        return point.experts
    return WINDOW_ROWS * (point.window + 1) if isinstance(point, Step) else point.layers


def _summary(result: Mapping[str, Any]) -> str:
    if "did_not_fit" in result:
        return str(result["did_not_fit"])
    shown = ("setup_s", "prove_s", "peak_rss_mb", "proof_bytes", "verify_gas")
    return "  ".join(f"{name}={result[name]}" for name in shown if result.get(name) is not None)
