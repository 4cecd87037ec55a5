"""valid, invalid or unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from challenger.verdicts import Judgement, Verdict, judge
from contracts.protocol.game import ModelRules
from contracts.protocol.response import ResponseFields
from contracts.protocol.trace import OwnTrace
from prover.errors import OutOfRangeError
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace

_MODEL = SyntheticModel()
_RULES = ModelRules.of(_MODEL, 8)
_PROMPT = [3, 5, 8]
_OUTPUT = _MODEL.generate(_PROMPT, 6)


def verdict(
    prompt: Sequence[int] = _PROMPT,
    output: Sequence[int] = _OUTPUT,
    fields: ResponseFields | None = None,
    broken: Exception | None = None,
    **trace: Any,
) -> Verdict:
    def replay(prompt_ids: Sequence[int], output_ids: Sequence[int], _sampling: object) -> OwnTrace:
        if broken is not None:
            raise broken
        return SyntheticTrace(_MODEL, prompt_ids, output_ids, **trace)

    fields = fields or ResponseFields.of(prompt, output, 6, 0)
    return judge(fields, prompt, output, _RULES, _MODEL.max_positions, replay, _MODEL.step_name)


def test_the_models_own_answer_is_valid() -> None:
    assert verdict().judgement is Judgement.VALID


def test_a_wrong_token_is_invalid() -> None:
    wrong = [*_OUTPUT[:-1], (_OUTPUT[-1] + 1) % 20]
    assert verdict(output=wrong, fields=ResponseFields.of(_PROMPT, wrong, len(wrong), 0)) == Verdict(
        Judgement.INVALID, f"after position {len(_PROMPT) + len(_OUTPUT) - 2} the model says {_OUTPUT[-1]}"
    )


def test_a_short_answer_an_unknown_id_and_broken_rules_are_invalid() -> None:
    short = [token for token in _OUTPUT if token not in _MODEL.end_tokens][:1]
    assert "stops early" in verdict(output=short).why
    running_on = [*short, _MODEL.end_tokens[0], short[0]]
    assert "runs on" in verdict(output=running_on, fields=ResponseFields.of(_PROMPT, running_on, 3, 0)).why
    assert "vocabulary" in verdict(prompt=[1, 999, 2]).why
    assert "for a limit of 1" in verdict(fields=ResponseFields.of(_PROMPT, _OUTPUT, 1, 0)).why
    sampled = replace(ResponseFields.of(_PROMPT, _OUTPUT, 6, 0), sampling_hash=b"\0" * 32)
    assert "sampling rule" in verdict(fields=sampled).why
    assert "positions" in verdict(prompt=[1] * 600).why


@pytest.mark.parametrize(("end", "named"), [((0, 0), "keys_values of layer 0"), ((3, 2), "close of layer 0")])
def test_a_value_out_of_range_is_invalid(end: tuple[int, int], named: str) -> None:
    """Nothing can be proven there, so the honest player wins the game: whatever the tokens are."""
    for output in (_OUTPUT, [*_OUTPUT[:-1], (_OUTPUT[-1] + 1) % 20]):
        fields = ResponseFields.of(_PROMPT, output, len(output), 0)
        assert verdict(output=output, fields=fields, ends_at=end) == Verdict(
            Judgement.INVALID, f"the {named} leaves its range in window {end[1]}: no proof exists"
        )


def test_a_row_out_of_the_heads_range_is_invalid() -> None:
    last = len(_PROMPT) + len(_OUTPUT) - 2
    assert verdict(dark_positions=[last]) == Verdict(
        Judgement.INVALID, f"after position {last} the head leaves its range: no proof exists"
    )
    assert (
        verdict(dark_positions=[len(_PROMPT) - 2]).judgement is Judgement.VALID
    )  # nothing is predicted there


def test_what_cannot_be_decided_is_unknown() -> None:
    """A run that contradicts itself says so by an error, too."""
    for error in (OutOfRangeError("a value left its range"), MemoryError()):
        assert verdict(broken=error).judgement is Judgement.UNKNOWN
    other = ResponseFields.of([4], _OUTPUT, 6, 0)
    assert verdict(fields=other).judgement is Judgement.UNKNOWN
