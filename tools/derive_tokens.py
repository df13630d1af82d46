"""Derive wasess/sandbox/tokens.json, the string dictionary of WhatsApp's binary XML, from the npm package baileys.

The dictionary is a fact of the protocol: each string has a fixed number that all clients must agree on. Run this only to move to
another dictionary version, then read the diff: `python tools/derive_tokens.py`. Needs npm and the npm registry.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "baileys"
VERSION = "7.0.0-rc14"
INTEGRITY = "sha512-pewtrljhWx5JTUBvvkXZz1fL3JPiwzjBsnhx/DWf2LWBx1cZNH7J/sF22xDehba5mySWUQU4a1Pwt7lWARUxaA=="
MEMBER = "package/lib/WABinary/constants.js"
DICTIONARY_VERSION = 3  # the 4th byte of the header a client sends first; the same number in whatsmeow's binary/token/token.go
TARGET = Path(__file__).resolve().parent.parent / "wasess" / "sandbox" / "tokens.json"


def fetch_source() -> str:
    """Return the text of MEMBER out of the package, once the package's hash is the one expected."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != INTEGRITY:
            raise SystemExit(f"{PACKAGE}@{VERSION} has the hash {found}, expected {INTEGRITY}: not using it")
        with tarfile.open(archive) as package:
            member = package.extractfile(MEMBER)
            if member is None:
                raise SystemExit(f"{MEMBER} is no file in the package")
            return member.read().decode()


def array_of(source: str, name: str) -> str:
    """Return the text between the brackets of `export const NAME = [...];`."""
    found = re.search(rf"^export const {name} = \[(.*?)^\];", source, re.DOTALL | re.MULTILINE)
    if found is None:
        raise SystemExit(f"{name} is not in {MEMBER}: the package has changed its shape")
    return found[1]


def strings_in(text: str) -> list[str]:
    """Return the quoted strings of a piece of JavaScript, in order; there are no escapes in this file."""
    if "\\" in text:
        raise SystemExit("the dictionary has escaped strings now: teach this script to read them")
    return [single or double for single, double in re.findall(r"'([^']*)'|\"([^\"]*)\"", text)]


def derive(source: str) -> dict[str, object]:
    """Return the content of tokens.json for the text of MEMBER."""
    inner = re.findall(r"\[(.*?)\]", array_of(source, "DOUBLE_BYTE_TOKENS"), re.DOTALL)
    return {
        "source": {"package": PACKAGE, "version": VERSION, "integrity": INTEGRITY, "file": MEMBER},
        "dictionary_version": DICTIONARY_VERSION,
        "single": strings_in(array_of(source, "SINGLE_BYTE_TOKENS")),
        "double": [strings_in(text) for text in inner],
    }


def main() -> None:
    """Write tokens.json and say what is in it."""
    table = derive(fetch_source())
    TARGET.write_text(json.dumps(table, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{TARGET}: dictionary {DICTIONARY_VERSION} from {PACKAGE}@{VERSION}")


if __name__ == "__main__":
    main()
