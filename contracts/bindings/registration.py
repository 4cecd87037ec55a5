"""Put a committed model and its verifiers on chain, and know the one registration of it that counts.

Anyone may register a model's commitments with verifiers of their own, such as one that accepts everything or
nothing. A model's id contains its verifiers' code hashes, so the id that follows from the verifiers that this
program generates and compiles itself stands for exactly these; every other registration is another model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..protocol.model import EMBEDDING, PUBLIC, CommittedModel, ModelSpec, head_kind, verifier_name
from .compiler import Artifact
from .deployment import ProtocolContracts, deploy_verifiers, verifier_artifacts, verifier_code_hashes
from .errors import ContractError, DeploymentInvalid
from .results import Mined
from .sender import Sender


@dataclass(frozen=True)
class Registration:
    """A registered model and where its verifiers are, by the names of its kinds of step, `EMBEDDING` and `head_kind`.

    `gas_used`: of the verifiers' deployment and of the registration.
    """

    model_id: bytes
    verifiers: Mapping[str, str]
    gas_used: int
    registered_before: bool


def expected_spec(
    model: CommittedModel, verifiers: Mapping[str, Artifact], audit_stride: int = PUBLIC
) -> ModelSpec:
    """The spec that an honest registration of this model has: compare its id before trusting one."""
    return ModelSpec.of(model, verifier_code_hashes(_of_model(model, verifiers, audit_stride)), audit_stride)


def _of_model(
    model: CommittedModel, verifiers: Mapping[str, Artifact], audit_stride: int
) -> dict[str, Artifact]:
    """Those of the model's kinds, in their order, then the others."""
    names = [*model.kind_names, EMBEDDING, head_kind(audit_stride)]
    if missing := [verifier_name(name) for name in names if name not in verifiers]:
        raise DeploymentInvalid(f"The generated sources lack {', '.join(missing)}.")
    return {name: verifiers[name] for name in names}


def built_model_id(model: CommittedModel, sources: Mapping[str, str], audit_stride: int = PUBLIC) -> bytes:
    """The id of this model with verifiers compiled from these sources (`verifier_gen.generate_sources`), whether it
    is registered or not. What was compiled before is read from the compiler's cache.

    Raises `CompilerNotFound` and `CompilationFailed`.
    """
    return expected_spec(model, verifier_artifacts(sources), audit_stride).model_id


def register(
    sender: Sender,
    contracts: ProtocolContracts,
    model: CommittedModel,
    verifiers: Mapping[str, Artifact],
    report: Callable[[str, int, int], None] = lambda stage, done, total: None,
    audit_stride: int = PUBLIC,
) -> Registration:
    """Deploy the model's verifiers and register it; repeating it gives the same id and sends nothing twice."""
    spec = expected_spec(model, verifiers, audit_stride)
    registry = contracts.registry
    if registry.is_registered(spec.model_id):
        return Registration(
            spec.model_id, _registered(contracts, spec.model_id, model, audit_stride), 0, True
        )
    report("deploy verifiers", 0, 1)
    spent: list[Mined] = []
    placed = deploy_verifiers(sender, _of_model(model, verifiers, audit_stride), spent=spent)
    report("register", 0, 1)
    of_steps = [placed[name] for name in model.kind_names]
    try:
        call = registry.register(spec, of_steps, placed[EMBEDDING], placed[head_kind(audit_stride)])
        spent.append(sender.send(call, f"register {spec.model_id.hex()}"))
    except ContractError:
        # Anyone may register the same spec; whoever was faster did the same thing.
        if not registry.is_registered(spec.model_id):
            raise
        return Registration(spec.model_id, placed, 0, True)
    return Registration(spec.model_id, placed, sum(mined.gas_used for mined in spent), False)


def _registered(
    contracts: ProtocolContracts, model_id: bytes, model: CommittedModel, audit_stride: int
) -> dict[str, str]:
    registry = contracts.registry
    kinds = enumerate(model.kind_names)
    found = {name: registry.step_rules(model_id, kind).verifier for kind, name in kinds}
    found[EMBEDDING] = registry.embedding_verifier(model_id)
    found[head_kind(audit_stride)] = registry.head_verifier(model_id)
    return found


def register_model(
    sender: Sender,
    contracts: ProtocolContracts,
    model: CommittedModel,
    verifiers: Mapping[str, Artifact],
) -> bytes:
    """`register`; the model's id."""
    return register(sender, contracts, model, verifiers).model_id


def deposit_stake(sender: Sender, contracts: ProtocolContracts, amount_wei: int, key: str) -> int:
    """Add to the sender's stake, once per `key`; its total stake."""
    sender.send(contracts.stake.deposit(amount_wei), key=key)
    return contracts.stake.account(sender.address).total
