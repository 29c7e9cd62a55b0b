"""Outlines of regions as a reader of LIDC-IDRI draws them.

They run through the first pixels just outside of the region, around it and within its
holes: whether an outline includes or excludes what it surrounds, its own pixels are no
part of the region. Source: annotated XML file of March 2010 on LIDC-IDRI's page at the
Cancer Imaging Archive; pull request 16 of pylidc for holes.
"""

import numpy as np
from scipy import ndimage

_CROSS = ndimage.generate_binary_structure(2, 1)
# The eight neighbours in turn, x and y.
_TURN = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))


def close_region(region: np.ndarray) -> np.ndarray:
    """Closes what no outline of whole pixels can follow: narrow bays and holes.

    Args:
      region: bool `(x, y)`.

    Returns:
      bool of that shape; its pieces are what their outlines enclose, and its holes
      what theirs enclose or run through. Pieces within a hole are gone.
    """
    padded = np.pad(region, 2)
    border = ndimage.binary_fill_holes(ndimage.binary_dilation(padded, _CROSS))
    holes = ndimage.binary_fill_holes(padded) & ~padded
    kept = ndimage.binary_fill_holes(ndimage.binary_opening(holes, _CROSS))
    return (ndimage.binary_erosion(border, _CROSS) & ~kept)[2:-2, 2:-2]


def outlines(region: np.ndarray) -> list[tuple[np.ndarray, bool]]:
    """Outlines the pieces of a region and their holes.

    Args:
      region: bool `(x, y)`, closed as by `close_region`, away from the edges.

    Returns:
      For each outline its pixels, int `(n, 2)` x and y, neighbours in turn, the last
      the same as the first; and whether what it encloses belongs to the region: False
      for a hole.
    """
    found = []
    pieces, count = ndimage.label(region)
    for number in range(1, count + 1):
        piece = pieces == number
        found.append((_trace(ndimage.binary_dilation(piece, _CROSS)), True))
        holes, many = ndimage.label(ndimage.binary_fill_holes(piece) & ~piece)
        found += [(_trace(holes == hole), False) for hole in range(1, many + 1)]
    return found


def _trace(area: np.ndarray) -> np.ndarray:
    """Follows the outermost pixels of an area once around."""
    start = tuple(np.argwhere(area)[0].tolist())  # nothing lies at smaller x
    place, heading = start, 6
    path = [start]
    while True:
        # From the neighbour after the one that it came from, turning one way.
        for turn in range(heading + 5, heading + 13):
            step = _TURN[turn % 8]
            following = place[0] + step[0], place[1] + step[1]
            if area[following]:
                break
        place, heading = following, turn % 8
        path.append(place)
        if place == start:
            return np.array(path)
