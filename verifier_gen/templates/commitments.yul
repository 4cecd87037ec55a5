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
