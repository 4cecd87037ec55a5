"""A devnet's life: up, used, down; and everything that stands in its way."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.bindings.errors import CompilerNotFound
from contracts.protocol.parameters import DEVNET, L2
from devnet import anvil
from devnet.anvil import free_port, process_runs, start_anvil, stop_process
from devnet.cli import app
from devnet.errors import AnvilNotFound, DevnetAlreadyRunning, DevnetNotRunning, PortInUse
from devnet.lifecycle import Devnet, down, pid_file, state_file, status, up
from prover.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("state")
    yield path
    down(path)


def test_up_status_use_down(folder: Path) -> None:
    assert "gainsay devnet up" in (status(folder).problem or "")
    devnet = up(folder, port=free_port())
    assert devnet == Devnet.load(folder)
    assert status(folder).running
    contracts = devnet.contracts()
    assert contracts.stake.parameters() == DEVNET
    provider = devnet.sender("provider")
    provider.send(contracts.stake.deposit(5), key="stake")
    assert contracts.stake.account(devnet.accounts["provider"]).total == 5
    with pytest.raises(DevnetAlreadyRunning, match="gainsay devnet down"):
        up(folder, port=free_port())
    assert down(folder)
    assert not process_runs(devnet.pid)
    assert not state_file(folder).exists()
    assert not down(folder)
    with pytest.raises(DevnetNotRunning, match="gainsay devnet up"):
        Devnet.load(folder)


def test_time_passes_without_transactions(tmp_path: Path) -> None:
    process = start_anvil(free_port(), tmp_path / "log")
    try:
        from contracts.bindings.chain import Chain

        chain = Chain(process.rpc_url)
        first = chain.head()
        for _ in range(40):
            if chain.head().number > first.number:
                break
            anvil.time.sleep(0.1)
        assert chain.head().timestamp > first.timestamp
    finally:
        stop_process(process.pid)


def test_a_devnet_that_died_is_noticed_and_replaced(folder: Path) -> None:
    devnet = up(folder, port=free_port())
    stop_process(devnet.pid)
    assert "process is gone" in (status(folder).problem or "")
    again = up(folder, port=free_port())
    assert status(folder).running
    # Killed between Anvil's start and the deployment: the process is known and can be stopped.
    state_file(folder).unlink()
    assert "interrupted" in (status(folder).problem or "")
    assert down(folder)
    assert not process_runs(again.pid)


def test_a_foreign_process_with_the_recorded_id_is_left_alone(tmp_path: Path) -> None:
    pid_file(tmp_path).write_text("1\n")
    assert not down(tmp_path)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PortInUse, match="--port"):
            up(tmp_path, port=other.getsockname()[1])
    assert not pid_file(tmp_path).exists()


def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAINSAY_NODE_MODULES", str(tmp_path))
    with pytest.raises(AnvilNotFound, match="npm ci"):
        up(tmp_path, port=free_port())
    monkeypatch.undo()
    from contracts.bindings import compiler

    monkeypatch.setenv("GAINSAY_SOLC", "/bin/false")
    with pytest.raises(CompilerNotFound, match=r"0\.8\.34"):
        compiler.find_compiler()


def test_the_command_line(folder: Path) -> None:
    run = CliRunner().invoke
    state = ["--folder", str(folder)]
    assert run(app, ["status", *state]).exit_code == 3
    started = run(app, ["up", "--port", str(free_port()), "--json", *state])
    assert started.exit_code == 0, started.output
    assert set(json.loads(started.output)["accounts"]) >= {"provider", "challenger"}
    shown = run(app, ["status", "--json", *state])
    assert json.loads(shown.output)["running"] is True
    assert run(app, ["down", *state]).output == "devnet stopped\n"


def test_a_devnet_has_the_rules_of_the_preset_that_is_named(tmp_path: Path) -> None:
    arguments = ["up", "--folder", str(tmp_path), "--port", str(free_port()), "--preset"]
    refused = CliRunner().invoke(app, [*arguments, "moon"])
    assert isinstance(refused.exception, UsageError) and "devnet, l1, l2" in str(refused.exception)
    assert not state_file(tmp_path).exists()
    try:
        started = CliRunner().invoke(app, [*arguments, "l2"])
        assert started.exit_code == 0, started.output
        devnet = Devnet.load(tmp_path)
        assert devnet.parameters == L2 == devnet.contracts().stake.parameters()
    finally:
        down(tmp_path)
