"""Secrets are where they belong and nowhere else. See `run`.

A proxy between service and simulator notes every token, code, verifier, nonce, secret and header value that passes; the
browser here notes states, cookies and link tokens. After every flow and every failure the logs at level `trace`, the
output of commands, pages, answers, database, log and index of SQLite, and what a crash leaves are searched for all of it:
in the clear, in base64, in hexadecimal, percent-encoded. The search itself is shown to find what was put there.
"""
import base64
import collections
import http.client
import json
import os
import pathlib
import re
import resource
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
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from rollcall_process import NoRedirect, free_port, wait_for  # noqa: E402
from witness import Search, Secrets, Witness, forms  # noqa: E402

ROLLCALL = sys.argv[1]
SITES = ("discord", "github", "google")
ID_TOKEN_FLAWS = ("missing", "signature", "issuer", "audience", "nonce", "expired", "alg_none", "unknown_key", "at_hash")
counts = collections.Counter()


def fail(what):
    raise SystemExit(f"FAILED: {what}")


def check(condition, what):
    if not condition:
        fail(what)
    print(f"  ok  {what}")


class World:
    def __init__(self, folder):
        self.folder, self.secrets = pathlib.Path(folder), Secrets()
        self.witness = Witness(self.secrets)
        self.port, self.simulator_port = free_port(), free_port()
        self.base, self.provider = (f"http://127.0.0.1:{port}" for port in (self.port, self.simulator_port))
        # What others were answered: (what it was, bytes).
        self.answers, self.outputs = [], []
        self.simulator = subprocess.Popen(
            [ROLLCALL, "simulator", "--port", str(self.simulator_port), "--service-url", self.base],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        p = self.provider
        self.file = self.folder / "rollcall.yaml"
        self.file.write_text(f"""
public_url: "{self.base}"
application: {{return_to: ["http://127.0.0.1:9"]}}
http: {{port: {self.port}}}
database: {{path: "{folder}/data/rollcall.sqlite"}}
vault: {{key_file: "{folder}/keys/master.key"}}
outgoing: {{allowed_private_hosts: [127.0.0.1]}}
log: {{level: trace}}
providers:
  discord: {{client_id: demo-discord, client_secret: EXAMPLE-discord-secret, sync: {{minimum_interval: 1ms}},
    variables: {{site: "{p}/discord", api: "{p}/discord/api/v10"}}}}
  github: {{client_id: demo-github, client_secret: EXAMPLE-github-secret, sync: {{minimum_interval: 1ms}},
    variables: {{site: "{p}/github", api: "{p}/github/api"}}}}
  google: {{client_id: demo-google, client_secret: EXAMPLE-google-secret, sync: {{minimum_interval: 1ms}},
    variables: {{issuer: "{p}/google"}}}}
  work: {{manifest: oidc, client_id: demo-work, client_secret: EXAMPLE-work-secret, dpop: required,
    variables: {{issuer: "{p}/oidc/work"}}}}
""")
        self.environment = {
            **os.environ, "ROLLCALL_OUTGOING_PROXY": f"http://127.0.0.1:{self.witness.server_address[1]}"}
        for site in (*SITES, "work"):
            self.secrets.add(f"EXAMPLE-{site}-secret", "client_secret")
        wait_for(self.provider + "/control", self.simulator)
        self.people = {}
        for site in SITES:
            request = urllib.request.urlopen(f"{self.provider}/control/people/{site}", timeout=10)
            self.people[site] = [person["id"] for person in json.load(request)]
            self.secrets.public.update(self.people[site])
            self.control(site, switches={"auto_consent": self.people[site][0]})
        # A site that binds tokens to a key.
        self.control(
            "oidc/work", switches={"requires_dpop": True, "demands_proof_nonces": True, "device_interval": 1},
            client={"id": "demo-work", "secret": "EXAMPLE-work-secret", "redirect_uris": [self.base + "/callback/work"]})
        self.control("google", switches={"device_interval": 1})
        self.key = self.command(
            "keys", "create", "markers", "--scope", "links:write,accounts:read,accounts:write,tokens:read",
            keep=False).strip()
        self.secrets.add(self.key, "api key")
        self.processes = 0
        self.start()

    def control(self, site, **body):
        request = urllib.request.Request(
            self.provider + "/control", json.dumps({"site": site, **body}).encode(),
            {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).read()

    def start(self, **settings):
        """A service of its own folder, where a core file would land."""
        self.processes += 1
        home = self.folder / f"home-{self.processes}"
        home.mkdir()
        environment = {**self.environment, "SWIFT_BACKTRACE": "enable=no", **settings}
        self.log = open(self.folder / f"log-{self.processes}", "wb")
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        try:
            resource.setrlimit(resource.RLIMIT_CORE, unlimited)
        except (ValueError, OSError):
            pass
        self.process = subprocess.Popen(
            [ROLLCALL, "serve", "--config", self.file], stdout=self.log, stderr=self.log, env=environment, cwd=home)
        wait_for(self.base + "/readyz", self.process)
        return home

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def command(self, *arguments, keep=True, status=0, **options):
        """`keep`: what it prints must hold no secret."""
        result = subprocess.run(
            [ROLLCALL, *arguments, "--config", self.file], capture_output=True, text=True, env=self.environment,
            **options)
        if result.returncode != status:
            fail(f"{arguments[:2]} ended with {result.returncode}: {result.stderr[-1500:]}")
        self.outputs.append((" ".join(arguments[:2]), ((result.stdout if keep else "") + result.stderr).encode()))
        return result.stdout

    def call(self, method, path, body=None, headers=None, keep=True):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(
            method, path, None if body is None else json.dumps(body),
            {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        text = response.read()
        fields = "".join(f"{n}: {v}\n" for n, v in response.getheaders())
        if keep:
            self.answers.append((f"{method} {path.split('?')[0]}", fields.encode() + text))
        try:
            return response.status, json.loads(text) if text else None
        except ValueError:
            return response.status, None

    def visit(self, opener, url, data=None):
        """One request of a browser: notes what the answer's head holds, keeps its page for the search."""
        headers = {} if data is None else {"Origin": self.base, "Sec-Fetch-Site": "same-origin"}
        try:
            response = opener.open(urllib.request.Request(url, data, headers), timeout=60)
        except urllib.error.HTTPError as error:
            response = error
        page = response.read()
        self.secrets.add_url(url)
        self.secrets.add_headers(response.headers.items())
        if url.startswith(self.base):
            self.answers.append((f"page {urllib.parse.urlsplit(url).path.split('/')[1]}", page))
        for value in re.findall(rb'name="csrf"[^>]*value="([^"]+)"', page):
            self.secrets.add(value.decode(), "csrf")
        return response

    def flow(self, site, user="42", person=0):
        """Up to the callback; returns its URL and the browser."""
        self.control(site, switches={"auto_consent": self.people[site][person]})
        status, session = self.call(
            "POST", "/v1/link-sessions",
            {"user_id": user, "provider": site, "confirm": False, "return_to": "http://127.0.0.1:9/done"}, keep=False)
        if status != 201:
            fail(f"no link session: {status} {session}")
        self.secrets.add(session["url"].rsplit("/", 1)[-1], "link token")
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), NoRedirect)
        url = session["url"]
        for _ in range(8):
            response = self.visit(opener, url)
            if response.status not in (302, 303):
                fail(f"no redirect at {url.split('?')[0]}: {response.status}")
            url = urllib.parse.urljoin(url, response.headers["Location"])
            if url.startswith(self.base + "/callback/"):
                self.secrets.add_url(url)
                return url, opener
        fail("no callback")

    def link(self, site, expected, **options):
        url, opener = self.flow(site, **options)
        response = self.visit(opener, url)
        location = response.headers.get("Location") or ""
        result = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)
        said = (result.get("error") or result.get("status") or [str(response.status)])[0]
        if expected and said != expected:
            fail(f"linking {site} came to {said}, not {expected}")
        counts[f"links {said}"] += 1
        return result.get("account_id", [None])[0]

    def device_link(self, provider, site, decision="allow", answer="confirm"):
        """A link by device code: the code typed in and decided upon, the account confirmed or not."""
        status, link = self.call("POST", "/v1/device-links", {"user_id": "42", "provider": provider})
        if status != 201:
            fail(f"no device link: {status} {link}")
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), NoRedirect)
        typed = urllib.parse.urlencode({"user_code": link["user_code"]}).encode()
        page = opener.open(f"{self.provider}/{site}/device", typed, timeout=10).read().decode()
        form = {"request": re.search(r'name="request" value="([^"]+)"', page)[1],
                "person": re.search(r'name="person" value="([^"]+)"', page)[1], "decision": decision}
        opener.open(f"{self.provider}/{site}/consent", urllib.parse.urlencode(form).encode(), timeout=10).read()
        path = f"/v1/device-links/{link['id']}"
        deadline = time.monotonic() + 60
        while link["status"] == "pending" and time.monotonic() < deadline:
            time.sleep(0.2)
            _, link = self.call("GET", path)
        if decision == "allow":
            if link["status"] != "confirmation_required":
                fail(f"device link at {site}: {link}")
            self.call("POST" if answer == "confirm" else "DELETE", path + ("/confirm" if answer == "confirm" else ""))
            _, link = self.call("GET", path)
        counts[f"device links {link['status']}"] += 1
        return link.get("account_id")

    def sync(self, account):
        status, _ = self.call("POST", f"/v1/accounts/{account}/sync", headers={"Prefer": "wait=20"})
        counts[f"syncs {status}"] += 1
        return status

    def refresh(self, site, account, fault=None):
        """Refreshes, with something in the way. An account that broke is linked again."""
        self.control(site, fault={"kind": "expire_access_tokens"})
        if fault:
            self.control(site, fault=fault)
        self.sync(account)
        self.control(site, clear=["faults"])


def echo(world, kinds):
    """What a provider that repeats everything it was sent would answer."""
    return " ".join(sorted(world.secrets.of(*kinds))[-40:])


def flows(world):
    accounts = {site: world.link(site, "linked") for site in SITES}
    discord = accounts["discord"]
    # Callbacks that are none, in the right browser and in another.
    for site in SITES:
        url, opener = world.flow(site)
        parts = urllib.parse.urlsplit(url)
        query = dict(urllib.parse.parse_qsl(parts.query))
        other = urllib.request.build_opener(NoRedirect)
        world.visit(other, url)
        for wrong in ({**query, "state": query["state"][::-1]}, {"state": query["state"]},
                      {"code": query["code"]}, {**query, "access_token": query["code"]}):
            world.visit(opener, parts._replace(query=urllib.parse.urlencode(wrong)).geturl())
        world.visit(opener, url + "&state=" + query["state"])
        world.visit(opener, url.replace(f"/callback/{site}", f"/callback/{SITES[SITES.index(site) - 1]}"))
        world.visit(opener, parts._replace(query=urllib.parse.urlencode(
            {**query, "error": "access_denied", "error_description": query["code"]})).geturl())
        world.visit(opener, url)
        counts["wrong callbacks"] += 8
    # Links that fail at the provider.
    kinds = ("code", "code_verifier", "client_secret", "authorization", "refresh_token", "access_token")
    for site in SITES:
        for fault in (
            {"kind": "status", "status": 500, "on": "token"}, {"kind": "status", "status": 400, "on": "token"},
            {"kind": "status", "status": 500, "on": "profile"}, {"kind": "status", "status": 403, "on": "profile"},
            {"kind": "drop", "on": "token"}, {"kind": "cut", "on": "token"}, {"kind": "broken_json", "on": "token"},
            {"kind": "html", "on": "profile"}, {"kind": "refuse", "on": "token"}, {"kind": "invalid_client"},
            {"kind": "redirect", "on": "token", "location": world.provider + "/?code=MARKER-EXAMPLE-LOCATION"},
        ):
            url, opener = world.flow(site, person=1)
            if fault["kind"] == "status":
                said = echo(world, kinds)
                fault = {**fault, "content_type": "application/json", "body": json.dumps(
                    {"error": "invalid_grant", "error_description": said, "message": said, "sub": said})}
            world.control(site, fault={**fault, "times": None})
            world.visit(opener, url)
            world.control(site, clear=["faults"])
            counts["links that fail"] += 1
    for flaw in ID_TOKEN_FLAWS:
        world.control("google", fault={"kind": "id_token", "flaw": flaw})
        world.link("google", None, person=1)
        world.control("google", clear=["faults"])
    # Syncs and refreshes that work and that do not; the account that lost its tokens is linked again.
    for site in ("discord", "google"):
        world.refresh(site, accounts[site])
        check(world.sync(accounts[site]) == 200, f"{site} refreshes and syncs through the witness")
        for fault in (
            {"kind": "status", "status": 502, "on": "token"}, {"kind": "status", "status": 400, "on": "token"},
            {"kind": "invalid_grant"}, {"kind": "drop", "on": "token"}, {"kind": "limited", "on": "profile", "retry_after": 1},
        ):
            if fault["kind"] == "status":
                said = echo(world, kinds)
                fault = {**fault, "content_type": "application/json", "body": json.dumps(
                    {"error": "server_error", "error_description": said, "errors": [{"message": said}]})}
            world.refresh(site, accounts[site], {**fault, "times": None})
            world.call("GET", f"/v1/accounts/{accounts[site]}")
            accounts[site] = world.link(site, "linked") or accounts[site]
    # A provider that does not answer while the caller waits.
    world.control("github", fault={"kind": "hang", "on": "profile", "milliseconds": 2500})
    world.call("POST", f"/v1/accounts/{accounts['github']}/sync", headers={"Prefer": "wait=1"})
    # Programs: tokens, wrong keys, keys where they do not belong, repeated requests.
    for site in SITES:
        world.call("POST", f"/v1/accounts/{accounts[site]}/access-token", {}, keep=False)
        world.call("GET", f"/v1/accounts/{accounts[site]}/profile")
    for headers in ({"Authorization": f"Bearer {world.key[::-1]}"}, {"Authorization": world.key},
                    {"Authorization": "Basic " + base64.b64encode(f"x:{world.key}".encode()).decode()}):
        status, _ = world.call("GET", "/v1/accounts", headers=headers)
        check(status == 401, "a request with a wrong Authorization is refused")
    for path in (f"/v1/accounts?access_token={world.key}", f"/v1/accounts?x={world.key}", f"/v1/{world.key}"):
        world.call("GET", path)
    for _ in range(2):
        status, session = world.call(
            "POST", "/v1/link-sessions", {"user_id": "42"}, headers={"Idempotency-Key": "markers"}, keep=False)
        world.secrets.add(session["url"].rsplit("/", 1)[-1], "link token")
    world.call("POST", "/v1/link-sessions", {"user_id": 7, "provider": world.key, "return_to": world.key}, keep=False)
    # Links by device code, with tokens bound to a key and without, allowed, denied and not confirmed.
    for provider, site in (("google", "google"), ("work", "oidc/work")):
        check(world.device_link(provider, site), f"a device link at {site}")
        world.device_link(provider, site, decision="deny")
        world.device_link(provider, site, answer="decline")
    bound = world.device_link("work", "oidc/work")
    world.control("oidc/work", fault={"kind": "expire_access_tokens"})
    check(world.sync(bound) == 200, "a bound token is renewed and used")
    # Operators.
    exported = world.command("accounts", "export", keep=False)
    for line in exported.splitlines():
        world.secrets.add_json(json.loads(line))
    lines = exported.splitlines()
    bad = [json.dumps({**json.loads(lines[0]), "expires_at": json.loads(lines[0])["access_token"]}),
           lines[0][:-1], json.dumps({json.loads(lines[0])["access_token"]: 1}),
           json.dumps({"access_token": json.loads(lines[0])["access_token"], "provider": "discord", "user_id": 1})]
    world.command("accounts", "import", "--keep-going", "-", input="\n".join(lines + bad), status=1)
    world.command("accounts", "list", "--json")
    world.command("accounts", "show", discord)
    world.command("config", "show")
    world.command("keys", "list", "--json")
    world.command("sync", "status")
    world.command("sync", "status", "--json")
    world.call("GET", "/metrics")
    check(b"rollcall_token_refreshes_total{" in world.answers[-1][1], "the metrics tell of refreshes, and are searched")
    world.command("vault", "rotate")
    world.command("vault", "verify")
    # Unlinking: revoked at the provider, and where that fails, later.
    world.control("google", fault={"kind": "status", "status": 503, "on": "revocation", "times": None,
                                   "body": echo(world, kinds)})
    for site in SITES:
        status, _ = world.call("DELETE", f"/v1/accounts/{accounts[site]}")
        check(status in (200, 202, 204), f"{site} is unlinked")
    time.sleep(0.5)
    world.control("google", clear=["faults"])
    return {site: world.link(site, "linked", user="43", person=2) for site in SITES}


def main(folder):
    world = World(folder)
    try:
        flows(world)
        world.end()
        # Once more in the other form of the log, and a crash in the middle.
        home = world.start(ROLLCALL_LOG_FORMAT="json")
        world.link("discord", "linked", user="44", person=1)
        for path in sorted((world.folder / "data").iterdir()):
            if path.suffix != ".lock":
                world.outputs.append((f"{path.name} while it runs", path.read_bytes()))
        check(world.end(signal.SIGABRT) == -signal.SIGABRT, "the service dies of SIGABRT where told to")
        crashed = [path for path in home.iterdir()]
        check(not crashed, f"security 91: a crash leaves no core file {[p.name for p in crashed] or ''}")

        everything = dict(world.secrets.of())
        ring = (world.folder / "keys" / "master.key").read_text().splitlines()
        for line in ring:
            if line and not line.startswith("#"):
                everything[line] = "master key"
                everything[base64.b64decode(line)] = "master key"
        kinds = collections.Counter(everything.values())
        for kind in ("access_token", "refresh_token", "id_token", "code", "code_verifier", "client_secret", "state", "nonce",
                     "authorization", "set-cookie", "api key", "master key", "link token", "device_code", "dpop", "proof_key"):
            check(kinds[kind] > 0, f"{kinds[kind]} values of {kind} were seen")

        search = Search(everything)
        # A page's own address and its form belong to the browser that asked.
        page_search = Search({s: k for s, k in everything.items() if k not in ("link token", "csrf")})
        planted(search, everything)
        places = [(f"log {p.name}", p.read_bytes(), search) for p in sorted(world.folder.glob("log-*"))]
        for path in sorted((world.folder / "data").iterdir()):
            places.append((path.name, path.read_bytes(), search))
        places += [(f"what {name} left", data, search) for name, data in world.outputs]
        places += [(name, data, page_search) for name, data in world.answers]
        total, found = 0, []
        for name, data, wanted in places:
            total += len(data)
            found += [(name, kind, at, before) for kind, at, before in wanted.find(data)]
        for name, kind, at, before in found[:10]:
            print(f"FOUND {kind} in {name} at byte {at}, after {before!r}", file=sys.stderr)
        log = b"".join(p.read_bytes() for p in world.folder.glob("log-*"))
        check(log.count(b"\n") > 100 and b" trace " in log or b" debug " in log, "the log is talkative")
        check(not found, "security 96: secrets are in no log, page, answer, output or file of the database: "
              f"none of {len(everything)} in {len(places)} places, {total >> 10} KiB")
        core(world, everything)
        print(f"markers: {dict(kinds)}; {dict(counts)}; {world.witness.passed} exchanges passed the witness")
    except SystemExit:
        for path in sorted(world.folder.glob("log-*")):
            print(path.read_text(errors="replace")[-1500:], file=sys.stderr)
        raise
    finally:
        for process in (world.process, world.simulator):
            if process.poll() is None:
                process.kill()
                process.wait()


def planted(search, everything):
    """The search finds each kind in each form, wherever it begins."""
    noise = os.urandom(3000)
    samples = {kind: secret for secret, kind in everything.items()}
    for kind, secret in samples.items():
        raw = secret if isinstance(secret, bytes) else secret.encode()
        for around in (b"", b"x", b"xy", b"xyz"):
            texts = [raw, raw.hex().encode(), base64.b64encode(around + raw + around),
                     base64.urlsafe_b64encode(around + raw), urllib.parse.quote(raw, safe="").encode(),
                     json.dumps({"a": raw.decode("latin-1")}).encode() if raw.isascii() else raw]
            for text in texts:
                if kind not in [k for k, _, _ in search.find(noise + text + noise)]:
                    fail(f"the search does not find a {kind} that was put there")
    check(True, f"the search finds what was put there: {len(samples)} kinds, in every form")


def core(world, everything):
    """Where an operator asks for core files there is one, and it holds secrets: what is forbidden above is real."""
    home = world.start(ROLLCALL_CORE_DUMPS="on")
    world.call("GET", "/v1/accounts")
    world.end(signal.SIGABRT)
    files = list(home.iterdir())
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if not files:
        print(f"NOTE: core files are off on this machine (core_pattern {pattern!r}, hard limit "
              f"{resource.getrlimit(resource.RLIMIT_CORE)[1]}): that a crash leaves none shows nothing here", file=sys.stderr)
        return
    found = Search({s: k for s, k in everything.items() if k == "master key"}).find(files[0].read_bytes())
    check(found, "security 91: with core_dumps on there is a core file, and the search finds the master key in it")


with tempfile.TemporaryDirectory() as folder:
    main(folder)
