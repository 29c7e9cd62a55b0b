"""Domain crossing: how well networks restore cubes of scans that are not their kind.

Every network restores the same deformed cubes, of each kind in turn, and is compared
with what needs no network: the deformed cube itself and the best constant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

from models_genesis_tf.config import TRANSFORM_PRESETS
from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.tables import markdown_table
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.experiments.restorations import baselines
from models_genesis_tf.experiments.scoring import make_predict
from models_genesis_tf.imaging import panels
from models_genesis_tf.imaging.cube_files import CubeSet, open_cubes
from models_genesis_tf.imaging.fingerprints import sha256
from models_genesis_tf.models.pretrained import load_pretrained
from models_genesis_tf.models.weight_names import weights_path
from models_genesis_tf.pipelines.pair_stream import validation_pair

MOST_CUBES = 200
_SHOWN = 2  # cubes of each kind in the figure
_BATCH_SIZE = 8


@dataclass(frozen=True)
class Pairs:
    """Cubes of one kind of scans, deformed once for all networks.

    Attributes:
      deformed: float32 (pair, x, y, z, channel) in [0, 1].
      originals: The same shape.
      of: How many cubes there were to choose from.
    """

    deformed: np.ndarray
    originals: np.ndarray
    of: int


def cross_domains(
    restorers: Mapping[str, str],
    folders: Mapping[str, str],
    output_dir: Path,
    preset: str = "default",
    seed: int = 0,
) -> str:
    """Lets every network restore every kind of cubes.

    Args:
      restorers: Name of a network -> its file, as `load_pretrained` reads.
      folders: Name of a kind of scans -> folder of its cubes; of more than
        `MOST_CUBES`, so many are taken, spread evenly.
      output_dir: Where `crossing.json`, `crossing.md` and `crossing.png` are written.
      preset: A key of `TRANSFORM_PRESETS`.
      seed: How cubes are deformed follows from it, from the cube's place and from
        nothing else.

    Returns:
      The table of mean squared errors in Markdown.

    Raises:
      InputError: If a file or folder cannot be read, or a network does not restore
        such cubes.
    """
    run_folder.make_folder(output_dir)
    models = {name: load_pretrained(path) for name, path in restorers.items()}
    errors, rows = {}, {}
    for kind, folder in folders.items():
        pairs = _make_pairs(folder, preset, seed)
        restored = {
            name: restore(model, pairs.deformed, name) for name, model in models.items()
        }
        errors[kind] = _measure(pairs, restored)
        rows |= _choose_rows(kind, pairs, restored)
    files = {
        name: {"file": Path(path).name, "sha256": sha256(weights_path(path))}
        for name, path in restorers.items()
    }
    record = {"restorers": files, "transform_preset": preset, "seed": seed}
    record |= run_folder.describe_software() | {"mean_squared_errors": errors}
    table = _table(errors)
    run_folder.write_json(output_dir / "crossing.json", record)
    run_folder.write_text(output_dir / "crossing.md", f"{table}\n")
    panels.save_figure(crossing_figure(rows), output_dir / "crossing.png")
    return table


def restore(model: keras.Model, deformed: np.ndarray, name: str) -> np.ndarray:
    """Restores cubes of any size with a network for cubes of another one.

    Args:
      model: A network of convolutions, whose weights suit every size.
      deformed: float32 (cube, x, y, z, channel), sides multiples of 8.
      name: Of the network, for errors.

    Returns:
      float32 of the same shape.

    Raises:
      InputError: If it does not give back what it takes, or takes other channels.
    """
    shape = deformed.shape[1:]
    channels = {model.input_shape[-1], model.output_shape[-1], shape[-1]}
    same = model.input_shape[1:-1] == model.output_shape[1:-1]
    if len(model.input_shape) != len(shape) + 1 or not same or len(channels) > 1:
        raise InputError(
            f"a restorer gives back cubes like those it takes, here {shape}. Received: "
            f"{name}, from {model.input_shape[1:]} to {model.output_shape[1:]}"
        )
    resized = keras.models.clone_model(
        model, input_tensors=keras.Input(shape), clone_function=lambda layer: layer
    )
    predict = make_predict(resized)
    starts = range(0, len(deformed), _BATCH_SIZE)
    return np.concatenate([predict(deformed[k : k + _BATCH_SIZE]) for k in starts])


def crossing_figure(rows: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draws the middle slices of cubes, original, deformed and restored.

    Args:
      rows: Name of a row -> title of a column -> cube (x, y, z) in [0, 1]; all rows
        have the same columns.

    Returns:
      The figure.
    """
    titles = list(next(iter(rows.values())))
    figure = Figure(
        figsize=(1.9 * len(titles), 0.4 + 1.9 * len(rows)), layout="constrained"
    )
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for row, (name, cubes) in enumerate(rows.items()):
        for column, (title, cube) in enumerate(cubes.items()):
            image = panels.plane_slice(cube, "axial")
            axes = grid[row, column]
            panels.draw_slice(axes, image, title if row == 0 else "")
        grid[row, 0].set_ylabel(name, fontsize=9)
    return figure


def _make_pairs(folder: str, preset: str, seed: int) -> Pairs:
    cubes: CubeSet = open_cubes(folder)
    count = min(len(cubes), MOST_CUBES)
    places = np.linspace(0, len(cubes) - 1, count).astype(int)
    config = TRANSFORM_PRESETS[preset]
    pairs = [validation_pair(cubes, places, seed, config, i) for i in range(count)]
    deformed, originals = (np.stack(part) for part in zip(*pairs, strict=True))
    return Pairs(deformed, originals, len(cubes))


def _measure(pairs: Pairs, restored: Mapping[str, np.ndarray]) -> dict:
    """Errors of all networks on one kind of cubes, and of what needs none."""
    floor = baselines([(pairs.deformed, pairs.originals)])
    return {
        "cubes": len(pairs.originals),
        "of": pairs.of,
        "unchanged": _describe(pairs.deformed, pairs.originals),
        "constant": {"mean": floor["constant"]},
        "restored": {
            name: _describe(cubes, pairs.originals) for name, cubes in restored.items()
        },
    }


def _choose_rows(
    kind: str, pairs: Pairs, restored: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """Rows of the figure: first and last cube."""
    columns = {"original": pairs.originals, "deformed": pairs.deformed}
    columns |= {f"restored by {name}": cubes for name, cubes in restored.items()}
    shown = np.linspace(0, len(pairs.originals) - 1, _SHOWN).astype(int)
    return {
        f"{kind}, cube {number}": {
            title: cubes[number, ..., 0] for title, cubes in columns.items()
        }
        for number in shown
    }


def _describe(cubes: np.ndarray, originals: np.ndarray) -> dict[str, float]:
    """Mean over cubes of the squared error of each, and its standard deviation."""
    squares = np.square(cubes.astype(np.float64) - originals)
    errors = squares.reshape(len(cubes), -1).mean(axis=1)
    return {"mean": float(errors.mean()), "sd": float(errors.std(ddof=1))}


def _table(errors: Mapping[str, dict]) -> str:
    names = list(next(iter(errors.values()))["restored"])
    header = ["cubes", "n", "unchanged", "constant", *names]
    return markdown_table(header, [_row(*item) for item in errors.items()])


def _row(kind: str, found: dict) -> Sequence[str]:
    values = [found["unchanged"], found["constant"], *found["restored"].values()]
    numbers = [f"{value['mean']:.5f}" for value in values]
    return [kind, str(found["cubes"]), *numbers]
