"""From the honest player's decision to the transaction: proofs, keys and Merkle paths are added here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from eth_hash.auto import keccak

from ..protocol import actions
from ..protocol.bisection import boundaries_hash, list_hash
from ..protocol.claims import claim_hash
from ..protocol.game import Game, GameState, ModelRules, Phase, Target
from ..protocol.model import CommittedModel
from ..protocol.response import WINDOW_ROWS
from ..protocol.streams import Point, stream_tree
from ..protocol.token_ids import pack_token_ids
from ..protocol.trace import OwnTrace, ProvingTrace
from .chain import Block
from .contract import BoundContract, Call
from .deployment import ProtocolContracts
from .dispute_game import (
    AgreedStep,
    EmbeddingProof,
    HeadProof,
    ResidualWindow,
    ShownClaim,
    StepProof,
    TokenRow,
    flat_points,
)
from .errors import LogsMissing
from .events import BoundariesPosted, InputChallenged, PartChallenged, ResponseShown

_INFINITY: Point = (0, 0)
_LOG_SPAN = 5_000
_Event = TypeVar("_Event", BoundariesPosted, InputChallenged, PartChallenged, ResponseShown)
_T = TypeVar("_T")


def read_game_state(
    contracts: ProtocolContracts, game_id: int, rules: ModelRules, block: Block | None = None
) -> GameState:
    """The state at one block (default: the newest), with what was posted or claimed in the turn before.

    Raises `LogsMissing` while an endpoint has the state, but not the boundaries or the claim that is to be answered: whoever
    waited then could wait until its time is over.
    """
    at = block or contracts.chain.head()
    game = contracts.game.game(game_id, block=at.number)
    boundaries, claim = None, None
    if game.phase is Phase.AWAIT_CHALLENGE and at.timestamp <= game.deadline:
        boundaries = _boundaries(contracts, game_id, game, at)
    if game.phase is Phase.AWAIT_PROOF and game.target is not Target.HEAD and at.timestamp <= game.deadline:
        claim = _claim(contracts, game_id, game, at)
    return GameState(
        game_id=game_id,
        game=game,
        rules=rules,
        boundaries=boundaries,
        claim=claim,
        response_void=contracts.ledger.is_void(game.batch_id, game.index, block=at.number),
    )


def posted_boundaries(
    contracts: ProtocolContracts, game_id: int, block: Block | None = None
) -> tuple[bytes, ...]:
    """The boundaries that a game's challenger has to answer at a block (default: the newest).

    Raises `ValueError` in another phase, and `LogsMissing`.
    """
    at = block or contracts.chain.head()
    game = contracts.game.game(game_id, block=at.number)
    if game.phase is not Phase.AWAIT_CHALLENGE:
        raise ValueError(f"Game {game_id} is in {game.phase.name}; there are no boundaries to answer.")
    return _boundaries(contracts, game_id, game, at)


def _boundaries(contracts: ProtocolContracts, game_id: int, game: Game, at: Block) -> tuple[bytes, ...]:
    """From the newest event, whatever the endpoint says: the list must hash to what the game keeps."""
    event = _last_event(contracts, contracts.game, BoundariesPosted, [game_id.to_bytes(32, "big")], at.number)
    if event is None or list_hash(event.hashes) != game.boundaries_hash:
        raise LogsMissing(BoundariesPosted.__name__, game_id, at.number)
    return event.hashes


def _claim(contracts: ProtocolContracts, game_id: int, game: Game, at: Block) -> bytes:
    """What is claimed of the step or of the input: from the newest challenge, as far as it fits what the game keeps."""
    place = [game_id.to_bytes(32, "big")]
    if game.target is Target.EMBEDDING:
        about = _last_event(contracts, contracts.game, InputChallenged, place, at.number)
        if about is None or game.boundaries_hash != boundaries_hash(
            [about.boundary_hash, claim_hash(about.claim)]
        ):
            raise LogsMissing(InputChallenged.__name__, game_id, at.number)
        return about.claim
    part = _last_event(contracts, contracts.game, PartChallenged, place, at.number)
    if part is None or game.boundaries_hash != boundaries_hash(
        [part.start_hash, part.end_hash, claim_hash(part.claim)]
    ):
        raise LogsMissing(PartChallenged.__name__, game_id, at.number)
    return part.claim


def shown_response(
    contracts: ProtocolContracts, batch_id: int, index: int, until: int
) -> ResponseShown | None:
    """Fields, path and ids that were put on chain because somebody asked for this response."""
    place = [batch_id.to_bytes(32, "big"), index.to_bytes(32, "big")]
    return _last_event(contracts, contracts.ledger, ResponseShown, place, until)


def _last_event(
    contracts: ProtocolContracts, emitter: BoundContract, kind: type[_Event], place: list[bytes], until: int
) -> _Event | None:
    """The newest one. It was not long ago, so look from the newest block backwards."""
    topics = [emitter.interface.topics[kind.__name__], *place]
    first = contracts.deployment.first_block
    while until >= first:
        start = max(first, until - _LOG_SPAN + 1)
        logs = contracts.chain.logs([emitter.address], start, until, topics=topics)
        for event in reversed(contracts.events.decode(logs)):
            if isinstance(event, kind):
                return event
        until = start - 1
    return None


def call_of(
    action: actions.Action,
    state: GameState,
    contracts: ProtocolContracts,
    trace: OwnTrace | ProvingTrace | None,
    model: CommittedModel | None,
) -> Call:
    """The transaction that makes a move. Proving moves compute their proof here, which takes seconds;
    they need a `ProvingTrace` and the model's commitment."""
    game, game_id = contracts.game, state.game_id
    match action:
        case actions.PostBoundaries(hashes):
            return game.post_boundaries(game_id, state.game.about, hashes)
        case actions.RefuteClaim():
            return game.refute_claim(game_id, _agreed_step(action, state, model))
        case actions.ChallengeInput(claim):
            return game.challenge_input(game_id, _to_answer(state), claim)
        case actions.ChallengePart(part, claim):
            return game.challenge_part(game_id, _to_answer(state), part, claim)
        case actions.ChallengeHead(position, rival):
            ids = _ids(trace)
            return game.challenge_head(game_id, _to_answer(state), position, rival, *ids)
        case actions.ClaimTruncated():
            return game.claim_truncated(game_id, *_ids(trace), state.rules.end_tokens)
        case actions.ClaimOverrun(place):
            return game.claim_overrun(game_id, *_ids(trace), state.rules.end_tokens, place)
        case actions.Timeout():
            return game.timeout(game_id)
        case actions.Concede():
            return game.concede(game_id, state.game.about)
        case actions.ResolveVoid():
            return game.resolve_void(game_id)
        case actions.ProveStep() | actions.ProveEmbedding() | actions.ProveHead():
            return _proving_call(action, state, contracts, trace, _need(model, "model commitment"))


def _proving_call(
    action: actions.ProveStep | actions.ProveEmbedding | actions.ProveHead,
    state: GameState,
    contracts: ProtocolContracts,
    trace: object,
    model: CommittedModel,
) -> Call:
    prover: ProvingTrace = _need(trace, "trace")  # type: ignore[assignment]
    game, game_id = contracts.game, state.game_id
    match action:
        case actions.ProveStep(step, window):
            shown = ShownClaim.of(_need(state.claim, "claim"), window)
            return game.prove_step(game_id, step_proof(state.rules, prover, model, step, window), shown)
        case actions.ProveEmbedding(window):
            return game.prove_embedding(
                game_id,
                EmbeddingProof(
                    prompt_ids=pack_token_ids(prover.prompt_ids),
                    output_ids=pack_token_ids(prover.output_ids),
                    window=_residual_window(prover, 0, window),
                    rows=window_rows(prover, model, window),
                    proof=prover.prove_embedding(window),
                ),
                ShownClaim.of(_need(state.claim, "claim"), window),
            )
        case actions.ProveHead(position, _, rival):
            winner = prover.winner(position, rival)
            return game.prove_head(
                game_id,
                HeadProof(
                    window=_residual_window(prover, model.step_count, position // WINDOW_ROWS),
                    winner_id=winner,
                    winner=_token_row(model, winner),
                    rival=_token_row(model, rival),
                    proof=prover.prove_head(position, rival),
                ),
            )


def _agreed_step(action: actions.RefuteClaim, state: GameState, model: CommittedModel | None) -> AgreedStep:
    key_digest, key_path, step = bytes(32), list[bytes](), state.game.range_start
    if state.game.target is Target.STEP:
        committed = _need(model, "model commitment")
        key_digest, key_path = keccak(committed.step_keys[step]), list(committed.step_key_path(step))
    return AgreedStep(
        kind=action.kind,
        key_digest=key_digest,
        key_path=key_path,
        roots_before=action.roots_before,
        roots_after=action.roots_after,
        sums=[flat_points(points) for points in action.sums],
        claim=_need(state.claim, "claim"),
    )


def step_proof(
    rules: ModelRules, prover: ProvingTrace, model: CommittedModel, step: int, window: int
) -> StepProof:
    """What `proveStep` takes about one window of a step of the trace; the proof is computed."""
    access = rules.step_access(model.kind(step))
    streams = range(len(access.chunk_bits))
    before = [prover.stream_points(step, stream) for stream in streams]
    after = [prover.stream_points(step + 1, stream) for stream in streams]
    shown = access.shown_windows(window, before, after)
    return StepProof(
        kind=model.kind(step),
        roots_before=prover.stream_roots(step),
        roots_after=prover.stream_roots(step + 1),
        key=model.step_keys[step],
        key_path=model.step_key_path(step),
        sums=flat_points(shown.sums),
        siblings=shown.siblings,
        proof=prover.prove_step(step, window),
    )


def _residual_window(trace: OwnTrace, boundary: int, window: int) -> ResidualWindow:
    sums = trace.stream_points(boundary, 0)
    return ResidualWindow(trace.stream_roots(boundary), sums[window], stream_tree(sums).path(window))


def window_rows(trace: OwnTrace, model: CommittedModel, window: int) -> list[TokenRow]:
    """The leaves of the window's 32 tokens; padded positions get an empty one."""
    fed = [*trace.prompt_ids, *trace.output_ids][:-1]
    tokens = fed[window * WINDOW_ROWS : (window + 1) * WINDOW_ROWS]
    rows = [_token_row(model, token) for token in tokens]
    return rows + [TokenRow(_INFINITY, _INFINITY, [])] * (WINDOW_ROWS - len(rows))


def _token_row(model: CommittedModel, token: int) -> TokenRow:
    embedding, head = model.row(token)
    return TokenRow(embedding, head, model.row_path(token))


def _ids(trace: OwnTrace | None) -> tuple[Sequence[int], Sequence[int]]:
    known = _need(trace, "trace")
    return known.prompt_ids, known.output_ids


def _to_answer(state: GameState) -> tuple[bytes, ...]:
    """In another phase than that of challenges there are none: the contract says so."""
    return state.boundaries or ()


def _need(value: _T | None, what: str) -> _T:
    if value is None:
        raise ValueError(f"This move cannot be made without the {what}.")
    return value


def move_key(state: GameState, action: actions.Action) -> str:
    """A name for this move in a sender's journal: one per turn, so a repeat after a kill is not sent twice.

    The turn's start and what the game is about are part of it, because a reorganisation can bring the same phase back; about as a whole,
    for the other side chooses much of what goes into it.
    """
    game = state.game
    kind = type(action).__name__
    turn = f"round {game.round} from {game.turn_started_at} about {game.about.hex()}"
    return f"game {state.game_id} {game.phase.name} {turn}: {kind}"
