"""Cuts cubes from the scans of a folder, or takes their axial slices.

Examples:
  python -m models_genesis_tf.extract_cubes --data_dir=scans --output_dir=cubes
  python -m models_genesis_tf.extract_cubes --data_dir=scans --cube_size=224,224 \\
    --output_dir=slices
"""

from absl import flags

from models_genesis_tf import command_line, run_flags
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import data_folders
from models_genesis_tf.experiments.extraction import extract_cubes
from models_genesis_tf.phantoms.marker import is_phantom

run_flags.define_data_dir()
run_flags.define_output_dir()
run_flags.define_scan_filters()
run_flags.define_cube_flags()
run_flags.define_num_workers()
run_flags.define_seed()
flags.DEFINE_list("folds", [], "Only these folds, for example 0,1.")
flags.DEFINE_string(
    "shard",
    "0/1",
    "k/n: do the k-th of n shares of the folds (k from 0), for job arrays.",
)


def main() -> None:
    """Reads the flags, finds the scans, extracts."""
    command_line.set_defaults({"output_dir": "runs/extract_cubes"})
    values = flags.FLAGS
    data = data_folders.find_data(run_flags.scan_folder(), "luna16")
    if data.demonstration:
        command_line.set_defaults(data_folders.DEMO_CUBES)
    config = run_flags.cube_config()
    folds = run_flags.parse_folds("folds", values.folds)
    shard = _parse_shard(values.shard)
    if data.demonstration:
        data_folders.make_chest_phantoms(data.path)
    files = extract_cubes(
        data.path,
        values.output_dir,
        config,
        run_flags.scan_choice(),
        folds,
        shard,
        values.num_workers,
    )
    print(f"{len(files)} cube files in {values.output_dir}")
    if is_phantom(values.output_dir):
        print("cut from synthetic scans: not data for use")


def _parse_shard(text: str) -> tuple[int, int]:
    try:
        share, shares = (int(part) for part in text.split("/"))
    except ValueError:
        share, shares = 0, 0
    if not 0 <= share < shares:
        raise InputError(f"--shard is k/n with 0 <= k < n. Received: --shard={text}")
    return share, shares


def cli() -> None:
    """Runs the command."""
    command_line.run(main)


if __name__ == "__main__":
    cli()
