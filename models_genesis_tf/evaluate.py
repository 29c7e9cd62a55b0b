"""Scores models of a finished fine-tuning run again, nodules as LUNA16, restorations.

Examples:
  python -m models_genesis_tf.evaluate --run=runs/finetune_custom_scratch --split=test
  python -m models_genesis_tf.evaluate --run=runs/finetune_ncs_scratch --whole_scans
  python -m models_genesis_tf.evaluate --run=runs/finetune_ncc_scratch --froc
  python -m models_genesis_tf.evaluate --run=runs/nodules --column=diameter
  python -m models_genesis_tf.evaluate --submission=mine.csv \\
    --annotations=annotations.csv --output_dir=froc
  python -m models_genesis_tf.evaluate --restorers=ct=ct.keras,mr=mr.keras \\
    --cubes=ct=cubes_ct,mr=cubes_mr --output_dir=crossing
"""

from pathlib import Path

from absl import flags

from models_genesis_tf import command_line, run_flags, scoring_flags, task_flags
from models_genesis_tf.errors import InputError

scoring_flags.define_scored()
scoring_flags.define_froc()
run_flags.define_manifest()
run_flags.define_data_dir()
task_flags.define_cache_dir()
task_flags.define_postprocessing()
run_flags.define_output_dir()

_CASES = ("split", "manifest", "data_dir", "cache_dir")
_CLEANING = ("largest_component", "min_size_mm3")
_TABLES = ("annotations", "annotations_excluded")


def main() -> None:
    """Reads the flags and scores."""
    values = flags.FLAGS
    name = next((name for name in _MODES if values[name].value), None)
    if name is None:
        raise InputError(
            "evaluate takes --run, --submission or --restorers. Received: none of them"
        )
    score, taken = _MODES[name]
    known = {*_MODES, *(flag for _, others in _MODES.values() for flag in others)}
    given = sorted(flag for flag in known - {name} if values[flag].value)
    if refused := [f"--{flag}" for flag in given if flag not in taken]:
        raise InputError(
            f"--{name} goes with {', '.join(f'--{flag}' for flag in taken)} and no "
            f"other flag but --output_dir. Received: {', '.join(refused)}"
        )
    if "run" in taken and not values.run:
        raise InputError(f"--{name} goes with --run. Received: none")
    print(score(values))


def _score_again(values: flags.FlagValues) -> Path:
    from models_genesis_tf.experiments.evaluation import evaluate  # loads TensorFlow

    return evaluate(*_run_and_data(values))


def _score_column(values: flags.FlagValues) -> str:
    from models_genesis_tf.experiments.column_baseline import score_column

    folder = Path(values.output_dir or Path(values.run) / "baseline")
    return score_column(Path(values.run), values.column, folder, values.manifest)


def _evaluate_whole_scans(values: flags.FlagValues) -> Path:
    asked_for = any(values[name].present for name in _CLEANING)
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
    from models_genesis_tf.experiments.froc_evaluation import evaluate_run

    return evaluate_run(
        Path(values.run),
        _folder_beside(values),
        values.data_dir,
        values.annotations,
        values.annotations_excluded,
    )


def _evaluate_submission(values: flags.FlagValues) -> Path:
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


def _cross_domains(values: flags.FlagValues) -> str:
    command_line.set_defaults({"output_dir": "runs/domain_crossing"})
    names = ("restorers", "cubes")
    named = [command_line.parse_named(name, values[name].value) for name in names]
    from models_genesis_tf.experiments.domain_crossing import cross_domains

    return cross_domains(*named, Path(values.output_dir))


def _folder_beside(values: flags.FlagValues) -> Path:
    return Path(values.output_dir or Path(values.run) / "evaluation")


# The first of these flags that is given says what is done, and takes those beside it.
_MODES = {
    "restorers": (_cross_domains, ("cubes",)),
    "submission": (_evaluate_submission, (*_TABLES, "seriesuids")),
    "column": (_score_column, ("run", "manifest")),
    "froc": (_evaluate_froc, ("run", "data_dir", *_TABLES)),
    "whole_scans": (_evaluate_whole_scans, ("run", *_CASES, *_CLEANING)),
    "run": (_score_again, _CASES),
}


def cli() -> None:
    """Runs the command."""
    command_line.run(main)


if __name__ == "__main__":
    cli()
