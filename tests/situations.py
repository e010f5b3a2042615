"""What people meet, before and now: every test marked `situation`, run on two trees of the package.

    python tests/situations.py --before FOLDER [FILE ...]

FOLDER is a checkout of an older state (`git worktree add --detach FOLDER COMMIT`). The tests of this checkout run on
the `walkcut` of either tree, and one line for each says how it went there. Ends with 1 where one fails now.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

TESTS = Path(__file__).parent


def outcomes(tree: Path, files: list[Path]) -> dict[tuple[str, str], str]:
    """By kind and name of each test, how it goes on the package in a tree."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        words = ["-m", "situation", "-p", "no:cacheprovider", "-q", "-n", "2", "--dist", "loadfile"]
        words += [f"--junitxml={report}", "--continue-on-collection-errors", *map(str, files)]
        path = os.pathsep.join([str(tree), str(tree / "book")])
        environment = os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-m", "pytest", *words], env=environment, stdout=subprocess.DEVNULL)
        cases = ElementTree.parse(report).iter("testcase")
        return {_named(case): _outcome(case) for case in cases if _named(case)[0]}


def _named(case: ElementTree.Element) -> tuple[str, str]:
    kinds = [one.get("value", "") for one in case.iter("property") if one.get("name") == "situation"]
    return (kinds[0] if kinds else ""), case.get("name", "").removeprefix("test_").replace("_", " ")


def _outcome(case: ElementTree.Element) -> str:
    tags = {child.tag for child in case}
    return "fails" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "right"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, metavar="FOLDER", help="a checkout of an older state")
    parser.add_argument("files", nargs="*", type=Path, default=[TESTS], metavar="FILE", help="of tests; default: all")
    arguments = parser.parse_args()
    before, now = (outcomes(tree, arguments.files) for tree in (arguments.before.resolve(), TESTS.parent))
    last = None
    for kind, name in sorted(now):
        if kind != last:
            print(f"\n{kind}")
            last = kind
        print(f"  {before.get((kind, name), 'fails'):8}{now[kind, name]:8}{name}")
    found = [list(found.values()) for found in (before, now)]
    was, right = (sum(outcome == "right" for outcome in one) for one in found)
    print(f"\n{len(now)} situations: {was} right before, {right} right now")
    return int("fails" in now.values())


if __name__ == "__main__":
    sys.exit(main())
