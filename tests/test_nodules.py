"""The set of nodules: a manifest as fine-tuning reads it, cases that follow a seed."""

import collections
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import read_volume
from models_genesis_tf.phantoms import nodules
from models_genesis_tf.phantoms.lesion import Lesion
from models_genesis_tf.phantoms.marker import is_complete, is_phantom
from models_genesis_tf.tasks.custom import read_manifest
from tests.written_files import contents, read_rows


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Twelve real cases."""
    folder = tmp_path_factory.mktemp("nodules")
    nodules.write(folder, 12, seed=3)
    return folder


@pytest.fixture
def blank_lesions(monkeypatch):
    """Patches that take no time."""

    def draw(rng, patient, shape):
        array = rng.integers(-1000, 400, (4, 3, 2)).astype(np.int16)
        return Lesion(array, array > -300, patient.spacing)

    monkeypatch.setattr(nodules, "draw_lesion", draw)


def _rows(folder: Path) -> list[dict[str, str]]:
    return read_rows(folder / "cases.csv")


def _patients(folder: Path) -> dict[str, set[str]]:
    """The patients of each part."""
    parts = collections.defaultdict(set)
    for row in _rows(folder):
        parts[row["split"]].add(row["patient"])
    return parts


def test_every_case_has_an_image_a_mask_and_a_row(written):
    rows = _rows(written)
    columns = ["image", "label", "patient", "split", "shape", "diameter_mm"]
    assert list(rows[0]) == columns and len(rows) == 12
    files = {row[name] for row in rows for name in ("image", "label")}
    assert len(files) == 24
    assert set(contents(written)) == files | {"cases.csv", "phantom.json"}


def test_masks_lie_on_the_grid_of_their_images(written):
    for row in _rows(written):
        image, mask = (
            sitk.ReadImage(written / row[name]) for name in ("image", "label")
        )
        assert image.GetPixelIDTypeAsString() == "16-bit signed integer"
        assert mask.GetPixelIDTypeAsString() == "8-bit unsigned integer"
        assert image.GetSize() == mask.GetSize() == (48, 48, 32)
        assert image.GetSpacing() == mask.GetSpacing()
        assert image.GetOrigin() == mask.GetOrigin()
        labels = sitk.GetArrayFromImage(mask)
        assert set(np.unique(labels)) == {0, 1}
        volume = labels.sum() * np.prod(mask.GetSpacing())
        diameter = (6 * volume / np.pi) ** (1 / 3)
        assert float(row["diameter_mm"]) == pytest.approx(diameter, abs=0.01)


def test_the_lesion_is_brighter_than_the_lung(written):
    for row in _rows(written):
        array = read_volume(written / row["image"]).array
        mask = read_volume(written / row["label"]).array > 0
        assert np.median(array[mask]) > np.percentile(array, 50) + 300


def test_fine_tuning_reads_the_manifest_for_both_kinds_of_task(written):
    manifest = read_manifest(written / "cases.csv", "segmentation")
    assert len(manifest.cases) == 12 and manifest.classes == ()
    manifest = read_manifest(written / "cases.csv", "classification", "shape")
    assert manifest.classes == ("smooth", "spiculated")
    assert {case.split for case in manifest.cases} == {"train", "valid", "test"}
    assert is_phantom(written / "cases.csv")


def test_scans_of_one_patient_have_one_spacing_those_of_others_another(written):
    spacings = collections.defaultdict(set)
    for row in _rows(written):
        spacings[row["patient"]].add(read_volume(written / row["image"]).spacing)
    assert len(spacings) == 11  # of twelve cases
    assert all(len(found) == 1 for found in spacings.values())
    assert len(set.union(*spacings.values())) == 11


@pytest.mark.parametrize("cases", [10, 11, 17, 40, 100])
def test_every_part_has_both_shapes_and_no_patient_of_another(
    cases, blank_lesions, tmp_path
):
    nodules.write(tmp_path, cases, seed=cases)
    rows = _rows(tmp_path)
    kinds = {(row["split"], row["shape"]) for row in rows}
    assert len(kinds) == 6
    parts = _patients(tmp_path)
    assert sum(map(len, parts.values())) == len(set.union(*parts.values()))
    shapes = collections.Counter(row["shape"] for row in rows)
    assert abs(shapes["smooth"] - shapes["spiculated"]) <= 1


def test_a_hundred_cases_give_forty_test_patients(blank_lesions, tmp_path):
    nodules.write(tmp_path, 100)
    sizes = {part: len(found) for part, found in _patients(tmp_path).items()}
    assert sizes == {"train": 42, "valid": 9, "test": 40}
    per_patient = collections.Counter(row["patient"] for row in _rows(tmp_path))
    assert collections.Counter(per_patient.values()) == {1: 82, 2: 9}


@pytest.mark.parametrize("cases", range(1, 10))
def test_few_cases_train_first(cases, blank_lesions, tmp_path):
    nodules.write(tmp_path, cases)
    parts = [row["split"] for row in _rows(tmp_path)]
    assert parts.count("train") >= max(parts.count("valid"), 1)
    assert len(set(parts)) == min(cases, 3) or cases == 2


def test_a_case_depends_on_their_number_by_its_split_alone(written, tmp_path):
    nodules.write(tmp_path, 3, seed=3)
    many, few = contents(written), contents(tmp_path)
    files = [name for name in few if name.endswith(".nii.gz")]
    assert len(files) == 6 and all(few[name] == many[name] for name in files)
    for one, other in zip(_rows(tmp_path), _rows(written), strict=False):
        assert one | {"split": ""} == other | {"split": ""}


def test_another_seed_gives_other_cases_patients_and_split(blank_lesions, tmp_path):
    for seed in (1, 2):
        nodules.write(tmp_path / str(seed), 20, seed)
    one, other = _rows(tmp_path / "1"), _rows(tmp_path / "2")
    for column in ("image", "label", "patient"):
        assert not {row[column] for row in one} & {row[column] for row in other}
    scans = [
        {path.read_bytes() for path in (tmp_path / str(seed) / "images").iterdir()}
        for seed in (1, 2)
    ]
    assert not scans[0] & scans[1]
    assert [row["split"] for row in one] != [row["split"] for row in other]


def test_an_interrupted_set_has_no_table_and_is_completed_by_another_try(
    blank_lesions, tmp_path, monkeypatch
):
    nodules.write(tmp_path / "whole", 5)
    nodules.write(tmp_path / "broken", 5)
    draw = nodules.draw_lesion

    def interrupted(rng, patient, shape):
        if len(list(tmp_path.glob("broken/images/*"))) == 5:
            raise KeyboardInterrupt
        return draw(rng, patient, shape)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(nodules, "draw_lesion", interrupted)
        nodules.write(tmp_path / "broken", 7)
    assert not (tmp_path / "broken" / "cases.csv").exists()
    assert not is_complete(tmp_path / "broken")
    assert is_phantom(tmp_path / "broken" / "images")
    nodules.write(tmp_path / "broken", 7)
    nodules.write(tmp_path / "seven", 7)
    assert contents(tmp_path / "broken") == contents(tmp_path / "seven")


def test_a_manifest_of_the_user_s_own_is_not_overwritten(blank_lesions, tmp_path):
    (tmp_path / "cases.csv").write_text("image,label\n")
    with pytest.raises(InputError, match="empty folder.* Received: .* with cases.csv"):
        nodules.write(tmp_path, 2)
    assert (tmp_path / "cases.csv").read_text() == "image,label\n"
