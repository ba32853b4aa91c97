"""The command session-filter reads a bootstrap in YAML as Envoy does."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from harness import envoy
from harness.paths import programs

# Scalars that YAML 1.1, or Envoy's reader of it, reads differently from what they look like.
CONFIGURATIONS = {
    "valid": "{app: mywebapp, rest_sessions: {cluster: rs, retries: 0x1, max_in_flight: 010}, forward_token: n}",
    "booleans": "{app: mywebapp, rest_sessions: {cluster: rs}, shadow: oFF, rules: [{session: off}, {session: Off}]}",
    "numbers": "{app: mywebapp, rest_sessions: {cluster: rs, retries: 1.0}, cache: {ttl: 5, max_bytes: 2147483648}, "
    "rules: [{session: required, require: [{field: d.n, at_most: 1.5}, {field: d.n, at_least: 1e3}]}]}",
    "nothing": "{app: ~, rest_sessions: {cluster: , timeout: null}, hosts: , login: {url: 'null'}}",
}


def check(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([programs() / "session-filter", "check", path], capture_output=True, text=True)


def bootstrap(configuration: str) -> str:
    return yaml.safe_dump(envoy.bootstrap([envoy.wasm_filter("@")], [])).replace("'@'", configuration)


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_check_and_the_filter_in_envoy_report_the_same_problems(configuration: str, tmp_path: Path) -> None:
    path = tmp_path / "envoy.yaml"
    path.write_text(bootstrap(configuration))
    done = envoy.validate_file(path)
    reported = set(re.findall(r"wasm log [^:]*: configuration: (.*)$", done.stderr, re.MULTILINE))

    checked = check(path)
    found = [line.removeprefix(f"{path}:").split(": ", 1)[1] for line in checked.stdout.splitlines()[1:]]
    # The command adds hints for those who edit the file, in brackets.
    hints = r" \((in YAML|a number has no unit|Envoy passes).*\)$"
    assert {re.sub(hints, "", line) for line in found} == reported
    assert checked.returncode == done.returncode == (1 if reported else 0)
