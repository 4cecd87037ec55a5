"""`gainsay receipt status | claim | pay` against a real chain: every state, a reorganisation, and what a client gets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts.bindings.consent import NotAgreed
from contracts.bindings.deployment import Deployment
from contracts.bindings.receipt_body import parse_receipt
from contracts.bindings.receipts import sign_receipt
from contracts.protocol.parameters import DEVNET
from node.errors import ReceiptNotValidError
from node.provider import Provider
from node.receipt_cli import app
from node.receipt_status import NothingToClaim, path_in, receipt_status
from node.records import Records
from prover.errors import BadInputError, UsageError
from tests.contracts.local_chain import LocalChain

from .chain import CLIENT, ProviderHouse


class Clerk:
    """The commands as a client types them; the receipt is in a file."""

    def __init__(self, folder: Path, house: ProviderHouse, deployment: Deployment) -> None:
        self.file, self.house = folder / "receipt.json", house
        self.account = house.local.chain.unlocked_accounts()[CLIENT]
        record = folder / "deployment.json"
        record.write_text(json.dumps(deployment.as_json()))
        self._chain = ["--rpc-url", house.local.chain.rpc_url, "--deployment", str(record)]

    def save(self, provider: Provider, key: str) -> dict[str, Any]:
        body = Records(provider.journal, provider.desk._issuer, "tiny").receipt(key)
        assert body is not None
        self.file.write_text(json.dumps(body))
        return body

    def __call__(self, name: str, *words: str, as_json: bool = True, moves: bool = False) -> Any:
        more = [
            *self._chain,
            *(["--json"] if as_json else []),
            *(["--account", self.account] if moves else []),
        ]
        result = CliRunner().invoke(app, [name, str(self.file), *words, *more])
        if result.exception is not None:
            raise result.exception
        return json.loads(result.stdout) if as_json else result.stdout


@pytest.fixture
def clerk(
    tmp_path: Path, house: ProviderHouse, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> Clerk:
    monkeypatch.chdir(tmp_path)  # the payer's journal stands in .gainsay
    return Clerk(tmp_path, house, deployment)


def test_a_receipt_is_followed_through_a_reorganisation_to_its_end(
    clerk: Clerk, house: ProviderHouse, local_chain: LocalChain
) -> None:
    provider, chain = house.start(), local_chain.chain
    issued = provider.desk.issue([65, 66], [67], 1, "length")
    clerk.save(provider, issued.receipt_id)
    # On a chain whose clock was set forward a receipt may be dated after the newest block, and no other comes by itself.
    chain.request("evm_mine", [])
    waiting = clerk("status")
    assert (waiting["state"], waiting["batch_id"], waiting["path_proven"]) == ("waiting", None, None)
    with pytest.raises(NothingToClaim, match=r"may post it until 20.* UTC"):
        clerk("claim", "--yes", moves=True)
    with pytest.raises(UsageError, match="cost nothing"):
        clerk("pay", moves=True)

    before = chain.request("evm_snapshot", [])
    house.pass_time(6)
    provider.follower.step()
    provider.committer.step()
    assert clerk("status")["state"] == "unproven"  # the file is older than the batch
    body = clerk.save(provider, issued.receipt_id)
    pending = clerk("status")
    assert (pending["state"], pending["path_proven"], pending["posted_in_time"]) == ("pending", True, True)
    assert clerk("status", as_json=False).startswith("pending, as of block ")
    with pytest.raises(NothingToClaim, match="posted in time, in batch"):
        clerk("claim", "--yes", moves=True)

    # A provider that shows a wrong path proves nothing against itself: claiming would cost the bond.
    body["path"] = ["0x" + 64 * "1"]
    clerk.file.write_text(json.dumps(body))
    shown = clerk("status")
    assert (shown["state"], shown["path_proven"]) == ("unproven", False)
    body["path"] = 65 * ["0x" + 64 * "1"]
    clerk.file.write_text(json.dumps(body))
    with pytest.raises(BadInputError, match="at most 64"):
        clerk("status")

    chain.request("evm_revert", [before])
    chain.request("evm_mine", [])
    clerk.save(provider, issued.receipt_id)
    reorganised = clerk("status")  # the provider's path is still in the file, and its batch is gone
    assert (reorganised["state"], reorganised["batch_id"]) == ("waiting", None)
    assert reorganised["block_hash"] != pending["block_hash"]

    house.pass_time(body["receipt"]["posting_deadline"] - chain.head().timestamp + 1)
    assert clerk("status")["state"] == "overdue"
    assert "`gainsay receipt claim`" in clerk("status", as_json=False)
    with pytest.raises(
        NotAgreed, match=r"stakes a bond of 0.05 ETH; the provider is slashed at once .* say --yes"
    ):
        clerk("claim", moves=True)
    held = house.contracts.stake.credits(clerk.account)
    claimed = clerk("claim", "--yes", moves=True)
    assert claimed["claims"] == ["claim unposted"] and claimed["transactions"][0]["gas"] > 0
    assert claimed["status"]["claim"] == "slashed" and int(claimed["status"]["penalty_wei"]) > 0
    bond = DEVNET.receipt_claim_bond
    assert house.contracts.stake.credits(clerk.account) - held > bond
    with pytest.raises(NothingToClaim, match="its claims are settled"):
        clerk("claim", "--yes", moves=True)


def test_a_chain_that_moves_while_it_is_read_is_read_again(
    clerk: Clerk, house: ProviderHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = house.start()
    receipt, _ = parse_receipt(clerk.save(provider, provider.desk.issue([65], [66], 1, "length").receipt_id))
    chain, looks = house.contracts.chain, []
    hash_of = type(chain).block_hash

    def moved(self: Any, number: int) -> bytes | None:
        looks.append(number)
        return bytes(32) if len(looks) == 1 else hash_of(self, number)

    monkeypatch.setattr(type(chain), "block_hash", moved)
    assert receipt_status(house.contracts, receipt, None).state == "waiting" and len(looks) == 2
    monkeypatch.setattr(type(chain), "block_hash", lambda *_: bytes(32))
    with pytest.raises(ReceiptNotValidError, match="reorganised again and again"):
        receipt_status(house.contracts, receipt, None)


def test_a_receipt_dated_before_its_key_was_registered_brings_nothing(
    clerk: Clerk, house: ProviderHouse
) -> None:
    provider = house.start()
    body = clerk.save(provider, provider.desk.issue([65], [66], 1, "length").receipt_id)
    receipt, _ = parse_receipt(body)
    old = replace(receipt, issued_at=1, posting_deadline=2)
    contracts = house.contracts
    signature = sign_receipt(house.signer, old, contracts.chain.chain_id, contracts.receipts.address)
    body["receipt"] |= {"issued_at": 1, "posting_deadline": 2}
    clerk.file.write_text(json.dumps(body | {"signature": "0x" + signature.hex()}))
    for name, words in (("status", ()), ("claim", ("--yes",))):
        with pytest.raises(ReceiptNotValidError, match="worth nothing on this deployment"):
            clerk(name, *words, moves=name == "claim")
    assert path_in([]) is None and path_in({"path": []}) == []
