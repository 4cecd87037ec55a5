"""Lies about an attention step: masks, positions, the exponential table, the maximum, the quotient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prover.field.arrays import MODULUS
from prover.operators.attend import REAL_HEADS, Attend
from prover.operators.exponential import DIGIT, FAR
from prover.operators.rotary import Rotary
from prover.program import WitnessContext
from prover.relations import FixedBits
from prover.tables import exponential_table

from .case import Case


def place(case: Case, kind: type) -> int:
    """Which operator of a step, or of a tile, is of this kind."""
    (found,) = (
        number for number, operator in enumerate(case.program.operators) if isinstance(operator, kind)
    )
    return found


def sees_the_future(case: Case) -> None:
    """The mask is off by one: row t also attends to t + 1."""
    mask = case.tensors["causal_mask"]
    case.tensors["causal_mask"] = np.concatenate([np.zeros_like(mask[:, :1]), mask[:, :-1]], axis=1)
    case.compute(place(case, Attend))
    case.claim_output()


def forgets_the_first_position(case: Case) -> None:
    """A row that hides a key which it must see."""
    case.tensors["causal_mask"][5:, 0] = 1
    case.compute(place(case, Attend))
    case.claim_output()


def mask_of_another_window(case: Case) -> None:
    """Window 1 computed as if its rows were those of window 0."""
    case.compute(publics={"window": 0})
    case.claim_output()


def wrong_rotary_position(case: Case) -> None:
    """Queries rotated as if they stood one window later."""
    program = case.program
    operators = list(program.operators)
    rotary = place(case, Rotary)
    query = operators[rotary]
    window = query.position[0]
    later = FixedBits(case.window + 1, window.width)
    operators[rotary] = replace(query, position=(later, *query.position[1:]))
    case.compute(rotary, program=replace(program, operators=tuple(operators)))
    case.claim_output()


def keys_and_values_exchanged(case: Case) -> None:
    """What both sides agreed on as keys is said to be the values, and the other way round."""
    _, keys, values, *_ = case.statement.inputs
    case.claim_points(1, (values, keys))


def values_for_keys(case: Case) -> None:
    """The same in the computation: what follows from it is claimed."""
    tensors = case.tensors
    tensors["keys"], tensors["values"] = tensors["values"], tensors["keys"]
    case.compute(place(case, Attend))
    case.claim_output()


def keys_of_the_windows_before(case: Case) -> None:
    """Without the keys and values of the window itself, as they were before it was written."""
    for name in ("keys", "values"):
        case.tensors[name][32 * case.window :] = 0
    case.compute(place(case, Attend))
    case.claim_output()


def windows_of_keys_exchanged(case: Case) -> None:
    """Keys of window 0 where those of window 1 were, and the other way round; their commitment is of the same entries."""
    keys = case.tensors["keys"]
    keys[:32], keys[32:64] = keys[32:64].copy(), keys[:32].copy()
    case.compute(place(case, Attend))
    case.claim_output()


def rows_beyond_the_window(case: Case) -> None:
    """Rows after the statement's own window carry data and are seen."""
    rows = 32 * (case.window + 1)
    for name in ("keys", "values"):
        case.tensors[name][rows:] = 12_345
    case.tensors["causal_mask"][:, rows:] = 0
    case.compute(place(case, Attend))
    case.claim_output()


def padded_head_speaks(case: Case) -> None:
    """The output matrix has entries for query head 3, which does not exist."""
    case.tensors["w_output"][0, 3, :, :24] = 15_000
    case.compute(place(case, Attend) + 1)
    case.claim_output()


def from_weights(case: Case) -> None:
    """Everything after the attention weights, from the weights that are there."""
    attend, tensors = case.program.operators[place(case, Attend)], case.tensors
    total = tensors["weight"].sum(axis=-1)
    mixed = np.einsum("ghtu,ugc->ghtc", tensors["weight"], tensors["values"])
    numerator = 2 * mixed + total[..., None]
    tensors["weight_sum"] = total
    divisor = 2 * total[..., None] + 1 - _real(case)
    tensors["attended"] = numerator // divisor
    remainder = numerator - divisor * tensors["attended"]
    _attended_remainder(case, attend, remainder)
    case.compute(place(case, Attend) + 1)
    case.claim_output()


def _real(case: Case) -> np.ndarray | int:
    """Which heads there are, over the axes of `attended`."""
    real = case.tensors.get(REAL_HEADS)
    return 1 if real is None else real[..., None, None]


def _attended_remainder(case: Case, attend: Attend, remainder: np.ndarray) -> None:
    context = WitnessContext(case.program, case.tensors, case.parameters, case.statement.publics)
    complement = 2 * case.tensors["weight_sum"][..., None] - _real(case) - remainder
    case.tensors["attended_remainder"] = remainder
    for check, values in zip(attend._remainder_checks, (remainder, complement), strict=True):
        check.witness(context, values)
    attend._range.witness(context)


def _hidden(case: Case, row: int) -> tuple[int, int, int, int]:
    """The first key that a row of the window must not see."""
    return (0, 0, row, 32 * case.window + row + 1)


def digit_below_its_range(case: Case) -> None:
    """high one larger, low negative: together the same distance, with the weight of another key."""
    tensors, far = case.tensors, _hidden(case, 0)
    tensors["distance_high"][far] += 1
    tensors["distance_low"][far] -= 1 << 16
    tensors["weight"][far] = exponential_table()[0]
    from_weights(case)


def hidden_key_weighs(case: Case) -> None:
    """A key of the future has the weight of its lower digit."""
    tensors, hidden = case.tensors, _hidden(case, 0)
    tensors["weight"][hidden] = exponential_table()[tensors["distance_low"][hidden]]
    from_weights(case)


def near_key_as_far(case: Case) -> None:
    """A key in sight with digits of one that is far: the same distance, and no weight."""
    tensors, pair = case.tensors, _near(case)
    tensors["distance_high"][pair] = 1
    tensors["distance_low"][pair] -= FAR
    tensors["weight"][pair] = 0
    from_weights(case)


def near_key_weighs_as_if_nearer(case: Case) -> None:
    """The same digits, with the weight that its lower digit has in the table: only that high and weight exclude each other
    notices."""
    tensors, pair = case.tensors, _near(case)
    tensors["distance_high"][pair] = 1
    tensors["distance_low"][pair] -= FAR
    tensors["weight"][pair] = exponential_table()[tensors["distance_low"][pair]]
    from_weights(case)


def _near(case: Case) -> tuple[int, ...]:
    """A visible pair whose distance has room for a higher digit, and a weight."""
    tensors = case.tensors
    distance, visible = tensors["distance_low"], tensors["causal_mask"] == 0
    near = visible & (tensors["distance_high"] == 0) & (distance >= FAR) & (tensors["weight"] > 0)
    if not near.any():
        raise LookupError("no key of this case is between 2^14 and the end of the table")
    return tuple(int(index) for index in np.argwhere(near)[0])


def weight_outside_the_table(case: Case) -> None:
    """One more than the table has for that distance."""
    case.tensors["weight"][0, 0, 7, 3] += 1
    from_weights(case)


def weight_of_another_distance(case: Case) -> None:
    """A row of the table, but not that of the pair's distance; the digit is the lie, its remainder makes up for it."""
    tensors, attend = case.tensors, case.program.operators[place(case, Attend)]
    near = (tensors["distance_high"] == 0) & (tensors["distance_low"] > 0)
    pair = tuple(np.argwhere(near)[0])
    tensors["distance_low"][pair] -= 1
    tensors["distance_remainder"][pair] += 1 << attend.shift
    tensors["weight"][pair] = exponential_table()[tensors["distance_low"][pair]]
    from_weights(case)


def _shift_max(case: Case, by: int) -> None:
    """The maximum of head 0 in row 7, and all that follows from it."""
    attend, tensors = case.program.operators[place(case, Attend)], case.tensors
    moved = np.zeros_like(tensors["score_max"])
    moved[0, 0, 7] = by
    distance = (_index(case) << attend.shift) + tensors["distance_remainder"] + moved[..., None]
    tensors["score_max"] = tensors["score_max"] + moved
    tensors["distance_remainder"] = distance & ((1 << attend.shift) - 1)
    attend._weights.witness(tensors, distance >> attend.shift, tensors["causal_mask"])
    from_weights(case)


def _index(case: Case) -> np.ndarray:
    """Distances in units of the table, from their digits."""
    tensors = case.tensors
    base = np.where(tensors["causal_mask"] > 0, DIGIT, FAR)
    return tensors["distance_low"] + base * tensors["distance_high"]


def max_not_attained(case: Case) -> None:
    """A maximum above every score: all distances grow, and the selector points at one that is not zero."""
    _shift_max(case, 40_000)


def max_too_small(case: Case) -> None:
    """A maximum below the largest score: that pair's distance is negative."""
    _shift_max(case, -3_000)


def max_without_a_selector(case: Case) -> None:
    """A maximum above every score, and a selector that points nowhere."""
    _shift_max(case, 40_000)
    case.tensors["max_selector"][0, 0, 7] = 0


def max_in_halves(case: Case) -> None:
    """The selector is spread over two keys, of which only one attains the maximum."""
    selector = case.tensors["max_selector"].astype(object)
    half = pow(2, -1, MODULUS)
    attained = int(np.argmax(case.tensors["max_selector"][0, 0, 7]))
    selector[0, 0, 7, attained] = selector[0, 0, 7, (attained + 1) % 8] = half
    case.tensors["max_selector"] = selector


def max_of_a_masked_key(case: Case) -> None:
    """The maximum is attained by a key that row 7 must not see: its distance, mask included, is zero."""
    attend, tensors = case.program.operators[place(case, Attend)], case.tensors
    masked = _hidden(case, 7)
    index = int(_index(case)[masked])
    _shift_max(case, -((index << attend.shift) + int(tensors["distance_remainder"][masked])))
    tensors["max_selector"][0, 0, 7] = 0
    tensors["max_selector"][masked] = 1


def quotient_off_by_one(case: Case) -> None:
    attended = case.tensors["attended"]
    attended[0, 0, 7, 0] += 1
    remainder = case.tensors["attended_remainder"]
    remainder[0, 0, 7, 0] -= 2 * case.tensors["weight_sum"][0, 0, 7]
    _attended_remainder(case, case.program.operators[place(case, Attend)], remainder)
    case.compute(place(case, Attend) + 1)
    case.claim_output()
