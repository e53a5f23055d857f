"""Login: the login of the Prefect servers that nightloop starts, and the file that keeps it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from nightloop.tasks.plan.dsn import holds_login
from nightloop.tasks.plan.errors import PlanError, StoreError

SERVER_LOGIN, CLIENT_LOGIN = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
SHAPE = re.compile(r"[!-9;-~]+:[!-~]{16,}")  # user:password, as the login form and HTTP want it
WITHOUT_PREFECT = ("up", "login")  # verbs that ask no server; `up` starts one of its own


def login(
    show: Annotated[bool, typer.Option("--show", help="Show the login itself; on a terminal only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout; logs go to stderr.")] = False,
) -> None:
    """Say where the login of `nightloop up` is kept, and how to use it; --show shows it on a terminal."""
    path = login_path()
    value = read_login(path)
    if show and not sys.stdout.isatty():
        raise PlanError(f"--show shows a secret on a terminal only, and stdout is none; read the file {path} instead")
    document = {"path": str(path), "text": login_advice(path)} | ({"login": value, "text": value} if show else {})
    sys.stdout.write((json.dumps(document, indent=2, ensure_ascii=False) if as_json else document["text"]) + "\n")


def login_advice(path: Path) -> str:
    """How to use the login, without the login itself."""
    lines = [
        f"The login of `nightloop up` is in {path}, which only you can read.",
        "  in the browser: paste the text that `nightloop login --show` shows",
        f'  other programs: export {CLIENT_LOGIN}="$(cat {shlex.quote(str(path))})"',
        "  nightloop itself reads it there, if PREFECT_API_URL is the address of a running `nightloop up`",
        "  a new one: stop `nightloop up`, delete the file, start it again",
    ]
    if os.environ.get(SERVER_LOGIN):
        lines.append(f"  {SERVER_LOGIN} is set: `nightloop up` uses that instead of the file")
    return "\n".join(lines)


LISTENS = "0A"  # the state of a listening socket in /proc/net/tcp
REACHED = ("0100007F", "00000000")  # of /proc/net/tcp: 127.0.0.1, where our servers listen, and every address


def login_directory() -> Path:
    """The directory of Prefect under home. Only its owner may read its database, the login and the address."""
    from nightloop.tasks.plan.settings import Settings

    return Settings().home.resolve() / "prefect"


def login_path() -> Path:
    """Where the login is kept."""
    return login_directory() / "login"


def private_directory() -> Path:
    """Make the directory of Prefect, or make it private. Raises PermissionError if another user owns it."""
    path = login_directory()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) != 0o700:
        path.chmod(0o700)
    return path


def login_of_up() -> str:
    """The login that `nightloop up` asks for: that of the environment, or the one in the file, which is made if missing."""
    if value := os.environ.get(SERVER_LOGIN, ""):
        return value
    path = private_directory() / "login"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # private from the first moment
    except FileExistsError:
        return read_login(path)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(new_login() + "\n")
    return read_login(path)


def read_login(path: Path) -> str:
    """The login in the file. Raises an error that says what to do if it is missing, damaged or not private."""
    advice = f"Delete it; `nightloop up` then makes a new one, or set {SERVER_LOGIN} yourself"
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no login at {path} yet: `nightloop up` makes it") from None
    with os.fdopen(descriptor) as stream:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            mode = f"mode {stat.S_IMODE(status.st_mode):04o}, owner {status.st_uid}"
            raise PermissionError(f"others can read or change the login {path} ({mode}), so it is not used. {advice}")
        value = stream.read(1000).strip()
    if not SHAPE.fullmatch(value):
        raise PlanError(f"the file {path} holds no login (user:password, 16 characters or more of password). {advice}")
    return value


def new_login() -> str:
    """A random login."""
    return f"nightloop:{secrets.token_urlsafe(32)}"


def locked_api_settings(given: str) -> dict[str, str]:
    """Settings of a server that requires this login and answers no other website, and of its clients."""
    return {
        SERVER_LOGIN: given,
        CLIENT_LOGIN: given,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",  # no other origin: the UI asks its own
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
    }


def refuse_login_in_url(url: str) -> None:
    """Raise PlanError if the address of a Prefect server holds a user name or a password: Prefect's logs would show it."""
    if holds_login(url):
        raise PlanError(
            "PREFECT_API_URL has a user name or a password in it; leave them out, and set them as "
            f"{CLIENT_LOGIN} (user:password)"
        )


def choose_prefect(chosen: bool | None) -> bool | None:
    """Before a flow: decide whether Prefect runs it, and log in there if so. Called by the option of that name."""
    from nightloop.tasks.plan.settings import Settings

    if chosen is not None:
        os.environ["NIGHTLOOP_PREFECT"] = str(chosen)
    if Settings().uses_prefect:
        log_in()
    return chosen


def log_in_for_credentials(context: typer.Context) -> None:
    """Log in before a verb that reads its S3 credentials from a Prefect block."""
    if os.environ.get("NIGHTLOOP_S3_CREDENTIALS_BLOCK") and context.invoked_subcommand not in WITHOUT_PREFECT:
        log_in()


def log_in() -> None:
    """Protect Prefect's temporary server if no other is named; else use the login of this home's `nightloop up`.

    A login that the operator gave is used as it is. The one in the file is sent only to a `nightloop up` of this home that
    runs now.
    """
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    refuse_login_in_url(api.url or "")
    if not api.url:
        os.environ.update(locked_api_settings(new_login()))
    elif not api.auth_string and not api.key and runs_at(api.url.rstrip("/").removesuffix("/api")):
        os.environ[CLIENT_LOGIN] = read_login(login_path())
    else:
        return
    refresh_global_settings_context()


def prefect_error(error: Exception) -> OSError | None:
    """The error to raise if a Prefect server cannot be reached or did not accept the login; None for any other error."""
    if "prefect" not in sys.modules:
        return None
    from prefect.exceptions import PrefectHTTPStatusError

    if not isinstance(error, PrefectHTTPStatusError) or error.response.status_code != 401:
        from nightloop.tasks.orchestration import lost

        return StoreError(f"Prefect's API cannot be reached: {error}") if lost(error) else None
    where = error.request.url.netloc.decode()  # netloc, so that no user name or password is shown
    if _was_left_at(f"http://{where}"):
        return PermissionError(
            f"the Prefect server at {where} gets no login: the `nightloop up` of {login_directory().parent} that started it was "
            "killed, so another program may have taken its place. Start `nightloop up` again"
        )
    return PermissionError(
        f"the Prefect server at {where} asks for another login. If it is a `nightloop up`: set NIGHTLOOP_HOME to its home, "
        f"or export {CLIENT_LOGIN} as it said when it started"
    )


@contextmanager
def announce_address(url: str) -> Iterator[None]:
    """While the block runs, a locked file says that a `nightloop up` runs at this address; the lock ends with the process."""
    import fcntl  # not on every system, and no verb but `up` needs it there

    path = login_directory() / f"address-{url.rsplit(':', 1)[1]}"
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.write(url)
        stream.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def runs_at(url: str) -> bool:
    """Whether a `nightloop up` of this home runs at this address now, and not another user's server."""
    return any(
        _is_locked(path) for path in login_directory().glob("address-*") if path.read_text() == url
    ) and is_own_process(_port(url))


def address_of_up() -> str:
    """The address of a `nightloop up` of this home that runs now; empty if there is none."""
    urls = (path.read_text() for path in sorted(login_directory().glob("address-*")) if _is_locked(path))
    return next((url for url in urls if is_own_process(_port(url))), "")


def _was_left_at(url: str) -> bool:
    """Whether a `nightloop up` of this home ran at this address and was killed."""
    return any(path.read_text() == url and not _is_locked(path) for path in login_directory().glob("address-*"))


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def is_own_process(port: int) -> bool:
    """Whether the process that listens on a port runs as this user; no other may get the login. True if that is unknown."""
    table = Path("/proc/net/tcp")
    if not table.exists():
        return True
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    users = {int(row[7]) for row in rows if row[3] == LISTENS and row[1] in {f"{at}:{port:04X}" for at in REACHED}}
    return users == {os.geteuid()}


def _is_locked(path: Path) -> bool:
    import fcntl

    with path.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
