/// SUM += coefficient * FACTOR, whose two coordinates are in place.
function accumulate_factor(coefficient) {
    mstore(add(FACTOR, 0x40), coefficient)
    if iszero(staticcall(gas(), 7, FACTOR, 0x60, TERM, 0x40)) { reject(INVALID_POINT) }
    if iszero(staticcall(gas(), 6, SUM, 0x80, SUM, 0x40)) { reject(INVALID_POINT) }
}

/// SUM = coefficient * (point of calldata); returns the offset behind the point.
function begin_sum(data, coefficient) -> next {
    next := add(data, 0x40)
    calldatacopy(FACTOR, data, 0x40)
    mstore(add(FACTOR, 0x40), coefficient)
    if iszero(staticcall(gas(), 7, FACTOR, 0x60, SUM, 0x40)) { reject(INVALID_POINT) }
}

/// SUM += sum_i coefficients[i] * (point i of calldata); returns the offset behind the last point.
function accumulate(data, coefficients, count) -> next {
    next := add(data, shl(6, count))
    for {} lt(data, next) { data := add(data, 0x40) } {
        calldatacopy(FACTOR, data, 0x40)
        mstore(add(FACTOR, 0x40), mload(coefficients))
        if iszero(staticcall(gas(), 7, FACTOR, 0x60, TERM, 0x40)) { reject(INVALID_POINT) }
        if iszero(staticcall(gas(), 6, SUM, 0x80, SUM, 0x40)) { reject(INVALID_POINT) }
        coefficients := add(coefficients, 0x20)
    }
}

/// How a zone with gaps is walked. Bit i of its `filled` says whether run i, of 2^(run_bits + t) entries, may hold anything but zero: either
/// `several` runs, selected by `mask`, share a chunk, or a run is `chunks` of them.
function walk(run_bits) -> several, mask, chunks {
    let bits := add(run_bits, mload(CONTEXT_BITS))
    several := 1
    chunks := 1
    switch gt(bits, MU)
    case 1 { chunks := shl(sub(bits, MU), 1) }
    default { several := shl(sub(MU, bits), 1) }
    mask := sub(shl(several, 1), 1) // all ones from 256 on
}

/// How many chunks of a zone with gaps the proof commits to.
function count_filled(filled, run_bits) -> count {
    let several, mask, chunks := walk(run_bits)
    for {} filled { filled := shr(several, filled) } {
        if and(filled, mask) { count := add(count, chunks) }
    }
}

/// `accumulate` of those chunks; there are coefficients for all.
function accumulate_filled(data, coefficients, filled, run_bits) -> next {
    let several, mask, chunks := walk(run_bits)
    next := data
    for {} filled { filled := shr(several, filled) } {
        if and(filled, mask) { next := accumulate(next, coefficients, chunks) }
        coefficients := add(coefficients, shl(5, chunks))
    }
}

/// SUM += coefficient * (x, y). Chunks of a public table that the statement's window does not read have none.
function accumulate_point(x, y, coefficient) {
    if iszero(coefficient) { leave }
    mstore(FACTOR, x)
    mstore(add(FACTOR, 0x20), y)
    accumulate_factor(coefficient)
}

/// SUM += coefficient * (point of calldata).
function accumulate_calldata(data, coefficient) {
    calldatacopy(FACTOR, data, 0x40)
    accumulate_factor(coefficient)
}
