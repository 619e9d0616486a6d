"""Exact nearest neighbours in Euclidean space, in bounded memory: by a tree in few dimensions, else by tiles;
and the nearest within a radius, without looking at every pair.

The tiles are matrix products, which round. So they only nominate: a few more candidates than asked for, whose
distances are then computed exactly. A row is done when the rounding bound proves that nothing outside its
candidates can be nearer; the rare rows without that proof (many ties) are searched again with everything
within the bound. So a product may as well be a coarse one of bfloat16, where the processor has matrix units
for it, or a GPU's: the result is the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

#: Up to this many dimensions a k-d tree visits few enough leaves to win over matrix products.
TREE_DIMENSIONS = 8
#: Rows and columns of a tile of scores, 15 MiB; strides of a power of two would share cache lines.
_TILE = 2000
_SPARE = 4  # candidates beyond k
_COARSE_SPARE = 12  # the same where products are of bfloat16
#: What they add to the error of a product, relative to the norms of its sides: two roundings to 8 bits.
_COARSE_ERROR = 1.1 * 2.0**-8
#: Multiplications from which on it pays to load torch for the products, and to use it where it is loaded.
_MUCH, _SOME = 2e11, 1e10
_WIDE = 64  # dimensions from which on matrix units save more than their further candidates cost
#: Scores held at once on a GPU.
_GPU_STRIP = 1 << 28
_EXACT = 1 << 17  # numbers held at once while distances are computed exactly: they stay in the cache
_STRIP = 1 << 22  # scores held at once while rows are searched again
_FEW_PAIRS = 1 << 24  # within a radius: up to so many pairs matrix products are as fast
_BASIS_ROWS = 1000  # points whose spread gives the directions of the tree
_QUERIES = 4096  # queries given to the tree at once
_PAIRS = 1 << 20  # candidates held at once
#: A query with more than this share of the points near it in the tree's dimensions is compared with all.
_CROWDED = 0.02


def nearest_neighbours(
    queries: np.ndarray, points: np.ndarray, k: int, exclude_self: bool | np.ndarray = False
) -> tuple[np.ndarray, np.ndarray]:
    """Find the `k` nearest points of each query.

    Parameters
    ----------
    queries
        float32 (q, d), finite.
    points
        float32 (n, d), finite.
    k
        How many neighbours, at least 1 and at most the number of points that a query may have.
    exclude_self
        True where query i is point i, which is then not its own neighbour; or an integer array (q,) that
        gives the position of each query among the points. Other points at the same place remain neighbours.

    Returns
    -------
    distances : numpy.ndarray
        float32 (q, k), ascending.
    indices : numpy.ndarray
        int64 (q, k), positions in `points`. Points at the same distance stand in ascending order. Of more
        than k copies of the query the first are taken; which of others at the same distance as the k-th is
        left open, but the same each time.

    Raises
    ------
    ValueError
        When `k` is out of range or the dimensions differ.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    points = np.ascontiguousarray(points, dtype=np.float32)
    own = _own_positions(exclude_self, len(queries))
    available = len(points) - (own is not None)
    if queries.ndim != 2 or points.ndim != 2 or queries.shape[1] != points.shape[1]:
        raise ValueError(f"queries {queries.shape} and points {points.shape} must be matrices of equal width")
    if not 1 <= k <= available:
        raise ValueError(f"k must be between 1 and {available}, not {k}")
    if not len(queries):
        return np.zeros((0, k), np.float32), np.zeros((0, k), np.int64)
    search = _by_tree if points.shape[1] <= TREE_DIMENSIONS else _by_tiles
    distances, indices = search(queries, points, k, own)
    copies = np.flatnonzero(distances[:, -1] == 0)
    if len(copies):
        indices[copies] = _first_copies(points, indices[copies], None if own is None else own[copies])
    return distances, indices


def _own_positions(exclude_self: bool | np.ndarray, n: int) -> np.ndarray | None:
    if exclude_self is False:
        return None
    if exclude_self is True:
        return np.arange(n)
    own = np.asarray(exclude_self)
    if own.shape != (n,):
        raise ValueError(f"exclude_self must hold one position for each of the {n} queries")
    return own


def _first_copies(points: np.ndarray, found: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """The first points that are copies of those found, int64 (q, k), without one's own; there are enough."""
    k = found.shape[1]
    # Adding zero makes one of the two zeros. Two of a million other rows share 64 bits once in 10^7 times.
    content = np.fromiter((hash((row + np.float32(0)).tobytes()) for row in points), np.int64, len(points))
    group = np.unique(content, return_inverse=True)[1]
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group))
    places = (ends - np.bincount(group))[group[found[:, 0]], None] + np.arange(k + 1)
    members = order[np.minimum(places, len(order) - 1)]
    left_out = places >= ends[group[found[:, 0]], None]
    if own is not None:
        left_out |= members == own[:, None]
    return np.take_along_axis(members, np.argsort(left_out, axis=1, kind="stable")[:, :k], axis=1)


# -- few dimensions --------------------------------------------------------------------------------------


def _by_tree(
    queries: np.ndarray, points: np.ndarray, k: int, own: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    from scipy.spatial import cKDTree

    most = k + (own is not None)
    tree = cKDTree(points, balanced_tree=False)
    distances, indices = tree.query(queries, k=range(1, most + 1))
    if own is not None:
        # The query is somewhere among its own results, save where more than k copies of it stand before it.
        itself = indices == own[:, None]
        itself[~itself.any(axis=1), -1] = True
        distances = distances[~itself].reshape(len(queries), k)
        indices = indices[~itself].reshape(len(queries), k)
    order = np.lexsort((indices, distances))
    rows = np.arange(len(queries))[:, None]
    return distances[rows, order].astype(np.float32), indices[rows, order].astype(np.int64)


# -- many dimensions -------------------------------------------------------------------------------------


@dataclass
class _Candidates:
    """The `keep` best points found so far for each query, by rounded half squared distance."""

    keep: int
    bound: np.ndarray  # float32 (q,): no better than the keep-th best score so far
    rows: list[np.ndarray]
    columns: list[np.ndarray]
    scores: list[np.ndarray]
    within: np.ndarray  # room for a tile of truth values
    held: int = 0

    def offer(self, tile: np.ndarray, first_row: int, first_column: int) -> None:
        """Take a tile of scores into account for the queries of its rows."""
        bound = self.bound[first_row : first_row + tile.shape[0]]
        hits = _promising(tile, bound, self.keep, 1, self.within)
        rows, columns = np.divmod(hits, tile.shape[1])
        self._add(rows + first_row, columns + first_column, tile.ravel()[hits])

    def offer_mirrored(self, tile: np.ndarray, first_row: int, first_column: int) -> None:
        """Take a tile into account for the points of its columns, as `offer` of its transpose would."""
        bound = self.bound[first_column : first_column + tile.shape[1]]
        hits = _promising(tile, bound, self.keep, 0, self.within)
        rows, columns = np.divmod(hits, tile.shape[1])
        self._add(columns + first_column, rows + first_row, tile.ravel()[hits])

    def _add(self, rows: np.ndarray, columns: np.ndarray, scores: np.ndarray) -> None:
        self.rows.append(rows.astype(np.int32))
        self.columns.append(columns.astype(np.int32))
        self.scores.append(scores)
        self.held += len(rows)
        if self.held > 8 * self.keep * len(self.bound) + 16 * self.keep * _TILE:
            self.compress()

    def compress(self) -> None:
        """Forget all but the `keep` best of each query, and tighten the bounds to them."""
        rows = np.concatenate(self.rows)
        scores = np.concatenate(self.scores)
        # One sort by row and score: the bits of a float that is not negative are ordered like its value.
        keys = rows.astype(np.uint64) << np.uint64(32)
        keys |= np.maximum(scores, 0).view(np.uint32)
        order = np.argsort(keys)
        starts = np.searchsorted(rows[order], np.arange(len(self.bound) + 1))
        rank = np.arange(len(rows)) - np.repeat(starts[:-1], np.diff(starts))
        order = order[rank < self.keep]
        full = np.diff(starts) >= self.keep
        last = order[np.cumsum(np.minimum(np.diff(starts), self.keep))[full] - 1]
        self.bound[full] = np.minimum(self.bound[full], scores[last])
        self.columns = [np.concatenate(self.columns)[order]]
        self.rows, self.scores = [rows[order]], [scores[order]]
        self.held = len(order)


def _promising(tile: np.ndarray, bound: np.ndarray, keep: int, axis: int, within: np.ndarray) -> np.ndarray:
    """Positions in the flat tile of scores within the bounds, tightened in place where these are many.

    `axis` is the one along which the scores of a query lie: 1 for rows of the tile, 0 for its columns. The
    truth values take the room of `within`.
    """
    limits = bound[:, None] if axis == 1 else bound[None, :]
    places = within[: tile.size].reshape(tile.shape)
    if np.isinf(bound).any():
        _tighten(tile, bound, keep, axis)
    hits = np.flatnonzero(np.less_equal(tile, limits, out=places))
    if len(hits) > 4 * keep * len(bound):
        _tighten(tile, bound, keep, axis)
        hits = np.flatnonzero(np.less_equal(tile, limits, out=places))
    if len(hits) > 16 * keep * len(bound):  # ties without end
        best = np.argpartition(tile, keep - 1, axis=axis).take(range(keep), axis=axis)
        across, along = np.indices(best.shape)
        places = across * tile.shape[1] + best if axis == 1 else best * tile.shape[1] + along
        hits = places.ravel()
    return hits


def _tighten(tile: np.ndarray, bound: np.ndarray, keep: int, axis: int) -> None:
    """Lower the bounds to the keep-th smallest minimum of groups of scores, which is no less."""
    length = tile.shape[axis]
    if length < keep:
        return
    fold = max(1, min(8, length // (4 * keep)))
    whole = length // fold * fold
    if axis == 1:
        minima = tile[:, :whole].reshape(len(bound), fold, -1).min(axis=1)
    else:
        minima = tile[:whole].reshape(fold, -1, len(bound)).min(axis=0)
    np.minimum(bound, np.partition(minima, keep - 1, axis=axis).take(keep - 1, axis=axis), out=bound)


def _by_tiles(
    queries: np.ndarray, points: np.ndarray, k: int, own: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    available = len(points) - (own is not None)
    unit = _unit(len(queries) * len(points), queries.shape[1])
    keep = min(k + (_COARSE_SPARE if unit == "bf16" else _SPARE), available)
    # With columns for the half norms, one product gives |q|²/2 + |p|²/2 − q·p: half the squared distance.
    centre = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    left, reach = _with_norms(queries, centre, query=True)
    right, extent = _with_norms(points, centre, query=False)
    if unit not in ("numpy", "bf16"):
        nominees, bound = _candidates_of_torch(left, right, keep, own, unit)
    else:
        symmetric = own is not None and queries.shape == points.shape and queries is points
        with _products(unit) as product:
            nominees, bound = _candidates(left, right, keep, own, symmetric, product)
    columns = np.sort(nominees, axis=1)
    rows = np.repeat(np.arange(len(queries)), keep)
    squares = _squared_distances(queries, points, rows, columns.ravel()).reshape(columns.shape)
    rank = np.argsort(squares, axis=1, kind="stable")[:, :k]
    indices = np.take_along_axis(columns, rank, axis=1)
    squares = np.take_along_axis(squares, rank, axis=1)
    if keep < available:
        # Rounding of a sum of d + 2 products of total size (|q| + |p|)²/2, with a factor of two to spare. A
        # point nearer than the worst found has |p| ≤ |q| + worst, so that a few far away points cost nothing.
        worst = squares[:, -1]
        furthest = np.minimum(reach + np.sqrt(worst), extent.max())
        slack = (queries.shape[1] + 16) * 2.0**-23 * (reach + furthest) ** 2 / 2
        doubt = slack + (_COARSE_ERROR * reach * furthest if unit == "bf16" else 0)
        open_rows = np.flatnonzero((worst / 2 + doubt >= bound) & (worst > 0))
        limits = (worst / 2 + 2 * slack)[open_rows].astype(np.float32)
        _search_again(open_rows, limits, (queries, points), (left, right), own, squares, indices)
    return np.sqrt(squares).astype(np.float32), indices


def _with_norms(vectors: np.ndarray, centre: np.ndarray, query: bool) -> tuple[np.ndarray, np.ndarray]:
    """Centred vectors with the columns that make a product a distance; and the norms, float64 (n,).

    Half the square of a norm stands in three columns of 8 significant bits each, which bfloat16 keeps.
    """
    n, d = vectors.shape
    wide = np.ones((n, d + 6), np.float32)
    np.subtract(vectors, centre, out=wide[:, :d])
    half = np.einsum("ij,ij->i", wide[:, :d], wide[:, :d]) / 2
    if not query:
        np.negative(wide[:, :d], out=wide[:, :d])
    left = half.copy()
    for column in range(d, d + 3) if query else range(d + 3, d + 6):
        wide[:, column] = (left.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        left -= wide[:, column]
    return wide, np.sqrt(2 * half.astype(np.float64))


def _unit(pairs: int, dimensions: int) -> str:
    """Choose what multiplies so many pairs of rows: numpy, `bf16` (matrix units), or a GPU of torch."""
    if pairs * dimensions < (_SOME if "torch" in sys.modules else _MUCH):
        return "numpy"
    if Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists():
        import torch

        if torch.cuda.is_available():
            return "cuda"
    return "bf16" if dimensions >= _WIDE and _has_matrix_units() else "numpy"


@cache
def _has_matrix_units() -> bool:
    try:
        return " amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


@contextmanager
def _products(unit: str) -> Iterator[Callable[[np.ndarray, np.ndarray, np.ndarray], object]]:
    """Give what writes the product of a matrix and the transpose of another into a third, on one thread.

    On small tiles a second thread mostly waits, at full CPU cost.
    """
    if unit == "numpy":
        with _blas_threads().limit(limits=1):
            yield lambda left, right, out: np.matmul(left, right.T, out=out)
        return
    import torch

    settings: Any = torch.backends.mkldnn
    precision, threads = settings.matmul.fp32_precision, torch.get_num_threads()
    settings.matmul.fp32_precision = "bf16"
    torch.set_num_threads(1)
    try:
        yield lambda left, right, out: torch.mm(
            torch.from_numpy(left), torch.from_numpy(right).T, out=torch.from_numpy(out)
        )
    finally:
        settings.matmul.fp32_precision = precision
        torch.set_num_threads(threads)


@cache
def _blas_threads() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _candidates(
    left: np.ndarray,
    right: np.ndarray,
    keep: int,
    own: np.ndarray | None,
    symmetric: bool,
    product: Callable[[np.ndarray, np.ndarray, np.ndarray], object],
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the best points by score, int64 (q, keep), and the worst of their scores, float32 (q,)."""
    room = np.empty(_TILE**2, np.float32)
    bound = np.full(len(left), np.inf, np.float32)
    found = _Candidates(keep, bound, [], [], [], np.empty(_TILE**2, bool))
    for r in range(0, len(left), _TILE):
        # Among one set of points, the tile above the diagonal is also, transposed, the one below it.
        for c in range(r if symmetric else 0, len(right), _TILE):
            some, others = left[r : r + _TILE], right[c : c + _TILE]
            tile = room[: len(some) * len(others)].reshape(len(some), len(others))
            product(some, others, tile)
            if own is not None:
                inside = own[r : r + _TILE] - c
                here = np.flatnonzero((inside >= 0) & (inside < tile.shape[1]))
                tile[here, inside[here]] = np.inf
            found.offer(tile, r, c)
            if symmetric and c > r:
                found.offer_mirrored(tile, r, c)
    found.compress()
    return found.columns[0].reshape(len(left), keep).astype(np.int64), found.bound


def _candidates_of_torch(
    left: np.ndarray, right: np.ndarray, keep: int, own: np.ndarray | None, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Do what `_candidates` does, on a device of torch."""
    import torch

    points = torch.from_numpy(right).to(device).T
    step = max(1, _GPU_STRIP // len(right))
    parts = []
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    try:
        for start in range(0, len(left), step):
            scores = torch.from_numpy(left[start : start + step]).to(device) @ points
            if own is not None:
                places = torch.from_numpy(own[start : start + step]).to(device)
                scores.scatter_(1, places[:, None], torch.inf)
            best, columns = scores.topk(keep, largest=False)
            parts.append((columns.cpu().numpy(), best[:, -1].cpu().numpy()))
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
    return np.concatenate([columns for columns, _ in parts]), np.concatenate([worst for _, worst in parts])


def _search_again(
    rows: np.ndarray,
    limits: np.ndarray,
    vectors: tuple[np.ndarray, np.ndarray],
    wide: tuple[np.ndarray, np.ndarray],
    own: np.ndarray | None,
    squares: np.ndarray,
    indices: np.ndarray,
) -> None:
    """Search `rows` again among all points of a score within `limits`; write into the last two."""
    k = indices.shape[1]
    step = max(1, _STRIP // len(wide[1]))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        scores = wide[0][some] @ wide[1].T
        if own is not None:
            scores[np.arange(len(some)), own[some]] = np.inf
        r, c = np.divmod(np.flatnonzero(scores <= limits[start : start + step, None]), scores.shape[1])
        exact = _squared_distances(*vectors, some[r], c)
        order = np.lexsort((c, exact, r))
        first = np.searchsorted(r, np.arange(len(some)))  # r is ascending, also after the sort
        best = order[first[:, None] + np.arange(k)]
        squares[some], indices[some] = exact[best], c[best]


def _squared_distances(
    queries: np.ndarray, points: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Squared distance of each pair (query row, point column), by differences in float64."""
    out = np.empty(len(rows))
    step = max(1, _EXACT // queries.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        difference = queries[rows[part]].astype(np.float64)
        difference -= points[columns[part]]
        np.einsum("ij,ij->i", difference, difference, out=out[part])
    return out


# -- within a radius ---------------------------------------------------------------------------------------


def nearest_within(
    queries: np.ndarray, points: np.ndarray, radii: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest point of each query that is no farther than a radius.

    Parameters
    ----------
    queries, points
        As for `nearest_neighbours`.
    radii
        One for all, or one for each query, (q,), not negative.

    Returns
    -------
    Distances, float32 (q,), infinite where no point is so near; and positions in `points`, int64 (q,), -1
    where there is none, the first of those at the same distance.

    Notes
    -----
    Distances in a projection are no greater than those in the full space. So a k-d tree in the directions
    of the largest variance gives all points that may be near enough, and these are compared in full. Where
    the radius is small against the spread they are few, and the time grows hardly faster than the rows.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    points = np.ascontiguousarray(points, dtype=np.float32)
    limits = np.broadcast_to(np.asarray(radii, dtype=np.float32), (len(queries),))
    distances = np.full(len(queries), np.inf, dtype=np.float32)
    indices = np.full(len(queries), -1, dtype=np.int64)
    if not len(queries) or not len(points):
        return distances, indices
    everywhere = np.arange(len(queries))
    if points.shape[1] > TREE_DIMENSIONS and len(queries) * len(points) > _FEW_PAIRS:
        everywhere = _by_projection(queries, points, limits, distances, indices)
    if len(everywhere):
        found, places = nearest_neighbours(queries[everywhere], points, 1)
        near = found[:, 0] <= limits[everywhere]
        distances[everywhere[near]], indices[everywhere[near]] = found[near, 0], places[near, 0]
    return distances, indices


def _by_projection(
    queries: np.ndarray, points: np.ndarray, limits: np.ndarray, distances: np.ndarray, indices: np.ndarray
) -> np.ndarray:
    """Fill in the last two; give the positions of queries with too many points around them for a tree."""
    from scipy.spatial import cKDTree

    basis = _directions(points)
    projected, sought = points @ basis, queries @ basis
    tree = cKDTree(projected, balanced_tree=False)
    # What rounding may add to a distance in the projection.
    slack = 1e-5 * float(max(np.abs(points).max(), np.abs(queries).max())) * points.shape[1] ** 0.5
    crowded = []
    for start in range(0, len(queries), _QUERIES):
        block = np.arange(start, min(start + _QUERIES, len(queries)))
        reach = limits[block] + slack
        counts = tree.query_ball_point(sought[block], reach, return_length=True)
        many = counts > _CROWDED * len(points)
        crowded.append(block[many])
        rows = np.flatnonzero(~many & (counts > 0))
        for part in np.split(rows, np.flatnonzero(np.diff(np.cumsum(counts[rows]) // _PAIRS)) + 1):
            if len(part):
                lists = tree.query_ball_point(sought[block[part]], reach[part])
                _compare_listed(block[part], lists, (queries, points), limits, distances, indices)
    return np.concatenate(crowded)


def _compare_listed(
    rows: np.ndarray,
    lists: Sequence[Sequence[int]],
    vectors: tuple[np.ndarray, np.ndarray],
    limits: np.ndarray,
    distances: np.ndarray,
    indices: np.ndarray,
) -> None:
    """Compare queries with the points that the tree found, and write the nearest into the last two."""
    queries, points = vectors
    left = np.repeat(rows, [len(found) for found in lists])
    right = np.concatenate([np.asarray(found, dtype=np.int64) for found in lists])
    exact = np.sqrt(_squared_distances(queries, points, left, right))
    found = exact.astype(np.float32)
    near = np.flatnonzero(found <= limits[left])
    order = near[np.lexsort((right[near], exact[near], left[near]))]
    first = order[np.unique(left[order], return_index=True)[1]]
    distances[left[first]], indices[left[first]] = found[first], right[first]


def _directions(points: np.ndarray) -> np.ndarray:
    """Orthonormal directions in which points spread most, float32 (d, TREE_DIMENSIONS)."""
    sample = points[np.linspace(0, len(points) - 1, min(len(points), _BASIS_ROWS)).astype(np.int64)]
    centred = sample.astype(np.float64) - sample.mean(axis=0, dtype=np.float64)
    basis = np.linalg.svd(centred, full_matrices=False)[2][:TREE_DIMENSIONS]
    return np.ascontiguousarray(basis.T, dtype=np.float32)
