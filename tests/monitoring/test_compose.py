"""The monitoring stack in containers, as far as it can be judged without starting it."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.monitoring.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
PAGES = (ROOT / "monitoring" / "edge" / "monitoring.caddy").read_text("utf-8")
README = (ROOT / "monitoring" / "README.md").read_text("utf-8")


def test_it_holds_the_four_and_publishes_nothing() -> None:
    services = COMPOSE["services"]

    assert set(services) == {"prometheus", "alertmanager", "grafana", "node-exporter"}
    assert not [name for name, service in services.items() if "ports" in service]
    for service in services.values():
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", service["image"])
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]


def test_twelve_instances_of_modules_are_scraped() -> None:
    folder = ROOT / "monitoring" / "prometheus" / "targets"
    modules = ("admin", "storage", "ingester", "query")
    found = [
        target
        for module in modules
        for group in yaml.safe_load((folder / f"{module}.yml").read_text())
        for target in group["targets"]
    ]

    assert len(set(found)) == 12


def test_every_variable_is_in_the_guide() -> None:
    asked = set(re.findall(r"\$\{(\w+)", TEXT)) | set(re.findall(r"\{\$(\w+)\}", PAGES))

    assert not {name for name in asked if name not in README}


def test_grafana_believes_the_header_that_the_edge_sets_and_takes_from_clients() -> None:
    settings = COMPOSE["services"]["grafana"]["environment"]
    header = settings["GF_AUTH_PROXY_HEADER_NAME"]

    assert settings["GF_AUTH_PROXY_WHITELIST"].startswith("${ARTSTORE_EDGE_ADDRESS:?")
    taken, asked = PAGES.index("request_header -X-Webauth-*"), PAGES.index("forward_auth")
    assert taken < asked
    assert f"copy_headers {header} X-Webauth-Role" in PAGES


def test_the_datasource_and_the_prefixes_agree() -> None:
    datasource = ROOT / "monitoring" / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    url = yaml.safe_load(datasource.read_text())["datasources"][0]["url"]
    command = COMPOSE["services"]["prometheus"]["command"]

    assert url.endswith("/monitoring/prometheus")
    assert any(part.endswith("/monitoring/prometheus") for part in command)
    assert "handle /monitoring/prometheus/*" in PAGES
