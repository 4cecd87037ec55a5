// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGuardian} from "./interfaces/IGuardian.sol";
import {ProtocolParameters} from "./libraries/Parameters.sol";

/// @title What the guardian may do, and what it costs its budget; documented on `IGuardian`
abstract contract Guardian is IGuardian {
    /// @dev Seconds that do not count for posting: [from, to).
    struct Pause {
        uint64 from;
        uint64 to;
    }

    /// @inheritdoc IGuardian
    address public immutable guardian;
    /// @inheritdoc IGuardian
    uint64 public immutable leastDelay;
    uint64 private immutable _postingWindow;

    /// @inheritdoc IGuardian
    uint64 public delayedUntil;
    /// @inheritdoc IGuardian
    uint64 public delayLeft;
    uint64 private _delayedSince;
    // In order and apart from each other; no more than guardianDelay / leastDelay.
    Pause[] private _pauses;

    constructor(ProtocolParameters memory p) {
        guardian = p.guardian;
        leastDelay = p.inclusionDelay + 1 hours;
        _postingWindow = p.postingWindow;
        delayLeft = p.guardianDelay;
    }

    /// @inheritdoc IGuardian
    function delayUntil(uint64 until) external {
        require(msg.sender == guardian, NotGuardian(msg.sender));
        uint64 current = uint64(block.timestamp);
        bool lasts = current < delayedUntil;
        if (lasts) {
            delayLeft += delayedUntil - _delayedSince;
        } else {
            _delayedSince = current;
            // Catching up with the delay before comes first.
            uint256 count = _pauses.length;
            uint64 from = current;
            if (count > 0 && _pauses[count - 1].to > current) from = _pauses[count - 1].to;
            _pauses.push(Pause(from, from));
        }
        uint64 since = _delayedSince;
        uint64 earliest = since + leastDelay;
        if (earliest < current) earliest = current;
        require(until >= earliest, DelayTooShort(until, earliest));
        require(until - since <= delayLeft, DelayTooLong(until, since + delayLeft));
        delayLeft -= until - since;
        delayedUntil = until;
        Pause storage pause = _pauses[_pauses.length - 1];
        pause.to = pause.from + 2 * (until - since);
        emit DelayChanged(since, until, delayLeft);
    }

    /// @inheritdoc IGuardian
    function postingTime(uint64 postingDeadline, uint64 at) public view returns (uint64) {
        uint64 since = postingDeadline > _postingWindow ? postingDeadline - _postingWindow : 0;
        uint64 paused = 0;
        for (uint256 i = _pauses.length; i > 0; --i) {
            Pause storage pause = _pauses[i - 1];
            if (pause.to <= since) break;
            uint64 from = pause.from < since ? since : pause.from;
            uint64 to = pause.to < at ? pause.to : at;
            if (from < to) paused += to - from;
        }
        return at - paused;
    }

    function _isDelayed() internal view returns (bool) {
        return guardian != address(0) && block.timestamp < delayedUntil;
    }
}
