"""SIGKILL at every step between the intent and the use of a refreshed token, and at random.

The program syncs accounts one after the other, whose access tokens have all expired; `steps.c`, preloaded, writes down
each of its writes, syncs, sends and receives, and kills it at the one it was told. The next start is the recovery. Two
hours pass between two starts, so that leases of the dead are over and tokens have expired again.

What even a perfect client loses where refresh tokens are for single use: the provider had spent the token, and the
answer was not durable yet: the first sync to disk that can hold it was not over. That is the first one after its receipt,
unless the write-ahead log began anew just then: its header has a sync of its own, before any page. Every other account
has to be kept.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Support"))
from rollcall_process import free_port, wait_for  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
STEP_SIZE, STEP_MAX = 128, 8192
WRITE, SYNC, TRUNCATE, CONNECT, SEND, RECEIVE = range(1, 7)
LOG = 2
# Of a write-ahead log (SQLite, "WAL File Format"): all that is written before it is synced, where it begins anew.
LOG_HEADER = 32
MODES = {
    "strict single use": {},
    "grace window": {"reuse_grace": 86400},
    "reuse revokes family": {"reuse_revokes_family": True},
}
BETWEEN_STARTS = 7200
Step = collections.namedtuple("Step", "number call after result file text")


class Failed(Exception):
    pass


def read_steps(path):
    data, steps = path.read_bytes(), []
    for at in range(0, len(data), STEP_SIZE):
        number, call, result, after, written, file, text = struct.unpack_from("<IIqBBB5x96s", data, at)
        if not written:
            break
        steps.append(Step(number, call, bool(after), result, file, text.split(b"\0")[0].decode(errors="replace")))
    return steps


class Request:
    """A refresh as the steps tell it."""

    def __init__(self, person):
        self.person, self.is_sent, self.status, self.is_durable = person, False, None, False
        # Bytes of each write to the log since the answer, and syncs of its new header alone.
        self.written, self.header_syncs = [], 0


def token_requests(steps):
    found, synced = [], False
    for step in steps:
        current = found[-1] if found else None
        if step.call == SEND and step.text.startswith("refresh_token="):
            if not step.after:
                found.append(Request(int(step.text.split("=")[1].split("&")[0].split("-")[3])))
            elif step.result > 0:
                current.is_sent = True
        elif current and not current.is_durable:
            if step.call == RECEIVE and current.status is None:
                current.status, synced = step.text[9:12], False
            elif step.call == WRITE and step.file == LOG and current.status:
                current.written += [step.result] if step.after else []
            elif step.call == SYNC and step.file == LOG and current.status:
                if max(current.written, default=0) >= 512:
                    synced = synced or not step.after
                elif current.written not in ([], [LOG_HEADER]):
                    raise Failed(f"a sync of {current.written} bytes of the log, which are neither header nor pages")
                elif current.written and step.after:
                    current.header_syncs += 1
                current.is_durable = synced and step.after
    return found


def phase(steps):
    """Where a run ended, in words."""
    requests = token_requests(steps)
    last, used = steps[-1] if steps else None, False
    if not requests:
        return "before a request"
    request = requests[-1]
    if not request.is_sent:
        return "before the request left"
    if request.status is None:
        return "before the answer"
    if not request.is_durable:
        return "before the answer was durable"
    for step in reversed(steps):
        if step.call == SEND and "/users/@me" in step.text:
            used = True
        if step.call == SEND and step.text.startswith("refresh_token="):
            break
    return "after the use" if used else "before the use"


class Mode:
    def __init__(self, rollcall, name, switches, accounts, folder, shim, seed):
        self.rollcall, self.name, self.folder, self.shim = rollcall, name, folder, shim
        self.accounts = accounts
        self.chance = random.Random(f"{seed} {name}")
        self.log = open(folder / "log", "ab")
        self.steps_file = folder / "steps"
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.starts = 0
        self.bound, self.phases, self.tally = set(), collections.Counter(), collections.Counter()
        # By person, for one that was lost for nothing.
        self.history = collections.defaultdict(list)
        self.simulator = subprocess.Popen(
            [rollcall, "simulator", "--port", str(self.port)], stdout=self.log, stderr=self.log)
        wait_for(self.base + "/control", self.simulator)
        self.control({"site": "discord", "switches": {
            "remembers_bulk_tokens": True, "access_token_lifetime": 3600, "client_limit": {"count": 0, "seconds": 1},
            "token_limit": {"count": 0, "seconds": 1}, **switches}})
        self.write_configuration()
        self.import_accounts()

    def write_configuration(self):
        manifest = (HERE.parents[1] / "providers" / "discord.yaml").read_text()
        # Nothing here is about limits: no start waits for one.
        manifest = manifest[:manifest.index("\nlimits:")] + """
limits: {dialect: discord, requests: {per: client, count: 100000, window: 1s}, concurrency: 1}
sync: {interval: 1h, minimum_interval: 1m, maximum_age: 1h}
"""
        (self.folder / "providers.d").mkdir()
        (self.folder / "providers.d" / "discord.yaml").write_text(manifest)
        self.file = self.folder / "rollcall.yaml"
        variables = f'{{site: "{self.base}/discord", api: "{self.base}/discord/api/v10"}}'
        self.file.write_text(f"""
providers_directory: "{self.folder}/providers.d"
database: {{path: "{self.folder}/rollcall.sqlite"}}
vault: {{key_file: "{self.folder}/master.key"}}
outgoing: {{allowed_private_hosts: [127.0.0.1]}}
sync: {{strategy: fixed, interval: 1h, concurrency: 1}}
providers:
  discord: {{client_id: demo-discord, client_secret: EXAMPLE-discord-secret, variables: {variables}}}
""")

    def import_accounts(self):
        lines = [json.dumps({
            "user_id": f"user-{n}", "provider": "discord", "subject": str(400_000_000_000_000_000 + (n << 22)),
            "access_token": f"EXAMPLE-bulk-{n}", "refresh_token": f"EXAMPLE-bulk-refresh-{n}",
            "expires_at": "2026-01-01T00:00:00Z", "scopes": ["identify", "email"]}) for n in range(self.accounts)]
        subprocess.run(
            [self.rollcall, "accounts", "import", "-", "--due", "--config", self.file], check=True, text=True,
            input="\n".join(lines), stdout=self.log, stderr=self.log)

    def control(self, order):
        request = urllib.request.Request(
            self.base + "/control", json.dumps(order).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).read()

    def counters(self):
        """Once the provider is done with what was sent."""
        while True:
            found = json.load(urllib.request.urlopen(self.base + "/control", timeout=10))["discord"]
            token = found["endpoints"].get("token", {})
            if token.get("concurrent", 0) == 0:
                return token.get("requests", 0), found

    def start(self, kill_at=0, arm="write"):
        """One start, two hours after the one before; returns its steps."""
        self.starts += 1
        requests_before, before = self.counters()
        self.steps_file.write_bytes(b"")
        os.truncate(self.steps_file, STEP_SIZE * STEP_MAX)
        environment = {
            **os.environ, "LD_PRELOAD": str(self.shim), "STEPS_LOG": str(self.steps_file), "STEPS_ARM": arm,
            "STEPS_KILL": str(kill_at), "STEPS_CLOCK": str(self.starts * BETWEEN_STARTS)}
        process = subprocess.run(
            [self.rollcall, "sync", "--once", "--config", self.file], env=environment, stdout=self.log,
            stderr=self.log, timeout=600)
        if process.returncode not in (-9, 0, 1):
            raise Failed(f"the program ended with {process.returncode}")
        if not kill_at:
            # A whole sync is more than the file holds.
            self.tally["refreshes"] += self.counters()[1]["refreshes"] - before["refreshes"]
            return [], process.returncode
        steps = read_steps(self.steps_file)
        requests = token_requests(steps)
        sent = sum(request.is_sent for request in requests)
        if sent < len(requests):
            # One thread was killed by another's step while it sent: the provider may have the request all the same.
            time.sleep(0.1)
        deadline = time.monotonic() + 5
        while True:
            requests_after, after = self.counters()
            if requests_after - requests_before >= sent:
                break
            if time.monotonic() > deadline:
                raise Failed(f"{sent} token requests left, the provider had {requests_after - requests_before}")
            time.sleep(0.002)
        rotations = after["refreshes"] - before["refreshes"]
        replays = after["grace_replays"] - before["grace_replays"]
        last = requests[-1] if requests else None
        if last and not last.is_durable:
            spent = rotations + replays - sum(request.status == "200" for request in requests[:-1])
            if spent == 1:
                self.tally["in doubt"] += 1
                if "grace" not in self.name:
                    self.bound.add(last.person)
            elif spent != 0:
                raise Failed(f"{rotations} rotations and {replays} replays do not fit the steps")
        self.tally["header syncs"] += sum(request.header_syncs for request in requests)
        for request in requests:
            self.history[request.person].append(
                f"start {self.starts}, killed at {kill_at} from {arm} ({phase(steps)}): sent {request.is_sent}, "
                f"answer {request.status}, durable {request.is_durable}, rotations {rotations}")
        self.tally["refreshes"] += rotations
        self.tally["kills"] += process.returncode == -9
        if process.returncode == -9:
            self.phases[phase(steps)] += 1
        return steps, process.returncode

    def cycle(self):
        """How many steps the first account takes, from the first write to what the sync recorded."""
        steps, _ = self.start(kill_at=600)
        posts = [s.number for s in steps if s.call == SEND and not s.after and s.text.startswith("refresh_token=")]
        if len(posts) < 3:
            raise Failed(f"three refreshes take more than 600 steps: {posts}")
        return posts[2] - posts[1]

    def run(self, kills):
        cycle = self.cycle()
        every = 2 * cycle
        # Every step once, in an order of chance: each start begins with the recovery of another place.
        numbers = list(range(1, every + 1))
        self.chance.shuffle(numbers)
        numbers = numbers[:kills]
        self.tally["steps enumerated"] = len(numbers)
        for number in numbers:
            self.start(number)
        while self.tally["kills"] < kills:
            if self.chance.random() < 0.1:
                self.start(self.chance.randrange(1, 60), arm="start")
            else:
                self.start(self.chance.randrange(1, 4 * cycle))
        # Two starts that nobody kills: all that can be is good again.
        for _ in range(2):
            _, status = self.start()
            if status == -9:
                raise Failed("killed without an order")
        listed = subprocess.run(
            [self.rollcall, "accounts", "list", "--limit", "0", "--json", "--config", self.file], check=True,
            capture_output=True, text=True).stdout
        accounts = [json.loads(line) for line in listed.splitlines()]
        if len(accounts) != self.accounts:
            raise Failed(f"{len(accounts)} accounts are left of {self.accounts}")
        lost = {(int(a["subject"]) - 400_000_000_000_000_000) >> 22: a for a in accounts if a["status"] != "active"}
        for number, account in lost.items():
            if account["status"] != "needs_relink" or account["problem"]["code"] != "rotation_lost":
                raise Failed(f"account {number} ended as {account['status']}, {account.get('problem')}")
        for account in accounts:
            if account["status"] == "active" and account.get("problem"):
                raise Failed(f"an account that works has a problem: {account['problem']}")
        self.tally["lost"] = len(lost)
        self.tally["bound"] = len(self.bound)
        self.tally["lost that a perfect client could have kept"] = len(set(lost) - self.bound)
        self.tally["steps of one refresh"] = cycle
        return set(lost) - self.bound

    def end(self):
        self.simulator.kill()
        self.simulator.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("rollcall")
    parser.add_argument("kills", nargs="?", type=int, default=2000, help="in each mode")
    parser.add_argument("seed", nargs="?", type=int, default=20261121)
    parser.add_argument("--mode", choices=list(MODES), action="append")
    parser.add_argument("--keep", help="a folder to leave everything in")
    options = parser.parse_args()
    columns = ["kills", "refreshes", "in doubt", "lost", "bound", "lost that a perfect client could have kept"]
    print(f"seed {options.seed}")
    print("| mode | " + " | ".join(columns) + " |\n|---" * 1 + "|" + "---|" * (len(columns)))
    failed = False
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        folder = pathlib.Path(options.keep or folder)
        shim = folder / "steps.so"
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-O1", "-o", shim, HERE / "steps.c", "-ldl"], check=True)
        for name, switches in MODES.items():
            if options.mode and name not in options.mode:
                continue
            place = folder / name.replace(" ", "-")
            place.mkdir()
            # A third of all kills at most comes while an answer is on its way.
            mode = Mode(options.rollcall, name, switches, options.kills // 3 + 50, place, shim, options.seed)
            try:
                unjust = mode.run(options.kills)
                failed = failed or bool(unjust)
                print(f"| {name} | " + " | ".join(str(mode.tally[column]) for column in columns) + " |", flush=True)
                print(f"  {mode.tally['steps of one refresh']} steps a refresh, {mode.tally['steps enumerated']} of two "
                      f"in a row each killed at once; killed {dict(mode.phases)}; after an answer, a new log's header was synced "
                      f"by itself {mode.tally['header syncs']} times", flush=True)
                if unjust:
                    for person in sorted(unjust):
                        print(f"  lost for nothing: {person}\n    " + "\n    ".join(mode.history[person]), flush=True)
            except Failed as failure:
                print((place / "log").read_text(errors="replace")[-3000:], file=sys.stderr)
                raise SystemExit(f"FAILED (seed {options.seed}, {name}, start {mode.starts}): {failure}")
            finally:
                mode.end()
    if failed:
        raise SystemExit("FAILED: accounts were lost that a perfect client could have kept")


main()
