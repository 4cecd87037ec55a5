"""Slither finds nothing without an answer, and there is no answer without a finding."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.analysis.answers import PROTOCOL, VERIFIERS, Answer
from contracts.analysis.slither import Finding, analyse, judge, protocol_report, verifiers_report
from prover.curve.srs import SRS
from tests.prover.operators.random_layers import SMALL
from verifier_gen import generate_sources

ROOT = Path(__file__).parents[2]
#: A payment before the books: what the tool must see, else its silence means nothing.
FAULTY = """
// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;
contract Faulty {
    mapping(address => uint256) public credits;
    function deposit() external payable { credits[msg.sender] += msg.value; }
    function withdraw() external {
        (bool sent,) = msg.sender.call{value: credits[msg.sender]}("");
        require(sent);
        credits[msg.sender] = 0;
    }
}
"""


def test_a_finding_needs_an_answer_and_an_answer_a_finding() -> None:
    answer = Answer("check", r"\bexpected\b", "a reason")
    fitting = Finding("check", "Low", "an expected finding")
    other = Finding("check", "High", "an unexpected finding")
    assert judge([fitting], [answer]).is_clean
    assert judge([fitting, other], [answer]).unanswered == (other,)
    assert judge([Finding("another", "Low", "expected")], [answer]).stale == (answer,)


def test_every_answer_has_its_reason_in_the_document() -> None:
    document = (ROOT / "docs" / "slither.md").read_text(encoding="utf-8")
    inline = {
        check
        for path in (ROOT / "contracts" / "src").rglob("*.sol")
        for check in re.findall(r"slither-disable-next-line ([\w-]+)", path.read_text(encoding="utf-8"))
    }
    assert inline
    for check in inline | {answer.check for answer in (*PROTOCOL, *VERIFIERS)}:
        assert f"`{check}`" in document, check


@pytest.mark.long
def test_slither_sees_a_fault(tmp_path: Path) -> None:
    (tmp_path / "Faulty.sol").write_text(FAULTY, encoding="utf-8")
    assert "reentrancy-eth" in {finding.check for finding in analyse(tmp_path)}


@pytest.mark.long
def test_the_protocol_has_no_unanswered_finding() -> None:
    report = protocol_report()
    assert report.is_clean, "\n".join(map(str, (*report.unanswered, *report.stale)))


@pytest.mark.long
def test_generated_verifiers_have_no_unanswered_finding(tmp_path: Path) -> None:
    for name, source in generate_sources(SMALL, SRS.devnet(18)).items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    report = verifiers_report(tmp_path)
    assert report.is_clean, "\n".join(map(str, (*report.unanswered, *report.stale)))
