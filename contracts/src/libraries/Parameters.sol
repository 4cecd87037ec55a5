// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice The rules of one deployment, fixed for ever. Times in seconds, amounts in wei.
/// @param challengeWindow how long after posting a response can be disputed
/// @param clock total thinking time of each side in one game
/// @param moveExtension least time a mover has for an ordinary move
/// @param traceExtension least time for the first boundary hashes (the whole trace must be computed)
/// @param proveExtension least time for a proof
/// @param exitDelay between asking for stake back and getting it
/// @param postingWindow longest time between a receipt's date and its posting deadline
/// @param receiptClaimWindow how long after its posting deadline an unposted receipt still costs stake
/// @param receiptAnswerWindow how long the provider has to show the leaf of a claimed receipt
/// @param showWindow how long the provider has to show a response that somebody asks for
/// @param joinWindow how long after a response was lost committed openings can still join, and how long a place that
///        a challenger's loss frees among a full house stays empty
/// @param inclusionDelay longest time for which the chain (its sequencer) can keep a transaction out; every window in
///        which somebody must act is longer
/// @param guardianDelay seconds, in total and for ever, by which the guardian can delay rewards and new batches
/// @param guardian who can; nobody: 0
/// @param lockPerResponse stake locked by each response, lost with it
/// @param providerBond stake that a provider keeps beside its locks; its first lost response takes it and pauses it
/// @param challengerBond bond of a game against a provider that has no other game open
/// @param receiptClaimBond bond of each claim that a receipt was not posted
/// @param askPrice what asking for a response costs; the provider gets it for publishing the response
/// @param gameReward what every game open on a response that becomes void is paid, from the response's lock
/// @param maxGamesPerResponse games that may be open at once on one response
/// @param bondLoad open games against one provider at which the next one's bond has doubled
/// @param arity k: number of parts a range is cut into, at most (`Bisection`)
/// @param auditWindow how long the provider has to prove all that an audit names
/// @param maxAuditItems most that one audit names; each pays a bond
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
    uint64 joinWindow;
    uint64 inclusionDelay;
    uint64 guardianDelay;
    address guardian;
    uint256 lockPerResponse;
    uint256 providerBond;
    uint256 challengerBond;
    uint256 receiptClaimBond;
    uint256 askPrice;
    uint256 gameReward;
    uint32 maxGamesPerResponse;
    uint32 bondLoad;
    uint32 arity;
    uint64 auditWindow;
    uint32 maxAuditItems;
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
            joinWindow: 20,
            inclusionDelay: 0,
            guardianDelay: 0,
            guardian: address(0),
            lockPerResponse: 1 ether,
            providerBond: 2 ether,
            challengerBond: 0.5 ether,
            receiptClaimBond: 0.05 ether,
            askPrice: 0.02 ether,
            gameReward: 0.05 ether,
            maxGamesPerResponse: 8,
            bondLoad: 16,
            arity: 128,
            auditWindow: 120,
            maxAuditItems: 8
        });
    }

    /// @notice Ethereum: a day to challenge, hours per move, two weeks to leave. Amounts at 20 gwei per gas: a reward is
    ///         twice a challenger's gas (0.5 M), a lock ten rewards, half a bond pays for a defence, the ask price for showing.
    function l1() internal pure returns (ProtocolParameters memory) {
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
            joinWindow: 4 hours,
            inclusionDelay: 1 hours,
            guardianDelay: 0,
            guardian: address(0),
            lockPerResponse: 0.2 ether,
            providerBond: 32 ether,
            challengerBond: 0.05 ether,
            receiptClaimBond: 0.02 ether,
            askPrice: 0.006 ether,
            gameReward: 0.02 ether,
            maxGamesPerResponse: 4,
            bondLoad: 16,
            arity: 128,
            auditWindow: 1 days,
            maxAuditItems: 16
        });
    }

    /// @notice A rollup: forced inclusion takes up to a day, and time runs on while the sequencer is down, so every window
    ///         is longer; a challenge needs two transactions in a row and has three days. Amounts as on Ethereum, at 0.1 gwei
    ///         per gas, data included.
    function l2() internal pure returns (ProtocolParameters memory) {
        return ProtocolParameters({
            challengeWindow: 3 days,
            clock: 3 days,
            moveExtension: 36 hours,
            traceExtension: 36 hours,
            proveExtension: 36 hours,
            exitDelay: 14 days,
            postingWindow: 2 days,
            receiptClaimWindow: 7 days,
            receiptAnswerWindow: 2 days,
            showWindow: 2 days,
            joinWindow: 2 days,
            inclusionDelay: 1 days,
            guardianDelay: 0,
            guardian: address(0),
            lockPerResponse: 0.001 ether,
            providerBond: 8 ether,
            challengerBond: 0.0005 ether,
            receiptClaimBond: 0.0002 ether,
            askPrice: 0.00003 ether,
            gameReward: 0.0001 ether,
            maxGamesPerResponse: 4,
            bondLoad: 16,
            arity: 128,
            auditWindow: 3 days,
            maxAuditItems: 16
        });
    }

    /// @notice Reverts with `InvalidParameter` unless the parameters make a working deployment.
    function validate(ProtocolParameters memory p) internal pure {
        // Sums of a few durations and a timestamp must fit in 64 bits.
        uint64 longest = 3650 days;
        // Whoever has to act on chain can, even if the sequencer keeps everything out for its longest.
        uint64 outage = p.inclusionDelay;
        require(outage <= longest, InvalidParameter("inclusionDelay"));
        require(
            p.challengeWindow > outage && p.challengeWindow <= longest, InvalidParameter("challengeWindow")
        );
        require(p.clock > 0 && p.clock <= longest, InvalidParameter("clock"));
        require(p.moveExtension > outage && p.moveExtension <= longest, InvalidParameter("moveExtension"));
        require(
            p.traceExtension >= p.moveExtension && p.traceExtension <= longest,
            InvalidParameter("traceExtension")
        );
        require(
            p.proveExtension >= p.moveExtension && p.proveExtension <= longest,
            InvalidParameter("proveExtension")
        );
        // One proof at least; that all of an audit fit is the presets' concern: `auditWindow / maxAuditItems` for each.
        require(
            p.auditWindow >= p.proveExtension && p.auditWindow <= longest, InvalidParameter("auditWindow")
        );
        require(p.postingWindow <= longest, InvalidParameter("postingWindow"));
        require(
            p.receiptClaimWindow > outage && p.receiptClaimWindow <= longest,
            InvalidParameter("receiptClaimWindow")
        );
        require(
            p.receiptAnswerWindow > outage && p.receiptAnswerWindow <= longest,
            InvalidParameter("receiptAnswerWindow")
        );
        require(p.showWindow > outage && p.showWindow <= longest, InvalidParameter("showWindow"));
        require(p.joinWindow > outage && p.joinWindow <= longest, InvalidParameter("joinWindow"));
        // Whoever learns from a receipt's posting deadline that its answer is not shown can still ask for it.
        require(p.challengeWindow >= p.postingWindow, InvalidParameter("challengeWindow"));
        // A guardian without time does nothing; time without a guardian would be nobody's.
        require((p.guardian == address(0)) == (p.guardianDelay == 0), InvalidParameter("guardian"));
        // Enough for one delay, the least that a guardian can do (`Guardian.leastDelay`).
        require(
            p.guardianDelay == 0
                || (p.guardianDelay >= uint256(outage) + 1 hours && p.guardianDelay <= 30 days),
            InvalidParameter("guardianDelay")
        );
        // The stake behind a receipt must still be here when the last claim on it is lost, and somebody can say so; the clock
        // of posting stands still for twice as long as the guardian delays.
        uint256 receiptLife = uint256(p.postingWindow) + p.receiptClaimWindow + p.receiptAnswerWindow
            + p.inclusionDelay + 2 * uint256(p.guardianDelay);
        require(p.exitDelay > receiptLife && p.exitDelay <= longest, InvalidParameter("exitDelay"));
        require(p.lockPerResponse > 0 && p.lockPerResponse < 2 ** 96, InvalidParameter("lockPerResponse"));
        require(p.providerBond > 0 && p.providerBond < 2 ** 96, InvalidParameter("providerBond"));
        // A game keeps its bond in 80 bits, and it rises with the games that are open.
        require(p.challengerBond > 0 && p.challengerBond < 2 ** 72, InvalidParameter("challengerBond"));
        require(p.receiptClaimBond > 0 && p.receiptClaimBond < 2 ** 96, InvalidParameter("receiptClaimBond"));
        // Below a bond, or nobody would ask first.
        require(p.askPrice > 0 && p.askPrice < p.challengerBond, InvalidParameter("askPrice"));
        require(p.maxGamesPerResponse > 0, InvalidParameter("maxGamesPerResponse"));
        // Were every place a friend's, three fifths of the lock are still burned.
        require(
            p.gameReward > 0 && p.gameReward < 2 ** 96
                && 5 * p.gameReward * p.maxGamesPerResponse <= 2 * p.lockPerResponse,
            InvalidParameter("gameReward")
        );
        // What is named costs a storage slot each, in one transaction.
        require(p.maxAuditItems > 0 && p.maxAuditItems <= 64, InvalidParameter("maxAuditItems"));
        require(p.bondLoad > 0, InvalidParameter("bondLoad"));
        // A round needs at least a halving; 128 hashes still fit one transaction comfortably.
        require(p.arity >= 2 && p.arity <= 128, InvalidParameter("arity"));
    }
}
