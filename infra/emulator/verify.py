#!/usr/bin/env python3
"""Holds a folder against a list of hashes, as sha256sum writes it: every file of the list, and no other (hidden ones
aside). Usage: verify.py LIST FOLDER; exit 0 when all is as listed."""

import hashlib
import pathlib
import sys


def main(listed, folder):
    want = {}
    for line in pathlib.Path(listed).read_text().splitlines():
        digest, name = line.split()
        want[name] = digest
    have = {}
    for file in pathlib.Path(folder).iterdir():
        if not file.name.startswith("."):
            have[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    wrong = sorted(name for name in want.keys() | have.keys() if want.get(name) != have.get(name))
    for name in wrong:
        says = "is not in the list" if name not in want else "is missing" if name not in have else "has another hash"
        print(f"{folder}: {name} {says}", file=sys.stderr)
    return 1 if wrong or not want else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
