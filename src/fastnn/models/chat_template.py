"""Chat templates: Jinja, in a sandbox (`pip install 'fastnn-cpu[chat]'`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from ..checks import given


class ChatTemplate:
    """Turns messages into the text that a chat model was trained on.

    Templates come with models, so they run in Jinja's sandbox, as in transformers.

    Parameters
    ----------
    source : str
        The template.
    special : mapping of str to str
        Names and texts of special tokens, such as "bos_token".
    """

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        if not isinstance(source, str):
            raise TypeError(f"a chat template must be a str, got {given(source)}")
        self.source, self._special = source, dict(special)
        self._compiled: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source, self._special)

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return the text of messages, up to where the answer begins.

        Raises
        ------
        TypeError, ValueError
            messages are not mappings, or the template fails on them.
        ModuleNotFoundError
            jinja2 is not installed.
        """
        is_list = isinstance(messages, Sequence) and not isinstance(messages, str)
        if not is_list or not messages or not all(isinstance(m, Mapping) for m in messages):
            raise TypeError(f"messages must be a sequence of mappings, got {given(messages)}")
        jinja2 = _jinja2()
        try:
            if self._compiled is None:
                self._compiled = _environment(jinja2).from_string(self.source)
            text: str = self._compiled.render(
                messages=list(messages), add_generation_prompt=True, tools=None, **self._special
            )
        except (jinja2.TemplateError, TypeError, RecursionError) as error:
            raise ValueError(f"the chat template fails on these messages: {error}") from error
        return text


def _jinja2() -> Any:
    try:
        import jinja2.sandbox
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("chat needs jinja2: pip install 'fastnn-cpu[chat]'") from error
    return jinja2


def _environment(jinja2: Any) -> Any:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )

    def fail(message: str) -> NoReturn:
        raise jinja2.TemplateError(message)

    def to_json(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment.filters["tojson"] = to_json
    environment.globals |= {
        "raise_exception": fail,
        "strftime_now": lambda how: datetime.now().strftime(how),
    }
    return environment
