"""Wrong answers behind which a value leaves its range: nobody can recompute them to the end, and they lose all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from contracts.bindings.inference_ledger import ResponseStatus
from contracts.protocol.game import Outcome, Reason, Target
from contracts.protocol.trace import ProvingTrace
from devnet.scenarios.hosted_provider import HostedProvider, StagedProvider
from devnet.scenarios.prepared_model import PreparedModel
from devnet.scenarios.stage import Stage, open_stage
from prover.model.execute import Executor, Generation
from prover.model.trace import Trace
from prover.model.weights import IntegerModel
from prover.model_commitment import commit_model
from prover.replay import Replay
from prover.sampling import Sampling
from tests.prover.model.leaving_model import leaving
from tests.tampering.malicious_prover import MaliciousProver
from tests.tampering.out_of_range import COVER_UPS, covered_up

pytestmark = pytest.mark.xdist_group("scenarios")

LEAVERS = {200: (0, "w_query"), 201: (0, "w_gate"), 202: (1, "w_key"), 203: (1, "w_up")}
STEPS = {200: 1, 201: 2, 202: 3, 203: 5}


@pytest.fixture(scope="module")
def leaving_stage(prepared: PreparedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The tiny architecture and its verifiers, with weights that some tokens take out of range."""
    model = leaving(prepared.model, LEAVERS)
    commitment = commit_model(model, prepared.srs, cache_dir=None)
    made = PreparedModel(model, commitment, prepared.srs, prepared.verifiers, prepared.fidelity)
    with open_stage(made, tmp_path_factory.mktemp("stage"), lambda _: None) as stage:
        yield stage


class WrongThenOut:
    """Answers a wrong token, then one that leaves its range, then anything: no honest verdict could be reached."""

    def __init__(self, model: IntegerModel, leaver: int, right_tokens: int) -> None:
        self._executor, self._leaver, self._right = Executor(model), leaver, right_tokens

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        *,
        sampling: Sampling | None = None,
        on_token: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Generation:
        """What the node's queue calls."""
        right = self._executor.generate(prompt, max_tokens, end_ids=()).ids
        ids = right[: self._right]
        ids += [(right[self._right] + 1) % 256, self._leaver]
        ids += right[len(ids) :]
        return Generation(ids, "length")


class CoveredReplay(Replay):
    """A complete trace of an answer that has none, and forged proofs of its steps."""

    def __init__(
        self, prepared: PreparedModel, cover_up: str, prompt_ids: Sequence[int], output_ids: Sequence[int]
    ) -> None:
        super().__init__(prepared.model, prepared.commitment, prepared.srs, prompt_ids, output_ids)
        self._cover_up = cover_up
        with covered_up(cover_up):
            self.trace = Trace(self._executor, self.sequence[:-1])

    def argmax(self, position: int) -> int | None:
        return self.sequence[position + 1]

    def prove_step(self, step: int, window: int) -> bytes:
        statement, scheduled = self.step_statement(step, window), self.model.config.schedule[step]
        key = self.system.verifying_key(scheduled.kind)
        context_bits = statement.context_bits(key.plan)
        with covered_up(self._cover_up):
            tensors = key.plan.program.witness(
                self.step_tensors(step, window, context_bits),
                self.model.layer_parameters(scheduled.layer, scheduled.kind),
                statement.publics,
                context_bits,
            )
        return MaliciousProver(key, self.srs, statement, tensors).adjust().encode()


def hire_liar(stage: Stage, role: str, generator: WrongThenOut, cover_up: str) -> HostedProvider:
    """Defends its answers with traces whose values are put back into their ranges."""

    def covered(prompt_ids: Sequence[int], output_ids: Sequence[int], _sampling: object) -> ProvingTrace:
        return CoveredReplay(stage.prepared, cover_up, prompt_ids, output_ids)

    def host(provider: StagedProvider, name: str) -> HostedProvider:
        provider.defender._start_trace = covered
        return HostedProvider(provider, name, generator)

    return stage.hire(role, host=host)


@contextmanager
def bound_book(stage: Stage, role: str) -> Iterator[dict[str, int]]:
    """What a dispute moved, in wei."""
    book, changes = stage.open_book(provider=role, challenger="challenger"), {}
    yield changes
    changes.update(book.close())


def test_a_provider_that_finds_out_gives_up(leaving_stage: Stage) -> None:
    """It answered without looking; its own node sees that there is nothing to defend."""
    stage = leaving_stage
    house = stage.hire("spare 0", generator=WrongThenOut(stage.prepared.model, 200, 2))
    with bound_book(stage, "spare 0") as changes:
        _, posted = stage.ask(house, "Which way is out?", 8)
        assert stage.await_verdict(posted) == "invalid"
        row = stage.store.response(posted.batch_id, posted.index)
        assert row is not None and "attention of layer 0 leaves its range" in (row.why or "")
        game = stage.play_out(stage.await_game(posted))
        assert (game.outcome, game.reason) == (Outcome.CHALLENGER_WON, Reason.CONCEDED)
        stage.play(lambda: stage.contracts.stake.credits(stage.devnet.accounts["challenger"]) == 0)
    assert stage.contracts.ledger.response_status(posted.batch_id, posted.index) is ResponseStatus.VOID
    assert changes["challenger"] > 0 > changes["provider"]


@pytest.mark.parametrize(
    ("leaver", "cover_up"),
    [
        (201, "saturated"),
        pytest.param(202, "wrapped", marks=pytest.mark.long),
        pytest.param(203, "left as it is", marks=pytest.mark.long),
    ],
)
def test_an_adaptive_liar_loses_its_lock(leaving_stage: Stage, leaver: int, cover_up: str) -> None:
    """It posts boundaries of values put back into range, and forges the proof of the step that it owes."""
    assert cover_up in COVER_UPS
    stage, role = leaving_stage, f"spare {leaver - 200}"
    house = hire_liar(stage, role, WrongThenOut(stage.prepared.model, leaver, 3), cover_up)
    with bound_book(stage, role) as changes:
        _, posted = stage.ask(house, "Count to a hundred, slowly, and then go on.", 8)
        assert stage.await_verdict(posted) == "invalid"
        game = stage.play_out(stage.await_game(posted), lambda: bool(house.refused_moves))
    assert (game.outcome, game.reason, game.target) == (
        Outcome.CHALLENGER_WON,
        Reason.TIMED_OUT,
        Target.STEP,
    )
    row = stage.store.response(posted.batch_id, posted.index)
    assert row is not None and row.ids is not None
    assert game.range_start == STEPS[leaver]
    assert {error.name for error in house.refused_moves} == {"ProofRejected"}
    assert stage.contracts.ledger.response_status(posted.batch_id, posted.index) is ResponseStatus.VOID
    assert changes["provider"] < 0 < changes["challenger"]


def test_a_right_answer_of_the_same_model_is_valid(leaving_stage: Stage) -> None:
    house = leaving_stage.honest_provider()
    _, posted = leaving_stage.ask(house, "Which way is in?", 12)
    assert leaving_stage.await_verdict(posted) == "valid"
