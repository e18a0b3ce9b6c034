"""Looks up every locked package in an advisory source with pip-audit: `make audit`.

Left to itself, pip-audit reports "No known vulnerabilities found" when it could look up nothing at all. Here, a package
that could not be checked fails the audit, unless no source could be reached, which is said.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCES = ("pypi", "osv")
# All that is ever installed: what runs, what the image holds, what tests and checks need.
LOCKED = ("runtime.txt", "image.txt", "dev.txt", "fuzz.txt")
SECONDS = 300


def main() -> int:
    """0 when all packages are free of known weaknesses, or nobody could be asked; else 1."""
    for source in SOURCES:
        found = _ask_all(source)
        if found is None:
            continue
        complaints = sorted(set(complaints_of(found)))
        print(*complaints, sep="\n", file=sys.stderr)
        print(f"pip-audit: {len({package['name'] for package in found})} packages checked with {source}")
        return 1 if complaints else 0
    print(f"pip-audit: no advisory source was reachable ({', '.join(SOURCES)}), so no package was checked")
    return 0


def _ask_all(source: str) -> list[dict[str, Any]] | None:
    found: list[dict[str, Any]] = []
    for name in LOCKED:
        report = _ask(source, name)
        if report is None or not was_reached(report):
            return None
        found += report
    return found


def was_reached(found: list[dict[str, Any]]) -> bool:
    """Whether the source knew any package; one that knows none is a proxy, or another index, in its place."""
    return any("skip_reason" not in package for package in found)


def complaints_of(found: list[dict[str, Any]]) -> list[str]:
    """What is wrong, one line for each weakness and for each package that could not be checked."""
    lines = []
    for package in found:
        if "skip_reason" in package:
            lines.append(f"{package['name']}: not checked: {package['skip_reason']}")
        for weakness in package.get("vulns", ()):
            fixed = ", ".join(weakness.get("fix_versions", ())) or "no version"
            lines.append(f"{package['name']} {package['version']}: {weakness['id']}, fixed in {fixed}")
    return lines


def _ask(source: str, name: str) -> list[dict[str, Any]] | None:
    """What pip-audit found of each package; None when it ended without a report."""
    command = [
        sys.executable, "-m", "pip_audit", "--vulnerability-service", source, "--disable-pip", "--require-hashes",
        "--requirement", str(Path(__file__).with_name(name)), "--format", "json", "--progress-spinner", "off",
        "--timeout", "15",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        report: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, subprocess.TimeoutExpired):
        return None
    return report


if __name__ == "__main__":
    sys.exit(main())
