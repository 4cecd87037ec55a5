"""What a receipt proves by itself, without any network: who signed it, over which ids, and that they are the text that was shown.

    signature   recovers to the signer that the receipt names, in the one form that the contract accepts
    hashes      receipt id and leaf; prompt and output ids hash to what was signed
    text        what the answer said is what the output ids decode to, cut where a stop string begins
    model       the id that was signed is the expected one, and the one that the answer named

Whether the signer is a registered key of the provider, and whether it was posted (a path means nothing without the root and
the size of a batch on chain), only the chain knows (`receipt_check`, `receipt_status`). Everything here was written by a stranger: each field is read strictly, and every error is a
`BadInputError` (malformed) or a `ReceiptNotValidError` (well-formed and false).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eth_utils.address import is_address, to_checksum_address

from contracts.bindings.receipt_body import parse_receipt
from contracts.bindings.receipts import DOMAIN_NAME, DOMAIN_VERSION, receipt_id, receipt_signer
from contracts.protocol.response import Receipt
from contracts.protocol.sampling import describe_sampling, sampling_of
from prover.errors import BadInputError
from prover.sampling import SamplingError

from .errors import ReceiptNotValidError

if TYPE_CHECKING:
    from prover.model.tokenizer import Tokenizer

#: secp256k1's order: the contract accepts the smaller of the two forms of a signature only.
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_MOST_IDS = 2**20
_MOST_PATH = 64
#: How far a provider's clock may be ahead of this one.
_CLOCK_S = 120


class Tokenizing:
    """What verification needs of a model's tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.vocabulary = len(tokenizer)

    def decode(self, output_ids: Sequence[int]) -> str:
        """The text of an answer's ids, as servers send it: it goes on from the prompt."""
        return self._tokenizer.decode(output_ids, continuation=True)

    def prompt_ids(self, request: object) -> list[int] | None:
        """The ids of a request's one prompt or conversation; None where a server may read it in another way."""
        if not isinstance(request, Mapping):
            return None
        prompt, messages = request.get("prompt"), request.get("messages")
        try:
            if isinstance(prompt, str):
                return self._tokenizer.encode(prompt)
            if isinstance(messages, list):
                from .api.conversation import conversation

                template = self._tokenizer.specification.chat_template
                return self._tokenizer.encode_chat(conversation(messages, template))
        except Exception:  # what cannot be read here is said to be unchecked
            return None
        if isinstance(prompt, list) and all(isinstance(token, int) for token in prompt):
            return list(prompt)
        return None


@dataclass(frozen=True)
class Expected:
    """What the caller knows by itself; None and () where it knows nothing."""

    chain_id: int | None = None
    receipts: str | None = None  # address of the contract that receipts are signed for
    ledger: str | None = None
    provider: str | None = None
    model_id: bytes | None = None
    payer: str | None = None
    text: str | None = None  # of the answer
    stop: tuple[str, ...] = ()
    prompt_ids: Sequence[int] | None = None
    most_tokens: int | None = None
    named_model_id: str | None = None  # `system_fingerprint` of the answer


NOTHING_KNOWN = Expected()


@dataclass
class Verified:
    """A receipt that holds, and what was looked at; what is not in `checked` was not."""

    receipt: Receipt
    signature: bytes
    receipt_id: bytes
    chain_id: int
    receipts: str
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    text: str | None = None

    def as_json(self) -> dict[str, Any]:
        receipt = self.receipt
        return {
            "receipt_id": "0x" + self.receipt_id.hex(),
            "provider": receipt.provider,
            "signer": receipt.signer,
            "model_id": "0x" + receipt.model_id.hex(),
            "chain_id": self.chain_id,
            "receipts": self.receipts,
            "issued_at": receipt.issued_at,
            "posting_deadline": receipt.posting_deadline,
            "sampling": describe_sampling(sampling_of(receipt.sampling_hash)),
            "checked": self.checked,
            "unchecked": self.unchecked,
            "text": self.text,
        }


def verify_offline(
    body: object,
    expected: Expected = NOTHING_KNOWN,
    response: object = None,
    tokenizing: Tokenizing | None = None,
    now: float | None = None,
) -> Verified:
    """Check a receipt (`GET /v1/receipts/ID`), with the ids of `GET /v1/responses/ID` where they are given.

    Raises BadInputError for what is malformed, ReceiptNotValidError for what is false.
    """
    receipt, signature = parse_receipt(body)
    assert isinstance(body, Mapping)
    chain_id, contract = _domain(body, expected)
    try:
        sampling_of(receipt.sampling_hash)
    except SamplingError as error:
        raise ReceiptNotValidError(f"its answer would be void, because {error}; ask somebody else") from error
    found = Verified(receipt, signature, receipt_id(receipt, chain_id, contract), chain_id, contract)
    _check_signature(found)
    _check_dates(found, time.time() if now is None else now)
    _check_names(found, body, expected)
    _check_parties(found, expected)
    if response is None:
        found.unchecked += ["ids", "text"]
        return found
    output_ids = _check_ids(found, response, expected)
    _check_text(found, output_ids, expected, tokenizing)
    return found


def _domain(body: Mapping[str, Any], expected: Expected) -> tuple[int, str]:
    """(chain id, contract) that the signature is for: the caller's deployment, else what the receipt says."""
    domain = body.get("domain")
    if domain is None and expected.chain_id is not None and expected.receipts is not None:
        return expected.chain_id, expected.receipts
    if not isinstance(domain, Mapping):
        raise BadInputError(
            "this receipt has no domain (domain: an object is needed); name the deployment it is for"
        )
    chain_id, contract = domain.get("chainId"), domain.get("verifyingContract")
    if isinstance(chain_id, bool) or not isinstance(chain_id, int) or not 0 < chain_id < 2**256:
        raise BadInputError(
            "domain.chainId must be a positive whole number; save what GET /v1/receipts/ID answers"
        )
    if not isinstance(contract, str) or len(contract) != 42 or not is_address(contract):
        raise BadInputError(
            "domain.verifyingContract must be an address; save what GET /v1/receipts/ID answers"
        )
    if domain.get("name") != DOMAIN_NAME or domain.get("version") != DOMAIN_VERSION:
        raise ReceiptNotValidError(
            f"the receipt is signed for another protocol than {DOMAIN_NAME} {DOMAIN_VERSION}; nothing can be claimed with it"
        )
    contract = to_checksum_address(contract)
    if expected.chain_id is not None and chain_id != expected.chain_id:
        raise ReceiptNotValidError(f"the receipt is for chain {chain_id}, not for {expected.chain_id}")
    if expected.receipts is not None and contract != expected.receipts:
        raise ReceiptNotValidError(
            f"the receipt is signed for the contract {contract}, not for this deployment's {expected.receipts}"
        )
    return chain_id, contract


def _check_signature(found: Verified) -> None:
    """The contract also takes what a contract account accepts (ERC-1271), which nobody can know without the chain."""
    receipt, signature = found.receipt, found.signature
    problem = None
    if len(signature) != 65:
        problem = f"its signature has {len(signature)} bytes, not 65"
    elif signature[64] not in (27, 28) or int.from_bytes(signature[32:64], "big") > _ORDER // 2:
        problem = "its signature is in a form that the contract refuses"
    else:
        try:
            signed = receipt_signer(receipt, signature, found.chain_id, found.receipts)
        except Exception:  # eth-keys has an error of its own for each kind of malformed signature
            problem = "its signature is nobody's"
        else:
            if signed != receipt.signer:
                problem = f"another key signed it, {signed} instead of {receipt.signer}"
    if problem is not None:
        raise ReceiptNotValidError(
            f"the receipt does not hold: {problem}; if {receipt.signer} is a contract, ask the chain with `gainsay receipt check`"
        )
    found.checked.append("signature")


def _check_dates(found: Verified, now: float) -> None:
    receipt = found.receipt
    if receipt.posting_deadline < receipt.issued_at:
        raise ReceiptNotValidError(
            "the receipt promises to be posted before its own date; nothing can be claimed with it"
        )
    if receipt.issued_at > now + _CLOCK_S:
        raise ReceiptNotValidError(
            f"the receipt is dated {int(receipt.issued_at - now)} s ahead of this machine's clock; until then its key can be "
            "retired, and it would be void: check the clock, or ask somebody else"
        )
    found.checked.append("dates")


def _check_names(found: Verified, body: Mapping[str, Any], expected: Expected) -> None:
    """What the body says beside the signed part must follow from it."""
    digest = "0x" + found.receipt_id.hex()
    if (named := body.get("receipt_id")) is not None and named != digest:
        raise ReceiptNotValidError(f"the receipt's id is {digest}, not {str(named)[:80]!r}")
    if (index := body.get("index")) is not None and (isinstance(index, bool) or index != found.receipt.index):
        raise ReceiptNotValidError(f"index {str(index)[:40]!r} is not the signed one, {found.receipt.index}")
    if expected.ledger is not None:
        leaf = "0x" + found.receipt.leaf(found.chain_id, expected.ledger).hex()
        if (named := body.get("leaf")) is not None and named != leaf:
            raise ReceiptNotValidError(f"the leaf that was signed is {leaf}, not {str(named)[:80]!r}")
        found.checked.append("leaf")
    else:
        found.unchecked.append("leaf")


def _check_parties(found: Verified, expected: Expected) -> None:
    receipt = found.receipt
    if expected.provider is not None and receipt.provider != expected.provider:
        raise ReceiptNotValidError(
            f"the receipt is of provider {receipt.provider}, not of {expected.provider}"
        )
    if expected.payer is not None and (receipt.payer != expected.payer or not receipt.fee_wei):
        raise ReceiptNotValidError(
            f"the receipt says that {receipt.payer} paid {receipt.fee_wei}; if {expected.payer} paid for this answer, its price "
            "could not be had back: pay this provider no more"
        )
    model_id = "0x" + receipt.model_id.hex()
    if expected.model_id is not None and receipt.model_id != expected.model_id:
        raise ReceiptNotValidError(
            f"the receipt is about model {model_id}, not 0x{expected.model_id.hex()}; the answer was not promised to be of the "
            "model that you asked"
        )
    if expected.named_model_id is not None and expected.named_model_id != model_id:
        raise ReceiptNotValidError(
            f"the answer says that model {expected.named_model_id[:80]!r} gave it, the receipt that it was {model_id}"
        )
    (found.checked if expected.model_id is not None else found.unchecked).append("model")


def read_path(value: object) -> list[bytes]:
    """Nodes of a Merkle path. Raises BadInputError."""
    if not isinstance(value, list) or len(value) > _MOST_PATH:
        raise BadInputError(
            f"path must be a list of at most {_MOST_PATH} hashes; save what GET /v1/receipts/ID answers"
        )
    return [_word(node, f"path.{i}") for i, node in enumerate(value)]


def _word(value: object, name: str) -> bytes:
    if isinstance(value, str) and len(value) == 66 and value.startswith("0x"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            pass
    raise BadInputError(f"{name} must be 0x and 64 hexadecimal digits, not {str(value)[:80]!r}")


def _check_ids(found: Verified, response: object, expected: Expected) -> list[int]:
    """The output ids, which hash to what was signed."""
    if not isinstance(response, Mapping):
        raise BadInputError("the response must be an object; save what GET /v1/responses/ID answers")
    receipt = found.receipt
    prompt_ids = _ids(response.get("prompt_ids"), "prompt_ids")
    output_ids = _ids(response.get("output_ids"), "output_ids")
    if not receipt.fields.matches(prompt_ids, output_ids):
        raise ReceiptNotValidError(
            "the prompt and output ids are not those that were signed: the receipt is about another answer"
        )
    if expected.prompt_ids is not None and list(expected.prompt_ids) != prompt_ids:
        raise ReceiptNotValidError("the receipt is about another prompt than the one that was sent")
    if not 0 < receipt.output_length <= receipt.max_tokens:
        raise ReceiptNotValidError(
            f"{receipt.output_length} tokens were signed under a limit of {receipt.max_tokens}; such an answer is void"
        )
    if expected.most_tokens is not None and receipt.output_length > expected.most_tokens:
        raise ReceiptNotValidError(
            f"{receipt.output_length} tokens were signed, and {expected.most_tokens} asked for at most"
        )
    found.checked += ["ids", *(["prompt"] if expected.prompt_ids is not None else [])]
    if expected.prompt_ids is None:
        found.unchecked.append("prompt")
    return output_ids


def _ids(value: object, name: str) -> list[int]:
    if not isinstance(value, list) or len(value) > _MOST_IDS:
        raise BadInputError(
            f"{name} must be a list of at most {_MOST_IDS} token ids; save what GET /v1/responses/ID answers"
        )
    for token in value:
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < 2**32:
            raise BadInputError(f"{name} holds {str(token)[:40]!r}, which is no token id")
    return value


def _check_text(
    found: Verified, output_ids: Sequence[int], expected: Expected, tokenizing: Tokenizing | None
) -> None:
    """That the text is what the ids decode to, up to the stop string that ended it."""
    if tokenizing is None:
        found.unchecked.append("text")
        return
    if any(token >= tokenizing.vocabulary for token in output_ids):
        raise ReceiptNotValidError(
            "the signed ids are not all in the model's vocabulary; such an answer is void"
        )
    found.text = whole = tokenizing.decode(output_ids)
    ends = _first_stop(whole, expected.stop)
    if ends is not None:
        if _first_stop(tokenizing.decode(output_ids[:-1]), expected.stop) is not None:
            raise ReceiptNotValidError("the signed answer goes on behind a stop string that was asked for")
        found.checked.append("stop")
    if expected.text is None:
        found.unchecked.append("text")
        return
    shown = {whole} if ends is None else {whole, whole[: ends[0]], whole[: ends[1]]}
    if expected.text not in shown:
        raise ReceiptNotValidError(
            "the text that was shown is not what the signed ids decode to: it is not the committed answer; keep both"
        )
    found.checked.append("text")


def _first_stop(text: str, stops: Sequence[str]) -> tuple[int, int] | None:
    """(start, end) of the stop string that begins first."""
    places = [(start, start + len(stop)) for stop in stops if stop and (start := text.find(stop)) >= 0]
    return min(places, default=None)
