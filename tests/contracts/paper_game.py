"""The dispute game on paper: the contract's rules without a chain, for tests of the honest player."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from contracts.protocol import actions
from contracts.protocol.bisection import boundaries_hash, cuts, list_hash
from contracts.protocol.claims import LEAF_BYTES, claim_hash, claimed_leaf, leaf
from contracts.protocol.game import (
    Game,
    GameState,
    ModelRules,
    Outcome,
    Phase,
    Reason,
    Side,
    Target,
)
from contracts.protocol.honest_player import next_action
from contracts.protocol.response import ResponseFields
from contracts.protocol.streams import (
    NO_WINDOWS,
    Point,
    StepAccess,
    Use,
    boundary_hash,
    stream_root,
    window_commitment,
)
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
            range_start=0,
            range_end=model.step_count,
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
        """Both sides by the honest player, each on its own trace, until somebody won. A provider that cannot make its proof
        tries to prove every other window and to refute the claim."""
        traces = {Side.PROVIDER: provider, Side.CHALLENGER: challenger}
        for _ in range(100):
            for side, trace in traces.items():
                action = next_action(self.state, side, trace, self.now)
                if action is None:
                    continue
                if not any(
                    self._takes(each, side, trace) for each in (action, *self._instead(action, trace))
                ):
                    continue
                if self.game.phase is Phase.RESOLVED:
                    return self.game.outcome
                break
            else:
                self.now += TURN_S  # nobody moves: time passes
        raise AssertionError(f"the game does not end: {self.moves}")

    def _takes(self, action: actions.Action, side: Side, trace: ProvingTrace | None) -> bool:
        try:
            self.apply(action, side, trace)
        except NotProvable:
            return False
        self.moves.append(action)
        return True

    def _instead(
        self, action: actions.Action, trace: ProvingTrace | None
    ) -> Iterator[actions.ProveStep | actions.ProveEmbedding | actions.RefuteClaim]:
        """All that a provider can try in the place of a proof."""
        if not isinstance(action, actions.ProveStep | actions.ProveEmbedding | actions.RefuteClaim):
            return
        assert trace is not None
        step = self.game.range_start
        for window in range(self.game.windows):
            is_step = self.game.target is Target.STEP
            yield actions.ProveStep(step, window) if is_step else actions.ProveEmbedding(window)
        if self.game.target is Target.EMBEDDING:
            yield actions.RefuteClaim(0, trace.stream_roots(0), (), (tuple(trace.stream_points(0, 0)),))
            return
        for kind in range(len(self.state.rules.accesses)):
            written = self.state.rules.step_access(kind).written
            sums = tuple(tuple(trace.stream_points(step + 1, stream)) for stream in written)
            yield actions.RefuteClaim(kind, trace.stream_roots(step), trace.stream_roots(step + 1), sums)

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
            case actions.ChallengeInput(claim):
                assert game.phase is Phase.AWAIT_CHALLENGE
                assert game.round == 1
                kept = [*self._answered()[:1], self._claimed(claim)]
                self._turn(
                    Phase.AWAIT_PROOF,
                    target=Target.EMBEDDING,
                    range_end=0,
                    boundaries_hash=boundaries_hash(kept),
                )
            case actions.ChallengePart(part, claim):
                assert game.phase is Phase.AWAIT_CHALLENGE
                limits = cuts(game.range_start, game.range_end, self.state.rules.arity)
                start, end = limits[part], limits[part + 1]
                single = end - start == 1
                kept = list(self._answered()[part : part + 2])
                if single:
                    kept.append(self._claimed(claim))
                else:
                    assert claim == b""
                self._turn(
                    Phase.AWAIT_PROOF if single else Phase.AWAIT_BOUNDARIES,
                    target=Target.STEP if single else Target.NONE,
                    round=game.round + (not single),
                    range_start=start,
                    range_end=end,
                    boundaries_hash=boundaries_hash(kept),
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
            case actions.RefuteClaim():
                assert game.phase is Phase.AWAIT_PROOF
                self._check_agreed(action)
                self._resolve(side, Reason.REFUTED)
            case actions.ProveStep(step, window):
                assert (game.target, step) == (Target.STEP, game.range_start)
                access = self.model.access(step)
                self._check_unmoved(access, trace.stream_roots(step), trace.stream_roots(step + 1))
                written = [trace.stream_points(step + 1, stream) for stream in access.written]
                self._check_differs(trace.boundary_hash(step + 1), window, written, access.written)
                trace.prove_step(step, window)
                self._resolve(side, Reason.PROVEN)
            case actions.ProveEmbedding(window):
                assert game.target is Target.EMBEDDING
                self._check_input(trace.stream_roots(0))
                self._check_differs(trace.boundary_hash(0), window, [trace.stream_points(0, 0)], [0])
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

    def _claimed(self, claim: bytes) -> bytes:
        assert len(claim) == LEAF_BYTES * self.game.windows
        self.state = replace(self.state, claim=claim)
        return claim_hash(claim)

    def _own_leaf(
        self, posted: bytes, window: int, sums: Sequence[Sequence[Point]], streams: Sequence[int]
    ) -> bytes:
        """Of the running sums of these streams in the boundary with this hash."""
        bits = [self.model.chunk_bits[stream] for stream in streams]
        own = (window_commitment(points, window, p) for points, p in zip(sums, bits, strict=True))
        return leaf(posted, own)

    def _check_differs(
        self, posted: bytes, window: int, sums: Sequence[Sequence[Point]], streams: Sequence[int]
    ) -> None:
        assert self.state.claim is not None
        if claimed_leaf(self.state.claim, window) == self._own_leaf(posted, window, sums, streams):
            raise NotProvable

    def _check_agreed(self, shown: actions.RefuteClaim) -> None:
        """What the contract refuses raises `NotProvable`."""
        game, claim = self.game, self.state.claim
        assert claim is not None
        roots = [boundary_hash(each) for each in (shown.roots_before, shown.roots_after) if each]
        assert boundaries_hash([*roots, claim_hash(claim)]) == game.boundaries_hash
        if game.target is Target.EMBEDDING:
            self._check_input(shown.roots_before)
            streams, ends = (0,), shown.roots_before
        else:
            if shown.kind != self.model.kind(game.range_start):
                raise NotProvable  # no key of the step has this kind
            access = self.state.rules.step_access(shown.kind)
            self._check_unmoved(access, shown.roots_before, shown.roots_after)
            streams, ends = access.written, shown.roots_after
        for stream, sums in zip(streams, shown.sums, strict=True):
            assert len(sums) == game.windows
            assert stream_root(sums) == ends[stream]
        for window in range(game.windows):
            if claimed_leaf(claim, window) != self._own_leaf(roots[-1], window, shown.sums, streams):
                raise NotProvable

    def _check_input(self, roots: Sequence[bytes]) -> None:
        """b_0 has no stream but the residual one."""
        if tuple(roots[1:]) != (NO_WINDOWS,) * (len(self.model.chunk_bits) - 1):
            raise NotProvable

    def _check_unmoved(
        self, access: StepAccess, roots_before: Sequence[bytes], roots_after: Sequence[bytes]
    ) -> None:
        """What a kind does not write is as before, and what it resets is gone."""
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
