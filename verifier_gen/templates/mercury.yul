/// Mercury (ePrint 2025/385): SUM opens at q = (u2, u1) to value.
function verify_opening(value) -> holds {
    let opening := mload(OPENING_DATA)
    draw_opening_challenges(opening)
    invert_opening_challenges()
    multiply_opening_products(value)
    interpolate_opening()
    holds := check_opening(opening)
}

/// Every message into the transcript; scalars of the opening to G_ZETA .. S_INVERSE.
function draw_opening_challenges(opening) {
    calldatacopy(WORDS, $h_message, $h_bytes) // h
    mstore(MERCURY_ALPHA, challenge(LABEL_MERCURY_ALPHA, $h_bytes))
    calldatacopy(WORDS, add(opening, $offset_q), 0x80) // q, g
    mstore(MERCURY_GAMMA, challenge(LABEL_MERCURY_GAMMA, 0x80))
    calldatacopy(WORDS, add(opening, $offset_s), 0x80) // S, D
    mstore(MERCURY_ZETA, challenge(LABEL_MERCURY_ZETA, 0x80))
    calldatacopy(WORDS, add(opening, $offset_scalars), 0x100) // six scalars, H
    mcopy(G_ZETA, WORDS, 0xc0)
    mstore(MERCURY_BETA, challenge(LABEL_MERCURY_BETA, 0x100))
    calldatacopy(WORDS, add(opening, $offset_w), 0x40) // W
    mstore(MERCURY_Z, challenge(LABEL_MERCURY_Z, 0x40))
    calldatacopy(WORDS, add(opening, $offset_w_prime), 0x40) // W'
    mstore(MERCURY_D, challenge(LABEL_MERCURY_D, 0x40))
    for { let place := G_ZETA } iszero(gt(place, S_INVERSE)) { place := add(place, 0x20) } {
        if iszero(lt(mload(place), mload(MODULUS))) { reject(NOT_CANONICAL) }
    }
}

/// One inversion for zeta, zeta^2 - 1, zeta - alpha and 1 - alpha zeta: if one of them is zero, the challenges are
/// degenerate. With A = zeta - 1/zeta, B = zeta - alpha, C = 1/zeta - alpha: 1/A = zeta/(zeta^2 - 1), 1/C = zeta/(1 - alpha zeta).
function invert_opening_challenges() {
    let r := mload(MODULUS)
    let zeta := mload(MERCURY_ZETA)
    let alpha := mload(MERCURY_ALPHA)
    let square := addmod(mulmod(zeta, zeta, r), sub(r, 1), r)
    let distance := addmod(zeta, sub(r, alpha), r)
    let other := addmod(1, sub(r, mulmod(alpha, zeta, r)), r)
    let left := mulmod(zeta, square, r)
    let right := mulmod(distance, other, r)
    mstore(PAIRING, 0x20)
    mstore(add(PAIRING, 0x20), 0x20)
    mstore(add(PAIRING, 0x40), 0x20)
    mstore(add(PAIRING, 0x60), mulmod(left, right, r))
    if iszero(mload(add(PAIRING, 0x60))) { reject(DEGENERATE_CHALLENGE) }
    mstore(add(PAIRING, 0x80), sub(r, 2))
    mstore(add(PAIRING, 0xa0), r)
    if iszero(staticcall(gas(), 5, PAIRING, 0xc0, PAIRING, 0x20)) { reject(INVALID_POINT) }
    let inverse := mload(PAIRING)
    right := mulmod(inverse, right, r) // 1/(zeta (zeta^2 - 1))
    left := mulmod(inverse, left, r) // 1/((zeta - alpha) (1 - alpha zeta))
    mstore(ZETA_INVERSE, mulmod(right, square, r))
    mstore(INVERSE_A, mulmod(mulmod(right, zeta, r), zeta, r))
    mstore(INVERSE_B, mulmod(left, other, r))
    mstore(INVERSE_C, mulmod(mulmod(left, distance, r), zeta, r))
}

/// P_u(X) = prod (u_i X^(2^(len - 1 - i)) + 1 - u_i) for u1, u2 at zeta and 1/zeta; zeta^b;
/// h(alpha) = (g(zeta) P_u1(1/zeta) + g(1/zeta) P_u1(zeta) + gamma (h(zeta) P_u2(1/zeta) + h(1/zeta) P_u2(zeta))
///             - zeta S(zeta) - S(1/zeta)/zeta) / 2 - gamma value.
function multiply_opening_products(value) {
    let r := mload(MODULUS)
    let power := mload(MERCURY_ZETA)
    let inverse := mload(ZETA_INVERSE)
    let u1_zeta := 1
    let u1_inverse := 1
    let u2_zeta := 1
    let u2_inverse := 1
    let less := sub(r, 1)
    for { let place := sub(REDUCED_END, $half_bytes) } gt(place, REDUCED) {} {
        place := sub(place, 0x20)
        let u2 := mload(place)
        let u1 := mload(add(place, $half_bytes))
        // a word below r plus another one stays below 2^256
        let minus := add(power, less)
        u1_zeta := mulmod(u1_zeta, add(1, mulmod(u1, minus, r)), r)
        u2_zeta := mulmod(u2_zeta, add(1, mulmod(u2, minus, r)), r)
        minus := add(inverse, less)
        u1_inverse := mulmod(u1_inverse, add(1, mulmod(u1, minus, r)), r)
        u2_inverse := mulmod(u2_inverse, add(1, mulmod(u2, minus, r)), r)
        power := mulmod(power, power, r)
        inverse := mulmod(inverse, inverse, r)
    }
    mstore(ZETA_POWER, power)
    let sum := addmod(mulmod(mload(H_ZETA), u2_inverse, r), mulmod(mload(H_INVERSE), u2_zeta, r), r)
    sum := mulmod(sum, mload(MERCURY_GAMMA), r)
    sum := addmod(sum, mulmod(mload(G_ZETA), u1_inverse, r), r)
    sum := addmod(sum, mulmod(mload(G_INVERSE), u1_zeta, r), r)
    sum := addmod(sum, sub(r, mulmod(mload(MERCURY_ZETA), mload(S_ZETA), r)), r)
    sum := addmod(sum, sub(r, mulmod(mload(ZETA_INVERSE), mload(S_INVERSE), r)), r)
    sum := mulmod(sum, HALF, r)
    mstore(H_ALPHA, addmod(sum, sub(r, mulmod(mload(MERCURY_GAMMA), value, r)), r))
}

/// BDFG20 weights over T = {zeta, 1/zeta, alpha} at z: g and S at {zeta, 1/zeta}, h at T, D at {zeta};
/// BATCH_CONSTANT = sum_k beta^k Z_(T minus S_k)(z) p_k*(z) for p = g, h, S, D.
function interpolate_opening() {
    let r := mload(MODULUS)
    let beta := mload(MERCURY_BETA)
    let to_zeta := addmod(mload(MERCURY_Z), sub(r, mload(MERCURY_ZETA)), r)
    let to_inverse := addmod(mload(MERCURY_Z), sub(r, mload(ZETA_INVERSE)), r)
    let to_alpha := addmod(mload(MERCURY_Z), sub(r, mload(MERCURY_ALPHA)), r)

    // D* = D(zeta) = zeta^(b-1) (g(1/zeta) + gamma h(1/zeta)), weight (z - 1/zeta)(z - alpha); Horner in beta from here
    let sum := addmod(mload(G_INVERSE), mulmod(mload(MERCURY_GAMMA), mload(H_INVERSE), r), r)
    sum := mulmod(mulmod(mload(ZETA_POWER), mload(ZETA_INVERSE), r), sum, r)
    sum := mulmod(mulmod(sum, to_inverse, r), to_alpha, r)
    sum := mulmod(sum, beta, r)

    // S* through (zeta, S(zeta)), (1/zeta, S(1/zeta)); weight z - alpha
    let value := addmod(mulmod(mload(S_ZETA), to_inverse, r), sub(r, mulmod(mload(S_INVERSE), to_zeta, r)), r)
    sum := addmod(sum, mulmod(mulmod(value, mload(INVERSE_A), r), to_alpha, r), r)
    sum := mulmod(sum, beta, r)

    // h* through three points; weight 1
    value := mulmod(mulmod(mload(H_ZETA), mulmod(to_inverse, to_alpha, r), r), mulmod(mload(INVERSE_A), mload(INVERSE_B), r), r)
    sum := addmod(sum, value, r)
    value := mulmod(mulmod(mload(H_INVERSE), mulmod(to_zeta, to_alpha, r), r), mulmod(mload(INVERSE_A), mload(INVERSE_C), r), r)
    sum := addmod(sum, sub(r, value), r)
    value := mulmod(mulmod(mload(H_ALPHA), mulmod(to_zeta, to_inverse, r), r), mulmod(mload(INVERSE_B), mload(INVERSE_C), r), r)
    sum := addmod(sum, value, r)
    sum := mulmod(sum, beta, r)

    // g* like S*
    value := addmod(mulmod(mload(G_ZETA), to_inverse, r), sub(r, mulmod(mload(G_INVERSE), to_zeta, r)), r)
    sum := addmod(sum, mulmod(mulmod(value, mload(INVERSE_A), r), to_alpha, r), r)
    mstore(BATCH_CONSTANT, sum)
}

/// e(L1 + d L2, [1]_2) = e([H] + d [W'], [tau]_2), where SUM already holds the opened commitment.
function check_opening(opening) -> holds {
    let r := mload(MODULUS)
    let zeta := mload(MERCURY_ZETA)
    let d := mload(MERCURY_D)
    let z := mload(MERCURY_Z)
    let to_inverse := addmod(z, sub(r, mload(ZETA_INVERSE)), r)
    let to_alpha := addmod(z, sub(r, mload(MERCURY_ALPHA)), r)
    // - (zeta^b - alpha) [q] - (g(zeta) + d constant) [1] + zeta [H]
    accumulate_calldata(add(opening, $offset_q), addmod(mload(MERCURY_ALPHA), sub(r, mload(ZETA_POWER)), r))
    accumulate_point(1, 2, sub(r, addmod(mload(G_ZETA), mulmod(d, mload(BATCH_CONSTANT), r), r)))
    accumulate_calldata(add(opening, $offset_quotient), zeta)
    // d times weights: [g], beta [h], beta^2 [S], beta^3 [D]
    accumulate_calldata(add(opening, $offset_g), mulmod(d, to_alpha, r))
    let weight := mulmod(d, mload(MERCURY_BETA), r)
    accumulate_calldata(opening, weight)
    weight := mulmod(mulmod(weight, mload(MERCURY_BETA), r), to_alpha, r)
    accumulate_calldata(add(opening, $offset_s), weight)
    weight := mulmod(mulmod(weight, mload(MERCURY_BETA), r), to_inverse, r)
    accumulate_calldata(add(opening, $offset_d), weight)
    // - d Z_T(z) [W] + d z [W']
    weight := mulmod(mulmod(to_alpha, to_inverse, r), addmod(z, sub(r, zeta), r), r)
    accumulate_calldata(add(opening, $offset_w), sub(r, mulmod(d, weight, r)))
    accumulate_calldata(add(opening, $offset_w_prime), mulmod(d, z, r))
    mcopy(PAIRING, SUM, 0x40)
    // [H] + d [W']
    calldatacopy(SUM, add(opening, $offset_quotient), 0x40)
    accumulate_calldata(add(opening, $offset_w_prime), d)
    holds := check_pairing()
}

/// e(left, [1]_2) * e(-SUM, [tau]_2) = 1, where left lies at PAIRING.
function check_pairing() -> holds {
    mstore(add(PAIRING, 0x40), $g2_one_0)
    mstore(add(PAIRING, 0x60), $g2_one_1)
    mstore(add(PAIRING, 0x80), $g2_one_2)
    mstore(add(PAIRING, 0xa0), $g2_one_3)
    mstore(add(PAIRING, 0xc0), mload(SUM))
    mstore(add(PAIRING, 0xe0), mod(sub(Q, mload(add(SUM, 0x20))), Q))
    mstore(add(PAIRING, 0x100), $g2_tau_0)
    mstore(add(PAIRING, 0x120), $g2_tau_1)
    mstore(add(PAIRING, 0x140), $g2_tau_2)
    mstore(add(PAIRING, 0x160), $g2_tau_3)
    if iszero(staticcall(gas(), 8, PAIRING, 0x180, PAIRING, 0x20)) { reject(INVALID_POINT) }
    holds := eq(mload(PAIRING), 1)
}
