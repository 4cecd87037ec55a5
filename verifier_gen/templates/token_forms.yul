/// [index < bound] at n coordinates, most significant first; bound <= 2^n.
function below(coordinates, n, bound) -> less {
    if shr(n, bound) { less := 1 leave }
    let r := mload(MODULUS)
    let equal := 1
    for {} n {} {
        n := sub(n, 1)
        let both := mulmod(equal, mload(coordinates), r)
        coordinates := add(coordinates, 0x20)
        let rest := addmod(equal, sub(r, both), r)
        switch and(1, shr(n, bound))
        case 1 {
            less := addmod(less, rest, r)
            equal := both
        }
        default { equal := rest }
    }
}

/// [first <= row < end] at the 5 coordinates of a row.
function counted_rows(rows) -> counted {
    let first := mload(PUBLIC_FIRST)
    let end := mload(PUBLIC_END)
    if lt(first, end) {
        counted := addmod(below(rows, 5, end), sub(mload(MODULUS), below(rows, 5, first)), mload(MODULUS))
    }
}

/// eq of 5 coordinates and every row: 32 words.
function row_table(rows, table) {
    let r := mload(MODULUS)
    mstore(table, 1)
    for { let size := 1 } lt(size, 32) { size := shl(1, size) } {
        let x := mload(rows)
        rows := add(rows, 0x20)
        for { let k := size } k {} {
            k := sub(k, 1)
            let known := mload(add(table, shl(5, k)))
            let one := mulmod(known, x, r)
            mstore(add(table, shl(6, k)), addmod(known, sub(r, one), r))
            mstore(add(add(table, shl(6, k)), 0x20), one)
        }
    }
}

/// [row counts] [2^n tile + index < token of the row], and the same with =, at 5 and n coordinates: two words at `target`.
function token_forms(rows, columns, n, target) {
    let r := mload(MODULUS)
    let tile := mload(PUBLIC_TILE)
    row_table(rows, TOKEN_ROWS)
    let smaller := 0
    let chosen := 0
    let end := shl(5, mload(PUBLIC_END))
    for { let row := shl(5, mload(PUBLIC_FIRST)) } lt(row, end) { row := add(row, 0x20) } {
        let weight := mload(add(TOKEN_ROWS, row))
        let token := mload(add(PUBLIC_TOKEN_0, row))
        switch sub(shr(n, token), tile)
        case 0 {
            // as `below`, with equality at the end
            let equal := weight
            let column := columns
            for { let bit := n } bit {} {
                bit := sub(bit, 1)
                let both := mulmod(equal, mload(column), r)
                column := add(column, 0x20)
                let rest := addmod(equal, sub(r, both), r)
                switch and(1, shr(bit, token))
                case 1 {
                    smaller := addmod(smaller, rest, r)
                    equal := both
                }
                default { equal := rest }
            }
            chosen := addmod(chosen, equal, r)
        }
        default {
            if gt(shr(n, token), tile) { smaller := addmod(smaller, weight, r) }
        }
    }
    mstore(target, smaller)
    mstore(add(target, 0x20), chosen)
}
