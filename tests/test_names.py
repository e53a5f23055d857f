"""Names: no word of a list of metaphors and bare participles, and no public name for two things."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
CODE = sorted(path for room in ("flows", "tasks") for path in (HOUSE / room).rglob("*.py"))


def words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


# In no part of a name: pictures of something else, and words that say nothing of what they hold.
PICTURES = words_of(
    "bake baked barred bench book carer crew deal dealt deck desk dress kin nought nursery oven "
    "pond race raced sieve sieves sloped slope spring springs stranger taut tend told victim wheel wild"
)
# Not alone: a participle or an adjective has no noun, so that nobody knows what it holds.
BARE = words_of(
    "asked barred begun born bounded broken called changed checked chosen closed coded collected counted cut dead decided "
    "done drawn dropped due earned ended fetched filled finished found full given held judged kept known laid learned left "
    "like limited listed made marked mended missing moved named needed numbered offered opened ours owed own passed past "
    "pooled promised raced ran recalled recorded refused rejected removed resolved restored rewritten sampled scored seen "
    "served shown softened sound spoiled stored there told trusted typed unneeded updated used wanted weighed whole within "
    "without won written wrong"
)
# A verb of the loop has one name in the console script, its flow and its task.
VERBS = words_of(
    "backfill bakeoff check collect compact compare demo deploy maintain "
    "night pretrain promote report rollback status sweep train tune validate"
)
# One in each place, called by the name of its module.
EVERYWHERE = frozenset(["main", "build", "page", "leaderboard"])


def functions_and_classes(path: Path) -> list[ast.FunctionDef | ast.ClassDef]:
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return [node for node in found if not node.name.startswith("__")]


def words(name: str) -> list[str]:
    spaced = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    return [word for word in spaced.split("_") if word]


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_name_says_what_it_holds(path: Path) -> None:
    wrong = []
    for node in functions_and_classes(path):
        parts = words(node.name)
        if PICTURES & {*parts} or (len(parts) == 1 and parts[0] in BARE):
            wrong.append(f"{node.lineno} {node.name}")
    assert not wrong, f"{path.name}: {wrong}"


def test_no_public_name_stands_for_two_things() -> None:
    places = defaultdict(set)
    for path in CODE:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].add(path.relative_to(HOUSE).parent)
    shared = {name: sorted(map(str, where)) for name, where in places.items() if len(where) > 1}
    assert not {name: where for name, where in shared.items() if name not in VERBS | EVERYWHERE}
