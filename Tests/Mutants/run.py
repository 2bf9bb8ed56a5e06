"""Breaks the service on purpose, one mutant of `mutants.py` after the other, and looks whether the tests notice.

Usage: python3 Tests/Mutants/run.py [--in-place] [--only TEXT]

Works in a copy of the tree below `.build/mutants`, which keeps its build for the next time; with --in-place in the tree
itself, with its build, and puts every file back. Builds only the test targets that a mutant needs. Exits 1 where a
mutant survives, no longer applies or does not compile.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from mutants import MUTANTS  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# Seconds: longer than any of the tests run by themselves.
TIME_LIMIT = 900
# What is left of the package: the test targets named, and what they depend on.
TRIM = """
var kept: Set<String> = [%s]
var found = 0
while found != kept.count {
    found = kept.count
    for target in package.targets where kept.contains(target.name) {
        for dependency in target.dependencies {
            switch dependency {
            case .byNameItem(let name, _): kept.insert(name)
            case .targetItem(let name, _): kept.insert(name)
            default: break
            }
        }
    }
}
package.products = []
package.targets.removeAll {
    !kept.contains($0.name) && !["EmbedFiles", "EmbedFilesTool", "CCurl"].contains($0.name)
}
"""


class Tree:
    """The files that are changed, and as they were."""

    def __init__(self, folder):
        self.folder, self.originals = folder, {}

    def read(self, path):
        return (self.folder / path).read_text()

    def write(self, path, text):
        self.originals.setdefault(path, self.read(path))
        (self.folder / path).write_text(text)

    def restore(self):
        for path, text in self.originals.items():
            (self.folder / path).write_text(text)
        self.originals = {}

    def trim(self, targets):
        names = ", ".join(f'"{name}"' for name in sorted(targets))
        self.write("Package.swift", self.originals.get("Package.swift", self.read("Package.swift")) + TRIM % names)


def copy_tree(folder):
    """The files that git knows, as they are now; only what differs is written, so that little is built anew."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY, check=True,
        capture_output=True, text=True).stdout.split("\0")
    files = {name for name in listed if name and (REPOSITORY / name).is_file()}
    for name in files:
        target = folder / name
        if not target.exists() or target.read_bytes() != (REPOSITORY / name).read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target)
            os.utime(target)
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] != ".build" and str(relative) not in files:
            path.unlink()


def build(folder):
    return subprocess.run(
        ["swift", "build", "--build-tests"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def fails(folder, binary, test, environment):
    """Whether a test that matches fails, or never ends. Without one that runs there is nothing to fail."""
    try:
        outcome = subprocess.run(
            [binary, "--filter", test, "--testing-library", "swift-testing"], cwd=folder,
            env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        return True, f"not over after {TIME_LIMIT} s"
    if "Test run with 0 tests" in outcome.stdout:
        raise SystemExit(f"FAILED: no test matches {test!r}")
    return outcome.returncode != 0, outcome.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--in-place", action="store_true")
    parser.add_argument("--only", default="", help="mutants whose name has this text")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant["name"]]
    folder = REPOSITORY
    if not options.in_place:
        folder = REPOSITORY / ".build" / "mutants"
        folder.mkdir(parents=True, exist_ok=True)
        copy_tree(folder)
    tree, rows, held = Tree(folder), [], True
    try:
        # As it is, everything passes: else a failure would say nothing.
        tree.trim({target for mutant in chosen for target in mutant["targets"]})
        outcome = build(folder)
        if outcome.returncode:
            raise SystemExit("FAILED: it does not build as it is\n" + outcome.stdout[-3000:])
        binaries = subprocess.run(
            ["swift", "build", "--show-bin-path"], cwd=folder, check=True, capture_output=True, text=True).stdout
        binary = next(pathlib.Path(binaries.strip()).glob("*PackageTests.xctest"))
        checks = {(test, tuple(sorted(mutant["environment"].items()))) for mutant in chosen for test in mutant["tests"]}
        for test, environment in sorted(checks):
            failed, output = fails(folder, binary, test, dict(environment))
            if failed:
                raise SystemExit(f"FAILED: {test!r} fails as it is\n" + output[-3000:])
        for mutant in chosen:
            began = time.monotonic()
            for path, old, new in mutant["edits"]:
                if tree.read(path).count(old) != 1:
                    verdict = f"no longer applies to {path}"
                    break
                tree.write(path, tree.read(path).replace(old, new))
            else:
                outcome = build(folder)
                if outcome.returncode:
                    errors = [line for line in outcome.stdout.splitlines() if "error:" in line]
                    verdict = "does not compile: " + "; ".join(errors[:2])
                else:
                    survived = [
                        test for test in mutant["tests"]
                        if not fails(folder, binary, test, mutant["environment"])[0]]
                    verdict = "survives: " + ", ".join(survived) if survived else "caught"
            tree.restore()
            tree.trim({target for mutant in chosen for target in mutant["targets"]})
            held = held and verdict == "caught"
            rows.append((mutant["name"], ", ".join(mutant["tests"]), verdict))
            print(f"{mutant['name']}: {verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    finally:
        tree.restore()
    print("\n| mutant | tests | verdict |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    if not held:
        raise SystemExit(1)


main()
