"""Labelled cases become examples: which patch, which target, which cases are read."""

import dataclasses

import numpy as np
import pytest

from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.examples import Examples
from models_genesis_tf.experiments.labelled_data import (
    load_labelled_data,
    resolve_batch_size,
)
from models_genesis_tf.imaging.patches import draw_patch_start
from models_genesis_tf.pipelines.example_stream import training_examples
from tests.manifests import (
    CONFIG,
    PATCH,
    SHAPE,
    SMALL_SHAPE,
    draw_case,
    load_cases,
    segmentation_rows,
    write_array,
    write_classification,
    write_rows,
    write_segmentation,
)

PART_SHAPE = (32, 32, 16)  # of rare foreground; patches divide it


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmentation")
    return load_cases(write_segmentation(folder / "data"), folder / "cache")


@pytest.fixture(scope="module")
def classification(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classification")
    manifest = write_classification(folder / "data")
    return load_cases(manifest, folder / "cache", kind="classification")


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    """Twelve cases with one voxel of foreground in a corner; case 2 has none."""
    folder = tmp_path_factory.mktemp("rare")
    rng = np.random.default_rng(0)
    rows = segmentation_rows(folder)
    for number, row in enumerate(rows):
        labels = np.zeros(PART_SHAPE, np.uint8)
        if number != 2:
            labels[31, 0, 15] = 5
        image = rng.integers(0, 100, PART_SHAPE).astype(np.int16)
        write_array(folder / row["image"], image)
        write_array(folder / row["label"], labels)
    return load_cases(write_rows(folder / "cases.csv", rows), folder / "cache")


def _scaled(image: np.ndarray) -> np.ndarray:
    """0.5 and 99.5 % of an image become 0 and 1."""
    low, high = np.percentile(image, (0.5, 99.5))
    return np.clip((image - low) / (high - low), 0, 1)


def _cut(array: np.ndarray, start) -> np.ndarray:
    """The patch at a start, of an array in a wide frame of zeros."""
    places = tuple(
        slice(low + 16, low + 16 + side) for low, side in zip(start, PATCH, strict=True)
    )
    return np.pad(array, 16)[places]


def _flip(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for axis, drawn in enumerate(rng.random(3)):
        if drawn < 0.5:
            array = array[(slice(None),) * axis + (slice(None, None, -1),)]
    return array


def test_examples_of_a_segmentation_are_a_patch_and_its_label_map(segmentation):
    assert segmentation.classes == ("0", "1", "2") and segmentation.num_outputs == 3
    assert segmentation.input_shape == (16, 16, 8, 1)
    assert segmentation.parts == (
        ((16, 16, 8, 1), "float32"),
        ((16, 16, 8), "uint8"),
    )


def test_examples_of_a_classification_are_a_patch_and_its_class(classification):
    assert classification.classes == ("no", "yes") and classification.num_outputs == 1
    assert classification.parts == (((16, 16, 8, 1), "float32"), ((), "int32"))


def test_a_patch_size_is_chosen_from_the_training_images(tmp_path):
    manifest = write_segmentation(tmp_path / "data")
    data = load_cases(manifest, tmp_path / "cache", patch_size=None)
    assert data.patch_size == (24, 24, 16)  # the median of 20 x 18 x 12, rounded up
    assert data.input_shape == (24, 24, 16, 1)


def test_two_values_of_a_label_map_are_one_output(rare):
    assert rare.classes == ("0", "5") and rare.num_outputs == 1
    labels = rare.prepared["scan_0"].label_map()
    assert labels[31, 0, 15] == 1 and labels.sum() == 1


@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize("patient", [0, 3])
def test_a_training_example_is_a_flipped_patch_of_the_files(
    segmentation, patient, foreground
):
    """Patient 3's image is narrower than a patch, which is padded with zeros."""
    image, labels = draw_case(patient)
    assert (image.shape == SMALL_SHAPE) == (patient == 3)
    examples = Examples.of(segmentation, segmentation.split.train)
    for seed in range(12):
        one, two = (np.random.default_rng([seed, 1]) for _ in range(2))
        patch, target = examples.training_example(patient, one, foreground)
        voxels = np.argwhere(labels) if foreground else None
        start = draw_patch_start(image.shape, PATCH, two, voxels)
        state = two.bit_generator.state
        expected = _flip(_cut(_scaled(image), start), two)
        two.bit_generator.state = state
        np.testing.assert_allclose(patch[..., 0], expected, atol=1e-6)
        np.testing.assert_array_equal(target, _flip(_cut(labels, start), two))
        assert patch.dtype == np.float32 and target.dtype == np.uint8
        assert one.bit_generator.state == two.bit_generator.state


def test_a_foreground_patch_holds_foreground_where_the_case_has_some(rare):
    examples = Examples.of(rare, rare.split.train)
    held = {
        foreground: [
            examples.training_example(0, np.random.default_rng(seed), foreground)[1]
            for seed in range(40)
        ]
        for foreground in (True, False)
    }
    assert all(target.any() for target in held[True])
    assert not all(target.any() for target in held[False])
    patch, target = examples.training_example(2, np.random.default_rng(0), True)
    assert patch.shape == (16, 16, 8, 1) and not target.any()


def test_half_of_an_epoch_holds_foreground_at_least(rare):
    train = rare.split.train[3:]  # without the case that has none
    examples = Examples.of(rare, train)
    n = len(train)
    batches = training_examples(examples.training_example, n, rare.parts, 3, 0, 1)
    held = [bool(target.numpy().any()) for _, target in batches.take(4 * n)]
    assert all(held[::2])
    assert 2 * n <= sum(held) < 3 * n


@pytest.mark.parametrize("patient", [1, 3])
def test_patches_of_a_classification_are_centred_and_flipped_in_training(
    classification, patient
):
    image = classification.prepared[f"scan_{patient}"].image()[..., 0]
    # Half of what a side has too much or lacks, rounded down, comes before the patch.
    start = {SHAPE: (2, 1, 2), SMALL_SHAPE: (-1, 1, 2)}[image.shape]
    expected = _cut(image, start)
    examples = Examples.of(classification, classification.split.train)
    for seed in range(8):
        rngs = [np.random.default_rng([seed, 1]) for _ in range(2)]
        patch, target = examples.training_example(patient, rngs[0], seed % 2 == 0)
        np.testing.assert_array_equal(patch[..., 0], _flip(expected, rngs[1]))
        assert target == patient % 2 and target.dtype == np.int32
    places = examples.fixed_places(0)
    assert [index for index, _ in places] == list(range(8))
    patch, target = examples.example_at(places[patient])
    np.testing.assert_array_equal(patch[..., 0], expected)
    assert target == patient % 2


def test_balanced_examples_are_of_each_class_in_turn(classification):
    """Two cases of class 1 against four of class 0: all of the two, two of the four."""
    train = classification.split.train
    cases = [train[k] for k in (0, 1, 2, 3, 4, 6)]
    examples = Examples.of(classification, cases, balanced=True)
    assert len(examples) == 4
    names = {0: set(), 1: set()}
    patches = {
        examples.cases[k].central_patch(PATCH, None).tobytes(): k for k in range(6)
    }
    data = dataclasses.replace(classification, flip_axes=())
    examples = dataclasses.replace(examples, data=data)
    for seed in range(30):
        for index in range(4):
            rng = np.random.default_rng([seed, index, 1])
            patch, target = examples.training_example(index, rng, False)
            assert target == index % 2
            case = patches[patch.tobytes()]
            assert index % 2 == 0 or case == {1: 1, 3: 3}[index]
            names[int(target)].add(case)
    assert names == {0: {0, 2, 4, 5}, 1: {1, 3}}


def test_an_epoch_takes_several_patches_of_a_case_if_asked_to(segmentation):
    cases = segmentation.split.train[:3]
    examples = Examples.of(segmentation, cases, patches_per_case=5)
    assert len(examples) == 15
    single = Examples.of(segmentation, cases)
    for index in range(15):
        one, two = (np.random.default_rng([index, 1]) for _ in range(2))
        patch, target = examples.training_example(index, one, False)
        expected = single.training_example(index % 3, two, False)
        np.testing.assert_array_equal(patch, expected[0])
        np.testing.assert_array_equal(target, expected[1])
    data = dataclasses.replace(segmentation, patch_size=(8, 8, 8))
    places = Examples.of(data, cases[:1], patches_per_case=7).fixed_places(0)
    assert len(places) == 7  # of 18 that cover it


def test_validation_of_balanced_classes_is_drawn_once(classification):
    cases = [classification.split.train[k] for k in (0, 1, 2, 4, 6)]
    examples = Examples.of(classification, cases, balanced=True)
    places = examples.fixed_places(0)
    assert places == examples.fixed_places(0)
    labels = [int(examples.example_at(place)[1]) for place in places]
    assert sorted(labels) == [0, 1]
    drawn = {tuple(examples.fixed_places(seed)) for seed in range(20)}
    assert len(drawn) > 2  # another seed, another case


def test_fixed_patches_are_drawn_once_by_seed_and_case(segmentation):
    """As many as cover an image, 20 x 18 x 12 or narrower, but no more than four."""
    train = segmentation.split.train
    places = Examples.of(segmentation, train).fixed_places(6)
    assert [index for index, _ in places] == [k for k in range(8) for _ in range(4)]
    assert places == Examples.of(segmentation, train).fixed_places(6)
    assert places != Examples.of(segmentation, train).fixed_places(7)
    own = [start for index, start in places if index == 3]
    assert [
        start for _, start in Examples.of(segmentation, train[3:4]).fixed_places(6)
    ] == own
    assert {x for x, _, _ in own} == {-1}  # in the centre of the narrow one
    rng = np.random.default_rng([6, 8, *b"scan_2", 1])
    labels = draw_case(2)[1]
    expected = [
        draw_patch_start(SHAPE, PATCH, rng, voxels)
        for voxels in (np.argwhere(labels), None) * 2
    ]
    assert [start for index, start in places if index == 2] == expected


def test_every_second_fixed_patch_holds_foreground_and_is_cut_without_flips(rare):
    examples = Examples.of(rare, rare.split.valid)
    places = examples.fixed_places(0)
    assert len(places) == 2 * 4  # eight would cover a case
    held = []
    for index, start in places:
        prepared = rare.prepared[f"scan_{8 + index}"]
        patch, target = examples.example_at((index, start))
        np.testing.assert_array_equal(
            patch[..., 0], _cut(prepared.image()[..., 0], start)
        )
        np.testing.assert_array_equal(target, _cut(prepared.label_map(), start))
        held.append(bool(target.any()))
    assert all(held[::2]) and not all(held)


def test_small_images_have_as_few_fixed_patches_as_cover_them(tmp_path):
    manifest = write_segmentation(tmp_path / "data")
    data = load_cases(manifest, tmp_path / "cache", patch_size=(24, 24, 8))
    places = Examples.of(data, data.split.valid).fixed_places(0)
    assert [index for index, _ in places] == [0, 0, 1, 1]
    data = load_cases(manifest, tmp_path / "cache", patch_size=(24, 24, 16))
    places = Examples.of(data, data.split.valid).fixed_places(0)
    assert places == [(0, (-2, -3, -2)), (1, (-2, -3, -2))]


def test_axes_that_are_not_named_are_never_flipped(segmentation):
    data = dataclasses.replace(segmentation, flip_axes=("y",))
    cases = data.split.train
    kept, flipped = (
        [
            Examples.of(one, cases).training_example(0, np.random.default_rng(k), True)
            for k in range(16)
        ]
        for one in (data, dataclasses.replace(data, flip_axes=()))
    )
    turned = 0
    for (one, one_target), (other, other_target) in zip(kept, flipped, strict=True):
        if one.tobytes() == other.tobytes():
            assert one_target.tobytes() == other_target.tobytes()
        else:
            turned += 1
            np.testing.assert_array_equal(one, other[:, ::-1])
            np.testing.assert_array_equal(one_target, other_target[:, ::-1])
    assert 3 <= turned <= 13


def test_cases_of_other_parts_are_not_read(tmp_path):
    manifest = write_segmentation(tmp_path / "data")
    for name in ("scan_10", "mask_11"):
        (tmp_path / "data" / f"{name}.nii.gz").write_bytes(b"no image")
    data = load_cases(manifest, tmp_path / "cache", parts=("train", "valid"))
    assert [case.name for case in data.split.test] == ["scan_10", "scan_11"]
    assert list(data.prepared) == [f"scan_{patient}" for patient in range(10)]
    with pytest.raises(InputError, match="case scan_10: "):
        load_cases(manifest, tmp_path / "cache")


def test_classes_that_are_known_are_not_looked_for_in_the_training_cases(tmp_path):
    manifest = write_segmentation(tmp_path / "data")
    for patient in range(8):
        (tmp_path / "data" / f"mask_{patient}.nii.gz").write_bytes(b"no image")
    config = dataclasses.replace(CONFIG, manifest=str(manifest))
    known = ["0", "1", "2"]
    data = load_labelled_data(config, tmp_path / "cache", ["test"], known)
    assert data.classes == ("0", "1", "2")
    assert list(data.prepared) == ["scan_10", "scan_11"]
    labels = data.prepared["scan_11"].label_map()
    np.testing.assert_array_equal(labels, draw_case(11)[1])


def test_a_class_that_only_validation_has_is_refused_by_its_value(tmp_path):
    manifest = write_segmentation(tmp_path / "data")
    _, labels = draw_case(8)
    labels[0, 0, 0] = 7
    write_array(tmp_path / "data" / "mask_8.nii.gz", labels)
    with pytest.raises(InputError, match="case scan_8: unknown class.*Received: 7"):
        load_cases(manifest, tmp_path / "cache")


def test_the_notices_say_what_was_taken_and_how_it_was_divided(tmp_path):
    rows = segmentation_rows(tmp_path)
    for row in rows:
        del row["split"]
    manifest = write_rows(tmp_path / "cases.csv", rows)
    data = load_cases(manifest, tmp_path / "cache", where="patient!=patient_5", seed=4)
    taken, divided = data.notices
    assert "11 of 12 rows taken, 1 left out by --where" in taken
    assert "by chance with seed 4: 8 train, 1 valid, 2 test" in divided
    other = load_cases(manifest, tmp_path / "cache", where="patient!=patient_5", seed=5)
    assert other.split != data.split


def test_the_notices_of_a_classification_name_its_positive_class(
    classification, tmp_path
):
    assert "class yes is the positive one" in classification.notices
    cropped = "12 of 12 images are larger than the patch"
    assert any(cropped in notice for notice in classification.notices)
    manifest = write_classification(tmp_path / "data")
    settings = {"kind": "classification", "patch_size": None}
    whole = load_cases(manifest, tmp_path / "cache", **settings)
    assert not any("larger" in notice for notice in whole.notices)


@pytest.mark.parametrize(
    ("batch_size", "cases", "replicas", "expected"),
    [
        (None, 1, 1, 1),
        (None, 4, 1, 1),
        (None, 8, 1, 2),
        (None, 15, 1, 3),
        (None, 16, 1, 4),
        (None, 500, 1, 4),
        (None, 8, 3, 3),
        (None, 500, 3, 6),
        (None, 1, 8, 8),
        (6, 2, 1, 6),
        (1, 500, 2, 1),
    ],
)
def test_a_batch_is_4_but_no_more_than_a_quarter_of_the_cases(
    batch_size, cases, replicas, expected
):
    config = FinetuneConfig(batch_size=batch_size)
    assert resolve_batch_size(config, cases, replicas) == expected
