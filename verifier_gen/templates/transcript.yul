/// Leaves with a custom error.
function reject(selector) {
    mstore(0, shl(224, selector))
    revert(0, 4)
}

function minimum(a, b) -> least {
    least := xor(b, mul(xor(a, b), lt(a, b)))
}

function maximum(a, b) -> greatest {
    greatest := xor(b, mul(xor(a, b), gt(a, b)))
}

/// state = keccak(state || label || size bytes at WORDS); the challenge is the state modulo R.
function challenge(label, size) -> value {
    mstore(LABEL, label)
    let state := keccak256(STATE, add(size, 0x40))
    mstore(STATE, state)
    value := mod(state, mload(MODULUS))
}

/// count challenges with indexed labels that absorb nothing, stored from target on.
function challenges(label, count, target) {
    for { let last := add(label, count) } lt(label, last) { label := add(label, 1) } {
        mstore(target, challenge(label, 0))
        target := add(target, 0x20)
    }
}

/// target[i] = base^i for i < count; four at a time, for speed.
function powers(base, count, target) {
    let r := mload(MODULUS)
    let power := 1
    let end := add(target, shl(5, count))
    for {} and(sub(end, target), 0x60) { target := add(target, 0x20) } {
        mstore(target, power)
        power := mulmod(power, base, r)
    }
    for {} lt(target, end) { target := add(target, 0x80) } {
        mstore(target, power)
        power := mulmod(power, base, r)
        mstore(add(target, 0x20), power)
        power := mulmod(power, base, r)
        mstore(add(target, 0x40), power)
        power := mulmod(power, base, r)
        mstore(add(target, 0x60), power)
        power := mulmod(power, base, r)
    }
}

/// beta, gamma, alpha and its powers, rho.
function draw_challenges() {
    let data := mload(PROOF_DATA)
    let size := shl(6, mload(FIRST_POINTS))
    calldatacopy(WORDS, data, size)
    mstore(BETA, challenge(LABEL_BETA, size))
    mstore(GAMMA, challenge(LABEL_GAMMA, 0))
    data := add(data, size)
    size := shl(6, mload(SECOND_POINTS))
    calldatacopy(WORDS, data, size)
    powers(challenge(LABEL_ALPHA, size), $power_count, ALPHA_POWERS)
    let rounds := mload(ROUNDS)
    challenges(LABEL_RHO, rounds, sub(RHO_END, shl(5, rounds)))
}

/// The evaluations become available for the final check, and part of the transcript.
function load_evaluations() {
    calldatacopy(EVALUATIONS, mload(EVALUATION_DATA), sub(EVALUATIONS_END, EVALUATIONS))
    let r := mload(MODULUS)
    let canonical := 1
    for { let place := EVALUATIONS } lt(place, EVALUATIONS_END) { place := add(place, 0x20) } {
        canonical := and(canonical, lt(mload(place), r))
    }
    if iszero(canonical) { reject(NOT_CANONICAL) }
}

/// After the sumcheck: absorb the evaluations; eta and its powers.
function draw_eta() {
    let size := sub(EVALUATIONS_END, EVALUATIONS)
    mcopy(WORDS, EVALUATIONS, size)
    powers(challenge(LABEL_ETA, size), $eta_count, ETA_POWERS)
}
