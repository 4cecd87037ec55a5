"""`gainsay deploy`: what the file says is what lies on chain, once, whatever was killed on the way."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from contracts.bindings.chain import Chain
from contracts.bindings.compiler import CONTRACT_SOURCES, protocol_artifacts
from contracts.bindings.deployed_code import compare_deployment, forecast_deployment
from contracts.bindings.deployment import CREATIONS, Deployment
from contracts.bindings.opening import is_devnet
from contracts.bindings.reference_string import InsecureReferenceString, require_secure_srs
from contracts.protocol.duration import DurationError, parse_seconds, show_duration
from contracts.protocol.parameters import DEVNET, PRESETS
from ops.deploy_cli import app
from ops.deploying import Record, unfinished_path
from ops.errors import DeploymentDiffers, DeploymentRefused, ParameterFileError
from ops.parameter_file import CONDITIONS, NAMES, read_parameter_file, template
from tests.contracts.local_chain import LocalChain
from tests.contracts.rpc_proxy import rpc_proxy

from .started import start

RECORD = Path(".gainsay/deployments/31337-here.json")


class Operator:
    """One account that deploys, in a folder of its own."""

    def __init__(self, folder: Path, local: LocalChain, account: int) -> None:
        self.folder, self.chain = folder, local.chain
        self.address = local.chain.unlocked_accounts()[account]
        self.write()

    def write(self, *changes: tuple[str, str], preset: str = "devnet") -> None:
        text = template(preset, "here", 31337)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (self.folder / "here.toml").write_text(text)

    @property
    def run_command(self) -> list[str]:
        return ["run", "here.toml", "--rpc-url", self.chain.rpc_url, "--account", self.address]

    def deploys(self, *more: str) -> str:
        return self._invoke(*self.run_command, *more)

    def verifies(self, *more: str) -> str:
        return self._invoke("verify", str(RECORD), "--rpc-url", self.chain.rpc_url, *more)

    def _invoke(self, *arguments: str) -> str:
        answer = CliRunner().invoke(app, arguments)
        if answer.exception is not None and not isinstance(answer.exception, SystemExit):
            raise answer.exception
        return answer.stdout


def operator(folder: Path, local: LocalChain, account: int, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.chdir(folder)
    return Operator(folder, local, account)


def test_a_file_is_deployed_as_announced_and_verified(
    tmp_path: Path, local_chain: LocalChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = operator(tmp_path, local_chain, 4, monkeypatch)
    me.write(('clock = "2 minutes"', "clock = 77"))
    planned = json.loads(me.deploys("--dry-run", "--json"))
    assert planned["accepted"] and planned["parameters"]["clock"] == 77
    assert me.chain.nonce(me.address) == 0 and not RECORD.exists()

    assert "ok    wiring" in me.deploys()
    record = json.loads(RECORD.read_text())
    assert [step["address"] for step in planned["transactions"][:-1]] == [
        record[creation.field] for creation in CREATIONS
    ]
    assert record["gas_used"] <= planned["gas"] <= 1.01 * record["gas_used"]
    assert record["parameters"] == asdict(replace(DEVNET, clock=77))
    assert Deployment.load(RECORD).ledger == record["ledger"]
    assert me.chain.nonce(me.address) == len(CREATIONS) + 1
    assert "WRONG" not in me.verifies()

    with pytest.raises(DeploymentRefused, match="record of this deployment already"):
        me.deploys()
    RECORD.write_text(json.dumps(record | {"parameters": record["parameters"] | {"clock": 78}}))
    with pytest.raises(DeploymentDiffers, match=r"^parameters of"):
        me.verifies()
    RECORD.write_text(json.dumps(record | {"ledger": record["payments"]}))
    with pytest.raises(DeploymentDiffers, match="InferenceLedger"):
        me.verifies()


def test_one_byte_of_any_contract_or_immutable_is_found(
    local_chain: LocalChain, deployment: Deployment
) -> None:
    """The last byte of a code, and of an immutable: what a hash of the program without its immutables would miss."""
    chain, artifacts = local_chain.chain, protocol_artifacts()
    deployer = chain.unlocked_accounts()[0]

    def wrong() -> list[str]:
        found = compare_deployment(chain, deployment, DEVNET, deployer, artifacts)
        return [finding.what for finding in found if not finding.right]

    assert wrong() == []
    for creation in CREATIONS:
        address = getattr(deployment, creation.field)
        code = bytearray.fromhex(chain.request("eth_getCode", [address, "latest"])[2:])
        place = code.find(bytes.fromhex(deployment.stake[2:]))  # the vault is an immutable of most
        place = len(code) - 1 if place < 0 else place + 19
        changed = bytes([*code[:place], code[place] ^ 1, *code[place + 1 :]])
        chain.request("anvil_setCode", [address, "0x" + changed.hex()])
        try:
            assert creation.contract in wrong()
        finally:
            chain.request("anvil_setCode", [address, "0x" + code.hex()])
    assert wrong() == []
    assert "Payments" in [
        finding.what
        for finding in compare_deployment(chain, deployment, DEVNET, chain.unlocked_accounts()[1], artifacts)
        if not finding.right
    ]


@pytest.mark.parametrize("after", ["ModelRegistry", *(pytest.param(step, marks=pytest.mark.long) for step in ("deployment", "ProviderStake", "DisputeGame", "initialise"))])  # fmt: skip
def test_a_killed_deployment_is_carried_on(
    tmp_path: Path, local_chain: LocalChain, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    me = operator(tmp_path, local_chain, 5, monkeypatch)
    me.chain.request("anvil_setNonce", [me.address, hex(before := me.chain.nonce(me.address))])
    process = start(tmp_path, "deploy", *me.run_command)
    assert process.stdout is not None and process.stderr is not None
    while not (line := process.stdout.readline()).strip().startswith(after):
        assert line, process.stderr.read()
    process.kill()
    process.wait()
    assert not RECORD.exists()

    if unfinished_path(RECORD).exists():
        me.write(('clock = "2 minutes"', "clock = 78"))
        with pytest.raises(DeploymentRefused, match=r"begun differently \(clock was 2 minutes\)"):
            me.deploys()
        me.write()
    me.deploys()
    assert me.chain.nonce(me.address) == before + len(CREATIONS) + 1
    record = Record.load(RECORD)
    assert record.deployment.first_block <= me.chain.head().number - (len(CREATIONS) + 1)
    assert not unfinished_path(RECORD).exists()


def test_what_the_contract_refuses_is_told_by_name(
    tmp_path: Path, local_chain: LocalChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = operator(tmp_path, local_chain, 6, monkeypatch)
    me.write(('exit_delay = "5 minutes"', 'exit_delay = "4 minutes"'))
    with pytest.raises(
        ParameterFileError, match=r"refuses parameters.exit_delay: it must be longer than posting"
    ):
        me.deploys()
    assert me.chain.nonce(me.address) == 0
    declared = (CONTRACT_SOURCES / "libraries" / "Parameters.sol").read_text()
    refusable = {
        re.sub("([A-Z])", r"_\1", name).lower()
        for name in re.findall(r'InvalidParameter\("(\w+)"\)', declared)
    }
    assert refusable == set(CONDITIONS) == set(NAMES)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("clock =", "clok =", "parameters.clok is not known; write parameters.clock"),
        ('"2 ether"', '"2 eth er"', "parameters.provider_bond: .* is no amount"),
        ("arity = 128", "arity = -1", "parameters.arity = -1 must be a count"),
        ('"2 minutes"', '"2 weeks"', "parameters.clock: .* is no time"),
        ("chain_id = 31337", "", "chain_id must be"),
        ('preset = "devnet"', 'preset = "l3"', "preset 'l3' is not known; write one of devnet, l1, l2"),
        ('preset = "devnet"', "", "parameters.clock is missing"),
        ('name = "here"', 'name = "../here"', "name must be a word"),
    ],
)
def test_a_parameter_file_is_read_strictly(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    text = template("devnet", "here", 31337)
    if sentence.endswith("missing"):
        text = text.replace('clock = "2 minutes"\n', "")
    assert old in text
    (tmp_path / "file.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ParameterFileError, match=sentence):
        read_parameter_file(tmp_path / "file.toml")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_template_is_its_preset(tmp_path: Path, preset: str) -> None:
    text = template(preset, "here", 1)
    (tmp_path / "file.toml").write_text(text.replace(f'preset = "{preset}"\n', ""))
    assert read_parameter_file(tmp_path / "file.toml").parameters == PRESETS[preset]


def test_times_are_exact() -> None:
    for text, seconds in (("90", 90), ("36 hours", 129_600), ("1 Day", 86_400), ("0", 0), ("5min", 300)):
        assert parse_seconds(text) == seconds
        assert parse_seconds(show_duration(seconds)) == seconds
    for text in ("", "1.5 hours", "-1", "2 weeks", "1" * 20 + " days"):
        with pytest.raises(DurationError):
            parse_seconds(text)


def test_nobody_stakes_under_a_public_secret_off_a_devnet(local_chain: LocalChain) -> None:
    def elsewhere(method: str, parameters: list[object]) -> dict[str, object] | None:
        said = {"eth_chainId": "0xa4b1", "web3_clientVersion": "Geth/v1.15.0"}
        return {"result": said[method]} if method in said else None

    with rpc_proxy(local_chain.chain.rpc_url) as proxy:
        proxy.script = elsewhere
        here, there = local_chain.chain, Chain(proxy.url)
        assert is_devnet(here) and not is_devnet(there)
        require_secure_srs(here, insecure=True, description="public", allowed=False, act="serve")
        require_secure_srs(there, insecure=False, description="a ceremony", allowed=False, act="serve")
        with pytest.raises(InsecureReferenceString, match=r"chain 42161 .*--allow-insecure-srs"):
            require_secure_srs(there, insecure=True, description="public", allowed=False, act="serve")
        with capture_logs() as logs:
            require_secure_srs(there, insecure=True, description="public", allowed=True, act="serve")
        assert [line["log_level"] for line in logs] == ["error"] and "FORGE" in logs[0]["event"]


def test_a_forecast_names_the_refused_field(local_chain: LocalChain) -> None:
    chain = local_chain.chain
    wrong = forecast_deployment(
        chain, chain.unlocked_accounts()[0], replace(DEVNET, arity=1), protocol_artifacts()
    )
    assert wrong.refusal is not None and wrong.refusal.arguments == {"field": "arity"}
