"""Deployment, its checks, and a repeat of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.bindings.chain import Chain
from contracts.bindings.deployment import Deployment, ProtocolContracts, deploy_protocol
from contracts.bindings.errors import CodeMismatch, DeploymentInvalid, RpcUnavailable, StaleHead, WrongChain
from contracts.protocol.parameters import DEVNET
from tests.contracts.local_chain import LocalChain


def test_a_deployment_is_wired_and_recognised(contracts: ProtocolContracts) -> None:
    contracts.check()
    assert contracts.stake.parameters() == DEVNET


def test_repeating_a_deployment_gives_the_same_contracts(
    local_chain: LocalChain, deployment: Deployment
) -> None:
    nonce = local_chain.chain.nonce(local_chain.sender(0).address)
    again = deploy_protocol(local_chain.sender(0), DEVNET)
    assert replace(again, first_block=0) == replace(deployment, first_block=0)
    assert local_chain.chain.nonce(local_chain.sender(0).address) == nonce


def test_foreign_contracts_are_refused(local_chain: LocalChain, deployment: Deployment) -> None:
    nothing_there = replace(deployment, registry="0x" + "11" * 20)
    with pytest.raises(CodeMismatch, match="no contract"):
        ProtocolContracts(local_chain.chain, nothing_there).check()
    swapped = replace(deployment, ledger=deployment.game)
    with pytest.raises(CodeMismatch, match="another ledger, game, receipts or audits"):
        ProtocolContracts(local_chain.chain, swapped).check()


def test_a_deployment_file_is_checked(tmp_path: Path, deployment: Deployment) -> None:
    path = tmp_path / "deployment.json"
    path.write_text(json.dumps({**deployment.as_json(), "more": 1}))
    assert Deployment.load(path) == deployment
    path.write_text("{}")
    with pytest.raises(DeploymentInvalid, match="no deployment file"):
        Deployment.load(path)


def test_an_rpc_endpoint_is_not_trusted_blindly(local_chain: LocalChain) -> None:
    url = local_chain.chain.rpc_url
    with pytest.raises(WrongChain, match="serves chain 31337"):
        Chain(url, expected_chain_id=1)
    with pytest.raises(RpcUnavailable, match="does not answer"):
        Chain("http://127.0.0.1:9", attempts=2).head()
    assert local_chain.chain.require_fresh(3600).number >= 0
    with pytest.raises(StaleHead, match="old"):
        local_chain.chain.require_fresh(-1e9)
