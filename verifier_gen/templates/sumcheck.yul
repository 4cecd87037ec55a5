/// Degree 4. A round sends c0, c2, c3, c4; c1 = claim - 2 c0 - c2 - c3 - c4. Returns the final claim.
function batched_sumcheck(rounds) -> claim {
    let r := mload(MODULUS)
    let data := mload(ROUND_DATA)
    let label := LABEL_ROUND
    for { let place := sub(POINT_END, shl(5, rounds)) } lt(place, $plain_rounds_end) { place := add(place, 0x20) } {
        calldatacopy(WORDS, data, 0x80)
        let x := challenge(label, 0x80)
        mstore(place, x)
        let c0 := mload(WORDS)
        let c2 := mload(add(WORDS, 0x20))
        let c3 := mload(add(WORDS, 0x40))
        let c4 := mload(add(WORDS, 0x60))
        if iszero(and(and(lt(c0, r), lt(c2, r)), and(lt(c3, r), lt(c4, r)))) { reject(NOT_CANONICAL) }
        // 5 r is below 2^256
        let c1 := addmod(claim, sub(mul(5, r), add(add(add(c0, c0), c2), add(c3, c4))), r)
        // mulmod takes sums of two reduced values as they are
        claim := mulmod(add(mulmod(c4, x, r), c3), x, r)
        claim := mulmod(add(claim, c2), x, r)
        claim := addmod(mulmod(add(claim, c1), x, r), c0, r)
        data := add(data, 0x80)
        label := add(label, 1)
    }$masked_round
}

/// Degree 2, MU rounds. A round sends c0, c2; c1 = claim - 2 c0 - c2. Returns the final claim.
function reduction_sumcheck(value) -> claim {
    claim := value
    let r := mload(MODULUS)
    let data := mload(REDUCTION_DATA)
    let label := LABEL_REDUCTION_ROUND
    for { let place := REDUCED } lt(place, REDUCED_END) { place := add(place, 0x20) } {
        calldatacopy(WORDS, data, 0x40)
        let x := challenge(label, 0x40)
        mstore(place, x)
        let c0 := mload(WORDS)
        let c2 := mload(add(WORDS, 0x20))
        if iszero(and(lt(c0, r), lt(c2, r))) { reject(NOT_CANONICAL) }
        let c1 := addmod(claim, sub(mul(3, r), add(add(c0, c0), c2)), r)
        claim := addmod(mulmod(add(mulmod(c2, x, r), c1), x, r), c0, r)
        data := add(data, 0x40)
        label := add(label, 1)
    }
}

/// factor * eq(a, b) = factor * (1 - a - b + 2 a b) for a, b below R.
function times_eq(factor, a, b) -> product {
    let r := mload(MODULUS)
    let twice := mulmod(a, b, r)
    // 2 r + 1 + 2 a b is below 2^256 and above a + b
    product := mulmod(factor, sub(add(add(r, r), add(1, add(twice, twice))), add(a, b)), r)
}

/// prod eq(left_j, right_j) over count coordinates (times_eq in place and two at a time, for speed).
function eq_slices(left, right, count) -> product {
    product := 1
    let r := mload(MODULUS)
    let offset := add(add(r, r), 1)
    let distance := sub(right, left)
    let end := add(left, shl(5, count))
    let a, b
    if and(count, 1) {
        a := mload(left)
        b := mload(right)
        product := sub(add(offset, shl(1, mulmod(a, b, r))), add(a, b))
        left := add(left, 0x20)
    }
    for {} lt(left, end) { left := add(left, 0x20) } {
        a := mload(left)
        b := mload(add(left, distance))
        product := mulmod(product, sub(add(offset, shl(1, mulmod(a, b, r))), add(a, b)), r)
        left := add(left, 0x20)
        a := mload(left)
        b := mload(add(left, distance))
        product := mulmod(product, sub(add(offset, shl(1, mulmod(a, b, r))), add(a, b)), r)
    }
    // of a single coordinate it is not reduced yet
    product := mod(product, r)
}

/// table[n] = prod (1 - x_j) over all but the last n of count coordinates.
function front_products(coordinates, count, table) {
    let r := mload(MODULUS)
    let above := add(r, 1)
    let product := 1
    let place := add(table, shl(5, count))
    mstore(place, 1)
    for {} gt(place, table) {} {
        place := sub(place, 0x20)
        product := mulmod(product, sub(above, mload(coordinates)), r)
        mstore(place, product)
        coordinates := add(coordinates, 0x20)
    }
}

/// prod (1 - x_j) over count coordinates.
function product_of_complements(coordinates, count) -> product {
    let r := mload(MODULUS)
    product := 1
    for { let end := add(coordinates, shl(5, count)) } lt(coordinates, end) { coordinates := add(coordinates, 0x20) } {
        product := mulmod(product, sub(add(r, 1), mload(coordinates)), r)
    }
}

/// table[n] = prod eq(left_j, right_j) over the last n coordinates, n <= count; both pointers are ends.
function back_eq_products(left, right, count, table) {
    let r := mload(MODULUS)
    let offset := add(add(r, r), 1)
    let distance := sub(right, left)
    let product := 1
    mstore(table, 1)
    for { let end := add(table, shl(5, count)) } lt(table, end) {} {
        left := sub(left, 0x20)
        table := add(table, 0x20)
        let a := mload(left)
        let b := mload(add(left, distance))
        product := mulmod(product, sub(add(offset, shl(1, mulmod(a, b, r))), add(a, b)), r)
        mstore(table, product)
    }
}

/// What the final check shares: paddings of the shorter domains and eq(rho, r) over them.
function multiply_point_products(rounds) {
    front_products(sub(POINT_END, shl(5, rounds)), rounds, PADDING)
    back_eq_products(RHO_END, POINT_END, rounds, EQ_RHO)
}
