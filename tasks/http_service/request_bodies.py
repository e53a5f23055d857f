"""Request bodies: the JSON of a request, without a key that is given twice, and what is said of one that is malformed."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from nightloop.tasks.plan.errors import mistake_message


class StrictRequest(Request):
    """A request whose JSON has each key once."""

    async def json(self) -> Any:
        """The body. Raises HTTPException if it is not UTF-8 or repeats a key, JSONDecodeError if it is not JSON."""
        body = await self.body()
        try:
            return json.loads(body, object_pairs_hook=_refuse_repeated_keys)
        except json.JSONDecodeError:
            raise
        except UnicodeDecodeError as error:
            raise HTTPException(400, "the body cannot be read: send a JSON object in UTF-8") from error
        except RecursionError as error:
            raise HTTPException(422, "body: lists and objects are nested too deeply") from error
        except ValueError as error:
            raise HTTPException(422, "body: a number has too many digits") from error


class StrictRoute(APIRoute):
    """A route that reads its requests as `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        answer = super().get_route_handler()

        async def read_strictly(request: Request) -> Response:
            return await answer(StrictRequest(request.scope, request.receive))

        return read_strictly


def answer_malformed(request: Request, error: Exception) -> JSONResponse:
    """Every mistake of form in one sentence; the input itself is not sent back: it may hold what is no JSON."""
    messages: dict[str, dict[str, None]] = {}
    if isinstance(error, RequestValidationError) and not isinstance(error.body, dict):
        messages = {"body": {"send a JSON object, with content-type: application/json": None}}
    elif isinstance(error, RequestValidationError):
        for mistake in error.errors():
            where = _mistake_path(mistake["loc"][1:], error.body, mistake["type"] == "missing")
            messages.setdefault(where, {})[mistake_message(mistake)] = None
    listed = "; ".join(f"{where or 'body'}: {', or '.join(words)}" for where, words in messages.items())
    return JSONResponse({"error": listed[:2000]}, 422)


def _refuse_repeated_keys(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """An object. Raises HTTPException if a key is given twice: either value could be meant."""
    unique = dict[str, object]()
    for key, value in pairs:
        if key in unique:
            raise HTTPException(422, f"body: the key {key[:80]!r} is given twice; give it once")
        unique[key] = value
    return unique


def _mistake_path(location: Sequence[str | int], body: object, missing: bool) -> str:
    """The way to a mistake as the caller knows it, without the kinds of value that were tried there."""
    path, inside = [], body
    for step in location:
        keys = inside if isinstance(inside, dict) else range(len(inside)) if isinstance(inside, list) else ()
        if step in keys:
            inside = inside[step]  # type: ignore[index]
        elif not missing:
            continue
        path.append(str(step)[:80])
    return ".".join(path)
