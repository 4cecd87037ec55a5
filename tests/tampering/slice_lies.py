"""Lies about tiles of inputs, which add to sums of queries, keys or values, and about the steps that close these."""

from __future__ import annotations

from dataclasses import replace

from .case import Case

WRITTEN_VALUE = {"keys_values_close": "values", "query_close": "raw_query"}
"""What is rounded from a sum and checked by its range alone."""
FAR = 1 << 14


def adds_to_every_sum(case: Case) -> None:
    for tensor in case.program.written:
        case.tensors[tensor.name].reshape(-1)[77] += 1
    case.claim_output()


def moves_within_a_sum(case: Case) -> None:
    """The total of a row stays right."""
    (first, *_) = case.program.written
    flat = case.tensors[first.name].reshape(32, -1)
    flat[7, 2] += 9
    flat[7, 3] -= 9
    case.claim_output()


def sum_of_a_group_that_is_padding(case: Case) -> None:
    """The last channel of the fourth group of three."""
    (first, *_) = case.program.written
    case.tensors[first.name].reshape(-1)[-1] -= 7
    case.claim_output()


def slice_left_out(case: Case) -> None:
    """The sums as they were."""
    for after, before in zip(case.program.writes.values(), _before(case), strict=True):
        case.tensors[after] = case.tensors[before].copy()
    case.claim_output()


def slice_added_twice(case: Case) -> None:
    for after, before in zip(case.program.writes.values(), _before(case), strict=True):
        case.tensors[after] = 2 * case.tensors[after] - case.tensors[before]
    case.claim_output()


def sums_exchanged(case: Case) -> None:
    """Before and after: the slice is taken away."""
    inputs, written = case.statement.inputs, len(case.program.written)
    first = len(inputs) - 2 * written
    case.claim_points(first, (*inputs[first + written :], *inputs[first : first + written]))


def inputs_of_another_run(case: Case) -> None:
    """The weights of this tile meet the channels of the one before, under this tile's key."""
    case.compute(parameters={**case.parameters, "inputs": case.parameters["inputs"] - 1})
    case.claim_output()


def key_of_another_run(case: Case) -> None:
    """The right sums, under the key of another tile with the same weights."""
    names, key = case.program.parameters, case.statement.key
    changed = tuple(
        value - 1 if name == "inputs" else value for name, value in zip(names, key.parameters, strict=True)
    )
    case.claim_key(replace(key, parameters=changed))


def weights_in_the_rows_that_are_padding(case: Case) -> None:
    """Input channels that the model does not have get weights, and rows that speak in them."""
    (weight, *_) = case.program.weights
    (rows,) = (name for stream, name in case.program.reads.items() if not stream.endswith("_sum"))
    case.tensors[weight.name][-1] += 500
    case.tensors[rows][:, -1] += 9
    case.compute()
    case.claim_output()


def closes_a_larger_sum(case: Case) -> None:
    """In the last sum that is read."""
    name = list(case.program.reads.values())[-1]
    shift = case.parameters[name.replace("_sum", "_shift")]
    case.tensors[name].reshape(32, -1)[9, 5] += FAR << shift
    case.compute()
    case.claim_output()


def closed_with_another_shift(case: Case) -> None:
    name = case.program.parameters[-1] if "key_shift" in case.program.parameters else "query_shift"
    case.compute(parameters={**case.parameters, name: case.parameters[name] - 1})
    case.claim_output()


def rounded_to_another_integer(case: Case) -> None:
    """Many more, which no norm behind it hides; the remainder takes up the difference, so only the remainder's range notices. All that follows is honest."""
    name = WRITTEN_VALUE[case.program.name]
    operator = next(o for o in case.program.operators if o.output == name)
    case.tensors[name].reshape(32, -1)[3, 5] += FAR
    shift = operator.shift.value(case.parameters)
    case.tensors[f"{name}_remainder"].reshape(32, -1)[3, 5] -= FAR << shift
    case.tensors[f"{name}_high"] = (case.tensors[name] + (1 << (operator.bits - 1))) >> 16
    case.compute(case.program.operators.index(operator) + 1)
    case.claim_output()


def _before(case: Case) -> list[str]:
    return [case.program.reads[stream] for stream in case.program.writes]


INPUT_TILES = (
    adds_to_every_sum,
    moves_within_a_sum,
    sum_of_a_group_that_is_padding,
    slice_left_out,
    slice_added_twice,
    sums_exchanged,
    inputs_of_another_run,
    key_of_another_run,
    weights_in_the_rows_that_are_padding,
)
INPUT_CLOSES = (closes_a_larger_sum, closed_with_another_shift, rounded_to_another_integer)
