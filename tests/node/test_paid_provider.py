"""`gainsay provider run --require-payment` as a process: OpenAI's client pays it, it is killed, nothing is lost."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import openai
import pytest

from contracts.bindings.deployment import Deployment, ProtocolContracts
from contracts.bindings.keys import UnlockedSigner
from contracts.protocol.response import ETHER_TOKEN
from node.payments.client import VoucherAuth
from node.payments.wire import Terms
from node.serving import CommittedServing
from tests.contracts.local_chain import LocalChain

from .test_provider_command import Command

PRICE = 10**15
PROVIDER, PAYER = 9, 8  # the stakes of others are counted exactly by other tests


@pytest.mark.long
@pytest.mark.timeout(180)
def test_a_paid_provider_lives_dies_and_is_paid_to_the_wei(
    tmp_path: Path,
    local_chain: LocalChain,
    deployment: Deployment,
    contracts: ProtocolContracts,
    serving: CommittedServing,
) -> None:
    command = Command(tmp_path, local_chain, deployment, account=PROVIDER)
    command.settings = {"GAINSAY_REDEEM_INTERVAL_S": "1", "GAINSAY_REDEEM_LEAST": str(2 * PRICE)}
    accounts, payments = local_chain.chain.unlocked_accounts(), contracts.payments
    provider, payer = accounts[PROVIDER], UnlockedSigner(local_chain.chain, accounts[PAYER])
    local_chain.sender(PAYER).send(
        payments.deposit(provider, ETHER_TOKEN, 10 * PRICE), "deposit of the payer"
    )
    url = f"http://127.0.0.1:{command.port}/v1"
    terms = Terms(local_chain.chain.chain_id, payments.address, provider, ETHER_TOKEN, PRICE)

    def client() -> openai.OpenAI:
        auth = VoucherAuth(payer, tmp_path / "wallet", url=url, terms=terms, most_in_all=10 * PRICE)
        return openai.OpenAI(base_url=url, api_key="none", max_retries=0, http_client=httpx.Client(auth=auth))

    def ask(paying: openai.OpenAI) -> None:
        answer = paying.completions.create(model="tiny", prompt="abc", max_tokens=4)
        assert answer.choices[0].text is not None

    def redeemed() -> int:
        return payments.channel(payer.address, provider).redeemed

    paid = ("--fee-wei", str(PRICE), "--require-payment")
    with command.serving(*paid) as process:
        assert command.post("free?").status_code == 402
        first = client()
        for _ in range(3):
            ask(first)
        command.wait_until(lambda: redeemed() >= 2 * PRICE, 30)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        with pytest.raises(openai.APIConnectionError):
            ask(first)
    with command.serving(*paid):
        ask(first)  # with the voucher that the dead process did not answer
        for _ in range(3):
            ask(client())
        assert command.post("free?").status_code == 402
        said = httpx.get(f"{url}/payment-terms", params={"payer": payer.address}).json()["accepts"][0][
            "extra"
        ]
        assert (said["cumulativeDue"], said["credit"]) == (str(8 * PRICE), "0")
        local_chain.sender(PAYER).send(
            payments.request_withdrawal(provider, ETHER_TOKEN, 10 * PRICE), "everything back"
        )
        command.wait_until(lambda: redeemed() == 7 * PRICE, 30)
        assert payments.channel(payer.address, provider).balance == 3 * PRICE
        assert "Traceback" not in command.log()
