"""Finds the settings in file and environment, names what is wrong, shows them with secrets masked, writes a first file.

The law: an unknown or impossible setting is named and stops the start; its value is not repeated.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tracker.config_values import Listen, beside, masked, sized
from tracker.model import BadSetting, Language, SetupError
from tracker.settings import MAY_HOLD_SECRETS, PATHS, SECRETS, SIZES, Settings

__all__ = ["Listen", "Settings", "effective", "found_config", "load", "write_default"]

PREFIX: Final = "TRACKER_"
CONFIG_VARIABLE: Final = "TRACKER_CONFIG"
DEFAULT_CONFIG: Final = Path("tracker.toml")
LARGEST: Final = 1_048_576
"""Octets of a settings file or of a secret in a file."""

_NAMES: Final = frozenset(Settings.model_fields)


def load(config: Path | None, environ: Mapping[str, str]) -> Settings:
    """The effective settings: from CONFIG, else the file that TRACKER_CONFIG names, else ./tracker.toml if it is there.

    Each is overridden by TRACKER_<NAME> or by the content of the file that TRACKER_<NAME>_FILE names, in ENVIRON.
    Paths are returned absolute. Raises BadSetting, which names every setting that is wrong.
    """
    path, told_by = _config_path(config, environ)
    from_file = _file_values(path, told_by)
    from_environment = _environment_values(environ)
    folder = Path() if from_file is None else path.parent
    origins = {name: variable for name, (variable, _) in from_environment.items()}
    merged = (from_file or {}) | {name: value for name, (_, value) in from_environment.items()}
    try:
        settings = Settings(**merged)
        return _located(settings, folder.absolute())
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        faults = [_fault(each, origins) for each in errors]
        if from_file is None and any(each["type"] == "missing" for each in errors):
            faults.append("there is no tracker.toml here (`tracker init` makes one, --config names another)")
        raise BadSetting("; ".join(faults)) from None


def found_config(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file that `load` reads; None when nobody named one and there is none."""
    path, told_by = _config_path(config, environ)
    return path if told_by is not None or path.exists() else None


def effective(settings: Settings) -> dict[str, str]:
    """Every setting by name, as one line of text, with secrets masked."""
    return {name: _shown(name, getattr(settings, name)) for name in Settings.model_fields}


def write_default(path: Path, *, controller: str, contact: str, public_url: str, language: str = Language.EN) -> None:
    """Write a new settings file at PATH that explains each setting that has an effect.

    Its mode is 0600, since a password may come into it.
    Raises BadSetting when a value is impossible, SetupError when there is a file or it cannot be written.
    """
    given = {"controller": controller, "contact": contact, "public_url": public_url, "language": str(language)}
    try:
        Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise BadSetting("; ".join(_fault(each, {}) for each in error.errors(include_input=False))) from None
    text = "\n".join(_explained(name, given) for name in Settings.model_fields)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(f"# Settings of the tracker. A line that begins with # shows the default.\n\n{text}")
    except FileExistsError:
        raise SetupError(f"{path.name} is there already; nothing was overwritten") from None
    except OSError as error:
        raise SetupError(f"{path.name}: {error.strerror}") from None


# --- where settings stand ----------------------------------------------------------------------


def _config_path(config: Path | None, environ: Mapping[str, str]) -> tuple[Path, str | None]:
    """The file to read, and who named it."""
    if config is not None:
        return config, "--config"
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE]), CONFIG_VARIABLE
    return DEFAULT_CONFIG, None


def _file_values(path: Path, told_by: str | None) -> dict[str, Any] | None:
    """What stands in the settings file; None when nobody named one and there is none."""
    if told_by is None and not path.exists():
        return None
    try:
        return tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at [a-z0-9, ]+\)$", str(error))  # the rest may quote the file
        raise BadSetting(f"{path.name}: not TOML {place[0] if place else ''}".rstrip()) from None
    except OSError as error:
        raise BadSetting(f"{told_by or path.name}: the settings cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadSetting(f"{told_by or path.name}: the settings are not UTF-8 text") from None


def _environment_values(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Setting → (variable that sets it, value)."""
    found: dict[str, tuple[str, str]] = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        from_file = name not in _NAMES and name.removesuffix("_file") in _NAMES
        if from_file:
            name = name.removesuffix("_file")
        if name not in _NAMES or not variable.isupper():
            raise BadSetting(_unknown(variable, [PREFIX + known.upper() for known in _NAMES]))
        if name in found:
            raise BadSetting(f"{name}: {found[name][0]} and {variable} are both set")
        found[name] = variable, _secret(variable, environ[variable]) if from_file else environ[variable]
    return found


def _secret(variable: str, path: str) -> str:
    try:
        return _read(Path(path)).rstrip("\r\n")
    except OSError as error:
        raise BadSetting(f"{variable}: the file cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadSetting(f"{variable}: the file is not UTF-8 text") from None


def _read(path: Path) -> str:
    with path.open("rb") as file:
        octets = file.read(LARGEST + 1)
    if len(octets) > LARGEST:
        raise ValueError
    return octets.decode("utf-8")


def _located(settings: Settings, folder: Path) -> Settings:
    """SETTINGS with relative paths taken from FOLDER."""
    try:
        located: dict[str, object] = {"database_url": beside(folder, settings.database_url)}
    except ValueError as error:
        raise BadSetting(f"database_url: {error}") from None
    located |= {name: folder / path for name in PATHS if (path := getattr(settings, name)) is not None}
    return settings.model_copy(update=located)


# --- what is said about them -------------------------------------------------------------------


def _fault(error: ErrorDetails, origins: Mapping[str, str]) -> str:
    if not error["loc"]:
        return str(error["ctx"]["error"])  # from _fits_together, which names the settings itself
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return _unknown(name, list(_NAMES))
    if error["type"] == "missing":
        return f"{name}: required"
    why = str(error["ctx"]["error"]) if error["type"] == "value_error" else "impossible"
    return f"{name}: {why}" + (f" (set by {origins[name]})" if name in origins else "")


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    printable = re.sub(r"[^A-Za-z0-9_.-]", "?", name)[:64]
    return f"{printable}: unknown setting" + (f"; is {close[0]} meant?" if close else "")


def _shown(name: str, value: object) -> str:
    if name in SECRETS:
        return "" if value is None else "***"
    if name in MAY_HOLD_SECRETS:
        return "" if value is None else masked(str(value))
    if name in SIZES and isinstance(value, int):
        return sized(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and not isinstance(value, Listen):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _explained(name: str, given: Mapping[str, str]) -> str:
    field = Settings.model_fields[name]
    value = given.get(name, field.default)
    line = f"{name} = {_toml(name, value)}"
    return f"# {field.description}\n{line if name in given else f'#{line}'}\n"


def _toml(name: str, value: object) -> str:
    if isinstance(value, bool) or (isinstance(value, int) and name not in SIZES):
        return str(value).lower()
    if isinstance(value, tuple) and not isinstance(value, Listen):
        return json.dumps([str(item) for item in value], ensure_ascii=False)
    # A JSON string without control characters is a TOML basic string (TOML 1.0, String).
    return json.dumps(_shown(name, value), ensure_ascii=False)
