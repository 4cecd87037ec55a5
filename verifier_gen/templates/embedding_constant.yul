
            /// SUM += scalar * (a point of the verifier's own).
            function accumulate_constant(x, y, scalar) {
                mstore(FACTOR, x)
                mstore(add(FACTOR, 0x20), y)
                mstore(add(FACTOR, 0x40), scalar)
                if iszero(staticcall(gas(), 7, FACTOR, 0x60, TERM, 0x40)) { reject(INVALID_POINT) }
                if iszero(staticcall(gas(), 6, SUM, 0x80, SUM, 0x40)) { reject(INVALID_POINT) }
            }
