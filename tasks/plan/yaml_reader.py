"""YAML reader: the only reader of files that people write. Ambiguous or endless content is refused, with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.redact import holds_credentials, redact, redacted_head

LARGEST = 1_000_000  # bytes; a plan is a short text
DEEPEST = 50  # mappings and lists within one another
MOST = 20_000  # values, with every alias expanded: a few hundred bytes of aliases can expand to billions
MERGE = "tag:yaml.org,2002:merge"
CREDENTIALS = (
    "holds a password, a key or a token. What is in a file like this is kept in every night's record: leave it out. "
    "PostgreSQL reads PGPASSWORD or ~/.pgpass; S3 reads AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, a role, "
    "or a Prefect block (NIGHTLOOP_S3_CREDENTIALS_BLOCK)"
)

LONGEST_NUMBER = 1000  # characters
DATE, TEXT = "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:str"
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
FORBIDDEN = "forbidden"  # the value of this rule may be a pattern of credentials
NO_WORD = "xxxxxxxx"


def read_mapping(path: Path, kind: str, fields: str) -> dict[str, Any]:
    """The mapping that a YAML file holds. `kind`: the kind of file, and `fields`: its legal fields, both for messages.

    Raises one PlanError, which names the file, if it is not YAML or not a mapping, if it is too large or too deep (with
    aliases expanded), if it has a key twice, or if it holds a credential.
    """
    if path.exists() and not path.is_file():  # a device or a pipe has no size, and no end
        raise PlanError(f"{path} is not a regular file; {kind} is a YAML file")
    if path.stat().st_size > LARGEST:
        raise PlanError(f"{path}: {path.stat().st_size:,} bytes; {kind} has at most {LARGEST:,}")
    try:
        content = _parse(path.read_text(encoding="utf-8"))
    except Exception as error:  # PyYAML's constructors raise whatever int(), date() and a missing match raise
        raise PlanError(
            redact(f"{path} is not a YAML file that can be read: {redacted_head(str(error), 500)}")
        ) from None
    if not isinstance(content, dict):
        raise PlanError(f"{path}: {kind} is a mapping of fields ({fields}), not {type(content).__name__}")
    if secrets := [path_in_file for path_in_file, text in _texts("", content) if holds_credentials(text)]:
        raise PlanError(f"{path}: {secrets[0]} {CREDENTIALS}")
    return content


def _parse(text: str) -> object:
    kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    _refuse_depth(yaml.parse(text, Loader=kind))
    loader = kind(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_size(node, {})
        for inner in _walk(node):
            if inner.tag == DATE:  # dates are texts in a plan, also without quotes
                inner.tag = TEXT
        _refuse_repeats(loader, node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_depth(events: Iterator[yaml.Event]) -> None:
    """Raise PlanError if lists and mappings are nested too deep, or if there are too many values."""
    depth = 0
    for number, event in enumerate(events):
        if number > 2 * MOST:
            raise PlanError(f"it holds more than {MOST:,} values up to {_line(event)}; at most {MOST:,} are allowed")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise PlanError(
                f"{_line(event)} is more than {DEEPEST} lists and mappings deep; at most {DEEPEST} are allowed"
            )


def _refuse_size(node: yaml.Node, sizes: dict[int, tuple[int, int, int] | None]) -> tuple[int, int, int]:
    """Values, depth and characters of a node with its aliases expanded. Raises PlanError if they are too many.

    `sizes`: the sizes of nodes measured before; None while a node is being measured, to detect a node within itself.
    """
    if id(node) in sizes:
        size_of_node = sizes[id(node)]
        if size_of_node is None:
            raise PlanError(f"{_line(node)} holds an alias (*name) of a part that contains it; it would never end")
        return size_of_node
    sizes[id(node)] = None
    if isinstance(node, yaml.ScalarNode) and len(node.value) > LONGEST_NUMBER and node.tag in NUMBERS:
        raise PlanError(
            f"{_line(node)} is a number of {len(node.value):,} characters; at most {LONGEST_NUMBER} are read"
        )
    within = [child for pair in node.value for child in pair] if isinstance(node, yaml.MappingNode) else node.value
    parts = [_refuse_size(child, sizes) for child in within] if isinstance(node, yaml.CollectionNode) else []
    values, depth = 1 + sum(size for size, _, _ in parts), 1 + max((deep for _, deep, _ in parts), default=0)
    letters = len(node.value) if isinstance(node, yaml.ScalarNode) else sum(long for _, _, long in parts)
    if letters > LARGEST:
        raise PlanError(
            f"{_line(node)} has {letters:,} characters with its aliases (*name) expanded; at most {LARGEST:,} are read"
        )
    if values > MOST or depth > DEEPEST + 1:
        raise PlanError(
            f"{_line(node)} has {values:,} values, {depth} deep, with its aliases (*name) expanded; at most {MOST:,} "
            f"are read, {DEEPEST} deep"
        )
    sizes[id(node)] = values, depth, letters
    return values, depth, letters


def _walk(top: yaml.Node) -> Iterator[yaml.Node]:
    """The node and all nodes within it, each once."""
    waiting, seen = [top], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += [child for pair in node.value for child in pair]


def _refuse_repeats(loader: Any, top: yaml.Node) -> None:
    """Raise PlanError if a mapping has a key twice: YAML would use the last one without a warning."""
    for node in _walk(top):
        lines: dict[str, str] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            name = "<<" if key.tag == MERGE else repr(loader.construct_object(key, deep=True))
            if name in lines:
                raise PlanError(
                    f"{redacted_head(name, 80)} occurs twice in a mapping, in {lines[name]} and in {_line(key)}; keep one"
                )
            lines[name] = _line(key)


def _line(part: yaml.Event | yaml.Node) -> str:
    return f"line {part.start_mark.line + 1}" if part.start_mark else "a line"


def _texts(path: str, value: object, under: str = "") -> Iterator[tuple[str, str]]:
    """Every text and number in the content, keys too, with its path. A value under `password` becomes `password=value`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            name = f"{path}.{key}" if path else str(key)
            yield path or "a field", str(key)
            secret = under if holds_credentials(f"{under}={NO_WORD}") else str(key)
            yield from _texts(name, inner, secret)
    elif isinstance(value, list | tuple | set):
        for number, inner in enumerate(value):
            yield from _texts(f"{path}[{number}]", inner, under)
    elif value is not None and not isinstance(value, bool) and under != FORBIDDEN:
        yield path, f"{under}={value}" if under else str(value)
