"""SIGKILL at chance moments of linking, refreshing and syncing. See `run`.

What must hold after each start: an account that was linked is there, readable, with a token that the provider takes;
an account whose link was cut short is there whole or not at all; a rotation whose answer was cut off is repeated with
the same refresh token, once, and the provider's grace makes it good.
"""
import collections
import http.client
import json
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROLLCALL = sys.argv[1]
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 12
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 20261121
chance = random.Random(SEED)
counts = collections.Counter()


def fail(what):
    raise SystemExit(f"FAILED (seed {SEED}): {what}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


class Service:
    def __init__(self, folder):
        self.folder, self.port, self.simulator_port = pathlib.Path(folder), free_port(), free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.simulator_base = f"http://127.0.0.1:{self.simulator_port}"
        self.log = open(self.folder / "log", "ab")
        self.simulator = subprocess.Popen(
            [ROLLCALL, "simulator", "--port", str(self.simulator_port), "--service-url", self.base],
            stdout=self.log, stderr=self.log)
        self.process = None
        variables = f'{{site: "{self.simulator_base}/discord", api: "{self.simulator_base}/discord/api/v10"}}'
        self.file = self.folder / "rollcall.yaml"
        self.file.write_text(f"""
public_url: "{self.base}"
application: {{return_to: ["http://127.0.0.1:9"]}}
http: {{port: {self.port}}}
database: {{path: "{folder}/rollcall.sqlite"}}
vault: {{key_file: "{folder}/master.key"}}
outgoing: {{allowed_private_hosts: [127.0.0.1]}}
providers:
  discord: {{client_id: demo-discord, client_secret: EXAMPLE-discord-secret, variables: {variables}}}
""")
        self.wait(self.simulator_base + "/control", self.simulator)
        self.control(site="discord", switches={"reuse_grace": 600})
        self.key = subprocess.run(
            [ROLLCALL, "keys", "create", "crash", "--scope", "links:write,accounts:read,accounts:write,tokens:read",
             "--config", self.file], check=True, capture_output=True, text=True).stdout.strip()

    def wait(self, url, process):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if process.poll() is not None:
                fail(f"a process ended with {process.returncode}")
            try:
                return urllib.request.urlopen(url, timeout=2).read()
            except urllib.error.HTTPError:
                return b""
            except OSError:
                time.sleep(0.01)
        fail(f"nothing answers at {url}")

    def control(self, **body):
        request = urllib.request.Request(
            self.simulator_base + "/control", json.dumps(body).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).read()

    def counters(self):
        return json.load(urllib.request.urlopen(self.simulator_base + "/control", timeout=10))

    def start(self):
        self.process = subprocess.Popen([ROLLCALL, "serve", "--config", self.file], stdout=self.log, stderr=self.log)
        self.wait(self.base + "/readyz", self.process)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(
            method, path, None if body is None else json.dumps(body),
            {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None

    def callback_for(self, user, person):
        """Drives the browser up to the callback; returns the callback's URL and the opener whose cookies it needs."""
        self.control(site="discord", switches={"auto_consent": person})
        status, session = self.call(
            "POST", "/v1/link-sessions",
            {"user_id": user, "provider": "discord", "confirm": False, "return_to": "http://127.0.0.1:9/done"})
        if status != 201:
            fail(f"no link session: {status} {session}")
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), NoRedirect)
        url = session["url"]
        for _ in range(6):
            try:
                response = opener.open(url, timeout=10)
            except urllib.error.HTTPError as error:
                response = error
            if response.status not in (302, 303):
                fail(f"no redirect at {url.split('?')[0]}: {response.status}")
            url = urllib.parse.urljoin(url, response.headers["Location"])
            if url.startswith(self.base + "/callback/"):
                return url, opener
        fail("no callback")

    def interrupt(self, action):
        """Starts `action`, kills the service a chance moment later, and starts it again. Returns what the caller got."""
        result = []

        def attempt():
            try:
                result.append(action())
            except (OSError, http.client.HTTPException):
                pass

        self.control(site="discord", fault={"kind": "latency", "milliseconds": 5, "jitter": 25})
        thread = threading.Thread(target=attempt)
        thread.start()
        time.sleep(chance.uniform(0, 0.12))
        self.kill()
        thread.join()
        self.control(site="discord", clear=True)
        self.start()
        counts["kills"] += 1
        return result[0] if result else None

    def must_be_whole(self, account, after):
        status, profile = self.call("GET", f"/v1/accounts/{account}/profile")
        if status != 200 or not profile["claims"].get("sub"):
            fail(f"after {after}: the profile of {account} answers {status}")
        deadline = time.monotonic() + 20
        while True:
            # A provider that is resting, or a lease that the killed process held, clears by itself.
            status, token = self.call("POST", f"/v1/accounts/{account}/access-token", {})
            if status == 200:
                break
            if status == 409 or time.monotonic() > deadline:
                fail(f"after {after}: no token for {account}: {status} {token} {self.call('GET', '/v1/accounts/' + account)}")
            time.sleep(0.1)
        request = urllib.request.Request(
            self.simulator_base + "/discord/api/v10/users/@me",
            headers={"Authorization": "Bearer " + token["access_token"], "User-Agent": "DiscordBot (crash test, 1)"})
        if json.load(urllib.request.urlopen(request, timeout=10))["id"] != profile["subject"]:
            fail(f"after {after}: the token is somebody else's")
        counts["accounts checked"] += 1


def main(folder):
    service = Service(folder)
    people = None
    try:
        service.start()
        people = [p["id"] for p in service.counters()["people"] if p["site"] == "discord"]
        linked = {}
        for round in range(ROUNDS):
            person = people[round % len(people)]
            user = f"user-{round % len(people)}"
            url, opener = service.callback_for(user, person)

            def callback():
                try:
                    return opener.open(url, timeout=10)
                except urllib.error.HTTPError as error:
                    return error

            answer = service.interrupt(callback)
            status, page = service.call("GET", f"/v1/users/{user}/accounts")
            if len(page["data"]) > 1:
                fail("one person became two accounts")
            told = answer is not None and answer.status == 303 and "status=linked" in answer.headers["Location"]
            if (told or user in linked) and not page["data"]:
                fail(f"a linked account is gone (told: {told})")
            counts["links told" if told else "links cut short"] += 1
            if page["data"]:
                linked[user] = page["data"][0]["id"]
                service.must_be_whole(linked[user], "a link")
        if not linked:
            fail("no link survived; nothing was tested")
        for round in range(ROUNDS):
            account = chance.choice(sorted(linked.values()))
            service.interrupt(
                lambda: service.call("POST", f"/v1/accounts/{account}/access-token", {"min_ttl": 2592000}))
            service.must_be_whole(account, "a refresh")
        for round in range(ROUNDS):
            account = chance.choice(sorted(linked.values()))
            subject = service.call("GET", f"/v1/accounts/{account}")[1]["subject"]
            name = f"Name {round}"
            request = urllib.request.Request(
                f"{service.simulator_base}/control/people/discord/{subject}",
                json.dumps({"name": name}).encode(), {"Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=10).read()
            service.interrupt(
                lambda: service.call("POST", f"/v1/accounts/{account}/sync", headers={"Prefer": "wait=10"}))
            service.must_be_whole(account, "a sync")
            deadline = time.monotonic() + 30
            while True:
                status, profile = service.call(
                    "POST", f"/v1/accounts/{account}/sync", headers={"Prefer": "wait=10"})
                if status == 200 and profile["claims"]["name"] == name:
                    break
                if time.monotonic() > deadline:
                    fail(f"after a sync: {account} stays stale: {status} {profile}")
                time.sleep(0.1)
        state = service.counters()
        print(f"crashes: {dict(counts)}; accounts lost: 0; at the simulator: "
              f"{ {k: v for k, v in state['sites']['discord'].items() if k in ('refreshes', 'reuse_detections', 'grace_replays')} }")
    except SystemExit:
        print((service.folder / "log").read_text(errors="replace")[-4000:], file=sys.stderr)
        raise
    finally:
        for process in (service.process, service.simulator):
            if process and process.poll() is None:
                process.kill()
                process.wait()


with tempfile.TemporaryDirectory() as folder:
    main(folder)
