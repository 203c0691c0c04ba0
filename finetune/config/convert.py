"""Strict conversion of a plain tree (YAML, command line) to frozen dataclasses, collecting every mistake."""

import dataclasses
import difflib
import re
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from finetune.config import other_tools
from finetune.errors import ConfigError

T = TypeVar("T")

_BARE_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


def to_dataclass(tree: Any, cls: type[T], where: str = "") -> T:
    """Converts a tree of dicts, lists and scalars to `cls`.

    Nothing is coerced, except an integer to a float: text stays text, and a YAML boolean or number where text is wanted
    is refused, since `yes`, `01` and `1e3` have already lost their spelling.

    Args:
        tree: mapping of field names to values; missing fields take their defaults.
        cls: a frozen dataclass.
        where: dotted prefix for messages, such as `data.options`.

    Raises:
        ConfigError: one line a mistake, all of them.
    """
    problems: list[str] = []
    value = convert(tree, cls, where, problems)
    if problems:
        raise ConfigError("\n".join(problems))
    result: T = value
    return result


def convert(value: Any, wanted: Any, where: str, problems: list[str]) -> Any:
    """Converts one value to the type `wanted`; appends to `problems` and returns None where it cannot."""
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        return _to_instance(value, wanted, where, problems)
    origin = get_origin(wanted)
    if origin in (Union, types.UnionType):
        return _to_union(value, get_args(wanted), where, problems)
    if origin is Literal:
        return _to_choice(value, get_args(wanted), where, problems)
    if origin is tuple:
        return _to_tuple(value, get_args(wanted)[0], where, problems)
    if origin is dict:
        return _to_dict(value, get_args(wanted)[1], where, problems)
    return value if wanted is Any else _to_scalar(value, wanted, where, problems)


def unknown_key(where: str, menu: list[str], value: object = "") -> str:
    """Words the error for a key that does not exist, with what does it here.

    Args:
        where: the key as typed, dotted.
        menu: the keys that there are.
        value: as typed; what a name of another tool means may depend on it.
    """
    said = f"{where}: there is no such key."
    elsewhere = None if _abbreviated(where, menu) else _elsewhere(where, menu, value)
    if isinstance(elsewhere, other_tools.Note):
        return f"{said} {elsewhere.sentence}"
    near = _abbreviated(where, menu) or ([elsewhere] if elsewhere else _same_section(where, menu))
    near = near or difflib.get_close_matches(where, menu, n=1, cutoff=0.6)
    return f"{said} Did you mean {near[0]}?" if near else said


def _elsewhere(where: str, menu: list[str], value: object) -> other_tools.Answer | None:
    """What does here what the same name does in another tool; of an adapter's option, where it has that one."""
    section, _, leaf = where.rpartition(".")
    if section == "data.options":
        option = f"{section}.{other_tools.OPTIONS.get(leaf.lower())}"
        return option if option in menu else None
    return other_tools.hint(where, value)


def _leaves(where: str, menu: list[str]) -> dict[str, str]:
    section = where.rpartition(".")[0]
    return {known.rpartition(".")[2]: known for known in menu if known.rpartition(".")[0] == section}


def _abbreviated(where: str, menu: list[str]) -> list[str]:
    """The key of the same section whose initials were typed, as in lr -> learning_rate."""
    leaves = _leaves(where, menu)
    initials = {"".join(word[0] for word in name.split("_")): name for name in reversed(leaves)}
    leaf = where.rpartition(".")[2]
    return [leaves[initials[leaf]]] if leaf in initials else []


def _same_section(where: str, menu: list[str]) -> list[str]:
    leaves = _leaves(where, menu)
    near = difflib.get_close_matches(where.rpartition(".")[2], list(leaves), n=1, cutoff=0.7)
    return [leaves[name] for name in near]


def dotted_keys(cls: Any, where: str = "") -> list[str]:
    """Lists every key of a config dataclass, nested ones dotted."""
    hints = get_type_hints(cls)
    found: list[str] = []
    for entry in dataclasses.fields(cls):
        name, kind = _join(where, entry.name), hints[entry.name]
        found.append(name)
        if dataclasses.is_dataclass(kind):
            found += dotted_keys(kind, name)
    return found


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _to_instance(value: Any, cls: type, where: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{where or 'config'}: got {_show(value)}, expected keys and values")
        return None
    hints = get_type_hints(cls)
    fields = {entry.name: entry for entry in dataclasses.fields(cls)}
    kept: dict[str, Any] = {}
    before = len(problems)
    for name, item in value.items():
        here = _join(where, str(name))
        if name in fields:
            kept[name] = convert(item, hints[name], here, problems)
        else:
            problems.append(unknown_key(here, [_join(where, known) for known in fields], item))
    missing = [
        name
        for name, entry in fields.items()
        if name not in value and entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
    ]
    problems += [f"{_join(where, name)}: is required" for name in missing]
    return None if len(problems) > before else cls(**kept)


def _to_union(value: Any, options: tuple[Any, ...], where: str, problems: list[str]) -> Any:
    complaints: list[str] = []
    for option in options:
        if option is types.NoneType:
            if value is None:
                return None
            continue
        attempt: list[str] = []
        converted = convert(value, option, where, attempt)
        if not attempt:
            return converted
        complaints += attempt
    problems.append(complaints[-1] if complaints else f"{where}: got {_show(value)}, expected null")
    return None


def _to_choice(value: Any, choices: tuple[Any, ...], where: str, problems: list[str]) -> Any:
    if isinstance(value, str) and value in choices:
        return value
    near = difflib.get_close_matches(str(value), [str(c) for c in choices], n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    problems.append(f"{where}: got {_show(value)}, expected one of {', '.join(map(str, choices))}.{hint}")
    return None


def _to_tuple(value: Any, item: Any, where: str, problems: list[str]) -> Any:
    if not isinstance(value, list | tuple):
        problems.append(f"{where}: got {_show(value)}, expected a list [A,B,...]")
        return None
    return tuple(convert(entry, item, f"{where}[{index}]", problems) for index, entry in enumerate(value))


def _to_dict(value: Any, item: Any, where: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{where}: got {_show(value)}, expected keys and values")
        return None
    for name in value:
        if not isinstance(name, str):
            problems.append(f"{where}.{name}: this key is {_kind(name)}, expected text: quote it")
    return {str(name): convert(entry, item, _join(where, str(name)), problems) for name, entry in value.items()}


def _to_scalar(value: Any, wanted: Any, where: str, problems: list[str]) -> Any:
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is wanted:
        return value
    quote = ""
    if wanted is str and type(value) in (bool, int, float):
        what = "the label" if "labels" in where or "synonyms" in where else "it"
        quote = f": quote {what}, or its spelling is lost"
    if wanted is float and isinstance(value, str) and _BARE_EXPONENT.fullmatch(value):
        quote = ": YAML takes an exponent for a number only after a point, as in 2.0e-4"
    problems.append(f"{where}: got {_show(value)}, expected {_NAMES.get(wanted, wanted.__name__)}{quote}")
    return None


_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _kind(value: Any) -> str:
    return {bool: "a YAML boolean", int: "a whole number", float: "a number", str: "text", list: "a list"}.get(
        type(value), type(value).__name__
    )


def _show(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return "null" if value is None else f"{text} ({_kind(value)})"
