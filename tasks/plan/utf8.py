"""UTF-8: texts that a run is given. JSON and a command line can hold half of a character, which UTF-8 cannot.

Prefect's server stores such a text, and fails from then on whenever it answers with it: no worker gets any run, and no page
shows them.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ParamSpec, TypeVar

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from nightloop.tasks.plan.errors import PlanError

P = ParamSpec("P")
R = TypeVar("R")
UTF8 = {"pattern": r"^[^\ud800-\udfff]*$"}  # of a JSON schema: a text without half of a character
OTHER_TYPES = ("anyOf", "allOf", "$ref", "enum", "const")  # keys of schemas that have no pattern of their own


def refuse_not_utf8(name: str, values: object) -> None:
    """Raise PlanError if a text within the values cannot be written in UTF-8."""
    text = json.dumps(values, ensure_ascii=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        before = text[max(error.start - 20, 0) : error.start]
        raise PlanError(f"{name}: a text is not UTF-8, after {before!r}: write it in UTF-8") from None


def require_utf8(fn: Callable[P, R]) -> Callable[P, R]:
    """The function, for whose parameters a schema says that texts are UTF-8: Prefect's server then refuses others."""
    signature = inspect.signature(fn)
    parameters = [p.replace(annotation=Annotated[p.annotation, Utf8Texts()]) for p in signature.parameters.values()]
    fn.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return fn


class Utf8Texts:
    """In the annotation of a parameter: its JSON schema has a pattern for every text within it."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """As pydantic asks for it."""
        return _with_patterns(handler(schema))


def _with_patterns(schema: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(schema) or {"additionalProperties": UTF8, "items": UTF8, "propertyNames": UTF8}  # any value
    if whole.get("type", "string") == "string" and not any(key in whole for key in OTHER_TYPES):
        whole = {**UTF8, **whole}
    if "anyOf" in whole:
        whole["anyOf"] = [_with_patterns(one) for one in whole["anyOf"]]
    if whole.get("type") == "array":
        whole["items"] = _with_patterns(whole.get("items", {}))
    if whole.get("type") == "object":
        others = whole.get("additionalProperties", {})
        whole["additionalProperties"] = _with_patterns(others if isinstance(others, Mapping) else {})
        whole["propertyNames"] = UTF8
    return whole
