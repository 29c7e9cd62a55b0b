"""The command make_phantoms: what it writes, and its errors as a user types them."""

import functools
import subprocess
import sys

import pytest
from absl.testing import flagsaver

from models_genesis_tf import make_phantoms
from models_genesis_tf.phantoms import luna16
from models_genesis_tf.phantoms.data_sets import DATA_SETS, DataSet
from tests.written_files import contents


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command in this process; gives exit code, output and errors."""
    small = functools.partial(luna16.write, size=(128, 128, 64))
    monkeypatch.setitem(DATA_SETS, "luna16", DataSet("chests", small, 10))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["make_phantoms", *map(str, arguments)])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as caught:
            make_phantoms.cli()
        printed = capsys.readouterr()
        return caught.value.code or 0, printed.out, printed.err

    return run


def test_the_command_writes_what_its_flags_say(command, tmp_path):
    output = tmp_path / "deep" / "phantoms"
    code, out, err = command(
        "--dataset=luna16", "--cases=2", "--seed=9", f"--output_dir={output}"
    )
    assert code == 0 and err == ""
    assert out == f"2 cases in {output}\n"
    luna16.write(tmp_path / "expected", 2, seed=9, size=(128, 128, 64))
    assert contents(output) == contents(tmp_path / "expected")


@pytest.mark.parametrize(
    "name", ["nodules", "lidc", "pe", "lits", "brats", "chestxray", "cimt"]
)
def test_each_data_set_is_written_as_its_module_does(command, tmp_path, name):
    output = tmp_path / "made"
    code, out, err = command(
        f"--dataset={name}", "--cases=2", "--seed=5", f"--output_dir={output}"
    )
    assert (code, out, err) == (0, f"2 cases in {output}\n", "")
    DATA_SETS[name].write(tmp_path / "expected", 2, seed=5)
    assert contents(output) == contents(tmp_path / "expected")


@pytest.mark.parametrize(
    "arguments, part",
    [
        (("--cases=0",), "--cases=0"),
        (("--cases=-3",), "--cases=-3"),
        (("--cases=few",), "--cases=few"),
        (("--dataset=kaggle",), "--dataset=kaggle"),
        (("--seed=-1",), "--seed=-1"),
        (("--size=3",), "size"),
        (("stray",), "Received: stray"),
    ],
)
def test_a_bad_value_is_one_line_with_code_1(command, tmp_path, arguments, part):
    code, out, err = command(f"--output_dir={tmp_path / 'phantoms'}", *arguments)
    assert code == 1 and out == ""
    assert len(err.splitlines()) == 1 and err.startswith("error: ") and part in err
    assert not (tmp_path / "phantoms").exists()


@pytest.mark.parametrize("arguments", [(), ("--output_dir=",)])
def test_the_output_folder_has_to_be_given(command, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = command("--cases=1", *arguments)
    assert code == 1 and len(err.splitlines()) == 1
    assert "--output_dir" in err and "Received: " in err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(command, tmp_path):
    (tmp_path / "file").write_text("no folder")
    output = tmp_path / "file" / "phantoms"
    code, _, err = command("--cases=1", f"--output_dir={output}")
    assert code == 1 and len(err.splitlines()) == 1
    assert f"Received: --output_dir={output}" in err


def test_a_folder_with_other_scans_is_an_error_of_one_line(command, tmp_path):
    assert command("--cases=1", "--seed=1", f"--output_dir={tmp_path}")[0] == 0
    before = contents(tmp_path)
    code, _, err = command("--cases=1", "--seed=2", f"--output_dir={tmp_path}")
    assert code == 1 and len(err.splitlines()) == 1 and str(tmp_path) in err
    assert contents(tmp_path) == before


def test_the_command_does_without_tensorflow():
    script = (
        "import sys; from models_genesis_tf import make_phantoms; "
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
