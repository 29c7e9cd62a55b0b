"""Which scans are predicted, and which are left out."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.model_facts import ModelFacts
from models_genesis_tf.imaging.images import image_name, list_scans_and_images
from models_genesis_tf.imaging.volumes import list_scans


@dataclass(frozen=True)
class Scan:
    """A scan to predict.

    Attributes:
      name: Of the scan.
      paths: A file, or folder of a DICOM series, for each channel.
      folder: Where it lies below the folder that was given.
    """

    name: str
    paths: tuple[Path, ...]
    folder: Path = Path()


def find_scans(text: str, facts: ModelFacts) -> tuple[list[Scan], bool]:
    """Finds the scans that are to be predicted.

    Args:
      text: Value of --input: a file, a folder of a DICOM series, a folder of scans, or
        for several channels their files divided by commas.
      facts: Of the model, by which pictures may be scans.

    Returns:
      The scans, and whether they are those of a folder.

    Raises:
      InputError: If there is none, or not one for each channel.
    """
    parts = [text] if Path(text).exists() else text.split(",")
    paths = tuple(Path(part) for part in parts)
    if len(paths) != len(facts.modalities):
        raise InputError(
            "--input has one scan for each channel of the model "
            f"({', '.join(facts.modalities)}), divided by commas. "
            f"Received: --input={text}"
        )
    (folder, *others) = paths
    found = [folder]
    if folder.is_dir():
        scans, images = list_scans_and_images(folder)
        found = sorted(scans + images) if facts.takes_pictures else list_scans(folder)
    if others or found == [folder]:
        return [Scan(image_name(folder), paths)], False
    if not found:
        raise InputError(f"--input is a folder that holds scans. Received: {folder}")
    scans = [
        Scan(image_name(path), (path,), path.relative_to(folder).parent)
        for path in found
    ]
    return scans, True


def already_there(paths: Sequence[Path]) -> InputError:
    """Makes the error of results that nobody asked to write again.

    Args:
      paths: The results.

    Returns:
      The error, to be raised.
    """
    return InputError(
        "results that are there are written again with --overwrite. "
        f"Received: {', '.join(map(str, paths))}"
    )


def tell_skipped(scan: Scan, error: InputError) -> None:
    """Names a scan that is left out, on stderr.

    Args:
      scan: The scan.
      error: Why.
    """
    print(f"skipped {scan.paths[0]}: {error}", file=sys.stderr, flush=True)


def check_some_read(failed: int, scans: Sequence[Scan], text: str) -> None:
    """Refuses a folder of which nothing could be predicted.

    Args:
      failed: How many scans could not.
      scans: All of them.
      text: Value of --input.

    Raises:
      InputError: If that is all of them.
    """
    if failed == len(scans):
        raise InputError(
            f"at least one scan of --input can be read. Received: {text} with "
            f"{failed} that cannot"
        )
