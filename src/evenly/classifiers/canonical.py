"""skops files without what differs from run to run: addresses in memory, and times."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

_EPOCH = (1980, 1, 1, 0, 0, 0)


def canonical_skops(content: bytes) -> bytes:
    """Compress a skops file, its object ids numbered in order of appearance, and without times.

    skops names objects and array files by their address in memory, and the archive dates its members.
    """
    source = zipfile.ZipFile(io.BytesIO(content))
    numbers: dict[str, int] = {}

    def number(identifier: str) -> int:
        return numbers.setdefault(identifier, len(numbers))

    members: dict[str, str] = {}

    def renumbered(node: Any) -> Any:
        if isinstance(node, list):
            return [renumbered(item) for item in node]
        if not isinstance(node, dict):
            return node
        out: dict[str, Any] = {}
        for key, value in node.items():
            if key == "__id__":
                # Which constants Python keeps one copy of is chance: none of them shares its number.
                constant = node.get("__loader__") == "JsonNode"
                out[key] = number(f"constant {len(numbers)}" if constant else str(value))
            elif key == "file" and isinstance(value, str):
                stem, dot, ending = value.partition(".")
                members[value] = out[key] = f"{number(stem)}{dot}{ending}"
            else:
                out[key] = renumbered(value)
        return out

    schema = json.dumps(renumbered(json.loads(source.read("schema.json"))), indent=1)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for old, new in members.items():
            archive.writestr(_member(new), source.read(old))
        archive.writestr(_member("schema.json"), schema)
    return target.getvalue()


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info
