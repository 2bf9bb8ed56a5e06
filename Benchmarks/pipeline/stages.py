"""Where the processor time of a changed profile goes, stage by stage: samples of `rollcall sync --once`, each given to the
first stage that one of its callers belongs to.

Usage: stages.py PATH_OF_ROLLCALL [--accounts N] [--mode changed|304|200]     needs Linux perf, and the right to use it
"""
import argparse
import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Support"))
from bulk import write_accounts  # noqa: E402
from server import SCRATCH, Server, configure, make_due  # noqa: E402

# The first that matches; a stage inside another stands before it.
STAGES = [
    ("difference for the feed", r"ProfilePatch|JSONTextPatch"),
    ("record: schedule, profile, feed", r"recordPlainly|recordInFull|replaceProfile|appendUpdate"),
    ("claim: due accounts, their rows and credentials", r"claimDue|syncClaim|claimAhead"),
    ("commit: log, sync to disk, checkpoint", r"inTransaction|[cC]ommitTransaction|beginTransaction|WalCheckpoint"),
    ("read of the held copy", r"SyncScheduleStore\.content|CachedContent"),
    ("parse of the answer", r"JSONParser|JSONValue\.init<.*parsing"),
    ("map, hash, compare", r"Provider\.profile\(|ProfileMapping|contentHash"),
    ("libcurl", r"\bcurl_|Curl_|CurlOptions|CurlEasy|ResponseReader|CurlTransfer\b|CurlTransfers"),
    ("metrics and figures", r"Telemetry|MetricsRegistry|SyncFigures|RecentCounts"),
    ("limits and circuit", r"ProviderClient|ProviderGate|CircuitBreaker"),
    ("plan", r"SyncPlanner|SyncSchedule\b|Freshness\."),
    ("token", r"AccessTokens|TokenRefresh"),
    ("request and answer of the profile", r"ProfileFetch|ProfileRequest"),
    ("one account's sync", r"AccountSync|LeaseKeeper"),
    ("the pass", r"SyncPass"),
    ("writer's queue", r"Connections\.|SharedCommits|SerializedDatabase|DatabasePool"),
    ("driver, and tasks on its thread", r"CurlDriver|CurlTransport"),
    ("tasks and threads", r"swift_task|swift::|dispatch|pthread|start_thread|clone"),
]


def samples(binary, configuration, output):
    """(microseconds, callers) of every sample."""
    subprocess.run(
        ["perf", "record", "--quiet", "--clockid", "mono", "-e", "cpu-clock", "-F", "499", "--call-graph", "dwarf,16384",
         "-o", output, "--", binary, "sync", "--once", "--json", "--config", configuration], check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    script = subprocess.Popen(
        ["perf", "script", "-i", output, "-F", "period,ip,sym", "--no-inline"], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL)
    text = subprocess.run(
        ["swift", "demangle", "--simplified"], stdin=script.stdout, stdout=subprocess.PIPE, check=True, text=True).stdout
    for block in text.split("\n\n"):
        lines = block.strip().splitlines()
        if lines:
            yield int(lines[0].split()[0]) / 1000, [line.split(None, 1)[-1] for line in lines[1:]]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("rollcall")
    arguments.add_argument("--accounts", type=int, default=20_000)
    arguments.add_argument("--mode", choices=["changed", "304", "200"], default="changed")
    options = arguments.parse_args()
    if not shutil.which("perf"):
        raise SystemExit("perf is not installed: stages can't be told apart without it")
    SCRATCH.mkdir(parents=True, exist_ok=True)
    server = Server()
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        configuration = configure(folder, server)
        accounts = write_accounts(folder, "pipeline", options.accounts)

        def run(*command):
            subprocess.run([options.rollcall, *command, "--config", configuration], check=True, stdout=subprocess.PIPE)

        run("accounts", "import", accounts)
        server.show(change=1, tags=options.mode == "304")
        for _ in range(2):  # The second time all have a profile, and a plan.
            make_due(folder)
            run("sync", "--once", "--json")
            if options.mode == "changed":
                server.show(change=1, tags=False)
        make_due(folder)
        spent, leaves = collections.Counter(), collections.defaultdict(collections.Counter)
        for microseconds, callers in samples(options.rollcall, configuration, pathlib.Path(folder) / "perf.data"):
            stage = next((name for name, pattern in STAGES if re.search(pattern, "\n".join(callers))), "other")
            spent[stage] += microseconds
            leaves[stage][next((name for name in callers if name != "[unknown]"), "?")] += microseconds
    server.close()
    total = sum(spent.values())
    print(f"{options.accounts} accounts, {options.mode}: {total / options.accounts:.1f} us each\n")
    print("| stage | us an account | share | most of it in |\n|---|---|---|---|")
    for stage, microseconds in spent.most_common():
        most = ", ".join(f"{leaf[:40]} {100 * part / microseconds:.0f} %" for leaf, part in leaves[stage].most_common(3))
        print(f"| {stage} | {microseconds / options.accounts:.1f} | {100 * microseconds / total:.0f} % | {most} |")


main()
