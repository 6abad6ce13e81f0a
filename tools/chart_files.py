"""Writes what is generated in helm/: values.schema.json from values.schema.yaml, and the table of values in README.md.

With --check it writes nothing, and ends with 1 where something is not current or a value has no description.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway.settings.documents import schema

HELM = Path(__file__).resolve().parent.parent / "helm"
BEGIN, END = "<!-- values: made by `make chart-files` -->\n", "<!-- end of values -->\n"


@dataclass(frozen=True)
class Value:
    """One row of the table."""

    path: str
    kind: str
    default: str
    meaning: str


def main() -> int:
    """Write the files, or check them; the exit code."""
    text = (HELM / "values.yaml").read_text()
    rows = list(values_in(yaml.compose(text), text.splitlines()))
    undescribed = [row.path for row in rows if not row.meaning]
    for path in undescribed:
        print(f"helm/values.yaml: {path} has no description")
    readme = (HELM / "README.md").read_text()
    before, _, rest = readme.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        print("helm/README.md: no place for the table of values")
        return 1
    wanted = {
        "README.md": before + BEGIN + table_of(rows) + END + after,
        "values.schema.json": json.dumps(values_schema(), indent=1, ensure_ascii=False) + "\n",
    }
    return max(bool(undescribed), *[settle(HELM / name, content) for name, content in wanted.items()])


def settle(path: Path, content: str) -> int:
    """Write the file, or say that it is not current."""
    if "--check" not in sys.argv:
        path.write_text(content)
        return 0
    if path.exists() and path.read_text() == content:
        return 0
    print(f"helm/{path.name} is not current: run `make chart-files`")
    return 1


def values_schema() -> dict[str, Any]:
    """What Helm reads: rules spelt out, objects closed, the gateway's own configuration built in."""
    source = yaml.safe_load((HELM / "values.schema.yaml").read_text())
    rules = source.pop("rules")
    closed: dict[str, Any] = closing(source)
    closed["allOf"] = [spelt_out(rule) for rule in rules]
    closed["$defs"] |= for_go(schema()["$defs"])
    return closed


def for_go(part: Any) -> Any:
    """The same with patterns that Go takes, whose regular expressions count to 1000: longer texts may be any length."""
    if isinstance(part, list):
        return [for_go(item) for item in part]
    if not isinstance(part, dict):
        return part
    done = {name: for_go(value) for name, value in part.items()}
    if isinstance(part.get("pattern"), str):
        done["pattern"] = re.sub(r"\{1,[0-9]{4,}\}", "+", part["pattern"])
    return done


def closing(part: Any) -> Any:
    """The same with every object that names its properties closed to others."""
    if isinstance(part, list):
        return [closing(item) for item in part]
    if not isinstance(part, dict):
        return part
    done = {name: closing(value) for name, value in part.items()}
    if isinstance(part.get("properties"), dict) and part.get("type") == "object":
        done.setdefault("additionalProperties", False)
    return done


def spelt_out(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule in JSON Schema."""
    when, then = rule["when"], all_of(rule["then"])
    if not when:
        return {"$comment": rule["because"], **then}
    condition = {"anyOf": [all_of(one) for one in when]} if isinstance(when, list) else all_of(when)
    return {"$comment": rule["because"], "if": condition, "then": then}


def all_of(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Every value at its path is as it says, and is there."""
    nested = [at(path.split("."), condition) for path, condition in conditions.items()]
    return nested[0] if len(nested) == 1 else {"allOf": nested}


def at(path: list[str], condition: Any) -> dict[str, Any]:
    """The condition, at the end of a path of names."""
    inner = at(path[1:], condition) if len(path) > 1 else condition
    return {"required": path[:1], "properties": {path[0]: inner}}


def values_in(node: yaml.Node | None, lines: list[str], path: str = "") -> Iterator[Value]:
    """Every value with a description of its own, and every leaf that nothing above it describes."""
    assert isinstance(node, yaml.MappingNode)
    for key, value in node.value:
        name = f"{path}.{key.value}" if path else key.value
        meaning, shown = description_above(lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and value.value and not meaning:
            yield from values_in(value, lines, name)
            continue
        plain = yaml.SafeLoader("").construct_document(value)
        yield Value(name, kind_of(plain), shown or f"`{json.dumps(plain)}`", meaning)


def description_above(lines: list[str], line: int) -> tuple[str, str]:
    """What the comment that ends above `line` says, and the default that it names (`@default -- …`)."""
    comment: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        comment.insert(0, lines[line].lstrip().removeprefix("#").strip())
    starts = [index for index, text in enumerate(comment) if text.startswith("-- ")]
    if not starts:
        return "", ""
    text = [part for part in comment[starts[-1] :] if not part.startswith("@default -- ")]
    shown = [part.removeprefix("@default -- ") for part in comment if part.startswith("@default -- ")]
    return " ".join(text).removeprefix("-- "), "".join(shown)


def kind_of(plain: object) -> str:
    """The word for a value's type."""
    words = {bool: "yes or no", int: "number", float: "number", str: "text", list: "list", dict: "table"}
    return words.get(type(plain), "number")


def table_of(rows: list[Value]) -> str:
    """The rows in Markdown."""
    cells = [(f"`{row.path}`", row.kind, row.default, row.meaning) for row in rows]
    body = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in cells]
    return "".join(f"| {line} |\n" for line in ["value | type | default | meaning", "---|---|---|---", *body])


if __name__ == "__main__":
    sys.exit(main())
