"""Is a response right? valid, invalid, or unknown; and no bond is ever staked on unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from contracts.protocol.game import ModelRules
from contracts.protocol.response import NO_AUDITS, ResponseFields
from contracts.protocol.sampling import GREEDY, sampling_of
from contracts.protocol.trace import IdsOnly, OwnTrace, first_unknown_fed_id, is_truncated, overrun_place
from prover.errors import GainsayError
from prover.sampling import Sampling, SamplingError

_LARGEST = 2**32 - 1


class Judgement(StrEnum):
    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    judgement: Judgement
    why: str


def malformed(fields: ResponseFields, max_positions: int, logit_scale: int) -> str | None:
    """Why the contract itself voids such a response when a game is opened; None when it is well formed."""
    if (why := _wrong_lengths(fields)) is not None:
        return why
    if fields.audit_root != NO_AUDITS:
        return "the model is public, but the response commits to boundaries for audits"
    try:
        sampling_of(fields.sampling_hash, logit_scale)
    except SamplingError as error:
        return f"the sampling rule is none of this model: {error}"
    if fields.positions > max_positions:
        return f"{fields.positions} positions are more than the model's {max_positions}"
    return None


def malformed_private(fields: ResponseFields) -> str | None:
    """Why an audit on chain voids a private model's response at once, the model's most positions apart; None if it does not."""
    if (why := _wrong_lengths(fields)) is not None:
        return why
    if fields.audit_root == NO_AUDITS:
        return "the model is private, but the response commits to no boundaries"
    if fields.sampling_hash != GREEDY:
        return "the model is private, but the response is not greedy"
    return None


def _wrong_lengths(fields: ResponseFields) -> str | None:
    if not 1 <= fields.prompt_length <= _LARGEST:
        return f"the prompt has {fields.prompt_length} tokens"
    if not 1 <= fields.output_length <= _LARGEST:
        return f"the output has {fields.output_length} tokens"
    if not fields.output_length <= fields.max_tokens <= _LARGEST:
        return f"{fields.output_length} tokens were returned for a limit of {fields.max_tokens}"
    return None


def judge(
    fields: ResponseFields,
    prompt_ids: Sequence[int],
    output_ids: Sequence[int],
    rules: ModelRules,
    max_positions: int,
    replay: Callable[[Sequence[int], Sequence[int], Sampling | None], OwnTrace],
    step_name: Callable[[int], str],
) -> Verdict:
    """Re-run a well-formed response whose ids are known.

    `step_name(step)` is what people call a step of the model. Invalid is what the honest player can win a game about: an output that is not the model's, and one for which a step
    or a token has no proof at all, because a value leaves its range. What this machine cannot decide (out of memory, a
    model that cannot be read) is unknown.
    """
    known = judge_without_replay(fields, prompt_ids, output_ids, rules, max_positions)
    if known is not None:
        return known
    try:
        sampling = sampling_of(fields.sampling_hash)
        return _replayed(replay(prompt_ids, output_ids, sampling), step_name)
    except (GainsayError, MemoryError, ArithmeticError) as error:
        return Verdict(Judgement.UNKNOWN, f"it cannot be re-run here: {error or type(error).__name__}")


def judge_without_replay(
    fields: ResponseFields,
    prompt_ids: Sequence[int],
    output_ids: Sequence[int],
    rules: ModelRules,
    max_positions: int,
) -> Verdict | None:
    """What can be said of a response without running the model; None: it has to be re-run."""
    if (why := malformed(fields, max_positions, rules.logit_scale)) is not None:
        return Verdict(Judgement.INVALID, why)
    if not fields.matches(prompt_ids, output_ids):
        return Verdict(Judgement.UNKNOWN, "these are not the token ids that the leaf commits to")
    if is_truncated(output_ids, fields.max_tokens, rules.end_tokens):
        return Verdict(Judgement.INVALID, "the output stops early without an end token")
    if (place := overrun_place(output_ids, rules.end_tokens)) is not None:
        return Verdict(Judgement.INVALID, f"the output runs on behind the end token at its place {place}")
    unknown = first_unknown_fed_id(IdsOnly(prompt_ids, output_ids), rules.vocab_size)
    if unknown is not None:
        return Verdict(Judgement.INVALID, f"the id at position {unknown} is not in the vocabulary")
    return None


def _replayed(trace: OwnTrace, step_name: Callable[[int], str]) -> Verdict:
    if (unprovable := trace.first_unprovable()) is not None:
        step, window = unprovable
        return Verdict(
            Judgement.INVALID,
            f"the {step_name(step)} leaves its range in window {window}: no proof exists",
        )
    if (wrong := trace.first_wrong_output()) is None:
        return Verdict(Judgement.VALID, "every token is the model's")
    position, rival = wrong
    if trace.argmax(position) is None:
        return Verdict(
            Judgement.INVALID, f"after position {position} the head leaves its range: no proof exists"
        )
    return Verdict(Judgement.INVALID, f"after position {position} the model says {rival}")
