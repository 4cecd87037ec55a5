/// The range table's tag and value at n coordinates, least significant first:
/// row 2^k + v holds (k, v), so T_(k+1) = x k + (1 - x) T_k and V_(k+1) = x (v mod 2^k) + (1 - x) V_k.
function range_extension(coordinates, n, target) {
    let r := mload(MODULUS)
    let tag := 0
    let value := 0
    let low := 0
    let k := 0
    for { let place := add(coordinates, shl(5, n)) } gt(place, coordinates) { k := add(k, 1) } {
        place := sub(place, 0x20)
        let x := mload(place)
        tag := addmod(tag, mulmod(x, sub(add(r, k), tag), r), r)
        value := addmod(value, mulmod(x, sub(add(r, low), value), r), r)
        low := addmod(low, mulmod(x, shl(k, 1), r), r)
    }
    mstore(target, tag)
    mstore(add(target, 0x20), value)
}

/// The number that n coordinates form, most significant first.
function counter(coordinates, n) -> value {
    let r := mload(MODULUS)
    for { let end := add(coordinates, shl(5, n)) } lt(coordinates, end) { coordinates := add(coordinates, 0x20) } {
        value := addmod(add(value, value), mload(coordinates), r)
    }
}

/// [context index > 2^row_bits * window + row]: compare bit by bit, most significant first.
function causal_mask(rows, row_bits, columns, column_bits, window) -> greater {
    let r := mload(MODULUS)
    let equal := 1
    for { let bit := column_bits } bit {} {
        bit := sub(bit, 1)
        let left := mload(columns)
        let right := 0
        switch lt(bit, row_bits)
        case 1 { right := mload(add(rows, shl(5, sub(sub(row_bits, 1), bit)))) }
        default { right := and(1, shr(sub(bit, row_bits), window)) }
        greater := addmod(greater, mulmod(equal, mulmod(left, sub(add(r, 1), right), r), r), r)
        equal := times_eq(equal, left, right)
        columns := add(columns, 0x20)
    }
}
