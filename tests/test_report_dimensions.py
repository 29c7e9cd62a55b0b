"""2D networks in a report: beside 3D ones, and their starts against one another."""

import csv
from pathlib import Path

import pytest
from PIL import Image
from scipy import stats

from models_genesis_tf.experiments import report_figures
from models_genesis_tf.experiments.comparisons import Rules
from models_genesis_tf.experiments.reporting import report
from tests.run_folders import make_run

RULES = Rules(resamples=100)
CT, XRAY = "pretrain_genesis_chest_ct_2d", "pretrain_genesis_chest_xray_2d"
FLAT = {
    "scratch": [0.80, 0.82, 0.83],
    "imagenet": [0.94, 0.95, 0.94],
    "ct": [0.92, 0.93, 0.91],
    "xray": [0.90, 0.93, 0.95],
}
SOLID = {"scratch": [0.90, 0.91, 0.93], "unified": [0.96, 0.98, 0.97]}


def _run_2d(folder: Path, start: str, scores=None, results=None, **settings) -> None:
    """Writes a run in two dimensions from scratch, ImageNet, or a Genesis."""
    scheme, name = start, None
    results = {"dimension": 2} | (results or {})
    if start == "imagenet":
        settings["weights"] = "imagenet:files/resnet18.pth"
        block = {"name": "resnet18", "scheme": None, "sha256": "of ImageNet"}
        results["pretraining"] = block
    elif start in ("ct", "xray"):
        scheme, name = "unified", {"ct": CT, "xray": XRAY}[start]
    settings = {"metric": "auc", "task": "ncc", "recipe": start} | settings
    make_run(
        folder / f"{settings['task']}_2d_{start}",
        scores or FLAT[start],
        scheme,
        name=name,
        results=results,
        **settings,
    )


def _run_3d(folder: Path, start: str, scores=None, **settings) -> None:
    settings = {"metric": "auc", "task": "ncc"} | settings
    name = f"{settings['task']}_3d_{start}"
    make_run(folder / name, scores or SOLID[start], start, **settings)


def _both(folder: Path, task: str = "ncc", **settings) -> None:
    for start in FLAT:
        _run_2d(folder, start, task=task, **settings)
    for start in SOLID:
        _run_3d(folder, start, task=task, **settings)


def _report(folder: Path, rules: Rules = RULES) -> str:
    path = report([folder / "runs"], folder / "report", None, rules)
    return path.read_text(encoding="utf-8")


def _table(text: str, heading: str) -> dict[str, list[str]]:
    """The rows of the table below a heading by their first cell."""
    below = text.split(f"### {heading}\n")[1].split("#")[0]
    rows = [line.strip("|").split("|") for line in below.splitlines() if "|" in line]
    cells = [[cell.strip() for cell in row] for row in rows[2:]]
    return {row[0]: row[1:] for row in cells}


def _starts(text: str) -> dict[tuple[str, str], list[str]]:
    below = text.split("### Starts in 2D against one another\n")[1].split("#")[0]
    rows = [line.strip("|").split("|") for line in below.splitlines() if "|" in line]
    cells = [[cell.strip() for cell in row] for row in rows[2:]]
    return {(row[3], row[4]): row[5:] for row in cells}


def test_two_and_three_dimensions_stand_side_by_side(tmp_path):
    _both(tmp_path / "runs")
    rows = _table(_report(tmp_path), "2D and 3D")
    assert list(rows) == ["NCC", "NCC, published"]
    assert rows["NCC"][:6] == [
        *("AUC (%)", "81.67 ± 1.53 (n = 3)", "94.33 ± 0.58 (n = 3)"),
        *("92.00 ± 1.00 (n = 3)", "91.33 ± 1.53 (n = 3)", "97.00 ± 1.00 (n = 3)"),
    ]
    welch = stats.ttest_ind(SOLID["unified"], FLAT["imagenet"], equal_var=False)
    assert rows["NCC"][6:] == [f"{welch.pvalue:.4f}"] * 2
    assert rows["NCC, published"] == [
        *("AUC (%)", "96.03±0.86", "97.79±0.71", "97.45±0.61"),
        *("94.25±5.07", "98.20±0.51", "0.0213", "–"),
    ]


def test_p_values_against_imagenet_are_corrected_over_tasks(tmp_path):
    _both(tmp_path / "runs")
    _both(tmp_path / "runs", "custom", kind="classification")
    rows = _table(_report(tmp_path, Rules("pooled", resamples=100)), "2D and 3D")
    p = stats.ttest_ind(SOLID["unified"], FLAT["imagenet"]).pvalue
    assert list(rows) == ["lesions/cases.csv", "NCC", "NCC, published"]
    for name in ("lesions/cases.csv", "NCC"):
        assert rows[name][6:] == [f"{p:.4f}", f"{2 * p:.4f}"]


def test_what_was_not_run_is_said_and_not_tested(tmp_path):
    _run_2d(tmp_path / "runs", "scratch")
    _run_2d(tmp_path / "runs", "ct")
    _run_3d(tmp_path / "runs", "unified")
    _run_2d(tmp_path / "runs", "scratch", task="ecc")
    _run_2d(tmp_path / "runs", "scratch", task="dxc", metric="auc_mean")
    rows = _table(_report(tmp_path), "2D and 3D")
    assert rows["NCC"][2] == rows["NCC"][4] == "not run"
    assert rows["NCC"][6:] == ["–", "–"]
    assert rows["ECC, 2D"][2:6] == ["not run"] * 4
    assert rows["ECC, 2D, published"][6] == "5.50e-4"
    assert not any(name.startswith("DXC") for name in rows)


def test_a_pre_training_without_a_name_of_genesis_stands_under_its_own(tmp_path):
    _run_2d(tmp_path / "runs", "scratch")
    _run_2d(tmp_path / "runs", "unified", FLAT["ct"], recipe="slices")
    _run_3d(tmp_path / "runs", "scratch")
    text = _report(tmp_path)
    assert _table(text, "2D and 3D")["NCC"][3] == "92.00 ± 1.00 (n = 3)"
    gains = _table(text, "From scratch against pre-trained")
    assert gains["NCC, 2D"][2] == "unified"
    assert _table(text, "Beside the paper")["NCC, 2D"][1:] == [
        *("unified", "81.67 ± 1.53 (n = 3)", "96.03±0.86"),
        *("92.00 ± 1.00 (n = 3)", "–", gains["NCC, 2D"][6], "–"),
    ]


def test_the_first_of_several_pre_trainings_of_one_name_is_named(tmp_path):
    _both(tmp_path / "runs")
    folder = tmp_path / "runs" / "others"
    _run_3d(folder, "unified", [0.5, 0.6, 0.55], recipe="mr", name="pretrain_mr")
    cell = _table(_report(tmp_path), "2D and 3D")["NCC"][5]
    assert cell == "55.00 ± 5.00 (n = 3), unified (pretrain_mr)"


def test_runs_of_other_patients_are_kept_apart_and_named(tmp_path):
    _run_2d(tmp_path / "runs", "scratch")
    patients = {"train": ["a"], "valid": ["b", "c"], "test": ["d"]}
    _run_3d(tmp_path / "runs", "scratch", record={"patients": patients})
    text = _report(tmp_path)
    assert "### 2D and 3D" not in text
    (line,) = [line for line in text.splitlines() if "NCC: 2D and 3D" in line]
    assert "not side by side: other patients train, validate or are tested" in line


@pytest.mark.parametrize(
    "change",
    [{"score_split": "valid"}, {"train_fraction": 0.3}, {"results": {"kind": "x"}}],
)
def test_runs_that_ask_something_else_are_no_pair(tmp_path, change):
    _run_2d(tmp_path / "runs", "scratch", **change)
    _run_3d(tmp_path / "runs", "scratch")
    rows = _table(_report(tmp_path), "2D and 3D")
    (row,) = [row for name, row in rows.items() if not name.endswith("published")]
    assert row[4:6] == ["not run"] * 2


def test_phantoms_in_2d_do_not_stand_beside_scans_in_3d(tmp_path):
    for start in FLAT:
        _run_2d(tmp_path / "runs", start, results={"synthetic": True})
    for start in SOLID:
        _run_3d(tmp_path / "runs", start)
    real, synthetic = _report(tmp_path).split("## Synthetic data (phantoms)")
    assert "### 2D and 3D" not in real and "real_scores_2d.png" not in real
    rows = _table(synthetic, "2D and 3D")
    assert list(rows) == ["NCC, 2D"]
    assert rows["NCC, 2D"][4:] == ["not run", "not run", "–", "–"]


def test_each_start_in_2d_is_tested_against_imagenet_and_genesis_ct(tmp_path):
    for task, metric in (("dxc", "auc_mean"), ("ncc", "auc")):
        for start in FLAT:
            _run_2d(tmp_path / "runs", start, task=task, metric=metric)
    text = _report(tmp_path, Rules(sides="one-sided", resamples=100))
    assert "but two-sided between two pre-trained starts in 2D" in text
    dxc = text.split("### Starts in 2D")[1].split("| NCC")[0]
    starts = _starts(f"### Starts in 2D{dxc}")
    assert list(starts) == [
        ("Genesis CT 2D", "imagenet"),
        ("Genesis X-ray 2D", "imagenet"),
        ("Genesis X-ray 2D", "Genesis CT 2D"),
    ]
    # Neither is a reference to gain on: two-sided, and corrected over two tasks.
    p = stats.ttest_ind(FLAT["ct"], FLAT["imagenet"], equal_var=False).pvalue
    cells = starts["Genesis CT 2D", "imagenet"]
    assert cells[0].startswith("-2.33 [")
    assert cells[1:] == [f"{p:.4f}", f"{2 * p:.4f}", "0.0121"]
    assert starts["Genesis X-ray 2D", "imagenet"][3] == "0.3736"
    assert starts["Genesis X-ray 2D", "Genesis CT 2D"][3] == "–"


def test_published_numbers_of_2d_are_of_the_figure_that_has_the_start(tmp_path):
    for start in FLAT:
        _run_2d(tmp_path / "runs", start)
    text = _report(tmp_path)
    path = tmp_path / "report" / "results.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = {row["start"]: row for row in csv.DictReader(stream)}
    means = {start: 100 * float(row["published_mean"]) for start, row in rows.items()}
    assert means == pytest.approx(
        {
            "scratch": 96.03,
            "imagenet": 97.64,
            "Genesis CT 2D": 97.45,
            "Genesis X-ray 2D": 93.52,
        }
    )
    assert {row["dimension"] for row in rows.values()} == {"2"}
    assert "Genesis Chest X-ray 2D" in rows["Genesis X-ray 2D"]["published_in"]
    beside = text.split("### Beside the paper\n")[1].split("#")[0]
    for start, p_value in (("imagenet", "0.0005"), ("Genesis X-ray 2D", "0.0096")):
        (line,) = [line for line in beside.splitlines() if start in line]
        assert line.strip("| ").endswith(p_value)
    notes = text.split("### Of what the published numbers are\n")[1]
    for title in ("2D and 3D networks", "Genesis Chest CT 2D", "Genesis Chest X-ray"):
        assert f"\n- {title}" in notes
    assert "Genesis by the deformations" not in notes


def test_fourteen_findings_are_not_set_beside_the_published_eight(tmp_path):
    for start in FLAT:
        _run_2d(tmp_path / "runs", start, task="dxc", metric="auc_mean", labels=14)
    text = _report(tmp_path)
    assert "DXC (labels 14), 2D" in text
    assert "### Beside the paper" not in text and "75.55" not in text


def test_2d_has_a_chart_of_its_own_with_a_bracket_for_each_pair(tmp_path, monkeypatch):
    charts = {}

    def keep(panels, path, labels):
        charts[path.name] = panels
        draw(panels, path, labels)

    draw = report_figures.bar_chart
    monkeypatch.setattr(report_figures, "bar_chart", keep)
    _both(tmp_path / "runs")
    text = _report(tmp_path)
    assert list(charts) == ["real_scores.png", "real_scores_2d.png"]
    (solid,), (flat,) = charts.values()
    assert [arm.label for arm in solid.arms] == ["scratch", "unified"]
    assert [arm.label for arm in flat.arms] == [
        *("scratch", "imagenet", "Genesis CT 2D", "Genesis X-ray 2D")
    ]
    pairs = {(mark.first, mark.second) for mark in flat.marks}
    assert pairs == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)}
    p = stats.ttest_ind(FLAT["ct"], FLAT["imagenet"], equal_var=False).pvalue
    assert 0.01 < p < 0.05
    marks = {(mark.first, mark.second): mark.text for mark in flat.marks}
    assert marks[1, 2] == "*" and marks[1, 3] == "n.s."
    assert flat.arms[3].published == (93.52, 0.13)
    assert "![Scores of every start in 2D](real_scores_2d.png)" in text
    with Image.open(tmp_path / "report" / "real_scores_2d.png") as image:
        assert min(image.size) > 200


def test_starts_in_2d_are_no_ablation_of_schemes(tmp_path):
    for start in FLAT:
        _run_2d(tmp_path / "runs", start)
    assert "### Ablation" not in _report(tmp_path)
