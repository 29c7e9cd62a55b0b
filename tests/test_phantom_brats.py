"""The set of brains: the names that BraTS gave its cases over the years."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import read_volume
from models_genesis_tf.phantoms import brats
from models_genesis_tf.phantoms.brain import SIZE, SPACING, Brain
from models_genesis_tf.phantoms.marker import is_complete, is_phantom
from tests.written_files import contents

PARTS = ("flair", "seg", "t1", "t1ce", "t2")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """One real case."""
    folder = tmp_path_factory.mktemp("brats")
    brats.write(folder, 1, seed=4)
    return folder


def _small(rng: np.random.Generator, grade: str) -> Brain:
    """A brain that takes no time, whose labels tell the grade."""
    images = {
        name: rng.integers(1, 900, (5, 4, 3)).astype(np.int16)
        for name in ("flair", "t1", "t1ce", "t2")
    }
    label = 4 if grade == "HGG" else 1
    return Brain(images, np.full((5, 4, 3), label, np.uint8), (1.5, 1.5, 1.5))


@pytest.fixture
def small_brains(monkeypatch):
    monkeypatch.setattr(brats, "draw_brain", _small)


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        name: data for name, data in contents(folder).items() if name != "phantom.json"
    }


def test_a_case_has_four_modalities_and_labels_on_one_grid(written):
    case = written / "HGG" / "Brats18_Phantom_000_1"
    names = sorted(path.name for path in case.iterdir())
    assert names == [f"Brats18_Phantom_000_1_{part}.nii.gz" for part in PARTS]
    grids = set()
    for name in names:
        image = sitk.ReadImage(case / name)
        kind = "8-bit unsigned" if "seg" in name else "16-bit signed"
        assert image.GetPixelIDTypeAsString() == f"{kind} integer"
        grids.add((image.GetSize(), image.GetSpacing(), image.GetOrigin()))
        assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert grids == {(SIZE, SPACING, (0, -127 * 1.5625, 0))}


def test_labels_are_those_of_the_challenge_and_images_are_stripped(written):
    case = written / "HGG" / "Brats18_Phantom_000_1"
    labels = read_volume(case / f"{case.name}_seg.nii.gz").array
    assert set(np.unique(labels)) == {0, 1, 2, 4}
    for part in ("flair", "t1", "t1ce", "t2"):
        array = read_volume(case / f"{case.name}_{part}.nii.gz").array
        assert 0.3 < np.mean(array == 0) < 0.85
        assert (array[labels > 0] > 0).all()


def test_the_set_is_marked(written):
    assert is_complete(written)
    assert is_phantom(written / "HGG" / "Brats18_Phantom_000_1")
    facts = json.loads((written / "phantom.json").read_text(encoding="utf-8"))
    expected = {"dataset": "brats2018", "cases": 1, "seed": 4, "complete": True}
    assert facts == expected


@pytest.mark.parametrize(
    ("naming", "names"),
    [
        (
            "2018",
            (
                "HGG/Brats18_Phantom_000_1/Brats18_Phantom_000_1_",
                "HGG/Brats18_Phantom_001_1/Brats18_Phantom_001_1_",
                "HGG/Brats18_Phantom_002_1/Brats18_Phantom_002_1_",
                "LGG/Brats18_Phantom_003_1/Brats18_Phantom_003_1_",
                "HGG/Brats18_Phantom_004_1/Brats18_Phantom_004_1_",
            ),
        ),
        (
            "2020",
            tuple(
                f"BraTS20_Training_00{n}/BraTS20_Training_00{n}_" for n in range(1, 6)
            ),
        ),
        (
            "2021",
            tuple(f"BraTS2021_0000{n}/BraTS2021_0000{n}_" for n in range(5)),
        ),
    ],
)
def test_nifti_names_are_those_of_the_challenges(naming, names, small_brains, tmp_path):
    brats.write(tmp_path, 5, naming=naming)
    expected = {f"{name}{part}.nii.gz" for name in names for part in PARTS}
    assert set(_contents(tmp_path)) == expected


def test_names_of_2013_are_those_of_its_first_patients(small_brains, tmp_path):
    brats.write(tmp_path, 5, naming="2013")
    names = set(_contents(tmp_path))
    assert len(names) == 25
    assert {
        "HG/0001/VSD.Brain.XX.O.MR_Flair/VSD.Brain.XX.O.MR_Flair.684.mha",
        "HG/0001/VSD.Brain.XX.O.MR_T1/VSD.Brain.XX.O.MR_T1.685.mha",
        "HG/0001/VSD.Brain.XX.O.MR_T1c/VSD.Brain.XX.O.MR_T1c.686.mha",
        "HG/0001/VSD.Brain.XX.O.MR_T2/VSD.Brain.XX.O.MR_T2.687.mha",
        "HG/0001/VSD.Brain_3more.XX.XX.OT/VSD.Brain_3more.XX.XX.OT.6560.mha",
        "HG/0002/VSD.Brain_3more.XX.XX.OT/VSD.Brain_3more.XX.XX.OT.6562.mha",
    } <= names
    cases = {tuple(name.split("/")[:2]) for name in names}
    assert cases == {("HG", f"000{n}") for n in range(1, 5)} | {("LG", "0001")}
    numbers = [name.rsplit(".", 2)[1] for name in names]
    assert len(set(numbers)) == 25


@pytest.mark.parametrize("naming", brats.NAMINGS)
def test_every_naming_holds_the_same_cases(naming, small_brains, tmp_path):
    brats.write(tmp_path, 4, naming=naming)
    found = [
        read_volume(tmp_path / name).array
        for name in _contents(tmp_path)
        if "seg" in name or "OT" in name
    ]
    assert sorted(int(labels[0, 0, 0]) for labels in found) == [1, 4, 4, 4]


def test_a_case_does_not_depend_on_their_number(small_brains, tmp_path):
    brats.write(tmp_path / "many", 6, seed=2)
    brats.write(tmp_path / "few", 2, seed=2)
    many, few = _contents(tmp_path / "many"), _contents(tmp_path / "few")
    assert len(few) == 10 and all(few[name] == many[name] for name in few)


def test_another_seed_gives_other_cases(small_brains, tmp_path):
    for seed in (1, 2):
        brats.write(tmp_path / str(seed), 1, seed=seed)
    first, second = (_contents(tmp_path / str(seed)) for seed in (1, 2))
    assert set(first) == set(second)
    assert all(first[name] != second[name] for name in first if "seg" not in name)


def test_an_unknown_naming_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        brats.write(tmp_path / "set", 1, naming="2019")
    assert str(error.value) == (
        "the names of BraTS are those of 2013, 2018, 2020, 2021. Received: 2019"
    )
    assert not (tmp_path / "set").exists()


def test_namings_are_not_mixed_in_a_folder(small_brains, tmp_path):
    brats.write(tmp_path, 1)
    with pytest.raises(InputError, match="phantoms go to an empty folder.*brats2018"):
        brats.write(tmp_path, 1, naming="2021")
