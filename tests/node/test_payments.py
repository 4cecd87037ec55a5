"""Answers for vouchers: who is served, who gets 402, and what becomes of the price."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from contracts.bindings.payments import Voucher
from contracts.bindings.settings import SettingsError
from contracts.protocol.response import ETHER_TOKEN
from node.api.answer_shapes import TEXT
from node.api.answering import Wish, events, submit
from node.clients import NOBODY
from node.errors import NotReadyError, PaymentRefusedError, VoucherTooLowError
from node.payments.channels import ChannelView
from node.payments.redeemer import Redeemer
from node.payments.wire import SignedVoucher, payment_header, read_payment, unpack
from node.settings import load_settings
from node.store import Journal, PaymentAccountRow, PaymentBook, ResponseRow, open_engine
from node.store.journal import BatchTerms, ReceiptNames
from prover.model.weights import IntegerModel
from prover.program import OutOfRange
from tests.databases import postgres_url, url

from .conftest import LEDGER, LocalNode, LocalSigner, build_node
from .paying import PRICE, PaidDesk, Payer, due_of

__all__ = ["postgres_url", "url"]

ASK = {"model": "tiny", "prompt": "abc", "max_tokens": 2}
OTHER = "0x" + "11" * 20


@pytest.fixture
def provider() -> LocalSigner:
    return LocalSigner()


@pytest.fixture
def book(tmp_path: Path) -> PaymentBook:
    return PaymentBook(open_engine(f"sqlite:///{tmp_path}/node.db"))


@pytest.fixture
def desk(journal: Journal, book: PaymentBook, provider: LocalSigner) -> PaidDesk:
    return PaidDesk(journal, book, provider.address)


@pytest.fixture
def payer(desk: PaidDesk) -> Payer:
    payer = Payer(desk.provider)
    desk.fund(payer.address, 10 * PRICE)
    return payer


@pytest.fixture
def node(tiny: IntegerModel, journal: Journal, desk: PaidDesk, provider: LocalSigner) -> LocalNode:
    return build_node(tiny, journal, signer=provider, till=desk.till)


@pytest.fixture
def client(node: LocalNode) -> Iterator[TestClient]:
    with TestClient(node.app, raise_server_exceptions=False) as client:
        yield client


def spent(desk: PaidDesk, payer: Payer) -> int:
    return desk.book.standing(payer.address, ETHER_TOKEN).spent


# --- who is served


def test_without_a_voucher_there_are_terms_instead_of_an_answer(client: TestClient, desk: PaidDesk) -> None:
    answer = client.post("/v1/completions", json=ASK)
    assert answer.status_code == 402
    body = answer.json()
    assert body["error"]["code"] == "payment_required" and body["error"]["type"] == "payment_error"
    assert body["x402Version"] == 1 and len(body["accepts"]) == 1
    terms = body["accepts"][0]
    assert (terms["network"], terms["payTo"], terms["asset"]) == ("eip155:31337", desk.provider, ETHER_TOKEN)
    assert (terms["maxAmountRequired"], terms["extra"]["payments"]) == (str(PRICE), LEDGER)
    assert unpack(answer.headers["x-payment-terms"], "terms")["accepts"] == body["accepts"]
    assert client.get("/v1/payment-terms").json()["required"] is True
    assert client.get("/v1/payment-terms", params={"payer": "0x12"}).status_code == 400


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_voucher_pays_for_an_answer_whose_receipt_names_payer_and_price(
    client: TestClient, node: LocalNode, payer: Payer, path: str, streamed: bool
) -> None:
    body: dict[str, Any] = {"model": "tiny", "max_tokens": 2, "stream": streamed}
    body |= (
        {"prompt": "abc"} if path == "/v1/completions" else {"messages": [{"role": "user", "content": "a"}]}
    )
    answer = client.post(path, json=body, headers=payer.headers(PRICE))
    assert answer.status_code == 200, answer.text
    taken = unpack(answer.headers["x-payment-response"], "taken")
    assert taken["success"] and taken["payer"] == payer.address and taken["amount"] == str(PRICE)
    (batch,) = node.journal.batches()
    (row,) = node.journal.responses_of(batch.id or 0)
    receipt = client.get(f"/v1/receipts/{row.receipt_id}").json()["receipt"]
    assert (receipt["payer"], receipt["fee_wei"], receipt["fee_token"]) == (
        payer.address,
        str(PRICE),
        ETHER_TOKEN,
    )


def test_the_same_voucher_pays_once(client: TestClient, desk: PaidDesk, payer: Payer) -> None:
    assert client.post("/v1/completions", json=ASK, headers=payer.headers(PRICE)).status_code == 200
    again = client.post("/v1/completions", json=ASK, headers=payer.headers(PRICE))
    assert again.status_code == 402 and again.json()["error"]["code"] == "voucher_too_low"
    assert due_of(again.headers["x-payment-terms"]) == str(2 * PRICE)
    lower = client.post("/v1/completions", json=ASK, headers=payer.headers(PRICE - 1))
    assert lower.status_code == 402 and due_of(lower.headers["x-payment-terms"]) == str(2 * PRICE)
    assert client.post("/v1/completions", json=ASK, headers=payer.headers(2 * PRICE)).status_code == 200
    assert spent(desk, payer) == 2 * PRICE


def test_a_voucher_ahead_of_time_pays_for_several_answers(client: TestClient, payer: Payer) -> None:
    for _ in range(3):
        assert client.post("/v1/completions", json=ASK, headers=payer.headers(3 * PRICE)).status_code == 200
    assert client.post("/v1/completions", json=ASK, headers=payer.headers(3 * PRICE)).status_code == 402
    terms = client.get("/v1/payment-terms", params={"payer": payer.address}).json()["accepts"][0]["extra"]
    assert (terms["cumulativeDue"], terms["credit"], terms["channelPayable"]) == ("400", "0", "1000")


def test_who_does_not_have_to_pay_may(
    tiny: IntegerModel, journal: Journal, book: PaymentBook, provider: LocalSigner
) -> None:
    desk = PaidDesk(journal, book, provider.address, required=False)
    payer = Payer(provider.address)
    desk.fund(payer.address, PRICE)
    node = build_node(tiny, journal, signer=provider, till=desk.till)
    with TestClient(node.app) as client:
        assert client.post("/v1/completions", json=ASK).status_code == 200
        assert client.post("/v1/completions", json=ASK, headers=payer.headers(PRICE)).status_code == 200
        assert client.post("/v1/completions", json=ASK, headers=payer.headers(PRICE)).status_code == 402


def test_a_free_provider_says_so(tiny: IntegerModel, journal: Journal) -> None:
    with TestClient(build_node(tiny, journal).app) as client:
        assert client.get("/v1/payment-terms").json() == {"required": False, "accepts": []}


def test_a_price_is_needed_to_require_payment() -> None:
    with pytest.raises(SettingsError, match="costs nothing"):
        load_settings(require_payment=True)
    with pytest.raises(SettingsError, match="2\\^112"):
        load_settings(fee_wei=2**112)
    assert not load_settings().require_payment


# --- hostile vouchers


def _changed(header: str, change: Callable[[dict[str, Any]], object]) -> str:
    value = json.loads(base64.b64decode(header))
    change(value)
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    ("forge", "code", "says"),
    [
        (lambda p: "A" * 5000, "invalid_payment", "longer than"),
        (lambda p: "no base64!", "invalid_payment", "base64"),
        (lambda p: base64.b64encode(b"[" * 3000).decode(), "invalid_payment", "X-Payment"),
        (lambda p: base64.b64encode(b"{}").decode(), "invalid_payment", "X-Payment"),
        (lambda p: p.header(2**112), "invalid_payment", "2^112"),
        (lambda p: _changed(p.header(PRICE), lambda v: v["payload"].update(cumulative="1e3")), "invalid_payment", "cumulative"),
        (lambda p: _changed(p.header(PRICE), lambda v: v["payload"].update(cumulative=100)), "invalid_payment", "cumulative"),
        (lambda p: _changed(p.header(PRICE), lambda v: v["payload"].update(cumulative="-5")), "invalid_payment", "cumulative"),
        (lambda p: _changed(p.header(PRICE), lambda v: v.update(x402Version=2)), "invalid_payment", "x402"),
        (lambda p: _changed(p.header(PRICE), lambda v: v.update(scheme="exact")), "invalid_payment", "scheme"),
        (lambda p: p.header(PRICE, chain_id=1), "wrong_terms", "chain 1"),
        (lambda p: p.header(PRICE, payments=OTHER), "wrong_terms", "payments contract"),
        (lambda p: p.header(PRICE, provider=OTHER), "wrong_terms", "provider"),
        (lambda p: p.header(PRICE, token=OTHER), "wrong_terms", "token"),
        (lambda p: _changed(p.header(PRICE, chain_id=1), lambda v: v.update(network="eip155:31337")), "invalid_signature", "signed"),
        (lambda p: _changed(p.header(PRICE), lambda v: v["payload"].update(cumulative="200")), "invalid_signature", "signed"),
        (lambda p: _changed(p.header(PRICE), lambda v: v["payload"].update(signature="0x00")), "invalid_signature", "signed"),
        (lambda p: Payer(p.provider).header(PRICE, payer=p.address), "invalid_signature", "signed"),
        (lambda p: Payer(p.provider).header(PRICE), "nothing_deposited", "deposit"),
        (lambda p: p.header(10 * PRICE + 1), "deposit_too_small", "at most"),
    ],
)  # fmt: skip
def test_a_bad_voucher_gets_one_clear_refusal(
    client: TestClient, desk: PaidDesk, payer: Payer, forge: Callable[[Payer], str], code: str, says: str
) -> None:
    answer = client.post("/v1/completions", json=ASK, headers={"X-Payment": forge(payer)})
    assert answer.status_code == 402, answer.text
    error = answer.json()["error"]
    assert error["code"] == code and says in error["message"]
    assert answer.json()["accepts"][0]["maxAmountRequired"] == str(PRICE)
    assert desk.book.accounts() == []
    assert client.post("/v1/completions", json=ASK, headers=payer.headers(PRICE)).status_code == 200


def test_a_signature_that_the_contract_would_not_take_is_not_taken(client: TestClient, payer: Payer) -> None:
    """The other s of the same signature recovers the same key, but OpenZeppelin's ECDSA refuses it."""
    good = payer.signed(PRICE)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = order - int.from_bytes(good.signature[32:64])
    high = good.signature[:32] + s.to_bytes(32) + bytes([55 - good.signature[64]])
    low_v = good.signature[:64] + bytes([good.signature[64] - 27])
    for signature in (high, low_v, good.signature + b"\0"):
        header = payment_header(SignedVoucher(good.chain_id, good.payments, good.voucher, signature))
        answer = client.post("/v1/completions", json=ASK, headers={"X-Payment": header})
        assert answer.status_code == 402 and answer.json()["error"]["code"] == "invalid_signature"


def test_two_headers_are_refused(client: TestClient, payer: Payer) -> None:
    headers = [("X-Payment", payer.header(PRICE)), ("X-Payment", payer.header(2 * PRICE))]
    answer = client.post("/v1/completions", json=ASK, headers=headers)
    assert answer.status_code == 402 and answer.json()["error"]["code"] == "invalid_payment"


def test_payers_without_deposits_cost_no_reads(client: TestClient, desk: PaidDesk, payer: Payer) -> None:
    for _ in range(20):
        stranger = Payer(desk.provider)
        for forged in (stranger.header(PRICE), stranger.header(PRICE, payer=OTHER)):
            assert client.post("/v1/completions", json=ASK, headers={"X-Payment": forged}).status_code == 402
    assert desk.chain.reads == 0
    for number in range(1, 6):
        client.post("/v1/completions", json=ASK, headers=payer.headers(number * PRICE))
    for _ in range(20):  # strangers' signatures under a payer's name
        client.post(
            "/v1/completions", json=ASK, headers=Payer(desk.provider).headers(PRICE, payer=payer.address)
        )
    assert desk.chain.reads == 1


def test_a_payers_contract_is_asked_at_a_bounded_rate(desk: PaidDesk, payer: Payer) -> None:
    desk.chain.contracts[payer.address] = b"yes"
    voucher = payer.voucher(PRICE)
    assert desk.channels.is_signed_by_contract(voucher, b"yes")
    assert not desk.channels.is_signed_by_contract(voucher, b"no")
    with pytest.raises(NotReadyError):
        for _ in range(100):
            desk.channels.is_signed_by_contract(voucher, b"no")
    assert desk.chain.reads < 10
    desk.now += 10
    assert desk.channels.is_signed_by_contract(voucher, b"yes")


def test_a_payers_contract_is_believed_only_where_the_provider_says_so(
    journal: Journal, book: PaymentBook, payer: Payer, desk: PaidDesk
) -> None:
    lenient = PaidDesk(journal, book, desk.provider, contract_payers=True)
    for each in (lenient, desk):
        each.channels.observe()
        each.chain.contracts[payer.address] = b"yes"
        each.fund(payer.address, 10 * PRICE)

    def header(signature: bytes) -> str:
        signed = payer.signed(PRICE)
        return payment_header(SignedVoucher(signed.chain_id, signed.payments, signed.voucher, signature))

    with pytest.raises(PaymentRefusedError, match="authorise-key"):
        desk.till.take([header(b"yes")])
    with pytest.raises(PaymentRefusedError, match="authorise-key"):
        lenient.till.take([header(b"no")])
    assert lenient.till.take([header(b"yes")]) is not None
    (account,) = book.accounts()
    assert (account.key, account.signature) == ("", "0x" + b"yes".hex())


def test_an_authorised_key_pays_until_it_is_revoked(client: TestClient, desk: PaidDesk, payer: Payer) -> None:
    key = Payer(desk.provider)

    def ask(cumulative: int) -> int:
        headers = key.headers(cumulative, payer=payer.address)
        return client.post("/v1/completions", json=ASK, headers=headers).status_code

    assert ask(PRICE) == 402
    desk.authorise(payer.address, key.address)
    assert ask(PRICE) == 200
    desk.authorise(payer.address, key.address, until=10**10)
    assert ask(2 * PRICE) == 402  # it still counts for a while, but perhaps not for long enough to redeem
    assert desk.channels.deadline(payer.address, ETHER_TOKEN, key.address) == 10**10


def test_a_withdrawal_counts_at_once(client: TestClient, desk: PaidDesk, payer: Payer) -> None:
    assert client.post("/v1/completions", json=ASK, headers=payer.headers(PRICE)).status_code == 200
    desk.chain.channels[payer.address, ETHER_TOKEN] = ChannelView(PRICE, 0)
    desk.say(
        "WithdrawalRequested", payer=payer.address, provider=desk.provider, token=ETHER_TOKEN,
        amount=9 * PRICE, withdrawable_at=77,
    )  # fmt: skip
    refused = client.post("/v1/completions", json=ASK, headers=payer.headers(2 * PRICE))
    assert refused.json()["error"]["code"] == "deposit_too_small"
    assert desk.channels.deadline(payer.address, ETHER_TOKEN, payer.address) == 77


def test_a_lost_database_does_not_serve_what_is_redeemed(
    client: TestClient, desk: PaidDesk, payer: Payer
) -> None:
    desk.fund(payer.address, 10 * PRICE, redeemed=3 * PRICE)
    old = client.post("/v1/completions", json=ASK, headers=payer.headers(3 * PRICE))
    assert old.status_code == 402 and due_of(old.headers["x-payment-terms"]) == str(4 * PRICE)
    assert client.post("/v1/completions", json=ASK, headers=payer.headers(4 * PRICE)).status_code == 200


# --- what becomes of the price


class Stuck:
    """A generator in the test's hands."""

    def __init__(self) -> None:
        self.go, self.begun, self.fail = threading.Event(), threading.Event(), False

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        *,
        sampling: Any = None,
        on_token: Any = None,
        cancelled: Any = None,
    ) -> Any:
        self.begun.set()
        assert self.go.wait(20)
        if self.fail:
            raise OutOfRange("tensor", 0, 0, 0, 0)
        for token in (65, 66):
            on_token(token)
        return SimpleNamespace(ids=[65, 66], finish_reason="length")


@pytest.fixture
def stuck() -> Stuck:
    return Stuck()


@pytest.fixture
def slow(
    tiny: IntegerModel, journal: Journal, desk: PaidDesk, provider: LocalSigner, stuck: Stuck
) -> Iterator[TestClient]:
    node = build_node(tiny, journal, signer=provider, till=desk.till, generator=stuck, capacity=1)
    with TestClient(node.app, raise_server_exceptions=False) as client:
        yield client
        stuck.go.set()


def test_a_request_that_is_malformed_or_not_ready_takes_nothing(
    client: TestClient, node: LocalNode, desk: PaidDesk, payer: Payer
) -> None:
    headers = payer.headers(PRICE)
    for bad in ({"max_tokens": 10**6}, {"prompt": [10**6]}, {"prompt": ""}, {"nonsense": 1}, {"model": "x"}):
        assert client.post("/v1/completions", json=ASK | bad, headers=headers).status_code in (400, 404)
    node.unready.append("no stake")
    assert client.post("/v1/completions", json=ASK, headers=headers).status_code == 503
    node.unready.clear()
    assert spent(desk, payer) == 0
    assert client.post("/v1/completions", json=ASK, headers=headers).status_code == 200


@pytest.mark.parametrize("streamed", [False, True])
def test_what_leaves_the_range_costs_nothing(
    slow: TestClient, stuck: Stuck, desk: PaidDesk, payer: Payer, streamed: bool
) -> None:
    stuck.fail = True
    stuck.go.set()
    body = ASK | {"stream": streamed}
    assert slow.post("/v1/completions", json=body, headers=payer.headers(PRICE)).status_code == 422
    assert spent(desk, payer) == 0
    stuck.fail = False
    assert slow.post("/v1/completions", json=body, headers=payer.headers(PRICE)).status_code == 200


@pytest.mark.parametrize(("leaves", "price"), [(True, PRICE), (False, 0)])
def test_who_leaves_after_reading_has_paid_and_whom_the_node_fails_has_not(
    node: LocalNode, desk: PaidDesk, payer: Payer, leaves: bool, price: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk() -> None:
        node.service.queue.start()
        async with node.service.paid([payer.header(PRICE)]) as payment:
            wish = Wish(0, [65, 66], 8, None)
            choices = await submit(node.service, TEXT, "cmpl-1", [wish], (), None, payment, NOBODY)
            stream = events(node.service, TEXT, "cmpl-1", choices, False)
            assert "data:" in await anext(stream)
            if leaves:
                await stream.aclose()
            else:
                monkeypatch.setattr(node.service.desk, "issue", fail)
                assert "error" in [event async for event in stream][-1]
        await asyncio.get_running_loop().shutdown_default_executor()
        node.service.queue.close()

    def fail(*_: object, **__: object) -> None:
        raise NotReadyError("no database")

    asyncio.run(talk())
    assert spent(desk, payer) == price
    assert desk.book.give_all_back() == 0  # settled, not left for the next start


def test_one_voucher_pays_one_answer(client: TestClient, desk: PaidDesk, payer: Payer) -> None:
    for several in ({"n": 2}, {"prompt": ["a", "b"]}):
        answer = client.post("/v1/completions", json=ASK | several, headers=payer.headers(PRICE))
        assert answer.status_code == 400 and answer.json()["error"]["param"] == next(iter(several))
    assert spent(desk, payer) == 0


def test_a_full_queue_costs_nothing(slow: TestClient, stuck: Stuck, desk: PaidDesk, payer: Payer) -> None:
    def ask(cumulative: int) -> int:
        return slow.post("/v1/completions", json=ASK, headers=payer.headers(cumulative)).status_code

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ask, PRICE)
        assert stuck.begun.wait(20)
        second = pool.submit(ask, 2 * PRICE)
        while spent(desk, payer) < 2 * PRICE:
            pass
        assert ask(3 * PRICE) == 429
        assert spent(desk, payer) == 2 * PRICE
        stuck.go.set()
        assert (first.result(), second.result()) == (200, 200)
    assert ask(3 * PRICE) == 200


def test_two_requests_with_one_increase_get_one_answer(
    slow: TestClient, stuck: Stuck, desk: PaidDesk, payer: Payer
) -> None:
    def ask(_: int) -> int:
        return slow.post("/v1/completions", json=ASK, headers=payer.headers(PRICE)).status_code

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, number) for number in range(2)]
        assert stuck.begun.wait(20)
        stuck.go.set()
        assert sorted(each.result() for each in asked) == [200, 402]
    assert spent(desk, payer) == PRICE


# --- the book, on both databases


def _voucher(cumulative: int, payer: str = OTHER) -> Voucher:
    return Voucher(payer, "0x" + "22" * 20, ETHER_TOKEN, cumulative)


def _place(journal: Journal, name: str, hold: str) -> None:
    journal.place(
        ResponseRow(
            id=name, batch_id=0, index_in_batch=0, receipt_id="", leaf="", prompt_ids=b"\0\0\0\1",
            output_ids=b"\0\0\0\2", max_tokens=1, finish_reason="length", answered_at=1,
        ),
        model_id="0x" + "11" * 32, now=1, terms=BatchTerms(10, 60, 100), draw_salt=lambda: f"0x{name:0>64}",
        name=lambda batch, response: ReceiptNames(f"0xleaf{name}", f"0xreceipt{name}"), hold=hold,
    )  # fmt: skip


def test_many_threads_never_share_an_increase(url: str) -> None:
    books = [
        PaymentBook(open_engine(url)) for _ in range(2)
    ]  # two processes, as far as the database can tell

    def reserve(number: int) -> str | None:
        try:
            return books[number % 2].reserve(_voucher(5 * PRICE), b"\1", OTHER, PRICE, 0)
        except VoucherTooLowError:
            return None

    with ThreadPoolExecutor(8) as pool:
        holds = list(pool.map(reserve, range(16)))
    assert sum(hold is not None for hold in holds) == 5
    assert books[0].standing(OTHER, ETHER_TOKEN).credit == 0


# SQLite has one writer, from the beginning of its transaction.
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_attack_a_first_voucher_at_two_processes_at_once_is_spent_once(url: str) -> None:
    """The account is opened by one while the other has found none, and spent from before the other writes: its price is not forgotten."""
    slow_engine = open_engine(url)
    slow, quick = PaymentBook(slow_engine), PaymentBook(open_engine(url))
    holds, updates = list[str](), 0

    def interrupt(connection: object, cursor: object, statement: str, *_: object) -> None:
        """Behind the first update, which finds nothing, and behind a look at what was opened since then."""
        nonlocal updates
        updates += statement.startswith("UPDATE payment_account")
        if updates == 1 and statement.startswith(("UPDATE payment_account", "SELECT payment_account")):
            holds.append(quick.reserve(_voucher(3 * PRICE), b"\1", OTHER, PRICE, 0))

    event.listen(slow_engine, "after_cursor_execute", interrupt)
    holds.append(slow.reserve(_voucher(3 * PRICE), b"\1", OTHER, PRICE, 0))
    event.remove(slow_engine, "after_cursor_execute", interrupt)
    assert quick.standing(OTHER, ETHER_TOKEN).spent == len(holds) * PRICE
    with pytest.raises(VoucherTooLowError):
        for _ in range(4 - len(holds)):
            quick.reserve(_voucher(3 * PRICE), b"\1", OTHER, PRICE, 0)


def test_a_price_goes_to_an_answer_or_back_but_not_both(url: str) -> None:
    engine = open_engine(url)
    book, journal = PaymentBook(engine), Journal(engine)
    first = book.reserve(_voucher(PRICE), b"\1", OTHER, PRICE, 0)
    assert book.give_back(first) and not book.give_back(first)
    with pytest.raises(NotReadyError, match="went back"):
        _place(journal, "a", first)
    assert journal.response_count() == 0 and book.standing(OTHER, ETHER_TOKEN).spent == 0
    second = book.reserve(_voucher(PRICE), b"\1", OTHER, PRICE, 0)
    _place(journal, "b", second)
    assert not book.give_back(second)
    assert book.standing(OTHER, ETHER_TOKEN).spent == PRICE


def test_a_start_gives_back_what_the_last_stop_cut_off(url: str) -> None:
    engine = open_engine(url)
    book, journal = PaymentBook(engine), Journal(engine)
    _place(journal, "a", book.reserve(_voucher(3 * PRICE), b"\1", OTHER, PRICE, 0))
    book.reserve(_voucher(3 * PRICE), b"\1", OTHER, PRICE, 0)
    book.keep(book.reserve(_voucher(3 * PRICE), b"\1", OTHER, PRICE, 0))
    assert PaymentBook(open_engine(url)).give_all_back() == 1
    assert book.standing(OTHER, ETHER_TOKEN).spent == 2 * PRICE
    assert book.give_all_back() == 0


def test_a_voucher_that_is_public_pays_for_nothing_more(url: str) -> None:
    """It is in a transaction: whoever read it there could use the payer's credit up."""
    book = PaymentBook(open_engine(url))
    book.reserve(_voucher(5 * PRICE), b"\1", OTHER, PRICE, 0)
    book.note_published(book.unredeemed())
    with pytest.raises(VoucherTooLowError, match="501 is due"):
        book.reserve(_voucher(5 * PRICE), b"\1", OTHER, PRICE, 0)
    book.reserve(_voucher(5 * PRICE + 1), b"\2", OTHER, PRICE, 0)
    book.reserve(_voucher(5 * PRICE + 1), b"\2", OTHER, PRICE, 0)
    with pytest.raises(VoucherTooLowError, match="502 is due"):  # on chain by somebody else's hand
        book.reserve(_voucher(5 * PRICE + 1), b"\2", OTHER, PRICE, 5 * PRICE + 1)
    assert book.standing(OTHER, ETHER_TOKEN).spent == 3 * PRICE


def test_the_best_voucher_stays(url: str) -> None:
    book = PaymentBook(open_engine(url))
    book.reserve(_voucher(5 * PRICE), b"\5", OTHER, PRICE, 0)
    book.reserve(_voucher(2 * PRICE), b"\2", OTHER, PRICE, 0)
    (account,) = book.unredeemed()
    assert (account.cumulative, account.signature, account.spent) == ("500", "0x05", "200")
    book.note_redeemed(OTHER, ETHER_TOKEN, 5 * PRICE)
    assert book.unredeemed() == []


class Redeemed:
    """A contract that pays whatever is asked, and remembers the bulks."""

    def __init__(self) -> None:
        self.bulks: list[list[int]] = []
        self.provider = "0x" + "22" * 20

    def redeemable(self, vouchers: Sequence[tuple[Voucher, bytes]]) -> list[int]:
        return [voucher.cumulative for voucher, _ in vouchers]

    def redeem(self, vouchers: Sequence[tuple[Voucher, bytes]]) -> list[int]:
        return self.redeemable(vouchers)

    def send(self, call: list[int], _name: str) -> None:
        self.bulks.append(call)

    def channel(self, *_: str) -> SimpleNamespace:
        return SimpleNamespace(redeemed=1)


def test_bulks_fit_a_block_and_bring_enough(book: PaymentBook, desk: PaidDesk) -> None:
    chain: Any = Redeemed()
    redeemer = Redeemer(
        chain,
        book,
        desk.channels,
        chain,
        now=lambda: 0,
        is_playing=lambda: False,
        least=0,
        interval_s=0,
        hurry_s=0,
    )

    def rows(count: int, key: str) -> list[PaymentAccountRow]:
        return [
            PaymentAccountRow(
                payer=f"0x{number:040x}", token=ETHER_TOKEN, cumulative="10", signature="0x01", key=key
            )
            for number in range(count)
        ]

    for row in rows(300, OTHER):
        book.reserve(_voucher(10, row.payer), b"\1", row.key, 10, 0)
    redeemer.redeem(rows(300, OTHER), least=1000)
    assert [len(bulk) for bulk in chain.bulks] == [256]  # the rest would bring 440
    redeemer.redeem(rows(300, OTHER), least=440)
    assert [len(bulk) for bulk in chain.bulks] == [256, 256, 44]
    redeemer.redeem(rows(100, ""), least=1)
    assert [len(bulk) for bulk in chain.bulks[3:]] == [64, 36]
    assert book.standing(f"0x{7:040x}", ETHER_TOKEN).published == 10


def test_a_header_survives_the_way(desk: PaidDesk) -> None:
    signed = Payer(desk.provider).signed(2**112 - 1)
    assert read_payment(payment_header(signed)) == signed
