"""How long a read, a link and an unlink take while every account is being synced, against the same on an idle service in
the same run, alternating. `link` is the whole of it: session, browser, callback with the exchange of the code and the first
profile.

Usage: latency.py PATH_OF_ROLLCALL [--accounts N] [--rounds R]
"""
import argparse
import http.client
import http.cookiejar
import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "Tests" / "Support"))
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "Support"))
from bulk import FIRST_SUBJECT, write_accounts  # noqa: E402
from rollcall_process import NoRedirect, free_port, wait_for  # noqa: E402
from server import SCRATCH, Server, configure, make_due  # noqa: E402

AIM = 3.0
OPERATIONS = ("read", "link", "unlink")

arguments = argparse.ArgumentParser()
arguments.add_argument("rollcall")
arguments.add_argument("--accounts", type=int, default=50_000)
arguments.add_argument("--rounds", type=int, default=3)
options = arguments.parse_args()


class Client:
    def __init__(self, port, key):
        self.port, self.connection = port, http.client.HTTPConnection("127.0.0.1", port)
        self.fields = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.linked = []

    def call(self, method, path, body=None):
        self.connection.request(method, path, json.dumps(body) if body else None, self.fields)
        response = self.connection.getresponse()
        text = response.read()
        if response.status >= 300:
            raise SystemExit(f"{method} {path}: {response.status} {text[:300]}")
        return json.loads(text) if text else None

    def read(self, number):
        self.call("GET", f"/v1/profiles/pipeline/{FIRST_SUBJECT + 1 + number * 7919 % options.accounts}")

    def link(self, number):
        session = self.call("POST", "/v1/link-sessions", {
            "user_id": f"new-{number}-{time.time_ns()}", "provider": "pipeline", "confirm": False,
            "return_to": "http://127.0.0.1:9/done"})
        browser = urllib.request.build_opener(NoRedirect, urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        # Each from an address of its own: the service bounds how many one may begin.
        browser.addheaders = [("X-Forwarded-For", f"198.18.{number // 250 % 250}.{number % 250}")]

        def location(url):
            try:
                browser.open(url)
            except urllib.error.HTTPError as answer:
                return answer.headers["Location"]
            raise SystemExit(f"no redirect from {url}")
        consent = location(session["url"])
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(consent).query)
        if "state" not in query:
            raise SystemExit(f"no consent asked for: {consent}")
        done = location(f"http://127.0.0.1:{self.port}/callback/pipeline?"
                        + urllib.parse.urlencode({"code": "EXAMPLE", "state": query["state"][0]}))
        result = urllib.parse.parse_qs(urllib.parse.urlsplit(done).query)
        if result.get("status") != ["linked"]:
            raise SystemExit(f"not linked: {done}")
        self.linked.append(result["account_id"][0])

    def unlink(self, _):
        self.call("DELETE", f"/v1/accounts/{self.linked.pop()}")


def due(database):
    return database.execute("SELECT count(*) FROM (SELECT 1 FROM sync_schedule WHERE provider = 'pipeline' AND "
                            "next_sync_at <= ? LIMIT 1000)", (int(time.time() * 1000),)).fetchone()[0]


def measure(client, goes_on, times, atMost=400):
    """All three in turn for as long as `goes_on` says."""
    number = 0
    while number < atMost and goes_on():
        for operation in ("link", "read", "read", "read", "unlink"):
            began = time.perf_counter()
            getattr(client, operation)(number)
            times[operation].append((time.perf_counter() - began) * 1000)
            number += 1


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


SCRATCH.mkdir(parents=True, exist_ok=True)
server, service = Server(), None
try:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        port = free_port()
        server.show(change=1, tags=True)
        configuration = configure(folder, server, f"http: {{port: {port}, trusted_proxies: [127.0.0.1]}}\n"
                                  'application: {name: Example, return_to: ["http://127.0.0.1:9"]}\n')
        accounts = write_accounts(folder, "pipeline", options.accounts)
        for command in (["accounts", "import", accounts], ["sync", "--once", "--all"]):
            subprocess.run([options.rollcall, *command, "--config", configuration], check=True, capture_output=True)
        key = subprocess.run(
            [options.rollcall, "keys", "create", "bench", "--scope", "accounts:read", "--scope", "accounts:write",
             "--scope", "links:write", "--config", configuration], check=True, capture_output=True,
            text=True).stdout.strip()
        service = subprocess.Popen([options.rollcall, "serve", "--config", configuration],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(f"http://127.0.0.1:{port}/readyz", service)
        client = Client(port, key)
        database = sqlite3.connect(f"{folder}/rollcall.sqlite", timeout=30)
        idle, busy = ({operation: [] for operation in OPERATIONS} for _ in range(2))
        measure(client, lambda: True, {operation: [] for operation in OPERATIONS}, atMost=50)
        for _ in range(options.rounds):
            measure(client, lambda: True, idle)
            server.show(change=1, tags=True)
            make_due(folder)
            while due(database) == options.accounts:
                time.sleep(0.01)
            measure(client, lambda: due(database) >= 1000, busy, atMost=100_000)
            while due(database) > 0:
                time.sleep(0.05)
        for operation in OPERATIONS:
            (quiet, loaded) = (percentile(times[operation], 0.99) for times in (idle, busy))
            print(f"latency: {operation}: p99 {quiet:.1f} ms idle ({len(idle[operation])}), {loaded:.1f} ms during a full "
                  f"sync ({len(busy[operation])}): {loaded / quiet:.2f} times (aim {AIM} or less); medians "
                  f"{percentile(idle[operation], 0.5):.1f} and {percentile(busy[operation], 0.5):.1f} ms", flush=True)
finally:
    if service:
        service.terminate()
        service.wait(timeout=60)
    server.close()
