"""Whole scans through models whose predictions are known in closed form."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.froc_tables import read_submission
from models_genesis_tf.experiments.model_facts import read_facts
from models_genesis_tf.experiments.predicted_masks import Options, segment_scans
from models_genesis_tf.experiments.predicted_table import classify_scans
from models_genesis_tf.experiments.prediction import (
    Predictor,
    over_flips,
)
from models_genesis_tf.experiments.prediction_figure import (
    mask_centre,
    save_mask_panel,
)
from models_genesis_tf.imaging.postprocessing import Postprocessing
from models_genesis_tf.imaging.volumes import new_volume
from models_genesis_tf.phantoms.dicom_series import SeriesNames, write_series
from tests.prediction_models import (
    LIMIT,
    PATCH,
    mean_model,
    random_scan,
    stored,
    three_class_model,
    thresholding_model,
    write_scan,
)
from tests.test_task_geometry import ORDERS

TILTED = np.array([[0.96, -0.28, 0], [0.28 * 0.8, 0.96 * 0.8, -0.6]])
DIRECTION = np.vstack([TILTED, np.cross(*TILTED)])


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return Predictor(thresholding_model(tmp_path_factory.mktemp("m") / "m.keras"))


def _segment(predictor, path, output, probabilities=False, **cleaning):
    options = Options(probabilities, Postprocessing(**cleaning))
    return list(segment_scans(predictor, str(path), str(output), options))


# Geometry


@pytest.mark.parametrize("order", ORDERS)
def test_a_thresholding_model_gives_the_thresholded_scan_however_it_is_stored(
    predictor, tmp_path, order
):
    scan = write_scan(
        tmp_path / "s.nii.gz", random_scan(), direction=DIRECTION, order=order
    )
    (mask,) = _segment(predictor, scan, tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(stored(mask), stored(scan) > LIMIT)
    assert stored(mask).dtype == np.uint8
    read, given = sitk.ReadImage(str(mask)), sitk.ReadImage(str(scan))
    np.testing.assert_allclose(read.GetSpacing(), given.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(read.GetOrigin(), given.GetOrigin(), rtol=1e-6)
    np.testing.assert_allclose(read.GetDirection(), given.GetDirection(), atol=1e-6)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"])
def test_the_suffix_chooses_the_format_and_nothing_else_is_left(
    predictor, tmp_path, suffix
):
    scan = write_scan(tmp_path / "s.nrrd", random_scan(), direction=DIRECTION)
    out = tmp_path / "out"
    (mask,) = _segment(predictor, scan, out / f"m{suffix}")
    np.testing.assert_array_equal(stored(mask), stored(scan) > LIMIT)
    read, given = sitk.ReadImage(str(mask)), sitk.ReadImage(str(scan))
    np.testing.assert_allclose(read.GetDirection(), given.GetDirection(), atol=1e-6)
    names = {f"m{suffix}"} | ({"m.raw"} if suffix == ".mhd" else set())
    assert {path.name for path in out.iterdir()} == names


def test_a_dicom_series_and_its_nifti_twin_give_the_same_mask(predictor, tmp_path):
    array = random_scan()
    volume = new_volume(array, (0.7, 0.9, 1.6), (-61.0, 33.0, -220.0))
    uids = [f"1.2.3.4.{k}" for k in range(array.shape[2])]
    names = SeriesNames("P1", "1.2.3", "1.2.3.4", "1.2.5", 1, uids)
    series = tmp_path / "series"
    series.mkdir()
    write_series(series, volume, names)
    twin = write_scan(tmp_path / "twin.nii.gz", array)
    (first,) = _segment(predictor, series, tmp_path / "out")
    (second,) = _segment(predictor, twin, tmp_path / "out")
    assert first.name == "series_mask.nii.gz" and second.name == "twin_mask.nii.gz"
    expected = (array > LIMIT).T
    one, other = sitk.ReadImage(str(first)), sitk.ReadImage(str(second))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(one), expected)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(other), expected)
    np.testing.assert_allclose(one.GetOrigin(), other.GetOrigin(), rtol=1e-6)
    np.testing.assert_allclose(one.GetSpacing(), other.GetSpacing(), rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("facts", [{"spacing": [1.3, 1.1, 1.2]}, {"in_plane_size": 20}])
def test_resampled_predictions_lie_on_the_scans_own_grid(tmp_path, axis, facts):
    # A ramp stays a ramp under linear interpolation; it crosses 0 HU half-way.
    shape = (26, 22, 18)
    ramp = np.linspace(-500, 500, shape[axis])
    sides = [-1 if k == axis else 1 for k in range(3)]
    array = np.broadcast_to(ramp.reshape(sides), shape).astype(np.float32)
    scan = write_scan(tmp_path / "s.nii.gz", array)
    model = thresholding_model(tmp_path / "m.keras", 0.0, 1.0, **facts)
    (mask,) = _segment(Predictor(model), scan, tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(stored(mask).T, array > 0)


# Outputs


def test_the_threshold_of_the_file_is_that_of_the_mask(tmp_path):
    array = random_scan()
    scan = write_scan(tmp_path / "s.nii.gz", array)
    # The sigmoid of 10 (v - 100.5) / 2000 is above 0.8 from ln 4 * 200 HU on.
    model = thresholding_model(tmp_path / "m.keras", slope=10.0, threshold=0.8)
    (mask,) = _segment(Predictor(model), scan, tmp_path / "mask.nii.gz")
    limit = LIMIT + 200 * np.log(4)
    np.testing.assert_array_equal(stored(mask).T, array > limit)


def test_probabilities_of_one_output_are_one_float_image(tmp_path):
    array = random_scan()
    scan = write_scan(tmp_path / "s.nii.gz", array)
    predictor = Predictor(thresholding_model(tmp_path / "m.keras", slope=10.0))
    (path,) = _segment(predictor, scan, tmp_path / "out", probabilities=True)
    assert path.name == "s_probability.nii.gz"
    expected = 1 / (1 + np.exp(-10 * (array - LIMIT) / 2000))
    assert stored(path).dtype == np.float32
    np.testing.assert_allclose(stored(path).T, expected, atol=1e-5)


def test_several_classes_make_one_label_map_or_one_file_of_each(tmp_path):
    array = random_scan()
    scan = write_scan(tmp_path / "s.nii.gz", array)
    predictor = Predictor(three_class_model(tmp_path / "m.keras"))
    (mask,) = _segment(predictor, scan, tmp_path / "m.nii.gz")
    expected = (array > -200).astype(int) + (array > 200)
    clear = np.abs(np.abs(array) - 200) > 0  # at -200 and 200 themselves all is even
    np.testing.assert_array_equal(stored(mask).T[clear], expected[clear])
    files = _segment(predictor, scan, tmp_path / "p.mha", probabilities=True)
    names = ["p_none.mha", "p_soft_tissue.mha", "p_bone.mha"]
    assert [path.name for path in files] == names
    outputs = np.stack([stored(path).T for path in files], -1)
    np.testing.assert_allclose(outputs.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(outputs.argmax(-1)[clear], expected[clear])


def test_channels_are_files_divided_by_commas(tmp_path):
    first, second = random_scan(1), random_scan(2)
    paths = [
        write_scan(tmp_path / f"{k}.nii.gz", array)
        for k, array in enumerate((first, second))
    ]
    model = thresholding_model(
        tmp_path / "m.keras", channels=2, modalities=["t1", "flair"]
    )
    predictor = Predictor(model)
    text = ",".join(map(str, paths))
    (mask,) = _segment(predictor, text, tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(stored(mask).T, first > LIMIT)
    for wrong in (paths[0], tmp_path):
        with pytest.raises(InputError, match=r"each channel .*\(t1, flair\)"):
            _segment(predictor, wrong, tmp_path / "other")


def test_small_pieces_and_all_but_the_largest_are_removed(predictor, tmp_path):
    array = np.full((26, 22, 18), -500, np.int16)
    array[2:5, 2:5, 2:5] = array[10:12, 10:12, 10:12] = array[20, 20, 16] = 500
    scan = write_scan(tmp_path / "s.nii.gz", array, spacing=(1, 1, 2))

    def voxels(name: str, **options) -> int:
        (mask,) = _segment(predictor, scan, tmp_path / f"{name}.nii.gz", **options)
        return int(stored(mask).sum())

    assert voxels("all") == 27 + 8 + 1
    assert voxels("small", min_size_mm3=3.0) == 27 + 8
    assert voxels("limit", min_size_mm3=16.0) == 27 + 8
    assert voxels("above", min_size_mm3=17.0) == 27
    assert voxels("largest", largest_component=True) == 27


# Test-time augmentation


def test_a_model_that_flips_leave_as_it_is_says_the_same_with_augmentation(tmp_path):
    scan = write_scan(tmp_path / "s.nii.gz", random_scan())
    model = thresholding_model(tmp_path / "m.keras", slope=10.0)
    plain, augmented = Predictor(model), Predictor(model, True)
    arrays = plain.read([scan])
    labels, outputs = plain.segment(arrays, keep_probabilities=True)
    same_labels, same = augmented.segment(arrays, keep_probabilities=True)
    np.testing.assert_array_equal(same_labels, labels)
    np.testing.assert_allclose(same, outputs, atol=1e-6)


def test_augmentation_is_the_mean_over_all_eight_flips(rng):
    windows = rng.random((2, 3, 4, 5, 1), np.float32)
    weights = rng.random((3, 4, 5, 1), np.float32)
    flips = [
        np.flip(weights, axes)
        for count in range(4)
        for axes in itertools.combinations(range(3), count)
    ]
    assert len(flips) == 8
    means = over_flips(lambda x: x * weights, "segmentation")(windows)
    np.testing.assert_allclose(means, windows * np.mean(flips, axis=0), rtol=1e-5)
    sums = over_flips(lambda x: (x * weights).sum((1, 2, 3)), "classification")(windows)
    expected = (windows * np.mean(flips, axis=0)).sum((1, 2, 3))
    np.testing.assert_allclose(sums, expected, rtol=1e-5)


# Classification


def _rows(path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_scan_is_classified_by_the_patch_in_its_middle(tmp_path):
    array = np.full((26, 22, 18), -1000, np.int16)
    array[5:21, 3:19, 5:13] = 600  # all of the patch, which is 0.8 then
    write_scan(tmp_path / "scans" / "b.nii.gz", array)
    write_scan(tmp_path / "scans" / "a.nii.gz", np.full_like(array, -1000))
    predictor = Predictor(mean_model(tmp_path / "m.keras"))
    output = str(tmp_path / "p.csv")
    (path,) = classify_scans(predictor, str(tmp_path / "scans"), output, None, False)
    header, *rows = _rows(path)
    assert header == ["scan", "probability"]
    assert [name for name, _ in rows] == ["a", "b"]
    expected = [1 / (1 + np.exp(1)), 1 / (1 + np.exp(-0.6))]
    np.testing.assert_allclose([float(p) for _, p in rows], expected, rtol=1e-5)


def test_several_classes_have_a_column_each(tmp_path):
    scan = write_scan(tmp_path / "s.nii.gz", np.full((26, 22, 18), 0, np.int16))
    predictor = Predictor(mean_model(tmp_path / "m.keras", classes=3))
    output = str(tmp_path / "p.csv")
    (path,) = classify_scans(predictor, str(scan), output, None, False)
    header, row = _rows(path)
    assert header[1:] == [f"probability_class {k}" for k in range(3)]
    powers = np.exp([0, 0.5, 1.0])
    np.testing.assert_allclose(np.float64(row[1:]), powers / powers.sum(), rtol=1e-5)


@pytest.mark.parametrize("order", ["LPS", "RAS", "SAR"])
def test_candidates_are_classified_at_their_places_in_the_world(tmp_path, order):
    array = np.full((40, 40, 30), -1000, np.int16)
    x, y, z = PATCH
    array[4 : 4 + x, 20 : 20 + y, 15 : 15 + z] = 600
    scan = tmp_path / "scans" / "1.2.3.nii.gz"
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing((0.7, 0.9, 1.6))
    image.SetOrigin((-61.0, 33.0, -220.0))
    image.SetDirection(DIRECTION.ravel().tolist())
    write_scan(scan, array, direction=DIRECTION, order=order)
    middle = (4 + (x - 1) / 2, 20 + (y - 1) / 2, 15 + (z - 1) / 2)
    places = [
        image.TransformContinuousIndexToPhysicalPoint(voxel)
        for voxel in (middle, (30.0, 8.0, 5.0))
    ]
    table = tmp_path / "candidates.csv"
    lines = ["seriesuid,coordX,coordY,coordZ,class"]
    lines += [",".join(["1.2.3", *map(repr, place), "0"]) for place in places]
    table.write_text("\n".join([*lines, "9.9,0,0,0,1"]) + "\n", encoding="utf-8")
    predictor = Predictor(mean_model(tmp_path / "m.keras"))
    output = str(tmp_path / "p.csv")
    (path,) = classify_scans(
        predictor, str(scan.parent), output, str(table), overwrite=False
    )
    header, *rows = _rows(path)
    assert header == ["seriesuid", "coordX", "coordY", "coordZ", "probability"]
    np.testing.assert_allclose([np.float64(row[1:4]) for row in rows], places)
    expected = [1 / (1 + np.exp(-0.6)), 1 / (1 + np.exp(1))]
    found = [float(row[4]) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-3)  # the scan is float16
    submission = read_submission(path, "submission")
    assert [one.series for one in submission] == ["1.2.3"] * 2
    assert [one.probability for one in submission] == found


def test_candidates_that_are_wrong_are_named(tmp_path):
    scan = write_scan(tmp_path / "s.nii.gz", random_scan())
    predictor = Predictor(mean_model(tmp_path / "m.keras"))
    table = tmp_path / "c.csv"
    for row, rule in (
        ("other,1,2,3", "--candidates names scans of --input as seriesuid"),
        ("s,1,x,3", r"coordinates are numbers, in mm\. Received: .* row 2: 1, x, 3"),
        ("s,1,nan,3", "coordinates are numbers, in mm"),
        ("s,900,2,3", "a place lies inside its scan"),
    ):
        text = f"seriesuid,coordX,coordY,coordZ\n{row}\n"
        table.write_text(text, encoding="utf-8")
        output = str(tmp_path / "p.csv")
        with pytest.raises(InputError, match=rule):
            list(classify_scans(predictor, str(scan), output, str(table), False))
    assert not (tmp_path / "p.csv").exists()


# Facts and figures


def test_facts_are_those_of_the_file(tmp_path):
    path = thresholding_model(tmp_path / "m.keras", spacing=[1.0, 1.0, 2.5])
    facts = read_facts(path)
    assert facts.classes == ("background", "bright") and facts.num_outputs == 1
    assert facts.spacing == (1.0, 1.0, 2.5) and facts.patch_size == PATCH
    assert read_facts(three_class_model(path)).num_outputs == 3


def test_a_masks_centre_is_its_mean_place_or_the_middle():
    labels = np.zeros((9, 8, 7), np.uint8)
    assert mask_centre(labels) == (4, 4, 3)
    labels[1:4, 6, 2] = 2
    labels[2, 6, 2] = 1
    assert mask_centre(labels) == (2, 6, 2)


def test_the_preview_shows_the_contour_of_the_mask(tmp_path):
    from matplotlib.image import imread

    image = np.full((20, 30, 10), 0.3, np.float32)
    labels = np.zeros(image.shape, np.uint8)
    colours = {}
    for name, box in (("empty", slice(0)), ("full", slice(None))):
        labels[box] = 1
        path = tmp_path / f"{name}.png"
        save_mask_panel(path, image, labels, (1.0, 1.0, 2.0))
        colours[name] = np.ptp(imread(path)[..., :3], axis=-1).max()
    assert colours["empty"] == 0  # grey only
    assert colours["full"] > 0.2  # its contour runs along the scan's edge
