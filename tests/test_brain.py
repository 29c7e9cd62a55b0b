"""Brain MRs: a glioma's parts, and decoys that intensity alone takes for one."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from models_genesis_tf.phantoms import tissues
from models_genesis_tf.phantoms.brain import SIZE, SPACING, draw_brain
from models_genesis_tf.phantoms.glioma import Glioma, add_glioma, draw_glioma, push
from models_genesis_tf.phantoms.painting import make_canvas


@pytest.fixture(scope="module")
def brains() -> list:
    """Of every four the last is of low grade."""
    grades = ("HGG", "HGG", "HGG", "LGG") * 2
    return [
        draw_brain(np.random.default_rng([7, case]), grade)
        for case, grade in enumerate(grades)
    ]


def _upright(size=SIZE, spacing=SPACING):
    """A canvas whose coordinates have the volume's shape."""
    canvas = make_canvas(size, spacing, 0.0)
    full = np.zeros(size, np.float32)
    return type(canvas)(
        canvas.values, spacing, canvas.x + full, canvas.y + full, canvas.z + full
    )


def _glioma(**changes) -> Glioma:
    facts = {
        "grade": "HGG",
        "centre": np.array((30.0, 0.0, 10.0)),
        "stretch": np.ones(3),
        "core": 14.0,
        "oedema": 26.0,
        "rim": 4.0,
        "pressure": 0.4,
    }
    return Glioma(**facts | changes)


def test_the_images_share_a_brain_and_are_exactly_zero_outside(brains):
    for brain in brains:
        assert tuple(brain.images) == ("flair", "t1", "t1ce", "t2")
        inside = brain.images["flair"] > 0
        litres = np.count_nonzero(inside) * np.prod(brain.spacing) / 1e6
        assert 1.0 < litres < 1.5
        for image in brain.images.values():
            assert image.dtype == np.int16 and image.shape == SIZE
            assert image.min() == 0
            np.testing.assert_array_equal(image > 0, inside)
        assert not inside[[0, -1]].any() and not inside[:, [0, -1]].any()
        assert not inside[:, :, [0, -1]].any()


def test_labels_are_the_challenges_and_lie_in_the_brain(brains):
    for case, brain in enumerate(brains):
        assert brain.labels.dtype == np.uint8
        expected = {0, 1, 2, 4} if case % 4 < 3 else {0, 1, 2}
        assert expected <= set(np.unique(brain.labels)) <= {0, 1, 2, 4}
        assert (brain.images["flair"][brain.labels > 0] > 0).all()


def test_tumours_measure_centimetres(brains):
    for brain in brains:
        millilitres = np.count_nonzero(brain.labels) * np.prod(SPACING) / 1000
        assert 10 < millilitres < 160
        pieces, _ = ndimage.label(brain.labels)
        sizes = np.bincount(pieces.ravel())[1:]
        assert sizes.max() > 0.9 * sizes.sum()


def test_low_grades_hardly_enhance(brains):
    for case, brain in enumerate(brains):
        core = np.isin(brain.labels, (1, 4))
        share = np.count_nonzero(brain.labels == 4) / np.count_nonzero(core)
        assert share < 0.15 if case % 4 == 3 else share > 0.2


def test_flair_alone_does_not_tell_tumour_from_brain(brains):
    values, labels = [], []
    for brain in brains:
        flair = brain.images["flair"]
        inside = flair > 0
        values.append(flair[inside] / np.percentile(flair[inside], 99.5))
        labels.append(brain.labels[inside] > 0)
    area = roc_auc_score(np.concatenate(labels), np.concatenate(values))
    assert 0.3 < area < 0.7


def test_the_rim_is_what_contrast_brightens(brains):
    for brain in brains[:3]:
        gain = brain.images["t1ce"] / np.maximum(brain.images["t1"], 1)
        rim = np.median(gain[brain.labels == 4])
        rest = np.median(gain[(brain.images["t1"] > 0) & (brain.labels == 0)])
        assert rim > 1.4 * rest


def test_scales_differ_between_cases(brains):
    brightness = [np.median(b.images["flair"][b.labels == 2]) for b in brains]
    assert max(brightness) > 4 * min(brightness)


def test_a_brain_follows_its_generator():
    first, again = (draw_brain(np.random.default_rng(1), "HGG") for _ in range(2))
    for modality, image in first.images.items():
        np.testing.assert_array_equal(image, again.images[modality])
    np.testing.assert_array_equal(first.labels, again.labels)


def test_a_tumour_lies_in_one_hemisphere():
    for seed in range(20):
        glioma = draw_glioma(np.random.default_rng(seed), "LGG")
        assert 22 <= abs(glioma.centre[0]) <= 44
        assert glioma.core < glioma.oedema


def test_a_tumour_pushes_near_tissue_and_leaves_far_tissue():
    canvas, glioma = _upright(), _glioma()
    pushed = push(canvas, glioma)
    reach = 14 + 0.6 * 26
    distance = np.sqrt((canvas.x - 30) ** 2 + canvas.y**2 + (canvas.z - 10) ** 2)
    origin = np.sqrt((pushed.x - 30) ** 2 + pushed.y**2 + (pushed.z - 10) ** 2)
    expected = distance * (1 - 0.4 * np.exp(-((distance / reach) ** 2)))
    np.testing.assert_allclose(origin, expected, atol=1e-3)
    far = distance > 90
    np.testing.assert_allclose(pushed.x[far], canvas.x[far], atol=1e-2)


def test_a_tumours_parts_lie_within_each_other():
    canvas = _upright()
    classes = np.full(SIZE, tissues.WHITE, np.uint8)
    labels = add_glioma(classes, canvas, _glioma(), np.random.default_rng(0))
    distance = np.sqrt((canvas.x - 30) ** 2 + canvas.y**2 + (canvas.z - 10) ** 2)
    means = [distance[labels == part].mean() for part in (1, 4, 2)]
    assert means == sorted(means)
    assert (labels[distance < 3] == 1).all()
    assert not labels[distance > 60].any()
    parts = {1: tissues.NECROTIC, 2: tissues.OEDEMA, 4: tissues.ENHANCING}
    for label, tissue in parts.items():
        np.testing.assert_array_equal(labels == label, classes == tissue)


def test_oedema_stays_out_of_ventricles_and_tumours_in_the_brain():
    canvas = _upright()
    classes = np.full(SIZE, tissues.WHITE, np.uint8)
    classes[canvas.y > 20] = tissues.VENTRICLE
    classes[canvas.z > 20] = tissues.OUTSIDE
    before = classes.copy()
    labels = add_glioma(classes, canvas, _glioma(), np.random.default_rng(0))
    assert not labels[before == tissues.OUTSIDE].any()
    assert (labels[before == tissues.VENTRICLE] != 2).all()
    np.testing.assert_array_equal(classes[labels == 0], before[labels == 0])


def _brightness(seed: int) -> dict[str, np.ndarray]:
    """Mean of each tissue over slabs all over a map, relative to white matter's."""
    rng = np.random.default_rng(seed)
    count = tissues.NON_ENHANCING + 1
    # Each tissue is everywhere, so that coil and texture count the same for all.
    order = np.concatenate([rng.permutation(count) for _ in range(16)])
    classes = np.repeat(order.astype(np.uint8), 6)[:, None, None]
    classes = np.tile(classes, (1, 16, 16))
    vessels = np.zeros(classes.shape, np.float32)
    images = tissues.make_images(classes, vessels, SPACING, rng)
    means = {}
    for modality, image in images.items():
        slabs = image.reshape(-1, 6, 16, 16)[:, 2:4].mean((1, 2, 3))
        mean = np.bincount(order, slabs, count) / 16
        means[modality] = mean / mean[tissues.WHITE]
    return means


@pytest.mark.parametrize("seed", range(4))
def test_tissues_are_as_bright_as_on_real_images(seed):
    means = _brightness(seed)
    flair, t1, t1ce, t2 = (means[name] for name in tissues.MODALITIES)
    assert flair[tissues.OUTSIDE] == 0
    assert flair[tissues.VENTRICLE] < 0.45 and t2[tissues.VENTRICLE] > 2
    assert flair[tissues.GREY] > 1.1 and t1[tissues.GREY] < 0.85
    assert t2[tissues.GREY] > 1.2
    assert flair[tissues.OEDEMA] > 1.05 and t2[tissues.OEDEMA] > 1.4
    assert flair[tissues.HYPERINTENSE] > 0.85 * flair[tissues.OEDEMA]
    assert flair[tissues.NECROTIC] < 0.75
    assert t1ce[tissues.ENHANCING] > 1.4 and t1[tissues.ENHANCING] < 1


def test_vessels_are_bright_on_contrast_enhanced_t1():
    classes = np.full((16, 16, 16), tissues.WHITE, np.uint8)
    vessels = np.zeros(classes.shape, np.float32)
    vessels[8:] = 1
    images = tissues.make_images(
        classes, vessels, (0.05,) * 3, np.random.default_rng(0)
    )
    ratio = {
        name: image[12:].mean() / image[:4].mean() for name, image in images.items()
    }
    assert ratio["t1ce"] > 1.5
    assert max(ratio["flair"], ratio["t1"], ratio["t2"]) < 0.9
