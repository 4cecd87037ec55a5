"""Keystores that are never overwritten or readable by others, and remote signers that are not believed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account
from typer.testing import CliRunner

from contracts.bindings import keys
from contracts.bindings import remote_signer as module
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import BindingsError, KeyUnavailable, SignatureWrong, SignerUnavailable
from contracts.bindings.journal import IntentStatus
from contracts.bindings.keys import KeystoreSigner, keystore_address
from contracts.bindings.opening import open_signer
from contracts.bindings.receipts import receipt_signer, sign_receipt
from contracts.bindings.remote_signer import RemoteSigner
from contracts.bindings.sender import open_sender
from contracts.bindings.settings import SettingsError
from contracts.protocol.response import Receipt
from node.keys import open_receipt_key
from node.settings import load_settings
from ops.key_cli import app
from prover.errors import UsageError
from tests.contracts.local_chain import LocalChain

from .remote_signing import SigningProcess, remote_signer

KEYS = ("11" * 32, "22" * 32)
FIRST, SECOND = (Account.from_key(key).address for key in KEYS)
RECEIPT = Receipt(
    provider=FIRST, model_id=bytes(32), batch_salt=b"\x01" * 32, index=2**60 + 1, prompt_hash=b"\x02" * 32, prompt_length=3,
    output_hash=b"\x03" * 32, output_length=4, max_tokens=5, sampling_hash=bytes(32), fee_wei=2**200 + 1, audit_root=bytes(32),
    payer="0x" + 40 * "0", fee_token="0x" + 40 * "0", issued_at=6, posting_deadline=7, signer=FIRST,
)  # fmt: skip


@pytest.fixture(scope="module")
def signing() -> Iterator[SigningProcess]:
    with remote_signer(*KEYS) as process:
        yield process


@pytest.fixture
def honest(signing: SigningProcess) -> SigningProcess:
    signing.becomes("honest")
    return signing


def test_a_remote_key_sends_and_signs_receipts(
    tmp_path: Path, honest: SigningProcess, local_chain: LocalChain, contracts: ProtocolContracts
) -> None:
    chain = local_chain.chain
    settings = load_settings(signer_url=honest.url, account=FIRST, receipt_account=SECOND)
    signer = open_signer(settings, chain)
    assert signer.address == FIRST and open_receipt_key(settings, chain, signer).address == SECOND
    chain.request("anvil_setBalance", [FIRST, hex(10**19)])
    sender = open_sender(chain, signer, f"sqlite:///{tmp_path / 'journal.sqlite'}")
    before = contracts.stake.account(FIRST).total
    sender.send(contracts.stake.deposit(7), "deposit")
    assert contracts.stake.account(FIRST).total == before + 7
    where = (chain.chain_id, contracts.receipts.address)
    assert receipt_signer(RECEIPT, sign_receipt(signer, RECEIPT, *where), *where) == FIRST


@pytest.mark.parametrize(
    ("mode", "error", "sentence"),
    [
        ("refuses", SignerUnavailable, "refused eth_signTransaction .*: locked by policy"),
        ("another-key", SignatureWrong, "signed for 0x"),
        ("another-chain", SignatureWrong, r"\(chainId differs\); give it the chain's id"),
        ("another-nonce", SignatureWrong, r"\(nonce differs\)"),
        ("another-value", SignatureWrong, r"\(value differs\)"),
        ("another-target", SignatureWrong, r"\(to differs\)"),
        ("another-data", SignatureWrong, r"\(data differs\)"),
        ("another-fee", SignatureWrong, r"\(maxFeePerGas differs\)"),
        ("another-type", SignatureWrong, "no transaction of type 2"),
        ("garbage", SignatureWrong, "no hex"),
        ("hangs", SignerUnavailable, "does not answer .it took too long"),
        ("drips", SignerUnavailable, "does not answer .it took too long"),
    ],
)
def test_what_a_signer_makes_of_a_transaction_is_not_believed(
    tmp_path: Path, signing: SigningProcess, local_chain: LocalChain, contracts: ProtocolContracts,
    monkeypatch: pytest.MonkeyPatch, mode: str, error: type[BindingsError], sentence: str,
) -> None:  # fmt: skip
    """Nothing is sent, the intent stays, and it is sent once the signer is right again."""
    monkeypatch.setattr(module, "ANSWER_S", 0.5)
    signing.becomes("honest")
    chain = local_chain.chain
    chain.request("anvil_setBalance", [FIRST, hex(10**19)])
    sender = open_sender(chain, RemoteSigner(signing.url, FIRST), f"sqlite:///{tmp_path / 'journal.sqlite'}")
    stake, nonce = contracts.stake.account(FIRST).total, chain.nonce(FIRST, pending=True)
    signing.becomes(mode)
    with pytest.raises(error, match=sentence):
        sender.send(contracts.stake.deposit(9), "deposit")
    assert chain.nonce(FIRST, pending=True) == nonce
    (intent,) = sender.journal.unfinished()
    assert intent.status is IntentStatus.PLANNED and not intent.attempts
    signing.becomes("honest")
    sender.send(contracts.stake.deposit(9), "deposit")
    assert contracts.stake.account(FIRST).total == stake + 9 and chain.nonce(FIRST) == nonce + 1


@pytest.mark.parametrize(
    ("mode", "error", "sentence"),
    [
        ("wrong-digest", SignatureWrong, "signed something else than the EIP-712 message"),
        ("another-key", SignatureWrong, "with another key than"),
        ("garbage", SignatureWrong, "no hex"),
        ("refuses", SignerUnavailable, "locked by policy"),
    ],
)
def test_a_signature_is_used_only_if_it_is_the_keys(
    honest: SigningProcess, mode: str, error: type[BindingsError], sentence: str
) -> None:
    signer = RemoteSigner(honest.url, FIRST)
    honest.becomes(mode)
    with pytest.raises(error, match=sentence):
        sign_receipt(signer, RECEIPT, 1, FIRST)


def test_a_signer_must_have_the_key(
    honest: SigningProcess, local_chain: LocalChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = local_chain.chain
    with pytest.raises(KeyUnavailable, match=f"has 2 keys .{FIRST}, {SECOND}.; name one with --account"):
        RemoteSigner(honest.url)
    with pytest.raises(KeyUnavailable, match="does not have the key of"):
        RemoteSigner(honest.url, "0x" + "0b" * 20)
    signer = RemoteSigner(honest.url, FIRST.lower())
    signer.check()
    honest.becomes("forgets")
    with pytest.raises(KeyUnavailable, match=f"does not have the key of {FIRST}"):
        signer.check()
    monkeypatch.setattr(module, "ANSWER_S", 0.5)
    honest.becomes("hangs")
    started = time.monotonic()
    with pytest.raises(SignerUnavailable):
        signer.check()
    assert time.monotonic() - started < 5
    with pytest.raises(SettingsError, match="both configured"):
        open_signer(load_settings(signer_url=honest.url, keystore=Path("key.json")), chain)
    with pytest.raises(SettingsError, match="signer_url = 'localhost:9000' is wrong"):
        load_settings(signer_url="localhost:9000")


def test_keystores_are_private_and_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keys, "SCRYPT_N", 2**10)
    Path("password").write_text("correct horse\n")
    Path("secret").write_text(f"0x{KEYS[0]}\n")

    def key(*arguments: str) -> str:
        answer = CliRunner().invoke(app, [*arguments, "--password-file", "password"])
        if answer.exception is not None and not isinstance(answer.exception, SystemExit):
            raise answer.exception
        return answer.stdout.strip()

    made = key("new", "keys/new.json")
    assert Path("keys/new.json").stat().st_mode & 0o777 == 0o600
    assert (
        key("address", "keys/new.json", "--check")
        == made
        == KeystoreSigner(Path("keys/new.json"), "correct horse").address
    )
    assert (
        json.loads(key("import", "first.json", "--private-key-file", "secret", "--json"))["address"] == FIRST
    )
    assert keystore_address(Path("first.json")) == FIRST
    content = Path("first.json").read_bytes()
    assert bytes.fromhex(KEYS[0]) not in content and KEYS[0].encode() not in content
    for command in (("new",), ("import", "--private-key-file", "secret")):
        with pytest.raises(KeyUnavailable, match="exists already"):
            key(command[0], "first.json", *command[1:])
    assert Path("first.json").read_bytes() == content
    again = ("--from-keystore", "first.json", "--from-password-file", "password")
    assert key("import", "again.json", *again) == FIRST

    Path("secret").write_text("ff" * 32)
    with pytest.raises(KeyUnavailable, match="no private key") as caught:
        key("import", "bad.json", "--private-key-file", "secret")
    assert "ff" * 32 not in str(caught.value) and not Path("bad.json").exists()
    Path("password").write_text("short")
    with pytest.raises(UsageError, match="shorter than 8"):
        key("new", "short.json")
    with pytest.raises(KeyUnavailable, match="check the password"):
        key("address", "first.json", "--check")
    stored = json.loads(content) | {"address": SECOND[2:]}
    Path("lies.json").write_text(json.dumps(stored))
    Path("password").write_text("correct horse")
    with pytest.raises(KeyUnavailable, match=f"says that it is {SECOND}, but its key is {FIRST}'s"):
        key("address", "lies.json", "--check")


def test_nothing_is_asked_where_nobody_can_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GAINSAY_KEYSTORE_PASSWORD_FILE", raising=False)
    answer = CliRunner().invoke(app, ["new", "key.json"])
    assert isinstance(answer.exception, UsageError) and "--password-file" in str(answer.exception)
    assert not Path("key.json").exists()
