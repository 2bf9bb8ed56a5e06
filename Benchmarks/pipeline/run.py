"""Processor time of a sync per account, all included, against a C program and a Python program that only fetch the same
documents and upsert them: several rounds of all in turn, the medians of each and their ratios. Rollcall's side is the
program itself, `rollcall sync --once` on a database of imported accounts that are all due.

Usage: run.py PATH_OF_ROLLCALL [--accounts N] [--rounds R] [--concurrency C] [--no-python] [--sizes N,N,…]

--sizes: the same sync at several sizes, its peak memory, and how long the next claim takes to be found.
"""
import argparse
import json
import os
import pathlib
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Support"))
from bulk import write_accounts  # noqa: E402
from server import HERE, ROOT, SCRATCH, Server, compiled, configure, make_due  # noqa: E402

MODES = ("changed", "unchanged 304", "unchanged 200")
# Processor time as a multiple of C's, of Python's, and of a changed profile's.
AIMS = {"c": 2.0, "python": 0.8, "unchanged 304": 0.6, "unchanged 200": 0.8}

arguments = argparse.ArgumentParser()
arguments.add_argument("rollcall")
arguments.add_argument("--accounts", type=int, default=100_000)
arguments.add_argument("--rounds", type=int, default=5)
arguments.add_argument("--concurrency", type=int, default=64)
arguments.add_argument("--no-python", action="store_true")
arguments.add_argument("--sizes", type=lambda text: [int(n) for n in text.split(",") if n], default=[])
options = arguments.parse_args()


def measured(*command):
    """Runs to the end; returns processor microseconds and the peak resident memory in MB."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read().decode()
    _, code, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(code) != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{output[-2000:]}")
    return (usage.ru_utime + usage.ru_stime) * 1e6, usage.ru_maxrss / 1024, output


def python_environment():
    environment = SCRATCH / "venv"
    stamp, wanted = environment / ".installed", HERE / "requirements.txt"
    if not stamp.exists() or stamp.stat().st_mtime < wanted.stat().st_mtime:
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run(
            [environment / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted], check=True)
        stamp.touch()
    return environment / "bin" / "python"


class Rollcall:
    """A database of imported accounts."""

    def __init__(self, folder, server, count):
        self.folder, self.count = pathlib.Path(folder), count
        self.configuration = configure(folder, server, concurrency=options.concurrency)
        accounts = write_accounts(folder, "pipeline", count)
        measured(options.rollcall, "accounts", "import", accounts, "--config", self.configuration)
        accounts.unlink()

    def sync(self, expected):
        """Processor microseconds for each account, and the peak memory in MB."""
        make_due(self.folder)
        spent, peak, output = measured(
            options.rollcall, "sync", "--once", "--json", "--config", self.configuration)
        tally = json.loads(output.strip().splitlines()[-1])
        if tally.get(expected) != self.count:
            raise SystemExit(f"{self.count} {expected} were expected: {tally}")
        return spent / self.count, peak

    def modes(self, server):
        """One round: all changed, then none by 304, then none by an equal answer."""
        server.show(change=1, tags=True)
        result = {"changed": self.sync("updated")}
        result["unchanged 304"] = self.sync("unchanged")
        server.show(change=0, tags=False)
        result["unchanged 200"] = self.sync("unchanged")
        return result

    def claim_milliseconds(self):
        """How long the first of what is due takes to be found, cold and warm: the statement of the claim, unchanged."""
        source = (ROOT / "Sources" / "Store" / "SyncScheduleStore.swift").read_text()
        statement = source.split('static let isDueSQL = """')[1].split('"""')[0]
        times = []
        database = sqlite3.connect(f"file:{self.folder}/rollcall.sqlite?mode=ro", uri=True)
        now = int(time.time() * 1000)
        for _ in range(3):
            began = time.perf_counter()
            database.execute(statement, ("pipeline", now, now + 3_600_000, now + 7 * 86_400_000)).fetchone()
            times.append((time.perf_counter() - began) * 1000)
        database.close()
        return max(times)


def compare(server):
    c = compiled("pipeline", "-lcurl", "-lsqlite3", "-lcrypto")
    programs = {"c": [c]}
    if not options.no_python:
        programs["python"] = [python_environment(), HERE / "pipeline.py"]
    spent = {name: [] for name in (*programs, *MODES)}
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        server.show(change=1, tags=True)
        rollcall = Rollcall(folder, server, options.accounts)
        created, _ = rollcall.sync("updated")
        print(f"pipeline: {options.accounts} accounts, {options.concurrency} at once; "
              f"first sync {created:.1f} us of processor an account", flush=True)

        def run(name):
            return measured(*programs[name], f"{folder}/{name}.sqlite", server.base + "/user", options.accounts,
                            options.concurrency)[0] / options.accounts
        for name in programs:
            run(name)
        for number in range(options.rounds):
            results = rollcall.modes(server)
            for mode in MODES:
                spent[mode].append(results[mode][0])
            for name in programs:
                spent[name].append(run(name))
            print(f"round {number + 1}: " + ", ".join(f"{name} {values[-1]:.1f}" for name, values in spent.items()),
                  file=sys.stderr, flush=True)
    median = {name: statistics.median(values) for name, values in spent.items()}
    changed = median["changed"]
    for name in programs:
        print(f"pipeline: changed {changed:.1f} us, {name} {median[name]:.1f} us an account: ratio "
              f"{changed / median[name]:.2f} (aim {AIMS[name]} or less)")
    for mode in MODES[1:]:
        print(f"pipeline: {mode} {median[mode]:.1f} us: {median[mode] / changed:.2f} of a changed one "
              f"(aim {AIMS[mode]} or less)")


def sizes(server):
    for count in options.sizes:
        with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
            server.show(change=1, tags=True)
            rollcall = Rollcall(folder, server, count)
            rollcall.sync("updated")
            rounds = [rollcall.modes(server) for _ in range(1 if count > 200_000 else 3)]
            costs = ", ".join(f"{mode} {statistics.median(r[mode][0] for r in rounds):.1f} us" for mode in MODES)
            peak = max(r[mode][1] for r in rounds for mode in MODES)
            print(f"sizes: {count} accounts: {costs}; peak memory {peak:.1f} MB; "
                  f"what is due is found in {rollcall.claim_milliseconds():.2f} ms", flush=True)


SCRATCH.mkdir(parents=True, exist_ok=True)
server = Server()
try:
    if options.accounts:
        compare(server)
    if options.sizes:
        sizes(server)
finally:
    server.close()
