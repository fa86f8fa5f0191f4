"""What commands that run for long have in common: being interrupted, and writing files."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

INTERRUPTED = 130  # what a shell expects of a command that Ctrl-C ended


def listen_to_interrupts() -> None:
    """Have Ctrl-C raise `KeyboardInterrupt`: `ape run` would end the command without a word."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say which file cannot be written, and why, instead of showing where in the code."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(
            f"{path} cannot be written ({error.strerror or error}): make room, or name another "
            "folder with --out"
        ) from error


def with_folder(command: str, folder: Path, default: Path) -> str:
    """Return a command that goes on in a folder, which is named unless it is the default."""
    return command if folder == default else f"{command} --out {folder}"
