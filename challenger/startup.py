"""From settings to a running challenger: everything is checked against the chain first."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

from contracts.bindings.chain import Chain
from contracts.bindings.deployment import Deployment, ProtocolContracts
from contracts.bindings.keys import KeystoreSigner, Signer, UnlockedSigner
from contracts.bindings.sender import Sender, sender_on_engine
from contracts.bindings.settings import STATE, SettingsError

from .bot import Challenger, Options
from .local_models import LocalModels, load_local_model
from .policies import parse_policy
from .provider_client import provider_book
from .settings import ChallengerSettings
from .store import Store, open_engine
from .trace_files import TraceFiles

log = structlog.get_logger(__name__)
DEVNET_CHAIN_ID = 31337


@dataclass(frozen=True)
class Connection:
    """A checked deployment, and this challenger's account and memory in it."""

    contracts: ProtocolContracts
    sender: Sender | None
    store: Store
    traces: TraceFiles
    is_devnet: bool
    confirmations: int


def connect(settings: ChallengerSettings) -> Connection:
    """Check chain id and contracts, open key and database. Raises what the bindings raise, `SettingsError`,
    `StoreError`."""
    deployment = Deployment.load(settings.deployment)
    chain = Chain(settings.rpc_url, expected_chain_id=deployment.chain_id)
    contracts = ProtocolContracts(chain, deployment)
    contracts.check()
    is_devnet = chain.chain_id == DEVNET_CHAIN_ID
    confirmations = settings.confirmations if settings.confirmations is not None else (0 if is_devnet else 3)
    signer = None if settings.watch_only else _open_signer(settings, chain)
    address = signer.address if signer else "watcher"
    database = settings.challenger_database or database_path(chain, deployment, address)
    engine = open_engine(database)
    sender = sender_on_engine(chain, signer, engine, confirmations=confirmations) if signer else None
    traces = TraceFiles(database.with_name(database.name + "-traces"))
    return Connection(contracts, sender, Store(engine), traces, is_devnet, confirmations)


def open_challenger(settings: ChallengerSettings, stop: threading.Event | None = None) -> Challenger:
    """Connect, load and commit the models, and put the parts together. `stop` also interrupts replays."""
    providers = provider_book(settings.providers)
    connection = connect(settings)
    contracts, is_devnet = connection.contracts, connection.is_devnet
    policy = parse_policy(settings.policy)
    if settings.trusted_models is None and not is_devnet and not settings.watch_only:
        raise SettingsError(
            "off a devnet a bond is only staked on models with known verifiers; list their ids in trusted_models "
            "(`gainsay model register` prints them), or use --watch-only"
        )
    trusted = (
        None if settings.trusted_models is None else [bytes.fromhex(i[2:]) for i in settings.trusted_models]
    )
    models = []
    for name in settings.models:
        log.info("loading model", model=name)
        models.append(load_local_model(name, settings.srs, stop))
    bond = contracts.stake.parameters().challenger_bond
    if connection.sender is not None:
        balance = contracts.chain.balance_wei(connection.sender.address)
        if balance < bond:
            raise SettingsError(
                f"{connection.sender.address} holds {balance} wei, less than one bond of {bond}; send it some "
                "ether, or use --watch-only"
            )
    age = settings.max_head_age_s if settings.max_head_age_s is not None else (None if is_devnet else 120.0)
    return Challenger(
        contracts,
        connection.sender,
        connection.store,
        LocalModels(models, contracts.registry, trusted),
        providers,
        policy,
        Options(
            watch_only=settings.watch_only,
            force_reveal=settings.force_reveal,
            confirmations=connection.confirmations,
            max_head_age_s=age,
            opening_margin_s=2 if is_devnet else 60,
            poll_s=settings.poll_s,
        ),
        connection.traces,
    )


def database_path(chain: Chain, deployment: Deployment, address: str) -> Path:
    """One file per chain (told apart by its first block), game and account."""
    name = f"{chain.genesis_hash.hex()[:8]}-{deployment.game[2:10].lower()}-{address[2:10].lower()}.sqlite"
    return STATE / "challenger" / name


def _open_signer(settings: ChallengerSettings, chain: Chain) -> Signer:
    if settings.keystore is not None:
        return KeystoreSigner(settings.keystore, settings.password())
    account = settings.account or _devnet_account(settings.deployment)
    if account is None:
        raise SettingsError(
            "no key is configured; name an encrypted keystore with --keystore (or GAINSAY_KEYSTORE), on a devnet "
            "an unlocked account with --account, or use --watch-only"
        )
    return UnlockedSigner(chain, account)


def _devnet_account(deployment: Path) -> str | None:
    """The account that a devnet's state file sets aside for the challenger."""
    account = json.loads(deployment.read_text(encoding="utf-8")).get("accounts", {}).get("challenger")
    return account if isinstance(account, str) else None
