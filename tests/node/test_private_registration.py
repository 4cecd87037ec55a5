"""`gainsay model register --private` on a chain: another model than the public one of the same weights, the same one when repeated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts.bindings.deployment import Deployment, ProtocolContracts
from devnet.model_cli import app
from node.serving import CommittedServing
from prover.commitment_file import load_published
from tests.contracts.local_chain import LocalChain


@pytest.fixture
def deployment_file(tmp_path: Path, deployment: Deployment, local_chain: LocalChain) -> Path:
    accounts = {"deployer": local_chain.chain.unlocked_accounts()[0]}
    content = deployment.as_json() | {"rpc_url": local_chain.chain.rpc_url, "accounts": accounts}
    (tmp_path / "devnet.json").write_text(json.dumps(content))
    return tmp_path / "devnet.json"


@pytest.mark.long
def test_a_private_model_is_registered_once(
    deployment_file: Path,
    contracts: ProtocolContracts,
    serving: CommittedServing,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAINSAY_BLINDINGS_PASSWORD", "secret")

    def run(command: str, *arguments: str) -> dict[str, Any]:
        result = CliRunner().invoke(
            app, [command, "tiny", "--private", "--json", *arguments], catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout.splitlines()[-1]))

    on_chain = ("--devnet", "--deployment", str(deployment_file))
    first, committed, again = run("register", *on_chain), run("commit"), run("register", *on_chain)
    assert first["model_id"] == again["model_id"] != "0x" + serving.model_id.hex()
    assert (first["registered_before"], again["registered_before"]) == (False, True)
    spec = contracts.registry.spec(bytes.fromhex(first["model_id"][2:]))
    published = load_published(Path(committed["published"]), serving.srs).commitment
    assert spec.difference(published) is None
    assert spec.difference(serving.commitment) == "architecture digest"
