"""A node that lists nothing to a challenger that asks: both programs as they are, on one chain."""

from __future__ import annotations

from challenger.bot import Challenger, Options
from challenger.local_models import LocalModel, LocalModels
from challenger.policies import RandomShare
from challenger.provider_client import provider_book
from challenger.store import Store, open_engine
from contracts.bindings.inference_ledger import ResponseStatus
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.log_reader import Cursor
from contracts.bindings.sender import sender_on_engine
from contracts.protocol.parameters import DEVNET
from node.store import BatchState
from prover.model.execute import Executor
from prover.replay import Replay

from .chain import ProviderHouse


def challenger_of(house: ProviderHouse, store: Store) -> Challenger:
    chain, serving = house.contracts.chain, house.serving

    def replay(prompt_ids: list[int], output_ids: list[int], _sampling: object) -> Replay:
        return Replay(serving.model, serving.commitment, serving.srs, prompt_ids, output_ids)

    signer = UnlockedSigner(chain, chain.unlocked_accounts()[6])
    return Challenger(
        house.contracts,
        sender_on_engine(chain, signer, store.engine),
        store,
        LocalModels(
            [LocalModel("tiny", serving.commitment, replay)], house.contracts.registry, [serving.model_id]
        ),
        provider_book([]),
        RandomShare(1.0),
        Options(ask=True),
    )


def test_attack_an_answer_that_is_listed_nowhere_is_asked_for_shown_and_lost(house: ProviderHouse) -> None:
    store = Store(open_engine(None))
    head = house.contracts.chain.head()
    store.advance(Cursor(head.number, head.hash), None, [], {})
    provider, bot = house.start(), challenger_of(house, store)
    prompt = house.serving.model.tokenizer.encode("nobody sees this")
    right = Executor(house.serving.model).generate(prompt, 3, end_ids=()).ids
    wrong = [(right[0] + 1) % house.serving.commitment.vocabulary, *right[1:]]
    for output in (right, wrong):
        provider.desk.issue(prompt, output, 3, "length")
    house.pass_time(6)
    provider.follower.step()
    provider.committer.step()
    batch = provider.journal.batches([BatchState.POSTED])[-1].chain_batch_id
    assert batch is not None
    ledger = house.contracts.ledger

    def round_of_both() -> None:
        bot.settle()
        provider.follower.step()
        provider.demands.play_out()
        provider.defender.play_out()

    round_of_both()
    assert not ledger.response(batch, 0).is_asked_for
    house.pass_time(DEVNET.challenge_window // 2)
    for _ in range(6):
        round_of_both()
    rows = [store.response(batch, index) for index in range(2)]
    assert [row.state for row in rows if row is not None] == ["valid", "invalid"]
    assert ledger.response_status(batch, 1) is ResponseStatus.VOID
    assert [(game.index, game.outcome) for game in store.games()] == [(1, "challenger_won")]
    house.pass_time(DEVNET.challenge_window + 2)
    provider.follower.step()
    provider.committer.step()
    assert ledger.response_status(batch, 0) is ResponseStatus.FINAL
