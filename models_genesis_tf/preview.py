"""Draws a scan's cubes under each transform, and which cubes are taken from it.

With two sides in --cube_size, axial slices take the cubes' place.

Example:
  python -m models_genesis_tf.preview --input=scan.nii.gz --output=preview.png
"""

from pathlib import Path

from absl import flags

from models_genesis_tf import command_line, run_flags
from models_genesis_tf.config import TRANSFORM_PRESETS
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.previewing import save_preview
from models_genesis_tf.experiments.run_folder import make_folder
from models_genesis_tf.imaging.volumes import read_volume, scan_name

run_flags.define_input()
run_flags.define_output()
run_flags.define_output_dir()
run_flags.define_cube_flags()
run_flags.define_transform_preset()
run_flags.define_seed()


def main() -> None:
    """Reads the flags and draws."""
    command_line.set_defaults({"output_dir": "."})
    values = flags.FLAGS
    if not values.input:
        raise InputError("preview takes --input=SCAN. Received: none")
    path = Path(values.output_dir, f"{scan_name(values.input)}_preview.png")
    if values.output:
        path = Path(values.output)
    if path.suffix.lower() != ".png":
        raise InputError(f"--output is a PNG file. Received: --output={path}")
    volume = read_volume(values.input)
    make_folder(path.parent)
    preset = TRANSFORM_PRESETS[values.transform_preset]
    summary = save_preview(volume, path, run_flags.cube_config(), preset, values.seed)
    print(summary)
    print(path)


def cli() -> None:
    """Runs the command."""
    command_line.run(main)


if __name__ == "__main__":
    cli()
