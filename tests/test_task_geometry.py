"""The label lands on the lesion, however a scan is stored.

Scans are oblique, of unequal spacing, and stored along each of the 48 orders and
directions of axes. The lesion's place is worked out by SimpleITK.
"""

import itertools
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.tasks import bms, lcs, ncc
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.case_arrays import Preparation
from models_genesis_tf.tasks.preparation import prepare_case

SHAPE = (26, 22, 18)
SPACING = (0.7, 0.9, 1.6)
ORIGIN = (-61.0, 33.0, -220.0)
LESION = (17, 6, 11)
PAIRS = (("R", "L"), ("A", "P"), ("I", "S"))
ORDERS = [
    "".join(pair[bit] for pair, bit in zip(axes, bits, strict=True))
    for axes in itertools.permutations(PAIRS)
    for bits in itertools.product((0, 1), repeat=3)
]


def _direction() -> np.ndarray:
    """A turn of 17 degrees about z, then of 10 degrees about x."""
    c, s = np.cos(0.3), np.sin(0.3)
    d, t = np.cos(0.18), np.sin(0.18)
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return np.array([[1, 0, 0], [0, d, -t], [0, t, d]]) @ about_z


def _store(path: Path, array: np.ndarray, order: str) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(_direction().ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.DICOMOrient(image, order), str(path))
    return image


def _lesion(low: float, high: float, kind: type) -> np.ndarray:
    """A box of 3 x 5 x 3 voxels, which no turn or swap of axes leaves as it is."""
    array = np.full(SHAPE, low, kind)
    x, y, z = LESION
    array[x - 1 : x + 2, y - 2 : y + 3, z - 1 : z + 2] = high
    return array


def _check_label(case: Case, preparation: Preparation, cache: Path) -> None:
    """The label map is where the image is bright, in an LPS array."""
    prepared = prepare_case(case, preparation, cache)
    bright = prepared.image()[..., 0] > 0.5
    np.testing.assert_array_equal(prepared.label_map() > 0, bright)
    assert bright.sum() == 45
    centre = np.argwhere(bright).mean(axis=0)
    np.testing.assert_allclose(centre, LESION, atol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_candidates_of_luna16_lie_on_their_nodules(tmp_path, order):
    scan = tmp_path / "subset3" / "1.2.840.7.mhd"
    image = _store(scan, _lesion(-1000, 1000, np.int16), order)
    place = image.TransformIndexToPhysicalPoint(LESION)
    rows = "seriesuid,coordX,coordY,coordZ,class\n1.2.840.7,{},{},{},1\n"
    (tmp_path / "candidates_V2.csv").write_text(rows.format(*place), encoding="utf-8")
    (case,) = ncc.list_cases(tmp_path).cases
    prepared = prepare_case(case, Preparation("ct"), tmp_path / "cache")
    patch = prepared.central_patch((9, 9, 7), SPACING)[..., 0]
    expected = np.zeros((9, 9, 7))
    expected[3:6, 2:7, 2:5] = 1
    np.testing.assert_allclose(patch, expected, atol=1e-2)


@pytest.mark.parametrize("order", ORDERS)
def test_segmentations_of_lits_lie_on_their_volumes(tmp_path, order):
    other = ORDERS[(ORDERS.index(order) + 17) % 48]
    _store(tmp_path / "volume-7.nii", _lesion(-900, 900, np.int16), order)
    _store(tmp_path / "segmentation-7.nii", _lesion(0, 2, np.uint8), other)
    listing = lcs.list_cases(tmp_path)
    (case,) = listing.cases
    preparation = Preparation("ct", label_values=listing.label_values)
    _check_label(case, preparation, tmp_path / "cache")


@pytest.mark.parametrize("order", ORDERS)
def test_tumours_of_brats_lie_on_all_their_channels(tmp_path, order):
    name = "Brats18_CBICA_AXJ_1"
    for number, part in enumerate(("flair", "t1", "t1ce", "t2", "seg")):
        other = ORDERS[(ORDERS.index(order) + 11 * number) % 48]
        array = _lesion(*((0, 4) if part == "seg" else (100, 900)), np.int16)
        _store(tmp_path / "HGG" / name / f"{name}_{part}.nii.gz", array, other)
    listing = bms.list_cases(tmp_path, ("t1", "flair"))
    (case,) = listing.cases
    preparation = Preparation("100,900", label_values=listing.label_values)
    prepared = prepare_case(case, preparation, tmp_path / "cache")
    assert prepared.image().shape == (*SHAPE, 2)
    np.testing.assert_array_equal(prepared.image()[..., 0], prepared.image()[..., 1])
    _check_label(case, preparation, tmp_path / "cache")
