"""Paid answers on a real chain: what is redeemed, when, and what a payer gets back for a void answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from contracts.bindings.contract import Call
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.payments import Channel, Voucher, sign_voucher, voucher_signer
from contracts.protocol.response import ETHER_TOKEN
from contracts.protocol.token_ids import unpack_token_ids
from node.errors import PaymentRefusedError, ReceiptNotValidError
from node.payments.till import Payment
from node.payments.wire import SignedVoucher, payment_header
from node.provider import Provider
from node.receipt_check import check_receipt
from node.serving import CommittedServing
from node.store import ResponseState
from prover.model.execute import Executor
from tests.contracts.local_chain import LocalChain

from .chain import ProviderHouse, make_house
from .conftest import LocalSigner
from .test_defender import Dispute
from .test_kills import Killed, Reaper

PRICE = 10**15
ASK = {"model": "tiny", "prompt": "abc", "max_tokens": 2}


@pytest.fixture
def paid(house: ProviderHouse) -> ProviderHouse:
    return charging(house)


def charging(house: ProviderHouse, **changes: object) -> ProviderHouse:
    """The same house, where answers cost something; it looks for money at every step."""
    terms = {"fee_wei": PRICE, "require_payment": True, "redeem_least": PRICE, **changes}
    return replace(house, settings=house.settings.model_copy(update=terms))


@dataclass
class Customer:
    """A new key with a channel."""

    house: ProviderHouse
    signer: LocalSigner

    @classmethod
    def of(cls, house: ProviderHouse, deposit: int) -> Customer:
        customer = cls(house, LocalSigner())
        chain = house.local.chain
        chain.request("anvil_setBalance", [customer.address, hex(10**20)])
        chain.request("anvil_impersonateAccount", [customer.address])
        customer.send(house.contracts.payments.deposit(house.signer.address, ETHER_TOKEN, deposit))
        return customer

    @property
    def address(self) -> str:
        return self.signer.address

    @property
    def channel(self) -> Channel:
        return self.house.contracts.payments.channel(self.address, self.house.signer.address)

    def send(self, call: Call) -> None:
        transaction = {
            "from": self.address,
            "to": call.to,
            "data": "0x" + call.data.hex(),
            "value": hex(call.value_wei),
        }
        chain = self.house.local.chain
        sent = bytes.fromhex(str(chain.request("eth_sendTransaction", [transaction])).removeprefix("0x"))
        while (receipt := chain.receipt(sent)) is None:
            time.sleep(0.01)
        assert receipt.succeeded, call.description

    def voucher(self, cumulative: int) -> SignedVoucher:
        payments, chain = self.house.contracts.payments, self.house.local.chain
        voucher = Voucher(self.address, self.house.signer.address, ETHER_TOKEN, cumulative)
        signature = sign_voucher(self.signer, voucher, chain.chain_id, payments.address)
        return SignedVoucher(chain.chain_id, payments.address, voucher, signature)

    def header(self, cumulative: int) -> str:
        return payment_header(self.voucher(cumulative))


def see(provider: Provider) -> None:
    """One round in which the node looks at the chain."""
    provider.follower.step()
    provider.channels.observe()


def redeem(provider: Provider) -> int:
    """One look of a redeemer that has waited long enough; how many transactions it sent."""
    chain, account = provider._access.chain, provider.outbox.address
    before = chain.nonce(account)
    provider.redeemer._looked_at = provider.redeemer._hurried_at = -float("inf")
    provider.redeemer.step()
    return chain.nonce(account) - before


def pay(provider: Provider, customer: Customer, cumulative: int) -> Payment:
    assert provider.service.till is not None
    payment = provider.service.till.take([customer.header(cumulative)])
    assert payment is not None
    return payment


@contextmanager
def asking(provider: Provider) -> Iterator[TestClient]:
    """The API without the background workers."""
    provider.service.queue.start()
    yield TestClient(provider.app)
    provider.service.queue.close()


def test_what_was_paid_is_redeemed_to_the_wei(paid: ProviderHouse) -> None:
    provider = paid.start()
    customers = [Customer.of(paid, 10 * PRICE) for _ in range(2)]
    see(provider)
    with asking(provider) as client:
        assert client.post("/v1/completions", json=ASK).status_code == 402
        for number, customer in ((1, customers[0]), (2, customers[0]), (1, customers[1])):
            headers = {"X-Payment": customer.header(number * PRICE)}
            answer = client.post("/v1/completions", json=ASK, headers=headers)
            assert answer.status_code == 200, answer.text
    assert redeem(provider) == 1  # both in one transaction
    assert [customer.channel.redeemed for customer in customers] == [2 * PRICE, PRICE]
    assert [customer.channel.balance for customer in customers] == [8 * PRICE, 9 * PRICE]
    assert sum(customer.channel.held_recent for customer in customers) == 3 * PRICE
    assert redeem(provider) == 0
    pay(provider, customers[0], 3 * PRICE).keep()
    assert redeem(provider) == 1 and customers[0].channel.redeemed == 3 * PRICE


def test_little_is_redeemed_only_when_the_payer_takes_its_money_back(house: ProviderHouse) -> None:
    paid = charging(house, redeem_least=10 * PRICE)
    provider = paid.start()
    customer = Customer.of(paid, 10 * PRICE)
    see(provider)
    pay(provider, customer, 2 * PRICE).keep()  # one answer's price is left: no answer has earned it yet
    assert redeem(provider) == 0
    customer.send(paid.contracts.payments.request_withdrawal(provider.address, ETHER_TOKEN, 10 * PRICE))
    see(provider)
    with pytest.raises(PaymentRefusedError, match="can pay 0 at most"):
        pay(provider, customer, 3 * PRICE)
    assert redeem(provider) == 1
    assert customer.channel.redeemed == 2 * PRICE
    see(provider)
    with pytest.raises(PaymentRefusedError, match=f"but {2 * PRICE + 1} is due"):
        provider.service.till.take([customer.header(2 * PRICE)])  # type: ignore[union-attr]
    paid.pass_time(provider.redeemer._hurry_s * 2 + 1)
    customer.send(
        paid.contracts.payments.complete_withdrawal(provider.address, ETHER_TOKEN, customer.address)
    )
    assert customer.channel.balance == 0 and customer.channel.held_recent == 2 * PRICE


def test_a_revoked_key_makes_its_vouchers_urgent(house: ProviderHouse) -> None:
    paid = charging(house, redeem_least=10 * PRICE)
    provider = paid.start()
    customer, key = Customer.of(paid, 10 * PRICE), LocalSigner()
    payments = paid.contracts.payments
    customer.send(payments.authorise_voucher_key(key.address))
    see(provider)
    own = replace(customer, signer=key)
    voucher = Voucher(customer.address, provider.address, ETHER_TOKEN, PRICE)
    signature = sign_voucher(key, voucher, payments.chain.chain_id, payments.address)
    signed = SignedVoucher(payments.chain.chain_id, payments.address, voucher, signature)
    assert provider.service.till is not None and own.address == key.address
    taken = provider.service.till.take([payment_header(signed)])
    assert taken is not None and taken.payer == customer.address
    assert redeem(provider) == 0
    customer.send(payments.revoke_voucher_key(key.address))
    see(provider)
    assert redeem(provider) == 1 and customer.channel.redeemed == PRICE


def test_games_come_first(paid: ProviderHouse) -> None:
    provider = paid.start()
    customer = Customer.of(paid, 10 * PRICE)
    see(provider)
    pay(provider, customer, PRICE).keep()
    provider.redeemer._is_playing = lambda: True
    assert redeem(provider) == 0
    customer.send(paid.contracts.payments.request_withdrawal(provider.address, ETHER_TOKEN, PRICE))
    see(provider)
    assert redeem(provider) == 0  # there is time
    paid.pass_time(provider.redeemer._hurry_s + 1)
    see(provider)
    assert redeem(provider) == 1


def test_a_voucher_that_brings_nothing_costs_no_gas(paid: ProviderHouse) -> None:
    """Somebody else redeemed it: anybody may."""
    provider = paid.start()
    customer = Customer.of(paid, PRICE)
    see(provider)
    pay(provider, customer, PRICE).keep()
    signed = customer.voucher(PRICE)
    customer.send(paid.contracts.payments.redeem([(signed.voucher, signed.signature)]))
    assert customer.channel.redeemed == PRICE
    assert redeem(provider) == 0
    assert all(row.payer != customer.address for row in provider.book.unredeemed())


def test_the_contract_and_the_till_agree_about_signatures(paid: ProviderHouse) -> None:
    payments = paid.contracts.payments
    signed = Customer.of(paid, PRICE).voucher(PRICE)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    r, s, v = signed.signature[:32], signed.signature[32:64], signed.signature[64]
    other = (order - int.from_bytes(s)).to_bytes(32)
    zero, one = bytes(32), bytes(31) + b"\1"
    for signature in (
        signed.signature, r + other + bytes([55 - v]), r + s + bytes([v - 27]), r + s, r + zero + bytes([v]),
        zero + s + bytes([v]), one + one + bytes([v]), r + s + bytes([55 - v]),
    ):  # fmt: skip
        key = voucher_signer(signed.voucher, signature, payments.chain.chain_id, payments.address)
        assert payments.is_signed(signed.voucher, signature) == (key == signed.voucher.payer), signature.hex()


@pytest.mark.parametrize("redeemed", [False, True])
def test_the_price_of_a_void_answer_goes_back(paid: ProviderHouse, redeemed: bool) -> None:
    dispute = _PaidDispute(paid)
    provider, customer = dispute.provider, dispute.customer
    if redeemed:
        assert redeem(provider) == 1
    dispute.open()
    dispute.defend()
    right = Executor(paid.serving.model).generate(paid.serving.model.tokenizer.encode("dispute this"), 1)
    position = dispute.row.prompt_length - 1
    prompt = unpack_token_ids(dispute.row.prompt_ids)
    dispute.move(
        dispute.games.challenge_head(
            dispute.game_id, dispute.posted, position, right.ids[0], prompt, [1, 2, 3]
        )
    )
    dispute.defend()
    assert dispute.settle() == ResponseState.VOID
    batch = provider.journal.batch(dispute.row.batch_id)
    assert batch is not None and dispute.row.signature is not None
    receipt = provider.desk.receipt(batch, dispute.row)
    assert (receipt.payer, receipt.fee_wei) == (customer.address, PRICE)
    signature = bytes.fromhex(dispute.row.signature[2:])
    facts = check_receipt(paid.contracts, receipt, signature, provider.address, customer.address)
    assert (facts["payer"], facts["fee_wei"]) == (customer.address, str(PRICE))
    with pytest.raises(ReceiptNotValidError, match="pay this provider no more"):
        check_receipt(paid.contracts, receipt, signature, provider.address, provider.address)
    customer.send(paid.contracts.payments.refund(receipt, signature))
    channel = customer.channel
    if redeemed:
        assert (channel.balance, channel.credit) == (5 * PRICE, 0)
    else:
        assert (channel.balance, channel.credit) == (5 * PRICE, PRICE)  # its next redemption is waived
    assert channel.payable == 5 * PRICE + PRICE
    see(provider)
    pay(provider, customer, 2 * PRICE)  # the provider goes on taking vouchers as before


class _PaidDispute(Dispute):
    """A dispute about a wrong answer that somebody paid for."""

    def __init__(self, house: ProviderHouse) -> None:
        self.house, self.games = house, house.contracts.game
        self.provider = house.start()
        self.challenger = house.other(2)
        self.customer = Customer.of(house, 5 * PRICE)
        see(self.provider)
        payment = pay(self.provider, self.customer, PRICE)
        prompt = house.serving.model.tokenizer.encode("dispute this")
        self.issued = self.provider.desk.issue(prompt, [1, 2, 3], 3, "length", payment=payment)
        house.pass_time(6)
        self.provider.follower.step()
        self.provider.committer.step()


@pytest.mark.long
@pytest.mark.timeout(180)
def test_a_kill_at_any_durable_step_loses_and_repeats_no_payment(
    tmp_path: Path,
    local_chain: LocalChain,
    contracts: ProtocolContracts,
    serving: CommittedServing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("contracts.bindings.journal.SIGNING_S", 0.2)
    killed_at: list[str] = []
    for number in range(1, 60):
        database = tmp_path / f"life-{number}" / "node.sqlite"
        database.parent.mkdir()
        house = charging(make_house(database, local_chain, contracts, serving))
        customer = Customer.of(house, 10 * PRICE)
        receipts: list[str] = []
        reaper = Reaper(number)
        try:
            with reaper.watching(house):
                _live(house, customer, receipts)
        except Killed:
            killed_at.append(reaper.where)
        provider = _live(house, customer, receipts)
        rows = [
            row
            for batch in provider.journal.batches()
            for row in provider.journal.responses_of(batch.id or 0)
        ]
        # Every placed answer cost its price once, and nothing else cost anything.
        standing = provider.book.standing(customer.address, ETHER_TOKEN)
        assert standing.spent == len(rows) * PRICE, reaper.where
        assert {row.payer for row in rows} == {customer.address}
        assert {row.receipt_id for row in rows} >= set(receipts)
        assert customer.channel.redeemed == standing.cumulative == standing.spent, reaper.where
        assert customer.channel.balance == 10 * PRICE - standing.spent
        if not reaper.where:
            break
    else:
        pytest.fail("no life passed without a kill")
    assert {"commit", "before sending", "after sending", "after signing"} <= set(killed_at)


def _live(house: ProviderHouse, customer: Customer, receipts: list[str]) -> Provider:
    """Start, answer until two receipts are out, each for the amount that the provider says is due, and redeem."""
    provider = house.start()
    see(provider)
    assert provider.service.till is not None
    while len(receipts) < 2:
        due = provider.service.till.due(customer.address)
        payment = pay(provider, customer, due.cumulative)
        answer = provider.desk.issue([65, 66, len(receipts)], [67, 68], 2, "length", payment=payment)
        receipts.append(answer.receipt_id)
    redeem(provider)
    return provider
