"""Parts of layers that are cut into tiles: slices of a matrix, which add to a sum, and what closes the sum (tiles.py)."""

from __future__ import annotations

from ..operators.closed_sum import ClosedSum
from ..operators.partial_sum import PartialSum, SomeInputs
from ..operators.rounding import Shift
from ..program import Kind, Tensor
from ..relations import Ref
from .config import MatrixRule, ModelConfig, Sliced, index_bits
from .parts import HEAD_AXES, projected
from .steps import CHANNELS, KEYS, QUERIES, Heads, Part
from .tiles import INPUTS, InputTiles


def attention_partial(rule: MatrixRule, tile: Heads) -> Part:
    """sum_after = sum_before + attended W_o for the heads of a tile."""
    return partial(rule, "output", "attended", HEAD_AXES, tile.kv_heads * tile.queries * tile.size)


def mlp_partial(rule: MatrixRule, x: str, size: int, block: int | None = None) -> Part:
    """sum_after = sum_before + x W_down for the hidden channels of a tile. block: those of an expert, where there are experts."""
    return partial(rule, "down", x, ("hidden",), size, block)


def closed(config: ModelConfig, rule: MatrixRule, name: str, *, normed: bool = False) -> Part:
    """The sum of all tiles of w_<name>, rounded: the residual summand, or `projected` when a norm follows."""
    output, bits = ("projected", config.scales.projected_bits) if normed else ("summand", None)
    shift = Shift(parameter=f"{name}_shift")
    operator = ClosedSum(Ref("sum"), output, CHANNELS, shift, bits, committed=normed, bias=rule.bias)
    return Part((operator,), _bias(rule, ("channel",)))


def projection_partial(rule: MatrixRule, name: str, x: str, tiles: InputTiles) -> Part:
    """<name>_sum_after = <name>_sum_before + x W_<name> for some entries of x."""
    return input_partial(rule, f"w_{name}", f"{name}_sum", x, tiles, sum_axes(name))


def input_partial(
    rule: MatrixRule, weight: str, total: str, x: str, tiles: InputTiles, domain: tuple[str, ...]
) -> Part:
    """<total>_after = <total>_before + x <weight> for some entries of x."""
    some = SomeInputs(INPUTS, "channel", "slice", index_bits(tiles.size), tiles.run_bits)
    operator = PartialSum(x, weight, f"{total}_before", f"{total}_after", domain, ("slice",), some)
    tensor = Tensor(weight, ("slice", *domain[1:]), Kind.WEIGHT)
    return Part((operator,), (tensor,), {weight: rule}, sliced={weight: Sliced(0, tiles.size)})


def projection_closed(
    config: ModelConfig, rule: MatrixRule, name: str, *, normed: bool = False, writes: str | None = None
) -> Part:
    """query, key or value: the sum of all tiles of w_<name>, rounded."""
    output, bits = projected(config, name, normed=normed, writes=writes)
    shift, domain = Shift(parameter=f"{name}_shift"), sum_axes(name)
    operator = ClosedSum(
        Ref(f"{name}_sum"), output, domain, shift, bits, committed=writes is None, bias=rule.bias
    )
    return Part((operator,), _bias(rule, domain[1:]))


def sum_axes(name: str) -> tuple[str, ...]:
    """Axes of the sum of queries, keys or values, rows first."""
    return QUERIES if name == "query" else KEYS


def _bias(rule: MatrixRule, axes: tuple[str, ...]) -> tuple[Tensor, ...]:
    return () if rule.bias is None else (Tensor(rule.bias, axes, Kind.WEIGHT),)


def partial(
    rule: MatrixRule, name: str, x: str, summed: tuple[str, ...], size: int, block: int | None = None
) -> Part:
    """sum_after = sum_before + x times `size` inputs of the matrix w_<name>, which lead back to the channels."""
    weight = f"w_{name}"
    operator = PartialSum(x, weight, "sum_before", "sum_after", CHANNELS, summed)
    tensor = Tensor(weight, (*summed, "channel"), Kind.WEIGHT)
    return Part((operator,), (tensor,), {weight: rule}, sliced={weight: Sliced(0, size, block)})
