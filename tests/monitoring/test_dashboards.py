"""The committed dashboards are what the generator writes, and queries parse."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

GRAFANA = Path(__file__).parents[2] / "monitoring" / "grafana"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", GRAFANA / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


GENERATOR = generator()


def test_nothing_was_changed_by_hand_and_nothing_forgotten() -> None:
    written = {f"{each.uid}.json": GENERATOR.rendered(each) for each in GENERATOR.DASHBOARDS}

    committed = {
        file.name: file.read_text("utf-8") for file in (GRAFANA / "dashboards").glob("*.json")
    }

    assert committed == written


def test_the_overview_shows_first_what_was_asked_for() -> None:
    overview = GENERATOR.OVERVIEW

    assert overview.title == "ArtStore - System Overview"
    titles = [panel.title for panel in overview.panels[:4]]
    assert titles == ["Services up", "HTTP requests", "Response time", "Errors"]
    assert overview.panels[0].kind == "gauge"


def test_each_panel_says_what_it_shows_and_in_which_unit() -> None:
    for dashboard in GENERATOR.DASHBOARDS:
        for panel in dashboard.panels:
            assert panel.description, panel.title
            assert panel.unit, panel.title
            assert panel.queries, panel.title


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")
def test_queries_are_valid(tmp_path: Path) -> None:
    queries = {
        query.expr
        for dashboard in GENERATOR.DASHBOARDS
        for panel in dashboard.panels
        for query in panel.queries
    }
    rules = [{"record": f"panel:{index}", "expr": expr} for index, expr in enumerate(queries)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
