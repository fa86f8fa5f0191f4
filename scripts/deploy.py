"""Deploy and configure everything from one configuration file: `ape run deploy`."""

from pathlib import Path

import click
from ape import networks
from ape.cli import ConnectedProviderCommand, network_option
from ape.exceptions import ApeException

from scripts._configuration import DEFAULT_PATH, load_configuration
from scripts._deployment import (
    DeploymentError,
    choose_account,
    deploy,
    manifest_option,
    manifest_path,
)

EPHEMERAL = """
This chain was started by the command and has ended with it. For one that stays, start it in
another terminal and name it:
  .tools/anvil --port 8545
  APE_FOUNDRY_HOST=http://127.0.0.1:8545 ape run deploy"""


@click.command(cls=ConnectedProviderCommand)
@network_option()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    show_default="scripts/deploy.yaml",
    help="What to deploy.",
)
@manifest_option("Where to write the addresses; a run that finds its own continues from there.")
@click.option("--account", "alias", help="Account that deploys, by its alias in ape.")
@click.option("--check", is_flag=True, help="Only check the configuration; send nothing.")
def cli(config: Path, manifest_file: Path | None, alias: str | None, check: bool) -> None:
    """Deploy and configure everything from one configuration file."""
    configuration = load_configuration(config)
    if check:
        click.echo(f"{config} can be deployed.")
        return
    account = choose_account(alias)
    path = manifest_file or manifest_path()
    chain_ends = networks.provider.network.is_dev and bool(
        getattr(networks.provider, "process", None)
    )
    try:
        deployment = deploy(configuration, account, path, show_progress=True)
    except ApeException as error:
        again = "" if chain_ends else "\nRun the command again to continue."
        raise DeploymentError(f"{error}{again}") from error
    manifest = deployment.manifest
    for name, address in {**manifest.contracts, **manifest.tokens}.items():
        click.echo(f"{name:<22} {address}")
    click.echo(f"\nDeployed on {manifest.network}, manifest in {path}")
    if chain_ends:
        click.echo(EPHEMERAL)
