"""A stand-in for Hugging Face as OpenID provider: authorize, token, userinfo and keys, over a socket.

Who agrees at `authorize` is whoever is named by `visitor`; the real Hub asks the browser's own session.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

from joserfc import jwt
from joserfc.jwk import RSAKey

__all__ = ["CLIENT", "CLIENT_SECRET", "OpenId", "token_of"]

CLIENT = "11111111-2222-3333-4444-555555555555"
CLIENT_SECRET = "66666666-7777-8888-9999-000000000000"


def token_of(account: str) -> str:
    """Return the token that an account's visitor gets."""
    return "hf_oauth_" + base64.urlsafe_b64encode(account.encode()).decode().rstrip("=") + "C" * 30


class OpenId:
    """Serves on a free port until `stop`; `visitor` is who agrees next, or nobody."""

    def __init__(self) -> None:
        self.visitor: str | None = "ann"
        self.lasts = 3600
        """Seconds that a token holds."""
        self.asked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.key = RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"})
        provider = self

        class Handler(_Handler):
            world = provider

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def id_token(self, account: str, nonce: str) -> str:
        now = int(time.time())
        told = {
            "sub": account,
            "name": f"{account} of the tests",
            "preferred_username": account,
            "profile": f"{self.url}/{account}",
            "picture": f"{self.url}/{account}.png",
            "aud": CLIENT,
            "iss": self.url,
            "iat": now,
            "exp": now + 600,
            "nonce": nonce,
        }
        return jwt.encode({"alg": "RS256", "kid": "one"}, told, self.key)


class _Handler(BaseHTTPRequestHandler):
    world: OpenId
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        return None

    def do_GET(self) -> None:
        path = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(path.query).items()}
        self.world.asked.append(path.path)
        url = self.world.url
        if path.path == "/.well-known/openid-configuration":
            return self._answer(
                {
                    "issuer": url,
                    "authorization_endpoint": f"{url}/oauth/authorize",
                    "token_endpoint": f"{url}/oauth/token",
                    "userinfo_endpoint": f"{url}/oauth/userinfo",
                    "jwks_uri": f"{url}/oauth/jwks",
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            )
        if path.path == "/oauth/jwks":
            return self._answer({"keys": [self.world.key.as_dict(private=False)]})
        if path.path == "/oauth/authorize" and query.get("client_id") == CLIENT:
            return self._authorize(query)
        return self._answer({"error": "not found"}, 404)

    def do_POST(self) -> None:
        self.world.asked.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        expected = "Basic " + base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        granted = self.world.codes.pop(form.get("code", ""), None)
        if self.headers.get("Authorization") != expected or granted is None:
            return self._answer({"error": "invalid_grant"}, 400)
        answer: dict[str, Any] = {
            "access_token": token_of(granted["account"]),
            "token_type": "bearer",
            "expires_in": self.world.lasts,
            "scope": "openid profile read-repos",
            "id_token": self.world.id_token(granted["account"], granted["nonce"]),
        }
        return self._answer(answer)

    def _authorize(self, query: dict[str, str]) -> None:
        if self.world.visitor is None:
            told = {"error": "access_denied", "error_description": "The user declined", "state": query["state"]}
        else:
            code = secrets.token_hex(8)
            self.world.codes[code] = {"account": self.world.visitor, "nonce": query["nonce"]}
            told = {"code": code, "state": query["state"]}
        back = query["redirect_uri"]
        self.send_response(302)
        self.send_header("Location", f"{back}{'&' if '?' in back else '?'}{urlencode(told)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, body: Any, status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
