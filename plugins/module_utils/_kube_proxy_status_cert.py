# Copyright (c) 2026, the netops.kube_proxy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node's name from the kubelet's client certificate. Pure. Private to this collection.

The certificate's common name is C(system:node:NAME) (the API server's Node authorizer needs it so): NAME is the Node
object, whatever the host calls itself. Only as much of X.509 (RFC 5280) and DER (X.690) as that takes.
"""

from __future__ import annotations

import base64
import binascii
import re
import typing as t

from ansible_collections.netops.kube_proxy.plugins.module_utils._errors import KubeProxyError

PREFIX = "system:node:"

_SEQUENCE, _SET, _CONTEXT_0, _OID = 0x30, 0x31, 0xA0, 0x06
_COMMON_NAME = bytes((0x55, 0x04, 0x03))  # 2.5.4.3
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_KUBECONFIG = re.compile(r"^\s*(client-certificate(?:-data)?):\s*(.+?)\s*$", re.MULTILINE)


class NotACertificate(KubeProxyError):
    """Bytes that are not an X.509 certificate with a common name."""


def _damaged(seen: str) -> NotACertificate:
    return NotACertificate("The kubelet's client certificate cannot be read", seen)


def _take(data: bytes, start: int) -> tuple[int, bytes, int]:
    """The tag and content of the element at C(start), and where the next one starts."""
    if start + 2 > len(data):
        raise _damaged("it ends too early")
    tag, length, begin = data[start], data[start + 1], start + 2
    if length >= 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or begin + size > len(data):
            raise _damaged("a length is wrong")
        length, begin = int.from_bytes(data[begin : begin + size], "big"), begin + size
    if begin + length > len(data):
        raise _damaged("it ends too early")
    return tag, data[begin : begin + length], begin + length


def _elements(data: bytes) -> t.Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        tag, content, position = _take(data, position)
        yield tag, content


def _inside(data: bytes, wanted: int) -> bytes:
    tag, content, _end = _take(data, 0)
    if tag != wanted:
        raise _damaged(f"tag {tag:#04x} where {wanted:#04x} should be")
    return content


def _subject(certificate: bytes) -> bytes:
    # TBSCertificate: [0] version (absent in v1), serialNumber, signature, issuer, validity, subject.
    fields = list(_elements(_inside(_inside(certificate, _SEQUENCE), _SEQUENCE)))
    if fields and fields[0][0] == _CONTEXT_0:
        fields = fields[1:]
    if len(fields) < 5 or fields[4][0] != _SEQUENCE:
        raise _damaged("it has no subject")
    return fields[4][1]


def common_name(certificate: bytes) -> str:
    """The subject's common name of a certificate in DER.

    :raises NotACertificate: for anything else
    """
    for tag, relative_name in _elements(_subject(certificate)):
        for _tag, pair in _elements(relative_name if tag == _SET else b""):
            parts = list(_elements(pair))
            if len(parts) == 2 and parts[0] == (_OID, _COMMON_NAME):
                return parts[1][1].decode("utf-8", "replace")
    raise _damaged("its subject has no common name")


def certificate_in_pem(text: str) -> bytes:
    """The first certificate of a PEM text (the kubelet's file holds its key as well).

    :raises NotACertificate: when there is none
    """
    found = _PEM.search(text)
    if found is None:
        raise _damaged("it holds no PEM certificate")
    return decode_base64(found.group(1))


def decode_base64(text: str) -> bytes:
    """The bytes behind base64, white space apart.

    :raises NotACertificate: when it is something else
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _damaged("it is not base64") from None


def node_name_in_pem(text: str) -> str | None:
    """NAME of C(system:node:NAME); None when the certificate is somebody else's.

    :raises NotACertificate: when there is no certificate in the text
    """
    name = common_name(certificate_in_pem(text))
    return name[len(PREFIX) :] if name.startswith(PREFIX) else None


def client_certificate_in_kubeconfig(text: str) -> tuple[str, str]:
    """What a kubeconfig says about the client certificate: its path, and its base64 data; empty where it does not.

    kubeadm writes one user with plain scalars; that is read without a YAML library, which a node need not have.
    """
    found = {key: value.strip("\"'") for key, value in _KUBECONFIG.findall(text)}
    return found.get("client-certificate", ""), found.get("client-certificate-data", "")
