"""The set of abdomens: LiTS 2017's names, labels and orientations."""

import itertools
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import read_volume
from models_genesis_tf.phantoms import lits
from models_genesis_tf.phantoms.abdomen import Abdomen, draw_abdomen
from models_genesis_tf.phantoms.marker import is_complete, is_phantom
from tests.written_files import contents


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Three real cases."""
    folder = tmp_path_factory.mktemp("lits")
    lits.write(folder, 3, seed=4)
    return folder


def _small(rng: np.random.Generator) -> Abdomen:
    """A scan that takes no time; three of its voxels stand out, a liver at each."""
    labels = np.zeros((6, 5, 4), np.uint8)
    labels[1, 1, 1] = labels[4, 3, 2] = 1
    labels[4, 1, 1] = 2
    array = (100 * labels).astype(np.int16)
    return Abdomen(array, labels, (2.0, 2.5, 3.0 + float(rng.random())))


@pytest.fixture
def small_scans(monkeypatch):
    monkeypatch.setattr(lits, "draw_abdomen", _small)


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Array, matrix from voxels to RAS and type, read by the NIfTI-1 specification."""
    content = path.read_bytes()
    assert struct.unpack_from("<i", content, 0)[0] == 348
    assert content[344:348] == b"n+1\0"
    rank, *sides = struct.unpack_from("<8h", content, 40)
    assert rank == 3
    kind = struct.unpack_from("<h", content, 70)[0]
    start = int(struct.unpack_from("<f", content, 108)[0])
    assert struct.unpack_from("<h", content, 254)[0] > 0  # sform_code
    matrix = np.array(struct.unpack_from("<12f", content, 280)).reshape(3, 4)
    dtype = {2: np.uint8, 4: np.int16}[kind]
    array = np.frombuffer(content, dtype, offset=start)
    return array.reshape(sides[:3], order="F"), matrix, kind


def test_every_case_has_a_volume_and_a_segmentation(written):
    names = {f"{kind}-{n}.nii" for kind in ("volume", "segmentation") for n in range(3)}
    assert set(contents(written)) == names | {"phantom.json"}
    assert is_complete(written) and is_phantom(written / "volume-0.nii")
    facts = json.loads((written / "phantom.json").read_text(encoding="utf-8"))
    assert facts == {"dataset": "lits", "cases": 3, "seed": 4, "complete": True}


def test_volumes_are_int16_and_segmentations_uint8_on_one_grid(written):
    for case in range(3):
        volume, matrix, kind = _read_nifti(written / f"volume-{case}.nii")
        labels, own, label_kind = _read_nifti(written / f"segmentation-{case}.nii")
        assert (kind, label_kind) == (4, 2)
        assert volume.shape == labels.shape
        np.testing.assert_array_equal(matrix, own)
        assert {0, 1} <= set(np.unique(labels)) <= {0, 1, 2}
        assert volume.min() < -900 and volume.max() > 300


def test_scans_read_as_they_were_drawn(written):
    for case in range(3):
        drawn = draw_abdomen(np.random.default_rng([4, 17, case]))
        volume = read_volume(written / f"volume-{case}.nii")
        labels = read_volume(written / f"segmentation-{case}.nii")
        np.testing.assert_array_equal(volume.array, drawn.array)
        np.testing.assert_array_equal(labels.array, drawn.labels)
        np.testing.assert_allclose(volume.spacing, drawn.spacing, rtol=1e-6)
        assert volume.origin == labels.origin


def test_the_header_tells_where_each_voxel_lies(small_scans, tmp_path):
    lits.write(tmp_path, 40)
    for case in range(40):
        labels, matrix, _ = _read_nifti(tmp_path / f"segmentation-{case}.nii")
        spacing = read_volume(tmp_path / f"segmentation-{case}.nii").spacing
        lesion = matrix[:, :3] @ np.argwhere(labels == 2)[0]
        places = [matrix[:, :3] @ voxel - lesion for voxel in np.argwhere(labels == 1)]
        places.sort(key=lambda place: place[2])
        # The drawn steps in LPS, of which NIfTI turns x and y round.
        expected = np.array([(-3, 0, 0), (0, 2, 1)]) * spacing * (-1, -1, 1)
        np.testing.assert_allclose(places, expected, atol=1e-4)


def test_stored_orientations_differ(small_scans, tmp_path):
    lits.write(tmp_path, 40)
    grids = [read_volume(tmp_path / f"volume-{n}.nii").own_grid for n in range(40)]
    assert {grid.flipped for grid in grids} == set(
        itertools.product((False, True), repeat=3)
    )
    permuted = [grid for grid in grids if grid.axes != (0, 1, 2)]
    assert 2 <= len(permuted) <= 12
    assert len({grid.axes for grid in permuted}) > 1


def test_a_case_does_not_depend_on_their_number(small_scans, tmp_path):
    lits.write(tmp_path / "many", 6, seed=2)
    lits.write(tmp_path / "few", 2, seed=2)
    many, few = contents(tmp_path / "many"), contents(tmp_path / "few")
    files = [name for name in few if name.endswith(".nii")]
    assert len(files) == 4 and all(few[name] == many[name] for name in files)


def test_another_seed_gives_other_cases(small_scans, tmp_path):
    for seed in (1, 2):
        lits.write(tmp_path / str(seed), 1, seed=seed)
    first, second = (contents(tmp_path / str(seed)) for seed in (1, 2))
    assert first["volume-0.nii"] != second["volume-0.nii"]


def test_a_set_is_continued_but_not_mixed_with_another(small_scans, tmp_path):
    lits.write(tmp_path, 1)
    lits.write(tmp_path, 2)
    assert len(list(tmp_path.glob("volume-*.nii"))) == 2
    with pytest.raises(
        InputError, match="phantoms go to an empty folder.*lits, seed 1"
    ):
        lits.write(tmp_path, 2, seed=1)
