"""Every family's programs: both readers agree, relations hold, and nothing that the prover chooses is free."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from prover.architectures import ModelConfig, config_from_json
from prover.architectures.audit_steps import statement_programs
from prover.architectures.parts import _epsilon, root_scale
from prover.architectures.steps import GLOBAL, LOCAL, Heads
from prover.check import Checker, check
from prover.field.arrays import MODULUS
from prover.plan import Plan
from prover.program import WINDOW_ROWS, Kind, RunContext, relation_expressions, unknown_references
from prover.relations import Contraction, Expression, Lookup, Product, Ref, Sum, references
from prover.streams import SUM
from tests.prover.operators.intervals import (
    LARGEST_WEIGHT_BITS,
    bounds,
    is_one_of_integers,
    stream_limits,
)
from tests.prover.operators.random_layers import SMALL, Statement

from .random_models import (
    DEEPSEEK_V3,
    FAMILIES,
    GEMMA3,
    GPT2,
    GRANITE,
    LLAMA_LOCAL,
    MIXTRAL,
    PHI3,
    QWEN3,
    SMOLLM3,
    TILED_FAMILIES,
    attention_kind,
    keys_kind,
    random_statement,
)
from .real_shapes import REAL_SHAPES

CASES = [
    (family, kind, window, layer)
    for family in FAMILIES
    for kind, window, layer in (
        *((kind, 0, 0) for kind in statement_programs(FAMILIES[family])),
        (keys_kind(FAMILIES[family]), 3, 0),
        (attention_kind(FAMILIES[family]), 2, 0),
        *(
            ((attention_kind(FAMILIES[family]), 2, 1), (keys_kind(FAMILIES[family]), 2, 1))
            if family.removesuffix("-tiled") in ("gemma3", "llama-local", "smollm3")
            else ()
        ),
        *((("positions", 2, 0),) if family == "gpt2" else ()),
    )
]


SIMILAR = (
    "qwen2",
    "qwen3",
    "phi3",
    "olmo2-tiled",
    "qwen3-tiled",
    "smollm3-tiled",
    "llama-local-tiled",
    "gpt2-tiled",
    "gemma3-tiled",
)
"""In the long tests: each of their programs is one of another family but for a part that a third one has too."""
EVERY_CASE = [pytest.param(*case, marks=pytest.mark.long if case[0] in SIMILAR else ()) for case in CASES]


def unpadded(config: ModelConfig, statement: Statement, name: str) -> np.ndarray:
    sizes = {**statement.program.real_sizes, "channel": config.hidden}
    axes = statement.program.tensors[name].axes
    array = statement.tensors[name]
    return array[tuple(slice(0, sizes.get(axis, array.shape[i])) for i, axis in enumerate(axes))]


def run(config: ModelConfig, statement: Statement) -> RunContext:
    """The run reader on the rows of the statement's own window; those of the windows before are in the cache."""
    program, window = statement.program, statement.publics.get("window", 0)
    own = slice(WINDOW_ROWS * window, WINDOW_ROWS * (window + 1))
    tensors, cache = {}, {}
    for name in program.reads.values():
        tensors[name] = unpadded(config, statement, name)
        if "context" in program.tensors[name].axes:
            cache[name] = tensors[name][: own.stop].transpose(1, 0, 2).astype(np.float64)
            tensors[name] = tensors[name][own]
    weights = {w.name: unpadded(config, statement, w.name) for w in program.weights}

    def product(name: str, x: np.ndarray, inputs: slice | None = None) -> np.ndarray:
        """x @ W, or x times some inputs of a matrix whose outputs are its last axis."""
        if name not in weights:
            return x
        if inputs is None:
            return x @ weights[name].reshape(x.shape[1], -1)
        return x @ weights[name].reshape(-1, weights[name].shape[-1])[inputs]

    context = RunContext(
        tensors=tensors,
        parameters=statement.parameters,
        matmul=product,
        positions=np.arange(own.start, own.stop),
        cache=cache,
        weights=weights,
    )
    for operator in statement.program.operators:
        operator.run(context)
    return context


@pytest.mark.parametrize(("family", "kind", "window", "layer"), EVERY_CASE)
def test_a_valid_witness_satisfies_every_relation(family: str, kind: str, window: int, layer: int) -> None:
    statement = random_statement(FAMILIES[family], kind, window, layer=layer)
    assert unknown_references(statement.program) == set()
    witness = statement.witness()
    found = check(statement.program, witness, statement.parameters, statement.publics, statement.context_bits)
    assert found == []


@pytest.mark.parametrize(
    ("family", "kind", "window", "layer"), [c for c in EVERY_CASE if "head" not in c.values[1]]
)
def test_what_is_run_is_what_is_proven(family: str, kind: str, window: int, layer: int) -> None:
    """The run reader's rows are the witness' outputs, padding zero."""
    config = FAMILIES[family]
    statement = random_statement(config, kind, window, layer=layer)
    ran, witness = run(config, statement).tensors, statement.witness()
    assert statement.program.written
    for tensor in statement.program.written:
        padding = witness[tensor.name].copy()
        real = tuple(slice(0, size) for size in ran[tensor.name].shape)
        assert np.array_equal(ran[tensor.name], padding[real])
        padding[real] = 0
        assert not padding.any()


@pytest.mark.parametrize(
    "family", ["gemma3", "llama-local", "smollm3", "llama-local-tiled", "smollm3-tiled", "gemma3-tiled"]
)
def test_local_and_global_layers_of_one_program_differ(family: str) -> None:
    """Same key but for layer_kind: other rotation from the first window on, other reach from the third on."""
    config = FAMILIES[family]
    kind = attention_kind(config)
    (output,) = config.programs[kind].writes.values()
    outputs = [random_statement(config, kind, 2, layer=layer).witness()[output] for layer in (0, 1)]
    assert not np.array_equal(*outputs)


@pytest.mark.parametrize(("family", "differs"), [("gemma3", True), ("smollm3", True), ("llama-local", False)])
def test_keys_of_local_and_global_layers_differ_where_they_rotate_in_two_ways(
    family: str, differs: bool
) -> None:
    keys = [
        random_statement(FAMILIES[family], "keys_values", 2, layer=layer).witness()["keys"]
        for layer in (0, 1)
    ]
    assert np.array_equal(*keys) != differs


def test_positions_are_those_of_the_window() -> None:
    """after = before + P[32 w ..]."""
    statement = random_statement(GPT2, "positions", 1)
    own = statement.tensors["positions"][WINDOW_ROWS : 2 * WINDOW_ROWS]
    assert own.any()
    assert np.array_equal(statement.witness()["after"], statement.tensors["before"] + own)
    rest = GPT2.steps.keys() - {"positions"}
    assert not any("positions" in GPT2.programs[kind].tensors for kind in rest)
    assert [kind for kind, step in GPT2.steps.items() if step.once] == ["positions"] == list(GPT2.steps)[:1]


def _degree(expression: Expression) -> int:
    match expression:
        case Ref():
            return 1
        case Sum(terms):
            return max(_degree(term) for term in terms)
        case Product(factors):
            return sum(_degree(factor) for factor in factors)
    return 0


@pytest.mark.parametrize("family", FAMILIES)
def test_every_relation_fits_the_degree_of_a_round(family: str) -> None:
    """One factor more for eq."""
    for program in FAMILIES[family].programs.values():
        plan = Plan(program)
        for relation in program.relations:
            if not isinstance(relation, Lookup):
                assert _degree(relation.expression) + 1 <= plan.round_degree, relation.name
            if isinstance(relation, Contraction):
                assert all(len(term.factors) + 1 <= plan.round_degree for term in relation.terms), (
                    relation.name
                )
        assert plan.evaluations


# --- the under-constraint hunt ------------------------------------------------------------------------------

HUNTS = [
    *((family, "head", 0) for family in ("gpt2", "gemma3")),
    *((family, "mlp", 0) for family in ("gpt2", "gemma3", "olmo2")),
    *(
        (family, kind, 2)
        for family in ("qwen2", "qwen3", "gemma3", "gpt2", "llama-local", "smollm3", "olmo2")
        for kind in ("keys_values", "attention")
    ),
    ("gpt2", "positions", 2),
    ("llama-local", "mlp", 0),
    *(("mixtral", kind, 0) for kind in ("router", "expert_tile")),
    *((family, "attention_tile", 2) for family in TILED_FAMILIES),
    *((family, keys_kind(FAMILIES[family]), 2) for family in TILED_FAMILIES),
    *(
        (family, kind, 0)
        for family in ("gpt2-tiled", "olmo2-tiled")
        for kind in FAMILIES[family].kinds
        if kind.endswith("_tile")
    ),
    *(
        (family, kind, 0)
        for family in ("gemma3-tiled", "gpt2-tiled", "olmo2-tiled")
        for kind in FAMILIES[family].kinds
        if kind.endswith(("_norm", "_close"))
    ),
    *(("deepseek-v3", kind, 2) for kind in ("keys_values", "attention")),
    *((family, "router", 0) for family in ("deepseek-v3", "deepseek-v3-tiled")),
    ("deepseek-v3-tiled", "query_latent", 0),
    *(("deepseek-v3-cut", kind, 0) for kind in ("query_latent_tile", "query_latent_close")),
    *(("llama-local-tiled", kind, 0) for kind in ("attention_close", "mlp_tile", "mlp_close")),
]


def survivors(config: ModelConfig, kind: str, window: int) -> list[str]:
    """Changes of committed values, padding included, that no relation notices."""
    statement = random_statement(config, kind, window, seed=7)
    witness = statement.witness()
    checker = Checker(
        statement.program, witness, statement.parameters, statement.publics, statement.context_bits
    )
    unnoticed = []
    for name, tensor in statement.program.tensors.items():
        if tensor.kind is not Kind.WITNESS and tensor not in statement.program.written:
            continue
        original = np.array(witness[name], dtype=object)
        place = int(np.random.default_rng(len(name)).integers(0, original.size))
        for at in {place, original.size - 1}:
            value = int(original.reshape(-1)[at])
            for changed in (value + 1, value - (1 << 16), (value + pow(3, -1, MODULUS)) % MODULUS):
                mutated = original.copy()
                mutated.reshape(-1)[at] = changed
                if not checker.violations_with(name, mutated):
                    unnoticed.append(f"{name}[{at}] = {changed}")
    return unnoticed


@pytest.mark.parametrize(
    ("family", "kind", "window"),
    [
        pytest.param(
            *case,
            marks=pytest.mark.long
            if case[0] in SIMILAR or case[0].startswith(("qwen", "smollm3", "olmo2"))
            else (),
        )
        for case in HUNTS
    ],
)
def test_no_changed_witness_value_survives(family: str, kind: str, window: int) -> None:
    assert survivors(FAMILIES[family], kind, window) == []


@pytest.mark.parametrize("layer", [0, 1])
def test_the_other_layer_kind_is_noticed(layer: int) -> None:
    """A witness of a local layer under the key of a global one, and the other way round: then it saw too much."""
    statement = random_statement(GEMMA3, "attention", 2, layer=layer)
    witness = statement.witness()
    parameters = {**statement.parameters, "layer_kind": LOCAL + GLOBAL - statement.parameters["layer_kind"]}
    found = check(statement.program, witness, parameters, statement.publics, statement.context_bits)
    seen_too_much = {"max_attained"} if layer == 1 else set()
    assert {v.relation for v in found} == {"distance", "rotated_query", "weight"} | seen_too_much


# --- nothing wraps around the field -------------------------------------------------------------------------

UNBOUNDED = {"max_selector"}
"""May be anything where the distance is zero; tests/prover/operators/test_uniqueness.py looks at what reads it."""


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        pytest.param(config, kind, id=f"{config.family}-{config.hidden}-{kind}")
        for config in (*FAMILIES.values(), *REAL_SHAPES)
        for kind in config.steps
    ],
)
def test_every_relation_is_one_of_integers(config: ModelConfig, kind: str) -> None:
    """Range checks bound all that a prover chooses, so that both sides of an equation differ by less than r."""
    program, bits = config.programs[kind], (config.max_positions - 1).bit_length()
    known = bounds(program, bits, LARGEST_WEIGHT_BITS, stream_limits(config.programs))
    committed = {
        name for name, t in program.tensors.items() if t.kind is Kind.WITNESS or t in program.written
    }
    assert committed - known.keys() == (UNBOUNDED & committed)
    looked_at = 0
    for relation in program.relations:
        read = {ref.tensor for e in relation_expressions(relation) for ref in references(e)}
        if not isinstance(relation, Lookup) and not read & UNBOUNDED:
            assert is_one_of_integers(program, relation, known, bits), relation.name
            looked_at += 1
    alone = kind == "positions" or kind.endswith(
        ("_close", "keys_values_tile", "query_tile", "query_latent_tile")
    )
    plain = kind == "mlp_tile" and "w_gate" not in program.tensors
    assert looked_at >= (1 if alone else 2 if plain else 3)  # matrices and a rotation


@pytest.mark.parametrize("family", FAMILIES)
def test_no_weight_is_wider_than_assumed(family: str) -> None:
    config = FAMILIES[family]
    widths = [rule.bits for rule in config.vector_rules.values()]
    widths += [rule.bias_bits for rule in config.matrix_rules.values()]
    assert max([*widths, config.head_rule.bits]) <= LARGEST_WEIGHT_BITS


# --- shapes and files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_configuration_survives_json(family: str) -> None:
    config = FAMILIES[family]
    assert config_from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "mamba"}, "'mamba' has no layer program; known: llama, qwen2, qwen3, smollm3"),
        ({"family": ["llama"]}, "has no layer program"),
        ({"experts": 8}, "no field 'experts'"),
        ({"hidden": 2**14}, "architecture.hidden is 16384"),
        ({"hidden": 24.0}, "architecture.hidden"),
        ({"layers": True}, "architecture.layers"),
        ({"layers": 0}, "architecture.layers"),
        ({"norm_epsilon": float("nan")}, "architecture.norm_epsilon"),
        ({"layer_kinds": [1, 3]}, "architecture.layer_kinds is 3"),
        ({"layer_kinds": 1}, "architecture.layer_kinds must be a list"),
        ({"layer_kinds": [1] * 5000}, "architecture.layer_kinds must be a list of at most"),
    ],
)
def test_a_hostile_configuration_is_refused_by_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_json({**GEMMA3.to_json(), **change})


LIMITS = {
    "layers": 2**12,
    "hidden": 2**13,
    "vocabulary": 2**24,
    "max_positions": 2**16,
    "residual_scale": 20,
    "activation_bits": 20,
    "heads": 2**10,
    "kv_heads": 2**10,
    "head_size": 2**10,
    "feed_forward": 2**16,
    "experts": 2**9,
    "experts_per_token": 2**9,
    "expert_size": 2**16,
    "shared_experts": 2**9,
    "expert_groups": 2**9,
    "groups_per_token": 2**9,
    "routing_factor": 4,
    "dense_layers": 2**12,
    "query_rank": 2**12,
    "latent_rank": 2**10,
    "plain_size": 2**10,
    "rope_size": 2**10,
    "value_size": 2**10,
    "score_factor": 16,
    "rope_base": 2**32,
    "local_rope_base": 2**32,
    "rope_divisors": 2**32,
    "sliding_window": 2**16,
    "layer_kinds": 2,
    "rope_factor": 16,
    "rotary_kinds": 2,
    "rotated_channels": 2**10,
    "embedding_multiplier": 2**16,
    "residual_multiplier": 2**16,
    "logits_divisor": 2**16,
    "norm_epsilon": 1,
    "attention_scale": 1,
    "step_weights": 2**30,
}
"""The largest value of every number in a model's file: a hostile one must not cost memory."""


@pytest.mark.parametrize("family", FAMILIES)
def test_every_number_has_its_limit(family: str) -> None:
    config = FAMILIES[family]
    facts = config.to_json()
    numbers = [field for field in fields(config) if field.type != "bool"]
    assert {field.name for field in numbers} <= set(LIMITS)
    for field in numbers:
        limit = LIMITS[field.name]
        kind = float if "float" in str(field.type) else int
        for value, accepted in ((kind(limit), True), (kind(limit) + 1, False), (kind(0), False)):
            listed = [value] if str(field.type).startswith("tuple") else value
            if accepted:
                assert getattr(config_from_json({**facts, field.name: listed}), field.name) in (
                    value,
                    (value,),
                )
                continue
            with pytest.raises(ValueError, match=f"architecture.{field.name} is"):
                config_from_json({**facts, field.name: listed})


def test_a_flag_is_true_or_false_and_only_what_differs_is_written() -> None:
    """So that a family that learns something new keeps the digests of its older models."""
    facts = SMALL.to_json()
    assert not {"attention_bias", "mlp_bias", "rope_factor", "sliding_window", "layer_kinds"} & set(facts)
    assert config_from_json({**facts, "attention_bias": False}) == SMALL
    biased = config_from_json({**facts, "attention_bias": True})
    assert biased != SMALL and config_from_json(biased.to_json()) == biased
    for value in (1, "true", None):
        with pytest.raises(ValueError, match=r"attention_bias is .* true or false"):
            config_from_json({**facts, "attention_bias": value})


@pytest.mark.parametrize("factor_bits", [60, 64])
def test_the_scale_of_a_root_is_the_largest_that_fits(factor_bits: int) -> None:
    """sqrt(factor 4^k / epsilon) < 2^32; not beyond the limit, and 0 where nothing fits."""
    for epsilon in range(1, 70):
        fitting = [k for k in range(40) if 4**k << factor_bits < epsilon << 64]
        assert root_scale(1 << factor_bits, epsilon, 40) == max(fitting, default=0)
        assert root_scale(1 << factor_bits, epsilon, 1) == min(1, max(fitting, default=0))


HEADS = {"kv_heads": 1, "queries": 1, "size": 1, "max_positions": WINDOW_ROWS, "score_scale": 1.0}


@pytest.mark.parametrize(
    "change",
    [
        *({name: 0} for name in HEADS),
        {"max_positions": WINDOW_ROWS - 1},
        {"score_scale": -0.5},
        {"score_scale": 1.0001},
    ],
)
def test_the_smallest_heads_are_accepted_and_smaller_ones_are_not(change: dict[str, float]) -> None:
    Heads(**HEADS)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        Heads(**{**HEADS, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("kv_heads", [0, 3])
def test_heads_divide_among_heads_that_there_are(kv_heads: int) -> None:
    with pytest.raises(ValueError, match=f"do not divide among {kv_heads}"):
        Heads.of(4, kv_heads, 8, WINDOW_ROWS)


def test_epsilon_has_the_scale_of_a_square() -> None:
    assert _epsilon(576, 1e-5, 12) == round(576 * 1e-5 * 4**12)


def test_a_missing_field_is_named() -> None:
    facts = GPT2.to_json()
    del facts["feed_forward"]
    with pytest.raises(ValueError, match="a gpt2 architecture needs the field 'feed_forward'"):
        config_from_json(facts)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(GEMMA3, sliding_window=40), "no multiple of 32"),
        (replace(GEMMA3, layer_kinds=(1,)), "1 layer kinds for 2 layers"),
        (replace(LLAMA_LOCAL, layer_kinds=(1,)), "1 layer kinds for 2 layers"),
        (replace(SMOLLM3, rotary_kinds=(1,)), "1 rotary kinds for 2 layers"),
        (replace(PHI3, rotated_channels=10), "10 rotated channels of 8"),
        (replace(GRANITE, attention_scale=1.0, head_size=64), "do not fit the digits"),
        (replace(LLAMA_LOCAL, layer_kinds=()), "both the kinds of all layers and a window"),
        (replace(LLAMA_LOCAL, sliding_window=0), "both the kinds of all layers and a window"),
        (replace(GEMMA3, kv_heads=3), "2 query heads do not divide among 3"),
        (replace(MIXTRAL, experts=1, experts_per_token=1), "two experts at least, not 1"),
        (replace(MIXTRAL, experts_per_token=6), "6 of 5 entries cannot be picked"),
        (replace(MIXTRAL, mlp_bias=True), "experts have no biases"),
        (replace(DEEPSEEK_V3, experts=9), "9 experts in 3 groups"),
        (replace(DEEPSEEK_V3, experts=3), "a power of two of experts, two at least"),
        (
            replace(DEEPSEEK_V3, groups_per_token=1, experts_per_token=3),
            "1 groups of 2 experts do not have the 3",
        ),
        (replace(DEEPSEEK_V3, dense_layers=2), "one layer at least has experts"),
        (replace(DEEPSEEK_V3, experts=1), "two experts at least, not 1"),
        (replace(DEEPSEEK_V3, routing_factor=4.0), "above zero and below 4"),
        (replace(DEEPSEEK_V3, rope_size=5), "odd"),
        (replace(GPT2, heads=5), "24 channels do not divide among 5 heads"),
        (replace(QWEN3, head_size=5), "odd"),
        (replace(QWEN3, norm_epsilon=1e-9), "epsilon is too small"),
        (replace(QWEN3, max_positions=16), "at least one window"),
    ],
)
def test_a_shape_without_a_program_says_why(config: ModelConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _ = config.programs


def test_a_schedule_is_refused_before_it_is_made() -> None:
    """2^28 steps would take 60 GB; a file says so in a few bytes. As many as contracts take are none too many."""
    hostile = replace(SMALL, layers=4096, step_weights=1, feed_forward=1 << 16)
    for refused in (lambda: hostile.schedule, lambda: hostile.number_of("mlp_close", 4095)):
        with pytest.raises(ValueError, match="cannot be registered, at most 1048576 can"):
            refused()
    longest = replace(SMALL, layers=1024, step_weights=1, feed_forward=991)  # 3 of heads, 24 of inputs
    tiles = [longest.steps[kind].tiles for kind in ("mlp_tile", "attention_tile", "keys_values_tile")]
    assert tiles == [991, 3, 24]
    assert longest.step_count == 1024 * (991 + 3 + 24 + 5) < 1 << 20
    with pytest.raises(ValueError, match="1048576 can"):
        _ = replace(longest, layers=1026).step_count


def test_every_weight_of_a_program_has_one_rule() -> None:
    for family, config in FAMILIES.items():
        for step in config.steps.values():
            ruled = {*step.matrices, *step.vectors, *(r.bias for r in step.matrices.values() if r.bias)}
            weights = {weight.name for weight in step.program.weights}
            # the bias of a matrix whose sum is closed later belongs to the step that closes it
            reads = {*step.program.reads}
            closing = {bias for bias in ("output_bias", "down_bias") if SUM in reads}
            closing |= {f"{name}_bias" for name in ("query", "key", "value") if f"{name}_sum" in reads}
            assert ruled - closing == weights - closing, family
            layer = step.layers[0] if step.layers else config.layers - 1
            matrices = {n: (rule.outputs, rule.inputs) for n, rule in config.matrix_rules_of(layer).items()}
            shapes = {**matrices, **config.vector_shapes_of(layer)}
            for weight in step.program.weights:
                size = [step.program.real_sizes[axis] for axis in weight.axes]
                whole = int(np.prod(shapes[weight.name]))
                if weight.name not in step.sliced:
                    assert int(np.prod(size)) == whole, (family, weight.name)
                    continue
                cut = step.sliced[weight.name]
                length = shapes[weight.name][::-1][cut.axis]  # matrices are (outputs, inputs)
                block = cut.block or length  # an expert's channels, or all
                per_block, rest = divmod(step.tiles, length // block)
                assert not rest and cut.size * (per_block - 1) < block <= cut.size * per_block
                assert int(np.prod(size)) == whole // length * cut.size, (family, weight.name)
        listed = {weight.name for step in config.steps.values() for weight in step.program.weights}
        own = [{*config.matrix_rules_of(n), *config.vector_shapes_of(n)} for n in range(config.layers)]
        assert listed == set().union(*own), family
        for layer, names in enumerate(own):
            kinds = [config.programs[kind] for kind in config.kinds_of(layer)]
            once = config.first_layer_weights
            assert {weight.name for program in kinds for weight in program.weights} | once == names | once


def test_some_layers_have_steps_that_others_have_not() -> None:
    config = DEEPSEEK_V3
    dense = ("keys_values", "attention", "mlp_norm", "mlp_tile", "mlp_close")
    sparse = ("keys_values", "attention", "router", "expert_tile", "mlp_close")
    assert [config.kinds_of(layer) for layer in (0, 1)] == [dense, sparse]
    for layer, kinds in enumerate((dense, sparse)):
        assert {step.kind for step in config.schedule if step.layer == layer} == set(kinds)
    assert config.step_count == len(config.schedule)
    assert config.schedule[config.number_of("router")].layer == 1
    assert (
        config.matrix_rules_of(0)["w_up"].outputs == 40
        and config.matrix_rules_of(1)["w_up"].outputs == 7 * 12
    )
    with pytest.raises(ValueError, match="no step router 0 of layer 0"):
        config.number_of("router", 0)


def test_score_scales_split_into_a_shift_and_a_factor_of_the_query() -> None:
    """1/sqrt(8) = 2^-2 * 2^(1/2): the shift is exact, the rest goes into the query's matrix, or gain if it has one."""
    rules = FAMILIES["qwen2"].matrix_rules
    assert rules["w_query"].factor == pytest.approx(2**0.5)
    assert rules["w_key"].factor == 1.0
    assert QWEN3.matrix_rules["w_query"].factor == 1.0
    assert QWEN3.vector_rules["query_norm"].factor == pytest.approx(4 / 6**0.5)
    assert QWEN3.vector_rules["key_norm"].factor == 1.0
    assert FAMILIES["llama"].matrix_rules["w_query"].factor == 1.0
