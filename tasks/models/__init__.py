"""Models: what is retrained. Found by entry point, ours like everybody's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from inspect import Parameter, signature
from typing import cast

from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.nearest import nearest

GROUP = "nightloop.models"
FROM_THE_PLAN = ("fields", "numeric", "history")  # options that are the plan's columns, never given by hand


@cache  # reading what every installed package says of itself takes 25 ms
def models() -> dict[str, type]:
    """Every model by its entry-point name, in alphabetical order. Raises PlanError if two share a name."""
    found: dict[str, type] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        loaded = point.load()
        if found.setdefault(point.name, loaded) is not loaded:
            raise PlanError(f"two installed packages offer a model called {point.name}; uninstall one ({point.value})")
    return found


def build(
    name: str, options: Mapping[str, object], fields: Sequence[str], numeric_count: int, history: int = 0
) -> Model:
    """The model `name` with `options`. A model that takes `fields`, `numeric` or `history` gets them from the plan's
    columns.

    Raises PlanError with the legal names where the model, an option or its value is not known.
    """
    known = models()
    if name not in known:
        raise PlanError(f"model: given {name!r}; installed are {', '.join(known) or 'none'}")
    takes = signature(known[name]).parameters
    legal = [option for option in takes if option not in FROM_THE_PLAN]
    unknown = [option for option in options if option not in legal]
    missing = [o for o in legal if takes[o].default is Parameter.empty and o not in options]
    if unknown or missing:
        wrong = [f"no option {option!r}{nearest(option, legal)}" for option in unknown]
        wrong += [f"option {option!r} is needed" for option in missing]
        raise PlanError(f"model {name}: {'; '.join(wrong)}; its options are {', '.join(legal) or 'none'}")
    columns = {"fields": tuple(fields), "numeric": numeric_count, "history": history}
    given = {option: columns[option] for option in FROM_THE_PLAN if option in takes}
    try:
        return cast(Model, known[name](**given, **options))
    except TypeError as error:
        raise PlanError(f"model {name}: an option has a value of the wrong kind: {error}") from error
