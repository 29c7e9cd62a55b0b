"""Runs of finetune that came to their end."""

from pathlib import Path

from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import run_folder


def read_finished(run: Path) -> tuple[dict, dict]:
    """Reads what a run recorded and how it scored.

    Args:
      run: Folder of a run of finetune.

    Returns:
      What its run.json and its results.json hold.

    Raises:
      InputError: If it has not come to its end.
    """
    record = run_folder.read_record(run)
    if not (record.get("finished") and (run / "results.json").is_file()):
        raise InputError(
            f"--run is the folder of a finished run of finetune. Received: --run={run}"
        )
    return record, run_folder.read_json(run / "results.json")
