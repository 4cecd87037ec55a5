"""At start a node's proofs are put to the deployed verifiers: a release that does not match is found before a game."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.bindings.deployment import ProtocolContracts
from node.errors import ReleaseMismatchError
from node.self_check import check_release
from node.serving import CommittedServing

ANSWERS_TRUE, ANSWERS_FALSE = ("0x600" + word + "60005260206000f3" for word in "10")


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (ANSWERS_FALSE, "does not accept this release's true proof"),
        pytest.param(ANSWERS_TRUE, "accepts a false proof", marks=pytest.mark.long),
    ],
)
def test_a_verifier_that_does_not_match_ends_the_start(
    tmp_path: Path, contracts: ProtocolContracts, serving: CommittedServing, other: str, sentence: str
) -> None:
    chain, first = contracts.chain, contracts.registry.step_rules(serving.model_id, 0).verifier
    code = chain.request("eth_getCode", [first, "latest"])
    chain.request("anvil_setCode", [first, other])
    try:
        with pytest.raises(ReleaseMismatchError, match=sentence):
            check_release(contracts, serving, tmp_path)
    finally:
        chain.request("anvil_setCode", [first, code])
    assert not (tmp_path / "self-check.json").exists()


@pytest.mark.long
def test_true_proofs_pass_once_per_code_on_chain(
    tmp_path: Path, contracts: ProtocolContracts, serving: CommittedServing
) -> None:
    checked = check_release(contracts, serving, tmp_path)
    assert checked.kinds == (*serving.commitment.kind_names, "embedding", "head") and checked.seconds > 0
    assert check_release(contracts, serving, tmp_path).seconds == 0

    chain, head = contracts.chain, contracts.registry.head_verifier(serving.model_id)
    code = chain.request("eth_getCode", [head, "latest"])
    chain.request("anvil_setCode", [head, ANSWERS_FALSE])
    try:
        with pytest.raises(ReleaseMismatchError, match="the verifier of head"):
            check_release(contracts, serving, tmp_path)
    finally:
        chain.request("anvil_setCode", [head, code])
    assert check_release(contracts, serving, tmp_path).seconds == 0
