"""What all tests share: up-to-date contracts and quick test accounts."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import ape_test.accounts

# For those who run the tests without make.
subprocess.run([sys.executable, Path(__file__).parents[1] / ".tools/forget_stale.py"], check=True)

# ape derives the keys of its test accounts anew whenever it looks one up, for every address of
# every trace too. They never change, and the derivation costs more than most transactions.
ape_test.accounts.generate_dev_accounts = cache(ape_test.accounts.generate_dev_accounts)
