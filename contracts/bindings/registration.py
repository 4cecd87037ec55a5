"""Put a committed model and its verifiers on chain, and know the one registration of it that counts.

Anyone may register a model's commitments with verifiers of their own, such as one that accepts everything or
nothing. A model's id contains its verifiers' code hashes, so the id that follows from the verifiers that this
program generates and compiles itself stands for exactly these; every other registration is another model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..protocol.model import CommittedModel, ModelSpec, StepKind
from .compiler import Artifact
from .deployment import ProtocolContracts, deploy_verifiers, verifier_artifacts, verifier_code_hashes
from .errors import ContractError
from .sender import Sender


@dataclass(frozen=True)
class Registration:
    """A registered model and where its verifiers are, in the order of `StepKind`."""

    model_id: bytes
    verifiers: tuple[str, ...]
    gas_used: int
    registered_before: bool


def expected_spec(model: CommittedModel, verifiers: Mapping[StepKind, Artifact]) -> ModelSpec:
    """The spec that an honest registration of this model has: compare its id before trusting one."""
    return ModelSpec.of(model, verifier_code_hashes(verifiers))


def built_model_id(model: CommittedModel, sources: Mapping[str, str]) -> bytes:
    """The id of this model with verifiers compiled from these sources (`verifier_gen.generate_sources`), whether it
    is registered or not. What was compiled before is read from the compiler's cache.

    Raises `CompilerNotFound` and `CompilationFailed`.
    """
    return expected_spec(model, verifier_artifacts(sources)).model_id


def register(
    sender: Sender,
    contracts: ProtocolContracts,
    model: CommittedModel,
    verifiers: Mapping[StepKind, Artifact],
    report: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Registration:
    """Deploy the model's verifiers and register it; repeating it gives the same id and sends nothing twice."""
    spec = expected_spec(model, verifiers)
    registry = contracts.registry
    if registry.is_registered(spec.model_id):
        found = tuple(registry.verifier(spec.model_id, kind) for kind in StepKind)
        return Registration(spec.model_id, found, 0, True)
    report("deploy verifiers", 0, 1)
    addresses = deploy_verifiers(sender, verifiers)
    placed = tuple(addresses[kind] for kind in StepKind)
    report("register", 0, 1)
    try:
        mined = sender.send(registry.register(spec, placed), f"register {spec.model_id.hex()}")
    except ContractError:
        # Anyone may register the same spec; whoever was faster did the same thing.
        if not registry.is_registered(spec.model_id):
            raise
        return Registration(spec.model_id, placed, 0, True)
    return Registration(spec.model_id, placed, mined.gas_used, False)


def register_model(
    sender: Sender,
    contracts: ProtocolContracts,
    model: CommittedModel,
    verifiers: Mapping[StepKind, Artifact],
) -> bytes:
    """`register`; the model's id."""
    return register(sender, contracts, model, verifiers).model_id


def deposit_stake(sender: Sender, contracts: ProtocolContracts, amount_wei: int, key: str) -> int:
    """Add to the sender's stake, once per `key`; its total stake."""
    sender.send(contracts.stake.deposit(amount_wei), key=key)
    return contracts.stake.account(sender.address).total
