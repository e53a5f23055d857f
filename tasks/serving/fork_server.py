"""Fork server: a process that has only imported what serving needs, and forks a fresh child for every candidate.

How fresh is a child? The fork server is a new interpreter (fork and exec): no memory, no module, no tensor of the process
that trained. It imports, answers by forking, and never itself opens a store or loads a model, so each child starts from
the state right after the imports and knows nothing of earlier candidates. It differs from a cold start in one thing:
modules were read from disk when the server started. The first answer waits for the imports, later ones cost a fork.

Requests and answers are lines of JSON, on the standard input and output of the server.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from typing import Any, TextIO

from nightloop.tasks.objects.objects import open_for_reading
from nightloop.tasks.plan.errors import NightloopError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.redact import redact
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.serving.load import load_model


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """`predictions` of a candidate; or its `fault`; or `trouble`, if it could not be tried; or a `bug`.

    A fault is a property of the candidate and the same at every try; an unreachable network is not. A bug is an error of the code
    of nightloop or of a plug-in, and says nothing about the candidate's weights.
    """
    try:
        os.chdir(request["directory"])
        objects = open_for_reading(Settings.model_validate(request["settings"]), request["credentials"])
    except Exception as error:
        return {"trouble": _describe_error(error)}
    try:
        model = load_model(objects, Plan.model_validate(request["plan"]), request["weights"], request["vocabulary"])
        questions = request["questions"]
        return {"predictions": model.score(questions["users"], questions["items"], questions["features"])}
    except (NightloopError, FileNotFoundError) as error:
        return {"fault": _describe_error(error)}
    except (OSError, MemoryError) as error:
        return {"trouble": _describe_error(error)}
    except Exception as error:
        return {"bug": _describe_error(error), "traceback": redact(traceback.format_exc())}


def serve_requests(requests: TextIO, answers: TextIO) -> None:
    """Answer until the requests end, at the latest when the process that started the server ends."""
    for line in requests:
        if not line.endswith("\n"):  # the process was killed while it wrote
            return
        answers.write(json.dumps(_answer_in_child(json.loads(line))) + "\n")
        answers.flush()


def _answer_in_child(request: Mapping[str, Any]) -> dict[str, Any]:
    ours, childs = os.pipe()
    child = os.fork()
    if child == 0:
        _run_child(request, childs)
    os.close(childs)
    with os.fdopen(ours, encoding="utf-8") as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGALRM:
        return {"trouble": f"no prediction within {request['seconds']} s"}
    if code or not text:
        return {
            "trouble": f"the process that loaded it died ({f'signal {-code}' if code < 0 else f'exit code {code}'})"
        }
    result: dict[str, Any] = json.loads(text)
    return result


def _run_child(request: Mapping[str, Any], pipe: int) -> None:
    """Never returns: a child must not continue its parent's loop, whatever happens."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asked; it closes our input
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(request["seconds"]))  # the default action ends even a call into C that hangs
        with os.fdopen(pipe, "w", encoding="utf-8") as out:
            out.write(json.dumps(answer(request)))
        code = 0
    finally:
        os._exit(code)


def _describe_error(error: Exception) -> str:
    return redact(f"{type(error).__name__}: {error}")[:2000]


def main() -> None:
    """Serve requests on standard input and output; other output goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        serve_requests(sys.stdin, out)
    except BrokenPipeError:  # the process that asked was killed
        os._exit(1)


if __name__ == "__main__":
    main()
