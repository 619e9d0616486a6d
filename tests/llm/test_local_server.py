"""The recipe of docs/llm.md for a local server, tried for real: `transformers serve` with a tiny model."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evenly.llm.engine.engine import Engine
from evenly.llm.engine.messages import Answer, ChatRequest
from evenly.params.llm import EngineSettings

pytest.importorskip("fastapi", reason='needs pip install "transformers[serving]"')
COMMAND = Path(sys.executable).with_name("transformers")
SECONDS_TO_START = 900


def save_tiny_model(folder: Path) -> None:
    """A causal model of random weights that knows single bytes: it writes nonsense, quickly."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    pieces = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    bytes_only = Tokenizer(models.BPE(vocab={piece: k for k, piece in enumerate(pieces)}, merges=[]))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytes_only, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant: "
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def fetched(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=900) as reply:
        return json.loads(reply.read())


@pytest.fixture(scope="module")
def local_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address of the server and name of its model; everything offline."""
    if not COMMAND.exists():
        pytest.skip('needs pip install "transformers[serving]"')
    folder = tmp_path_factory.mktemp("server")
    save_tiny_model(folder / "model")
    (folder / "cache" / "hub").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "HF_HOME": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [str(COMMAND), "serve", str(folder / "model"), "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--device", "cpu", "--dtype", "float32"], env=environment, stdout=out, stderr=out
        )
    try:
        for _ in range(2 * SECONDS_TO_START):
            if process.poll() is not None:
                pytest.fail(f"transformers serve ended: {log.read_text()[-2000:]}")
            try:
                fetched(f"http://127.0.0.1:{port}/health")
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail(f"transformers serve did not come up: {log.read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}", str(folder / "model")
    finally:
        process.kill()
        process.wait()


def ask(settings: EngineSettings, folder: Path, *requests: ChatRequest) -> list[Answer]:
    async def run() -> list[Answer]:
        async with Engine(settings, {}, folder) as engine:
            return [await engine.complete(request) for request in requests]

    return asyncio.run(run())


def request(text: str, ordinal: int = 0) -> ChatRequest:
    schema = {"type": "object", "properties": {"samples": {"type": "array", "items": {"type": "string"}}}}
    return ChatRequest(({"role": "user", "content": text},), schema=schema, ordinal=ordinal)


def test_health_and_models_answer(local_server):
    base, _ = local_server
    assert fetched(f"{base}/health") == {"status": "ok"}
    assert fetched(f"{base}/v1/models")["object"] == "list"


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_comes_back_with_its_tokens_and_is_journalled(local_server, tmp_path, stream):
    base, model = local_server
    settings = EngineSettings(base_url=f"{base}/v1", model=model, max_tokens=8, temperature=0, stream=stream)
    first, same = ask(settings, tmp_path, request("hello"), request("hello"))
    assert first.failure in (None, "truncated", "empty"), first.error
    assert first.usage.exact
    assert first.usage.prompt_tokens > len("hello")
    assert 0 < first.usage.completion_tokens <= 8
    assert not first.from_journal
    assert same.from_journal
    assert same.text == first.text
