"""The soundness error of real shapes is far below what docs/proof-system.md#soundness promises, and the command prints it."""

from __future__ import annotations

import json
from dataclasses import replace
from math import log2
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from prover.architectures.llama import LlamaConfig
from prover.cli import prove, verify
from prover.field.arrays import MODULUS
from prover.masks import last_round_degree
from prover.plan import Plan
from prover.soundness import (
    COMPUTATIONAL_BITS,
    GRINDING_BITS,
    PUBLISHED_POWERS,
    Soundness,
    embedding_soundness,
    step_soundness,
)

MU = 18
SMOLLM2_135M = LlamaConfig(
    layers=30,
    hidden=576,
    heads=9,
    kv_heads=3,
    head_size=64,
    feed_forward=1536,
    vocabulary=49_152,
    rope_base=100_000,
    norm_epsilon=1e-5,
    max_positions=2048,
)
PROMISED = 1e-60


LLAMA_70B = replace(
    SMOLLM2_135M,
    hidden=8192,
    heads=64,
    kv_heads=8,
    head_size=128,
    feed_forward=28_672,
    max_positions=16_384,
)


def _of(kind: str, context_bits: int) -> Soundness:
    if kind in LLAMA_70B.programs and kind not in SMOLLM2_135M.programs:
        return step_soundness(Plan(LLAMA_70B.programs[kind], chunk_bits=MU), context_bits, MU)
    if kind == "embedding":
        return embedding_soundness(SMOLLM2_135M.channel_bits)
    return step_soundness(Plan(SMOLLM2_135M.programs[kind]), context_bits, MU)


@pytest.mark.parametrize(
    ("kind", "context_bits"),
    [
        *((kind, 5) for kind in ("keys_values", "attention", "mlp", "head", "embedding")),
        ("attention", 11),
        *((kind, 5) for kind in LLAMA_70B.kinds),
        ("attention_tile", 14),
    ],
)
def test_the_real_model_keeps_the_promise(kind: str, context_bits: int) -> None:
    soundness = _of(kind, context_bits)
    assert all(term.roots > 0 for term in soundness.terms)
    assert 0 < soundness.probability < PROMISED
    assert sum(2**term.log2 for term in soundness.terms) == pytest.approx(soundness.probability)
    assert len({term.name for term in soundness.terms}) == len(soundness.terms)


def test_known_terms_of_an_mlp_step() -> None:
    """Counted by hand: 18 rounds of degree 4; 2 x (range 2^17 + activation 2^18) rows; 2^9 + 6 * 2^15 + 8 * 2^16."""
    terms = {term.name.split(":")[0]: term for term in _of("mlp", 5).terms}
    assert terms["r"].roots == 4 * 18
    assert terms["beta"].roots == 2 * (2**17 + 2**18)
    assert terms["gamma"].roots == 2 * (2**9 + 6 * 2**15 + 8 * 2**16 + 2**17 + 2**18)
    assert terms["r"].log2 == pytest.approx(log2(72) - log2(MODULUS))


def test_terms_of_degree_are_those_of_the_largest_ceremony() -> None:
    """Counted by hand: 2^29 - 1 powers in G1, b = 2^9; whoever commits has all of them, whatever the SRS keeps."""
    published = 2**29 - 1
    assert published == PUBLISHED_POWERS
    terms = {term.name.split(":")[0]: term.roots for term in _of("mlp", 5).terms}
    assert terms["Mercury zeta"] == 5 * published + 2**9
    assert terms["Mercury beta, z, d"] == 3 + published + 2 + 1
    assert terms["Mercury alpha"] == 2**20  # rows of 2^9
    assert terms["Mercury gamma"] == 2
    plan = Plan(SMOLLM2_135M.programs["mlp"])
    assert terms["eta, q"] == len(plan.sent) + 1 + 18 + 9 + 1
    assert terms["rho, r"] == 18
    keys = Plan(SMOLLM2_135M.programs["keys_values"])
    terms = {term.name.split(":")[0]: term.roots for term in _of("keys_values", 5).terms}
    assert terms["eta"] == len(keys.sent) + 2
    assert terms["eta, q"] == 2 * (len(keys.sent) + 2 + 18 + 9 + 1)
    assert terms["rho, r"] == 2 * 18
    (embedding, _) = _of("embedding", 5).terms
    assert embedding.roots == published - 1 + 31 * 2**10


def test_an_output_that_fills_its_chunk_has_the_power_of_a_sent_evaluation() -> None:
    """Nothing of the chunk lies beyond it, so one term less."""
    program = replace(SMOLLM2_135M, hidden=8192, heads=128, kv_heads=128).programs["mlp_tile"]
    assert Plan(program).fills_chunk(Plan(program).outputs[0], 18)
    names = [
        {term.name.split(":")[0] for term in step_soundness(Plan(program, chunk_bits=mu), 5, mu).terms}
        for mu in (18, 20)
    ]
    assert names[1] - names[0] == {"rho, r"} and "eta, q" in names[0]


def test_known_terms_of_tiles_at_a_width_of_8192() -> None:
    """Counted by hand. A tile has 2^8 hidden channels (3 * 8192 * 2^8 weights); its sum fills a chunk of 2^18. How large the
    sums are makes no difference: the relation is of one degree in them."""
    terms = {term.name.split(":")[0]: term.roots for term in _of("mlp_tile", 5).terms}
    tiles = LLAMA_70B.mlp.tiles
    assert tiles is not None and tiles.size == 2**8
    assert terms["beta"] == 2 * (2**17 + 2**18)
    hidden = 2 ** (5 + 8)
    assert terms["gamma"] == 2 * (8 * hidden + 2**17 + 2**18)
    plan = Plan(LLAMA_70B.programs["mlp_tile"], chunk_bits=MU)
    assert "rho, r" not in terms and terms["eta"] == len(plan.sent)
    assert terms["eta, q"] == len(plan.sent) + 18 + 9 + 1
    assert terms["r"] == 4 * 18  # 2^5 rows of 2^13 channels; no product has more


def test_longer_contexts_cost_soundness() -> None:
    attention = Plan(SMOLLM2_135M.programs["attention"])
    errors = [step_soundness(attention, t, MU).probability for t in range(5, 12)]
    assert errors == sorted(errors)


def test_the_hash_costs_less_than_a_bit() -> None:
    """Keccak modulo r: 2^256 / r = 5.29, so the likeliest challenges have 6 / 5.29 times their share."""
    soundness = _of("mlp", 5)
    *terms, bias = soundness.terms
    assert float(bias.roots / sum(term.roots for term in terms)) == pytest.approx(0.1341, abs=1e-4)


def test_verify_explains(tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    app = typer.Typer()
    app.command()(prove)
    app.command()(verify)
    runner = CliRunner()
    made = runner.invoke(
        app,
        [
            *[
                "prove",
                "--prompt",
                "hi",
                "--raw",
                "--step",
                "embedding",
                "--position",
                "0",
                "--max-tokens",
                "1",
                "--out",
            ],
            str(file),
        ],
    )
    assert made.exit_code == 0, made.output
    text = runner.invoke(app, ["verify", str(file), "--explain"]).output
    assert "soundness error, embedding statement" in text and "BN254" in text
    facts = json.loads(runner.invoke(app, ["verify", str(file), "--explain", "--json"]).output)
    assert facts["soundness"]["total_log10"] < -60
    assert "soundness" not in json.loads(runner.invoke(app, ["verify", str(file), "--json"]).output)


def test_the_figures_in_the_security_page_are_current() -> None:
    page = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    columns = [
        _of(kind, t)
        for kind, t in (("mlp", 5), ("keys_values", 5), ("attention", 5), ("attention", 11), ("head", 5))
    ]
    found = [{term.name: f"{term.log10:.1f}" for term in soundness.terms} for soundness in columns]
    for name in found[0]:  # an MLP step has every term; a head has no output
        assert (
            f"| {name} | {' | '.join(column.get(name, '') for column in found)} |".replace("  ", " ") in page
        )
    totals = [soundness.total for soundness in columns]
    assert f"| **total** | {' | '.join(f'**{total.log10:.1f}**' for total in totals)} |" in page
    assert f"error 10^{_of('embedding', 5).total.log10:.1f}" in page
    assert GRINDING_BITS == COMPUTATIONAL_BITS
    assert f"trying 2^{GRINDING_BITS} messages" in page
    assert f"at most 2^{max(total.log2 for total in totals) + GRINDING_BITS:.0f}" in page


@pytest.mark.parametrize("kind", ["mlp", "attention", "head"])
def test_terms_of_private_statements(kind: str) -> None:
    """D (N - 1) + D_N roots in r; one power of alpha and of eta more; the mask chunks once beside the outputs."""
    program = SMOLLM2_135M.programs[kind]
    public, private = (
        {term.name.split(":")[0]: term.roots for term in step_soundness(plan, 5, MU).terms}
        for plan in (Plan(program, chunk_bits=MU), Plan(program, chunk_bits=MU, privacy="private"))
    )
    plan = Plan(program, chunk_bits=MU)
    assert last_round_degree(plan) == 7
    assert private["r"] - public["r"] == 7 - 4
    assert private["alpha"] - public["alpha"] == private["eta"] - public["eta"] == 1
    outputs = len(plan.outputs)
    beyond = outputs + (private["eta"] + MU + MU // 2) if outputs else 0
    assert private.get("eta, q", 0) - public.get("eta, q", 0) == beyond
    same = set(public) - {"r", "alpha", "eta", "eta, q", "Fiat-Shamir"}
    assert {name: public[name] for name in same} == {name: private[name] for name in same}
