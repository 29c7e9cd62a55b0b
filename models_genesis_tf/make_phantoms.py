"""Writes synthetic data in a data set's own layout and file formats.

Examples:
  python -m models_genesis_tf.make_phantoms --dataset=luna16 --cases=10 \\
    --output_dir=phantoms
  python -m models_genesis_tf.make_phantoms --dataset=nodules --cases=100 \\
    --output_dir=nodules
"""

from absl import flags

from models_genesis_tf import command_line, run_flags
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.run_folder import make_folder
from models_genesis_tf.phantoms.data_sets import DATA_SETS

flags.DEFINE_enum(
    "dataset",
    "luna16",
    sorted(DATA_SETS),
    "; ".join(f"{name}: {data_set.what}" for name, data_set in DATA_SETS.items()) + ".",
)
flags.DEFINE_integer(
    "cases",
    10,
    "Number of scans, of lesions (nodules) or patients (pe).",
    lower_bound=1,
)
run_flags.define_output_dir()
run_flags.define_seed()


def main() -> None:
    """Reads the flags and writes."""
    values = flags.FLAGS
    if not values.output_dir:
        raise InputError("make_phantoms takes --output_dir. Received: none")
    folder = make_folder(values.output_dir)
    DATA_SETS[values.dataset].write(folder, values.cases, values.seed)
    print(f"{values.cases} cases in {values.output_dir}")


def cli() -> None:
    """Runs the command."""
    command_line.run(main)


if __name__ == "__main__":
    cli()
