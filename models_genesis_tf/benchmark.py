"""Measures speed on this machine and prints it as JSON.

`transforms` times each transform, `input` the ways to make batches of pairs, `extract`
cutting cubes from a scan (--input, else a synthetic CT) beside reading it, `step` a
training step of the network in each of --precisions.

Examples:
  python -m models_genesis_tf.benchmark transforms
  python -m models_genesis_tf.benchmark input --official_dir=ModelsGenesis
  python -m models_genesis_tf.benchmark extract --input=scan.nii.gz
  python -m models_genesis_tf.benchmark step --base_filters=16 --batch_size=4
"""

import json
import os
import platform
from pathlib import Path

from absl import flags

from models_genesis_tf import command_line, run_flags
from models_genesis_tf.config import PretrainConfig
from models_genesis_tf.experiments.run_folder import (
    describe_software,
    make_folder,
    write_json,
)

BENCHMARKS = ("transforms", "input", "extract", "step")
_BATCH_SIZE = 2  # small enough for a step of the official width on a CPU

flags.DEFINE_string(
    "official_dir",
    None,
    "Clone of the official repository, whose transforms are timed in the same run.",
)
flags.DEFINE_list(
    "precisions",
    ["float32", "mixed_bfloat16"],
    "Keras dtype policies whose training steps are timed in turn.",
)
run_flags.define_input()
run_flags.define_output_dir()
run_flags.define_cube_size()
run_flags.define_step_size(PretrainConfig())


def main(name: str) -> None:
    """Reads the flags and measures.

    Args:
      name: One of `BENCHMARKS`.
    """
    values = flags.FLAGS
    folder = make_folder(values.output_dir) if values.output_dir else None
    report = {
        "benchmark": name,
        "machine": {"processor": _processor(), "cores": os.cpu_count()},
        "software": describe_software(),
        "results": _measure(name),
    }
    print(json.dumps(report, indent=1))
    if folder:
        write_json(folder / f"benchmark_{name}.json", report)


def _measure(name: str) -> dict:
    """Imports what is measured only then: some of it needs TensorFlow."""
    values = flags.FLAGS
    if name == "transforms":
        from models_genesis_tf.benchmarks import transforms

        return transforms.measure(values.official_dir)
    if name == "input":
        from models_genesis_tf.benchmarks import input

        return input.measure(values.official_dir)
    if name == "step":
        from models_genesis_tf.benchmarks import step

        return step.measure(
            values.base_filters,
            values.batch_size,
            run_flags.sides("cube_size"),
            precisions=values.precisions,
        )
    from models_genesis_tf.benchmarks import extract

    return extract.measure(values.input)


def _processor() -> str:
    """The processor's name, where the system tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()


def cli() -> None:
    """Runs the command."""
    command_line.set_defaults({"batch_size": _BATCH_SIZE})
    command_line.run(main, BENCHMARKS)


if __name__ == "__main__":
    cli()
