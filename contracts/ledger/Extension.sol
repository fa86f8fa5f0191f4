// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ILiquidationEngine} from "../interfaces/ILiquidationEngine.sol";
import {AuctionClock} from "../liquidation/AuctionClock.sol";
import {AuctionState} from "../types/Liquidation.sol";
import {Assessment} from "../types/Types.sol";
import {Account, Accounts} from "./Accounts.sol";
import {Ledger} from "./Ledger.sol";
import {TransientSnapshot} from "./TransientSnapshot.sol";

/// @title Code of the ledger that the margin engine delegates to
/// @notice It works on the margin engine's state, tokens and caller. It has none of its own, and
/// refuses calls at its own address.
abstract contract Extension is Ledger {
    address private immutable SELF = address(this);

    /// @dev Lets nobody in but through the margin engine.
    modifier onlyDelegated() {
        _requireDelegated();
        _;
    }

    function _requireDelegated() private view {
        if (address(this) == SELF) revert ILiquidationEngine.OnlyDelegated();
    }

    function _assess(Account memory account) internal view returns (Assessment memory) {
        return riskModel.assess(_portfolioOf(account));
    }

    function _isInAuction(uint256 id) internal view returns (bool) {
        return Accounts.unpack(_headers[id]).inAuction;
    }

    /// @dev What an account does not own, as its admission may yet show, must not be sold or seen.
    function _requireAdmitted(uint256 id) internal view {
        uint256 owed = TransientSnapshot.MUST_CHECK | TransientSnapshot.BID;
        if (TransientSnapshot.flags(id) & owed != 0) {
            revert ILiquidationEngine.AdmissionPending(id);
        }
    }

    /// @dev Active time since a moment; an outage learned of late may have set the clock back.
    function _activeSince(uint256 moment) internal view returns (uint256) {
        uint256 activeTime = _activeTime();
        return activeTime > moment ? activeTime - moment : 0;
    }

    /// @dev For how long an account of which this is found has been for sale; 0 if it is not.
    function _elapsedSeconds(uint256 id, Assessment memory a) internal view returns (uint256) {
        if (!_isInAuction(id)) return 0;
        AuctionState memory state = _auctions[id];
        uint256 activeTime = _activeTime();
        AuctionClock.resume(state, a, activeTime);
        return AuctionClock.elapsed(state, activeTime);
    }
}
