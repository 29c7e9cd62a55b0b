"""What the tests of figures share: texts to fill them with, and how they must look."""

import itertools
import math
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

LONG = "unified (Genesis_Chest_CT_v2.keras a1b2c3)"
NINE = (
    *("scratch", "imagenet", "nonlinear", "local_shuffling", "outpainting"),
    *("inpainting", "autoencoder", "distortion", LONG),
)
TITLE = "folder/manifest.csv (lung, label_map=1:2, where=sex=f)"
AXIS = "Surface Dice at 2 mm of the_upper_lobe_of_the_left_lung (%)"


def legend(figure: Figure) -> list[str]:
    """The names in a figure's legend."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def check_texts(figure: Figure) -> None:
    """Asserts that texts are large enough and none lies on another."""
    FigureCanvasAgg(figure).draw()
    texts = _texts(figure)
    assert len(texts) > 10
    assert min(text.get_fontsize() for text in texts) >= 9
    slanted = [text for text in texts if text.get_rotation() == 45]
    boxes = [(x, x.get_window_extent()) for x in texts if x not in slanted]
    for (one, box), (other, other_box) in itertools.combinations(boxes, 2):
        apart = not box.padded(-0.5).overlaps(other_box)
        assert apart, f"{one.get_text()!r} lies on {other.get_text()!r}"
    for axes in figure.axes:
        _check_slanted(axes)


def check_png(path: Path) -> None:
    """Asserts that a figure stands on white, alone in its folder."""
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    image = imread(path)
    assert (image[[0, 0, -1, -1], [0, -1, 0, -1], :3] == 1).all()
    assert 0.5 < (image[..., :3] == 1).all(axis=-1).mean() < 0.99


def _texts(figure) -> list[Text]:
    """The texts of a figure that are in sight."""
    texts = list(figure.legends[0].get_texts())
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [
                label
                for place, label in zip(
                    axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True
                )
                if low <= place <= high
            ]
    return [text for text in texts if text.get_text()]


def _check_slanted(axes):
    """Slanted names run in lanes that are apart by their distance times sin 45°."""
    names = [name for name in axes.get_xticklabels() if name.get_rotation() == 45]
    starts = [name.get_transform().transform(name.get_position())[0] for name in names]
    for name in names:
        name.set_rotation(0)
    heights = [name.get_window_extent().height for name in names]
    for gap, neighbours in zip(
        np.diff(starts), itertools.pairwise(heights), strict=True
    ):
        assert gap * math.sin(math.pi / 4) > max(neighbours)
