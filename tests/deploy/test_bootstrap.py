"""envoy/envoy.yaml: Envoy accepts it, and it has the protections that README lists."""

import argparse
import json
import re
import subprocess
from collections.abc import Mapping

import pytest
import requests
import yaml

from harness import envoy, run
from harness.demo import Demo
from harness.envoy import HTTP_OPTIONS, Json
from harness.paths import BOOTSTRAP, ROOT, programs
from harness.text import find
from tests.deploy.documents import page


@pytest.fixture(scope="module")
def bootstrap() -> Json:
    bootstrap: Json = yaml.safe_load(BOOTSTRAP.read_text())
    return bootstrap


@pytest.fixture(scope="module")
def manager(bootstrap: Json) -> Json:
    manager: Json = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


@pytest.fixture(scope="module")
def plugin(manager: Json) -> Json:
    plugin: Json = manager["http_filters"][0]["typed_config"]["config"]
    return plugin


@pytest.fixture(scope="module")
def sessions_cluster(bootstrap: Json) -> Json:
    return next(c for c in bootstrap["static_resources"]["clusters"] if c["name"] == "rest-sessions")


def seconds(duration: str) -> float:
    assert duration.endswith("s")
    return float(duration[:-1])


def test_envoy_and_the_filter_accept_it(bootstrap: Json) -> None:
    done = envoy.validate(bootstrap)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_remote_address", True),
        ("normalize_path", True),
        ("merge_slashes", True),
        ("path_with_escaped_slashes_action", "REJECT_REQUEST"),
        ("stream_idle_timeout", "30s"),
        ("upgrade_configs", [{"upgrade_type": "websocket"}]),
    ],
)
def test_the_listener_is_protected(manager: Json, key: str, value: object) -> None:
    assert manager[key] == value


def test_header_names_with_underscores_are_rejected(manager: Json) -> None:
    assert manager["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"


def test_a_failed_filter_denies_requests_and_is_reloaded_within_a_second(plugin: Json) -> None:
    assert plugin["failure_policy"] == "FAIL_RELOAD"
    assert seconds(plugin["reload_config"]["backoff"]["base_interval"]) < 1


def test_the_filter_is_the_first_one(manager: Json) -> None:
    assert manager["http_filters"][0]["name"] == "rest_sessions"


def test_the_filter_has_the_names_that_statistics_show(plugin: Json) -> None:
    assert (plugin["name"], plugin["root_id"], plugin["vm_config"]["vm_id"]) == ("rest_sessions",) * 3


def test_idle_connections_to_rest_sessions_close_before_a_server_on_node_closes_them(sessions_cluster: Json) -> None:
    options = sessions_cluster["typed_extension_protocol_options"][HTTP_OPTIONS]
    assert seconds(options["common_http_protocol_options"]["idle_timeout"]) < 5


def test_the_health_checks_are_those_of_ready_instances_also_before_the_first_call(sessions_cluster: Json) -> None:
    (check,) = sessions_cluster["health_checks"]
    assert check["http_health_check"]["path"] == "/readyz"
    assert check["no_traffic_interval"] == check["interval"]


def test_calls_go_to_instances_that_are_not_ready_only_if_none_is(sessions_cluster: Json) -> None:
    # Below this percentage of ready instances, Envoy calls all of them.
    assert sessions_cluster["common_lb_config"]["healthy_panic_threshold"] == {"value": 1}


def test_no_change_of_the_instances_is_kept_from_the_workers(sessions_cluster: Json) -> None:
    assert sessions_cluster["common_lb_config"]["update_merge_window"] == "0s"


def test_half_of_the_instances_may_be_ejected_and_only_by_calls_without_a_response(sessions_cluster: Json) -> None:
    detection = sessions_cluster["outlier_detection"]
    assert detection["split_external_local_origin_errors"] is True
    assert detection["max_ejection_percent"] == 50
    assert (detection["enforcing_consecutive_5xx"], detection["enforcing_success_rate"]) == (0, 0)


def test_a_retry_goes_to_another_instance_and_only_if_the_filter_asks_for_it(sessions_cluster: Json) -> None:
    retries = sessions_cluster["typed_extension_protocol_options"][HTTP_OPTIONS]["retry_policy"]
    (predicate,) = retries["retry_host_predicate"]
    assert predicate["name"] == "envoy.retry_host_predicates.previous_hosts"
    assert "retry_on" not in retries


@pytest.fixture(scope="module")
def flags() -> dict[str, int]:
    """The numbers that are defaults of the flags of rest-sessions."""
    usage = subprocess.run([programs() / "rest-sessions", "--help"], capture_output=True, text=True, check=True).stdout
    parts = re.split(r"^ +(?=--)", usage, flags=re.MULTILINE)
    defaults = [re.search(r"^--([a-z-]+) .*\[default: (\d+)\]", part, re.DOTALL) for part in parts]
    return {default[1]: int(default[2]) for default in defaults if default}


def test_the_time_outs_agree_as_the_page_says(sessions_cluster: Json, manager: Json, flags: dict[str, int]) -> None:
    schema = json.loads((ROOT / "cli" / "schema.json").read_text())
    lookup = int(find(r'"timeout": \{\s+"default": "(\d+)ms"', json.dumps(schema, indent=1))) / 1000
    (check,) = sessions_cluster["health_checks"]
    idle = sessions_cluster["typed_extension_protocol_options"][HTTP_OPTIONS]["common_http_protocol_options"]
    store = flags["store-timeout"] / 1000
    assert store < lookup < seconds(manager["stream_idle_timeout"])
    assert 2 * seconds(sessions_cluster["connect_timeout"]) <= lookup
    assert store < seconds(check["timeout"])
    assert seconds(check["interval"]) + seconds(check["timeout"]) < flags["drain-delay"]
    assert seconds(idle["idle_timeout"]) < flags["client-timeout"]
    text = page("docs/operations.md").text
    for flag, unit in (("store-timeout", "ms"), ("client-timeout", "s"), ("drain-delay", "s")):
        assert f"`--{flag}` ({flags[flag]} {unit})" in text
    assert f"`--drain-delay` + `--shutdown-timeout` ({flags['drain-delay'] + flags['shutdown-timeout']} s)" in text


def test_the_circuit_breaker_of_the_cluster_allows_the_calls_of_four_workers(
    sessions_cluster: Json, plugin: Json
) -> None:
    (limits,) = sessions_cluster["circuit_breakers"]["thresholds"]
    # Each of several workers may have that many in flight; 256 is the filter's default.
    in_flight = plugin["configuration"]["value"]["rest_sessions"].get("max_in_flight", 256)
    assert limits["max_requests"] >= 4 * in_flight
    assert limits["max_pending_requests"] >= 4 * in_flight
    assert limits["max_retries"] >= 4 * in_flight


def test_no_route_leads_to_rest_sessions(manager: Json) -> None:
    routes = [route for host in manager["route_config"]["virtual_hosts"] for route in host["routes"]]
    assert {route["route"]["cluster"] for route in routes} == {"accounts", "shop"}


def test_the_admin_endpoint_is_on_loopback(bootstrap: Json) -> None:
    assert bootstrap["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_make_run_changes_only_ports_and_the_listener_address() -> None:
    options = argparse.Namespace(port=1, admin_port=2, sessions_port=3, accounts_port=4, shop_port=5)
    derived = run.bootstrap(options).splitlines()
    original = BOOTSTRAP.read_text().splitlines()
    changed = [(was.strip(), now.strip()) for was, now in zip(original, derived, strict=True) if was != now]
    socket = "socket_address: {{address: {}, port_value: {}}}"
    assert changed == [
        (socket.format("127.0.0.1", 9901), socket.format("127.0.0.1", 2)),
        (socket.format("0.0.0.0", 10000), socket.format("127.0.0.1", 1)),
        (socket.format("127.0.0.1", 3000), socket.format("127.0.0.1", 3)),
        (socket.format("127.0.0.1", 8081), socket.format("127.0.0.1", 4)),
        (socket.format("127.0.0.1", 8080), socket.format("127.0.0.1", 5)),
    ]


def get(demo: Demo, url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
    return requests.get(demo.here(url), headers=headers, timeout=10)


def status_of(demo: Demo, path: str, headers: Mapping[str, str] | None = None) -> int:
    return get(demo, f"http://localhost:10000{path}", headers).status_code


def test_an_escaped_slash_is_rejected_and_a_plain_path_passes(demo: Demo) -> None:
    assert status_of(demo, "/seen/products/a%2fb") == 400
    assert status_of(demo, "/seen/products/a/b") == 200


def test_a_header_with_an_underscore_is_rejected(demo: Demo) -> None:
    assert status_of(demo, "/", {"x_session_user": "admin"}) == 400


def test_prometheus_metrics_have_labels_for_reasons_and_causes(demo: Demo) -> None:
    assert status_of(demo, "/account") == 401
    text = get(demo, "http://localhost:9901/stats/prometheus").text
    assert re.search(r'^rest_sessions_denied_total\{reason="no_session"\} [1-9]', text, re.MULTILINE)
    assert 'rest_sessions_denied_total{reason="forbidden"} ' in text
    assert 'rest_sessions_call_failures_total{cause="timeout"} 0' in text
    for name in ("allowed", "redirected", "shadow_denied"):
        assert re.search(rf"^rest_sessions_{name}_total\{{\}} \d", text, re.MULTILINE)
