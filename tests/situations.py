"""What people meet, before and now: every test marked `situation`, run on two trees of the package.

    python tests/situations.py --before FOLDER [FILE ...]

FOLDER is a checkout of an older state (`git worktree add --detach FOLDER COMMIT`). The tests of this checkout run on
the `walkcut` of either tree, and one line for each says how it went there. Ends with what pytest ends with now: 0 only
if there are situations and none of them fails.
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


Name = tuple[str, str, str]  # kind, file and name of a test


def outcomes(tree: Path, files: list[Path]) -> tuple[dict[Name, str], int]:
    """How each test goes on the package in a tree, and pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        words = ["-m", "situation", "-p", "no:cacheprovider", "-q", "-n", "2", "--dist", "loadfile"]
        words += [f"--junitxml={report}", "--continue-on-collection-errors", *map(str, files)]
        path = os.pathsep.join([str(tree), str(tree / "book")])
        environment = os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, "-m", "pytest", *words], env=environment, stdout=subprocess.DEVNULL)
        cases = ElementTree.parse(report).iter("testcase")
        return {_named(case): _outcome(case) for case in cases if _named(case)[0]}, done.returncode


def _named(case: ElementTree.Element) -> Name:
    kinds = [one.get("value", "") for one in case.iter("property") if one.get("name") == "situation"]
    name = case.get("name", "").removeprefix("test_").replace("_", " ")
    return (kinds[0] if kinds else ""), case.get("classname", ""), name


def _outcome(case: ElementTree.Element) -> str:
    tags = {child.tag for child in case}
    return "fails" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "right"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, metavar="FOLDER", help="a checkout of an older state")
    parser.add_argument("files", nargs="*", type=Path, default=[TESTS], metavar="FILE", help="of tests; default: all")
    arguments = parser.parse_args()
    if not (arguments.before / "walkcut").is_dir():  # else the installed one would be taken for the older
        parser.error(f"{arguments.before} holds no walkcut: name a checkout.")
    before, _ = outcomes(arguments.before.resolve(), arguments.files)
    now, code = outcomes(TESTS.parent, arguments.files)
    last = None
    for kind, file, name in sorted(now):
        if kind != last:
            print(f"\n{kind}")
            last = kind
        print(f"  {before.get((kind, file, name), 'fails'):8}{now[kind, file, name]:8}{name}")
    found = [list(found.values()) for found in (before, now)]
    was, right = (sum(outcome == "right" for outcome in one) for one in found)
    print(f"\n{len(now)} situations: {was} right before, {right} right now")
    return code


if __name__ == "__main__":
    sys.exit(main())
