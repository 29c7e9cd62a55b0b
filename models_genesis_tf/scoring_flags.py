"""Flags that say what is scored anew, and as what.

They stand beside `run_flags`; an entry point calls the `define_*` functions it needs.
"""

from absl import flags

# A flag defined here belongs to the command that asked for it, in its --help too.
flags.disclaim_key_flags()


def define_scored() -> None:
    """Defines the flags that choose what is scored: a run, or networks that restore."""
    flags.DEFINE_string("run", None, "Folder of a run of finetune.")
    flags.DEFINE_enum(
        "split",
        None,
        ["test", "valid"],
        "Which part is scored; unset, the one that the run was scored on.",
    )
    flags.DEFINE_boolean(
        "whole_scans",
        False,
        "Score whole scans beside patches, with and without cleaning masks by "
        "--largest_component and --min_size_mm3; with neither, as the task has it.",
    )
    flags.DEFINE_string(
        "column",
        None,
        "Score this column of the run's manifest on the run's cases, as if it were the "
        "network's output, higher for the second class.",
    )
    flags.DEFINE_list(
        "restorers",
        [],
        "NAME=FILE of pre-trained networks, which restore the same deformed cubes of "
        "each of --cubes; instead of a run.",
    )
    flags.DEFINE_list("cubes", [], "NAME=FOLDER of cubes for --restorers.")


def define_froc() -> None:
    """Defines the flags of LUNA16's evaluation."""
    flags.DEFINE_boolean(
        "froc",
        False,
        "Evaluate the candidates that a run of --task=ncc scored as LUNA16 does.",
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
        "LUNA16's annotations_excluded.csv, findings that are neither nodules nor "
        "false positives; unset, --froc looks for it in --data_dir.",
    )
    flags.DEFINE_string(
        "seriesuids",
        None,
        "File of a submission's scans, one UID a line; unset, those of the tables.",
    )
