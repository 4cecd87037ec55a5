"""`gainsay pay` and the provider's `earnings` and `redeem`, on a real chain."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from eth_hash.auto import keccak
from typer.testing import CliRunner

from contracts.bindings.compiler import compile_sources
from contracts.bindings.deployment import Deployment, deploy_contract
from contracts.bindings.erc20 import Token
from contracts.bindings.errors import ContractError
from contracts.protocol.response import ETHER_TOKEN
from node.errors import PaymentRefusedError, PaymentTermsError
from node.payments.pay_cli import app as pay_app
from node.payments.provider_cli import app as earnings_app
from node.payments.wire import read_payment
from prover.errors import BadInputError, NotFoundError, UsageError

from .chain import CLIENT, ProviderHouse
from .test_payments_on_chain import PRICE, asking, charging, redeem, see

Run = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(
    house: ProviderHouse, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """A command of the payer, or of the provider; its JSON."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "deployment.json"
    file.write_text(json.dumps(deployment.as_json()))
    monkeypatch.setenv("GAINSAY_DATABASE_URL", house.settings.database_url or "")
    accounts = house.local.chain.unlocked_accounts()

    def run(app: Any, *arguments: str) -> Any:
        account = accounts[CLIENT] if app is pay_app else house.signer.address
        chain = ("--rpc-url", house.local.chain.rpc_url, "--deployment", str(file), "--account", account)
        result = CliRunner().invoke(app, [*arguments, *chain, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    yield run
    structlog.reset_defaults()  # a command wrote its log to a stream of its own


def test_from_deposit_to_earnings(house: ProviderHouse, run: Run) -> None:
    paid = charging(house, redeem_least=10**30)
    provider, payer = paid.start(), house.local.chain.unlocked_accounts()[CLIENT]
    payments = house.contracts.payments
    before = payments.channel(payer, provider.address)
    funded = run(pay_app, "deposit", provider.address, "0.01")
    assert int(funded["balance"]) == before.balance + 10**16 and funded["payer"] == payer
    see(provider)

    till = provider.service.till
    assert till is not None
    owed = str(till.due(payer).cumulative - PRICE)  # of tests before this one
    first = run(pay_app, "voucher", provider.address, "0.001", "--already-owed", owed)
    assert read_payment(first["header"]).voucher.cumulative == int(first["cumulative"]) == int(owed) + PRICE
    payment = till.take([first["header"]])
    assert payment is not None and payment.payer == payer
    provider.desk.issue([65], [66], 1, "length", payment=payment)
    again = run(pay_app, "voucher", provider.address, "0")
    with pytest.raises(PaymentRefusedError, match=f"{int(owed) + 2 * PRICE} is due"):
        till.take([again["header"]])
    assert run(pay_app, "status", provider.address)["signed"] == first["cumulative"]

    earned = run(earnings_app, "earnings")
    assert int(earned["in_vouchers"]) == PRICE
    redeemed = run(earnings_app, "redeem")
    assert redeemed == {"provider": provider.address, "redeemed": {ETHER_TOKEN: str(PRICE)}}
    assert run(earnings_app, "redeem")["redeemed"] == {}
    assert int(run(earnings_app, "earnings")["held"]) >= PRICE
    house.pass_time(2 * payments.hold_period())
    free = run(earnings_app, "earnings", "--withdraw")
    assert (free["held"], free["free"], free["in_vouchers"]) == ("0", "0", "0")


def test_a_deposit_is_asked_back_cancelled_and_taken(house: ProviderHouse, run: Run) -> None:
    provider, payments = house.signer.address, house.contracts.payments
    run(pay_app, "deposit", provider, "5 gwei")
    balance = int(run(pay_app, "status", provider)["balance"])
    asked = run(pay_app, "withdraw", provider, "3 gwei")
    assert int(asked["asked_back"]) == 3 * 10**9 and int(asked["withdrawable_at"]) > 0
    assert run(pay_app, "withdraw", provider, "--cancel")["asked_back"] == "0"
    assert int(run(pay_app, "withdraw", provider)["asked_back"]) == balance
    house.pass_time(payments.withdrawal_delay() + 1)
    assert run(pay_app, "withdraw", provider, "--complete")["balance"] == "0"
    with pytest.raises(UsageError, match="is empty"):
        run(pay_app, "withdraw", provider)
    with pytest.raises(UsageError, match="one of them"):
        run(pay_app, "withdraw", provider, "1", "--cancel")


def test_the_price_of_an_answer_that_was_not_posted_comes_back_once(
    house: ProviderHouse, run: Run, tmp_path: Path
) -> None:
    paid = charging(house, redeem_least=10**30)
    provider, payer = paid.start(), house.local.chain.unlocked_accounts()[CLIENT]
    run(pay_app, "deposit", provider.address, "0.01")
    see(provider)
    till = provider.service.till
    assert till is not None
    owed = str(till.due(payer).cumulative - PRICE)
    voucher = run(pay_app, "voucher", provider.address, "0.001", "--already-owed", owed)
    payment = till.take([voucher["header"]])
    assert payment is not None
    issued = provider.desk.issue([65], [66], 1, "length", payment=payment)
    with asking(provider) as client:
        answer = client.get(f"/v1/receipts/{issued.receipt_id}")
    file = tmp_path / "receipt.json"
    file.write_text(answer.text)
    before = house.contracts.payments.channel(payer, provider.address)
    with pytest.raises(ContractError, match="NotRefundable"):  # there is time to post it
        run(pay_app, "refund", str(file))

    house.pass_time(house.contracts.stake.parameters().posting_window + 1)
    refunded = run(pay_app, "refund", str(file))
    assert (refunded["payer"], refunded["provider"]) == (payer, provider.address)
    after = house.contracts.payments.channel(payer, provider.address)
    # Waived from the next vouchers, or owed where redemptions of other tests' vouchers covered as much.
    assert (after.balance, after.redeemed) == (before.balance, before.redeemed)
    assert after.credit + after.owed == before.credit + before.owed + PRICE
    with pytest.raises(ContractError, match="AlreadyRefunded"):
        run(pay_app, "refund", str(file))
    with pytest.raises(NotFoundError, match="name a receipt's file"):
        run(pay_app, "refund", str(tmp_path / "no such file"))
    file.write_text(json.dumps(answer.json()["receipt"]))
    with pytest.raises(BadInputError, match="save what GET"):
        run(pay_app, "refund", str(file))


def test_answers_are_paid_in_a_token(house: ProviderHouse, run: Run) -> None:
    sources = {"contracts/test/PaymentTokens.sol": (ROOT / "contracts/test/PaymentTokens.sol").read_text()}
    sender, payer = house.other(CLIENT), house.local.chain.unlocked_accounts()[CLIENT]
    address = deploy_contract(sender, compile_sources(sources)["Token"], key="token of the payments")
    token, payments = Token(house.local.chain, address), house.contracts.payments
    mint = token.approve(payer, 500)  # the same arguments under another selector
    sender.send(replace(mint, data=keccak(b"mint(address,uint256)")[:4] + mint.data[4:]), "mint")
    assert token.balance_of(payer) == 500
    funded = run(pay_app, "deposit", house.signer.address, "200", "--token", address)
    assert (funded["balance"], funded["token"]) == ("200", address)
    assert token.balance_of(payer) == 300 and token.allowance(payer, payments.address) == 0

    provider = charging(house, fee_token=address, fee_wei=50, redeem_least=1).start()
    see(provider)
    header = run(pay_app, "voucher", provider.address, "50", "--token", address)["header"]
    assert provider.service.till is not None
    payment = provider.service.till.take([header])
    assert payment is not None and payment.token == address
    issued = provider.desk.issue([65], [66], 1, "length", payment=payment)
    receipt = provider.journal.find_response(issued.receipt_id)
    assert receipt is not None and (receipt.fee_token, receipt.fee_wei) == (address, "50")
    assert redeem(provider) == 1
    assert run(earnings_app, "earnings", "--token", address)["held"] == "50"
    house.pass_time(2 * payments.hold_period())
    run(earnings_app, "earnings", "--token", address, "--withdraw")
    assert token.balance_of(provider.address) == 50
    with pytest.raises(UsageError, match="smallest units"):
        run(pay_app, "deposit", house.signer.address, "1.5", "--token", address)


def test_a_key_is_authorised_and_revoked(house: ProviderHouse, run: Run) -> None:
    key = "0x" + "5a" * 20
    assert run(pay_app, "authorise-key", key)["valid_until"] == 2**64 - 1
    until = run(pay_app, "authorise-key", key, "--revoke")["valid_until"]
    assert house.local.chain.head().timestamp < until < 2**40


def test_a_provider_that_takes_no_payments(house: ProviderHouse, run: Run) -> None:
    with pytest.raises(PaymentTermsError, match="does not answer"):
        run(pay_app, "status", house.signer.address, "--url", "http://127.0.0.1:9/v1")
