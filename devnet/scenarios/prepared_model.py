"""A model that is ready for the chain: fetched, imported, committed, its fidelity measured; each once and kept."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contracts.bindings.compiler import Artifact
from contracts.bindings.deployment import verifier_artifacts
from prover.curve.srs import SRS
from prover.kernels import compile_kernels
from prover.model.errors import ModelFileError, ModelNotFoundError
from prover.model.fetch import DEFAULT_CACHE, SOURCES, fetch
from prover.model.fidelity import measure_fidelity
from prover.model.library import (
    BUILT_IN,
    built_in_model,
    import_model,
    load_model,
    read_float_model,
    source_path,
)
from prover.model.seeded import LARGE
from prover.model.weights import IntegerModel
from prover.model_commitment import ModelCommitment, commit_model
from verifier_gen import generate_sources

Report = Callable[[str, int, int], None]
STATE = Path(".gainsay")
SRS_BITS = 18
_FIDELITY_TOKENS = 512
_TOKENS_OF_SEEDED = 32  # weights from a seed say nothing, and floats of a large model take long


@dataclass(frozen=True)
class Fidelity:
    """The integer model beside its float reference on real text."""

    perplexity_float: float
    perplexity_integer: float
    argmax_agreement: float
    tokens: int


@dataclass(frozen=True)
class PreparedModel:
    """Everything that serving, defending and registering a model needs."""

    model: IntegerModel
    commitment: ModelCommitment
    srs: SRS
    verifiers: dict[str, Artifact]
    fidelity: Fidelity


def prepare_model(name: str, report: Report, state: Path = STATE) -> PreparedModel:
    """Do what is missing of fetch, import, commit, generate and compile verifiers, and measure fidelity.

    Raises the errors of these steps.
    """
    report("load model", 0, 1)
    model = _imported(name, report, state / DEFAULT_CACHE.name)
    srs = SRS.devnet(SRS_BITS)
    compile_kernels(report, srs)  # no clock runs yet
    commitment = commit_model(model, srs, progress=report, cache_dir=state / "commitments")
    report("generate and compile the verifiers", 0, 1)
    verifiers = verifier_artifacts(generate_sources(model.config, srs))
    report("generate and compile the verifiers", 1, 1)
    fidelity = _fidelity(name, model, report, state)
    return PreparedModel(model, commitment, srs, verifiers, fidelity)


def _imported(name: str, report: Report, models: Path) -> IntegerModel:
    """The model; one that can be fetched is fetched and imported when it is missing or of an older format."""
    try:
        return load_model(name, models=models, progress=report)
    except (ModelNotFoundError, ModelFileError):
        if name not in SOURCES:
            raise
    gguf = fetch(models, source=SOURCES[name], progress=report)
    return import_model(gguf, name=name, models=models, progress=report)


def _fidelity(name: str, model: IntegerModel, report: Report, state: Path) -> Fidelity:
    """Measured once per model, then read from a file named after the model's digest."""
    kept = state / "fidelity" / f"{model.name}-{model.digest.hex()[:24]}.json"
    try:
        return Fidelity(**json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        pass
    if name in (*BUILT_IN, *LARGE):
        floats = built_in_model(name)
    else:
        models = state / DEFAULT_CACHE.name
        known = name in SOURCES
        path = fetch(models, source=SOURCES[name], progress=report) if known else source_path(name)
        floats = read_float_model(path, residual_scale=model.config.residual_scale, progress=report)
    tokens = _TOKENS_OF_SEEDED if name in LARGE else _FIDELITY_TOKENS
    measured = measure_fidelity(floats, model, tokens=tokens, progress=report)
    fidelity = Fidelity(
        measured.float_perplexity, measured.integer_perplexity, measured.argmax_agreement, measured.tokens
    )
    write_atomically(kept, json.dumps(vars(fidelity)) + "\n")
    return fidelity


def write_atomically(path: Path, text: str) -> None:
    """The whole text or nothing under `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
