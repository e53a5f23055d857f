"""The house rules, checked by reading the source: who may enter which room, the doors, and the shape of the code."""

from __future__ import annotations

import ast
import re
import statistics
from functools import cache
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
CODE = sorted(p for room in ("flows", "tasks") for p in (HOUSE / room).rglob("*.py"))
SQL = sorted((HOUSE / "sql").rglob("*.sql"))
PLUG_INS = ("tasks/sources", "tasks/models", "tasks/strategies", "tasks/correctors")


@cache
def name(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module a file imports, wherever in the file it does so."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def enters(path: Path, *modules: str) -> bool:
    return any(found == m or found.startswith(m + ".") for found in imports(path) for m in modules)


TASKS = "nightloop.tasks"


# Rooms from the ground up: a room may import from itself and from those before it (docs/design.md).
ORDER = (
    "plan", "clusters", "objects", "lake", "formats", "data", "validation", "kernels", "modules", "layers", "training", "models",
    "evaluation", "simulation", "sources", "correction", "correctors", "meta", "retraining", "strategies", "plugins", "inspection",
    "record", "retention", "gate", "serving", "http_service", "reports", "bakeoff",
    "tuning",
)  # fmt: skip
# A strategy touches no file, store, clock, network, metric or setting.
CLOSED = ("evaluation", "simulation", "sources", "objects", "record", "retention")
WITHOUT = {"meta": CLOSED, "strategies": CLOSED, "correction": CLOSED, "correctors": CLOSED}
WITHOUT["retraining"] = CLOSED[1:]  # of its own accord no strategy measures; what all choose by is one file there
BUILT_ON = {"tasks/models/lightgcn": "mf"}  # by definition: MF over rows that were averaged over the graph
FULL = 20  # files of a room; a room of plug-ins has one for each of them


def room(path: Path) -> str:
    parts = path.relative_to(HOUSE).parts
    return parts[1] if parts[0] == "tasks" and len(parts) > 2 else ""


@pytest.mark.parametrize("path", [p for p in CODE if room(p)], ids=name)
def test_arrows_go_one_way(path: Path) -> None:
    before = ORDER[: ORDER.index(room(path)) + 1]
    allowed = {*before} - {*WITHOUT.get(room(path), ())}
    entered = {m.split(".")[2] for m in imports(path) if m.startswith(f"{TASKS}.")}
    rooms = {r for r in entered if (HOUSE / "tasks" / r).is_dir()}
    assert rooms <= allowed, f"{name(path)} may enter {sorted(allowed)}, not {sorted(rooms - allowed)}"
    assert not enters(path, "nightloop.flows"), f"{name(path)} looks back at flows"
    verbs = {p.stem for p in (HOUSE / "tasks").glob("*.py")} - {"__init__"}
    assert not entered & verbs, f"{name(path)} looks back at the tasks {sorted(entered & verbs)}"


def test_every_room_has_its_place_and_no_more_files_than_can_be_seen_at_once() -> None:
    rooms = {p.name for p in (HOUSE / "tasks").iterdir() if (p / "__init__.py").exists()}
    assert rooms == {*ORDER}
    for place in [*(HOUSE / "tasks" / r for r in rooms), HOUSE / "tasks", HOUSE / "flows", HOUSE / "flows" / "cli"]:
        files = [p for p in place.glob("*.py") if p.stem != "__init__"]
        assert len(files) <= FULL or f"tasks/{place.name}" in PLUG_INS, f"{name(place)} has {len(files)} files"


@pytest.mark.parametrize("kind", PLUG_INS)
def test_a_room_of_plug_ins_holds_plug_ins_that_do_not_know_each_other(kind: str) -> None:
    entry_points, dotted = (HOUSE / "pyproject.toml").read_text(), f"nightloop.{kind.replace('/', '.')}"
    files = {p.stem for p in (HOUSE / kind).glob("*.py")} - {"__init__"}
    assert not [stem for stem in files if f"{dotted}.{stem}:" not in entry_points]
    for stem in files:
        others = {f"{dotted}.{other}" for other in files - {stem, BUILT_ON.get(f"{kind}/{stem}")}}
        assert not enters(HOUSE / kind / f"{stem}.py", *others), f"{kind}/{stem}.py imports another of its kind"


def test_the_packages_have_one_import_name() -> None:
    for path in [*CODE, *(HOUSE / "tests").rglob("*.py")]:
        assert not enters(path, "flows", "tasks", "sql", "infra"), f"{name(path)}: import from nightloop"


SUPPORT = ("resources", "orchestration", "runner", "artifacts", "terminal")  # what every task file may use


def test_a_task_never_calls_a_task() -> None:
    verbs = {p.stem for p in (HOUSE / "tasks").glob("*.py")} - {"__init__", *SUPPORT}
    for path in (HOUSE / "tasks").glob("*.py"):
        assert not {f"{TASKS}.{v}" for v in verbs} & imports(path), name(path)


DOORS = {
    ("prefect", "prefect_aws"): lambda n: n.startswith("flows/") or re.fullmatch(r"tasks/[a-z_]+\.py", n),
    ("duckdb", "duckdb_extensions"): lambda n: n in ("tasks/lake/warehouse.py", "tasks/lake/extensions.py"),
    ("boto3", "botocore"): lambda n: n == "tasks/objects/s3_client.py",
    ("optuna",): lambda n: n == "tasks/tuning/search.py",
    ("great_expectations",): lambda n: n == "tasks/validation/gx.py",
    ("time", "datetime.datetime.now"): lambda n: True,  # see test_the_clock
    ("pickle", "cloudpickle", "dill", "joblib", "torch.load", "torch.save"): lambda n: False,
}


@pytest.mark.parametrize("path", CODE, ids=name)
def test_doors(path: Path) -> None:
    for modules, may in DOORS.items():
        assert not enters(path, *modules) or may(name(path)), f"{name(path)} may not import {modules}"
    text = path.read_text()
    if "entry_points(" in text:
        assert name(path) == "tasks/plan/plugins.py", f"{name(path)} opens the plug-in door"
    if "os.environ" in text or "getenv" in text:
        assert name(path) == "tasks/plan/settings.py" or name(path).startswith("flows/"), name(path)
    for start in re.findall(r"sys\.executable,\s*([^,\]]+)", text):
        assert start == '"-P"', (
            f"{name(path)} starts a Python that would import modules of the directory where it stands"
        )
    assert not re.search(r"torch\.(load|save)\(", text), f"{name(path)} reads or writes pickles"


CLOCK = re.compile(r"datetime\.now\(|datetime\.utcnow\(|date\.today\(|time\.time\(|\bnow\(\)")


@pytest.mark.parametrize("path", [p for p in CODE if room(p)], ids=name)
def test_the_clock(path: Path) -> None:
    """Durations (perf_counter, monotonic, sleep) are no dates; what day it is enters by flows alone."""
    assert not CLOCK.search(path.read_text()), f"{name(path)} looks at the clock; pass the time in"


@pytest.mark.parametrize("path", CODE, ids=name)
def test_shape_of_a_file(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 300, f"{name(path)} has {len(lines)} lines: a room that wants a wall"
    if path.name != "__init__.py" or len(lines) > 0:
        assert ast.get_docstring(tree(path)), f"{name(path)} does not say what it is"
    vague = {"base", "core", "common", "utils", "helpers", "misc", "manager", "engine", "handler", "processor"}
    assert path.stem not in vague


def test_median_file() -> None:
    sizes = [len(p.read_text().splitlines()) for p in CODE if p.name != "__init__.py"]
    assert statistics.median(sizes) <= 120, f"median file has {statistics.median(sizes)} lines"


PARENTS = {"Module", "BaseModel", "BaseSettings", "Protocol", "NamedTuple", "TypedDict", "Frozen", "Body", "Generic"}
PARENTS |= {
    "Exception",
    "NightloopError",
    "ValueError",
    "RuntimeError",
    "OSError",
    "LookupError",
}  # of the error classes
PARENTS |= {
    "HttpToolsProtocol",
    "Request",
    "APIRoute",
    "TyperGroup",
    "APILogHandler",
    "PrefectConsoleHandler",
}  # what uvicorn, FastAPI, Typer and Prefect leave to be added to them


@pytest.mark.parametrize("path", CODE, ids=name)
def test_shape_of_the_code(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef):
            parents = {ast.unparse(b).split("[")[0].split(".")[-1] for b in node.bases}
            assert "Exception" not in parents or node.name == "NightloopError", "one base of all errors"
            assert parents <= PARENTS, f"{name(path)}:{node.lineno} {node.name} inherits {parents - PARENTS}"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            check_function(path, node)
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
            silent = all(isinstance(n, ast.Pass) or ast.unparse(n) == "..." for n in node.body)
            assert not (broad and silent), f"{name(path)}:{node.lineno} swallows an exception"
        kit = name(path) in (
            "tasks/retraining/contract.py",
            "tasks/retraining/contract_chains.py",
        )  # what third parties' tests import
        assert not isinstance(node, ast.Assert) or kit, f"{name(path)}:{node.lineno} validates with assert"


ERRORS = {"PlanError", "DataError", "ConflictError", "StoreError", "NotReady"}
ERRORS |= {
    "FileNotFoundError",
    "PermissionError",
    "TimeoutError",
    "ConnectionError",
    "NotADirectoryError",
}  # the machine's
ERRORS |= {"MemoryError", "KeyboardInterrupt", "SystemExit", "Exit", "HTTPException"}
UNTYPED = {  # what no person can mend, and what another part of the program catches
    "tasks/objects/errors.py": {"OSError"},  # with an errno: Python makes the right kind of it
    "tasks/objects/clock.py": {"TypeError"},
    "tasks/formats/csv_reader.py": {"BlockingIOError"},
    "tasks/formats/page_headers.py": {"EOFError"},  # DuckDB says what is wrong with such a file
    "tasks/serving/fresh_process.py": {"BrokenPipeError"},
    # in place of an error that cannot be sent to another process; of work that nobody waits for
    "tasks/runner.py": {"RuntimeError", "CancelledError"},
    "tasks/validation/gx.py": {"RuntimeError"},
    "flows/demo/loop.py": {"RuntimeError"},
}


@pytest.mark.parametrize("path", CODE, ids=name)
def test_an_error_that_a_person_can_mend_has_a_type_of_ours(path: Path) -> None:
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    made = {kind for call in calls if (kind := ast.unparse(call.func).split(".")[-1]).endswith(("Error", "Exception"))}
    assert made - ERRORS == UNTYPED.get(name(path), set()), f"{name(path)} raises {made - ERRORS}"


def check_function(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    where = f"{name(path)}:{node.lineno} {node.name}"
    a = node.args
    named = [*a.posonlyargs, *a.args, *a.kwonlyargs]
    parameters = [p for p in named if p.arg not in ("self", "cls")]
    flow = name(path).startswith("flows/")  # a form may have more fields than a function should have parameters
    assert len(parameters) <= 7 or flow, f"{where} has {len(parameters)} parameters"
    passed_on = a.kwarg is not None and a.kwarg.annotation is not None and ast.unparse(a.kwarg.annotation) == "P.kwargs"
    fields = where.split(":")[0] == "tasks/plan/settings.py"  # pydantic's constructor: its keywords are the fields
    assert a.kwarg is None or passed_on or fields, f"{where} takes **{a.kwarg.arg if a.kwarg else ''}"
    missing = [p.arg for p in parameters if p.annotation is None]
    assert not missing and (node.returns or node.name == "__init__"), f"{where} lacks types: {missing or 'return'}"
    public = not node.name.startswith("_") and isinstance(node, ast.FunctionDef)
    nested = node.col_offset > 0
    if public and not nested:
        assert ast.get_docstring(node), f"{where} has no docstring"


def test_function_length() -> None:
    lengths = []
    for path in CODE:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef):
                start = node.body[1].lineno if ast.get_docstring(node) and len(node.body) > 1 else node.body[0].lineno
                lengths.append((node.end_lineno or start) - start + 1)
    assert statistics.median(lengths) <= 12, f"median function has {statistics.median(lengths)} lines"


@pytest.mark.parametrize("path", SQL, ids=name)
def test_sql(path: Path) -> None:
    text = path.read_text()
    header = "\n".join(line for line in text.splitlines() if line.startswith("--"))
    body = "\n".join(line.split("--")[0] for line in text.splitlines())
    assert re.match(r"-- (One row per|One row:)", header), f"{name(path)} does not say what a row is"
    for parameter in set(re.findall(r"\$([a-z_]+)", body)):
        typed = re.search(rf"\${parameter}\b.*[A-Z]{{2,}}", header)
        assert typed, f"{name(path)}: ${parameter} has no type in the header"
    assert body.strip().rstrip(";").count(";") == 0, f"{name(path)} holds more than one statement"
    assert not re.search(r"[{}]|%s", re.sub(r"'[^']*'", "", body)), f"{name(path)} is formatted, not parametrised"


def test_sql_lives_in_sql() -> None:
    statement = re.compile(r"\b(SELECT\s+.+\s+FROM|INSERT\s+INTO|DELETE\s+FROM|UPDATE\s+\w+\s+SET)\b", re.S)
    for path in CODE:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.JoinedStr):
                text = "".join(v.value for v in node.values if isinstance(v, ast.Constant) and isinstance(v.value, str))
                assert not statement.search(text), f"{name(path)}:{node.lineno} formats SQL"


def test_nothing_happens_at_import() -> None:
    """Top level holds imports, definitions and constants: no call but those that make a value."""
    harmless = re.compile(r"^(typer|app)\b")
    for path in CODE:
        for node in tree(path).body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                assert harmless.match(ast.unparse(node.value)), f"{name(path)}:{node.lineno} does work at import"
