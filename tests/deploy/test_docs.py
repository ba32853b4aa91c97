"""README and docs/: commands are run, configurations are validated, tables are compared with the filter and Envoy.

In the output of a command, and in the messages of a refused configuration, `…` stands for any text within a line.
"""

import json
import re
import subprocess
from itertools import zip_longest

import pytest
import requests
import yaml

from harness import envoy
from harness.demo import Demo
from harness.paths import BOOTSTRAP, MODULE, ROOT, programs
from harness.shell import run_commands
from harness.text import matches
from tests.deploy.documents import PAGES, READMES, Page, every_block, page

REFERENCE = page("docs/configuration.md")


def commands_with_output(shown_on: Page) -> list[tuple[str, str]]:
    """Each `$ ` line with its continuations, and the output below it."""
    found = []
    for text in shown_on.blocks("console"):
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            ((command, output),) = re.findall(r"\A((?:[^\n]*\\\n)*[^\n]*\n)(.*)\Z", part, re.DOTALL)
            found.append((command.rstrip("\n"), output))
    return found


@pytest.mark.parametrize("shown_on", [page for page in PAGES if page.blocks("console")], ids=lambda page: page.name)
def test_every_command_prints_what_is_shown(shown_on: Page, demo: Demo) -> None:
    shown = commands_with_output(shown_on)
    printed = run_commands([demo.here(command) for command, _ in shown], {"SECRET": demo.secret()})
    for (command, output), found in zip(shown, printed, strict=True):
        wrong = f"$ {command}\nprinted\n{found}\n{shown_on.name} shows\n{output}"
        assert matches(demo.here(output), found), wrong


def test_the_pages_show_commands() -> None:
    with_commands = {page.name: len(commands_with_output(page)) for page in PAGES}
    assert sum(with_commands.values()) >= 20
    for name in ("README.md", "docs/cli.md", "docs/paths.md", "docs/guides/login.md", "docs/guides/logout.md"):
        assert with_commands[name] >= 2, name


def test_a_command_with_another_output_would_be_noticed() -> None:
    assert matches("a: …\nb\n", "a: 1\r\nb")
    assert not matches("a: …\nb\n", "a: 1\nc\nb")
    assert not matches("HTTP/1.1 401", "HTTP/1.1 200")


def json_blocks() -> list[pytest.ParameterSet]:
    """Each JSON block, with the messages of the text block that follows, if it is to be refused."""
    cases = []
    for shown_on in PAGES:
        for this, following in zip_longest(shown_on.all_blocks, shown_on.all_blocks[1:]):
            if this.language == "json":
                refused = this.after.strip() == "is refused with"
                case = f"{shown_on.name}-{'refused' if refused else 'taken'}"
                cases.append(pytest.param(this.text, following.text if refused and following else None, id=case))
    return cases


def test_one_configuration_is_refused_and_most_pages_show_one() -> None:
    (refused,) = (case for case in json_blocks() if case.values[1])
    assert str(refused.id).startswith(REFERENCE.name)
    guides = {page.name for page in PAGES if page.name.startswith("docs/guides/")}
    assert guides <= {page.name for page in PAGES if page.blocks("json")}


def messages(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(re.findall(r"wasm log [^:]*: configuration: (.*)$", done.stderr, re.MULTILINE))


@pytest.mark.parametrize("as_json", [True, False], ids=["StringValue", "Struct"])
@pytest.mark.parametrize(("text", "refusal"), json_blocks())
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
    (http_filter,), (cluster,) = map(yaml.safe_load, page("README.md").blocks("yaml"))
    done = envoy.validate(envoy.bootstrap([http_filter], [cluster]))
    assert done.returncode == 0, done.stderr


def test_the_snippets_protect_as_the_whole_bootstrap_does() -> None:
    (http_filter,), (cluster,) = map(yaml.safe_load, page("README.md").blocks("yaml"))
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
        "cookie": other,
        "logout": other,
        "write_back": other,
        "rules": [{**other, "match": other, "require": [other]}],
        "default": other,
    }
    done = envoy.validate_configuration(probe)
    lines = re.findall(r"^(.*?)\.?\[\"\?\"\]: unknown key; expected one of (.*)$", messages(done), re.MULTILINE)
    return {path: set(keys.split(", ")) for path, keys in lines}


def test_the_table_of_keys_lists_what_the_filter_takes(known_keys: dict[str, set[str]]) -> None:
    top = set(known_keys[""])
    for parent in ("rest_sessions", "annotate", "cache", "limits", "login", "cookie", "logout", "write_back"):
        top.remove(parent)
        top |= {f"{parent}.{key}" for key in known_keys[parent]}
    # It has a line of its own beside those of its keys, since it may be "off" as a whole.
    top |= {f"rest_sessions.breaker.{key}" for key in known_keys["rest_sessions.breaker"]}
    assert sorted(REFERENCE.table("Keys")) == sorted(top)


def test_the_table_of_token_sources_lists_what_the_filter_takes(known_keys: dict[str, set[str]]) -> None:
    assert sorted(REFERENCE.table("Token sources")) == sorted(known_keys["token_from[0]"])


def test_the_table_of_rules_lists_what_the_filter_takes(known_keys: dict[str, set[str]]) -> None:
    rule = set(known_keys["rules[0]"]) - {"match"} | {f"match.{key}" for key in known_keys["rules[0].match"]}
    assert sorted(REFERENCE.table("Rules")) == sorted(rule)
    assert known_keys["default"] == known_keys["rules[0]"] - {"name", "match"}


def test_the_table_of_requirements_lists_what_the_filter_takes(known_keys: dict[str, set[str]]) -> None:
    assert sorted(REFERENCE.table("Requirements")) == sorted(known_keys["rules[0].require[0]"])


def test_the_table_of_fields_lists_what_the_filter_takes() -> None:
    configuration = {
        "app": "mywebapp",
        "rest_sessions": {"cluster": "rest-sessions"},
        "annotate": {"headers": {"x-a": "?"}},
    }
    (expected,) = re.findall(r"expected one of (.*)$", messages(envoy.validate_configuration(configuration)))
    assert sorted(REFERENCE.table("Fields")) == sorted(expected.split(", "))


def test_the_table_of_answers_lists_those_that_the_module_holds() -> None:
    held = set(re.findall(rb'\{"error":"([a-z_]+)"', MODULE.read_bytes()))
    assert sorted(REFERENCE.table("Answers")) == sorted(name.decode() for name in held)


def test_the_table_of_counters_lists_what_envoy_shows(demo: Demo) -> None:
    stats = requests.get(demo.here("http://localhost:9901/stats"), timeout=10).text
    shown = re.findall(r"^wasmcustom\.rest_sessions\.(\w+): ", stats, re.MULTILINE)
    listed = page("docs/observability.md").table("Metrics")
    assert sorted(listed) == sorted(shown)


def test_every_make_word_exists() -> None:
    inline = {word for page in [*PAGES, *READMES] for word in re.findall(r"`make ([a-z-]+)", page.text)}
    words = inline | {word for text in every_block("sh") for word in re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)}
    assert {"run", "test", "build", "image", "validate", "lint", "check", "bench", "simulate"} <= words
    makefile = (ROOT / "Makefile").read_text()
    assert words <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_every_suite_that_cargo_is_asked_for_exists() -> None:
    commands = [text for page in [*PAGES, *READMES] for text in re.findall(r"`(cargo [^`]+)`", page.text)]
    for suite in [name for command in commands for name in re.findall(r"--test (\w+)", command)]:
        assert (ROOT / "tests" / suite / "main.rs").is_file() or (ROOT / "tests" / f"{suite}.rs").is_file(), suite
    packages = {name for command in commands for name in re.findall(r"--package ([\w-]+)", command)}
    metadata = subprocess.check_output(["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=ROOT)
    assert packages and packages <= {member["name"] for member in json.loads(metadata)["packages"]}


def test_every_file_of_kubectl_exists() -> None:
    applied = [line for text in every_block("sh") for line in text.splitlines() if line.startswith("kubectl apply ")]
    files = [file for line in applied for file in re.findall(r"-f (\S+)", line)]
    assert len(files) >= 3
    for file in files:
        assert (ROOT / file).is_file(), file


def test_the_session_service_has_the_options_that_are_shown() -> None:
    usage = subprocess.run([programs() / "rest-sessions", "--help"], capture_output=True, text=True).stdout
    blocks = [*every_block("sh"), *(text for page in READMES for text in page.blocks("sh"))]
    lines = [line for text in blocks for line in text.splitlines()]
    lines += [text for page in PAGES for text in re.findall(r"`([^`]+)`", page.text)]
    shown = [line for line in lines if line.startswith("rest-sessions ")]
    assert any("--store redis:" in line for line in shown)
    for line in shown:
        for option in re.findall(r"--[a-z]+", line):
            assert option in usage


def test_the_table_of_options_lists_those_of_the_program() -> None:
    program = programs() / "session-filter"
    usage = subprocess.run([program, "explain", "--help"], capture_output=True, text=True, check=True).stdout
    options = {option for option in re.findall(r"^\s+(?:-\w, )?(--[a-z]+)", usage, re.MULTILINE) if option != "--help"}
    assert {name.split()[0] for name in page("docs/cli.md").table("explain") if name.startswith("--")} == options


def test_the_example_in_readme_is_the_one_of_the_guide() -> None:
    (shown,) = page("README.md").blocks("js")
    assert shown in page("docs/guides/services.md").blocks("js")
