"""Words from outside on their way to a terminal, a document, an artifact or a run's name: nothing in them acts."""

from __future__ import annotations

import io
import json
import sys

import pytest

import nightloop.flows.cli.main as cli
import nightloop.flows.demo.loop
import nightloop.tasks.promote
from nightloop.flows.run_names import run_name
from nightloop.tasks import orchestration
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.record.entries import Entry
from nightloop.tasks.record.promotions import ActOutcome

NASTY = (
    "\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;http://evil\x1b\\link", "\x9b2J", "\x9d0;t\x9c", "\x85", "\x7f", "\rover", "\b\b",
    "\x00", "\u202edlrow", "\u2066x\u2069", "\u2028", "\u200b", "\U000e0041", "\ud800",
    "<script>alert(1)</script>", "![p](http://evil/x.png)", "[a](javascript:x)", "http://evil.example", "| cell | cell |",
    "[bold]markup[/bold]", ":smile:",
)  # fmt: skip


def harmless(text: str) -> bool:
    text.encode()
    return all(c.isprintable() or c in "\n\t" for c in text)


def entry(reason: str) -> Entry:
    return Entry.model_construct(
        number=3, action="promote", pipeline="shop_1", strategy="tuned", period=2, name="2026-01-03", by="gate",
        reason=reason, when="2026-01-04T00:00:00+00:00",
    )  # fmt: skip


@pytest.mark.parametrize("nasty", NASTY, ids=ascii)
def test_a_reason_does_nothing_in_the_champions_artifact(monkeypatch: pytest.MonkeyPatch, nasty: str) -> None:
    made: dict[str, str] = {}
    monkeypatch.setattr(
        nightloop.tasks.promote,
        "show_markdown",
        lambda key, description, text: made.update(key=key, description=description, text=text),
    )
    nightloop.tasks.promote._report_outcome(ActOutcome(entry(f"because {nasty} of {nasty}"), False))
    assert made["key"] == "shop_1-champion" and "because" in made["text"] and "because" in made["description"]
    for shown in (made["text"], made["description"]):
        assert harmless(shown) and "<script" not in shown and "http://" not in shown
        for mark in "[]|!":
            assert shown.count(mark) == shown.count("\\" + mark)
    assert len(made["description"]) < 400


@pytest.mark.parametrize("nasty", NASTY, ids=ascii)
@pytest.mark.parametrize("found", ["text", "lines", "document"])
def test_what_a_verb_says_does_nothing_in_a_terminal(
    capsys: pytest.CaptureFixture[str], nasty: str, found: str
) -> None:
    text = f"it serves: {nasty} end"
    given = {"text": text, "lines": [text, "second"], "document": {"text": text, "reasons": [nasty]}}[found]
    cli.say(given, as_json=False)
    said = capsys.readouterr().out
    assert harmless(said) and said.startswith("it serves: ") and " end" in said
    if nasty.isprintable():
        assert nasty in said, "plain characters are shown as they are"
    cli.say(given, as_json=True)
    document = capsys.readouterr().out
    assert harmless(document) and document.isascii()
    parsed = json.loads(document)
    assert parsed == ({"text": text} if found == "text" else given)


@pytest.mark.parametrize("nasty", NASTY, ids=ascii)
def test_a_mistake_does_nothing_in_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, nasty: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["nightloop", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.fail(FileNotFoundError(2, "No such file", f"in/{nasty}.csv"))
    told = capsys.readouterr()
    assert ended.value.code == 2 and harmless(told.err) and harmless(told.out) and "nightloop: [Errno 2]" in told.err
    assert "No such file" in json.loads(told.out)["error"]


@pytest.mark.parametrize("nasty", NASTY, ids=ascii)
def test_the_demo_says_names_of_files_and_columns_as_they_are(monkeypatch: pytest.MonkeyPatch, nasty: str) -> None:
    out = io.StringIO()
    monkeypatch.setattr(nightloop.flows.demo.loop.console, "file", out)
    nightloop.flows.demo.loop._say(1, f"{nasty} takes item")
    nightloop.flows.demo.loop._print_lines([f"not used: {nasty}"])
    assert harmless(out.getvalue()) and (not nasty.isprintable() or out.getvalue().count(nasty) == 2)


@pytest.mark.parametrize("nasty", NASTY, ids=ascii)
def test_a_mistake_does_nothing_in_the_state_of_a_run(nasty: str) -> None:
    def refused() -> None:
        raise PlanError(f"given {nasty} here")

    before = orchestration._RUN.set(orchestration.Run("run", prefect=True))
    try:
        state = orchestration._fail_in_words(refused)()
    finally:
        orchestration._RUN.reset(before)
    assert harmless(state.message) and state.message.startswith("given ") and state.message.endswith(" here")


@pytest.mark.parametrize("nasty", [*NASTY, "two\nlines", "x" * 5000], ids=lambda text: ascii(text)[:40])
def test_a_runs_name_is_one_short_plain_line(nasty: str) -> None:
    name = run_name("promote", {"plan": f"a/{nasty}.yaml", "strategy": nasty, "period": nasty, "to": nasty})
    assert harmless(name) and "\n" not in name and "\t" not in name and len(name) <= 200 and name.startswith("promote")
    given = {"plan": "shop", "reason": nasty, "start": "password=hunter2", "end": ""}
    assert "hunter2" not in run_name("backfill", given)
