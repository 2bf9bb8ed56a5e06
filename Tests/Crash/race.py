"""Several processes on one database want the same expired tokens at the same moment, again and again.

Usage: race.py PATH_OF_ROLLCALL PATH_OF_TOKEN_RACE [PROCESSES [TASKS [ACCOUNTS [EXPIRIES]]]]

What must hold: one token request for each account and expiry, whoever wants the token; no account is told to link again;
everybody gets a token.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Support"))
from rollcall_process import free_port, wait_for  # noqa: E402

ROLLCALL, RACER = sys.argv[1:3]
PROCESSES, TASKS, ACCOUNTS, EXPIRIES = (list(map(int, sys.argv[3:])) + [4, 200, 100, 5][len(sys.argv) - 3:])
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
MODES = {"strict single use": {}, "reuse revokes family": {"reuse_revokes_family": True}}


def configure(folder, base):
    manifest = (REPOSITORY / "providers" / "discord.yaml").read_text()
    manifest = manifest[:manifest.index("\nlimits:")] + """
limits: {dialect: discord, requests: {per: client, count: 100000, window: 1s}, concurrency: 64}
sync: {interval: 1h, minimum_interval: 1m, maximum_age: 1h}
"""
    (folder / "providers.d").mkdir()
    (folder / "providers.d" / "discord.yaml").write_text(manifest)
    variables = f'{{site: "{base}/discord", api: "{base}/discord/api/v10"}}'
    (folder / "rollcall.yaml").write_text(f"""
providers_directory: "{folder}/providers.d"
database: {{path: "{folder}/rollcall.sqlite"}}
vault: {{key_file: "{folder}/master.key"}}
outgoing: {{allowed_private_hosts: [127.0.0.1]}}
providers:
  discord: {{client_id: demo-discord, client_secret: EXAMPLE-discord-secret, variables: {variables}}}
""")


def race(name, switches, folder):
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    log = open(folder / "log", "ab")
    simulator = subprocess.Popen([ROLLCALL, "simulator", "--port", str(port)], stdout=log, stderr=log)
    racers = []
    try:
        wait_for(base + "/control", simulator)
        order = json.dumps({"site": "discord", "switches": {
            "remembers_bulk_tokens": True, "access_token_lifetime": 3600, "client_limit": {"count": 0, "seconds": 1},
            "token_limit": {"count": 0, "seconds": 1}, "latency": 20, **switches}}).encode()
        urllib.request.urlopen(
            urllib.request.Request(base + "/control", order, {"Content-Type": "application/json"}), timeout=10).read()
        configure(folder, base)
        lines = [json.dumps({
            "user_id": f"user-{n}", "provider": "discord", "subject": str(400_000_000_000_000_000 + (n << 22)),
            "access_token": f"EXAMPLE-bulk-{n}", "refresh_token": f"EXAMPLE-bulk-refresh-{n}",
            "expires_at": "2026-01-01T00:00:00Z", "scopes": ["identify", "email"]}) for n in range(ACCOUNTS)]
        config = folder / "rollcall.yaml"
        subprocess.run([ROLLCALL, "accounts", "import", "-", "--config", config], check=True, text=True,
                       input="\n".join(lines), stdout=log, stderr=log)
        racers = [subprocess.Popen(
            [RACER, folder / "rollcall.sqlite", folder / "master.key", folder / "providers.d" / "discord.yaml", base,
             str(TASKS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
            for _ in range(PROCESSES)]
        for racer in racers:
            if racer.stdout.readline() != "ready\n":
                raise SystemExit("FAILED: a process did not start\n" + (folder / "log").read_text()[-2000:])
        taken = failures = different = 0
        for number in range(1, EXPIRIES + 1):
            at = time.time() + 0.5
            for racer in racers:
                racer.stdin.write(f"{at} {number * 7200}\n")
                racer.stdin.flush()
            for racer in racers:
                outcome = json.loads(racer.stdout.readline())
                taken += outcome["taken"]
                different += outcome["different"]
                if outcome["failures"]:
                    failures += 1
                    print(f"  failures: {outcome['failures']}")
        counters = json.load(urllib.request.urlopen(base + "/control", timeout=10))["discord"]
        listed = subprocess.run([ROLLCALL, "accounts", "list", "--limit", "0", "--json", "--config", config], check=True,
                                capture_output=True, text=True).stdout
        relink = sum(json.loads(line)["status"] != "active" for line in listed.splitlines())
        requests = counters["endpoints"]["token"]["requests"]
        expiries = ACCOUNTS * EXPIRIES
        print(f"| {name} | {taken} | {expiries} | {requests} | {requests / expiries:.2f} | {relink} |", flush=True)
        return (requests == expiries and relink == 0 and failures == 0 and different == 0
                and taken == PROCESSES * TASKS * expiries)
    finally:
        for process in racers + [simulator]:
            process.kill()
            process.wait()


def main():
    print(f"{PROCESSES} processes, {TASKS} tasks in each, {ACCOUNTS} accounts, {EXPIRIES} expiries of each")
    print("| mode | tokens wanted and got | expiries | token requests | per expiry | false needs_relink |")
    print("|---|---|---|---|---|---|")
    held = True
    for name, switches in MODES.items():
        with tempfile.TemporaryDirectory() as folder:
            held = race(name, switches, pathlib.Path(folder)) and held
    if not held:
        raise SystemExit("FAILED: expected one request for each expiry, and a token for everyone")


main()
