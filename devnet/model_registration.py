"""From a committed model to a registered one: generate, compile and deploy its verifiers, then register."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.bindings.deployment import (
    ProtocolContracts,
    deploy_verifiers,
    verifier_artifacts,
    verifier_code_hashes,
)
from contracts.bindings.errors import ContractError
from contracts.bindings.sender import Sender
from contracts.protocol.model import CommittedModel, ModelSpec, StepKind
from prover.architectures import ModelConfig
from prover.curve.srs import SRS
from verifier_gen import generate_sources

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Registration:
    """A registered model and where its verifiers are, in the order of `StepKind`."""

    model_id: bytes
    verifiers: tuple[str, ...]
    gas_used: int


def register_model(
    contracts: ProtocolContracts,
    sender: Sender,
    config: ModelConfig,
    commitment: CommittedModel,
    srs: SRS,
    progress: Progress | None = None,
) -> Registration:
    """Register a model; repeating it gives the same id and sends nothing twice.

    Raises what the generator, the compiler and the bindings raise.
    """
    report = progress or (lambda stage, done, total: None)
    report("generate verifiers", 0, 1)
    sources = generate_sources(config, srs)
    report("compile verifiers", 0, 1)
    artifacts = verifier_artifacts(sources)
    spec = ModelSpec.of(commitment, verifier_code_hashes(artifacts))
    if contracts.registry.is_registered(spec.model_id):
        found = tuple(contracts.registry.verifier(spec.model_id, kind) for kind in StepKind)
        return Registration(spec.model_id, found, 0)
    report("deploy verifiers", 0, 1)
    addresses = deploy_verifiers(sender, artifacts)
    verifiers = tuple(addresses[kind] for kind in StepKind)
    report("register", 0, 1)
    call = contracts.registry.register(spec, verifiers)
    try:
        mined = sender.send(call, f"register {spec.model_id.hex()}")
    except ContractError:
        # Anyone may register the same spec; whoever was faster did the same thing.
        if not contracts.registry.is_registered(spec.model_id):
            raise
        return Registration(spec.model_id, verifiers, 0)
    return Registration(spec.model_id, verifiers, mined.gas_used)
