"""The launchers in .tools and the messages of make."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from web3 import IPCProvider, Web3

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".tools"
VERSION = yaml.safe_load((ROOT / "ape-config.yaml").read_text())["solidity"]["version"]
COMPILER = TOOLS / f"solc-v{VERSION}"
HEADER = f"// SPDX-License-Identifier: MIT\npragma solidity {VERSION};\n"


def run(*command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)


def compile_source(text):
    output = {"*": {"*": ["evm.deployedBytecode.object"]}}
    standard_input = {
        "language": "Solidity",
        "sources": {"Subject.sol": {"content": text}},
        "settings": {"outputSelection": output},
    }
    finished = run(COMPILER, "--standard-json", input=json.dumps(standard_input), check=True)
    return json.loads(finished.stdout)


def test_compiler_is_of_the_configured_version():
    assert f"Version: {VERSION}+commit." in run(COMPILER, "--version").stdout


def test_compiler_takes_inputs_larger_than_its_stack():
    filling = "// filling\n" * 600_000
    output = compile_source(HEADER + filling + "contract Subject { uint256 public value; }")
    assert output["contracts"]["Subject.sol"]["Subject"]["evm"]["deployedBytecode"]["object"]


def test_compiler_finds_packages_and_names_what_it_does_not_find():
    found = '{Math} from "@openzeppelin/contracts/utils/math/Math.sol"'
    missing = '{Meth} from "@openzeppelin/contracts/utils/math/Meth.sol"'
    assert "errors" not in compile_source(f"{HEADER}import {found};")
    [error] = compile_source(f"{HEADER}import {missing};")["errors"]
    assert "utils/math/Meth.sol" in error["message"]


def test_compiler_checks_single_files(tmp_path):
    good, bad = tmp_path / "Good.sol", tmp_path / "Bad.sol"
    good.write_text(HEADER + "contract Good { uint256 public value = 1; }")
    bad.write_text(HEADER + "contract Bad { uint256 public value = true; }")
    assert run(COMPILER, good).returncode == 0
    failed = run(COMPILER, good, bad)
    assert failed.returncode == 1
    assert "Bad.sol:3" in failed.stderr


def test_compiler_refuses_options_it_does_not_know():
    failed = run(COMPILER, "--optimise")
    assert failed.returncode == 1
    assert "--optimise" in failed.stderr


@pytest.fixture
def small_project(tmp_path):
    """Return a project of a library, its user, a user of that and a stranger, all compiled."""
    texts = {
        "math/Library.sol": "library Library {}",
        "User.sol": 'import {\n    Library\n} from "./math/Library.sol";',
        "test/UserOfUser.sol": 'import {User} from "../User.sol";',
        "Stranger.sol": "contract Stranger {}",
    }
    for name, text in texts.items():
        source = tmp_path / "contracts" / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text)
    (tmp_path / ".tools").mkdir()
    shutil.copy(TOOLS / "forget_stale.py", tmp_path / ".tools")
    (tmp_path / ".build").mkdir()
    kept_outputs(tmp_path)
    outputs = {Path(name).stem: {"sourceId": f"contracts/{name}"} for name in texts}
    (tmp_path / ".build/__local__.json").write_text(json.dumps({"contractTypes": outputs}))
    return tmp_path


def kept_outputs(project):
    run(sys.executable, project / ".tools/forget_stale.py", check=True)
    store = project / ".build/__local__.json"
    return set(json.loads(store.read_text())["contractTypes"]) if store.exists() else set()


def test_unchanged_sources_keep_their_outputs(small_project):
    assert kept_outputs(small_project) == {"Library", "User", "UserOfUser", "Stranger"}


def test_whatever_imports_a_changed_file_is_compiled_again(small_project):
    (small_project / "contracts/math/Library.sol").write_text("library Library { /* new */ }")
    assert kept_outputs(small_project) == {"Stranger"}


def test_outputs_of_removed_sources_are_dropped(small_project):
    (small_project / "contracts/test/UserOfUser.sol").unlink()
    assert kept_outputs(small_project) == {"Library", "User", "Stranger"}


@contextmanager
def launched_anvil(folder):
    """Give a chain of the launcher's whose home is `folder`/home."""
    socket, home = folder / "anvil.ipc", folder / "home"
    home.mkdir()
    command = [TOOLS / "anvil", "--silent", "--port", "0", "--ipc", socket]
    with subprocess.Popen(command, env={**os.environ, "HOME": str(home)}) as node:
        try:
            while not socket.exists():
                assert node.poll() is None, f"Anvil ended with {node.returncode}"
                time.sleep(0.05)
            yield Web3(IPCProvider(socket))
        finally:
            node.terminate()


def test_chain_leaves_nothing_on_the_disk(tmp_path):
    with launched_anvil(tmp_path) as chain:
        chain.provider.make_request("anvil_mine", [1_000])
        assert chain.eth.block_number == 1_000
        assert list((tmp_path / "home").iterdir()) == []


@pytest.fixture
def bare_clone(tmp_path):
    """Return a clone that was never set up."""
    for name in ("Makefile", "requirements.lock", "package-lock.json", ".npmrc"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(TOOLS, tmp_path / ".tools")
    (tmp_path / "contracts").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("stand_in", "answer", "variables", "complaint"),
    [
        ("python9", "exit 1", ["PYTHON=python9"], "Python 3.11 is needed"),
        ("node", "[ $1 = --version ] && echo v18.0.0; exit 1", ["VENV="], "found v18.0.0"),
    ],
    ids=["another python", "an old node"],
)
def test_make_says_which_prerequisite_is_missing(
    bare_clone, monkeypatch, stand_in, answer, variables, complaint
):
    programs = bare_clone / "bin"
    programs.mkdir()
    (programs / stand_in).write_text(f"#!/bin/sh\n{answer}\n")
    (programs / stand_in).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    failed = run("make", "setup", *variables, cwd=bare_clone)
    assert failed.returncode != 0
    assert complaint in failed.stderr
    assert "nstall it" in failed.stderr
