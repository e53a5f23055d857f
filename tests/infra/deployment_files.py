"""The files of a deployment as values: compose, Kubernetes, the image, and what they run and set."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).parents[2] / "infra"
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (INFRA / "Dockerfile").read_text()
KUBERNETES: list[dict[str, Any]] = list(yaml.safe_load_all((INFRA / "kubernetes" / "nightloop.yaml").read_text()))
SERVER_VALUES: dict[str, Any] = yaml.safe_load((INFRA / "kubernetes" / "prefect-server.yaml").read_text())
WORKER_VALUES: dict[str, Any] = yaml.safe_load((INFRA / "kubernetes" / "prefect-worker.yaml").read_text())


def environment(service: str) -> dict[str, str]:
    """The variables that a service of compose sets."""
    return {name: str(value) for name, value in SERVICES[service].get("environment", {}).items()}


def command(service: str) -> list[str]:
    """The words that a service runs. Of a variable of compose, its default."""
    words = SERVICES[service]["command"]
    several = shlex.split(words) if isinstance(words, str) else words
    return [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(word)) for word in several]


def option(words: list[str], name: str) -> str:
    """The value of an option, given as `--name value` or `-name=value`."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    raise AssertionError(f"{' '.join(words)} has no {name}")


def variables(value: object) -> Iterator[tuple[str, str]]:
    """Every environment variable that a part of a file sets, and its value, whichever form the file has for it."""
    if isinstance(value, Mapping):
        if set(value) in ({"name", "value"}, {"name", "valueFrom"}):
            yield str(value["name"]), str(value.get("value", ""))
        for key, item in value.items():
            if isinstance(key, str) and re.fullmatch(r"(NIGHTLOOP|PREFECT|AWS|PG)[A-Z0-9_]+", key):
                yield key, str(item)
            yield from variables(item)
    elif isinstance(value, list):
        for item in value:
            yield from variables(item)


def kind(name: str) -> list[dict[str, Any]]:
    """The objects of a kind of Kubernetes."""
    return [one for one in KUBERNETES if one["kind"] == name]
