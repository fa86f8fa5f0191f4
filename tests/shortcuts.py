"""Questions that ape repeats at every call and transaction, though tests cannot change the answer.

Each costs a request to the node or more, together about a third of the time of a transaction.
"""

import os
from functools import cache, cached_property

import ape_ethereum.provider
import ape_test.accounts
from ape.api.transactions import ReceiptAPI
from ape.contracts.base import ContractMethodHandler
from ape.managers.project import ContractManager
from ape_ethereum.provider import Web3Provider


def take_shortcuts() -> None:
    """Let ape ask once, or not at all."""
    # For every address of every trace, at the cost of most transactions.
    ape_test.accounts.generate_dev_accounts = cache(ape_test.accounts.generate_dev_accounts)
    # The limit is an option of Anvil.
    limit = cached_property(Web3Provider.max_gas.fget)
    limit.__set_name__(Web3Provider, "max_gas")
    Web3Provider.max_gas = limit
    # A call of what is no contract answers nothing, which is no value of any type.
    ContractMethodHandler._validate_is_contract = lambda _: None
    # Anvil has mined a transaction before it answers.
    ReceiptAPI._await_sender_nonce_increment = lambda _: None
    # No contract logs to a console.
    ape_ethereum.provider._post_send_transaction = lambda *_: None
    # All sources, for each name that is no contract: Hypothesis asks the project for some.
    ContractManager._compile_missing_contracts = _once(ContractManager._compile_missing_contracts)
    # The node is here; else requests looks for a proxy among all variables, for each request.
    os.environ.setdefault("NO_PROXY", "127.0.0.1")


def _once(method):
    """Call a method the first time alone."""
    done = set()

    def called(self, *arguments):
        if self.project.path not in done:
            done.add(self.project.path)
            method(self, *arguments)

    return called
