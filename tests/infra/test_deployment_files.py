"""What compose, Kubernetes and the image run and set is what the command line and the settings have: neither can drift."""

from __future__ import annotations

import re
import tomllib
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
from prefect.settings import Settings as PrefectSettings
from prefect.settings.legacy import _get_valid_setting_names

from nightloop.flows.cli.cut_off import POOL
from nightloop.flows.cli.login import CLIENT_LOGIN, SERVER_LOGIN, locked_api_settings
from nightloop.flows.cli.main import app
from nightloop.tasks.http_service.metrics import PATHS
from nightloop.tasks.plan.dsn import keywords, read_catalog
from nightloop.tasks.plan.redact import holds_credentials
from nightloop.tasks.plan.settings import CREDENTIALS, Settings
from tests.infra.deployment_files import (
    COMPOSE,
    DOCKERFILE,
    INFRA,
    KUBERNETES,
    SERVER_VALUES,
    SERVICES,
    WORKER_VALUES,
    command,
    environment,
    kind,
    option,
    variables,
)

OURS = [name for name in SERVICES if str(SERVICES[name]["image"]).startswith("nightloop")]
FILES = {"compose": COMPOSE, "kubernetes": KUBERNETES, "server": SERVER_VALUES, "worker": WORKER_VALUES}
SERVE = kind("Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
NAMES = {
    str(field.validation_alias or f"NIGHTLOOP_{name}").upper(): name for name, field in Settings.model_fields.items()
}


def test_compose_is_a_compose_file() -> None:
    check = pytest.importorskip("check_jsonschema.cli", reason="pip install check-jsonschema")
    from click.testing import CliRunner

    done = CliRunner().invoke(check.main, ["--builtin-schema", "vendor.compose-spec", str(INFRA / "compose.yaml")])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("file", FILES)
def test_every_variable_is_a_setting_and_has_a_value_that_it_may_have(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefects = _get_valid_setting_names(PrefectSettings)
    for name, value in variables(FILES[file]):
        known = NAMES if name.startswith(("NIGHTLOOP", "AWS")) else prefects if name.startswith("PREFECT") else ["PGPASSWORD"]
        assert name in known, f"{name} is no setting"
    for service in SERVICES if file == "compose" else ():
        for name, value in environment(service).items():
            if name.startswith("NIGHTLOOP"):
                monkeypatch.setenv(name, value)
    Settings()


@pytest.mark.parametrize("file", FILES)
def test_no_credential_is_written_in_a_file(file: str) -> None:
    for name, value in variables(FILES[file]):
        assert not name.endswith(CREDENTIALS) or value in ("", "None") or value.startswith(("{", "./secrets/")), name
        assert not holds_credentials(value), f"{name} holds a credential"


def words() -> dict[str, list[str]]:
    """Every command of nightloop, by where it stands."""
    found = {name: command(name) for name in OURS}
    found |= {"image": re.findall(r'"([^"]+)"', DOCKERFILE.rpartition("CMD")[2])}
    found |= {"kubernetes serve": SERVE["args"], "kubernetes worker": WORKER_VALUES["worker"]["args"]}
    return {name: [str(word) for word in several] for name, several in found.items() if several[0] == "nightloop"}


@pytest.mark.parametrize("place", words())
def test_every_command_is_one_that_the_command_line_has(place: str) -> None:
    _, verb, *arguments = words()[place]
    known: Any = typer.main.get_command(app)
    parameters = known.commands[verb].params
    options = {text for parameter in parameters for text in parameter.opts if text.startswith("--")}
    given = [word for word in arguments if word.startswith("--")]
    assert not {*given} - options, f"nightloop {verb} has no such option"
    positional = [word for n, word in enumerate(arguments) if word not in given and (n == 0 or arguments[n - 1] not in given)]
    assert len(positional) == len([one for one in parameters if one.param_type_name == "argument" and one.required])


def port_of(url: str) -> int:
    return int(urlsplit(url).port or 0)


def test_addresses_and_ports_agree() -> None:
    api, s3 = environment("worker")["PREFECT_API_URL"], environment("worker")["NIGHTLOOP_S3_ENDPOINT"]
    assert urlsplit(api).hostname == "prefect" and str(port_of(api)) == option(command("prefect"), "--port")
    assert urlsplit(api).path == SERVER_VALUES["server"]["uiConfig"]["prefectUiApiUrl"] == environment("prefect")["PREFECT_UI_API_URL"]
    assert urlsplit(s3).hostname == "s3" and str(port_of(s3)) == option(command("s3"), "-s3.port")
    assert f":{port_of(s3)}/" in SERVICES["s3"]["healthcheck"]["test"][-1]
    catalog = keywords(read_catalog(environment("worker")["NIGHTLOOP_CATALOG"].removeprefix("postgres:")).server)
    assert catalog["host"] == "postgres" and catalog["port"] == "5432"
    assert catalog["user"] == environment("postgres")["POSTGRES_USER"]
    assert f"CREATE DATABASE {catalog['dbname']};" in COMPOSE["configs"]["databases"]["content"]
    prefects = urlsplit(environment("prefect")["PREFECT_API_DATABASE_CONNECTION_URL"])
    assert (prefects.hostname, prefects.port, prefects.path[1:]) == ("postgres", 5432, environment("postgres")["POSTGRES_DB"])
    default = dict(re.findall(r"(\w+)=(\S+) \\", DOCKERFILE))["HEALTH_URL"]
    for service, flag in (("worker", "--health-port"), ("serve", "--port"), ("prefect", "--port")):
        health = environment(service).get("HEALTH_URL", default)
        assert str(port_of(health)) == option(command(service), flag), service
    assert SERVICES["serve"]["ports"] == [f"127.0.0.1:{option(command('serve'), '--port')}:{option(command('serve'), '--port')}"]


def test_the_service_of_kubernetes_is_probed_and_scraped_where_it_answers() -> None:
    (port,) = SERVE["ports"]
    assert str(port["containerPort"]) == option(SERVE["args"], "--port")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert SERVE[probe]["httpGet"] == {"path": "/health", "port": port["name"]}
    template = kind("Deployment")[0]["spec"]["template"]["metadata"]
    assert template["annotations"]["prometheus.io/path"] in PATHS and "/health" in PATHS
    (service,) = kind("Service")
    assert service["spec"]["selector"].items() <= template["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert option(SERVE["args"], "--allow-host").startswith(f"{service['metadata']['name']}.")
    policies = {one["metadata"]["name"]: one["spec"] for one in kind("NetworkPolicy")}
    assert policies["nobody"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert policies["nightloop-serve"]["podSelector"]["matchLabels"] == template["labels"]
    assert policies["prefect-server"]["ingress"][0]["ports"][0]["port"] == 4200
    assert WORKER_VALUES["worker"]["config"] == {"workPool": POOL, "type": "process"}
    assert option(WORKER_VALUES["worker"]["args"], "--health-port") == "8080", "the port that the chart's probe asks"


def test_every_secret_of_kubernetes_is_a_reference() -> None:
    text = "".join((INFRA / "kubernetes" / name).read_text() for name in ("nightloop.yaml", "prefect-worker.yaml", "prefect-server.yaml"))
    assert not kind("Secret")
    made = {*re.findall(r"create secret generic (\S+)", text)}
    used = {*re.findall(r"(?:existingSecret|extraEnvVarsSecret): (\S+)", text), *re.findall(r"secret(?:Ref|KeyRef): \{name: ([\w-]+)", text)}
    assert used == made == {"nightloop", "nightloop-prefect", "nightloop-serve"}


def test_the_servers_are_closed_as_nightloop_up_closes_its_own() -> None:
    closed = {name: value for name, value in locked_api_settings("x").items() if name not in (SERVER_LOGIN, CLIENT_LOGIN)}
    server = dict(variables(SERVER_VALUES))
    for name, value in closed.items():
        where = environment("worker") if name.startswith("PREFECT_CLIENT") else environment("prefect")
        assert where[name] == value
        assert name.startswith("PREFECT_CLIENT") or server[name] == value
    assert SERVER_VALUES["server"]["basicAuth"]["enabled"] and WORKER_VALUES["worker"]["selfHostedServerApiConfig"]["basicAuth"]["enabled"]
    assert SERVER_LOGIN in SERVICES["prefect"]["secrets"] and CLIENT_LOGIN in SERVICES["worker"]["secrets"]
    published = [port for one in SERVICES.values() for port in one.get("ports", [])]
    assert published and all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_pinned_and_bounded(service: str) -> None:
    one = SERVICES[service]
    assert service in OURS or re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", one["image"])
    if service in OURS:
        assert one["read_only"] and one["cap_drop"] == ["ALL"] and one["security_opt"] == ["no-new-privileges:true"]
    if one["restart"] == "unless-stopped":
        limits = one["deploy"]["resources"]["limits"]
        assert {*limits} == {"cpus", "memory"}
    shared = [volume for volume in one.get("volumes", []) if "/home/nightloop" in volume and ":" in volume]
    assert service == "serve" or not shared, "only the store is shared"
    for secret in one.get("secrets", []):
        assert COMPOSE["secrets"][secret]["file"] == f"./secrets/{secret}"


def test_the_image_is_pinned_and_runs_as_nobody_else() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    assert len({*bases}) == 1 and re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", bases[0])
    assert re.search(r"^USER 10001$", DOCKERFILE, re.M) and "--require-hashes" in DOCKERFILE and "HEALTHCHECK" in DOCKERFILE
    copied = {word for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.M) for word in line.split()[:-1]}
    kept = {line[1:] for line in (INFRA / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {word.partition("/")[0] for word in copied} == kept
    assert all((INFRA.parent / word).exists() for word in copied)
    release = tomllib.loads((INFRA.parent / "pyproject.toml").read_text())["project"]["version"]
    assert {one["image"] for one in SERVICES.values() if one["image"].startswith("nightloop")} == {f"nightloop:{release}"}
    assert SERVE["image"].endswith(f":{release}") and WORKER_VALUES["worker"]["image"]["prefectTag"] == release


def test_the_packages_of_the_image_are_those_that_were_tested() -> None:
    def pins(text: str) -> dict[str, str]:
        return {re.sub(r"[._]", "-", n.lower()): v for n, v in re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", text, re.M)}

    lock = (INFRA / "image-requirements.txt").read_text()
    image, tested = pins(lock), pins((INFRA / "constraints.txt").read_text())
    assert {n: (v, tested[n]) for n, v in image.items() if tested.get(n, v) != v} == {}
    assert f"torch=={tested['torch']}" in DOCKERFILE and "torch" not in image
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.M)[1:]
    assert len(blocks) == len(image) and all("--hash=sha256:" in block for block in blocks)
    project = tomllib.loads((INFRA.parent / "pyproject.toml").read_text())["project"]
    for wanted in [*project["dependencies"], *project["optional-dependencies"]["serve"]]:
        name = re.split(r"[<>=; \[]", wanted)[0].lower()
        assert name == "torch" or name in image, f"{name}: make infra/image-requirements.txt again"
