"""Near-duplicates among very many short texts: exactly, and by candidates that are then verified.

    python -m bench.near_duplicates 1000000                  what the screening does: every pair, exactly
    python -m bench.near_duplicates 1000000 --candidates     MinHash, joined in DuckDB (rensa, duckdb)
    python -m bench.near_duplicates 10000000 --candidates --folder /with/50/GB

Texts are of 6 to 24 words by Zipf's law; in one of fifty a word of another one is replaced. Near means a
Jaccard index of character trigrams of .8 or more. Candidates agree in one of 36 bands of 9 minima, which two
texts at .8 do with probability .994, at .3 with .0007. Recall is that of all pairs of some texts, exactly.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evenly.features.ngramsets import ngram_sets, normalised_text
from evenly.screening.similarity import Pairs, joined_pairs, similar_sets

NEAR, N = 0.8, 3
BANDS, MINIMA = 36, 9
BLOCK = 10_000  # texts whose signatures are computed at once
PAIRS = 100_000  # that are verified at once
SAMPLE = 10_000  # texts whose pairs are all found exactly, for the recall


def main() -> None:
    """Print CPU seconds and peak memory of one way, step by step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("texts", nargs="?", type=int, default=100_000)
    parser.add_argument("--candidates", action="store_true")
    parser.add_argument("--folder", type=Path, help="for DuckDB's file; a temporary one otherwise")
    chosen = parser.parse_args()
    texts = made_texts(chosen.texts)
    said(f"{len(texts):,} texts made")
    if not chosen.candidates:
        found = joined_pairs(similar_sets(ngram_sets(texts, N), None, NEAR))
        said(f"{len(found):,} pairs, exactly")
        return
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        found = by_candidates(texts, Path(folder))
    hit, there = recall(texts, found)
    said(f"recall {hit / max(1, there):.4f}: {hit:,} of the {there:,} pairs of {SAMPLE:,} texts")


def said(what: str) -> None:
    """Print what is done, the CPU seconds of the process so far, and its peak memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.process_time():9.1f} s CPU {peak:6.2f} GiB  {what}", flush=True)


def made_texts(rows: int) -> list[str]:
    """Sentences, some of which are another one of the last fifty with a word replaced."""
    rng = np.random.default_rng(0)
    letters = np.array(list("aaabcdeeefghiiklmnooprstuvw"))
    words = np.unique(["".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(40_000)])
    rng.shuffle(words)
    share = 1 / (np.arange(len(words)) + 3)
    texts: list[str] = []
    while len(texts) < rows:
        lengths = rng.integers(6, 25, min(BLOCK, rows - len(texts)))
        drawn = words[rng.choice(len(words), lengths.sum(), p=share / share.sum())]
        ends = np.cumsum(lengths)
        block = [" ".join(drawn[a:b]) for a, b in zip(ends - lengths, ends, strict=True)]
        for k in range(50, len(block), 50):
            other = block[k - int(rng.integers(1, 50))].split()
            other[int(rng.integers(len(other)))] = str(words[rng.integers(len(words))])
            block[k] = " ".join(other)
        texts += block
    return texts


def by_candidates(texts: list[str], folder: Path) -> Pairs:
    """Pairs that share a band of minima, and are near."""
    import duckdb

    database = duckdb.connect(str(folder / "bands.duckdb"))
    database.execute("SET memory_limit = '3GB'; SET threads = 1; SET preserve_insertion_order = false")
    database.execute("CREATE TABLE bands (band UTINYINT, hash UBIGINT, text UINTEGER)")
    for first, hashes in bands(texts):
        rows = np.arange(first, first + len(hashes), dtype=np.uint32)
        block = {
            "band": np.repeat(np.arange(BANDS, dtype=np.uint8), len(rows)),
            "hash": hashes.T.ravel(),
            "text": np.tile(rows, BANDS),
        }
        insert(database, block)
    said("bands are in DuckDB")
    database.execute("CREATE TABLE pairs (a UINTEGER, b UINTEGER)")
    for band in range(BANDS):  # one after the other, so that memory does not grow with their number
        database.execute(
            "INSERT INTO pairs SELECT x.text, y.text FROM bands x JOIN bands y ON x.hash = y.hash "
            f"AND x.text < y.text WHERE x.band = {band} AND y.band = {band}"
        )
    wanted = database.execute("SELECT DISTINCT a, b FROM pairs ORDER BY a, b")
    candidates, near = 0, []
    while chunk := wanted.fetchmany(PAIRS):
        a, b = np.array(chunk, dtype=np.int64).T
        candidates += len(a)
        near.append(verified(texts, a, b))
    found = joined_pairs(near)
    said(f"{candidates:,} candidates, of which {len(found):,} pairs are near")
    return found


def insert(database: Any, columns: dict[str, np.ndarray]) -> None:
    """Add rows to the table of bands."""
    import pyarrow as pa

    block = pa.table(columns)
    database.register("block", block)
    database.execute("INSERT INTO bands SELECT * FROM block")
    database.unregister("block")


def bands(texts: list[str]) -> Iterator[tuple[int, np.ndarray]]:
    """A hash of each band of minima, uint64 (texts, bands), of some texts at a time."""
    from rensa import RMinHash

    odd = np.random.default_rng(1).integers(1, 2**62, MINIMA, dtype=np.uint64) * 2 + 1
    for first in range(0, len(texts), BLOCK):
        plain = [text.ljust(N, "\0") for text in map(normalised_text, texts[first : first + BLOCK])]
        lengths = np.fromiter(map(len, plain), dtype=np.int64, count=len(plain))
        points = np.frombuffer("".join(plain).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
        grams = points[:-2] << np.uint64(42) | points[1:-1] << np.uint64(21) | points[2:]
        ends = np.cumsum(lengths)
        inside = np.ones(len(points), dtype=bool)
        for k in range(1, N):
            inside[ends - k] = False
        starts = np.concatenate([[0], np.cumsum(lengths - N + 1)]).astype(np.uint64)
        grams = np.ascontiguousarray(grams[inside[: len(grams)]])
        minima = RMinHash.digest_matrix_from_flat_token_hashes(grams, starts, BANDS * MINIMA, 42)
        rows = np.array(minima.to_rows(), dtype=np.uint64).reshape(len(plain), BANDS, MINIMA)
        hashes = rows @ odd
        yield first, hashes ^ hashes >> np.uint64(29)


def verified(texts: list[str], a: np.ndarray, b: np.ndarray) -> Pairs:
    """The pairs whose sets of trigrams are near."""
    from scipy.sparse import csr_matrix

    rows, places = np.unique(np.concatenate([a, b]), return_inverse=True)
    sets = ngram_sets([texts[row] for row in rows], N)
    ones = np.ones(len(sets.tokens), dtype=np.int8)
    held = csr_matrix((ones, sets.tokens, sets.starts), shape=(len(sets), max(1, sets.vocabulary)))
    x, y = places[: len(a)], places[len(a) :]
    common = np.asarray(held[x].multiply(held[y]).sum(axis=1)).ravel()
    similarity = common / np.maximum(1, sets.sizes[x] + sets.sizes[y] - common)
    near = similarity >= NEAR
    return Pairs(a[near], b[near], similarity[near])


def recall(texts: list[str], found: Pairs) -> tuple[int, int]:
    """How many of the pairs of some texts were found, and how many there are."""
    chosen = np.sort(np.random.default_rng(2).permutation(len(texts))[:SAMPLE])
    some, known = (
        [texts[row] for row in chosen],
        set(zip(found.left.tolist(), found.right.tolist(), strict=True)),
    )
    there = set()
    for first in range(0, len(texts), 25 * BLOCK):
        block = texts[first : first + 25 * BLOCK]
        sets = ngram_sets([*some, *block], N)
        left, right = sets[np.arange(len(some))], sets[np.arange(len(some), len(sets))]
        for pairs in similar_sets(left, right, NEAR):
            ends = np.stack([chosen[pairs.left], pairs.right + first])
            there |= {(a, b) for a, b in np.sort(ends, axis=0).T.tolist() if a < b}
    return len(there & known), len(there)


if __name__ == "__main__":
    main()
