"""From settings to a checked chain, a signer and a registered model: everything that is verified at start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from contracts.bindings import opening
from contracts.bindings.chain import Chain
from contracts.bindings.deployment import Deployment, ProtocolContracts
from contracts.bindings.opening import DEVNET_CHAIN_ID, open_signer
from contracts.protocol.model import CommittedModel
from contracts.protocol.parameters import ProtocolParameters

from .errors import ChainMismatchError, ModelNotRegisteredError
from .settings import ProviderSettings

__all__ = ["ChainAccess", "default_database", "find_model_id", "open_chain", "open_signer"]

log = structlog.get_logger("node.chain")


@dataclass(frozen=True)
class ChainAccess:
    """A chain whose contracts were checked."""

    chain: Chain
    contracts: ProtocolContracts
    parameters: ProtocolParameters
    confirmations: int
    max_head_age_s: float | None

    @property
    def is_devnet(self) -> bool:
        return self.chain.chain_id == DEVNET_CHAIN_ID


def open_chain(settings: ProviderSettings) -> ChainAccess:
    """Connect, and check chain id, code hashes, wiring and the age of the head. Raises what the bindings raise."""
    if settings.chain_id is not None:
        expected = Deployment.load(settings.deployment).chain_id
        if settings.chain_id != expected:
            raise ChainMismatchError(
                f"the deployment in {settings.deployment} is on chain {expected}, but chain_id is set to "
                f"{settings.chain_id}; correct one of them"
            )
    opened = opening.open_chain(settings)
    if opened.max_head_age_s is not None:
        opened.chain.require_fresh(opened.max_head_age_s)
    parameters = opened.contracts.stake.parameters()
    return ChainAccess(
        opened.chain, opened.contracts, parameters, opened.confirmations, opened.max_head_age_s
    )


def find_model_id(
    contracts: ProtocolContracts, commitment: CommittedModel, built_id: bytes, wanted: str | None
) -> bytes:
    """The registration of this commitment that answers may be given under.

    That is `built_id`, which names the verifiers that this program generates; strangers' registrations of the same
    model do not count, whatever their verifiers do. `wanted` names verifiers that were built elsewhere: its owner
    answers for them, only the model itself is compared. Raises ModelNotRegisteredError and ChainMismatchError. A model
    that its registrant marked as deprecated is served all the same; the log says so.
    """
    identity = _registered_id(contracts, commitment, built_id, wanted)
    if contracts.registry.is_deprecated(identity):
        registrant = contracts.registry.registrant_of(identity)
        log.warning(
            "the model is marked as deprecated", model_id="0x" + identity.hex(), registrant=registrant
        )
    return identity


def _registered_id(
    contracts: ProtocolContracts, commitment: CommittedModel, built_id: bytes, wanted: str | None
) -> bytes:
    registry = contracts.registry
    if wanted is None:
        if not registry.is_registered(built_id):
            raise ModelNotRegisteredError(
                f"this model is not registered with the verifiers that this program generates (id "
                f"0x{built_id.hex()}), so its answers could not be defended; run `gainsay model register` first"
            )
        return built_id
    identity = bytes.fromhex(wanted[2:])
    if not registry.is_registered(identity):
        raise ModelNotRegisteredError(f"no model {wanted} is registered; run `gainsay model register` first")
    if (field := registry.spec(identity).difference(commitment)) is not None:
        raise ChainMismatchError(
            f"model {wanted} on chain has another {field} than the model on this machine; "
            "import the same weights and use the same SRS, or correct GAINSAY_MODEL_ID"
        )
    return identity


def default_database(chain: Chain, ledger: str, provider: str, folder: Path) -> str:
    """One SQLite file per chain, ledger and account."""
    return f"sqlite:///{folder / opening.database_name(chain, ledger, provider)}"
