"""A started provider whose clock is a day ahead for a moment posts what it answered then, and what it answers after, at once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from contracts.bindings.deployment import Deployment
from contracts.bindings.receipt_body import parse_receipt
from node.serving import CommittedServing
from tests.contracts.local_chain import LocalChain
from tests.node.test_provider_command import ROOT, Command

_DAY_S = 86_400


@pytest.mark.long
def test_answers_of_a_clock_that_was_ahead_and_of_the_right_one_are_posted(
    tmp_path: Path, local_chain: LocalChain, deployment: Deployment, serving: CommittedServing
) -> None:
    command, clock = Command(tmp_path, local_chain, deployment, account=8), tmp_path / "clock"
    skewed = ROOT / "tests" / "faults" / "skewed"
    command.settings |= {
        "PYTHONPATH": f"{skewed}{os.pathsep}{ROOT}", "GAINSAY_TEST_CLOCK_FILE": str(clock),
    }  # fmt: skip
    # The node goes by the chain's time where that is ahead; other tests of this chain let it pass.
    right_s = max(int(time.time()), local_chain.chain.head().timestamp)
    with command.serving("--batch-interval", "3"):
        clock.write_text(str(right_s - int(time.time()) + _DAY_S))
        early = command.ask("while the clock is a day ahead")
        clock.unlink()
        late = command.ask("when it is right again")
        command.wait_until(
            lambda: all(command.receipt(each)["batch_state"] == "posted" for each in (early, late)), 60
        )
        receipts = [command.receipt(each) for each in (early, late)]
    assert receipts[0]["batch_id"] != receipts[1]["batch_id"]
    early_s, late_s = (parse_receipt(receipt)[0].posting_deadline - right_s for receipt in receipts)
    assert early_s >= _DAY_S > late_s, "each keeps the deadline that it promised"
