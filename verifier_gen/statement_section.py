"""Step 0: lengths, ranges, and the transcript's first absorption."""

from __future__ import annotations

from prover.argument.reduction import REDUCTION_DEGREE
from prover.program import WINDOW_BITS
from prover.statement import VerifyingKey

from .claim_sections import ClaimSections
from .function import Function
from .layout import OPENING_BYTES, StepLayout, largest


def statement_functions(key: VerifyingKey, layout: StepLayout, sections: ClaimSections) -> list[Function]:
    """plan_statement, plan_proof and absorb_statement."""
    plan, mu = key.plan, key.chunk_bits
    program = plan.program
    scalars = len(program.public_scalars)

    statement = Function(
        "plan_statement(key_length, input_count)", "Lengths and ranges of the key and the inputs."
    )
    lines = statement.lines
    key_bytes = 32 * len(program.parameters) + 64 * plan.key_layout(mu).chunks
    lines.append(f"if iszero(eq(key_length, {key_bytes})) {{ reject(WRONG_LENGTH) }}")
    moving = [tensor for tensor in program.inputs if "context" in tensor.axes]
    count = str(scalars + 2 * (len(program.inputs) - len(moving)))
    for tensor in moving:
        count = f"add({count}, shl(1, {sections.input_points(tensor)}))"
    if moving:
        lines.append(f"if lt(input_count, {scalars}) {{ reject(WRONG_LENGTH) }}")
    else:
        lines.append(f"if iszero(eq(input_count, {count})) {{ reject(WRONG_LENGTH) }}")
    for index, (name, bound) in enumerate(program.public_scalars.items()):
        place = layout.publics[name].name
        lines.append(f"mstore({place}, calldataload(add(mload(INPUT_DATA), {hex(32 * index)})))")
        lines.append(f"if iszero(lt(mload({place}), {bound})) {{ reject(OUT_OF_RANGE) }}")
    if moving:
        lines.append(f"if iszero(eq(input_count, {count})) {{ reject(WRONG_LENGTH) }}")
    for index, name in enumerate(program.parameters):
        place = layout.parameters[name].name
        lines.append(f"mstore({place}, calldataload(add(mload(KEY_DATA), {hex(32 * index)})))")
        # 1 <= parameter <= limit; zero wraps around
        limit = program.parameter_limit(name)
        lines.append(f"if gt(sub(mload({place}), 1), {limit - 1}) {{ reject(OUT_OF_RANGE) }}")

    proof = Function(
        "plan_proof(proof_length)", "Sizes that depend on t, and the offsets of the proof's parts."
    )
    lines = proof.lines
    lines.append(f"let t := {WINDOW_BITS}")
    if program.has_context:
        lines.append(
            "for { let rest := mload(PUBLIC_WINDOW) } rest { rest := shr(1, rest) } { t := add(t, 1) }"
        )
    lines.append("mstore(CONTEXT_BITS, t)")
    widths = [group.width for group in plan.groups] + [plan.width(p.domain) for p in plan.products]
    lines.append(f"mstore(ROUNDS, {largest(plan.all_widths(widths))})")
    lines.append("let count := 0")
    for place, phase in (("FIRST_POINTS", 1), ("SECOND_POINTS", 2)):
        found = sections.chunks(phase)
        lines += [
            f"count := {'add(count, ' if i else ''}{n}{')' if i else ''} // {names}"
            for i, (n, names) in enumerate(found)
        ]
        if not found and phase == 2 and sections.chunks(1):
            lines.append("count := 0")  # or it would still be that of phase 1
        lines.append(f"mstore({place}, count)")
    lines.append("let data := add(mload(PROOF_DATA), shl(6, add(mload(FIRST_POINTS), mload(SECOND_POINTS))))")
    lines.append("mstore(ROUND_DATA, data)")
    lines.append(f"data := add(data, mul({32 * plan.round_degree}, mload(ROUNDS)))")
    masks = sections.masks.masks
    if masks is not None:
        lines.append(
            f"data := add(data, {32 * (masks.last_degree - plan.round_degree)}) // the last round is longer"
        )
    lines.append("mstore(EVALUATION_DATA, data)")
    lines.append(f"data := add(data, {32 * len(plan.sent)})")
    lines.append("mstore(REDUCTION_DATA, data)")
    lines.append(f"data := add(data, {32 * REDUCTION_DEGREE * mu})")
    if masks is not None:
        lines.append("data := add(data, 0x20) // the blinding of what is opened")
    lines.append("mstore(OPENING_DATA, data)")
    lines.append(f"data := add(data, {OPENING_BYTES})")
    lines.append("if iszero(eq(sub(data, mload(PROOF_DATA)), proof_length)) { reject(WRONG_LENGTH) }")

    absorb = Function("absorb_statement(key_length)", "Digests, key, public integers and input commitments.")
    lines = absorb.lines
    lines.append("mstore(STATE, INITIAL_STATE)")
    lines.append("mstore(WORDS, VERIFYING_KEY_DIGEST)")
    lines.append("mstore(add(WORDS, 0x20), SRS_DIGEST)")
    lines.append("calldatacopy(MEMORY_END, mload(KEY_DATA), key_length)")
    lines.append("mstore(add(WORDS, 0x40), keccak256(MEMORY_END, key_length))")
    lines.append(f"let size := shl(5, {count})")
    lines.append("calldatacopy(add(WORDS, 0x60), mload(INPUT_DATA), size)")
    lines.append("pop(challenge(LABEL_STATEMENT, add(size, 0x60)))")
    return [statement, proof, absorb]
