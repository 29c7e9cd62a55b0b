"""Measures speed on this machine and prints it as JSON.

`transforms` times each transform, `input` the ways to make batches of pairs, `extract`
cutting cubes from a scan (--input, else a synthetic CT) beside reading it, `step` a
training step of the network in each of --precisions and --batch_sizes, beside products
of large matrices, `predict` segmenting a whole scan by --model, else random weights.
`page` writes figures for speed, FOLDER.md, from the JSON files in --output_dir=FOLDER.

Examples:
  python -m models_genesis_tf.benchmark transforms
  python -m models_genesis_tf.benchmark input --official_dir=ModelsGenesis
  python -m models_genesis_tf.benchmark extract --input=scan.nii.gz
  python -m models_genesis_tf.benchmark step --official_dir=ModelsGenesis
  python -m models_genesis_tf.benchmark step --backend=jax --batch_sizes=6,16,32
  python -m models_genesis_tf.benchmark predict --output_dir=docs/speed/cpu
  python -m models_genesis_tf.benchmark page --output_dir=docs/speed
"""

import json
import os
from importlib import import_module

from absl import flags

from models_genesis_tf import command_line, run_flags
from models_genesis_tf.benchmarks.machine import describe_machine
from models_genesis_tf.benchmarks.settings import BENCHMARKS, describe_settings
from models_genesis_tf.config import PretrainConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.run_folder import (
    describe_software,
    make_folder,
    write_json,
)

WORDS = (*BENCHMARKS, "page")
_BATCH_SIZE = 2  # small enough for a step of the official width on a CPU

flags.DEFINE_string(
    "official_dir",
    None,
    "Clone of the official repository, whose transforms, extraction, and for step, if "
    "torch is installed, whose network are timed in the same run.",
)
flags.DEFINE_enum(
    "backend",
    "tensorflow",
    ["tensorflow", "jax"],
    "What Keras computes steps with.",
)
flags.DEFINE_list(
    "precisions",
    ["float32", "mixed_bfloat16"],
    "Keras dtype policies whose training steps are timed in turn.",
)
flags.DEFINE_list(
    "batch_sizes",
    [],
    "Cubes per step; several are timed one after the other. Unset, --batch_size.",
)
flags.DEFINE_integer(
    "steps", 3, "Steps that are timed after the first one.", lower_bound=1
)
run_flags.define_model()
run_flags.define_input()
run_flags.define_output_dir()
run_flags.define_cube_size()
run_flags.define_step_size(PretrainConfig())
run_flags.define_fast_upsampling()


def main(name: str) -> None:
    """Reads the flags and measures.

    Args:
      name: One of `WORDS`.

    Raises:
      InputError: If something cannot be measured, or there is nothing for a page.
    """
    values = flags.FLAGS
    if name == "page":
        _write_page()
        return
    folder = make_folder(values.output_dir) if values.output_dir else None
    # Before Keras is imported; what is no step runs with TensorFlow.
    os.environ["KERAS_BACKEND"] = values.backend if name == "step" else "tensorflow"
    values.set_default("batch_sizes", str(values.batch_size))
    values.set_default("fast_upsampling", True)  # measured unless it is turned off
    report = {
        "benchmark": name,
        "machine": describe_machine(),
        "software": describe_software(),
        "settings": describe_settings(name, lambda flag: values[flag].value),
        "results": _measure(name),
    }
    print(json.dumps(report, indent=1))
    if folder:
        write_json(folder / f"benchmark_{name}.json", report)


def _write_page() -> None:
    if not flags.FLAGS.output_dir:
        raise InputError("benchmark page takes --output_dir. Received: none")
    from models_genesis_tf.benchmarks import page

    print(page.write_page(flags.FLAGS.output_dir))


def _measure(name: str) -> dict:
    """Imports what is measured only then: some of it needs TensorFlow."""
    values, size = flags.FLAGS, run_flags.sides("cube_size")
    count = max(1, len(values.batch_sizes))
    batch_sizes = run_flags.parse_numbers("batch_sizes", values.batch_sizes, count, int)
    measure = import_module(f"models_genesis_tf.benchmarks.{name}").measure
    if name == "step":
        return measure(
            values.base_filters,
            batch_sizes,
            size,
            values.steps,
            values.precisions,
            values.official_dir,
            values.fast_upsampling,
        )
    if name == "predict":
        width, fast = values.base_filters, values.fast_upsampling
        return measure(values.model, values.input, width, size, fast)
    if name == "extract":
        return measure(values.input, official_dir=values.official_dir)
    return measure(values.official_dir)


def cli() -> None:
    """Runs the command."""
    command_line.set_defaults({"batch_size": _BATCH_SIZE})
    command_line.run(main, WORDS)


if __name__ == "__main__":
    cli()
