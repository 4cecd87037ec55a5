"""From settings to a checked chain, a signer and a registered model: everything that is verified at start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contracts.bindings.chain import Chain
from contracts.bindings.deployment import Deployment, ProtocolContracts
from contracts.bindings.events import ModelRegistered
from contracts.bindings.keys import KeystoreSigner, Signer, UnlockedSigner
from contracts.protocol.model import CommittedModel, ModelSpec, end_tokens_digest
from contracts.protocol.parameters import ProtocolParameters

from .errors import ChainMismatchError, ModelNotRegisteredError, SettingsError
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
        return KeystoreSigner(settings.keystore, _password(settings))
    account = settings.account or fallback
    if account is None:
        raise SettingsError(
            "no key is configured; name an encrypted keystore with --keystore (or GAINSAY_KEYSTORE), or on a "
            "devnet an unlocked account with --account"
        )
    return UnlockedSigner(chain, account)


def _password(settings: ProviderSettings) -> str:
    if settings.keystore_password is not None:
        return settings.keystore_password.get_secret_value()
    if settings.keystore_password_file is not None:
        try:
            return settings.keystore_password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise SettingsError(f"the password file cannot be read: {error}") from error
    raise SettingsError(
        "the keystore needs its password: set GAINSAY_KEYSTORE_PASSWORD, or name a file with "
        "GAINSAY_KEYSTORE_PASSWORD_FILE"
    )


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
        if (field := _difference(contracts.registry.spec(identity), commitment)) is not None:
            raise ChainMismatchError(
                f"model {wanted} on chain has another {field} than the model on this machine; "
                "import the same weights and use the same SRS, or correct GAINSAY_MODEL_ID"
            )
        return identity
    found = [event for event in _registrations(contracts) if _difference(event.spec, commitment) is None]
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


def _difference(spec: ModelSpec, commitment: CommittedModel) -> str | None:
    """The first field in which a registered spec is not this commitment; None when they agree."""
    own = {
        "architecture digest": (spec.architecture_digest, commitment.architecture_digest),
        "step keys root": (spec.step_keys_root, commitment.step_keys_root),
        "embedding rows root": (spec.embedding_rows_root, commitment.embedding_rows_root),
        "tokenizer digest": (spec.tokenizer_digest, commitment.tokenizer_digest),
        "SRS digest": (spec.srs_digest, commitment.srs_digest),
        "step count": (spec.step_count, commitment.step_count),
        "vocabulary": (spec.vocab_size, commitment.vocabulary),
        "number of positions": (spec.max_positions, commitment.max_positions),
        "list of end tokens": (spec.end_tokens_digest, end_tokens_digest(commitment.end_tokens)),
    }
    return next((name for name, (theirs, ours) in own.items() if theirs != ours), None)


def default_database(chain: Chain, ledger: str, provider: str, folder: Path) -> str:
    """One SQLite file per chain (told apart by its first block), ledger and account."""
    name = f"{chain.genesis_hash.hex()[:8]}-{ledger[2:10].lower()}-{provider[2:10].lower()}.sqlite"
    return f"sqlite:///{folder / name}"
