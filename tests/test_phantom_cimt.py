"""Carotid images lie on disk in the documented form, and look as ultrasound does."""

import collections
import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from models_genesis_tf.errors import InputError
from models_genesis_tf.phantoms import cimt
from models_genesis_tf.phantoms.carotid import (
    LABELS,
    Artery,
    draw_artery,
    draw_echo,
    draw_frame,
)
from models_genesis_tf.phantoms.data_sets import DATA_SETS
from models_genesis_tf.phantoms.marker import is_complete, is_phantom
from tests.written_files import contents, read_rows

FLAT = Artery(
    pixel=0.125,
    diameter=6.0,
    widening=0.4,
    thickness=0.9,
    slope=0.0,
    phase=0.0,
    fork=0.8,
    head_left=False,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Three real patients."""
    folder = tmp_path_factory.mktemp("cimt")
    cimt.write(folder, 3, seed=3)
    return folder


@pytest.fixture
def blank_frames(monkeypatch):
    """Images that take no time."""

    def draw(rng, artery, label):
        return rng.integers(0, 256, (3, 2)).astype(np.uint8)

    monkeypatch.setattr(cimt, "draw_frame", draw)


def _rows(folder: Path) -> list[dict[str, str]]:
    return read_rows(folder / "images.csv")


def _frames(label: str, count: int, artery: Artery = FLAT) -> list[np.ndarray]:
    return [
        draw_frame(np.random.default_rng(seed), artery, label).astype(float)
        for seed in range(count)
    ]


def test_the_table_names_every_image_and_nothing_else_is_there(written):
    rows = _rows(written)
    assert list(rows[0]) == ["file", "patient", "label"]
    files = [row["file"] for row in rows]
    assert len(set(files)) == len(files)
    assert set(contents(written)) == {*files, "images.csv", "phantom.json"}
    for row in rows:
        folder, name = row["file"].split("/")
        assert folder == row["label"] and name.startswith(row["patient"] + "_")
    facts = json.loads((written / "phantom.json").read_text(encoding="utf-8"))
    assert facts == {"dataset": "cimt", "cases": 3, "seed": 3, "complete": True}
    assert all(is_phantom(written / file) for file in files)


def test_every_patient_has_four_to_six_images_of_each_class(blank_frames, tmp_path):
    cimt.write(tmp_path, 30)
    counts = collections.Counter(
        (row["patient"], row["label"]) for row in _rows(tmp_path)
    )
    patients = {patient for patient, _ in counts}
    assert patients == {f"Patient{number:05d}" for number in range(1, 31)}
    labels = ("bulb", "roi", "background")
    assert set(counts) == {(patient, label) for patient in patients for label in labels}
    assert set(counts.values()) == {4, 5, 6}


def test_images_are_grey_png_files_of_8_bits(written):
    for row in _rows(written):
        content = (written / row["file"]).read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR"
        # Width, height, bits and colour type, of which 0 is grey (PNG, section 11.2.2).
        assert struct.unpack(">IIBB", content[16:26]) == (128, 128, 8, 0)


def test_images_are_stored_as_they_were_drawn(written):
    rng = np.random.default_rng([3, 22, 0])
    artery = draw_artery(rng)
    own = [row for row in _rows(written) if row["patient"] == "Patient00001"]
    count = sum(row["label"] == "bulb" for row in own)
    assert rng.integers(4, 7) == count
    for row in own[:count]:
        stored = sitk.GetArrayFromImage(sitk.ReadImage(str(written / row["file"])))
        np.testing.assert_array_equal(stored.T, draw_frame(rng, artery, "bulb"))


def test_patients_do_not_depend_on_their_number_but_on_the_seed(blank_frames, tmp_path):
    cimt.write(tmp_path / "three", 3, seed=3)
    cimt.write(tmp_path / "five", 5, seed=3)
    cimt.write(tmp_path / "other", 3, seed=4)
    three, five = contents(tmp_path / "three"), contents(tmp_path / "five")
    assert all(five[name] == three[name] for name in three if name.endswith(".png"))
    rows = _rows(tmp_path / "three")
    assert _rows(tmp_path / "five")[: len(rows)] == rows
    assert contents(tmp_path / "other") != three


def test_a_second_attempt_writes_the_same(written, tmp_path):
    cimt.write(tmp_path, 1, seed=3)
    cimt.write(tmp_path, 3, seed=3)
    assert contents(tmp_path) == contents(written)


def test_an_interrupted_set_has_no_table(monkeypatch, blank_frames, tmp_path):
    cimt.write(tmp_path, 1)

    def fail(rng):
        raise KeyboardInterrupt

    monkeypatch.setattr(cimt, "draw_artery", fail)
    with pytest.raises(KeyboardInterrupt):
        cimt.write(tmp_path, 2)
    assert not is_complete(tmp_path) and not (tmp_path / "images.csv").exists()


def test_other_files_are_not_mixed_with_phantoms(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="phantoms go to an empty folder"):
        cimt.write(tmp_path, 1)


def test_the_set_is_known_by_its_name():
    assert DATA_SETS["cimt"].write is cimt.write


def test_speckle_is_rayleigh_distributed():
    shape = (400, 400)
    echo = draw_echo(
        np.random.default_rng(0), np.full(shape, 3.0), np.zeros(shape), 0.125
    )
    assert np.sqrt(np.mean(echo**2)) == pytest.approx(3.0, rel=0.02)
    # Of a Rayleigh distribution: mean / standard deviation, and two quantiles.
    assert echo.mean() / echo.std() == pytest.approx(1.913, rel=0.02)
    for share in (0.25, 0.9):
        expected = 3.0 * np.sqrt(-np.log(1 - share))
        assert np.quantile(echo, share) == pytest.approx(expected, rel=0.03)


def test_an_even_surface_comes_back_as_it_is():
    shape = (60, 60)
    echo = draw_echo(
        np.random.default_rng(0), np.zeros(shape), np.full(shape, 2.0), 0.125
    )
    np.testing.assert_allclose(echo, 2.0)


def test_the_region_of_interest_shows_two_lines_a_thickness_apart():
    profiles = []
    for frame in _frames("roi", 60):
        profile = frame[44:84].mean(0)
        outer = 24 + int(np.argmax(profile[24:110]))
        profiles.append(profile[outer - 16 : outer + 4])
    profile = np.mean(profiles, 0)
    inner = int(np.argmax(profile[4:12])) + 4  # the line towards the lumen
    expected = FLAT.thickness / FLAT.pixel
    assert abs((16 - inner) - expected) <= 2
    between = profile[inner:16].min()
    assert between < profile[inner] - 15 and between < profile[16] - 30
    assert profile[:3].mean() < between - 15  # the lumen


def _widest_lumen(frame: np.ndarray) -> float:
    """mm of the longest dark run along the depth, of the column with the longest."""
    smooth = ndimage.gaussian_filter(frame, (4, 1.5))
    dark = smooth < 0.5 * np.median(smooth[smooth > smooth.mean()])
    longest = np.zeros(len(dark))
    run = np.zeros(len(dark))
    for row in dark.T:
        run = (run + 1) * row
        longest = np.maximum(longest, run)
    return longest.max() * FLAT.pixel


def test_the_bulb_is_wider_than_the_artery_before_it():
    bulbs = np.median([_widest_lumen(frame) for frame in _frames("bulb", 30)])
    assert 1.15 * FLAT.diameter < bulbs < 1.45 * FLAT.diameter
    before = replace(FLAT, widening=0.0)
    even = np.median([_widest_lumen(frame) for frame in _frames("bulb", 30, before)])
    assert abs(even - FLAT.diameter) < 0.6


def test_the_head_may_be_on_either_side():
    rng = np.random.default_rng
    for label in LABELS:
        right = draw_frame(rng(1), FLAT, label)
        left = draw_frame(rng(1), replace(FLAT, head_left=True), label)
        np.testing.assert_array_equal(left, right[::-1])


def test_gain_and_its_course_along_the_depth_vary():
    frames = np.array(_frames("background", 40))
    assert np.std(frames.mean((1, 2))) > 10
    assert np.std(frames[:, :, :40].mean((1, 2)) - frames[:, :, 88:].mean((1, 2))) > 10


def test_brightness_tells_no_class():
    means, labels = [], []
    for patient in range(25):
        rng = np.random.default_rng([1, patient])
        artery = draw_artery(rng)
        for label in LABELS * 5:
            means.append(draw_frame(rng, artery, label).mean())
            labels.append(label)
    for label in LABELS:
        area = roc_auc_score([other == label for other in labels], means)
        assert 0.35 < area < 0.65, label
