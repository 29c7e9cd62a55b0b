"""`finetune` and `evaluate` as a user types them: a manifest in, a run folder out."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import keras
import pytest
from absl import flags
from absl.testing import flagsaver

from models_genesis_tf import evaluate, finetune
from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import finetuning, run_folder
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.models.unet3d import build_unet3d
from tests.manifests import (
    classification_rows,
    draw_case,
    write_array,
    write_classification,
    write_rows,
    write_segmentation,
)

KIND = ("--task=custom", "--kind=segmentation")
SMALL = ("--base_filters=2", "--patch_size=16,16,8", "--epochs=1", "--seed=2")


def _call(command: ModuleType, *arguments: str) -> list[str]:
    """Runs a command in this process, from parsing on; gives the lines it printed."""
    argv = [command.__name__, *arguments]
    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        flagsaver.flagsaver(),
        contextlib.redirect_stdout(printed),
    ):
        patch.setattr(sys, "argv", argv)
        flags.FLAGS.unparse_flags()
        flags.FLAGS(argv)
        command.main()
    return printed.getvalue().splitlines()


def _type(line: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """Runs `python -m models_genesis_tf.<line>`."""
    command = [sys.executable, "-m", f"models_genesis_tf.{line}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with two data sets and the weights of a pre-training run."""
    folder = tmp_path_factory.mktemp("commands")
    write_segmentation(folder / "data")
    write_classification(folder / "nodules", ("benign", "malignant"))
    weights = folder / "pretrained" / "model.keras"
    save_model(build_unet3d((16, 16, 16, 1), base_filters=3), weights, {})
    return folder


@pytest.fixture(scope="module")
def finished(place) -> Path:
    """Two trials with half of the patients, scored on the validation cases."""
    arguments = ("--train_fraction=0.5", "--trials=2", "--score_split=valid")
    lines = _call(finetune, *_given(place, place / "run"), *arguments)
    assert lines[-1] == str(place / "run" / "results.json")
    return place / "run"


def _given(place: Path, folder: Path) -> tuple[str, ...]:
    """Flags of a small run on the segmentation."""
    return (
        f"--manifest={place / 'data' / 'cases.csv'}",
        f"--output_dir={folder}",
        f"--cache_dir={place / 'cache'}",
        *KIND,
        *SMALL,
    )


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """The finished run in a folder of its own, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def _same_run(place: Path, folder: Path) -> tuple[str, ...]:
    """The flags of the finished run."""
    arguments = ("--train_fraction=0.5", "--trials=2", "--score_split=valid")
    return (*_given(place, folder), *arguments)


@pytest.fixture
def prepared(monkeypatch):
    """Runs `finetune` up to reading cases and gives what training would get."""

    def run(*arguments: str) -> SimpleNamespace:
        calls = []

        def train(folder, config, cache_dir):
            calls.append(SimpleNamespace(config=config, cache_dir=cache_dir))
            run_folder.write_json(folder / "run.json", {"finished": False})

        monkeypatch.setattr(finetuning, "finetune", train)
        _call(finetune, *arguments)
        return calls[0]

    return run


def _state(folder: Path) -> dict:
    stats = {path: path.stat() for path in [folder, *folder.rglob("*")]}
    return {
        path: (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        for path, stat in stats.items()
    }


@pytest.mark.slow
def test_the_lines_a_user_types_first_run(place, tmp_path):
    shutil.copytree(place / "nodules", tmp_path / "nodules")
    shutil.copytree(place / "pretrained", tmp_path / "runs" / "mine")
    done = _type(
        "finetune",
        *("--task=custom", "--kind=classification", "--manifest=nodules/cases.csv"),
        *("--weights=runs/mine/model.keras", "--patch_size=16,16,8", "--epochs=1"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    run = "runs/finetune_custom_model"
    assert done.stdout.splitlines()[-1] == f"{run}/results.json"
    assert (tmp_path / "runs" / "prepared").is_dir()
    done = _type("evaluate", f"--run={run}", "--split=test", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{run}/evaluation/results.json"
    results = [
        json.loads((tmp_path / run / path).read_text())
        for path in ("results.json", "evaluation/results.json")
    ]
    assert results[0] == results[1] and results[0]["base_filters"] == 3


def test_flags_become_the_settings_of_the_run(prepared, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest = str(place / "nodules" / "cases.csv")
    weights = str(place / "pretrained" / "model.keras")
    call = prepared(
        *("--task=custom", "--kind=classification", f"--manifest={manifest}"),
        *("--label_column=grade", "--label_map=<3:0,>3:1", "--where=readers>=3"),
        *(
            "--window=mr",
            "--spacing=1,1.5,2",
            "--patch_size=16,24,8",
            "--flip_axes=z,x",
        ),
        *(f"--weights={weights}", "--trials=5", "--train_fraction=0.25"),
        *("--score_split=valid", "--batch_size=3", "--optimizer=sgd", "--seed=9"),
        *("--learning_rate=0.5", "--max_steps=7", "--bn_momentum=0.8"),
        "--steps_per_epoch=3",
    )
    assert call.config == FinetuneConfig(
        kind="classification",
        manifest=manifest,
        label_column="grade",
        label_map="<3:0,>3:1",
        where="readers>=3",
        window="mr",
        spacing=(1.0, 1.5, 2.0),
        patch_size=(16, 24, 8),
        flip_axes=("z", "x"),
        weights=weights,
        trials=5,
        train_fraction=0.25,
        score_split="valid",
        batch_size=3,
        optimizer="sgd",
        learning_rate=0.5,
        max_steps=7,
        steps_per_epoch=3,
        bn_momentum=0.8,
        seed=9,
    )
    assert call.cache_dir == Path("runs/prepared")
    assert Path("runs/finetune_custom_model/flags.cfg").is_file()


def test_recorded_flags_replay_a_run(prepared, place, tmp_path):
    first = prepared(*_same_run(place, tmp_path / "one"), "--restart")
    text = (tmp_path / "one" / "flags.cfg").read_text()
    assert "restart" not in text and "--train_fraction=0.5" in text
    flagfile = f"--flagfile={tmp_path / 'one' / 'flags.cfg'}"
    again = prepared(flagfile, f"--output_dir={tmp_path / 'two'}")
    assert again == first


def test_settings_that_are_not_given_are_the_defaults(prepared, place, tmp_path):
    manifest = str(place / "data" / "cases.csv")
    call = prepared(*KIND, f"--manifest={manifest}", f"--output_dir={tmp_path / 'r'}")
    assert call.config == FinetuneConfig(manifest=manifest)


def test_a_finished_run_started_again_changes_nothing(finished, place):
    before = _state(finished)
    lines = _call(finetune, *_same_run(place, finished))
    results = finished / "results.json"
    assert lines == [f"finished already, nothing to do: {results}"]
    assert _state(finished) == before


def test_other_flags_are_refused_by_name_even_of_a_finished_run(finished, place):
    before = _state(finished)
    with pytest.raises(InputError) as caught:
        _call(finetune, *_same_run(place, finished), "--epochs=2", "--trials=3")
    rule, received = str(caught.value).split("Received: ")
    assert "flags it began with" in rule and "--restart" in rule
    assert received == (
        "--epochs=2 (began with --epochs=1), --trials=3 (began with --trials=2)"
    )
    assert _state(finished) == before


def test_a_run_goes_on_from_another_place(prepared, place, tmp_path):
    data = shutil.copytree(place / "data", tmp_path / "data")
    prepared(*_given(tmp_path, tmp_path / "run"))
    data.rename(tmp_path / "moved")
    (tmp_path / "run").rename(tmp_path / "there")
    moved = f"--manifest={tmp_path / 'moved' / 'cases.csv'}"
    given = (*_given(tmp_path, tmp_path / "there"), moved)
    call = prepared(*given, "--checkpoint_every=9", "--strategy=none")
    assert call.config.checkpoint_every == 9


def test_a_restart_begins_anew(copy, place):
    _call(finetune, *_given(place, copy), "--restart")
    results = json.loads((copy / "results.json").read_text())
    assert len(results["trials"]) == 1 and results["score_split"] == "test"
    assert [path.name for path in copy.glob("trial_*")] == ["trial_0"]
    record = json.loads((copy / "run.json").read_text())
    assert record["settings"]["trials"] == 1 and len(record["sessions"]) == 1


def test_evaluate_gives_the_scores_of_the_run_again(finished, copy, place, tmp_path):
    for path in copy.glob("trial_*/scores.csv"):
        path.unlink()
    before = _state(copy)
    cache = f"--cache_dir={place / 'cache'}"
    lines = _call(
        evaluate, f"--run={copy}", cache, f"--output_dir={tmp_path / 'again'}"
    )
    assert lines[-1] == str(tmp_path / "again" / "results.json")
    results = [
        json.loads((folder / "results.json").read_text())
        for folder in (finished, tmp_path / "again")
    ]
    assert results[0] == results[1]
    for number in range(2):
        own = finished / f"trial_{number}" / "scores.csv"
        again = tmp_path / "again" / f"trial_{number}_scores.csv"
        assert own.read_bytes() == again.read_bytes()
    assert _state(copy) == before
    names = {path.name for path in (tmp_path / "again").iterdir()}
    assert names == {"results.json", "trial_0_scores.csv", "trial_1_scores.csv"}


def test_evaluate_scores_the_other_part_of_moved_cases(copy, place, tmp_path):
    shutil.copytree(place / "data", tmp_path / "moved")
    manifest = f"--manifest={tmp_path / 'moved' / 'cases.csv'}"
    cache = f"--cache_dir={place / 'cache'}"
    lines = _call(evaluate, f"--run={copy}", "--split=test", manifest, cache)
    assert lines[-1] == str(copy / "evaluation" / "results.json")
    results = json.loads((copy / "evaluation" / "results.json").read_text())
    assert results["score_split"] == "test"
    assert [trial["scored_cases"] for trial in results["trials"]] == [2, 2]
    for number in range(2):
        path = copy / "evaluation" / f"trial_{number}_scores.csv"
        cases = [line.split(",")[0] for line in path.read_text().splitlines()]
        assert cases == ["case", "scan_10", "scan_11"]
    own = json.loads((copy / "results.json").read_text())
    assert own["score_split"] == "valid"


@pytest.fixture
def refused(monkeypatch, capsys):
    """Runs a command that has to end with one line and exit code 1; gives the line."""

    def run(command: ModuleType, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [command.__name__, *arguments])
        capsys.readouterr()
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as caught:
            flags.FLAGS.unparse_flags()
            command.cli()
        assert caught.value.code == 1
        errors = [
            line for line in capsys.readouterr().err.splitlines() if "error:" in line
        ]
        assert len(errors) == 1 and errors[0].startswith("error: ")
        rule, received = errors[0].split("Received: ")
        return rule, received

    return run


def test_evaluate_refuses_a_run_that_has_not_ended(copy, refused, tmp_path):
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(record | {"finished": False}))
    before = _state(copy)
    for folder in (copy, tmp_path / "absent"):
        rule, received = refused(evaluate, f"--run={folder}")
        assert "--run is the folder of a finished run of finetune" in rule
        assert received == f"--run={folder}"
    assert _state(copy) == before
    assert not (tmp_path / "absent").exists()


def test_evaluate_never_writes_over_the_scores_of_the_run(copy, refused):
    before = _state(copy)
    said = refused(evaluate, f"--run={copy}", f"--output_dir={copy}/.")
    assert "beside a run's own" in said[0] and str(copy) in said[1]
    assert _state(copy) == before


def test_evaluate_refuses_other_cases(copy, refused, place, tmp_path):
    shutil.copytree(place / "data", tmp_path / "moved")
    path = tmp_path / "moved" / "cases.csv"
    path.write_text(path.read_text().replace("patient_10,test", "patient_10,train"))
    cache = f"--cache_dir={place / 'cache'}"
    rule, received = refused(evaluate, f"--run={copy}", f"--manifest={path}", cache)
    assert "cases and classes that it began with" in rule and str(path) in received


def _rows(place: Path) -> list[dict]:
    """The rows of the segmentation, with whole paths."""
    rows = []
    for patient, part in enumerate(("train",) * 8 + ("valid",) * 2 + ("test",) * 2):
        files = {
            "image": f"{place}/data/scan_{patient}.nii.gz",
            "label": f"{place}/data/mask_{patient}.nii.gz",
        }
        rows.append(files | {"patient": f"patient_{patient}", "split": part})
    return rows


def _absent_image(rows: list[dict], folder: Path) -> None:
    rows[4]["image"] = "absent.nii.gz"


def _other_shape(rows: list[dict], folder: Path) -> None:
    labels = draw_case(8)[1][:, :, 1:]
    rows[8]["label"] = str(write_array(folder / "short.nii.gz", labels))


def _other_geometry(rows: list[dict], folder: Path) -> None:
    path = write_array(folder / "wide.nii.gz", draw_case(8)[1], (1.0, 1.1, 2.0))
    rows[8]["label"] = str(path)


def _unknown_class(rows: list[dict], folder: Path) -> None:
    labels = draw_case(8)[1]
    labels[3, 3, 3] = 7
    rows[8]["label"] = str(write_array(folder / "seven.nii.gz", labels))


def _patient_in_two_parts(rows: list[dict], folder: Path) -> None:
    rows[8]["patient"] = "patient_2"


def _two_patients(rows: list[dict], folder: Path) -> None:
    del rows[2:]
    for row in rows:
        del row["split"]


def _no_foreground(rows: list[dict], folder: Path) -> None:
    for patient, row in enumerate(rows[:8]):
        labels = 0 * draw_case(patient)[1]
        row["label"] = str(write_array(folder / f"empty_{patient}.nii.gz", labels))


@pytest.mark.parametrize(
    ("spoil", "rule", "received"),
    [
        (_absent_image, "files of a table exist", "image=absent.nii.gz"),
        (_other_shape, "scan_8: a label map has its image's shape", "short.nii.gz"),
        (_other_geometry, "scan_8: a label map has its image's spac", "wide.nii.gz"),
        (_unknown_class, "scan_8: unknown class", "7"),
        (_patient_in_two_parts, "one part", "patient_2 in train and in valid"),
        (_two_patients, "three patients or more", "2"),
        (_no_foreground, "1 to 255 other values", "0 other values"),
    ],
)
def test_cases_that_cannot_be_used_are_one_line_and_leave_no_run(
    refused, place, tmp_path, spoil, rule, received
):
    rows = _rows(place)
    spoil(rows, tmp_path)
    manifest = write_rows(tmp_path / "cases.csv", rows)
    run = tmp_path / "run"
    said = refused(finetune, *_given(place, run), f"--manifest={manifest}")
    assert rule in said[0] and received in said[1]
    _assert_nothing_began(run)


def _assert_nothing_began(run: Path) -> None:
    left = {path.name for path in run.rglob("*")}
    assert left <= {"flags.cfg", ".lock"}, left


@pytest.mark.parametrize(
    ("arguments", "rule", "received"),
    [
        ("--manifest=absent.csv", "a table is a csv file", "--manifest=absent.csv"),
        ("--label_column=grade", "one column grade", "image, label, patient, split"),
        ("--where=age>3", "one column age", "image, label, patient, split"),
        (
            "--weights=absent.keras",
            "a file, or imagenet: and a file. ",
            "absent.keras",
        ),
        ("--weights={0}/data/cases.csv", "weights are a .keras file", "cases.csv"),
        ("--weights={0}/other.keras", "other.keras: ", "without depth_0_conv"),
        (
            "--weights={0}/pretrained/model.keras",
            "base_filters is that of the weights, 3",
            "base_filters=2",
        ),
        (
            "--patch_size=16,16,12",
            "multiples of 8, such as 16,16,16",
            "--patch_size=16,16,12",
        ),
        ("--train_fraction=0", "--train_fraction is above 0", "--train_fraction=0"),
        ("--window=bone", "window", "bone"),
        ("--kind=classification", "unknown class", "mask_8.nii.gz"),
    ],
)
def test_flags_that_cannot_be_used_are_one_line_and_leave_no_run(
    refused, place, tmp_path, arguments, rule, received
):
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    if not (place / "other.keras").exists():
        other.save(place / "other.keras")
    run = tmp_path / "run"
    said = refused(finetune, *_given(place, run), arguments.format(place))
    assert rule in said[0] and received in said[1]
    _assert_nothing_began(run)


def test_a_flag_can_be_put_right_in_the_same_folder(refused, prepared, place, tmp_path):
    given = _given(place, tmp_path / "run")
    for wrong in ("--train_fraction=0", f"--weights={place}/pretrained/model.keras"):
        refused(finetune, *given, wrong)
    assert prepared(*given).config.weights == "scratch"


def test_rows_of_one_class_are_refused(refused, place, tmp_path):
    rows = classification_rows(tmp_path)
    for row in rows:
        row["label"] = "yes"
    manifest = write_rows(tmp_path / "cases.csv", rows)
    arguments = ("--kind=classification", f"--manifest={manifest}")
    said = refused(finetune, *_given(place, tmp_path / "run"), *arguments)
    assert "two classes or more" in said[0] and said[1] == "yes"
    _assert_nothing_began(tmp_path / "run")


def test_the_weights_of_a_run_outlive_a_restart_in_its_folder(refused, place, tmp_path):
    """`finetune --restart` into the folder that its weights lie in."""
    shutil.copytree(place / "pretrained", tmp_path / "mine")
    weights = tmp_path / "mine" / "model.keras"
    given = [flag for flag in _given(place, tmp_path / "mine") if "filters" not in flag]
    said = refused(finetune, *given, f"--weights={weights}", "--restart")
    assert "--restart" in said[0] and str(weights) in said[1]
    assert weights.is_file()
