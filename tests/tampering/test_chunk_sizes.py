"""Sizes of an SRS under which the argument would prove something else: what it would prove, and that no key is made.

The keys of the attacks are made by hand, past the check of VerifyingKey.create.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import prover.prove
from prover.argument.commitment import commit_field, commit_integers
from prover.argument.mercury import MercuryRejected, verify_mercury
from prover.argument.multilinear import eq_table, evaluate
from prover.argument.transcript import Transcript
from prover.committed_values import commit_step_key
from prover.curve.srs import SRS
from prover.curve.srs_cli import app
from prover.embedding import EmbeddingKey
from prover.errors import BadInputError, ChunkSizeError
from prover.field import arrays
from prover.field.arrays import MODULUS
from prover.plan import Plan
from prover.prove import prove
from prover.statement import Statement, VerifyingKey
from prover.verify import verify
from tests.oracles.ceremony import write_ceremony
from tests.verifier_gen.golden_proofs import WIDE

from ..prover.operators.random_layers import KINDS, SMALL, program_of, random_statement
from .long_opening import open_longer

ODD = 9


def test_with_an_odd_number_of_variables_a_false_value_opens() -> None:
    """Of 2^9 coefficients b = 2^4 rows of 2^4 are opened, with the first 2^4 of the 2^5 weights of a row."""
    srs = SRS.devnet(ODD + 1)
    b = 1 << (ODD // 2)
    generator = np.random.default_rng(4)
    f = arrays.zeros(1 << ODD)
    f[: b * b] = arrays.from_int64(generator.integers(-40_000, 40_000, b * b))
    u = [int.from_bytes(generator.bytes(31), "big") for _ in range(ODD)]
    rows, columns = (arrays.to_ints(eq_table(part)) for part in (u[: ODD // 2], u[ODD // 2 :]))
    entries = arrays.to_ints(f)
    false = sum(entries[i * b + j] * rows[i] * columns[j] for i in range(b) for j in range(b)) % MODULUS
    assert false != evaluate(f, u)
    opening = open_longer(srs.g1, f, {}, u, false, Transcript("odd"), "long h")
    verify_mercury(commit_field(srs.g1, f), u, false, opening, srs.g2_one, srs.g2_tau, Transcript("odd"))
    with pytest.raises(MercuryRejected):  # and the true one does not
        verify_mercury(
            commit_field(srs.g1, f), u, evaluate(f, u), opening, srs.g2_one, srs.g2_tau, Transcript("odd")
        )


def test_of_a_window_longer_than_a_chunk_a_part_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks of 2^12, 16 of the 32 rows of 2^8: of the others nothing is said, whatever they are."""
    mu = 12
    srs = SRS.devnet(mu)
    config = replace(WIDE, activation_bits=12)
    case = random_statement("mlp", config=config)
    for name in ("w_gate", "w_up"):
        case.tensors[name] //= 32  # into the small activation table
    window = case.tensors["before"].copy()
    plan = Plan(case.program)
    tables = {tensor.name: tensor.values() for tensor in plan.constants if tensor.values is not None}
    constants = [commit_integers(srs.g1, chunk) for chunk in plan.table_layout(mu).pack(tables)]
    key = VerifyingKey(plan, mu, srs.digest, srs.g2_one, srs.g2_tau, tuple(constants))

    def commitment(values: np.ndarray) -> tuple[int, int]:
        """All that an SRS of 2^mu can commit to."""
        return commit_integers(srs.g1, values.reshape(-1)[: 1 << mu])

    whole = case.witness()
    inputs = (commitment(whole["before"]), commitment(whole["after"]))
    assert whole["after"][16:].any()
    case.tensors["before"] = window.copy()
    case.tensors["before"][16:] = 0  # what the verifier takes for the window
    halved = case.witness()
    assert (halved["after"][16:] != whole["after"][16:]).any()
    monkeypatch.setattr(
        prover.prove, "boundary_chunks", lambda _, __, values, *___: [values.reshape(-1)[: 1 << mu]]
    )
    statement = Statement(commit_step_key(plan, srs, case.parameters, case.tensors), {}, inputs)
    verify(key, statement, prove(key, srs, statement, halved).encode())


# --- no such key is made ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_key_has_an_odd_mu(kind: str) -> None:
    with pytest.raises(
        ChunkSizeError, match=r"2\^17 powers .* mu must be even; import the ceremony with --mu 16"
    ):
        VerifyingKey.create(program_of(kind), _without_powers(17))


@pytest.mark.parametrize("kind", WIDE.programs)
def test_no_step_key_has_a_window_longer_than_a_chunk(kind: str) -> None:
    """32 rows of 2^8 entries."""
    with pytest.raises(ChunkSizeError, match=r"2\^13 entries.* 2\^12 powers .*--mu 14"):
        VerifyingKey.create(WIDE.programs[kind], _without_powers(12))


def test_no_step_key_has_more_coordinates_beyond_the_output_than_challenges() -> None:
    tiny = replace(SMALL, hidden=2, heads=1, kv_heads=1, head_size=2, feed_forward=2)
    program = tiny.programs["mlp"]
    plan = Plan(program)
    assert (plan.variables(5), [plan.output_bits(output) for output in plan.outputs]) == (18, [6])
    with pytest.raises(ChunkSizeError, match=r"at most 2\^24 powers"):
        VerifyingKey.create(program, _without_powers(26))


def test_no_embedding_key_has_them_either() -> None:
    for mu, message in ((17, "mu must be even"), (12, r"2\^13 entries")):
        with pytest.raises(ChunkSizeError, match=message):
            EmbeddingKey.create(8, _without_powers(mu))
    assert EmbeddingKey.create(8, _without_powers(14)).chunk_bits == 14  # a window that fills its chunk


def test_the_command_imports_no_odd_number_of_powers(tmp_path: Path) -> None:
    """No key could be made of them, and the user would learn it only when a model has been committed."""
    ceremony, output = tmp_path / "small.ptau", tmp_path / "small.srs"
    write_ceremony(ceremony, 6)
    result = CliRunner().invoke(app, ["import", str(ceremony), str(output), "--mu", "5"])
    assert isinstance(result.exception, ChunkSizeError) and "--mu 4" in str(result.exception)
    assert isinstance(result.exception, BadInputError) and not output.exists()
    assert CliRunner().invoke(app, ["import", str(ceremony), str(output), "--mu", "4"]).exit_code == 0
    assert SRS.load(output).mu == 4


def _without_powers(mu: int) -> SRS:
    """Sizes are checked before any power is used."""
    return replace(SRS.devnet(2), mu=mu)
