"""From files of scans to files of masks or probabilities."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.model_facts import ModelFacts
from models_genesis_tf.experiments.predicted_scans import (
    Scan,
    already_there,
    check_some_read,
    find_scans,
    tell_skipped,
)
from models_genesis_tf.experiments.prediction import Predictor
from models_genesis_tf.experiments.prediction_figure import save_mask_panel
from models_genesis_tf.imaging.images import is_image2d, write_image2d
from models_genesis_tf.imaging.postprocessing import Postprocessing
from models_genesis_tf.imaging.volumes import SUFFIXES, write_volume
from models_genesis_tf.tasks.case_arrays import CaseArrays

_DEFAULT_SUFFIX = ".nii.gz"
_OF_PICTURES = ".png"  # masks of pictures; probabilities are no whole numbers


@dataclass(frozen=True)
class Options:
    """What is written.

    Attributes:
      probabilities: Write probabilities instead of classes.
      postprocessing: What is done to masks.
      preview: Draw the mask's contour beside each result.
      overwrite: Write over what is there.
    """

    probabilities: bool = False
    postprocessing: Postprocessing = Postprocessing()
    preview: bool = False
    overwrite: bool = False


def segment_scans(
    predictor: Predictor, text: str, output: str | None, options: Options
) -> Iterator[Path]:
    """Segments the scans of --input and writes the results.

    Those of a folder that cannot be read, or whose results are there, are named on
    stderr and left out.

    Args:
      predictor: Of a segmentation model.
      text: Value of --input.
      output: Value of --output: a file for one scan, or a folder; None is the current
        folder.
      options: What is written.

    Yields:
      Each file that was written.

    Raises:
      InputError: If a single scan cannot be read, its results are there, nothing of a
        folder could be read, or results would get one name.
    """
    scans, is_folder = find_scans(text, predictor.facts)
    targets = name_targets(scans, is_folder, text, output, options, predictor.facts)
    failed = 0
    for number, (scan, files) in enumerate(zip(scans, targets, strict=True), 1):
        there = [path for path in files if path.exists()]
        title = scan.name + (f" ({number}/{len(scans)})" if is_folder else "")
        try:
            if there and not options.overwrite:
                raise already_there(there)
            arrays = predictor.read(scan.paths)
            _write_results(predictor, arrays, title, files, options)
        except InputError as error:
            if not is_folder:
                raise
            failed += not there or options.overwrite
            tell_skipped(scan, error)
            continue
        yield from files
    check_some_read(failed, scans, text)


def name_targets(
    scans: Sequence[Scan],
    is_folder: bool,
    text: str,
    output: str | None,
    options: Options,
    facts: ModelFacts,
) -> list[list[Path]]:
    """Names the files that are written for each scan.

    Args:
      scans: The scans.
      is_folder: Whether they are those of a folder.
      text: Value of --input.
      output: Value of --output or None.
      options: What is written.
      facts: Of the model.

    Returns:
      For each scan a mask, or an image of each output; then its preview if asked for.

    Raises:
      InputError: If the output has an unknown format, a folder's results would lie in
        it, or two results would get one name.
    """
    if is_folder:
        _check_outside(output, text)
    several = options.probabilities and facts.num_outputs > 1
    ending = "" if several else "_probability" if options.probabilities else "_mask"
    targets = []
    for scan in scans:
        base, suffix = Path(output or ".", scan.folder, scan.name + ending), None
        is_picture = is_image2d(scan.paths[0]) and not options.probabilities
        if not is_folder and output and _is_file(output, is_picture):
            known = (*SUFFIXES, _OF_PICTURES)
            suffix = next(end for end in known if output.endswith(end))
            base = Path(output[: -len(suffix)])
        suffix = suffix or (_OF_PICTURES if is_picture else _DEFAULT_SUFFIX)
        names = [re.sub(r"[^\w.-]+", "_", name) for name in facts.classes]
        parts = [f"_{name}" for name in names] if several else [""]
        files = [base.with_name(f"{base.name}{part}{suffix}") for part in parts]
        if options.preview:
            files.append(base.with_name(f"{base.name}_preview.png"))
        targets.append(files)
    counts = Counter(path for files in targets for path in files)
    twice = [str(path) for path, count in counts.items() if count > 1]
    if twice:
        raise InputError(
            "each result has a name of its own, that of its scan. "
            f"Received: two for {', '.join(twice)}"
        )
    return targets


def _write_results(
    predictor: Predictor,
    arrays: CaseArrays,
    title: str,
    files: Sequence[Path],
    options: Options,
) -> None:
    labels, outputs = predictor.segment(arrays, title, options.probabilities)
    labels = options.postprocessing.apply(labels, arrays.spacing)
    results = [labels] if outputs is None else np.moveaxis(outputs, -1, 0)
    for path, array in zip(files, results, strict=False):
        if path.suffix == _OF_PICTURES:
            write_image2d(path, array)
        else:
            write_volume(path, array, like=arrays.source)
    if options.preview:
        save_mask_panel(files[-1], arrays.image[..., 0], labels, arrays.spacing)


def _is_file(output: str, may_be_picture: bool) -> bool:
    """Says whether --output of one scan names a file."""
    known = (*SUFFIXES, _OF_PICTURES) if may_be_picture else SUFFIXES
    if output.endswith(known) and not Path(output).is_dir():
        return True
    if Path(output).is_dir() or output.endswith("/") or not Path(output).suffix:
        return False
    raise InputError(
        f"--output is a folder or a file in {', '.join(known)}. "
        f"Received: --output={output}"
    )


def _check_outside(output: str | None, folder: str) -> None:
    """Masks among scans would be taken for scans the next time."""
    place = Path(output or ".")
    if place.resolve().is_relative_to(Path(folder).resolve()):
        raise InputError(
            "--output is a folder outside of the scans' folder --input. "
            f"Received: --output={output or '.'}"
        )
    if place.is_file() or str(place).endswith(SUFFIXES):
        raise InputError(
            f"--output of a folder of scans is a folder. Received: --output={output}"
        )
