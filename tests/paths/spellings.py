"""Spellings of a path that docs/paths.md lists, with the servers that serve them."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from harness.paths import ROOT
from tests.paths.client import Client
from tests.paths.routes import example

PAGE = ROOT / "docs" / "paths.md"


def spellings(path: str) -> Mapping[str, bytes]:
    """Spellings of a path of two segments; each name is that of `/keys/1`."""
    first, last = path[1:].split("/")
    rest = first[1:]
    return {
        "/KEYS/1": f"/{first.upper()}/{last}".encode(),
        "/keys/1/": f"{path}/".encode(),
        "/%6beys/1": f"/%{ord(first[0]):02x}{rest}/{last}".encode(),
        "/keys%2f1": f"/{first}%2f{last}".encode(),
        "//keys/1": f"/{path}".encode(),
        "/keys\\1": f"/{first}\\{last}".encode(),
        "/keys;x/1": f"/{first};x/{last}".encode(),
        "/keys/1;/x": f"{path};/x".encode(),
        "/x/../keys/1": f"/x/..{path}".encode(),
        "/x/%2e%2e/keys/1": f"/x/%2e%2e{path}".encode(),
        "/x/..%2fkeys/1": f"/x/..%2f{path[1:]}".encode(),
        "/%u006beys/1": f"/%u00{ord(first[0]):02x}{rest}/{last}".encode(),
        "/k%ffeys/1": f"/{first[0]}%ff{rest}/{last}".encode(),
        "/%E2%84%AAeys/1": (quote(path.replace("k", "\u212a"))).encode(),
        "/keys/1\\xa0": path.encode() + b"\xa0",
        "/keys/1#x": f"{path}#x".encode(),
    }


def served_spellings(client: Client, served: tuple[str, ...]) -> list[str]:
    """The names of the spellings at which a server serves a route, of its routes or else of its files."""
    route = "keys" if "keys" in served else "notes"
    plain = example(route)
    others = {name: target for name, target in spellings(plain).items() if target != plain.encode()}
    return [name for name, target in others.items() if client.served(target) == route]


def documented() -> Mapping[str, list[str]]:
    """What docs/paths.md says of each server: the table with `also serves` in its head."""
    table = PAGE.read_text().partition("also serves |\n")[2].partition("\n\n")[0]
    found: dict[str, list[str]] = {}
    for row in table.splitlines()[1:]:
        _, names, served, _ = row.split("|")
        for name in re.findall(r"`([^`]+)`", names):
            assert name not in found, f"{PAGE} names {name} twice"
            found[name] = re.findall(r"`([^`]+)`", served)
    return found


def is_documented(version: str) -> bool:
    """Whether docs/paths.md names this version. Distributions have others, which may behave in other ways."""
    return all(number in PAGE.read_text() for number in re.findall(r"\b\d\S*", version))
