"""Write the generated parts of docs/lab.md: the lab's settings and faults, from the code that they rule.

Settings are the dataclasses of the lab named so or `Estate`, with whatever dataclasses they hold,
and the commented numbers of its modules. Each says its unit, and its source or that it is assumed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lamplighter import lab
from lamplighter.cli.arguments import duration_text
from lamplighter.lab.faults import FAULTS
from lamplighter.lab.wan import LINKS, Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "lab.md"

OWN: Final = "the lab's own"
_SOURCES: Final = (
    ("assum", "assumption"),
    ("schema", "DUIS 5.4 schema"),
    ("published", "published messages"),
    ("zcl", "ZCL"),
    ("usual", "common practice"),
)
_UNITS: Final = (
    ("microseconds", "microseconds"),
    ("milliseconds", "milliseconds"),
    ("_seconds", "seconds"),
    ("octets_per_second", "octets a second"),
    ("octets", "octets"),
    ("probability", "0..1"),
    ("share", "0..1"),
    ("virtual seconds a real second", "times real time"),
)
_ENDINGS: Final = ("Settings", "Estate")
_TIMES: Final = frozenset({"DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND"})
_MODELS: Final = re.compile(r"lamplighter\.lab\.(dcc|devices|hub|han|wan|world|house|homes|flow\.flow)\b")
_LINE: Final = re.compile(r"^([A-Z][A-Z0-9_]*): Final = (.+?)  # (.+)$", re.MULTILINE)


class Setting(NamedTuple):
    """One thing that can be set."""

    group: str
    """Where it is set: module and class."""
    name: str
    """Its name, with the way to it where it lies in another setting."""
    default: Any
    """Its value unless told otherwise."""
    about: str
    """What it is, in the words of the code."""
    unit: str
    """Its unit."""

    @property
    def source(self) -> str:
        """Where its value is from."""
        said = self.about.lower()
        return next((source for word, source in _SOURCES if word in said), OWN)


def settings() -> Iterator[Setting]:
    """Every field of every dataclass of settings in the lab, and of what it holds."""
    for module in modules():
        for name, found in vars(module).items():
            if name.endswith(_ENDINGS) and is_dataclass(found) and found.__module__ == module.__name__:
                yield from _fields(f"{module.__name__.removeprefix('lamplighter.')}.{name}", "", found())


def _fields(group: str, way: str, holder: Any) -> Iterator[Setting]:
    about = _strings(type(holder))
    for field in fields(holder):
        value = getattr(holder, field.name)
        name, (said, expression) = way + field.name, about[field.name]
        if is_dataclass(value) and not isinstance(value, type):
            if type(value).__name__.endswith(_ENDINGS):  # it has a table of its own
                home = f"{type(value).__module__.removeprefix('lamplighter.')}.{type(value).__name__}"
                yield Setting(group, name, home, said, "see there")
            else:
                yield from _fields(group, f"{name}.", value)
        else:
            yield Setting(group, name, value, said, _unit(name, value, said, expression))


def _strings(owner: type) -> dict[str, tuple[str, str]]:
    """The string under each field and its default as written; what the class assumes of all comes last."""
    [tree] = ast.parse(inspect.cleandoc(inspect.getsource(owner))).body
    assert isinstance(tree, ast.ClassDef)
    common = [
        s for s in re.split(r"(?<=\.)\s+", " ".join((owner.__doc__ or "").split())) if "assum" in s.lower()
    ]
    found = {}
    for field, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = ast.literal_eval(after.value) if isinstance(after, ast.Expr) else ""
            default = "" if field.value is None else ast.unparse(field.value)
            found[field.target.id] = " ".join([*str(text).split(), *common]), default
    return found


def numbers() -> Iterator[Setting]:
    """Every public number with a comment in a module that models something."""
    for module in modules():
        if not _MODELS.match(module.__name__):
            continue
        found = _LINE.findall(inspect.getsource(module))
        for index, (name, expression, _) in enumerate(found):
            comment = _whole_comment([each[2] for each in found[index:]])
            value = getattr(module, name)
            if isinstance(value, (int, float)) and not isinstance(value, Enum):
                group = module.__name__.removeprefix("lamplighter.")
                yield Setting(group, name, value, comment, _unit(name, value, comment, expression))


def _whole_comment(comments: list[str]) -> str:
    """A comment that ends in dots goes on at the next number."""
    first, *rest = comments
    return f"{first} {_whole_comment(rest).removeprefix('... ')}" if first.endswith("...") and rest else first


def _unit(name: str, value: Any, about: str, expression: str) -> str:
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, Enum):
        return "one of " + ", ".join(_shown(each) for each in type(value))
    if not isinstance(value, (int, float)) and value is not None:
        return "weights" if "by weight" in about else "-"
    if _TIMES & set(re.findall(r"\w+", expression)):
        return "microseconds"
    words = f"{about} {name}".lower()
    return next((unit for word, unit in _UNITS if word in words), "number")


def modules() -> Iterator[Any]:
    """The modules of the lab."""
    for info in pkgutil.walk_packages(lab.__path__, f"{lab.__name__}."):
        yield importlib.import_module(info.name)


def _shown(value: Any) -> str:
    match value:
        case Enum():
            return str(value.value)
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case int():
            return f"{value:,}".replace(",", " ")
        case tuple() | frozenset() | dict() if not value:
            return "none"
        case dict() if all(isinstance(each, float) for each in value.values()):
            return ", ".join(f"{_shown(key)} {_shown(each)}" for key, each in value.items())
        case dict():
            return "a table of its own"
        case tuple():
            return ", ".join(
                f"`{type(each).__name__}()`" if is_dataclass(each) else _shown(each) for each in value
            )
        case frozenset():
            return ", ".join(sorted(map(_shown, value)))
    return str(value)


def _default(setting: Setting) -> str:
    if setting.unit == "microseconds" and setting.default:
        return duration_text(setting.default)
    return _shown(setting.default)


def _table(rows: Iterable[Setting]) -> str:
    lines: list[str] = []
    group = None
    for setting in rows:
        if setting.group != group:
            group = setting.group
            lines += [
                "",
                f"`{group}`",
                "",
                "| setting | default | unit | source | what it is |",
                "|---|---|---|---|---|",
            ]
        cells = (f"`{setting.name}`", _default(setting), setting.unit, setting.source, setting.about)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines).strip()


def faults() -> str:
    """A table of all faults, one row for each with its parameters."""
    lines = ["| fault | what happens | where | probability for each | parameters |", "|---|---|---|---|---|"]
    for fault in FAULTS.values():
        parameters = "<br>".join(f"`{p.name}` = {_shown(p.default)} ({p.unit})" for p in fault.parameters)
        lines.append(f"| `{fault.name}` | {fault.doc} | {fault.where} | {fault.each} | {parameters} |")
    return "\n".join(lines)


def regions() -> str:
    """A table of the WAN's links, one row for each region."""
    about = _strings(Link)
    lines = [
        "`lab.wan.LINKS`, the link of a hub in each region; all figures are assumptions",
        "",
        f"| region | {' | '.join(about)} |",
        "|---" * (len(about) + 1) + "|",
    ]
    for region, link in LINKS.items():
        cells = []
        for name, (said, expression) in about.items():
            value = getattr(link, name)
            cells.append(_default(Setting("", name, value, said, _unit(name, value, said, expression))))
        lines.append(f"| {region.value} | {' | '.join(cells)} |")
    return "\n".join(lines)


PARTS: Final = {
    "faults": faults,
    "settings": lambda: "\n\n".join(
        [_table(settings()), regions(), "Numbers in the code, which no argument changes:", _table(numbers())]
    ),
}


def page() -> str:
    """The whole page: as it is, with the generated parts written anew."""
    text = PAGE.read_text()
    for name, write in PARTS.items():
        begin, end = f"<!-- {name}: written by `make docs` -->\n", f"<!-- end of {name} -->\n"
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = f"{head}{begin}\n{write()}\n\n{end}{tail}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page())
