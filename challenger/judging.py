"""Re-runs responses in the order of `schedule`; writes verdicts, sends nothing.

Responses of one provider and one model that follow one another in that order go through the model in one pass, as many as
`_ROWS_TOGETHER` positions hold: what one of them needs longer for is at the cost of its own provider's turn, and one that cannot
be re-run, or takes a pass with it, makes no other unknown, since each is then run by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from contracts.bindings.log_setup import told_of
from contracts.protocol.sampling import sampling_of
from contracts.protocol.trace import OwnTrace
from prover.sampling import Sampling

from .errors import Stopped
from .local_models import Asked, LocalModel, ModelFinder
from .metrics import Backlog, JudgeMetrics
from .pace import LONGEST_PAUSE_S, backoff_s, next_try
from .schedule import Choice, Demand, Shortage, choose
from .store import ResponseRow, Store, Unjudged
from .verdicts import Judgement, Verdict, judge, judge_without_replay, malformed

log = structlog.get_logger(__name__)
_FIRST_RETRY_S = 5.0
#: Before anything was measured; about what the reference model takes on two cores.
_S_PER_POSITION = 0.05
_LEAST_S = 0.01
_SHORTAGE_TOLD_EVERY_S = 30.0
_BACKLOG_TOLD_EVERY_S = 60.0
_TOGETHER, _ROWS_TOGETHER = 64, 1024
"""About a second of the reference model on two cores: a verdict, and another provider's turn, wait no longer for a batch."""
FOREIGN = "its model is not on this machine, or not a trusted one"

#: Called with what was found invalid, and the trace that showed it (None when no replay was needed).
Found = Callable[[ResponseRow, OwnTrace | None], None]


class Judge:
    """Decides responses. `now` is the chain's time, `margin_s` how long before a window's end no game is opened,
    `clock` this machine's seconds."""

    def __init__(
        self,
        store: Store,
        models: ModelFinder,
        arity: int,
        now: Callable[[], int],
        margin_s: int,
        found_invalid: Found,
        clock: Callable[[], float] = time.monotonic,
        metrics: JudgeMetrics | None = None,
    ) -> None:
        self.metrics = metrics or JudgeMetrics()
        self._backlog_told_at = float("-inf")
        self._store, self._models, self._arity = store, models, arity
        self._now, self._margin_s, self._found_invalid = now, margin_s, found_invalid
        self._clock = clock
        self._s_per_position: dict[bytes, float] = {}
        self._served_s: dict[str, float] = {}
        self._parked: dict[int, tuple[int, float]] = {}
        self._shortage: Shortage | None = None
        self._told_at = 0.0
        self._closed_until = -1
        store.look_again_at_foreign_models()

    def step(self) -> bool:
        """Decide the next responses; whether there were any. Never judged before judged again."""
        now = self._now()
        if now != self._closed_until:
            for why, number in self._store.unjudged_late(now + self._margin_s).items():
                # Others may judge what this machine has no model for; what is withheld, or fails here, may be nobody's.
                tell = log.warning if why is Unjudged.MODEL_NOT_HERE else log.error
                tell(
                    "responses closed without a verdict: their window is over",
                    responses=number,
                    because=str(why),
                )
                self.metrics.unjudged.labels(str(why)).inc(number)
            for batch_id, number in self._store.close_windows(now + self._margin_s):
                log.error("responses missed: their window closed first", batch=batch_id, responses=number)
                self.metrics.missed.inc(number)
            if number := self._store.open_windows(now + self._margin_s):
                log.warning("responses can be disputed again", responses=number)
            self._closed_until = now
        choice = self._choose(now)
        if choice is None:
            if (again := self._store.due_again(time.time())) is None:
                return False
            self._decide([again])
            return True
        most = 2**31
        if choice.shortage is not None:
            slowest = max(self._s_per_position.values(), default=_S_PER_POSITION)
            most = int(min(max(0.0, choice.shortage.left_s) / slowest, most))
        parked = [number for number, (_, until) in self._parked.items() if until > self._clock()]
        rows = self._store.next_pending(
            choice.provider,
            by_ticket=choice.by_ticket,
            most_positions=most,
            without=parked,
            together=_TOGETHER,
            rows_together=_ROWS_TOGETHER,
        )
        if not rows:
            return False
        model = self._find(rows[0].model_id)
        if model is None or model.replay_together is None:
            rows = rows[:1]
        started = self._clock()
        self._decide(rows)
        spent_s = max(self._clock() - started, _LEAST_S)
        self._served_s[choice.provider] = self._served_s.get(choice.provider, 0.0) + spent_s
        return True

    # --- which one

    def _choose(self, now: int) -> Choice | None:
        demands = self._store.demands()
        foreign = {demand.model_id for demand in demands if self._find(demand.model_id) is None}
        for model_id in foreign:
            self._store.set_foreign(model_id, FOREIGN)
        demands = [demand for demand in demands if demand.model_id not in foreign]
        # Whoever waits anew starts with the least that any other was given: idleness earns no turn later.
        waiting = {demand.provider for demand in demands}
        known = {provider: spent for provider, spent in self._served_s.items() if provider in waiting}
        least = min(known.values(), default=0.0)
        self._served_s = {provider: known.get(provider, least) for provider in waiting}
        choice = choose(demands, self._cost_s, self._served_s, now + self._margin_s)
        self._tell(choice.shortage if choice else None)
        self._tell_backlog(demands, now)
        return choice

    def _tell_backlog(self, demands: Sequence[Demand], now: int) -> None:
        """What waits, for whoever looks; in the log now and then."""
        backlog = Backlog(
            sum(demand.count for demand in demands),
            sum(demand.positions for demand in demands),
            sum(map(self._cost_s, demands)),
            min((demand.deadline - self._margin_s - now for demand in demands), default=None),
        )
        self.metrics.backlog = backlog
        if backlog.responses > 1 and self._clock() - self._backlog_told_at > _BACKLOG_TOLD_EVERY_S:
            self._backlog_told_at = self._clock()
            log.info(
                "backlog",
                responses=backlog.responses,
                positions=backlog.positions,
                needed_s=round(backlog.needed_s, 1),
                first_window_closes_in_s=backlog.left_s,
            )

    def _find(self, model_id: bytes) -> LocalModel | None:
        return self._models.find(model_id)

    def _cost_s(self, demand: Demand) -> float:
        rate = self._s_per_position.get(demand.model_id, _S_PER_POSITION)
        return demand.positions * rate + demand.count * _LEAST_S

    def _tell(self, shortage: Shortage | None) -> None:
        """Replay capacity is finite: when it does not suffice, say so before a window closes."""
        if shortage is None:
            self.metrics.short.set(0)
            if self._shortage is not None:
                log.warning("replay capacity suffices again")
                self._store.note_risk("", None)
            self._shortage = None
            return
        self.metrics.short.set(1)
        if self._shortage is None or self._clock() - self._told_at > _SHORTAGE_TOLD_EVERY_S:
            self._told_at = self._clock()
            log.error(
                "replay capacity is short: responses will become final unexamined",
                needed_s=round(shortage.needed_s),
                left_s=round(shortage.left_s),
                providers=shortage.providers,
            )
            self._store.note_risk(
                f"at risk: {shortage.needed_s:.0f} s of replays are due in {shortage.left_s:.0f} s",
                shortage.deadline,
            )
        self._shortage = shortage

    # --- what it is

    def _decide(self, rows: Sequence[ResponseRow]) -> None:
        made = self._replay_together(rows) if len(rows) > 1 else {}
        for row in rows:
            assert row.id is not None  # it came from the database
            self._decide_one(row, made.pop(row.id, None))

    def _replay_together(self, rows: Sequence[ResponseRow]) -> dict[int, OwnTrace]:
        """Traces by row of those that have to be re-run; none of them where the pass fails, whoever is to blame."""
        model = self._find(rows[0].model_id)
        assert model is not None and model.replay_together is not None
        rules, most = model.rules(self._arity), model.commitment.max_positions
        wanted: list[ResponseRow] = []
        asked: list[Asked] = []
        for row in rows:
            try:
                if row.ids is None or judge_without_replay(row.fields, *row.ids, rules, most) is not None:
                    continue
                asked.append((*row.ids, sampling_of(row.fields.sampling_hash)))
                wanted.append(row)
            except Exception:
                continue  # `_decide_one` says what is wrong with it
        if len(wanted) < 2:
            return {}
        started = self._clock()
        try:
            traces = model.replay_together(asked)
        except Stopped:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {told_of(error)}"
            log.warning("a pass over several responses failed; each is run alone", because=why)
            return {}
        self._note_pace(rows[0].model_id, self._clock() - started, sum(row.positions for row in wanted))
        self.metrics.together.observe(len(wanted))
        return {row.id: trace for row, trace in zip(wanted, traces, strict=True) if row.id is not None}

    def _note_pace(self, model_id: bytes, seconds: float, positions: int) -> None:
        measured = seconds / max(1, positions)
        old = self._s_per_position.get(model_id, measured)
        self._s_per_position[model_id] = (old + measured) / 2

    def _decide_one(self, row: ResponseRow, known: OwnTrace | None) -> None:
        assert row.id is not None
        trace: OwnTrace | None = None
        try:
            verdict, trace = self._verdict(row, known)
        except Stopped:
            raise
        except Exception as error:
            log.exception("not judged", batch=row.batch_id, index=row.index)
            verdict = Verdict(Judgement.UNKNOWN, f"it cannot be judged here ({type(error).__name__})")
        try:
            self._write(row, verdict)
            self._parked.pop(row.id, None)
            self.metrics.verdicts.labels(str(verdict.judgement)).inc()
        except Exception:
            # Its row cannot be written: leave it out for a while, so that it does not stand before the others.
            log.exception("verdict not written", batch=row.batch_id, index=row.index)
            tries = self._parked.get(row.id, (0, 0.0))[0] + 1
            pause_s = backoff_s(tries, first_s=_FIRST_RETRY_S, longest_s=LONGEST_PAUSE_S)
            self._parked[row.id] = (tries, self._clock() + pause_s)
            return
        if verdict.judgement is Judgement.INVALID:
            self._found_invalid(row, trace)

    def _verdict(self, row: ResponseRow, known: OwnTrace | None) -> tuple[Verdict, OwnTrace | None]:
        model = self._find(row.model_id)
        if model is None:
            return Verdict(Judgement.UNKNOWN, FOREIGN), None
        if row.ids is None:
            why = malformed(row.fields, model.commitment.max_positions, model.commitment.logit_scale)
            if why is None:
                return Verdict(Judgement.UNKNOWN, "the provider does not show the token ids"), None
            return Verdict(Judgement.INVALID, why), None
        made: list[OwnTrace] = []

        def replay(
            prompt_ids: Sequence[int], output_ids: Sequence[int], sampling: Sampling | None
        ) -> OwnTrace:
            made.append(known if known is not None else model.replay(prompt_ids, output_ids, sampling))
            return made[0]

        started = self._clock()
        verdict = judge(
            row.fields,
            *row.ids,
            model.rules(self._arity),
            model.commitment.max_positions,
            replay,
            model.commitment.step_name,
        )
        if made and known is None:
            self._note_pace(row.model_id, self._clock() - started, row.positions)
        return verdict, made[0] if made else None

    def _write(self, row: ResponseRow, verdict: Verdict) -> None:
        why = verdict.why.encode("ascii", "replace").decode()[:500]
        log.info("verdict", batch=row.batch_id, index=row.index, verdict=str(verdict.judgement), why=why)
        tries, next_try_at = 0, 0.0
        if verdict.judgement is Judgement.UNKNOWN:
            tries = row.tries + 1
            pause_s = backoff_s(tries, first_s=_FIRST_RETRY_S, longest_s=LONGEST_PAUSE_S)
            next_try_at = next_try(pause_s)
        self._store.set_verdict(row.id, str(verdict.judgement), why, tries=tries, next_try_at=next_try_at)
