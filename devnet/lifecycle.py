"""`gainsay devnet up / status / down`: a local chain with the protocol deployed, remembered in a folder."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contracts.bindings.chain import Chain
from contracts.bindings.deployment import Deployment, ProtocolContracts, deploy_protocol
from contracts.bindings.errors import BindingsError
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.sender import Sender, open_sender
from contracts.protocol.parameters import DEVNET, ProtocolParameters
from prover.foreign_json import ForeignJsonError, read_json_file

from .anvil import DEFAULT_PORT, process_runs, start_anvil, stop_process
from .errors import DevnetAlreadyRunning, DevnetNotRunning

STATE_FOLDER = Path(".gainsay")
#: Who is who among Anvil's unlocked accounts.
ROLES = ("deployer", "provider", "challenger", "client", "watcher")


@dataclass(frozen=True)
class Devnet:
    """A running local chain. `accounts` maps a role (or "spare n") to an unlocked address."""

    pid: int
    rpc_url: str
    deployment: Deployment
    accounts: dict[str, str]
    parameters: ProtocolParameters

    def chain(self) -> Chain:
        return Chain(self.rpc_url, expected_chain_id=self.deployment.chain_id)

    def contracts(self, chain: Chain | None = None) -> ProtocolContracts:
        return ProtocolContracts(chain or self.chain(), self.deployment)

    def sender(self, role: str, database_url: str = "sqlite://", chain: Chain | None = None) -> Sender:
        """A sender of a role's account; by default its journal lives in memory."""
        chain = chain or self.chain()
        return open_sender(chain, UnlockedSigner(chain, self.accounts[role]), database_url)

    def as_json(self) -> dict[str, Any]:
        return {
            **self.deployment.as_json(),
            "rpc_url": self.rpc_url,
            "pid": self.pid,
            "accounts": self.accounts,
            "parameters": asdict(self.parameters),
        }

    @classmethod
    def load(cls, folder: Path = STATE_FOLDER) -> Devnet:
        """The devnet of this folder, running or not; raises `DevnetNotRunning` when there is none."""
        path = state_file(folder)
        try:
            stored = read_json_file(path)
            return cls(
                pid=stored["pid"],
                rpc_url=stored["rpc_url"],
                deployment=Deployment.load(path),
                accounts=stored["accounts"],
                parameters=ProtocolParameters(**stored["parameters"]),
            )
        except (OSError, ForeignJsonError, BindingsError, KeyError, TypeError) as error:
            raise DevnetNotRunning(
                f"There is no devnet in {folder} ({error}); start one with `gainsay devnet up`."
            ) from error


@dataclass(frozen=True)
class DevnetStatus:
    """`running`: the process lives and the contracts answer; otherwise `problem` says what is wrong."""

    running: bool
    problem: str | None
    rpc_url: str | None = None
    pid: int | None = None
    block_number: int | None = None
    deployment: dict[str, object] | None = None


def state_file(folder: Path) -> Path:
    return folder / "devnet.json"


def pid_file(folder: Path) -> Path:
    return folder / "anvil.pid"


def up(
    folder: Path = STATE_FOLDER,
    *,
    port: int = DEFAULT_PORT,
    parameters: ProtocolParameters = DEVNET,
    block_time_s: int | None = 1,
) -> Devnet:
    """Start Anvil, deploy the protocol, and write the state file last, so that whoever finds it can use it.

    Raises `DevnetAlreadyRunning`, `PortInUse`, `AnvilNotFound`, `AnvilDidNotStart`, `CompilerNotFound`.
    """
    if (old := _recorded_pid(folder)) is not None and process_runs(old):
        raise DevnetAlreadyRunning(
            f"A devnet runs in {folder} (process {old}); stop it with `gainsay devnet down` first."
        )
    state_file(folder).unlink(missing_ok=True)
    anvil = start_anvil(port, folder / "anvil.log", block_time_s=block_time_s)
    try:
        _write_atomically(pid_file(folder), f"{anvil.pid}\n")
        chain = Chain(anvil.rpc_url)
        addresses = chain.unlocked_accounts()
        names = [*ROLES, *(f"spare {number}" for number in range(len(addresses) - len(ROLES)))]
        deployer = open_sender(chain, UnlockedSigner(chain, addresses[0]), "sqlite://")
        deployment = deploy_protocol(deployer, parameters)
        accounts = dict(zip(names, addresses, strict=True))
        devnet = Devnet(anvil.pid, anvil.rpc_url, deployment, accounts, parameters)
        devnet.contracts(chain).check()
        _write_atomically(state_file(folder), json.dumps(devnet.as_json(), indent=2) + "\n")
    except BaseException:
        stop_process(anvil.pid)
        pid_file(folder).unlink(missing_ok=True)
        raise
    return devnet


def status(folder: Path = STATE_FOLDER) -> DevnetStatus:
    """Whether the devnet of this folder works; never raises for one that does not."""
    try:
        devnet = Devnet.load(folder)
    except DevnetNotRunning as error:
        pid = _recorded_pid(folder)
        if pid is not None and process_runs(pid):
            problem = "it was interrupted while starting; run `gainsay devnet down`, then `gainsay devnet up`"
            return DevnetStatus(False, problem, pid=pid)
        return DevnetStatus(False, str(error))
    known = {"rpc_url": devnet.rpc_url, "pid": devnet.pid, "deployment": devnet.deployment.as_json()}
    if not process_runs(devnet.pid):
        return DevnetStatus(False, "its process is gone; run `gainsay devnet up`", **known)  # type: ignore[arg-type]
    try:
        chain = Chain(devnet.rpc_url, expected_chain_id=devnet.deployment.chain_id, attempts=2)
        devnet.contracts(chain).check()
        return DevnetStatus(True, None, block_number=chain.head().number, **known)  # type: ignore[arg-type]
    except BindingsError as error:
        return DevnetStatus(False, str(error), **known)  # type: ignore[arg-type]


def down(folder: Path = STATE_FOLDER) -> bool:
    """Stop the devnet of this folder and forget it. False when none ran."""
    pid = _recorded_pid(folder)
    stopped = pid is not None and stop_process(pid)
    pid_file(folder).unlink(missing_ok=True)
    state_file(folder).unlink(missing_ok=True)
    return stopped


def _recorded_pid(folder: Path) -> int | None:
    try:
        return int(pid_file(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
