"""Market data for tests and demonstrations: real extracts, surfaces, price paths and faults.

Everything here but `pusher` is free of any chain. A path is a list of snapshots
(`market.Snapshot`), from a seed or from real history: what prices truly are. Venues publish it in
their own ways, faults hit what they publish, and `pusher` writes it into contracts:

>>> from oracle_mock import catalogue, faults, sources
>>> path = catalogue.build("flash-crash", seed=7)
>>> published = sources.broadcast(path, seed=7)
>>> fault = faults.Fault("stale", "ETH", path[30].time, path[60].time, sources=(1,))
>>> for step in faults.applied(published, [fault]).steps():
...     pusher.push(step)  # a pusher.HubPusher, in an ape script

`extract` cuts `data/` from larger files, `history` reads it, `surface` fits and moves SVI slices,
`paths` and `replays` make paths, `catalogue` names them.
"""
