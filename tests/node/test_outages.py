"""Every outage under its right name, within a bounded time, on a started provider; afterwards it is ready again."""

from __future__ import annotations

import resource
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from contracts.bindings.deployment import Deployment
from devnet.anvil import free_port, start_anvil, stop_process
from node.serving import CommittedServing
from tests.contracts.local_chain import LocalChain

from .relay import Relay
from .test_provider_command import Command
from .test_store import postgres_url  # noqa: F401

_ACCOUNT = 9
_PROMPTLY_S = 12.0


@pytest.fixture
def relay(local_chain: LocalChain) -> Iterator[Relay]:
    with Relay(int(local_chain.chain.rpc_url.rpartition(":")[2])) as relay:
        yield relay


@pytest.fixture
def command(
    tmp_path: Path, local_chain: LocalChain, deployment: Deployment, serving: CommittedServing, relay: Relay
) -> Command:
    """A provider that reaches the real chain through the relay."""
    command = Command(tmp_path, local_chain, deployment, account=_ACCOUNT)
    command.chain_arguments[1] = f"http://127.0.0.1:{relay.port}"
    return command


def refused_promptly(command: Command, why: str) -> None:
    """A request is refused with 503 and the outage's name."""
    started = time.monotonic()
    answer = command.post("during the outage")
    assert answer.status_code == 503, (answer.status_code, answer.text)
    assert why in answer.json()["error"]["message"], answer.text
    assert time.monotonic() - started < _PROMPTLY_S


@pytest.mark.long
def test_a_killed_chain_and_another_devnet_in_its_place(
    command: Command, relay: Relay, tmp_path: Path
) -> None:
    with command.serving():
        command.ask("before")
        relay.close()
        refused_promptly(command, "does not answer")
        assert command.wait_until(lambda: "does not answer" in (command.unready() or ""), 8) < 8
        refused_promptly(command, "does not answer")

        anvil = start_anvil(free_port(), tmp_path / "other.log", block_time_s=None)
        try:
            relay.open(anvil.port)
            command.wait_until(lambda: "another chain answers" in (command.unready() or ""), 15)
            refused_promptly(command, "another chain answers")
            listed = command.run("settlements", "list", without_account=True)
            assert listed.returncode == 5 and "no contract at" in listed.stderr, listed.stderr
        finally:
            relay.close()
            stop_process(anvil.pid)
    # the same relay in front of the right chain: checked in the next test, which needs no second chain


@pytest.mark.long
def test_a_frozen_chain(command: Command, relay: Relay) -> None:
    with command.serving():
        relay.freeze()
        refused_promptly(command, "not ready")  # its signature, which the RPC endpoint makes, never comes
        command.wait_until(lambda: "does not answer" in (command.unready() or ""), 15)
        refused_promptly(command, "does not answer")
        started = time.monotonic()
        listed = command.run("settlements", "list", without_account=True)
        assert listed.returncode == 5 and "does not answer" in listed.stderr
        assert time.monotonic() - started < 30
        relay.thaw()
        command.wait_until(lambda: command.unready() is None, 30)
        command.ask("after")


@pytest.mark.long
def test_a_chain_that_comes_back(command: Command, relay: Relay, local_chain: LocalChain) -> None:
    with command.serving():
        relay.close()
        command.wait_until(lambda: command.unready() is not None, 8)
        relay.open()
        command.wait_until(lambda: command.unready() is None, 20)
        command.ask("after")


@pytest.mark.long
def test_a_base_fee_above_the_limit(command: Command, local_chain: LocalChain) -> None:
    chain = local_chain.chain
    usual = chain.head().base_fee_wei
    with command.serving():
        try:
            chain.request("anvil_setNextBlockBaseFeePerGas", [hex(600 * 10**9)])
            local_chain.mine()
            command.wait_until(lambda: "base fee of 600 gwei" in (command.unready() or ""), 10)
            refused_promptly(command, "nothing can be posted")
        finally:
            chain.request("anvil_setNextBlockBaseFeePerGas", [hex(usual)])
            local_chain.mine()
        command.wait_until(lambda: command.unready() is None, 10)


@pytest.mark.long
def test_a_full_disk(command: Command) -> None:
    """No file of the process may grow: what a full disk does to it."""
    with command.serving() as process:
        usual = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, usual[1]))
        command.wait_until(lambda: "the database" in (command.unready() or ""), 15)
        reason = command.unready() or ""
        assert "make room on its disk" in reason and "unexpected" not in reason
        refused_promptly(command, "make room on its disk")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, usual)
        command.wait_until(lambda: command.unready() is None, 20)
        command.ask("after")


@pytest.mark.long
def test_a_stopped_postgresql(command: Command, request: pytest.FixtureRequest) -> None:
    server = make_url(str(request.getfixturevalue("postgres_url")))
    database = f"gainsay_{secrets.token_hex(6)}"
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
    with Relay(server.port or 5432) as relay:
        url = server.set(port=relay.port, database=database)
        command.settings["GAINSAY_DATABASE_URL"] = url.render_as_string(hide_password=False)
        with command.serving():
            command.ask("before")
            relay.close()
            command.wait_until(lambda: "the database" in (command.unready() or ""), 15)
            assert "check that its server runs" in (command.unready() or "")
            refused_promptly(command, "check that its server runs")
            relay.open()
            command.wait_until(lambda: command.unready() is None, 20)
            command.ask("after")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param(
            "mysql://somebody@localhost/x", "is no known database; use sqlite", marks=pytest.mark.long
        ),
        pytest.param("sqlite:////proc/none.sqlite", "cannot be opened", marks=pytest.mark.long),
        ("sqlite:///file:{folder}/read-only.sqlite?mode=ro&uri=true", "make its folder writable"),
    ],
)
def test_a_database_that_cannot_be_used_is_named(command: Command, url: str, why: str) -> None:
    (command.folder / "read-only.sqlite").touch()
    command.settings["GAINSAY_DATABASE_URL"] = url.format(folder=command.folder)
    refused = command.run("provider", "deposit", "1 wei")
    assert refused.returncode == 7 and why in refused.stderr, refused.stderr
    assert "unexpected" not in refused.stderr and "\n" not in refused.stderr.strip()


def test_the_endpoint_of_the_deployment_file_is_the_default(
    command: Command, local_chain: LocalChain
) -> None:
    """A devnet on another port is found by every command that reads its file; what is said explicitly wins."""
    import json

    file = Path(command.chain_arguments[3])
    file.write_text(json.dumps(json.loads(file.read_text()) | {"rpc_url": local_chain.chain.rpc_url}))
    command.chain_arguments = ["--deployment", str(file)]
    for listing in (("settlements", "list"), ("dispute", "list")):
        assert command.run(*listing).returncode == 0
    command.settings["GAINSAY_RPC_URL"] = "http://127.0.0.1:1"
    refused = command.run("dispute", "list")
    assert refused.returncode == 5 and "127.0.0.1:1 does not answer" in refused.stderr
