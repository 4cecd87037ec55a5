"""A private model's answers are audited over HTTP: what is true is proven, what was changed is not, and what cannot be asked is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from challenger.auditing import AuditedProvider, AuditFile, SignedResponse, drawn_items
from challenger.bounded_fetch import FetchFailed
from challenger.errors import AuditNotAnswered, ProviderUnreachable
from contracts.bindings.receipt_body import parse_receipt
from contracts.bindings.receipts import sign_receipt
from contracts.protocol.audit_evidence import (
    AuditedResponse,
    AuditItemError,
    Auditor,
    Evidence,
    HeadItem,
    InputItem,
    Item,
    ShownBoundary,
    StepItem,
    TileItem,
    boundary_tree,
)
from contracts.protocol.audit_wire import evidence_from_json, evidence_to_json
from contracts.protocol.audits import boundary_leaf
from contracts.protocol.merkle import pair_hash
from contracts.protocol.sampling import sampling_word
from contracts.protocol.streams import Point, boundary_hash, stream_root
from contracts.protocol.token_ids import token_ids_hash
from node.audits.boundaries import BoundaryCommitter
from node.capacity import Capacity
from node.errors import DatabaseError
from node.store import Journal, ResponseState, open_engine
from node.store.audit_book import AuditBook
from prover.blindings_file import LOWEST_COST
from prover.commitment_file import load_published
from prover.curve.srs import SRS
from prover.errors import BadInputError, ProofRejectedError
from prover.field.reference import BASE_MODULUS
from prover.model.errors import GenerationCancelledError
from prover.model.execute import Executor
from prover.model.weights import IntegerModel
from prover.private_model import PrivateModel, commit_private
from prover.replay import Replay
from prover.sampling import Sampling

from .conftest import LocalNode, LocalSigner, build_node

LAST = 2
"""The MLP of layer 0."""


class Through:
    """A fetcher that ends in the application itself."""

    def __init__(self, client: TestClient) -> None:
        self._client = client

    def get(self, url: str, *, within_s: float, at_most_bytes: int) -> bytes:
        answer = self._client.get(url)
        if answer.status_code != 200:
            raise FetchFailed(f"status {answer.status_code}")
        assert len(answer.content) <= at_most_bytes
        return answer.content

    def post(self, url: str, content: bytes, *, within_s: float, at_most_bytes: int) -> tuple[int, bytes]:
        answer = self._client.post(url, content=content, headers={"content-type": "application/json"})
        return answer.status_code, answer.content


@pytest.fixture(scope="module")
def srs() -> SRS:
    return SRS.devnet(18)


@pytest.fixture(scope="module")
def own(tiny: IntegerModel, srs: SRS, tmp_path_factory: pytest.TempPathFactory) -> PrivateModel:
    folder = tmp_path_factory.mktemp("private")
    return commit_private(
        tiny, srs, lambda new: "password", models=folder, commitments=folder, cost=LOWEST_COST
    )


@pytest.fixture(scope="module")
def auditor(own: PrivateModel, srs: SRS) -> Auditor:
    return Auditor(load_published(own.published, srs), srs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def node(tiny: IntegerModel, own: PrivateModel, srs: SRS, folder: Path) -> LocalNode:
    journal = Journal(open_engine(f"sqlite:///{folder}/node.db"))
    return build_node(tiny, journal, boundaries=BoundaryCommitter(tiny, own, srs), most_items=5)


@pytest.fixture(scope="module")
def client(node: LocalNode) -> Iterator[TestClient]:
    with TestClient(node.app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def provider(client: TestClient) -> AuditedProvider:
    return AuditedProvider("", fetcher=Through(client))  # type: ignore[arg-type]


def answered(client: TestClient, prompt: str = "audit me", tokens: int = 3) -> str:
    """The receipt's id of a new answer, whose key `KEYS` has then."""
    answer = client.post("/v1/completions", json={"model": "tiny", "prompt": prompt, "max_tokens": tokens})
    assert answer.status_code == 200, answer.text
    receipt = answer.headers["x-gainsay-receipt"]
    KEYS[receipt] = answer.headers.get("x-gainsay-audit-key", "")
    return receipt


KEYS: dict[str, str] = {}
"""What came with the answers of these tests, by receipt."""


def asked_for(client: TestClient, receipt: str, items: list[Any]) -> Any:
    """By who got the answer."""
    body = {"receipt": receipt, "key": KEYS.get(receipt, ""), "items": items}
    return client.post("/v1/audits", json=body)


@dataclasses.dataclass(frozen=True)
class Audited:
    """An audit that was proven."""

    receipt: str
    audit: str
    file: AuditFile

    @property
    def response(self) -> AuditedResponse:
        return self.file.signed.response


@pytest.fixture(scope="module")
def audited(client: TestClient, node: LocalNode, provider: AuditedProvider, auditor: Auditor) -> Audited:
    receipt = answered(client)
    signed = provider.response(receipt)
    first = len(signed.response.prompt_ids) - 1
    rival = (signed.response.next_token(first) + 1) % auditor.model.commitment.vocabulary
    items: tuple[Item, ...] = (
        StepItem(0, 0),
        StepItem(1, 0),
        HeadItem(first, rival),
        InputItem(0),
        TileItem(0, 0),
    )
    audit = provider.ask(receipt, KEYS[receipt], items)
    node.audits.step()
    return Audited(receipt, audit, AuditFile(signed, items, provider.evidence(audit, 1.0), None))


# --- what is true ---------------------------------------------------------------------------------------------


def test_an_honest_answer_passes(audited: Audited, auditor: Auditor, tmp_path: Path) -> None:
    """Also through a file, as anybody checks it again."""
    audited.file.check(auditor)
    audited.file.save(tmp_path / "audit.json")
    again = AuditFile.load(tmp_path / "audit.json")
    again.check(auditor)
    assert again.signed.receipt_id == audited.receipt


def test_an_audit_survives_a_stop(
    tiny: IntegerModel, own: PrivateModel, srs: SRS, node: LocalNode, client: TestClient,
    provider: AuditedProvider, auditor: Auditor, folder: Path,
) -> None:  # fmt: skip
    """Another process proves it: with the model's seed and the journalled nonce it makes the same commitments."""
    receipt = answered(client, "and again")
    items = (StepItem(LAST, 0),)
    audit = provider.ask(receipt, KEYS[receipt], items)
    journal = Journal(open_engine(f"sqlite:///{folder}/node.db"))
    AuditBook(journal.engine).progress(audit, 0)  # the first process died while it proved
    restarted = build_node(tiny, journal, boundaries=BoundaryCommitter(tiny, own, srs))
    restarted.audits.step()
    file = AuditFile(provider.response(receipt), items, provider.evidence(audit, 1.0), None)
    file.check(auditor)


# --- boundaries without a second pass ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "tokens"), [(3, 2), (40, 30), pytest.param(97, 33, marks=pytest.mark.long)]
)
def test_what_generating_commits_to_is_what_a_trace_has(
    tiny: IntegerModel, own: PrivateModel, srs: SRS, length: int, tokens: int
) -> None:
    """Every window of every stream at every boundary, in a prompt and behind it, with the padding."""
    committer, prompt = BoundaryCommitter(tiny, own, srs), list(range(1, length + 1))
    begun = committer.begin()
    output = Executor(tiny).generate(prompt, tokens, end_ids=(), on_step=begun.keep).ids
    made = committer.finish(prompt, output, begun)
    alone = Replay(tiny, own.commitment, srs, prompt, output, blindings=begun.blindings)
    steps = own.commitment.step_count
    for boundary in range(steps + 1):
        for number in range(len(own.commitment.chunk_bits)):
            points = made.replay.stream_points(boundary, number)
            assert points == alone.stream_points(boundary, number)
            assert len(points) in (0, -(-(length + tokens - 1) // 32))
    assert made.audit_root == boundary_tree(alone, steps).root
    committer.close()


def test_an_engine_that_shows_nothing_costs_a_second_pass(
    tiny: IntegerModel, own: PrivateModel, srs: SRS
) -> None:
    committer, prompt = BoundaryCommitter(tiny, own, srs), [1, 2, 3]
    output = Executor(tiny).generate(prompt, 3, end_ids=()).ids
    begun = committer.begin()
    made = committer.finish(prompt, output, begun)
    nonce = begun.blindings.nonce
    assert committer.again(prompt, output, nonce) is made
    assert BoundaryCommitter(tiny, own, srs).again(prompt, output, nonce).audit_root == made.audit_root


def test_rows_of_another_answer_are_not_committed_to(tiny: IntegerModel, own: PrivateModel, srs: SRS) -> None:
    committer = BoundaryCommitter(tiny, own, srs)
    begun = committer.begin()
    output = Executor(tiny).generate([1, 2, 3], 3, end_ids=(), on_step=begun.keep).ids
    with pytest.raises(ValueError, match="32 rows were kept"):
        committer.finish([*range(40)], output, begun)
    cut_off = committer.begin()
    with pytest.raises(GenerationCancelledError):
        Executor(tiny).generate([1] * 9, 3, on_step=cut_off.keep, cancelled=iter([0, 1]).__next__)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no number of whole windows"):
        cut_off.finish()


# --- what is not ------------------------------------------------------------------------------------------------


def _with(body: dict[str, Any], *path: Any, value: Any) -> dict[str, Any]:
    """A copy with one value changed."""
    copy = json.loads(json.dumps(body))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value(place[path[-1]]) if callable(value) else value
    return copy


def _flip(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def test_every_part_of_the_evidence_counts(audited: Audited, auditor: Auditor) -> None:
    body = evidence_to_json(audited.file.evidence)
    changed = [_with(body, "proofs", place, value=_flip) for place in range(5)]
    for number, shown in body["boundaries"].items():
        changed.append(_with(body, "boundaries", number, "path", 0, value=_flip))
        changed.append(_with(body, "boundaries", number, "sums", 0, 0, value=_flip))
        changed.append(_with(body, "boundaries", number, "sums", 0, value=[]))
        changed.append(_with(body, "boundaries", number, "sums", value=shown["sums"][:-1]))
        changed.append(
            _with(body, "boundaries", value={k: v for k, v in body["boundaries"].items() if k != number})
        )
    changed.append(_with(body, "proofs", value=body["proofs"][:-1]))
    changed.append(_with(body, "proofs", value=body["proofs"][::-1]))
    for other in changed:
        with pytest.raises(ProofRejectedError):
            auditor.check(audited.response, audited.file.items, evidence_from_json(other))


def _committed(
    response: AuditedResponse, evidence: Evidence, sums: Sequence[Sequence[Point]]
) -> tuple[AuditedResponse, Evidence]:
    """What a provider would have committed to whose b_0 is this."""
    first, second = evidence.boundaries[0], evidence.boundaries[1]
    leaf = boundary_leaf(0, boundary_hash([stream_root(each) for each in sums]))
    root = leaf
    for sibling in first.path:
        root = pair_hash(root, sibling)
    boundaries = {
        **evidence.boundaries,
        0: ShownBoundary(tuple(map(tuple, sums)), first.path),
        1: dataclasses.replace(second, path=(leaf, *second.path[1:])),
    }
    committed = dataclasses.replace(response, audit_root=root)
    return committed, dataclasses.replace(evidence, proofs=evidence.proofs[:1], boundaries=boundaries)


def test_boundaries_that_the_contracts_refuse(audited: Audited, auditor: Auditor) -> None:
    """Committed to all the same: streams of b_0 that nobody wrote, and sums in other coordinates or off the curve."""
    sums = audited.file.evidence.boundaries[0].sums
    x, y = sums[0][0]
    auditor.check(*_arguments(*_committed(audited.response, audited.file.evidence, sums)))
    for other, says in (
        ((sums[0], sums[0], *sums[2:]), "no stream with windows but the residual"),
        ((((x + BASE_MODULUS, y),), *sums[1:]), "no point of the curve"),
        ((((x, y + 1),), *sums[1:]), "no point of the curve"),
    ):
        with pytest.raises(ProofRejectedError, match=says):
            auditor.check(*_arguments(*_committed(audited.response, audited.file.evidence, other)))


def _arguments(response: AuditedResponse, evidence: Evidence) -> tuple[AuditedResponse, list[Item], Evidence]:
    return response, [StepItem(0, 0)], evidence


def test_an_input_of_other_tokens_is_none(audited: Audited, auditor: Auditor) -> None:
    """Steps alone would hold for any prompt: they start from whatever boundary 0 is."""
    evidence = dataclasses.replace(audited.file.evidence, proofs=audited.file.evidence.proofs[3:4])
    auditor.check(audited.response, [InputItem(0)], evidence)
    prompt = audited.response.prompt_ids
    for other in ((prompt[1], prompt[0], *prompt[2:]), (*prompt[:-1], 10**6)):
        with pytest.raises(ProofRejectedError, match="input, window 0"):
            auditor.check(dataclasses.replace(audited.response, prompt_ids=other), [InputItem(0)], evidence)


def test_a_tile_of_other_tokens_is_none(audited: Audited, auditor: Auditor) -> None:
    """Tokens, rows and tile are the auditor's to say; logits that were not committed are no boundary of the response."""
    evidence = dataclasses.replace(audited.file.evidence, proofs=audited.file.evidence.proofs[4:])
    response, items = audited.response, [TileItem(0, 0)]
    auditor.check(response, items, evidence)
    output = response.output_ids
    for other in ((output[0] ^ 1, *output[1:]), output[:-1], (*output, 1)):
        with pytest.raises(ProofRejectedError, match="head tile 0, window 0"):
            auditor.check(dataclasses.replace(response, output_ids=other), items, evidence)
    last = auditor.model.commitment.step_count
    logits = evidence.boundaries[last + 1]
    for sums in (((),), evidence.boundaries[last].sums[:1]):
        changed = {**evidence.boundaries, last + 1: dataclasses.replace(logits, sums=sums)}
        with pytest.raises(ProofRejectedError, match="not the one that the response committed to"):
            auditor.check(response, items, dataclasses.replace(evidence, boundaries=changed))


def test_the_proof_of_another_item_is_none(audited: Audited, auditor: Auditor) -> None:
    for item in (StepItem(1, 0), HeadItem(len(audited.response.prompt_ids), 1)):
        with pytest.raises(ProofRejectedError):
            auditor.check(audited.response, (item, *audited.file.items[1:2][:0]), dataclasses.replace(
                audited.file.evidence, proofs=audited.file.evidence.proofs[:1]
            ))  # fmt: skip


def test_another_response_or_model_is_none(audited: Audited, auditor: Auditor) -> None:
    response = audited.response
    others = [
        dataclasses.replace(response, audit_root=bytes(32)),
        dataclasses.replace(
            response, output_ids=((response.output_ids[0] + 1) % 100, *response.output_ids[1:])
        ),
    ]
    for other in others:
        with pytest.raises((ProofRejectedError, BadInputError)):
            auditor.check(other, audited.file.items, audited.file.evidence)


@pytest.mark.long
def test_substituted_layers_cannot_be_proven(
    tiny: IntegerModel, own: PrivateModel, srs: SRS, auditor: Auditor, tmp_path: Path
) -> None:
    """A provider that answers with other weights commits to what these gave, and proves no step of theirs."""
    layers = list(tiny.weights.layers)
    name = next(iter(layers[0]))
    matrix = layers[0][name]
    layers[0] = {**layers[0], name: dataclasses.replace(matrix, values=np.roll(np.array(matrix.values), 1))}
    cheap = dataclasses.replace(tiny, weights=dataclasses.replace(tiny.weights, layers=layers))
    journal = Journal(open_engine(f"sqlite:///{tmp_path}/node.db"))
    liar = build_node(cheap, journal, boundaries=BoundaryCommitter(cheap, own, srs))
    with TestClient(liar.app, raise_server_exceptions=False) as client:
        asked = AuditedProvider("", fetcher=Through(client))  # type: ignore[arg-type]
        receipt = answered(client)
        audit = asked.ask(receipt, KEYS[receipt], [StepItem(step, 0) for step in range(3)])
        liar.audits.step()
        try:
            evidence = asked.evidence(audit, 1.0)
        except AuditNotAnswered as refused:
            assert str(refused).endswith("this provider cannot prove what was named")
            return
        with pytest.raises(ProofRejectedError):
            auditor.check(
                asked.response(receipt).response, [StepItem(step, 0) for step in range(3)], evidence
            )


# --- what cannot be asked -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([], "names 1 to 64 items, not 0"),
        ([{"step": 10_000, "window": 0}], "step 10000 does not exist; the model has steps 0 to"),
        ([{"step": 0, "window": 1}], "window 1 does not exist; the response has windows 0 to 0"),
        ([{"step": 0, "window": 0}] * 2, "step 0, window 0 is named twice"),
        ([{"position": 0, "rival": 1}], "position 0 predicts no output token"),
        ([{"step": -1, "window": 0}], "items.0 must be"),
        ([{"input": 1}], "window 1 does not exist"),
        ([{"input": 0, "window": 0}], "items.0 must be"),
        ([{"tile": 1, "window": 0}], "head tile 1 does not exist; the model has tiles 0 to 0"),
        ([{"tile": 0, "window": 1}], "window 1 has no output token to prove; those from 0 to 0 have some"),
        ([{"tile": 0}], "items.0 must be"),
        ([{"step": 0, "window": 0, "layer": 3}], "items.0 must be"),
        ([{"step": True, "window": 0}], "items.0 must be"),
        ([{"step": step, "window": 0} for step in range(6)], "at most 5 items"),
        ([{"step": 0, "window": 0}] * 1000, "names 1 to 64 items"),
        (["step 0"], "items.0 must be"),
    ],
)
def test_items_that_there_are_not(client: TestClient, items: list[Any], says: str) -> None:
    receipt = answered(client, "what is asked", 2)
    refused = asked_for(client, receipt, items)
    assert refused.status_code == 400 and says in refused.json()["error"]["message"]


def test_a_foreign_receipt_and_one_asked_twice_or_too_late(
    client: TestClient, node: LocalNode, provider: AuditedProvider, audited: Audited
) -> None:
    item = [{"step": 0, "window": 0}]
    foreign = asked_for(client, "0x" + 64 * "a", item)
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (404, "receipt_not_found")
    twice = asked_for(client, audited.receipt, item)
    assert (twice.status_code, twice.json()["error"]["code"]) == (409, "audit_twice")
    assert audited.audit in twice.json()["error"]["message"]
    with pytest.raises(AuditNotAnswered, match="audited already"):
        provider.ask(audited.receipt, KEYS[audited.receipt], [StepItem(0, 0)])
    late = answered(client, "too late")
    row = node.journal.find_response(late)
    assert row is not None
    node.journal.set_response_states(row.batch_id, ResponseState.FINAL, only=[row.index_in_batch])
    refused = asked_for(client, late, item)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "audit_too_late")
    assert client.get("/v1/audits/nothing").status_code == 404


def test_a_public_model_is_re_run(tiny: IntegerModel, tmp_path: Path) -> None:
    public = build_node(tiny, Journal(open_engine(f"sqlite:///{tmp_path}/public.db")))
    with TestClient(public.app) as client:
        receipt = answered(client)
        refused = asked_for(client, receipt, [{"step": 0, "window": 0}])
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "audit_public")
        asked = AuditedProvider("", fetcher=Through(client))  # type: ignore[arg-type]
        with pytest.raises(BadInputError, match="public model"):
            asked.response(receipt)


def test_only_who_got_the_answer_spends_its_audit(
    client: TestClient, node: LocalNode, provider: AuditedProvider
) -> None:
    """A stranger reads receipt and ids like everybody, asks for harmless items first, and is refused; then the client is served."""
    receipt, other, item = answered(client, "mine", 1), answered(client, "another's", 1), [StepItem(0, 0)]
    row = node.journal.find_response(receipt)
    assert row is not None and client.get(f"/v1/receipts/{receipt}").status_code == 200
    public = [row.id, row.leaf, receipt, receipt[2:34], row.audit_root, "", "x", KEYS[other]]
    for key in (*public, KEYS[receipt][:-1], KEYS[receipt] + "0", row.audit_nonce[:32]):
        for name in (receipt, row.id, row.leaf):
            body = {"receipt": name, "key": key, "items": [{"step": 0, "window": 0}]}
            refused = client.post("/v1/audits", content=json.dumps(body))
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "audit_wrong_key")
            assert KEYS[receipt] not in refused.text and row.audit_nonce not in refused.text
    without = client.post("/v1/audits", json={"receipt": receipt, "items": [{"step": 0, "window": 0}]})
    assert without.status_code == 403 and without.json()["error"]["param"] == "key"
    for page in (f"/v1/receipts/{receipt}", f"/v1/responses/{receipt}", "/metrics"):
        assert KEYS[receipt] not in client.get(page).text
    audit = provider.ask(receipt, KEYS[receipt].upper(), item)
    # Neither the key nor the audit's id is anybody else's afterwards.
    stranger = client.post("/v1/audits", json={"receipt": receipt, "key": "", "items": []})
    assert stranger.status_code == 403 and audit not in stranger.text
    AuditBook(node.journal.engine).fail(audit, "ended by the test")


def test_the_key_is_in_the_last_chunk_of_a_stream(client: TestClient) -> None:
    body = {"model": "tiny", "prompt": "stream", "max_tokens": 2, "stream": True}
    lines = [line[6:] for line in client.post("/v1/completions", json=body).text.split("\n\n") if line]
    last = json.loads(lines[-2])
    KEYS[last["x_gainsay_receipt"]] = last["x_gainsay_audit_key"]
    bad = asked_for(client, last["x_gainsay_receipt"], [])  # past the key, stopped by the items
    assert bad.status_code == 400 and "names 1 to 64 items" in bad.text


def test_what_cannot_be_proven_in_time_is_not_taken_on(
    tiny: IntegerModel, own: PrivateModel, srs: SRS, tmp_path: Path
) -> None:
    """Two audits of two items fit; a third waits until one of them is over."""
    node = build_node(
        tiny,
        Journal(open_engine(f"sqlite:///{tmp_path}/node.db")),
        boundaries=BoundaryCommitter(tiny, own, srs),
    )
    capacity = Capacity(None, 1)
    capacity.note("trace", 0, 1.0)
    capacity.note("proof", 0, 2.0)
    node.audits._refusal = lambda audits, items: capacity.audit_reason(audits, items, 20)
    items = [{"step": step, "window": 0} for step in range(2)]
    with TestClient(node.app) as client:
        first, second, third = (answered(client, text, 1) for text in ("one", "two", "three"))
        assert asked_for(client, first, items).status_code == 202
        assert node.audits.waiting == (1, 2)
        assert asked_for(client, second, items).status_code == 202
        refused = asked_for(client, third, items)
        assert refused.status_code == 429 and int(refused.headers["Retry-After"]) > 0
        audit = AuditBook(node.journal.engine).next_waiting()
        assert audit is not None
        AuditBook(node.journal.engine).fail(audit.id, "ended by the test")
        assert asked_for(client, third, items).status_code == 202


def test_only_so_many_wait(client: TestClient, node: LocalNode) -> None:
    """They are journalled, so a flood would fill the disk and keep honest auditors waiting."""
    book, waiting = AuditBook(node.journal.engine), []
    while len(book.waiting()) < 4:
        receipt = answered(client, f"wait {len(waiting)}", 1)
        asked = asked_for(client, receipt, [{"step": 0, "window": 0}])
        assert asked.status_code == 202
        waiting.append(asked.json()["audit_id"])
    receipt = answered(client, "one too many", 1)
    refused = asked_for(client, receipt, [{"step": 0, "window": 0}])
    assert refused.status_code == 429 and "Retry-After" in refused.headers
    for audit in waiting:
        book.fail(audit, "ended by the test")


# --- hostile providers ------------------------------------------------------------------------------------------


def test_a_receipt_must_be_signed_by_its_key(audited: Audited) -> None:
    body, response = audited.file.signed.body, audited.response
    for path, value in (
        (("receipt", "audit_root"), _flip),
        (("domain", "chainId"), 5),
        (("signature",), _flip),
    ):
        with pytest.raises(ProofRejectedError, match="sign"):
            SignedResponse.read(_with(body, *path, value=value), response.prompt_ids, response.output_ids)
    with pytest.raises(BadInputError, match="token ids"):
        SignedResponse.read(body, response.prompt_ids, response.output_ids[:-1])


def _resigned(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The receipt of a provider that signs whatever it likes."""
    signer = LocalSigner()
    changed = {**body["receipt"], **changes, "signer": signer.address}
    receipt, _ = parse_receipt({"receipt": changed, "signature": "0x00"})
    domain = body["domain"]
    signature = sign_receipt(signer, receipt, domain["chainId"], domain["verifyingContract"])
    return {**body, "receipt": changed, "signature": "0x" + signature.hex()}


def test_a_signed_answer_that_is_void_on_chain_is_not_audited(audited: Audited) -> None:
    """Without tokens there would be no window to draw; a sampled one could be signed, and not proven."""
    body, response = audited.file.signed.body, audited.response
    prompt, output = response.prompt_ids, response.output_ids
    nothing = "0x" + token_ids_hash([]).hex()
    SignedResponse.read(_resigned(body), prompt, output)
    for changes, ids, says in (
        ({"prompt_length": 0, "prompt_hash": nothing}, ((), output), "the prompt has 0 tokens"),
        ({"output_length": 0, "output_hash": nothing}, (prompt, ()), "the output has 0 tokens"),
        ({"max_tokens": len(output) - 1}, (prompt, output), "for a limit of"),
        ({"sampling_hash": "0x" + sampling_word(Sampling(700, 1)).hex()}, (prompt, output), "not greedy"),
    ):
        with pytest.raises(ProofRejectedError, match=says):
            SignedResponse.read(_resigned(body, **changes), *ids)


def test_a_seed_that_did_not_draw_the_items_is_refused(audited: Audited, auditor: Auditor) -> None:
    """Who keeps a file could name harmless steps and say that a seed did."""
    model, response = auditor.model.commitment, audited.response
    drawn = drawn_items(bytes(32), model, response, 1, 1)
    assert drawn[1:] == (TileItem(0, 0),) and drawn_items(bytes(32), model, response, 0, 1) == drawn[1:]
    other = StepItem((drawn[0].step + 1) % model.step_count, 0)  # type: ignore[union-attr]
    for items in ((other, drawn[1]), (drawn[1], drawn[0]), audited.file.items):
        with pytest.raises(AuditItemError, match="draws other items"):
            dataclasses.replace(audited.file, items=items, seed=bytes(32)).check(auditor)
    with pytest.raises(ProofRejectedError):  # these it draws, and the evidence is about others
        dataclasses.replace(audited.file, items=drawn, seed=bytes(32)).check(auditor)
    with pytest.raises(BadInputError, match="32 bytes"):
        dataclasses.replace(audited.file, seed=b"short").check(auditor)


def test_an_answer_that_ends_where_it_must_not_is_not_audited(audited: Audited, auditor: Auditor) -> None:
    """All its steps are proven; what is missing is no step."""
    response, end = audited.response, auditor.model.commitment.end_tokens[0]
    longer = _resigned(audited.file.signed.body, max_tokens=len(response.output_ids) + 1)
    signed = SignedResponse.read(longer, response.prompt_ids, response.output_ids)
    with pytest.raises(ProofRejectedError, match="stops early"):
        dataclasses.replace(audited.file, signed=signed).check(auditor)
    ids = (end, *response.output_ids[1:])
    signed = SignedResponse.read(
        _resigned(audited.file.signed.body, output_hash="0x" + token_ids_hash(ids).hex()),
        response.prompt_ids,
        ids,
    )
    with pytest.raises(ProofRejectedError, match="runs on behind the end token at its place 0"):
        dataclasses.replace(audited.file, signed=signed).check(auditor)


@pytest.mark.parametrize(
    "evidence",
    [None, [], {}, {"proofs": ["0x1"], "boundaries": {}}, {"proofs": [], "boundaries": {"01": {}}},
     {"proofs": ["0x" + "00" * 70_000], "boundaries": {}}, {"proofs": [], "boundaries": {}, "more": 1}],
)  # fmt: skip
def test_nonsense_proves_nothing(evidence: Any) -> None:
    with pytest.raises(ProofRejectedError, match="malformed"):
        evidence_from_json(evidence)


class Hostile:
    """Answers everything with the same body."""

    def __init__(self, body: Any, status: int = 202) -> None:
        self._body, self._status = json.dumps(body).encode(), status

    def get(self, url: str, *, within_s: float, at_most_bytes: int) -> bytes:
        return self._body

    def post(self, url: str, content: bytes, *, within_s: float, at_most_bytes: int) -> tuple[int, bytes]:
        return self._status, self._body


def test_what_a_hostile_provider_answers_is_an_error_of_one_line() -> None:
    item = [StepItem(0, 0)]
    for body in ({}, [], {"audit_id": "../x"}, {"audit_id": "a" * 99}):
        with pytest.raises(ProviderUnreachable):
            AuditedProvider("", fetcher=Hostile(body)).ask("0x", "", item)  # type: ignore[arg-type]
    error = {"error": {"message": "no\n\x1b[31m" + "x" * 10_000}}
    with pytest.raises(AuditNotAnswered) as refused:
        AuditedProvider("", fetcher=Hostile(error, 400)).ask("0x", "", item)  # type: ignore[arg-type]
    assert len(str(refused.value)) < 400 and str(refused.value).isprintable()
    with pytest.raises(AuditNotAnswered, match="within"):
        AuditedProvider("", fetcher=Hostile({"state": "proving"})).evidence("a", 0.0)  # type: ignore[arg-type]
    with pytest.raises(ProviderUnreachable):
        AuditedProvider("", fetcher=Hostile(["proven"])).evidence("a", 1.0)  # type: ignore[arg-type]
    with pytest.raises(ProofRejectedError, match="malformed"):
        AuditedProvider("", fetcher=Hostile({"state": "proven"})).evidence("a", 1.0)  # type: ignore[arg-type]
    with pytest.raises((ProviderUnreachable, BadInputError)):
        AuditedProvider("", fetcher=Hostile({})).response("0x")  # type: ignore[arg-type]


# --- what goes wrong while proving ------------------------------------------------------------------------------


def test_an_audit_that_cannot_be_proven_holds_up_no_other(
    client: TestClient, node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever breaks, of any type; what is this machine's own fault is tried again instead."""
    book = AuditBook(node.journal.engine)
    item = [{"step": 0, "window": 0}]
    first, second = (
        asked_for(client, answered(client, text, 1), item).json()["audit_id"]
        for text in ("stuck", "behind it")
    )

    def broken(error: BaseException) -> None:
        def fails(*_: object) -> None:
            raise error

        monkeypatch.setattr(BoundaryCommitter, "again", fails)

    broken(DatabaseError("the disk is full"))
    with pytest.raises(DatabaseError):
        node.audits.step()
    assert {book.find(each).state for each in (first, second)} == {"waiting"}  # type: ignore[union-attr]
    broken(ZeroDivisionError("a number of the witness: 7"))
    for _ in range(2):
        node.audits.step()
    ended = [book.find(each) for each in (first, second)]
    assert [row.state for row in ended if row] == ["failed", "failed"]
    assert not any("7" in (row.failure or "") for row in ended if row)
