"""YAML text as nodes that know their lines, with bounds on what one document may ask of us.

Of YAML, what a configuration needs is understood: mappings, lists, plain scalars, anchors and aliases. Tags of other
types, several documents and `<<` are faults, not surprises.
"""

from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from gateway.settings.faults import ConfigFault, SettingsError

__all__ = ["LIMIT_BYTES", "NODE_LIMIT", "UnreadableScalarError", "compose", "line_of", "name_of", "scalar"]

LIMIT_BYTES = 1_048_576  # a configuration is written by people; the largest sensible ones have tens of kilobytes
NODE_LIMIT = 100_000  # counted with aliases expanded, so that a few lines cannot unfold into gigabytes
_DEPTH_LIMIT = 32  # the shape's own depth is 7; the rest is for a vendor's native parameters
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset((f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}value"))
# How PyYAML names what it expected, and what it found instead: `]`, `<block end>`
_SIGNS = frozenset(one.id for one in vars(yaml.tokens).values() if isinstance(one, type) and hasattr(one, "id"))


class UnreadableScalarError(ValueError):
    """A scalar that says something YAML or we cannot take. The message never holds the scalar."""


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > _DEPTH_LIMIT:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=self.get_mark())
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def compose(text: str) -> yaml.Node:
    """The root node of `text`. Raises SettingsError for what is not YAML, or more of it than is sensible."""
    try:
        root = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise SettingsError([ConfigFault(line, "", f"not YAML: {_without_quotes(error.problem)}")]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingsError([ConfigFault(line, "", "not YAML: a control character")]) from None
    if root is None:
        raise SettingsError([ConfigFault(1, "", "the file is empty")])
    return root


def line_of(node: yaml.Node) -> int:
    """The line on which `node` begins, from 1."""
    return int(node.start_mark.line) + 1


def name_of(key: yaml.Node) -> str | None:
    """The name that a mapping's key spells, as written (`on` stays `on`); None for what is no text, and for `<<`."""
    if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_TAG}merge" or not _is_unicode(key.value):
        return None
    return str(key.value)


def scalar(node: yaml.ScalarNode) -> Any:
    """What a scalar says: text, whole number, number, bool or None. Raises UnreadableScalarError.

    YAML 1.1 reads `1:30` as ninety and `2026-05-12` as a date; both stay text here.
    """
    if not _is_unicode(node.value):
        raise UnreadableScalarError("text with half a character in it")
    if node.tag in _TEXT_TAGS or ":" in node.value:
        return str(node.value)
    constructor = SafeConstructor()
    try:
        match node.tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return constructor.construct_yaml_bool(node)
            case "int":
                return constructor.construct_yaml_int(node)
            case "float":
                return constructor.construct_yaml_float(node)
    except (ValueError, KeyError, IndexError):
        raise UnreadableScalarError("a number that cannot be read") from None
    raise UnreadableScalarError("a YAML tag that is not supported here")


def _is_unicode(text: str) -> bool:
    """Whether `text` can be written at all: YAML's escapes can spell a lone surrogate."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _without_quotes(problem: str | None) -> str:
    """PyYAML's own words; what it quotes of the document goes, since that may be a secret. YAML's own signs stay."""
    words = (problem or "cannot be read").split("'")
    words[1::2] = [f"'{word}'" if word in _SIGNS else "…" for word in words[1::2]]
    return "".join(words)
