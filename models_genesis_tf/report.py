"""Compares fine-tuning runs: tables, tests and figures, with the paper's beside them.

What `evaluate --restorers` wrote in one of the folders is part of the report.

Example:
  python -m models_genesis_tf.report --runs=runs --output_dir=runs/report
"""

from pathlib import Path

from absl import flags

from models_genesis_tf import command_line, run_flags
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.comparisons import FAMILIES, SIDES, TESTS, Rules

_DEFAULT = Rules()

flags.DEFINE_list(
    "runs", [], "Folders of finetune's runs, or folders in which they lie."
)
flags.DEFINE_string(
    "metric", None, "Score that is compared, such as iou_mean; unset, each task's own."
)
flags.DEFINE_enum(
    "test",
    _DEFAULT.test,
    sorted(TESTS),
    "Test of a difference: welch and pooled take trials as independent, paired and "
    "wilcoxon as pairs of one seed and one labelled subset.",
)
flags.DEFINE_enum(
    "sides",
    _DEFAULT.sides,
    SIDES,
    "Sides of the test; one-sided, as the paper's p values are, asks whether the "
    "pre-trained start is better.",
)
flags.DEFINE_enum(
    "family",
    _DEFAULT.family,
    FAMILIES,
    "What Holm's correction is over: share, the tasks that a pair of starts was tested "
    "on, each share of the labels by itself; all, on any share.",
)
flags.DEFINE_integer(
    "resamples",
    _DEFAULT.resamples,
    "Resamples of the bootstrap over patients.",
    lower_bound=100,
)
flags.DEFINE_boolean(
    "page", False, "Write the report beside --output_dir, as FOLDER.md, for documents."
)
run_flags.define_seed()
run_flags.define_output_dir()


def main() -> None:
    """Reads the flags and reports."""
    command_line.set_defaults({"output_dir": "runs/report"})
    values = flags.FLAGS
    if not values.runs:
        raise InputError("report takes --runs. Received: none")
    from models_genesis_tf.experiments.reporting import report  # loads matplotlib

    rules = Rules(
        values.test, values.sides, values.resamples, values.seed, values.family
    )
    paths = [Path(path) for path in values.runs]
    folder = Path(values.output_dir)
    print(report(paths, folder, values.metric, rules, values.page))


def cli() -> None:
    """Runs the command."""
    command_line.run(main)


if __name__ == "__main__":
    cli()
