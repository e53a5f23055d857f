"""Request bodies: the JSON of a request, parsed as FastAPI does it, but without a key that is given twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute


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


def _refuse_repeated_keys(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """An object. Raises HTTPException if a key is given twice: either value could be meant."""
    unique = dict[str, object]()
    for key, value in pairs:
        if key in unique:
            raise HTTPException(422, f"body: the key {key[:80]!r} is given twice; give it once")
        unique[key] = value
    return unique
