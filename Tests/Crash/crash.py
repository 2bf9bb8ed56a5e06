"""SIGKILL in the middle of linking, refreshing and syncing. See `run`.

Every third kill comes at a chance moment, the others while the provider holds the answer back. What must hold after
each start: an account that was linked is there, readable, with a token that the provider takes; an account whose link
was cut short is there whole or not at all; a rotation whose answer was cut off is repeated with the same refresh token,
once, and the provider's grace makes it good. A provider without grace ends that one account in `rotation_lost`.
"""
import collections
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
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Support"))
from rollcall_process import NoRedirect, free_port, wait_for  # noqa: E402

ROLLCALL = sys.argv[1]
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 12
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 20261121
chance = random.Random(SEED)
counts = collections.Counter()


def fail(what):
    raise SystemExit(f"FAILED (seed {SEED}): {what}")


def until(condition, otherwise, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            fail(otherwise)
        time.sleep(0.01)


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
        # Here access tokens end as soon as the test says so: a refusal just after a refresh is meant.
        manifest = (pathlib.Path(__file__).parents[2] / "providers" / "discord.yaml").read_text()
        assert ", settling: 10s" in manifest
        (self.folder / "providers.d").mkdir()
        (self.folder / "providers.d" / "discord.yaml").write_text(manifest.replace(", settling: 10s", ""))
        self.file = self.folder / "rollcall.yaml"
        self.file.write_text(f"""
providers_directory: "{self.folder}/providers.d"
public_url: "{self.base}"
application: {{return_to: ["http://127.0.0.1:9"]}}
http: {{port: {self.port}}}
database: {{path: "{folder}/rollcall.sqlite"}}
vault: {{key_file: "{folder}/master.key"}}
outgoing: {{allowed_private_hosts: [127.0.0.1]}}
providers:
  discord: {{client_id: demo-discord, client_secret: EXAMPLE-discord-secret, sync: {{minimum_interval: 1ms}}, variables: {variables}}}
""")
        wait_for(self.simulator_base + "/control", self.simulator)
        self.control(site="discord", switches={"reuse_grace": 600})
        self.key = subprocess.run(
            [ROLLCALL, "keys", "create", "crash", "--scope", "links:write,accounts:read,accounts:write,tokens:read",
             "--config", self.file], check=True, capture_output=True, text=True).stdout.strip()

    def control(self, **body):
        request = urllib.request.Request(
            self.simulator_base + "/control", json.dumps(body).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).read()

    def counters(self):
        return json.load(urllib.request.urlopen(self.simulator_base + "/control", timeout=10))["discord"]

    def requests_at(self, endpoint):
        """How many requests the provider has had at `endpoint`, and how many of them it still holds."""
        counted = self.counters()["endpoints"].get(endpoint, {})
        return counted.get("requests", 0), counted.get("concurrent", 0)

    def start(self):
        self.process = subprocess.Popen([ROLLCALL, "serve", "--config", self.file], stdout=self.log, stderr=self.log)
        wait_for(self.base + "/readyz", self.process)

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

    def interrupt(self, action, at=None):
        """Starts `action`, kills the service, and starts it again; returns what the caller got. The kill comes while the
        provider holds back its answer at the endpoint `at`, which it gives to nobody then, or at a chance moment."""
        result = []

        def attempt():
            try:
                result.append(action())
            except (OSError, http.client.HTTPException):
                pass

        if at:
            before, _ = self.requests_at(at)
            self.control(site="discord", fault={"kind": "delay", "milliseconds": 1500, "on": at})
        else:
            self.control(site="discord", fault={"kind": "latency", "milliseconds": 5, "jitter": 25})
        thread = threading.Thread(target=attempt)
        thread.start()
        if at:
            until(lambda: self.requests_at(at)[0] > before, f"no request came to {at}")
        else:
            time.sleep(chance.uniform(0, 0.12))
        self.kill()
        if at and self.requests_at(at)[1] != 1:
            fail(f"the kill came too late to cut off the answer of {at}")
        thread.join()
        if at:
            until(lambda: self.requests_at(at)[1] == 0, f"{at} does not come to an end")
            if result:
                fail(f"an answer came of a service that was killed at {at}")
        self.control(site="discord", clear=["faults"])
        self.start()
        counts["kills"] += 1
        return result[0] if result else None

    def refreshing(self, account):
        """What makes the service refresh: the provider takes the access token no more."""
        self.control(site="discord", fault={"kind": "expire_access_tokens"})
        return lambda: self.call("POST", f"/v1/accounts/{account}/sync", headers={"Prefer": "wait=10"})

    def cut_refresh(self, account):
        """A refresh whose answer is lost: the provider has spent the token, the service was killed."""
        before = self.counters()["refreshes"]
        self.interrupt(self.refreshing(account), at="token")
        if self.counters()["refreshes"] < before + 1:
            fail("the provider rotated no token; nothing was tested")

    def account(self, account):
        return self.call("GET", f"/v1/accounts/{account}")[1]

    def must_be_whole(self, account, after):
        status, profile = self.call("GET", f"/v1/accounts/{account}/profile")
        if status != 200 or not profile["claims"].get("sub"):
            fail(f"after {after}: the profile of {account} answers {status}")
        deadline = time.monotonic() + 20
        while True:
            # A provider that is resting, or a lease that the killed process held, clears by itself.
            status, token = self.call("POST", f"/v1/accounts/{account}/sync", headers={"Prefer": "wait=10"})
            if status == 200:
                status, token = self.call("POST", f"/v1/accounts/{account}/access-token", {})
            if status == 200:
                break
            if status == 409 or time.monotonic() > deadline:
                fail(f"after {after}: no token for {account}: {status} {token} {self.call('GET', '/v1/accounts/' + account)}")
            time.sleep(0.1)
        request = urllib.request.Request(
            self.simulator_base + "/discord/api/v10/users/@me",
            headers={"Authorization": "Bearer " + token["access_token"], "User-Agent": "DiscordBot (https://example.com, 1)"})
        if json.load(urllib.request.urlopen(request, timeout=10))["id"] != profile["subject"]:
            fail(f"after {after}: the token is somebody else's")
        counts["accounts checked"] += 1


def link(service, linked, people, round, at):
    """Links one of the people, cut short at the endpoint `at`, at a chance moment (`None`) or not at all (`nothing`)."""
    person, user = people[round % len(people)], f"user-{round % len(people)}"
    url, opener = service.callback_for(user, person)

    def callback():
        try:
            return opener.open(url, timeout=30)
        except urllib.error.HTTPError as error:
            return error

    answer = callback() if at == "nothing" else service.interrupt(callback, at)
    status, page = service.call("GET", f"/v1/users/{user}/accounts")
    if len(page["data"]) > 1:
        fail("one person became two accounts")
    told = answer is not None and answer.status == 303 and "status=linked" in answer.headers["Location"]
    if at == "nothing" and not told:
        fail(f"{user} can't be linked: {answer.status}")
    if (told or user in linked) and not page["data"]:
        fail(f"a linked account is gone (told: {told})")
    if at in ("token", "profile") and user not in linked and page["data"]:
        fail(f"a link that was cut short at {at} is there all the same")
    if at != "nothing":
        counts["links told" if told else "links cut short"] += 1
    if page["data"]:
        if linked.get(user, page["data"][0]["id"]) != page["data"][0]["id"]:
            fail("an account that was linked again has another id")
        linked[user] = page["data"][0]["id"]
        service.must_be_whole(linked[user], "a link")


def without_grace(service, linked, people):
    """The provider takes no spent token again: the account whose answer was cut off has to be linked again, and no
    other. Returns how many were lost so; all are linked again in the end."""
    service.control(site="discord", switches={"reuse_grace": 0})
    victims = sorted(linked)[:2]
    for number, user in enumerate(victims):
        account, before = linked[user], service.counters()
        service.cut_refresh(account)
        until(lambda: service.account(account)["status"] != "active", f"{account} stays active without a token")
        state = service.account(account)
        problem = state.get("problem", {})
        if state["status"] != "needs_relink" or problem["code"] != "rotation_lost" or problem["action"] != "user":
            fail(f"a lost rotation ended in {state['status']}, {problem}")
        status, refusal = service.call("POST", f"/v1/accounts/{account}/access-token", {})
        if status != 409:
            fail(f"a token of an account whose tokens are lost: {status} {refusal}")
        if service.counters()["reuse_detections"] - before["reuse_detections"] != 1:
            fail("the spent token was not presented once, and once only")
        for other in linked:
            if linked[other] != account:
                service.must_be_whole(linked[other], "another's lost rotation")
        link(service, linked, people, int(user.removeprefix("user-")), at="nothing")
        if service.account(account)["status"] != "active":
            fail(f"{account} was linked again and is not active")
    return len(victims)


def main(folder):
    service = Service(folder)
    people = None
    try:
        service.start()
        people = [p["id"] for p in json.load(urllib.request.urlopen(
            service.simulator_base + "/control/people/discord", timeout=10))]
        linked = {}
        for round in range(ROUNDS):
            link(service, linked, people, round, at=(None, "token", "profile")[round % 3])
        for round, person in enumerate(people):
            if f"user-{round}" not in linked:
                link(service, linked, people, round, at="nothing")
        if not counts["links cut short"]:
            fail("no link was cut short; nothing was tested")

        accounts = sorted(linked.values())
        account = None
        for round in range(ROUNDS):
            account = chance.choice(accounts)
            before = service.counters()
            if round % 3:
                service.cut_refresh(account)
            else:
                service.interrupt(service.refreshing(account))
            service.must_be_whole(account, "a refresh")
            now = service.counters()
            repeated = now["grace_replays"] - before["grace_replays"]
            counts["rotations repeated"] += repeated
            if repeated != 1 if round % 3 else repeated > 1:
                fail(f"a rotation cut short was repeated {repeated} times")
            if round % 3 and now["refreshes"] - before["refreshes"] != 1:
                fail("a rotation cut short was followed by another")
        for round in range(ROUNDS):
            account = chance.choice(accounts)
            subject = service.account(account)["subject"]
            name = f"Name {round}"
            request = urllib.request.Request(
                f"{service.simulator_base}/control/people/discord/{subject}",
                json.dumps({"name": name}).encode(), {"Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=10).read()
            service.interrupt(
                lambda: service.call("POST", f"/v1/accounts/{account}/sync", headers={"Prefer": "wait=10"}),
                at="profile" if round % 3 else None)
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
        if state["reuse_detections"]:
            fail(f"a spent refresh token was presented {state['reuse_detections']} times")
        if not counts["rotations repeated"]:
            fail("no rotation was repeated; nothing was tested")

        lost = without_grace(service, linked, people)
        for account in accounts:
            service.must_be_whole(account, "everything")
        print(f"crashes: {dict(counts)}; accounts lost: {len(set(linked.values()) - set(accounts))}; "
              f"rotations lost without grace: {lost}; at the simulator: "
              f"{ {k: v for k, v in service.counters().items() if k in ('refreshes', 'reuse_detections', 'grace_replays')} }")
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
