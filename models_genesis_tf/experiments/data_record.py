"""Which scans of which patients a run saw, for run.json and split.csv."""

from models_genesis_tf.imaging.cube_files import CubeSet
from models_genesis_tf.imaging.cube_splits import Split
from models_genesis_tf.imaging.fingerprints import fingerprint
from models_genesis_tf.imaging.patients import patients_of


def list_cases(cubes: CubeSet, split: Split) -> list[dict[str, str]]:
    """Lists the scans of both parts with their patients.

    Args:
      cubes: All cubes.
      split: Which of them train and validate.

    Returns:
      The rows of split.csv: `case`, `patient` and `split`.
    """
    parts = {"train": split.train, "valid": split.valid}
    seen = {
        part: sorted(set(cubes.sources[indices].tolist()))
        for part, indices in parts.items()
    }
    patients = patients_of(sorted(set().union(*seen.values())))
    return [
        {"case": source, "patient": patients[source], "split": part}
        for part, sources in seen.items()
        for source in sources
    ]


def describe_data(cubes: CubeSet, split: Split, cases: list[dict[str, str]]) -> dict:
    """Describes a run's data.

    Args:
      cubes: All cubes.
      split: Which of them train and validate.
      cases: As from `list_cases`.

    Returns:
      What run.json says: fingerprint, numbers and shape of cubes, series and
      patients.
    """

    def listed(column: str) -> dict[str, list[str]]:
        return {
            part: sorted({case[column] for case in cases if case["split"] == part})
            for part in ("train", "valid")
        }

    return {
        "data_fingerprint": fingerprint(cubes.files),
        "cubes": {"train": len(split.train), "valid": len(split.valid)},
        "cube_shape": list(cubes.cube_shape),
        "series": listed("case"),
        "patients": listed("patient"),
    }
