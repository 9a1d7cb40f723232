"""Adds the lists of others that a program has inside to its bill of materials: no module names them.
Usage: sbom_lists.py IN OUT PROGRAM. NOTICE says the same in words; a test holds the two together."""

import hashlib
import json
import re
import sys

LISTS = [
    ("Public Suffix List", "shared/domain/public_suffix_list.dat", r"// VERSION: (\S+)", {"license": {"id": "MPL-2.0"}}, "https://publicsuffix.org/"),
    ("Names that are not covered", "shared/domain/not_covered.txt", r"private section of\s+## (\d{4}-\d{2}-\d{2})", {"license": {"id": "MPL-2.0"}}, "https://publicsuffix.org/"),
    ("RDAP bootstrap registry for domains", "shared/source/rdap/iana-rdap-dns.json", r'"publication"\s*:\s*"([^"]+)"', {"license": {"id": "CC0-1.0"}}, "https://data.iana.org/rdap/dns.json"),
    ("RDAP servers of country-code TLDs", "shared/source/rdap/rdap-cctld-supplemental.json", None, {"license": {"id": "MIT"}}, "https://github.com/case/rdap-cctld-ts"),
]


def main(source, target, program):
    with open(source) as f:
        bill = json.load(f)
    with open(program, "rb") as f:
        binary = f.read()
    for name, path, version, licence, url in LISTS:
        with open(path, "rb") as f:
            data = f.read()
        if data not in binary:
            continue
        digest = hashlib.sha256(data).hexdigest()
        found = re.search(version, data.decode()) if version else None
        bill.setdefault("components", []).append({
            "bom-ref": "data:" + path,
            "type": "data",
            "name": name,
            "version": found.group(1) if found else "sha256:" + digest[:12],
            "hashes": [{"alg": "SHA-256", "content": digest}],
            "licenses": [licence],
            "externalReferences": [{"type": "distribution", "url": url}],
            "properties": [{"name": "lapseguard:embedded", "value": path}],
        })
    with open(target, "w") as f:
        json.dump(bill, f, indent=1)
        f.write("\n")
    print(f"{target}: {len(bill.get('components', []))} components")


if __name__ == "__main__":
    main(*sys.argv[1:])
