            let value := calldataload(add(proof.offset, 0x40))
            let blinding := calldataload(add(proof.offset, 0x60))
            if iszero(and(lt(value, R), lt(blinding, R))) { reject(NOT_CANONICAL) }

            // z, from everything that the equation uses, P included
            mstore(STATE, $initial_state)
            mstore(LABEL, $label)
            mstore(WORDS, $key_digest)
            mstore(add(WORDS, 0x20), $srs_digest)
            calldatacopy(add(WORDS, 0x40), inputs.offset, $input_bytes)
            calldatacopy(add(WORDS, $mask_place), proof.offset, 0x40)
            mstore(STATE, keccak256(STATE, $absorbed_bytes))
            let z := mod(mload(STATE), R)

            // epsilon, from what the mask is at z
            mstore(LABEL, $label_epsilon)
            mstore(WORDS, value)
            let epsilon := mod(keccak256(STATE, 0x60), R)

            // step = z^(2^$channel_bits)
            let step := z
            for { let i := 0 } lt(i, $channel_bits) { i := add(i, 1) } { step := mulmod(step, step, R) }

            // SUM = P + epsilon (window - sum_i step^i E_i) - blinding H - value [1] + z quotient
            calldatacopy(SUM, proof.offset, 0x40)
            accumulate(add(inputs.offset, $window_offset), epsilon)
            accumulate(add(proof.offset, $quotient_offset), z)
            accumulate_constant($blinding_x, $blinding_y, sub(R, blinding))
            accumulate_constant(1, 2, sub(R, value))
            let coefficient := sub(R, epsilon)
