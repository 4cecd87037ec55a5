"""`gainsay provider run --private` as a process of its own, and all that its clients, auditors and onlookers can see of it.

It has contracts of its own whose windows are an hour: a proof takes seconds, and many times that beside other tests.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from challenger.auditing import AuditedProvider
from contracts.bindings.deployment import Deployment, ProtocolContracts, deploy_protocol, verifier_artifacts
from contracts.bindings.registration import register
from contracts.protocol.model import PRIVATE
from contracts.protocol.parameters import DEVNET
from prover.blindings_file import LOWEST_COST
from prover.curve.srs import DEVNET_BITS, SRS
from prover.model.weights import IntegerModel
from prover.plan import PRIVATE as PRIVATE_PLAN
from prover.private_model import PrivateModel, commit_private
from tests.contracts.local_chain import LocalChain
from verifier_gen import generate_sources

from .test_provider_command import Command

PASSWORD = "of these blindings"
_HOUR = 3600
PARAMETERS = replace(
    DEVNET, challenge_window=_HOUR, audit_window=_HOUR, posting_window=_HOUR, exit_delay=8 * _HOUR, receipt_claim_window=2 * _HOUR,
)  # fmt: skip


def registered(local: LocalChain, model: IntegerModel, folder: Path) -> tuple[Deployment, PrivateModel]:
    """Contracts with these windows, and the model as a private one that is registered there."""
    srs = SRS.devnet(DEVNET_BITS)
    deployment = deploy_protocol(local.sender(0, folder.name), PARAMETERS)
    own = commit_private(model, srs, lambda new: PASSWORD, models=folder, commitments=folder, cost=LOWEST_COST)  # fmt: skip
    verifiers = verifier_artifacts(generate_sources(model.config, srs, PRIVATE_PLAN))
    contracts = ProtocolContracts(local.chain, deployment)
    register(local.sender(0, folder.name), contracts, own.commitment, verifiers, audit_stride=PRIVATE)
    return deployment, own


#: What anybody may read without a name of anything.
OPEN_PAGES = (
    "/v1/models", "/v1/settlement", "/v1/payment-terms", "/metrics", "/readyz", "/healthz", "/openapi.json", "/",
    "/v1/explorer", "/v1/explorer/batches", "/v1/explorer/responses", "/v1/explorer/games", "/v1/explorer/audits",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What its client got: `own_id` and `key` were shown to nobody else."""

    receipt: str
    key: str
    own_id: str
    prompt: str


@dataclass
class StartedPrivate:
    """A private provider that can be killed and started again. `seen` keeps every answer that it ever gave."""

    command: Command
    seen: list[bytes] = field(default_factory=list)
    _running: ExitStack = field(default_factory=ExitStack)
    _process: subprocess.Popen[str] | None = None

    @classmethod
    def beside(
        cls, folder: Path, local: LocalChain, deployment: Deployment, own: PrivateModel, account: int
    ) -> StartedPrivate:
        command = Command(folder, local, deployment, account=account)
        command.settings |= {
            "GAINSAY_PRIVATE": "true", "GAINSAY_POLL_S": "0.2", "GAINSAY_BLINDINGS_PASSWORD": PASSWORD,
            "GAINSAY_MODELS_DIR": str(own.secret.parent), "GAINSAY_COMMITMENTS_DIR": str(own.published.parent),
            "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        }  # fmt: skip
        return cls(command)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.command.port}"

    @property
    def database(self) -> Path:
        (found,) = (self.command.folder / ".gainsay" / "provider").glob("*-*-*.sqlite")
        return found

    def start(self) -> None:
        self._process = self._running.enter_context(self.command.serving())

    def kill(self) -> None:
        """At once, in the middle of whatever it does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        self._running.close()

    def restart(self) -> None:
        self.kill()
        self.start()

    def close(self) -> None:
        self._running.close()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._noted(httpx.get(self.url + path, timeout=30, **options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self._noted(httpx.post(self.url + path, timeout=30, **options))

    def _noted(self, answer: httpx.Response) -> httpx.Response:
        self.seen.append(answer.content + b"\n" + repr(answer.headers.raw).encode())
        return answer

    def answer(self, prompt: str, tokens: int = 3) -> Answer:
        body = {"model": "tiny", "prompt": prompt, "max_tokens": tokens}
        given = httpx.post(f"{self.url}/v1/completions", json=body, timeout=60)
        assert given.status_code == 200, given.text
        names = given.headers["x-gainsay-receipt"], given.headers["x-gainsay-audit-key"]
        return Answer(*names, given.json()["id"], prompt)

    def ask(self, receipt: str, key: str, *items: dict[str, int]) -> httpx.Response:
        """For an audit off chain."""
        return self.post("/v1/audits", json={"receipt": receipt, "key": key, "items": list(items)})

    def proven(self, audit: str, within_s: float = 300.0) -> dict[str, Any]:
        """The audit once it is over."""
        until = time.monotonic() + within_s
        while True:
            body = dict(self.get(f"/v1/audits/{audit}").json())
            if body["state"] in ("proven", "failed"):
                return body
            assert time.monotonic() < until, (body["state"], self.command.log()[-3000:])
            time.sleep(0.1)

    def await_true(self, what: Callable[[], bool], within_s: float) -> None:
        self.command.wait_until(what, within_s)

    def audited(self) -> AuditedProvider:
        return AuditedProvider(self.url)

    def batch_of(self, answer: Answer) -> tuple[int, int]:
        """(batch on chain, index) once it is posted."""
        found: dict[str, Any] = {}

        def is_posted() -> bool:
            found.update(self.get(f"/v1/receipts/{answer.receipt}").json())
            return found["batch_state"] == "posted" and found["batch_id"] is not None

        self.await_true(is_posted, 120)
        return int(found["batch_id"]), int(found["index"])
