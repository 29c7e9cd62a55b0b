"""NCS: segmentation of lung nodules in LIDC-IDRI.

From the owner's files: a folder per series of DICOM slices and one XML file per CT (see
`lidc_xml`), in the series' folder or, as the XML-only download has them, anywhere else;
they belong together by the SeriesInstanceUID. There are 1,018 CTs of 1,010 patients.
[TCIA, LIDC-IDRI] The paper trains on 510, validates on 100 and tests on 408 of these
CTs, resampled to 1 mm, in crops of 64x64x32 around each nodule [Models Genesis, Medical
Image Analysis 67, 2021]; which they are is unpublished, so they are drawn by patient
from `default_rng([seed, 14])`.

From the official arrays: `x_{train,valid,test}_64x64x32.npy` and `m_*` of the same
names, images in [0, 1] and masks, one crop per row, axes of length 1 dropped. [official
repository, keras/downstream_tasks/ncs_data.py]
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import dicom
from models_genesis_tf.imaging.dicom import SliceHeader
from models_genesis_tf.imaging.folders import files_below
from models_genesis_tf.imaging.mapped_arrays import MappedArray
from models_genesis_tf.imaging.postprocessing import Postprocessing
from models_genesis_tf.imaging.volumes import list_scans
from models_genesis_tf.tasks.base import PARTS, Case, Listing, Task
from models_genesis_tf.tasks.lidc_nodules import (
    NoduleLabel,
    cluster_outlines,
    consensus,
)
from models_genesis_tf.tasks.lidc_xml import (
    LidcReading,
    Outline,
    is_ct_reading,
    read_outlines,
)
from models_genesis_tf.tasks.splits import keep_complete_split

TASK = Task(
    code="ncs",
    title="lung nodule segmentation",
    modality="CT",
    dimension=3,
    kind="segmentation",
    metric="paper_iou",
    patch_size=(64, 64, 32),
    window="ct",
    spacing=(1.0, 1.0, 1.0),
    how_to_get=(
        "the LIDC-IDRI collection of TCIA, https://doi.org/10.7937/K9/TCIA.2015."
        "LO9QL9SX: below one folder, a folder of DICOM slices per CT and the "
        "radiologists' XML files, at any depth; or the official repository's "
        "x_train_64x64x32.npy, m_train_64x64x32.npy and those of valid and test"
    ),
    data_set="lidc",
    # Readers outlined nodules from 3 mm on; that is the volume of such a ball.
    postprocessing=Postprocessing(min_size_mm3=math.pi / 6 * 3**3),
)

_CLASSES = ("background", "nodule")
_LABEL_VALUES = ((0,), (1,))
_SHARES = {"train": 510 / 1018, "valid": 100 / 1018}
_STREAM = 14


def list_cases(folder: Path, seed: int = 0, min_readers: int = 1) -> Listing:
    """Finds the nodules, or the rows of the official arrays.

    Args:
      folder: With the files as `TASK.how_to_get` says.
      seed: Of the division of CTs, 0 or more.
      min_readers: Nodules that fewer readers outlined are left out, 1 to 4; the
        official arrays do not tell.

    Returns:
      One case per nodule, by patient, series and height; or one per row. CTs whose
      slices are no even stack are left out.

    Raises:
      InputError: If the folder holds neither, a file is damaged or arrays do not fit
        each other.
    """
    if not any(_array_path(folder, "x", part).exists() for part in PARTS):
        return _list_nodules(folder, seed, min_readers)
    if min_readers > 1:
        raise InputError(
            "--min_readers goes with XML files, and the masks of the official arrays "
            f"are made. Received: --min_readers={min_readers} with {folder}"
        )
    cases = tuple(case for part in PARTS for case in _list_rows(folder, part))
    notice = f"the official arrays with their split: {len(cases)} crops"
    return Listing(cases, _CLASSES, _LABEL_VALUES, notice)


def divide_scans(scans: Sequence[tuple[str, str]], seed: int) -> dict[str, str]:
    """Divides CTs into parts of 510/100/408 of 1,018, whole patients at a time.

    Args:
      scans: UID and patient of each, in any order.
      seed: Of the division, 0 or more.

    Returns:
      The part of each UID. The sizes differ from their shares by the further CTs of a
      patient; with too few patients a part stays empty.
    """
    scans_by_patient: dict[str, list[str]] = {}
    for uid, patient in scans:
        scans_by_patient.setdefault(patient, []).append(uid)
    patients = sorted(scans_by_patient)
    order = np.random.default_rng([seed, _STREAM]).permutation(len(patients))
    left = {
        part: max(1, min(round(share * len(scans)), len(scans) - 2))
        for part, share in _SHARES.items()
    }
    part_by_scan = {}
    for index in order:
        part = next((part for part, number in left.items() if number > 0), "test")
        uids = scans_by_patient[patients[index]]
        part_by_scan |= dict.fromkeys(uids, part)
        if part in left:
            left[part] -= len(uids)
    return part_by_scan


def _array_path(folder: Path, kind: str, part: str) -> Path:
    return folder / f"{kind}_{part}_64x64x32.npy"


def _list_rows(folder: Path, part: str) -> list[Case]:
    """The rows of one part's arrays, after a look at their headers."""
    image_path, mask_path = (_array_path(folder, kind, part) for kind in ("x", "m"))
    shapes = []
    for path in (image_path, mask_path):
        if not path.exists():
            raise InputError(
                "the official arrays are x and m of train, valid and test. "
                f"Received: {folder} without {path.name}"
            )
        rows, *sides = MappedArray.of(path).shape or (0,)
        shapes.append((rows, *(side for side in sides if side > 1)))
    if shapes[0] != shapes[1] or shapes[0][1:] != TASK.patch_size:
        raise InputError(
            "x and m have a crop of 64x64x32 in each row. Received: "
            f"{image_path} of shape {shapes[0]} and {mask_path.name} of {shapes[1]}"
        )
    names = [f"{part}_{row:04d}" for row in range(shapes[0][0])]
    return [
        Case(name, (image_path,), mask_path, name, part, row=row)
        for row, name in enumerate(names)
    ]


def _list_nodules(folder: Path, seed: int, min_readers: int) -> Listing:
    """Goes through the XML files once and keeps no outlines, which are large."""
    series = _series_folders(folder)
    scans: dict[str, _Scan] = {}
    uneven: list[str] = []
    readings = unmatched = 0
    for path in _xml_files(folder):
        if not is_ct_reading(path):
            continue
        readings += 1
        reading = read_outlines(path)
        uid = reading.series_uid
        if uid not in series:
            unmatched += 1
        elif uid not in scans:
            try:
                gap = dicom.read_slice_gap(series[uid])
            except InputError as error:  # a slice is missing, or the gantry was tilted
                uneven.append(str(error))
                continue
            scans[uid] = _read_scan(path, reading, series[uid], gap, min_readers)
    found = f"{readings} XML files of CTs, {unmatched} of them without their series"
    parts = divide_scans([(uid, scan.patient) for uid, scan in scans.items()], seed)
    order = sorted(scans, key=lambda uid: (scans[uid].patient, uid))
    cases = [
        dataclasses.replace(case, split=parts[uid])
        for uid in order
        for case in scans[uid].cases
    ]
    if not cases:
        raise InputError(
            f"--data_dir holds the task's files: {TASK.how_to_get}. "
            f"Received: {folder} with {found}"
        )
    cases, division = keep_complete_split(
        cases, f"CTs divided 510/100/408 of 1,018 by chance with seed {seed}"
    )
    repeated = readings - unmatched - len(uneven) - len(scans)
    left_out = sum(scan.left_out for scan in scans.values())
    notice = (
        f"{found}, {repeated} of a CT that had one; {len(cases)} nodules in "
        f"{len(scans)} CTs, {left_out} left out by --min_readers={min_readers} or "
        f"because their readers share no pixel; {division}"
    )
    if uneven:
        notice += f"; {len(uneven)} CTs left out, the first of them: {uneven[0]}"
    return Listing(cases, _CLASSES, _LABEL_VALUES, notice)


@dataclass(frozen=True)
class _Scan:
    """A CT: its patient, its nodules without a part, and how many were left out."""

    patient: str
    cases: tuple[Case, ...]
    left_out: int


def _read_scan(
    xml: Path, reading: LidcReading, folder: Path, gap: float, min_readers: int
) -> _Scan:
    """The nodules of one CT, named by their number among all of its nodules."""
    header = dicom.read_header(folder)
    patient = header.patient or reading.series_uid
    thickness = header.thickness or gap
    nodules = cluster_outlines(reading.outlines, header.pixel_spacing, thickness)
    cases = []
    for number, outlines in enumerate(nodules, start=1):
        readers = {outline.reader for outline in outlines}
        pixels = consensus(outlines)
        if len(readers) < min_readers or not pixels:
            continue
        name = f"{patient}_{reading.series_uid[-8:]}_nodule_{number}"
        members = tuple(sorted(map(reading.outlines.index, outlines)))
        label = NoduleLabel(xml, members)
        centre = _centre(outlines, pixels, header)
        case = Case(name, (folder,), label, patient, None, centre)
        cases.append(dataclasses.replace(case, series=reading.series_uid))
    return _Scan(patient, tuple(cases), len(nodules) - len(cases))


def _centre(
    outlines: Sequence[Outline], pixels: Mapping[str, np.ndarray], header: SliceHeader
) -> tuple[float, float, float]:
    """World position of the middle of a nodule's box, from one slice's header."""
    heights = {uid: at for one in outlines for uid, at in one.heights.items()}
    levels = [heights[uid] for uid in pixels]
    columns, rows = np.concatenate(list(pixels.values())).T
    middle = (
        (float(values.min()) + float(values.max())) / 2
        for values in (columns, rows, np.array(levels))
    )
    return tuple(header.place(*middle).tolist())


def _xml_files(folder: Path) -> list[Path]:
    return [path for path in files_below(folder) if path.suffix.lower() == ".xml"]


def _series_folders(folder: Path) -> dict[str, Path]:
    """The DICOM folders below a folder by series, the first by path of each."""
    series: dict[str, Path] = {}
    for path in list_scans(folder):
        if path.is_dir():
            series.setdefault(dicom.read_series_uid(path), path)
    return series
