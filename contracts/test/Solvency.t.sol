// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Audit, AuditItem, AuditTarget} from "../src/interfaces/IAuditGame.sol";
import {Game, IDisputeGame, Outcome, Phase} from "../src/interfaces/IDisputeGame.sol";
import {ResponseStatus} from "../src/interfaces/IInferenceLedger.sol";
import {StakeAccount} from "../src/interfaces/IProviderStake.sol";
import {Receipt, ReceiptStatus} from "../src/interfaces/IReceipts.sol";
import {AuditScenario} from "./AuditScenario.sol";
import {Response} from "./Responses.sol";
import {Scenario} from "./Scenario.sol";

/// @notice Random actors do random things; what the contracts refuse is skipped, never the accounts.
contract Actors is AuditScenario {
    uint256 public posts;
    bytes32[] public receiptIds;
    uint256[] public asked;
    uint256 public joins;

    // The same provider's private model and its last batch, while games are about the public one; or the other way round.
    Response private _otherResponse;
    bytes32 private _otherModel;
    uint256 private _otherBatch;
    mapping(uint256 auditId => AuditItem[]) private _itemsOf;

    /// @dev The action is about the private model.
    modifier privately() {
        _swap();
        _;
        _swap();
    }

    function setUp() public override {}

    function begin() external {
        super.setUp();
        (_otherResponse, _otherModel, _otherBatch) = (makeResponse(40, 30, 30), publicModel, 1);
        _swap();
    }

    function _swap() private {
        Response memory aside = response;
        (response, _otherResponse) = (_otherResponse, aside);
        (modelId, _otherModel) = (_otherModel, modelId);
        (batchId, _otherBatch) = (_otherBatch, batchId);
        spec.headTiles = TILES - spec.headTiles; // whose keys are behind the steps'
        batchLeaves = leavesOf(response, ledger.batch(batchId).salt);
    }

    function vault() external view returns (address) {
        return address(stake);
    }

    // --- actions

    function passTime(uint256 by) external {
        vm.warp(block.timestamp + by % 90);
    }

    function deposit(uint256 amount) external {
        vm.deal(provider, 100 ether);
        vm.prank(provider);
        stake.deposit{value: 1 + amount % 5 ether}();
    }

    function exit(uint256 amount) external {
        StakeAccount memory account = stake.account(provider);
        if (account.exitAvailableAt != 0 && block.timestamp >= account.exitAvailableAt) {
            vm.prank(provider);
            stake.completeExit();
        } else if (account.exitAvailableAt == 0 && stake.freeStake(provider) != 0) {
            uint256 part = 1 + amount % stake.freeStake(provider);
            vm.prank(provider);
            stake.requestExit(part);
        }
    }

    function postAnother() external {
        if (stake.freeStake(provider) < 3 * p.lockPerResponse) return;
        batchId = post(response, keccak256(abi.encode("post", ++posts)));
    }

    function postPrivate() external privately {
        if (stake.freeStake(provider) < 3 * p.lockPerResponse) return;
        batchId = post(response, keccak256(abi.encode("post", ++posts)));
    }

    function openAuditOf(uint256 seed, bool asCopycat) external privately {
        AuditItem[] memory items = new AuditItem[](1 + seed % 2);
        for (uint256 i = 0; i < items.length; ++i) {
            items[i] = (seed / 64 + i) % 3 == 0
                ? headItem((seed / 8) % TILES, firstHeadWindow() + (seed / 2) % 2)
                : stepItem((seed / 8 + i) % STEPS, (seed / 2) % 3);
        }
        address who = asCopycat ? copycat : challenger;
        vm.deal(who, 100 ether);
        uint256 bond = auditBond(items.length) + (asCopycat ? 0 : 0.1 ether);
        bytes32 secret = readyAs(who);
        vm.prank(who);
        try audits.openAudit{value: bond}(requestOf(items, secret)) returns (uint256 auditId) {
            for (uint256 i = 0; i < items.length; ++i) {
                _itemsOf[auditId].push(items[i]);
            }
        } catch {}
    }

    /// @dev The next item of a random audit.
    function answerAudit(uint256 which) external privately {
        if (audits.auditCount() == 0) return;
        uint256 auditId = 1 + which % audits.auditCount();
        Audit memory a = audits.audit(auditId);
        if (a.outcome != Outcome.Undecided || block.timestamp > a.deadline) return;
        if (ledger.isVoid(a.batchId, a.index)) return;
        AuditItem memory item = _itemsOf[auditId][a.remaining - 1];
        if (item.target == AuditTarget.Head) proveAuditedHead(auditId, item.step, item.window);
        else proveAuditedStep(auditId, item.step, item.window);
    }

    function endAudit(uint256 which, uint256 how) external {
        if (audits.auditCount() == 0) return;
        uint256 auditId = 1 + which % audits.auditCount();
        if (how % 8 == 0) vm.prank(provider);
        if (how % 8 < 2) {
            try audits.concede(auditId, idsOfAudit(auditId)) {} catch {}
        } else if (how % 2 == 0) {
            try audits.timeout(auditId) {} catch {}
        } else {
            try audits.resolveVoid(auditId) {} catch {}
        }
    }

    function claimReceipt(bool posted) external {
        bytes32 salt = posted ? ledger.batch(batchId).salt : keccak256(abi.encode("claimed", ++posts));
        Receipt memory receipt = makeReceipt(response, salt, TARGET);
        bytes memory signature = sign(receipt, PROVIDER_KEY);
        vm.warp(receipt.postingDeadline + 1);
        vm.deal(requester, 100 ether);
        vm.prank(requester);
        receiptIds.push(receipts.claimUnposted{value: p.receiptClaimBond}(receipt, signature));
    }

    function settleReceipt(uint256 which, bool answer) external {
        if (receiptIds.length == 0) return;
        bytes32 id = receiptIds[which % receiptIds.length];
        if (answer) {
            try receipts.answerClaim(id, batchPath()) {} catch {}
        } else {
            try receipts.slashUnposted(id) {} catch {}
        }
    }

    function askFor(bool asCopycat) external {
        address who = asCopycat ? copycat : challenger;
        vm.deal(who, 100 ether);
        vm.prank(who);
        try ledger.ask{value: p.askPrice}(batchId, TARGET) {
            asked.push(batchId);
        } catch {}
    }

    function settleAsk(uint256 which, bool shows) external {
        uint256 id = asked.length == 0 ? batchId : asked[which % asked.length];
        if (!shows) {
            try ledger.claimNotShown(id, TARGET) {} catch {}
        } else if (id == batchId) {
            bytes32[] memory path = batchPath();
            try ledger.show(id, TARGET, response.fields, path, response.promptIds, response.outputIds) {}
                catch {}
        }
    }

    function openGame(bool asCopycat) external {
        address who = asCopycat ? copycat : challenger;
        vm.deal(who, 100 ether);
        bytes32[] memory path = batchPath();
        bytes32 secret = readyAs(who);
        uint256 bond = ledger.bondFor(provider) + (asCopycat ? 0 : 0.1 ether);
        vm.prank(who);
        try game.open{value: bond}(batchId, TARGET, response.fields, path, secret) {} catch {}
    }

    function join(uint256 which, bool asCopycat) external {
        address who = asCopycat ? copycat : challenger;
        bytes32 secret = readyAs(who);
        uint256 id = batchId;
        if (which % 2 == 0) {
            // The opening was there before the response became void.
            (uint256 gameId, Game memory g) = pick(which / 2);
            if (gameId == 0 || g.batchId != id || g.phase == Phase.Resolved || ledger.isVoid(id, TARGET)) {
                return;
            }
            vm.prank(provider);
            game.concede(gameId, aboutOf(gameId));
        }
        vm.prank(who);
        try ledger.join(id, TARGET, secret) {
            joins++;
        } catch {}
    }

    function closeRewards(uint256 which) external {
        try ledger.closeRewards(1 + which % ledger.batchCount(), TARGET) {} catch {}
    }

    /// @dev The next sensible move of a random game.
    function play(uint256 which, uint256 choice) external {
        (uint256 gameId, Game memory g) = pick(which);
        if (g.phase == Phase.None || g.phase == Phase.Resolved) return;
        if (block.timestamp > g.deadline || ledger.isVoid(g.batchId, g.index)) return;
        if (g.phase == Phase.AwaitBoundaries) {
            postBoundaries(gameId, 6, 1);
        } else if (g.phase == Phase.AwaitChallenge) {
            challengeStep(gameId, 5);
        } else if (choice % 2 == 0) {
            presetStep(5, 1);
            proveStep(gameId, stepProof(5, 1));
        }
    }

    function end(uint256 which, uint256 how) external {
        (uint256 gameId, Game memory g) = pick(which);
        if (g.phase == Phase.None) return;
        if (how % 8 == 0) {
            vm.prank(g.challenger);
            try game.concede(gameId, aboutOf(gameId)) {} catch {}
        } else if (how % 8 == 1) {
            vm.prank(provider);
            try game.concede(gameId, aboutOf(gameId)) {} catch {}
        } else if (how % 2 == 0) {
            try game.timeout(gameId) {} catch {}
        } else {
            try game.resolveVoid(gameId) {} catch {}
        }
    }

    function finalise(uint256 which) external {
        uint256 id = 1 + which % ledger.batchCount();
        try ledger.finaliseBatch(id) {} catch {}
        try ledger.finaliseResponse(id, TARGET) {} catch {}
    }

    function withdraw(uint256 who) external {
        address[4] memory all = [provider, challenger, copycat, requester];
        address account = all[who % 4];
        if (stake.credits(account) == 0) return;
        vm.prank(account);
        stake.withdraw();
    }

    function pick(uint256 which) private view returns (uint256 gameId, Game memory g) {
        if (game.gameCount() == 0) return (0, g);
        gameId = 1 + which % game.gameCount();
        g = game.game(gameId);
    }

    // --- what must always hold

    function checkBalance() external view {
        expectSolvent();
        vm.assertEq(
            stake.totalEscrow(),
            stake.escrowOf(address(game)) + stake.escrowOf(address(ledger))
                + stake.escrowOf(address(receipts)) + stake.escrowOf(address(audits))
        );
        vm.assertEq(
            stake.totalCredits(),
            stake.credits(provider) + stake.credits(challenger) + stake.credits(copycat)
                + stake.credits(requester)
        );
        vm.assertEq(stake.totalStake(), stake.account(provider).total);
    }

    /// @dev Locked stake = one lock per response that is neither released nor void; claims lock nothing.
    function checkLocks() external view {
        uint256 expected = 0;
        for (uint256 id = 1; id <= ledger.batchCount(); ++id) {
            bool isFinalised = ledger.batch(id).finalised;
            for (uint256 index = 0; index < 3; ++index) {
                bool isFree = ledger.response(id, index).disputed
                    ? ledger.response(id, index).isVoid || ledger.response(id, index).released
                    : isFinalised;
                if (!isFree) expected += p.lockPerResponse;
            }
        }
        vm.assertEq(stake.account(provider).locked, expected, "locks");
        vm.assertLe(expected, stake.account(provider).total);
    }

    /// @dev The ledger's escrow = prices of unanswered asks and rewards that were not paid; the receipts' = bonds of pending
    ///      claims.
    function checkOtherEscrow() external view {
        uint256 expected = 0;
        for (uint256 i = 0; i < asked.length; ++i) {
            if (ledger.response(asked[i], TARGET).asker != address(0)) expected += p.askPrice;
        }
        for (uint256 id = 1; id <= ledger.batchCount(); ++id) {
            expected += ledger.rewardPot(id, TARGET).placesLeft * p.gameReward;
        }
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            Game memory g = game.game(id);
            if (g.phase != Phase.Resolved && ledger.isVoid(g.batchId, g.index)) expected += p.gameReward;
        }
        for (uint256 id = 1; id <= audits.auditCount(); ++id) {
            Audit memory a = audits.audit(id);
            if (a.outcome == Outcome.Undecided && ledger.isVoid(a.batchId, a.index)) {
                expected += p.gameReward;
            }
        }
        vm.assertEq(stake.escrowOf(address(ledger)), expected, "prices of answers, rewards");
        uint256 bonds = 0;
        for (uint256 i = 0; i < receiptIds.length; ++i) {
            if (receipts.receiptClaim(receiptIds[i]).status == ReceiptStatus.Claimed) {
                bonds += receipts.receiptClaim(receiptIds[i]).bond;
            }
        }
        vm.assertEq(stake.escrowOf(address(receipts)), bonds, "bonds of claims");
    }

    /// @dev Bonds in escrow = open games; and no response with an open game is final.
    function checkGames() external view {
        uint256 bonds = 0;
        for (uint256 id = 1; id <= game.gameCount(); ++id) {
            Game memory g = game.game(id);
            if (g.phase == Phase.Resolved) continue;
            bonds += g.bond;
            vm.assertTrue(ledger.responseStatus(g.batchId, g.index) != ResponseStatus.Final);
        }
        vm.assertEq(stake.escrowOf(address(game)), bonds, "bonds");
    }

    /// @dev The same of audits; and every open game and audit counts against the provider until its response is void.
    function checkAudits() external view {
        uint256 bonds = 0;
        for (uint256 id = 1; id <= audits.auditCount(); ++id) {
            Audit memory a = audits.audit(id);
            if (a.outcome != Outcome.Undecided) continue;
            bonds += a.bond;
            vm.assertTrue(ledger.responseStatus(a.batchId, a.index) != ResponseStatus.Final);
        }
        vm.assertEq(stake.escrowOf(address(audits)), bonds, "bonds of audits");
    }
}

contract SolvencyTest is Scenario {
    Actors private actors;

    function setUp() public override {
        actors = new Actors();
        actors.begin();
    }

    function targetContracts() external view returns (address[] memory all) {
        all = new address[](1);
        all[0] = address(actors);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory all) {
        bytes4[20] memory chosen = [
            Actors.passTime.selector,
            Actors.deposit.selector,
            Actors.exit.selector,
            Actors.postAnother.selector,
            Actors.claimReceipt.selector,
            Actors.settleReceipt.selector,
            Actors.askFor.selector,
            Actors.settleAsk.selector,
            Actors.openGame.selector,
            Actors.join.selector,
            Actors.closeRewards.selector,
            Actors.play.selector,
            Actors.play.selector, // games need many moves
            Actors.end.selector,
            Actors.postPrivate.selector,
            Actors.openAuditOf.selector,
            Actors.answerAudit.selector,
            Actors.endAudit.selector,
            Actors.finalise.selector,
            Actors.withdraw.selector
        ];
        all = new FuzzSelector[](1);
        all[0].addr = address(actors);
        all[0].selectors = new bytes4[](chosen.length);
        for (uint256 i = 0; i < chosen.length; ++i) {
            all[0].selectors[i] = chosen[i];
        }
    }

    function invariant_accounts_add_up_to_the_balance() external view {
        actors.checkBalance();
        actors.checkLocks();
        actors.checkGames();
        actors.checkAudits();
        actors.checkOtherEscrow();
    }
}
