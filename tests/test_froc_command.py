"""`evaluate --froc` and `evaluate --submission` on runs and tables written by hand."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from models_genesis_tf import evaluate
from models_genesis_tf.evaluation.froc import Candidate, Nodule, evaluate_froc
from tests.run_folders import make_run

HEADER = "seriesuid,coordX,coordY,coordZ"
TITLES = ["1/8", "1/4", "1/2", "1", "2", "4", "8", "CPM", "95 %"]


def _call(*arguments: str) -> None:
    """Runs the command in this process, from parsing on."""
    with flagsaver.flagsaver():
        flags.FLAGS.unparse_flags()
        flags.FLAGS([evaluate.__name__, *arguments])
        evaluate.main()


@pytest.fixture
def refused(monkeypatch, capsys):
    """Runs the command, which has to end with one line and exit code 1; gives that."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [evaluate.__name__, *arguments])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as caught:
            flags.FLAGS.unparse_flags()
            evaluate.cli()
        assert caught.value.code == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return run


def _write_table(path: Path, last: str, things) -> None:
    column = {"diameter_mm": "diameter"}.get(last, last)
    rows = [
        ",".join(map(str, (one.series, *one.centre, getattr(one, column))))
        for one in things
    ]
    path.write_text("\n".join([f"{HEADER},{last}", *rows]) + "\n")


def _draw(scans: int, rng: np.random.Generator):
    """A nodule in each scan, irrelevant findings in some, nine candidates in most."""
    nodules, irrelevant, candidates = [], [], []
    for k in range(scans):
        series = f"1.2.{k}"
        nodules.append(Nodule(series, (0.0, 5.0, -5.0), 8.0))
        if k % 3 == 0:
            irrelevant.append(Nodule(series, (25.0, 5.0, -5.0), -1.0))
        if k % 7:
            candidates += [
                Candidate(series, (25.0 * place, 5.0, -5.0), rng.beta(4, 4 + place))
                for place in range(9)
            ]
    return nodules, irrelevant, candidates


def _make_run(folder: Path, scans: int, trials: int = 2, **changed):
    """A run of NCC that scored some scans as its test part, and its data."""
    rng = np.random.default_rng(8)
    (folder / "data").mkdir(parents=True)
    drawn = [_draw(scans, rng) for _ in range(trials)]
    nodules, irrelevant, _ = drawn[0]
    trained_on = Nodule("1.3.0", (0.0, 0.0, 0.0), 8.0)
    _write_table(folder / "data/annotations.csv", "diameter_mm", [*nodules, trained_on])
    _write_table(folder / "excluded.csv", "diameter_mm", irrelevant)
    cases = [
        [
            {
                "case": f"{one.series}_{number:06d}",
                "patient": one.series,
                "label": int(one.centre[0] == 0),
                "probability": one.probability,
                **dict(zip("xyz", one.centre, strict=True)),
            }
            for number, one in enumerate(candidates)
        ]
        for _, _, candidates in drawn
    ]
    settings = {"task": "ncc", "kind": "classification", "manifest": ""}
    settings |= {"data_dir": str(folder / "data")} | changed
    run = make_run(
        folder / "run", [0.9] * trials, metric="auc", cases=cases, **settings
    )
    rows = [(f"1.2.{k}_0", f"1.2.{k}", "test") for k in range(scans)]
    rows += [("1.3.0_1", "1.3.0", "train"), ("1.2.0_9", "1.2.0", "test")]
    lines = ["case,patient,split", *(",".join(row) for row in rows)]
    (run / "split.csv").write_text("\n".join(lines) + "\n")
    return run, drawn


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _table(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]


def _expected(scans: int, drawn, with_irrelevant: bool):
    nodules, irrelevant, candidates = drawn
    irrelevant = irrelevant if with_irrelevant else []
    names, rng = [f"1.2.{k}" for k in range(scans)], np.random.default_rng([0, 20])
    return evaluate_froc(names, nodules, candidates, irrelevant, rng)


@pytest.mark.parametrize("where", ["data_dir", "flag", "nowhere"])
def test_the_trials_of_a_run_are_evaluated(where, tmp_path, capsys):
    """Scans and nodules are those of the test part, with or without candidates."""
    run, drawn = _make_run(tmp_path, 45)
    arguments = [f"--run={run}", "--froc"]
    if where == "data_dir":  # where the owner's archive unpacks it
        place = tmp_path / "data/evaluationScript/annotations"
        place.mkdir(parents=True)
        (tmp_path / "excluded.csv").rename(place / "annotations_excluded.csv")
        (place / "annotations.csv").write_text("the one at the top is read")
    elif where == "flag":
        arguments += [f"--annotations_excluded={tmp_path / 'excluded.csv'}"]
    before = {path: path.read_bytes() for path in run.rglob("*.*")}
    _call(*arguments)
    printed = capsys.readouterr().out
    written = _read(run / "evaluation/froc.json")
    for number, curve in enumerate(written["curves"]):
        expected = _expected(45, drawn[number], where != "nowhere")
        assert curve["name"] == f"trial {number}"
        assert (curve["scans"], curve["nodules"], curve["candidates"]) == (45, 45, 342)
        assert curve["found"] == 38
        assert curve["rates"] == [0.125, 0.25, 0.5, 1, 2, 4, 8]
        assert curve["sensitivities"] == expected.sensitivities.tolist()
        assert curve["sensitivity_intervals"] == expected.intervals.T.tolist()
        assert curve["cpm"] == np.mean(curve["sensitivities"]) == expected.cpm
        assert curve["cpm_interval"] == list(expected.cpm_interval)
    scores = [curve["cpm"] for curve in written["curves"]]
    assert len(set(scores)) == 2 and written["mean_cpm"] == np.mean(scores)
    assert written["synthetic"] is False and written["score_split"] == "test"
    header, _, first, second, mean = _table(printed)
    assert header == ["false positives per scan", *TITLES]
    low, high = written["curves"][0]["cpm_interval"]
    assert first[-2:] == [f"{scores[0]:.3f}", f"{low:.3f} to {high:.3f}"]
    assert second[0] == "trial 1" and mean[-2] == f"{np.mean(scores):.3f}"
    assert "45 scans, 45 nodules" in printed
    assert "LUNA16's own score takes all 888" in printed
    assert ("count as false positives" in printed) == (where == "nowhere")
    assert printed.splitlines()[-1] == str(run / "evaluation/froc.json")
    assert (run / "evaluation/froc.png").stat().st_size > 10_000
    assert {path: path.read_bytes() for path in before} == before


def test_irrelevant_findings_make_a_difference():
    drawn = _draw(45, np.random.default_rng(8))
    one, other = (_expected(45, drawn, known).cpm for known in (True, False))
    assert one > other + 0.005


def test_data_may_lie_elsewhere_and_few_scans_have_no_interval(tmp_path, capsys):
    run, _ = _make_run(tmp_path, 9, trials=1)
    results = _read(run / "results.json") | {"synthetic": True}
    (run / "results.json").write_text(json.dumps(results))
    (tmp_path / "data").rename(tmp_path / "moved")
    moved, out = f"--data_dir={tmp_path / 'moved'}", tmp_path / "out"
    _call(f"--run={run}", "--froc", moved, f"--output_dir={out}")
    printed = capsys.readouterr().out
    assert _table(printed)[-1][-1] == "–" and len(_table(printed)) == 3
    assert "no interval: a bootstrap takes 40 scans" in printed
    assert "synthetic data: no result of LUNA16" in printed
    written = _read(out / "froc.json")
    assert written["curves"][0]["cpm_interval"] is None
    assert written["annotations"] == str(tmp_path / "moved/annotations.csv")
    assert written["synthetic"] is True
    assert sorted(path.name for path in out.iterdir()) == ["froc.json", "froc.png"]
    assert not (run / "evaluation").exists()


def _write_submission(folder: Path, scans: int):
    drawn = _draw(scans, np.random.default_rng(4))
    for (name, last), things in zip(
        {"a": "diameter_mm", "e": "diameter_mm", "s": "probability"}.items(),
        drawn,
        strict=True,
    ):
        _write_table(folder / f"{name}.csv", last, things)
    return drawn, [
        *(f"--submission={folder / 's.csv'}", f"--annotations={folder / 'a.csv'}"),
        *(f"--annotations_excluded={folder / 'e.csv'}", f"--output_dir={folder / 'o'}"),
    ]


def test_a_submission_is_evaluated_without_a_run(tmp_path, capsys):
    drawn, arguments = _write_submission(tmp_path, 45)
    _call(*arguments)
    printed = capsys.readouterr().out
    (curve,) = _read(tmp_path / "o/froc.json")["curves"]
    expected = _expected(45, drawn, True)
    assert curve["sensitivities"] == expected.sensitivities.tolist()
    assert curve["name"] == "s.csv" and curve["scans"] == 45
    assert "a scan that no table names is not counted" in printed
    assert (tmp_path / "o/froc.png").is_file()


def test_the_scans_of_a_submission_are_those_listed(tmp_path, capsys):
    """Ten of its scans, and ten that no other table names."""
    drawn, arguments = _write_submission(tmp_path, 45)
    names = [f"1.2.{k}" for k in range(10)] + [f"1.9.{k}" for k in range(10)]
    (tmp_path / "list.csv").write_text("\n".join(names))
    _call(*arguments, f"--seriesuids={tmp_path / 'list.csv'}")
    (curve,) = _read(tmp_path / "o/froc.json")["curves"]
    assert (curve["scans"], curve["nodules"], curve["candidates"]) == (20, 10, 72)
    printed = capsys.readouterr().out
    assert "270 candidates of other scans left out" in printed
    assert "no table names" not in printed
    nodules, irrelevant, candidates = drawn
    rng = np.random.default_rng(0)
    expected = evaluate_froc(names, nodules, candidates, irrelevant, rng)
    assert curve["sensitivities"] == expected.sensitivities.tolist()


def test_tensorflow_is_not_loaded(tmp_path):
    run, _ = _make_run(tmp_path, 9, trials=1)
    code = (
        "import sys\nfrom models_genesis_tf import evaluate\n"
        "try:\n    evaluate.cli()\n"
        "finally:\n    assert not {'tensorflow', 'keras'} & sys.modules.keys()"
    )
    command = [sys.executable, "-c", code, f"--run={run}", "--froc"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0 and not done.stderr, done.stderr[-2000:]
    assert (run / "evaluation/froc.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            (),
            "evaluate takes --run, --submission or --restorers. Received: none of them",
        ),
        (
            ("--run=r", "--froc", "--split=valid"),
            "--froc goes with --run, --data_dir, --annotations, --annotations_excluded "
            "and no other flag but --output_dir. Received: --split",
        ),
        (
            ("--run=r", "--annotations=a"),
            "--run goes with --split, --manifest, --data_dir, --cache_dir and no other "
            "flag but --output_dir. Received: --annotations",
        ),
        (
            ("--submission=s", "--run=r", "--froc"),
            "--submission goes with --annotations, --annotations_excluded, "
            "--seriesuids and no other flag but --output_dir. Received: --froc, --run",
        ),
        (("--submission=s",), "--submission goes with --annotations. Received: none"),
        (
            ("--submission=s", "--annotations=a"),
            "--submission goes with --output_dir. Received: none",
        ),
        (
            ("--run=absent", "--froc"),
            "--run is the folder of a finished run of finetune. Received: --run=absent",
        ),
    ],
)
def test_flags_that_do_not_go_together_are_refused(refused, arguments, said):
    assert refused(*arguments) == f"error: {said}"


def test_a_run_of_another_task_is_refused(refused, tmp_path):
    run, _ = _make_run(tmp_path, 9, task="ecc")
    line = refused(f"--run={run}", "--froc")
    assert line.endswith(f"have their places. Received: --run={run} of --task=ecc")
    assert not (run / "evaluation").exists()


def test_missing_and_foreign_tables_are_named(refused, tmp_path):
    run, _ = _make_run(tmp_path, 9, trials=1)
    data, scores = tmp_path / "data", run / "trial_0/scores.csv"
    text = scores.read_text()
    scores.write_text(text.replace("1.2.3,", "1.2.99,"))
    line = refused(f"--run={run}", "--froc")
    assert line.endswith(f"that split.csv names. Received: {scores} with 1.2.99")
    scores.write_text(text.replace("probability", "probability_1"))
    line = refused(f"--run={run}", "--froc")
    assert f"probability, x, y, z. Received: {scores} (KeyError" in line
    scores.unlink()
    assert f"Received: {scores} (FileNotFound" in refused(f"--run={run}", "--froc")
    for place in ("one", "two"):
        (data / place).mkdir()
        (data / place / "annotations.csv").write_text("")
    (data / "annotations.csv").unlink()
    line = refused(f"--run={run}", "--froc")
    both = f"{data / 'one/annotations.csv'} and {data / 'two/annotations.csv'}"
    assert line.endswith(f"--annotations names it. Received: {both}")
    for place in ("one", "two"):
        (data / place / "annotations.csv").unlink()
    line = refused(f"--run={run}", "--froc")
    assert line.endswith(f"--annotations names it. Received: {data} without it")
    (run / "split.csv").write_text("case,patient\n1,2\n")
    table = f"--annotations={tmp_path / 'excluded.csv'}"
    line = refused(f"--run={run}", "--froc", table)
    assert f"Received: {run / 'split.csv'} (KeyError('split'))" in line
    assert not (run / "evaluation").exists()
