/// The last round of the batched sumcheck, of degree $last_degree: columns with masks are quadratics in it.
/// It sends c0, c2, c3, ...; c1 = claim - 2 c0 - c2 - c3 - ... Returns the final claim.
function masked_round(claim, data, label) -> value {
    let r := R
    calldatacopy(WORDS, data, $last_bytes)
    let x := challenge(label, $last_bytes)
    mstore(sub(POINT_END, 0x20), x)
    let c0 := mload(WORDS)
    if iszero(lt(c0, r)) { reject(NOT_CANONICAL) }
    let sum := addmod(c0, c0, r)
    for { let place := add(WORDS, $last_bytes) } gt(place, add(WORDS, 0x20)) {} {
        place := sub(place, 0x20)
        let c := mload(place)
        if iszero(lt(c, r)) { reject(NOT_CANONICAL) }
        sum := addmod(sum, c, r)
        value := add(mulmod(value, x, r), c) // two reduced values: below 2^256
    }
    value := addmod(mulmod(value, x, r), addmod(claim, sub(r, sum), r), r)
    value := addmod(mulmod(value, x, r), c0, r)
}

/// SCRATCH[i] = eq of q's coordinates in front of the last $block_bits and the bits of block i of M, zeros in front;
/// MASK_EQ[j] = eq of the last $block_bits coordinates and the bits of place j in a block.
function expand_mask_blocks() {
    let r := R
    let end := sub(REDUCED_END, 0x40)
    fill_eq_table(mload(add(EQ_ZERO, $mask_place)), sub(REDUCED_END, $mask_place), end)
    let x := mload(end)
    let y := mload(add(end, 0x20))
    let both := mulmod(x, y, r)
    let first := addmod(x, sub(r, both), r)
    mstore(MASK_EQ, addmod(1, sub(r, addmod(first, y, r)), r))
    mstore(add(MASK_EQ, 0x20), addmod(y, sub(r, both), r))
    mstore(add(MASK_EQ, 0x40), first)
    mstore(add(MASK_EQ, 0x60), both)
}

/// sum_(j < 4) MASK_EQ[j] x^(j+1).
function block_at(x) -> value {
    let r := R
    value := addmod(mulmod(mload(add(MASK_EQ, 0x60)), x, r), mload(add(MASK_EQ, 0x40)), r)
    value := addmod(mulmod(value, x, r), mload(add(MASK_EQ, 0x20)), r)
    value := mulmod(addmod(mulmod(value, x, r), mload(MASK_EQ), r), x, r)
}

/// sum_i weight_i (block_at(r_i) - 1/2) over all rounds but the last, from the second to last on (block_at in place, for speed).
function masks_of_other_rounds(weight) -> sum {
    let r := R
    let e0 := mload(MASK_EQ)
    let e1 := mload(add(MASK_EQ, 0x20))
    let e2 := mload(add(MASK_EQ, 0x40))
    let e3 := mload(add(MASK_EQ, 0x60))
    let first := sub(POINT_END, shl(5, mload(ROUNDS)))
    for { let place := sub(POINT_END, 0x20) } gt(place, first) {} {
        place := sub(place, 0x20)
        let x := mload(place)
        let value := add(mulmod(e3, x, r), e2)
        value := add(mulmod(value, x, r), e1)
        value := add(mulmod(value, x, r), e0)
        value := addmod(mulmod(value, x, r), sub(r, HALF), r)
        sum := addmod(sum, mulmod(value, mload(weight), r), r)
        weight := add(weight, 0x20)
    }
}

/// prod (slope q_j + shift): eq of q and a point with equal coordinates.
function eq_of_equal(slope, shift) -> product {
    let r := R
    product := 1
    for { let place := REDUCED } lt(place, REDUCED_END) { place := add(place, 0x20) } {
        product := mulmod(product, addmod(mul(slope, mload(place)), shift, r), r)
    }
}
