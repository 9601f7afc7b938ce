"""docker/kubernetes against Kubernetes' own schemas, against itself, the settings, the commands and the code."""

import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.urls import resolve

from dispatch.worker import DRAIN_WITHIN
from sendmsg import __version__
from sendmsg.management.commands.web import KILL_AFTER
from sendmsg.variables import VARIABLES
from tests.docker.files import COMING, DOCKER, ELSEWHERE, REQUIRED, SECRET, compose, documents, manage, our_services

FOLDER = DOCKER / "kubernetes"
BASE, PRODUCTION = FOLDER / "base", FOLDER / "overlays/production"
VERSION = "1.33"  # of Kubernetes; autoscaling/v2 and policy/v1 are in every one since 1.25
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def kustomization(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "kustomization.yaml").read_text()))


def objects(folder: Path = BASE) -> list[dict[str, Any]]:
    """What the files of a folder declare; a List is its items."""
    found = [
        document
        for path in sorted(folder.glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for document in documents(path)
    ]
    return [item for one in found for item in (one["items"] if one["kind"] == "List" else [one])]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in objects() if one["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    workloads = {**of_kind("Deployment"), **of_kind("Job")}
    return {name: one["spec"]["template"]["spec"] for name, one in workloads.items()}


def settings() -> dict[str, str]:
    [generated] = kustomization(BASE)["configMapGenerator"]
    return dict(literal.partition("=")[::2] for literal in generated["literals"])


every_pod = pytest.mark.parametrize("name", sorted(pods()))
every_deployment = pytest.mark.parametrize("name", sorted(of_kind("Deployment")))


@pytest.mark.parametrize("folder", [BASE, PRODUCTION], ids=lambda folder: folder.name)
def test_a_kustomization_lists_its_files_and_no_others(folder: Path) -> None:
    listed = {entry for entry in kustomization(folder)["resources"] if not entry.startswith("..")}

    assert listed == {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert all((folder / entry).exists() for entry in kustomization(folder)["resources"])


@pytest.mark.parametrize(
    "one", [*objects(), *objects(PRODUCTION)], ids=lambda one: f"{one['kind']}-{one['metadata']['name']}"
)
def test_an_object_is_as_kubernetes_has_it(one: dict[str, Any]) -> None:
    kubernetes_validate.validate(one, VERSION, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed; the files themselves are tested")
@pytest.mark.parametrize("folder", [BASE, PRODUCTION], ids=lambda folder: folder.name)
def test_kustomize_makes_of_the_files_what_they_say(folder: Path) -> None:
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))

    for one in made:
        kubernetes_validate.validate(one, VERSION, strict=True)
    names = {(one["kind"], one["metadata"]["name"]) for one in made if one["kind"] != "ConfigMap"}
    assert names >= {(one["kind"], one["metadata"]["name"]) for one in objects()}
    assert {one["metadata"]["namespace"] for one in made} == {"sendmsg"}
    [values] = [one for one in made if one["kind"] == "ConfigMap"]
    pods = [one["spec"]["template"]["spec"] for one in made if one["kind"] in ("Deployment", "Job")]
    for pod in pods:
        [container] = pod["containers"]
        assert container["envFrom"] == [{"configMapRef": {"name": values["metadata"]["name"]}}]
        assert container["image"].endswith(f":{__version__}")
    assert settings() == values["data"]


def test_the_processes_are_those_of_compose_with_their_commands() -> None:
    found = {name: pod["containers"][0]["command"] for name, pod in pods().items() if name != "migrate"}
    wanted = {name: service["command"] for name, service in our_services().items() if name != "migrate"}

    assert found == wanted
    [migrate] = pods()["migrate"]["containers"]
    assert next(manage(migrate["args"])) == ("migrate", ["--no-input"])
    assert migrate["args"][0] == our_services()["migrate"]["command"][-1]


@every_deployment
def test_what_it_selects_is_what_it_makes(name: str) -> None:
    spec = of_kind("Deployment")[name]["spec"]
    labels = spec["template"]["metadata"]["labels"]

    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert labels == {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "sendmsg"}
    for spread in spec["template"]["spec"].get("topologySpreadConstraints", ()):
        assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "NetworkPolicy"])
def test_whoever_selects_pods_finds_some(kind: str) -> None:
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in of_kind("Deployment").values()]
    for one in of_kind(kind).values():
        spec = one["spec"]
        selector = spec.get("selector") or spec.get("podSelector")
        wanted = selector.get("matchLabels", selector if kind == "Service" else {})
        assert any(wanted.items() <= each.items() for each in labels), one["metadata"]["name"]
        for expression in selector.get("matchExpressions", ()):
            assert set(expression["values"]) <= {each[expression["key"]] for each in labels}


@every_pod
def test_its_secrets_and_settings_exist(name: str) -> None:
    pod = pods()[name]
    [container] = pod["containers"]
    declared = {volume["name"]: volume for volume in pod["volumes"]}

    assert container["envFrom"] == [{"configMapRef": {"name": "settings"}}]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(declared)
    assert declared["secrets"]["secret"]["secretName"] == "sendmsg"
    assert pod["serviceAccountName"] in of_kind("ServiceAccount")
    for path in (value for key, value in environment(container).items() if key.endswith("_FILE")):
        folder, _, key = path.rpartition("/")
        assert folder in {mount["mountPath"] for mount in container["volumeMounts"]}
        assert f"./secrets/{key}" in {secret["file"] for secret in compose()["secrets"].values()}


def environment(container: dict[str, Any]) -> dict[str, str]:
    return settings() | {entry["name"]: entry["value"] for entry in container.get("env", ())}


@every_pod
def test_a_process_is_told_all_it_needs_and_nothing_it_does_not_read(name: str) -> None:
    [container] = pods()[name]["containers"]
    told = {key.removesuffix("_FILE") for key in environment(container)}

    assert told >= REQUIRED
    assert told <= {variable.name for variable in VARIABLES} | ELSEWHERE | COMING
    assert not set(environment(container)) & SECRET
    readers = {variable.name: variable.read for variable in VARIABLES}
    for key, value in environment(container).items():
        if key in readers:
            readers[key](value)


@every_pod
def test_a_pod_has_no_rights_and_a_bound(name: str) -> None:
    pod = pods()[name]
    [container] = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


@every_deployment
def test_its_probes_ask_what_exists(name: str) -> None:
    [container] = pods()[name]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = {probe: container[probe] for probe in PROBES if probe in container}

    assert {"startupProbe", "livenessProbe"} <= set(probes)
    for probe in probes.values():
        if "exec" in probe:
            assert ["CMD", *probe["exec"]["command"]] == our_services()[name]["healthcheck"]["test"]
        else:
            assert probe["httpGet"]["port"] in ports
            asked = f"http://127.0.0.1:{ports['http']}{probe['httpGet']['path']}"
            if probe is probes["livenessProbe"]:
                assert our_services()[name]["healthcheck"]["test"][-1] == asked
            if name == "web":
                resolve(probe["httpGet"]["path"])
                [host] = probe["httpGet"]["httpHeaders"]
                assert host["value"] in settings()["ALLOWED_HOSTS"].split(",")


def test_a_service_leads_to_a_port_that_is_open() -> None:
    for name, service in of_kind("Service").items():
        [container] = pods()[name]["containers"]
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in {each["name"] for each in container["ports"]}
    [ingress] = [one for one in objects(PRODUCTION) if one["kind"] == "Ingress"]
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            ports = of_kind("Service")[backend["name"]]["spec"]["ports"]
            assert backend["port"]["name"] in {port["name"] for port in ports}


def test_a_process_is_given_the_time_that_its_drain_takes() -> None:
    for name, pod in pods().items():
        if name.startswith("worker"):
            assert pod["terminationGracePeriodSeconds"] > DRAIN_WITHIN
    web = pods()["web"]
    pause = int(web["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert web["terminationGracePeriodSeconds"] > pause + KILL_AFTER


def test_what_lags_is_scaled_by_the_age_of_what_waits() -> None:
    rules = documents(FOLDER / "prometheus-adapter.yaml")[0]["rules"]["external"]
    handed_on = {rule["name"]["as"] for rule in rules}
    scaled: dict[str, str] = {}
    for name, scaler in of_kind("HorizontalPodAutoscaler").items():
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", name)
        assert "replicas" not in of_kind("Deployment")[name]["spec"]
        [metric] = scaler["spec"]["metrics"]
        if metric["type"] == "External":
            scaled[name] = metric["external"]["metric"]["name"]

    assert {"worker-eu", "worker-us", "receipts", "callbacks"} <= set(scaled)
    assert set(scaled.values()) == handed_on
    for rule in rules:
        assert rule["seriesQuery"] == rule["name"]["as"]
        assert rule["seriesQuery"] in rule["metricsQuery"]


@pytest.mark.skipif("measure" in COMING, reason="nothing measures yet")
def test_what_is_scaled_by_is_measured() -> None:
    gauges = import_module("sendmsg.telemetry.gauges").GAUGES
    rules = documents(FOLDER / "prometheus-adapter.yaml")[0]["rules"]["external"]
    assert {rule["seriesQuery"] for rule in rules} <= set(gauges)


def test_what_there_is_more_of_is_never_all_taken_at_once() -> None:
    many = {name for name, one in of_kind("Deployment").items() if one["spec"].get("replicas", 2) > 1} - {"logwriter"}

    assert set(of_kind("PodDisruptionBudget")) == many


def test_pods_are_let_in_and_out_by_the_ports_that_they_use() -> None:
    policies = of_kind("NetworkPolicy")
    assert policies["closed"]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    metrics = settings()["METRICS_PORT"]

    assert str(policies["closed"]["spec"]["ingress"][0]["ports"][0]["port"]) == metrics
    [web] = pods()["web"]["containers"]
    [opened] = policies["web-is-reached"]["spec"]["ingress"]
    assert opened["ports"][0]["port"] == web["ports"][0]["containerPort"]
