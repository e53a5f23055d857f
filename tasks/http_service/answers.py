"""Answers of the HTTP service, field by field; /openapi.json describes them. The service itself writes plain JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

VERSION = Field(description="Names the champion that answered.")
REQUEST = Field(description="The id of this request: yours, or a random one. Send it back with the labels.")


class Scores(BaseModel):
    """What `/score` answers."""

    request: str = REQUEST
    version: str = VERSION
    scores: list[float] = Field(description="One for each item, in their order: a probability of a click, or a score.")


class BestItems(BaseModel):
    """What `/recommend` answers."""

    request: str = REQUEST
    version: str = VERSION
    items: list[str] = Field(description="Best first; fewer than asked for if there are no more.")
    scores: list[float] = Field(description="One for each item.")


class LabelCounts(BaseModel):
    """What `/observe` answers: how many rows had which outcome. An outcome that no row had is left out."""

    learned: int = Field(0, description="Rows whose label the correctors learned, and which are recorded.")
    repeated: int = Field(0, description="Rows that had this label already.")
    contradicted: int = Field(0, description="Rows that had another label already; the first one stands.")
    unknown: int = Field(0, description="Rows of requests that this server did not serve, or has forgotten.")
    outdated: int = Field(0, description="Rows that another champion served, which the plan says not to learn from.")
    examples: dict[str, str] = Field(description="By outcome: the id of one request that was not learned.")


class Health(BaseModel):
    """What `/health` answers."""

    status: Literal["ok", "degraded"]
    problem: str = Field(description="What an operator has to repair; empty if all is well.")
    pipeline: str
    version: str = VERSION
    champion: int = Field(description="Number of its entry in the promotion log.")
    manifest: str = Field(description="Hash of the manifest of its night.")


class Refusal(BaseModel):
    """Every answer that is not 200."""

    error: str = Field(description="What was given, what is allowed and what to do.")


STATUSES = (400, 401, 403, 404, 408, 409, 413, 415, 422, 500)
REFUSALS: dict[int | str, dict[str, Any]] = {status: {"model": Refusal} for status in STATUSES}
