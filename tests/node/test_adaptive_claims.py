"""A started provider, and an accuser of its right answer that chooses its claims last.

Whoever runs the answer again knows every commitment behind what was posted, so it can claim exactly that, or nearly: the provider
has to tell which of its two moves answers, in which window. Most claims are made while its process is dead, between the challenge
and the answer: all that it has then is its database, the files of its boundaries and the chain.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contracts.bindings.chain import Chain
from contracts.bindings.contract import Call
from contracts.bindings.deployment import ProtocolContracts, deploy_protocol
from contracts.bindings.events import ClaimRefuted, GameOpened, ProofAccepted
from contracts.bindings.moves import posted_boundaries
from contracts.bindings.openings import open_game
from contracts.bindings.sender import Sender
from contracts.protocol.claims import claim_of, leaves_of_input, leaves_of_step
from contracts.protocol.game import Game, ModelRules, Outcome, Phase, Reason
from contracts.protocol.parameters import DEVNET
from devnet.anvil import free_port, start_anvil, stop_process
from node.serving import CommittedServing
from prover.model.weights import IntegerModel
from prover.replay import Replay
from tests.contracts.local_chain import LocalChain
from tests.faults.actors import Listed, listed

from .chain import registered
from .test_provider_command import Command

_PROVIDER, _ACCUSER = 9, 7
_TEXT = "An accuser speaks last, and of three windows, the last of which is padded."
_PATIENCE_S = 90.0


@dataclass(frozen=True)
class Accusation:
    """That a step, or the input (None), should have ended as it did, but for the windows in `changed`.

    `under`: the boundary with whose hash the leaves are made; None: the one that is disputed, as it should be.
    """

    step: int | None
    changed: tuple[int, ...] = ()
    under: int | None = None

    @property
    def end(self) -> int:
        """The boundary that is disputed."""
        return 0 if self.step is None else self.step + 1

    @property
    def answer(self) -> tuple[Reason, int | None]:
        """What ends the game: a refutation, or a proof of the first window of which something else is claimed."""
        if self.under is not None:
            return Reason.PROVEN, 0  # no leaf is right
        return (Reason.PROVEN, min(self.changed)) if self.changed else (Reason.REFUTED, None)


AS_POSTED = [Accusation(0), Accusation(4), Accusation(None)]  # two written streams, one, and b_0
NEARLY = [
    Accusation(3, changed=(2,)),  # the padded window alone
    Accusation(None, changed=(1,)),
    Accusation(0, under=0),
]


@dataclass
class Accuser:
    """Opens games about one answer and claims things of it that it knows to be false, or not to be."""

    local: LocalChain
    contracts: ProtocolContracts
    command: Command
    serving: CommittedServing
    sender: Sender = field(init=False)
    about: Listed = field(init=False)
    truth: Replay = field(init=False)

    def __post_init__(self) -> None:
        self.sender = self.local.sender(_ACCUSER)
        receipt = self.command.ask(_TEXT)
        self._await(lambda: self.command.receipt(receipt)["batch_state"] == "posted")
        shown = self.command.receipt(receipt)
        url = f"http://127.0.0.1:{self.command.port}"
        self.about = listed(url, int(str(shown["batch_id"])), int(str(shown["index"])))
        self.truth = self.serving.replay(*self.about.ids)

    def open(self) -> int:
        about = self.about
        mined = open_game(
            self.contracts, self.sender, about.batch_id, about.index, about.fields, about.path,
            secret=secrets.token_bytes(32), key=f"open {secrets.token_hex(8)}",
        )  # fmt: skip
        opened = self.contracts.events.decode(mined.receipt.logs)
        return next(event.game_id for event in opened if isinstance(event, GameOpened))

    def boundaries(self, game_id: int) -> tuple[bytes, ...]:
        """As posted; not before that."""
        self._await(lambda: self.game(game_id).phase is Phase.AWAIT_CHALLENGE)
        return posted_boundaries(self.contracts, game_id)

    def accuse(self, game_id: int, accusation: Accusation) -> None:
        self.sender.send(self._challenge(game_id, accusation), f"accuse {secrets.token_hex(8)}")

    def end(self, game_id: int) -> tuple[Outcome, Reason, int | None]:
        """Once it is over: who won, how, and the window that was proven."""
        self._await(lambda: self.game(game_id).outcome is not Outcome.UNDECIDED)
        game, chain = self.game(game_id), self.contracts.chain
        logs = chain.logs([self.contracts.game.address], 0, chain.head().number)
        (answer,) = (
            event
            for event in self.contracts.events.decode(logs)
            if isinstance(event, ProofAccepted | ClaimRefuted) and event.game_id == game_id
        )
        return game.outcome, game.reason, answer.window if isinstance(answer, ProofAccepted) else None

    def game(self, game_id: int) -> Game:
        return self.contracts.game.game(game_id)

    def _challenge(self, game_id: int, accusation: Accusation) -> Call:
        posted, step = self.boundaries(game_id), accusation.step
        under = posted[accusation.end if accusation.under is None else accusation.under]
        if step is None:
            leaves = leaves_of_input(self.truth, under)
        else:
            rules = ModelRules.of(self.serving.commitment, self.contracts.stake.parameters().arity)
            leaves = leaves_of_step(self.truth, rules.step_access(self.truth.step_kind(step)), step, under)
        for window in accusation.changed:
            leaves[window] = None  # which becomes something else
        games, claim = self.contracts.game, claim_of(leaves)
        if step is None:
            return games.challenge_input(game_id, posted, claim)
        return games.challenge_part(game_id, posted, step, claim)  # the arity is above the number of steps

    def _await(self, holds: Callable[[], bool]) -> None:
        self.command.wait_until(holds, _PATIENCE_S)


@pytest.fixture
def own_chain(tmp_path: Path) -> Iterator[LocalChain]:
    """Not that of other tests: its time goes by blocks, not by the clock."""
    anvil = start_anvil(free_port(), tmp_path / "anvil.log", block_time_s=None)
    yield LocalChain(Chain(anvil.rpc_url), tmp_path)
    stop_process(anvil.pid)


@pytest.mark.long
def test_whatever_is_claimed_last_a_started_provider_answers_it(
    tmp_path: Path, own_chain: LocalChain, tiny: IntegerModel
) -> None:
    deployment = deploy_protocol(own_chain.sender(0), DEVNET)
    contracts = ProtocolContracts(own_chain.chain, deployment)
    serving = registered(tiny, own_chain, contracts)
    command, accusations = Command(tmp_path, own_chain, deployment, _PROVIDER), [*AS_POSTED, *NEARLY]
    address = own_chain.chain.unlocked_accounts()[_PROVIDER]
    with ExitStack() as stack:
        first_life = stack.enter_context(command.serving())
        accuser = Accuser(own_chain, contracts, command, serving)
        had_wei = contracts.stake.account(address).total
        # Every block is a second after the last one, however long a process takes to start: nobody's clock runs out meanwhile.
        own_chain.chain.request("anvil_setBlockTimestampInterval", [1])
        games = [accuser.open() for _ in accusations]
        for game_id in games:
            accuser.boundaries(game_id)
        first, *others = zip(games, accusations, strict=True)
        accuser.accuse(*first)
        assert accuser.end(first[0]) == (Outcome.PROVIDER_WON, *first[1].answer)
        first_life.kill()
        first_life.wait()
        for game_id, accusation in others:
            accuser.accuse(game_id, accusation)
        stack.enter_context(command.serving())
        for game_id, accusation in others:
            assert accuser.end(game_id) == (Outcome.PROVIDER_WON, *accusation.answer), accusation
    # Nothing of its stake is gone, and nothing failed on the way.
    assert contracts.stake.account(address).total >= had_wei
    assert "Traceback" not in command.log() and "move failed" not in command.log()
