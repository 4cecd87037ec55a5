"""A provider node on the stage: production parts, served over real HTTP, whose rounds the stage drives.

The node's follower, committer and defender normally run in threads of their own. On the stage both sides of a
dispute share one machine, so they take turns instead: the same rounds, one after the other, which keeps either
side from slowing the other down and makes every run alike.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from contracts.bindings.errors import ContractError
from contracts.protocol.response import Receipt
from contracts.protocol.trace import ProvingTrace
from node.inference import Generator, InferenceQueue
from node.provider import Provider
from prover.replay import Replay
from prover.sampling import Sampling

from .errors import AnswerMissing

RECEIPT_HEADER = "x-gainsay-receipt"
_HOST = "127.0.0.1"
_ANSWER_TIMEOUT_S = 600.0
_QUEUE_SIZE = 8


@dataclass(frozen=True)
class MadeProof:
    """A proof that a node computed while defending itself."""

    proof: bytes
    seconds: float


class TimedReplay(Replay):
    """A replay that notes how long its proofs take."""

    made: list[MadeProof]

    def prove_step(self, step: int, window: int) -> bytes:
        return self._timed(lambda: super(TimedReplay, self).prove_step(step, window))

    def prove_embedding(self, window: int) -> bytes:
        return self._timed(lambda: super(TimedReplay, self).prove_embedding(window))

    def prove_head(self, position: int, rival: int) -> bytes:
        return self._timed(lambda: super(TimedReplay, self).prove_head(position, rival))

    def _timed(self, prove: Callable[[], bytes]) -> bytes:
        started = time.perf_counter()
        proof = prove()
        self.made.append(MadeProof(proof, time.perf_counter() - started))
        return proof


class StagedProvider(Provider):
    """The production provider; its proofs are timed."""

    made_proofs: list[MadeProof]

    @property
    def chats(self) -> bool:
        """Whether the model takes conversations."""
        return self._serving.model.tokenizer.specification.chat_template is not None

    def _replay(
        self, prompt_ids: Sequence[int], output_ids: Sequence[int], sampling: Sampling | None
    ) -> ProvingTrace:
        serving = self._serving
        ids = prompt_ids, output_ids
        replay = TimedReplay(serving.model, serving.commitment, serving.srs, *ids, sampling=sampling)
        replay.made = self.made_proofs
        return replay


@dataclass(frozen=True)
class Answered:
    """What a client got for a question."""

    prompt: str
    text: str
    receipt_id: str


class HostedProvider:
    """One provider on a free port. `generator` replaces the model's own in a liar."""

    def __init__(self, provider: StagedProvider, model_name: str, generator: Generator | None = None) -> None:
        provider.made_proofs = []
        self.provider, self.model_name = provider, model_name
        self.troubles: list[Exception] = []
        if generator is not None:
            provider.service.queue = InferenceQueue(generator, _QUEUE_SIZE)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.bind((_HOST, 0))
        self.url = f"http://{_HOST}:{self._socket.getsockname()[1]}"
        # Without its lifespan the application starts no background workers; the queue is started here.
        configuration = uvicorn.Config(
            provider.app, log_level="error", lifespan="off", timeout_graceful_shutdown=5
        )
        self._server = uvicorn.Server(configuration)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._http = httpx.Client(base_url=self.url, timeout=_ANSWER_TIMEOUT_S)

    @property
    def address(self) -> str:
        return self.provider.address

    @property
    def made_proofs(self) -> list[MadeProof]:
        return self.provider.made_proofs

    def start(self) -> None:
        """Serve, and wait until the port is open."""
        self.provider.prepare()
        self.provider.service.queue.start()
        self._thread.start()
        until = time.monotonic() + 30
        while not self._server.started:
            if time.monotonic() > until or not self._thread.is_alive():
                raise AnswerMissing(f"the provider's HTTP server did not start on {self.url}; see its log")
            time.sleep(0.02)

    def stop(self) -> None:
        self.provider.service.queue.close()
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._http.close()
        self._socket.close()

    # --- what its background workers would do

    def step(self) -> None:
        """One round of follower, committer and defender; what fails is noted and tried again, as in a worker."""
        for work in (self.provider.follower.step, self.provider.committer.step, self.defend):
            try:
                work()
            except Exception as error:
                self.troubles.append(error)

    def defend(self) -> None:
        """One round over open games, demands and audits, moves and answers confirmed."""
        self.provider.defender.play_out(_ANSWER_TIMEOUT_S)
        self.provider.demands.play_out(_ANSWER_TIMEOUT_S)
        self.provider.answerer.play_out(_ANSWER_TIMEOUT_S)

    @property
    def refused_moves(self) -> list[ContractError]:
        """The node's own moves that the contract refused."""
        return [trouble for trouble in self.troubles if isinstance(trouble, ContractError)]

    # --- what clients do

    def ask(self, prompt: str, max_tokens: int) -> Answered:
        """A question through the official client, or plain HTTP where that is not installed.

        A chat with one message; the bare text where the model has no chat template.
        """
        self.provider.follower.step()
        try:
            import openai
        except ImportError:
            return self._ask_plainly(prompt, max_tokens)
        chats = self.provider.chats
        body = {
            "model": self.model_name,
            "max_tokens": max_tokens,
            "temperature": 0,
            **_question(prompt, chats),
        }
        try:
            with openai.OpenAI(
                base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=_ANSWER_TIMEOUT_S
            ) as client:
                asked = client.chat.completions if chats else client.completions
                raw = asked.with_raw_response.create(**body)
        except openai.OpenAIError as error:
            raise AnswerMissing(f"the provider did not answer ({error})") from error
        choice = raw.parse().choices[0]
        return self._answered(prompt, (choice.message.content if chats else choice.text) or "", raw.headers)

    def _ask_plainly(self, prompt: str, max_tokens: int) -> Answered:
        chats = self.provider.chats
        body = {
            "model": self.model_name,
            "max_tokens": max_tokens,
            "temperature": 0,
            **_question(prompt, chats),
        }
        try:
            response = self._http.post("/v1/chat/completions" if chats else "/v1/completions", json=body)
            response.raise_for_status()
            choice = response.json()["choices"][0]
            text = choice["message"]["content"] if chats else choice["text"]
        except (httpx.HTTPError, ValueError, KeyError, IndexError) as error:
            raise AnswerMissing(f"the provider did not answer ({error})") from error
        return self._answered(prompt, text, response.headers)

    def _answered(self, prompt: str, text: str, headers: Mapping[str, str]) -> Answered:
        receipt_id = headers.get(RECEIPT_HEADER)
        if not receipt_id:
            raise AnswerMissing(f"the provider's answer has no {RECEIPT_HEADER} header")
        return Answered(prompt, text, receipt_id)

    def receipt(self, receipt_id: str) -> dict[str, Any]:
        """The receipt as the provider shows it to anyone."""
        try:
            response = self._http.get(f"/v1/receipts/{receipt_id}")
            response.raise_for_status()
            body: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise AnswerMissing(f"the provider does not show receipt {receipt_id} ({error})") from error
        return body


def _question(prompt: str, chats: bool) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}]} if chats else {"prompt": prompt}


def parse_receipt(shown: Mapping[str, Any]) -> tuple[Receipt, bytes]:
    """Receipt and signature from the provider's JSON."""
    fields = dict(shown["receipt"])
    for name, value in fields.items():
        if name not in ("provider", "payer", "fee_token", "signer") and isinstance(value, str):
            fields[name] = bytes.fromhex(value[2:]) if value.startswith("0x") else int(value)
    return Receipt(**fields), bytes.fromhex(shown["signature"][2:])
