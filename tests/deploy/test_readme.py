"""README.md: what it shows is run, what it lists is compared with the filter and Envoy themselves.

In the output of a command, and in the messages of a refused configuration, `…` stands for anything within a line.
"""

import json
import re
import subprocess
from dataclasses import dataclass

import pytest
import requests
import yaml

from harness import envoy, shell
from harness.demo import Demo
from harness.paths import BOOTSTRAP, MODULE, ROOT, programs
from harness.text import find, matches

README = (ROOT / "README.md").read_text()


@dataclass
class Block:
    language: str
    text: str


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)]


def blocks(language: str) -> list[str]:
    found = [block.text for block in BLOCKS if block.language == language]
    assert found, f"README has no {language} block"
    return found


def table(heading: str) -> list[str]:
    """The first column of the first table under a heading, without the head, each name by itself."""
    section = re.split(rf"^#+ {re.escape(heading)}$", README, flags=re.MULTILINE)[1]
    rows = find(r"^\|[^\n]*\n\| ---[^\n]*\n((?:\|[^\n]*\n)+)", section)
    names = [re.findall(r"`([^`]+)`", row.split(" | ")[0]) for row in rows.splitlines()]
    return [name for row in names for name in row]


def commands_with_output() -> list[tuple[str, str]]:
    """Each `$ ` line with its continuations, and what is printed below it."""
    found = []
    for text in blocks("console"):
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            ((command, output),) = re.findall(r"\A((?:[^\n]*\\\n)*[^\n]*\n)(.*)\Z", part, re.DOTALL)
            found.append((command.rstrip("\n"), output))
    return found


def test_every_command_prints_what_is_shown(demo: Demo) -> None:
    shown = commands_with_output()
    assert len(shown) >= 8
    printed = shell.run_commands([demo.here(command) for command, _ in shown])
    for (command, output), found in zip(shown, printed, strict=True):
        assert matches(demo.here(output), found), f"$ {command}\nprinted\n{found}\nREADME shows\n{output}"


def test_a_command_with_another_output_would_be_noticed() -> None:
    assert matches("a: …\nb\n", "a: 1\r\nb")
    assert not matches("a: …\nb\n", "a: 1\nc\nb")
    assert not matches("HTTP/1.1 401", "HTTP/1.1 200")


def json_blocks() -> list[tuple[str, str | None]]:
    """Each JSON block, with the messages of the text block that follows, if it is to be refused."""
    pairs = zip(BLOCKS, [*BLOCKS[1:], Block("", "")], strict=True)
    return [
        (this.text, next.text if next.language == "text" else None) for this, next in pairs if this.language == "json"
    ]


def messages(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(re.findall(r"wasm log [^:]*: configuration: (.*)$", done.stderr, re.MULTILINE))


@pytest.mark.parametrize("as_json", [True, False], ids=["StringValue", "Struct"])
@pytest.mark.parametrize(
    ("text", "refusal"), json_blocks(), ids=["taken" if refusal is None else "refused" for _, refusal in json_blocks()]
)
def test_every_json_configuration_is_taken_or_refused_as_shown(text: str, refusal: str | None, as_json: bool) -> None:
    done = envoy.validate_configuration(json.loads(text), as_json=as_json)
    if refusal is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1
        # A Struct is a map: its keys come in an order of their own.
        found, expected = messages(done).splitlines(), refusal.splitlines()
        assert len(found) == len(expected), done.stderr
        for line in expected:
            assert any(matches(line, other) for other in found), f"{line}\nis not among\n{done.stderr}"


def test_the_snippets_for_ones_own_envoy_make_a_bootstrap_that_envoy_takes() -> None:
    (http_filter,), (cluster,) = map(yaml.safe_load, blocks("yaml"))
    done = envoy.validate(envoy.bootstrap([http_filter], [cluster]))
    assert done.returncode == 0, done.stderr


def test_the_snippets_protect_as_the_whole_bootstrap_does() -> None:
    (http_filter,), (cluster,) = map(yaml.safe_load, blocks("yaml"))
    resources = yaml.safe_load(BOOTSTRAP.read_text())["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    whole = manager["http_filters"][0]
    del http_filter["typed_config"]["config"]["configuration"], whole["typed_config"]["config"]["configuration"]
    assert http_filter == whole
    assert cluster == next(other for other in resources["clusters"] if other["name"] == cluster["name"])


@pytest.fixture(scope="module")
def known_keys() -> dict[str, set[str]]:
    """The keys of each object of the configuration, as the filter lists them when it meets another."""
    other = {"?": 0}
    probe = {
        **other,
        "rest_sessions": {**other, "breaker": other},
        "token_from": [other],
        "annotate": other,
        "cache": other,
        "limits": other,
        "login": other,
        "logout": {**other, "cookie": other},
        "write_back": other,
        "rules": [{**other, "match": other, "require": [other]}],
        "default": other,
    }
    done = envoy.validate_configuration(probe)
    lines = re.findall(r"^(.*?)\.?\[\"\?\"\]: unknown key; expected one of (.*)$", messages(done), re.MULTILINE)
    return {path: set(keys.split(", ")) for path, keys in lines}


def test_the_table_of_keys_lists_what_the_filter_takes(known_keys: dict[str, set[str]]) -> None:
    top = set(known_keys[""])
    for parent in ("rest_sessions", "annotate", "cache", "limits", "login", "logout", "logout.cookie", "write_back"):
        top.remove(parent)
        top |= {f"{parent}.{key}" for key in known_keys[parent]}
    # It has a line of its own beside those of its keys, since it may be "off" as a whole.
    top |= {f"rest_sessions.breaker.{key}" for key in known_keys["rest_sessions.breaker"]}
    assert sorted(table("Keys")) == sorted(top)


def test_the_table_of_token_sources_lists_what_the_filter_takes(known_keys: dict[str, set[str]]) -> None:
    assert sorted(table("Token sources")) == sorted(known_keys["token_from[0]"])


def test_the_table_of_rules_lists_what_the_filter_takes(known_keys: dict[str, set[str]]) -> None:
    rule = set(known_keys["rules[0]"]) - {"match"} | {f"match.{key}" for key in known_keys["rules[0].match"]}
    assert sorted(table("Rules")) == sorted(rule)
    assert known_keys["default"] == known_keys["rules[0]"] - {"name", "match"}


def test_the_table_of_requirements_lists_what_the_filter_takes(known_keys: dict[str, set[str]]) -> None:
    assert sorted(table("Requirements")) == sorted(known_keys["rules[0].require[0]"])


def test_the_table_of_fields_lists_what_the_filter_takes() -> None:
    configuration = {
        "app": "mywebapp",
        "rest_sessions": {"cluster": "rest-sessions"},
        "annotate": {"headers": {"x-a": "?"}},
    }
    (expected,) = re.findall(r"expected one of (.*)$", messages(envoy.validate_configuration(configuration)))
    assert sorted(table("Fields")) == sorted(expected.split(", "))


def test_the_table_of_answers_lists_those_that_the_module_holds() -> None:
    held = set(re.findall(rb'\{"error":"([a-z_]+)"', MODULE.read_bytes()))
    section = find(r"\| `error` \| status \|[^\n]*\n\| ---[^\n]*\n((?:\|[^\n]*\n)+)", README)
    listed = re.findall(r"^\| `([a-z_]+)`", section, re.MULTILINE)
    assert sorted(listed) == sorted(name.decode() for name in held)


def test_the_table_of_counters_lists_what_envoy_shows(demo: Demo) -> None:
    stats = requests.get(demo.here("http://localhost:9901/stats"), timeout=10).text
    shown = re.findall(r"^wasmcustom\.rest_sessions\.(\w+): ", stats, re.MULTILINE)
    section = find(r"\| name \| counts \|\n\| ---[^\n]*\n((?:\|[^\n]*\n)+)", README)
    listed = [name for row in section.splitlines() for name in re.findall(r"`(\w+)`", row.split(" | ")[0])]
    assert sorted(listed) == sorted(shown)


def test_every_make_word_exists() -> None:
    words = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"run", "test", "build", "image", "validate", "lint"} <= words
    makefile = (ROOT / "Makefile").read_text()
    assert words <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_the_session_service_has_the_options_that_are_shown() -> None:
    usage = subprocess.run([programs() / "rest-sessions", "--help"], capture_output=True, text=True).stdout
    shown = [line for text in blocks("sh") for line in text.splitlines() if line.startswith("rest-sessions ")]
    assert shown
    for line in shown:
        for option in re.findall(r"--[a-z]+", line):
            assert option in usage


def test_every_file_that_is_linked_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith(("http", "#"))]
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link


def test_every_section_that_is_linked_exists() -> None:
    sections = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= sections
