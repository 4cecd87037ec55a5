"""Statements of other families than Llama: no changed word is accepted, and no forged witness can be proven."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prover.errors import BadInputError, ProofRejectedError
from prover.statement import StepKey
from prover.verify import verify

from ..prover.architectures.proven import Proven, proven, public_statement
from ..prover.architectures.random_models import FAMILIES
from ..prover.statements import srs
from .malicious_prover import MaliciousProver

WORD = 32
STATEMENTS = [
    ("gpt2", "head", 0),
    ("gpt2", "mlp", 0),
    *((family, kind, 1) for family in ("gpt2", "gemma3") for kind in ("keys_values", "attention")),
    ("gpt2", "positions", 1),
    *(("mixtral", kind, 0) for kind in ("router", "expert_tile")),
    *(("deepseek-v3", kind, 1) for kind in ("keys_values", "attention", "router")),
    ("deepseek-v3-tiled", "attention_tile", 1),
    *(
        ("llama-local-tiled", kind, 1)
        for kind in ("attention_tile", "attention_close", "mlp_tile", "mlp_close")
    ),
    ("llama-tiled", "keys_values", 1),
]
LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("family", "kind", "window"),
    [pytest.param(*case, marks=() if case[1] == "head" else LONG) for case in STATEMENTS],
)
def test_no_changed_word_of_a_proof_is_accepted(family: str, kind: str, window: int) -> None:
    case = proven(family, kind, window)
    words = len(case.proof) // WORD
    for index in range(0, words, 1 if kind == "head" else 3):
        word = int.from_bytes(case.proof[WORD * index : WORD * (index + 1)], "big")
        for changed in (word + 1, word ^ 1 << 200):
            encoded = bytearray(case.proof)
            encoded[WORD * index : WORD * (index + 1)] = (changed % (1 << 256)).to_bytes(WORD, "big")
            assert _is_rejected(case, case.statement.key, bytes(encoded)), (index, changed)


@pytest.mark.parametrize(
    ("family", "kind", "window"),
    [pytest.param(*case, marks=LONG) for case in STATEMENTS if case[1] != "head"],
)
def test_no_changed_step_key_is_accepted(family: str, kind: str, window: int) -> None:
    """Every parameter, the layer kind included, and every commitment: matrices, biases, gains, positions."""
    case = proven(family, kind, window)
    key = case.statement.key
    for index, value in enumerate(key.parameters):
        for changed in {0, value - 1, value % 16 + 1, 17} - {value}:
            parameters = (*key.parameters[:index], changed, *key.parameters[index + 1 :])
            assert _is_rejected(case, replace(key, parameters=parameters), case.proof), (index, changed)
    for index, point in enumerate(key.points):
        other = (1, 2) if point != (1, 2) else (0, 0)
        points = (*key.points[:index], other, *key.points[index + 1 :])
        assert _is_rejected(case, replace(key, points=points), case.proof), index


def _is_rejected(case: Proven, key: StepKey, proof: bytes) -> bool:
    try:
        verify(case.key, replace(case.statement, key=key), proof)
    except (ProofRejectedError, BadInputError):
        return True
    return False


FORGERIES = [
    ("gpt2", "head", 0, "normalised_variance"),
    *(("gpt2", "mlp", 0, name) for name in ("normalised_sum", "normalised_variance", "normalised", "up")),
    ("gpt2", "attention", 1, "normalised_sum"),
    *(("olmo2", "keys_values", 1, name) for name in ("raw_key", "key_root", "key_mean_square")),
    ("olmo2", "attention", 1, "query_mean_square"),
    ("gpt2", "positions", 1, "after_high"),
    *(("mixtral", "router", 0, name) for name in ("router_logits", "picked_threshold", "max_selector")),
    *(("mixtral", "expert_tile", 0, name) for name in ("routed", "gated", "gated_high")),
    *(
        ("deepseek-v3", "router", 0, name)
        for name in ("router_scores", "best", "group_scores", "picked_groups", "picked", "score_sum")
    ),
    *(("deepseek-v3", "attention", 1, name) for name in ("absorbed", "mixed", "attended")),
    ("smollm3", "attention", 1, "rotated_query"),
    ("llama-local", "attention", 2, "distance_high"),
    *(("llama-local-tiled", kind, 1, "sum_after") for kind in ("attention_tile", "mlp_tile")),
    ("llama-tiled", "mlp_close", 0, "after"),
    *(
        ("gemma3", "attention", 1, name)
        for name in (
            "raw_query",
            "query_root",
            "projected",
            "summand_root",
            "max_selector",
        )
    ),
    *(("gemma3", "keys_values", 1, name) for name in ("key", "key_root", "values_high", "keys_remainder")),
]


@pytest.mark.parametrize(
    ("family", "kind", "window", "tensor"),
    [pytest.param(*case, marks=() if case[1] == "head" else LONG) for case in FORGERIES],
)
def test_a_forged_witness_value_is_rejected(family: str, kind: str, window: int, tensor: str) -> None:
    """A prover that goes on regardless, and repairs the final check, is stopped by the check or by the opening."""
    key, statement, tensors = public_statement(FAMILIES[family], kind, window)
    forged = np.array(tensors[tensor], order="C")
    forged.reshape(-1)[forged.size // 3] += 1
    assert not np.array_equal(forged, tensors[tensor])
    tensors[tensor] = forged
    for proof in MaliciousProver(key, srs(), statement, tensors).cheat().values():
        with pytest.raises(ProofRejectedError):
            verify(key, statement, proof.encode())
