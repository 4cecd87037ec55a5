"""The dispute game on paper: the contract's rules without a chain, for tests of the honest player."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from contracts.protocol import actions
from contracts.protocol.bisection import boundaries_hash, cuts, list_hash
from contracts.protocol.game import (
    Game,
    GameState,
    ModelRules,
    Outcome,
    Phase,
    Reason,
    RevealedWindows,
    Side,
    Target,
)
from contracts.protocol.honest_player import next_action
from contracts.protocol.response import ResponseFields
from contracts.protocol.streams import NO_WINDOWS, Use, boundary_hash, stream_root
from contracts.protocol.trace import ProvingTrace, lacks_end, overrun_place
from tests.contracts.synthetic import NotProvable, SyntheticModel

TURN_S = 20


class PaperGame:
    """One game; `moves` keeps what was played."""

    def __init__(self, model: SyntheticModel, fields: ResponseFields, *, arity: int = 8) -> None:
        self.now = 1_000
        self.moves: list[actions.Action] = []
        game = Game(
            batch_id=1,
            index=0,
            provider="0x" + "aa" * 20,
            challenger="0x" + "bb" * 20,
            ids_hash=boundaries_hash([fields.prompt_hash, fields.output_hash]),
            prompt_length=fields.prompt_length,
            output_length=fields.output_length,
            is_short=fields.output_length < fields.max_tokens,
            phase=Phase.AWAIT_BOUNDARIES,
            target=Target.NONE,
            outcome=Outcome.UNDECIDED,
            reason=Reason.NONE,
            deadline=self.now + TURN_S,
            turn_started_at=self.now,
            provider_clock=0,
            challenger_clock=0,
            round=1,
            kind=0,
            range_start=0,
            range_end=model.step_count,
            window=0,
            position=0,
            chosen_id=0,
            rival_id=0,
            sampling=0,
            bond=1,
            boundaries_hash=b"",
        )
        self.model = model
        self.state = GameState(1, game, ModelRules.of(model, arity))

    @property
    def game(self) -> Game:
        return self.state.game

    def play(self, provider: ProvingTrace | None, challenger: ProvingTrace | None) -> Outcome:
        """Both sides by the honest player, each on its own trace, until somebody won."""
        traces = {Side.PROVIDER: provider, Side.CHALLENGER: challenger}
        for _ in range(100):
            for side, trace in traces.items():
                action = next_action(self.state, side, trace, self.now)
                if action is None:
                    continue
                try:
                    self.apply(action, side, trace)
                except NotProvable:
                    continue
                self.moves.append(action)
                if self.game.phase is Phase.RESOLVED:
                    return self.game.outcome
                break
            else:
                self.now += TURN_S  # nobody moves: time passes
        raise AssertionError(f"the game does not end: {self.moves}")

    def apply(self, action: actions.Action, side: Side, trace: ProvingTrace | None) -> None:
        game = self.game
        match action:
            case actions.Timeout():
                assert self.now > game.deadline
                assert game.mover is not None
                return self._resolve(game.mover.other, Reason.TIMED_OUT)
            case actions.Concede():
                return self._resolve(side.other, Reason.CONCEDED)
            case actions.ResolveVoid():
                assert self.state.response_void
                return self._change(phase=Phase.RESOLVED, outcome=Outcome.RESPONSE_VOIDED)
            case actions.ClaimTruncated():
                assert trace is not None
                assert game.is_short
                assert lacks_end(trace.output_ids, self.state.rules.end_tokens)
                return self._resolve(side, Reason.TRUNCATED)
            case actions.ClaimOverrun(place):
                assert trace is not None
                assert place == overrun_place(trace.output_ids, self.state.rules.end_tokens)
                return self._resolve(side, Reason.OVERRUN)
        assert game.mover is side
        assert self.now <= game.deadline
        assert trace is not None
        match action:
            case actions.PostBoundaries(hashes):
                assert game.phase is Phase.AWAIT_BOUNDARIES
                assert len(hashes) == len(self.state.cuts)
                assert game.round == 1 or boundaries_hash([hashes[0], hashes[-1]]) == game.boundaries_hash
                self.state = replace(self.state, boundaries=hashes)
                self._turn(Phase.AWAIT_CHALLENGE, boundaries_hash=list_hash(hashes))
            case actions.ChallengeInput():
                assert game.phase is Phase.AWAIT_CHALLENGE
                assert game.round == 1
                self._turn(
                    self._after_narrowing(),
                    target=Target.EMBEDDING,
                    range_end=0,
                    boundaries_hash=boundaries_hash(self._answered()[:1]),
                )
            case actions.ChallengePart(part):
                assert game.phase is Phase.AWAIT_CHALLENGE
                limits = cuts(game.range_start, game.range_end, self.state.rules.arity)
                start, end = limits[part], limits[part + 1]
                single = end - start == 1
                self._turn(
                    self._after_narrowing() if single else Phase.AWAIT_BOUNDARIES,
                    target=Target.STEP if single else Target.NONE,
                    round=game.round + (not single),
                    range_start=start,
                    range_end=end,
                    boundaries_hash=boundaries_hash(self._answered()[part : part + 2]),
                )
            case actions.ChallengeHead(position, rival):
                assert game.phase is Phase.AWAIT_CHALLENGE
                assert game.round == 1
                assert game.prompt_length - 1 <= position < game.positions
                self._turn(
                    Phase.AWAIT_PROOF,
                    target=Target.HEAD,
                    position=position,
                    chosen_id=trace.output_ids[position + 1 - game.prompt_length],
                    rival_id=rival,
                    range_start=game.range_end,
                    boundaries_hash=boundaries_hash(self._answered()[-1:]),
                )
            case actions.RevealWindows():
                assert game.phase is Phase.AWAIT_WINDOWS
                self._check_revealed(action)
                self.state = replace(self.state, revealed=RevealedWindows(action.kind, action.sums))
                self._turn(Phase.AWAIT_CHOICE, kind=action.kind)
            case actions.ChooseWindow(window):
                assert game.phase is Phase.AWAIT_CHOICE
                assert 0 <= window < game.windows
                self._turn(Phase.AWAIT_PROOF, window=window)
            case actions.ProveStep(step, window):
                assert (game.target, step, window) == (Target.STEP, game.range_start, game.window)
                kind = self.model.kind(step)
                if game.windows == 1:
                    self._check_unmoved(kind, trace.stream_roots(step), trace.stream_roots(step + 1))
                elif game.kind != kind:
                    raise NotProvable
                trace.prove_step(step, window)
                self._resolve(side, Reason.PROVEN)
            case actions.ProveEmbedding(window):
                assert (game.target, window) == (Target.EMBEDDING, game.window)
                self._check_input(trace.stream_roots(0))
                trace.prove_embedding(window)
                self._resolve(side, Reason.PROVEN)
            case actions.ProveHead(position, _, rival):
                assert (game.target, position, rival) == (Target.HEAD, game.position, game.rival_id)
                trace.prove_head(position, rival)
                self._resolve(side, Reason.PROVEN)

    def _answered(self) -> tuple[bytes, ...]:
        """What a challenge takes back, which then is no longer known."""
        answered = self.state.boundaries
        assert answered is not None
        assert list_hash(answered) == self.game.boundaries_hash
        self.state = replace(self.state, boundaries=None)
        return answered

    def _check_revealed(self, shown: actions.RevealWindows) -> None:
        """What the contract refuses raises `NotProvable`: the provider has no move."""
        game = self.game
        before_and_after = [
            boundary_hash(roots) for roots in (shown.roots_before, shown.roots_after) if roots
        ]
        assert boundaries_hash(before_and_after) == game.boundaries_hash
        if game.target is Target.EMBEDDING:
            self._check_input(shown.roots_before)
            assert [len(sums) for sums in shown.sums] == [game.windows]
            assert stream_root(shown.sums[0]) == shown.roots_before[0]
            return
        self._check_unmoved(shown.kind, shown.roots_before, shown.roots_after)
        access, sums = self.state.rules.step_access(shown.kind), list(shown.sums)
        for stream, after in enumerate(shown.roots_after):
            if Use.WRITES in access.use(stream):
                assert len(sums[0]) == game.windows
                assert stream_root(sums.pop(0)) == after
        assert not sums

    def _after_narrowing(self) -> Phase:
        """Of a single window nothing is revealed and nothing chosen."""
        return Phase.AWAIT_PROOF if self.game.windows == 1 else Phase.AWAIT_WINDOWS

    def _check_input(self, roots: Sequence[bytes]) -> None:
        """b_0 has no stream but the residual one."""
        if tuple(roots[1:]) != (NO_WINDOWS,) * (len(self.model.chunk_bits) - 1):
            raise NotProvable

    def _check_unmoved(self, kind: int, roots_before: Sequence[bytes], roots_after: Sequence[bytes]) -> None:
        """What a kind does not write is as before, and what it resets is gone."""
        access = self.state.rules.step_access(kind)
        for stream, (before, after) in enumerate(zip(roots_before, roots_after, strict=True)):
            use = access.use(stream)
            if Use.WRITES not in use and after != (NO_WINDOWS if Use.RESETS in use else before):
                raise NotProvable

    def _turn(self, phase: Phase, **changes: object) -> None:
        self._change(phase=phase, deadline=self.now + TURN_S, turn_started_at=self.now, **changes)

    def _resolve(self, winner: Side, reason: Reason) -> None:
        outcome = Outcome.PROVIDER_WON if winner is Side.PROVIDER else Outcome.CHALLENGER_WON
        self._change(phase=Phase.RESOLVED, outcome=outcome, reason=reason)

    def _change(self, **changes: object) -> None:
        self.state = replace(self.state, game=replace(self.game, **changes))  # type: ignore[arg-type]
