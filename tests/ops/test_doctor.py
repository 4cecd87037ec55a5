"""`gainsay doctor`: each mistake has its line, the line says what to do, and nothing is changed by looking."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from contracts.bindings.deployment import Deployment, ProtocolContracts
from contracts.protocol.parameters import DEVNET
from devnet.anvil import free_port
from node.settings import load_settings
from ops import chain_checks, machine_checks
from ops.doctor import FAILED, OK, SKIPPED, WARNING, Check, Known, Line, Wrong, examine, is_well
from ops.doctor_cli import _checks, doctor
from tests.contracts.local_chain import LocalChain
from tests.contracts.rpc_proxy import rpc_proxy

from .started import run

ACCOUNT = 7


class Patient:
    """A provider's set-up in a folder of its own; `sees` runs all checks but those that load a model."""

    def __init__(self, folder: Path, local: LocalChain, deployment: Deployment) -> None:
        self.folder, self.local = folder, local
        self.address = local.chain.unlocked_accounts()[ACCOUNT]
        self.flags: dict[str, Any] = {
            "rpc_url": local.chain.rpc_url, "account": self.address, "deployment": folder / "record.json", "port": free_port(),
        }  # fmt: skip
        self.record = {**deployment.as_json(), "parameters": vars(DEVNET)}
        self.write()

    def write(self, **changes: object) -> None:
        (self.folder / "record.json").write_text(json.dumps(self.record | changes))

    def sees(self, **flags: Any) -> dict[str, Line]:
        known = Known({})
        known["role"], known["fallback"] = "provider", None
        known["load"] = lambda: load_settings(**(self.flags | flags))
        skipped = ("kernels", "reference string", "model")
        lines = examine([check for check in _checks("provider") if check.name not in skipped], known)
        return {line.check: line for line in lines}


@pytest.fixture
def patient(
    tmp_path: Path, local_chain: LocalChain, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> Patient:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GAINSAY_")]:
        monkeypatch.delenv(name)
    return Patient(tmp_path, local_chain, deployment)


def test_a_good_set_up_is_well_and_unchanged(patient: Patient, contracts: ProtocolContracts) -> None:
    local_chain = patient.local
    sender = local_chain.sender(ACCOUNT)
    sender.send(contracts.stake.deposit(5 * 10**18), "deposit")
    seen = patient.sees()
    assert is_well(list(seen.values())), seen
    assert "3 ETH are free, for 3 answers" in seen["stake"].found
    assert sorted(path.name for path in patient.folder.iterdir()) == ["record.json"]


def unlocked(patient: Patient) -> None:
    """Nothing is wrong yet."""


def with_file(name: str, mode: int) -> Callable[[Patient], None]:
    def make(patient: Patient) -> None:
        (patient.folder / name).write_text("x")
        (patient.folder / name).chmod(mode)

    return make


@pytest.mark.parametrize(
    ("make", "flags", "check", "found", "todo"),
    [
        (with_file("pw", 0o644), {"keystore_password_file": Path("pw")}, "secrets", "pw has mode 644", "chmod 600 pw"),
        (unlocked, {"keystore": Path("absent.json")}, "secrets", "absent.json cannot be read", "correct the setting"),
        (unlocked, {"rpc_url": "localhost"}, "settings", "setting rpc_url = 'localhost' is wrong", "correct the flag"),
        (unlocked, {"rpc_url": "http://127.0.0.1:9"}, "endpoints", "does not answer", "check that the node runs"),
        (unlocked, {"account": "0x" + "11" * 20}, "key", "does not hold the key", "use one of its accounts"),
        (unlocked, {"deployment": Path("absent.json")}, "record", "no deployment file", "run `gainsay"),
        (lambda patient: patient.write(chain_id=5), {}, "endpoints", "serves chain 31337", "correct --rpc-url"),
        (lambda patient: patient.write(registry="0x" + "11" * 20), {}, "code", "no contract at", "deploy it"),
        (
            lambda patient: patient.write(parameters=vars(DEVNET) | {"clock": 7}),
            {}, "code", "parameters: clock is 120, not 7", "",
        ),
        (with_file("gainsay.toml", 0o600), {}, "settings", "gainsay.toml cannot be read", ""),
        (unlocked, {"provider": "0x" + "11" * 20}, "stake", "is neither the owner nor the operator", "set-operator"),
        (unlocked, {"database_url": "sqlite:///broken.sqlite"}, "database", "broken.sqlite", "another program"),
        (unlocked, {"host": "nowhere.invalid"}, "port", "cannot be resolved", "use an address"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_line_and_its_cure(
    patient: Patient,
    make: Callable[[Patient], None],
    flags: dict[str, Any],
    check: str,
    found: str,
    todo: str,
) -> None:
    (patient.folder / "broken.sqlite").write_bytes(b"no database at all, but long enough" * 100)
    make(patient)
    line = patient.sees(**flags)[check]
    assert line.state == FAILED and found in line.found and todo in line.todo and line.todo, line


def test_what_depends_on_a_failure_is_skipped_and_nothing_else(patient: Patient) -> None:
    seen = patient.sees(rpc_url="http://127.0.0.1:9")
    states = {name: line.state for name, line in seen.items()}
    assert {name for name, state in states.items() if state == SKIPPED} == {
        "clocks", "code", "parameters", "key", "ether", "receipt key", "stake", "database",
    }  # fmt: skip
    assert states["port"] == states["disk"] == states["compiler"] == OK


def test_an_account_without_ether_and_a_held_database(patient: Patient) -> None:
    chain = patient.local.chain
    held = chain.balance_wei(patient.address)
    holder = sqlite3.connect(patient.folder / "held.sqlite", isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN IMMEDIATE")
    chain.request("anvil_setBalance", [patient.address, "0x1"])
    try:
        seen = patient.sees(database_url="sqlite:///held.sqlite")
    finally:
        chain.request("anvil_setBalance", [patient.address, hex(held)])
        holder.close()
    assert seen["ether"].state == FAILED and "send it at least 0.009999999999999999 ETH" in seen["ether"].todo
    assert seen["database"].state == FAILED and "locked" in seen["database"].found


def test_off_a_devnet_clocks_unlocked_keys_and_devnet_rules_count(patient: Patient) -> None:
    """The real chain behind a proxy that says it is another one, with the clock of an hour ago, then ahead."""
    ahead = [3600]

    def elsewhere(method: str, parameters: list[Any]) -> dict[str, Any] | None:
        said: dict[str, Any] = {"eth_chainId": "0xa4b1", "web3_clientVersion": "Geth/v1.15.0"}
        if method == "eth_getBlockByNumber" and parameters[0] == "latest":
            block = patient.local.chain.request(method, parameters)
            said[method] = block | {"timestamp": hex(int(time.time()) + ahead[0])}
        return {"result": said[method]} if method in said else None

    with rpc_proxy(patient.local.chain.rpc_url) as proxy:
        proxy.script = elsewhere
        patient.write(chain_id=42161)
        seen = patient.sees(rpc_url=proxy.url)
        ahead[0] = -3600
        late = patient.sees(rpc_url=proxy.url)
    assert seen["clocks"].state == FAILED and "s behind the chain's newest block" in seen["clocks"].found
    assert late["clocks"].state == FAILED and "s old by this machine's clock" in late["clocks"].found
    assert seen["key"].state == WARNING and "remote signer" in seen["key"].todo
    assert seen["parameters"].state == WARNING and "preset l1 or l2" in seen["parameters"].todo


def test_a_check_that_breaks_hides_no_other() -> None:
    def breaks(known: Known) -> str:
        raise ZeroDivisionError("by zero")

    def fails(known: Known) -> str:
        raise Wrong("it is wrong", "put it right")

    lines = examine([Check("a", breaks), Check("b", fails), Check("c", lambda known: "c", ("b",))], Known({}))
    assert [line.state for line in lines] == [FAILED, FAILED, SKIPPED] and "ZeroDivisionError" in lines[
        0
    ].found
    assert not is_well(lines)
    assert chain_checks.record.__doc__ and machine_checks.disk.__doc__


def test_the_command_names_a_misspelt_setting_and_leaves_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = typer.Typer()
    command.command()(doctor)
    answer = CliRunner().invoke(command, ["--json"], env={"GAINSAY_PROT": "8001"})
    lines = {line["check"]: line for line in json.loads(answer.stdout)}
    assert answer.exit_code == 1 and "GAINSAY_PROT" in lines["settings"]["found"]
    assert "GAINSAY_PORT" in lines["settings"]["todo"] and lines["record"]["state"] == "skipped"


@pytest.mark.long
def test_a_started_devnet_is_well_from_reference_string_to_registration(tmp_path: Path) -> None:
    port = str(free_port())
    try:
        for command in (
            ("devnet", "up", "--port", port),
            ("model", "register", "tiny", "--devnet"),
            ("provider", "deposit", "100", "--devnet"),
            ("doctor", "--devnet", "--model", "tiny"),
            ("doctor", "challenger", "--devnet", "--model", "tiny"),
        ):
            answer = run(tmp_path, *command, GAINSAY_PORT=str(free_port()))
            assert answer.returncode == 0, (command, answer.stdout, answer.stderr)
        assert "everything is well" in answer.stdout and "tiny (0x" in answer.stdout
    finally:
        run(tmp_path, "devnet", "down")
