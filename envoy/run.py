"""What `make run` starts: the session server in memory, a login, a shop, and Envoy before them.

Envoy gets envoy/envoy.yaml, but for its ports, which can be chosen, and the address, which is loopback here.
Everything started ends with this program. Python's standard library is all that it needs.
"""

import argparse
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOTSTRAP = ROOT / "envoy" / "envoy.yaml"
START_SECONDS = 60
# More than the session server takes for requests under way.
STOP_SECONDS = 15

# Each port: its option, its number in envoy.yaml, and who listens there.
PORTS = (
    ("port", 10000, "Envoy"),
    ("admin_port", 9901, "Envoy's admin endpoint"),
    ("sessions_port", 3000, "the session server"),
    ("accounts_port", 8081, "the login"),
    ("shop_port", 8080, "the shop"),
)

# What an arrow promises is held against what the line before it prints, in tests/deploy/test_run.py.
TO_TRY = """
Ready. Open http://localhost:{port}/ in a browser, or in another terminal:

  Without a session there is no way in:
    curl -i localhost:{port}/seen/account
    → HTTP/1.1 401 Unauthorized … {{"error":"session_required",…}}

  Make a session, as a login service does, at the session server itself:
    TOKEN=$(curl -s -X PUT 'localhost:{sessions_port}/mywebapp/create/user123?ip=127.0.0.1' \\
      -H 'content-type: application/json' -d '{{"name":"Peter Smith"}}' | cut -d '"' -f 4)

  With the session the request gets through, and the service behind is told whose it is:
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


class Problem(Exception):
    """Something that the user has to know, in one line or with the end of a log."""


class AskedToEnd(Exception):
    """Ctrl-C or SIGTERM, noticed between two steps, so that no process is ever started and then forgotten."""


asked_to_end = threading.Event()


def pause(seconds: float) -> None:
    if asked_to_end.wait(seconds):
        raise AskedToEnd


@dataclass
class Program:
    """A process of ours, and where its output goes."""

    name: str
    process: subprocess.Popen
    log: Path

    def still_runs(self) -> None:
        status = self.process.poll()
        if status is not None:
            tail = self.log.read_text(errors="replace").splitlines()[-20:]
            raise Problem("\n".join([f"{self.name} ended with status {status}; the end of its log:", *tail]))


def ports_are_free(options: argparse.Namespace) -> None:
    taken = []
    for option, _, who in PORTS:
        port = getattr(options, option)
        with socket.socket() as probe:
            # Connections of an earlier run that linger do not hold the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                flag = "--" + option.replace("_", "-")
                taken.append(
                    f"port {port}, meant for {who}, cannot be used ({error.strerror}); end what listens there, "
                    f"or choose another: make run ARGS='{flag} NUMBER'"
                )
    if taken:
        raise Problem("\n".join(taken))


def bootstrap(options: argparse.Namespace) -> str:
    """envoy.yaml with the chosen ports, all of it on loopback."""
    chosen = {number: getattr(options, option) for option, number, _ in PORTS}
    seen = []

    def replace(match: re.Match) -> str:
        number = int(match[1])
        seen.append(number)
        return f"socket_address: {{address: 127.0.0.1, port_value: {chosen.get(number, number)}}}"

    text = re.sub(r"socket_address: \{address: [0-9.]+, port_value: (\d+)\}", replace, BOOTSTRAP.read_text())
    if sorted(seen) != sorted(chosen):
        raise Problem(f"{BOOTSTRAP}: has the ports {sorted(seen)}, where each of {sorted(chosen)} is expected once")
    return text


def start(name: str, log: Path, *command: object) -> Program:
    with log.open("wb") as output:
        # A session of its own, so that Ctrl-C reaches this program alone, which then ends the others.
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Program(name, process, log)


def wait_for(program: Program, url: str) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        program.still_runs()
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError as error:
            if time.monotonic() > end:
                raise Problem(f"{program.name} gave no answer on {url} in {START_SECONDS} s: {error}") from error
            pause(0.05)


def stop(programs: list[Program]) -> None:
    for program in reversed(programs):
        program.process.terminate()
    end = time.monotonic() + STOP_SECONDS
    for program in programs:
        try:
            program.process.wait(timeout=max(0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            program.process.kill()
            program.process.wait()


def run(options: argparse.Namespace, folder: Path, programs: list[Program]) -> None:
    ports_are_free(options)
    config = folder / "envoy.yaml"
    config.write_text(bootstrap(options))

    def loopback(port: int) -> str:
        return f"127.0.0.1:{port}"

    sessions = [options.programs / "rest-sessions", "--listen", loopback(options.sessions_port), "--store", "memory"]
    accounts = [options.programs / "accounts", "--listen", loopback(options.accounts_port)]
    accounts += ["--sessions", f"http://{loopback(options.sessions_port)}"]
    for host in ("localhost", "127.0.0.1"):
        accounts += ["--return-to", f"http://{host}:{options.port}"]
    shop = [options.programs / "shop", "--listen", loopback(options.shop_port)]
    # Without hot restart, several Envoys can run side by side.
    envoy = [options.envoy, "-c", config, "--disable-hot-restart", "--log-level", "warning"]
    envoy += ["--concurrency", options.concurrency]

    programs.append(start("the session server", folder / "rest-sessions.log", *sessions))
    programs.append(start("the login", folder / "accounts.log", *accounts))
    programs.append(start("the shop", folder / "shop.log", *shop))
    programs.append(start("Envoy", folder / "envoy.log", *envoy))
    paths = (
        f"{options.sessions_port}/ping",
        f"{options.accounts_port}/login",
        f"{options.shop_port}/",
        f"{options.admin_port}/ready",
    )
    for program, path in zip(programs, paths):
        wait_for(program, f"http://127.0.0.1:{path}")

    print(TO_TRY.format(access_log=programs[-1].log, **vars(options)), flush=True)
    while True:
        for program in programs:
            program.still_runs()
        pause(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envoy", required=True, type=Path, help="the Envoy to run")
    parser.add_argument("--programs", required=True, type=Path, help="the folder of rest-sessions, accounts and shop")
    parser.add_argument("--concurrency", type=int, default=2, metavar="NUMBER", help="workers of Envoy (2)")
    for option, number, who in PORTS:
        flag = "--" + option.replace("_", "-")
        parser.add_argument(flag, type=int, default=number, metavar="NUMBER", help=f"where {who} listens ({number})")
    options = parser.parse_args()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: asked_to_end.set())

    programs: list[Program] = []
    with tempfile.TemporaryDirectory(prefix="rest-sessions-") as folder:
        try:
            run(options, Path(folder), programs)
        except AskedToEnd:
            return 0
        except (Problem, OSError) as problem:
            print(f"make run: {problem}", file=sys.stderr)
            return 1
        finally:
            stop(programs)


if __name__ == "__main__":
    sys.exit(main())
