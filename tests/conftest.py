"""What all tests share: up-to-date contracts, quick test accounts, patient Hypothesis."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import ape_test.accounts
import hypothesis

# For those who run the tests without make.
subprocess.run([sys.executable, Path(__file__).parents[1] / ".tools/forget_stale.py"], check=True)

# ape derives the keys of its test accounts anew whenever it looks one up, for every address of
# every trace too. They never change, and the derivation costs more than most transactions.
ape_test.accounts.generate_dev_accounts = cache(ape_test.accounts.generate_dev_accounts)

# One example may wait for a chain, so its time says nothing.
hypothesis.settings.register_profile("chain", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("chain")
