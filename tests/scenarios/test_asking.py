"""A model without a chat template is asked for a completion of the bare text, and judged like any other."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from devnet.scenarios.stage import Stage
from prover.model.tokenizer import Tokenizer

pytestmark = pytest.mark.xdist_group("scenarios")

PROMPT = "The sea is salty because"


@pytest.mark.parametrize(("role", "official"), [("spare 2", True), ("spare 3", False)])
def test_a_model_that_does_not_chat_is_given_the_bare_text(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, role: str, official: bool
) -> None:
    if official:
        pytest.importorskip("openai", reason="the official client is not installed")
    else:
        monkeypatch.setitem(sys.modules, "openai", None)
    model = stage.prepared.model
    specification = replace(model.tokenizer.specification, chat_template=None)
    house = stage.hire(role, model=replace(model, tokenizer=Tokenizer(specification)))
    answered, posted = stage.ask(house, PROMPT, 4)
    assert stage.await_verdict(posted) == "valid"
    row = stage.store.response(posted.batch_id, posted.index)
    assert row is not None and row.ids is not None
    assert list(row.ids[0]) == model.tokenizer.encode(PROMPT)
    chatted, posted = stage.ask(stage.honest_provider(), PROMPT, 4)
    assert stage.await_verdict(posted) == "valid"
    row = stage.store.response(posted.batch_id, posted.index)
    assert row is not None and row.ids is not None and len(row.ids[0]) > len(model.tokenizer.encode(PROMPT))
    assert answered.receipt_id != chatted.receipt_id
