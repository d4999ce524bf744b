"""What a cluster would refuse, or drop in silence, is found here: every manifest against the schemas of what reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tam_dist.config import load_config
from tests.deploy.files import DEPLOY, load, strict_schema, tool

KUBERAY = DEPLOY / "kuberay"
#: Overlays that stand alone, and components, with an overlay to add them to.
OVERLAYS = ("cpu", "gpu1", "gpu8")
COMPONENTS = ("s3", "monitoring")
RAY_UP = sorted(path for path in (DEPLOY / "ray").glob("*.yaml") if path.name != "runtime-env.yaml")


def built(folder: Path) -> list[dict[str, Any]]:
    """What kustomize makes of a folder."""
    done = subprocess.run([tool("kubectl", "kubectl"), "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.fixture(params=[*OVERLAYS, *COMPONENTS])
def manifests(request: pytest.FixtureRequest, tmp_path: Path) -> list[dict[str, Any]]:
    if request.param in OVERLAYS:
        return built(KUBERAY / "overlays" / request.param)
    # kustomize takes relative paths inside one folder, so that an overlay of a user's own lies beside the others.
    copy = shutil.copytree(KUBERAY, tmp_path / "kuberay")
    own = copy / "overlays" / "own"
    own.mkdir()
    (own / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../gpu1]\n"
        f"components: [../{request.param}]\n"
    )
    return built(own)


def check(manifest: dict[str, Any]) -> None:
    key = f"{manifest['apiVersion']}/{manifest['kind']}"
    if manifest["apiVersion"].startswith(("ray.io/", "monitoring.coreos.com/")):
        jsonschema.Draft202012Validator(_with_metadata(strict_schema(key))).validate(manifest)
    else:
        validate = pytest.importorskip("kubernetes_validate")
        validate.validate(manifest, validate.latest_version(), strict=True)


def _with_metadata(schema: dict[str, Any]) -> dict[str, Any]:
    """CRDs leave the metadata to Kubernetes."""
    fields = ("name", "generateName", "namespace", "labels", "annotations")
    known = {"type": "object", "properties": {field: {} for field in fields}, "additionalProperties": False}
    return schema | {"properties": schema["properties"] | {"metadata": known, "apiVersion": {}, "kind": {}}}


def test_overlays_are_what_kubernetes_and_kuberay_expect(manifests: list[dict[str, Any]]) -> None:
    for manifest in manifests:
        check(manifest)


@pytest.mark.parametrize("name", ["rayjob.yaml", "secret.example.yaml"])
def test_single_manifests_are_valid(name: str) -> None:
    for manifest in load(KUBERAY / name):
        check(manifest)


def test_a_field_that_is_not_known_is_found() -> None:
    [job] = load(KUBERAY / "rayjob.yaml")
    job["spec"]["entryPoint"] = "tam-dist"
    with pytest.raises(jsonschema.ValidationError, match="entryPoint"):
        check(job)


def test_references_between_manifests_lead_somewhere(manifests: list[dict[str, Any]]) -> None:
    names = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    secrets = {(each["kind"], each["metadata"]["name"]) for each in load(KUBERAY / "secret.example.yaml")}
    for reference in _references(manifests):
        assert reference in names | secrets
    [job] = load(KUBERAY / "rayjob.yaml")
    assert ("RayCluster", job["spec"]["clusterSelector"]["ray.io/cluster"]) in names


def _references(node: Any) -> list[tuple[str, str]]:
    found = []
    if isinstance(node, list):
        return [reference for each in node for reference in _references(each)]
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("secretKeyRef", "secretRef"):
                found.append(("Secret", value["name"]))
            elif key == "secretName" and "items" in node:
                found.append(("Secret", value))
            elif key == "persistentVolumeClaim":
                found.append(("PersistentVolumeClaim", value["claimName"]))
            else:
                found += _references(value)
    return found


def test_pods_keep_to_the_restricted_standard(manifests: list[dict[str, Any]]) -> None:
    """The namespace enforces it, and would refuse the pods of a RayCluster where only the operator sees it."""
    pods = [pod for manifest in manifests for pod in _pods(manifest)]
    assert len(pods) >= 4
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def _pods(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [pod for each in node for pod in _pods(each)]
    if not isinstance(node, dict):
        return []
    return [node] if "containers" in node else [pod for value in node.values() for pod in _pods(value)]


def test_the_groups_hold_what_the_presets_ask_for(manifests: list[dict[str, Any]]) -> None:
    """A cluster that can grow to less than its run needs would let it wait for ever."""
    from actors.placement import Node, plan

    [cluster] = [each for each in manifests if each["kind"] == "RayCluster"]
    nodes = []
    for group in cluster["spec"]["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        size = (float(limits["cpu"]), float(limits.get("nvidia.com/gpu", 0)))
        nodes += [Node(f"{group['groupName']}-{n}", *size) for n in range(group["maxReplicas"])]
    gpus = int(sum(node.gpus for node in nodes))
    plan(load_config([f"cluster.preset={'cpu' if not gpus else f'gpu{gpus}'}"]).cluster, nodes)


def test_versions_of_ray_agree(manifests: list[dict[str, Any]]) -> None:
    """A driver and a cluster of different versions don't talk to each other."""
    [cluster] = [each for each in manifests if each["kind"] == "RayCluster"]
    pinned = next(line for line in (DEPLOY.parent / "constraints.txt").read_text().splitlines() if line.startswith("ray=="))
    assert cluster["spec"]["rayVersion"] == pinned.removeprefix("ray==") == version("ray")


def test_compose_files_are_valid() -> None:
    whole, gpu = (load(DEPLOY / "docker" / name)[0] for name in ("compose.yaml", "compose.gpu.yaml"))
    for content in (whole, gpu):
        # "<<" is YAML's own way to merge, and is gone once it is loaded
        jsonschema.Draft7Validator(strict_schema("compose")).validate(content)
    assert gpu["services"].keys() <= whole["services"].keys()


def test_compose_publishes_nothing_to_the_network_and_mounts_what_is_there() -> None:
    [compose] = load(DEPLOY / "docker" / "compose.yaml")
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("../"):
                assert (DEPLOY / "docker" / source).exists(), source
            else:
                assert source in compose["volumes"] or source.startswith("${DATA"), source
        image = service["image"]
        assert image.startswith("tam-dist:") or not image.endswith(":latest"), "images are pinned"


def test_every_variable_of_compose_has_an_example() -> None:
    text = (DEPLOY / "docker" / "compose.yaml").read_text()
    named = set(re.findall(r"\$\{([A-Z_0-9]+)", text)) | set(re.findall(r"environment: ([A-Z_]+)\n", text))
    example = (DEPLOY / "docker" / "env.example").read_text()
    assert named == set(re.findall(r"^([A-Z_0-9]+)=", example, flags=re.MULTILINE))


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.stem)
def test_ray_up_takes_the_cluster_files(path: Path) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    [content] = load(path)
    validate_config(prepare_config(content))
    image = content["docker"]["image"]
    assert image.startswith("registry.example.com/tam-dist:"), "a name to be replaced, that nobody else owns"
    for command in (*content["head_start_ray_commands"], *content["worker_start_ray_commands"]):
        assert "--dashboard-host" not in command, "the dashboard is reached through ssh"


def test_ray_up_needs_a_cluster_file_that_is_whole() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    [content] = load(DEPLOY / "ray" / "aws.yaml")
    content["head_node_typ"] = content.pop("head_node_type")
    with pytest.raises(Exception, match="head_node_typ"):
        validate_config(prepare_config(content))


def test_a_runtime_environment_is_one() -> None:
    from ray.runtime_env import RuntimeEnv

    [content] = load(DEPLOY / "ray" / "runtime-env.yaml")
    RuntimeEnv(**content)
