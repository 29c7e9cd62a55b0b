"""Scores the models of a finished fine-tuning run again, or nodules as LUNA16 does.

Examples:
  python -m models_genesis_tf.evaluate --run=runs/finetune_custom_scratch --split=test
  python -m models_genesis_tf.evaluate --run=runs/finetune_ncs_scratch --whole_scans
  python -m models_genesis_tf.evaluate --run=runs/finetune_ncc_scratch --froc
  python -m models_genesis_tf.evaluate --submission=mine.csv \\
    --annotations=annotations.csv --output_dir=froc
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
flags.DEFINE_boolean(
    "froc",
    False,
    "Evaluate the candidates that a run of --task=ncc scored as LUNA16 does.",
)
flags.DEFINE_boolean(
    "whole_scans",
    False,
    "Score whole scans beside patches, with and without cleaning masks by "
    "--largest_component and --min_size_mm3; with neither, as the task has it.",
)
flags.DEFINE_string(
    "submission",
    None,
    "csv file of seriesuid, coordX, coordY, coordZ, probability, instead of a run.",
)
flags.DEFINE_string(
    "annotations",
    None,
    "LUNA16's annotations.csv; unset, --froc looks for it in --data_dir.",
)
flags.DEFINE_string(
    "annotations_excluded",
    None,
    "LUNA16's annotations_excluded.csv, findings that are neither nodules nor false "
    "positives; unset, --froc looks for it in --data_dir.",
)
flags.DEFINE_string(
    "seriesuids",
    None,
    "File of a submission's scans, one UID a line; unset, those of the tables.",
)
task_flags.define_manifest()
run_flags.define_data_dir()
task_flags.define_cache_dir()
task_flags.define_postprocessing()
run_flags.define_output_dir()

_OF_FROC = ("annotations", "annotations_excluded", "seriesuids")
_OF_WHOLE_SCANS = ("largest_component", "min_size_mm3")


def main() -> None:
    """Reads the flags and scores."""
    values = flags.FLAGS
    if values.submission:
        print(_evaluate_submission(values))
    elif not values.run:
        raise InputError("evaluate takes --run or --submission. Received: neither")
    elif values.froc:
        print(_evaluate_froc(values))
    elif values.whole_scans:
        print(_evaluate_whole_scans(values))
    else:
        print(_score_again(values))


def _score_again(values: flags.FlagValues) -> Path:
    command_line.refuse_flags("--run without --froc", _OF_FROC)
    command_line.refuse_flags("--run without --whole_scans", _OF_WHOLE_SCANS)
    from models_genesis_tf.experiments.evaluation import evaluate  # loads TensorFlow

    return evaluate(*_run_and_data(values))


def _evaluate_whole_scans(values: flags.FlagValues) -> Path:
    command_line.refuse_flags("--whole_scans", _OF_FROC)
    asked_for = any(values[name].present for name in _OF_WHOLE_SCANS)
    cleaning = task_flags.postprocessing() if asked_for else None
    from models_genesis_tf.experiments.whole_scans import evaluate_whole_scans

    return evaluate_whole_scans(*_run_and_data(values), cleaning)


def _run_and_data(values: flags.FlagValues) -> tuple:
    """Run, folder of the scores, part, where the cases moved to, prepared cases."""
    moved = {name: values[name].value for name in ("manifest", "data_dir")}
    moved = {name: value for name, value in moved.items() if value}
    folder = _folder_beside(values)
    return Path(values.run), folder, values.split, moved, values.cache_dir


def _evaluate_froc(values: flags.FlagValues) -> Path:
    unused = ("split", "manifest", "cache_dir", "seriesuids", "whole_scans")
    command_line.refuse_flags("--froc", (*unused, *_OF_WHOLE_SCANS))
    from models_genesis_tf.experiments.froc_evaluation import evaluate_run

    return evaluate_run(
        Path(values.run),
        _folder_beside(values),
        values.data_dir,
        values.annotations,
        values.annotations_excluded,
    )


def _evaluate_submission(values: flags.FlagValues) -> Path:
    unused = ("run", "froc", "split", "manifest", "data_dir", "cache_dir")
    command_line.refuse_flags(
        "--submission", (*unused, "whole_scans", *_OF_WHOLE_SCANS)
    )
    for name in ("annotations", "output_dir"):
        if not values[name].value:
            raise InputError(f"--submission goes with --{name}. Received: none")
    from models_genesis_tf.experiments.froc_evaluation import evaluate_submission

    return evaluate_submission(
        Path(values.submission),
        Path(values.output_dir),
        values.annotations,
        values.annotations_excluded,
        values.seriesuids,
    )


def _folder_beside(values: flags.FlagValues) -> Path:
    return Path(values.output_dir or Path(values.run) / "evaluation")


def cli() -> None:
    """Runs the command."""
    command_line.run(main)


if __name__ == "__main__":
    cli()
