"""The ledger's code is in several contracts; its state is in one, and so are its callers."""

import json
import subprocess
from pathlib import Path

import pytest
from ape.exceptions import TransactionError
from engine.world import CASH, ETH, account_of, wad
from reverts import reverts_with

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("MarginEngine", "SettlementEngine", "LiquidationEngine")


def storage_layout(name):
    """Ask the compiler where a contract keeps what: (label, slot, offset, type), both storages."""
    source = f"contracts/{name}.sol"
    selection = {source: {name: ["storageLayout", "transientStorageLayout"]}}
    request = {
        "language": "Solidity",
        "sources": {source: {"content": (ROOT / source).read_text()}},
        "settings": {"evmVersion": "cancun", "viaIR": True, "outputSelection": selection},
    }
    compiler = [ROOT / ".tools" / "solc-v0.8.37", "--standard-json", "--base-path", ROOT]
    answer = subprocess.run(
        compiler, input=json.dumps(request), capture_output=True, text=True, check=True
    )
    output = json.loads(answer.stdout)["contracts"][source][name]
    return [
        (kind, entry["label"], entry["slot"], entry["offset"], output[kind]["types"][entry["type"]])
        for kind in ("storageLayout", "transientStorageLayout")
        for entry in output[kind]["storage"]
    ]


def without_ids(layout):
    """Leave out the numbers of syntax nodes, which differ from one compilation to the next."""
    return [(*entry[:4], entry[4]["label"], entry[4]["numberOfBytes"]) for entry in layout]


def test_all_parts_keep_everything_in_the_same_place():
    layouts = [without_ids(storage_layout(name)) for name in PARTS]
    assert layouts[0] == layouts[1] == layouts[2]
    labels = [label for _, label, *_ in layouts[0]]
    assert {"_headers", "_cashState", "_auctions", "_entered", "_batching"} <= set(labels)


def test_all_parts_trust_the_same(world, engine):
    parts = world.settlement_engine, world.liquidation_engine
    assert engine.settlementEngine() == parts[0].address
    assert engine.liquidationEngine() == parts[1].address
    trusted = ("parameters", "marketData", "riskModel", "settlementToken", "authority")
    for view in (*trusted, "liquidationParameters"):
        assert {getattr(part, view)() for part in parts} == {getattr(engine, view)()}


CALLS = {
    "settle": (2**100,),
    "accrue": (ETH,),
    "collectFees": ("0x" + "11" * 20, 1),
    "deleverage": (2**100, 0, []),
    "contribute": (1,),
    "updateStatus": (2**100,),
    "startAuction": (2**100, 2**101),
    "bid": (2**100, 2**101, 1, 0),
    "statusOf": (2**100,),
    "auctionOf": (2**100,),
    "windowOf": (ETH,),
    "pendingLoss": (),
    "isLossPending": (),
}


def test_no_part_but_the_margin_engine_can_be_called(world, engine, outsider):
    """The settlement engine would even pass calls on, to work on its own state."""
    for part in (world.settlement_engine, world.liquidation_engine):
        known = {method.name for method in part.contract_type.methods}
        for name, arguments in CALLS.items():
            if part is world.settlement_engine or name in known:
                data = getattr(engine, name).encode_input(*arguments)
                with reverts_with("OnlyDelegated"):
                    outsider.transfer(part, 0, data=data)


@pytest.mark.parametrize("data", [b"", b"\x12\x34\x56\x78"])
def test_what_no_part_knows_is_refused(world, engine, outsider, data):
    with world.refuses("FailedCall"):
        outsider.transfer(engine, 0, data=data)


def test_the_engine_takes_no_ether(engine, outsider):
    with pytest.raises(TransactionError):
        outsider.transfer(engine, 1)
    assert engine.balance == 0


def test_delegated_calls_join_a_batch(world, engine, trader):
    world.fund(trader, CASH, 10**6)
    account = account_of(trader)
    receipt = world.batch(
        trader,
        ("deposit", (account, CASH, 10**6)),
        ("accrue", (ETH,)),
        ("settle", (account,)),
    )
    names = [event.event_name for event in receipt.events]
    assert {"Deposited", "FundingAccrued"} <= set(names)
    assert world.cash_of(trader) == wad(1)
