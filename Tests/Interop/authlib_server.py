"""An authorization server on Authlib's AuthorizationServer: authorization code grant with PKCE required, refresh with
rotation and reuse detection, RFC 7009 revocation, a userinfo endpoint, a login form and a consent form; and client
credentials, for a directory that applications alone may read.

Usage: authlib_server.py PORT CLIENT_ID CLIENT_SECRET REDIRECT_URI METHOD PUBLIC_KEY
METHOD is the one way in which the client may authenticate; PUBLIC_KEY is a PEM file, for private_key_jwt.
"""
import os
import sys
import time

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback only

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask, jsonify, redirect, request, session
from joserfc.jwk import ECKey, OctKey

PORT, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, METHOD, PUBLIC_KEY = sys.argv[1:7]
METHODS = [METHOD if METHOD == "client_secret_basic" else JWTBearerClientAssertion.CLIENT_AUTH_METHOD]

users = {"ada": {"password": "EXAMPLE-pass", "id": 7309486502934528123, "login": "ada", "name": "Ada Example",
                 "mail": "ada@example.com"}}
codes, tokens = {}, []
counters = {"token": 0, "refresh": 0, "reuse": 0, "revoke": 0, "userinfo": 0, "application": 0, "directory": 0,
            "assertions": 0}


class Client(ClientMixin):
    client_id = CLIENT_ID

    def get_client_id(self):
        return CLIENT_ID

    def get_default_redirect_uri(self):
        return REDIRECT_URI

    def get_allowed_scope(self, scope):
        return " ".join(s for s in (scope or "").split() if s in ("profile", "mail", "offline", "directory"))

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri == REDIRECT_URI

    def check_client_secret(self, client_secret):
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method, endpoint):
        return method in METHODS

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type in ("authorization_code", "refresh_token", "client_credentials")


class Code(AuthorizationCodeMixin):
    def __init__(self, code, request):
        self.code = code
        self.user = request.user
        self.redirect_uri = request.payload.redirect_uri
        self.scope = request.payload.scope
        self.code_challenge = request.payload.data.get("code_challenge")
        self.code_challenge_method = request.payload.data.get("code_challenge_method")
        self.expires_at = time.time() + 60

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


class Token(TokenMixin):
    def __init__(self, data, user, parent=None):
        self.data, self.user = data, user
        self.issued_at, self.revoked, self.rotated = time.time(), False, False

    def check_client(self, client):
        return True

    def get_scope(self):
        return self.data.get("scope", "")

    def get_expires_in(self):
        return self.data["expires_in"]

    def is_expired(self):
        return time.time() > self.issued_at + self.data["expires_in"]

    def is_revoked(self):
        return self.revoked

    def get_user(self):
        return self.user

    def get_client(self):
        return Client()


class Assertions(JWTBearerClientAssertion):
    """private_key_jwt and client_secret_jwt: which, METHOD says."""

    seen = set()

    def get_audiences(self):
        return [f"http://127.0.0.1:{PORT}/oauth/token"]

    def validate_jti(self, claims, jti):
        counters["assertions"] += 1
        is_fresh = jti not in self.seen
        self.seen.add(jti)
        return is_fresh and claims["exp"] - claims["iat"] <= 300

    def resolve_client_public_key(self, client):
        if METHOD == "private_key_jwt":
            with open(PUBLIC_KEY, "rb") as file:
                return ECKey.import_key(file.read())
        return OctKey.import_key(CLIENT_SECRET)


class ApplicationGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def create_token_response(self):
        counters["application"] += 1
        return super().create_token_response()


class CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def save_authorization_code(self, code, request):
        codes[code] = Code(code, request)

    def query_authorization_code(self, code, client):
        found = codes.get(code)
        return found if found and found.expires_at > time.time() else None

    def delete_authorization_code(self, authorization_code):
        codes.pop(authorization_code.code, None)

    def authenticate_user(self, authorization_code):
        return authorization_code.user


class RefreshGrant(grants.RefreshTokenGrant):
    INCLUDE_NEW_REFRESH_TOKEN = True
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def authenticate_refresh_token(self, refresh_token):
        counters["refresh"] += 1
        found = next((t for t in tokens if t.data.get("refresh_token") == refresh_token), None)
        if found and found.rotated:
            counters["reuse"] += 1
            for token in tokens:
                if token.user == found.user:
                    token.revoked = True
        return found if found and not found.revoked and not found.rotated else None

    def authenticate_user(self, refresh_token):
        return refresh_token.user

    def revoke_old_credential(self, refresh_token):
        refresh_token.rotated = True


class Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = METHODS

    def query_token(self, token_string, token_type_hint):
        return next((t for t in tokens if token_string in (t.data["access_token"], t.data.get("refresh_token"))), None)

    def revoke_token(self, token, request):
        counters["revoke"] += 1
        for other in tokens:
            if other.user == token.user:
                other.revoked = True


class Validator(BearerTokenValidator):
    def authenticate_token(self, token_string):
        return next((t for t in tokens if t.data["access_token"] == token_string and not t.rotated), None)


app = Flask(__name__)
app.secret_key = "EXAMPLE-flask-secret"
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"authorization_code": 3600, "refresh_token": 3600,
                                          "client_credentials": 3600}
server = AuthorizationServer(
    app, query_client=lambda client_id: Client() if client_id == CLIENT_ID else None,
    save_token=lambda data, request: tokens.append(Token(data, request.user)))
server.register_grant(CodeGrant, [CodeChallenge(required=True)])
server.register_grant(RefreshGrant)
server.register_grant(ApplicationGrant)
server.register_client_auth_method(JWTBearerClientAssertion.CLIENT_AUTH_METHOD, Assertions())
server.register_endpoint(Revocation)
protect = ResourceProtector()
protect.register_token_validator(Validator())

LOGIN = """<!doctype html><title>Sign in</title><form method="post">
<input name="username"><input name="password" type="password"><button>Sign in</button></form>"""
CONSENT = """<!doctype html><title>Consent</title><form method="post">
<button name="confirm" value="yes">Allow</button><button name="confirm" value="no">Deny</button></form>"""


@app.route("/login", methods=["GET", "POST"])
def login():
    if request.method == "GET":
        return LOGIN
    user = users.get(request.form["username"])
    if not user or user["password"] != request.form["password"]:
        return LOGIN, 401
    session["user"] = request.form["username"]
    return redirect(session.pop("next", "/"))


@app.route("/oauth/authorize", methods=["GET", "POST"])
def authorize():
    user = session.get("user")
    if not user:
        session["next"] = request.full_path
        return redirect("/login")
    if request.method == "GET":
        server.get_consent_grant(end_user=user)
        return CONSENT
    granted = user if request.form.get("confirm") == "yes" else None
    return server.create_authorization_response(grant_user=granted)


@app.post("/oauth/token")
def token():
    counters["token"] += 1
    return server.create_token_response()


@app.post("/oauth/revoke")
def revoke():
    return server.create_endpoint_response(Revocation.ENDPOINT_NAME)


@app.get("/api/me")
@protect("profile")
def me():
    counters["userinfo"] += 1
    user = users[current_token.user]
    return jsonify({k: user[k] for k in ("id", "login", "name", "mail")})


@app.get("/api/directory/<int:person>")
@protect("directory")
def directory(person):
    counters["directory"] += 1
    return (jsonify({}), 403) if current_token.user else jsonify({"shelf": f"shelf of {person}"})


@app.post("/test/rename")
def rename():
    users["ada"]["name"] = request.json["name"]
    return "", 204


@app.post("/test/expire")
def expire():
    for t in tokens:
        if t.user:
            t.data["expires_in"] = -1
    return "", 204


@app.get("/test/state")
def state():
    live = [t for t in tokens if t.user and not t.revoked and not t.rotated]
    return jsonify({**counters, "live": len(live)})


app.run(port=int(PORT), threaded=True)
