"""The payer's side: OpenAI's own client pays, keeps to its limits, and never promises an amount twice."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import uvicorn

from contracts.protocol.response import ETHER_TOKEN
from devnet.anvil import free_port
from node.errors import PaymentTermsError, SpendingLimitError, WalletError
from node.payments.client import VoucherAuth
from node.payments.wallet import Balance, Wallet
from node.payments.wire import Due, Terms, pack, read_payment, terms_body
from node.store import Journal, PaymentBook, open_engine
from prover.model.weights import IntegerModel

from .conftest import LocalNode, LocalSigner, build_node
from .paying import PRICE, PaidDesk

OTHER = "0x" + "11" * 20
ASK: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 2}


@pytest.fixture
def desk(journal: Journal, tmp_path: Path) -> PaidDesk:
    book = PaymentBook(open_engine(f"sqlite:///{tmp_path}/node.db"))
    return PaidDesk(journal, book, LocalSigner().address)


@pytest.fixture
def node(tiny: IntegerModel, journal: Journal, desk: PaidDesk) -> LocalNode:
    return build_node(tiny, journal, till=desk.till, capacity=16)


@pytest.fixture
def url(node: LocalNode) -> Iterator[str]:
    """A server on a port, as clients meet it."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(node.app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    thread.join()


@pytest.fixture
def payer(desk: PaidDesk) -> LocalSigner:
    payer = LocalSigner()
    desk.fund(payer.address, 100 * PRICE)
    return payer


def client_of(url: str, signer: LocalSigner, desk: PaidDesk, wallet: Path, **limits: Any) -> openai.OpenAI:
    terms = {"terms": desk.till.terms, "most_in_all": 100 * PRICE} | limits
    auth = VoucherAuth(signer, wallet, url=url, **terms)
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0, http_client=httpx.Client(auth=auth))


def spent(desk: PaidDesk, payer: LocalSigner) -> int:
    return desk.book.standing(payer.address, ETHER_TOKEN).spent


def test_the_official_client_pays_for_each_answer_once(
    url: str, desk: PaidDesk, payer: LocalSigner, tmp_path: Path
) -> None:
    client = client_of(url, payer, desk, tmp_path / "wallet")
    for number in range(1, 4):
        assert client.chat.completions.create(**ASK).choices[0].message.content is not None
        assert spent(desk, payer) == number * PRICE
    chunks = list(client.chat.completions.create(**ASK, stream=True))
    assert len(chunks) > 1
    again = client_of(url, payer, desk, tmp_path / "wallet")  # another program, the same file
    again.completions.create(model="tiny", prompt="abc", max_tokens=2)
    standing = desk.book.standing(payer.address, ETHER_TOKEN)
    assert (standing.spent, standing.credit) == (5 * PRICE, 0)


def test_the_asynchronous_client_pays_too(
    url: str, desk: PaidDesk, payer: LocalSigner, tmp_path: Path
) -> None:
    auth = VoucherAuth(payer, tmp_path / "wallet", url=url, terms=desk.till.terms, most_in_all=100 * PRICE)

    async def talk() -> None:
        async with httpx.AsyncClient(auth=auth) as http:
            client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http)
            await asyncio.gather(*(client.chat.completions.create(**ASK) for _ in range(3)))

    asyncio.run(talk())
    assert spent(desk, payer) == 3 * PRICE


def test_requests_at_the_same_time_all_pay(
    url: str, desk: PaidDesk, payer: LocalSigner, tmp_path: Path
) -> None:
    client = client_of(url, payer, desk, tmp_path / "wallet")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: client.chat.completions.create(**ASK), range(12)))
    assert len(answers) == 12
    standing = desk.book.standing(payer.address, ETHER_TOKEN)
    assert (standing.spent, standing.credit) == (12 * PRICE, 0)


def test_what_failed_pays_for_the_next(
    url: str, node: LocalNode, desk: PaidDesk, payer: LocalSigner, tmp_path: Path
) -> None:
    client = client_of(url, payer, desk, tmp_path / "wallet")
    client.chat.completions.create(**ASK)
    node.unready.append("no stake")
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(**ASK)
    node.unready.clear()
    client.chat.completions.create(**ASK)
    standing = desk.book.standing(payer.address, ETHER_TOKEN)
    assert (standing.spent, standing.credit) == (2 * PRICE, 0)


def test_a_key_pays_for_who_authorised_it(
    url: str, desk: PaidDesk, payer: LocalSigner, tmp_path: Path
) -> None:
    key = LocalSigner()
    desk.authorise(payer.address, key.address)
    client_of(url, key, desk, tmp_path / "wallet", payer=payer.address).chat.completions.create(**ASK)
    assert spent(desk, payer) == PRICE


def test_an_empty_channel_is_an_error_of_the_answer(url: str, desk: PaidDesk, tmp_path: Path) -> None:
    poor = LocalSigner()
    with pytest.raises(openai.APIStatusError, match="no confirmed deposit") as caught:
        client_of(url, poor, desk, tmp_path / "wallet").chat.completions.create(**ASK)
    assert caught.value.status_code == 402


def test_limits_hold(url: str, desk: PaidDesk, payer: LocalSigner, tmp_path: Path) -> None:
    cheap = replace(desk.till.terms, price=PRICE - 1)
    with pytest.raises(SpendingLimitError, match="limit is 99"):
        client_of(url, payer, desk, tmp_path / "a", terms=cheap).chat.completions.create(**ASK)
    client = client_of(url, payer, desk, tmp_path / "b", most_in_all=2 * PRICE)
    for _ in range(2):
        client.chat.completions.create(**ASK)
    with pytest.raises(SpendingLimitError, match="more than the limit"):
        client.chat.completions.create(**ASK)
    assert spent(desk, payer) == 2 * PRICE


# --- a dishonest provider


class Liar:
    """Answers 402 with whatever terms a test wants, and keeps what it was sent."""

    def __init__(self, *bodies: dict[str, Any] | None) -> None:
        self.bodies, self.vouchers = list(bodies), []  # type: ignore[var-annotated]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if (header := request.headers.get("x-payment")) is not None:
            self.vouchers.append(read_payment(header).voucher.cumulative)
        body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        return httpx.Response(402, headers={} if body is None else {"X-Payment-Terms": pack(body)})


AGREED = Terms(31337, "0x" + "33" * 20, "0x" + "44" * 20, ETHER_TOKEN, PRICE)


def ask(liar: Liar, wallet: Path, signer: LocalSigner, most_in_all: int = 100 * PRICE) -> httpx.Response:
    auth = VoucherAuth(signer, wallet, url="http://liar/v1", terms=AGREED, most_in_all=most_in_all)
    with httpx.Client(auth=auth, transport=httpx.MockTransport(liar)) as client:
        return client.post("http://liar/v1/completions", json={})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"chain_id": 1}, PaymentTermsError),
        ({"payments": OTHER}, PaymentTermsError),
        ({"provider": OTHER}, PaymentTermsError),
        ({"token": OTHER}, PaymentTermsError),
        ({"price": PRICE + 1}, SpendingLimitError),
        ({"price": 0}, SpendingLimitError),
    ],
)
def test_other_terms_than_agreed_get_no_voucher(
    tmp_path: Path, change: dict[str, Any], error: type[Exception]
) -> None:
    liar = Liar(terms_body(replace(AGREED, **change), None, "/"))
    with pytest.raises(error):
        ask(liar, tmp_path / "wallet", LocalSigner())
    assert liar.vouchers == []


def test_unreadable_terms_get_no_voucher(tmp_path: Path) -> None:
    good = terms_body(AGREED, None, "/")

    def wrong(**changes: Any) -> dict[str, Any]:
        return {"accepts": [good["accepts"][0] | changes]}

    for body in (
        None, {}, {"accepts": []}, {"accepts": ["x"]}, wrong(scheme="exact"), wrong(maxAmountRequired="-1"),
        wrong(maxAmountRequired=100), wrong(payTo="0x1"), wrong(extra={}), wrong(network="eip155:x"),
    ):  # fmt: skip
        liar = Liar(body)
        with pytest.raises(PaymentTermsError):
            ask(liar, tmp_path / "wallet", LocalSigner())
        assert liar.vouchers == []


def test_a_provider_that_asks_again_and_again_gets_one_price_per_answer(tmp_path: Path) -> None:
    signer = LocalSigner()

    def due(cumulative: int) -> dict[str, Any]:
        return terms_body(AGREED, Due(signer.address, cumulative, 0, 10**6), "/")

    liar = Liar(due(PRICE), due(2 * PRICE))
    with pytest.raises(SpendingLimitError, match="already-owed"):
        ask(liar, tmp_path / "wallet", signer)
    assert liar.vouchers == [PRICE]
    for _ in range(3):  # each request can cost one price more, until the limit in sum
        with pytest.raises(SpendingLimitError):
            ask(Liar(due(10 * PRICE)), tmp_path / "wallet", signer)
    greedy = Liar(due(2 * PRICE), due(3 * PRICE))
    with pytest.raises(SpendingLimitError):
        ask(greedy, tmp_path / "wallet", signer, most_in_all=2 * PRICE)
    assert max(greedy.vouchers) <= 2 * PRICE


def test_a_redirect_or_another_path_gets_no_voucher(tmp_path: Path) -> None:
    liar = Liar(terms_body(AGREED, None, "/"))
    auth = VoucherAuth(
        LocalSigner(), tmp_path / "wallet", url="http://liar/v1", terms=AGREED, most_in_all=10**6
    )
    with httpx.Client(auth=auth, transport=httpx.MockTransport(liar)) as client:
        for target in ("http://other/v1/completions", "https://liar/v1/completions", "http://liar/v1/models"):
            assert client.post(target, json={}).status_code == 402
    assert liar.vouchers == []


# --- the wallet


def _sign_many(file: str, terms: Terms, results: Any) -> None:
    wallet = Wallet(Path(file), OTHER, terms, 10**9)
    results.put([wallet.next(1)[0] for _ in range(25)])


def test_processes_never_promise_an_amount_twice(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=_sign_many, args=(str(tmp_path / "w"), AGREED, results)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    amounts = [amount for _ in processes for amount in results.get(timeout=60)]
    for process in processes:
        process.join()
    assert sorted(amounts) == list(range(1, 101))


def test_a_wallet_counts(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path / "w", OTHER, AGREED, 1000)
    assert wallet.next(100) == (100, 100)
    wallet.put_back(100)
    assert wallet.next(60) == (100, 0) and wallet.next(60) == (120, 20)
    assert wallet.raise_to(110, 0) == (120, 0) and wallet.raise_to(150, 30) == (150, 30)
    wallet.adopt(5000)
    assert wallet.balance() == Balance(5000, 0, 4850)
    assert wallet.next(850)[0] == 5850
    with pytest.raises(SpendingLimitError):
        wallet.next(1)
    other = Wallet(tmp_path / "w", OTHER, replace(AGREED, provider=OTHER), 1000)
    assert other.balance() == Balance(0, 0, 0)


def test_a_file_that_is_no_wallet(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("something else, longer than the header of a database would be: " * 20)
    with pytest.raises(WalletError, match="cannot be used"):
        Wallet(tmp_path / "w", OTHER, AGREED, 1000)
