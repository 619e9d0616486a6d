"""Prompt files: Jinja templates that users edit, rendered to messages in a sandbox.

A prompt file has the blocks `system` (may be left out) and `user`. What they are filled with is decided in
`evenly.llm.writing.requests`.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, StrictUndefined, Template, TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.loaders import FileSystemLoader
from jinja2.sandbox import ImmutableSandboxedEnvironment

from evenly.errors import ParameterError
from evenly.llm.engine.messages import Message

PROMPTS_FOLDER = Path("prompts")


class Prompts:
    """The prompt files of a folder, each compiled once.

    Values are inserted as they are; the filter `json` writes them as JSON, which keeps text that came from
    data recognisable as data.
    """

    def __init__(self, folder: str | Path = PROMPTS_FOLDER) -> None:
        self.folder = Path(folder)
        loader: BaseLoader = FileSystemLoader(self.folder)
        self._environment = ImmutableSandboxedEnvironment(
            loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False
        )
        self._environment.filters["json"] = _as_json

    def messages(self, name: str, values: Mapping[str, Any]) -> tuple[Message, ...]:
        """The messages that a prompt file gives with these values."""
        template = self._template(name)
        try:
            texts = {
                role: _tidied("".join(template.blocks[role](template.new_context(dict(values)))))
                for role in ("system", "user")
                if role in template.blocks
            }
        except TemplateError as error:
            known = ", ".join(sorted(values))
            raise ParameterError(f"{_place(error, template)}: {error.message}; there are {known}.") from error
        except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
            raise ParameterError(f"{_place(error, template)}: {error}; mend the prompt.") from error
        return tuple({"role": role, "content": text} for role, text in texts.items() if text)

    def _template(self, name: str) -> Template:
        try:
            template = self._environment.get_template(name)
        except TemplateNotFound:
            there = sorted(path.name for path in self.folder.glob("*.jinja"))
            raise ParameterError(
                f"{self.folder / name} does not exist; there are {', '.join(there) or 'no prompt files'}."
            ) from None
        except TemplateSyntaxError as error:
            raise ParameterError(f"{self.folder / name}, line {error.lineno}: {error.message}.") from error
        except UnicodeDecodeError as error:
            raise ParameterError(f"{self.folder / name} is not UTF-8 text ({error}).") from error
        if "user" not in template.blocks:
            raise ParameterError(
                f"{self.folder / name} has no block 'user': write {{% block user %}} … {{% endblock %}} "
                "around what is asked."
            )
        return template


def _tidied(text: str) -> str:
    """Without blank lines at the ends, and with one where a template's conditions left several."""
    return re.sub(r"\n\s*\n", "\n\n", text).strip()


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _place(error: BaseException, template: Template) -> str:
    """File and line of the prompt where an error arose."""
    file = template.filename or str(template.name)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}, line {template.get_corresponding_lineno(lines[-1] or 0)}" if lines else file
