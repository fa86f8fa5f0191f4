"""Accounts: as people write them, and ape's own for tests."""

from functools import cache

import ape_test.accounts
import click
from eth_utils import is_address


def parse_account(text: str, names: dict[str, int]) -> int:
    """Return an account's id from a name, `0xowner:subaccount`, `0xowner` or the id itself."""
    if text in names:
        return names[text]
    owner, _, sub_id = text.partition(":")
    if is_address(owner):
        if not (sub_id or "0").isdecimal() or int(sub_id or 0) > 255:
            raise click.BadParameter(f"'{sub_id}' is not a sub-account: they are numbered 0 to 255")
        account = int(owner, 16) << 8 | int(sub_id or 0)
    else:
        try:
            account = int(text, 0)
        except ValueError as error:
            known = ", ".join(names) or "none"
            raise click.BadParameter(
                f"'{text}' is neither an id, nor 0xowner:subaccount, nor a name in the manifest "
                f"(there: {known})"
            ) from error
    if not 1 << 8 <= account < 1 << 168:
        raise click.BadParameter(f"{text} is no account: an id is an owner's address and one byte")
    return account


def format_account(account: int) -> str:
    """Return an account as owner and sub-account."""
    return f"0x{account >> 8:040x}:{account & 0xFF}"


def remember_test_accounts() -> None:
    """Let ape derive the keys of its test accounts once, and not whenever it looks one up."""
    generate = ape_test.accounts.generate_dev_accounts
    if not hasattr(generate, "cache_info"):
        ape_test.accounts.generate_dev_accounts = cache(generate)
