"""Keys rotate under load, and the rotation is killed. See `run`.

A service answers programs all the while: their reads of tokens, and what they write that is sealed, must not
fail once. `rollcall vault rotate` is killed with SIGKILL at chance moments, and begun again until it ends by itself. What
must hold then: every account has the tokens it had, no row needs an old key, everything opens, and the service, which was
never restarted, reads and writes on with the old key gone from the file.

Usage: vault.py PATH_OF_ROLLCALL [ACCOUNTS [KILLS [SEED]]]
"""
import http.client
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Support"))
from rollcall_process import free_port, wait_for  # noqa: E402

ROLLCALL = sys.argv[1]
ACCOUNTS = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
KILLS = int(sys.argv[3]) if len(sys.argv) > 3 else 25
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else 20261121
READERS = 2
chance = random.Random(SEED)


def fail(what):
    raise SystemExit(f"FAILED (seed {SEED}): {what}")


class Load:
    """Programs that read one token after another, and every now and then write something that is sealed."""

    def __init__(self, port, key, accounts):
        self.port, self.key, self.accounts = port, key, accounts
        self.reads, self.writes, self.slowest = [0] * READERS, [0] * READERS, [0.0] * READERS
        self.failures, self.stopped = [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(READERS)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        chance = random.Random(SEED + number)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        while not self.stopped.is_set():
            subject, account = chance.choice(self.accounts)
            started = time.monotonic()
            try:
                connection.request("POST", f"/v1/accounts/{account}/access-token", "{}", headers)
                response = connection.getresponse()
                body = response.read()
                if response.status != 200 or json.loads(body)["access_token"] != f"access-EXAMPLE-{subject}":
                    self.failures.append(f"the token of {account}: {response.status} {body[:300]}")
                self.reads[number] += 1
                if chance.random() < 0.05:
                    # Sealed too: the answer is kept for a repetition, which must get the same.
                    name = {"Idempotency-Key": f"{number}-{self.reads[number]}"}
                    answers = []
                    for _ in range(2):
                        connection.request(
                            "POST", "/v1/link-sessions", json.dumps({"user_id": "load"}), {**headers, **name})
                        response = connection.getresponse()
                        answers.append((response.status, response.read()))
                    if answers[0][0] != 201 or answers[0] != answers[1]:
                        self.failures.append(f"a link session: {answers}"[:400])
                    self.writes[number] += 1
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                connection.close()
            self.slowest[number] = max(self.slowest[number], time.monotonic() - started)

    def count(self):
        return sum(self.reads)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def main(folder):
    folder = pathlib.Path(folder)
    port = free_port()
    file = folder / "rollcall.yaml"
    file.write_text(f"""
public_url: "http://127.0.0.1:{port}"
http: {{port: {port}}}
database: {{path: "{folder}/rollcall.sqlite"}}
vault: {{key_file: "{folder}/master.key"}}
log: {{level: warning}}
providers: {{github: {{client_id: EXAMPLE, client_secret: EXAMPLE, sync: {{interval: 30d}}}}}}
""")

    def rollcall(*arguments, **options):
        return subprocess.run(
            [ROLLCALL, *arguments, "--config", file], check=True, capture_output=True, text=True, **options)

    def ring():
        lines = (folder / "master.key").read_text().splitlines()
        return [line.removeprefix("# key ") for line in lines if line.startswith("# key ")]

    accounts = "\n".join(json.dumps({
        "user_id": str(n), "provider": "github", "subject": str(n), "access_token": f"access-EXAMPLE-{n}",
        "refresh_token": f"refresh-EXAMPLE-{n}", "expires_at": "2099-01-01T00:00:00Z"}) for n in range(ACCOUNTS))
    rollcall("accounts", "import", "-", input=accounts)
    before = rollcall("accounts", "export").stdout
    key = rollcall("keys", "create", "load", "--scope", "links:write,accounts:read,tokens:read").stdout.strip()
    listed = [json.loads(line) for line in rollcall("accounts", "list", "--json", "--limit", "0").stdout.splitlines()]
    first = ring()
    log = open(folder / "log", "ab")
    service = subprocess.Popen([ROLLCALL, "serve", "--config", file], stdout=log, stderr=log)
    load = None
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", service)
        load = Load(port, key, [(account["subject"], account["id"]) for account in listed])
        time.sleep(2)
        quiet, quiet_seconds = load.count(), 2

        # Rotations that are killed, each after a chance part of the time that a whole one takes.
        kills, finished = 0, 0
        whole = max(0.3, ACCOUNTS / 4000)
        for _ in range(KILLS):
            process = subprocess.Popen([ROLLCALL, "vault", "rotate", "--config", file], stdout=log, stderr=log)
            try:
                process.wait(chance.uniform(0, whole))
                finished += 1
                if process.returncode != 0:
                    fail(f"a rotation ended with {process.returncode}")
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        rollcall("vault", "rotate")
        # A whole one, for the measure, and then the old keys leave the file.
        began, reads = time.monotonic(), load.count()
        said = rollcall("vault", "rotate").stderr
        seconds, reads = time.monotonic() - began, load.count() - reads
        verified = rollcall("vault", "verify")
        if len(verified.stdout.splitlines()) != 1 + len(ring()):
            fail(f"the database and the file name different keys:\n{verified.stdout}")
        rollcall("vault", "retire")
        if len(ring()) != 1 or ring()[0] in first:
            fail(f"{len(ring())} keys are left in the file")
        after_retire = load.count()
        time.sleep(1)
        load.stop()
        if load.count() == after_retire:
            fail("nobody read after the old keys had gone")
        if load.failures:
            fail(f"{len(load.failures)} reads or writes failed, such as: {load.failures[0]}")
        if service.poll() is not None:
            fail("the service did not stay up")
        began_verify = time.monotonic()
        verified = json.loads(rollcall("vault", "verify", "--json").stdout)
        verify_seconds = time.monotonic() - began_verify
        if [k["id"] for k in verified["keys"]] != ring() or verified["opened"] < ACCOUNTS:
            fail(f"verify says {verified}")
        if sorted(rollcall("accounts", "export").stdout.splitlines()) != sorted(before.splitlines()):
            fail("the accounts are not what they were")
        if KILLS and kills < KILLS / 4:
            fail(f"only {kills} of {KILLS} rotations were killed; nothing was tested")
        print(f"security 90: {ACCOUNTS} accounts; rotations killed: {kills}, finished: {finished + 2}; the last took "
              f"{seconds:.1f} s ({said.split(' rows')[0].split()[-1]} rows); verify {verify_seconds:.1f} s; reads of tokens: "
              f"{load.count()}, {reads / seconds:.0f}/s under rotation, {quiet / quiet_seconds:.0f}/s before; sealed writes: "
              f"{sum(load.writes)}; failed: {len(load.failures)}; slowest {max(load.slowest) * 1000:.0f} ms")
    except SystemExit:
        print((folder / "log").read_text(errors="replace")[-4000:], file=sys.stderr)
        raise
    except subprocess.CalledProcessError as error:
        fail(f"{error.cmd[1:3]} ended with {error.returncode}: {error.stderr[-2000:]}")
    finally:
        if load:
            load.stop()
        if service.poll() is None:
            service.kill()
            service.wait()


with tempfile.TemporaryDirectory() as folder:
    main(folder)
