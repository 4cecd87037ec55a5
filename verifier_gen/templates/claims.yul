/// sum_i factor_i * value_i.
function dot(factors, values, count) -> sum {
    let r := mload(MODULUS)
    let distance := sub(values, factors)
    for { let end := add(factors, shl(5, count)) } lt(factors, end) { factors := add(factors, 0x20) } {
        sum := addmod(sum, mulmod(mload(factors), mload(add(factors, distance)), r), r)
    }
}

/// What all claims share once q is known: eq with zeros in front, with r behind, with leading bits.
function multiply_reduced_products(rounds) {
    let r := mload(MODULUS)
    front_products(REDUCED, MU, EQ_ZERO)
    back_eq_products(POINT_END, REDUCED_END, minimum(rounds, MU), EQ_POINT)
    mstore(add(EQ_TOP, 0x20), 1)
    let q := REDUCED
    let place := add(EQ_TOP, 0x40)
    for { let source := add(EQ_TOP, 0x20) } lt(q, add(REDUCED, shl(5, $top_bits))) { q := add(q, 0x20) } {
        let x := mload(q)
        for { let end := place } lt(source, end) { source := add(source, 0x20) } {
            let value := mload(source)
            let one := mulmod(value, x, r)
            mstore(place, addmod(value, sub(r, one), r))
            mstore(add(place, 0x20), one)
            place := add(place, 0x40)
        }
    }
}

/// eq of the first `bits` coordinates of q and the bits of slot.
function slot_eq(slot, bits) -> product {
    let r := mload(MODULUS)
    let known := minimum(bits, $top_bits)
    product := mload(add(EQ_TOP, shl(5, add(shl(known, 1), shr(sub(bits, known), slot)))))
    for {} lt(known, bits) {} {
        let x := mload(add(REDUCED, shl(5, known)))
        known := add(known, 1)
        switch and(1, shr(sub(bits, known), slot))
        case 0 { product := mulmod(product, sub(add(r, 1), x), r) }
        default { product := mulmod(product, x, r) }
    }
}

/// A tensor of own + t variables that starts at entry first * 2^t of its zone, at the last coordinates of r.
function place_moving(factor, own, first, coefficients) {
    let t := mload(CONTEXT_BITS)
    let variables := add(own, t)
    let place := shl(t, first)
    coefficients := add(coefficients, shl(5, shr(MU, place)))
    let low := minimum(variables, MU)
    factor := mulmod(factor, mload(add(EQ_POINT, shl(5, low))), mload(MODULUS))
    switch gt(variables, MU)
    case 1 {
        let top := sub(variables, MU)
        mcopy(CLAIM_POINT, sub(POINT_END, shl(5, variables)), shl(5, top))
        spread(factor, top, shl(top, 1), coefficients)
    }
    default {
        let slot := shr(variables, and(place, sub(shl(MU, 1), 1)))
        factor := mulmod(factor, slot_eq(slot, sub(MU, variables)), mload(MODULUS))
        mstore(coefficients, addmod(mload(coefficients), factor, mload(MODULUS)))
    }
}

/// coefficients[i] += weight * eq(first `top` coordinates of the claim's point, i) for i < count.
/// Leading coordinates that are bits (slots, windows) only say where the others' table starts.
function spread(weight, top, count, coefficients) {
    let r := mload(MODULUS)
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

/// coefficients[i] += factor * SCRATCH[i] for i < count, after `fill_eq_table`.
function spread_table(factor, count, coefficients) {
    let r := mload(MODULUS)
    let distance := sub(SCRATCH, coefficients)
    for { let end := add(coefficients, shl(5, count)) } lt(coefficients, end) { coefficients := add(coefficients, 0x20) } {
        let term := mulmod(factor, mload(add(coefficients, distance)), r)
        mstore(coefficients, addmod(mload(coefficients), term, r))
    }
}

/// SCRATCH[i] = weight * eq(coordinates, i).
function fill_eq_table(weight, coordinate, end) {
    let r := mload(MODULUS)
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

/// prod eq(x_j, bit j) over count coordinates and the last count bits of an integer, most significant first.
function eq_bits(coordinates, integer, count) -> product {
    let r := mload(MODULUS)
    product := 1
    for {} count {} {
        count := sub(count, 1)
        let x := mload(coordinates)
        coordinates := add(coordinates, 0x20)
        switch and(1, shr(count, integer))
        case 0 { product := mulmod(product, sub(add(r, 1), x), r) }
        default { product := mulmod(product, x, r) }
    }
}

/// Replaces the last coordinate x by 1 - x.
function flip_last(end) {
    let place := sub(end, 0x20)
    mstore(place, addmod(1, sub(mload(MODULUS), mload(place)), mload(MODULUS)))
}

/// The claim's point ends at `end`; its last MU coordinates are those of a chunk, padded by zeros in front; the others
/// (`top` of them) select chunks. The last `shared` coordinates are the last ones of r.
function claim_eq(end, shared) -> product, top {
    let length := shr(5, sub(end, CLAIM_POINT))
    let low := minimum(length, MU)
    top := sub(length, low)
    shared := minimum(shared, low)
    product := mulmod(mload(add(EQ_POINT, shl(5, shared))), mload(add(EQ_ZERO, shl(5, low))), mload(MODULUS))
    let rest := eq_slices(add(CLAIM_POINT, shl(5, top)), sub(REDUCED_END, shl(5, low)), sub(low, shared))
    product := mulmod(product, rest, mload(MODULUS))
}
