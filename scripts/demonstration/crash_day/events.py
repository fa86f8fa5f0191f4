"""Events of one contract, decoded in bulk."""

from typing import Any, NamedTuple

from ape import networks
from ape.contracts import ContractInstance
from eth_abi import decode
from eth_utils import keccak


class Event(NamedTuple):
    """What a contract said, values by name."""

    name: str
    block: int
    values: dict[str, Any]


class Events:
    """Reads what one contract has said since the last time.

    Parameters
    ----------
    contract
        Whose events.
    names
        Those of interest.
    """

    def __init__(self, contract: ContractInstance, names: tuple[str, ...]) -> None:
        self.address = contract.address
        self._abis = {
            keccak(text=abi.selector): abi
            for abi in contract.contract_type.events
            if abi.name in names
        }
        self._next_block = 0

    def since_last(self) -> list[Event]:
        """Everything up to the latest block that was not returned before."""
        web3 = networks.provider.web3
        last = web3.eth.block_number
        query = {
            "address": self.address,
            "fromBlock": self._next_block,
            "toBlock": last,
            "topics": [list(self._abis)],
        }
        found = [] if self._next_block > last else web3.eth.get_logs(query)
        self._next_block = last + 1
        return [self._decoded(each) for each in found]

    def _decoded(self, log: Any) -> Event:
        abi = self._abis[bytes(log["topics"][0])]
        kinds = {each.name: each.canonical_type for each in abi.inputs}
        indexed = [each.name for each in abi.inputs if each.indexed]
        plain = [each.name for each in abi.inputs if not each.indexed]
        values = {
            name: decode([kinds[name]], bytes(topic))[0]
            for name, topic in zip(indexed, log["topics"][1:], strict=True)
        }
        data = decode([kinds[name] for name in plain], bytes(log["data"]))
        return Event(abi.name, log["blockNumber"], values | dict(zip(plain, data, strict=True)))
