"""Market data for tests and demonstrations: real extracts, surfaces, price paths and faults.

Everything here but `pusher` is free of any chain and produces snapshots (`market.Snapshot`) from
seeds or from real history. A path is a list of them, and `pusher` writes them into the feed:

>>> from oracle_mock import faults, replays
>>> path = replays.crash_2026_02()
>>> path = faults.stale(path, faults.Where("ETH", path[40].time, path[44].time))
>>> for snapshot, receipt in pusher.play(path, chain):  # a pusher.Pusher, in an ape script
...     ...

`extract` cuts `data/` from larger files, `history` reads it, `surface` fits and moves SVI slices,
`paths` and `replays` make paths.
"""
