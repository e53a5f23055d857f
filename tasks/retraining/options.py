"""Options: a plan's mapping made into a frozen dataclass, every mistake collected and named by its path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.nearest import nearest
from nightloop.tasks.retraining.strategy import Strategy

Mistakes = list[str]
Nested = Callable[[object, str, Mistakes], object | None]


def assemble(kind: type, options: object, path: str, mistakes: Mistakes, nested: Nested) -> Any:
    """An instance of the dataclass `kind`, or None with the mistakes added.

    `path` comes before option names in messages. A field of type `Strategy` is made by `nested(value, path, mistakes)`,
    several of them (`tuple[Strategy, ...]`) from a list in the same way, a field that is itself a dataclass (a
    training) from a mapping likewise, everything else by pydantic.
    """
    if not isinstance(options, Mapping):
        mistakes.append(f"{path or 'options'}: given {options!r:.80}; options are a mapping of names to values")
        return None
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}
    before = len(mistakes)
    for name in options:
        if name not in fields:
            mistakes.append(
                f"{path}{name!s:.80}: no such option of {kind.__name__}{nearest(str(name), fields)}; it has {listed(fields)}"
            )
    for name, field in fields.items():
        if name not in options and field.default is field.default_factory is dataclasses.MISSING:
            mistakes.append(f"{path}{name}: {kind.__name__} needs it")
    hints = get_type_hints(kind)
    values = {n: _value(hints[n], options[n], f"{path}{n}", mistakes, nested) for n in fields if n in options}
    return _made(kind, values, path, mistakes) if len(mistakes) == before else None


def _value(hint: Any, given: object, path: str, mistakes: Mistakes, nested: Nested) -> object:
    if hint == Strategy | None and given is None:
        return None
    if hint in (Strategy, Strategy | None):
        return nested(given, path, mistakes)
    if hint == tuple[Strategy, ...]:
        return _several(given, path, mistakes, nested)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return given if isinstance(given, hint) else assemble(hint, given, f"{path}.", mistakes, nested)
    try:
        value: object = TypeAdapter(hint).validate_python(given)
        return value
    except ValidationError as error:
        for one in error.errors(include_url=False):
            mistakes.append(f"{path}: given {one['input']!r:.80}; {one['msg'][:1].lower()}{one['msg'][1:]}")
        return None


def _several(given: object, path: str, mistakes: Mistakes, nested: Nested) -> object:
    """A strategy for each of a list; `path` gets the position in it."""
    if not isinstance(given, list | tuple):
        mistakes.append(f"{path}: given {given!r:.80}; it is a list of strategies")
        return None
    return tuple(nested(one, f"{path}[{place}]", mistakes) for place, one in enumerate(given))


def _made(kind: type, values: Mapping[str, object], path: str, mistakes: Mistakes) -> object | None:
    try:
        made: object = kind(**values)
        return made
    except (TypeError, ValueError) as error:
        mistakes.append(f"{path}{error}")
        return None


def listed(names: Iterable[str]) -> str:
    """The names in words: `a, b, c`, or `none`."""
    return ", ".join(names) or "none"


def required(who: str, package: str, extra: str) -> None:
    """Raise PlanError if an optional package is not installed, with the words that install it."""
    if find_spec(package) is None:
        raise PlanError(f"{who} needs {package}: pip install 'nightloop[{extra}]'")
