"""`gainsay provider run` as a process: says when it is ready, answers, survives SIGKILL, ends on SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from contracts.bindings.deployment import Deployment, ProtocolContracts, verifier_artifacts
from contracts.bindings.registration import register_model
from devnet.anvil import free_port
from node.provider import CommittedServing
from tests.contracts.local_chain import LocalChain
from tests.contracts.synthetic import stranger_verifier_sources

ROOT = Path(__file__).resolve().parents[2]


class Command:
    """The arguments of one provider and the folder that it lives in."""

    def __init__(self, folder: Path, local: LocalChain, deployment: Deployment, account: int) -> None:
        self.folder, self.port = folder, free_port()
        file = folder / "deployment.json"
        file.write_text(json.dumps(deployment.as_json()))
        self.chain_arguments = [
            "--rpc", local.chain.rpc_url, "--deployment", str(file),
            "--account", local.chain.unlocked_accounts()[account],
        ]  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "gainsay.py"), *arguments, *self.chain_arguments],
            cwd=self.folder, env=self._environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [
                sys.executable, str(ROOT / "gainsay.py"), "provider", "run", "--model", "tiny",
                "--port", str(self.port), "--batch-interval", "1", "--deposit-ether", "20", *self.chain_arguments,
            ],
            cwd=self.folder, env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None and process.stderr is not None
            line = process.stdout.readline()
            assert line.startswith("provider 0x") and str(self.port) in line, process.stderr.read()
            yield process
        finally:
            process.kill()
            process.communicate()

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GAINSAY_")}
        return kept | {"PYTHONPATH": str(ROOT)}

    def ask(self, text: str) -> str:
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}/v1/completions",
            json={"model": "tiny", "prompt": text, "max_tokens": 4}, timeout=30,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return answer.headers["x-gainsay-receipt"]

    def receipt(self, receipt_id: str) -> dict[str, object]:
        answer = httpx.get(f"http://127.0.0.1:{self.port}/v1/receipts/{receipt_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def test_a_provider_process_lives_dies_and_lives_again(
    tmp_path: Path,
    local_chain: LocalChain,
    deployment: Deployment,
    contracts: ProtocolContracts,
    serving: CommittedServing,
) -> None:
    command = Command(tmp_path, local_chain, deployment, account=5)
    for accepts in (True, False):  # a stranger's verifiers change nothing about the start
        verifiers = verifier_artifacts(stranger_verifier_sources(accepts))
        register_model(local_chain.sender(6), contracts, serving.commitment, verifiers)
    poor = command.run("provider", "run", "--model", "tiny", "--port", str(command.port))
    assert poor.returncode == 5 and "gainsay provider deposit" in poor.stderr
    with command.serving() as process:
        receipts = [command.ask("first"), command.ask("second")]
        second = command.run("provider", "run", "--model", "tiny", "--port", str(free_port()))
        assert second.returncode != 0 and "another `gainsay provider run` works for 0x" in second.stderr
        deposited = command.run("provider", "deposit", "1", "--json")  # beside the running node
        assert json.loads(deposited.stdout)["stake_wei"] == str(21 * 10**18), deposited.stderr
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with command.serving() as process:
        receipts.append(command.ask("third"))
        deadline = time.monotonic() + 20
        while not all(command.receipt(receipt)["batch_state"] == "posted" for receipt in receipts):
            assert time.monotonic() < deadline, [command.receipt(receipt) for receipt in receipts]
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) in (0, -signal.SIGTERM)
        assert process.stderr is not None and "Traceback" not in process.stderr.read()
    listed = json.loads(command.run("provider", "status", "--json").stdout)
    assert int(listed["locked_wei"]) == 3 * contracts.stake.parameters().lock_per_response


def test_a_deposit_is_exact_to_the_wei(
    tmp_path: Path, local_chain: LocalChain, deployment: Deployment, contracts: ProtocolContracts
) -> None:
    command = Command(tmp_path, local_chain, deployment, account=6)
    before = contracts.stake.account(local_chain.chain.unlocked_accounts()[6]).total
    assert command.run("provider", "deposit", "1.1", "--json").returncode == 0
    shown = command.run("provider", "deposit", "3 wei")
    assert "1.100000000000000003 ETH" in shown.stdout
    after = contracts.stake.account(local_chain.chain.unlocked_accounts()[6]).total
    assert after - before == 1_100_000_000_000_000_003
