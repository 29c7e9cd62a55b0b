"""Numbers are written as the paper prints them, tables as Markdown reads them."""

import math

import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import tables


def test_a_table_is_markdown_and_reads_as_plain_text():
    header = ("Start", "AUC (%)", "p", "Note")
    rows = [
        ("scratch", "94.25 ± 5.07", "–", ""),
        ("unified", "**98.20 ± 0.51 (n = 10)**", "< 1e-8", "3D"),
    ]
    assert tables.markdown_table(header, rows) == (
        "| Start   |                   AUC (%) |      p | Note |\n"
        "| ------- | ------------------------: | -----: | ---- |\n"
        "| scratch |              94.25 ± 5.07 |      – |      |\n"
        "| unified | **98.20 ± 0.51 (n = 10)** | < 1e-8 | 3D   |"
    )


def test_pipes_and_line_breaks_stay_inside_their_cell():
    table = tables.markdown_table(("a|b", "c"), [("one\ntwo", "x | y")])
    assert table == (
        "| a\\|b       | c      |\n| ---------- | ------ |\n| one<br>two | x \\| y |"
    )


def test_a_table_without_rows_is_its_header():
    assert tables.markdown_table(("p", "Arm"), []) == "| p   | Arm |\n| --- | --- |"


@pytest.mark.parametrize(
    ("cell", "right"),
    [
        *(("-3", True), (".0180", True), ("1e-7", True), ("+1.90 [0.31, 3.50]", True)),
        *(("25 %", True), ("98.20±.51", True), ("0.2102 (n = 3)", True)),
        *(("3D", False), ("5 patients", False), ("–", False), ("n.s.", False)),
        *(("2D U-Net", False), ("", False), ("1 of 3", False), ("not run", False)),
    ],
)
def test_columns_of_numbers_are_aligned_to_the_right(cell, right):
    rule = tables.markdown_table(("column",), [(cell,)]).splitlines()[1]
    assert rule.endswith("-: |") == right


def test_what_was_not_run_does_not_turn_numbers_into_text():
    table = tables.markdown_table(("AUC",), [("97.50 ± 0.71",), (tables.NOT_RUN,)])
    assert table.splitlines()[1:] == [
        *("| -----------: |", "| 97.50 ± 0.71 |", "|      not run |")
    ]


@pytest.mark.parametrize("row", [("a",), ("a", "b", "c")])
def test_a_row_of_another_length_is_refused(row):
    with pytest.raises(InputError, match=f"2 cells.*Received: {len(row)} in"):
        tables.markdown_table(("a", "b"), [("a", "b"), row])


@pytest.mark.parametrize(
    ("mean", "sd", "percent", "text"),
    [
        (0.85716, 0.00514, True, "85.72 ± 0.51"),
        (3.21, 0.2, False, "3.21 ± 0.20"),
        (0.9, None, True, "90.00"),
        (0.9, math.nan, True, "90.00"),
        (1, 0, True, "100.00 ± 0.00"),
        (-1e-6, None, True, "0.00"),
        (None, None, True, "–"),
        (math.nan, 0.1, False, "–"),
        (math.inf, math.nan, False, "inf"),
    ],
)
def test_scores(mean, sd, percent, text):
    assert tables.format_score(mean, sd, percent) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0181, "0.0181"),
        (0.001, "0.0010"),
        (0.2102, "0.2102"),
        (1.0, "1.0000"),
        (1.044e-4, "1.0e-4"),
        (9.96e-4, "1.0e-3"),
        (1e-8, "1.0e-8"),
        (9.9e-9, "< 1e-8"),
        (0.0, "< 1e-8"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_p_values(p, text):
    assert tables.format_p(p) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "percent", "text"),
    [
        (0.019, 0.0031, 0.035, True, "+1.90 [0.31, 3.50]"),
        (-0.019, -0.04, 0.00001, True, "-1.90 [-4.00, 0.00]"),
        (-1.5, -2, -1, False, "-1.50 [-2.00, -1.00]"),
        (-0.00001, None, None, True, "+0.00"),
        (0.5, math.nan, math.nan, False, "+0.50"),
        (None, None, None, True, "–"),
    ],
)
def test_differences(value, low, high, percent, text):
    assert tables.format_difference(value, low, high, percent) == text


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        ("dice_mean", "Dice, mean over classes (%)"),
        ("dice_pooled", "Dice, voxels of all cases pooled (%)"),
        ("dice_left_lung", "Dice of left_lung (%)"),
        ("iou_mean", "IoU, mean over classes (%)"),
        ("paper_iou", "IoU as in the paper (%)"),
        ("surface_dice_2mm_mean", "Surface Dice at 2 mm, mean over classes (%)"),
        ("surface_dice_2mm_liver", "Surface Dice at 2 mm of liver (%)"),
        ("hd95_mm_mean", "HD95, mean over classes (mm)"),
        ("hd95_mm_liver", "HD95 of liver (mm)"),
        ("auc", "AUC (%)"),
        ("auc_mean", "AUC, mean over classes (%)"),
        ("average_precision", "Average precision (%)"),
        ("sensitivity", "Sensitivity (%)"),
        ("specificity", "Specificity (%)"),
        ("accuracy", "Accuracy (%)"),
        ("cpm_score", "cpm_score"),
    ],
)
def test_metrics_have_titles_with_units_and_shares_are_in_per_cent(metric, title):
    assert tables.metric_title(metric) == title
    assert tables.is_share(metric) == title.endswith("(%)")
