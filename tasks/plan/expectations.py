"""What a plan expects of its logs: each check with a severity, bands learned from nights that passed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, field_validator, model_validator

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.frozen import Frozen

Severity = Literal["warn", "block", "off"]

LARGEST = 1e30  # models read numbers as float32; values near its limit are not measurements
# Blank, a word for nobody, control characters or a letter that was lost, 1.23457E+12 or 1,23457E+12 as a spreadsheet shortens
# 1234567890123, 1.2345678E7 as Java writes 12345678.0, 76561197960265728.0, a float that several ids share, 4.94e-321, an integer of
# 64 bits that R takes for a float, ="0012" and '0012 as one is told to keep text, 1,234 as a report shows 1234, a list or an object
# written as text, or an id in quotes that its file was not read without, such as b'138' as Python shows bytes. A placeholder that no
# program filled in: {user_id}, ${GAID}, %%ADID%%, __IDFA__, and Debezium's for a value that did not change. Errors of spreadsheets, and
# #### of a column that was too narrow. The MD5, SHA-1 and SHA-256 of an empty text and of words for nobody. What a program wrote of an
# object instead of its value: Optional("12") of Swift, np.int64(12), [B@6d06d69c and com.shop.User@1b6d3586 of Java, System.Byte[], and
# <User object at 0x7f2c>. The ids that many devices have: 02:00:00:00:00:00, 9774d56d682e549c and fifteen, sixteen or 32 zeros.
# Without \s and \d pandas can use Arrow: five times faster.
NO_WORDS = ("", "null", "NULL", "undefined", "None", "nan", "unknown", "00000000-0000-0000-0000-000000000000")
NO_HASHES = "|".join(
    hashlib.new(name, word.encode()).hexdigest() for name in ("md5", "sha1", "sha256") for word in NO_WORDS
)
NOBODY = (
    r"(?i)^ *$|^(?:nan|nat|null|none|nil|undefined|unknown|[-+]?inf(?:inity)?|#?n/?a|-|\?|\.)$"
    r"|^\((?:null|none|other|unknown|not set)\)$|^<(?:null|none|nil)>$|^[^a-z0-9]*(?:[a-z]{2}_)?null(?:_(?:string|value))?[^a-z0-9]*$"
    r"|^__[a-z][a-z0-9_]*__$|^[$#%]?\{+[ a-z_.]+\}+$|^%%.*%%$"
    rf"|^(?:{NO_HASHES})$|^(?:02|00)(?::00){{5}}$|^9774d56d682e549c$|^0{{15,16}}$|^0{{32}}$"
    r"|^(?:optional|some)\(.*\)$|^(?:np|numpy)\.[a-z]+[0-9]*_?\(.*\)$|^\[+(?:[bcdfijsz]|l[a-z0-9_.$]+;)@[0-9a-f]+$"
    r"|^(?:[a-z_][a-z0-9_$]*\.){2,}[a-z_][a-z0-9_$]*@[0-9a-f]{5,8}$|^<.* at 0x[0-9a-f]+>$|^#<.*>$"
    r"|^system\.(?:[a-z0-9.]+(?:\[\]|`.*)|object)$"
    r"|^#(?:[a-z]+|div/0)[!?]$|^#(?:getting_data|#+)$|^err:5[0-9]{2}$|^__debezium_unavailable_value$"
    r"|^0{8}-0{4}-0{4}-0{4}-0{12}$|[\x00-\x1f\x7f-\x9f" + "\ufffd]"
    r'|^-?[0-9](?:[.,][0-9]+e\+?|e\+)[0-9]{1,3}$|^-?[0-9.]+e-3[0-2][0-9]$|^-?(?:9[0-9]{15}|[0-9]{17,})\.0$|^="|^\[.*\]$|^\{.*:.*\}$'
    r"|^'(?:[-+=@]|0[0-9]|[0-9]{5})"
    "|^-?[1-9][0-9]{0,2}(?:[,\u00a0\u202f][0-9]{3})+$|^b?[\"'`\u2018-\u201f\u00ab].*[\"'`\u2018-\u201f\u00bb]$"
)
# Any character but ASCII's digits, punctuation, blanks and control characters, and their like in Latin-1 and general punctuation.
_LETTER = "[^\\x00-\\x40\\x5b-\\x60\\x7b-\u00bf\u2000-\u206f]"
_LETTER_OR_DIGIT = "[^\\x00-\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-\u00bf\u2000-\u206f]"
IdKind = Literal[
    "whole_number", "negative_number", "decimal_number", "uuid", "hexadecimal", "email", "address", "prefix_and_number", "letters",
    "letters_and_digits", "text",
]  # fmt: skip
# A text is of the first kind whose expression all of it matches; a rule of the plan takes it if it matches any that is named.
ID_KINDS: dict[IdKind, str] = {
    "whole_number": "[0-9]+",
    "negative_number": "-[0-9]+",
    "decimal_number": "-?[0-9]+[.][0-9]+",
    "uuid": "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "hexadecimal": "[0-9A-Fa-f]{16,}",
    "email": "[^@ ]+@[^@ ]+[.][^@ ]+",
    "address": "(?:[A-Za-z][A-Za-z0-9+.-]*:/)?/[^ ]*",
    "prefix_and_number": f"{_LETTER}+[-_:./]?[0-9]+",
    "letters": f"{_LETTER}+",
    "letters_and_digits": f"{_LETTER_OR_DIGIT}+",
    "text": "(?s:.*)",
}


class Rule(Frozen):
    """What one column's values may be. A row that breaks it goes to quarantine; a field left out keeps its default."""

    required: bool | None = Field(default=None, description="May not be null; by default: user, item, time, label.")
    least: float | None = Field(default=None, description="Smallest number allowed.")
    most: float | None = Field(default=None, description="Largest number allowed.")
    allowed: tuple[str | float, ...] = Field(default=(), description="The only values; empty: any. Labels: 0, 1.")
    longest: int | None = Field(default=None, ge=1, description="Characters of a text; by default 256.")
    forbidden: str | None = Field(default=None, description="Regular expression that no value may match.")
    kinds: tuple[IdKind, ...] = Field(
        default=(),
        description="The only kinds of text, such as [whole_number]; empty: any. `check` shows those that there are.",
    )

    @field_validator("forbidden")
    @classmethod
    def _check_expression(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise PlanError(f"{value!r} is not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _check_range(self) -> Rule:
        if self.least is not None and self.most is not None and self.least > self.most:
            raise PlanError(f"least {self.least} is above most {self.most}")
        return self


class Limit(Frozen):
    """A statistic that may not be above a fixed number."""

    severity: Severity = "block"
    most: float = Field(ge=0)


class Band(Frozen):
    """A statistic that may not leave the band of the nights that passed.

    The band is their median, plus or minus the largest of `width` robust standard deviations, `relative` times the
    median and `absolute`. Only the last `nights` that passed count. With fewer than `least` of them there is no check.
    """

    severity: Severity = "block"
    sides: Literal["both", "above", "below"] = "both"
    nights: int = Field(default=14, ge=1)
    least: int = Field(default=3, ge=1)
    width: float = Field(default=5.0, gt=0)
    relative: float = Field(default=0.4, ge=0)
    absolute: float = Field(default=0.0, ge=0)


def _new_ids() -> Band:
    return Band(severity="warn", sides="above", relative=1.0, absolute=0.05)


class Sudden(Frozen):
    """A share that may not be above `most` in a night while it was at most `before` in the night that passed before it."""

    severity: Severity = "block"
    most: float = Field(default=0.9, ge=0, le=1)
    before: float = Field(default=0.5, ge=0, le=1)


class Drift(Frozen):
    """A distance between this night's distribution and that of the last `nights` that passed together."""

    severity: Severity = "warn"
    most: float = Field(gt=0)
    nights: int = Field(default=3, ge=1)
    least: int = Field(default=1, ge=1)


class Expectations(Frozen):
    """Row rules put a row in quarantine; period rules stop the night (block) or are reported (warn)."""

    budget: float = Field(default=0.05, ge=0, le=1, description="Share of rows that may be put aside.")
    rows: Severity = Field(
        default="block", description="off: no row rule is applied; warn: a spent budget is only reported."
    )
    rules: dict[str, Rule] = Field(default_factory=dict, description="By user, item, time, label or a column's name.")
    least_rows: int = Field(default=1, ge=1, description="Fewer clean rows than this always stop the night.")
    volume: Band = Field(default_factory=Band, description="Rows that arrived.")
    label_rate: Band = Field(default_factory=lambda: Band(relative=0.5, absolute=0.005))
    new_users: Band = Field(default_factory=_new_ids, description="Share of rows whose user was never seen.")
    new_items: Band = Field(default_factory=_new_ids, description="Share of rows whose item was never seen.")
    all_new: Sudden = Field(
        default_factory=Sudden,
        description="Share of rows whose user, or whose item, was never seen: ids that are written in another way are all new.",
    )
    new_kinds: Limit = Field(
        default_factory=lambda: Limit(severity="warn", most=0.01),
        description="Share of rows whose user, or whose item, is of a kind of text that no night before had.",
    )
    duplicates: Limit = Field(default_factory=lambda: Limit(severity="warn", most=0.1))
    outside_period: Limit = Field(default_factory=lambda: Limit(most=0.05))
    out_of_order: Limit = Field(
        default_factory=lambda: Limit(severity="warn", most=0.6),
        description="Share of rows that are earlier than the row that arrived before them.",
    )
    repeated_items: Limit = Field(
        default_factory=lambda: Limit(severity="warn", most=0.05),
        description="Share of rows whose item their user took before, in a plan of rankings without `ranking: {repeats: true}`.",
    )
    psi: Drift = Field(
        default_factory=lambda: Drift(most=0.25), description="Population stability index, each categorical column."
    )
    ks: Drift = Field(
        default_factory=lambda: Drift(most=0.2), description="Kolmogorov-Smirnov distance, each numeric column."
    )

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults(cls, value: object) -> object:
        """A check of which a plan names some fields keeps its own defaults in the others: `duplicates: {most: 0.2}` still warns."""
        if not isinstance(value, Mapping):
            return value
        defaults = {
            name: field.default_factory().model_dump()  # type: ignore[call-arg]
            for name, field in cls.model_fields.items()
            if field.default_factory and isinstance(value.get(name), Mapping) and name != "rules"
        }
        return {**value, **{name: {**default, **value[name]} for name, default in defaults.items()}}

    def rule(self, column: str, source: str) -> Rule:
        """The rule of a column, which a plan may name by its role or by its name in the source; one without limits if there is none."""
        return self.rules.get(column) or self.rules.get(source) or Rule()

    @property
    def severities(self) -> Sequence[Severity]:
        """The severity of each check that every plan has. If all are `off`, a night is stopped, because nothing would be checked."""
        checks = (
            check
            for name, check in self
            if isinstance(check, Band | Sudden | Limit | Drift) and name != "repeated_items"
        )
        return (self.rows, *(check.severity for check in checks))
