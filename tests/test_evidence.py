"""The results on real scans: the page is what the runs say, and no scan lies there."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from models_genesis_tf.experiments.comparisons import Rules
from models_genesis_tf.experiments.reporting import report
from models_genesis_tf.imaging.fingerprints import sha256
from models_genesis_tf.models.weight_names import weights_path

ROOT = Path(__file__).resolve().parents[1]
EVIDENCE = ROOT / "docs" / "evidence"
RUNS = sorted(path.parent for path in EVIDENCE.rglob("results.json"))
# As docs/protocol.md has the commands.
PAGES = {
    "results": (["second", "domain_crossing"], Rules(test="paired", family="all")),
    "first_results": (["hippocampus"], Rules(test="paired")),
    "exploratory": (["second", "shares", "transforms", "2d"], Rules(test="paired")),
    "steps": (["steps"], Rules(test="paired")),
}
TEXTS = {".cfg", ".csv", ".gitignore", ".json", ".md", ".toml"}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_results_is_what_the_runs_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    folders, rules = PAGES[name]
    paths = [Path("docs/evidence") / folder for folder in folders]
    made = report(paths, tmp_path / name, None, rules, True)
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert made.read_text(encoding="utf-8") == page
    for figure in re.findall(r"!\[[^\]]*\]\((.+?)\)", page):
        assert (ROOT / "docs" / figure).is_file()


@pytest.mark.parametrize("run", RUNS, ids=lambda run: str(run.relative_to(EVIDENCE)))
def test_a_run_started_from_the_weights_that_lie_here(run):
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["finished"] is True and not results["synthetic"]
    if pretraining := results["pretraining"]:
        assert sha256(ROOT / results["weights"]) == pretraining["sha256"]


@pytest.mark.parametrize(("name", "run"), [("ct", "ct_long_0"), ("mr", "mr_long_0")])
def test_a_released_model_is_that_of_its_run(name, run):
    released = weights_path(f"genesis-small-{name}")
    assert sha256(released) == sha256(EVIDENCE / "pretrain" / run / "model.keras")


def test_no_scan_and_nothing_cut_from_one_is_kept():
    names = [path.relative_to(ROOT).as_posix() for path in EVIDENCE.rglob("*.*")]
    if (ROOT / ".git").exists():  # what git ignores may lie beside
        command = ["git", "ls-files", "docs/evidence"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        names = done.stdout.decode().split()
    assert len(names) > 3 * len(RUNS)
    assert {Path(name).suffix or Path(name).name for name in names} <= TEXTS | {
        ".keras",
        ".png",
    }
    assert not [name for name in names if "/cubes/" in name or "/prepared/" in name]
