"""What four readers mark in a synthetic scan, and LIDC-IDRI's XML file of it.

A root LidcReadMessage in the namespace http://www.nih.gov holds a ResponseHeader and a
readingSession for each reader. A nodule of 3 mm and more is an unblindedReadNodule with
characteristics and a roi for each outline; one below 3 mm has a single point and no
characteristics; anything else of 3 mm and more is a nonNodule with a locus. xCoord and
yCoord are the column and the row of a pixel, (0, 0) at the upper left; inclusion FALSE
outlines a hole; no identifier is shared between readers. Source: LIDC XML file
documentation, Cancer Imaging Archive; `outlines` says where outlines run.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from models_genesis_tf.phantoms.dicom_series import SeriesNames
from models_genesis_tf.phantoms.fields import largest_piece
from models_genesis_tf.phantoms.outlines import close_region, outlines
from models_genesis_tf.phantoms.thorax import Thorax

NUM_READERS = 4
_SHARE_BY_COUNT = (0.1, 0.15, 0.25, 0.5)  # of nodules that one to four readers mark
_SCALES = ("sphericity", "margin", "lobulation", "spiculation", "texture", "malignancy")


@dataclass(frozen=True)
class Reading:
    """The marks of one reader.

    Attributes:
      regions: For each nodule of 3 mm and more, bool `(x, y, z)`.
      specks: `(n, 3)` voxels: nodules below 3 mm.
      others: `(n, 3)` voxels: what is no nodule.
    """

    regions: tuple[np.ndarray, ...]
    specks: np.ndarray
    others: np.ndarray


def draw_readings(rng: np.random.Generator, thorax: Thorax) -> tuple[Reading, ...]:
    """Draws what the readers mark: they miss nodules and differ over their borders.

    Args:
      rng: Generator to draw from.
      thorax: The scan that they read.

    Returns:
      A reading for each of four readers; one to four of them mark a nodule.
    """
    regions: list[list[np.ndarray]] = [[] for _ in range(NUM_READERS)]
    for nodule in thorax.nodules:
        count = 1 + rng.choice(NUM_READERS, p=_SHARE_BY_COUNT)
        for reader in rng.permutation(NUM_READERS)[:count]:
            region = _draw_region(nodule.cover, rng)
            place = rng.integers(len(regions[reader]) + 1)  # in an order of their own
            regions[reader].insert(place, region)
    return tuple(
        Reading(
            tuple(own),
            thorax.specks[rng.random(len(thorax.specks)) < 0.6],
            thorax.decoys[rng.random(len(thorax.decoys)) < 0.3],
        )
        for own in regions
    )


def write_readings(
    path: Path,
    readings: Sequence[Reading],
    names: SeriesNames,
    heights: Sequence[float],
    rng: np.random.Generator,
) -> None:
    """Writes the XML file of a series.

    Args:
      path: File to write.
      readings: One for each reader.
      names: What identifies the series.
      heights: z of each slice, mm, in the order of z.
      rng: Generator to draw identifiers and ratings from.
    """
    root = ElementTree.Element(
        "LidcReadMessage", {"uid": names.series, "xmlns": "http://www.nih.gov"}
    )
    header = ElementTree.SubElement(root, "ResponseHeader")
    _add(header, "Version", "1.8.1")
    _add(header, "MessageId", rng.integers(10**8))
    _add(header, "TaskDescription", "Second unblinded read")
    _add(header, "SeriesInstanceUid", names.series)
    _add(header, "StudyInstanceUID", names.study)
    for reading in readings:
        session = ElementTree.SubElement(root, "readingSession")
        _add(session, "annotationVersion", "3.12")
        _add(session, "servicingRadiologistID", rng.integers(10**9))
        _add_marks(session, reading, names, heights, rng)
    ElementTree.indent(root)
    tree = ElementTree.ElementTree(root)
    tree.write(path, encoding="UTF-8", xml_declaration=True)


def _draw_region(cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where one reader sees a nodule: shifted, and smaller or larger than another's."""
    box = ndimage.find_objects(cover > 0, 1)[0]
    box = tuple(slice(max(side.start - 4, 0), side.stop + 4) for side in box)
    shift = (*rng.normal(0, 0.35, 2), 0)
    region = ndimage.shift(cover[box], shift, order=1) >= rng.uniform(0.3, 0.7)
    for row in range(region.shape[2]):
        region[:, :, row] = close_region(region[:, :, row])
    whole = np.zeros(cover.shape, bool)
    whole[box] = largest_piece(region)
    return whole


def _add_marks(session, reading: Reading, names: SeriesNames, heights, rng) -> None:
    for region in reading.regions:
        nodule = ElementTree.SubElement(session, "unblindedReadNodule")
        _add(nodule, "noduleID", rng.integers(10**5))
        _add_characteristics(nodule, rng)
        for row in np.flatnonzero(region.any((0, 1))):
            for points, inside in outlines(region[:, :, row]):
                _add_outline(nodule, points, inside, names.slices[row], heights[row])
    for x, y, row in np.round(reading.specks).astype(int):
        nodule = ElementTree.SubElement(session, "unblindedReadNodule")
        _add(nodule, "noduleID", rng.integers(10**5))
        _add_outline(nodule, [(x, y)], True, names.slices[row], heights[row])
    for x, y, row in np.round(reading.others).astype(int):
        other = ElementTree.SubElement(session, "nonNodule")
        _add(other, "nonNoduleID", rng.integers(10**5))
        _add_slice(other, names.slices[row], heights[row])
        _add_point(ElementTree.SubElement(other, "locus"), x, y)


def _add_characteristics(nodule, rng: np.random.Generator) -> None:
    ratings = ElementTree.SubElement(nodule, "characteristics")
    _add(ratings, "subtlety", rng.integers(3, 6))
    _add(ratings, "internalStructure", 1)  # soft tissue
    _add(ratings, "calcification", 6)  # absent
    for name in _SCALES:
        _add(ratings, name, rng.integers(1, 6))


def _add_outline(nodule, points, inside: bool, uid: str, height: float) -> None:
    roi = ElementTree.SubElement(nodule, "roi")
    _add_slice(roi, uid, height)
    _add(roi, "inclusion", "TRUE" if inside else "FALSE")
    for x, y in points:
        _add_point(ElementTree.SubElement(roi, "edgeMap"), x, y)


def _add_slice(parent, uid: str, height: float) -> None:
    _add(parent, "imageZposition", f"{height:.6f}")
    _add(parent, "imageSOP_UID", uid)


def _add_point(parent, x: int, y: int) -> None:
    _add(parent, "xCoord", x)
    _add(parent, "yCoord", y)


def _add(parent, name: str, value) -> None:
    ElementTree.SubElement(parent, name).text = str(value)
