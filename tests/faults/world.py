"""A chain, a started provider and a started challenger, liars and clients around them: faults are injected, then all must be right."""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import structlog

from challenger.local_models import load_local_model
from contracts.bindings.books import Books
from contracts.bindings.deployment import verifier_artifacts
from contracts.bindings.errors import BindingsError
from contracts.bindings.registration import register_model
from contracts.protocol.game import MOVER_OF_PHASE, Phase, Reason, Side
from contracts.protocol.parameters import DEVNET
from devnet.anvil import free_port
from devnet.lifecycle import Devnet, down, state_file, up
from ops.lying_provider import Lie, LyingProvider
from prover.curve.srs import DEVNET_BITS, SRS
from prover.model.library import load_model
from tests.contracts.rpc_proxy import rpc_proxy
from tests.databases import PostgresServer
from tests.node.relay import Relay
from verifier_gen import generate_sources

from .actors import Accuser, Clients, Listed, listed
from .audit import Auditor, Findings, Promise
from .injections import inject
from .programs import Program, wait_for

log = structlog.get_logger("faults")

#: Longer than a devnet's: kills in a row are minutes on a busy machine, and nobody promises to be right after a window.
_PARAMETERS = replace(
    DEVNET, challenge_window=900, clock=900, move_extension=240, trace_extension=480, prove_extension=480, posting_window=900,
    receipt_claim_window=3600, receipt_answer_window=900, show_window=900, join_window=240, exit_delay=12_000, audit_window=1200,
)  # fmt: skip
_READY_S = 240.0
_SETTLED_S = 200.0


@dataclass
class Totals:
    """What happened in a world so far."""

    faults: Counter[str] = field(default_factory=Counter)
    what: Counter[str] = field(default_factory=Counter)
    receipts: int = 0
    batches: int = 0
    games: int = 0
    lies: int = 0
    accusations: int = 0
    refuted: int = 0
    demands: int = 0
    restarts: int = 0
    wasted: int = 0

    def copy(self) -> dict[str, Any]:
        return {
            name: value.copy() if isinstance(value, Counter) else value for name, value in vars(self).items()
        }


class World:
    """`rounds` may be played until `close`; `programs` are its honest provider and challenger."""

    def __init__(
        self, folder: Path, seed: str, *, postgres: PostgresServer | None, commitments: Path
    ) -> None:
        self.folder, self.postgres = folder, postgres
        self._rng = random.Random(seed)
        self._stack = ExitStack()
        self.findings: list[str] = []
        self.totals = Totals()
        self.jumped_s = 0
        self.relay: Relay | None = None
        self._number = 0
        self._promises: dict[str, Promise] = {}
        self._accusers: list[Accuser] = []
        self._lies: list[Lie] = []
        try:
            self._build(commitments)
        except BaseException:
            self.close()
            raise

    def _build(self, commitments: Path) -> None:
        state = self.folder / ".gainsay"
        self.net: Devnet = up(state, port=free_port(), parameters=_PARAMETERS)
        self._stack.callback(down, state)
        self.chain = self.net.chain()
        self.contracts = self.net.contracts(self.chain)
        local = self._local = load_local_model("tiny", commitments=commitments)
        model, srs = load_model("tiny"), SRS.devnet(DEVNET_BITS)
        deployer = self.net.sender("deployer", chain=self.chain)
        verifiers = verifier_artifacts(generate_sources(model.config, srs))
        self.model_id = register_model(deployer, self.contracts, local.commitment, verifiers)  # type: ignore[arg-type]

        def next_token(prompt: Sequence[int]) -> int:
            return local.replay(prompt, [0], None).argmax(len(prompt) - 1) or 0

        self.liar = LyingProvider(
            self.contracts, self.net.sender("spare 0", chain=self.chain), self.model_id, next_token
        )
        self._stack.callback(self.liar.close)
        self.liar.stake(50)
        self._accuser = self.net.sender("spare 1", chain=self.chain)
        self._asker = self.net.sender("spare 2", chain=self.chain)
        self._start_programs(commitments)
        self.first_block = self.chain.head().number
        self.clients = Clients(self.provider.url or "", self._rng)
        self._stack.callback(self.clients.close)
        self.auditor = Auditor(self.contracts, self.net.accounts["provider"], self.net.accounts["challenger"])

    def _start_programs(self, commitments: Path) -> None:
        port, deployment = free_port(), str(state_file(self.folder / ".gainsay"))
        common = {
            "GAINSAY_DEPLOYMENT": deployment, "GAINSAY_COMMITMENTS_DIR": str(commitments), "GAINSAY_POLL_S": "0.3",
            "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        }  # fmt: skip
        settings = common | {
            "GAINSAY_ACCOUNT": self.net.accounts["provider"], "GAINSAY_SELF_CHECK": "false", "GAINSAY_BATCH_INTERVAL_S": "2",
        }  # fmt: skip
        database: Path | None = self.folder / "provider.sqlite"
        if self.postgres is None:
            settings["GAINSAY_DATABASE_URL"] = f"sqlite:///{database}"
        else:
            database = None
            self.relay = self._stack.enter_context(Relay(self.postgres.port))
            url = self.postgres.new_database().replace(f":{self.postgres.port}/", f":{self.relay.port}/")
            settings["GAINSAY_DATABASE_URL"] = url
        url = f"http://127.0.0.1:{port}"
        self.provider = Program(
            "provider", self.folder,
            ["provider", "run", "--model", "tiny", "--port", str(port), "--deposit-ether", "2000"],
            settings, self._stack.enter_context(rpc_proxy(self.net.rpc_url)), url=url, database=database,
        )  # fmt: skip
        theirs = self.folder / "challenger.sqlite"
        arguments = ["challenger", "run", "--model", "tiny", "--database", str(theirs)]
        arguments += ["--provider", f"{self.liar.address}={self.liar.url}"]
        arguments += ["--provider", f"{self.net.accounts['provider']}={url}"]
        self.challenger = Program(
            "challenger", self.folder, arguments,
            common | {"GAINSAY_ACCOUNT": self.net.accounts["challenger"]},
            self._stack.enter_context(rpc_proxy(self.net.rpc_url)), url=None, database=theirs,
        )  # fmt: skip
        for program in self.programs:
            program.start()
            self._stack.callback(program.end)
        wait_for(
            f"both are up; {self.provider.said()}", lambda: all(map(self.is_up, self.programs)), _READY_S
        )

    @property
    def programs(self) -> list[Program]:
        return [self.provider, self.challenger]

    def is_up(self, program: Program) -> bool:
        """Whether it has started wholly: the node answers, the challenger says that it watches since its last start."""
        if not program.runs:
            return False
        if program.url is None:
            return program.says_up()
        try:
            httpx.get(f"{program.url}/healthz", timeout=2)
        except httpx.HTTPError:
            return False
        return True

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def close(self) -> None:
        self._stack.close()

    # --- a round

    def round(self, kinds: Sequence[str], rng: random.Random, tell: object = None) -> Findings:
        """Inject these kinds of faults while everything is in use; heal; wait until all is settled; audit."""
        self.jumped_s = 0
        self.clients.ask()
        for number, kind in enumerate(kinds):
            if number % 8 == 0:
                self._lie()
            if number % 8 == 4:
                self._accuse(rng)
            if number % 8 == 6:
                self._demand(rng)
            if kind == "two nodes":
                self._heal()
            started = time.monotonic()
            what = inject(kind, self, rng)
            self.totals.faults[kind] += 1
            self.totals.what[f"{kind}: {what}"] += 1
            if tell is not None:
                tell(f"{kind}: {what} ({time.monotonic() - started:.1f} s)")  # type: ignore[operator]
            self._keep_up()
            time.sleep(rng.uniform(0, 0.3))
        self.clients.pause()
        self._heal()
        self._settle(tell)
        self._note_leaves()
        findings = self.auditor.audit(list(self._promises.values()), self._true_lies())
        findings.books += self.findings
        self.findings = []
        self._count(findings)
        return findings

    def _keep_up(self) -> None:
        for accuser in self._accusers:
            accuser.step()
        for program in self.programs:
            if program.keep_running():
                self.totals.restarts += 1

    def _lie(self) -> None:
        """One more lie. What a reorganisation takes back of it, nobody posts again."""
        with contextlib.suppress(BindingsError):
            self.liar.stake(20)
            self._lies.append(self.liar.lie())
            self.totals.lies += 1

    def _accuse(self, rng: random.Random) -> None:
        about = self._drawn_answer(rng)
        if about is None:
            return
        accuser = Accuser(self.contracts, self._accuser, about, self._local, rng)
        with contextlib.suppress(BindingsError):
            accuser.open()
            self._accusers.append(accuser)
            self.totals.accusations += 1

    def _demand(self, rng: random.Random) -> None:
        """Somebody asks on chain for an answer that its node must show."""
        about = self._drawn_answer(rng)
        if about is None:
            return
        call = self.contracts.ledger.ask(about.batch_id, about.index, _PARAMETERS.ask_price)
        with contextlib.suppress(BindingsError):
            self._asker.send(call, f"ask {secrets.token_hex(8)}", timeout_s=30)
            self.totals.demands += 1

    def _drawn_answer(self, rng: random.Random) -> Listed | None:
        """An answer of the honest provider that may still be disputed."""
        try:
            books, now = self.auditor.books(), self.chain.head().timestamp
            ours = [
                number for number, batch in books.batches.items()
                if batch.provider == self.net.accounts["provider"] and batch.deadline > now + 300
            ]  # fmt: skip
            if not ours:
                return None
            number = rng.choice(ours)
            return listed(self.provider.url or "", number, rng.randrange(books.batches[number].count))
        except (BindingsError, httpx.HTTPError, KeyError, IndexError, ValueError):
            return None  # the node is down, or the chain moved on

    # --- after the faults

    def _heal(self) -> None:
        for program in self.programs:
            program.proxy.frozen.clear()

        def is_well() -> bool:
            self._keep_up()
            if not all(map(self.is_up, self.programs)):
                return False
            why = self.provider.unready()
            # Accusers that left keep their games open until time passes, which it does once everything else is settled.
            return why is None or "this machine can defend" in why

        try:
            wait_for("the programs are well again", is_well, _READY_S)
        except TimeoutError as error:
            state = f"{error}; the node says {self.provider.unready()!r}; challenger up: {self.is_up(self.challenger)}"
            raise TimeoutError(
                f"{state}\n{self.provider.said(1500)}\n{self.challenger.said(1500)}"
            ) from error

    def _settle(self, tell: object) -> None:
        """Everything posted, everything disputed, every game over; the chain's time passes where only liars are waited for."""
        for receipt_id in self.clients.receipts:
            if receipt_id not in self._promises:
                self._promises[receipt_id] = self._promise(receipt_id)
        until = time.monotonic() + _SETTLED_S
        waits = told = "?"
        while time.monotonic() < until:
            self._keep_up()
            try:
                waits = self._waits_for(self.auditor.books())
            except BindingsError as error:
                waits = str(error)
            if waits != told and tell is not None:
                tell(f"settling: {waits or 'done'}")  # type: ignore[operator]
            told = waits
            if not waits:
                return
            if waits == "time":
                self.chain.request("evm_increaseTime", [200])
                self.chain.request("anvil_mine", ["0x1"])
            time.sleep(0.4)
        self.findings.append(
            f"not settled within {_SETTLED_S:.0f} s: {waits}\n{self.provider.said(1000)}\n{self.challenger.said(1000)}"
        )

    def _waits_for(self, books: Books) -> str:
        """What has still to be done, "time" when only time has to pass, "" when everything is settled."""
        provider, challenger = self.net.accounts["provider"], self.net.accounts["challenger"]
        by_salt = {batch.salt: number for number, batch in books.batches.items()}
        now = self.chain.head().timestamp
        if missing := [p.receipt_id for p in self._promises.values() if p.salt not in by_salt]:
            late = all(self._promises[receipt_id].posting_deadline < now for receipt_id in missing)
            if not late:
                return f"receipts are not posted: {missing[:3]}"
        for lie in self._lies:
            number = by_salt.get(lie.salt)
            if number is None or books.response(number, 0).is_void or books.batches[number].deadline < now:
                continue
            games = books.games_of_response(number, 0).games
            if not any(game.challenger == challenger for game in games):
                return f"the lie in batch {number} is not disputed"
        for ask in books.asks:
            if (
                ask.end == "open"
                and books.batches[ask.batch_id].provider == provider
                and ask.show_deadline >= now
            ):
                return f"response {ask.index} of batch {ask.batch_id} is asked for"
        only_time = False
        honest = {Side.PROVIDER: provider, Side.CHALLENGER: challenger}
        for game in books.games.values():
            if game.phase not in MOVER_OF_PHASE or game.phase is Phase.RESOLVED:
                continue
            mover = MOVER_OF_PHASE[game.phase]
            has_to = game.provider if mover is Side.PROVIDER else game.challenger
            if has_to == honest[mover] or (
                game.deadline < now and honest[mover.other] in (game.provider, game.challenger)
            ):
                return f"game {game.game_id} waits in {game.phase.name}"
            only_time = True
        for batch in books.batches.values():
            if batch.provider == provider and not batch.finalised:
                if batch.deadline < now - 5:
                    return "a batch is not finalised"
                only_time = True
        if books.account(provider).stake.locked and not only_time:
            return (
                "time"
                if any(
                    state.challenge_deadline >= now - 5 and not state.released
                    for (number, _), state in books.responses.items()
                    if books.batches[number].provider == provider
                )
                else "a response's lock is not released"
            )
        return "time" if only_time else ""

    def _promise(self, receipt_id: str) -> Promise:
        answer = httpx.get(f"{self.provider.url}/v1/receipts/{receipt_id}", timeout=20)
        if answer.status_code != 200:
            self.findings.append(f"the node does not know receipt {receipt_id}: {answer.text}")
            return Promise(receipt_id, bytes(32), bytes(32), 0, 0)
        body = answer.json()
        receipt = body["receipt"]
        return Promise(
            receipt_id,
            bytes.fromhex(receipt["batch_salt"][2:]),
            bytes.fromhex(body["leaf"][2:]),
            int(receipt["index"]),
            int(receipt["posting_deadline"]),
        )

    def _note_leaves(self) -> None:
        """Of every batch, as its node lists it: the root on chain must be theirs."""
        listings: dict[bytes, tuple[bytes, ...]] = {}
        for receipt_id, promise in self._promises.items():
            if promise.leaves or not any(promise.salt):
                continue
            if promise.salt not in listings:
                answer = httpx.get(f"{self.provider.url}/v1/batches/0x{promise.salt.hex()}", timeout=20)
                found = answer.json()["responses"] if answer.status_code == 200 else []
                listings[promise.salt] = tuple(bytes.fromhex(entry["leaf"][2:]) for entry in found)
            self._promises[receipt_id] = replace(promise, leaves=listings[promise.salt])

    def _true_lies(self) -> list[tuple[str, bytes]]:
        return [(self.liar.address, lie.salt) for lie in self._lies]

    def _count(self, findings: Findings) -> None:
        books = self.auditor.books()
        self.totals.receipts = len(self._promises)
        self.totals.batches = sum(b.provider == self.net.accounts["provider"] for b in books.batches.values())
        self.totals.games = len(books.games)
        self.totals.refuted = sum(game.reason is Reason.REFUTED for game in books.games.values())
        self.totals.wasted = findings.wasted


@contextmanager
def world(folder: Path, seed: str, *, postgres: PostgresServer | None, commitments: Path) -> Iterator[World]:
    built = World(folder, seed, postgres=postgres, commitments=commitments)
    try:
        yield built
    finally:
        built.close()


__all__ = ["Totals", "World", "world"]
