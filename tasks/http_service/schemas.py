"""Schemas of the requests to the HTTP service, field by field; `app` uses them, and /openapi.json explains each."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from nightloop.tasks.plan.errors import DataError

MOST_ITEMS, MOST_LABELS = 10_000, 10_000  # rows of one call; more would keep every other request waiting
MOST_FEATURES = 1_000
MOST_REPEATED = 4_000_000  # characters that all rows have in common, times the rows: each is recorded with them
MOST_DIGITS = 40  # of a whole number; a UUID has 39


def _refuse_many_features(value: object) -> object:
    """Refuse a very large mapping at once, before each of its values is checked."""
    if isinstance(value, dict) and len(value) > MOST_FEATURES:
        raise DataError(f"{len(value):,} features were given; a call has at most {MOST_FEATURES:,}")
    return value


def _refuse_long_number(number: int) -> int:
    """Refuse a number that would take long to write out."""
    if abs(number) >= 10**MOST_DIGITS:
        raise DataError(f"a whole number has at most {MOST_DIGITS} digits")
    return number


# A list says what is wrong with its first wrong element: a million messages would take minutes and gigabytes.
Whole = Annotated[StrictInt, AfterValidator(_refuse_long_number)]
Id = Annotated[StrictStr, Field(max_length=1_000)] | Whole
Ids = Annotated[list[Id], Field(fail_fast=True)]
Value = Annotated[StrictStr, Field(max_length=100_000)] | Whole | StrictFloat | StrictBool | None
Features = Annotated[
    dict[str, Value | Annotated[list[Value], Field(fail_fast=True, max_length=MOST_ITEMS)]],
    BeforeValidator(_refuse_many_features),
]
Context = Annotated[dict[str, Value], BeforeValidator(_refuse_many_features)]
Request = Annotated[str, Field(min_length=1, max_length=200)]
REQUEST = Field(None, description="An id of your own for this request; without one it gets a random one.")
PIPELINE = Field(None, description="If given, the request is refused by a server of another pipeline.")
FEATURES: Any = Field(
    default_factory=dict,
    description="Every categorical and numeric column of the plan: one value for all items, or a list of one an item. A "
    "categorical value that is null or was never seen is a category of its own, a defined score; a number that is null is "
    "0, as in training. /recommend takes one value for all items alone.",
)


def _refuse_large_record(rows: int, call: Score | Recommend) -> None:
    """Raise DataError if a small body would become large records."""
    values = (call.user, call.request, *call.features.values())
    common = sum(len(str(value)) for value in values if isinstance(value, str | int))
    if common * rows > MOST_REPEATED:
        raise DataError(
            f"{rows:,} items, each with the user, the request's id and features of {common:,} characters, are more than "
            f"{MOST_REPEATED:,} together; send fewer items a call"
        )


class Body(BaseModel):
    """The body of a request: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def refuse_unknown_fields(cls, body: object) -> object:
        """Refuse unknown fields in one sentence: a body of a million of them would have as many mistakes."""
        if isinstance(body, dict) and (unknown := sorted(map(str, body.keys() - cls.model_fields.keys()))):
            more = f" and {len(unknown) - 3:,} more" if len(unknown) > 3 else ""
            named = ", ".join(repr(name[:60]) for name in unknown[:3])
            raise DataError(f"there is no field {named}{more}; there are {', '.join(cls.model_fields)}")
        return body


class Score(Body):
    """Candidates of one user."""

    user: Id
    items: Ids = Field(min_length=1, max_length=MOST_ITEMS)
    features: Features = FEATURES
    request: Request | None = REQUEST
    pipeline: str | None = PIPELINE

    @model_validator(mode="after")
    def refuse_large_record(self) -> Self:
        """Raise DataError if its record would be too large."""
        _refuse_large_record(len(self.items), self)
        return self


class Recommend(Body):
    """The best of all items for one user."""

    user: Id
    k: int = Field(10, ge=1, le=1000)
    exclude: Ids = Field(default_factory=list, max_length=MOST_ITEMS)
    features: Context = FEATURES
    request: Request | None = REQUEST
    pipeline: str | None = PIPELINE

    @model_validator(mode="after")
    def refuse_large_record(self) -> Self:
        """Raise DataError if its record would be too large."""
        _refuse_large_record(self.k, self)
        return self


class Labels(Body):
    """The labels of one request."""

    request: Request
    labels: Annotated[list[StrictInt | StrictFloat | StrictBool | None], Field(fail_fast=True)] = Field(
        max_length=MOST_ITEMS,
        description="One for each item, in the order of the answer: 0, 1, or null: not known (yet).",
    )


class Observe(Body):
    """Labels of requests that were served, in any order."""

    observations: Annotated[list[Labels], Field(fail_fast=True)] = Field(min_length=1, max_length=MOST_LABELS)
    pipeline: str | None = PIPELINE
