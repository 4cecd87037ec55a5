"""Prover, reference verifier and byte code hash the same; nothing that is sent or public escapes the transcript."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

import pytest
from eth_hash.auto import keccak

from contracts.bindings.compiler import compile_sources
from prover.argument.transcript import Transcript
from prover.curve.srs import SRS
from prover.embedding import EmbeddingKey
from tests.oracles.hash_trace import WORD, Absorption, TracingEvm, hashed_by_transcripts
from tests.oracles.inventory import CASES, GOLDEN, PAGE, SRS_BITS, Recorded, absorbed, golden, page, sites
from tests.prover.operators.random_layers import SMALL
from tests.verifier_gen.evm import ACCEPTED, Verifier
from verifier_gen import generate_sources

Recordings = Callable[[str], Recorded]
Verifiers = Callable[[str], Verifier]
UNSEEN = "mercury.d"
"""Any d joins two pairing equations that both hold: no honest proof shows that W' was not absorbed."""

ABSORBING_CALL = re.compile(
    r"(?<!function )challenge\((?P<label>\w+), (?P<size>0x[0-9a-f]+|size|add\(size, 0x[0-9a-f]+\))\)"
)

SIMILAR = (
    "attention_first_window",
    "attention_tile",
    "attention_close",
    "mlp_norm",
    "mlp_tile",
    "keys_values_close",
    "query_tile",
    "query_close",
    "private_mlp",
)
"""In the long tests: another case absorbs the same kinds of word. What they hash stands in the golden file all the same."""
ALL = [pytest.param(case, marks=pytest.mark.long if case in SIMILAR else ()) for case in CASES]
every_case = pytest.mark.parametrize("case", ALL)
every_step = pytest.mark.parametrize(
    "case", [case for case in ALL if not case.values[0].endswith("embedding")]
)


# --- what is hashed ---------------------------------------------------------------------------------------


@every_case
def test_prover_and_verifier_hash_the_same_bytes(recorded: Recordings, case: str) -> None:
    assert recorded(case).by_prover == recorded(case).by_verifier


@every_case
def test_the_byte_code_hashes_the_same_bytes(
    recorded: Recordings, evm: TracingEvm, verifier_of: Verifiers, case: str
) -> None:
    """In the same order, and nothing else but the step key. (The hash of the domain tag is a constant of the code.)"""
    run = recorded(case)
    proven = run.proven
    on_chain = evm.hashed(verifier_of(proven.kind), proven.key, proven.inputs, proven.proof)
    is_step = not isinstance(proven.verifying_key, EmbeddingKey)
    assert on_chain == [*([proven.key] if is_step else []), *run.by_verifier[1:]]


@every_case
def test_the_inventory_is_pinned(recorded: Recordings, case: str) -> None:
    """A change of what is absorbed, or in which order, is made on purpose: python -m tests.oracles.inventory."""
    assert golden({case: recorded(case)})[case] == json.loads(GOLDEN.read_text())[case]


@pytest.mark.long
def test_the_page_is_current(recorded: Recordings) -> None:
    runs = {case: recorded(case) for case in CASES}
    assert PAGE.read_text(encoding="utf-8") == page(runs, SRS_BITS), "run python -m tests.oracles.inventory"
    assert set(json.loads(GOLDEN.read_text())) == set(CASES)


@every_case
def test_every_state_is_the_hash_of_the_call_before(recorded: Recordings, case: str) -> None:
    run = recorded(case)
    assert run.by_verifier[0] == run.domain
    states = [keccak(hashed) for hashed in run.by_verifier]
    assert [item.state for item in run.absorptions] == states[:-1]
    assert len({(item.label, item.index) for item in run.absorptions}) == len(run.absorptions)


# --- nothing escapes --------------------------------------------------------------------------------------


@every_step
def test_every_byte_of_key_inputs_and_proof_is_hashed_once(recorded: Recordings, case: str) -> None:
    """Statement: three digests and all inputs; after it, the proof from its first byte to its last."""
    run = recorded(case)
    proven, (first, *later) = run.proven, run.absorptions
    key = proven.verifying_key
    digests = [key.digest, key.srs_digest, keccak(proven.key)]
    assert first.label == "statement"
    assert first.words == (*(int.from_bytes(digest, "big") for digest in digests), *proven.inputs)
    assert b"".join(item.data for item in later) == proven.proof


def test_every_byte_of_an_embedding_statement_is_hashed_once(recorded: Recordings) -> None:
    """Its quotient is the last message: no challenge follows that it could predict."""
    run = recorded("embedding")
    key, (only,) = run.proven.verifying_key, run.absorptions
    assert only.words[:2] == tuple(int.from_bytes(d, "big") for d in (key.digest, key.srs_digest))
    assert list(only.words[2:]) == run.proven.inputs


def test_a_private_embeddings_mask_and_value_are_hashed_before_what_they_must_not_know(
    recorded: Recordings,
) -> None:
    """P before z, v before epsilon; b* and the quotient are determined by the equation."""
    run = recorded("private_embedding")
    first, second = run.absorptions
    sent = [int.from_bytes(run.proven.proof[i : i + WORD], "big") for i in range(0, 192, WORD)]
    assert list(first.words[2:]) == [*run.proven.inputs, *sent[:2]] and list(second.words) == sent[2:3]


@every_case
def test_a_changed_bit_changes_every_later_challenge(recorded: Recordings, case: str) -> None:
    """One bit of each absorbed word, a different one each time; challenges before its own call stay."""
    run = recorded(case)
    honest = _challenges(run)
    for site, item in enumerate(run.absorptions):
        for position in range(len(item.words)):
            changed = _challenges(run, site, position, 1 << (7 * site + 11 * position) % (8 * WORD))
            assert changed[:site] == honest[:site]
            assert all(new != old for new, old in zip(changed[site:], honest[site:], strict=True))


def _challenges(run: Recorded, site: int = -1, position: int = 0, mask: int = 0) -> list[int]:
    """The challenges when one word of one call is another."""
    transcript = Transcript(run.domain.decode())
    found = []
    for at, item in enumerate(run.absorptions):
        words = list(item.words)
        if at == site:
            words[position] ^= mask
        found.append(transcript.challenge(item.label, words, item.index))
    return found


# --- removals ---------------------------------------------------------------------------------------------


def _without(
    monkeypatch: pytest.MonkeyPatch, run: Recorded, label: str, index: int, keep: Callable[[int], bool]
) -> tuple[bool, list[bytes]]:
    """The verdict on an honest proof, and the bytes hashed, when one call leaves out words."""
    original = Transcript.challenge

    def forgetful(self: Transcript, name: str, words: Iterable[int] = (), number: int = 0) -> int:
        if (name, number) == (label, index):
            words = [word for position, word in enumerate(words) if keep(position)]
        return original(self, name, words, number)

    with monkeypatch.context() as patch, hashed_by_transcripts() as hashed:
        patch.setattr(Transcript, "challenge", forgetful)
        accepted = run.proven.python_accepts(run.proven.key, run.proven.inputs, run.proven.proof)
    return accepted, hashed


def _removals(run: Recorded) -> list[Absorption]:
    return [item for item in run.absorptions if item.words]


@every_case
def test_removing_any_one_absorption_is_noticed(
    recorded: Recordings, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """By the verdict, and by the bytes: they are no longer those of the contract and of the pinned inventory.

    The contract hashes the bytes of the reference (tested above), so the same holds for it.
    """
    run = recorded(case)
    pinned = json.loads(GOLDEN.read_text())[case]
    for item in _removals(run):
        accepted, hashed = _without(monkeypatch, run, item.label, item.index, lambda _: False)
        assert accepted == (item.label == UNSEEN), (item.label, item.index)
        assert hashed != run.by_verifier[: len(hashed)]
        if len(hashed) == len(run.by_verifier):  # else the verifier stopped before the transcript's end
            assert [str(s) for s in sites(Absorption.parse(data) for data in hashed[1:])] != pinned


@pytest.mark.parametrize(
    "case",
    [
        case
        if case.marks or case.values[0] in ("mlp", "private_head")
        else pytest.param(*case.values, marks=pytest.mark.long)
        for case in ALL
    ],
)
def test_removing_any_one_word_is_noticed(
    recorded: Recordings, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    run = recorded(case)
    for item in _removals(run):
        for left_out in range(len(item.words)):
            accepted, hashed = _without(
                monkeypatch, run, item.label, item.index, lambda at, gone=left_out: at != gone
            )
            assert accepted == (item.label == UNSEEN), (item.label, item.index, left_out)
            assert hashed != run.by_verifier[: len(hashed)]


@pytest.mark.long
def test_removing_any_one_absorption_from_the_contract_is_noticed(
    recorded: Recordings, evm: TracingEvm, srs: SRS
) -> None:
    """Each absorbing call of the source in turn absorbs nothing: another verdict or other bytes."""
    run = recorded("head")
    proven = run.proven
    source = generate_sources(SMALL, srs)["HeadVerifier.sol"]
    calls = list(ABSORBING_CALL.finditer(source))
    labels = [match["label"] for match in calls]
    assert len(calls) == len({site.label for site in sites(run.absorptions) if site.words})
    forgetful = {
        f"Forgetful{number}": source[: match.start("size")] + "0" + source[match.end("size") :]
        for number, match in enumerate(calls)
    }
    artifacts = compile_sources(
        {f"{name}.sol": text.replace("HeadVerifier", name) for name, text in forgetful.items()}
    )
    for name, label in zip(forgetful, labels, strict=True):
        verifier = evm.deploy(artifacts[name].creation_code)
        accepted = verifier.verdict(proven.key, proven.inputs, proven.proof) == ACCEPTED
        assert accepted == (label == "LABEL_MERCURY_D"), label
        if accepted:
            on_chain = evm.hashed(verifier, proven.key, proven.inputs, proven.proof)
            assert on_chain[1:-1] == run.by_verifier[1:-1] and on_chain[-1] != run.by_verifier[-1]


def test_a_page_that_does_not_name_every_word_is_refused(recorded: Recordings) -> None:
    run = recorded("head")
    assert sum(words for _, words in absorbed(run)["statement"]) == len(run.absorptions[0].words)
    foreign = Recorded(recorded("mlp").proven, run.by_prover, run.by_verifier)
    with pytest.raises(ValueError, match="named words"):
        page({"head": foreign}, SRS_BITS)
