"""Scores the models of a finished fine-tuning run again.

Example:
  python -m models_genesis_tf.evaluate --run=runs/finetune_custom_scratch --split=test
"""

from pathlib import Path

from absl import flags

from models_genesis_tf import command_line, run_flags, task_flags
from models_genesis_tf.errors import InputError

flags.DEFINE_string("run", None, "Folder of a run of finetune.")
flags.DEFINE_enum(
    "split",
    None,
    ["test", "valid"],
    "Which part is scored; unset, the one that the run was scored on.",
)
task_flags.define_manifest()
run_flags.define_data_dir()
task_flags.define_cache_dir()
run_flags.define_output_dir()


def main() -> None:
    """Reads the flags and scores."""
    values = flags.FLAGS
    if not values.run:
        raise InputError("evaluate takes --run. Received: none")
    run = Path(values.run)
    folder = Path(values.output_dir or run / "evaluation")
    from models_genesis_tf.experiments.evaluation import evaluate  # loads TensorFlow

    moved = {name: values[name].value for name in ("manifest", "data_dir")}
    moved = {name: value for name, value in moved.items() if value}
    print(evaluate(run, folder, values.split, moved, values.cache_dir))


def cli() -> None:
    """Runs the command."""
    command_line.run(main)


if __name__ == "__main__":
    cli()
