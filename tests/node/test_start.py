"""What is checked before the node serves, and what the chain's side of the commands shows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from challenger.local_models import LocalModel, LocalModels
from contracts.bindings.deployment import Deployment, ProtocolContracts, verifier_artifacts
from contracts.bindings.errors import BindingsError
from contracts.bindings.keys import KeystoreSigner, create_keystore
from contracts.bindings.openings import open_game
from contracts.bindings.registration import built_model_id, register, register_model
from contracts.bindings.settings import SettingsError
from devnet.model_cli import app as model_app
from node.chain_access import find_model_id, open_chain, open_signer
from node.cli import app as provider_app
from node.command_settings import settings_of
from node.errors import ChainMismatchError, ModelNotRegisteredError, UnknownSettlementError
from node.receipts import fields_of
from node.records import batch_tree
from node.serving import CommittedServing
from node.settings import ProviderSettings, load_settings
from node.settlements_cli import app as settlements_app
from prover.errors import UsageError
from tests.contracts.local_chain import LocalChain
from tests.contracts.synthetic import stranger_verifier_sources
from verifier_gen import generate_sources

from .chain import ProviderHouse


@pytest.fixture
def deployment_file(tmp_path: Path, deployment: Deployment, local_chain: LocalChain) -> Path:
    accounts = dict(zip(("deployer", "provider"), local_chain.chain.unlocked_accounts(), strict=False))
    content = deployment.as_json() | {"rpc_url": local_chain.chain.rpc_url, "accounts": accounts}
    (tmp_path / "devnet.json").write_text(json.dumps(content))
    return tmp_path / "devnet.json"


def settings(deployment_file: Path, local_chain: LocalChain, **changes: Any) -> ProviderSettings:
    return load_settings(deployment=deployment_file, rpc_url=local_chain.chain.rpc_url, **changes)


def test_the_chain_is_checked(deployment_file: Path, local_chain: LocalChain) -> None:
    access = open_chain(settings(deployment_file, local_chain))
    assert access.is_devnet and access.confirmations == 0 and access.parameters.arity == 128
    with pytest.raises(ChainMismatchError, match="chain_id is set to 5"):
        open_chain(settings(deployment_file, local_chain, chain_id=5))
    wrong = json.loads(deployment_file.read_text())
    wrong["registry"] = wrong["stake"]
    deployment_file.write_text(json.dumps(wrong))
    with pytest.raises(BindingsError, match="ModelRegistry"):
        open_chain(settings(deployment_file, local_chain))


def test_the_model_must_be_the_registered_one(
    contracts: ProtocolContracts, serving: CommittedServing
) -> None:
    ours, wanted = serving.model_id, "0x" + serving.model_id.hex()
    built = built_model_id(serving.commitment, generate_sources(serving.model.config, serving.srs))
    assert find_model_id(contracts, serving.commitment, built, None) == built == ours
    assert find_model_id(contracts, serving.commitment, bytes(32), wanted) == ours
    other = replace(serving.commitment, tokenizer_digest=bytes(32))
    with pytest.raises(ChainMismatchError, match="another tokenizer digest"):
        find_model_id(contracts, other, ours, wanted)
    with pytest.raises(ModelNotRegisteredError):
        find_model_id(contracts, serving.commitment, ours, "0x" + "77" * 32)


def test_strangers_registrations_of_the_model_do_not_count(
    contracts: ProtocolContracts, serving: CommittedServing, local_chain: LocalChain
) -> None:
    stranger, owner = local_chain.sender(6), local_chain.sender(0)
    commitment = replace(serving.commitment, tokenizer_digest=b"\7" * 32)
    sources = generate_sources(serving.model.config, serving.srs)
    built = built_model_id(commitment, sources)

    def register_as_stranger(accepts: bool) -> bytes:
        verifiers = verifier_artifacts(stranger_verifier_sources(accepts))
        return register_model(stranger, contracts, commitment, verifiers)

    local = LocalModels(
        [LocalModel("tiny", commitment, lambda *_: None, built)],  # type: ignore[arg-type,return-value]
        contracts.registry,
        None,
    )
    before = register_as_stranger(accepts=True)
    with pytest.raises(ModelNotRegisteredError, match=f"0x{built.hex()}.*gainsay model register"):
        find_model_id(contracts, commitment, built, None)
    first = register(owner, contracts, commitment, verifier_artifacts(sources))
    again = register(owner, contracts, commitment, verifier_artifacts(sources))
    assert (first.model_id, first.registered_before, again.registered_before) == (built, False, True)
    after = register_as_stranger(accepts=False)
    assert len({before, built, after}) == 3
    assert find_model_id(contracts, commitment, built, None) == built
    assert local.find(built) is not None
    assert local.find(before) is None and local.find(after) is None


def test_the_key_is_a_keystore_or_an_unlocked_account(
    tmp_path: Path, deployment_file: Path, local_chain: LocalChain
) -> None:
    chain = local_chain.chain
    with pytest.raises(SettingsError, match="--keystore"):
        open_signer(settings(deployment_file, local_chain), chain)
    address = create_keystore(tmp_path / "key.json", "secret words")
    with pytest.raises(SettingsError, match="GAINSAY_KEYSTORE_PASSWORD"):
        open_signer(settings(deployment_file, local_chain, keystore=tmp_path / "key.json"), chain)
    (tmp_path / "password").write_text("secret words\n")
    chosen = settings(
        deployment_file,
        local_chain,
        keystore=tmp_path / "key.json",
        keystore_password_file=tmp_path / "password",
    )
    signer = open_signer(chosen, chain)
    assert isinstance(signer, KeystoreSigner) and signer.address == address
    assert "secret" not in repr(load_settings(keystore_password="secret words"))


def test_devnet_values_give_way_to_flags(deployment_file: Path, local_chain: LocalChain) -> None:
    chosen = settings_of(True, None, deployment_file, None, None, port=9000)
    assert chosen.account == local_chain.chain.unlocked_accounts()[1] and chosen.port == 9000
    flagged = settings_of(True, "http://other", deployment_file, None, "0x" + "ab" * 20)
    assert flagged.rpc_url == "http://other" and flagged.account == "0x" + "ab" * 20
    with pytest.raises(SettingsError, match="no account for 'nobody'"):
        settings_of(True, None, deployment_file, None, None, role="nobody")
    with pytest.raises(SettingsError, match="devnet up"):
        settings_of(True, None, deployment_file.with_name("none.json"), None, None)


@pytest.fixture
def command(deployment_file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a sub-command in this process; its JSON."""
    monkeypatch.chdir(deployment_file.parent)

    def run(app: Any, *arguments: str) -> Any:
        result = CliRunner().invoke(
            app,
            [*arguments, "--devnet", "--deployment", str(deployment_file), "--json"],
            catch_exceptions=False,
        )
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


def test_settlements_show_what_is_on_chain(house: ProviderHouse, command: Any) -> None:
    provider = house.start()
    provider.desk.issue([65, 66], [67], 1, "length")
    house.pass_time(6)
    provider.follower.step()
    provider.committer.step()
    number = provider.journal.batches()[0].chain_batch_id
    listed = command(settlements_app, "list", "--of", provider.address)
    assert listed["batches"][-1]["batch_id"] == number
    shown = command(settlements_app, "show", "--batch", str(number))
    assert shown["state"] == "can be disputed" and shown["states"] == ["pending"]
    account = command(settlements_app, "show", "--of", provider.address)
    assert int(account["locked_wei"]) > 0
    assert shown["model_deprecated"] is False and account["delayed_until"] == 0
    with pytest.raises(UnknownSettlementError):
        command(settlements_app, "show", "--dispute", "99999")
    with pytest.raises(SettingsError, match="one of"):
        command(settlements_app, "show")


def test_an_exit_is_taken_back_and_credits_go_elsewhere(house: ProviderHouse, command: Any) -> None:
    stake, chain = house.contracts.stake, house.contracts.chain
    asked = command(provider_app, "exit", "1")
    assert (
        asked["exiting_wei"] == str(10**18)
        and asked["transactions"][0]["call"] == "ProviderStake.requestExit"
    )
    assert asked["transactions"][0]["gas"] > 21_000 and int(asked["transactions"][0]["fee_wei"]) > 0
    back = command(provider_app, "exit", "--cancel")
    assert back["exiting_wei"] == "0" and back["stake_wei"] == asked["stake_wei"]
    with pytest.raises(UsageError, match="give one of them"):
        command(provider_app, "exit", "--cancel", "--complete")
    command(provider_app, "exit", "1")
    house.pass_time(stake.parameters().exit_delay + 1)
    command(provider_app, "exit", "--complete")
    stranger = "0x" + 39 * "0" + "7"
    before, credits = chain.balance_wei(stranger), stake.credits(house.signer.address)
    sent = command(settlements_app, "withdraw", "--to", stranger)
    assert credits >= 10**18 and chain.balance_wei(stranger) - before == credits == int(sent["withdrawn_wei"])
    assert (sent["to"], sent["transactions"][0]["call"]) == (stranger, "ProviderStake.withdrawTo")
    assert command(settlements_app, "withdraw")["transactions"] == []


def test_disputes_come_in_pages_and_logs_agree_with_the_contracts(house: ProviderHouse, command: Any) -> None:
    provider = house.start()
    issued = provider.desk.issue([65, 66], [67], 1, "length")
    house.pass_time(6)
    provider.follower.step()
    provider.committer.step()
    number = provider.journal.batches()[0].chain_batch_id
    row = provider.journal.find_response(issued.receipt_id)
    assert number is not None and row is not None
    path, fields = batch_tree([row]).path(0), fields_of(row)
    challengers = [house.other(account) for account in (2, 3)]
    for sender in challengers:
        key = f"open {number} {issued.receipt_id}"
        open_game(house.contracts, sender, number, 0, fields, path, secret=b"\1" * 32, key=key)
    found = command(settlements_app, "disputes", "--batch", str(number), "--response", "0")
    assert found["total"] == 2
    assert [game["challenger"] for game in found["disputes"]] == [sender.address for sender in challengers]
    second = command(settlements_app, "disputes", "--batch", str(number), "--response", "0", "--first", "1")
    assert second == {"total": 2, "first": 1, "disputes": found["disputes"][1:]}
    mine = command(
        settlements_app, "disputes", "--challenger", challengers[0].address.lower(), "--limit", "1"
    )
    assert mine["total"] >= 1 and len(mine["disputes"]) == 1
    against = command(settlements_app, "disputes", "--provider", provider.address)
    assert found["disputes"][0] in against["disputes"]
    with pytest.raises(SettingsError, match="together"):
        command(settlements_app, "disputes", "--batch", "1")
    audit = command(settlements_app, "audit")
    assert audit["differences"] == [] and audit["games"] >= 2 and int(audit["stake_wei"]) > 0


def test_a_registrant_marks_its_model_and_everybody_is_told(
    deployment_file: Path,
    local_chain: LocalChain,
    contracts: ProtocolContracts,
    serving: CommittedServing,
    command: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    verifiers = verifier_artifacts(stranger_verifier_sources(accepts=True))
    commitment = replace(serving.commitment, tokenizer_digest=b"\10" * 32)  # nobody else has registered it
    model_id = register_model(local_chain.sender(0, "deprecating"), contracts, commitment, verifiers)
    wanted = "0x" + model_id.hex()
    with capture_logs() as before:
        assert find_model_id(contracts, commitment, serving.model_id, wanted) == model_id
    assert command(model_app, "deprecate", wanted)["deprecated"] is True
    with capture_logs() as after:
        assert find_model_id(contracts, commitment, serving.model_id, wanted) == model_id
    assert before == [] and [entry["log_level"] for entry in after] == ["warning"]
    assert after[0]["registrant"] == local_chain.chain.unlocked_accounts()[0]
    with pytest.raises(SettingsError, match="no model id"):
        command(model_app, "deprecate", "0x12")


def test_stake_goes_in_and_comes_back_as_credits(house: ProviderHouse, command: Any) -> None:
    before = command(provider_app, "status")
    after = command(provider_app, "deposit", "2.5")
    assert int(after["stake_wei"]) - int(before["stake_wei"]) == 25 * 10**17
    again = command(provider_app, "deposit", "2.5")  # the same amount twice is two deposits
    assert int(again["stake_wei"]) - int(after["stake_wei"]) == 25 * 10**17
    leaving = command(provider_app, "exit", "5")
    assert int(leaving["exiting_wei"]) == 5 * 10**18
    house.pass_time(301)
    gone = command(provider_app, "exit", "--complete")
    assert int(gone["credits_wei"]) >= 5 * 10**18
    paid = command(settlements_app, "withdraw")
    assert paid["withdrawn_wei"] == gone["credits_wei"]
    assert command(provider_app, "status")["credits_wei"] == "0"
    assert command(settlements_app, "withdraw")["withdrawn_wei"] == "0"
