"""The rows that a device is owed, stated row by row: the server decides them by ranges."""

from __future__ import annotations

from headwater.contracts.sell.acks import AckState, LiveRow


def is_pending(state: AckState, row: LiveRow) -> bool:
    """True when this live row is owed to the device: not acked, and no tombstone of what it never had."""
    position, sell_type, number, is_deletion = row
    if state.is_done(position):
        return False
    return not is_deletion or state.wants_tombstone(sell_type, number)
