"""What all tests share: the speed of ape's test accounts."""

from functools import cache

import ape_test.accounts

# ape derives the keys of its test accounts anew whenever it looks one up, for every address of
# every trace too. They never change, and the derivation costs more than most transactions.
ape_test.accounts.generate_dev_accounts = cache(ape_test.accounts.generate_dev_accounts)
