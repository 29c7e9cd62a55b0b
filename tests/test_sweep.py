"""A sweep lays out its grid, does what is not done, and says what remains."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from models_genesis_tf import finetune
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import run_folder, sweep
from models_genesis_tf.experiments.sweep_file import Sweep, read_sweep
from models_genesis_tf.experiments.sweep_table import describe_sweep
from models_genesis_tf.training.stopping import StopRequest
from tests.manifests import write_segmentation

ROOT = Path(__file__).resolve().parents[1]
TASK = """
[task.nodules]
task = "custom"
kind = "segmentation"
manifest = "cases.csv"
"""
GRID = (
    """
[finetune]
base_filters = 4
trials = 3
train_fraction = [1.0, 0.3]
weights = ["scratch", "unified", "painting"]

[pretrain]
data_dir = "cubes"
seed = [0, 1]

[pretrain.unified]
scheme = "unified"
[pretrain.painting]
scheme = "painting"
seed = 5
"""
    + TASK
)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """The current folder, with a manifest of no cases."""
    monkeypatch.chdir(tmp_path)
    Path("cases.csv").write_text("image,label\n")
    return tmp_path


def _read(text: str, folder: str = "out") -> Sweep:
    Path("grid.toml").write_text(text)
    return read_sweep(Path("grid.toml"), Path(folder))


def _names(text: str) -> list[str]:
    return [run.name for run in _read(text).runs]


def test_a_grid_becomes_runs_with_names_in_the_order_they_are_done():
    assert _names(GRID) == [
        "pretrain_unified",
        "pretrain_unified_seed_1",
        "pretrain_painting",
        "nodules_scratch",
        "nodules_unified",
        "nodules_unified_pretrain_seed_1",
        "nodules_painting",
        "nodules_scratch_fraction_0.3",
        "nodules_unified_fraction_0.3",
        "nodules_unified_pretrain_seed_1_fraction_0.3",
        "nodules_painting_fraction_0.3",
    ]


def test_each_run_has_the_flags_of_its_tables():
    runs = {run.name: run for run in _read(GRID).runs}
    second = runs["pretrain_unified_seed_1"]
    assert (second.command, second.task, second.needs) == ("pretrain", "", "")
    assert second.flags == {"data_dir": "cubes", "seed": "1", "scheme": "unified"}
    assert runs["pretrain_painting"].flags["seed"] == "5"
    run = runs["nodules_unified_pretrain_seed_1_fraction_0.3"]
    assert (run.command, run.task) == ("finetune", "nodules")
    assert run.needs == "pretrain_unified_seed_1"
    assert run.flags == {
        "base_filters": "4",
        "trials": "3",
        "train_fraction": "0.3",
        "task": "custom",
        "kind": "segmentation",
        "manifest": "cases.csv",
        "weights": "out/pretrain_unified_seed_1/model.keras",
    }
    scratch = runs["nodules_scratch"]
    assert scratch.needs == "" and scratch.flags["weights"] == "scratch"


def test_every_list_is_an_axis_and_the_last_one_is_fastest():
    text = "[finetune]\nepochs = [5, 6]\nlearning_rate = [0.1, 0.01]\n" + TASK
    assert _names(text) == [
        "nodules_scratch",
        "nodules_scratch_learning_rate_0.01",
        "nodules_scratch_epochs_6",
        "nodules_scratch_epochs_6_learning_rate_0.01",
    ]


def test_longer_lists_and_further_tasks_only_add_runs():
    before = "[finetune]\ntrain_fraction = 0.5\n" + TASK
    after = (
        '[finetune]\ntrain_fraction = [0.5, 0.1]\nweights = ["scratch", "more"]\n'
        "[pretrain.more]\n"
    )
    after += TASK + TASK.replace("nodules", "vessels")
    old, new = ({run.name: run for run in _read(text).runs} for text in (before, after))
    assert len(old) == 1 and len(new) == 1 + 2 * 2 * 2
    for name, run in old.items():
        assert new[name].flags == run.flags


def test_a_task_overrides_what_all_tasks_share():
    text = '[finetune]\nepochs = 5\nweights = ["scratch"]\n[pretrain.mine]\n' + TASK
    text += 'epochs = 7\nweights = "mine"\n[task.other]\n'
    runs = {run.name: run for run in _read(text).runs}
    assert list(runs) == ["pretrain_mine", "nodules_mine", "other_scratch"]
    assert runs["nodules_mine"].flags["epochs"] == "7"
    assert runs["other_scratch"].flags["epochs"] == "5"


def test_weights_in_files_are_named_after_their_run_or_after_themselves():
    for path in ("runs/mine/model.keras", "down loads/Genesis.v1.h5"):
        Path(path).parent.mkdir(parents=True)
        Path(path).touch()
    entries = '["runs/mine/model.keras", "down loads/Genesis.v1.h5"]'
    runs = _read(f"[finetune]\nweights = {entries}\n" + TASK).runs
    assert [run.name for run in runs] == ["nodules_mine", "nodules_Genesis.v1"]
    assert runs[1].flags["weights"] == "down loads/Genesis.v1.h5"


def test_values_become_names_of_folders_and_flags_as_they_are():
    text = (
        '[finetune]\npatch_size = ["32,32,16", "64,64,32"]\nflip_axes = ""\n'
        "deterministic = [true, false]\nlearning_rate = 1e-3\n" + TASK
    )
    runs = _read(text).runs
    assert runs[3].name == "nodules_scratch_patch_size_64-64-32_deterministic_false"
    assert runs[3].flags["patch_size"] == "64,64,32"
    assert runs[0].flags["deterministic"] == "true"
    assert runs[0].flags["flip_axes"] == ""
    assert runs[0].flags["learning_rate"] == "0.001"


def test_variables_of_the_environment_are_put_in(monkeypatch):
    monkeypatch.setenv("CASES", "cases")
    (run,) = _read(TASK.replace("cases.csv", "$CASES.csv")).runs
    assert run.flags["manifest"] == "cases.csv"


def test_a_flagfile_comes_before_the_other_flags_of_its_table():
    Path("first.cfg").write_text("# note\n\n--epochs=30\n--optimizer=adam\n")
    Path("second.cfg").write_text("--optimizer=sgd\n--scheme=painting\n")
    text = (
        '[pretrain]\nepochs = 5\nflagfile = "first.cfg"\n'
        '[pretrain.mine]\nflagfile = "second.cfg"\n' + TASK
    )
    assert _read(text).runs[0].flags == {
        "epochs": "5",
        "optimizer": "sgd",
        "scheme": "painting",
    }


@pytest.mark.parametrize(
    ("text", "rule", "received"),
    [
        ("[finetune", "--sweep is a TOML file", "--sweep=grid.toml (Expected"),
        ("[finetune]\nepochs = 1\nepochs = 2", "is a TOML file", "Cannot overwrite"),
        ("[finetunes]" + TASK, "tables are [finetune], [pretrain]", "finetunes"),
        ("epochs = 3" + TASK, "tables are [finetune]", "epochs"),
        ("[finetune]", "a sweep has a task", "no [task.<name>]"),
        ("[task]\nepochs = 3", "[task.<name>] those of one", "[task] epochs"),
        ("[finetune.a]" + TASK, "[task.<name>] those of one", "[finetune] a"),
        ("[task.'a b']", "names are of letters", "[task.a b]"),
        ("[pretrain.scratch]" + TASK, "no pre-training is called", "scratch]"),
        ("[finetune]\nepochs = []" + TASK, "list of one or more", "epochs = []"),
        ("[finetune]\nseed = [1, 1]" + TASK, "list differ", "seed = [1, 1]"),
        ("[task.a]\nseed = [[1]]", "a text, a number", "[task.a] seed = [[1]]"),
        ("[task.a]\nseed = 2020-02-02", "a text, a number", "[task.a] seed = 2020"),
        ("[task.a]\nmanifest = 'b.csv'", "--manifest is a csv file", "= b.csv"),
        (
            "[finetune]\nweights = ['scratch', 'mine']" + TASK,
            "the name of a recipe under [pretrain]",
            "[finetune] weights = mine",
        ),
        ("[task.a]\nseed = '$NOT_SET'", "variables that a sweep", "seed = $NOT_SET"),
        ("[pretrain]\nflagfile = 'no.cfg'" + TASK, "flagfile is a file", "no.cfg"),
        ("[pretrain]\nflagfile = 'cases.csv'" + TASK, "--name=value", "image,label"),
        (
            "[task.a]\n[task.a_b]\n[pretrain.b_c]\n[pretrain.c]\n[finetune]\n"
            "weights = ['b_c', 'c']",
            "a name of its own",
            "two runs a_b_c",
        ),
        *(
            (f"[task.a]\n{name} = 'x'", "a sweep sees to", f"[task.a] {name}")
            for name in ("output_dir", "cache_dir", "restart", "replay", "sweep")
        ),
    ],
)
def test_what_a_file_cannot_say_is_one_line(text, rule, received):
    with pytest.raises(InputError) as caught:
        _read(text)
    assert "grid.toml" in str(caught.value)
    said = str(caught.value).split("Received: ")
    assert rule in said[0] and received in said[1]


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(InputError, match="Received: --sweep=absent.toml"):
        read_sweep(Path("absent.toml"), Path("out"))


SMALL = (
    """
[finetune]
trials = 2
weights = ["scratch", "unified"]
[pretrain.unified]
data_dir = "cubes"
"""
    + TASK
)


class FakeCommands:
    """In place of processes: runs that end at once, unless they are told not to."""

    def __init__(self):
        self.calls: list[list[str]] = []
        self.names: list[str] = []
        self.asked: list[str] = []
        self.refused: set[str] = set()
        self.codes: dict[str, int] = {}
        self.signals: dict[str, str] = {}

    def __call__(self, command: list[str], stop: StopRequest, quiet: bool) -> int:
        given = dict(one.removeprefix("--").split("=", 1) for one in command[3:])
        folder = Path(given["output_dir"])
        if quiet:  # it is finished
            self.asked.append(folder.name)
            return int(folder.name in self.refused)
        self.names.append(folder.name)
        self.calls.append(command)
        if folder.name in self.signals:
            signal.raise_signal(getattr(signal, self.signals[folder.name]))
            return 0
        code = self.codes.get(folder.name, 0)
        if code == 0:
            is_pretraining = command[2].endswith("pretrain")
            _write_run(folder, 0 if is_pretraining else int(given["trials"]), 10.0)
        return code


def _write_run(folder: Path, trials: int, seconds: float, finished=True) -> None:
    """A run folder with trials that took so long, or a pre-training that did."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"finished": finished}
    if not trials:
        record["wall_seconds"] = seconds
    run_folder.write_json(folder / "run.json", record)
    for number in range(trials):
        trial = folder / f"trial_{number}"
        trial.mkdir(exist_ok=True)
        result = {"training": {"wall_seconds": seconds}}
        run_folder.write_json(trial / "result.json", result)


@pytest.fixture
def commands(monkeypatch) -> FakeCommands:
    fake = FakeCommands()
    monkeypatch.setattr(sweep, "_run_command", fake)
    return fake


def _run(text: str = SMALL) -> None:
    plan = _read(text)
    plan.folder.mkdir(exist_ok=True)
    sweep.run_sweep(plan)


def test_runs_are_commands_as_a_user_types_them_pretraining_first(commands):
    _run()
    assert commands.names == ["pretrain_unified", "nodules_scratch", "nodules_unified"]
    module = [sys.executable, "-m"]
    assert commands.calls[0] == [
        *(*module, "models_genesis_tf.pretrain", "--data_dir=cubes"),
        "--output_dir=out/pretrain_unified",
    ]
    assert commands.calls[2] == [
        *(*module, "models_genesis_tf.finetune", "--trials=2", "--task=custom"),
        *("--kind=segmentation", "--manifest=cases.csv"),
        *("--weights=out/pretrain_unified/model.keras",),
        *("--output_dir=out/nodules_unified", "--cache_dir=out/prepared"),
    ]
    assert Path("out/sweep.toml").read_text() == SMALL


def test_the_table_says_what_is_done_and_what_remains(commands, capsys):
    _run()
    text = capsys.readouterr().out
    head = "run               state                   estimate\n"
    assert text.startswith(
        head + "pretrain_unified  to do                   unknown\n"
        "nodules_scratch   to do                   unknown\n"
        "nodules_unified   to do                   unknown\n"
        "the time that remains is unknown until the first trial ends\n"
        "run 1 of 3: pretrain_unified\n" + head + "pretrain_unified  done\n"
    )
    assert text.endswith(
        "run 2 of 3: nodules_scratch\n" + head + "pretrain_unified  done\n"
        "nodules_scratch   done\n"
        "nodules_unified   to do                   20.0 s\n"
        "about 20.0 s remain\n"
        "run 3 of 3: nodules_unified\n" + head + "pretrain_unified  done\n"
        "nodules_scratch   done\n"
        "nodules_unified   done\n"
        "nothing remains\n"
    )


def test_when_all_is_done_the_table_stands_alone(commands, capsys):
    _run()
    done = capsys.readouterr().out.splitlines()[-5:]
    _run()
    assert capsys.readouterr().out.splitlines() == done
    assert len(commands.calls) == 3
    assert commands.asked == commands.names


def test_a_finished_run_that_refuses_its_flags_fails(commands, capsys):
    _run()
    capsys.readouterr()
    commands.refused.add("nodules_scratch")
    with pytest.raises(InputError, match=r"Received: nodules_scratch \(exit code 1\)"):
        _run()
    assert commands.asked == commands.names
    assert "nodules_scratch   failed\n" in capsys.readouterr().out


def _estimates(text: str) -> dict[str, str]:
    lines = describe_sweep(_read(text)).splitlines()
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[1:-1]}
    return rows | {"sum": lines[-1]}


def test_trials_take_as_long_as_others_of_their_task_by_share_of_the_cases():
    text = (
        "[finetune]\ntrials = 3\ntrain_fraction = [1.0, 0.5]\n"
        + TASK
        + "[task.other]\n"
    )
    _write_run(Path("out/nodules_scratch"), 2, 100.0, finished=False)
    assert _estimates(text) == {
        "nodules_scratch": "begun, 2 of 3 trials 1 min 40 s",
        "nodules_scratch_fraction_0.5": "to do 2 min 30 s",
        "other_scratch": "to do 5 min 0 s",
        "other_scratch_fraction_0.5": "to do 2 min 30 s",
        "sum": "about 11 min 40 s remain",
    }
    _write_run(Path("out/other_scratch_fraction_0.5"), 1, 10.0, finished=False)
    assert _estimates(text) == {
        "nodules_scratch": "begun, 2 of 3 trials 1 min 40 s",
        "nodules_scratch_fraction_0.5": "to do 2 min 30 s",
        "other_scratch": "to do 1 min 0 s",
        "other_scratch_fraction_0.5": "begun, 1 of 3 trials 20.0 s",
        "sum": "about 5 min 30 s remain",
    }


def test_pretraining_takes_as_long_as_other_recipes():
    text = "[finetune]\ntrials = 1\n[pretrain.a]\n[pretrain.b]\n[pretrain.c]\n" + TASK
    _write_run(Path("out/nodules_scratch"), 1, 30.0)
    unknown = "the time that remains is unknown until the first pre-training ends"
    assert _estimates(text)["sum"] == unknown
    _write_run(Path("out/pretrain_a"), 0, 60.0)
    _write_run(Path("out/pretrain_b"), 0, 20.0, finished=False)
    assert _estimates(text) == {
        "pretrain_a": "done",
        "pretrain_b": "begun 1 min 0 s",
        "pretrain_c": "to do 1 min 0 s",
        "nodules_scratch": "done",
        "sum": "about 2 min 0 s remain",
    }


def test_a_run_that_fails_is_named_and_the_others_are_done(commands, capsys):
    commands.codes["nodules_scratch"] = 1
    with pytest.raises(InputError) as caught:
        _run()
    assert str(caught.value).endswith("Received: nodules_scratch (exit code 1)")
    assert commands.names == ["pretrain_unified", "nodules_scratch", "nodules_unified"]
    lines = capsys.readouterr().out.splitlines()
    assert "nodules_scratch failed: exit code 1" in lines
    assert lines[-3:] == [
        "nodules_scratch   failed",
        "nodules_unified   done",
        "nothing remains but what failed",
    ]
    commands.codes.clear()
    _run()
    assert commands.names[3:] == ["nodules_scratch"]


def test_runs_whose_pretraining_failed_are_not_started(commands, capsys):
    commands.codes["pretrain_unified"] = -9
    with pytest.raises(InputError) as caught:
        _run()
    assert str(caught.value).split("Received: ")[1] == (
        "pretrain_unified (exit code -9), nodules_unified (needs pretrain_unified)"
    )
    assert commands.names == ["pretrain_unified", "nodules_scratch"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        "nodules_unified   failed",
        "nothing remains but what failed",
    ]


def test_a_run_that_ends_before_its_end_is_not_taken_for_done(commands, monkeypatch):
    monkeypatch.setattr(sweep, "_run_command", lambda *arguments, quiet: 0)
    with pytest.raises(InputError, match=r"nodules_scratch \(stopped\)"):
        _run()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_ends_the_sweep_after_the_run_in_hand(commands, capsys, name):
    commands.signals["nodules_scratch"] = name
    _run()
    assert commands.names == ["pretrain_unified", "nodules_scratch"]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"stopped by {name}; the same command goes on from there"
    commands.signals.clear()
    _run()
    assert run_folder.is_finished(Path("out/nodules_unified"))


CHILD = """
import signal, sys, time
def tell(number, frame):
    print(signal.Signals(number).name, flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, tell)
signal.signal(signal.SIGUSR1, tell)
print("ready", flush=True)
time.sleep(60)
"""
# A process that runs the child as a sweep does.
PARENT = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may switch it off
from models_genesis_tf.experiments import sweep
from models_genesis_tf.training.stopping import StopRequest
with StopRequest() as stop:
    print(sweep._run_command([sys.executable, "-c", {CHILD!r}], stop, False))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_a_signal_reaches_the_run_in_hand_which_is_waited_for(name):
    command = [sys.executable, "-c", PARENT]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as parent:
        assert parent.stdout.readline() == "ready\n"
        parent.send_signal(getattr(signal, name))
        lines = parent.stdout.read().splitlines()
    if name == "SIGINT":
        assert lines == ["SIGTERM", "the same command goes on from there"]
        assert parent.returncode == -signal.SIGINT
    else:
        assert lines == [name, "3"]


@pytest.mark.parametrize("quiet", [False, True])
def test_only_errors_of_a_quiet_command_are_seen(capfd, quiet):
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(4)"
    with StopRequest() as stop:
        assert sweep._run_command([sys.executable, "-c", code], stop, quiet) == 4
    assert capfd.readouterr() == ("" if quiet else "out\n", "err\n")


@pytest.fixture
def refused(monkeypatch, capsys):
    """Runs `finetune`, which has to end with one line and exit code 1; gives that."""

    def run(*arguments: str) -> str:
        argv = [finetune.__name__, *arguments]
        monkeypatch.setattr(sys, "argv", argv)
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as caught:
            flags.FLAGS.unparse_flags()
            finetune.cli()
        assert caught.value.code == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert not list(Path().glob("runs/*")) and not Path("out").exists()
        return line

    return run


def test_beside_a_sweep_other_flags_are_refused_by_name(refused):
    Path("grid.toml").write_text(SMALL)
    given = ("--sweep=grid.toml", "--output_dir=out", "--trials=3", "--restart")
    line = refused(*given)
    assert line.endswith("only --output_dir is given. Received: --restart, --trials")


@pytest.mark.parametrize(
    ("text", "where", "received"),
    [
        ("[finetune]\nepohcs = 3" + TASK, "[finetune]", "'epohcs'. Did you mean"),
        ("[finetune]\nepochs = [3, 'a']" + TASK, "[finetune]", "--epochs=a"),
        ("[task.a]\nscheme = 'painting'", "[task.a]", "flag 'scheme'"),
        ("[pretrain.a]\ntrials = 3" + TASK, "[pretrain.a]", "flag 'trials'"),
        ("[pretrain]\nscheme = 'none'" + TASK, "[pretrain]", "--scheme=none"),
        ("[finetune]\npatch_size = '8,8,9'" + TASK, "nodules_scratch", "=8,8,9"),
        ("[task.a]\nkind = 'segmentation'", "run a_scratch", "--manifest=None"),
    ],
)
def test_flags_that_are_none_are_found_before_anything_is_run(
    refused, text, where, received
):
    Path("grid.toml").write_text(text)
    line = refused("--sweep=grid.toml")
    assert line.startswith("error: grid.toml: ") and where in line
    assert received in line.split("Received: ")[1]


def _main(*arguments: str) -> list[str]:
    """Runs `finetune` in this process, from parsing on; gives the lines it printed."""
    argv = [finetune.__name__, *arguments]
    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        flagsaver.flagsaver(),
        contextlib.redirect_stdout(printed),
    ):
        patch.setattr(sys, "argv", argv)
        flags.FLAGS.unparse_flags()
        flags.FLAGS(argv)
        finetune.main()
    return printed.getvalue().splitlines()


def test_the_demonstration_is_a_sweep(commands):
    Path("flags").symlink_to(ROOT / "flags")
    Path("demo/nodules").mkdir(parents=True)
    Path("demo/nodules/cases.csv").touch()
    _main("--sweep=flags/sweep_demo.toml")
    schemes = ("distortion", "painting", "unified")
    assert commands.names == [
        *(f"pretrain_{scheme}" for scheme in schemes),
        *(f"nodules_{start}" for start in ("scratch", *schemes)),
    ]
    assert "--optimizer=adam" in commands.calls[0]
    assert "--output_dir=runs/sweep_sweep_demo/pretrain_distortion" in commands.calls[0]
    head = (ROOT / "flags" / "sweep_demo.toml").read_text().split("[finetune]")[0]
    assert head.count("# python -m models_genesis_tf.") == 3 and "measured" in head


def test_tasks_in_two_and_in_three_dimensions_stand_in_one_sweep(commands):
    """The settings of each run are read as if no other had been read before."""
    Path("flags").symlink_to(ROOT / "flags")
    for name in ("luna16", "luna16_unlabelled", "lidc", "pe"):
        Path("demo", name).mkdir(parents=True)
    _main("--sweep=flags/sweep_2d_3d.toml")
    tasks = ("ncc", "ncc_2d", "ncs", "ncs_2d", "ecc", "ecc_2d")
    starts = {task: "chest_ct_2d" if "2d" in task else "chest_ct" for task in tasks}
    assert commands.names == [
        *("pretrain_chest_ct", "pretrain_chest_ct_2d"),
        *(f"{task}_{start}" for task in tasks for start in ("scratch", starts[task])),
    ]


def test_one_process_at_a_time_does_a_sweep(refused):
    Path("grid.toml").write_text(TASK)
    with run_folder.sole_writer("held"):
        line = refused("--sweep=grid.toml", "--output_dir=held")
    assert line.endswith("another one does. Received: --output_dir=held")


def test_a_run_that_another_process_still_does_is_left_to_it(capfd):
    Path("grid.toml").write_text(TASK)
    with (
        run_folder.sole_writer("out/nodules_scratch"),
        pytest.raises(InputError, match=r"nodules_scratch \(exit code 1\)"),
    ):
        _main("--sweep=grid.toml", "--output_dir=out")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith("another one does. Received: --output_dir=out/nodules_scratch")


REAL = """
[finetune]
trials = 2
weights = ["scratch", "blocks"]
patch_size = "16,16,8"
base_filters = 2
epochs = 4
learning_rate = 0.01
precision = "float32"
deterministic = true
checkpoint_every = 3

[pretrain.blocks]
data_dir = "cubes"
base_filters = 2
batch_size = 4
epochs = 2
learning_rate = 0.1
precision = "float32"
deterministic = true

[task.balls]
kind = "segmentation"
manifest = "data/cases.csv"
"""


def _write_cubes(folder: Path) -> None:
    """Two folds: 16 cubes train, 8 validate."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for fold, count in ((0, 16), (1, 8)):
        blocks = np.where(rng.random((count, 4, 4, 4)) < 0.2, 0.8, 0.1)
        cubes = blocks.astype(np.float32).repeat(4, 1).repeat(4, 2).repeat(4, 3)
        np.save(folder / f"bat_{count}_s_16x16x16_{fold}.npy", cubes)


def _type(folder: str, **options) -> subprocess.Popen:
    """Starts the sweep as the leader of a group of processes."""
    command = [sys.executable, "-m", "models_genesis_tf.finetune"]
    given = ("--sweep=real.toml", f"--output_dir={folder}")
    return subprocess.Popen([*command, *given], start_new_session=True, **options)


def _end(folder: str) -> str:
    """Runs the sweep to its end and gives what it printed."""
    with _type(folder, stdout=subprocess.PIPE, text=True) as process:
        printed = process.stdout.read()
    assert process.returncode == 0
    return printed


def _outcome(folder: Path) -> dict:
    """Scores of all trials, and the weights of all models, of a sweep."""
    scores = {
        run: [
            (trial["trial"], trial["subset_sha256"], trial["steps"], trial["scores"])
            for trial in json.loads((folder / run / "results.json").read_text())[
                "trials"
            ]
        ]
        for run in ("balls_scratch", "balls_blocks")
    }
    models = {
        str(path.relative_to(folder)): [
            weights.tobytes() for weights in keras.saving.load_model(path).get_weights()
        ]
        for path in sorted(folder.rglob("model.keras"))
    }
    return {"scores": scores, "models": models}


def _state(folder: Path) -> dict:
    stats = {path: path.stat() for path in [folder, *folder.rglob("*")]}
    return {
        path: (one.st_ino, one.st_size, one.st_mtime_ns) for path, one in stats.items()
    }


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_and_ends_as_an_undisturbed_one(place):
    write_segmentation(place / "data")
    _write_cubes(place / "cubes")
    Path("real.toml").write_text(REAL)
    # Beside the other, to save time.
    undisturbed = _type("whole", stdout=subprocess.PIPE, text=True)
    second = place / "killed" / "balls_scratch" / "trial_1" / "checkpoint"
    with _type("killed", stdout=subprocess.DEVNULL) as process:
        while not list(second.glob("step_*.npz")):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not run_folder.is_finished(place / "killed" / "balls_scratch")
    rows = _end("killed").splitlines()[:5]
    assert [row.split()[:2] for row in rows[1:4]] == [
        ["pretrain_blocks", "done"],
        ["balls_scratch", "begun,"],
        ["balls_blocks", "to"],
    ]
    assert rows[2].split()[2:5] == ["1", "of", "2"] and rows[4].startswith("about ")
    printed, _ = undisturbed.communicate()
    assert undisturbed.returncode == 0 and printed.endswith("\nnothing remains\n")
    whole, killed = _outcome(place / "whole"), _outcome(place / "killed")
    assert whole == killed and len(whole["models"]) == 1 + 4
    for run in ("balls_scratch", "balls_blocks"):
        assert len(whole["scores"][run]) == 2
    before = _state(place / "killed")
    assert _end("killed").splitlines() == [
        "run              state                   estimate",
        *(
            f"{name:17}done"
            for name in ("pretrain_blocks", "balls_scratch", "balls_blocks")
        ),
        "nothing remains",
    ]
    assert _state(place / "killed") == before


@pytest.mark.slow
def test_an_edited_sweep_does_what_is_new_and_names_what_it_would_change(place):
    write_segmentation(place / "data")
    shared, task = REAL.split("[pretrain.blocks]")[0], REAL.split("[task.balls]")[1]
    for name in ("trials", "epochs"):
        shared = re.sub(rf"{name} = \d+", f"{name} = 1", shared)
    shared = re.sub(r"weights = .*", "", shared)
    Path("real.toml").write_text(f"{shared}[task.balls]{task}")
    _end("out")
    before = _state(place / "out" / "balls_scratch")
    edited = f"{shared}[task.balls]{task}seed = 1\n[task.more]{task}"
    Path("real.toml").write_text(edited)
    with _type("out", stderr=subprocess.PIPE, text=True) as process:
        errors = [line for line in process.stderr if line.startswith("error: ")]
    assert process.returncode == 1
    assert errors[0].endswith("Received: --seed=1 (began with --seed=0)\n")
    assert errors[1].endswith("Received: balls_scratch (exit code 1)\n")
    assert len(errors) == 2
    assert _state(place / "out" / "balls_scratch") == before
    assert run_folder.is_finished(place / "out" / "more_scratch")
    assert Path("out/sweep.toml").read_text() == edited
