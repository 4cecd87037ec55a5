"""python -m tests.prover.architectures.shape_costs: what proofs about published shapes cost on chain, no checkpoint at hand.

A statement of every kind of step, and of the head, about a layer of random weights is proven and sent to its generated verifier on a
local Anvil; a line of each goes to standard output. Only the weights of one step are made at a time, so any size fits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from devnet.benchmarks.gas import GasMeter, gas_meter
from prover.architectures import ModelConfig
from prover.committed_values import commit_step_key
from prover.curve.srs import SRS
from prover.program import OutOfRange
from prover.prove import StatementFalseError, prove
from prover.statement import Statement, VerifyingKey
from tests.prover.operators.random_layers import Statement as Case
from tests.prover.operators.random_layers import input_points

from . import real_shapes
from .random_models import random_statement

SRS_BITS = 18
_LATER = 31
"""Number of the window at 1,024 tokens, which steps with a context are proven in, too."""
_SMALLEST = 1 << 14


@dataclass(frozen=True)
class Cost:
    """Bytes, but for the gas of the whole transaction."""

    kind: str
    window: int
    code: int
    key: int
    proof: int
    gas: int


def costs(config: ModelConfig) -> Iterator[Cost]:
    """One after the other. Raises StatementFalseError where no weights keep a random layer in its ranges."""
    srs = SRS.devnet(SRS_BITS)
    with gas_meter(config, srs) as meter:
        for kind in (*config.kinds, "head"):
            grows = kind in config.programs and config.programs[kind].has_context
            for window in (0, _LATER) if grows else (0,):
                yield _cost(config, kind, window, srs, meter)


def _cost(config: ModelConfig, kind: str, window: int, srs: SRS, meter: GasMeter) -> Cost:
    layer = next(n for n in range(config.layers) if kind == "head" or kind in config.kinds_of(n))
    whole, divisor = random_statement(config, kind, window, layer=layer), 1
    while True:
        case = _smaller(whole, divisor)
        key = VerifyingKey.create(case.program, srs)
        try:
            tensors = case.witness()
            step_key = commit_step_key(key.plan, srs, case.parameters, case.tensors)
            statement = Statement(step_key, case.publics, input_points(key.plan, srs, tensors, case.publics))
            proof = prove(key, srs, statement, tensors).encode()
            break
        except (OutOfRange, StatementFalseError):  # so many inputs make large sums
            if divisor == _SMALLEST:
                raise
            divisor *= 2
    scalars = [statement.publics[name] for name in key.plan.program.public_scalars]
    inputs = [*scalars, *(coordinate for point in statement.inputs for coordinate in point)]
    encoded = statement.key.encode()
    gas = meter.verify(kind, encoded, inputs, proof)
    return Cost(kind, window, meter.code_bytes(kind), len(encoded), len(proof), gas)


def _smaller(case: Case, divisor: int) -> Case:
    weights = {tensor.name for tensor in case.program.weights}
    return replace(
        case,
        tensors={
            name: values // divisor if name in weights else values for name, values in case.tensors.items()
        },
    )


def main(names: list[str]) -> None:
    shapes = {name: value for name, value in vars(real_shapes).items() if isinstance(value, ModelConfig)}
    unknown = [name for name in names if name not in shapes]
    if unknown:
        sys.exit(f"no such shape: {unknown[0]}; there are {', '.join(shapes)}")
    for name in names or shapes:
        for cost in costs(shapes[name]):
            where = f"{32 * (cost.window + 1):,} tokens"
            print(
                f"{name}  {cost.kind}, {where}: code {cost.code:,}, key {cost.key:,}, proof {cost.proof:,} bytes, {cost.gas:,} gas",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
