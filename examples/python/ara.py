"""Sends notifications and signs tokens for clients. Copy this file; it needs Python 3.9 and no package."""

import base64
import hashlib
import hmac
import http.client
import json
import random
import time
import urllib.error
import urllib.request
import uuid

ATTEMPTS = 5
TIMEOUT_SECONDS = 10
FIRST_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 20
# Refusals that pass, and answers of proxies in front of a service that is away.
PASSING = {429, 502, 503, 504}


class AraError(Exception):
    """`code` is one of the API, or UNREACHABLE, UNEXPECTED_ANSWER."""

    def __init__(self, code, message, status=0, retry_after=0.0):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = status
        self.retry_after = retry_after

    @property
    def may_pass(self):
        return self.status in PASSING or self.code in ("UNREACHABLE", "IDEMPOTENCY_IN_PROGRESS")


class Ara:
    def __init__(self, url, api_key="", secret=""):
        self.url = url.rstrip("/")
        self.api_key = api_key
        self.secret = secret

    def send(self, path, message, key=None):
        """Posts to /api/v1/notifications/<path>. The idempotency key is the same in all attempts, so that a repeat
        sends nothing twice. Raises AraError."""
        request = urllib.request.Request(
            f"{self.url}/api/v1/notifications/{path}",
            data=json.dumps(message).encode(),
            headers={
                "Content-Type": "application/json",
                "X-API-Key": self.api_key,
                "Idempotency-Key": key or str(uuid.uuid4()),
            },
        )
        for failures in range(ATTEMPTS):
            try:
                return _attempt(request)
            except AraError as error:
                if not error.may_pass or failures + 1 == ATTEMPTS:
                    raise
                backoff = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**failures)
                time.sleep(max(error.retry_after, random.uniform(0, backoff)))

    def token(self, user, seconds=3600):
        """Signs a token of a user (HS256) with the JWT_SECRET of the service."""
        now = int(time.time())
        claims = {"sub": user, "iat": now, "exp": now + seconds}
        signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
        signature = hmac.digest(self.secret.encode(), signed.encode(), hashlib.sha256)
        return f"{signed}.{_encode(signature)}"


def _attempt(request):
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise _refusal(error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise AraError("UNREACHABLE", str(error)) from error


def _refusal(response):
    retry_after = response.headers.get("Retry-After", "")
    seconds = float(retry_after) if retry_after.isdigit() else 0.0
    try:
        error = json.load(response)["error"]
        return AraError(error["code"], error["message"], response.code, seconds)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        # The answer of a proxy.
        return AraError("UNEXPECTED_ANSWER", f"status {response.code}", response.code, seconds)


def _part(value):
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
