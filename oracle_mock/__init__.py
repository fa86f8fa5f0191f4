"""Market data for tests and demonstrations: real extracts, surfaces, price paths and faults.

Everything here but `pusher` is free of any chain: it produces `market.Snapshot` objects from
seeds or from real history. `pusher` writes a snapshot into the feed contract.
"""
