// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice The rules of one deployment, fixed for ever. Times in seconds, amounts in wei.
/// @param challengeWindow how long after posting a response can be disputed
/// @param clock total thinking time of each side in one game
/// @param moveExtension least time a mover has for an ordinary move
/// @param traceExtension least time for the first boundary hashes (the whole trace must be computed)
/// @param proveExtension least time for a proof
/// @param exitDelay between asking for stake back and getting it
/// @param postingWindow longest time between answering and posting that clients should accept in a receipt
/// @param receiptClaimWindow how long after its posting deadline an unposted receipt still costs stake
/// @param receiptAnswerWindow how long the provider has to show the leaf of a claimed receipt
/// @param showWindow how long the provider has to show a response that somebody asks for
/// @param lockPerResponse stake locked by each response, lost with it
/// @param challengerBond bond of each game
/// @param receiptClaimBond bond of each claim that a receipt was not posted
/// @param askPrice what asking for a response costs; the provider gets it for publishing the response
/// @param maxGamesPerResponse games that may be open at once on one response
/// @param arity k: number of parts a range is cut into
struct ProtocolParameters {
    uint64 challengeWindow;
    uint64 clock;
    uint64 moveExtension;
    uint64 traceExtension;
    uint64 proveExtension;
    uint64 exitDelay;
    uint64 postingWindow;
    uint64 receiptClaimWindow;
    uint64 receiptAnswerWindow;
    uint64 showWindow;
    uint256 lockPerResponse;
    uint256 challengerBond;
    uint256 receiptClaimBond;
    uint256 askPrice;
    uint32 maxGamesPerResponse;
    uint32 arity;
}

/// @title Presets and limits of `ProtocolParameters`
library Parameters {
    /// The named field is out of range; see the condition beside it in `validate`.
    error InvalidParameter(string field);

    /// @notice For a local chain: everything happens within minutes.
    function devnet() internal pure returns (ProtocolParameters memory) {
        return ProtocolParameters({
            challengeWindow: 60,
            clock: 120,
            moveExtension: 20,
            traceExtension: 60,
            proveExtension: 60,
            exitDelay: 300,
            postingWindow: 60,
            receiptClaimWindow: 120,
            receiptAnswerWindow: 60,
            showWindow: 60,
            lockPerResponse: 1 ether,
            challengerBond: 0.5 ether,
            receiptClaimBond: 0.05 ether,
            askPrice: 0.02 ether,
            maxGamesPerResponse: 8,
            arity: 8
        });
    }

    /// @notice A day to challenge, hours per move, two weeks to leave.
    function mainnetLike() internal pure returns (ProtocolParameters memory) {
        return ProtocolParameters({
            challengeWindow: 1 days,
            clock: 12 hours,
            moveExtension: 2 hours,
            traceExtension: 4 hours,
            proveExtension: 6 hours,
            exitDelay: 14 days,
            postingWindow: 1 days,
            receiptClaimWindow: 7 days,
            receiptAnswerWindow: 1 days,
            showWindow: 1 days,
            lockPerResponse: 1 ether,
            challengerBond: 0.5 ether,
            receiptClaimBond: 0.05 ether,
            askPrice: 0.02 ether,
            maxGamesPerResponse: 8,
            arity: 8
        });
    }

    /// @notice Reverts with `InvalidParameter` unless the parameters make a working deployment.
    function validate(ProtocolParameters memory p) internal pure {
        // Sums of a few durations and a timestamp must fit in 64 bits.
        uint64 longest = 3650 days;
        require(p.challengeWindow > 0 && p.challengeWindow <= longest, InvalidParameter("challengeWindow"));
        require(p.clock > 0 && p.clock <= longest, InvalidParameter("clock"));
        require(p.moveExtension > 0 && p.moveExtension <= longest, InvalidParameter("moveExtension"));
        require(
            p.traceExtension >= p.moveExtension && p.traceExtension <= longest,
            InvalidParameter("traceExtension")
        );
        require(
            p.proveExtension >= p.moveExtension && p.proveExtension <= longest,
            InvalidParameter("proveExtension")
        );
        require(p.postingWindow <= longest, InvalidParameter("postingWindow"));
        require(
            p.receiptClaimWindow > 0 && p.receiptClaimWindow <= longest,
            InvalidParameter("receiptClaimWindow")
        );
        require(
            p.receiptAnswerWindow > 0 && p.receiptAnswerWindow <= longest,
            InvalidParameter("receiptAnswerWindow")
        );
        require(p.showWindow > 0 && p.showWindow <= longest, InvalidParameter("showWindow"));
        // Whoever learns from a receipt's posting deadline that its answer is not shown can still ask for it.
        require(p.challengeWindow >= p.postingWindow, InvalidParameter("challengeWindow"));
        // The stake behind a receipt must still be here while a claim on it can be filed.
        require(
            p.exitDelay > uint256(p.postingWindow) + p.receiptClaimWindow && p.exitDelay <= longest,
            InvalidParameter("exitDelay")
        );
        require(p.lockPerResponse > 0 && p.lockPerResponse < 2 ** 96, InvalidParameter("lockPerResponse"));
        require(p.challengerBond > 0 && p.challengerBond < 2 ** 96, InvalidParameter("challengerBond"));
        require(p.receiptClaimBond > 0 && p.receiptClaimBond < 2 ** 96, InvalidParameter("receiptClaimBond"));
        // Below a bond, or nobody would ask first.
        require(p.askPrice > 0 && p.askPrice < p.challengerBond, InvalidParameter("askPrice"));
        require(p.maxGamesPerResponse > 0, InvalidParameter("maxGamesPerResponse"));
        // A round needs at least a halving; 128 hashes still fit one transaction comfortably.
        require(p.arity >= 2 && p.arity <= 128, InvalidParameter("arity"));
    }
}
