/// The stack of count tensors at the slot challenges: values folded by one slot coordinate after the other, the
/// last one first, times prod (1 - S_j) over the coordinates in front of the stack.
function class_value(values, count, slot_bits, variables) -> value {
    let r := R
    value := mload(values)
    let total := add(slot_bits, variables)
    if slot_bits { value := folded_stack(values, count, slot_bits, sub(SLOTS_END, shl(5, minimum(variables, MU)))) }
    if lt(total, MU) { value := mulmod(value, mload(add(SLOT_FRONT, shl(5, total))), r) }
}

/// The stack itself: `end` is the end of its slot coordinates.
function folded_stack(values, count, slot_bits, end) -> value {
    let r := R
    mcopy(SCRATCH, values, shl(5, count))
    let target
    for { let slot := sub(end, shl(5, slot_bits)) } lt(slot, end) {} {
        end := sub(end, 0x20)
        let s := mload(end)
        // an odd last entry is stacked with zero
        mstore(add(SCRATCH, shl(5, count)), 0)
        count := shr(1, add(count, 1))
        target := SCRATCH
        let source := SCRATCH
        for { let limit := add(SCRATCH, shl(5, count)) } lt(target, limit) { target := add(target, 0x20) } {
            let even := mload(source)
            mstore(target, addmod(even, mulmod(s, add(mload(add(source, 0x20)), sub(r, even)), r), r))
            source := add(source, 0x40)
        }
    }
    value := mload(SCRATCH)
}

/// sum_i factor_i * value_i.
function dot(factors, values, count) -> sum {
    for { let end := add(factors, shl(5, count)) } lt(factors, end) { factors := add(factors, 0x20) } {
        sum := addmod(sum, mulmod(mload(factors), mload(values), R), R)
        values := add(values, 0x20)
    }
}

/// What all claims share once q is known: eq with slots in front, with zeros in front, with r behind.
function multiply_reduced_products(rounds) {
    front_products(REDUCED, MU, EQ_ZERO)
    back_eq_products(POINT_END, REDUCED_END, minimum(rounds, MU), EQ_POINT)
    let product := 1
    let place := add(EQ_SLOTS, $mu_bytes)
    mstore(place, 1)
    let slot := sub(SLOTS_END, $mu_bytes)
    for { let q := REDUCED } lt(q, REDUCED_END) { q := add(q, 0x20) } {
        place := sub(place, 0x20)
        product := times_eq(product, mload(slot), mload(q))
        mstore(place, product)
        slot := add(slot, 0x20)
    }
}

/// A class at (slots, r): its low coordinates are slots in front of r's last ones; the rest selects chunks.
function class_claim(power, slot_bits, variables, chunks, coefficients) {
    let low := minimum(variables, MU)
    let weight := mulmod(power, mulmod(mload(add(EQ_SLOTS, shl(5, low))), mload(add(EQ_POINT, shl(5, low))), R), R)
    let top := add(slot_bits, variables)
    switch gt(top, MU)
    case 1 {
        top := sub(top, MU)
        mcopy(CLAIM_POINT, sub(SLOTS_END, shl(5, add(low, slot_bits))), shl(5, slot_bits))
        mcopy(add(CLAIM_POINT, shl(5, slot_bits)), sub(POINT_END, shl(5, variables)), shl(5, sub(variables, low)))
    }
    default { top := 0 }
    spread(weight, top, chunks, coefficients)
}

/// coefficients[i] += weight * eq(first `top` coordinates of the claim's point, i) for i < count.
/// Leading coordinates that are bits (slots, windows) only say where the others' table starts.
function spread(weight, top, count, coefficients) {
    let r := R
    if iszero(top) {
        mstore(coefficients, addmod(mload(coefficients), weight, r))
        leave
    }
    let coordinate := CLAIM_POINT
    let end := add(coordinate, shl(5, top))
    let index := 0
    for {} lt(coordinate, end) { coordinate := add(coordinate, 0x20) } {
        let bit := mload(coordinate)
        if gt(bit, 1) { break }
        index := add(add(index, index), bit)
    }
    let size := shl(shr(5, sub(end, coordinate)), 1)
    index := mul(index, size)
    coefficients := add(coefficients, shl(5, index))
    if eq(size, 1) {
        if lt(index, count) { mstore(coefficients, addmod(mload(coefficients), weight, r)) }
        leave
    }
    fill_eq_table(weight, coordinate, end)
    let source := SCRATCH
    end := add(coefficients, shl(5, minimum(size, sub(maximum(count, index), index))))
    for {} lt(coefficients, end) { coefficients := add(coefficients, 0x20) } {
        mstore(coefficients, addmod(mload(coefficients), mload(source), r))
        source := add(source, 0x20)
    }
}

/// SCRATCH[i] = weight * eq(coordinates, i).
function fill_eq_table(weight, coordinate, end) {
    let r := R
    mstore(SCRATCH, weight)
    let size := 0x20
    for {} lt(coordinate, end) { coordinate := add(coordinate, 0x20) } {
        let u := mload(coordinate)
        // from the back, so that no entry is overwritten before it is read
        let pair := add(SCRATCH, add(size, size))
        for { let place := add(SCRATCH, size) } gt(place, SCRATCH) {} {
            place := sub(place, 0x20)
            pair := sub(pair, 0x40)
            let value := mload(place)
            let one := mulmod(value, u, r)
            mstore(add(pair, 0x20), one)
            mstore(pair, addmod(value, sub(r, one), r))
        }
        size := add(size, size)
    }
}

/// Appends count coordinates to the claim's point, which ends at place.
function append(place, coordinates, count) -> next {
    let size := shl(5, count)
    mcopy(place, coordinates, size)
    next := add(place, size)
}

/// Appends the last `count` bits of an integer, most significant first.
function append_bits(place, integer, count) -> next {
    for {} count {} {
        count := sub(count, 1)
        mstore(place, and(1, shr(count, integer)))
        place := add(place, 0x20)
    }
    next := place
}

/// Replaces the last coordinate x by 1 - x.
function flip_last(end) {
    let place := sub(end, 0x20)
    mstore(place, addmod(1, sub(R, mload(place)), R))
}

/// The claim's point ends at `end`; its last chunk_variables coordinates are those of a chunk, padded by zeros in
/// front; the others (`top` of them) select chunks. The last `shared` coordinates are the last ones of r.
function claim_eq(end, chunk_variables, shared) -> product, top {
    let length := shr(5, sub(end, CLAIM_POINT))
    let low := minimum(length, chunk_variables)
    top := sub(length, low)
    shared := minimum(shared, low)
    product := mulmod(mload(add(EQ_POINT, shl(5, shared))), mload(add(EQ_ZERO, shl(5, low))), R)
    let rest := eq_slices(add(CLAIM_POINT, shl(5, top)), sub(REDUCED_END, shl(5, low)), sub(low, shared))
    product := mulmod(product, rest, R)
}
