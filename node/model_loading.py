"""From a model's name to everything that serving and defending it needs."""

from __future__ import annotations

from collections.abc import Callable

from contracts.bindings.reference_string import require_secure_srs
from contracts.bindings.registration import built_model_id
from prover.curve.srs import SRS
from prover.model.library import load_model
from prover.model_commitment import commit_model
from verifier_gen import generate_sources

from .chain_access import ChainAccess, find_model_id
from .provider import CommittedServing
from .settings import ProviderSettings

# 2^18 powers: what the programs of the reference model need.
DEVNET_SRS_BITS = 18

Progress = Callable[[str, int, int], None]


def load_serving(
    settings: ProviderSettings, access: ChainAccess, progress: Progress | None = None
) -> CommittedServing:
    """Load the model, commit it (cached after the first time) and find its registration.

    Raises `InsecureReferenceString` and the errors of `load_model`, `SRS.load`, `commit_model`, `built_model_id` and `find_model_id`.
    """
    report = progress or (lambda stage, done, total: None)
    report("load reference string", 0, 1)
    srs = SRS.load(settings.srs) if settings.srs is not None else SRS.devnet(DEVNET_SRS_BITS)
    require_secure_srs(
        access.chain,
        insecure=srs.insecure,
        description=srs.description,
        allowed=settings.allow_insecure_srs,
        act="serve",
    )
    report("load model", 0, 1)
    model = load_model(settings.model, models=settings.models_dir)
    commitment = commit_model(model, srs, progress=progress, cache_dir=settings.commitments_dir)
    report("generate and compile the verifiers", 0, 1)
    built_id = built_model_id(commitment, generate_sources(model.config, srs))
    model_id = find_model_id(access.contracts, commitment, built_id, settings.model_id)
    return CommittedServing(settings.model, model, commitment, srs, model_id)
