"""`gainsay audit open | show | resolve`, as an auditor types it, about a private model's answer."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from challenger.audit_chain_cli import app
from challenger.disputes_by_hand import NothingToDo
from contracts.bindings.consent import NotAgreed
from contracts.bindings.deployment import Deployment, verifier_artifacts
from contracts.bindings.registration import register
from contracts.protocol.model import PRIVATE
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from prover.errors import NotFoundError, UsageError
from tests.contracts.chain_game import Arena, PostedBatch
from tests.contracts.synthetic import SyntheticModel, seal_verifier_sources

_IDS = [72, 105, 33] * 11, [7]  # two windows


def _shown(arena: Arena, fields: ResponseFields) -> PostedBatch:
    """A posted response that the chain shows, so that no provider is asked."""
    batch, ledger, key = arena.post([fields]), arena.contracts.ledger, secrets.token_hex(4)
    arena.challenger.send(ledger.ask(batch.batch_id, 0, DEVNET.ask_price), key=f"ask {key}")
    show = ledger.show(batch.batch_id, 0, fields, batch.tree.path(0), *_IDS)
    arena.provider.send(show, key=f"show {key}")
    return batch


def test_an_audit_by_hand(arena: Arena, deployment: Deployment, tmp_path: Path) -> None:
    contracts, chain = arena.contracts, arena.local_chain.chain
    verifiers = verifier_artifacts(seal_verifier_sources(arena.model.kind_names))
    model = SyntheticModel(step_count=6, head_tiles=2)
    registered = register(arena.provider, contracts, model, verifiers, audit_stride=PRIVATE)
    private = replace(arena, model_id=registered.model_id)
    (tmp_path / "chain.json").write_text(json.dumps(deployment.as_json()))
    options = ["--deployment", str(tmp_path / "chain.json"), "--rpc-url", chain.rpc_url]
    keys = ["--account", arena.challenger.address, "--database", str(tmp_path / "auditor.sqlite")]

    def type_(*words: str, moves: bool = True, as_json: bool = True) -> Any:
        more = [*options, *(keys if moves else []), *(["--json"] if as_json else [])]
        result = CliRunner().invoke(app, [*words, *more])
        if result.exception is not None:
            raise result.exception
        return json.loads(result.stdout) if as_json else result.stdout

    batch = _shown(private, ResponseFields.of(*_IDS, 1, 0, audit_root=secrets.token_bytes(32)))
    number, before = str(batch.batch_id), chain.nonce(arena.challenger.address)
    for words, says in (
        (["--step", "6:0"], "steps 0 to 5 and windows 0 to 1"),
        (["--input", "2"], "windows 0 to 1"),
        (["--tile", "2:1"], "tiles 0 to 1 and windows 1 to 1, those with output tokens"),
        (["--tile", "1:0"], "tile 1, window 0 does not exist"),
        (["--tile", "1"], "two numbers with a colon"),
        (["--step", "1:0", "--step", "1:0"], "named twice"),
        ([], "names 1 to 8 items, not 0"),
        (["--step", "1"], "two numbers with a colon"),
    ):
        with pytest.raises(UsageError, match=says):
            type_("open", number, "0", *words)
    public = _shown(arena, ResponseFields.of(*_IDS, 1, 0))
    with pytest.raises(UsageError, match="gainsay dispute open"):
        type_("open", str(public.batch_id), "--step", "1:0")
    with pytest.raises(NotFoundError, match="there is no audit 999"):
        type_("show", "999", moves=False)
    assert chain.nonce(arena.challenger.address) == before + 1  # for the ask: nothing was paid for a mistake

    bond = contracts.ledger.bond_for(arena.provider.address)
    wanted = ["open", number, "0", "--step", "1:1", "--input", "0", "--tile", "1:1"]
    with pytest.raises(NotAgreed, match=r"auditing 3 items .* a bond of at most .* costs .*say --yes"):
        type_(*wanted)
    assert chain.nonce(arena.challenger.address) == before + 1  # nobody agreed, nothing was sent
    opened = type_(*wanted, "--yes")
    audit = str(opened["audit"])
    assert (opened["move"], opened["remaining"], opened["bond_wei"]) == ("Open", 3, str(3 * bond))
    assert chain.nonce(arena.challenger.address) == before + 3 and int(opened["fee_wei"]) > 0
    shown = type_("show", audit, moves=False)
    assert shown["items"] == [
        {"step": 1, "window": 1, "proven": False},
        {"step": "input", "window": 0, "proven": False},
        {"tile": 1, "window": 1, "proven": False},
    ]
    assert (shown["auditor"], shown["outcome"]) == (arena.challenger.address, "undecided")
    with pytest.raises(NothingToDo, match="proofs of 3 items"):
        type_("resolve", audit)
    arena.local_chain.pass_time(DEVNET.audit_window + 1)
    ended = type_("resolve", audit, as_json=False)
    assert "Timeout" in ended and "challenger won (timed out)" in ended
    told = type_("show", audit, moves=False, as_json=False)
    assert "step 1, window 1: not proven" in told and "tile 1, window 1: not proven" in told
    with pytest.raises(NothingToDo, match="over already: challenger won"):
        type_("resolve", audit)
    assert contracts.ledger.response(batch.batch_id, 0).is_void
