"""The demo: prepare the model, play the scenarios on one chain, report what happened."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from prover.errors import GainsayError

from .lifecycle import down
from .scenarios import Scenario
from .scenarios.prepared_model import Fidelity, PreparedModel, Report, prepare_model, write_atomically
from .scenarios.result import ScenarioResult
from .scenarios.stage import Stage, open_stage

STATE = Path(".gainsay")
Tell = Callable[[str], None]
_RUN = "run-"


@dataclass
class DemoReport:
    """What `.gainsay/demo/report.json` holds. `failures` says which scenarios did not end as they must."""

    model: str
    model_id: str
    fidelity: Fidelity
    scenarios: list[ScenarioResult] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "model_id": self.model_id,
            "fidelity": asdict(self.fidelity),
            "scenarios": [result.as_json() for result in self.scenarios],
            "failures": self.failures,
            "seconds": round(self.seconds, 1),
        }


def run_demo(
    model: str,
    scenarios: Sequence[Scenario],
    tell: Tell,
    preparing: Report,
    *,
    state: Path = STATE,
    prepared: PreparedModel | None = None,
) -> DemoReport:
    """Play the scenarios and write `state`/demo/report.json. `tell` gets a line for everything that happens,
    `preparing(stage, done, total)` the progress of the first steps.

    A scenario that fails does not stop the others. Raises what preparing the model and starting the chain raise.
    """
    started = time.monotonic()
    _sweep(state / "demo")
    prepared = prepared or prepare_model(model, preparing, state)
    with _run_folder(state / "demo") as folder, open_stage(prepared, folder, tell) as stage:
        report = DemoReport(model, "0x" + stage.model_id.hex(), prepared.fidelity)
        for scenario in scenarios:
            result = _play(scenario, stage, tell)
            report.scenarios.append(result)
            if result.outcome != scenario.expected:
                why = f" ({result.reason})" if result.reason else ""
                report.failures.append(
                    f"{scenario.name} ended {result.outcome}{why} instead of {scenario.expected}"
                )
            elif result.problem:
                report.failures.append(f"{scenario.name} ended {result.outcome}, but {result.problem}")
    report.seconds = time.monotonic() - started
    write_atomically(state / "demo" / "report.json", json.dumps(report.as_json(), indent=2) + "\n")
    return report


def _play(scenario: Scenario, stage: Stage, tell: Tell) -> ScenarioResult:
    tell(f"— {scenario.name}: {scenario.about}")
    started = time.monotonic()
    try:
        result = scenario.play(stage)
    except GainsayError as error:
        reason = " ".join(str(error).split())
        tell(f"failed: {reason}")
        result = ScenarioResult(scenario.name, "", "", "failed", reason=reason)
    result.seconds = round(time.monotonic() - started, 1)
    return result


@contextmanager
def _run_folder(folder: Path) -> Iterator[Path]:
    """A folder of this process, removed when all went well and nobody needs its logs."""
    path = folder / f"{_RUN}{os.getpid()}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Stop the chains of demos that were killed, and remove what they left."""
    for path in folder.glob(f"{_RUN}*"):
        owner = path.name.removeprefix(_RUN)
        if owner.isdigit() and int(owner) != os.getpid() and not _lives(int(owner)):
            down(path)
            shutil.rmtree(path, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def quiet_logs(verbose: bool) -> None:
    """The parts' own logs only with --verbose: the demo tells its story itself."""
    import logging

    level = logging.INFO if verbose else logging.CRITICAL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))


__all__ = ["DemoReport", "quiet_logs", "run_demo"]
