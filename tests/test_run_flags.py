"""Flags become settings; commands fail in one line and record what they ran with."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

from models_genesis_tf import command_line, pretrain, run_flags
from models_genesis_tf.config import PRETRAIN_DEFAULTS, CubeConfig, PretrainConfig
from models_genesis_tf.errors import InputError

COMMAND = "models_genesis_tf.pretrain"


@pytest.fixture(autouse=True)
def fresh_flags(monkeypatch):
    """All flags at their defaults, the command being `pretrain`."""
    monkeypatch.setattr(sys, "argv", [COMMAND])
    with flagsaver.flagsaver():
        flags.FLAGS.unparse_flags()
        flags.FLAGS([COMMAND])
        run_flags.use_training_defaults(PretrainConfig())
        yield


def _parse(*arguments: str) -> None:
    flags.FLAGS([COMMAND, *arguments])


def test_without_flags_the_settings_are_the_published_ones():
    assert run_flags.cube_config() == CubeConfig()
    assert run_flags.training_config(PretrainConfig()) == PretrainConfig()


def test_every_training_flag_reaches_its_field():
    _parse(
        "--base_filters=4",
        "--batch_size=3",
        "--epochs=5",
        "--max_steps=7",
        "--steps_per_epoch=2",
        "--optimizer=adam",
        "--learning_rate=0.25",
        "--reduce_patience=2",
        "--stop_patience=9",
        "--bn_momentum=0.5",
        "--strategy=none",
    )
    assert run_flags.training_config(PretrainConfig(scheme="painting")) == (
        PretrainConfig(
            scheme="painting",
            base_filters=4,
            batch_size=3,
            epochs=5,
            max_steps=7,
            steps_per_epoch=2,
            optimizer="adam",
            learning_rate=0.25,
            reduce_patience=2,
            stop_patience=9,
            bn_momentum=0.5,
            strategy="none",
        )
    )


def test_every_cube_flag_reaches_its_field():
    _parse(
        "--cube_size=16,24,8",
        "--cubes_per_volume=5",
        "--acceptance=foreground",
        "--window=-100,300",
        "--min_tissue=0.1",
        "--spacing=1,1,2.5",
        "--seed=11",
    )
    assert run_flags.cube_config() == CubeConfig(
        cube_size=(16, 24, 8),
        cubes_per_volume=5,
        acceptance="foreground",
        window="-100,300",
        min_tissue=0.1,
        spacing=(1.0, 1.0, 2.5),
        seed=11,
    )


@pytest.mark.parametrize(
    ("argument", "rule"),
    [
        ("--cube_size=64,64,30", "multiples of 8, such as 64,64,32"),
        ("--cube_size=64", "3 positive numbers"),
        ("--cube_size=64,80", "multiples of 32, such as 64,64"),
        ("--cube_size=64,64,x", "3 positive numbers"),
        ("--cube_size=64,64,-8", "3 positive numbers"),
        ("--spacing=1,0,1", "3 positive numbers"),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(argument, rule):
    _parse(argument)
    with pytest.raises(InputError) as caught:
        run_flags.cube_config()
    assert rule in str(caught.value)
    assert str(caught.value).endswith(f"Received: {argument}")


def test_two_sides_are_those_of_slices_and_stand_for_one_slice():
    _parse("--cube_size=96,64")
    config = run_flags.cube_config()
    assert config.cube_size == (96, 64, 1) and config.takes_slices
    assert not CubeConfig().takes_slices
    with pytest.raises(InputError, match="3 positive numbers.*--cube_size=96,64"):
        run_flags.cube_config((3,))
    _parse("--cube_size=64,64,32")
    with pytest.raises(InputError, match="2 positive numbers.*--cube_size=64,64,32"):
        run_flags.cube_config((2,))


def test_each_network_has_its_own_defaults_and_flags_given_stay():
    assert run_flags.use_network_defaults() == PretrainConfig()
    _parse("--model=unet2d", "--batch_size=6")
    default = run_flags.use_network_defaults()
    assert default == PRETRAIN_DEFAULTS["unet2d"]
    assert run_flags.training_config(default) == dataclasses.replace(
        default, batch_size=6
    )
    assert run_flags.cube_config().cube_size == (224, 224, 1)
    _parse("--model=unet2d", "--cube_size=64,64")
    run_flags.use_network_defaults()
    assert run_flags.cube_config().cube_size == (64, 64, 1)
    _parse("--model=resnet")
    with pytest.raises(InputError, match="unet3d, unet2d. Received: --model=resnet"):
        run_flags.use_network_defaults()


def test_folds_are_numbers_or_none():
    assert run_flags.parse_folds("folds", []) is None
    assert run_flags.parse_folds("folds", ["0", "12"]) == (0, 12)
    with pytest.raises(InputError, match="Received: --folds=0,a"):
        run_flags.parse_folds("folds", ["0", "a"])


def test_a_new_default_gives_way_to_a_flag_that_was_given():
    _parse("--epochs=10000", "--cube_size=64,64,32")
    command_line.set_defaults({"epochs": 6, "batch_size": 4, "cube_size": "48,48,24"})
    assert flags.FLAGS.epochs == 10_000  # given, though it is the usual default
    assert flags.FLAGS.batch_size == 4
    assert run_flags.cube_config().cube_size == (64, 64, 32)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (
            "--train_folds=0,1",
            "--exclude=*votes*,*mask*",
            "--learning_rate=1e-3",
            "--max_steps=3",
            "--window=-100,300",
            "--data_dir=a folder",
        ),
    ],
)
def test_recorded_flags_replay_to_the_same_settings(arguments, tmp_path):
    _parse(*arguments)
    command_line.set_defaults({"base_filters": 8, "cube_size": "48,48,24"})
    names = [holder.name for holder in flags.FLAGS.get_key_flags_for_module(COMMAND)]
    before = {name: flags.FLAGS[name].value for name in names}
    path = tmp_path / "flags.cfg"
    path.write_text(command_line.replayable_flags())
    with flagsaver.flagsaver():
        for name in names:
            flags.FLAGS[name].unparse()
        _parse(f"--flagfile={path}")
        assert {name: flags.FLAGS[name].value for name in names} == before
    assert {"base_filters", "seed", "restart"} <= set(names)


def test_what_is_no_setting_of_the_run_is_left_out_of_the_record():
    _parse("--restart")
    assert "--restart\n" in command_line.replayable_flags()
    assert "restart" not in command_line.replayable_flags(leave_out=["restart"])


def test_a_flag_that_a_run_began_without_differs_only_where_it_is_given():
    _parse("--epochs=3")
    began = "".join(
        line
        for line in command_line.replayable_flags().splitlines(keepends=True)
        if "base_filters" not in line and "deterministic" not in line
    )
    assert "--epochs=3\n" in began
    now = command_line.replayable_flags()
    assert "--base_filters=32\n" in now and "--nodeterministic\n" in now
    assert command_line.differing_flags(now, began) == []
    command_line.check_same_flags(began, now, ())
    _parse("--base_filters=4", "--deterministic")
    now = command_line.replayable_flags()
    assert command_line.differing_flags(now, began) == [
        "--base_filters=4 (began with --base_filters unset)",
        "--deterministic (began with --deterministic unset)",
    ]


def test_settings_and_flags_have_the_same_names():
    fields = {field.name for field in dataclasses.fields(PretrainConfig)}
    fields |= {field.name for field in dataclasses.fields(CubeConfig)}
    assert {name for name in fields if name not in flags.FLAGS} == {"max_padding"}
    assert callable(pretrain.main)


def _run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epoch=3"], "Unknown command line flag 'epoch'"),
        (["--epochs=0"], "--epochs=0"),
        (["--epochs=many"], "--epochs=many"),
        (["--scheme=unifed"], "<unified|distortion"),
        (["--flagfile=absent.cfg"], "absent.cfg"),
        (["scans"], "Received: scans"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_1(arguments, message):
    done = _run(sys.executable, "-m", COMMAND, *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr


@pytest.mark.parametrize("installed", [False, True])
def test_help_shows_each_flag_of_the_command_and_loads_no_tensorflow(installed):
    if installed:
        script = Path(sys.executable).with_name("genesis-pretrain")
        if not script.exists():
            pytest.skip("the package is not installed")
        start = f"exec(open({str(script)!r}).read())"
    else:
        start = (
            "import runpy; runpy.run_module("
            f"{COMMAND!r}, run_name='__main__', alter_sys=True)"
        )
    code = (
        f"import sys; sys.argv = ['pretrain', '--help']\ntry:\n    {start}\n"
        "finally:\n    print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    done = _run(sys.executable, "-c", code)
    assert done.stdout.splitlines()[-1] == "False False"
    assert "Pre-trains a U-Net" in done.stdout
    for holder in flags.FLAGS.get_key_flags_for_module(COMMAND):
        name = f"[no]{holder.name}" if holder.boolean else holder.name
        entry = done.stdout.split(f"--{name}:")[1].split("\n  --")[0]
        if holder.default is not None:
            assert "(default: " in entry, holder.name


def test_units_stand_in_the_help():
    for name, unit in (("cube_size", "voxels"), ("spacing", "mm"), ("window", "HU")):
        assert unit in flags.FLAGS[name].help
