"""What a verified proof file is about, as far as that follows from its statement: never from its labels.

The statement is the architecture, the step key, the public integers and the commitments. Alone it says of which
operators and sizes a step is. With a model's commitment, the key tells the layer and the row commitments tell the
tokens. Which text the window was part of, and whose model it is otherwise, only the label says.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .architectures.audit_steps import head_tiles
from .architectures.config import HEAD, ScheduledStep
from .curve.g1 import INFINITY, Point, point_to_bytes
from .errors import ProofRejectedError
from .plan import PUBLIC
from .program import WINDOW_ROWS
from .proof_file import ProofFile
from .sampling import ZERO
from .token_forms import TILE, TOKENS, counted_rows

if TYPE_CHECKING:
    from .model_commitment import ModelCommitment

_SHOWN = 8
_LONGEST_LABEL = 200


@dataclass(frozen=True)
class ProofSubject:
    """One sentence without a full stop, and the same as JSON values."""

    sentence: str
    facts: dict[str, Any] = field(default_factory=dict)


def subject_of(proof: ProofFile) -> ProofSubject:
    """What the statement says by itself."""
    article = "a" if proof.privacy == PUBLIC else "a private"
    shape = f"{article} model of the {proof.architecture.family} architecture with {proof.architecture.hidden} channels"
    match proof.kind:
        case "embedding":
            rows = sum(point != INFINITY for point in proof.inputs[:-1])
            return ProofSubject(f"a window of {rows} embedding rows of {shape}", {"rows": rows})
        case "head":
            beats, facts = _comparison(proof)
            return ProofSubject(
                f"at row {facts['row']} of a window one head row {beats} another, of {shape}", facts
            )
        case "head_tile":
            return _head_tile(proof, shape)
    kind = ScheduledStep(proof.kind, 0, once=True)
    window, facts = _window(proof)
    return ProofSubject(f"{window} of a step of kind {kind} of {shape}", facts)


def _head_tile(proof: ProofFile, shape: str) -> ProofSubject:
    """Which tokens at which rows beat which ids; without rows that count the statement says nothing."""
    tiles, tile = head_tiles(proof.architecture), proof.publics[TILE]
    ids = range(tile * tiles.size, min((tile + 1) * tiles.size, tiles.vocabulary))
    tokens = {row: proof.publics[TOKENS[row]] for row in counted_rows(proof.publics)}
    shown = ", ".join(f"{token} at row {row}" for row, token in list(tokens.items())[:_SHOWN])
    more = f" and {len(tokens) - _SHOWN} more" if len(tokens) > _SHOWN else ""
    return ProofSubject(
        f"next tokens {shown or 'of no row'}{more} of a window beat ids {ids.start} to {ids.stop - 1}, of {shape}",
        {"tokens": tokens, "ids": [ids.start, ids.stop - 1]},
    )


def subject_in_model(proof: ProofFile, name: str, commitment: ModelCommitment, digest: bytes) -> ProofSubject:
    """What the statement says about a model with this commitment; `digest` is that of the proof's architecture.

    Raises ProofRejectedError when architecture (which says whether the model is private), step key or token rows are not the model's.
    """
    if proof.privacy != commitment.privacy:
        raise ProofRejectedError(f"the proof is {proof.privacy}, and {name} is a {commitment.privacy} model")
    if digest != commitment.architecture_digest:
        raise ProofRejectedError(f"the proof's architecture is not that of {name}; name the model it is for")
    if proof.kind == "embedding":
        return _embedding(proof, name, commitment)
    if proof.kind == HEAD:
        return _head(proof, name, commitment)
    return _step(proof, name, commitment)


def label_of(proof: ProofFile) -> dict[str, str]:
    """What the file's author wrote, in one printable line each. It can be a lie."""
    return {"about": _printable(proof.about), "model": _printable(proof.model)}


def _step(proof: ProofFile, name: str, commitment: ModelCommitment) -> ProofSubject:
    steps = [
        step
        for step, key in zip(commitment.schedule, commitment.step_keys, strict=True)
        if key == proof.key and step.kind == proof.kind
    ]
    if not steps:
        raise ProofRejectedError(f"the step key is not one of {name}'s {proof.kind} steps")
    window, facts = _window(proof)
    shown = " or ".join(str(step) for step in steps[:3])
    more = f" or {len(steps) - 3} others" if len(steps) > 3 else ""
    layers = sorted({step.layer for step in steps})
    return ProofSubject(f"{window} of {shown}{more}, of {name}", {"layers": layers, **facts})


def _window(proof: ProofFile) -> tuple[str, dict[str, Any]]:
    """Which window a statement is about, where it says so."""
    if "window" not in proof.publics:
        return "one window", {}
    return f"window {proof.publics['window']}", {"window": proof.publics["window"]}


def _embedding(proof: ProofFile, name: str, commitment: ModelCommitment) -> ProofSubject:
    known, rows = _tokens_by_row(commitment, 0), proof.inputs[:-1]
    count = len(rows)
    while count and rows[count - 1] == INFINITY:
        count -= 1
    tokens = [_looked_up(known, row, name) for row in rows[:count]]
    shown = ", ".join(_either(same) for same in tokens[:_SHOWN])
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    padding = f", then {WINDOW_ROWS - count} rows of padding" if count < WINDOW_ROWS else ""
    return ProofSubject(f"the embedding of tokens {shown}{more} of {name}{padding}", {"tokens": tokens})


def _head(proof: ProofFile, name: str, commitment: ModelCommitment) -> ProofSubject:
    known = _tokens_by_row(commitment, 1)
    chosen, rival = (_looked_up(known, row, name) for row in proof.inputs[:2])
    pairs = [(c, r) for c in chosen for r in rival if c != r]
    beats, facts = _comparison(proof)
    if (strict := facts.get("strict")) is not None:
        pairs, beats = [(c, r) for c, r in pairs if (r < c) == strict], "beats"
    if not pairs:
        raise ProofRejectedError(
            f"the proof compares tokens of {name} by the wrong rule for ties, so it shows nothing; prove it again"
        )
    chosen, rival = (sorted({pair[side] for pair in pairs}) for side in (0, 1))
    return ProofSubject(
        f"at row {facts['row']} of a window next token {_either(chosen)} {beats} {_either(rival)}, of {name}",
        {**facts, "token": chosen, "rival": rival},
    )


def _comparison(proof: ProofFile) -> tuple[str, dict[str, Any]]:
    """What a head statement says of its two rows: greedy, or with the room that a sampling rule gave.

    Of which seed, position and tokens that room follows, the statement does not say: the contract computes it.
    """
    row, factor, room = (proof.publics["row"], proof.publics["factor"], proof.publics["offset"] - ZERO)
    if factor == 1 and room in (0, -1):
        return "beats" if room else "beats or equals", {"row": row, "strict": bool(room)}
    return f"beats, {factor} fold and with room {room},", {"row": row, "factor": factor, "room": room}


def _tokens_by_row(commitment: ModelCommitment, column: int) -> dict[bytes, list[int]]:
    """Tokens by their row commitment: embedding rows are column 0, head rows 1. Equal rows share a commitment."""
    tokens: dict[bytes, list[int]] = defaultdict(list)
    for token in range(commitment.vocabulary):
        start = 128 * token + 64 * column
        tokens[commitment.rows[start : start + 64]].append(token)
    return tokens


def _looked_up(known: dict[bytes, list[int]], row: Point, name: str) -> list[int]:
    tokens = known.get(point_to_bytes(row))
    if tokens is None:
        raise ProofRejectedError(f"a token row is not one of {name}'s")
    return tokens


def _either(numbers: list[int]) -> str:
    shown = " or ".join(str(number) for number in numbers[:3])
    return f"{shown} or {len(numbers) - 3} others" if len(numbers) > 3 else shown


def _printable(text: str) -> str:
    """One line that cannot pass for ours: a terminal must not obey it."""
    shown = text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
