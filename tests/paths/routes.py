"""The routes of every server of these tests, and the configurations of the filter that protect some of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Names and paths. `k`, `s` and `i` are letters to which Unicode folds others.
ROUTES = {
    "admin": "/admin",
    "admin-secret": "/admin/secret",
    "login": "/admin/login",
    "keys": "/keys/1",
    "account": "/account",
    "user": "/users/{id}",
    "public": "/public",
    "page": "/public/{name}",
}
# Files below the folder that servers of files serve.
FILES = {"notes": "/private/notes.txt", "asset": "/static/app.txt"}
# What some rule protects, as its own name for the path.
PROTECTED = ("admin", "admin-secret", "keys", "account", "user", "notes")
OPEN = ("login", "public", "page", "asset")


def example(name: str) -> str:
    """A path of this route in its plain spelling."""
    return (ROUTES | FILES)[name].replace("{id}", "ada").replace("{name}", "about")


def write_files(folder: Path) -> None:
    for name, path in FILES.items():
        file = folder / path.removeprefix("/")
        file.parent.mkdir()
        file.write_text(f"served:{name};")


@dataclass(frozen=True)
class Policy:
    """A configuration of the filter."""

    name: str
    configuration: dict[str, Any]
    # Whether it suits only servers that do not ignore case.
    exact_case: bool
    # Whether it suits only servers in which a route does not serve the paths below it.
    exact_path: bool

    def text(self) -> str:
        return json.dumps(self.configuration)


def rule(name: str, session: str, *paths: str) -> dict[str, Any]:
    return {"name": name, "match": {"paths": list(paths)}, "session": session}


PROTECTING = [
    rule("admin", "required", "/admin/*"),
    rule("keys", "required", "/keys/*"),
    rule("account", "required", "/account/*"),
    rule("users", "required", "/users/*"),
    rule("private", "required", "/private/*"),
]
PROTECTING_EXACTLY = [
    rule(name, "required", example(name)) for name in ("admin", "admin-secret", "keys", "account", "notes")
]
RULES: dict[str, tuple[list[dict[str, Any]], str]] = {
    # Some paths are protected, and all others open.
    "protect-some": (PROTECTING, "off"),
    "protect-exactly": (PROTECTING_EXACTLY, "off"),
    # Below a protected path, one is open.
    "open-below": ([rule("login", "off", "/admin/login"), *PROTECTING], "off"),
    # Some paths are open, and all others protected.
    "open-some": ([rule("open", "off", "/public/*", "/static/*", "/admin/login")], "required"),
    # Each path is open while its neighbours are protected: a server that takes one for the other serves the wrong one.
    "open-admin": ([rule("open", "off", "/admin"), *PROTECTING], "required"),
    "open-others": ([rule("open", "off", "/account", "/keys/1", "/users/*")], "required"),
}


def policy(name: str, rules: list[dict[str, Any]], default: str, *, exact_case: bool) -> Policy:
    configuration = {
        "app": "mywebapp",
        "rest_sessions": {"cluster": "rest-sessions"},
        "rules": rules,
        "default": {"session": default},
        "path_case": "exact" if exact_case else "ignore",
    }
    return Policy(
        f"{name}-exact-case" if exact_case else name, configuration, exact_case, exact_path=name == "protect-exactly"
    )


POLICIES = [
    policy(name, rules, default, exact_case=exact_case)
    for exact_case in (False, True)
    for name, (rules, default) in RULES.items()
]
