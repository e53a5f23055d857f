"""Plans: what is in one, every mistake said at once with what is legal, and files that are no plan at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightloop.tasks.plan.load import as_given, find_plan, form_mistakes, raise_mistakes, read_yaml, remember_name
from nightloop.tasks.plan.plan import Columns, Plan
from nightloop.tasks.plugins.assembly import read_plan

INFRA = Path(__file__).parents[2] / "infra"


def raw() -> dict[str, Any]:
    """A plan without a mistake."""
    return {
        "pipeline": "shop",
        "source": {"use": "files", "options": {"path": "in/{period}.csv"}},
        "columns": {"user": "u", "item": "i", "time": "t"},
        "periods": {"every": "day", "start": "2026-01-01"},
        "pretrain": {"use": "FullRetrain"},
        "model": {"use": "MF", "options": {"width": 8}},
        "strategies": {"still": {"use": "NoUpdate"}, "tuned": {"use": "FineTune"}},
    }


def written(folder: Path, plan: object) -> Path:
    path = folder / "shop.yaml"
    path.write_text(plan if isinstance(plan, str) else yaml.safe_dump(plan, sort_keys=False))
    return path


def refused(folder: Path, plan: object) -> str:
    """What is said of a plan that is refused."""
    with pytest.raises(ValueError) as told:
        read_plan(written(folder, plan))
    assert "Value error" not in str(told.value)  # pydantic's name for the kind of a mistake
    return str(told.value)


def test_a_plan_without_a_mistake_is_read_and_its_hash_depends_on_what_it_says_alone(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, raw()))
    turned = read_plan(written(tmp_path, dict(reversed(raw().items()))))
    assert plan == turned and plan.hash == turned.hash and plan.family == "ranking"
    assert plan.hash != read_plan(written(tmp_path, raw() | {"seed": 1})).hash


def test_every_mistake_is_said_at_once_with_what_is_legal(tmp_path: Path) -> None:
    wrong = raw() | {"colour": "red", "pretrain_periods": 0, "gate": {"alpha": 2, "metrics": "auc"}}
    wrong["source"] = {"use": "fax"}
    wrong["model"] = {"use": "MF", "options": {"witdh": 8}}
    wrong["strategies"] = {"tuned": {"use": "FineTunes"}, "late": {"use": "FullRetrain", "options": {"windw": 7}}}
    del wrong["pretrain"]
    said = refused(tmp_path, wrong)
    assert "mistakes:" in said.splitlines()[0]
    expected = (
        "colour: unknown field; allowed here: columns, correctors, cron, expectations, gate,",
        "pretrain_periods: Input should be greater than or equal to 1 (given: 0)",
        "gate.alpha: Input should be less than 0.5 (given: 2)",
        "gate.metrics: unknown field (did you mean metric?); allowed here: alpha, calibration, evidence_nights,",
        "pretrain: missing",
        "source: no source 'fax'; installed are adressa, avazu, click-world, criteo, database, files, libfm, movielens, "
        "ranking-world, repeat-world, reviews, simulated",
        "model.witdh: no such option of MF (did you mean width?); it has width",
        "strategies.tuned: no strategy 'FineTunes' (did you mean FineTune?); installed are ALS, ASMG, AddPopularity, AverageWeights,",
        "strategies.late.windw: no such option of FullRetrain (did you mean window?); it has training, begin, window",
    )
    assert [e for e in expected if e not in said] == [], said
    assert said.count("\n  - ") == len(expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"periods": {"every": "fortnight", "start": "2026-01-01"}}, "periods.every: Input should be 'hour', 'day'"),
        ({"periods": {"every": "day", "length": 0, "start": "2026-01-01"}}, "periods.length: Input should be greater"),
        ({"periods": {"rows": 0}}, "periods.rows: Input should be greater than or equal to 1"),
        ({"ranking": {"negatives": 0}}, "ranking.negatives"),
        ({"ranking": {"catalogue": "half"}}, "ranking.catalogue"),
        ({"gate": {"metric": "catalogue_ndcg@20"}}, "it needs ranking: {catalogue: true}"),
        ({"seed": -1}, "seed"),
        ({"cron": "61 * * *"}, "cron: '61 * * *' starts no run: it has not five fields"),
        ({"strategies": {}}, "strategies"),
        ({"strategies": {"../up": {"use": "NoUpdate"}}}, "'../up' is not a name"),
        ({"strategies": {"a'; drop table logs": {"use": "NoUpdate"}}}, "is not a name"),
        ({"strategies": {"x" * 1_000: {"use": "NoUpdate"}}}, "is not a name"),
        ({"pipeline": "../../etc"}, "pipeline"),
        ({"pipeline": "shop'; drop table logs; --"}, "pipeline"),
        ({"pipeline": "Shop"}, "pipeline"),
        ({"pipeline": "x" * 100_000}, "pipeline"),
        ({"columns": {"user": "", "item": "i", "time": "t"}}, "columns.user"),
        ({"columns": {"user": "u", "item": "i", "time": "t", "time_unit": "weeks"}}, "columns.time_unit"),
        ({"columns": {"user": "u", "item": "i", "time": "t", "time_format": "%-Y-%m-%d"}}, "a - only before"),
        ({"columns": {"user": "u", "item": "i", "time": "t", "time_format": "%Y %-b %d"}}, "a - only before"),
        ({"columns": {"user": "u", "item": "i", "time": "t", "time_format": "%Y-%m-%d %s"}}, "as for strptime"),
        *(
            ({"columns": {"user": "u", "item": "i", "time": "t", "time_format": form}}, said)
            for form, said in {  # invesalius3 916 and commcare-hq 17528; pandas 68193 and LambStatus 112
                "%Y-%M-%d": "it has the day (%d) and not the month (%m)",
                "%Y-%m-%d %H:%m:%S": "it has the month (%m) twice",
                "%Y %H:%M": "it has the hour (%H) and not the month (%m)",
                "%d/%m/%Y %I:%M": "without AM or PM (%p) afternoons would be mornings",
                "%Y-%m-%dT%H:%M:%S-05:00": "'-05:00' is only a text there, and times would be read as UTC",
                "%Y-%m-%d %H:%M+01": "'+01' is only a text there",
                "%d.%m.%Y %H:%M CEST": "'CEST' is only a text there",
                "%d.%m.%Y %H:%M UTC+2": "'UTC+2' is only a text there",
                "%d.%m.%Y %H:%M Europe/Oslo": "'Europe/Oslo' is only a text there",
            }.items()
        ),
        (
            {"columns": {"user": "u", "item": "i", "time": "t", "logged_probability": "p"}},
            "needs a label, and there is none",
        ),
        (
            {"strategies": {"kd": {"use": "KD", "options": {"learner": "FineTune"}}}},
            "strategies.kd: KD is for ctr logs",
        ),
        (
            {
                "strategies": {
                    "a": {"use": "ASMG", "options": {"learner": {"use": "ReLoop", "options": {"learner": "SPMF"}}}}
                }
            },
            "strategies.a.learner: ReLoop is for ctr logs; columns.label is None",
        ),
        (
            {
                "strategies": {
                    "h": {
                        "use": "SML",
                        "options": {"learner": {"use": "AddPopularity", "options": {"learner": "SPMF"}}},
                    }
                }
            },
            "strategies.h.learner: AddPopularity needs the model's option biases: true",
        ),
        ({"strategies": {"r": {"use": "ReLoop", "options": {"learner": "FineTune", "alpha": 1}}}}, "0 <= alpha < 1"),
        ({"strategies": {"r": {"use": "ReLoop", "options": {"learner": "NoUpdate"}}}}, "NoUpdate takes none"),
        (
            {
                "columns": {"user": "u", "item": "i", "time": "t", "label": "l"},
                "model": {"use": "LR"},
                "strategies": {"f": {"use": "FineTune", "options": {"training": {"negatives": 4}}}},
            },
            "strategies.f: training: given negatives 4; a model of clicks does not use negatives: leave it out",
        ),
        ({"model": {"use": "../MF"}}, "model: no model '../MF'; installed are "),
        ({"model": {"use": "DeepFM"}}, "model DeepFM is for ctr logs and needs a label column; columns.label is None"),
        ({"model": "MF"}, "model"),
        ({"source": {"use": "files", "options": {"path": ""}}}, "`path`"),
        ({"expectations": {"rules": {"price": {"least": 2, "most": 1}}}}, "least 2.0 is above most 1.0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    told = refused(tmp_path, raw() | change)
    assert said in told and len(told) < 5_000, told[:3_000]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {"use": "MF", "options": {"width": 10**9}}}, "width: given 1000000000; whole numbers from 1 to 10,000"),
        ({"model": {"use": "Caser", "options": {"width": 8_000, "horizontal": 8_000}}}, "at most 1,000,000,000: set smaller widths"),
        ({"ranking": {"negatives": 10**9}}, "ranking.negatives: Input should be less than or equal to 100000"),
        ({"ranking": {"k": [5, 0]}}, "1 to 20 cut-offs are allowed, which are whole numbers from 1 to 100,000"),
        ({"ranking": {"k": []}}, "1 to 20 cut-offs"),
        ({"gate": {"resamples": 10**9}}, "gate.resamples: Input should be less than or equal to 100000"),
        ({"gate": {"alpha": 1e-12}}, "gate.alpha: Input should be greater than or equal to 0.0001"),
        ({"periods": {"every": "hour", "length": 10**20, "start": "2026-01-01"}}, "periods.length: Input should be less"),
        ({"source": {"use": "simulated", "options": {"users": 10**12}}}, "users is 1000000000000, must be 1 to 10,000,000"),
        ({"correctors": {"near": {"use": "ReLoop2", "options": {"memory": {"kind": "neighbours", "capacity": 10**12}}}}},
         "capacity <= 10,000,000"),
        ({"serving": {"replay_rows": 10**30}}, "serving.replay_rows: Input should be less than or equal to 100000000"),
    ],
)  # fmt: skip
def test_numbers_that_no_machine_has_room_for_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    columns = {**raw()["columns"], "history_length": 5}
    assert said in refused(tmp_path, raw() | {"columns": columns} | change)


@pytest.mark.parametrize(
    "change",
    [
        {"gate": {"min_gain": float("inf")}},
        {"gate": {"calibration": [0.0, float("inf")]}},
        {"expectations": {"rules": {"u": {"least": float("nan")}}}},
    ],
)
def test_a_number_that_json_does_not_have_is_refused_by_name(tmp_path: Path, change: dict[str, Any]) -> None:
    """The plan is written into each manifest: without a word of where it stood, the night ended with a traceback."""
    assert "Input should be a finite number (given: " in refused(tmp_path, raw() | change)


@pytest.mark.parametrize("bounds", [[1.25, 0.8], [1.0, 1.0], [-1.0, 1.25]])
def test_bounds_of_the_calibration_that_nothing_lies_within_are_refused(tmp_path: Path, bounds: list[float]) -> None:
    """No strategy could be promoted, night after night, and no night said why the plan was wrong."""
    assert "gate.calibration: the smallest ratio comes first" in refused(
        tmp_path, raw() | {"gate": {"calibration": bounds}}
    )


@pytest.mark.parametrize(
    "zone", [{"timezone": "Mars/Base"}, {"start": "someday"}, {"cuts": ["25:00"]}, {"every": "week", "cuts": ["10:00"]}]
)
def test_a_calendar_that_cannot_be_is_refused_when_the_plan_is_read(tmp_path: Path, zone: dict[str, Any]) -> None:
    said = refused(tmp_path, raw() | {"periods": {"every": "day", "start": "2026-01-01", **zone}})
    assert str(next(iter(zone.values())))[:10].strip("[]'") in said


def test_a_strategy_that_does_not_fit_the_model_is_named_beside_every_other_misfit(tmp_path: Path) -> None:
    plan = raw() | {"model": {"use": "DeepFM"}, "columns": {"user": "u", "item": "i", "time": "t", "label": "y"}}
    plan["strategies"] = {"loved": {"use": "Popularity"}, "likes": {"use": "ALS"}, "still": {"use": "NoUpdate"}}
    said = refused(tmp_path, plan)
    assert "strategies.loved: Popularity works with MF, not with DeepFM" in said
    assert "strategies.likes: ALS works with MF, not with DeepFM" in said
    unlabelled = refused(tmp_path, plan | {"columns": raw()["columns"]})
    assert "needs a label column" in unlabelled and "Popularity works with MF" in unlabelled


def test_a_pretrain_that_does_not_fit_the_model_is_refused(tmp_path: Path) -> None:
    plan = raw() | {"model": {"use": "DeepFM"}, "columns": {"user": "u", "item": "i", "time": "t", "label": "y"}}
    assert "pretrain: Popularity works with MF" in refused(tmp_path, plan | {"pretrain": {"use": "Popularity"}})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a plan is a mapping of fields (pipeline, source,"),
        (b"- a\n- b\n", "not list"),
        (b"just words", "not str"),
        (b"42", "not int"),
        (b"a: [1, 2", "is not a YAML file"),
        (b"\x00\x01\xff\xfe\x89PNG", "is not a YAML file"),
        (b"!!python/object/apply:os.system ['echo hi']", "is not a YAML file"),
        (b"pipeline: " + b"x" * 1_000_001, "a plan has at most 1,000,000"),
        (
            b"a: &a [x,x]\nb: &b [" + b",".join([b"*a"] * 300) + b"]\nc: &c [" + b",".join([b"*b"] * 300) + b"]",
            "line 3 has 270,301",
        ),
        (b"a: &a [*a]", "it would never end"),
        (b"pipeline: a\nseed: 1\npipeline: b\n", "'pipeline' occurs twice in a mapping, in line 1 and in line 3"),
        (b"model: {use: MF, options: {1: 2, 0x1: 3}}", "1 occurs twice"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, "line 1 is more than 50 lists and mappings deep"),
        (b"seed: " + b"1" * 5000, "line 1 is a number of 5,000 characters"),
        (b"seed: !!binary abc", "failed to decode base64"),
        (b"? [1, 2]\n: 3", "unhashable key"),
        (b"a: [" + b"1," * 50_000 + b"]", "more than 20,000 values"),
        (b"source: {use: files, options: {path: 'https://me:hunter2@host/x'}}", "source.options.path holds a password"),
        (b"source: {use: shop, options: {dsn: 'dbname=x password=hunter2'}}", "source.options.dsn holds a password"),
        (b"source: {use: shop, options: {password: hunter2}}", "source.options.password holds a password"),
        (b"source: {use: shop, options: {urls: [a, 's3://k:hunter2@b']}}", "source.options.urls[1] holds a password"),
        (b"a: 'https://b.s3.amazonaws.com/x?X-Amz-Signature=hunter2'", "a holds a password, a key or a token"),
        (b"1: 2\n", "1: unknown field; allowed here: columns"),
        (b"seed: 0x" + b"f" * 6000, "line 1 is a number of 6,002 characters"),
        (b"source: {options: {password: 1234567890}}", "source.options.password holds a password"),
        (b"source: {options: {password: [hunter2]}}", "source.options.password[0] holds a password"),
        (b"source: {options: {password: {value: hunter2}}}", "source.options.password.value holds a password"),
        (b"source: {options: {secret_key: hunter2}}", "source.options.secret_key holds a password"),
    ],
)
def test_a_file_that_is_no_plan(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "shop.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError) as told:
        read_plan(path)
    assert said in str(told.value) and str(path) in str(told.value) and "hunter2" not in str(told.value)
    assert len(str(told.value)) < 5_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"history": 3}, "history: unknown field (did you mean pretrain_periods?)"),
        ({"columns": {"user": "u", "item": "i", "time": "t", "history": 3}}, "(did you mean history_length?)"),
        ({"gate": {"periods": 3}}, "gate.periods: unknown field (did you mean evidence_nights?)"),
        ({"strategies": {"a": {"use": "FineTune", "options": {"schedule": {}}}}}, "(did you mean training?)"),
        ({"strategies": {"a": {"use": "FineTune", "options": {"training": {"rate": 1}}}}}, "(did you mean lr?)"),
        ({"source": {"use": "files", "options": {"path": "x", "delimeter": ";"}}}, "(did you mean delimiter?)"),
    ],
)
def test_an_earlier_or_misspelt_name_is_refused_with_the_legal_one(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(raw() | change))
    with pytest.raises(ValueError) as told:
        read_plan(tmp_path / "shop.yaml")
    assert said in str(told.value)


def test_a_date_needs_no_quotes(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("start: 2026-01-01\nend: '2026-01-02'\nat: 2026-01-01 10:00:00\n")
    assert read_yaml(tmp_path / "a.yaml") == {"start": "2026-01-01", "end": "2026-01-02", "at": "2026-01-01 10:00:00"}


def test_anchors_that_stand_for_little_are_read(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text("one: &one {a: 1, b: 2}\ntwo: *one\nthree: {<<: *one, b: 3}\n")
    assert read_yaml(path) == {"one": {"a": 1, "b": 2}, "two": {"a": 1, "b": 2}, "three": {"a": 1, "b": 3}}


@pytest.mark.parametrize("name", ["absent", "../shop", "shop' or 1=1", "x" * 1_000_000, "", "shop.yaml"])
def test_a_plan_that_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "other.yaml").write_text("pipeline: other")
    with pytest.raises(FileNotFoundError, match="one of other") as told:
        find_plan(name, [tmp_path])
    assert len(str(told.value)) < 500


def test_a_plan_that_is_a_device_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"is not a regular file; a plan is a YAML file"):
        read_yaml(find_plan("shop", [tmp_path]))


@pytest.mark.parametrize("path", sorted((INFRA / "plans").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_plans_are_sound_and_named_as_their_file(path: Path) -> None:
    assert read_plan(path).pipeline == path.stem


def test_the_schema_that_is_shipped_is_the_plans_own() -> None:
    """Write it anew with: python -m tests.plan.test_plans."""
    assert json.loads((INFRA / "plan.schema.json").read_text()) == Plan.model_json_schema()


if __name__ == "__main__":
    (INFRA / "plan.schema.json").write_text(json.dumps(Plan.model_json_schema(), indent=2) + "\n")


def test_text_that_aliases_repeat_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(f"a: &x {'x' * 400_000}\nb: [*x, *x]\n")
    with pytest.raises(ValueError, match=r"has 1,200,00\d characters with its aliases"):
        read_yaml(path)


def test_a_credential_is_masked_before_its_message_is_cut(tmp_path: Path) -> None:
    path, secret = tmp_path / "shop.yaml", "S3cret" * 15
    line = f"postgresql://user:{secret}@h/d: 1\n"
    for content in (line + line, f"pretrain_periods: postgresql://user:{secret}@h/d\n"):
        path.write_text(content)
        with pytest.raises(ValueError) as told:
            raise_mistakes(path, form_mistakes(read_yaml(path)))
        assert "S3cret" not in str(told.value)
    with pytest.raises(FileNotFoundError) as missing:
        find_plan(f"postgresql://user:{secret}@h/d", [tmp_path])
    assert "S3cret" not in str(missing.value)


@pytest.mark.parametrize(
    ("given", "word"),
    [("shop", "shop"), ("my plans/shop.yaml", "'my plans/shop.yaml'"), ("a`b<c>.yaml", "PLAN"), ("x\n", "PLAN")],
)
def test_advice_names_the_plan_as_it_was_given(given: str, word: str, tmp_path: Path) -> None:
    order = read_plan(written(tmp_path, raw() | {"pipeline": "advised"}))
    assert as_given("never-read") == "never-read"
    remember_name(order, given)
    assert as_given("advised") == word


@pytest.mark.parametrize(
    "form",
    ["%Y", "%Y-%m", "%Y%j", "%d.%m.%Y %H:%M Uhr", "%a, %d %b %Y %H:%M:%S GMT", "%Y-%m-%d %H:%M:%S+00:00", "%Y-%m-%dT%H:%M:%S.%fZ",
     "%d/%m/%Y %I:%M %p", "%y%m%d%H", "%Y-%m-%d-%H-%M-00"],
)  # fmt: skip
def test_formats_of_times_that_can_be(form: str) -> None:
    assert Columns(user="u", item="i", time="t", time_format=form).time_writing == form
