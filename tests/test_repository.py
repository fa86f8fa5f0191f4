"""The habits of the repository that no linter knows."""

import json
import re
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = ROOT / "contracts"

# Written in pieces, or this file would be the first finding.
HOSTS = ["pypi" + ".org", "python" + "hosted", "npm" + "js", "registry" + "."]
PATHS = ["/" + name + "/" for name in ("root", "tmp", "work", "home", "Users")]
FOREIGN = re.compile("|".join([*map(re.escape, HOSTS), *(rf"(?<![\w.]){path}" for path in PATHS)]))

# Folder of contracts/ -> the folders its files may import. Those not named here may import
# all but the contracts that exist for tests.
MAY_IMPORT = {
    "types": {"types"},
    "math": {"math", "types"},
    "interfaces": {"interfaces", "types"},
}
FOR_TESTS = {"test", "mocks"}
IMPORT = re.compile(r"""^import\b[^;"']*["']([^"']+)["']""", re.MULTILINE)


def tracked_files():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def imports():
    """Return for each source the project's files it imports."""
    return {
        source: {
            (source.parent / name).resolve()
            for name in IMPORT.findall(source.read_text())
            if name.startswith(".")
        }
        for source in CONTRACTS.rglob("*.sol")
    }


def folder(source):
    return source.relative_to(CONTRACTS).parts[0]


def test_no_file_names_a_machine_or_a_registry():
    found = []
    for file in tracked_files():
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue  # a picture or packed data
        found += [f"{file.relative_to(ROOT)}: {match.group()}" for match in FOREIGN.finditer(text)]
    assert not found


@pytest.mark.parametrize(
    "text", ["see /" + "tmp/x", "https://pypi" + ".org/simple", "'/" + "root/"]
)
def test_a_machine_or_a_registry_would_be_found(text):
    assert FOREIGN.search(text)


def test_solidity_files_import_only_what_their_folder_may():
    wrong = [
        f"{source.relative_to(CONTRACTS)} imports {target.relative_to(CONTRACTS)}"
        for source, targets in imports().items()
        for target in targets
        if folder(source) not in FOR_TESTS
        and folder(target) not in MAY_IMPORT.get(folder(source), {folder(target)} - FOR_TESTS)
    ]
    assert not wrong


def test_solidity_files_import_each_other_without_cycles():
    TopologicalSorter(imports()).prepare()


def test_every_required_package_is_pinned():
    python = (ROOT / "requirements.in").read_text().splitlines()
    loose = [line for line in python if not re.fullmatch(r"#.*|[\w-]+==[\d.]+", line)]
    node = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    loose += [name for name, version in node.items() if not re.fullmatch(r"[\d.]+", version)]
    assert not loose
