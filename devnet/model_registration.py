"""From a committed model to a registered one: generate, compile and deploy its verifiers, then register."""

from __future__ import annotations

from collections.abc import Callable

from contracts.bindings.deployment import ProtocolContracts, verifier_artifacts
from contracts.bindings.registration import Registration, register
from contracts.bindings.sender import Sender
from prover.architectures import ModelConfig
from prover.curve.srs import SRS
from prover.model_commitment import ModelCommitment
from verifier_gen import generate_sources

Progress = Callable[[str, int, int], None]


def register_model(
    contracts: ProtocolContracts,
    sender: Sender,
    config: ModelConfig,
    commitment: ModelCommitment,
    srs: SRS,
    progress: Progress | None = None,
) -> Registration:
    """Register a model with the verifiers that are generated for it (`registration.register`).

    Raises what the generator, the compiler and the bindings raise.
    """
    report = progress or (lambda stage, done, total: None)
    report("generate verifiers", 0, 1)
    sources = generate_sources(config, srs, commitment.privacy)
    report("compile verifiers", 0, 1)
    return register(sender, contracts, commitment, verifier_artifacts(sources), report)
