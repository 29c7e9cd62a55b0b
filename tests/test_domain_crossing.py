"""Domain crossing: every network restores the same cubes, and its error is told."""

import itertools
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers
from matplotlib.backends.backend_agg import FigureCanvasAgg

from models_genesis_tf.config import TRANSFORM_PRESETS
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import domain_crossing
from models_genesis_tf.experiments.domain_crossing import (
    cross_domains,
    crossing_figure,
    restore,
)
from models_genesis_tf.imaging.panels import save_figure
from models_genesis_tf.models.heads import build_classifier
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.transforms.pairs import genesis_pair

COMMAND = [sys.executable, "-m", "models_genesis_tf.evaluate"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two kinds of cubes of different sizes, and two networks for a third size."""
    folder = tmp_path_factory.mktemp("crossing")
    rng = np.random.default_rng(0)
    for name, sides in (("ct", (16, 16, 16)), ("mr", (16, 24, 8))):
        small = rng.random((5, *(side // 4 for side in sides)), np.float32)
        cubes = small.repeat(4, 1).repeat(4, 2).repeat(4, 3)
        size = "x".join(map(str, sides))
        (folder / name).mkdir()
        np.save(folder / name / f"bat_5_s_{size}_0.npy", cubes)
    for seed in range(2):
        keras.utils.set_random_seed(seed)
        save_model(build_unet3d((8, 8, 8, 1), 2), folder / f"{seed}.keras", {})
    return folder


@pytest.fixture(scope="module")
def crossed(place):
    """Both networks on both kinds of cubes, and the table."""
    restorers = {name: str(place / f"{name}.keras") for name in ("0", "1")}
    folders = {name: str(place / name) for name in ("ct", "mr")}
    table = cross_domains(restorers, folders, place / "out")
    record = json.loads((place / "out" / "crossing.json").read_text(encoding="utf-8"))
    return record, table


def _pairs(folder):
    """The pairs of a folder, made one by one."""
    (path,) = folder.glob("*.npy")
    config = TRANSFORM_PRESETS["default"]
    for k, cube in enumerate(np.load(path)[..., None]):
        yield genesis_pair(cube, np.random.default_rng([0, 3, k]), config)


def test_errors_are_those_of_a_loop_over_cubes(place, crossed):
    for kind in ("ct", "mr"):
        found = crossed[0]["mean_squared_errors"][kind]
        assert (found["cubes"], found["of"]) == (5, 5)
        originals = np.stack([original for _, original in _pairs(place / kind)])
        assert found["constant"]["mean"] == pytest.approx(originals.var(), rel=1e-5)
        unchanged = [np.mean((x - y) ** 2) for x, y in _pairs(place / kind)]
        assert found["unchanged"]["mean"] == pytest.approx(np.mean(unchanged))
        assert found["unchanged"]["sd"] == pytest.approx(np.std(unchanged, ddof=1))
        for name in ("0", "1"):
            small = keras.saving.load_model(place / f"{name}.keras")
            model = build_unet3d(originals.shape[1:], 2)
            model.set_weights(small.get_weights())
            errors = [
                np.mean((model(x[None], training=False)[0].numpy() - y) ** 2)
                for x, y in _pairs(place / kind)
            ]
            assert found["restored"][name]["mean"] == pytest.approx(
                np.mean(errors), rel=1e-4
            )


def test_the_table_has_a_row_for_each_kind_and_a_column_for_each_network(crossed):
    record, table = crossed
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
    ]
    assert header == ["cubes", "n", "unchanged", "constant", "0", "1"]
    for row in rows:
        found = record["mean_squared_errors"][row[0]]
        values = [found["unchanged"], found["constant"], *found["restored"].values()]
        assert row[1:] == ["5", *(f"{value['mean']:.5f}" for value in values)]


def test_what_was_measured_can_be_found_again(place, crossed):
    record, table = crossed
    assert [*record["mean_squared_errors"]] == ["ct", "mr"]
    assert record["restorers"]["0"]["file"] == "0.keras"
    assert len(record["restorers"]["0"]["sha256"]) == 64
    assert (record["transform_preset"], record["seed"]) == ("default", 0)
    assert record["packages"]["keras"] == keras.__version__
    assert (place / "out" / "crossing.md").read_text(encoding="utf-8") == f"{table}\n"


def test_a_network_that_changes_nothing_has_the_error_of_the_deformed_cube():
    inputs = keras.Input((8, 8, 8, 1))
    model = keras.Model(inputs, layers.Activation("linear")(inputs))
    cubes = np.random.default_rng(1).random((3, 16, 8, 24, 1), np.float32)
    np.testing.assert_array_equal(restore(model, cubes, "same"), cubes)


def test_of_many_cubes_some_are_taken_from_first_to_last(place, monkeypatch):
    monkeypatch.setattr(domain_crossing, "MOST_CUBES", 3)
    pairs = domain_crossing._make_pairs(place / "ct", "default", 0)
    assert pairs.of == 5
    all_pairs = list(_pairs(place / "ct"))
    for number, k in enumerate((0, 2, 4)):
        deformed, original = all_pairs[k]
        np.testing.assert_array_equal(pairs.deformed[number], deformed)
        np.testing.assert_array_equal(pairs.originals[number], original)


def test_networks_that_restore_no_such_cubes_are_refused(place):
    folders = {"ct": str(place / "ct")}
    path = place / "classifier.keras"
    save_model(build_classifier((8, 8, 8, 1), base_filters=2), path, {})
    message = (
        r"gives back cubes like those it takes, here \(16, 16, 16, 1\). Received: c,"
    )
    with pytest.raises(InputError, match=message):
        cross_domains({"c": str(path)}, folders, place / "other")
    path = place / "two.keras"
    save_model(build_unet3d((8, 8, 8, 2), 2), path, {})
    with pytest.raises(InputError, match=r"Received: two, from \(8, 8, 8, 2\) to"):
        cross_domains({"two": str(path)}, folders, place / "other")


def test_the_figure_is_legible(tmp_path):
    rng = np.random.default_rng(2)
    titles = ("original", "deformed", "restored by ct", "restored by mr")
    rows = {
        f"{kind}, cube {k}": {title: rng.random((16, 16, 8)) for title in titles}
        for kind in ("ct", "mr")
        for k in (0, 199)
    }
    figure = crossing_figure(rows)
    assert [axes.get_title() for axes in figure.axes[:4]] == list(titles)
    assert [axes.get_ylabel() for axes in figure.axes[::4]] == list(rows)
    save_figure(figure, tmp_path / "crossing.png")
    FigureCanvasAgg(figure).draw()  # at the figure's own resolution again
    texts = [axes.title for axes in figure.axes[:4]]
    texts += [axes.yaxis.label for axes in figure.axes[::4]]
    assert min(text.get_fontsize() for text in texts) >= 9
    boxes = [text.get_window_extent() for text in texts]
    boxes += [axes.get_window_extent() for axes in figure.axes]
    assert not any(
        one.padded(-0.5).overlaps(other)
        for one, other in itertools.combinations(boxes, 2)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--restorers=a.keras"], "--restorers is NAME=VALUE.*Received: --restorers=a"),
        (["--restorers=a=b,a=c"], "Received: --restorers=a=b,a=c"),
        (["--restorers=a=b"], "--cubes is NAME=VALUE.* Received: --cubes="),
        (["--restorers=a=b", "--run=r", "--froc"], "Received: --froc, --run"),
        (["--run=r", "--cubes=a=b"], "--run goes with --split, .*Received: --cubes"),
    ],
)
def test_flags_that_say_nothing_are_refused_in_one_line(arguments, message, tmp_path):
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.search(message, line), line


@pytest.mark.slow
def test_the_command_prints_the_table(place, crossed):
    done = subprocess.run(
        [
            *COMMAND,
            f"--restorers=0={place / '0.keras'},1={place / '1.keras'}",
            f"--cubes=ct={place / 'ct'},mr={place / 'mr'}",
            f"--output_dir={place / 'again'}",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{crossed[1]}\n"
    check = json.loads((place / "again" / "crossing.json").read_text(encoding="utf-8"))
    assert check["mean_squared_errors"] == crossed[0]["mean_squared_errors"]
