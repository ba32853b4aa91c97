"""envoy/istio and envoy/gateway: valid by their schemas, accepted by Envoy and the filter, and consistent."""

import subprocess
from typing import Any

import jsonschema
import pytest
import yaml

from harness import envoy
from harness.envoy import Json
from harness.paths import BOOTSTRAP, ROOT
from harness.text import find

SCHEMAS = ROOT.parent / "shared" / "data" / "crds"
MANIFESTS = {
    f"{path.stem}: {document['kind']}": document
    for path in sorted((ROOT / "envoy" / "istio").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
}
GATEWAY = {
    document["kind"]: document
    for document in yaml.safe_load_all((ROOT / "envoy" / "gateway" / "envoy-extension-policy.yaml").read_text())
}
EXTENSION = GATEWAY["EnvoyExtensionPolicy"]
# The manifests whose schemas are at SCHEMAS.
WITH_SCHEMA = {name: document for name, document in MANIFESTS.items() if document["kind"] != "DestinationRule"}
WITH_SCHEMA |= {"gateway: EnvoyExtensionPolicy": EXTENSION}
PLUGINS = {
    name: document for name, document in MANIFESTS.items() if document["kind"] in ("TrafficExtension", "WasmPlugin")
}


def plugin_of(document: Json) -> Json:
    """The configuration of the plugin: `spec` of a WasmPlugin, `spec.wasm` of a TrafficExtension."""
    plugin: Json = document["spec"].get("wasm", document["spec"])
    return plugin


def strict(schema: Any) -> Any:
    """The schema with `additionalProperties: false`: as published, it allows misspelt keys."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    return result


def schema_of(document: Json) -> Json:
    if not SCHEMAS.is_dir():
        pytest.skip(f"no schemas at {SCHEMAS}")
    group, version = document["apiVersion"].split("/")
    for path in SCHEMAS.glob(f"*.{group}.yaml"):
        for definition in yaml.safe_load_all(path.read_text()):
            if definition and definition["spec"]["names"]["kind"] == document["kind"]:
                versions = {v["name"]: v for v in definition["spec"]["versions"] if v["served"]}
                schema: Json = versions[version]["schema"]["openAPIV3Schema"]["properties"]["spec"]
                return schema
    pytest.fail(f"no schema of {document['kind']} at {SCHEMAS}")


@pytest.mark.parametrize("name", WITH_SCHEMA)
def test_the_manifest_conforms_to_its_schema_strictly(name: str) -> None:
    document = WITH_SCHEMA[name]
    jsonschema.Draft202012Validator(strict(schema_of(document))).validate(document["spec"])


@pytest.mark.parametrize("name", PLUGINS)
def test_a_misspelt_key_is_an_error(name: str) -> None:
    document = PLUGINS[name]
    spec = {**document["spec"], "faseOfTheMoon": "AUTHN"}
    with pytest.raises(jsonschema.ValidationError, match="faseOfTheMoon"):
        jsonschema.Draft202012Validator(strict(schema_of(document))).validate(spec)


def test_the_kinds_are_those_that_readme_names() -> None:
    kinds = sorted(document["kind"] for document in MANIFESTS.values())
    assert kinds == ["DestinationRule", "EnvoyFilter", "ServiceEntry", "TrafficExtension", "WasmPlugin"]
    assert sorted(GATEWAY) == ["EnvoyExtensionPolicy", "EnvoyPatchPolicy"]


@pytest.mark.parametrize("name", PLUGINS)
def test_envoy_and_the_filter_accept_the_configuration(name: str) -> None:
    done = envoy.validate_configuration(plugin_of(PLUGINS[name])["pluginConfig"])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PLUGINS)
def test_the_filter_runs_before_authorisation_and_fails_closed(name: str) -> None:
    spec = PLUGINS[name]["spec"]
    plugin = plugin_of(PLUGINS[name])
    assert spec["phase"] == "AUTHN"
    assert plugin["failStrategy"] == "FAIL_RELOAD"
    assert plugin["pluginName"] == "rest_sessions"


def test_both_kinds_have_the_same_configuration() -> None:
    first, second = (plugin_of(document) for document in PLUGINS.values())
    for key in ("pluginConfig", "url", "imagePullPolicy", "type"):
        assert first[key] == second[key]


def built_image() -> str:
    recipe = subprocess.run(["make", "--dry-run", "image"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return find(r'--tag "(\S+)"', recipe)


@pytest.mark.parametrize("name", PLUGINS)
def test_the_image_is_that_of_make_image(name: str) -> None:
    assert plugin_of(PLUGINS[name])["url"] == f"oci://{built_image()}"


@pytest.mark.parametrize("name", PLUGINS)
def test_the_filter_calls_the_declared_service(name: str) -> None:
    entry = next(document for document in MANIFESTS.values() if document["kind"] == "ServiceEntry")["spec"]
    rule = next(document for document in MANIFESTS.values() if document["kind"] == "DestinationRule")["spec"]
    (host,), (port,) = entry["hosts"], entry["ports"]
    cluster = plugin_of(PLUGINS[name])["pluginConfig"]["rest_sessions"]["cluster"]
    assert cluster == f"outbound|{port['number']}||{host}"
    assert rule["host"] == host


def bootstraps_cluster() -> Json:
    clusters = yaml.safe_load(BOOTSTRAP.read_text())["static_resources"]["clusters"]
    cluster: Json = next(cluster for cluster in clusters if cluster["name"] == "rest-sessions")
    return cluster


def test_istios_filter_patches_the_declared_service_with_the_settings_of_the_bootstrap() -> None:
    entry = next(document for document in MANIFESTS.values() if document["kind"] == "ServiceEntry")["spec"]
    spec = next(document for document in MANIFESTS.values() if document["kind"] == "EnvoyFilter")["spec"]
    (patch,) = spec["configPatches"]
    (host,), (port,) = entry["hosts"], entry["ports"]
    assert patch["match"]["cluster"] == {"service": host, "portNumber": port["number"]}
    whole = bootstraps_cluster()
    assert patch["patch"]["value"] == {key: whole[key] for key in patch["patch"]["value"]}
    # What it does not patch is set by the ServiceEntry and the DestinationRule, or has a default in Istio.
    assert whole.keys() - patch["patch"]["value"].keys() == {
        "name",
        "connect_timeout",
        "load_assignment",
        "circuit_breakers",
        "outlier_detection",
    }


def test_istio_ejects_instances_as_the_bootstrap_does() -> None:
    rule = next(document for document in MANIFESTS.values() if document["kind"] == "DestinationRule")["spec"]
    istios = rule["trafficPolicy"]["outlierDetection"]
    whole = bootstraps_cluster()
    detection = whole["outlier_detection"]
    assert istios == {
        "splitExternalLocalOriginErrors": detection["split_external_local_origin_errors"],
        "consecutiveLocalOriginFailures": detection["consecutive_local_origin_failure"],
        "consecutive5xxErrors": detection["enforcing_consecutive_5xx"],
        "interval": detection["interval"],
        "baseEjectionTime": detection["base_ejection_time"],
        "maxEjectionPercent": detection["max_ejection_percent"],
        "minHealthPercent": whole["common_lb_config"]["healthy_panic_threshold"]["value"],
    }


def test_idle_connections_to_rest_sessions_close_before_a_server_on_node_closes_them() -> None:
    rule = next(document for document in MANIFESTS.values() if document["kind"] == "DestinationRule")["spec"]
    idle = rule["trafficPolicy"]["connectionPool"]["http"]["idleTimeout"]
    assert idle.endswith("s") and float(idle[:-1]) < 5


def test_everything_is_in_the_gateways_namespace_and_exported_to_no_other() -> None:
    assert {document["metadata"]["namespace"] for document in MANIFESTS.values()} == {"istio-ingress"}
    for document in MANIFESTS.values():
        if document["kind"] in ("ServiceEntry", "DestinationRule"):
            assert document["spec"]["exportTo"] == ["."]


def test_envoy_gateways_extension_runs_the_image_on_the_gateway_and_fails_closed() -> None:
    (wasm,) = EXTENSION["spec"]["wasm"]
    assert (wasm["name"], wasm["rootID"], wasm["failOpen"]) == ("rest_sessions", "rest_sessions", False)
    assert wasm["code"]["image"]["url"] == built_image()
    assert EXTENSION["spec"]["targetRefs"] == [GATEWAY["EnvoyPatchPolicy"]["spec"]["targetRef"]]


def test_envoy_and_the_filter_accept_envoy_gateways_configuration_and_cluster() -> None:
    (patch,) = GATEWAY["EnvoyPatchPolicy"]["spec"]["jsonPatches"]
    # For Envoy Gateway, a patch with these two adds a whole resource.
    assert (patch["operation"]["op"], patch["operation"]["path"]) == ("add", "")
    configuration, cluster = EXTENSION["spec"]["wasm"][0]["config"], patch["operation"]["value"]
    assert patch["name"] == cluster["name"] == configuration["rest_sessions"]["cluster"]
    done = envoy.validate(envoy.bootstrap([envoy.wasm_filter(configuration, as_json=True)], [cluster]))
    assert done.returncode == 0, done.stderr


def test_envoy_gateways_cluster_differs_from_the_bootstraps_in_its_address_alone() -> None:
    (patch,) = GATEWAY["EnvoyPatchPolicy"]["spec"]["jsonPatches"]
    whole = bootstraps_cluster()
    cluster = {**patch["operation"]["value"], "load_assignment": whole["load_assignment"]}
    assert cluster.pop("type") == "STRICT_DNS"
    assert cluster == whole


def test_all_manifests_have_the_same_policy() -> None:
    (wasm,) = EXTENSION["spec"]["wasm"]
    first = plugin_of(next(iter(PLUGINS.values())))["pluginConfig"]
    assert {**wasm["config"], "rest_sessions": first["rest_sessions"]} == first
