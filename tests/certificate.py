"""A certificate for 127.0.0.1, as servers of the tests show it and their clients trust it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """PEM files; who trusts `chain` trusts the server."""

    chain: Path
    key: Path

    @classmethod
    def made(cls, folder: Path) -> Certificate:
        """A new one in FOLDER."""
        made = cls(folder / "chain", folder / "key")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", made.key, "-out", made.chain, "-days", "2", "-subj", "/CN=127.0.0.1",
             "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        return made
