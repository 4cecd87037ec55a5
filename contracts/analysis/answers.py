"""Findings of Slither that are answered for a whole class; single ones are answered beside the code.

docs/slither.md explains every answer at length, and says how the tool is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """Why the findings of one detector whose description matches are no faults."""

    check: str
    pattern: str
    reason: str

    def fits(self, check: str, description: str) -> bool:
        return check == self.check and re.search(self.pattern, description) is not None


PROTOCOL = (
    Answer(
        "timestamp",
        r"",
        "deadlines are what the protocol is about; seconds that a block producer can shift are in the margins",
    ),
    Answer(
        "unused-return",
        r"= (ECDSA\.tryRecover|registry\.sizes|Streams\.sizes)\(",
        "of several results some are not needed",
    ),
    Answer(
        "divide-before-multiply",
        r"^GumbelNoise\.logarithm",
        "fixed-point numbers: what each division cuts off is part of the rule, and its sum is bounded",
    ),
    Answer("incorrect-exp", r"^MerklePath\.climb", "index ^ 1 is the sibling of a node, no power"),
    Answer(
        "shadowing-local", r"^MerklePath\.leads.*\.root ", "the function of that name is not called there"
    ),
    Answer(
        "uninitialized-state", r"^Receipts\._claims ", "a mapping, written through references to its entries"
    ),
    Answer(
        "uninitialized-local",
        r"^Statements\.step(Inputs)?\(.*\)\.at ",
        "a struct in memory begins with zeros",
    ),
    Answer("assembly", r"^Payments\._contractAccepts", "what a payer's contract returns must not be copied"),
    Answer(
        "reentrancy-events",
        r"in (InferenceLedger\.(_void|endGame|beginGame)|Receipts\._slash)\(",
        "the callees are the protocol's own vault and ledger, fixed at deployment, and call nobody",
    ),
    Answer(
        "reentrancy-no-eth",
        r"in InferenceLedger\.endGame\(",
        "the vault is the protocol's own and calls nobody",
    ),
    Answer(
        "reentrancy-benign",
        r"in (DisputeGame\._begin|AuditGame\.(_begin|openAudit))\(",
        "the ledger is the protocol's own and calls nobody",
    ),
)

_FUNCTION = r"Verifier\.verify\.asm_0\."
VERIFIERS = (
    Answer("assembly", r"Verifier\.", "a verifier is one assembly block, checked against the Python one"),
    Answer(
        "too-many-digits", r"Verifier\.", "field elements, labels and powers of two have that many digits"
    ),
    Answer(
        "unused-state",
        r"Verifier\.(CLAIM_POINT|POINT|RHO|SCRATCH|SLOTS) ",
        "starts of memory regions whose ends are used, or which this program leaves empty; constants take no room",
    ),
    Answer(
        "write-after-write",
        _FUNCTION + r"plan_proof\(\)\.count_",
        "one counter for two lists, set anew at each",
    ),
    Answer(
        "write-after-write",
        _FUNCTION + r"final_value_of_products\(\)\.scale_",
        "one temporary for all terms, declared as 0",
    ),
    Answer(
        "write-after-write",
        _FUNCTION + r"combine_commitments\(\)\.data_",
        "one cursor for three lists: what follows a list's last point is not read",
    ),
)
