"""The command extract_cubes: what it prints, and its errors as a user types them."""

import functools
import subprocess
import sys

import numpy as np
import pytest
from absl.testing import flagsaver

from models_genesis_tf import extract_cubes
from models_genesis_tf.experiments import data_folders
from models_genesis_tf.imaging.volumes import new_volume, write_volume
from models_genesis_tf.phantoms import luna16
from models_genesis_tf.phantoms.data_sets import DATA_SETS, DataSet
from models_genesis_tf.phantoms.marker import is_phantom


@pytest.fixture
def scans(tmp_path):
    """A folder of three scans of noise in HU."""
    folder = tmp_path / "scans"
    for k in range(3):
        array = np.random.default_rng(k).integers(-1200, 1500, (24, 20, 16))
        volume = new_volume(array.astype(np.int16), (1, 1, 2))
        write_volume(folder / f"p{k}.nii.gz", volume.array, volume)
    return folder


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command in this process; gives exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["extract_cubes", *map(str, arguments)])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as caught:
            extract_cubes.cli()
        printed = capsys.readouterr()
        return caught.value.code or 0, printed.out, printed.err

    return run


SMALL = ("--cube_size=16,16,8", "--acceptance=none", "--num_workers=1")


def test_flags_reach_the_extraction(command, scans, tmp_path):
    output = tmp_path / "cubes"
    code, out, err = command(
        f"--data_dir={scans}",
        f"--output_dir={output}",
        *SMALL,
        "--cubes_per_volume=3",
        "--window=-1000,0",
        "--exclude=p2*",
        "--spacing=1,1,1",
        "--seed=5",
    )
    assert code == 0 and err == ""
    files = sorted(output.glob("bat_3_s_16x16x8_*.npy"))
    assert f"{len(files)} cube files in {output}" in out.splitlines()[-1]
    assert sum(len(np.load(path)) for path in files) == 2 * 3
    settings = (output / "cubes.json").read_text()
    for part in ('"seed": 5', '"window": "-1000,0"', '"acceptance": "none"', '"p2*"'):
        assert part in settings


def test_two_sides_take_slices(command, scans, tmp_path):
    output = tmp_path / "slices"
    code, out, err = command(
        f"--data_dir={scans}",
        f"--output_dir={output}",
        "--cube_size=32,64",
        "--cubes_per_volume=3",
        "--acceptance=none",
        "--num_workers=1",
    )
    assert code == 0 and err == ""
    files = sorted(output.glob("bat_3_s_32x64x1_*.npy"))
    assert f"{len(files)} cube files in {output}" in out.splitlines()[-1]
    assert sum(len(np.load(path)) for path in files) == 3 * 3


def test_running_the_command_again_changes_nothing(command, scans, tmp_path):
    arguments = (f"--data_dir={scans}", f"--output_dir={tmp_path / 'cubes'}", *SMALL)
    assert command(*arguments)[0] == 0
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cubes/bat_*")}
    code, out, _ = command(*arguments)
    assert code == 0 and "complete already" in out
    assert {path: path.stat().st_mtime_ns for path in times} == times


def _error_of(command, *arguments) -> str:
    code, _, err = command(*arguments)
    assert code == 1
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and "Received: " in err
    return lines[0]


@pytest.mark.parametrize(
    "flag",
    [
        "--cube_size=64,64,30",
        "--cube_size=64",
        "--cube_size=64,80",
        "--cube_size=0,64,64",
        "--shard=4/4",
        "--shard=-1/4",
        "--shard=1",
        "--folds=99",
        "--folds=a",
        "--spacing=1,1",
        "--spacing=1,1,0",
        "--spacing=1,x,1",
        "--window=bone",
        "--window=100,100",
        "--window=nan,100",
    ],
)
def test_a_bad_value_is_one_line_with_the_flag_and_the_value(
    command, scans, tmp_path, flag
):
    output = tmp_path / "cubes"
    message = _error_of(
        command, f"--data_dir={scans}", f"--output_dir={output}", *SMALL, flag
    )
    assert flag in message
    assert not list(tmp_path.glob("cubes/bat_*"))


def test_a_cube_size_that_does_not_fit_gets_the_nearest_that_does(command, scans):
    message = _error_of(command, f"--data_dir={scans}", "--cube_size=64,60,30")
    assert "multiples of 8, such as 64,64,32" in message


def test_a_missing_folder_is_named(command, tmp_path):
    folder = tmp_path / "nowhere"
    message = _error_of(
        command, f"--data_dir={folder}", f"--output_dir={tmp_path / 'cubes'}"
    )
    assert str(folder) in message and "--data_dir is an existing folder" in message
    assert not (tmp_path / "cubes").exists()


def test_a_folder_without_scans_is_named(command, tmp_path):
    (tmp_path / "empty").mkdir()
    message = _error_of(
        command,
        f"--data_dir={tmp_path / 'empty'}",
        f"--output_dir={tmp_path / 'cubes'}",
    )
    assert f"--data_dir={tmp_path / 'empty'}" in message and ".nii.gz" in message


def test_a_folder_that_cannot_be_written_is_named(command, scans, tmp_path):
    (tmp_path / "file").write_text("no folder")
    output = tmp_path / "file" / "cubes"
    message = _error_of(command, f"--data_dir={scans}", f"--output_dir={output}")
    assert f"--output_dir={output}" in message


def test_a_folder_of_bad_scans_alone_ends_with_code_1_and_the_reason(command, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "broken.nii").write_bytes(b"no header")
    output = tmp_path / "cubes"
    message = _error_of(command, f"--data_dir={folder}", f"--output_dir={output}")
    assert "gave a cube" in message and "broken" in message
    rows = (output / "skipped.csv").read_text().splitlines()
    assert rows[0] == "source,reason" and rows[1].startswith("broken,")


def test_a_scan_that_is_too_thin_ends_with_code_1_and_the_reason(command, tmp_path):
    volume = new_volume(np.zeros((200, 200, 20), np.int16), (1, 1, 1))
    write_volume(tmp_path / "scans" / "thin.nii", volume.array, volume)
    for rule in ("chest_ct", "foreground"):
        message = _error_of(
            command,
            f"--data_dir={tmp_path / 'scans'}",
            f"--output_dir={tmp_path / rule}",
            f"--acceptance={rule}",
        )
        assert "thin" in message and "along z" in message


@pytest.fixture
def small_phantoms(monkeypatch, tmp_path):
    """Phantoms take no time, and a bare folder to work in."""
    small = functools.partial(luna16.write, size=(128, 128, 64))
    monkeypatch.setitem(DATA_SETS, "luna16", DataSet("chests", small, 1))
    monkeypatch.setitem(data_folders.DEMO_CUBES, "cube_size", "24,24,8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELS_GENESIS_DATA", raising=False)
    return tmp_path


def test_without_data_the_command_runs_on_phantoms_and_says_so(command, small_phantoms):
    code, out, _ = command("--num_workers=1", "--cubes_per_volume=5")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("synthetic data in data") and "https://" in lines[0]
    assert lines[-1].startswith("cut from synthetic scans")
    folder = small_phantoms / "runs" / "extract_cubes"
    (path,) = folder.glob("*.npy")
    assert path.name == "bat_5_s_24x24x8_0.npy"  # the flag given wins
    assert is_phantom(folder) and is_phantom(path)
    code, out, _ = command("--num_workers=1", "--cubes_per_volume=5")
    assert code == 0 and "1 of 1 cube files are complete already" in out


def test_phantoms_that_are_given_are_cut_as_real_scans_are_but_say_what_they_are(
    command, small_phantoms
):
    luna16.write("phantoms", 1)
    for data_dir, name in (("phantoms", "whole"), ("phantoms/subset0", "part")):
        code, out, _ = command(
            f"--data_dir={data_dir}",
            f"--output_dir={name}",
            "--num_workers=1",
            "--cube_size=16,16,8",  # the demonstration's are larger
            "--acceptance=none",
        )
        assert code == 0 and not out.startswith("synthetic data in")
        assert out.splitlines()[-1].startswith("cut from synthetic scans")
        assert is_phantom(small_phantoms / name)
        assert list((small_phantoms / name).glob("bat_32_s_16x16x8_0.npy"))


def test_data_in_the_usual_folder_are_found(command, scans, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    scans.rename(tmp_path / "data" / "luna16")
    monkeypatch.setenv("MODELS_GENESIS_DATA", str(tmp_path / "data"))
    code, out, _ = command(f"--output_dir={tmp_path / 'cubes'}", *SMALL)
    assert code == 0 and "synthetic" not in out
    assert not is_phantom(tmp_path / "cubes")
    assert list(tmp_path.glob("cubes/bat_32_*.npy"))


def test_the_command_itself_ends_with_code_1_one_line_and_no_traceback(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "models_genesis_tf.extract_cubes",
            f"--data_dir={tmp_path / 'nowhere'}",
            f"--output_dir={tmp_path / 'cubes'}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr + done.stdout
