// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IPayments} from "../src/interfaces/IPayments.sol";

/// @title An ERC-20 of the old kind: `transfer` returns nothing
contract Token {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) internal virtual {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @title Takes one percent of every transfer
contract FeeToken is Token {
    function _move(address from, address to, uint256 amount) internal override {
        balanceOf[from] -= amount;
        balanceOf[to] += amount - amount / 100;
    }
}

/// @title Calls back in the middle of a transfer
contract ReentrantToken is Token {
    address private _target;
    bytes private _call;
    uint256 public refusals;

    function arm(address target, bytes calldata call_) external {
        (_target, _call) = (target, call_);
    }

    function _move(address from, address to, uint256 amount) internal override {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        if (_target == address(0)) return;
        (bool done,) = _target.call(_call);
        if (!done) ++refusals;
    }
}

/// @title A payer that is a contract: accepts what its owner approved, or misbehaves
contract ContractPayer {
    bool public eatsGas;
    bool public bombs;
    mapping(bytes32 digest => bool) public approved;

    function approve(bytes32 digest) external {
        approved[digest] = true;
    }

    function misbehave(bool gas_, bool bomb_) external {
        (eatsGas, bombs) = (gas_, bomb_);
    }

    function deposit(IPayments payments, address provider) external payable {
        payments.deposit{value: msg.value}(provider, address(0), msg.value);
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        while (eatsGas) {}
        if (bombs) {
            assembly ("memory-safe") {
                return(0, 1000000)
            }
        }
        return approved[digest] ? this.isValidSignature.selector : bytes4(0);
    }
}
