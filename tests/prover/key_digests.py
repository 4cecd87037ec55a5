"""Digests of canonical forms kept in a file: they must not change unless a statement does.

A model's id depends on them. The commitments of public tables are replaced by the generator of the curve, so that no SRS is
needed. When a change is meant, write the file again with

    python -m tests.prover.key_digests
"""

from __future__ import annotations

import json
from pathlib import Path

from eth_hash.auto import keccak

from prover.canonical_form import embedding_form, encode, step_form
from prover.curve.g1 import GENERATOR
from prover.embedding import TRANSCRIPT_DOMAIN as EMBEDDING_DOMAIN
from prover.plan import PRIVATE, Plan
from prover.program import WINDOW_ROWS
from prover.statement import TRANSCRIPT_DOMAIN
from tests.prover.architectures.random_models import FAMILIES

FILE = Path(__file__).parents[1] / "vectors" / "key_digests.json"
MU = 18


def form_of(plan: Plan) -> bytes:
    """The canonical form, with a placeholder for every commitment of a public table."""
    return encode(step_form(TRANSCRIPT_DOMAIN, plan, MU, [GENERATOR] * plan.table_layout(MU).chunks))


def digests() -> dict[str, str]:
    """Family and step kind -> digest."""
    found = {
        f"{family} {kind}": keccak(form_of(Plan(program, chunk_bits=MU))).hex()
        for family, config in FAMILIES.items()
        for kind, program in config.programs.items()
    }
    for kind, program in FAMILIES["llama"].programs.items():
        plan = Plan(program, chunk_bits=MU, privacy=PRIVATE)
        found[f"private llama {kind}"] = keccak(form_of(plan)).hex()
    return {**found, "embedding": keccak(encode(embedding_form(EMBEDDING_DOMAIN, WINDOW_ROWS, 5, MU))).hex()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(digests(), indent=1) + "\n", encoding="utf-8")
