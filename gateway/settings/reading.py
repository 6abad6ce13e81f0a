"""Walks a document beside its shape, so that one reading finds every fault and not only the first.

msgspec judges each single value; the walk itself knows names, lists, missing things and lines.
"""

from math import isfinite
from typing import Any

import yaml
from msgspec import NODEFAULT, UNSET, Struct, ValidationError
from msgspec.structs import FieldInfo, fields

from gateway.settings.faults import ConfigFault, Findings, Place, did_you_mean, spelt
from gateway.settings.lines import NODE_LIMIT, UnreadableScalarError, line_of, name_of, scalar
from gateway.settings.options import Options, options_of
from gateway.settings.references import GoogleCredentialRef, SecretRef

__all__ = ["read"]

_REFERENCES = (SecretRef, GoogleCredentialRef)
_DEPTH_LIMIT = 40  # an anchor that holds its own alias has no end
_INTEGER_LIMIT = 1 << 63  # what JSON encoders write


def read(root: yaml.Node, shape: type[Struct]) -> tuple[Any, Findings]:
    """The document as `shape`, and what was found. Where a required part is broken, UNSET stands in its place."""
    reader = _Reader()
    return reader.read(root, shape, ()), reader.findings


class _Reader:
    def __init__(self) -> None:
        self.lines: dict[Place, int] = {}
        self.findings = Findings(self.lines)
        self._nodes_left = NODE_LIMIT

    def read(self, node: yaml.Node, kind: Any, place: Place) -> Any:
        """What `node` says, as `kind`; UNSET after a fault."""
        if not self._enter(node, place):
            return UNSET
        options = options_of(kind)
        if isinstance(node, yaml.ScalarNode):
            return self._leaf(node, options, place)
        if isinstance(node, yaml.MappingNode) and options.struct is not None:
            return self._struct(node, options, place)
        if isinstance(node, yaml.MappingNode) and options.table is not None:
            return self._table(node, options, place)
        if isinstance(node, yaml.SequenceNode) and options.items is not None:
            return self._items(node, options, place)
        if options.anything:
            return self._plain(node, place)
        got = "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
        self.findings.fault(place, f"expected {options.expects}, got {got}")
        return UNSET

    def _enter(self, node: yaml.Node, place: Place) -> bool:
        self.lines.setdefault(place, line_of(node))
        self._nodes_left -= 1
        if self._nodes_left == 0:
            self.findings.faults.append(ConfigFault(0, "", f"more than {NODE_LIMIT} values with all aliases unfolded"))
        if len(place) == _DEPTH_LIMIT:
            self.findings.fault(place[:-1], "nested too deeply: does an anchor hold its own alias?")
        return self._nodes_left > 0 and len(place) < _DEPTH_LIMIT

    def _leaf(self, node: yaml.ScalarNode, options: Options, place: Place) -> Any:
        try:
            value = scalar(node)
        except UnreadableScalarError as problem:
            self.findings.fault(place, f"expected {options.expects}, got {problem}")
            return UNSET
        if options.anything:
            return self._plain(node, place)
        if value is None and options.nullable:
            return None
        try:
            return options.convert(value)
        except ValidationError:
            hint = did_you_mean(value, options.words) if isinstance(value, str) else ""
            self.findings.fault(place, f"expected {options.expects}, got {options.kind_of(value)}{hint}")
            return UNSET

    def _struct(self, node: yaml.MappingNode, options: Options, place: Place) -> Any:
        shape = options.struct
        assert shape is not None  # noqa: S101  the caller's guard, for the type checker
        known = {field.name: field for field in fields(shape)}
        faults_before = len(self.findings.faults)
        entries = self._entries(node, place)
        unknown = [name for name in entries if name not in known]
        is_broken = bool(unknown) or len(entries) != 1 or len(self.findings.faults) > faults_before
        if shape in _REFERENCES and is_broken:
            del self.findings.faults[faults_before:]  # what stands here in place of a name may be a secret
            self.findings.fault(place, f"expected {options.expects}")
            return UNSET
        for name in unknown:
            self.findings.fault((*place, name), f"unknown name{did_you_mean(name, known)}")
        values = {name: self._field(field, entries.get(name), place) for name, field in known.items()}
        if shape in _REFERENCES and len(self.findings.faults) > faults_before:
            return UNSET
        return shape(**values)

    def _field(self, field: FieldInfo, node: yaml.Node | None, place: Place) -> Any:
        if node is None and field.required:
            self.findings.fault((*place, field.name), f"missing: {options_of(field.type).description}")
            return UNSET
        value = UNSET if node is None else self.read(node, field.type, (*place, field.name))
        if value is not UNSET or field.required:
            return value
        return field.default_factory() if field.default is NODEFAULT else field.default

    def _table(self, node: yaml.MappingNode, options: Options, place: Place) -> Any:
        assert options.table is not None  # noqa: S101  the caller's guard, for the type checker
        key_kind, value_kind = options.table
        keys = options_of(key_kind)
        values = {}
        for name, child in self._entries(node, place).items():
            try:
                keys.convert(name)
            except ValidationError:
                self.findings.fault((*place, name), f"expected {keys.expects} as the name")
            values[name] = self.read(child, value_kind, (*place, name))
        return self._not_too_few(values, options, place)

    def _items(self, node: yaml.SequenceNode, options: Options, place: Place) -> Any:
        values = tuple(self.read(child, options.items, (*place, index)) for index, child in enumerate(node.value))
        return self._not_too_few(values, options, place)

    def _not_too_few(self, values: Any, options: Options, place: Place) -> Any:
        if len(values) < options.least:
            self.findings.fault(place, f"expected {options.expects}, got none")
            return UNSET
        return values

    def _entries(self, node: yaml.MappingNode, place: Place) -> dict[str, yaml.Node]:
        entries: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = name_of(key)
            if name is None:
                message = "a name must be plain text; `<<` is not supported (an alias as a value is)"
                self.findings.faults.append(ConfigFault(line_of(key), spelt(place), message))
            elif name in entries:
                message = f"given twice, first on line {self.lines[(*place, name)]}"
                self.findings.faults.append(ConfigFault(line_of(key), spelt((*place, name)), message))
            else:
                entries[name] = value
                self.lines[(*place, name)] = line_of(key)
        return entries

    def _plain(self, node: yaml.Node, place: Place) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return self._plain_container(node, place)
        try:
            value = scalar(node)
        except UnreadableScalarError as problem:
            self.findings.fault(place, f"expected a value that JSON has, got {problem}")
            return UNSET
        is_number = isinstance(value, int | float)
        if is_number and not (isfinite(value) if isinstance(value, float) else abs(value) < _INTEGER_LIMIT):
            self.findings.fault(place, "expected a number that JSON has")
            return UNSET
        return value

    def _plain_container(self, node: yaml.Node, place: Place) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {name: self.read(child, Any, (*place, name)) for name, child in self._entries(node, place).items()}
        return [self.read(child, Any, (*place, index)) for index, child in enumerate(node.value)]
