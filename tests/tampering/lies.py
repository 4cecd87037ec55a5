"""Lies: false statements, and forged witnesses, that a malicious prover tries to have proven.

Every lie is the best that its liar can do: what follows from it is computed honestly, so that as few relations as
possible notice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from prover.argument.commitment import commit_chunks
from prover.field.arrays import MODULUS
from prover.operators.attend import Attend
from prover.operators.rounding import requantise_half_up
from prover.program import Program, WitnessContext
from prover.relations import FixedBits
from prover.statement import Statement, StepKey, VerifyingKey
from prover.tables import activation_table, exponential_table

from ..prover.statements import public_statement, srs

Tensors = dict[str, np.ndarray]
NORM, GATE, ACTIVATION, MULTIPLY = 0, 1, 3, 4  # operators of an MLP step
ATTEND, OUTPUT = 6, 7  # operators of an attention step


@dataclass
class Case:
    """A true statement with its witness, about to be falsified in place."""

    key: VerifyingKey
    statement: Statement
    tensors: Tensors

    @classmethod
    def true(cls, kind: str, window: int = 0, seed: int = 1) -> Case:
        key, statement, tensors = public_statement(kind, window, seed)
        return cls(key, statement, {name: array.copy() for name, array in tensors.items()})

    @property
    def program(self) -> Program:
        return self.key.plan.program

    @property
    def parameters(self) -> dict[str, int]:
        return dict(zip(self.program.parameters, self.statement.key.parameters, strict=True))

    def compute(
        self,
        first: int = 0,
        program: Program | None = None,
        parameters: dict[str, int] | None = None,
        publics: dict[str, int] | None = None,
    ) -> None:
        """Recompute everything from operator `first` on, as the honest prover would."""
        program = program or self.program
        context = WitnessContext(
            program,
            self.tensors,
            parameters or self.parameters,
            publics or self.statement.publics,
            self.statement.context_bits(self.key.plan),
        )
        for operator in program.operators[first:]:
            operator.witness(context)

    def claim_output(self) -> None:
        """Make the statement speak of the output that is in `tensors`."""
        self.claim_input(len(self.statement.inputs) - 1, self.tensors["after"])

    def claim_input(self, index: int, values: np.ndarray) -> None:
        point = commit_chunks(srs().g1, [values.reshape(-1)])[0]
        inputs = list(self.statement.inputs)
        inputs[index] = point
        self.statement = replace(self.statement, inputs=tuple(inputs))

    def claim_key(self, key: StepKey) -> None:
        self.statement = replace(self.statement, key=key)


# --- lies about any step ------------------------------------------------------------------------------------


def _shift_output(case: Case, row: int, channel: int, by: int) -> None:
    """Another output; the summand's remainder takes up the difference, so only its range notices."""
    after = case.tensors["after"]
    after[row, channel] += by
    shift = case.parameters["down_shift" if case.program.name == "mlp" else "output_shift"]
    case.tensors["summand_remainder"][row, channel] -= by << shift
    case.tensors["after_high"] = (after + (1 << 30)) >> 16
    case.claim_output()


def wrong_output(case: Case) -> None:
    _shift_output(case, 3, 5, 1)


def data_in_a_padded_channel(case: Case) -> None:
    """Channels 24..31 of the window are padding."""
    _shift_output(case, 0, 30, -7)


def wrong_weight(case: Case) -> None:
    """One weight differs from the step key's; everything else follows from it."""
    name, first = ("w_up", GATE) if case.program.name == "mlp" else ("w_value", 1)
    case.tensors[name].reshape(-1)[:4] += 9_000
    case.compute(first)
    case.claim_output()


def key_of_another_layer(case: Case) -> None:
    """The computation of one layer, claimed for another one."""
    case.claim_key(Case.true(case.program.name, _window(case), seed=2).statement.key)


def rows_of_another_input(case: Case) -> None:
    """The computation on other rows than those that both sides agreed on."""
    other = Case.true(case.program.name, _window(case), seed=2)
    case.statement = replace(case.statement, inputs=(*other.statement.inputs[:-1], case.statement.inputs[-1]))


def wrong_shift(case: Case) -> None:
    """Requantised with another shift than the step key's."""
    name = "up_shift" if case.program.name == "mlp" else "value_shift"
    case.compute(1, parameters={**case.parameters, name: case.parameters[name] - 1})
    case.claim_output()


def wrong_root(case: Case) -> None:
    """y of the norm one too large in row 0; the slack below it is negative in its top limb only."""
    norm = case.program.operators[NORM]
    name = norm.output
    root = int(case.tensors[f"{name}_root"].reshape(-1)[0]) + 1
    mean_square = int(case.tensors[f"{name}_mean_square"].reshape(-1)[0])
    limbs = norm._limbs(mean_square, root)
    limbs[8] = (norm._numerator - root * root * mean_square) >> 96
    case.tensors[f"{name}_root"].reshape(-1)[0] = root
    case.tensors[f"{name}_limbs"].reshape(-1, 16)[0] = limbs
    x = case.tensors["before"][:1]
    case.tensors[name][:1] = requantise_half_up(x * root, norm.shift)
    case.tensors[f"{name}_remainder"][:1] = (x * root + (1 << (norm.shift - 1))) - (
        case.tensors[name][:1] << norm.shift
    )
    case.tensors[f"{name}_remainder_high"][:1] = case.tensors[f"{name}_remainder"][:1] >> 16
    case.compute(1)
    case.claim_output()


# --- lies about an MLP step -----------------------------------------------------------------------------------


def rounded_the_other_way(case: Case) -> None:
    case.tensors["gate"][0, 0] += 1
    case.tensors["gate_remainder"][0, 0] -= 1 << case.parameters["gate_shift"]
    case.compute(ACTIVATION)
    case.claim_output()


def wrong_activation(case: Case) -> None:
    """An activation that is in no row of the table (logUp must notice, whatever the multiplicities)."""
    case.tensors["activated"][1, 2] += 5_000
    case.compute(MULTIPLY)
    case.claim_output()


def division_in_the_field(case: Case) -> None:
    """2^16 y + remainder - 2^15 = 0 with remainder 2^15 + 1, in a padded channel whose product is zero anyway."""
    up = case.tensors["up"].astype(object)
    inverse = pow(1 << case.parameters["up_shift"], -1, MODULUS)
    up[0, 60] = -inverse % MODULUS
    high = case.tensors["up_high"].astype(object)
    high[0, 60] = (up[0, 60] + (1 << 20)) * pow(1 << 16, -1, MODULUS) % MODULUS  # low limb 0
    case.tensors["up"], case.tensors["up_high"] = up, high
    case.tensors["up_remainder"][0, 60] += 1


def padded_channel_speaks(case: Case) -> None:
    """Channel 60 of the hidden layer does not exist; weights that lead to it and from it."""
    tensors = case.tensors
    tensors["w_gate"][:24, 60] = tensors["w_up"][:24, 60] = tensors["w_down"][60, :24] = 12_000
    case.compute(GATE)
    case.claim_output()


def input_of_another_output(case: Case) -> None:
    """The gate of another row of the table with the same output, so that nothing after it changes."""
    gate = case.tensors["gate"]
    operator = case.program.operators[ACTIVATION]
    table = activation_table(operator.function, operator.bits, operator.scale, operator.output_scale)
    half = 1 << (operator.bits - 1)
    row, channel = np.argwhere(table[gate + half] == table[gate - 1 + half])[0]
    gate[row, channel] -= 1
    case.tensors["gate_remainder"][row, channel] += 1 << case.parameters["gate_shift"]


def every_equation_solved(case: Case) -> None:
    """A wrong output for which products, and what they are products of, are solved in the field: every equation holds,
    with every remainder of the last matrix and every low limb as it was. Only range checks of high limbs and of one
    remainder are left to notice."""
    tensors, row = case.tensors, 3
    shift = 1 << case.parameters["down_shift"]
    tensors["after"][row, 5] += 1
    tensors["after_high"] = (tensors["after"] + (1 << 30)) >> 16
    wanted = [shift if channel == 5 else 0 for channel in range(tensors["w_down"].shape[1])]
    usable = np.flatnonzero(tensors["activated"][row])
    change = solve_linear(tensors["w_down"][usable].tolist(), wanted)
    lift = 1 << next(op for op in case.program.operators if getattr(op, "output", "") == "product").shift
    for name in ("product", "product_high", "up", "up_high", "up_remainder"):
        tensors[name] = tensors[name].astype(object)
    for hidden, by in zip(usable.tolist(), change, strict=True):
        factor = lift * by * pow(int(tensors["activated"][row, hidden]), -1, MODULUS)
        tensors["product"][row, hidden] += by
        tensors["product_high"][row, hidden] += by * pow(1 << 16, -1, MODULUS)
        tensors["up"][row, hidden] += factor
        tensors["up_high"][row, hidden] += factor * pow(1 << 16, -1, MODULUS)
        tensors["up_remainder"][row, hidden] -= factor << case.parameters["up_shift"]
    for name in ("product", "product_high", "up", "up_high", "up_remainder"):
        tensors[name] %= MODULUS
    case.claim_output()


def solve_linear(rows: list[list[int]], wanted: list[int]) -> list[int]:
    """x with sum_i x_i rows[i] = wanted, in the field, by elimination. Raises ValueError when there is none."""
    unknowns = len(rows)
    system = [[row[equation] for row in rows] + [value] for equation, value in enumerate(wanted)]
    pivots: list[int] = []
    for column in range(unknowns):
        place = len(pivots)
        pivot = next((i for i in range(place, len(system)) if system[i][column] % MODULUS), None)
        if pivot is None:
            continue
        system[place], system[pivot] = system[pivot], system[place]
        inverse = pow(system[place][column], -1, MODULUS)
        system[place] = [value * inverse % MODULUS for value in system[place]]
        for i, line in enumerate(system):
            if i != place and line[column] % MODULUS:
                system[i] = [
                    (a - line[column] * b) % MODULUS for a, b in zip(line, system[place], strict=True)
                ]
        pivots.append(column)
    if any(line[-1] % MODULUS for line in system[len(pivots) :]):
        raise ValueError("the equations contradict each other")
    solution = [0] * unknowns
    for place, column in enumerate(pivots):
        solution[column] = system[place][-1]
    return solution


# --- lies about an attention step ---------------------------------------------------------------------------


def _window(case: Case) -> int:
    return case.statement.publics.get("window", 0)


def sees_the_future(case: Case) -> None:
    """The mask is off by one: row t also attends to t + 1."""
    mask = case.tensors["causal_mask"]
    case.tensors["causal_mask"] = np.concatenate([np.zeros_like(mask[:, :1]), mask[:, :-1]], axis=1)
    case.compute(ATTEND)
    case.claim_output()


def forgets_the_first_position(case: Case) -> None:
    """A row that hides a key which it must see."""
    case.tensors["causal_mask"][5:, 0] = 1
    case.compute(ATTEND)
    case.claim_output()


def mask_of_another_window(case: Case) -> None:
    """Window 1 computed as if its rows were those of window 0."""
    case.compute(publics={"window": 0})
    case.claim_output()


def wrong_rotary_position(case: Case) -> None:
    """Queries rotated as if they stood one window later."""
    program = case.program
    operators = list(program.operators)
    query = operators[4]
    window = query.position[0]
    later = FixedBits(_window(case) + 1, window.width)
    operators[4] = replace(query, position=(later, *query.position[1:]))
    case.compute(1, program=replace(program, operators=tuple(operators)))
    case.claim_output()


def keys_at_another_position(case: Case) -> None:
    """Keys rotated as if they stood further on; queries stay where they are."""
    program = case.program
    operators = list(program.operators)
    index = next(
        i for i, operator in enumerate(operators) if getattr(operator, "output", "") == "rotated_key"
    )
    fixed, along = operators[index].position
    operators[index] = replace(operators[index], position=(replace(fixed, value=1), along))
    case.compute(index, program=replace(program, operators=tuple(operators)))
    case.claim_output()


def windows_swapped(case: Case) -> None:
    """The agreed windows in another order."""
    first, second, *rest = case.statement.inputs
    case.statement = replace(case.statement, inputs=(second, first, *rest))


def rows_beyond_the_window(case: Case) -> None:
    """Rows after the statement's own window carry data and are seen."""
    rows = 32 * (_window(case) + 1)
    case.tensors["before"][rows:, :24] = 12_345
    case.tensors["causal_mask"][:, rows:] = 0
    case.compute()
    case.claim_output()


def padded_head_speaks(case: Case) -> None:
    """The output matrix has entries for query head 3, which does not exist."""
    case.tensors["w_output"][0, 3, :, :24] = 15_000
    case.compute(OUTPUT)
    case.claim_output()


def _from_weights(case: Case) -> None:
    """Everything after the attention weights, from the weights that are there."""
    attend, tensors = case.program.operators[ATTEND], case.tensors
    total = tensors["weight"].sum(axis=-1)
    mixed = np.einsum("ghtu,ugc->ghtc", tensors["weight"], tensors["value"])
    numerator = 2 * mixed + total[..., None]
    tensors["weight_sum"] = total
    tensors["attended"] = numerator // (2 * total[..., None])
    remainder = numerator - 2 * total[..., None] * tensors["attended"]
    _attended_remainder(case, attend, remainder)
    case.compute(OUTPUT)
    case.claim_output()


def _attended_remainder(case: Case, attend: Attend, remainder: np.ndarray) -> None:
    context = WitnessContext(case.program, case.tensors, case.parameters, case.statement.publics)
    complement = 2 * case.tensors["weight_sum"][..., None] - 1 - remainder
    case.tensors["attended_remainder"] = remainder
    for check, values in zip(attend._remainder_checks, (remainder, complement), strict=True):
        check.witness(context, values)
    attend._range.witness(context)


def _hidden(case: Case, row: int) -> tuple[int, int, int, int]:
    """The first key that a row of the window must not see."""
    return (0, 0, row, 32 * _window(case) + row + 1)


def digit_outside_its_half(case: Case) -> None:
    """z_hi one larger, z_lo negative: together the same distance, with the weight of another key."""
    tensors, far = case.tensors, _hidden(case, 0)
    tensors["distance_high"][far] += 1
    tensors["distance_low"][far] -= 1 << 16
    tensors["weight"][far] = exponential_table()[0]
    _from_weights(case)


def saturation_flag_flipped(case: Case) -> None:
    """A far key counts as near."""
    tensors, far = case.tensors, _hidden(case, 0)
    tensors["saturated"][far] = 0
    tensors["weight"][far] = exponential_table()[tensors["distance_low"][far]]
    _from_weights(case)


def near_key_saturated(case: Case) -> None:
    """A near key counts as far."""
    tensors = case.tensors
    near = (tensors["distance_high"] == 0) & (tensors["distance_low"] > 0)
    pair = tuple(np.argwhere(near[:, :3])[0])
    tensors["saturated"][pair] = 1
    tensors["weight"][pair] = 0
    _from_weights(case)


def weight_outside_the_table(case: Case) -> None:
    """One more than the table has for that distance."""
    case.tensors["weight"][0, 0, 7, 3] += 1
    _from_weights(case)


def weight_of_another_distance(case: Case) -> None:
    """A row of the table, but not that of the pair's distance; the digit is the lie, its remainder makes up for it."""
    tensors, attend = case.tensors, case.program.operators[ATTEND]
    near = (tensors["distance_high"] == 0) & (tensors["distance_low"] > 0)
    pair = tuple(np.argwhere(near)[0])
    tensors["distance_low"][pair] -= 1
    tensors["distance_remainder"][pair] += 1 << attend.shift
    tensors["weight"][pair] = exponential_table()[tensors["distance_low"][pair]]
    _from_weights(case)


def _shift_max(case: Case, by: int) -> None:
    """The maximum of head 0 in row 7, and all that follows from it."""
    attend, tensors = case.program.operators[ATTEND], case.tensors
    moved = np.zeros_like(tensors["score_max"])
    moved[0, 0, 7] = by
    index = (1 << 16) * tensors["distance_high"] + tensors["distance_low"]
    distance = (index << attend.shift) + tensors["distance_remainder"] + moved[..., None]
    tensors["score_max"] = tensors["score_max"] + moved
    tensors["distance_remainder"] = distance & ((1 << attend.shift) - 1)
    index = distance >> attend.shift
    tensors["distance_low"], tensors["distance_high"] = index & 0xFFFF, index >> 16
    tensors["saturated"] = (tensors["distance_high"] > 0).astype(np.int64)
    digits = tensors["saturated"] * (1 << 16) + tensors["distance_low"]
    tensors["weight"] = exponential_table()[np.where(index < 0, 0, digits)]
    _from_weights(case)


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
    attend, tensors = case.program.operators[ATTEND], case.tensors
    masked = _hidden(case, 7)
    index = (1 << 16) * int(tensors["distance_high"][masked]) + int(tensors["distance_low"][masked])
    _shift_max(case, -((index << attend.shift) + int(tensors["distance_remainder"][masked])))
    tensors["max_selector"][0, 0, 7] = 0
    tensors["max_selector"][masked] = 1


def quotient_off_by_one(case: Case) -> None:
    attended = case.tensors["attended"]
    attended[0, 0, 7, 0] += 1
    remainder = case.tensors["attended_remainder"]
    remainder[0, 0, 7, 0] -= 2 * case.tensors["weight_sum"][0, 0, 7]
    _attended_remainder(case, case.program.operators[ATTEND], remainder)
    case.compute(OUTPUT)
    case.claim_output()


# --- lies about the head ------------------------------------------------------------------------------------


def _exchange_tokens(case: Case) -> int:
    """Chosen and rival change places; returns the margin, which is negative now."""
    chosen, rival, window = case.statement.inputs
    case.statement = replace(case.statement, inputs=(rival, chosen, window))
    case.tensors["chosen"], case.tensors["rival"] = case.tensors["rival"], case.tensors["chosen"]
    difference = case.tensors["chosen"] - case.tensors["rival"]
    return int(np.sum(case.tensors["normalised"] * difference)) - case.statement.publics["strict"]


def rival_wins(case: Case) -> None:
    """The margin is negative in its top limb."""
    margin = _exchange_tokens(case)
    limbs = [margin >> 16 * i & 0xFFFF for i in range(3)]
    case.tensors["margin_limbs"] = np.array([*limbs, margin >> 48], dtype=np.int64)


def margin_modulo_its_width(case: Case) -> None:
    """All limbs in range, of the margin plus 2^64."""
    margin = _exchange_tokens(case)
    case.tensors["margin_limbs"] = np.array([margin >> 16 * i & 0xFFFF for i in range(4)], dtype=np.int64)


def another_row_of_the_window(case: Case) -> None:
    """Row 6 is the negative of row 5, so that exactly one of them prefers the chosen token: the other one."""
    window = case.tensors["window"]
    window[6] = -window[5]
    case.claim_input(2, window)
    _exchange_tokens(case)
    case.compute(publics={**case.statement.publics, "row": 6})


def tie_against_the_smaller_id(case: Case) -> None:
    """Equal logits and a rival with the smaller id: the margin is -1."""
    case.tensors["rival"] = case.tensors["chosen"].copy()
    case.statement = replace(
        case.statement, inputs=(case.statement.inputs[0], case.statement.inputs[0], case.statement.inputs[2])
    )
    case.tensors["margin_limbs"] = np.array([-1, 0, 0, 0], dtype=np.int64)


# --- all of them ---------------------------------------------------------------------------------------------

ANY = (wrong_output, data_in_a_padded_channel, wrong_weight, key_of_another_layer, rows_of_another_input)
MLP = (
    wrong_shift,
    wrong_root,
    rounded_the_other_way,
    wrong_activation,
    division_in_the_field,
    every_equation_solved,
)
ATTENTION = (
    sees_the_future,
    forgets_the_first_position,
    wrong_rotary_position,
    keys_at_another_position,
    padded_head_speaks,
    digit_outside_its_half,
    saturation_flag_flipped,
    near_key_saturated,
    weight_of_another_distance,
    max_not_attained,
    max_too_small,
    max_of_a_masked_key,
    quotient_off_by_one,
)
HEAD = (rival_wins, margin_modulo_its_width, another_row_of_the_window, tie_against_the_smaller_id)
LAST_WINDOW = 7
"""Of the small shape, which has 256 positions."""
LIES = [
    *(("mlp", 0, lie) for lie in MLP),
    *(("attention", 0, lie) for lie in (*ANY, *ATTENTION)),
    *(("attention", 1, lie) for lie in (mask_of_another_window, windows_swapped)),
    ("attention", 2, rows_beyond_the_window),
    *(("head", 0, lie) for lie in HEAD),
]
MORE_LIES = [
    *(("mlp", 0, lie) for lie in (*ANY, input_of_another_output, padded_channel_speaks)),
    *(
        ("attention", 0, lie)
        for lie in (weight_outside_the_table, max_without_a_selector, max_in_halves, wrong_shift, wrong_root)
    ),
    *(("attention", 1, lie) for lie in (*ANY, *ATTENTION)),
    *(("attention", LAST_WINDOW, lie) for lie in (wrong_output, sees_the_future, max_not_attained)),
]
"""For the long tests: variations, and the same lies about other statements."""
