"""A client of rest-sessions, the session service: creates sessions and shows what they hold."""

from typing import Any

import requests

APP = "mywebapp"
COOKIE = "session-cookie"
TIMEOUT_SECONDS = 10


class RestSessions:
    """The sessions of the app `mywebapp` at one address."""

    def __init__(self, address: str, secret: str | None = None) -> None:
        self.url = f"http://{address}/{APP}"
        self.headers = {"authorization": f"Bearer {secret}"} if secret else {}

    def create(self, user: str, data: dict[str, Any] | None = None, ttl: int | None = None) -> str:
        """Creates a session, as a login service does, and returns its token. `ttl` is in seconds."""
        query = {"ip": "127.0.0.1"} if ttl is None else {"ip": "127.0.0.1", "ttl": str(ttl)}
        response = requests.put(
            f"{self.url}/create/{user}",
            params=query,
            json=data or None,
            headers=self.headers,
            timeout=TIMEOUT_SECONDS,
        )
        response.raise_for_status()
        return str(response.json()["token"])

    def get(self, token: str) -> dict[str, Any]:
        """The session of a token; empty if there is none."""
        response = requests.get(f"{self.url}/get/{token}", headers=self.headers, timeout=TIMEOUT_SECONDS)
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found
