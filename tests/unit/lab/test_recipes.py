# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recipes' own rules: kernel options, Go modules, packages' origin, images."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from kubelab import apt, golang, maintain, releases
from kubelab.errors import LabError
from kubelab.recipes import data, images, kernel

UPSTREAM = """\
module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require k8s.io/api v0.0.0

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/cli-runtime => ./staging/src/k8s.io/cli-runtime
	example.org/other => ../other
)
"""

GO_MOD = """\
module lab/kubernetes

go 1.26.0

godebug default=go1.26

require k8s.io/kubernetes v1.37.2

replace (
	k8s.io/api => k8s.io/api v0.37.2
	k8s.io/cli-runtime => k8s.io/cli-runtime v0.37.2
)

tool (
	k8s.io/kubernetes/cmd/kube-apiserver
	k8s.io/kubernetes/cmd/kube-controller-manager
	k8s.io/kubernetes/cmd/kube-proxy
	k8s.io/kubernetes/cmd/kube-scheduler
	k8s.io/kubernetes/cmd/kubeadm
	k8s.io/kubernetes/cmd/kubectl
	k8s.io/kubernetes/cmd/kubelet
	k8s.io/kubernetes/test/images/agnhost
)
"""


def test_go_mod_of_a_release() -> None:
    assert maintain.go_mod("1.37.2", UPSTREAM) == GO_MOD


def test_go_mod_without_godebug() -> None:
    assert "godebug" not in maintain.go_mod("1.34.4", UPSTREAM.replace("godebug default=go1.26\n", ""))


@pytest.mark.parametrize("version", releases.OFFERED)
def test_every_release_on_offer_is_pinned(version: str) -> None:
    text = data.text(f"go/kubernetes-{version}/go.mod")
    assert re.search(rf"^(?:\t|require )k8s\.io/kubernetes v{re.escape(version)}\b", text, flags=re.MULTILINE)
    assert all(f"\tk8s.io/kubernetes/{program}\n" in text for program in maintain.PROGRAMS)
    assert f"k8s.io/kubernetes v{version} h1:" in data.text(f"go/kubernetes-{version}/go.sum")


def test_go_is_new_enough_for_every_pinned_module() -> None:
    asked = [re.search(r"^go (\S+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE) for path in _go_mods()]
    assert asked
    assert max(tuple(map(int, found[1].split("."))) for found in asked if found) <= golang.MINIMUM


def _go_mods() -> list[Path]:
    return sorted(data.ROOT.glob("go/*/go.mod"))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 linux/amd64", (1, 27, 0)),
        ("go version devel +abc", None),
    ],
)
def test_version_of_go(text: str, version: tuple[int, ...] | None) -> None:
    assert golang.version_of(text) == version


def test_kernel_options_that_do_not_take_effect_are_named() -> None:
    wanted = kernel.options("# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C=n\nCONFIG_D=m\n")
    assert wanted == {"CONFIG_B": "y", "CONFIG_C": "n", "CONFIG_D": "m"}
    assert kernel.ineffective(wanted, {"CONFIG_B": "y", "CONFIG_D": "y"}) == ["CONFIG_D is y, wanted m"]


DEB822 = """\
# CONFIG
Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm

Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/mirror.gpg
"""

ONE_LINE = """\
# deb http://commented.example/debian trixie main
deb-src http://mirror.example/debian trixie main
deb [arch=amd64] http://vendor.example/apt nodistro main
deb http://security.example/debian-security trixie-security main
deb [arch=amd64 signed-by=/usr/share/keyrings/mirror.gpg] http://mirror.example/debian/ trixie main contrib
deb http://other.example/debian trixie-updates main
"""


def test_mirror_from_deb822() -> None:
    assert list(apt.parse_deb822(DEB822)) == [
        apt.Mirror("http://mirror.example/debian", "/usr/share/keyrings/mirror.gpg")
    ]


def test_mirror_from_one_line_format() -> None:
    assert list(apt.parse_one_line(ONE_LINE)) == [
        apt.Mirror("http://mirror.example/debian/", "/usr/share/keyrings/mirror.gpg"),
        apt.Mirror("http://other.example/debian", apt.KEYRING),
    ]


def test_an_inline_key_is_kept() -> None:
    key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----"
    stanza = f"Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nSigned-By:{key}\n"
    (mirror,) = apt.parse_deb822(stanza)
    assert list(apt.parse_deb822(mirror.sources())) == [mirror]
    assert "\n .\n abc\n" in mirror.sources()


def test_the_mirror_of_the_host(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    with pytest.raises(LabError, match="no Debian mirror"):
        apt.host_mirror(tmp_path)
    (tmp_path / "sources.list").write_text(ONE_LINE, encoding="utf-8")
    assert apt.host_mirror(tmp_path).uri == "http://mirror.example/debian/"
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822, encoding="utf-8")
    assert apt.host_mirror(tmp_path).uri == "http://mirror.example/debian"


def test_sources_for_the_node() -> None:
    assert apt.Mirror("http://mirror.example/debian", "/k.gpg").sources() == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie trixie-backports\n"
        "Components: main\nSigned-By: /k.gpg\n"
    )


LISTING = """\
W0101 something to ignore
registry.k8s.io/kube-apiserver:v1.37.2
registry.k8s.io/kube-controller-manager:v1.37.2
registry.k8s.io/kube-scheduler:v1.37.2
registry.k8s.io/kube-proxy:v1.37.2
registry.k8s.io/coredns/coredns:v1.14.6
registry.k8s.io/pause:3.10.2
registry.k8s.io/etcd:3.7.0-0
"""


def test_images_carry_the_names_kubeadm_asks_for(tmp_path: Path) -> None:
    parts = images.Parts(*[tmp_path] * 5)
    made = [image.reference for image in images.images(parts, images.tags(LISTING), "2.66.1")]
    asked = [line for line in LISTING.splitlines() if line.startswith("registry")]
    assert sorted(made) == sorted([*asked, "registry.k8s.io/e2e-test-images/agnhost:2.66.1"])


def test_an_image_is_a_docker_archive(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"ELF")
    tree = tmp_path / "tree.tar"
    with tarfile.open(tree, "w") as archive:
        for name, kind in (("./dev/null", tarfile.CHRTYPE), ("./usr/bin/tool", tarfile.REGTYPE)):
            member = tarfile.TarInfo(name)
            member.type = kind
            archive.addfile(member, io.BytesIO())
    image = images.Image("example/p:1", ("/program",), {"program": program}, tree, {"bin": "usr/bin"})
    image.write(tmp_path / "image.tar")
    with tarfile.open(tmp_path / "image.tar") as archive:
        (manifest,) = json.loads(_content(archive, "manifest.json"))
        config = json.loads(_content(archive, manifest["Config"]))
        with tarfile.open(fileobj=io.BytesIO(_content(archive, manifest["Layers"][0]))) as layer:
            members = {member.name: member for member in layer}
    assert manifest["RepoTags"] == ["example/p:1"]
    assert config["config"]["Entrypoint"] == ["/program"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{manifest['Layers'][0].split('/')[0]}"]
    assert list(members) == ["./usr/bin/tool", "bin", "program"]
    assert members["bin"].issym()
    assert members["program"].mode == 0o755


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    assert stream is not None
    return stream.read()
