"""True statements about a tile of the head over random rows and weights: tokens and their logits to go with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..operators.head_pair import BIAS_INPUT
from ..operators.head_tile import HeadTile
from ..program import WINDOW_ROWS, Program, WitnessContext
from ..token_forms import END, FIRST, TILE, TOKENS, counted_rows


def comparison(program: Program) -> HeadTile:
    """The operator that compares."""
    found = program.operators[-1]
    assert isinstance(found, HeadTile)
    return found


def tile_logits(program: Program, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """(rows, ids) integers, of padded rows and weights; the norm is the program's own."""
    operator = comparison(program)
    context = WitnessContext(program, closed_forms(program, dict(tensors)), {}, {})
    for other in program.operators[:-1]:
        other.witness(context)
    weight = tensors[operator.weight]
    logits = context.tensors[operator.x] @ weight
    return logits if operator.bias_channel is None else logits + BIAS_INPUT * weight[operator.bias_channel]


def closed_forms(program: Program, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors with those closed forms that say nothing about tokens."""
    for tensor in program.tensors.values():
        form = tensor.closed_form
        if form is not None and not set(tensor.axes) & {"token"} and tensor.axes != ("row",):
            tensors[tensor.name] = form.values([program.axes[axis].fixed for axis in tensor.axes], {})
    return tensors


def true_tokens(
    program: Program, tensors: dict[str, np.ndarray], tile: int, first: int = 3, end: int = 29
) -> dict[str, int]:
    """Public integers that are true of rows and weights; puts the stream of chosen logits into `tensors`.

    Every third row has its token in a tile before this one, every third in one behind it, if there are such tiles; all others in this one.
    """
    operator = comparison(program)
    logits = tile_logits(program, tensors)
    size = logits.shape[1]
    begin, behind = tile * size, min((tile + 1) * size, operator.vocabulary)
    real = logits[:, : behind - begin]
    publics = {TILE: tile, FIRST: first, END: end, **dict.fromkeys(TOKENS, 0)}
    chosen = np.zeros(WINDOW_ROWS, dtype=np.int64)
    for row in counted_rows(publics):
        best = int(real[row].argmax())
        token, logit = begin + best, int(real[row, best])
        if row % 3 == 0 and begin:
            token = begin - 1 - row % begin
        elif row % 3 == 1 and behind < operator.vocabulary:
            token, logit = behind + row % (operator.vocabulary - behind), logit + 1
        publics[TOKENS[row]] = token
        chosen[row] = logit
    tensors[operator.chosen_logit] = chosen
    return publics
