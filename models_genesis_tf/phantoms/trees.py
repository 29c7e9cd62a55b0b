"""Trees of vessels and airways, grown from a root to given ends."""

import numpy as np


def grow_tree(
    root: np.ndarray, ends: np.ndarray, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Grows a tree that reaches every end, the nearest ends first.

    Each end is joined to the nearest point of the tree so far by a bent branch, so
    that branches fill the lung evenly and thin out with the number of ends they serve.

    Args:
      root: `(3,)` where it starts, mm.
      ends: `(n, 3)` points to reach, mm.
      rng: Generator to draw the bends from.

    Returns:
      Pieces (start, end, number of ends served) of a few mm each.
    """
    nodes = [np.asarray(root, float)]
    parents = [0]
    leaves = [0]
    order = np.argsort(np.linalg.norm(ends - root, axis=1))
    for end in ends[order]:
        points = np.array(nodes)
        nearest = int(np.argmin(np.linalg.norm(points - end, axis=1)))
        start = points[nearest]
        pieces = max(1, round(float(np.linalg.norm(end - start)) / 6))
        for share in np.arange(1, pieces + 1) / pieces:
            bend = rng.normal(0, 0.9, 3) * (share < 1)
            parents.append(nearest)
            nodes.append(start + share * (end - start) + bend)
            leaves.append(0)
            nearest = len(nodes) - 1
        while True:  # every piece on the way back to the root serves one end more
            leaves[nearest] += 1
            if nearest == 0:
                break
            nearest = parents[nearest]
    return [
        (nodes[parents[node]], nodes[node], leaves[node])
        for node in range(1, len(nodes))
    ]
