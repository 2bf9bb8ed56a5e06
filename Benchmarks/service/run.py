"""Processor time per cached-profile read against the same server's empty endpoint, and resident memory of idling,
importing and syncing at two sizes. Ratios are taken within one run; see `scripts/bench`. Exits 1 where memory grows with
the number of accounts or idling takes too much of it.

Usage: run.py PATH_OF_ROLLCALL [ACCOUNTS]
"""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "Tests" / "Support"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Support"))
from bulk import FIRST_SUBJECT, write_accounts  # noqa: E402
from rollcall_process import free_port, wait_for  # noqa: E402

ROLLCALL, ACCOUNTS = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
HERE = pathlib.Path(__file__).parent
TICK = os.sysconf("SC_CLK_TCK")
# What fails the run: the peak memory of ten times the accounts against that of the few, and the memory of idling.
GROWTH_MAX, IDLE_MB_MAX = 1.15, 60


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def status_mb(pid, name):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1)) / 1024


def run_measured(*arguments):
    """Runs to the end; returns wall seconds, processor seconds and the peak resident memory in MB."""
    started = time.monotonic()
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read().decode()
    _, code, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(code) != 0:
        raise SystemExit(f"{' '.join(map(str, arguments[1:3]))} failed:\n{output[-2000:]}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def configure(folder, simulator_port, port):
    file = pathlib.Path(folder) / "rollcall.yaml"
    file.write_text(f"""
http: {{port: {port}}}
database: {{path: "{folder}/rollcall.sqlite"}}
vault: {{key_file: "{folder}/master.key"}}
providers_directory: "{HERE}/providers.d"
outgoing: {{allowed_private_hosts: [127.0.0.1]}}
log: {{level: warning}}
providers:
  bulk: {{client_id: EXAMPLE, client_secret: EXAMPLE, variables: {{api: "http://127.0.0.1:{simulator_port}/github/api"}}}}
""")
    return file


def fill(folder, simulator_port, count):
    port = free_port()
    configuration = configure(folder, simulator_port, port)
    result = {}
    result["import"] = run_measured(
        ROLLCALL, "accounts", "import", write_accounts(folder, "bulk", count), "--config", configuration)
    result["sync"] = run_measured(ROLLCALL, "sync", "--once", "--all", "--config", configuration)
    return configuration, port, result


def load(pid, url, seconds, script=None, key=None):
    command = ["wrk", "-t1", "-c64", f"-d{seconds}s"] + (["-s", script] if script else [])
    if key:
        command += ["-H", f"Authorization: Bearer {key}"]
    before = cpu_seconds(pid)
    output = subprocess.run(command + [url], check=True, capture_output=True, text=True).stdout
    used = cpu_seconds(pid) - before
    requests = int(re.search(r"(\d+) requests in", output).group(1))
    if "Non-2xx" in output:
        raise SystemExit("wrk met answers that are not 2xx:\n" + output)
    return used / requests * 1e6, requests


simulator_port = free_port()
simulator = subprocess.Popen(
    [ROLLCALL, "simulator", "--port", str(simulator_port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
service = None
excesses = []
try:
    wait_for(f"http://127.0.0.1:{simulator_port}/control", simulator)
    small = ACCOUNTS // 10
    with tempfile.TemporaryDirectory() as folder:
        _, _, few = fill(folder, simulator_port, small)
    with tempfile.TemporaryDirectory() as folder:
        configuration, port, many = fill(folder, simulator_port, ACCOUNTS)
        for step in ("import", "sync"):
            wall, cpu, peak = many[step]
            print(f"{step:7} {ACCOUNTS} accounts: {wall:6.1f} s wall, {cpu / ACCOUNTS * 1e6:6.1f} us of processor an "
                  f"account, peak memory {peak:5.1f} MB; {small} accounts: {few[step][2]:5.1f} MB; "
                  f"ratio {peak / few[step][2]:.2f}")
            if peak / few[step][2] > GROWTH_MAX:
                excesses.append(f"{step}: memory grows {peak / few[step][2]:.2f} times, at most {GROWTH_MAX} is right")
        key = subprocess.run(
            [ROLLCALL, "keys", "create", "bench", "--scope", "accounts:read", "--config", configuration],
            check=True, capture_output=True, text=True).stdout.strip()
        service = subprocess.Popen([ROLLCALL, "serve", "--config", configuration],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        base = f"http://127.0.0.1:{port}"
        wait_for(base + "/readyz", service)
        idle = status_mb(service.pid, "VmRSS")
        if idle > IDLE_MB_MAX:
            excesses.append(f"idle: {idle:.1f} MB resident, at most {IDLE_MB_MAX} are right")
        print(f"idle    resident {idle:5.1f} MB, anonymous "
              f"{status_mb(service.pid, 'RssAnon'):5.1f} MB, with {ACCOUNTS} accounts")
        script = pathlib.Path(folder) / "read.lua"
        script.write_text(f"""
local seed = 42
request = function()
  seed = (seed * 1103515245 + 12345) % 2147483648
  return wrk.format("GET", "/v1/profiles/bulk/" .. ({FIRST_SUBJECT} + seed % {ACCOUNTS} + 1))
end
""")
        load(service.pid, base + "/healthz", 2)
        load(service.pid, base + "/", 2, script, key)
        ratios = []
        for _ in range(5):
            empty, _ = load(service.pid, base + "/healthz", 3)
            read, count = load(service.pid, base + "/", 3, script, key)
            ratios.append((read / empty, read, empty))
            print(f"read    {read:5.1f} us a cached profile, {empty:5.1f} us an empty answer; ratio {read / empty:.2f}")
        print(f"read    median ratio {statistics.median(r[0] for r in ratios):.2f} (aim 1.5 or less)")
        print(f"after   resident {status_mb(service.pid, 'VmRSS'):5.1f} MB, anonymous "
              f"{status_mb(service.pid, 'RssAnon'):5.1f} MB")
finally:
    for process in (service, simulator):
        if process:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
for excess in excesses:
    print(f"FAILED: {excess}", file=sys.stderr)
sys.exit(1 if excesses else 0)
