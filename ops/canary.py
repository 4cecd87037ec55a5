"""Drills on a devnet: a provider that lies, and an alert when nobody disputes it.

A challenger that is down, blind to a provider, or out of ether looks like one that has nothing to do. A lie that it must find tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import BindingsError
from contracts.bindings.opening import is_devnet
from prover.errors import UsageError

from .lying_provider import Lie, LyingProvider
from .monitor import CRITICAL, WARNING, Alert
from .settings import MonitorSettings

log = structlog.get_logger("ops.canary")

#: The part of a challenge window after which a lie that nobody disputed is an alarm; the rest is left to do something.
_ALARM = 0.5
#: The devnet's "spare 5", of Anvil's unlocked accounts.
_SPARE = 10


@dataclass(frozen=True)
class Drill:
    """One lie and what became of it; times are the chain's."""

    lie: Lie
    posted_at: int
    deadline: int
    disputed: bool = False


class Canary:
    """Lies every `every_s`, concedes as soon as somebody disputes. `step` and `alerts` raise nothing."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        liar: LyingProvider,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        require_devnet(contracts)
        self._contracts, self._liar, self._every_s, self._clock = contracts, liar, every_s, clock
        self._next_s = clock()
        self._now = 0
        self.drills: list[Drill] = []
        self.disputed = 0
        self.trouble: str | None = None

    @property
    def address(self) -> str:
        return self._liar.address

    @property
    def url(self) -> str:
        return self._liar.url

    def step(self) -> None:
        """Look what became of the lies, and tell the next one when it is due."""
        try:
            self._now = self._contracts.chain.head().timestamp
            self.drills = [self._looked_at(drill) for drill in self.drills]
            self.drills = [drill for drill in self.drills if not drill.disputed]
            if self._clock() >= self._next_s:
                self._tell()
                self._next_s = self._clock() + self._every_s
            self.trouble = None
        except BindingsError as error:
            self.trouble = " ".join(str(error).split())

    def alerts(self) -> list[Alert]:
        """What nobody disputed in time, and a canary that does not sing."""
        found = [] if self.trouble is None else [
            Alert("GainsayCanarySilent", WARNING, self._liar.address, f"the canary cannot lie: {self.trouble}")
        ]  # fmt: skip
        for drill in self.drills:
            left = drill.deadline - self._now
            if left < (1 - _ALARM) * (drill.deadline - drill.posted_at):
                when = f"{left} s are left" if left > 0 else "its challenge window is over"
                found.append(
                    Alert(
                        "GainsayCanaryNotDisputed", CRITICAL, f"batch {drill.lie.batch_id}",
                        f"nobody disputes the false answer in batch {drill.lie.batch_id} of the canary {self._liar.address}; {when}: no "
                        f"challenger works, or none asks {self._liar.url}",
                    )
                )  # fmt: skip
        return found

    def _tell(self) -> None:
        self._liar.stake(1)
        lie = self._liar.lie()
        batch = self._contracts.ledger.batch(lie.batch_id)
        self.drills.append(Drill(lie, batch.posted_at, batch.deadline))
        log.info("the canary lied", batch=lie.batch_id, url=self._liar.url)

    def _looked_at(self, drill: Drill) -> Drill:
        """A lie of which a reorganisation took the batch is forgotten like a disputed one."""
        number = self._contracts.ledger.batch_of(self._liar.address, drill.lie.salt)
        if number != drill.lie.batch_id:
            return replace(drill, disputed=True)
        if not self._liar.is_disputed(drill.lie):
            return drill
        self._liar.concede(drill.lie)
        self.disputed += 1
        log.info("the lie was disputed", batch=number)
        return replace(drill, disputed=True)


def open_canary(
    contracts: ProtocolContracts, settings: MonitorSettings, model: str, account: str | None
) -> Canary:
    """A canary of an unlocked account, over a model that is registered and on this machine. Raises UsageError and what the
    bindings raise."""
    from challenger.local_models import load_local_model
    from contracts.bindings.keys import UnlockedSigner
    from contracts.bindings.sender import open_sender

    require_devnet(contracts)
    local = load_local_model(
        model, settings.srs, models=settings.models_dir, commitments=settings.commitments_dir
    )
    if local.built_id is None or not contracts.registry.is_registered(local.built_id):
        raise UsageError(
            f"the model {model} is not registered there; run `gainsay model register {model}` first"
        )
    address = account or contracts.chain.unlocked_accounts()[_SPARE]
    sender = open_sender(contracts.chain, UnlockedSigner(contracts.chain, address), "sqlite://")

    def next_token(prompt: Sequence[int]) -> int:
        return local.replay(prompt, [0], None).argmax(len(prompt) - 1) or 0

    liar = LyingProvider(contracts, sender, local.built_id, next_token, port=settings.canary_port)
    return Canary(contracts, liar, settings.canary_every_s)


def require_devnet(contracts: ProtocolContracts) -> None:
    """Raises UsageError: elsewhere a lie would be slashed for real."""
    if not is_devnet(contracts.chain):
        raise UsageError("--canary posts a false answer, which costs its stake: it runs on a devnet only")
