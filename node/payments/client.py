"""Pays for answers out of a prepaid channel, for any client that is built on httpx:

    auth = VoucherAuth(signer, wallet_file, url="http://…/v1", terms=expected, most_in_all=10**17)
    client = openai.OpenAI(base_url="http://…/v1", api_key="none", http_client=httpx.Client(auth=auth))

`terms` are those that the user agreed to: chain, contract, provider and token must stay the same, and `terms.price` is the
most that one answer may cost. What a dishonest provider can take is one price for an answer that it does not give, again and
again up to `most_in_all`; for an answer that it lost a dispute about, the contract gives the price back.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import httpx
import structlog

from contracts.bindings.keys import Signer
from contracts.bindings.payments import Voucher, sign_voucher
from prover.errors import BadInputError

from ..errors import PaymentTermsError, SpendingLimitError
from .wallet import Wallet
from .wire import PAYMENT_HEADER, TERMS_HEADER, Due, SignedVoucher, Terms, payment_header, read_terms

log = structlog.get_logger("node.payment_client")

_PAID_PATHS = ("/chat/completions", "/completions")
# The first try may find the price, others that another program of this payer was faster.
_TRIES = 4


class VoucherAuth(httpx.Auth):
    """Signs the next voucher for each request for an answer. Safe to share between threads and clients."""

    def __init__(
        self,
        signer: Signer,
        wallet: Path,
        *,
        url: str,
        terms: Terms,
        most_in_all: int,
        payer: str | None = None,
    ) -> None:
        """`url` is the API's base URL (…/v1): nothing else gets a voucher. `payer` is whose channel pays (None: the
        signer's own); it authorised the signer's key. Raises WalletError."""
        self._signer, self._expected, self._payer = signer, terms, payer or signer.address
        base = httpx.URL(url)
        self._origin = (base.scheme, base.host, base.port)
        self._paths = {base.path.rstrip("/") + path for path in _PAID_PATHS}
        self._wallet = Wallet(wallet, self._payer, terms, most_in_all)
        self._price: int | None = None  # as the provider said last

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Raises PaymentTermsError, SpendingLimitError and WalletError."""
        if not self._is_paid(request):
            yield request
            return
        price = new = sent = 0
        settled = False
        if self._price is not None:
            price = self._price
            sent, new = self._wallet.next(price)
            self._put(request, sent)
        try:
            for attempt in range(_TRIES):
                response = yield request
                if response.status_code != 402 or attempt + 1 == _TRIES:
                    settled = response.is_success
                    return
                terms, due = self._read(response)
                before = sent
                if terms.price != price:  # unknown before, or another one by now
                    if price:
                        self._wallet.put_back(price)
                        price = 0
                    sent, more = self._wallet.next(terms.price)
                    self._price = price = terms.price
                    new += more
                if due is not None:
                    sent, more = self._wallet.raise_to(due.cumulative, max(0, self._expected.price - new))
                    new += more
                if sent == before:
                    return  # it is not the amount: the answer says what it is
                self._put(request, sent)
        finally:
            # Also when the connection broke: if the provider did count it, it says so next time.
            if price and not settled:
                self._wallet.put_back(price)

    def _is_paid(self, request: httpx.Request) -> bool:
        url = request.url
        return (
            request.method == "POST"
            and (url.scheme, url.host, url.port) == self._origin
            and url.path in self._paths
        )

    def _put(self, request: httpx.Request, cumulative: int) -> None:
        terms = self._expected
        voucher = Voucher(self._payer, terms.provider, terms.token, cumulative)
        signature = sign_voucher(self._signer, voucher, terms.chain_id, terms.payments)
        signed = SignedVoucher(terms.chain_id, terms.payments, voucher, signature)
        request.headers[PAYMENT_HEADER] = payment_header(signed)

    def _read(self, response: httpx.Response) -> tuple[Terms, Due | None]:
        """The terms of a 402, if they are the agreed ones."""
        header = response.headers.get(TERMS_HEADER)
        if header is None:
            raise PaymentTermsError(
                "the provider answered 402 without terms in X-Payment-Terms; ask another one"
            )
        try:
            terms, due = read_terms(header)
        except BadInputError as error:
            raise PaymentTermsError(f"the provider's terms cannot be read: {error}") from error
        require_agreed(terms, self._expected)
        if due is not None and due.payer != self._payer:
            raise PaymentTermsError(f"the provider speaks of the payer {due.payer}, not of {self._payer}")
        return terms, due


def require_agreed(terms: Terms, expected: Terms) -> None:
    """Raises PaymentTermsError for another chain, contract, provider or token, and SpendingLimitError for a higher price."""
    for name, given, agreed in (
        ("chain", terms.chain_id, expected.chain_id),
        ("payments contract", terms.payments, expected.payments),
        ("provider", terms.provider, expected.provider),
        ("token", terms.token, expected.token),
    ):
        if given != agreed:
            raise PaymentTermsError(
                f"the provider asks for payment with {name} {given}, but {agreed} was agreed; check whom you pay"
            )
    if not 0 < terms.price <= expected.price:
        raise SpendingLimitError(
            f"the provider asks {terms.price} for an answer, but the limit is {expected.price}; raise the limit, or stop"
        )
