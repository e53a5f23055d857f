"""Plug-ins: sources, models, strategies and correctors, found by entry point and built from a plan's options.

The built-in ones use the same entry points as those of other packages.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from inspect import Parameter, signature
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from nightloop.tasks.plan.errors import PlanError, mistake_message
from nightloop.tasks.plan.nearest import nearest

Kind = Literal["source", "model", "strategy", "corrector"]
GROUPS: Mapping[Kind, str] = {
    "source": "nightloop.sources", "model": "nightloop.models", "strategy": "nightloop.strategies",
    "corrector": "nightloop.correctors",
}  # fmt: skip
METHODS = {  # the attributes that each kind must have
    "source": ("describe", "batches"), "model": ("family", "fields", "new_rows", "dense"),
    "strategy": ("lookback", "start", "update"), "corrector": ("start", "correct", "observe"),
}  # fmt: skip


@dataclasses.dataclass
class Builder:
    """Builds plug-ins and collects every mistake, named by its path in the plan."""

    protocols: Mapping[Any, Kind] = dataclasses.field(default_factory=dict)  # a field of this type is another plug-in
    mistakes: list[str] = dataclasses.field(default_factory=list)

    def plug_in(self, kind: Kind, given: object, path: str = "", context: Mapping[str, object] | None = None) -> Any:
        """The plug-in of `{use, options}`, or of a name alone; None if there are mistakes.

        `path` is put before the names in messages. `context`: arguments that do not come from the plan, for classes that
        have such parameters.
        """
        part = {"use": given} if isinstance(given, str) else given
        where = f"{path}: " if path else ""
        if not isinstance(part, Mapping) or "use" not in part or set(part) - {"use", "options"}:
            self.mistakes.append(
                f"{where}given {given!r:.80}; a {kind} is a name, or use: a name, options: its options"
            )
            return None
        plug_ins, name = installed(kind), part["use"]
        if name not in plug_ins:
            self.mistakes.append(
                f"{where}no {kind} {name!r:.80}{nearest(str(name), plug_ins)}; installed are {name_list(plug_ins)}"
            )
            return None
        at = f"{path}." if path else ""
        plug_in = self.instance(plug_ins[name].load(), part.get("options") or {}, at, context or {})
        missing = [method for method in METHODS[kind] if plug_in is not None and not hasattr(plug_in, method)]
        if missing:
            self.mistakes.append(f"{where}{name} is not a {kind}: it has no {', '.join(missing)}")
        return None if missing else plug_in

    def instance(self, cls: type, options: object, path: str, context: Mapping[str, object]) -> Any:
        """An instance of a class with these options; None if there are mistakes."""
        if not isinstance(options, Mapping):
            self.mistakes.append(
                f"{path or 'options'}: given {options!r:.80}; options are a mapping of names to values"
            )
            return None
        takes, before = signature(cls).parameters, len(self.mistakes)
        legal = [name for name in takes if name not in context]
        for name in options:
            if name not in legal:
                self.mistakes.append(
                    f"{path}{name!s:.80}: no such option of {cls.__name__}{nearest(str(name), legal)}; it has {name_list(legal)}"
                )
        for name in legal:
            if name not in options and takes[name].default is Parameter.empty:
                self.mistakes.append(f"{path}{name}: {cls.__name__} needs it")
        hints = get_type_hints(cls.__init__, include_extras=True)  # type: ignore[misc]  # of this very class
        given = {name: _keep_defaults(takes[name].default, options[name]) for name in legal if name in options}
        values = {name: self._value(hints.get(name, Any), value, f"{path}{name}") for name, value in given.items()}
        if len(self.mistakes) > before:
            return None
        try:
            return cls(**{name: context[name] for name in takes if name in context}, **values)
        except (TypeError, ValueError) as error:
            self.mistakes.append(f"{path}{str(error).removeprefix(f'{cls.__name__}: ')}")
            return None

    def _value(self, hint: Any, given: object, path: str) -> object:
        """An option as its type. Options that are plug-ins, tuples of plug-ins or dataclasses are built as well."""
        for protocol, kind in self.protocols.items():
            if hint == protocol | None and given is None:
                return None
            if hint in (protocol, protocol | None):
                return self.plug_in(kind, given, path)
            if get_origin(hint) is tuple and get_args(hint) == (protocol, ...):
                if isinstance(given, list | tuple):
                    return tuple(self.plug_in(kind, detail, f"{path}[{place}]") for place, detail in enumerate(given))
                self.mistakes.append(f"{path}: given {given!r:.80}; it is a list: each a {kind}")
                return None
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return given if isinstance(given, hint) else self.instance(hint, given, f"{path}.", {})
        if _holds_bool(given) and "bool" not in str(hint):  # pydantic would take true for 1
            self.mistakes.append(f"{path}: given {given!r:.80}; true and false are not allowed")
            return None
        try:
            value: object = TypeAdapter(hint).validate_python(given)
            return value
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                extra = detail["type"] == "unexpected_keyword_argument"
                message = "no such option" if extra else mistake_message(detail)
                at = ".".join([path, *(str(step) for step in detail["loc"] if extra or isinstance(step, int))])
                self.mistakes.append(f"{at}: given {detail['input']!r:.80}; {message[:1].lower()}{message[1:]}")
            return None

    def single(self, kind: Kind, given: object, path: str = "", context: Mapping[str, object] | None = None) -> Any:
        """As `plug_in`. Raises one PlanError that lists every mistake."""
        plug_in = self.plug_in(kind, given, path, context)
        self.raise_mistakes()
        return plug_in

    def raise_mistakes(self) -> None:
        """Raise one PlanError that lists every mistake, if there is one."""
        if self.mistakes:
            raise PlanError("; ".join(dict.fromkeys(self.mistakes)))


def _keep_defaults(default: object, given: object) -> object:
    """An option with fields, such as `training`: those that a plan leaves out keep the defaults of the option, not of its class."""
    if not isinstance(given, Mapping) or not dataclasses.is_dataclass(default) or isinstance(default, type):
        return given
    defaults = {field.name: getattr(default, field.name) for field in dataclasses.fields(default) if field.init}
    return defaults | dict(given)


def _holds_bool(given: object) -> bool:
    return isinstance(given, bool) or (isinstance(given, list | tuple) and any(map(_holds_bool, given)))


@cache  # reading the metadata of every installed package takes 25 ms
def installed(kind: Kind) -> dict[str, EntryPoint]:
    """Every plug-in of a kind by its name, in alphabetical order. Raises PlanError if two packages offer one name."""
    plug_ins: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUPS[kind]), key=lambda p: (p.name, p.value)):
        if plug_ins.setdefault(point.name, point).value != point.value:
            raise PlanError(f"two installed packages offer a {kind} called {point.name}; uninstall one ({point.value})")
    return plug_ins


def classes(kind: Kind) -> dict[str, type]:
    """The class of every plug-in of a kind by its name, in alphabetical order."""
    return {name: point.load() for name, point in installed(kind).items()}


def name_list(names: Iterable[str]) -> str:
    """The names in words: `a, b, c`, or `none`."""
    return ", ".join(names) or "none"


def require_package(user: str, package: str, extra: str) -> None:
    """Raise PlanError if an optional package is not installed, with the command that installs it."""
    if find_spec(package) is None:
        raise PlanError(f"{user} needs {package}: pip install 'nightloop[{extra}]'")
