// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDisputeGame} from "../../src/interfaces/IDisputeGame.sol";
import {IInferenceLedger} from "../../src/interfaces/IInferenceLedger.sol";
import {IProviderStake} from "../../src/interfaces/IProviderStake.sol";

/// @title A receiver of ether that tries to be paid again from inside the payment
contract Thief {
    IProviderStake private immutable _stake;
    IInferenceLedger private immutable _ledger;
    IDisputeGame private immutable _game;

    bool public refuses;
    uint256 public attempts;
    uint256 public thefts;

    constructor(IProviderStake stake, IInferenceLedger ledger, IDisputeGame game) {
        (_stake, _ledger, _game) = (stake, ledger, game);
    }

    function refuse(bool newRefuses) external {
        refuses = newRefuses;
    }

    receive() external payable {
        require(!refuses, "no, thanks");
        attempts++;
        try _stake.withdraw() {
            thefts++;
        } catch {}
        try _stake.withdrawTo(payable(address(0xDEAD))) {
            thefts++;
        } catch {}
        // What pays this contract in a credit may run from here: the vault's books are settled already.
        for (uint256 id = _game.gameCount(); id != 0 && id + 3 > _game.gameCount(); --id) {
            try _game.timeout(id) {} catch {}
            try _game.resolveVoid(id) {} catch {}
        }
        try _ledger.finaliseBatch(_ledger.batchCount()) {} catch {}
    }
}
