"""Lung nodules of LIDC-IDRI: which outlines show one nodule, and its label map.

Nothing in the file says which outlines of different readers show one nodule. As in
pylidc (`Scan.cluster_annotations`), outlines whose points come within the thickness of
a slice are one nodule, and where that is too wide it shrinks by 0.9 down to 0.1 mm.
Unlike there, it shrinks for that group alone and until no reader is in it twice, which
with four readers also keeps a nodule to four outlines; and outlines that share a pixel
have no distance, so that those of one reader inside that of another stay together.
"""

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csgraph
from scipy.spatial import KDTree

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import dicom
from models_genesis_tf.imaging.volumes import Volume
from models_genesis_tf.tasks.lidc_xml import LidcReading, Outline, read_outlines

_SHRINKAGE = 0.9
_LEAST_TOLERANCE = 0.1  # mm
_CONSENSUS = 0.5  # of the readers who outlined the nodule
_CACHED_SCANS = 8


@dataclass(frozen=True)
class NoduleLabel:
    """The label map of one nodule, a `base.LabelSource`.

    Attributes:
      xml: The file of the readers' outlines.
      members: Which of `LidcReading.outlines` show the nodule.
    """

    xml: Path
    members: tuple[int, ...]

    def files(self) -> tuple[Path, ...]:
        """The files that the label map is made of.

        Returns:
          The XML file.
        """
        return (self.xml,)

    def identity(self) -> str:
        """What the label map follows from beside the file.

        Returns:
          The outlines and the rule of consensus.
        """
        members = ",".join(map(str, self.members))
        return f"outlines {members} of at least {_CONSENSUS:.0%} of their readers"

    def read(self, image: Path, volume: Volume) -> np.ndarray:
        """Makes the label map.

        Args:
          image: Folder of the DICOM series that the volume was read from.
          volume: What was read from it.

        Returns:
          uint8 `(x, y, z)` of the volume's shape, 1 in the nodule.

        Raises:
          InputError: If the file is damaged, or an outline lies on a slice that the
            series lacks or beyond the slice.
        """
        outlines = _cached_reading(self.xml, self.xml.stat().st_mtime_ns).outlines
        nodule = consensus([outlines[member] for member in self.members])
        index = {uid: k for k, uid in enumerate(_cached_slice_uids(image))}
        for uid in nodule:
            if uid not in index:
                raise InputError(
                    "each outline lies on a slice of its series. Received: "
                    f"{self.xml} with slice {uid}, which {image} lacks"
                )
        stored = [
            np.insert(pixels, 2, index[uid], axis=1) for uid, pixels in nodule.items()
        ]
        stored = np.concatenate([np.zeros((0, 3), np.int64), *stored])
        return self._paint(stored, volume)

    def _paint(self, stored: np.ndarray, volume: Volume) -> np.ndarray:
        """Marks voxels `(n, 3)` of the stored grid in an array in LPS order."""
        grid = volume.own_grid
        sides = np.array(volume.array.shape)
        places = stored[:, list(grid.axes)]
        if (places < 0).any() or (places >= sides).any():
            raise InputError(
                "outlines lie within their slices. Received: "
                f"{self.xml} with an outline beyond {'x'.join(map(str, sides))} voxels"
            )
        places = np.where(grid.flipped, sides - 1 - places, places)
        label = np.zeros(volume.array.shape, np.uint8)
        label[tuple(places.T)] = 1
        return label


def cluster_outlines(
    outlines: Sequence[Outline], pixel_spacing: tuple[float, float], slice_gap: float
) -> tuple[tuple[Outline, ...], ...]:
    """Finds which outlines show one nodule.

    Args:
      outlines: Of one CT.
      pixel_spacing: Between columns and between rows, mm.
      slice_gap: Distance between slices or thickness of one, mm; the distance between
        points up to which outlines are one nodule.

    Returns:
      The outlines of each nodule. Nodules rise by height, then row and column, and so
      do the outlines of one, whatever the order given.
    """
    spacing = (*pixel_spacing, 1.0)
    clouds = [_points(outline) * spacing for outline in outlines]
    distances = np.zeros((len(outlines), len(outlines)))
    for one, other in itertools.combinations(range(len(outlines)), 2):
        apart = _distance(clouds[one], clouds[other], slice_gap)
        if apart > 0 and _overlap(outlines[one], outlines[other]):
            apart = 0.0
        distances[one, other] = distances[other, one] = apart
    readers = np.array([outline.reader for outline in outlines])
    groups = _group(np.arange(len(outlines)), distances, readers, slice_gap)

    def place(members: Iterable[int]) -> tuple[float, ...]:
        return tuple(np.concatenate([clouds[k] for k in members]).mean(axis=0)[::-1])

    ordered = [
        sorted(members, key=lambda k: (place([k]), readers[k])) for members in groups
    ]
    ordered.sort(key=place)
    return tuple(tuple(outlines[k] for k in members) for members in ordered)


def consensus(outlines: Sequence[Outline]) -> dict[str, np.ndarray]:
    """Finds the pixels that at least half of a nodule's readers include.

    Args:
      outlines: Of one nodule; a reader who drew two includes what either encloses.

    Returns:
      Slice UID to int64 `(n, 2)`, column and row of its pixels, sorted; slices without
      any are left out, and there may be none at all.
    """
    readers = {outline.reader for outline in outlines}
    nodule = {}
    for uid in dict.fromkeys(uid for outline in outlines for uid in outline.pixels):
        votes = [
            _union(
                outline.pixels[uid]
                for outline in outlines
                if outline.reader == reader and uid in outline.pixels
            )
            for reader in sorted(readers)
        ]
        pixels, counts = np.unique(np.concatenate(votes), axis=0, return_counts=True)
        pixels = pixels[counts >= _CONSENSUS * len(readers)]
        if len(pixels):
            nodule[uid] = pixels
    return nodule


@functools.lru_cache(_CACHED_SCANS)
def _cached_reading(path: Path, changed_at: int) -> LidcReading:
    del changed_at  # a file that was corrected is read again
    return read_outlines(path)


_cached_slice_uids = functools.lru_cache(_CACHED_SCANS)(dicom.read_slice_uids)


def _union(parts: Iterable[np.ndarray]) -> np.ndarray:
    """The pixels `(n, 2)` of one or more sets, each once."""
    parts = [np.zeros((0, 2), np.int64), *parts]
    return np.unique(np.concatenate(parts), axis=0)


def _points(outline: Outline) -> np.ndarray:
    """Column, row and height (mm) of all its points, `(n, 3)`."""
    return np.concatenate(
        [
            np.insert(contour.points.astype(float), 2, contour.height, axis=1)
            for contour in outline.contours
        ]
    )


def _distance(one: np.ndarray, other: np.ndarray, limit: float) -> float:
    """The least distance of two sets of points, or infinity where boxes show it large.

    Sets whose boxes lie further apart than the limit may still have boxes that meet in
    two axes, so it is the largest gap along an axis that counts.
    """
    gaps = np.maximum(one.min(0) - other.max(0), other.min(0) - one.max(0))
    if gaps.max() > limit:
        return np.inf
    return float(KDTree(one).query(other)[0].min())


def _overlap(one: Outline, other: Outline) -> bool:
    return any(
        len(_union([pixels, other.pixels[uid]])) < len(pixels) + len(other.pixels[uid])
        for uid, pixels in one.pixels.items()
        if uid in other.pixels
    )


def _group(
    members: np.ndarray, distances: np.ndarray, readers: np.ndarray, tolerance: float
) -> list[np.ndarray]:
    """Connected members; a group that holds a reader twice is grouped more closely."""
    near = distances[np.ix_(members, members)] <= tolerance
    count, label = csgraph.connected_components(near, directed=False)
    groups = []
    for index in range(count):
        group = members[label == index]
        closer = tolerance * _SHRINKAGE
        if len(np.unique(readers[group])) == len(group) or closer < _LEAST_TOLERANCE:
            groups.append(group)
        else:
            groups += _group(group, distances, readers, closer)
    return groups
