"""Questions: what the HTTP service may be asked, field by field; each is explained in its /docs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

MOST_ITEMS, MOST_LABELS = 10_000, 10_000  # rows of one call; more would keep every other request waiting

Id = StrictStr | StrictInt
Value = StrictStr | StrictInt | StrictFloat | StrictBool | None
Request = Annotated[str, Field(min_length=1, max_length=200)]
REQUEST = Field(None, description="An id of your own for this request; without one it gets a random one.")
PIPELINE = Field(None, description="Where given, an answer of any other pipeline is refused.")
FEATURES: Any = Field(
    default_factory=dict,
    description="Every categorical and numeric column of the plan: one value for all items, or a list of one an item. A "
    "categorical value that is null or was never seen is a category of its own, a defined score.",
)


class Score(BaseModel):
    """Candidates of one user."""

    model_config = ConfigDict(extra="forbid")
    user: Id
    items: list[Id] = Field(min_length=1, max_length=MOST_ITEMS)
    features: dict[str, Value | list[Value]] = FEATURES
    request: Request | None = REQUEST
    pipeline: str | None = PIPELINE


class Recommend(BaseModel):
    """The best of all items for one user."""

    model_config = ConfigDict(extra="forbid")
    user: Id
    k: int = Field(10, ge=1, le=1000)
    exclude: list[Id] = Field(default_factory=list, max_length=MOST_ITEMS)
    features: dict[str, Value] = FEATURES
    request: Request | None = REQUEST
    pipeline: str | None = PIPELINE


class Labels(BaseModel):
    """What became of one request."""

    model_config = ConfigDict(extra="forbid")
    request: Request
    labels: list[StrictInt | StrictFloat | StrictBool | None] = Field(
        max_length=MOST_ITEMS,
        description="One for each item, in the order of the answer: 0, 1, or null: not known (yet).",
    )


class Observe(BaseModel):
    """Labels of requests that were served, in any order."""

    model_config = ConfigDict(extra="forbid")
    observations: list[Labels] = Field(min_length=1, max_length=MOST_LABELS)
    pipeline: str | None = PIPELINE
