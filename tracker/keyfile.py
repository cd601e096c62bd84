"""Reads and writes the key file, which nobody but the tracker's own user may read.

The law: keys are never printed, logged or backed up by us, and an existing key is never overwritten or lost.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from tracker.core.keys import KEY_IDS, KEY_SIZE, KeyRing, SigningKey
from tracker.model import BadKeyFile, CannotRetire

SIGNS_AFTER: Final = timedelta(hours=1)
"""How long a new key waits before it signs: until then every server has read it."""
LARGEST: Final = 65_536
"""Octets; sixty-four keys of each kind fit easily."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_Secret = Annotated[str, StringConstraints(pattern=rf"^[0-9a-f]{{{2 * KEY_SIZE}}}$")]


class _Signing(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    id: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_-]$")]
    secret: _Secret
    signs_from: AwareDatetime
    retired: bool


class _File(BaseModel):
    """The shape of the file, format 1; every list is oldest first."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    format: Literal[1]
    pseudonym: list[_Secret]
    ledger: _Secret
    signing: list[_Signing]


_NAMES: Final = frozenset({*_File.model_fields, *_Signing.model_fields})


class KeyFile:
    """The key file at PATH. Every method raises BadKeyFile, whose detail says what is wrong and never quotes a key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> KeyRing:
        """The ring as it stands now; servers call this every minute."""
        return _read(self._octets())

    def create(self, now: datetime, random_bytes: Callable[[int], bytes]) -> KeyRing:
        """Write a new ring, mode 0600, whose one signing key signs from NOW on; refuse where a file exists."""
        signing = SigningKey(KEY_IDS[0], random_bytes(KEY_SIZE), now.astimezone(UTC))
        ring = KeyRing((random_bytes(KEY_SIZE),), random_bytes(KEY_SIZE), (signing,))
        with self._written(ring) as temporary:
            os.link(temporary, self.path)  # unlike a rename it never replaces what is there
        return ring

    def rotate(self, now: datetime, random_bytes: Callable[[int], bytes]) -> SigningKey:
        """Add a signing key that signs one hour after NOW; the others go on verifying."""
        with self._locked():
            ring = self.load()
            key_id = next((each for each in KEY_IDS if ring.by_id(each) is None), None)
            if key_id is None:
                raise BadKeyFile("key_file: all 64 key ids are used")
            key = SigningKey(key_id, random_bytes(KEY_SIZE), now.astimezone(UTC) + SIGNS_AFTER)
            self._replace(replace(ring, signing=(*ring.signing, key)))
        return key

    def retire(self, key_id: str, now: datetime) -> bool:
        """Mark a signing key as leaked; False when it was before. Another one has to sign at NOW already."""
        with self._locked():
            ring = self.load()
            leaked = ring.by_id(key_id)
            if leaked is None:
                raise CannotRetire("there is no signing key with that id")
            if leaked.retired:
                return False
            kept = replace(
                ring, signing=tuple(replace(key, retired=key.retired or key is leaked) for key in ring.signing)
            )
            try:
                kept.signing_key(now)
            except BadKeyFile:
                raise CannotRetire(
                    "no other key signs yet; `tracker secret rotate`, and an hour later retire this one"
                ) from None
            self._replace(kept)
        return True

    def wrap(self, random_bytes: Callable[[int], bytes]) -> KeyRing:
        """Add a pseudonym key, which wraps what those before it made; the new ring."""
        with self._locked():
            ring = self.load()
            if len(ring.pseudonym_keys) == len(KEY_IDS):
                raise BadKeyFile("key_file: all 64 generations of pseudonym keys are used")
            wrapped = replace(ring, pseudonym_keys=(*ring.pseudonym_keys, random_bytes(KEY_SIZE)))
            self._replace(wrapped)
        return wrapped

    def _replace(self, ring: KeyRing) -> None:
        with self._written(ring, self.path.stat()) as temporary:
            os.replace(temporary, self.path)

    def _octets(self) -> bytes:
        # What is checked is the open file itself, so that nobody can exchange it between the check and the reading.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with _explained():
            descriptor = os.open(self.path, flags)
            with open(descriptor, "rb") as file:
                state = os.fstat(descriptor)
                if not stat.S_ISREG(state.st_mode):
                    raise BadKeyFile("key_file: not a regular file")
                if state.st_mode & _OTHERS:
                    mode = stat.S_IMODE(state.st_mode)
                    raise BadKeyFile(f"key_file: others may read or change it (mode {mode:04o}, must be 0600)")
                if os.geteuid() not in (0, state.st_uid) and state.st_uid != 0:
                    raise BadKeyFile("key_file: belongs to another user")
                octets = file.read(LARGEST + 1)
        if len(octets) > LARGEST:
            raise BadKeyFile("key_file: too large to be a key file")
        return octets

    @contextlib.contextmanager
    def _written(self, ring: KeyRing, owner: os.stat_result | None = None) -> Iterator[Path]:
        """RING in a temporary file beside the real one, safe on disk; afterwards it is gone and the folder is safe."""
        with _explained():
            # mkstemp makes it readable for nobody else.
            descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            try:
                with open(descriptor, "wb") as file:
                    if owner is not None and os.geteuid() == 0:
                        os.fchown(descriptor, owner.st_uid, owner.st_gid)  # the server goes on reading it
                    file.write(_text(ring))
                    file.flush()
                    os.fsync(descriptor)
                yield Path(name)
            finally:
                Path(name).unlink(missing_ok=True)
            with _folder(self.path) as folder:
                os.fsync(folder)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps two rotations from losing one another's key."""
        with _explained(), _folder(self.path) as folder:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turns what the system says into BadKeyFile, without the path."""
    try:
        yield
    except FileNotFoundError:
        raise BadKeyFile("key_file: there is no such file") from None
    except FileExistsError:
        raise BadKeyFile("key_file: there is one already; it is never overwritten") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BadKeyFile("key_file: a symbolic link; name the file itself") from None
        raise BadKeyFile(f"key_file: {error.strerror}") from None


def _read(octets: bytes) -> KeyRing:
    try:
        file = _File.model_validate_json(octets)
        return KeyRing(
            tuple(map(bytes.fromhex, file.pseudonym)),
            bytes.fromhex(file.ledger),
            tuple(
                SigningKey(key.id, bytes.fromhex(key.secret), key.signs_from.astimezone(UTC), key.retired)
                for key in file.signing
            ),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # An unknown name is not repeated: a damaged file may hold a key there.
        where = ".".join(str(step) for step in first["loc"] if step in _NAMES or isinstance(step, int))
        raise BadKeyFile(f"key_file: damaged{f' at {where}' if where else ''}") from None
    except ValueError as error:  # from KeyRing: says what is wrong with the set of keys, no key
        raise BadKeyFile(f"key_file: {error}") from None


def _text(ring: KeyRing) -> bytes:
    file = _File(
        format=1,
        pseudonym=[key.hex() for key in ring.pseudonym_keys],
        ledger=ring.ledger_key.hex(),
        signing=[
            _Signing(id=key.id, secret=key.secret.hex(), signs_from=key.signs_from, retired=key.retired)
            for key in ring.signing
        ],
    )
    return file.model_dump_json(indent=2).encode("ascii") + b"\n"
