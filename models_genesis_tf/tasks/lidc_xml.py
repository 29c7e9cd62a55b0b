"""Readers' outlines of the lung nodules of LIDC-IDRI, from their XML files.

A CT has one XML file: root `LidcReadMessage` in the namespace `http://www.nih.gov`, one
`readingSession` per reader (four at most), in it an `unblindedReadNodule` per nodule
that the reader outlined, and in this a `roi` per slice with `imageZposition` (third
coordinate of the slice's position, mm), `imageSOP_UID` (of the slice), `inclusion`
(FALSE: a hole) and an `edgeMap` per point with `xCoord` (column) and `yCoord` (row). A
chest X-ray's file has the root `IdriReadMessage`. [LIDC XML file documentation and the
annotated XML file of March 2010, both on TCIA's LIDC-IDRI page]

A `roi` is a single point for a nodule below 3 mm, and else the complete contour of the
first voxels just outside the nodule. [annotated XML file of March 2010, quoted in
pylidc issue 15] The points are no part of the nodule whether they include or exclude:
those around a hole belong to the hole. [Armato et al., Med. Phys. 38:915, 2011, and
Armato's own word in pylidc pull request 16]
"""

import functools
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from models_genesis_tf.errors import InputError

_NAMESPACE = "{http://www.nih.gov}"
_MOST_PIXELS = 2**16  # along a side: DICOM counts rows and columns in 16 bits


@dataclass(frozen=True, eq=False)
class Contour:
    """What a reader drew on one slice.

    Attributes:
      slice_uid: SOPInstanceUID of the slice.
      height: Third coordinate of the slice's position (LPS), mm.
      includes: False for a hole.
      points: int64 `(n, 2)`, column and row of the pixels just outside, in order.
    """

    slice_uid: str
    height: float
    includes: bool
    points: np.ndarray


@dataclass(frozen=True, eq=False)
class Outline:
    """What one reader drew around one nodule.

    Attributes:
      reader: Number of the reader in the file, from 0.
      nodule_id: The reader's own name for it; readers' names do not agree.
      contours: One per slice or more, holes among them.
    """

    reader: int
    nodule_id: str
    contours: tuple[Contour, ...]

    @functools.cached_property
    def pixels(self) -> dict[str, np.ndarray]:
        """The nodule's pixels on each slice that has any: UID to int64 `(n, 2)`."""
        return _inside(self.contours)

    @functools.cached_property
    def heights(self) -> dict[str, float]:
        """The height of each slice that is drawn on, mm."""
        return {contour.slice_uid: contour.height for contour in self.contours}


@dataclass(frozen=True, eq=False)
class LidcReading:
    """What the readers of a CT outlined.

    Attributes:
      series_uid: SeriesInstanceUID of the CT.
      outlines: In the order of the file. Those that enclose no pixel are left out,
        among them the single points that mark nodules below 3 mm.
    """

    series_uid: str
    outlines: tuple[Outline, ...]


def is_ct_reading(path: Path) -> bool:
    """Tells the XML file of a CT from others, such as those of chest X-rays.

    Args:
      path: An XML file.

    Returns:
      Whether its root is `LidcReadMessage`.

    Raises:
      InputError: If it is no XML.
    """
    try:
        _, root = next(ElementTree.iterparse(path, events=("start",)))
    except (ElementTree.ParseError, StopIteration) as error:
        raise _damaged(path, error) from error
    return root.tag == f"{_NAMESPACE}LidcReadMessage"


def read_outlines(path: Path) -> LidcReading:
    """Reads what the readers of a CT outlined.

    Args:
      path: The XML file of a CT.

    Returns:
      Its outlines of nodules of 3 mm or more; marks of smaller ones and of lesions that
      are no nodules are left out.

    Raises:
      InputError: If it is damaged, or no file of a CT.
    """
    try:
        root = ElementTree.parse(path).getroot()
        if root.tag != f"{_NAMESPACE}LidcReadMessage":
            raise ValueError(f"root {root.tag}")
        uid = _text(root.find(f"{_NAMESPACE}ResponseHeader"), "SeriesInstanceUid")
        outlines = [
            _read_outline(reader, nodule)
            for reader, session in enumerate(root.iter(f"{_NAMESPACE}readingSession"))
            for nodule in session.iter(f"{_NAMESPACE}unblindedReadNodule")
        ]
    except (ElementTree.ParseError, ValueError) as error:
        raise _damaged(path, error) from error
    return LidcReading(uid, tuple(outline for outline in outlines if outline.pixels))


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"a CT's outlines are whole LIDC-IDRI XML. Received: {path} ({error})"
    )


def _text(element: ElementTree.Element | None, name: str) -> str:
    text = None if element is None else element.findtext(f"{_NAMESPACE}{name}")
    if not text or not text.strip():
        raise ValueError(f"no {name}")
    return text.strip()


def _read_outline(reader: int, nodule: ElementTree.Element) -> Outline:
    contours = [_read_contour(roi) for roi in nodule.iter(f"{_NAMESPACE}roi")]
    contours = tuple(contour for contour in contours if len(contour.points))
    name = nodule.findtext(f"{_NAMESPACE}noduleID", "").strip()
    return Outline(reader, name, contours)


def _read_contour(roi: ElementTree.Element) -> Contour:
    inclusion = _text(roi, "inclusion").upper()
    if inclusion not in ("TRUE", "FALSE"):
        raise ValueError(f"inclusion {inclusion}")
    points = [
        (int(_text(point, "xCoord")), int(_text(point, "yCoord")))
        for point in roi.iter(f"{_NAMESPACE}edgeMap")
    ]
    height = float(_text(roi, "imageZposition"))
    if not math.isfinite(height):
        raise ValueError(f"imageZposition {height}")
    for value in (value for point in points for value in point):
        if not 0 <= value < _MOST_PIXELS:
            raise ValueError(f"coordinate {value}")
    places = np.array(points, np.int64).reshape(-1, 2)
    return Contour(_text(roi, "imageSOP_UID"), height, inclusion == "TRUE", places)


def _inside(contours: Sequence[Contour]) -> dict[str, np.ndarray]:
    """Slice UID to the pixels `(n, 2)` within outlines and beyond holes, sorted."""
    pixels = {}
    for uid in dict.fromkeys(contour.slice_uid for contour in contours):
        on_slice = [contour for contour in contours if contour.slice_uid == uid]
        corner = np.concatenate([one.points for one in on_slice]).min(axis=0) - 1
        sides = (
            np.concatenate([one.points for one in on_slice]).max(axis=0) - corner + 2
        )
        mask = np.zeros(sides, bool)
        for one in on_slice:
            if one.includes:
                mask |= _enclosed(one.points - corner, sides)[0]
        for one in on_slice:
            if not one.includes:
                mask &= ~np.logical_or(*_enclosed(one.points - corner, sides))
        if mask.any():
            pixels[uid] = np.argwhere(mask) + corner
    return pixels


def _enclosed(points: np.ndarray, sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a closed outline encloses, and the outline's own pixels, as masks.

    The outline is connected over edges and corners, so what it encloses is what cannot
    be left over edges alone.
    """
    outline = np.zeros(sides, bool)
    outline[tuple(_joined(points).T)] = True
    return ndimage.binary_fill_holes(outline) & ~outline, outline


def _joined(points: np.ndarray) -> np.ndarray:
    """Pixels of the straight lines from each point to the next, and to the first."""
    shifts = np.roll(points, -1, axis=0) - points
    counts = np.maximum(np.abs(shifts).max(axis=1), 1)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    share = number / np.repeat(counts, counts)
    steps = np.repeat(shifts, counts, axis=0) * share[:, None]
    return np.repeat(points, counts, axis=0) + np.rint(steps).astype(np.int64)
