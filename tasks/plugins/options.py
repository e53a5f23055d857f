"""Options: the values that a part's options have, also those that it does not name, and the part with others put in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any, get_type_hints

from pydantic import JsonValue

from nightloop.tasks.plan.nearest import nearest
from nightloop.tasks.plan.plan import Part
from nightloop.tasks.plan.plugins import Kind, installed, name_list
from nightloop.tasks.plan.search_space import SearchSpace

FROM_LOGS = ("fields", "numeric", "history")  # arguments of models that do not come from the plan


def declared_space(kind: Kind, use: str) -> SearchSpace:
    """What the plug-in declares as worth tuning, as its class attribute `search_space`; empty if it declares nothing."""
    space: SearchSpace = getattr(installed(kind)[use].load(), "search_space", {})
    return space


def option_mistake(kind: Kind, use: str, option: str) -> str:
    """What is wrong with the name of an option, dotted if it is nested; empty if the plug-in has it."""
    cls = installed(kind)[use].load()
    names = list(_parameters(cls))
    names += [f"{name}.{field}" for name in names for field in _nested_fields(cls, name)]
    if option in names:
        return ""
    return f"{use} has no option {option[:80]!r}{nearest(option, names)}; it has {name_list(names)}"


def option_value(kind: Kind, part: Part, option: str) -> JsonValue:
    """The value of an option, dotted if it is nested: as the part gives it, or else the default."""
    parameters = _parameters(installed(kind)[part.use].load())
    head, _, inner = option.partition(".")
    value: Any = part.options.get(head, parameters[head].default)
    if not inner:
        return value  # type: ignore[no-any-return]
    if isinstance(value, Mapping):
        nested = _nested_class(installed(kind)[part.use].load(), head)
        default: JsonValue = getattr(nested, inner, None)
        return value.get(inner, default)  # type: ignore[no-any-return]
    found: JsonValue = getattr(value, inner, None)
    return found


def with_options(kind: Kind, part: Part, chosen: Mapping[str, JsonValue]) -> Part:
    """The part with options put in; a dotted name reaches into a nested one: `training.lr`.

    The other values of a nested option stay as they are, also if the part does not give them.
    """
    options: dict[str, Any] = dict(part.options)
    for option, value in chosen.items():
        *way, last = option.split(".")
        inner = options
        for step in way:
            nested = inner.get(step)
            default = _default_options(kind, part.use, step) if inner is options else {}
            inner[step] = dict(nested) if isinstance(nested, dict) else default
            inner = inner[step]
        inner[last] = value
    return Part(use=part.use, options=options)


def _parameters(cls: type) -> dict[str, Parameter]:
    return {name: given for name, given in signature(cls).parameters.items() if name not in FROM_LOGS}


def _nested_class(cls: type, name: str) -> type | None:
    """The dataclass that an option is; None if it is a plain value or a plug-in."""
    hint = get_type_hints(cls.__init__).get(name)  # type: ignore[misc]  # of this very class
    return hint if isinstance(hint, type) and dataclasses.is_dataclass(hint) else None


def _nested_fields(cls: type, name: str) -> list[str]:
    nested = _nested_class(cls, name)
    return [field.name for field in dataclasses.fields(nested)] if nested else []


def _default_options(kind: Kind, use: str, name: str) -> dict[str, JsonValue]:
    """A nested option's default, as a plan would write it: the values that differ from those of its class."""
    cls = installed(kind)[use].load() if use in installed(kind) else None
    if cls is None or name not in _parameters(cls) or (nested := _nested_class(cls, name)) is None:
        return {}
    default = _parameters(cls)[name].default
    fields = dataclasses.fields(nested) if isinstance(default, nested) else ()
    return {field.name: value for field in fields if (value := getattr(default, field.name)) != field.default}
