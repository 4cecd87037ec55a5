"""Audits of private answers off chain: name items, wait for the proofs, check them. Nothing a provider says is trusted.

What binds the provider is its receipt: the signature under the audit root, the hashes of the ids, the model's id. Everything else that it
sends is checked against these and against the public part of the model.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from contracts.bindings.receipt_body import parse_receipt
from contracts.bindings.receipts import receipt_id, receipt_signer
from contracts.protocol.audit_evidence import (
    AuditedResponse,
    AuditItemError,
    Auditor,
    Evidence,
    HeadItem,
    Item,
    StepItem,
    TileItem,
)
from contracts.protocol.audit_wire import (
    MOST_BYTES,
    evidence_from_json,
    evidence_to_json,
    items_from_json,
    items_to_json,
)
from contracts.protocol.response import NO_AUDITS, Receipt
from contracts.protocol.trace import is_truncated, overrun_place
from prover.audits.drawing import UNIFORM, draw, draw_tiles, weights
from prover.errors import BadInputError, ProofRejectedError
from prover.foreign_json import ForeignJsonError, Limits, read_json, read_json_file
from prover.model_commitment import ModelCommitment

from .bounded_fetch import BoundedFetcher, FetchFailed, shared_fetcher
from .errors import AuditNotAnswered, ProviderUnreachable
from .verdicts import malformed_private

FORMAT = "gainsay-audit/1"
_REQUEST_S = 30.0
_SMALL = 2**20
_LIMITS = Limits(bytes=2 * MOST_BYTES)
_POLL_S = 1.0
_LONGEST_TEXT = 300


@dataclass(frozen=True)
class SignedResponse:
    """An answer with its receipt: `body` is what GET /v1/receipts/ID gave; signer: who signed, under the domain that it names."""

    body: dict[str, Any]
    receipt: Receipt
    response: AuditedResponse

    @classmethod
    def read(cls, body: Any, prompt_ids: Sequence[int], output_ids: Sequence[int]) -> SignedResponse:
        """Raises BadInputError for what is no receipt or whose ids are others, ProofRejectedError for a wrong signature."""
        receipt, signature = parse_receipt(body)
        chain_id, contract = _domain(body)
        try:
            signer = receipt_signer(receipt, signature, chain_id, contract)
        except Exception as error:  # eth-keys has an error of its own for each kind of malformed signature
            raise ProofRejectedError("the receipt's signature is malformed") from error
        if signer != receipt.signer:
            raise ProofRejectedError(
                f"the receipt is signed by {signer}, not by the key {receipt.signer} that it names"
            )
        if not receipt.fields.matches(prompt_ids, output_ids):
            raise BadInputError("the token ids are not those of the receipt; read /v1/responses/ID again")
        if receipt.audit_root == NO_AUDITS:
            raise BadInputError("the receipt is of a public model: re-run the answer instead of auditing it")
        if (why := malformed_private(receipt.fields)) is not None:
            raise ProofRejectedError(f"{why}; an audit on chain makes this answer void at once")
        response = AuditedResponse(tuple(prompt_ids), tuple(output_ids), receipt.audit_root)
        return cls(body, receipt, response)

    @property
    def receipt_id(self) -> str:
        """How the provider finds it."""
        return "0x" + receipt_id(self.receipt, *_domain(self.body)).hex()


def _domain(body: Any) -> tuple[int, str]:
    domain = body.get("domain") if isinstance(body, dict) else None
    try:
        return int(domain["chainId"]), str(domain["verifyingContract"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(
            "the receipt names no chain and contract (domain); save what GET /v1/receipts/ID answers"
        ) from error


def drawn_windows(seed: bytes, steps: Sequence[int], windows: int) -> list[StepItem]:
    """The steps with a window each, from the seed that drew them: keccak256(seed, "window", step) mod W."""
    number = {
        step: int.from_bytes(keccak(seed + b"window" + step.to_bytes(32, "big")), "big") for step in steps
    }
    return [StepItem(step, number[step] % windows) for step in steps]


def drawn_items(
    seed: bytes, model: ModelCommitment, response: AuditedResponse, steps: int, tiles: int
) -> tuple[Item, ...]:
    """The items that a seed names: so many of the steps, all alike, with a window each, and so many of the head's tiles in a window.

    Raises BadInputError, AuditPlanError.
    """
    uniform = weights(UNIFORM, [1 / model.step_count] * model.step_count)
    drawn = draw(seed, uniform, steps) if steps else ()
    pairs = draw_tiles(seed, model.head_tiles, response.head_windows, tiles)
    return (*drawn_windows(seed, drawn, response.windows), *(TileItem(*pair) for pair in pairs))


class AuditedProvider:
    """One provider's HTTP API, as far as audits need it."""

    def __init__(self, url: str, fetcher: BoundedFetcher | None = None) -> None:
        self._url, self._fetcher = url.rstrip("/"), fetcher or shared_fetcher()

    def response(self, receipt: str) -> SignedResponse:
        """An answer by its receipt's id. Raises ProviderUnreachable, BadInputError, ProofRejectedError."""
        body = self._get(f"/v1/receipts/{receipt}")
        ids = self._get(f"/v1/responses/{receipt}")
        named = [ids.get(name) if isinstance(ids, dict) else None for name in ("prompt_ids", "output_ids")]
        for each in named:
            if not isinstance(each, list) or not all(
                type(token) is int and 0 <= token < 2**32 for token in each
            ):
                raise ProviderUnreachable(f"{self._url} gave no token ids for this receipt")
        found = SignedResponse.read(body, *named)  # type: ignore[arg-type]
        if receipt.startswith("0x") and found.receipt_id != receipt.lower():
            raise ProofRejectedError(f"{self._url} gave another receipt than {receipt}")
        return found

    def ask(self, receipt: str, key: str, items: Sequence[Item]) -> str:
        """Name items of the answer whose audit key this is; the id of the audit. Raises AuditNotAnswered with what the provider says, ProviderUnreachable."""
        content = json.dumps({"receipt": receipt, "key": key, "items": items_to_json(items)}).encode()
        try:
            status, raw = self._fetcher.post(
                self._url + "/v1/audits", content, within_s=_REQUEST_S, at_most_bytes=_SMALL
            )
            body = read_json(raw, what="the provider's answer")
        except (FetchFailed, ForeignJsonError) as error:
            raise ProviderUnreachable(f"{self._url}/v1/audits: {error}") from error
        if status != 202:
            problem = body.get("error") if isinstance(body, dict) else None
            message = problem.get("message") if isinstance(problem, dict) else None
            raise AuditNotAnswered(f"the provider refuses the audit ({status}): {_plain(message)}")
        audit = body.get("audit_id") if isinstance(body, dict) else None
        if not isinstance(audit, str) or not audit.isalnum() or len(audit) > 64:
            raise ProviderUnreachable(f"{self._url}/v1/audits gave no id")
        return audit

    def evidence(
        self, audit: str, within_s: float, report: Callable[[str, int, int], None] = lambda *_: None
    ) -> Evidence:
        """Wait for the proofs. Raises AuditNotAnswered when there are none in time, ProofRejectedError for nonsense."""
        until = time.monotonic() + within_s
        while True:
            body = self._get(f"/v1/audits/{audit}", at_most_bytes=MOST_BYTES)
            if not isinstance(body, dict):
                raise ProviderUnreachable(f"{self._url}/v1/audits/{audit} gave no audit")
            state = body.get("state")
            if state == "proven":
                return evidence_from_json(body.get("evidence"))
            if state == "failed":
                raise AuditNotAnswered(f"the provider does not prove it: {_plain(body.get('failure'))}")
            if time.monotonic() >= until:
                raise AuditNotAnswered(f"the provider proved nothing within {within_s:.0f} s")
            done, items = body.get("done", 0), body.get("items", [])
            report("prove", done if type(done) is int else 0, len(items) if isinstance(items, list) else 0)
            time.sleep(_POLL_S)

    def _get(self, path: str, at_most_bytes: int = _SMALL) -> Any:
        try:
            raw = self._fetcher.get(self._url + path, within_s=_REQUEST_S, at_most_bytes=at_most_bytes)
            return read_json(raw, what=path, limits=_LIMITS)
        except (FetchFailed, ForeignJsonError) as error:
            raise ProviderUnreachable(f"{self._url}{path}: {error}") from error


def _plain(text: object) -> str:
    """A stranger's words on one line, without control characters."""
    shown = (
        "".join(c if c.isprintable() else " " for c in text) if isinstance(text, str) else "no reason given"
    )
    return shown[:_LONGEST_TEXT]


@dataclass(frozen=True)
class AuditFile:
    """An audit and its answer, to be checked again by anybody."""

    signed: SignedResponse
    items: tuple[Item, ...]
    evidence: Evidence
    seed: bytes | None

    def check(self, auditor: Auditor) -> None:
        """Raises ProofRejectedError and AuditItemError; also for an answer that ends where it must not, which no item is about."""
        if self.seed is not None:
            steps, tiles = (sum(isinstance(i, kind) for i in self.items) for kind in (StepItem, TileItem))
            model, response = auditor.model.commitment, self.signed.response
            if self.items != drawn_items(self.seed, model, response, steps, tiles):
                raise AuditItemError("the seed draws other items than these; whoever named them chose them")
        output, limit = self.signed.response.output_ids, self.signed.receipt.max_tokens
        ends = auditor.model.commitment.end_tokens
        if is_truncated(output, limit, ends):
            raise ProofRejectedError("the output stops early without an end token; claim it on chain")
        if (place := overrun_place(output, ends)) is not None:
            raise ProofRejectedError(
                f"the output runs on behind the end token at its place {place}; claim it on chain"
            )
        auditor.check(self.signed.response, self.items, self.evidence)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        response = self.signed.response
        content = {
            "format": FORMAT,
            "receipt": self.signed.body,
            "prompt_ids": response.prompt_ids,
            "output_ids": response.output_ids,
            "seed": None if self.seed is None else "0x" + self.seed.hex(),
            "items": items_to_json(self.items),
            "evidence": evidence_to_json(self.evidence),
        }
        path.write_text(json.dumps(content))

    @classmethod
    def load(cls, path: Path) -> AuditFile:
        """Raises BadInputError and ProofRejectedError."""
        try:
            body = read_json_file(path, limits=_LIMITS)
        except OSError as error:
            raise BadInputError(f"{path} cannot be read ({error.strerror})") from error
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise BadInputError(f"{path} is no audit; `gainsay audit request --out` writes one")
        try:
            prompt, output, seed = body["prompt_ids"], body["output_ids"], body["seed"]
            if not all(type(token) is int and 0 <= token < 2**32 for token in [*prompt, *output]):
                raise ValueError("token ids")
            return cls(
                SignedResponse.read(body["receipt"], prompt, output),
                items_from_json(body["items"]),
                evidence_from_json(body["evidence"]),
                None if seed is None else bytes.fromhex(seed.removeprefix("0x")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInputError(f"{path} is damaged: {type(error).__name__} {error}") from error


__all__ = ["AuditFile", "AuditedProvider", "HeadItem", "SignedResponse", "drawn_items", "drawn_windows"]
