"""The pieces of a mixture of experts: routers, which experts a row goes to and with which weight, and the rows of one expert."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..operators.activation import Activation
from ..operators.gated_rows import GatedRows
from ..operators.group_scores import GroupScores
from ..operators.routed_rows import Gate, RoutedRows
from ..operators.routing_weights import RoutingWeights
from ..operators.score_weights import ScoreWeights
from ..operators.top_k import Groups, TopK
from ..program import Kind, Tensor
from ..relations import Ref
from ..tables import EXPONENTIAL_SCALE
from .config import MatrixRule, ModelConfig, VectorRule, index_bits
from .parts import matrix_part
from .steps import CHANNELS, Part
from .tiles import EXPERT

GATE_SCALE = 14
"""Fraction bits of routing weights."""
SCORE_SCALE = 16
"""Fraction bits of a router's scores, sigmoids of its outputs."""
SCORED_SCALE = 11
SCORE_TABLE_BITS = 18
"""Scale and signed width of a router's outputs: within 64, where a score is as good as 0 or 1 long before."""
CHOICE_BITS = 20
"""Signed width of what is added to scores before experts are chosen, at the scale of scores: within 8."""


def routing(config: ModelConfig, experts: int, used: int, gain: str = "mlp_norm") -> Part:
    """gates = softmax of the `used` largest entries of n W_router, zero for all other experts; n has `gain` folded in."""
    scales, bits = config.scales, index_bits(experts)
    rule = MatrixRule(
        outputs=experts,
        inputs=config.hidden,
        input_scale=scales.normalised,
        output_scale=EXPONENTIAL_SCALE,
        input_bits=scales.normalised_bits,
        gain=gain,
    )
    logits, domain = "router_logits", ("row", "expert")
    matrix = matrix_part(
        rule,
        "router",
        Ref("normalised"),
        logits,
        domain,
        ("channel",),
        ("expert",),
        (experts,),
        scales.router_bits,
    )
    picked = TopK(logits, "picked", *domain, used, experts, bits, scales.router_bits)
    weights = RoutingWeights(logits, "picked", "gates", *domain, used, scales.router_bits, GATE_SCALE)
    return replace(matrix, operators=(*matrix.operators, picked, weights))


def scored_routing(
    config: ModelConfig, experts: int, used: int, always: int, factor: float, groups: int, groups_used: int
) -> Part:
    """gates = factor * score / (sum of the scores of the `used` chosen experts), one for the `always` last ones, zero for the rest.

    score = sigmoid(n W_router), n with the norm's gain folded in. Those of the largest score + bias are chosen, of the `groups_used`
    groups whose two largest have the largest sum, if `groups` is not 1.
    """
    scales, domain, scored = config.scales, ("row", "expert"), "router_scores"
    rule = MatrixRule(
        outputs=experts,
        inputs=config.hidden,
        input_scale=scales.normalised,
        output_scale=SCORED_SCALE,
        input_bits=scales.normalised_bits,
        gain="mlp_norm",
    )
    matrix = matrix_part(
        rule,
        "router",
        Ref("normalised"),
        "router_logits",
        domain,
        ("channel",),
        ("expert",),
        (experts,),
        None,
    )
    sigmoid = Activation(
        "router_logits", scored, domain, SCORE_TABLE_BITS, SCORED_SCALE, SCORE_SCALE, "sigmoid"
    )
    bits, bias = CHOICE_BITS + 1, "choice_bias"
    index, chosen = index_bits(experts + always), Groups("expert_group", "member", 0, "picked_groups")
    limited: tuple[Any, ...] = ()
    if groups > 1:
        members = experts // groups
        if experts % groups or members < 2 or members & (members - 1):
            raise ValueError(
                f"{experts} experts in {groups} groups: a group must have a power of two of experts, two at least"
            )
        if groups_used * members < used:
            raise ValueError(f"{groups_used} groups of {members} experts do not have the {used} of a row")
        own = index_bits(members)
        chosen = replace(chosen, member_bits=own)
        each = replace(chosen, allowed=None)
        limited = (
            TopK(scored, "best", *domain, 2, members, own, bits, bias, each),
            GroupScores(scored, bias, "best", "group_scores", *domain, each),
            TopK(
                "group_scores",
                "picked_groups",
                "row",
                "expert_group",
                groups_used,
                groups,
                index - own,
                bits + 1,
            ),
        )
    picked = TopK(scored, "picked", *domain, used, experts, index, bits, bias, chosen if limited else None)
    weights = ScoreWeights(
        scored,
        "picked",
        "gates",
        *domain,
        used,
        experts,
        always,
        SCORE_SCALE,
        round(factor * (1 << GATE_SCALE)),
        GATE_SCALE,
    )
    return replace(
        matrix,
        operators=(*matrix.operators, sigmoid, *limited, picked, weights),
        weights=(*matrix.weights, Tensor(bias, ("expert",), Kind.WEIGHT)),
        vectors={bias: VectorRule((experts,), SCORE_SCALE, CHOICE_BITS, centred=True)},
    )


def expert_gate(experts: int) -> Gate:
    """What the expert of a tile counts for a row."""
    return Gate("gates", "expert", EXPERT, index_bits(experts))


def routed_rows(gate: Gate) -> Part:
    """routed = normalised rows of this expert, all others zero."""
    return Part((RoutedRows("normalised", gate, "routed", CHANNELS),))


def gated_rows(config: ModelConfig, gate: Gate) -> Part:
    """gated = product * gate."""
    scales = config.scales
    shift = GATE_SCALE + scales.product - scales.gated
    return Part((GatedRows("product", gate, "gated", ("row", "hidden"), shift, scales.gated_bits),))
