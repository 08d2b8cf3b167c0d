# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of a role: every way in which specification, defaults and use can disagree goes red."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_argument_specs import check, names_of

SPECS = """
argument_specs:
  main:
    options: &options
      some_size: {type: int, default: 3}
      some_name: {type: str, required: true}
  other:
    options: *options
"""
DEFAULTS = "some_size: 3\n"
TASKS = """
- name: Have it
  ansible.builtin.debug:
    msg: "{{ some_name }} {{ __some_result.stdout }}"
  when: some_size > 2
  register: __some_result
"""


def write(root: Path, name: str, text: str) -> None:
    """Write one file of the role `some`."""
    path = root / "roles" / "some" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one true role."""
    write(tmp_path, "meta/argument_specs.yml", SPECS)
    write(tmp_path, "defaults/main.yml", DEFAULTS)
    write(tmp_path, "tasks/main.yml", TASKS)
    return tmp_path


def test_a_true_interface_is_green(checkout: Path) -> None:
    assert check(checkout) == []


def test_a_checkout_without_roles_is_green(tmp_path: Path) -> None:
    assert check(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("defaults/main.yml", "some_size: 4\n", "some_size defaults to 3 here and to 4 in defaults/main.yml"),
        ("defaults/main.yml", "some_size: '3'\n", "some_size defaults to 3 here and to '3' in defaults/main.yml"),
        ("defaults/main.yml", "", "some_size has a default that defaults/main.yml does not set"),
        ("defaults/main.yml", DEFAULTS + "some_name: x\n", "some_name is required and has a default"),
        ("defaults/main.yml", DEFAULTS + "some_more: x\n", "some_more is no option in meta/argument_specs.yml"),
        ("tasks/more.yml", TASKS.replace("some_size", "some_siez"), "some_siez is used and no option of the role"),
        (
            "tasks/main.yml",
            TASKS.replace("register: __some_result", ""),
            "__some_result is used and never set in the role",
        ),
        ("tasks/main.yml", TASKS.replace("some_size > 2", "true"), "some_size is never used"),
        ("templates/a.conf.j2", "{% if some_flag %}x{% endif %}\n", "some_flag is used and no option of the role"),
        ("templates/a.conf.j2", "{% if %}\n", "Expected an expression, got 'end of statement block'"),
        ("vars/main.yml", "a: b: c\n", "mapping values are not allowed here"),
        (
            "meta/argument_specs.yml",
            SPECS.replace("*options", "{some_size: {type: int, default: 5}}"),
            "the entry points disagree about some_size",
        ),
        (
            "meta/argument_specs.yml",
            SPECS.replace("required: true", "description: x"),
            "some_name is neither required nor has a default",
        ),
    ],
)
def test_each_disagreement_is_found(checkout: Path, name: str, text: str, words: str) -> None:
    write(checkout, name, text)
    found = [finding.what for finding in check(checkout)]
    assert any(what.startswith(words) for what in found), found


def test_what_is_handed_to_a_role_is_an_option_there(checkout: Path) -> None:
    (checkout / "playbooks").mkdir()
    (checkout / "playbooks" / "play.yml").write_text(
        "- hosts: all\n  tasks:\n    - ansible.builtin.include_role: {name: netops.kube_proxy.some}\n"
        "      vars: {some_name: x, some_colour: red}\n"
    )
    assert [str(finding) for finding in check(checkout)] == [
        "playbooks/play.yml: some_colour is handed to the role some, which has no such option"
    ]


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("{{ a.b['c'] | default(d) }}", {"a", "d"}),
        ("{% for x in xs %}{{ x }}{% endfor %}", {"xs"}),
        ("{% set y = z %}{{ y }}", {"z"}),
        ("plain a", set()),
        ("{{ some_filter(k=v) | netops.kube_proxy.other }}", {"some_filter", "v"}),
    ],
)
def test_names_are_variables_not_attributes(template: str, names: set[str]) -> None:
    assert names_of(template) == names
