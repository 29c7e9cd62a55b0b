"""Turns official weights into a `.keras` file that plain Keras opens.

The official files are Genesis_Chest_CT.h5 (Keras 2.2.4) and Genesis_Chest_CT.pt
(PyTorch); neither of these libraries is needed, and nothing in a file is executed.

Examples:
  python -m models_genesis_tf.convert_weights --source=Genesis_Chest_CT.h5
  python -m models_genesis_tf.convert_weights --source=Genesis_Chest_CT.pt \\
    --output=genesis.keras --bn_statistics=moving
"""

import dataclasses
import hashlib
from pathlib import Path

from absl import flags

from models_genesis_tf import command_line, run_flags
from models_genesis_tf.errors import InputError

flags.DEFINE_string("source", None, "Official weight file, .h5 or .pt.")
flags.DEFINE_enum(
    "bn_statistics",
    "auto",
    ["auto", "moving", "batch"],
    "What batch normalisation uses when predicting: moving statistics, or those of the "
    "cubes at hand; auto does as the official network of that form: .h5 moving, .pt "
    "batch.",
)
run_flags.define_output()
run_flags.define_overwrite()
run_flags.define_cube_size()


def main() -> None:
    """Reads the flags and converts."""
    values = flags.FLAGS
    source, output = _paths(values.source, values.output, values.overwrite)
    sides = run_flags.sides("cube_size")
    # Keras takes seconds to load; a wrong path should not wait for it.
    from models_genesis_tf.models.official import build_official, read_official
    from models_genesis_tf.models.saving import save_model

    weights = read_official(source)
    trunk = weights.trunk
    if values.bn_statistics != "auto":
        trunk = dataclasses.replace(trunk, bn_statistics=values.bn_statistics)
    model, report = build_official(weights, trunk, sides)
    metadata = {
        "task": "restoration",
        "base_filters": trunk.base_filters,
        "patch_size": list(sides),
        "channels": model.input_shape[-1],
        "bn_statistics": trunk.bn_statistics,
        "converted_from": {
            "file": source.name,
            "form": weights.form,
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        },
    }
    save_model(model, output, metadata)
    print(report.table())
    print(
        f"{weights.form} weights, {trunk.base_filters} filters, {trunk.upsampling} "
        f"upsampling, batch normalisation by {trunk.bn_statistics} statistics"
    )
    print("the weights keep the licence of the file they come from")
    print(output)


def _paths(source: str | None, output: str | None, overwrite: bool) -> tuple:
    """Checks where to read and where to write."""
    if not source:
        raise InputError("convert_weights takes --source. Received: none")
    source = Path(source)
    if not source.is_file():
        raise InputError(f"--source is a file. Received: {source}")
    output = Path(output) if output else source.with_suffix(".keras")
    if output.suffix != ".keras":
        raise InputError(f"--output ends in .keras. Received: {output}")
    if output.exists() and not overwrite:
        raise InputError(
            f"--output is a new file, or --overwrite is given. Received: {output}"
        )
    return source, output


def cli() -> None:
    """Runs the command."""
    command_line.run(main)


if __name__ == "__main__":
    cli()
