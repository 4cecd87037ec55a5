"""The head in audit form, from a response to proofs: right tokens are proven in every tile, others in one tile less."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from prover.architectures.audit_steps import HEAD_TILE, audit_schedule, audit_steps, head_tiles
from prover.architectures.shapes import SHAPE
from prover.audits.head_tiles import HeadAudit, head_tile_publics
from prover.errors import BadInputError, ProofRejectedError
from prover.model.execute import Executor
from prover.model.library import load_model
from prover.model.weights import IntegerModel
from prover.operators.head_pair import RivalWins
from prover.plan import PRIVATE, PUBLIC, Privacy
from prover.program import OutOfRange, RunContext
from prover.proof_file import ProofFile
from prover.proof_subject import subject_of
from prover.token_forms import END, FIRST, TOKENS
from prover.verify import verify
from tests.prover.statements import srs

IDS_OF_A_TILE = 128
PROMPT = [40 + (7 * position) % 90 for position in range(40)]
FAMILIES = ["tiny", "tiny-gpt2", "tiny-gemma3"]
"""Without and with a bias of the head, and with rows of 20 bits."""


@cache
def model_of(name: str) -> IntegerModel:
    """Three tiles, the last one with ids behind the vocabulary; tokens 7 and 11 have one head row, as have 130 and 140."""
    loaded = load_model(name)
    head = np.array(loaded.weights.head)
    for twin, token in ((11, 7), (140, 130)):
        head[twin] = head[token]
    config = replace(loaded.config, step_weights=loaded.config.head_inputs * IDS_OF_A_TILE)
    return replace(loaded, config=config, weights=replace(loaded.weights, head=head))


def audit_of(name: str, output: list[int], model: IntegerModel | None = None) -> HeadAudit:
    return HeadAudit(model or model_of(name), srs(), PROMPT, output)


@cache
def greedy(name: str, count: int = 5) -> tuple[int, ...]:
    output: list[int] = []
    executor = Executor(model_of(name))
    for _ in range(count):
        rows = executor.feed([*PROMPT, *output], executor.start())
        output.append(int(executor.predictions(rows[-1:])[0]))
    return tuple(output)


def proven_tiles(audit: HeadAudit, window: int) -> list[bool]:
    """Which tiles have a witness."""
    found = []
    for tile in range(audit.tiles.count):
        program = audit.verifying_key().plan.program
        try:
            program.witness(audit.tensors(window, tile), {}, audit.publics(window, tile))
            found.append(True)
        except RivalWins:
            found.append(False)
    return found


USUAL = {("tiny", 0, PRIVATE), ("tiny", 1, PUBLIC), ("tiny-gpt2", 2, PRIVATE)}
PROVEN = [
    pytest.param(*case, marks=() if case in USUAL else pytest.mark.long)
    for case in product(FAMILIES, range(3), (PUBLIC, PRIVATE))
]


@pytest.mark.parametrize(("name", "tile", "privacy"), PROVEN)
def test_greedy_tokens_are_proven_in_every_tile(name: str, tile: int, privacy: Privacy) -> None:
    audit = audit_of(name, list(greedy(name)))
    assert audit.tiles.count == len(audit_schedule(audit.model.config)) == 3
    assert list(audit.windows) == [1]
    statement, proof = audit.prove(1, tile, privacy)
    assert (statement.publics[FIRST], statement.publics[END]) == (7, 12)
    verify(audit.verifying_key(privacy), statement, proof)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_the_tiles_compute_is_what_the_executor_does(name: str) -> None:
    """Biases, ids behind the vocabulary, and the order of the tiles."""
    audit = audit_of(name, list(greedy(name)))
    tiles = np.concatenate([audit.tile_logits(1, tile) for tile in range(audit.tiles.count)], axis=1)
    rows = audit.rows(1)
    assert np.array_equal(tiles, Executor(audit.model).logits(rows))
    tokens = np.array(greedy(name))
    assert np.array_equal(audit.chosen_logits(1)[7:12], tiles[np.arange(7, 12), tokens])
    assert not audit.chosen_logits(1)[12:].any() and not audit.chosen_logits(1)[:7].any()


def forced(name: str, token: int) -> IntegerModel:
    """A model that says `token` (and what has its head row) whenever it can: its row is the last row of the text, normalised."""
    model = model_of(name)
    audit = audit_of(name, list(greedy(name)))
    x = np.asarray(audit.rows(1)[7], dtype=np.float64)
    head = np.array(model.weights.head)
    direction = np.round(x / np.abs(x).max() * ((1 << (model.config.head_rule.bits - 2)) - 1)).astype(
        head.dtype
    )
    for like in (token, *{7: (11,), 130: (140,)}.get(token, ())):
        head[like, : len(direction)] = direction
    return replace(model, weights=replace(model.weights, head=head))


@pytest.mark.parametrize(("smaller", "larger"), [(7, 11), (130, 140)])
def test_a_tie_is_the_smaller_ids(smaller: int, larger: int) -> None:
    """Equal logits: the smaller id has proofs in every tile, the larger one none in the tile of the smaller."""
    model = forced("tiny", smaller)
    audit = audit_of("tiny", [smaller], model)
    logits = Executor(model).logits(audit.rows(1)[7:8])[0]
    assert logits[smaller] == logits[larger] == logits.max()
    assert proven_tiles(audit, 1) == [True, True, True]
    tied = proven_tiles(audit_of("tiny", [larger], model), 1)
    assert tied == [tile != smaller // IDS_OF_A_TILE for tile in range(3)]


def test_a_wrong_token_loses_in_the_tile_of_the_right_one() -> None:
    """The second best token loses there alone, any other in more tiles."""
    right = list(greedy("tiny"))
    truth = audit_of("tiny", right)
    for place in (0, 4):
        logits = Executor(truth.model).logits(truth.rows(1)[7 + place : 8 + place])[0]
        order = np.lexsort((np.arange(len(logits)), -logits))
        tile = right[place] // IDS_OF_A_TILE
        assert order[0] == right[place]
        for wrong in (order[1], order[-1]):
            tiles = proven_tiles(audit_of("tiny", [*right[:place], int(wrong)]), 1)
            assert not tiles[tile]
            assert wrong != order[1] or tiles.count(False) == 1


def test_another_logit_than_the_tokens_loses_in_its_tile() -> None:
    """Raised above every other: the liar's way to have a proof against every other id."""
    audit = audit_of("tiny", [(greedy("tiny")[0] + IDS_OF_A_TILE) % 256])
    token = audit.output_ids[0]
    raised = audit.chosen_logits(1).copy()
    raised[7] = 1 << 34
    audit._logits[1] = raised
    assert proven_tiles(audit, 1) == [tile != token // IDS_OF_A_TILE for tile in range(3)]


def test_a_logit_where_none_counts_is_refused() -> None:
    audit = audit_of("tiny", list(greedy("tiny")))
    for row in (6, 12):
        audit._logits[1] = audit.chosen_logits(1).copy()
        audit._logits[1][row] = 1
        assert proven_tiles(audit, 1) == [False, False, False]
        audit._logits.clear()


def test_tokens_of_another_row_or_response_are_another_statement() -> None:
    """Changed publicly only: the proof is of the tokens that it was made for."""
    audit = audit_of("tiny", list(greedy("tiny")))
    key = audit.verifying_key()
    statement, proof = audit.prove(1, 0)
    shifted = dict(zip(TOKENS, [statement.publics[name] for name in (*TOKENS[1:], TOKENS[0])], strict=True))
    others = [
        {TOKENS[7]: statement.publics[TOKENS[7]] ^ 1},
        {TOKENS[0]: 1},  # of a row that does not count
        shifted,
        {FIRST: 8},
        {FIRST: 6},
        {END: 11},
        {END: 13},
        {"tile": 1},
    ]
    for other in others:
        with pytest.raises(ProofRejectedError):
            verify(key, replace(statement, publics={**statement.publics, **other}), proof)
    for name, value in ((TOKENS[7], audit.model.config.vocabulary), ("tile", 3), (END, 33), (FIRST, 32)):
        with pytest.raises(BadInputError, match=name):
            verify(key, replace(statement, publics={**statement.publics, name: value}), proof)


def test_a_private_proof_is_carried_by_a_file(tmp_path: Path) -> None:
    """And says which tokens beat which ids, once it is verified."""
    audit = audit_of("tiny", list(greedy("tiny")))
    statement, proof = audit.prove(1, 2, PRIVATE)
    file = ProofFile(
        kind=HEAD_TILE,
        architecture=audit.model.config,
        srs=srs().digest.hex(),
        publics=statement.publics,
        inputs=statement.inputs,
        key=statement.key.encode(),
        proof=proof,
        model="tiny",
        about="an audit",
        privacy=PRIVATE,
    )
    file.save(tmp_path / "proof.json")
    loaded = ProofFile.load(tmp_path / "proof.json")
    loaded.verify(srs())
    subject = subject_of(loaded)
    assert subject.sentence.startswith(f"next tokens {greedy('tiny')[0]} at row 7, ")
    assert "of a window beat ids 256 to 258, of a private model" in subject.sentence
    assert subject.facts["tokens"] == dict(zip(range(7, 12), greedy("tiny"), strict=True))
    with pytest.raises(ProofRejectedError):
        replace(loaded, publics={**loaded.publics, TOKENS[7]: greedy("tiny")[0] ^ 1}).verify(srs())


def test_rows_that_count_follow_from_the_lengths() -> None:
    """Prompts that end in an earlier window, at its end, and in this one; responses that end in this one or a later."""
    for prompt, output, window, rows in (
        (1, 5, 0, (0, 5)),
        (32, 1, 0, (31, 32)),
        (33, 4, 1, (0, 4)),
        (40, 60, 1, (7, 32)),
        (40, 60, 2, (0, 32)),
        (40, 60, 3, (0, 3)),
    ):
        ids = list(range(100, 100 + prompt + output))
        publics = head_tile_publics(ids[:prompt], ids[prompt:], window, 0)
        assert (publics[FIRST], publics[END]) == rows
        expected = [101 + 32 * window + row if row in range(*rows) else 0 for row in range(32)]
        assert [publics[name] for name in TOKENS] == expected
    with pytest.raises(BadInputError, match="no output token follows"):
        head_tile_publics(list(range(40)), [1], 0, 0)


def test_what_does_not_exist_is_named() -> None:
    audit = audit_of("tiny", list(greedy("tiny")))
    with pytest.raises(BadInputError, match=r"window 0 has no output token; the response has some in 1\.\.1"):
        audit.publics(0, 0)
    with pytest.raises(BadInputError, match=r"tile 3 does not exist; the head has tiles 0\.\.2"):
        audit.publics(1, 3)


def test_a_norm_without_a_proof_is_refused_in_any_row() -> None:
    """In one that does not count, too: the statement is about the norms of all rows."""
    shape = replace(SHAPE, hidden=1100)  # sqrt(1100) 2^10 is beyond 16 bits
    rows = np.ones((32, shape.hidden), dtype=np.int64)
    rows[2, 5] = 1 << 20
    norm, _ = audit_steps(shape)[HEAD_TILE].program.operators
    context = RunContext({"window": rows}, {}, lambda *_: rows, np.arange(32))
    with pytest.raises(OutOfRange, match="normalised at position 2"):
        norm.run(context)


def test_tiles_cover_the_vocabulary_once() -> None:
    for name in FAMILIES:
        tiles = head_tiles(model_of(name).config)
        assert tiles.size == IDS_OF_A_TILE
        assert {tiles.tile_of(token) for token in range(tiles.vocabulary)} == set(range(tiles.count))
