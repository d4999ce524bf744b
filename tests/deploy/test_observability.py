"""Prometheus itself reads the rules, scrapes a real run, and answers every query of the dashboard and every alert's."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tam_dist.monitoring import metrics
from tam_dist.review import metrics as review_metrics
from tests.actors.chaos import wait_until
from tests.deploy.clusters import TAM_DIST, free_ports, ray_head
from tests.deploy.files import DEPLOY, ROOT, load, tool
from tests.deploy.runs import labels

FOLDER = DEPLOY / "observability"
DASHBOARD = json.loads((FOLDER / "grafana" / "tam-dist.json").read_text())
[RULES] = load(FOLDER / "alerts.yaml")
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
#: What a machine without GPUs, and a run in which nothing goes wrong, has none of.
_ABSENT = ("ray_node_gpus", "ray_node_gram")


def queries() -> dict[str, str]:
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    }


def test_the_rules_and_the_configuration_are_prometheus_own(tmp_path: Path) -> None:
    promtool = tool("promtool", "prometheus")
    for command in (("check", "rules", FOLDER / "alerts.yaml"), ("check", "config", FOLDER / "prometheus.yml")):
        done = subprocess.run([promtool, *map(str, command)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_every_metric_that_is_asked_for_exists() -> None:
    text = json.dumps(DASHBOARD) + (FOLDER / "alerts.yaml").read_text()
    asked = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"ray_(tam_dist_\w+)", text)}
    assert asked == tabled(metrics)
    assert set(re.findall(r"(?<!ray_)\b(tam_dist_\w+)", text)) == tabled(review_metrics)


def tabled(module: ModuleType) -> set[str]:
    return {line.split()[0] for line in (module.__doc__ or "").splitlines() if line.startswith("tam_dist_")}


def test_every_alert_has_its_paragraph_in_the_handbook() -> None:
    handbook = (DEPLOY / "README.md").read_text()
    for alert in ALERTS:
        assert f"`{alert['alert']}`" in handbook
        assert {"summary", "description"} <= alert["annotations"].keys()
        assert alert["labels"]["severity"] in ("info", "warning", "critical")


def test_the_operators_rules_are_the_same() -> None:
    [rule] = load(DEPLOY / "kuberay" / "overlays" / "monitoring" / "prometheusrule.yaml")
    assert rule["spec"] == RULES


def test_panels_have_room_and_numbers_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


# --- each alert fires where it should, on series made up for it ------------------------------------------------------------


def series(name: str, values: str) -> dict[str, str]:
    return {"series": name, "values": values}


#: For each alert, what happens, and after how many minutes it must have fired. One value a minute, as promtool writes them.
CASES: dict[str, tuple[list[dict[str, str]], int]] = {
    "TamDistVideoStalled": ([series("ray_tam_dist_active_videos", "2x30"), series("ray_tam_dist_oldest_progress", "0x30")], 15),
    "TamDistNoProgress": ([series("ray_tam_dist_active_videos", "1x40"), series("ray_tam_dist_frames_total", "64x40")], 35),
    "TamDistWorkersDying": ([series('ray_tam_dist_restarts_total{role="propagator"}', "_x5 1+1x10")], 12),
    "TamDistVideoFailed": ([series("ray_tam_dist_failed_videos_total", "_x5 1x10")], 8),
    "TamDistRefinerSaturated": (
        [
            series('ray_tam_dist_busy_share{role="refiner"}', "0.99x20"),
            series('ray_tam_dist_queue_depth{role="refiner"}', "3x20"),
        ],
        15,
    ),
    "RayObjectStoreFull": (
        [
            series('ray_object_store_used_memory{NodeAddress="a"}', "95x10"),
            series('ray_object_store_available_memory{NodeAddress="a"}', "5x10"),
        ],
        5,
    ),
    "RaySpilling": ([series('ray_object_store_memory{NodeAddress="a",Location="SPILLED"}', "0+1000x20")], 15),
    "RayNodeMemoryLow": (
        [series('ray_node_mem_available{ip="a"}', "1x10"), series('ray_node_mem_total{ip="a"}', "100x10")],
        5,
    ),
    "RayNodeDiskLow": ([series('ray_node_disk_free{ip="a"}', "1x10"), series('ray_node_disk_usage{ip="a"}', "99x10")], 8),
    "RayNodeGone": ([series('up{job="ray",instance="a:8080"}', "1x2 0x10")], 8),
}
#: A run in which all is well, with others beside it that ended or never had anything to do; nothing may fire.
WELL = [
    series("ray_tam_dist_active_videos", "1x40"),
    series("ray_tam_dist_oldest_progress", "0+60x40"),
    series("ray_tam_dist_frames_total", "0+64x40"),
    series('ray_tam_dist_active_videos{WorkerId="idle"}', "0x40"),
    series('ray_tam_dist_oldest_progress{WorkerId="idle"}', "0x40"),
    series('ray_tam_dist_restarts_total{role="writer"}', "_x3 1x37"),
    series('ray_tam_dist_busy_share{role="refiner"}', "0.99x40"),
    series('ray_tam_dist_queue_depth{role="refiner"}', "0x40"),
    series('ray_object_store_used_memory{NodeAddress="a"}', "50x40"),
    series('ray_object_store_available_memory{NodeAddress="a"}', "50x40"),
    series('ray_object_store_memory{NodeAddress="a",Location="SPILLED"}', "5x40"),
    series('up{job="ray",instance="a:8080"}', "1x40"),
]


def fire(tmp_path: Path, inputs: list[dict[str, str]], checks: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    tests = {"input_series": inputs, "interval": "1m", "promql_expr_test": checks}
    content = {"rule_files": [str(FOLDER / "alerts.yaml")], "evaluation_interval": "1m", "tests": [tests]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(content))
    return subprocess.run(
        [tool("promtool", "prometheus"), "test", "rules", str(tmp_path / "test.yaml")], capture_output=True, text=True
    )


def check(expression: str, minute: int, value: float | None) -> dict[str, Any]:
    samples = [] if value is None else [{"labels": "{}", "value": value}]
    return {"expr": expression, "eval_time": f"{minute}m", "exp_samples": samples}


@pytest.mark.parametrize("alert", [alert["alert"] for alert in ALERTS])
def test_each_alert_fires(alert: str, tmp_path: Path) -> None:
    inputs, minute = CASES[alert]
    firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    done = fire(tmp_path, inputs, [check(firing, minute, 1)])
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_alert_fires_where_all_is_well(tmp_path: Path) -> None:
    firing = 'count(ALERTS{alertstate="firing"})'
    done = fire(tmp_path, WELL, [check(firing, minute, None) for minute in range(0, 40, 5)])
    assert done.returncode == 0, done.stdout + done.stderr


# --- a real run, scraped ------------------------------------------------------------------------------------------------------


class Prometheus:
    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, query: str) -> list[dict[str, Any]]:
        """An instant's vector. Raises where Prometheus refuses the query."""
        with urllib.request.urlopen(f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as answer:
            content = json.load(answer)
        assert content["status"] == "success", content
        result = content["data"]["result"]
        return result if content["data"]["resultType"] == "vector" else [{"value": result}]

    def targets(self) -> list[str]:
        with urllib.request.urlopen(f"{self._url}/api/v1/targets") as answer:
            return [target["health"] for target in json.load(answer)["data"]["activeTargets"]]


@contextmanager
def prometheus(folder: Path, **targets: str) -> Iterator[Prometheus]:
    """As shipped, but for the address of what it scrapes, and more often."""
    [content] = load(FOLDER / "prometheus.yml")
    content["global"] = {"scrape_interval": "2s", "evaluation_interval": "2s"}
    assert {job["job_name"] for job in content["scrape_configs"]} == targets.keys()
    content["scrape_configs"] = [
        {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
    ]
    folder.mkdir()
    (folder / "alerts.yaml").write_text((FOLDER / "alerts.yaml").read_text())
    (folder / "prometheus.yml").write_text(yaml.safe_dump(content))
    [port] = free_ports(1)
    command = [
        tool("prometheus", "prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    server = Prometheus(f"http://127.0.0.1:{port}")

    def ready() -> bool:
        try:
            return server.targets() == ["up"] * len(targets)
        except OSError:
            return False

    try:
        wait_until(ready, 60, "Prometheus and its first scrape")
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def told_of_chunks(errors: str, videos: int) -> None:
    """A run's log tells of each chunk whose it is."""
    lines = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    stored = [line for line in lines if line.get("event") == "committed"]
    assert len({line["video"] for line in stored}) == videos
    for line in stored:
        assert line["pass"].startswith(("forward", "backward"))
        assert isinstance(line["chunk"], int)
        assert isinstance(line["generation"], int)


@contextmanager
def review_pane(folder: Path) -> Iterator[str]:
    """The pane of all runs below ``folder``; gives its address."""
    [port] = free_ports(1)
    words = ("review", str(folder), "--videos", str(folder), "--port", str(port))
    process = subprocess.Popen([*TAM_DIST, *words], stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_query_is_answered_while_a_run_goes_on(
    corpus: Path, undisturbed: dict[str, str], tiny_settings: tuple[str, ...], tmp_path: Path, short_path: Path
) -> None:
    tool("prometheus", "prometheus")
    settings = (*tiny_settings, "cluster.preset=cpu", "refinement.mode=on", "refinement.every=1")
    with (
        ray_head(short_path / "ray", "--num-cpus=4") as cluster,
        review_pane(tmp_path) as pane,
        prometheus(tmp_path / "prometheus", ray=cluster.metrics, review=pane) as server,
    ):
        answered: set[str] = set()
        wanted = {name for name, query in queries().items() if not any(absent in query for absent in _ABSENT)}
        deadline = time.monotonic() + 150
        for number in range(20):  # runs, one after the other, until every query had its answer
            words = ("run", str(corpus), "--out", str(tmp_path / f"runs-{number}"), *settings)
            run = cluster.start(*TAM_DIST, "--log-format", "json", *words)
            while run.poll() is None:
                time.sleep(2)
                answered |= {name for name, query in queries().items() if server.ask(query)}
            _, errors = run.communicate()
            assert run.returncode == 0, errors
            told_of_chunks(errors, len(undisturbed))
            if wanted <= answered or time.monotonic() > deadline:
                break
        assert wanted - answered == set()
        for alert in ALERTS:
            server.ask(alert["expr"])
        firing = server.ask('ALERTS{alertname=~"TamDist.*",alertstate="firing"}')
        assert firing == []
    assert labels(tmp_path / "runs-0").keys() == undisturbed.keys()
