"""Gas of verifying a proof: a real transaction to the generated verifier on an Anvil of our own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.bindings.abi import Interface
from contracts.bindings.chain import Chain
from contracts.bindings.compiler import Artifact
from contracts.bindings.deployment import verifier_artifacts
from prover.architectures import ModelConfig
from prover.curve.srs import SRS
from prover.plan import PUBLIC, Privacy
from verifier_gen import generate_sources

from ..anvil import free_port, start_anvil, stop_process
from ..errors import DevnetError

GAS_LIMIT = 1 << 24
"""What one transaction may use (EIP-7825)."""
_DEADLINE_S = 30.0


class VerifierRefused(DevnetError):
    """A generated verifier does not accept a proof that it should."""


class GasMeter:
    """The verifiers of an architecture, deployed when first used."""

    def __init__(self, chain: Chain, artifacts: dict[str, Artifact]) -> None:
        self._chain, self._artifacts = chain, artifacts
        self._account = chain.unlocked_accounts()[0]
        self._addresses: dict[str, str] = {}

    def code_bytes(self, step: str) -> int:
        """Size of the verifier's deployed code."""
        return len(self._artifacts[step].runtime_code)

    def verify(self, step: str, key: bytes, inputs: list[int], proof: bytes) -> int:
        """Gas of the whole transaction; raises VerifierRefused when the verifier says no."""
        artifact = self._artifacts[step]
        if step not in self._addresses:
            created = self._send(None, artifact.creation_code)
            self._addresses[step] = str(created["contractAddress"])
        interface = Interface(artifact)
        data = interface.encode_call("verify", [key, inputs, proof])
        body = {"from": self._account, "to": self._addresses[step], "data": "0x" + data.hex()}
        answer = str(self._chain.request("eth_call", [{**body, "gas": hex(GAS_LIMIT)}, "latest"]))
        if not interface.decode_result("verify", bytes.fromhex(answer[2:])):
            raise VerifierRefused(
                f"the {step} verifier refuses a proof that the prover made; report this as a bug"
            )
        return int(str(self._send(self._addresses[step], data)["gasUsed"]), 16)

    def _send(self, to: str | None, data: bytes) -> dict[str, object]:
        return send_and_wait(self._chain, self._account, to, data)


def send_and_wait(chain: Chain, account: str, to: str | None, data: bytes) -> dict[str, object]:
    """Receipt of a transaction (a deployment when `to` is None); raises VerifierRefused when it fails."""
    body = {"from": account, "data": "0x" + data.hex(), "gas": hex(GAS_LIMIT)}
    sent = chain.request("eth_sendTransaction", [body if to is None else {**body, "to": to}])
    until = time.monotonic() + _DEADLINE_S
    while time.monotonic() < until:
        receipt = chain.request("eth_getTransactionReceipt", [sent])
        if receipt is not None:
            if receipt["status"] != "0x1":
                raise VerifierRefused(f"transaction {sent} to a generated verifier failed")
            return dict(receipt)
        time.sleep(0.02)
    raise DevnetError(f"transaction {sent} was not mined within {_DEADLINE_S:.0f} s; is Anvil alive?")


@contextmanager
def gas_meter(config: ModelConfig, srs: SRS, privacy: Privacy = PUBLIC) -> Iterator[GasMeter]:
    """A meter on a fresh Anvil, which ends with the block."""
    artifacts = dict(verifier_artifacts(generate_sources(config, srs, privacy)))
    with own_chain() as chain:
        yield GasMeter(chain, artifacts)


@contextmanager
def own_chain() -> Iterator[Chain]:
    """A fresh Anvil that mines each transaction at once and ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        anvil = start_anvil(free_port(), Path(folder) / "anvil.log", block_time_s=None)
        try:
            yield Chain(anvil.rpc_url)
        finally:
            stop_process(anvil.pid)
