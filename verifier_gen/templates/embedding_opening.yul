            // z, from everything that the equation uses
            mstore(STATE, $initial_state)
            mstore(LABEL, $label)
            mstore(WORDS, $key_digest)
            mstore(add(WORDS, 0x20), $srs_digest)
            calldatacopy(add(WORDS, 0x40), inputs.offset, $input_bytes)
            let z := mod(keccak256(STATE, $absorbed_bytes), R)

            // step = z^(2^$channel_bits)
            let step := z
            for { let i := 0 } lt(i, $channel_bits) { i := add(i, 1) } { step := mulmod(step, step, R) }

            mstore(SUM, 0)
            mstore(add(SUM, 0x20), 0)
            // SUM = window + z quotient - sum_i step^i E_i
            accumulate(add(inputs.offset, $window_offset), 1)
            accumulate(proof.offset, z)
            let coefficient := sub(R, 1)
