"""A run folder is written whole, says what ran, and guards an earlier run."""

import csv
import json
import os
import subprocess
import sys

import pytest

import models_genesis_tf
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import run_folder


def test_a_new_run_holds_its_flags(tmp_path):
    folder = run_folder.start_run(tmp_path / "a" / "b", "--epochs=2\n", restart=False)
    assert folder == tmp_path / "a" / "b"
    assert [entry.name for entry in folder.iterdir()] == ["flags.cfg"]
    assert (folder / "flags.cfg").read_text() == "--epochs=2\n"


def test_the_flags_of_a_run_are_known_once_training_began(tmp_path):
    run_folder.start_run(tmp_path, "--epochs=2\n", restart=False)
    assert run_folder.flags_of(tmp_path) is None
    run_folder.write_json(tmp_path / "run.json", {"finished": False})
    assert run_folder.flags_of(tmp_path) == "--epochs=2\n"


def test_a_second_process_is_kept_out_while_the_first_one_writes(tmp_path):
    folder = tmp_path / "run"
    other = f"""
import pathlib
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.run_folder import sole_writer
try:
    with sole_writer(pathlib.Path({str(folder)!r})):
        print("in")
except InputError as error:
    print(error)
"""
    command = [sys.executable, "-c", other]
    with run_folder.sole_writer(folder):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert f"another one does. Received: --output_dir={folder}" in done.stdout
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "in\n"


@pytest.mark.parametrize(("count", "kept"), [(2, "a\n1\n2\n"), (1, "a\n1\n")])
def test_rows_are_cut_even_if_the_last_one_is_half_written(tmp_path, count, kept):
    path = tmp_path / "history.csv"
    path.write_text("a\n1\n2\n1")
    run_folder.keep_rows(path, count)
    assert path.read_text() == kept


def test_no_row_kept_leaves_no_file(tmp_path):
    path = tmp_path / "history.csv"
    run_folder.keep_rows(path, 0)
    path.write_text("a\n1\n")
    run_folder.keep_rows(path, 0)
    assert not path.exists()


def test_a_run_whose_training_never_began_is_no_obstacle(tmp_path):
    run_folder.start_run(tmp_path, "--data_dir=mistyped\n", restart=False)
    run_folder.start_run(tmp_path, "--data_dir=right\n", restart=False)
    assert (tmp_path / "flags.cfg").read_text() == "--data_dir=right\n"


def test_restart_removes_all_of_the_run_and_nothing_else(tmp_path):
    for name in ("cubes", "samples", "tensorboard", "checkpoint"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    for name in ("run.json", "history.csv", "timing.csv", "split.csv", "model.keras"):
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    run_folder.start_run(tmp_path, "--epochs=3\n", restart=True)
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names == ["flags.cfg", "notes.txt"]


@pytest.mark.parametrize(
    ("text", "finished"),
    [('{"finished": true}', True), ('{"finished": false}', False), ("{}", False)],
)
def test_run_json_says_whether_the_run_is_finished(tmp_path, text, finished):
    assert not run_folder.is_finished(tmp_path)
    (tmp_path / "run.json").write_text(text)
    assert run_folder.is_finished(tmp_path) is finished


def test_a_folder_that_cannot_be_made_is_an_error_with_its_reason(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="can be written.*Received: --output_dir"):
            run_folder.make_folder(path)


def test_making_a_folder_leaves_nothing_in_it(tmp_path):
    assert list(run_folder.make_folder(tmp_path / "new").iterdir()) == []


def test_a_write_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    run_folder.write_json(path, {"epoch": 1})
    with pytest.raises(TypeError):
        run_folder.write_json(path, {"epoch": object()})
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError()))
    with pytest.raises(OSError):
        run_folder.write_json(path, {"epoch": 2})
    assert json.loads(path.read_text()) == {"epoch": 1}


def test_rows_are_read_back_whether_added_or_written_at_once(tmp_path):
    rows = [{"case": "a,b", "split": "train"}, {"case": "c", "split": "valid"}]
    run_folder.write_rows(tmp_path / "whole.csv", rows)
    for row in rows:
        run_folder.append_row(tmp_path / "grown.csv", row)
    for name in ("whole.csv", "grown.csv"):
        with (tmp_path / name).open(newline="") as stream:
            assert list(csv.DictReader(stream)) == rows
    assert (
        (tmp_path / "whole.csv").read_bytes().startswith(b'case,split\n"a,b",train\n')
    )


def test_software_is_named_with_its_versions():
    software = run_folder.describe_software()
    packages = software["packages"]
    assert packages["models_genesis_tf"] == models_genesis_tf.__version__
    assert packages["tensorflow"].startswith("2.")
    commit = software["git_commit"]
    assert commit is None or len(commit) == 40


def test_software_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(run_folder, "_PACKAGES", ("numpy", "no-such-package"))
    packages = run_folder.describe_software()["packages"]
    assert set(packages) == {"models_genesis_tf", "numpy"}


def test_files_are_utf_8_whatever_the_locale(tmp_path):
    command = [
        *(sys.executable, "-X", "utf8=0", "-c"),
        "from pathlib import Path;"
        "from models_genesis_tf.experiments import run_folder;"
        "run_folder.write_rows(Path('rows.csv'), [{'patient': 'Zo\\u00eb'}]);"
        "run_folder.append_row(Path('rows.csv'), {'patient': '\\u00b1'});"
        "run_folder.keep_rows(Path('rows.csv'), 2)",
    ]
    environment = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    rows = (tmp_path / "rows.csv").read_bytes().decode("utf-8")
    assert rows == "patient\nZoë\n±\n"
