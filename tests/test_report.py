"""The command `report`: run folders in, Markdown, csv and figures out."""

import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models_genesis_tf.evaluation.tables import format_p
from models_genesis_tf.experiments.comparisons import Rules
from models_genesis_tf.experiments.reporting import report
from tests.run_folders import (
    classification_cases,
    make_pair,
    make_run,
    segmentation_cases,
)

RULES = Rules(resamples=100)


def _report(folder: Path, rules: Rules = RULES, metric: str | None = None) -> str:
    return report([folder / "runs"], folder / "report", metric, rules).read_text(
        encoding="utf-8"
    )


def _rows(folder: Path) -> dict[tuple[str, str, str], dict]:
    text = (folder / "report" / "results.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text))
    return {(row["data"], row["start"], row["train_fraction"]): row for row in rows}


def _cells(text: str, row_start: str) -> list[str]:
    """The cells of the one table row that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {row_start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def _two_tasks(runs: Path) -> None:
    rng = np.random.default_rng(0)
    for scheme, mean in (("scratch", 0.7), ("unified", 0.78), ("painting", 0.74)):
        for share in (1.0, 0.3):
            cases = [segmentation_cases(rng, mean * share**0.1) for _ in range(3)]
            scores = [np.mean([row["dice_lesion"] for row in one]) for one in cases]
            name = f"lesions_{scheme}_{share}"
            make_run(runs / name, scores, scheme, cases=cases, train_fraction=share)
    for scheme, scores in (("scratch", [0.7, 0.8]), ("unified", [0.9, 0.92])):
        folder = runs / f"nodules_{scheme}"
        cases = [classification_cases(rng, 1.0) for _ in scores]
        make_run(
            folder,
            scores,
            scheme,
            "auc",
            cases,
            manifest="nodules/cases.csv",
        )


def test_one_call_gives_tables_figures_and_numbers(tmp_path):
    _two_tasks(tmp_path / "runs")
    text = _report(tmp_path)
    rows = _rows(tmp_path)
    assert len(rows) == 8
    row = rows["lesions/cases.csv", "unified", "1.0"]
    scratch = rows["lesions/cases.csv", "scratch", "1.0"]
    gain = float(row["mean"]) - float(scratch["mean"])
    assert float(row["difference"]) == pytest.approx(gain, rel=1e-12)
    assert float(row["patients_low"]) < gain < float(row["patients_high"])
    assert row["test"] == "two-sided Welch t-test, 3 against 3 trials"
    assert scratch["p_value"] == scratch["difference"] == ""
    for heading in (
        "## Real data",
        "### From scratch against pre-trained",
        "### Ablation",
        "### Shares of the labels",
        "### Learning curves",
        "## How to read this",
    ):
        assert f"\n{heading}\n" in text
    for heading in ("## Synthetic", "### Beside the paper", "### 2D and"):
        assert heading not in text
    assert "training noise" in text
    figures = re.findall(r"!\[.*\]\((.*)\)", text)
    assert figures == [
        *("real_scores.png", "real_differences.png"),
        *("real_label_shares.png", "real_learning.png"),
    ]
    for name in figures:
        with Image.open(tmp_path / "report" / name) as image:
            assert min(image.size) > 200
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == sorted(
        [*figures, "report.md", "results.csv"]
    )


@pytest.mark.parametrize(
    ("test", "beside", "column"),
    [("welch", "p, pairs", "paired_p"), ("paired", "p, Welch", "welch_p")],
)
def test_the_test_that_is_not_asked_for_stands_beside(tmp_path, test, beside, column):
    make_pair(tmp_path / "runs")
    text = _report(tmp_path, Rules(test))
    assert f" {beside}: " in text
    (row,) = [row for row in _rows(tmp_path).values() if row["start"] == "unified"]
    assert row["p_value"] == row[f"{test}_p"] != row[column]
    table = text.split("### From scratch against pre-trained")[1].split("\n![")[0]
    header, shown = _cells(table, "Task "), _cells(table, row["data"])
    assert shown[header.index(beside)] == format_p(float(row[column]))


def test_the_best_start_is_bold_and_tested_against_the_second(tmp_path):
    for scheme, scores in (
        ("scratch", [0.5, 0.52]),
        ("painting", [0.7, 0.72]),
        ("unified", [0.6, 0.62]),
    ):
        make_run(tmp_path / "runs" / scheme, scores, scheme)
    text = _report(tmp_path).split("### Ablation")[1]
    assert _cells(text, "painting")[1] == "**71.00 ± 1.41 (n = 2)**"
    assert _cells(text, "unified")[1] == "61.00 ± 1.41 (n = 2)"
    # t = 0.1 / 0.01414 = 7.07 with 2 degrees of freedom.
    assert float(_cells(text, "p, best")[1]) == pytest.approx(0.0194, abs=1e-4)


def test_one_scheme_on_two_kinds_of_scans_is_no_ablation(tmp_path):
    make_run(tmp_path / "runs" / "scratch", [0.5, 0.52])
    for kind in ("ct", "mr"):
        folder = tmp_path / "runs" / kind
        make_run(folder, [0.6, 0.62], "unified", recipe=kind, name=f"genesis_{kind}")
    assert "### Ablation" not in _report(tmp_path)


def test_published_numbers_stand_beside_ours_with_a_sentence(tmp_path):
    settings = {"metric": "auc", "task": "ncc"}
    make_run(tmp_path / "runs" / "a", [0.93, 0.95, 0.94], **settings)
    make_run(tmp_path / "runs" / "b", [0.97, 0.98, 0.99], "painting", **settings)
    make_run(tmp_path / "runs" / "c", [0.96, 0.96, 0.97], "unified", **settings)
    text = _report(tmp_path)
    beside = text.split("### Beside the paper")[1].split("###")[0]
    line = next(x for x in beside.splitlines() if "painting" in x)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert "94.25±5.07" in cells
    assert "98.20±0.51" in cells or "98.20±.51" in cells
    notes = text.split("### Of what the published numbers are")[1].split("###")[0]
    assert "the published numbers are of LUNA16" in notes
    assert "compare only where data, split and recipe are the same" in notes
    ablation = text.split("### Ablation")[1]
    assert _cells(ablation, "unified, published")[1].startswith("97.90")
    (row,) = [
        row
        for row in csv.DictReader(
            (tmp_path / "report" / "results.csv").open(encoding="utf-8")
        )
        if row["start"] == "painting"
    ]
    assert float(row["published_mean"]) == pytest.approx(0.9820)


def test_another_metric_than_the_papers_is_not_set_beside_it(tmp_path):
    make_run(tmp_path / "runs" / "a", [0.7, 0.72], task="ncs")
    make_run(tmp_path / "runs" / "b", [0.8, 0.82], "unified", task="ncs")
    assert "### Beside the paper" not in _report(tmp_path)


def test_scores_on_validation_cases_stand_apart_and_not_beside_the_papers(tmp_path):
    settings = {"metric": "auc", "task": "ncc", "score_split": "valid"}
    make_run(tmp_path / "runs" / "a", [0.93, 0.95], **settings)
    make_run(tmp_path / "runs" / "b", [0.97, 0.98], "unified", **settings)
    make_run(tmp_path / "runs" / "c", [0.96, 0.99], "unified", "auc", task="ncc")
    text = _report(tmp_path)
    gains = text.split("### From scratch against")[1].split("###")[0]
    assert _cells(gains, "NCC, validation")[3] == "unified"
    alone = text.split("### Scores without a comparison")[1].split("![")[0]
    assert _cells(alone, "NCC ")[3] == "97.50 ± 2.12 (n = 2)"
    assert "### Beside the paper" not in text
    assert "| `NCC` " in text.split("## What was left out")[1]


def test_a_negative_difference_of_distances_is_said_to_be_a_gain(tmp_path):
    for name, scheme, scores in (("a", "scratch", [3, 3.2]), ("b", "unified", [2, 2])):
        make_run(tmp_path / "runs" / name, scores, scheme, "hd95_mm_mean")
    text = _report(tmp_path)
    assert "HD95 is a distance: a negative difference is a gain." in text
    assert "real_differences.png" not in text  # whose unit is per cent


def test_phantoms_share_no_table_and_no_figure_with_scans(tmp_path):
    for name, synthetic in (("real", False), ("phantom", True)):
        results = {"synthetic": synthetic}
        folder = tmp_path / "runs" / name
        make_run(folder / "a", [0.5, 0.6], results=results)
        make_run(folder / "b", [0.7, 0.8], "unified", results=results)
    text = _report(tmp_path)
    real, synthetic = text.split("## Synthetic data (phantoms)")
    assert "real_scores.png" in real
    assert "synthetic_" not in real
    assert "synthetic_scores.png" in synthetic
    assert "real_" not in synthetic
    rows = list(
        csv.DictReader((tmp_path / "report" / "results.csv").open(encoding="utf-8"))
    )
    assert [row["synthetic"] for row in rows] == ["False"] * 2 + ["True"] * 2


@pytest.mark.parametrize(
    "change",
    [
        {"results": {"synthetic": True}},
        {"score_split": "valid"},
        {"train_fraction": 0.1},
    ],
)
def test_the_papers_numbers_stand_beside_comparable_scores_alone(tmp_path, change):
    for scheme in ("scratch", "painting", "unified"):
        for dimension in (2, 3):
            results = {"dimension": dimension} | change.get("results", {})
            make_run(
                tmp_path / "runs" / f"{scheme}_{dimension}",
                [0.9, 0.92],
                scheme,
                "auc",
                task="ncc",
                **{**change, "results": results},
            )
    text = _report(tmp_path)
    assert "### 2D and 3D" in text and "### Ablation" in text
    assert "published" not in text
    assert "98.20" not in text


def test_a_share_of_the_labels_stands_in_every_heading(tmp_path):
    for scheme in ("scratch", "painting", "unified"):
        make_run(tmp_path / scheme, [0.5, 0.6], scheme, train_fraction=0.1)
    text = report([tmp_path], tmp_path / "report", None, RULES)
    ablation = text.read_text(encoding="utf-8").split("### Ablation")[1]
    assert "lesions/cases.csv, 10 % of labels, Dice" in ablation


def test_what_is_broken_half_done_or_foreign_is_named_and_the_rest_reported(tmp_path):
    runs = tmp_path / "runs"
    _two_tasks(runs)
    (make_run(runs / "broken", [0.5, 0.6]) / "results.json").write_text("{")
    make_run(runs / "half", [0.6, 0.61], "distortion", asked=3)
    make_run(runs / "other_budget", [0.6, 0.61], "outpainting", epochs=3)
    make_run(runs / "one_trial", [0.6], "inpainting")
    (runs / "notes.txt").write_text("mine")
    text = _report(tmp_path)
    left_out = text.split("## What was left out")[1]
    for name, reason in (
        ("broken`", "results.json cannot be read"),
        ("half/trial_2`", "has not finished"),
        ("other_budget`", "differs from the runs it belongs with in epochs (3, not"),
        ("one_trial/trial_0`", "is the only trial of inpainting"),
        ("runs`", "1 file(s) that belong to no run: notes.txt"),
    ):
        (line,) = [x for x in left_out.splitlines() if name in x]
        assert reason in line
    rows = _rows(tmp_path)
    assert rows["lesions/cases.csv", "distortion", "1.0"]["trials"] == "2"
    assert rows["lesions/cases.csv", "inpainting", "1.0"]["p_value"] == ""
    assert ("lesions/cases.csv", "outpainting", "1.0") not in rows


def test_a_report_is_written_again_in_place(tmp_path):
    _two_tasks(tmp_path / "runs")
    first = _report(tmp_path)
    (tmp_path / "report").rename(tmp_path / "runs" / "report")
    again = report([tmp_path / "runs"], tmp_path / "runs" / "report", None, RULES)
    assert again.read_text(encoding="utf-8") == first


def test_a_page_stands_beside_its_folder_and_finds_its_figures(tmp_path):
    _two_tasks(tmp_path / "runs")
    first = _report(tmp_path)
    paths, folder = [tmp_path / "runs"], tmp_path / "docs" / "results"
    page = report(paths, folder, None, RULES, page=True)
    assert page == tmp_path / "docs" / "results.md"
    assert not (folder / "report.md").exists()
    text = page.read_text(encoding="utf-8")
    figures = re.findall(r"!\[[^\]]*\]\((.+?)\)", text)
    assert len(figures) > 3
    assert all((page.parent / figure).is_file() for figure in figures)
    assert text.replace("](results/", "](") == first


def test_domain_crossing_is_taken_up_with_its_figure(tmp_path):
    crossing = tmp_path / "runs" / "crossing"
    make_run(tmp_path / "runs" / "a", [0.5, 0.6])
    assert "Domain crossing" not in _report(tmp_path)
    crossing.mkdir()
    (crossing / "crossing.json").write_text("{}")
    (crossing / "crossing.md").write_text("| cubes |\n| --- |\n")
    (crossing / "crossing.png").write_bytes(b"figure")
    text = _report(tmp_path)
    assert "## Domain crossing" in text and "\n\n| cubes |\n| --- |\n\n" in text
    assert "(crossing_0.png)" in text
    assert (tmp_path / "report" / "crossing_0.png").read_bytes() == b"figure"
    assert "belong to no run" not in text


def test_a_column_as_classifier_is_taken_up(tmp_path):
    baseline = tmp_path / "runs" / "a" / "baseline"
    make_run(tmp_path / "runs" / "a", [0.5, 0.6])
    assert "A column instead" not in _report(tmp_path)
    baseline.mkdir()
    (baseline / "baseline.md").write_text("| Column |\n| --- |\n")
    text = _report(tmp_path)
    assert "## A column instead of a network" in text
    assert "\n\n| Column |\n| --- |\n\n" in text


def _type(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "models_genesis_tf.report", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_prints_the_path_of_its_report(tmp_path):
    make_run(tmp_path / "runs" / "a", [0.5, 0.6])
    make_run(tmp_path / "runs" / "b", [0.7, 0.8], "unified")
    output = tmp_path / "out"
    done = _type(
        f"--runs={tmp_path / 'runs' / 'a'},{tmp_path / 'runs' / 'b'}",
        f"--output_dir={output}",
        "--test=paired",
        "--sides=one-sided",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(output / "report.md")
    text = (output / "report.md").read_text(encoding="utf-8")
    assert "one-sided (whether the pre-trained start is better)" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "report takes --runs. Received: none"),
        (["--runs=gone"], "--runs are folders. Received: --runs=gone"),
        (["--runs={empty}"], "(no run in them)"),
        (["--runs={empty}", "--resamples=5"], "--resamples"),
        (["--runs={empty}", "--sides=both"], "--sides"),
    ],
)
def test_an_error_is_one_line(tmp_path, arguments, message):
    done = _type(*(argument.format(empty=tmp_path) for argument in arguments))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []
