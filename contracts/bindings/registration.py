"""Put a committed model and its verifiers on chain, and stake behind a provider."""

from __future__ import annotations

from collections.abc import Mapping

from ..protocol.model import CommittedModel, ModelSpec, StepKind
from .compiler import Artifact
from .deployment import ProtocolContracts, deploy_verifiers, verifier_code_hashes
from .sender import Sender


def expected_spec(model: CommittedModel, verifiers: Mapping[StepKind, Artifact]) -> ModelSpec:
    """The spec that an honest registration of this model has: compare its id before trusting one."""
    return ModelSpec.of(model, verifier_code_hashes(verifiers))


def register_model(
    sender: Sender,
    contracts: ProtocolContracts,
    model: CommittedModel,
    verifiers: Mapping[StepKind, Artifact],
) -> bytes:
    """Deploy the model's verifiers and register it; its id. Nothing is sent when it is registered already."""
    spec = expected_spec(model, verifiers)
    if contracts.registry.is_registered(spec.model_id):
        return spec.model_id
    addresses = deploy_verifiers(sender, verifiers)
    call = contracts.registry.register(spec, [addresses[kind] for kind in StepKind])
    sender.send(call, key=f"register {spec.model_id.hex()}")
    return spec.model_id


def deposit_stake(sender: Sender, contracts: ProtocolContracts, amount_wei: int, key: str) -> int:
    """Add to the sender's stake, once per `key`; its total stake."""
    sender.send(contracts.stake.deposit(amount_wei), key=key)
    return contracts.stake.account(sender.address).total
