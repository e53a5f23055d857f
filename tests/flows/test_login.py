"""The login of `nightloop up`: how it is kept, who is shown it, and whom it is sent to."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from nightloop.flows.cli import login
from nightloop.tasks.plan.errors import PlanError
from tests.flows.run_cli import HOUSE, refused, said

RUNNING = "http://127.0.0.1:4200"
ADDRESS = f"{RUNNING}/api"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nothing was started yet."""
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "home"))
    for name in (login.SERVER_LOGIN, login.CLIENT_LOGIN):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def test_it_is_made_once_and_private_from_the_first_moment(home: Path) -> None:
    before = os.umask(0)
    try:
        made = login.login_of_up()
    finally:
        os.umask(before)
    path = home / "prefect" / "login"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(made) > 50 and made == login.login_of_up() == login.read_login(path)


def test_an_open_directory_of_an_older_version_is_made_private(home: Path) -> None:
    (home / "prefect").mkdir(parents=True, mode=0o755)
    login.login_of_up()
    assert stat.S_IMODE((home / "prefect").stat().st_mode) == 0o700


def test_an_operators_own_goes_first_and_is_written_nowhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(login.SERVER_LOGIN, "me:mine")
    assert login.login_of_up() == "me:mine" and not home.exists()
    monkeypatch.setenv(login.SERVER_LOGIN, "")
    assert login.login_of_up().startswith("nightloop:"), "an empty one is none: anybody could guess it"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_one_that_others_can_read_or_change_is_refused_without_showing_it(mode: int) -> None:
    made = login.login_of_up()
    login.login_path().chmod(mode)
    with pytest.raises(PermissionError, match=r"others can read or change the login .*Delete it") as told:
        login.login_of_up()
    assert made.removeprefix("nightloop:") not in str(told.value)


@pytest.mark.parametrize(
    "text", ["", "\n", "nightloop:", "no colon and then some more", "a:b c d e f g h i j k l m n o p", "é:" + "x" * 40]
)
def test_a_damaged_one_is_refused_with_what_to_do(text: str) -> None:
    login.login_of_up()
    login.login_path().write_text(text)
    with pytest.raises(ValueError, match=r"holds no login .*Delete it"):
        login.login_of_up()


def test_the_verb_tells_the_path_and_shows_the_login_on_a_terminal_only(home: Path) -> None:
    none = said({}, "login")
    assert none.returncode == 2 and "there is no login" in none.stderr and "`nightloop up` makes it" in none.stderr
    made = login.login_of_up()
    told = said({}, "login", "--json")
    assert json.loads(told.stdout)["path"] == str(home / "prefect" / "login")
    piped = said({}, "login", "--show")
    assert piped.returncode == 2 and "stdout is none; read the file" in piped.stderr
    for done in (told, piped):
        assert made not in done.stdout + done.stderr
    assert on_a_terminal("login", "--show").split() == [made]


def on_a_terminal(*words: str) -> str:
    """What a verb writes where its stdout is a terminal."""
    ours, its = pty.openpty()
    subprocess.run([sys.executable, "-m", "nightloop", *words], cwd=HOUSE, stdout=its, check=True, timeout=60)
    os.close(its)
    with os.fdopen(ours, "rb", buffering=0) as screen:
        return screen.read(10_000).decode()


@pytest.mark.parametrize(
    ("asked", "running", "sent"),
    [
        (ADDRESS, RUNNING, True),
        (f"{ADDRESS}/", RUNNING, True),
        (ADDRESS, "", False),
        ("http://127.0.0.1:4201/api", RUNNING, False),
        ("http://localhost:4200/api", RUNNING, False),
        ("https://127.0.0.1:4200/api", RUNNING, False),
        ("https://api.prefect.cloud/api/accounts/a/workspaces/b", RUNNING, False),
    ],
)
def test_it_is_sent_to_the_running_up_of_this_home_and_to_nobody_else(
    asked: str, running: str, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = login.login_of_up()
    with login.announce_address(running) if running else nullcontext():
        assert sent_to(asked, "", monkeypatch) == (made if sent else None)
    assert sent_to(asked, "", monkeypatch) is None, "it has stopped"


def test_the_address_of_one_that_was_killed_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    login.login_of_up()
    with login.announce_address(RUNNING):
        [path] = login.login_directory().glob("address-*")
    path.write_text(RUNNING)
    assert sent_to(ADDRESS, "", monkeypatch) is None, "whoever listens there now may be anybody"


def test_the_server_of_one_that_was_killed_is_named_with_what_to_do() -> None:
    request = httpx.Request("GET", f"{ADDRESS}/health")
    refusal = PrefectHTTPStatusError("401", request=request, response=httpx.Response(401, request=request))
    assert "asks for another login" in str(login.prefect_error(refusal)), "no `up` of this home ran there"
    login.login_of_up()
    with login.announce_address(RUNNING):
        [path] = login.login_directory().glob("address-*")
        assert "asks for another login" in str(login.prefect_error(refusal)), "it runs"
    path.write_text(RUNNING)
    assert "was killed" in str(login.prefect_error(refusal)) and "Start `nightloop up` again" in str(
        login.prefect_error(refusal)
    )


def test_a_program_of_another_user_that_took_the_port_is_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    login.login_of_up()
    with login.announce_address(RUNNING):  # its server has died, and is started again in a moment
        assert sent_to(ADDRESS, "", monkeypatch, ours=False) is None
        assert login.address_of_up() == ""


def test_a_login_of_ones_own_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    login.login_of_up()
    with login.announce_address(RUNNING):
        assert sent_to(ADDRESS, "me:mine", monkeypatch) is None


def test_a_temporary_server_gets_a_new_login_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = sent_to("", "", monkeypatch)
    second = sent_to("", "left:over", monkeypatch)
    assert first and second and first != second and os.environ[login.SERVER_LOGIN] == second


def sent_to(url: str, own: str, monkeypatch: pytest.MonkeyPatch, ours: bool = True) -> str | None:
    """The login that a verb puts into its environment where Prefect's settings hold this address and login.

    `ours`: whether this user's program listens there.
    """
    monkeypatch.setattr(login, "is_own_process", lambda port: ours)
    monkeypatch.setattr("prefect.context.refresh_global_settings_context", lambda: None)
    for name, value in login.locked_api_settings("").items():
        monkeypatch.setenv(name, value)  # so that it is put back after the test
    monkeypatch.delenv(login.CLIENT_LOGIN)
    with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: own}):
        login.log_in()
    return os.environ.get(login.CLIENT_LOGIN)


def test_who_listens_at_another_address_of_the_port_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*addresses: tuple[str, int]) -> str:
        head, tail = "0000 0A 00000000:00000000 00:00000000 00000000", "0 1"
        rows = [f"{n}: {at}:1068 00000000:{head} {user} {tail}" for n, (at, user) in enumerate(addresses)]
        return "\n".join(["sl local_address rem_address st", *rows])

    me, other = os.geteuid(), os.geteuid() + 1
    for addresses, mine in (
        ([("0100007F", me), ("0200007F", other)], True), ([("0100007F", other), ("0200007F", me)], False),
        ([("00000000", other)], False), ([("0200007F", me)], False),
    ):  # fmt: skip
        table = told(*addresses)
        monkeypatch.setattr(Path, "read_text", lambda self, table=table: table)
        assert login.is_own_process(0x1068) is mine


@pytest.mark.parametrize("words", [("worker",), ("deploy", "simulated"), ("night", "simulated"), ("doctor",)])
@pytest.mark.parametrize("own", ["ann:pl4nted-word", "pl4nted-word"])
def test_one_in_the_address_is_refused_before_any_log_can_show_it(
    words: tuple[str, ...], own: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://{own}@127.0.0.1:9/api")
    said = refused(monkeypatch, capsys, *words)
    assert "pl4nted" not in said and "PREFECT_API_AUTH_STRING (user:password)" in said


@pytest.mark.parametrize("asked", ["http://ann:pl4nted-word@127.0.0.1:9/api", "http://127.0.0.1:4200@evil.example/api"])
def test_one_in_the_address_of_a_profile_is_refused(asked: str) -> None:
    with temporary_settings({PREFECT_API_URL: asked}), pytest.raises(PlanError, match="leave them out"):
        login.log_in()
