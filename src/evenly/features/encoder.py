"""Texts as vectors of a frozen pretrained encoder: the mean of its token vectors, brought to length 1.

Reimers and Gurevych, "Sentence-BERT", EMNLP 2019 (1908.10084).
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from evenly.errors import DataError
from evenly.features.pretrained import (
    Tokens,
    equal_length_batches,
    load_network,
    load_tokenizer,
    pretrained_folder,
    tokenised,
)
from evenly.features.vectors import null_payload, present_payload, with_given_vectors, write_description
from evenly.files import atomic_folder
from evenly.params.features import TextFeatures
from evenly.samples import SampleTable

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

KEY = "features.text.encoder"
#: Tokens in a batch: on a CPU small batches stay in its caches and waste little where few texts have the same
#: length, a GPU wants large ones.
CPU_TOKENS = 256
GPU_TOKENS = 16_384
#: Texts or images whose vectors are computed before they go into the cache.
_ROUND = 4096
_KEYS_AT_ONCE = 500  # in one query of the cache
_PATIENCE = 60.0  # seconds to wait while another process writes to the cache


@dataclass(frozen=True, eq=False)
class Encoder:
    """Featurizer of texts by a network that is named, not contained: `save` writes its name and checksum.

    `sha256` is of its weights, config and tokenizer: another network under the same name is refused.
    `max_length` is the most tokens of a text that are read; `cache` has vectors of texts by content.
    """

    name: str
    sha256: str
    dimension: int
    max_length: int
    cache: VectorCache | None = None

    def transform(self, samples: SampleTable) -> np.ndarray:
        """Give unit vectors, float32 (n, dimension).

        The vector of a text depends on that text alone, not on the other rows. Equal texts are computed once.
        """
        return with_given_vectors(samples, self.dimension, self._vectors)

    def payload(self, vectors: np.ndarray) -> Mapping[str, pa.Array]:
        """Give a null text each, and the vectors themselves: no text can be read off a vector."""
        return null_payload(vectors)

    def save(self, folder: str | Path) -> None:
        """Write which network it is, as JSON."""
        description = {"kind": "encoder", "encoder": self.name}
        description |= {k: getattr(self, k) for k in ("sha256", "dimension", "max_length")}
        with atomic_folder(folder) as temporary:
            write_description(description, temporary)

    @classmethod
    def from_description(cls, description: Mapping[str, Any], cache: Path | None = None) -> Encoder:
        """Rebuild what `save` wrote; the network is looked for when the first text is to be read."""
        fixed = {key: description[key] for key in ("sha256", "dimension", "max_length")}
        return cls(description["encoder"], **fixed, cache=None if cache is None else VectorCache(cache))

    @cached_property
    def _network(self) -> _FrozenNetwork:
        folder = pretrained_folder(self.name, KEY)
        if network_checksum(folder) != self.sha256:
            raise DataError(
                f"{folder} is not the encoder {self.name!r} that these features were made with; bring that "
                "one back, or run `dvc repro featurize` to make the features anew."
            )
        return _FrozenNetwork(folder)

    def _vectors(self, samples: SampleTable) -> np.ndarray:
        texts = np.asarray(present_payload(samples), dtype=object)
        return cached_vectors(texts, self._cache_key, self._encoded, self.dimension, self.cache)

    def _encoded(self, texts: Sequence[str]) -> np.ndarray:
        return self._network.vectors(list(texts), self.max_length)

    def _cache_key(self, text: str) -> bytes:
        precision = "bf16" if _uses_bf16() else "fp32"
        kind = f"{self.sha256} {self.max_length} {precision} {CPU_TOKENS}"
        return hashlib.sha256(f"{kind} {text}".encode()).digest()


def fit_encoder(settings: TextFeatures, cache: Path | None = None) -> Encoder:
    """Find the encoder that the settings name; there is nothing to fit.

    Raises
    ------
    ModelError
        When it cannot be had, saying what to do.
    """
    folder = pretrained_folder(settings.encoder, KEY)
    dimension = int(load_network(folder, KEY).config.hidden_size)
    kept = None if cache is None else VectorCache(cache)
    return Encoder(settings.encoder, network_checksum(folder), dimension, settings.max_length, kept)


def network_checksum(folder: Path) -> str:
    """SHA-256 of the weights, config and tokenizer in a folder, by name and content."""
    patterns = ("config.json", "tokenizer.json", "vocab.txt", "*.safetensors", "pytorch_model*.bin")
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


class _FrozenNetwork:
    """An encoder in memory, in bfloat16 where the processor computes with it."""

    def __init__(self, folder: Path) -> None:
        import torch

        self.tokenizer: Tokenizer
        self.tokenizer, _, self.longest = load_tokenizer(folder, KEY)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if _uses_bf16() else torch.float32
        self.network: PreTrainedModel = load_network(folder, KEY, dtype)
        self.network.to(self.device)  # type: ignore[arg-type]

    def vectors(self, texts: list[str], max_length: int) -> np.ndarray:
        """Unit vectors of texts, float32 (n, d)."""
        tokens = tokenised(texts, self.tokenizer, min(max_length, self.longest or max_length))
        on_gpu = self.device.type == "cuda"
        batches = equal_length_batches(tokens.lengths, GPU_TOKENS if on_gpu else CPU_TOKENS)
        out = np.empty((len(texts), int(self.network.config.hidden_size)), dtype=np.float32)

        def encode(rows: np.ndarray) -> None:
            out[rows] = self._encoded(tokens, rows)

        with one_thread_each(1 if on_gpu else None) as pool:
            for _ in pool.map(encode, batches):
                pass
        return out

    def _encoded(self, tokens: Tokens, rows: np.ndarray) -> np.ndarray:
        import torch

        ids = torch.from_numpy(tokens.padded(rows)).to(self.device)
        with torch.inference_mode():
            states = self.network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            unit = torch.nn.functional.normalize(states.float().mean(dim=1), dim=1)
        return np.asarray(unit.cpu().numpy())


@contextmanager
def one_thread_each(workers: int | None) -> Iterator[ThreadPoolExecutor]:
    """Give a pool whose workers compute with one thread each, as many as torch would use, or `workers`.

    A matrix product's last bits depend on the threads that share it; and small products are faster that way.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers or threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def _uses_bf16() -> bool:
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def cached_vectors(
    payloads: np.ndarray,
    key: Callable[[Any], bytes],
    encode: Callable[[Sequence[Any]], np.ndarray],
    dimension: int,
    cache: VectorCache | None,
) -> np.ndarray:
    """Vectors of texts or images, object (n,): each computed once, and not where the cache has it."""
    unique, rows = np.unique(payloads, return_inverse=True)
    vectors = np.empty((len(unique), dimension), dtype=np.float32)
    keys = [key(payload) for payload in unique]
    known = cache.read(keys, dimension) if cache else {}
    for row, vector in known.items():
        vectors[row] = vector
    # Texts of about one length go together: what is encoded at once has then few lengths, each of which costs
    # whole batches.
    rows_left = sorted((row for row in range(len(unique)) if row not in known), key=lambda k: len(unique[k]))
    unknown = np.array(rows_left, dtype=np.int64)
    for start in range(0, len(unknown), _ROUND):
        part = unknown[start : start + _ROUND]
        vectors[part] = encode([unique[row] for row in part])
        if cache:
            cache.write([keys[row] for row in part], vectors[part])
    return vectors[rows]


class VectorCache:
    """Vectors by content, in one SQLite file that runs and experiments share; losing it costs time only."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "vectors.sqlite"

    def read(self, keys: Sequence[bytes], dimension: int) -> dict[int, np.ndarray]:
        """Vectors that are there, float32 (dimension,), by position of their key."""
        if not self.path.exists():
            return {}
        found: dict[bytes, np.ndarray] = {}
        try:
            with self._open() as database:
                for start in range(0, len(keys), _KEYS_AT_ONCE):
                    part = keys[start : start + _KEYS_AT_ONCE]
                    marks = ",".join("?" * len(part))
                    query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"
                    for key, vector in database.execute(query, part):
                        found[key] = np.frombuffer(vector, dtype="<f4")
        except (sqlite3.Error, TypeError, ValueError) as error:
            logger.warning("%s cannot be read (%s); vectors are computed anew.", self.path, error)
        return {
            row: found[key] for row, key in enumerate(keys) if key in found and len(found[key]) == dimension
        }

    def write(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Add vectors, float32 (n, dimension)."""
        blobs = [vector.astype("<f4").tobytes() for vector in vectors]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as database:
                database.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)")
                database.executemany(
                    "INSERT OR REPLACE INTO vectors VALUES (?, ?)", zip(keys, blobs, strict=True)
                )
        except (sqlite3.Error, OSError) as error:
            logger.warning("%s cannot be written (%s); go on without it.", self.path, error)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=_PATIENCE)) as database, database:
            yield database
