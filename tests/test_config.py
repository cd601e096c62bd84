"""Shows that every setting of the contract is known, that a bad one is named, never quoted, and which source wins."""

from __future__ import annotations

import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tracker.config import Listen, Settings, effective, load, write_default
from tracker.model import BadSetting, Language, SetupError

IN_THE_CONTRACT = [
    "controller", "contact", "public_url", "former_public_urls", "public_listen", "private_listen",
    "dashboard_listen", "database_url", "key_file", "journal", "trusted_proxies", "retention_days", "proof_days",
    "consent_days", "backup_days", "minimum_group", "max_message", "text_links", "foreign_trackers",
    "sender_domains", "smtp_listen", "smtp_next_hop", "control_networks", "campaign_header", "reference_header",
    "label_from", "resign_domains", "mode",
]  # fmt: skip
BEYOND_IT = [
    "language", "rewrite_visible_urls", "excluded_links", "plan_cache", "confirmations_per_day", "blocked_hosts",
    "bodies_in_flight", "controller_address", "data_protection_officer", "supervisory_authority", "purposes",
    "data_recipients", "hosting", "transfers", "machine_seconds", "dashboard_url", "crm_url", "crm_key", "oidc_issuer",
    "oidc_client_id", "oidc_client_secret", "smtps_listen", "smtp_networks", "smtp_certificate", "smtp_private_key",
    "webhook_url", "webhook_secret", "webhook_source", "webhook_private",
]  # fmt: skip
REQUIRED = {"TRACKER_CONTROLLER": "Werkstatt Nord GmbH", "TRACKER_CONTACT": "privacy@werkstatt-nord.example"}
IMPOSSIBLE = {
    "controller": ["", "  ", "a\nb", "x" * 201],
    "contact": ["", "Anna", "Anna <a@b.example>", "a@b.example, c@d.example"],
    "controller_address": ["  ", "x" * 201],
    "data_protection_officer": ["a\nb"],
    "supervisory_authority": [" "],
    "purposes": [" ", "a\nb", "x" * 1_001],
    "data_recipients": ["\x07"],
    "hosting": ["  "],
    "transfers": ["a\tb"],
    "language": ["", "es", "DE"],
    "public_url": [
        "", "t.example.com", "ftp://t.example.com", "http://t.example.com", "https://t.example.com/path", "https://",
        "https://t.example.com?x", "https://t.example.com#x", "https://user@t.example.com", "https://t.example.com:99999",
        "https://t.example.com:", "http://127.0.0.1.example", "https://[::1]", "https://t example.com", "https://-x.example",
    ],
    "former_public_urls": ["t.example.com", "https://t.example.com/path"],
    "public_listen": ["", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:8080", "a b:80"],
    "private_listen": ["127.0.0.1:x"],
    "dashboard_listen": ["127.0.0.1:-1"],
    "oidc_issuer": ["http://login.example.com", "login.example.com", "https://a.example/?x=1", "https://a.example/#x"],
    "oidc_client_id": ["a\nb"],
    "oidc_client_secret": ["a\nb"],
    "webhook_url": ["crm", "ftp://crm.example.com/", "http://crm.example.com/", "https://a:b@crm.example.com/"],
    "webhook_secret": ["secret", "whsec_", "whsec_!"],
    "webhook_source": ["a\nb"],
    "webhook_private": ["", "maybe"],
    "crm_key": ["a\nb"],
    "crm_url": ["https://crm.example.com/", "ftp://crm.example.com/{reference}", "https://{reference}/",
                "https://crm.example.com/{reference}/{reference}", "javascript:alert({reference})"],
    "dashboard_url": ["", "http://dash.example.com", "https://dash.example.com/path"],
    "confirmations_per_day": ["", "-1", "many", "1000001"],
    "trusted_proxies": ["10.0.0.1/8", "proxy.example", "10.0.0.0/33"],
    "database_url": [
        "", "tracker.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a?mode=ro", "mysql://h/d",
        "postgresql://user:geheim@h", "postgresql+psycopg://user:geheim@h/d", "postgresql+asyncpg://user:geheim@h:x/d",
        "postgresql+asyncpg://user:geh/eim@h/d", "postgres:/user:geheim@h/d", "postgresql+asyncpg://user:geheim@h/d#x",
    ],
    "key_file": [""],
    "journal": [""],
    "smtps_listen": ["465", "127.0.0.1:x"],
    "smtp_networks": ["10.0.0.1/8", "everywhere"],
    "smtp_certificate": ["a\0b"],
    "smtp_private_key": ["a\0b"],
    "blocked_hosts": [""],
    "retention_days": ["", "0", "-1", "1.5", "ninety", "3651", "1e2", "\u0663"],
    "proof_days": ["0"],
    "consent_days": ["0"],
    "backup_days": ["0"],
    "minimum_group": ["1", "0"],
    "max_message": ["", "0", "25 apples", "-1", "999 GiB", "1.5 MiB"],
    "bodies_in_flight": ["", "0", "1 kB", "lots", "2 TiB"],
    "plan_cache": ["", "maybe", "2"],
    "machine_seconds": ["", "-1", "3601", "10s"],
    "text_links": ["", "maybe", "2"],
    "rewrite_visible_urls": ["", "maybe"],
    "excluded_links": [
        "https://accounts.example.org", "/login*", "*", "*/*", "a b.example", "accounts.example.org:443",
        "b\u00fccher*", "a.example/\u00fc", "user@accounts.example.org", ".example.org",
    ],
    "foreign_trackers": ["", "keep"],
    "sender_domains": ["@example.org", "exa mple", "*.example.org"],
    "smtp_listen": ["25"],
    "smtp_next_hop": ["http://mx.example", "user:geheim@", "mx.example:99999", "smtp://user:gehe/im@mx.example", "a b"],
    "control_networks": ["nowhere"],
    "campaign_header": ["X Campaign", "X-Campaign:"],
    "reference_header": ["\u00fc"],
    "label_from": ["body"],
    "resign_domains": ["a..b"],
    "mode": ["", "stop"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def toml(folder: Path, text: str = "", name: str = "tracker.toml") -> Path:
    path = folder / name
    path.write_text(f'controller = "Werkstatt Nord GmbH"\ncontact = "privacy@werkstatt-nord.example"\n{text}')
    return path


def from_environment(**settings: str) -> Settings:
    return load(None, REQUIRED | {f"TRACKER_{name.upper()}": value for name, value in settings.items()})


# --- names and defaults ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*IN_THE_CONTRACT, *BEYOND_IT])
def test_every_setting_of_the_contract_is_known_and_checked(name: str) -> None:
    assert name in Settings.model_fields
    assert Settings.model_fields[name].description
    assert name in IMPOSSIBLE


def test_there_is_no_other_setting() -> None:
    assert set(Settings.model_fields) == {*IN_THE_CONTRACT, *BEYOND_IT}


def test_the_defaults_are_those_of_the_contract(folder: Path) -> None:
    """R43: 90 days of events, three years of proof."""
    settings = load(toml(folder), {})
    assert (settings.retention_days, settings.proof_days, settings.consent_days) == (90, 1095, 730)
    assert (settings.backup_days, settings.minimum_group, settings.max_message) == (35, 10, 25 * 1024 * 1024)
    assert (settings.text_links, settings.foreign_trackers, settings.label_from) == (False, "report", "subject")
    assert (settings.mode, settings.language, settings.sender_domains) == ("track", Language.EN, ())
    assert settings.public_listen == Listen("127.0.0.1", 8080)
    assert settings.private_listen == Listen("127.0.0.1", 8081)
    assert settings.dashboard_listen == Listen("127.0.0.1", 8082)
    assert settings.control_networks == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert settings.smtp_listen is None
    assert settings.smtp_next_hop is None
    assert settings.resign_domains == settings.former_public_urls == settings.trusted_proxies == ()


def test_settings_cannot_be_changed(folder: Path) -> None:
    settings = load(toml(folder), {})
    with pytest.raises(ValueError, match="frozen"):
        settings.retention_days = 1  # type: ignore[misc]


# --- sources -----------------------------------------------------------------------------------


def test_paths_start_at_the_folder_of_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "etc").mkdir()
    path = toml(folder / "etc")
    settings = load(Path("etc/tracker.toml"), {})
    assert settings.key_file == path.parent / "tracker.keys"
    assert settings.journal == path.parent / "journal"
    assert settings.database_url == f"sqlite+aiosqlite:///{path.parent}/tracker.db"
    moved = load(path, {"TRACKER_KEY_FILE": "keys/a", "TRACKER_DATABASE_URL": "sqlite:////var/lib/tracker.db"})
    assert moved.key_file == path.parent / "keys" / "a"
    assert moved.database_url == "sqlite+aiosqlite:////var/lib/tracker.db"


def test_the_option_wins_over_the_variable_and_that_over_the_folder(folder: Path) -> None:
    for name, days in (("tracker.toml", 1), ("variable.toml", 2), ("option.toml", 3)):
        toml(folder, f"retention_days = {days}", name)
    environ = {"TRACKER_CONFIG": str(folder / "variable.toml")}
    assert load(None, {}).retention_days == 1
    assert load(None, environ).retention_days == 2
    assert load(folder / "option.toml", environ).retention_days == 3


def test_the_environment_wins_over_the_file(folder: Path) -> None:
    path = toml(folder, "retention_days = 30\nproof_days = 40")
    settings = load(path, {"TRACKER_RETENTION_DAYS": "31", "HOME": "/nowhere", "trackers": "none"})
    assert (settings.retention_days, settings.proof_days) == (31, 40)


def test_without_a_file_the_environment_is_enough(folder: Path) -> None:
    settings = load(None, REQUIRED)
    assert settings.controller == "Werkstatt Nord GmbH"
    assert settings.key_file == folder / "tracker.keys"


def test_the_real_environment_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_RETENTION_DAYS", "7")
    monkeypatch.setenv("retention_days", "7")
    assert load(toml(folder), {}).retention_days == 90


def test_a_secret_may_come_from_a_file(folder: Path) -> None:
    (folder / "secret").write_text("smtps://user:geheim@mx.example:465\n")
    settings = load(toml(folder), {"TRACKER_SMTP_NEXT_HOP_FILE": str(folder / "secret")})
    assert settings.smtp_next_hop == "smtps://user:geheim@mx.example:465"


def test_a_secret_named_twice_or_in_no_file_is_refused(folder: Path) -> None:
    path = toml(folder)
    both = {"TRACKER_SMTP_NEXT_HOP_FILE": "x", "TRACKER_SMTP_NEXT_HOP": "mx.example"}
    with pytest.raises(BadSetting, match="TRACKER_SMTP_NEXT_HOP and TRACKER_SMTP_NEXT_HOP_FILE"):
        load(path, both)
    (folder / "binary").write_bytes(b"\xff\xfe")
    for secret in (folder / "missing", folder, folder / "binary"):
        with pytest.raises(BadSetting, match=r"^TRACKER_SMTP_NEXT_HOP_FILE: the file"):
            load(path, {"TRACKER_SMTP_NEXT_HOP_FILE": str(secret)})


def test_the_variable_for_the_key_file_is_no_secret_in_a_file() -> None:
    assert from_environment(key_file="/etc/keys").key_file == Path("/etc/keys")


# --- what is accepted --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("public_url", "https://T.Example.com/", "https://t.example.com"),
        ("public_url", "https://b\u00fccher.example", "https://xn--bcher-kva.example"),
        ("public_url", "http://localhost:8080", "http://localhost:8080"),
        ("public_url", "http://127.0.0.77:1", "http://127.0.0.77:1"),
        ("former_public_urls", "http://a.example, https://b.example/", ("http://a.example", "https://b.example")),
        ("public_listen", "0.0.0.0:0", Listen("0.0.0.0", 0)),
        ("public_listen", "[::1]:8080", Listen("::1", 8080)),
        ("trusted_proxies", "10.0.0.0/8,192.0.2.1", (ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32"))),
        ("trusted_proxies", "", ()),
        ("max_message", "1000", 1000),
        ("max_message", "2 KiB", 2048),
        ("max_message", "1MB", 1_000_000),
        ("text_links", "true", True),
        ("text_links", "0", False),
        ("sender_domains", "Example.org, b\u00fccher.example", ("example.org", "xn--bcher-kva.example")),
        ("rewrite_visible_urls", "yes", True),
        ("excluded_links", "", ()),
        ("excluded_links", "Login.example, b\u00fccher.example", ("login.example", "xn--bcher-kva.example")),
        ("excluded_links", "*.example.org", ("*.example.org",)),
        ("excluded_links", "A.example/Login*, */unsubscribe/*", ("a.example/Login*", "*/unsubscribe/*")),
        ("smtp_listen", "", None),
        ("smtp_next_hop", "mx.example:25", "mx.example:25"),
        ("smtp_next_hop", "smtp://[2001:db8::1]:25", "smtp://[2001:db8::1]:25"),
        ("campaign_header", "X-Campaign", "X-Campaign"),
        ("language", "de", Language.DE),
        ("mode", "observe", "observe"),
        ("controller", " M\u00fcller & S\u00f6hne ", "M\u00fcller & S\u00f6hne"),
    ],
)
def test_a_value_may_be_written_as(name: str, written: str, value: object) -> None:
    assert getattr(from_environment(**{name: written}), name) == value


def test_a_file_may_hold_lists_numbers_and_sizes(folder: Path) -> None:
    path = toml(folder, 'sender_domains = ["a.example", "b.example"]\nmax_message = 5000\ntext_links = true')
    settings = load(path, {})
    assert settings.sender_domains == ("a.example", "b.example")
    assert (settings.max_message, settings.text_links) == (5000, True)


def test_a_listener_reads_as_it_is_written() -> None:
    assert str(Listen("::1", 80)) == "[::1]:80"
    assert str(Listen("localhost", 80)) == "localhost:80"


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in IMPOSSIBLE.items() for value in values])
def test_an_impossible_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting) as caught:
        from_environment(**{name: value})
    assert caught.value.detail.startswith(f"{name}: ")
    assert f"(set by TRACKER_{name.upper()})" in caught.value.detail
    assert "geheim" not in caught.value.detail
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("name", sorted(IMPOSSIBLE))
def test_no_impossible_value_is_quoted(name: str) -> None:
    with pytest.raises(BadSetting) as caught:
        from_environment(**{name: "geheim@geheim/geheim\x00 geheim:?"})
    assert caught.value.detail.startswith(f"{name}: ")
    assert "geheim" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    "line",
    [
        "retention_days = true", "text_links = 2", "public_listen = 8080", "sender_domains = 5", "mode = []",
        "sender_domains = [5]", "max_message = true", "controller = 5", "retention_days = 1.0", "journal = 1",
        "trusted_proxies = {}", "purposes = {}", 'purposes = { es = "x" }', "purposes = { de = 1 }", "hosting = 1",
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(folder: Path, line: str) -> None:
    path = toml(folder)
    path.write_text("\n".join([*(each for each in path.read_text().splitlines() if each[:10] != line[:10]), line]))
    with pytest.raises(BadSetting, match=f"^{line.split(' ')[0]}: must"):
        load(path, {})


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(BadSetting, match=r"contact: required; there is no tracker.toml here"):
        load(None, {"TRACKER_CONTROLLER": "x"})


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(BadSetting, match=r"retention_days: .*; proof_days: "):
        from_environment(retention_days="0", proof_days="0")


def test_an_unknown_setting_is_named_with_what_may_be_meant(folder: Path) -> None:
    with pytest.raises(BadSetting, match=r"^retention_dais: unknown setting; is retention_days meant"):
        load(toml(folder, "retention_dais = 1"), {})
    with pytest.raises(BadSetting, match=r"^TRACKER_RETENTION_DAIS: unknown setting; is TRACKER_RETENTION_DAYS meant"):
        from_environment(retention_dais="1")
    for variable in ("TRACKER_", "TRACKER_CONFIG_FILE", "TRACKER_Mode", "TRACKER_FILE", "TRACKER_NOTHING_FILE"):
        with pytest.raises(BadSetting, match=f"^{variable}: unknown setting"):
            load(None, REQUIRED | {variable: "x"})
    with pytest.raises(BadSetting, match=r"^Mode: unknown setting"):
        load(toml(folder, 'Mode = "track"'), {})


def test_a_settings_file_that_cannot_be_read_is_named(folder: Path) -> None:
    with pytest.raises(BadSetting, match=r"^--config: "):
        load(folder / "missing.toml", {})
    with pytest.raises(BadSetting, match=r"^TRACKER_CONFIG: "):
        load(None, {"TRACKER_CONFIG": str(folder)})
    (folder / "latin.toml").write_bytes(b'controller = "M\xfcller"')
    with pytest.raises(BadSetting, match="UTF-8"):
        load(folder / "latin.toml", {})


@pytest.mark.parametrize(
    "text", ["geheim", "a = geheim", 'a = "geheim', "[geheim", "a = 1\na = 2 # geheim", "\x00geheim"]
)
def test_broken_toml_is_refused_by_naming_the_place(folder: Path, text: str) -> None:
    with pytest.raises(BadSetting, match=r"tracker.toml: not TOML") as caught:
        load(toml(folder, text), {})
    assert "geheim" not in str(caught.value)


def test_smtp_needs_its_companions() -> None:
    with pytest.raises(BadSetting, match=r"^sender_domains: required with smtp_listen"):
        from_environment(smtp_listen="127.0.0.1:2525", smtp_next_hop="mx.example")
    with pytest.raises(BadSetting, match=r"^smtp_next_hop: required with smtp_listen"):
        from_environment(smtp_listen="127.0.0.1:2525", sender_domains="example.org")
    for circle in ("127.0.0.1:2525", "smtp://app:geheim@127.0.0.1:2525/"):
        with pytest.raises(BadSetting, match="in circles") as refused:
            from_environment(smtp_listen="127.0.0.1:2525", sender_domains="example.org", smtp_next_hop=circle)
        assert "geheim" not in str(refused.value)
    whole = from_environment(smtp_listen="127.0.0.1:2525", sender_domains="example.org", smtp_next_hop="mx.example")
    assert whole.smtp_listen == Listen("127.0.0.1", 2525)


def test_two_listeners_cannot_share_a_place() -> None:
    with pytest.raises(BadSetting, match="public_listen"):
        from_environment(public_listen="127.0.0.1:8081")
    assert from_environment(public_listen="127.0.0.1:0", private_listen="127.0.0.1:0")


def test_a_folder_that_a_database_url_cannot_name_is_refused(folder: Path) -> None:
    (folder / "what?").mkdir()
    with pytest.raises(BadSetting, match=r"^database_url: "):
        load(toml(folder / "what?"), {})


def test_a_statement_may_be_given_by_language(folder: Path) -> None:
    purposes = load(toml(folder, 'purposes = { de = "Damit wir es wissen.", fr = "Pour savoir." }'), {}).purposes
    assert purposes is not None
    assert purposes.read_in(Language.FR, Language.DE) == ("Pour savoir.", Language.FR)
    assert purposes.read_in(Language.IT, Language.DE) == ("Damit wir es wissen.", Language.DE)
    assert purposes.read_in(Language.IT, Language.EN) == ("Damit wir es wissen.", Language.DE)
    plain = from_environment(transfers="None").transfers
    assert plain is not None
    assert plain.says_none
    assert not purposes.says_none
    assert plain.read_in(Language.FR, Language.EN) == ("None", Language.EN)


# --- shown and written -------------------------------------------------------------------------


def test_effective_settings_hide_secrets(folder: Path) -> None:
    hop = "smtps://user:geheim@mx.example:465"
    settings = load(toml(folder), {"TRACKER_SMTP_NEXT_HOP": hop, "TRACKER_SENDER_DOMAINS": "a.example,b.example"})
    shown = effective(settings)
    assert list(shown) == list(Settings.model_fields)
    assert shown["smtp_next_hop"] == "smtps://***@mx.example:465"
    assert shown["max_message"] == "25 MiB"
    assert shown["sender_domains"] == "a.example, b.example"
    assert shown["public_listen"] == "127.0.0.1:8080"
    assert shown["text_links"] == "false"
    assert shown["smtp_listen"] == ""
    assert "geheim" not in repr(shown) + repr(settings) + str(settings)


def test_a_new_file_explains_its_settings_and_loads(folder: Path) -> None:
    path = folder / "new.toml"
    controller = 'M\u00fcller "& S\u00f6hne" \\ GmbH'
    write_default(path, controller=controller, contact="a@b.example", public_url="https://t.example", language="de")
    settings = load(path, {})
    assert (settings.controller, settings.contact, settings.language) == (controller, "a@b.example", Language.DE)
    assert settings.public_url == "https://t.example"
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text(encoding="utf-8")
    for name in Settings.model_fields:
        assert f"{name} = " in text


def test_the_defaults_that_a_new_file_shows_are_the_defaults(folder: Path) -> None:
    path = folder / "new.toml"
    given: dict[str, Any] = {"controller": "A", "contact": "a@b.example", "public_url": "http://127.0.0.1:8080"}
    write_default(path, **given)
    commented = [
        line[1:] for line in path.read_text().splitlines() if line.startswith("#") and not line.startswith("# ")
    ]
    shown = tomllib.loads("\n".join(commented))
    assert shown
    plain = load(path, {})
    path.write_text(path.read_text() + "\n".join(commented))
    assert load(path, {}) == plain


def test_a_new_file_never_replaces_one_and_holds_nothing_impossible(folder: Path) -> None:
    path = toml(folder)
    before = path.read_bytes()
    given: dict[str, Any] = {"controller": "A", "contact": "a@b.example", "public_url": "http://127.0.0.1:8080"}
    with pytest.raises(SetupError, match="already"):
        write_default(path, **given)
    assert path.read_bytes() == before
    with pytest.raises(BadSetting, match=r"^public_url: "):
        write_default(folder / "new.toml", **(given | {"public_url": "http://t.example"}))
    with pytest.raises(BadSetting, match=r"^contact: "):
        write_default(folder / "new.toml", **(given | {"contact": "nobody"}))
    assert not (folder / "new.toml").exists()
    with pytest.raises(SetupError, match="No such file"):
        write_default(folder / "missing" / "new.toml", **given)


def test_the_largest_message_always_fits_into_the_memory_for_messages() -> None:
    """By default it is as much as that takes; who sets too little is told so, at the start."""
    assert from_environment().bodies_in_flight == 256 * 2**20
    assert from_environment(max_message="40 MiB").bodies_in_flight == 400 * 2**20
    assert from_environment(max_message="1 MiB", bodies_in_flight="10 MiB").bodies_in_flight == 10 * 2**20
    with pytest.raises(BadSetting, match=r"bodies_in_flight: must be 250 MiB at least, 10 times max_message, .*lower"):
        from_environment(bodies_in_flight="249 MiB")
