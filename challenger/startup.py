"""From settings to a running challenger: everything is checked against the chain first."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from contracts.bindings.chain import Chain
from contracts.bindings.deployment import Deployment, ProtocolContracts
from contracts.bindings.fees import FeePolicy
from contracts.bindings.lease import running_alone
from contracts.bindings.opening import database_name, open_chain, open_signer
from contracts.bindings.reference_string import require_secure_srs
from contracts.bindings.sender import Sender, sender_on_engine
from contracts.bindings.settings import STATE, SettingsError
from contracts.protocol.ether import show_ether
from prover.foreign_json import read_json_file

if TYPE_CHECKING:
    from prover.curve.srs import SRS

from .bot import Challenger, Options
from .budgets import Limits
from .local_models import LocalModels, load_local_model
from .metrics import JudgeMetrics
from .policies import parse_policy
from .provider_client import provider_book
from .settings import ChallengerSettings
from .store import Store, open_engine
from .tending import Tend
from .trace_files import TraceFiles

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Connection:
    """A checked deployment, and this challenger's account and memory in it."""

    contracts: ProtocolContracts
    sender: Sender | None
    store: Store
    traces: TraceFiles
    is_devnet: bool
    confirmations: int
    max_head_age_s: float | None

    def running_alone(self) -> AbstractContextManager[None]:
        """While it lasts no other challenger can run for this account. Raises `AlreadyRunning`."""
        if self.sender is None:
            return nullcontext()
        return running_alone(self.sender.journal.leases, "challenger", self.sender.address)


def connect(settings: ChallengerSettings) -> Connection:
    """Check chain id and contracts, open key and database. Raises what the bindings raise, `SettingsError`,
    `StoreError`."""
    opened = open_chain(settings)
    chain, contracts = opened.chain, opened.contracts
    signer = None
    if not settings.watch_only:
        fallback = _devnet_account(settings.deployment)
        signer = open_signer(settings, chain, fallback, ", or use --watch-only")
    address = signer.address if signer else "watcher"
    database = settings.challenger_database or database_path(chain, contracts.deployment, address)
    engine = open_engine(database)
    fees = (
        FeePolicy()
        if settings.highest_fee_wei is None
        else FeePolicy(highest_fee_wei=settings.highest_fee_wei)
    )
    sender = (
        sender_on_engine(chain, signer, engine, confirmations=opened.confirmations, fees=fees)
        if signer
        else None
    )
    traces = TraceFiles(database.with_name(database.name + "-traces"))
    return Connection(
        contracts,
        sender,
        Store(engine),
        traces,
        opened.is_devnet,
        opened.confirmations,
        opened.max_head_age_s,
    )


def open_challenger(
    settings: ChallengerSettings, connection: Connection | None = None, stop: threading.Event | None = None
) -> Challenger:
    """Connect, load and commit the models, and put the parts together. `stop` also interrupts replays."""
    providers = provider_book(settings.providers)
    connection = connection or connect(settings)
    contracts, is_devnet = connection.contracts, connection.is_devnet
    policy = parse_policy(settings.policy)
    trusted = [bytes.fromhex(identity[2:]) for identity in settings.trusted_models or ()]

    def accept_srs(srs: SRS) -> None:
        require_secure_srs(
            contracts.chain,
            insecure=srs.insecure and not settings.watch_only,
            description=srs.description,
            allowed=settings.allow_insecure_srs,
            act="stake on games",
        )

    models = []
    for name in settings.models:
        log.info("loading model", model=name)
        models.append(
            load_local_model(
                name,
                settings.srs,
                models=settings.models_dir,
                commitments=settings.commitments_dir,
                stop=stop,
                device=settings.device,
                accept_srs=accept_srs,
            )
        )
    bond = contracts.stake.parameters().challenger_bond
    if connection.sender is not None:
        balance = contracts.chain.balance_wei(connection.sender.address)
        if balance < bond:
            raise SettingsError(
                f"{connection.sender.address} holds {show_ether(balance)}, less than one bond of {show_ether(bond)}; send it some "
                "ether, or use --watch-only"
            )
    metrics = JudgeMetrics()
    if settings.metrics_port is not None:
        try:
            metrics.serve(settings.metrics_port)
        except OSError as error:
            raise SettingsError(
                f"metrics_port {settings.metrics_port} cannot be listened on ({error.strerror}); choose another"
            ) from error
    return Challenger(
        contracts,
        connection.sender,
        connection.store,
        LocalModels(models, contracts.registry, trusted),
        providers,
        policy,
        Options(
            watch_only=settings.watch_only,
            ask=settings.ask,
            ask_budget_wei=settings.ask_budget_wei,
            limits=limits_of(settings),
            tend=Tend(settings.tend),
            confirmations=connection.confirmations,
            max_head_age_s=connection.max_head_age_s,
            opening_margin_s=2 if is_devnet else 60,
            poll_s=settings.poll_s,
        ),
        connection.traces,
        metrics,
    )


def limits_of(settings: ChallengerSettings) -> Limits:
    """The budgets that the settings name."""
    return Limits(
        gas_price_wei=settings.open_below_gas_price_wei,
        gas_per_day_wei=settings.gas_budget_per_day_wei,
        bonds_wei=settings.bond_budget_wei,
        bonds_per_day_wei=settings.bond_budget_per_day_wei,
        lost_games=settings.stop_after_lost_games,
    )


def database_path(chain: Chain, deployment: Deployment, address: str) -> Path:
    """One file per chain, game and account."""
    return STATE / "challenger" / database_name(chain, deployment.game, address)


def _devnet_account(deployment: Path) -> str | None:
    """The account that a devnet's state file sets aside for the challenger."""
    stored = read_json_file(deployment)
    accounts = stored.get("accounts") if isinstance(stored, dict) else None
    account = accounts.get("challenger") if isinstance(accounts, dict) else None
    return account if isinstance(account, str) else None
