"""Runs the demo, `make run`: rest-sessions in memory, a login and a shop, and Envoy before them.

Envoy gets envoy/envoy.yaml with the chosen ports, and listens on loopback. Each run has a secret of its own, which
Envoy and the login send to rest-sessions. All processes end with this one.
"""

import argparse
import os
import re
import secrets
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from harness.paths import BOOTSTRAP, ROOT
from harness.processes import Interrupted, ProcessError, Supervisor, pause, stop_on_signals, unusable_port

CHECK_SECONDS = 0.2

# Each port: its option, its number in envoy.yaml, and the program that listens there.
PORTS = (
    ("port", 10000, "Envoy"),
    ("admin_port", 9901, "Envoy's admin endpoint"),
    ("sessions_port", 3000, "the session server"),
    ("accounts_port", 8081, "the login"),
    ("shop_port", 8080, "the shop"),
)

# tests/deploy/test_run.py runs each command and compares its output with the line after its arrow.
TO_TRY = """
Ready. Open http://localhost:{port}/ in a browser, or in another terminal:

  Without a session there is no way in:
    curl -i localhost:{port}/seen/account
    → HTTP/1.1 401 Unauthorized … {{"error":"session_required",…}}

  Make a session, as a login service does, at the session server itself, which takes calls with its secret alone:
    SECRET=$(cat '{secret_file}')
    TOKEN=$(curl -s -X PUT 'localhost:{sessions_port}/mywebapp/create/user123?ip=127.0.0.1' \\
      -H "authorization: Bearer $SECRET" \\
      -H 'content-type: application/json' -d '{{"name":"Peter Smith"}}' | cut -d '"' -f 4)

  With the session the request gets through, and the service gets its user in a header:
    curl -b session-cookie=$TOKEN localhost:{port}/seen/account
    → GET /seen/account HTTP/1.1 … x-session-data: {{"name":"Peter Smith"}} … x-session-user: user123

  Log out, and the token is worth nothing:
    curl -i -X POST -b session-cookie=$TOKEN localhost:{port}/logout
    → HTTP/1.1 303 See Other … location: / … set-cookie: session-cookie=; …
    curl -i -b session-cookie=$TOKEN localhost:{port}/seen/account
    → HTTP/1.1 401 Unauthorized …

Access log: tail -f {access_log}
Counters:   curl -s localhost:{admin_port}/stats | grep rest_sessions
Ctrl-C ends everything.
"""


class SetupError(Exception):
    """The demo cannot start with these options. The text is for the user."""


def check_ports(options: argparse.Namespace) -> None:
    problems = []
    for option, _, program in PORTS:
        port = getattr(options, option)
        if reason := unusable_port(port):
            problems.append(
                f"port {port}, meant for {program}, cannot be used ({reason}); end what listens there, "
                f"or choose another: make run ARGS='{flag(option)} NUMBER'"
            )
    if problems:
        raise SetupError("\n".join(problems))


def flag(option: str) -> str:
    return "--" + option.replace("_", "-")


def bootstrap(options: argparse.Namespace) -> str:
    """envoy.yaml with the chosen ports, and all addresses on loopback."""
    chosen = {number: getattr(options, option) for option, number, _ in PORTS}
    found = []

    def replace(match: re.Match[str]) -> str:
        number = int(match[1])
        found.append(number)
        return f"socket_address: {{address: 127.0.0.1, port_value: {chosen.get(number, number)}}}"

    text = re.sub(r"socket_address: \{address: [0-9.]+, port_value: (\d+)\}", replace, BOOTSTRAP.read_text())
    if sorted(found) != sorted(chosen):
        raise SetupError(f"{BOOTSTRAP}: has the ports {sorted(found)}, where each of {sorted(chosen)} is expected once")
    return text


def run(options: argparse.Namespace, supervisor: Supervisor) -> NoReturn:
    """Runs until a process ends or a signal comes, both of which raise."""
    check_ports(options)
    config = supervisor.folder / "envoy.yaml"
    config.write_text(bootstrap(options))
    secret, secret_file = secrets.token_urlsafe(32), supervisor.folder / "secret"
    secret_file.write_text(f"{secret}\n")

    def loopback(port: int) -> str:
        return f"127.0.0.1:{port}"

    sessions = [options.programs / "rest-sessions", "--listen", loopback(options.sessions_port), "--store", "memory"]
    # Nothing waits for a drained session server.
    sessions += ["--secret-file", secret_file, "--drain-delay", 0]
    accounts = [options.programs / "accounts", "--listen", loopback(options.accounts_port)]
    accounts += ["--sessions", f"http://{loopback(options.sessions_port)}", "--sessions-secret-file", secret_file]
    for host in ("localhost", "127.0.0.1"):
        accounts += ["--return-to", f"http://{host}:{options.port}"]
    shop = [options.programs / "shop", "--listen", loopback(options.shop_port)]
    # Without hot restart, several Envoys can run side by side.
    envoy = [options.envoy, "-c", config, "--disable-hot-restart", "--log-level", "warning"]
    envoy += ["--concurrency", options.concurrency]

    supervisor.start("the session server", *sessions, log="rest-sessions", cwd=ROOT)
    supervisor.start("the login", *accounts, log="accounts", cwd=ROOT)
    supervisor.start("the shop", *shop, log="shop", cwd=ROOT)
    environment = {**os.environ, "REST_SESSIONS_SECRET": secret}
    proxy = supervisor.start("Envoy", *envoy, log="envoy", cwd=ROOT, env=environment)
    paths = (
        f"{options.sessions_port}/readyz",
        f"{options.accounts_port}/login",
        f"{options.shop_port}/",
        f"{options.admin_port}/ready",
    )
    for process, path in zip(supervisor.processes, paths, strict=True):
        process.wait_for_http(f"http://127.0.0.1:{path}")

    print(TO_TRY.format(access_log=proxy.log, secret_file=secret_file, **vars(options)), flush=True)
    while True:
        supervisor.check()
        pause(CHECK_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the demo.")
    parser.add_argument("--envoy", required=True, type=Path, help="the Envoy to run")
    parser.add_argument("--programs", required=True, type=Path, help="the folder of rest-sessions, accounts and shop")
    parser.add_argument("--concurrency", type=int, default=2, metavar="NUMBER", help="workers of Envoy (2)")
    for option, number, program in PORTS:
        text = f"where {program} listens ({number})"
        parser.add_argument(flag(option), type=int, default=number, metavar="NUMBER", help=text)
    options = parser.parse_args()

    stop_on_signals()
    try:
        with tempfile.TemporaryDirectory(prefix="rest-sessions-") as folder, Supervisor(Path(folder)) as supervisor:
            run(options, supervisor)
    except Interrupted:
        return 0
    except (SetupError, ProcessError, OSError) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
