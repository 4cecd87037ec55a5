"""What the challenger's tracer keeps for a game is for the turn that it was asked about, and no other."""

from __future__ import annotations

from challenger.local_models import LocalModel
from challenger.trace_files import TraceFiles
from challenger.tracing import Question, Subject, Tracer
from contracts.protocol import actions
from contracts.protocol.game import GameState, Side
from contracts.protocol.response import ResponseFields
from tests.contracts.paper_game import PaperGame
from tests.contracts.synthetic import SyntheticModel, SyntheticTrace

_MODEL = SyntheticModel(step_count=4)
_PROMPT = [(7 * position) % 20 for position in range(40)]
_OUTPUT = _MODEL.generate(_PROMPT, 2)


def posted(wrong_from: int) -> GameState:
    """A game in which everything from a boundary on is wrong; all of them in the same second."""
    game = PaperGame(_MODEL, ResponseFields.of(_PROMPT, _OUTPUT, 2, 0))
    liar = SyntheticTrace(_MODEL, _PROMPT, _OUTPUT, (wrong_from, 0))
    hashes = tuple(liar.boundary_hash(cut) for cut in game.state.cuts)
    game.apply(actions.PostBoundaries(hashes), Side.PROVIDER, liar)
    return game.state


def test_after_a_reorganisation_an_answer_about_other_boundaries_is_none() -> None:
    """Where blocks share a second, only what the game is about tells the turns apart; the move would name a right step."""
    first, second = posted(2), posted(4)
    assert first.game.turn_started_at == second.game.turn_started_at
    model = LocalModel("synthetic", _MODEL, lambda prompt, output, _: SyntheticTrace(_MODEL, prompt, output))
    subject = Subject(b"\1" * 32, model, tuple(_PROMPT), tuple(_OUTPUT))
    tracer = Tracer(TraceFiles(None), 8)
    for state, part in ((first, 1), (second, 3)):
        assert tracer.answer(state)[0] is False
        tracer.ask(Question(state, subject, state.game.turn_started_at))
        assert tracer.step()
        known, action = tracer.answer(state)
        assert known and isinstance(action, actions.ChallengePart) and action.part == part
    assert tracer.answer(first)[0] is False
