"""Service: the predictor over HTTP, with labels coming back, and a new champion taken over between two requests."""

from __future__ import annotations

import logging
import math
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import JsonValue
from starlette.exceptions import HTTPException

from nightloop.tasks.http_service.access import Access
from nightloop.tasks.http_service.answers import REFUSALS, BestItems, Health, LabelCounts, Scores
from nightloop.tasks.http_service.limits import BodyLimit
from nightloop.tasks.http_service.metrics import PATHS, ServiceMetrics, TimingMiddleware
from nightloop.tasks.http_service.micro_batch import MicroBatcher
from nightloop.tasks.http_service.request_bodies import StrictRoute, answer_malformed
from nightloop.tasks.http_service.schemas import Observe, Recommend, Score
from nightloop.tasks.plan.errors import ConflictError, DataError, NightloopError, NotReady, PlanError
from nightloop.tasks.plan.redact import redact
from nightloop.tasks.serving.online_learning import Observed
from nightloop.tasks.serving.pending_labels import RecordedRequest, ScoredRequest, ScoreRequest
from nightloop.tasks.serving.predictor import Predictor
from nightloop.tasks.serving.record_copies import RecordCopies
from nightloop.tasks.serving.serving_log import ServingLog

log = logging.getLogger(__name__)
COPYING = 20.0  # seconds between two looks for a new champion that copies may take
SILENT, ENDING = 3.0, 45.0  # seconds that the end may wait for the store, without a word and in all


@dataclass
class ServiceContext:
    """What the service works with. `clock` gives the time of a request, with its zone."""

    predictor: Predictor
    pipeline: str
    clock: Callable[[], datetime]
    records: ServingLog | None = None
    copies: RecordCopies | None = None  # of the records, in a store that other machines read
    server: str = "server"  # the name under which what was learned is kept
    every: float = 5.0  # seconds between checks for a new champion
    save_every: float = 60.0
    gauges: ServiceMetrics = field(default_factory=ServiceMetrics)
    trouble: str = ""  # why what is served cannot be recorded; serving continues
    uncopied: str = ""  # why records cannot be copied to the store
    _observing: threading.Lock = field(default_factory=threading.Lock)  # held until learned rows are recorded

    @property
    def problem(self) -> str:
        """What an operator has to fix; empty if all is well."""
        return "; ".join(filter(None, (self.predictor.problem, self.trouble, self.uncopied)))

    def answers(self, questions: Sequence[RecordedRequest]) -> Sequence[ScoredRequest | NightloopError]:
        """Each request scored, after it was recorded."""
        results = self.predictor.score_requests(questions)
        for question, scored in zip(questions, results, strict=True):
            if isinstance(scored, ScoredRequest) and question.request:
                self.record(question.request, scored)
        return results

    def record(self, request: str, scored: ScoredRequest) -> None:
        """Record what was served, for the collect of the next night, if records are kept."""
        if self.records is not None:
            self._write_records(self.records.write_served, request, scored)

    def observe_in_steps(self, labels: Sequence[tuple[str, Sequence[float | None]]]) -> Iterator[Observed]:
        """Learn from labels and record them, a few rows with each step."""
        done, steps = 0, self.predictor.observe_in_steps(labels)
        while True:
            with self._observing:
                if (observed := next(steps, None)) is None:
                    return
                if self.records is not None:
                    self._write_records(self.records.write_labelled, observed.rows[done:])
            done = len(observed.rows)
            yield observed

    def _write_records(self, write: Callable[..., None], *args: object) -> None:
        """Write records; if that is not possible, report it to operators and continue to serve."""
        try:
            write(*args)
        except OSError as error:
            self.gauges.unrecorded.inc()
            if not self.trouble:
                log.error("%s: what is served cannot be recorded: %s", self.pipeline, error)
            self.trouble = f"what is served cannot be recorded: {error}; free disk space, or repair the disk"
        else:
            self.trouble = ""

    def copy_records(self, seconds: float = math.inf) -> None:
        """Copy new labelled rows to the store; if that is not possible, report it, and try again the next time."""
        if self.copies is None:
            return
        try:
            self.copies.send(seconds)
        except OSError as error:
            log.error("%s: labelled rows were not copied to the store: %s", self.pipeline, error)
            self.uncopied = (
                f"labelled rows cannot be copied to the store: {redact(str(error))}; they stay on this machine"
            )
        else:
            self.uncopied = ""

    def flush_records(self) -> None:
        """Hand the rows of all labels that were learned up to now to the system."""
        if self.records is not None:
            with self._observing:
                self._write_records(self.records.flush)

    def save_learned(self) -> None:
        """Save what was learned, after its rows were recorded and copied: a label that was saved is not recorded again."""
        learned = self.predictor.take_snapshot()
        self.flush_records()
        self.copy_records(COPYING)
        self.predictor.save(self.server, learned)

    def save_at_end(self, refresher: threading.Thread) -> None:
        """Save what was learned and copy what was recorded, once the background refresh has ended."""
        refresher.join()
        try:
            self.predictor.save(self.server)
        except OSError as error:
            log.error("%s: what was learned since it was last saved is lost: %s", self.pipeline, error)
        self.copy_records()

    def check_pipeline(self, pipeline: str | None) -> None:
        """Raise NotReady if another pipeline is meant."""
        if pipeline is not None and pipeline != self.pipeline:
            raise NotReady(f"this server answers for {self.pipeline}, not for {pipeline[:63]!r}")

    def refresh_periodically(self, stop: threading.Event) -> None:
        """Look for a new champion every few seconds, save from time to time, until `stop` is set."""
        waited = 0.0
        while not stop.wait(self.every):
            try:
                self.predictor.refresh()
                self.flush_records()
                waited += self.every
                if waited >= self.save_every:
                    waited = 0.0
                    self.save_learned()
            except Exception:  # a full disk or a store that is away must not end this thread
                log.exception("%s: the background refresh failed; the next is in %g s", self.pipeline, self.every)


def service(
    context: ServiceContext, body: int = 4_000_000, hosts: Sequence[str] | None = None, token: str = ""
) -> FastAPI:
    """The app. `body` is the most bytes that a request may have; `Access` says what `hosts` and `token` are.

    It has no /docs: those pages load scripts from elsewhere. /openapi.json describes what it answers.
    """
    batches = MicroBatcher(context.answers)
    app = FastAPI(
        title=f"nightloop {context.pipeline}", lifespan=_lifespan(context, batches), redirect_slashes=False,
        docs_url=None, redoc_url=None, strict_content_type=True, responses=REFUSALS,
    )  # fmt: skip
    app.router.route_class = StrictRoute
    app.add_middleware(BodyLimit, most=body)
    app.add_middleware(Access, hosts=hosts, token=token)
    app.add_middleware(TimingMiddleware, gauges=context.gauges)

    @app.post("/score", response_model=Scores)
    async def score(question: Score) -> JSONResponse:
        """Probabilities of a click (scores of a ranking model) for one user's candidates, in their order."""
        context.check_pipeline(question.pipeline)
        request, when = question.request or uuid.uuid4().hex, context.clock().isoformat()
        inputs = ScoreRequest([question.user] * len(question.items), question.items, question.features)
        scored = await batches.answer(RecordedRequest(inputs, request, when))
        return JSONResponse({"request": request, "version": scored.version, "scores": scored.prediction})

    @app.post("/recommend", response_model=BestItems)
    def recommend(question: Recommend) -> JSONResponse:  # on a thread of the app's: all items would hold up a batch
        """The best items for one user, best first."""
        context.check_pipeline(question.pipeline)
        request, when = question.request or uuid.uuid4().hex, context.clock().isoformat()
        features: dict[str, object] = dict(question.features)
        scored = context.predictor.best(question.user, question.k, question.exclude, features, request, when)
        context.record(request, scored)
        items = [str(item) for item in scored.inputs.items]
        answer = {"request": request, "version": scored.version, "items": items, "scores": scored.prediction}
        return JSONResponse(answer)

    @app.post("/observe", response_model=LabelCounts)
    async def observe(question: Observe) -> JSONResponse:
        """Labels of what was served; each row is learned once. 409 if nothing could be learned."""
        context.check_pipeline(question.pipeline)
        labels = [(observation.request, observation.labels) for observation in question.observations]
        observed = await batches.last(context.observe_in_steps(labels))
        context.gauges.count_labels(observed.counts)
        refused = bool(observed.examples) and not observed.rows
        error = {"error": f"nothing was learned: {'; '.join(_reasons(observed.examples))}"} if refused else {}
        return JSONResponse({**error, **observed.counts, "examples": observed.examples}, 409 if refused else 200)

    @app.get("/health", response_model=Health)
    def health() -> dict[str, JsonValue]:
        """`ok`; or `degraded` if the newest champion does not load and an older one serves, or what is served is not recorded."""
        entry, problem = context.predictor.version, context.problem
        return {
            "status": "degraded" if problem else "ok", "problem": problem, "pipeline": context.pipeline,
            "version": context.predictor.now.name, "champion": entry.number, "manifest": entry.manifest,
        }  # fmt: skip

    @app.get("/metrics")
    def metrics() -> Response:
        """Counts and times for Prometheus."""
        return Response(context.gauges.text(context.predictor, bool(context.problem)), media_type=context.gauges.media)

    for kind, status in ((PlanError, 422), (DataError, 422), (NotReady, 404), (ConflictError, 409)):
        app.add_exception_handler(kind, _answer_error(status))
    app.add_exception_handler(Exception, _answer_bug)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, answer_malformed)
    return app


def _lifespan(context: ServiceContext, batches: MicroBatcher) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        stop = threading.Event()
        refresher = threading.Thread(target=context.refresh_periodically, args=(stop,), daemon=True)
        context.predictor.restore(context.server)
        refresher.start()
        batches.start()
        try:
            yield
        finally:
            stop.set()
            batches.stop()
            if context.records is not None:  # at once: a supervisor may kill a service that waits for its store
                context._write_records(context.records.close)
            ending = threading.Thread(target=context.save_at_end, args=(refresher,), daemon=True)
            ending.start()
            ending.join(SILENT)
            if ending.is_alive():
                log.warning("%s: the end waits for the store, at most %g s", context.pipeline, ENDING)
                ending.join(ENDING - SILENT)
            if ending.is_alive():
                log.error("%s: what was learned since it was last saved is lost: the store does not answer; labelled rows "
                          "stay on this machine, and are copied after the next start", context.pipeline)  # fmt: skip
            elif context.copies is not None:
                context.copies.close()

    return lifespan


def _answer_error(status: int) -> Callable[[Request, Exception], JSONResponse]:
    def respond(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": redact(str(error))[:2000]}, status)

    return respond


def _answer_bug(request: Request, error: Exception) -> JSONResponse:
    """A bug of nightloop or of a plug-in, or a failure of the machine. The server logs its traceback; the caller can do nothing."""
    return JSONResponse({"error": "the service failed to answer; its log says why"}, 500)


def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    """An address or a method that the service does not know, or a body it does not take; answered like all other mistakes."""
    if not isinstance(error, HTTPException):
        raise error
    words = error.detail
    if error.status_code == 404:
        words = f"there is no {request.url.path[:80]}; there are {', '.join(PATHS)} and /openapi.json"
    return JSONResponse({"error": words}, error.status_code, error.headers)


def _reasons(examples: dict[str, str]) -> list[str]:
    texts = {
        "unknown": "was never served here, or so long ago that it is forgotten",
        "repeated": "has these labels already",
        "contradicted": "has other labels already; the first stand",
        "outdated": "was served by another model, which the plan says to drop",
    }
    return [f"request {request[:80]!r} {texts[outcome]}" for outcome, request in examples.items()]
