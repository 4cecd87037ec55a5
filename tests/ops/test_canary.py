"""Drills: the canary lies, nobody disputes it, an alert; somebody does, and all is calm. The monitor's own replay finds it, too."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import pytest

from challenger.local_models import LocalModel
from challenger.provider_client import provider_book
from challenger.verdicts import Judgement, Verdict
from contracts.bindings.books import Books
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.indexer import Indexer
from contracts.bindings.openings import open_game
from contracts.protocol.parameters import DEVNET
from ops.canary import Canary
from ops.lying_provider import LyingProvider
from ops.replaying import OwnReplay
from prover.errors import UsageError
from tests.contracts.chain_game import Arena
from tests.contracts.local_chain import LocalChain
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace


@pytest.mark.long
def test_a_lie_is_told_found_and_disputed(
    local_chain: LocalChain, contracts: ProtocolContracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    arena = Arena.prepare(local_chain, contracts, SyntheticModel(step_count=6))
    model, now_s = arena.model, [0.0]

    def next_token(prompt: Sequence[int]) -> int:
        return int(model.generate(list(prompt), 1)[0])

    liar = LyingProvider(contracts, local_chain.sender(7, "canary"), arena.model_id, next_token)
    local = LocalModel("synthetic", model, lambda p, o, _: SyntheticTrace(model, p, o), arena.model_id)
    own = OwnReplay(contracts, [local], provider_book([liar.url]), clock=lambda: now_s[0])
    canary = Canary(contracts, liar, 3600, clock=lambda: now_s[0])
    try:
        canary.step()
        canary.step()  # nothing is due
        ((drill,), head) = canary.drills, contracts.chain.head()
        number = drill.lie.batch_id
        assert canary.alerts() == [] and contracts.ledger.batch(number).provider == liar.address

        def found(books: Books) -> list[str]:
            own.step(books, contracts.chain.head().timestamp, 60)
            alerts = own.alerts(books, contracts.chain.head().timestamp)
            return [f"{a.name} {a.sentence}" for a in alerts if f"batch {number} " in a.sentence]

        (wrong,) = found(Indexer(contracts).catch_up())
        assert wrong.startswith("GainsayWrongAnswer") and "nobody disputes it" in wrong
        assert own.verdicts[number, 0].judgement is Judgement.INVALID and own.waiting == 0

        local_chain.pass_time(DEVNET.challenge_window // 2 + 1)
        canary.step()
        (alert,) = canary.alerts()
        assert alert.name == "GainsayCanaryNotDisputed" and liar.url in alert.sentence

        (shown,) = own._shown[number]
        open_game(
            contracts, arena.challenger, number, 0, shown.fields, shown.path, secret=secrets.token_bytes(32), key=f"drill {number}",
        )  # fmt: skip
        canary.step()
        assert canary.alerts() == [] and canary.disputed == 1 and canary.drills == []
        assert contracts.ledger.response(number, 0).is_void and head.number > 0
        books = Indexer(contracts).catch_up()
        assert found(books) == []
        own.verdicts[number, 0] = Verdict(Judgement.VALID, "")
        assert found(books)[0].startswith("GainsayRightAnswerLost")

        now_s[0] = 3601
        local_chain.pass_time(2)  # nobody resumes in the second in which the bond was taken
        canary.step()  # paused and short of stake: both are mended first
        assert len(canary.drills) == 1 and canary.trouble is None, canary.trouble
        monkeypatch.setattr("ops.canary.is_devnet", lambda chain: False)
        with pytest.raises(UsageError, match="devnet only"):
            Canary(contracts, liar, 1)
    finally:
        liar.close()
