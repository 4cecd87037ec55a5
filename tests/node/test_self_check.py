"""At start a node's proofs are put to the deployed verifiers: a release that does not match is found before a game."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.bindings.deployment import ProtocolContracts
from node.errors import ReleaseMismatchError
from node.provider import CommittedServing
from node.self_check import check_release

ANSWERS_TRUE, ANSWERS_FALSE = ("0x600" + word + "60005260206000f3" for word in "10")


def test_true_proofs_pass_once_and_no_other_verifier_does(
    tmp_path: Path, contracts: ProtocolContracts, serving: CommittedServing
) -> None:
    checked = check_release(contracts, serving, tmp_path)
    assert checked.kinds == (*serving.commitment.kind_names, "embedding", "head") and checked.seconds > 0
    assert check_release(contracts, serving, tmp_path).seconds == 0

    chain, first = contracts.chain, contracts.registry.step_rules(serving.model_id, 0).verifier
    code = chain.request("eth_getCode", [first, "latest"])
    try:
        for other, sentence in (
            (ANSWERS_TRUE, "accepts a false proof"),
            (ANSWERS_FALSE, "does not accept this release's true proof"),
        ):
            chain.request("anvil_setCode", [first, other])
            with pytest.raises(ReleaseMismatchError, match=sentence):
                check_release(contracts, serving, tmp_path)
    finally:
        chain.request("anvil_setCode", [first, code])
    assert check_release(contracts, serving, tmp_path).seconds == 0
