"""Cuts cubes from the scans of a folder.

Example:
  python -m models_genesis_tf.extract_cubes --data_dir=scans --output_dir=cubes
"""

from absl import flags

from models_genesis_tf import run_flags
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.extraction import extract_cubes

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
    """Reads the flags and extracts."""
    values = flags.FLAGS
    if not values.data_dir or not values.output_dir:
        raise InputError(
            "extract_cubes takes --data_dir and --output_dir. Received: "
            f"--data_dir={values.data_dir} --output_dir={values.output_dir}"
        )
    folds = run_flags.parse_folds("folds", values.folds)
    files = extract_cubes(
        values.data_dir,
        values.output_dir,
        run_flags.cube_config(),
        values.include,
        values.exclude,
        folds,
        _parse_shard(values.shard),
        values.num_workers,
    )
    print(f"{len(files)} cube files in {values.output_dir}")


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
    run_flags.run(main)


if __name__ == "__main__":
    cli()
