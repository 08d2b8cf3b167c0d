# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of each role is true: meta/argument_specs.yml, defaults/main.yml and what the role uses say the same.

* Every option is required or has a default, and the same default stands in defaults/main.yml; nothing else stands there.
* Entry points that share an option agree about it.
* Every variable `<role>_...` that tasks, handlers, templates, vars or defaults use is an option, every `__<role>_...` is set
  somewhere in the role, and every option is used.
* What one role hands to another (`include_role` with `vars`) is an option there.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import jinja2.nodes
import yaml

from tools.report import ROOT, Finding, finish

BARE_EXPRESSIONS = {"when", "failed_when", "changed_when", "until", "that", "var"}
NAMED_VARIABLES = {"register", "loop_var", "index_var"}
ROLE_ACTIONS = {"ansible.builtin.include_role", "ansible.builtin.import_role"}
PUBLIC_PREFIX = "netops.kube_proxy."
UNSET = object()

JINJA = jinja2.Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"], autoescape=False)  # parses only


class Unreadable(Exception):
    """A file that is not YAML, or holds something that is no template."""

    def __init__(self, path: Path, reason: Exception) -> None:
        self.path = path
        super().__init__(" ".join(str(reason).split()))


@dataclass
class Role:
    """What the files of one role say: variables that are read (and where), that are set, that are handed to other roles."""

    name: str
    entry_points: dict[str, dict[str, t.Any]]
    defaults: dict[str, t.Any]
    loaded: dict[str, str] = field(default_factory=dict)
    defined: set[str] = field(default_factory=set)
    handed: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def options(self) -> set[str]:
        """The names of the options of all entry points."""
        return {name for options in self.entry_points.values() for name in options}


def load_yaml(path: Path) -> t.Any:
    """A YAML file, nothing when it is missing or empty.

    :raises Unreadable: when it is not YAML
    """
    try:
        return yaml.safe_load(path.read_text("utf-8")) if path.is_file() else None
    except yaml.YAMLError as error:
        raise Unreadable(path, error) from error


def walk(node: t.Any, key: str = "") -> t.Iterator[tuple[str, t.Any]]:
    """Every mapping, list and scalar of a YAML document with the key it stands under."""
    yield key, node
    if isinstance(node, dict):
        for name, value in node.items():
            yield from walk(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from walk(value, key)


def names_of(template: str) -> set[str]:
    """The variables that a template reads, those that it sets itself apart."""
    found = list(JINJA.parse(template).find_all(jinja2.nodes.Name))
    return {name.name for name in found if name.ctx == "load"} - {name.name for name in found if name.ctx != "load"}


def loaded_by_document(document: t.Any) -> set[str]:
    """The variables that the templates and bare conditions of a YAML document read."""
    names: set[str] = set()
    for key, node in walk(document):
        if not isinstance(node, str):
            continue
        if "{{" in node or "{%" in node:
            names |= names_of(node)
        elif key in BARE_EXPRESSIONS:
            names |= names_of("{{ (" + node + ") }}")
    return names


def defined_by_document(document: t.Any) -> set[str]:
    """The variables that a YAML document sets: keys anywhere, registered results and loop variables."""
    names: set[str] = set()
    for key, node in walk(document):
        if isinstance(node, dict):
            names.update(str(name) for name in node)
        elif key in NAMED_VARIABLES and isinstance(node, str):
            names.add(node)
    return names


def handed_by_document(document: t.Any, where: str) -> t.Iterator[tuple[str, str, str]]:
    """What tasks hand to roles of this collection: where, the role, the variable."""
    for _key, node in walk(document):
        if not isinstance(node, dict):
            continue
        for action in ROLE_ACTIONS & node.keys():
            role = str(node[action].get("name", "")).removeprefix(PUBLIC_PREFIX)
            yield from ((where, role, name) for name in node.get("vars") or {})


def read_file(role: Role, path: Path, kind: str, where: str) -> None:
    """Add what one file of a role says. `kind` is the folder of the role that it lies in."""
    if kind in {"tasks", "handlers", "vars", "defaults"}:
        document = load_yaml(path)
        role.loaded.update(dict.fromkeys(loaded_by_document(document), where))
        role.defined.update(defined_by_document(document))
        role.handed.extend(handed_by_document(document, where))
    elif kind == "templates":
        role.loaded.update(dict.fromkeys(names_of(path.read_text("utf-8")), where))


def read_role(root: Path, folder: Path) -> Role:
    """Read one role.

    :raises Unreadable: when a file is broken
    """
    specs = (load_yaml(folder / "meta" / "argument_specs.yml") or {}).get("argument_specs", {})
    entry_points = {name: dict(spec.get("options") or {}) for name, spec in specs.items()}
    role = Role(folder.name, entry_points, load_yaml(folder / "defaults" / "main.yml") or {})
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            read_file(role, path, path.relative_to(folder).parts[0], str(path.relative_to(root)))
        except jinja2.TemplateError as error:
            raise Unreadable(path, error) from error
    return role


def default_finding(option: dict[str, t.Any], actual: t.Any) -> str:
    """What is wrong between an option and its value in defaults/main.yml, empty when nothing is."""
    default = option.get("default", UNSET)
    if option.get("required"):
        return "is required and has a default" if default is not UNSET or actual is not UNSET else ""
    if default is UNSET:
        return "is neither required nor has a default"
    if actual is UNSET:
        return "has a default that defaults/main.yml does not set"
    if (type(default), default) != (type(actual), actual):
        return f"defaults to {default!r} here and to {actual!r} in defaults/main.yml"
    return ""


def option_findings(role: Role) -> t.Iterator[Finding]:
    """Options against defaults/main.yml, and entry points against each other."""
    where = f"roles/{role.name}/meta/argument_specs.yml"
    seen: dict[str, t.Any] = {}
    for options in role.entry_points.values():
        for name, option in options.items():
            if seen.setdefault(name, option) != option:
                yield Finding(where, f"the entry points disagree about {name}")
    for name, option in seen.items():
        if what := default_finding(option, role.defaults.get(name, UNSET)):
            yield Finding(where, f"{name} {what}")
    for name in sorted(role.defaults.keys() - seen.keys()):
        yield Finding(f"roles/{role.name}/defaults/main.yml", f"{name} is no option in meta/argument_specs.yml")


def usage_findings(role: Role, elsewhere: str) -> t.Iterator[Finding]:
    """Variables used against variables declared. `elsewhere` is the text of all playbooks: an option may be theirs to read."""
    for name, where in sorted(role.loaded.items()):
        if name.startswith(f"{role.name}_") and name not in role.options | role.defined:
            yield Finding(where, f"{name} is used and no option of the role")
        if name.startswith(f"__{role.name}_") and name not in role.defined:
            yield Finding(where, f"{name} is used and never set in the role")
    for name in sorted(role.options - role.loaded.keys()):
        if name not in elsewhere:
            yield Finding(f"roles/{role.name}/meta/argument_specs.yml", f"{name} is never used")


def handing_findings(roles: t.Mapping[str, Role], handed: t.Iterable[tuple[str, str, str]]) -> t.Iterator[Finding]:
    """What is handed to a role against that role's options."""
    for where, role, name in handed:
        if role in roles and name.startswith(f"{role}_") and name not in roles[role].options:
            yield Finding(where, f"{name} is handed to the role {role}, which has no such option")


def check(root: Path) -> list[Finding]:
    """All findings of a checkout."""
    roles, findings = {}, []
    for path in sorted(path for path in (root / "roles").glob("*") if path.is_dir()):
        try:
            roles[path.name] = read_role(root, path)
        except Unreadable as error:
            findings.append(Finding(str(error.path.relative_to(root)), str(error)))
    playbooks = sorted((root / "playbooks").glob("*.yml"))
    elsewhere = "\n".join(path.read_text("utf-8") for path in playbooks)
    handed = [each for role in roles.values() for each in role.handed]
    for path in playbooks:
        handed += handed_by_document(load_yaml(path), str(path.relative_to(root)))
    findings += handing_findings(roles, handed)
    for role in roles.values():
        findings += [*option_findings(role), *usage_findings(role, elsewhere)]
    return findings


def main() -> None:
    """Check this checkout."""
    finish("argument specs", check(ROOT))


if __name__ == "__main__":
    main()
