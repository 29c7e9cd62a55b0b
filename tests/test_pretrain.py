"""`pretrain` as a user types it: cubes, scans or nothing in, a run folder out."""

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from models_genesis_tf import pretrain
from models_genesis_tf.config import PRETRAIN_DEFAULTS, PretrainConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.imaging.volumes import new_volume, write_volume
from models_genesis_tf.phantoms import luna16
from models_genesis_tf.phantoms.data_sets import DATA_SETS, DataSet
from tests.image_files import GREY, make_png

COMMAND = "models_genesis_tf.pretrain"
QUICK = ("--acceptance=none", "--num_workers=1")
SMALL = ("--cube_size=16,16,16", "--base_filters=2", "--batch_size=2", "--epochs=1")


def _write_cubes(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for fold in (0, 5):
        cubes = rng.random((4, 16, 16, 16), np.float32)
        np.save(folder / f"bat_4_s_16x16x16_{fold}.npy", cubes)
    return folder


def _write_scans(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("first", "second", "third"):
        array = rng.integers(-1000, 1000, (24, 24, 20)).astype(np.int16)
        volume = new_volume(array, (1, 1, 2), (0, 0, 0))
        write_volume(folder / f"{name}.nii.gz", array, volume)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty current folder without data sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELS_GENESIS_DATA", raising=False)
    return tmp_path


@pytest.fixture
def command(place, monkeypatch):
    """Runs the command in this process, from parsing on."""

    def run(*arguments: str) -> None:
        argv = [COMMAND, *arguments]
        monkeypatch.setattr(sys, "argv", argv)
        with flagsaver.flagsaver():
            flags.FLAGS.unparse_flags()
            flags.FLAGS(argv)
            pretrain.main()

    return run


@pytest.fixture
def prepared(command, monkeypatch):
    """Runs the command up to training and gives what training would get."""

    def run(*arguments: str) -> SimpleNamespace:
        calls = []

        def train(cubes, folder, config, facts):
            calls.append(SimpleNamespace(cubes=cubes, config=config, facts=facts))
            run_folder.write_json(folder / "run.json", {"finished": False})
            return folder / "model.keras"

        monkeypatch.setattr("models_genesis_tf.experiments.pretraining.pretrain", train)
        command(*arguments)
        return calls[0]

    return run


@pytest.fixture
def small_phantoms(monkeypatch):
    """Two small patients in place of ten; too small for the official rule."""
    write = functools.partial(luna16.write, size=luna16.MIN_SIZE)
    monkeypatch.setitem(DATA_SETS, "luna16", DataSet("chests", write, 2))


def _type(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", COMMAND, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def test_cubes_become_a_run_folder_and_a_second_start_changes_nothing(
    command, place, capsys
):
    _write_cubes(place / "cubes")
    arguments = ("--data_dir=cubes", "--output_dir=run", *SMALL)
    command(*arguments)
    run = place / "run"
    assert capsys.readouterr().out.splitlines()[-1] == "run/model.keras"
    names = {path.name for path in run.iterdir()}
    assert names == {
        "flags.cfg",
        "run.json",
        "history.csv",
        "timing.csv",
        "split.csv",
        "model.keras",
        "checkpoint",
        "samples",
        "tensorboard",
        ".lock",
    }
    record = json.loads((run / "run.json").read_text())
    assert record["finished"] is True and record["synthetic"] is False

    def state() -> dict:
        stats = {path: path.stat() for path in [run, *run.rglob("*")]}
        return {
            path: (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            for path, stat in stats.items()
        }

    before = state()
    again = _type(*arguments, cwd=place)
    assert again.returncode == 0
    assert again.stdout == "finished already, nothing to do: run/model.keras\n"
    assert state() == before


def test_flags_become_the_settings_of_the_run(prepared, place):
    _write_cubes(place / "cubes")
    call = prepared(
        "--data_dir=cubes",
        "--scheme=painting",
        "--transform_preset=miccai2019",
        "--train_folds=5",
        "--valid_folds=0",
        "--learning_rate=0.5",
        "--seed=7",
    )
    assert call.config == PretrainConfig(
        scheme="painting",
        transform_preset="miccai2019",
        train_folds=(5,),
        valid_folds=(0,),
        learning_rate=0.5,
        seed=7,
    )
    assert call.facts == {"synthetic": False}
    assert len(call.cubes) == 8
    assert (place / "runs" / "pretrain" / "flags.cfg").is_file()


def test_scans_are_cut_into_cubes_inside_the_run(prepared, place):
    _write_scans(place / "scans")
    call = prepared(
        "--data_dir=scans",
        "--output_dir=run",
        "--acceptance=none",
        "--window=ct",
        "--cubes_per_volume=3",
        "--exclude=third*",
        "--num_workers=1",
        *SMALL,
    )
    assert set(call.cubes.sources) == {"first", "second"}
    assert len(call.cubes) == 6 and call.cubes.cube_shape == (16, 16, 16, 1)
    assert (place / "run" / "cubes" / "cubes.json").is_file()


def test_the_scans_that_train_of_a_manifest_are_cut_where_it_lies(prepared, place):
    _write_scans(place / "scans")
    names = [path.name for path in sorted((place / "scans").iterdir())][:3]
    parts = zip(names, ("train", "test", "train"), strict=True)
    lines = ["image,split", *(f"{name},{part}" for name, part in parts)]
    (place / "scans" / "cases.csv").write_text("\n".join(lines), encoding="utf-8")
    cut = ("--acceptance=none", "--window=ct", "--cubes_per_volume=3", *SMALL)
    call = prepared("--manifest=scans/cases.csv", "--output_dir=run", *cut)
    assert set(call.cubes.sources) == {names[k].split(".")[0] for k in (0, 2)}
    recorded = (place / "run" / "flags.cfg").read_text()
    assert "--data_dir=scans\n" in recorded
    assert "--manifest=scans/cases.csv\n" in recorded
    message = "--manifest choose scans to cut.*Received: --data_dir=run/cubes of cubes"
    arguments = ("--data_dir=run/cubes", "--output_dir=other")
    with pytest.raises(InputError, match=message):
        prepared("--manifest=scans/cases.csv", *arguments)


@pytest.mark.parametrize("data_dir", [(), ("--data_dir=phantom",)])
def test_without_data_phantoms_are_made_and_demonstration_settings_taken(
    prepared, place, small_phantoms, capsys, data_dir
):
    call = prepared(*data_dir, "--output_dir=run", "--epochs=3", *QUICK)
    lines = capsys.readouterr().out.splitlines()
    assert "synthetic data" in lines[0] and "https://" in lines[0]
    assert "synthetic scans" in lines[-1]
    assert call.facts == {"synthetic": True}
    assert call.cubes.cube_shape == (32, 32, 16, 1)
    assert call.config.base_filters == 4
    assert call.config.epochs == 3  # given, and so not the demonstration's
    assert len(list((place / "data" / "phantom" / "luna16").rglob("*.mhd"))) == 2


def test_slices_of_scans_train_a_network_of_two_dimensions(prepared, place):
    _write_scans(place / "scans")
    call = prepared(
        "--model=unet2d",
        "--data_dir=scans",
        "--output_dir=run",
        "--cubes_per_volume=5",
        *QUICK,
    )
    assert call.config == PRETRAIN_DEFAULTS["unet2d"]
    assert call.config.base_filters == 64
    assert call.cubes.cube_shape == (224, 224, 1, 1) and len(call.cubes) == 15
    recorded = (place / "run" / "flags.cfg").read_text()
    assert "--model=unet2d\n" in recorded and "--cube_size=224,224\n" in recorded


def test_pictures_train_a_network_of_two_dimensions(prepared, place):
    rng = np.random.default_rng(0)
    for name in ("00000001_000", "00000001_001", "00000002_000"):
        rows = [rng.bytes(40) for _ in range(50)]
        (place / "xrays" / "images").mkdir(parents=True, exist_ok=True)
        path = place / "xrays" / "images" / f"{name}.png"
        path.write_bytes(make_png(rows, 40, 8, GREY))
    call = prepared("--model=unet2d", "--data_dir=xrays", "--cube_size=64,32")
    assert call.cubes.cube_shape == (64, 32, 1, 1)
    assert sorted(call.cubes.sources) == [
        f"images/0000000{name}.png" for name in ("1_000", "1_001", "2_000")
    ]
    with pytest.raises(InputError, match="--data_dir holds scans"):
        prepared("--data_dir=xrays", "--output_dir=cubes")  # of cubes


def test_folders_of_cubes_serve_both_networks(prepared, place):
    _write_cubes(place / "cubes")
    for model in ("unet3d", "unet2d"):
        arguments = ("--data_dir=cubes", f"--output_dir={model}", f"--model={model}")
        call = prepared(*arguments)
        assert call.cubes.cube_shape == (16, 16, 16, 1)
        assert call.config.model == model


def test_sides_have_to_suit_the_network(prepared, place):
    _write_cubes(place / "cubes")
    for model, size, rule in (
        ("unet2d", "64,64,32", "takes 2 positive numbers"),
        ("unet2d", "64,80", "multiples of 32, such as 64,64"),
        ("unet3d", "64,64", "takes 3 positive numbers"),
    ):
        with pytest.raises(InputError, match=f"{rule}.*--cube_size={size}"):
            prepared("--data_dir=cubes", f"--model={model}", f"--cube_size={size}")
    with pytest.raises(InputError, match="unet3d, unet2d. Received: --model=vnet"):
        prepared("--data_dir=cubes", "--model=vnet")


def test_without_data_two_dimensions_have_their_own_demonstration(
    prepared, place, small_phantoms, capsys
):
    arguments = ("--model=unet2d", "--output_dir=run", "--epochs=3")
    call = prepared(*arguments, "--num_workers=1")
    assert "synthetic scans" in capsys.readouterr().out.splitlines()[-1]
    assert call.facts == {"synthetic": True}
    assert call.cubes.cube_shape == (64, 64, 1, 1) and len(call.cubes) == 2 * 32
    assert (call.config.model, call.config.base_filters) == ("unet2d", 16)
    assert call.config.epochs == 3
    again = prepared("--flagfile=run/flags.cfg", "--output_dir=again")
    assert again.config == call.config
    assert again.cubes.cube_shape == call.cubes.cube_shape


def test_phantoms_that_are_given_are_synthetic_and_no_demonstration(
    prepared, place, small_phantoms, capsys
):
    luna16.write("phantoms", 2)
    (place / "data").mkdir()
    (place / "data" / "luna16").symlink_to(place / "phantoms")
    small = ("--cube_size=16,16,16", "--cubes_per_volume=2", *QUICK)
    for name, arguments in (
        ("given", ("--data_dir=phantoms",)),
        ("found", ()),
        ("cubes", ("--data_dir=given/cubes",)),
    ):
        call = prepared(*arguments, f"--output_dir={name}", *small)
        assert call.facts == {"synthetic": True}, name
        assert call.config == PretrainConfig()
        assert len(call.cubes) == 4
        out = capsys.readouterr().out
        assert "demonstration" not in out
        assert "trained on synthetic scans" in out.splitlines()[-2]


def test_one_phantom_among_real_scans_makes_a_run_synthetic(
    prepared, place, small_phantoms
):
    _write_scans(place / "scans")
    luna16.write("scans/phantoms", 1)
    call = prepared(
        "--data_dir=scans", "--cube_size=16,16,16", "--cubes_per_volume=2", *QUICK
    )
    assert call.facts == {"synthetic": True}


def test_recorded_flags_replay_a_demonstration_as_it_was(
    prepared, place, small_phantoms
):
    first = prepared("--output_dir=run", "--seed=4", "--restart", *QUICK)
    assert "restart" not in (place / "run" / "flags.cfg").read_text()
    (place / "data" / "luna16").mkdir()  # real data came, the record stays synthetic
    second = prepared("--flagfile=run/flags.cfg", "--output_dir=again")
    assert second.config == first.config
    assert second.facts == first.facts
    assert second.cubes.cube_shape == first.cubes.cube_shape
    recorded = [
        re.sub(r"--output_dir=.*", "", (place / name / "flags.cfg").read_text())
        for name in ("run", "again")
    ]
    assert recorded[0] == recorded[1]


def test_a_restart_never_removes_the_data_it_is_to_read(prepared, place):
    (place / "run").mkdir()
    cubes = _write_cubes(place / "run" / "cubes")
    arguments = ("--data_dir=run/cubes", "--output_dir=run", "--restart")
    with pytest.raises(InputError, match="what it reads lies elsewhere.*run/cubes"):
        prepared(*arguments)
    assert len(list(cubes.glob("*.npy"))) == 2


def test_the_test_folds_of_luna16_are_not_even_cut_unless_named(prepared, place):
    for subset in (0, 5, 7, 9):
        _write_scans(place / "luna" / f"subset{subset}")
    arguments = ("--data_dir=luna", "--cube_size=16,16,16", *QUICK)
    call = prepared(*arguments, "--output_dir=usual")
    assert set(call.cubes.folds.tolist()) == {0, 5}
    named = ("--train_folds=7", "--valid_folds=5")
    call = prepared(*arguments, *named, "--output_dir=named")
    assert set(call.cubes.folds.tolist()) == {0, 5, 7}


def test_data_that_are_found_are_real_and_recorded(prepared, place):
    (place / "data").mkdir()
    _write_cubes(place / "data" / "luna16")
    call = prepared("--output_dir=run")
    assert call.facts == {"synthetic": False}
    assert call.config == PretrainConfig()
    assert "--data_dir=data/luna16\n" in (place / "run" / "flags.cfg").read_text()


def test_an_unfinished_run_goes_on_and_a_restart_begins_anew(prepared, place):
    _write_cubes(place / "cubes")
    arguments = ("--data_dir=cubes", "--output_dir=run")
    prepared(*arguments)
    (place / "run" / "history.csv").touch()
    prepared(*arguments)
    assert (place / "run" / "history.csv").exists()
    prepared(*arguments, "--restart")
    assert not (place / "run" / "history.csv").exists()


def test_other_flags_in_the_same_folder_are_refused_one_by_one(prepared, place):
    _write_cubes(place / "cubes")
    arguments = ("--data_dir=cubes", "--output_dir=run")
    prepared(*arguments, "--epochs=3", "--max_steps=7", "--deterministic")
    before = (place / "run" / "flags.cfg").read_text()
    with pytest.raises(InputError) as caught:
        prepared(*arguments, "--epochs=4")
    rule, received = str(caught.value).split("Received: ")
    assert "flags it began with" in rule and "--restart" in rule
    assert received == (
        "--nodeterministic (began with --deterministic), "
        "--epochs=4 (began with --epochs=3), "
        "--max_steps unset (began with --max_steps=7)"
    )
    assert (place / "run" / "flags.cfg").read_text() == before


def test_a_run_goes_on_from_another_place_on_other_devices(prepared, place):
    _write_cubes(place / "cubes")
    prepared("--data_dir=cubes", "--output_dir=run")
    (place / "run").rename(place / "moved")
    (place / "cubes").rename(place / "data")
    moved = ("--data_dir=data", f"--output_dir={place / 'moved'}")
    prepared(*moved, "--strategy=none", "--checkpoint_every=5", "--num_workers=2")
    prepared(*moved, "--cross_device_ops=hierarchical", "--jit_compile")


def test_a_pair_is_drawn_without_training_and_even_a_restart_removes_nothing(
    command, place, capsys
):
    _write_cubes(place / "cubes")
    arguments = ("--data_dir=cubes", "--output_dir=run", *SMALL)
    command(*arguments)
    capsys.readouterr()
    command(*arguments, "--replay=5", "--restart")
    line = capsys.readouterr().out.strip()
    assert line.startswith("pair 5: epoch 2, cube ")
    assert line.endswith(": run/samples/pair_5.png")
    assert (place / "run" / "samples" / "pair_5.png").is_file()
    assert (place / "run" / "model.keras").is_file()
    with pytest.raises(InputError, match="--batch_size=3 .began with --batch_size=2"):
        command(*arguments, "--batch_size=3", "--replay=5")


def test_a_finished_run_with_other_flags_is_no_finished_run(prepared, place):
    _write_cubes(place / "cubes")
    arguments = ("--data_dir=cubes", "--output_dir=run")
    prepared(*arguments)
    run_folder.write_json(place / "run" / "run.json", {"finished": True})
    with pytest.raises(InputError, match="--epochs=4 .began with --epochs=10000"):
        prepared(*arguments, "--epochs=4")


def test_a_mistyped_data_dir_can_be_put_right_in_the_same_folder(prepared, place):
    _write_cubes(place / "cubes")
    with pytest.raises(InputError, match="Received: .*cubs"):
        prepared("--data_dir=cubs", "--output_dir=run")
    prepared("--data_dir=cubes", "--output_dir=run")


def test_bad_input_is_one_line_that_names_it_and_exit_code_1(place):
    (place / "empty").mkdir()
    (place / "file").touch()
    (place / "wrong").mkdir()
    np.save(place / "wrong" / "bat_2_s_16x16x16_0.npy", np.zeros((2, 16, 16, 8), "f4"))
    _write_cubes(place / "cubes")
    for arguments, rule, received in (
        (["--data_dir=absent"], "--data_dir", "absent"),
        (["--data_dir=empty"], "--data_dir", "empty"),
        (["--data_dir=wrong"], "shape", "bat_2_s_16x16x16_0.npy"),
        (
            ["--data_dir=cubes", "--cube_size=64,64,30"],
            "multiples of 8, such as 64,64,32",
            "--cube_size=64,64,30",
        ),
        (
            ["--data_dir=cubes", "--output_dir=file/run"],
            "can be written",
            "--output_dir=file/run",
        ),
        (["--data_dir=cubes", "--train_folds=0,x"], "numbers", "--train_folds=0,x"),
    ):
        done = _type("--output_dir=run", *arguments, cwd=place)
        assert done.returncode == 1, arguments
        errors = [line for line in done.stderr.splitlines() if "error:" in line]
        assert len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
        assert rule in errors[0]
        assert received in errors[0].split("Received:")[1]


# Logical devices have to be made before TensorFlow starts.
TWO_DEVICES = """
import tensorflow as tf
from models_genesis_tf.pretrain import cli

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
cli()
"""


@pytest.mark.slow
def test_a_batch_that_two_devices_cannot_share_is_refused(place):
    _write_cubes(place / "cubes")
    arguments = ["--data_dir=cubes", "--strategy=mirrored", "--batch_size=3"]
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "error: --batch_size counts all devices" in done.stderr
    assert "Received: --batch_size=3" in done.stderr
    assert not (place / "runs" / "pretrain" / "run.json").exists()
