"""Call the HTTP service: score items, recommend items, and hand back what the user did.

Run it with: python examples/call_the_service.py
         or: python examples/call_the_service.py --url http://127.0.0.1:8080 --user u42 --items i1,i2 --features '{"age": 30}'

Without --url it makes a tiny pipeline in a temporary home: one night on simulated impressions, a promotion, and
`nightloop serve` on a free port, which it ends. This needs the extra `serve`: pip install 'nightloop[serve]'.
With --url it calls a service that runs already. Its token, if it has one, is read from NIGHTLOOP_SERVE_TOKEN.
"""

import argparse
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PLAN = """\
pipeline: tiny
source: {use: simulated, options: {kind: impressions, users: 60, items: 40, rows: 3000}}
columns: {user: user_id, item: item_id, time: ts, label: clicked, categorical: [device]}
periods: {every: day, start: 2026-01-01}
pretrain: {use: FullRetrain, options: {begin: scratch, training: &once {epochs: 2, batch_size: 64, lr: 0.1}}}
model: {use: FM, options: {width: 4}}
strategies: {fine-tune: {use: FineTune, options: {training: *once}}}
correctors: {rate: {use: Recalibration}}  # learns from the labels that /observe takes
"""


@contextmanager
def served(home: str) -> Iterator[str]:
    """The address of a service over a new pipeline in this home; it ends with the `with` block."""
    from nightloop.flows.nightly import nightly  # who only calls a service needs nothing but this file
    from nightloop.flows.promote import promote

    for name in [name for name in os.environ if name.startswith(("NIGHTLOOP_", "PREFECT_"))]:
        del os.environ[name]  # settings of the reader's own pipelines
    os.environ["NIGHTLOOP_HOME"] = home
    plan = Path(home, "tiny.yaml")
    plan.write_text(PLAN)
    print(*nightly(str(plan), "2026-01-01"))  # as `nightloop night tiny --period 2026-01-01`
    print(promote(str(plan), "fine-tune", reason="an example", force=True), flush=True)
    serve = [sys.executable, "-P", "-m", "nightloop", "serve", str(plan), "--port", "0"]
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True) as service:
        try:
            for said in service.stderr or ():
                print(said.strip(), flush=True)
                if " serves at " in said:  # ... serves at http://127.0.0.1:43210 (...
                    yield said.partition(" serves at ")[2].split()[0]
                    return
            sys.exit("the service did not start")
        finally:
            service.terminate()


def post(url: str, path: str, body: dict[str, object]) -> Any:
    """The answer to a question, both JSON."""
    token = os.environ.get("NIGHTLOOP_SERVE_TOKEN", "")
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, json.dumps(body).encode(), headers)) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:  # a mistake in the question is told in the body
        sys.exit(f"{path} answers {error.code}: {error.read().decode()}")


def call(url: str, user: str, items: list[str], features: dict[str, object]) -> None:
    """Score, recommend, and say that the user took the first recommendation and no other."""
    told = post(url, "/score", {"user": user, "items": items, "features": features})
    print("scored     ", *map("{} {:.4f} ".format, items, told["scores"]))
    told = post(url, "/recommend", {"user": user, "k": 3, "features": features})
    print("recommended", *map("{} {:.4f} ".format, told["items"], told["scores"]))
    labels = [1] + [0] * (len(told["items"]) - 1)
    told = post(url, "/observe", {"observations": [{"request": told["request"], "labels": labels}]})
    print("observed   ", told["learned"], "labels were learned")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Call the HTTP service.")
    parser.add_argument("--url", help="address of a service that runs; default: that of a new pipeline")
    parser.add_argument("--user", default="u1")
    parser.add_argument("--items", default="i1,i2,i3")
    parser.add_argument("--features", default='{"device": "phone"}', help="JSON: a value for each column of features")
    given = parser.parse_args()
    with TemporaryDirectory() as home, nullcontext(given.url) if given.url else served(home) as url:
        call(url.rstrip("/"), given.user, given.items.split(","), json.loads(given.features))
