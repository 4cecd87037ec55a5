// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Points of BN254's G1: coordinates below q, infinity = (0, 0)
library Curve {
    /// @notice The modulus of the base field.
    uint256 internal constant Q = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47;

    uint256 private constant _EC_ADD = 0x06;

    /// A coordinate is not below the base field's modulus.
    error CoordinateOutOfRange(uint256 coordinate);
    /// Two points could not be subtracted: one of them is not on the curve.
    error NotOnCurve(uint256 x, uint256 y, uint256 minusX, uint256 minusY);

    /// @notice Every point has one pair of coordinates that counts.
    function checkCanonical(uint256 x, uint256 y) internal pure {
        require(x < Q, CoordinateOutOfRange(x));
        require(y < Q, CoordinateOutOfRange(y));
    }

    /// @notice (x, y) - (minusX, minusY), all coordinates below q.
    // Only assembly can call a precompile without copying what it returns. A claim that is refuted takes it once for every window,
    // so it leaves no memory behind.
    // slither-disable-next-line assembly
    function minus(uint256 x, uint256 y, uint256 minusX, uint256 minusY)
        internal
        view
        returns (uint256 differenceX, uint256 differenceY)
    {
        bool done = false;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, x)
            mstore(add(free, 0x20), y)
            mstore(add(free, 0x40), minusX)
            mstore(add(free, 0x60), mul(sub(Q, minusY), iszero(iszero(minusY))))
            done := staticcall(gas(), _EC_ADD, free, 0x80, 0x00, 0x40)
            done := and(done, eq(returndatasize(), 0x40))
            differenceX := mload(0x00)
            differenceY := mload(0x20)
        }
        require(done, NotOnCurve(x, y, minusX, minusY));
    }
}
