"""Radiographs lie on disk as ChestX-ray14 does, and show what the table says."""

import collections
import csv
import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from models_genesis_tf.errors import InputError
from models_genesis_tf.phantoms import chestxray, radiograph
from models_genesis_tf.phantoms.chest_body import heart_radius
from models_genesis_tf.phantoms.data_sets import DATA_SETS
from models_genesis_tf.phantoms.marker import is_complete, is_phantom
from models_genesis_tf.phantoms.painting import make_canvas
from models_genesis_tf.phantoms.xray_findings import FINDINGS, Trunk, paint_findings
from tests.written_files import contents

# As Wang et al. name them in "ChestX-ray8", CVPR 2017.
EIGHT = {
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration"),
    *("Mass", "Nodule", "Pneumonia", "Pneumothorax"),
}
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
    "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
LISTS = ("train_val_list.txt", "test_list.txt")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Two real patients."""
    folder = tmp_path_factory.mktemp("chestxray")
    chestxray.write(folder, 2, seed=3)
    return folder


@pytest.fixture(scope="module")
def patient() -> Trunk:
    return radiograph.draw_patient(np.random.default_rng(5))


@pytest.fixture
def blank_images(monkeypatch):
    """Radiographs that take no time."""

    def draw(rng, patient, findings):
        return rng.integers(0, 256, (3, 2)).astype(np.uint8)

    monkeypatch.setattr(chestxray, "draw_patient", lambda rng: None)
    monkeypatch.setattr(chestxray, "draw_radiograph", draw)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _rows(folder: Path) -> list[list[str]]:
    with (folder / "Data_Entry_2017.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))[1:]


def _findings(row: list[str]) -> set[str]:
    return set(row[1].split("|")) - {"No Finding"}


def _with(patient: Trunk, finding: str, seed: int) -> Trunk:
    """The same patient with a finding."""
    canvas = replace(patient.canvas, values=patient.canvas.values.copy())
    changed = replace(patient, canvas=canvas, lungs=patient.lungs.copy())
    paint_findings(changed, [finding], np.random.default_rng(seed))
    return changed


def test_the_table_is_that_of_the_real_set(written):
    text = (written / "Data_Entry_2017.csv").read_bytes().decode("utf-8")
    header, *lines = text.splitlines()
    assert header == HEADER
    pattern = (
        r"\d{8}_\d{3}\.png,([A-Z][A-Za-z]+(\|[A-Z][a-z]+)*|No Finding),\d+,\d+,\d\d,"
        r"[FM],PA,2048,2048,0\.168,0\.168,"
    )
    assert lines and all(re.fullmatch(pattern, line) for line in lines)


def test_names_count_patients_and_their_images(blank_images, tmp_path):
    chestxray.write(tmp_path, 7)
    by_patient = collections.defaultdict(list)
    for name, _, follow_up, patient, *_ in _rows(tmp_path):
        assert name == f"{int(patient):08d}_{int(follow_up):03d}.png"
        by_patient[patient].append(int(follow_up))
    assert list(by_patient) == [str(number) for number in range(1, 8)]
    assert all(found == list(range(len(found))) for found in by_patient.values())


def test_images_lie_as_the_archives_unpack(blank_images, tmp_path):
    chestxray.write(tmp_path, 11)
    for name, _, _, patient, *_ in _rows(tmp_path):
        folder = f"images_00{(int(patient) - 1) // 5 + 1}"
        assert (tmp_path / folder / "images" / name).is_file()
    images = [name for name in contents(tmp_path) if name.endswith(".png")]
    assert len(images) == len(_rows(tmp_path))
    assert {name.split("/")[0] for name in images} == {
        *("images_001", "images_002", "images_003")
    }


def test_nothing_else_is_there_but_the_marker(written):
    others = {name for name in contents(written) if not name.startswith("images_")}
    assert others == {"Data_Entry_2017.csv", *LISTS, "phantom.json"}
    facts = json.loads((written / "phantom.json").read_text(encoding="utf-8"))
    assert facts == {"dataset": "chestxray", "cases": 2, "seed": 3, "complete": True}
    assert all(is_phantom(path) for path in written.rglob("*.png"))


def test_images_are_grey_png_files_of_8_bits(written):
    for path in written.rglob("*.png"):
        content = path.read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR"
        # Width, height, bits and colour type, of which 0 is grey (PNG, section 11.2.2).
        assert struct.unpack(">IIBB", content[16:26]) == (256, 256, 8, 0)


def test_pictures_are_stored_as_they_were_drawn(monkeypatch, tmp_path):
    drawn = np.arange(6, dtype=np.uint8).reshape(3, 2)  # three to the right, two down
    monkeypatch.setattr(chestxray, "draw_patient", lambda rng: None)
    monkeypatch.setattr(chestxray, "draw_radiograph", lambda *arguments: drawn)
    chestxray.write(tmp_path, 1)
    path = tmp_path / "images_001" / "images" / "00000001_000.png"
    stored = sitk.ReadImage(str(path))
    assert stored.GetSize() == (3, 2)
    assert [stored[x, y] for x in range(3) for y in range(2)] == list(range(6))


def test_the_lists_part_the_images_by_patient(blank_images, tmp_path):
    chestxray.write(tmp_path, 25)
    parts = [_lines(tmp_path / name) for name in LISTS]
    names = [row[0] for row in _rows(tmp_path)]
    assert sorted(parts[0] + parts[1]) == sorted(names)
    patients = [{name.split("_")[0] for name in part} for part in parts]
    assert patients[0].isdisjoint(patients[1])
    assert [len(part) for part in patients] == [20, 5]


@pytest.mark.parametrize("cases", [2, 10])
def test_either_list_has_every_finding_and_images_without(
    blank_images, tmp_path, cases
):
    chestxray.write(tmp_path, cases)
    labels = {row[0]: row[1].split("|") for row in _rows(tmp_path)}
    for name in LISTS:
        found = {label for image in _lines(tmp_path / name) for label in labels[image]}
        assert found == EIGHT | {"No Finding"}


def test_every_patient_has_each_finding_once_on_four_images_or_more(
    blank_images, tmp_path
):
    chestxray.write(tmp_path, 40)
    by_patient = collections.defaultdict(list)
    for row in _rows(tmp_path):
        by_patient[row[3]].append(_findings(row))
    assert {len(images) for images in by_patient.values()} == {4, 5, 6, 7}
    for images in by_patient.values():
        found = collections.Counter(name for image in images for name in image)
        assert found == dict.fromkeys(EIGHT, 1)
        assert max(map(len, images)) <= 3
        assert [len(image) for image in images].count(0) in (1, 2)


def test_patients_do_not_depend_on_their_number_but_on_the_seed(blank_images, tmp_path):
    chestxray.write(tmp_path / "three", 3, seed=3)
    chestxray.write(tmp_path / "six", 6, seed=3)
    chestxray.write(tmp_path / "other", 3, seed=4)
    three, six = contents(tmp_path / "three"), contents(tmp_path / "six")
    assert all(six[name] == three[name] for name in three if name.endswith(".png"))
    rows = _rows(tmp_path / "three")
    assert _rows(tmp_path / "six")[: len(rows)] == rows
    for name in LISTS:
        lines = _lines(tmp_path / "three" / name)
        assert _lines(tmp_path / "six" / name)[: len(lines)] == lines
    assert _rows(tmp_path / "other") != rows


def test_a_second_attempt_writes_the_same(written, tmp_path):
    chestxray.write(tmp_path, 1, seed=3)
    first = contents(tmp_path)
    again = contents(written)
    images = [name for name in first if name.endswith(".png")]
    assert images and all(again[name] == first[name] for name in images)


def test_an_interrupted_set_has_no_table(monkeypatch, blank_images, tmp_path):
    chestxray.write(tmp_path, 1)

    def fail(rng):
        raise KeyboardInterrupt

    monkeypatch.setattr(chestxray, "draw_patient", fail)
    with pytest.raises(KeyboardInterrupt):
        chestxray.write(tmp_path, 2)
    assert not is_complete(tmp_path)
    left = {name for name in contents(tmp_path) if not name.startswith("images_")}
    assert left == {"phantom.json"}


def test_other_files_are_not_mixed_with_phantoms(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="phantoms go to an empty folder"):
        chestxray.write(tmp_path, 1)


def test_the_set_is_known_by_its_name():
    assert DATA_SETS["chestxray"].write is chestxray.write


def test_rays_lose_what_the_path_through_water_and_air_takes():
    canvas = make_canvas((3, 40, 2), (1.0, 2.5, 1.0), -1000.0)
    canvas.values[1] = 0.0  # 100 mm of water
    canvas.values[2, :20] = -500.0
    expected = np.array([0, 0.019 * 100, 0.019 * 25])
    np.testing.assert_allclose(
        radiograph.project(canvas), expected[:, None] + np.zeros(2), rtol=1e-5
    )


def test_a_picture_is_upright_and_seen_from_the_front(patient):
    images = [
        radiograph.draw_radiograph(np.random.default_rng(seed), patient, ())
        for seed in range(3)
    ]
    for image in images:
        assert image.dtype == np.uint8 and image.shape == (256, 256)
        lungs = np.median(image[50:80, 90:110]), np.median(image[170:195, 90:110])
        spine, belly = np.median(image[120:136, 60:200]), np.median(image[60:190, 240:])
        assert max(lungs) + 25 < min(spine, belly)
        beside = np.concatenate([image[:3, 200:], image[-3:, 200:]])  # air
        assert beside.max() < min(lungs) - 20
        # The heart's apex points to the patient's left, which is on the right.
        assert image[160, 145] > int(image[95, 145]) + 20


def test_drawing_leaves_the_patient_unchanged(patient):
    values, lungs = patient.canvas.values.copy(), patient.lungs.copy()
    rng = np.random.default_rng(0)
    first = radiograph.draw_radiograph(rng, patient, FINDINGS)
    np.testing.assert_array_equal(patient.canvas.values, values)
    np.testing.assert_array_equal(patient.lungs, lungs)
    second = radiograph.draw_radiograph(np.random.default_rng(0), patient, FINDINGS)
    np.testing.assert_array_equal(first, second)


def test_images_of_a_patient_differ_in_exposure(patient):
    means = [
        radiograph.draw_radiograph(np.random.default_rng(seed), patient, ()).mean()
        for seed in range(8)
    ]
    assert np.std(means) > 8


@pytest.mark.parametrize("finding", sorted(EIGHT))
def test_a_finding_takes_its_place_in_the_lungs_and_is_seen(patient, finding):
    usual, outside = radiograph.project(patient.canvas), ~patient.lungs
    for seed in range(2):
        changed = _with(patient, finding, seed)
        np.testing.assert_array_equal(
            changed.canvas.values[outside], patient.canvas.values[outside]
        )
        assert not (changed.lungs & outside).any()
        shadow = radiograph.project(changed.canvas) - usual
        if finding == "Pneumothorax":
            assert shadow.min() < -0.15
        else:
            assert shadow.max() > 0.12 and shadow.min() > -0.1


def test_an_effusion_lies_at_the_bottom_of_one_lung(patient):
    for seed in range(4):
        fluid = patient.lungs & ~_with(patient, "Effusion", seed).lungs
        side = np.sign(np.argwhere(fluid)[:, 0] - (fluid.shape[0] - 1) / 2)
        assert len(set(side)) == 1
        columns = fluid.any(2) & (patient.lungs.sum(2) > 20)
        lowest = patient.lungs.argmax(2)[columns]
        assert (fluid.argmax(2)[columns] == lowest).mean() > 0.95


def test_a_pneumothorax_is_air_around_a_smaller_lung(patient):
    for seed in range(4):
        changed = _with(patient, "Pneumothorax", seed)
        gap = patient.lungs & ~changed.lungs
        assert np.all(changed.canvas.values[gap] < -990)
        half = len(gap) // 2
        sides = [
            np.count_nonzero(changed.lungs[part])
            / np.count_nonzero(patient.lungs[part])
            for part in (slice(None, half), slice(half, None))
        ]
        assert max(sides) == 1 and 0.35 < min(sides) < 0.9


def test_a_large_heart_is_wider_than_all_normal_ones(patient):
    canvas = patient.canvas
    largest = replace(patient.body, heart=1.12)  # of those that draw_body draws
    inside = heart_radius(canvas.x, canvas.y, canvas.z, largest) < 1
    for seed in range(4):
        lost = patient.lungs & ~_with(patient, "Cardiomegaly", seed).lungs
        for side in (-1, 1):
            reach = np.max((side * canvas.x)[lost.any((1, 2))])
            assert reach > np.max((side * canvas.x)[inside.any((1, 2))]) + 2


def _extents(patient: Trunk, finding: str, seed: int) -> list[float]:
    """Diameters of balls of the volumes of what is new and dense, mm."""
    changed = _with(patient, finding, seed)
    dense = changed.canvas.values - patient.canvas.values > 300
    pieces, count = ndimage.label(dense)
    volumes = np.bincount(pieces.ravel())[1:] * np.prod(patient.canvas.spacing)
    return [float((6 * v / np.pi) ** (1 / 3)) for v in volumes if v > 200]


def test_a_mass_is_larger_than_3_cm_and_nodules_are_smaller(patient):
    for seed in range(3):
        assert max(_extents(patient, "Mass", seed)) > 30
        assert 8 < max(_extents(patient, "Nodule", seed)) < 30


@pytest.mark.slow
def test_brightness_tells_no_finding(tmp_path):
    chestxray.write(tmp_path, 40)
    images, labels = [], []
    for row in _rows(tmp_path):
        path = next(tmp_path.glob(f"images_*/images/{row[0]}"))
        images.append(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
        labels.append(_findings(row))
    halves = np.array(images, float).reshape(-1, 2, 128, 2, 128).mean((2, 4))
    regions = [*halves.reshape(-1, 4).T, halves.mean((1, 2)), np.std(images, (1, 2))]
    for finding in EIGHT:
        present = [finding in found for found in labels]
        for values in regions:
            assert 0.25 < roc_auc_score(present, values) < 0.75, finding
