"""What a measuring process does for one synthetic model: commit its weights, or prove one of its steps.

Called through `capped_process.call_in_process`, so arguments and results are JSON objects. Imports are inside the
functions: a process pays only for what it does.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

SET_UP = "devnet.benchmarks.step_process:set_up"
PROVE = "devnet.benchmarks.step_process:prove_step"
_WARM_UP = {"d": 48, "layers": 2}
"""A shape that nobody measures: what is shared within a process must not be made before the clock runs."""


def set_up(argument: dict[str, Any]) -> dict[str, Any]:
    """Commit a model {d, layers, experts} into the folder `commitments`.

    Seconds count the verifying keys (public tables) and all step keys; the token rows of a vocabulary of 259 are
    committed too, but belong to no layer. The reference string is made before: it is the same for every model.
    """
    from prover.curve.srs import SRS
    from prover.model_commitment import commit_model

    from .synthetic import synthetic_model

    srs = SRS.devnet(18)
    commit_model(synthetic_model(**_WARM_UP), srs, cache_dir=None)  # compiles kernels
    model = synthetic_model(argument["d"], argument["layers"], argument["experts"])
    moments: dict[str, float] = {}

    def heard(stage: str, _done: int, _total: int) -> None:
        moments.setdefault(stage, time.perf_counter())

    started = time.perf_counter()
    commitment = commit_model(model, srs, heard, cache_dir=Path(argument["commitments"]))
    return {
        "setup_s": round(moments["token rows"] - started, 3),
        "step_keys": len(commitment.step_keys),
        "step_key_bytes": sum(map(len, commitment.step_keys)),
    }


def prove_step(argument: dict[str, Any]) -> dict[str, Any]:
    """Prove `step` of a committed model {d, layers, experts} at its last of `tokens` tokens; medians over `runs`."""
    from prover.curve.srs import SRS
    from prover.model_commitment import commit_model

    from .proof import measure_replay
    from .synthetic import prompt_ids, synthetic_model

    model, srs = synthetic_model(argument["d"], argument["layers"], argument["experts"]), SRS.devnet(18)
    commitment = commit_model(model, srs, cache_dir=Path(argument["commitments"]))
    ids = prompt_ids(model, argument["tokens"])
    result = measure_replay(model, commitment, srs, ids, argument["step"], argument["runs"])
    return {
        "figures": result.figures,
        "key": result.key.hex(),
        "inputs": [hex(word) for word in result.inputs],
        "proof": result.proof.hex(),
    }
