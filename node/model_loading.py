"""From a model's name to everything that serving and defending it needs."""

from __future__ import annotations

from collections.abc import Callable

from contracts.bindings.reference_string import require_secure_srs
from contracts.bindings.registration import built_model_id
from contracts.protocol.model import audit_stride_of
from prover.curve.srs import DEVNET_BITS, SRS
from prover.model.devices import open_device
from prover.model.library import load_model
from prover.model.weights import IntegerModel
from prover.model_commitment import commit_model
from prover.private_model import PrivateModel, ask_password, commit_private
from verifier_gen import generate_sources

from .chain_access import ChainAccess, find_model_id
from .serving import CommittedServing
from .settings import ProviderSettings

Progress = Callable[[str, int, int], None]


def load_serving(
    settings: ProviderSettings, access: ChainAccess, progress: Progress | None = None
) -> CommittedServing:
    """Load the model, commit it (cached after the first time) and find its registration.

    Raises `InsecureReferenceString` and the errors of `open_device`, `load_model`, `SRS.load`, `commit_model`, `built_model_id` and `find_model_id`.
    """
    report = progress or (lambda stage, done, total: None)
    device = open_device(settings.device)
    report("load reference string", 0, 1)
    srs = SRS.load(settings.srs) if settings.srs is not None else SRS.devnet(DEVNET_BITS)
    require_secure_srs(
        access.chain,
        insecure=srs.insecure,
        description=srs.description,
        allowed=settings.allow_insecure_srs,
        act="serve",
    )
    report("load model", 0, 1)
    model = load_model(settings.model, models=settings.models_dir)
    own = _private(settings, model, srs, progress) if settings.private else None
    commitment = (
        commit_model(model, srs, progress=progress, cache_dir=settings.commitments_dir)
        if own is None
        else own.commitment
    )
    report("generate and compile the verifiers", 0, 1)
    sources = generate_sources(model.config, srs, commitment.privacy)
    built_id = built_model_id(commitment, sources, audit_stride_of(commitment.privacy))
    model_id = find_model_id(access.contracts, commitment, built_id, settings.model_id)
    return CommittedServing(settings.model, model, commitment, srs, model_id, own, device)


def _private(
    settings: ProviderSettings, model: IntegerModel, srs: SRS, progress: Progress | None
) -> PrivateModel:
    """The private commitment that was made before; nothing is made here, so that a lost file is told at once."""
    secret = settings.blindings_password

    def password(_: bool) -> str:
        return (
            ask_password(settings.blindings_password_file)(False)
            if secret is None
            else secret.get_secret_value()
        )

    return commit_private(
        model, srs, password, models=settings.models_dir, commitments=settings.commitments_dir,
        file=settings.blindings, progress=progress, create=False,
    )  # fmt: skip
