"""The chain that every other test stands on."""

import pytest

CODE_SIZE_LIMIT = 24_576


@pytest.fixture
def deployer(accounts):
    return accounts[0]


def test_chain_has_room_for_large_batches(chain):
    assert chain.blocks.head.gas_limit >= 10**12


def test_code_above_the_size_limit_cannot_be_deployed(chain, deployer):
    # Init code that returns the given number of zero bytes.
    def deploy(size):
        init_code = bytes.fromhex(f"61{size:04x}5ff3")
        transaction = {"from": deployer.address, "data": "0x" + init_code.hex(), "gas": hex(10**8)}
        return chain.provider.make_request("eth_call", [transaction, "latest"])

    assert len(bytes.fromhex(deploy(CODE_SIZE_LIMIT).removeprefix("0x"))) == CODE_SIZE_LIMIT
    with pytest.raises(Exception, match=r"(?i)size"):
        deploy(CODE_SIZE_LIMIT + 1)


def test_errors_in_an_isolated_block_are_not_dropped(chain):
    with pytest.raises(ZeroDivisionError), chain.isolate():
        raise ZeroDivisionError
