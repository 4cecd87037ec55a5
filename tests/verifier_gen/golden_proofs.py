"""Proofs kept in a file: what was accepted once stays accepted, by the Python verifier and by the generated ones.

The file holds every statement kind on small random layers (`tests/prover/operators/random_layers.py`), and what other
families have of their own (`tests/prover/architectures/random_models.py`), under the insecure devnet SRS. It holds all that a verifier needs, so that reading it proves nothing anew. A change of the
protocol, of a relation or of the encoding must be made on purpose: then write it again with

    python -m tests.verifier_gen.golden_proofs
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

from prover.architectures import ModelConfig
from prover.curve.srs import SRS
from prover.embedding import EmbeddingKey
from prover.plan import Plan
from prover.program import WINDOW_ROWS
from prover.statement import VerifyingKey
from tests.prover.architectures.random_models import FAMILIES
from tests.prover.operators.random_layers import SMALL, TILED, shape_of
from tests.verifier_gen.statements import TILES, Proven, privacy_of, prove_random, prove_random_embedding

FILE = Path(__file__).parents[1] / "vectors" / "step_proofs.json"
ORIGIN = "python -m tests.verifier_gen.golden_proofs: random layers of tests/prover/operators and tests/prover/architectures, seed 1, devnet SRS"
WIDE = replace(SMALL, hidden=130, feed_forward=150, activation_bits=14)
"""In chunks of 2^14 a weight takes several, the range table eight, the activation's table one; the output fills
half of one."""
LONG = replace(SMALL, heads=8, kv_heads=4, max_positions=2048)
"""At window 40 what grows with the context takes several chunks of 2^18, and the largest tensor two of its own."""
SEVERAL_CHUNKS = replace(SMALL, hidden=40, heads=16, kv_heads=8, head_size=16)
"""A chunk of 2^14 holds four windows of keys, which have 2^12 entries; tables of attention take several too."""
SEVERAL_CHUNKS_OF_TILES = replace(SEVERAL_CHUNKS, step_weights=8192)
"""The same with a tile per four groups of keys."""
PADDED_HEADS = replace(SMALL, heads=15, kv_heads=5)
"""Three queries in each of five groups: 15 of 32 places are heads."""
STATEMENTS = {
    "head": ("head", 0, 18, SMALL),
    "mlp": ("mlp", 0, 18, SMALL),
    "private mlp": ("private mlp", 0, 18, SMALL),
    "keys and values of window 0": ("keys_values", 0, 18, SMALL),
    "keys and values of window 5": ("keys_values", 5, 18, SMALL),
    "keys and values at the end of a chunk": ("keys_values", 3, 14, SEVERAL_CHUNKS),
    "keys and values in the next chunk": ("keys_values", 4, 14, SEVERAL_CHUNKS),
    "attention of window 0": ("attention", 0, 18, SMALL),
    "attention of window 2": ("attention", 2, 18, SMALL),
    "mlp in small chunks": ("mlp", 0, 14, WIDE),
    "attention of window 40": ("attention", 40, 18, LONG),
    "attention over one chunk": ("attention", 3, 14, SEVERAL_CHUNKS),
    "attention over two chunks": ("attention", 4, 14, SEVERAL_CHUNKS),
    "attention of several heads in a chunk": ("attention", 1, 14, PADDED_HEADS),
    "attention of several chunks in a head": ("attention", 7, 12, SMALL),
    **{f"{kind} of window {window}": (kind, window, 18, shape_of(kind)) for kind, window in TILES},
    "keys and values from normalised rows": ("keys_values", 1, 18, TILED),
    "attention_tile over two chunks": ("attention_tile", 4, 14, SEVERAL_CHUNKS_OF_TILES),
    "embedding": ("embedding", 0, 18, SMALL),
    "embedding of a full window": ("embedding", 0, 18, SMALL),
}
"""Name -> kind, window, mu, shape."""
EMBEDDED_TOKENS = {"embedding": 29, "embedding of a full window": WINDOW_ROWS}
FAMILY_STATEMENTS = {
    f"{family} {kind} of window {window}, layer {layer}": (family, kind, window, layer)
    for family, kind, window, layer in (
        ("gpt2", "head", 0, 0),
        ("gpt2", "mlp", 0, 0),
        ("gpt2", "positions", 1, 0),
        ("gpt2", "keys_values", 1, 0),
        ("gpt2", "attention", 1, 0),
        ("qwen2", "keys_values", 0, 0),
        ("qwen2", "attention", 0, 0),
        ("qwen3", "keys_values", 1, 0),
        ("qwen3", "attention", 1, 0),
        ("olmo2", "keys_values", 1, 0),  # a norm over all heads together
        ("olmo2", "attention", 1, 0),
        ("gemma3", "keys_values", 2, 0),  # a local layer
        ("gemma3", "keys_values", 2, 1),
        ("gemma3", "mlp", 0, 0),
        ("gemma3", "attention", 0, 0),  # before the first row that a local layer no longer sees
        ("gemma3", "attention", 2, 0),
        ("gemma3", "attention", 2, 1),  # a global layer
        ("mixtral", "router", 0, 0),
        ("mixtral", "expert_tile", 0, 0),
        ("deepseek-v3", "router", 0, 0),  # groups of experts, and one that every row has
        ("deepseek-v3", "keys_values", 1, 0),
        ("deepseek-v3", "attention", 1, 0),  # over latents
        ("deepseek-v3-tiled", "query_latent", 0, 0),
        ("deepseek-v3-tiled", "attention_tile", 1, 0),
        ("deepseek-v3-cut", "query_latent_tile", 0, 0),
        ("deepseek-v3-cut", "query_latent_close", 0, 0),
        ("llama-local-tiled", "attention_tile", 2, 0),  # a tile per query head, a bias, a local layer
        ("llama-local-tiled", "attention_close", 0, 0),  # a bias at the scale of the sum
        ("smollm3-tiled", "attention_tile", 1, 1),  # a layer without positions
        ("gpt2-tiled", "attention_norm", 0, 0),  # a LayerNorm that is a stream
        ("gpt2-tiled", "keys_values_close", 1, 0),  # biases, nothing turned
        ("gpt2-tiled", "mlp_tile", 0, 0),
        ("olmo2-tiled", "attention_tile", 1, 0),  # queries of a stream, two tiles for each group
        ("gemma3-tiled", "attention_close", 0, 0),  # a norm behind the sum
    )
}
"""Name -> family, kind, window, layer: what no statement of a Llama has."""
DEPLOYED_MU = 18
"""Of the statements about families, and of the lies."""
LIES = ("truthful", "adjusted")
"""Proofs of a false head statement by `tests/tampering/malicious_prover.py`: in the first one the final check of the
sumcheck is false, in the second one the claim of one evaluation; both are decided by the opening's pairing."""


@cache
def golden(name: str) -> Proven:
    """A true statement of the file, of STATEMENTS or FAMILY_STATEMENTS."""
    family = FAMILY_STATEMENTS.get(name)
    return _read(_stored()["statements"][name], FAMILIES[family[0]] if family else STATEMENTS[name][3])


@cache
def golden_lie(name: str) -> Proven:
    """The false one with its proof, by what the malicious prover did."""
    return _read(_stored()["lies"][name], SMALL)


@cache
def _stored() -> dict[str, dict]:  # type: ignore[type-arg]
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


def _read(facts: dict, config: ModelConfig) -> Proven:  # type: ignore[type-arg]
    srs = (bytes.fromhex(facts["srs_digest"]), *(_pairs(facts[name]) for name in ("g2_one", "g2_tau")))
    key: VerifyingKey | EmbeddingKey
    if facts["kind"] == "embedding":
        key = EmbeddingKey(SMALL.channel_bits, facts["mu"], *srs)
    else:
        constants = tuple((int(x, 16), int(y, 16)) for x, y in facts["constants"])
        plain, privacy = privacy_of(facts["kind"])
        plan = Plan(config.programs[plain], chunk_bits=facts["mu"], privacy=privacy)
        key = VerifyingKey(plan, facts["mu"], *srs, constants)
    words = bytes.fromhex(facts["inputs"])
    inputs = [int.from_bytes(words[i : i + 32], "big") for i in range(0, len(words), 32)]
    return Proven(facts["kind"], key, bytes.fromhex(facts["key"]), inputs, bytes.fromhex(facts["proof"]))


def _pairs(words: list[str]) -> tuple[tuple[int, int], tuple[int, int]]:
    a, b, c, d = (int(word, 16) for word in words)
    return (a, b), (c, d)


def _facts(proven: Proven, mu: int) -> dict[str, object]:
    key = proven.verifying_key
    return {
        "kind": proven.kind,
        "mu": mu,
        "srs_digest": key.srs_digest.hex(),
        "g2_one": [hex(c) for pair in key.g2_one for c in pair],
        "g2_tau": [hex(c) for pair in key.g2_tau for c in pair],
        "constants": [
            [hex(c) for c in point] for point in (() if isinstance(key, EmbeddingKey) else key.constants)
        ],
        "key": proven.key.hex(),
        "inputs": b"".join(word.to_bytes(32, "big") for word in proven.inputs).hex(),
        "proof": proven.proof.hex(),
    }


def _lies() -> dict[str, object]:
    from tests.tampering.lies import Case, rival_wins
    from tests.tampering.malicious_prover import MaliciousProver

    case = Case.true("head")
    rival_wins(case)
    statement, srs = (
        case.statement,
        SRS.devnet(DEPLOYED_MU),
    )  # its points are those of a smaller SRS of the same tau
    key = VerifyingKey.create(case.program, srs)
    words = [statement.publics[name] for name in case.program.public_scalars]
    words += [coordinate for point in statement.inputs for coordinate in point]
    proofs = MaliciousProver(key, srs, statement, case.tensors).cheat()
    lies = {name: Proven("head", key, statement.key.encode(), words, proofs[name].encode()) for name in LIES}
    return {name: _facts(lie, srs.mu) for name, lie in lies.items()}


def write() -> None:
    """Prove every statement and write the file."""
    from tests.prover.architectures.proven import proven as prove_family

    statements = {}
    for name, (kind, window, mu, config) in STATEMENTS.items():
        srs = SRS.devnet(mu)
        if kind == "embedding":
            proven = prove_random_embedding(srs, tokens=EMBEDDED_TOKENS[name])
        else:
            proven = prove_random(kind, srs, window, config)
        statements[name] = _facts(proven, mu)
    for name, (family, kind, window, layer) in FAMILY_STATEMENTS.items():
        true = prove_family(family, kind, window, layer, DEPLOYED_MU)
        statements[name] = _facts(Proven(kind, true.key, *true.calldata), DEPLOYED_MU)
    text = json.dumps({"origin": ORIGIN, "statements": statements, "lies": _lies()}, indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
