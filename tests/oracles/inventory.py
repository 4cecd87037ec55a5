"""The Fiat-Shamir inventory of a statement: every transcript call in order, and what it absorbs.

Golden file: tests/golden/fiat_shamir.json. Page: docs/fiat_shamir.md. Rewrite both, from a run, with
`.venv/bin/python -m tests.oracles.inventory`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from prover.curve.srs import SRS
from prover.embedding import TRANSCRIPT_DOMAIN as EMBEDDING_DOMAIN
from prover.embedding import EmbeddingKey
from prover.masks import MASK_CHUNKS, mask_layout
from prover.plan import PUBLIC, Plan
from prover.program import WINDOW_ROWS
from prover.statement import TRANSCRIPT_DOMAIN, VerifyingKey, input_chunks

from ..verifier_gen.statements import Proven, prove_kind
from .hash_trace import Absorption, hashed_by_transcripts

_ROOT = Path(__file__).parents[2]
GOLDEN = _ROOT / "tests" / "golden" / "fiat_shamir.json"
PAGE = _ROOT / "docs" / "fiat_shamir.md"
CASES = {
    "mlp": ("mlp", 0, "MLP of a layer"),
    "keys_values": ("keys_values", 1, "Keys and values of a layer, window 1"),
    "attention_first_window": ("attention", 0, "Attention of a layer, window 0"),
    "attention": ("attention", 1, "Attention of a layer, window 1"),
    "keys_values_tile": ("keys_values_tile", 0, "Last tile of keys and values"),
    "keys_values_close": ("keys_values_close", 1, "Close of keys and values, window 1"),
    "query_tile": ("query_tile", 0, "Last tile of queries"),
    "query_close": ("query_close", 1, "Close of queries, window 1"),
    "attention_norm": ("attention_norm", 0, "Norm in front of the tiles of attention"),
    "attention_tile": ("attention_tile", 1, "Last tile of attention, window 1"),
    "attention_close": ("attention_close", 0, "Close of attention"),
    "mlp_norm": ("mlp_norm", 0, "Norm in front of the tiles of an MLP"),
    "mlp_tile": ("mlp_tile", 0, "Last tile of an MLP"),
    "mlp_close": ("mlp_close", 0, "Close of an MLP"),
    "head": ("head", 0, "One comparison of the head"),
    "private_mlp": ("private mlp", 0, "MLP of a private layer"),
    "private_head": ("private head", 0, "One comparison of the head of a private model"),
    "embedding": ("embedding", 0, "One window of the embedding"),
    "private_embedding": ("private embedding", 0, "One window of the embedding of a private model"),
}
"""Name in the golden file -> statement kind, window, heading of the page."""
SRS_BITS = 18
OPENING = {
    "mercury.alpha": ("h",),
    "mercury.gamma": ("q", "g"),
    "mercury.zeta": ("S", "D"),
    "mercury.beta": ("g(ζ), g(1/ζ), h(ζ), h(1/ζ), S(ζ), S(1/ζ)", "H"),
    "mercury.z": ("W",),
    "mercury.d": ("W′",),
}


@dataclass(frozen=True)
class Recorded:
    """A proven statement and everything that the prover's and the verifier's transcripts hashed."""

    proven: Proven
    by_prover: list[bytes]
    by_verifier: list[bytes]

    @property
    def domain(self) -> bytes:
        """The tag whose hash is the first state."""
        embedding = isinstance(self.proven.verifying_key, EmbeddingKey)
        return (EMBEDDING_DOMAIN if embedding else TRANSCRIPT_DOMAIN).encode()

    @property
    def absorptions(self) -> list[Absorption]:
        """The verifier's transcript calls."""
        return [Absorption.parse(hashed) for hashed in self.by_verifier[1:]]


def record(kind: str, window: int, srs: SRS) -> Recorded:
    """Prove a small random statement and verify it, listening to both transcripts."""
    with hashed_by_transcripts() as by_prover:
        proven = prove_kind(kind, srs, window)
    with hashed_by_transcripts() as by_verifier:
        accepted = proven.python_accepts(proven.key, proven.inputs, proven.proof)
    if not accepted:
        raise AssertionError(f"the reference verifier rejects an honest {kind} proof")
    return Recorded(proven, by_prover, by_verifier)


@dataclass(frozen=True)
class Site:
    """Consecutive calls under one label, with consecutive indices and equally many words."""

    label: str
    first: int
    calls: int
    words: int

    def __str__(self) -> str:
        start = f" from {self.first}" if self.first else ""
        return f"{self.label}{start} x{self.calls} ({self.words} words)"


def sites(absorptions: Iterable[Absorption]) -> list[Site]:
    """The inventory: calls in order, runs folded."""
    runs = groupby(
        enumerate(absorptions), key=lambda at: (at[1].label, len(at[1].words), at[1].index - at[0])
    )
    found = []
    for (label, words, _), run in runs:
        members = [item for _, item in run]
        found.append(Site(label, members[0].index, len(members), words))
    return found


# --- what the words are -----------------------------------------------------------------------------------


def absorbed(recorded: Recorded) -> dict[str, list[tuple[str, int]]]:
    """Label -> (item, words) of everything that a call under it absorbs, in order."""
    key = recorded.proven.verifying_key
    if isinstance(key, EmbeddingKey):
        rows = [(f"commitments of rows 0 to {WINDOW_ROWS - 1}", 2 * WINDOW_ROWS), ("window commitment", 2)]
        public = [("statement digest", 1), ("SRS digest", 1), *rows]
        if key.privacy == PUBLIC:
            return {"embedding.z": public}
        return {"embedding.z": [*public, ("P", 2)], "embedding.epsilon": [("v", 1)]}
    return _of_step(key, recorded.proven)


def _of_step(key: VerifyingKey, proven: Proven) -> dict[str, list[tuple[str, int]]]:
    plan, names = key.plan, key.plan.program.public_scalars
    publics = dict(zip(names, proven.inputs[: len(names)], strict=True))
    context_bits = 5 + (publics["window"].bit_length() if plan.program.has_context else 0)
    chunks = input_chunks(plan, publics, key.chunk_bits)
    several = Counter(tensor for tensor, _ in chunks)
    inputs = [(f"{name} chunk {i}" if several[name] > 1 else name, 2) for name, i in chunks]
    masks = mask_layout(plan)
    opening = {
        label: [(item, item.count(",") + 1 if "(" in item else 2) for item in items]
        for label, items in OPENING.items()
    }
    last = {}
    if masks is not None:
        opening["mercury.alpha"].insert(0, ("b*", 1))
        degrees = ", ".join(str(degree) for degree in (0, *range(2, masks.last_degree + 1)))
        last["round"] = [(f"coefficients {degrees} of the last round polynomial", masks.last_degree)]
    return {
        **{_longer(label, items): items for label, items in last.items()},
        "statement": [
            ("verifying key digest", 1),
            ("SRS digest", 1),
            ("step key digest", 1),
            *((name, 1) for name in names),
            *((f"commitment of {name}", words) for name, words in inputs),
        ],
        "beta": [
            *_zones(plan, 1, context_bits, key.chunk_bits),
            *([("commitments of the two mask chunks", 2 * len(MASK_CHUNKS))] if masks else []),
        ],
        "alpha": _zones(plan, 2, context_bits, key.chunk_bits),
        "round": [("coefficients 0, 2, 3, 4 of the round polynomial", 4)],
        "eta": _evaluations(plan),
        "reduction.round": [("coefficients 0, 2 of the round polynomial", 2)],
        **opening,
    }


def _longer(label: str, items: Sequence[tuple[str, int]]) -> str:
    """The key of calls under a label that absorb more words than others under it."""
    return f"{label} of {sum(words for _, words in items)}"


def _zones(plan: Plan, phase: int, context_bits: int, chunk_bits: int) -> list[tuple[str, int]]:
    """Chunk commitments of the tensors that a phase packs."""
    found = []
    for zone in plan.zones:
        if zone.phase == phase:
            count = len(zone.committed(context_bits, chunk_bits))
            tensors = ", ".join(f"`{name}`" for name, _, _ in zone.places)
            found.append((f"{count} commitment{'s' if count > 1 else ''} of {tensors}", 2 * count))
    return found


def _evaluations(plan: Plan) -> list[tuple[str, int]]:
    """Tensors in order, with the number of points at which each is evaluated in a row."""
    runs = [(name, len(list(run))) for name, run in groupby(plan.sent, key=lambda e: e.tensor)]
    return [(f"`{name}`" if count == 1 else f"`{name}` at {count} points", count) for name, count in runs]


# --- golden file and page ---------------------------------------------------------------------------------

_INTRODUCTION = """\
# What the transcript absorbs, and when

Made by `python -m tests.oracles.inventory` from a run; tests check that it is current. Do not edit.

Each call hashes `state || label and index || words`; the hash is the new state and, modulo the field order, the
challenge. One row stands for consecutive calls under one label, with indices from 0. What a call absorbs stands in
its row, so every challenge depends on all rows above it and on its own.

| tested | in |
| --- | --- |
| prover, reference verifier and generated contract hash the same bytes in the same order; the contract's are read from its byte code, by tracing every KECCAK256 | `tests/oracles/test_fiat_shamir.py` |
| the words after the statement are the proof, every byte once and in order; the step key is hashed as a whole | same |
| without any one absorption the reference verifier rejects an honest proof, and hashes other bytes than the contract | same |
| a changed bit of any word changes every challenge from its own call on, and none before | same |

`mercury.d` is the one absorption whose absence no honest proof shows: d joins two pairing equations that both hold, so
any d will do. Its absence shows in the bytes.

Shapes: a small random layer (`tests/prover/operators/random_layers.py`) under 2^{mu} powers; other shapes have other
numbers of words, rounds and commitments, and the same labels.
"""


def page(recordings: dict[str, Recorded], mu: int) -> str:
    """The page, one table per statement. Raises ValueError when the names do not cover a call's words."""
    parts = [_INTRODUCTION.format(mu=mu)]
    for name, recorded in recordings.items():
        names = absorbed(recorded)
        calls, hashed = len(recorded.by_verifier) - 1, sum(len(data) for data in recorded.by_verifier[1:])
        parts.append(
            f"## {CASES[name][2]}\n\nDomain tag `{recorded.domain.decode()}`, "
            f"{calls} call{'s' if calls > 1 else ''}, {hashed:,} bytes hashed"
            + (f", and the step key of {len(recorded.proven.key):,} bytes" if recorded.proven.key else "")
            + ".\n\n| label | calls | words each | absorbs |\n| --- | --- | --- | --- |\n"
            + "".join(
                _row(site, names.get(f"{site.label} of {site.words}", names.get(site.label, ())))
                for site in sites(recorded.absorptions)
            )
        )
    return "\n".join(parts)


def _row(site: Site, items: Sequence[tuple[str, int]]) -> str:
    if sum(words for _, words in items) != site.words:
        raise ValueError(f"{site} has {sum(words for _, words in items)} named words")
    what = "; ".join(item for item, _ in items) or "–"
    return f"| `{site.label}` | {site.calls} | {site.words} | {what} |\n"


def golden(recordings: dict[str, Recorded]) -> dict[str, list[str]]:
    """The content of the golden file."""
    return {
        name: [str(site) for site in sites(recorded.absorptions)] for name, recorded in recordings.items()
    }


if __name__ == "__main__":
    runs = {name: record(kind, window, SRS.devnet(SRS_BITS)) for name, (kind, window, _) in CASES.items()}
    GOLDEN.write_text(json.dumps(golden(runs), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(runs, SRS_BITS), encoding="utf-8")
