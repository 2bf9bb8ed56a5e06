"""Drives the built program through HTTP against authorization servers that are not ours. See `run`."""
import functools
import html.parser
import http.client
import http.cookiejar
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "Support"))
from rollcall_process import NoRedirect, free_port, wait_for  # noqa: E402

ROLLCALL = sys.argv[1]
HERE = pathlib.Path(__file__).parent
checks = 0


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        raise SystemExit(f"FAILED: {what}")
    print(f"  ok  {what}")


class Forms(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.forms = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.forms.append({"action": attributes.get("action"), "fields": {}, "buttons": []})
        elif self.forms and tag == "input" and attributes.get("name"):
            self.forms[-1]["fields"][attributes["name"]] = attributes.get("value", "")
        elif self.forms and tag == "button":
            self.forms[-1]["buttons"].append((attributes.get("name"), attributes.get("value")))


class Browser:
    """Cookies, redirects, forms: as much of a browser as a consent page asks for."""

    def __init__(self):
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar), NoRedirect)
        self.visited = []

    def open(self, url, data=None, stop_at=None):
        for _ in range(12):
            self.visited.append(url)
            headers = {}
            if data is not None:
                parts = urllib.parse.urlsplit(url)
                headers["Origin"] = f"{parts.scheme}://{parts.netloc}"
                headers["Sec-Fetch-Site"] = "same-origin"
            body = urllib.parse.urlencode(data).encode() if data is not None else None
            try:
                response = self.opener.open(urllib.request.Request(url, body, headers), timeout=20)
            except urllib.error.HTTPError as error:
                response = error
            if response.status in (301, 302, 303, 307) and response.headers.get("Location"):
                url = urllib.parse.urljoin(url, response.headers["Location"])
                data = None
                if stop_at and url.startswith(stop_at):
                    self.visited.append(url)
                    return url, ""
                continue
            return url, response.read().decode()
        raise SystemExit("FAILED: too many redirects")

    def submit(self, url, page, choose=lambda form: True, fields=None, button=None, stop_at=None):
        parser = Forms()
        parser.feed(page)
        form = next((f for f in parser.forms if choose(f)), None)
        if form is None:
            raise SystemExit(f"FAILED: no such form at {url.split('?')[0]}")
        data = {**form["fields"], **(fields or {})}
        if button:
            data[button[0]] = button[1]
        return self.open(urllib.parse.urljoin(url, form["action"] or url), data, stop_at=stop_at)


class Rollcall:
    def __init__(self, folder, configuration):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.file = self.folder / "rollcall.yaml"
        self.file.write_text(configuration.format(base=self.base, port=self.port, folder=folder, here=HERE))
        self.start()
        self.key = subprocess.run(
            [ROLLCALL, "keys", "create", "interop", "--config", self.file, "--scope", "links:write", "--scope",
             "accounts:read", "--scope", "accounts:write", "--scope", "tokens:read"],
            check=True, capture_output=True, text=True).stdout.strip()
        check(self.key.startswith("rck_"), "`rollcall keys create` prints a key beside the running service")

    def start(self):
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([ROLLCALL, "serve", "--config", self.file], stdout=self.log, stderr=self.log)
        wait_for(self.base + "/readyz", self.process)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        check(code == 0, "SIGTERM ends the service with exit code 0")

    def call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(
            method, path, None if body is None else json.dumps(body),
            {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        text = response.read().decode()
        return response.status, json.loads(text) if text else None, response.headers

    def link(self, provider, user, drive, confirm=True):
        """The whole journey of one user's browser; returns the parameters that came back to the application."""
        status, session, _ = self.call(
            "POST", "/v1/link-sessions",
            {"user_id": user, "provider": provider, "return_to": "http://127.0.0.1:9/done?app=1", "confirm": confirm})
        check(status == 201, f"a link session for {provider}")
        browser = Browser()
        url, page = browser.open(session["url"])
        if confirm:
            url, page = browser.submit(url, page)
        done = drive(browser, url, page)
        check(done.startswith("http://127.0.0.1:9/done?app=1&"), "the browser comes back to return_to")
        parameters = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(done).query))
        return parameters


def interop_oidc(folder):
    print("oidc-provider-mock")
    port = free_port()
    claims = {"sub": "mira", "name": "Mira Example", "email": "mira@example.com", "email_verified": True}
    provider = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "-p", str(port), "--require-nonce", "true",
         "--user-claims", json.dumps(claims)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rollcall = None
    try:
        issuer = f"http://127.0.0.1:{port}"
        wait_for(issuer + "/.well-known/openid-configuration", provider)
        rollcall = Rollcall(folder, f"""
public_url: "{{base}}"
application: {{{{name: Interop, return_to: ["http://127.0.0.1:9"]}}}}
http: {{{{port: {{port}}}}}}
database: {{{{path: "{{folder}}/rollcall.sqlite"}}}}
vault: {{{{key_file: "{{folder}}/master.key"}}}}
outgoing: {{{{allowed_private_hosts: [127.0.0.1]}}}}
providers:
  mock:
    manifest: oidc
    variables: {{{{issuer: "{issuer}"}}}}
    client_id: interop
    sync: {{{{minimum_interval: 1ms}}}}
    client_secret: EXAMPLE-secret
    scopes: [openid, profile, email]
""")

        def consent(browser, url, page):
            return browser.submit(url, page, fields={"sub": "mira"}, stop_at="http://127.0.0.1:9/")[0]

        def deny(browser, url, page):
            done, page = browser.submit(
                url, page, choose=lambda f: ("action", "deny") in f["buttons"], button=("action", "deny"),
                stop_at="http://127.0.0.1:9/")
            return done

        result = rollcall.link("mock", "u1", consent)
        check(result.get("status") == "linked", "linked through the mock's authorization form")
        account = result["account_id"]
        status, profile, _ = rollcall.call("GET", f"/v1/accounts/{account}/profile")
        check(status == 200 and profile["claims"]["name"] == "Mira Example", "the profile is readable at once")
        check(profile["claims"]["email_verified"] is True and profile["subject"] == "mira", "claims keep their types")

        request = urllib.request.Request(
            f"{issuer}/users/mira", json.dumps({**claims, "name": "Mira Renamed"}).encode(),
            {"Content-Type": "application/json"}, method="PUT")
        urllib.request.urlopen(request, timeout=10)
        status, fresh, _ = rollcall.call("POST", f"/v1/accounts/{account}/sync", headers={"Prefer": "wait=10"})
        check(status == 200 and fresh["claims"]["name"] == "Mira Renamed", "a sync brings the change")
        check(fresh["version"] == 2, "the version moved by one")

        status, first, _ = rollcall.call("POST", f"/v1/accounts/{account}/access-token", {})
        status, second, headers = rollcall.call(
            "POST", f"/v1/accounts/{account}/access-token", {"min_ttl": 86400})
        check(status == 200 and first["access_token"] != second["access_token"], "a refresh brings a new access token")
        check(headers["Cache-Control"] == "no-store", "the token's answer is not to be stored")
        userinfo = urllib.request.Request(
            issuer + "/userinfo", headers={"Authorization": "Bearer " + second["access_token"]})
        check(json.load(urllib.request.urlopen(userinfo, timeout=10))["sub"] == "mira", "the provider takes the token")

        rollcall.stop()
        rollcall.start()
        status, again, _ = rollcall.call("GET", f"/v1/accounts/{account}/profile")
        check(status == 200 and again["claims"] == fresh["claims"], "the account survives a restart")

        status, _, _ = rollcall.call("DELETE", f"/v1/accounts/{account}")
        result = rollcall.link("mock", "u1", consent)
        check(status == 204 and result.get("account_id") not in (None, account), "unlinked, and linked as another account")
        account = result["account_id"]
        urllib.request.urlopen(urllib.request.Request(f"{issuer}/users/mira/revoke-tokens", method="POST"), timeout=10)
        status, problem, _ = rollcall.call(
            "POST", f"/v1/accounts/{account}/access-token", {"min_ttl": 86400})
        check(status == 409 and problem["code"] == "needs_relink", "a revoked grant is a 409 needs_relink")
        status, shown, _ = rollcall.call("GET", f"/v1/accounts/{account}")
        check(shown["status"] == "needs_relink" and shown["problem"]["action"] == "user", "the account says who must act")

        result = rollcall.link("mock", "u1", consent)
        check(result.get("account_id") == account, "linking again revives the same account")
        status, shown, _ = rollcall.call("GET", f"/v1/accounts/{account}")
        check(shown["status"] == "active" and "problem" not in shown, "the account is active again")

        status, _, _ = rollcall.call("DELETE", f"/v1/accounts/{account}")
        check(status == 204, "unlinked")
        status, _, _ = rollcall.call("GET", f"/v1/accounts/{account}/profile")
        check(status == 404, "nothing of it is left to read")
        rollcall.stop()
    finally:
        end(provider, rollcall)


def interop_authlib(folder, method):
    print(f"Authlib's AuthorizationServer, with a manifest of one file: {method}")
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    rollcall = provider = None
    key = pathlib.Path(folder) / "client.pem"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key], check=True)
    key.chmod(0o600)
    public = pathlib.Path(folder) / "client.pub.pem"
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    settings = {
        "client_secret_basic": 'client_secret: "EXAMPLE a:b%c+d é"',
        "client_secret_jwt": 'client_secret: "EXAMPLE a:b%c+d é"\n    client_authentication: client_secret_jwt',
        "private_key_jwt": f'client_key_file: "{key}"\n    client_authentication: private_key_jwt',
    }[method]
    try:
        rollcall = Rollcall(folder, f"""
public_url: "{{base}}"
application: {{{{name: Interop, return_to: ["http://127.0.0.1:9"]}}}}
http: {{{{port: {{port}}}}}}
database: {{{{path: "{{folder}}/rollcall.sqlite"}}}}
vault: {{{{key_file: "{{folder}}/master.key"}}}}
providers_directory: "{{here}}/providers.d"
outgoing: {{{{allowed_private_hosts: [127.0.0.1]}}}}
providers:
  library:
    variables: {{{{site: "{base}"}}}}
    client_id: "interop client"
    sync: {{{{minimum_interval: 1ms}}}}
    {settings}
""")
        provider = subprocess.Popen(
            [sys.executable, "-W", "ignore", HERE / "authlib_server.py", str(port), "interop client",
             "EXAMPLE a:b%c+d é", rollcall.base + "/callback/library", method, str(public)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(base + "/test/state", provider)

        def state():
            return json.load(urllib.request.urlopen(base + "/test/state", timeout=10))

        def post(path, body=None):
            urllib.request.urlopen(urllib.request.Request(
                base + path, json.dumps(body or {}).encode(), {"Content-Type": "application/json"}), timeout=10)

        def journey(button):
            def drive(browser, url, page):
                check(url.startswith(base + "/login"), "the server asks for a sign-in first")
                url, page = browser.submit(url, page, fields={"username": "ada", "password": "EXAMPLE-pass"})
                return browser.submit(url, page, button=("confirm", button), stop_at="http://127.0.0.1:9/")[0]
            return drive

        result = rollcall.link("library", "u7", journey("no"))
        check(result.get("status") == "failed" and result.get("error") == "access_denied", "a refusal is access_denied")
        check(state()["token"] == 0, "and no token was asked for")

        result = rollcall.link("library", "u7", journey("yes"))
        check(result.get("status") == "linked", f"linked with PKCE and a secret that is not plain ASCII: {result}")
        account = result["account_id"]
        status, profile, _ = rollcall.call("GET", "/v1/profiles/library/7309486502934528123")
        check(status == 200 and profile["claims"]["name"] == "Ada Example", "found by the provider's own id, beyond 2^53")
        check(profile["claims"]["sub"] == "7309486502934528123", "the id kept its digits")
        check(profile["claims"]["nickname"] == "shelf of 7309486502934528123",
              "the directory was asked with a token of the application's own")

        post("/test/rename", {"name": "Ada Renamed"})
        status, fresh, _ = rollcall.call("POST", f"/v1/accounts/{account}/sync", headers={"Prefer": "wait=10"})
        check(status == 200 and fresh["claims"]["name"] == "Ada Renamed", "a sync brings the change")

        post("/test/expire")
        post("/test/rename", {"name": "Ada Again"})
        status, fresh, _ = rollcall.call("POST", f"/v1/accounts/{account}/sync", headers={"Prefer": "wait=10"})
        check(status == 200 and fresh["claims"]["name"] == "Ada Again", "a 401 is mended by one refresh")
        for _ in range(3):
            post("/test/expire")
            status, _, _ = rollcall.call("POST", f"/v1/accounts/{account}/sync", headers={"Prefer": "wait=10"})
            check(status == 200, "a refresh with rotation")
        check(state()["reuse"] == 0, "no refresh token was ever sent twice")
        check(state()["application"] == 1, "one token of the application's own served every sync")
        check((state()["assertions"] == 0) == (method == "client_secret_basic"), f"the client proved itself by {method}")
        check(state()["live"] == 1, "one live token at the server: the one we hold")

        status, _, _ = rollcall.call("DELETE", f"/v1/accounts/{account}")
        check(status == 204, "unlinked")
        deadline = time.monotonic() + 15
        while state()["live"] and time.monotonic() < deadline:
            time.sleep(0.05)
        check(state()["live"] == 0, "the grant is revoked at the server")
        rollcall.stop()
        log = (pathlib.Path(folder) / "log").read_text()
        for secret in ("EXAMPLE a:b", "EXAMPLE%20a", "EXAMPLE+a", "EXAMPLE-pass", rollcall.key):
            check(secret not in log, "no secret in the log")
    finally:
        end(provider, rollcall)


def end(provider, rollcall):
    for process in (provider, rollcall and rollcall.process):
        if process and process.poll() is None:
            process.kill()
            process.wait()


started = time.monotonic()
tests = [interop_oidc] + [
    functools.partial(interop_authlib, method=method)
    for method in ("client_secret_basic", "private_key_jwt", "client_secret_jwt")]
for test in tests:
    with tempfile.TemporaryDirectory() as folder:
        try:
            test(folder)
        except SystemExit:
            log = pathlib.Path(folder) / "log"
            if log.exists():
                print(log.read_text()[-6000:], file=sys.stderr)
            raise
print(f"interop: {checks} checks passed in {time.monotonic() - started:.1f} s")
