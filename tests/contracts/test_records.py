"""Every event and struct in Python has the fields of the one in Solidity, in every contract."""

from __future__ import annotations

from dataclasses import fields

import pytest

from contracts.bindings.abi import Entry, snake_case
from contracts.bindings.audit_game import AuditRequest, HeadAnswer, InputAnswer, StepAnswer
from contracts.bindings.compiler import Artifact, protocol_artifacts
from contracts.bindings.dispute_game import (
    AgreedStep,
    EmbeddingProof,
    HeadProof,
    ResidualWindow,
    ShownClaim,
    ShownGroup,
    StepProof,
    TokenRow,
)
from contracts.bindings.events import EVENTS
from contracts.bindings.events.decoder import _RENAMED
from contracts.bindings.inference_ledger import Batch, ResponseState, RewardPot
from contracts.bindings.model_registry import HeadRules, HeadTileRules, StepRules, TokenPair
from contracts.bindings.payments import Channel, ProviderAccount, Voucher
from contracts.bindings.provider_stake import ReceiptSigner, StakeAccount
from contracts.bindings.receipt_claims import ReceiptClaim, ReceiptStatus
from contracts.protocol.audits import Audit, AuditItem
from contracts.protocol.game import Game, Outcome, Phase, Reason, Target
from contracts.protocol.model import ModelSpec, StepKindSpec
from contracts.protocol.parameters import ProtocolParameters
from contracts.protocol.response import Receipt, ResponseFields

_CONTRACTS = [
    "ModelRegistry",
    "ProviderStake",
    "InferenceLedger",
    "DisputeGame",
    "Receipts",
    "AuditGame",
    "Payments",
]
_RECORDS: list[type] = [
    AgreedStep,
    Audit,
    AuditItem,
    AuditRequest,
    Batch,
    Channel,
    EmbeddingProof,
    Game,
    HeadProof,
    InputAnswer,
    HeadAnswer,
    HeadRules,
    HeadTileRules,
    ModelSpec,
    ProtocolParameters,
    ProviderAccount,
    Receipt,
    ReceiptClaim,
    ReceiptSigner,
    ResidualWindow,
    ResponseFields,
    ResponseState,
    RewardPot,
    StakeAccount,
    StepAnswer,
    StepKindSpec,
    ShownClaim,
    ShownGroup,
    StepProof,
    StepRules,
    TokenPair,
    TokenRow,
    Voucher,
]


@pytest.fixture(scope="module")
def artifacts() -> dict[str, Artifact]:
    return protocol_artifacts()


def test_every_event(artifacts: dict[str, Artifact]) -> None:
    declared = {
        entry["name"]: [snake_case(_RENAMED.get(p["name"], p["name"])) for p in entry["inputs"]]
        for name in _CONTRACTS
        for entry in artifacts[name].abi
        if entry["type"] == "event"
        and entry["name"] != "EIP712DomainChanged"  # OpenZeppelin's, never emitted
    }
    mirrored = {name: [f.name for f in fields(kind) if not f.kw_only] for name, kind in EVENTS.items()}
    assert mirrored == declared


def test_every_struct(artifacts: dict[str, Artifact]) -> None:
    structs: dict[str, list[str]] = {}

    def visit(parameter: Entry) -> None:
        if parameter["type"].startswith("tuple"):
            name = parameter["internalType"].removeprefix("struct ").split(".")[-1].split("[")[0]
            structs[name] = [snake_case(component["name"]) for component in parameter["components"]]
            for component in parameter["components"]:
                visit(component)

    for name in _CONTRACTS:
        for entry in artifacts[name].abi:
            for parameter in [*entry.get("inputs", []), *entry.get("outputs", [])]:
                visit(parameter)
    assert {kind.__name__: [f.name for f in fields(kind)] for kind in _RECORDS} == structs


def test_every_enum() -> None:
    """The numbers are those of the declarations in the interfaces."""
    from contracts.bindings.compiler import CONTRACT_SOURCES

    interfaces = "\n".join(path.read_text() for path in (CONTRACT_SOURCES / "interfaces").glob("*.sol"))
    for kind in (Phase, Target, Outcome, Reason, ReceiptStatus):
        body = interfaces.split(f"enum {kind.__name__} {{")[1].split("}")[0]
        names = [line.split("//")[0].strip(" ,") for line in body.splitlines()]
        members = [snake_case(name).upper() for name in names if name]
        assert [member.name for member in kind] == members
