"""The rules that `block-rules` brings: what nobody asks for who means well, whatever stands behind.

Owns their names and patterns. Each looks at the path in all its forms, without regard to case. What some site does
serve (`/wp-admin/`, `/phpmyadmin/`, `/actuator/`, `/cgi-bin/`) has no place here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

BuiltinName: TypeAlias = Literal["dot-files", "traversal", "null-bytes", "scanners"]

BUILTIN: Mapping[BuiltinName, tuple[str, ...]] = {
    "dot-files": (
        r"/\.(?:git|svn|hg|bzr|ssh|gnupg|aws|azure|kube|docker|vscode|idea)(?:/|$)",
        r"/\.env(?:[._~-][^/]*)?$",
        r"/\.(?:htaccess|htpasswd|netrc|npmrc|pypirc|pgpass|git-credentials|gitconfig|bash_history|ds_store)$",
    ),
    # Also where it is encoded once more, for those behind who decode twice.
    "traversal": (r"(?:[/\\]|%2f|%5c)(?:\.|%2e){2}(?:[/\\;]|%2f|%5c|%3b|$)",),
    "null-bytes": (r"\x00|%00",),
    "scanners": (
        r"/phpunit/(?:.*/)?eval-stdin\.php$",
        r"/_ignition/execute-solution$",
        r"/_profiler/phpinfo$",
        r"^/(?:hnap1|boaform|gponform)(?:/|$)",
        r"/wp-config\.php[.~_-][^/]*$|/wp-config\.php~$",
        r"/(?:id_rsa|id_dsa|id_ecdsa|id_ed25519)$",
        r"/sftp-config\.json$",
        r"^/etc/(?:passwd|shadow)$",
    ),
}
