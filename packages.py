"""What streamer is made of, from the words of the packages that are installed here.

    python packages.py licences              of the packages streamer needs, and those need
    python packages.py licences camera dev   with these extras as well
    python packages.py constraints           the version of each, of every extra: constraints.txt
    python packages.py audited REPORT...     what pip-audit and npm audit found, as JSON

`licences` exits with 1 when a package that always comes is under a licence not in PERMITTED,
`constraints` when one is missing here, `audited` when a report has a vulnerability; not when nobody
answered, or nobody knew the packages: it then says that nothing is known.
"""

import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PERMITTED = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|HPND|MPL|Mozilla|Unlicense|Zlib"
)
# Packages that do not say it in their metadata; read in their repositories.
READ = {"flatbuffers": "Apache-2.0", "pi-heif": "BSD-3-Clause"}
# What their wheels contain besides, which matters to those who hand on all of it together.
CONTAINS = {
    "av": "FFmpeg (LGPL-3.0-or-later), x264 and x265 (GPL-2.0-or-later)",
    "pi-heif": "libheif and libde265 (LGPL-3.0-or-later)",
    "opencv-python-headless": "FFmpeg (LGPL-2.1-or-later)",
}
ITSELF = "stylestreamer"


def licences(extras: list[str]) -> int:
    """Print one line a package; returns the exit code."""
    always, _ = closure(set())
    refused = []
    for name in sorted(closure(set(extras))[0]):
        found = distribution(name)
        licence = licence_of(found)
        permitted = bool(PERMITTED.search(licence))
        note = "" if permitted else "  <- look at this one"
        more = f"; its wheel contains {CONTAINS[name]}" if name in CONTAINS else ""
        print(f"{name:28} {found.version:14} {licence}{more}{note}")
        if not permitted and name in always:
            refused.append(name)
    if refused:
        print(f"licences nobody has agreed to: {', '.join(refused)}", file=sys.stderr)
    return bool(refused)


def constraints() -> int:
    """Print `name==version` of everything; returns the exit code."""
    extras = set(distribution(ITSELF).metadata.get_all("Provides-Extra") or ())
    names, missing = closure(extras)
    if missing:
        print(f"not installed here: {', '.join(sorted(missing))}", file=sys.stderr)
        return 1
    print("# Versions that passed the tests together. Made by `make constraints`.")
    for name in sorted(names):
        print(f"{name}=={distribution(name).version.partition('+')[0]}")  # no +cpu
    return 0


def closure(extras: set[str]) -> tuple[set[str], set[str]]:
    """What streamer with `extras` needs: the names that are installed, and those that are not."""
    todo, here, missing = [(ITSELF, frozenset(extras))], dict[str, frozenset[str]](), set[str]()
    while todo:
        name, wanted = todo.pop()
        if wanted <= here.get(name, frozenset()) and name in here:
            continue
        try:
            found = distribution(name)
        except PackageNotFoundError:
            missing.add(name)
            continue
        here[name] = here.get(name, frozenset()) | wanted
        todo += _needs(found, wanted)
    return set(here) - {ITSELF}, missing


def _needs(found: Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for line in found.requires or ():
        need = Requirement(line)
        marker = need.marker
        if marker is None or any(marker.evaluate({"extra": one}) for one in extras | {""}):
            yield canonicalize_name(need.name), frozenset(need.extras)


def licence_of(found: Distribution) -> str:
    """The licence expression; in older metadata the classifiers, or the first line of the text."""
    told = found.metadata
    name = canonicalize_name(told["Name"])
    if name in READ:
        return READ[name]
    if expression := told.get("License-Expression"):
        return str(expression)
    classifiers = told.get_all("Classifier") or ()
    classified = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License ::")]
    text = str(told.get("License") or "").strip().splitlines()
    return ", ".join(classified) or (text[0] if text else "not said")


def audited(reports: list[str]) -> int:
    """Print one line a vulnerability; returns the exit code."""
    found = 0
    for report in map(Path, reports):
        try:
            told = json.loads(report.read_text())
            lines, skipped = list(_vulnerabilities(told)), _skipped(told)
        except (OSError, ValueError, KeyError, TypeError):
            print(f"{report.stem}: no database of vulnerabilities answered, so nothing is known")
            continue
        if "dependencies" in told and len(skipped) == len(told["dependencies"]):
            print(f"{report.stem}: all {len(skipped)} packages were skipped, so nothing is known")
            continue
        if skipped:
            print(f"{report.stem}: nothing is known of {len(skipped)}: {', '.join(skipped)}")
        rest = " in the others" * bool(skipped)
        print(*lines or [f"{report.stem}: no known vulnerability{rest}"], sep="\n")
        found += len(lines)
    return min(1, found)


def _skipped(report: dict[str, Any]) -> list[str]:
    """Those that the database of pip-audit does not know, or cannot be asked about."""
    return [one["name"] for one in report.get("dependencies", ()) if "skip_reason" in one]


def _vulnerabilities(report: dict[str, Any]) -> Iterator[str]:
    if "dependencies" in report:  # pip-audit
        for package in report["dependencies"]:
            for one in package.get("vulns", ()):
                fixed = ", ".join(one["fix_versions"]) or "no version yet"
                yield f"{package['name']} {package['version']}: {one['id']}, fixed in {fixed}"
        return
    for name, one in report["vulnerabilities"].items():  # npm audit
        if one["severity"] in ("high", "critical"):
            yield f"{name} {one['range']}: {one['severity']}"


def main(arguments: list[str]) -> int:
    """Do what `arguments` ask for; returns the exit code."""
    match arguments:
        case ["licences", *extras]:
            return licences(extras)
        case ["constraints"]:
            return constraints()
        case ["audited", *reports]:
            return audited(reports)
    print((__doc__ or "").strip(), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
