"""A started private provider, attacked from outside: keys of audits, floods, guesses of what its commitments hold, kills while the chain waits.

The attacker is given what it could wish for: the model is `tiny`, so it knows every weight and activation, and only has to show that
something that it sees depends on them; the SRS is the devnet's, whose tau is public.
"""

from __future__ import annotations

import random
import secrets
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise

import httpx
import pytest

from challenger.audits_by_hand import AuditTable
from challenger.disputes_by_hand import DisputeTable
from challenger.provider_client import provider_book
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.sender import Sender
from contracts.protocol.audit_evidence import AuditedResponse, Auditor, InputItem, ShownBoundary
from contracts.protocol.audit_wire import evidence_from_json
from contracts.protocol.audits import AuditItem
from contracts.protocol.game import Outcome
from prover.argument.commitment import commit_integers
from prover.audits.head_tiles import HeadAudit
from prover.commitment_file import load_published
from prover.curve.combinations import combine
from prover.curve.g1 import INFINITY, Point
from prover.curve.srs import SRS
from prover.field.arrays import MODULUS
from prover.hiding import blind, blinding_base
from prover.model.weights import IntegerModel
from prover.model_commitment import commit_model
from prover.private_model import PrivateModel
from prover.replay import Replay
from tests.contracts.local_chain import LocalChain

from .started_private import OPEN_PAGES, PASSWORD, Answer, StartedPrivate, registered

_PROVIDER, _AUDITOR = 4, 3
_LONG = "two windows of a prompt, so that sums run on"


@dataclass(frozen=True)
class Scene:
    """The provider, what everybody knows of it, and what nobody knows: `own`."""

    provider: StartedPrivate
    contracts: ProtocolContracts
    own: PrivateModel
    auditor: Auditor
    bonds: Sender


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, local_chain: LocalChain, tiny: IntegerModel
) -> Iterator[Scene]:
    deployment, own = registered(local_chain, tiny, tmp_path_factory.mktemp("private"))
    provider = StartedPrivate.beside(
        tmp_path_factory.mktemp("started"), local_chain, deployment, own, _PROVIDER
    )
    provider.start()
    auditor = Auditor(load_published(own.published, own.system.srs), own.system.srs)
    contracts = ProtocolContracts(local_chain.chain, deployment)
    yield Scene(provider, contracts, own, auditor, local_chain.sender(_AUDITOR, "audits"))
    provider.close()


def _code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


# --- the key --------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_attack_an_audit_key_is_nobody_elses(scene: Scene) -> None:
    """Guessed, another answer's, in a race, and across a kill: an answer's one audit is its client's."""
    provider = scene.provider
    mine, other = provider.answer("mine"), provider.answer("other")
    item = {"input": 0}
    guesses = [
        "",
        other.key,
        "0" * 32,
        mine.key[:-1],
        mine.key + "0",
        mine.receipt,
        mine.own_id,
        "\x00",
        "é" * 32,
    ]
    refused = [provider.ask(mine.receipt, guess, item) for guess in guesses]
    assert [(each.status_code, _code(each)) for each in refused] == [(403, "audit_wrong_key")] * len(guesses)
    assert len({each.text for each in refused}) == 1  # how near a guess came is not told
    with ThreadPoolExecutor(12) as pool:
        raced = list(pool.map(lambda _: provider.ask(mine.receipt, mine.key, item), range(12)))
    assert sorted(each.status_code for each in raced) == [202, *[409] * 11]
    audit = next(each.json()["audit_id"] for each in raced if each.status_code == 202)
    provider.restart()
    found = provider.proven(audit)
    response = provider.audited().response(mine.receipt).response
    scene.auditor.check(response, [InputItem(0)], evidence_from_json(found["evidence"]))
    again = provider.ask(mine.receipt, mine.key, item)
    assert (again.status_code, _code(again)) == (409, "audit_twice") and audit in again.text
    assert _code(provider.ask(mine.receipt, other.key, item)) == "audit_wrong_key"
    assert provider.ask(other.receipt, other.key.upper(), item).status_code == 202


# --- floods ---------------------------------------------------------------------------------------------------

_MALFORMED: list[tuple[bytes, int]] = [
    (b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b'{"receipt": 1, "items": []}', 400), (b"[" * 5000, 400),
    (b'{"receipt": "x", "items": [], "more": 1}', 400), (b'{"receipt": "x", "key": "\\ud800", "items": []}', 400),
    (b'{"receipt": "x", "items": [{"step": 1e400, "window": 0}]}', 400), (b'{"receipt": "' + b"x" * 3_000_000 + b'"}', 413),
    (b'{"receipt": "\\u0000", "items": [{"step": 0, "window": 0}]}', 404), (b'{"receipt": "x", "items": []}', 404),
]  # fmt: skip


def test_attack_a_flood_of_audits_stops_no_answers(scene: Scene) -> None:
    """Each of them gets one error, which says nothing of the model; answers are given meanwhile, and what was taken on is proven."""
    provider = scene.provider
    spent, busy = provider.answer("for items"), provider.answer("keeps it busy")
    for body, status in _MALFORMED:
        answer = provider.post("/v1/audits", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == status, (body[:60], answer.text)
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"} and len(answer.text) < 600
    for item in (
        {"step": 6, "window": 0}, {"step": 0, "window": 1}, {"tile": 1, "window": 0}, {"tile": 0, "window": 9},
        {"input": 1}, {"position": 0, "rival": 1}, {"position": 9, "rival": 2**31}, {"step": 0}, {"tile": 0}, {}, 3,
    ):  # fmt: skip
        assert _code(provider.ask(spent.receipt, spent.key, item)) == "invalid_items"  # type: ignore[arg-type]
    every = [{"step": number, "window": 0} for number in range(6)]
    rest = [{"input": 0}, {"tile": 0, "window": 0}, {"position": 9, "rival": 1}]
    assert _code(provider.ask(spent.receipt, spent.key, *every, *rest)) == "audit_too_many"
    for path in ("audits/%00", "audits/%ff", "audits/" + "a" * 3000, "receipts/%00", "responses/%00"):
        assert provider.get(f"/v1/{path}").status_code == 404
    with socket.create_connection(("127.0.0.1", provider.command.port)) as slow:
        slow.sendall(b"POST /v1/audits HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
        answers = [provider.answer(f"flood {number}") for number in range(8)]
        first = provider.ask(busy.receipt, busy.key, every[0])
        with ThreadPoolExecutor(8) as pool:
            asked = list(pool.map(lambda each: provider.ask(each.receipt, each.key, {"input": 0}), answers))
        taken = [each.json()["audit_id"] for each in (first, *asked) if each.status_code == 202]
        late = [each for each in asked if each.status_code != 202]
        assert late and {(each.status_code, _code(each)) for each in late} == {(429, "queue_full")}
        assert all(int(each.headers["retry-after"]) > 0 for each in late)
        provider.answer("while they are proven")
    assert {provider.proven(audit)["state"] for audit in taken} == {"proven"}
    refused = answers[[each.status_code for each in asked].index(429)]
    assert provider.ask(refused.receipt, refused.key, {"input": 0}).status_code == 202


# --- what commitments and proofs tell -------------------------------------------------------------------------


def _guessed(model: IntegerModel, srs: SRS, response: AuditedResponse) -> Callable[[int], list[list[Point]]]:
    """Streams of a boundary without blindings, as who knows all weights computes them."""
    ids = list(response.prompt_ids), list(response.output_ids)
    commitment = commit_model(model, srs, cache_dir=None)
    replay, head = Replay(model, commitment, srs, *ids), HeadAudit(model, srs, *ids)
    logits = {window: commit_integers(srs.g1[:32], head.chosen_logits(window)) for window in head.windows}

    def streams(place: int) -> list[list[Point]]:
        if place <= commitment.step_count:
            return [replay.stream_points(place, number) for number in range(len(commitment.chunk_bits))]
        return [[logits.get(window, INFINITY) for window in range(replay.windows)]]

    return streams


def _difference(left: Point, right: Point) -> Point:
    return combine([left, right], [1, MODULUS - 1])


def _hidden(
    shown: Mapping[int, ShownBoundary], guessed: Callable[[int], list[list[Point]]]
) -> dict[Point, Point]:
    """What is left of each committed window, and of each difference of two, when the right guess is taken away; by the point."""
    found: dict[Point, Point] = {}
    for place, boundary in shown.items():
        for sums, own in zip(boundary.sums, guessed(place), strict=True):
            windows = [(INFINITY, INFINITY), *zip(sums, own, strict=True)]
            for (before, guess_before), (now, guess) in pairwise(windows):
                if now == INFINITY:
                    assert guess == INFINITY
                    continue
                # Windows that share a chunk are shown as sums of what came before, others by themselves: whichever it is, both are looked at.
                found[now] = _difference(now, guess)
                point = _difference(now, before)
                found[point] = _difference(point, _difference(guess, guess_before))
    return found


def _words(proof: bytes) -> set[bytes]:
    return {proof[start : start + 32] for start in range(0, len(proof) - 31, 32)}


def _nonce(provider: StartedPrivate, answer: Answer) -> bytes:
    """What nobody outside knows."""
    with closing(sqlite3.connect(f"file:{provider.database}?mode=ro", uri=True)) as connection:
        query = "SELECT audit_nonce FROM response WHERE receipt_id = ?"
        return bytes.fromhex(connection.execute(query, (answer.receipt,)).fetchone()[0])


def _opened(scene: Scene, answer: Answer, items: list[AuditItem]) -> tuple[int, tuple[int, int]]:
    """An audit on chain, as an auditor's command opens it: (its number, the answer's place)."""
    place, secret = scene.provider.batch_of(answer), secrets.token_bytes(32)
    table = DisputeTable(scene.contracts, provider_book([scene.provider.url]), secret)
    return AuditTable(scene.contracts, table, secret).open(scene.bonds, *place, items).audit_id, place


def _calls(scene: Scene, since: int) -> list[bytes]:
    """Calldata of all transactions from a block on."""
    chain, found = scene.contracts.chain, []
    for block in range(since, chain.head().number + 1):
        body = chain.request("eth_getBlockByNumber", [hex(block), True])
        found += [bytes.fromhex(each["input"][2:]) for each in body["transactions"]]
    return found


@pytest.mark.long
def test_attack_equal_answers_and_repeated_items_tell_nothing(scene: Scene, tiny: IntegerModel) -> None:
    """Two equal answers, the same items of both off chain and one of them on chain as well: no commitment holds a guess without a
    blinding, no two share one, and no proof shares an element with another."""
    provider, srs = scene.provider, scene.own.system.srs
    answers = [provider.answer(_LONG), provider.answer(_LONG)]
    items: list[dict[str, int]] = [{"step": 2, "window": 1}, {"input": 0}, {"tile": 0, "window": 1}]
    guessed = _guessed(tiny, srs, provider.audited().response(answers[0].receipt).response)
    left: dict[Point, Point] = {}
    proofs: list[set[bytes]] = []
    for answer in answers:
        found = provider.proven(provider.ask(answer.receipt, answer.key, *items).json()["audit_id"])
        evidence = evidence_from_json(found["evidence"])
        hidden = _hidden(evidence.boundaries, guessed)
        assert len(hidden) >= 8 and not hidden.keys() & left.keys()
        left |= hidden
        proofs += [_words(proof) for proof in evidence.proofs]
    assert INFINITY not in left.values()  # else a guess was right, and nothing hid it
    assert len(set(left.values())) == len(left)  # else two differ by a fact about activations
    of_answer = scene.own.blindings.of_response(_nonce(provider, answers[1]))
    base = blinding_base(srs.digest)
    for window in range(2):  # the guesses are right
        assert blind(INFINITY, of_answer.of_window(0, 0, window), base) in left.values()
    since = scene.contracts.chain.head().number
    audit, _ = _opened(scene, answers[0], [AuditItem.of_step(2, 1), AuditItem.of_input(0)])
    provider.await_true(lambda: not scene.contracts.audits.audit(audit).is_open, 300)
    assert scene.contracts.audits.audit(audit).outcome is Outcome.PROVIDER_WON
    calls = _calls(scene, since)
    assert sum(len(call) > 4000 for call in calls) >= 2  # both proofs are among them
    for number, words in enumerate(proofs):
        assert not any(words & other for other in proofs[:number])
        assert not any(word in call for word in words for call in calls)


# --- kills while the chain waits ------------------------------------------------------------------------------


def _is_answered_through_kills(scene: Scene, pauses_s: list[float]) -> None:
    provider, contracts = scene.provider, scene.contracts
    answer = provider.answer(_LONG)
    items = [AuditItem.of_input(0), AuditItem.of_input(1), AuditItem.of_step(1, 1)]
    provider.batch_of(answer)
    address = contracts.chain.unlocked_accounts()[_PROVIDER]
    first = contracts.chain.nonce(address)
    audit, place = _opened(scene, answer, items)
    for pause_s in pauses_s:
        time.sleep(pause_s)
        provider.restart()
    provider.await_true(lambda: not contracts.audits.audit(audit).is_open, 300)
    ended = contracts.audits.audit(audit)
    assert (ended.outcome, ended.remaining) == (Outcome.PROVIDER_WON, 0)
    assert all(contracts.audits.item_state(*place, item) == (audit, True) for item in items)
    assert contracts.chain.nonce(address) == first + len(items)  # no item was sent twice
    provider.answer("behind the kills")


@pytest.mark.long
def test_attack_a_kill_while_an_audit_is_answered_loses_and_doubles_nothing(scene: Scene) -> None:
    _is_answered_through_kills(scene, [0.3])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_attack_kills_at_any_moment_of_an_audit_lose_and_double_nothing(scene: Scene, seed: int) -> None:
    rng = random.Random(seed)
    _is_answered_through_kills(scene, [rng.uniform(0, 2.5) for _ in range(3)])


# --- all that anybody saw -------------------------------------------------------------------------------------


def test_attack_no_page_message_or_log_holds_a_secret(scene: Scene) -> None:
    """Of all that the tests before got to see, and of every open page: no seed, no nonce, no key of an answer, no words of a client."""
    provider, blindings = scene.provider, scene.own.blindings
    answer = provider.answer("words that only their client knows")
    for page in OPEN_PAGES:
        assert provider.get(page).status_code == 200 or page == "/readyz", page  # audits may have filled it
    for path in (f"receipts/{answer.receipt}", f"responses/{answer.receipt}", f"receipts/{answer.own_id}"):
        assert provider.get(f"/v1/{path}").status_code == 200
    seen, log = b"\n".join(provider.seen), provider.command.log().encode()
    assert answer.receipt.encode() in seen
    nonce, key = _nonce(provider, answer), bytes.fromhex(answer.key)
    for value in (blindings.seed, blindings.context, nonce, key):
        assert not any(value.hex().encode() in text or value in text for text in (seen, log))
    assert not any(words in seen + log for words in (answer.prompt.encode(), PASSWORD.encode()))
    published = scene.own.published.read_bytes()
    assert not any(value in published for value in (blindings.seed, blindings.context))
    (shown,) = provider.get("/v1/models").json()["data"]
    assert shown.keys() == {
        "id", "object", "created", "owned_by", "gainsay_model_id", "max_positions", "default_max_tokens", "logit_scale",
    }  # fmt: skip
