"""Collects secrets from the traffic between the service, its browsers and its providers, and finds them elsewhere."""
import base64
import http.client
import http.server
import json
import threading
import urllib.parse

# Members and parameters whose value is nobody else's to know.
NAMES = {
    "access_token", "refresh_token", "id_token", "code", "code_verifier", "client_secret", "client_assertion", "state",
    "nonce", "token", "device_code", "dpop", "proof_key", "assertion", "password", "csrf", "secret",
}
LENGTH_MIN = 12


class Secrets:
    """Text → what it is. Thread-safe, for the proxy has many."""

    def __init__(self):
        self.known, self.lock = {}, threading.Lock()
        # The simulator's own cookies name the person who is signed in there.
        self.public = set()

    def add(self, text, kind):
        if isinstance(text, str) and len(text) >= LENGTH_MIN and text.isascii():
            with self.lock:
                self.known.setdefault(text, kind)

    def add_pairs(self, text):
        for name, value in urllib.parse.parse_qsl(text):
            if name.lower() in NAMES:
                self.add(value, name.lower())

    def add_url(self, url):
        self.add_pairs(urllib.parse.urlsplit(url).query)

    def add_json(self, value):
        if isinstance(value, dict):
            for name, member in value.items():
                if name.lower() in NAMES:
                    self.add(member, name.lower())
                self.add_json(member)
        elif isinstance(value, list):
            for member in value:
                self.add_json(member)

    def add_body(self, body, content_type):
        text = body.decode(errors="replace")
        if "json" in content_type:
            try:
                self.add_json(json.loads(text))
            except ValueError:
                pass
        elif "x-www-form-urlencoded" in content_type:
            self.add_pairs(text)

    def add_headers(self, headers):
        for name, value in headers:
            if name.lower() == "authorization":
                self.add(value.split(" ", 1)[-1], "authorization")
                if value.startswith("Basic "):
                    self.add(base64.b64decode(value[6:]).decode().split(":", 1)[-1], "client_secret")
            elif name.lower() == "set-cookie":
                value = value.split(";")[0].split("=", 1)[-1]
                if value not in self.public:
                    self.add(value, "set-cookie")
            elif name.lower() == "dpop":
                self.add(value, "dpop")
            elif name.lower() == "location":
                self.add_url(value)

    def of(self, *kinds):
        with self.lock:
            return {text: kind for text, kind in self.known.items() if not kinds or kind in kinds}


class Witness(http.server.ThreadingHTTPServer):
    """A forward proxy for plain HTTP that notes the secrets of what passes."""
    daemon_threads = True

    def __init__(self, secrets):
        self.secrets, self.passed = secrets, 0
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_one(self):
        secrets = self.server.secrets
        self.server.passed += 1
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        secrets.add_url(self.path)
        secrets.add_headers(self.headers.items())
        secrets.add_body(body, self.headers.get("Content-Type") or "")
        target = urllib.parse.urlsplit(self.path)
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
        headers = {n: v for n, v in self.headers.items() if n.lower() not in ("proxy-connection", "connection")}
        try:
            connection.request(
                self.command, urllib.parse.urlunsplit(("", "", target.path, target.query, "")), body or None, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            # What the provider broke off is broken off here.
            self.close_connection = True
            return
        finally:
            connection.close()
        secrets.add_headers(response.getheaders())
        secrets.add_body(answer, response.getheader("Content-Type") or "")
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        if response.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer if self.command != "HEAD" else b"")

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = do_HEAD = handle_one


def forms(secret):
    """The bytes a secret may hide in: as it is, hexadecimal, percent-encoded, in UTF-16, and base64 of both alphabets at
    every alignment, without the digits that depend on what stands around."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), "".join(f"%{b:02X}" for b in raw).encode(),
             "".join(f"%{b:02x}" for b in raw).encode(), urllib.parse.quote(raw, safe="").encode(),
             raw.replace(b"/", b"\\/"), b"".join(bytes([b, 0]) for b in raw)}
    for lead in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * lead + raw)
            start = (0, 2, 3)[lead]
            end = len(text) - (0, 4, 4)[(lead + len(raw)) % 3]
            found.add(text[start:end])
    return {form for form in found if len(form) >= LENGTH_MIN}


class Search:
    GRAM = 8

    def __init__(self, secrets):
        """`secrets` is text or bytes → kind."""
        self.by_gram = {}
        for secret, kind in secrets.items():
            for form in forms(secret):
                self.by_gram.setdefault(form[:self.GRAM], []).append((form, kind))

    def find(self, haystack):
        """Kinds found, each with where it begins and what stands before it."""
        found = []
        step = 1 << 20
        for start in range(0, len(haystack), step):
            part = haystack[start:start + step + self.GRAM - 1]
            grams = {part[i:i + self.GRAM] for i in range(len(part) - self.GRAM + 1)}
            for gram in grams & self.by_gram.keys():
                for form, kind in self.by_gram[gram]:
                    at = haystack.find(form, start)
                    if at >= 0:
                        found.append((kind, at, haystack[max(0, at - 80):at]))
        return found
