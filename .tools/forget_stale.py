"""Make ape compile again whatever imports a changed file.

ape compares each source with the text it compiled last, but not the files that source imports:
after an edit of a library its users would keep their old code. Here the outputs of every source
whose text, or any text it imports, has changed since the last look are taken out of ape's store,
so that ape's own check finds them missing.
"""

import hashlib
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / ".build" / "__local__.json"
RECORD = ROOT / ".build" / "sources.json"
IMPORT = re.compile(r"""\bimport\b[^;"']*["'](\.[^"']+)["']""")


def imported(source: Path) -> set[Path]:
    """Return the source and all the project's files it imports, directly or not."""
    found, queue = set(), [source]
    while queue:
        file = queue.pop()
        if file not in found and file.is_file():
            found.add(file)
            queue += [(file.parent / name).resolve() for name in IMPORT.findall(file.read_text())]
    return found


def fingerprint(source: Path) -> str:
    """Return a digest of everything of the project that the source is compiled from."""
    texts = (f"{file.relative_to(ROOT)}\0{file.read_text()}" for file in sorted(imported(source)))
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def forget_stale() -> None:
    """Drop outdated outputs from ape's store and remember the sources as they are now."""
    sources = (ROOT / "contracts").rglob("*.sol")
    current = {str(source.relative_to(ROOT)): fingerprint(source) for source in sources}
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if current == known:
        return
    if STORE.exists():
        store = json.loads(STORE.read_text())
        store["contractTypes"] = {
            name: output
            for name, output in store.get("contractTypes", {}).items()
            if current.get(output["sourceId"], "") == known.get(output["sourceId"])
        }
        STORE.write_text(json.dumps(store))
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(current, indent=1))


if __name__ == "__main__":
    forget_stale()
