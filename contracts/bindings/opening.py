"""From settings to a checked chain and a key: what every program does before it reads or sends anything."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from .chain import Chain
from .deployment import Deployment, ProtocolContracts
from .errors import RpcRefused
from .keys import KeystoreSigner, Signer, UnlockedSigner
from .settings import ChainSettings, SettingsError

DEVNET_CHAIN_ID = 31337
_CONFIRMATIONS = 3
_MAX_HEAD_AGE_S = 120.0


_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def is_devnet(chain: Chain) -> bool:
    """Whether nothing here is worth anything: the devnets' chain id, or an Anvil on this machine under any (a fork)."""
    if chain.chain_id == DEVNET_CHAIN_ID:
        return True
    if urlsplit(chain.rpc_url).hostname not in _LOOPBACK:
        return False
    try:
        return str(chain.request("web3_clientVersion", [])).lower().startswith("anvil/")
    except RpcRefused:
        return False


@dataclass(frozen=True)
class OpenedChain:
    """A chain whose contracts were checked. `max_head_age_s`: None accepts a head of any age."""

    chain: Chain
    contracts: ProtocolContracts
    confirmations: int
    max_head_age_s: float | None

    @property
    def is_devnet(self) -> bool:
        return self.chain.chain_id == DEVNET_CHAIN_ID


def open_chain(settings: ChainSettings) -> OpenedChain:
    """Connect, and check chain id, code hashes and wiring. Raises what the bindings raise."""
    deployment = Deployment.load(settings.deployment)
    chain = Chain(
        [settings.rpc_url, *settings.rpc_urls],
        expected_chain_id=deployment.chain_id,
        confirmation_tag=settings.confirmation_tag,
    )
    contracts = ProtocolContracts(chain, deployment)
    contracts.check()
    devnet = chain.chain_id == DEVNET_CHAIN_ID
    confirmations = settings.confirmations
    if confirmations is None:
        confirmations = 0 if devnet else _CONFIRMATIONS
    age = settings.max_head_age_s
    if age is None and not devnet:
        age = _MAX_HEAD_AGE_S
    return OpenedChain(chain, contracts, confirmations, age)


def open_signer(
    settings: ChainSettings, chain: Chain, fallback: str | None = None, otherwise: str = ""
) -> Signer:
    """The program's key: a keystore, a remote signer, or an unlocked account (`fallback` if none is named).

    `otherwise` is what else the error may propose. Raises `SettingsError`, `KeyUnavailable` and `SignerUnavailable`.
    """
    if settings.keystore is not None and settings.signer_url is not None:
        raise SettingsError(
            "a keystore and a remote signer are both configured; leave keystore or signer_url out"
        )
    if settings.keystore is not None:
        return KeystoreSigner(settings.keystore, settings.password())
    if settings.signer_url is not None:
        from .remote_signer import RemoteSigner

        return RemoteSigner(settings.signer_url, settings.account)
    account = settings.account or fallback
    if account is None:
        raise SettingsError(
            "no key is configured; name an encrypted keystore with --keystore (or GAINSAY_KEYSTORE), a remote signer with "
            f"GAINSAY_SIGNER_URL, or on a devnet an unlocked account with --account{otherwise}"
        )
    return UnlockedSigner(chain, account)


def database_name(chain: Chain, contract: str, account: str) -> str:
    """One SQLite file per chain (told apart by its first block), contract and account."""
    return f"{chain.genesis_hash.hex()[:8]}-{contract[2:10].lower()}-{account[2:10].lower()}.sqlite"
