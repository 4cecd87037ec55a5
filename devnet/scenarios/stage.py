"""Where the scenarios play: a local chain, a registered model, honest parties, and a clock that can be pushed."""

from __future__ import annotations

import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from challenger.bot import Challenger, Options
from challenger.local_models import LocalModel, LocalModels
from challenger.policies import parse_policy
from challenger.provider_client import ProviderBook
from challenger.store import Store, open_engine
from contracts.bindings.chain import Chain
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import BindingsError
from contracts.bindings.keys import UnlockedSigner
from contracts.bindings.registration import deposit_stake, register_model
from contracts.bindings.sender import Sender, sender_on_engine
from contracts.protocol.game import Game, Outcome, Phase
from contracts.protocol.parameters import DEVNET
from node.chain_access import ChainAccess
from node.inference import Generator
from node.serving import CommittedServing
from node.settings import load_settings
from prover.model.weights import IntegerModel
from prover.replay import Replay
from prover.sampling import Sampling

from ..anvil import free_port
from ..lifecycle import Devnet, down, up
from .book import Book
from .errors import ScenarioStuck
from .hosted_provider import Answered, HostedProvider, StagedProvider
from .prepared_model import PreparedModel
from .result import OUTCOMES, ScenarioResult, contested

ETHER = 10**18
FEE_WEI = 10**15
BATCH_INTERVAL_S = 1
#: Generous, because the machine may be slow; nobody waits for them, since the chain's clock is pushed.
STAGE_PARAMETERS = replace(
    DEVNET,
    challenge_window=900,
    clock=600,
    move_extension=120,
    trace_extension=300,
    prove_extension=300,
    audit_window=600,
    exit_delay=3600,
    posting_window=600,
    receipt_claim_window=1200,
    receipt_answer_window=600,
)
_STAKE_WEI = 50 * ETHER
_LONGEST_S = 600.0
_KEPT_REPLAYS = 3

Tell = Callable[[str], None]


class Actor(Protocol):
    """Somebody who moves when it is their turn."""

    def step(self) -> None: ...


@dataclass(frozen=True)
class Posted:
    """A response's place on chain."""

    batch_id: int
    index: int
    leaf: bytes


@dataclass
class Stage:
    """`tell` says in one line what happens. Providers are hired with `hire`."""

    devnet: Devnet
    chain: Chain
    contracts: ProtocolContracts
    prepared: PreparedModel
    model_id: bytes
    folder: Path
    tell: Tell
    providers: ProviderBook = field(default_factory=ProviderBook)
    houses: dict[str, HostedProvider] = field(default_factory=dict)
    private: CommittedServing | None = None  # the model as a private one, once a scenario needs it
    bot: Challenger = field(init=False)
    store: Store = field(init=False)
    _replays: OrderedDict[tuple[tuple[int, ...], tuple[int, ...], Sampling | None], Replay] = field(
        default_factory=OrderedDict
    )

    def __post_init__(self) -> None:
        engine = open_engine(self.folder / "challenger.sqlite")
        self.store = Store(engine)
        signer = UnlockedSigner(self.chain, self.devnet.accounts["challenger"])
        model = self.prepared
        local = LocalModel(model.model.name, model.commitment, self.replay)
        self.bot = Challenger(
            self.contracts,
            sender_on_engine(self.chain, signer, engine),
            self.store,
            LocalModels([local], self.contracts.registry, [self.model_id]),
            self.providers,
            parse_policy("all"),
            Options(),
        )

    @property
    def kept(self) -> Path:
        """The folder of what later runs use, too (`.gainsay`); `folder` is this run's."""
        return self.folder.parents[1]

    def close(self) -> None:
        """Stop all providers."""
        for house in self.houses.values():
            house.stop()

    # --- the cast

    def replay(
        self, prompt_ids: Sequence[int], output_ids: Sequence[int], sampling: Sampling | None = None
    ) -> Replay:
        """The honest trace of a response; judging and playing share it."""
        ids = tuple(prompt_ids), tuple(output_ids)
        key = (*ids, sampling)
        if key not in self._replays:
            model = self.prepared
            self._replays[key] = Replay(model.model, model.commitment, model.srs, *ids, sampling=sampling)
            if len(self._replays) > _KEPT_REPLAYS:
                self._replays.popitem(last=False)
        self._replays.move_to_end(key)
        return self._replays[key]

    def sender(self, role: str) -> Sender:
        """A sender for a role's account, with a journal of its own."""
        return self.devnet.sender(
            role, f"sqlite:///{self.folder / role.replace(' ', '-')}-sender.sqlite", self.chain
        )

    def honest_provider(self) -> HostedProvider:
        """The honest node; it is started once and serves all scenarios that need one."""
        return self.houses.get("provider") or self.hire("provider")

    def hire(
        self,
        role: str,
        *,
        model: IntegerModel | None = None,
        generator: Generator | None = None,
        host: Callable[[StagedProvider, str], HostedProvider] | None = None,
        private: CommittedServing | None = None,
    ) -> HostedProvider:
        """Start a staked provider on a role's account that claims to serve the registered model.

        A liar serves other weights (`model`), answers by another `generator`, or plays otherwise (`host`). `private`: it serves the model
        as this private one instead.
        """
        prepared, address = self.prepared, self.devnet.accounts[role]
        database = f"sqlite:///{self.folder / role.replace(' ', '-')}-node.sqlite"
        settings = load_settings(
            model=prepared.model.name,
            rpc_url=self.devnet.rpc_url,
            account=address,
            database_url=database,
            batch_interval_s=BATCH_INTERVAL_S,
            fee_wei=FEE_WEI,
            queue_size=8,
        )
        access = ChainAccess(self.chain, self.contracts, self.contracts.stake.parameters(), 0, None)
        honest = private or CommittedServing(
            prepared.model.name, prepared.model, prepared.commitment, prepared.srs, self.model_id
        )
        serving = replace(honest, model=model or prepared.model)
        deposit_stake(self.sender(role), self.contracts, _STAKE_WEI, key="stake")
        provider = StagedProvider(settings, access, serving, UnlockedSigner(self.chain, address))
        house = host(provider, serving.name) if host else HostedProvider(provider, serving.name, generator)
        house.start()
        self.houses[role] = house
        self.providers.add(house.address, house.url)
        return house

    # --- time and turns

    def pass_time(self, seconds: int) -> None:
        """Push the chain's clock."""
        self.chain.request("evm_increaseTime", [seconds])
        self.chain.request("anvil_mine", ["0x1"])

    def play(self, done: Callable[[], bool], *actors: Actor) -> None:
        """Let everybody take turns until `done`. Raises `ScenarioStuck`."""
        until = time.monotonic() + _LONGEST_S
        while not done():
            for actor in (*self.houses.values(), *actors):
                actor.step()
            try:
                busy = self.bot.tick()
            except BindingsError as error:
                self.tell(f"the challenger could not act ({error})")
                busy = False
            if time.monotonic() > until:
                troubles = [str(house.troubles[-1]) for house in self.houses.values() if house.troubles]
                raise ScenarioStuck(
                    f"nothing was decided within {_LONGEST_S:.0f} s; last troubles: {'; '.join(troubles) or 'none'}"
                )
            if not busy:
                time.sleep(0.02)

    # --- steps that every scenario has

    def ask(self, house: HostedProvider, prompt: str, max_tokens: int) -> tuple[Answered, Posted]:
        """Ask over HTTP and wait until the answer's batch is on chain."""
        answered = house.ask(prompt, max_tokens)
        self.tell(f"asked {prompt!r}, got {answered.text!r}")
        return answered, self.post(house, answered)

    def post(self, house: HostedProvider, answered: Answered) -> Posted:
        """Wait until the answer's batch is on chain."""
        self.pass_time(BATCH_INTERVAL_S + 1)
        shown = house.receipt(answered.receipt_id)
        while shown.get("batch_id") is None:
            house.step()
            shown = house.receipt(answered.receipt_id)
            if shown.get("batch_id") is None:
                time.sleep(0.1)
        posted = Posted(int(shown["batch_id"]), int(shown["index"]), bytes.fromhex(shown["leaf"][2:]))
        self.tell(f"its hash is on chain, in batch {posted.batch_id}")
        return posted

    def verdict(self, posted: Posted) -> str | None:
        """What the honest challenger thinks of a response: valid, invalid, or None so far."""
        row = self.store.response(posted.batch_id, posted.index)
        return row.state if row is not None and row.state in ("valid", "invalid") else None

    def await_verdict(self, posted: Posted) -> str:
        """Until the honest challenger has re-executed the response."""
        self.play(lambda: self.verdict(posted) is not None)
        verdict = self.verdict(posted)
        assert verdict is not None
        row = self.store.response(posted.batch_id, posted.index)
        self.tell(f"the challenger re-executed it: {verdict}" + (f" ({row.why})" if row is not None else ""))
        return verdict

    def await_game(self, posted: Posted) -> int:
        """Until the honest challenger has opened a game about a response; its number."""
        found: list[int] = []

        def opened() -> bool:
            found.extend(
                row.game_id
                for row in self.store.games()
                if (row.batch_id, row.index) == (posted.batch_id, posted.index)
            )
            return bool(found)

        self.play(opened)
        return found[0]

    def play_out(self, game_id: int, gave_up: Callable[[], bool] | None = None, *actors: Actor) -> Game:
        """Until the game is resolved. Once the provider's turn is hopeless (`gave_up`), time is passed for it."""
        pushed = told = -1

        def resolved() -> bool:
            nonlocal pushed, told
            game = self.contracts.game.game(game_id)
            if game.round != told and game.phase is Phase.AWAIT_CHALLENGE:
                told = game.round
                self.tell(f"round {game.round}: steps {game.range_start}..{game.range_end - 1} are cut")
            hopeless = game.phase is Phase.AWAIT_PROOF and gave_up is not None and gave_up()
            if hopeless and pushed != game.turn_started_at:
                pushed = game.turn_started_at
                self.pass_time(max(1, game.deadline + 1 - self.chain.head().timestamp))
                self.tell("the provider has no proof; its time runs out")
            return game.phase is Phase.RESOLVED

        self.play(resolved, *actors)
        return self.contracts.game.game(game_id)

    def close_rewards(self, batch_id: int, index: int) -> None:
        """Let the join time pass and have burned what nobody claimed of the lost lock."""
        self.pass_time(self.contracts.stake.parameters().join_window + 1)
        call = self.contracts.ledger.close_rewards(batch_id, index)
        self.sender("deployer").send(call, key=f"close rewards {batch_id} {index}")

    def open_book(self, **roles: str) -> Book:
        """Note what these accounts (role in the report -> role on the devnet) have."""
        return Book(self.contracts, {name: self.devnet.accounts[role] for name, role in roles.items()})

    @staticmethod
    def bond_problem(outcome: Outcome, changes: dict[str, int]) -> str:
        """The loser pays; the winner gets something; what is left is burned; nothing appears or vanishes."""
        winner, loser = (
            ("provider", "challenger") if outcome is Outcome.PROVIDER_WON else ("challenger", "provider")
        )
        if not changes[loser] < 0 < changes[winner]:
            return (
                f"the {loser}'s wealth changed by {changes[loser]} wei, the {winner}'s by {changes[winner]}"
            )
        if sum(changes.values()) != 0:
            return f"{sum(changes.values())} wei appeared from nowhere"
        return ""

    def dispute_result(
        self, name: str, answered: Answered, game: Game, book: Book, house: HostedProvider
    ) -> ScenarioResult:
        """The entry of a scenario that a game decided."""
        if self.contracts.ledger.is_void(game.batch_id, game.index):
            self.close_rewards(game.batch_id, game.index)
        changes = book.close()
        accepted = book.accepted_proof()
        made = house.made_proofs[-1] if accepted and house.made_proofs else None
        return ScenarioResult(
            name=name,
            prompt=answered.prompt,
            answer=answered.text,
            outcome=OUTCOMES[game.outcome],
            contested=contested(
                game, self.prepared.model.config.schedule, accepted.window if accepted else None
            ),
            rounds=game.round,
            prove_s=round(made.seconds, 3) if made else None,
            proof_bytes=len(made.proof) if made else None,
            verify_gas=accepted.transaction_gas if accepted else None,
            verifier_call_gas=accepted.verifier_call_gas if accepted else None,
            dispute_gas=book.dispute_gas(),
            bond_changes_wei=changes,
            reason=game.reason.name.lower(),
            problem=self.bond_problem(game.outcome, changes),
        )


@contextmanager
def open_stage(prepared: PreparedModel, folder: Path, tell: Tell) -> Iterator[Stage]:
    """A chain on a free port with the model registered; everything is stopped at the end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        stack.callback(down, folder)
        devnet = up(folder, port=free_port(), parameters=STAGE_PARAMETERS)
        chain = devnet.chain()
        contracts = devnet.contracts(chain)
        tell(f"chain {chain.chain_id} is up at {devnet.rpc_url}, contracts are deployed")
        deployer = devnet.sender("deployer", chain=chain)
        model_id = register_model(deployer, contracts, prepared.commitment, prepared.verifiers)
        tell(f"model {prepared.model.name} is registered as 0x{model_id.hex()}")
        stage = Stage(devnet, chain, contracts, prepared, model_id, folder, tell)
        stack.callback(stage.close)
        yield stage
