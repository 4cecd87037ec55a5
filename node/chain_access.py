"""From settings to a checked chain, a signer and a registered model: everything that is verified at start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contracts.bindings.chain import Chain
from contracts.bindings.deployment import Deployment, ProtocolContracts
from contracts.bindings.events import ModelRegistered
from contracts.bindings.keys import KeystoreSigner, Signer, UnlockedSigner
from contracts.bindings.settings import SettingsError
from contracts.protocol.model import CommittedModel
from contracts.protocol.parameters import ProtocolParameters

from .errors import ChainMismatchError, ModelNotRegisteredError
from .settings import ProviderSettings

DEVNET_CHAIN_ID = 31337


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
    deployment = Deployment.load(settings.deployment)
    if settings.chain_id is not None and settings.chain_id != deployment.chain_id:
        raise ChainMismatchError(
            f"the deployment in {settings.deployment} is on chain {deployment.chain_id}, but chain_id is set to "
            f"{settings.chain_id}; correct one of them"
        )
    chain = Chain(settings.rpc_url, expected_chain_id=deployment.chain_id)
    contracts = ProtocolContracts(chain, deployment)
    contracts.check()
    devnet = chain.chain_id == DEVNET_CHAIN_ID
    age = settings.max_head_age_s if settings.max_head_age_s is not None else (None if devnet else 120.0)
    if age is not None:
        chain.require_fresh(age)
    confirmations = settings.confirmations if settings.confirmations is not None else (0 if devnet else 3)
    return ChainAccess(chain, contracts, contracts.stake.parameters(), confirmations, age)


def open_signer(settings: ProviderSettings, chain: Chain, fallback: str | None = None) -> Signer:
    """The provider's key: a keystore, or an unlocked account (`fallback` if none is named). Raises SettingsError."""
    if settings.keystore is not None:
        return KeystoreSigner(settings.keystore, settings.password())
    account = settings.account or fallback
    if account is None:
        raise SettingsError(
            "no key is configured; name an encrypted keystore with --keystore (or GAINSAY_KEYSTORE), or on a "
            "devnet an unlocked account with --account"
        )
    return UnlockedSigner(chain, account)


def find_model_id(contracts: ProtocolContracts, commitment: CommittedModel, wanted: str | None) -> bytes:
    """The registered model that this commitment belongs to.

    With `wanted` that id is looked up and compared field by field, code hashes of the verifiers included in the
    id itself. Otherwise the registrations are searched. Raises ModelNotRegisteredError and ChainMismatchError.
    """
    if wanted is not None:
        identity = bytes.fromhex(wanted[2:])
        if not contracts.registry.is_registered(identity):
            raise ModelNotRegisteredError(
                f"no model {wanted} is registered; run `gainsay model register` first"
            )
        if (field := contracts.registry.spec(identity).difference(commitment)) is not None:
            raise ChainMismatchError(
                f"model {wanted} on chain has another {field} than the model on this machine; "
                "import the same weights and use the same SRS, or correct GAINSAY_MODEL_ID"
            )
        return identity
    found = [event for event in _registrations(contracts) if event.spec.difference(commitment) is None]
    if not found:
        raise ModelNotRegisteredError(
            "this model is not registered on the chain, so nobody could dispute its answers; "
            "run `gainsay model register` first"
        )
    if len(found) > 1:
        ids = ", ".join("0x" + event.model_id.hex() for event in found)
        raise SettingsError(
            f"this model is registered with {len(found)} sets of verifiers ({ids}); set GAINSAY_MODEL_ID to one"
        )
    return found[0].model_id


def _registrations(contracts: ProtocolContracts) -> list[ModelRegistered]:
    chain = contracts.chain
    logs = chain.logs([contracts.registry.address], contracts.deployment.first_block, chain.head().number)
    return [event for event in contracts.events.decode(logs) if isinstance(event, ModelRegistered)]


def default_database(chain: Chain, ledger: str, provider: str, folder: Path) -> str:
    """One SQLite file per chain (told apart by its first block), ledger and account."""
    name = f"{chain.genesis_hash.hex()[:8]}-{ledger[2:10].lower()}-{provider[2:10].lower()}.sqlite"
    return f"sqlite:///{folder / name}"
