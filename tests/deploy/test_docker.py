"""Dockerfile and compose file, examined as far as that goes where no Docker runs: linters, schema, what they say."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.files import DEPLOY, ROOT, checked, program
from tracker.config import load
from tracker.settings import Settings

DOCKER = DEPLOY / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
GIVEN = {"PUBLIC_HOST": "t.werkstatt-nord.example", "SENDER_DOMAINS": "werkstatt-nord.example", "NEXT_HOP": "mx:25"}
"""What stands in .env."""
LINTED_YAML = "{extends: default, rules: {line-length: {max: 130}, braces: {max-spaces-inside: 0}}}"
DCLINT = {
    "rules": {
        # Matters of taste: what belongs together stands together here.
        **dict.fromkeys(
            ("service-keys-order", "services-alphabetical-order", "top-level-properties-order",
             "service-ports-alphabetical-order", "require-quotes-in-ports"), 0,
        ),
        "no-unbound-port-interfaces": 0,  # the ports that are open to the world are named below
    }
}  # fmt: skip


def instructions(name: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with their arguments, continued lines joined."""
    text = (DOCKER / name).read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def test_linters_find_nothing(tmp_path: Path) -> None:
    here = Path(sys.executable).parent
    checked(here / "hadolint", DOCKER / "Dockerfile")
    checked(here / "yamllint", "--strict", "-d", LINTED_YAML, DEPLOY)
    rules = tmp_path / "dclint.json"
    rules.write_text(json.dumps(DCLINT))
    checked(dclint(), "--config", rules, "--max-warnings", "0", DOCKER / "compose.yaml")
    checked("sh", "-n", DOCKER / "first.sh")


def test_the_schema_of_compose_files_is_looked_at(tmp_path: Path) -> None:
    broken = tmp_path / "compose.yaml"
    broken.write_text((DOCKER / "compose.yaml").read_text().replace("mem_limit: 1g", "mem_limits: 1g"))
    done = subprocess.run([dclint(), broken], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "invalid-schema" in done.stdout


def dclint() -> str:
    found = ROOT / ".venv" / "dclint" / "node_modules" / ".bin" / "dclint"
    return str(found) if found.exists() else program("dclint")


# --- the image ---------------------------------------------------------------------------------


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps PATH from the builder; its last line that fits decides."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            expression = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
            if re.fullmatch(expression, path) or (pattern == "*" and path):
                verdict = not line.startswith("!")
    return verdict


def test_what_the_builder_is_given_makes_the_program(tmp_path: Path) -> None:
    """The COPY lines, followed by hand; the wheel is made of what they bring, as `pip install .` does it."""
    stage = instructions("Dockerfile")[:8]
    copied = [rest.split() for word, rest in stage if word == "COPY"]
    assert len(copied) == 4
    for *sources, target in copied:
        for source in sources:
            there = ROOT / source
            files = [path for path in there.rglob("*") if path.is_file()] if there.is_dir() else [there]
            brought = [path for path in files if not ignored(str(path.relative_to(ROOT)))]
            assert brought, f"COPY {source} brings nothing: .dockerignore keeps it out"
            for path in brought:
                to = tmp_path / target / (path.relative_to(there) if there.is_dir() else path.name)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, to)
    assert (tmp_path / "deploy" / "constraints.txt").exists()
    checked(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", tmp_path, timeout=120
    )
    assert len(list((tmp_path / "dist").glob("consent_tracker-*.whl"))) == 1


@pytest.mark.parametrize(
    "path",
    [
        "tracker.keys", "tracker.toml", "shop/tracker.keys", "tracker.db", ".git/config", "journal/1.jsonl",
        "deploy/docker/secrets/database_url", "deploy/docker/.env", "tests/conftest.py",
        "tracker/__pycache__/model.cpython-311.pyc",
    ],
)  # fmt: skip
def test_no_secret_reaches_a_layer(path: str) -> None:
    assert ignored(path)


def test_the_image_runs_as_nobody_in_particular_and_tells_its_health() -> None:
    written = instructions("Dockerfile")
    said = dict(written)
    assert said["USER"] == "10001:10001"
    assert [word for word, _ in written][-3:] == ["HEALTHCHECK", "ENTRYPOINT", "CMD"]
    assert [word for word, _ in written].count("FROM") == 2, "what builds stays out of what runs"
    assert "SMTP" not in said["EXPOSE"]
    assert set(said["EXPOSE"].split()) == {"8080", "8081", "8082"}
    probe = json.loads(said["HEALTHCHECK"].partition("CMD ")[2].strip())
    dead = subprocess.run([sys.executable, *probe[1:]], capture_output=True, check=False)
    assert dead.returncode != 0, "nobody listens here"
    assert b"urlopen error" in dead.stderr


# --- what runs together ------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_swapped_dumped_or_written_where_it_should_not(name: str) -> None:
    service = SERVICES[name]
    assert service["ulimits"]["core"] == 0
    assert service["memswap_limit"] == service["mem_limit"]
    assert service["mem_swappiness"] == 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


def test_no_port_for_mail_is_published_and_only_recipients_come_from_outside() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "tracker": ["127.0.0.1:8082:8082"],
        "nginx": ["443:443", "80:80"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert all(COMPOSE["networks"][name]["internal"] for name in ("store", "watch", "mail"))
    assert {name for name, service in SERVICES.items() if "store" in service["networks"]} == {"tracker", "postgres"}


def test_every_password_is_a_file() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    assert not re.search(
        r"(?i)(password|secret|token)\w*: *[\"']?(?!/run/secrets/)[\w$]{4,}", text.split("\nsecrets:")[0]
    )
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A copy of the folder after its first.sh was run."""
    folder = tmp_path / "docker"
    shutil.copytree(DOCKER, folder, ignore=shutil.ignore_patterns("secrets", ".env"))
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in GIVEN.items()))
    checked("sh", folder / "first.sh")
    return folder


def test_first_makes_every_secret_once_and_closes_the_folder(prepared: Path) -> None:
    secrets = prepared / "secrets"
    assert {path.name for path in secrets.iterdir()} == set(COMPOSE["secrets"])
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    assert len(before["postgres_password"]) == 48
    assert before["postgres_password"] in before["database_url"]
    assert checked("sh", prepared / "first.sh") == ""
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before


def substituted(text: str) -> str:
    return re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: GIVEN[found[1]], text)


def test_the_tracker_understands_its_environment(prepared: Path, tmp_path: Path) -> None:
    environment = {
        name: substituted(value).replace("/run/secrets", str(prepared / "secrets"))
        for name, value in SERVICES["tracker"]["environment"].items()
    }
    settings_file = tmp_path / "tracker.toml"
    settings_file.write_text('controller = "Werkstatt Nord"\ncontact = "privacy@werkstatt-nord.example"\n')
    settings: Settings = load(settings_file, environment)
    assert settings.database_url.startswith("postgresql+asyncpg://tracker:")
    assert settings.public_url == "https://t.werkstatt-nord.example"
    nginx = SERVICES["nginx"]["networks"]["front"]["ipv4_address"]
    assert [str(network) for network in settings.trusted_proxies] == [f"{nginx}/32"]
    assert all(network.is_loopback for network in settings.smtp_networks), "who is elsewhere logs in"
    assert settings.smtp_certificate is not None
    wanted = {".env.example": (DOCKER / ".env.example").read_text()}
    assert set(re.findall(r"\$\{(\w+):", (DOCKER / "compose.yaml").read_text())) == set(
        re.findall(r"(?m)^(\w+)=", wanted[".env.example"])
    )


def test_nginx_gets_the_site_with_the_names_of_this_installation(prepared: Path, tmp_path: Path) -> None:
    """Its command, run here up to where nginx starts; then nginx reads what came of it."""
    (script,) = SERVICES["nginx"]["command"]
    site = tmp_path / "tracker.conf"
    script = script.replace("$$", "$").partition("&& exec nginx")[0]
    for inside, here in {
        "/etc/tracker.conf": str(DEPLOY / "nginx" / "tracker.conf"),
        "/etc/nginx/conf.d/tracker.conf": str(site),
        "/run/secrets": str(prepared / "secrets"),
    }.items():
        assert inside in script
        script = script.replace(inside, here)
    checked("sh", "-ec", script, env={**os.environ, "PUBLIC_HOST": GIVEN["PUBLIC_HOST"]})
    written = site.read_text()
    assert "example.com" not in written
    assert "/etc/ssl/tracker" not in written
    assert "access_log /dev/stdout tracker" in written
    assert "server tracker:8080;" in written
    whole = tmp_path / "nginx.conf"
    resolvable = written.replace("server tracker:8080;", "server 127.0.0.1:8080;")
    whole.write_text(f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n{resolvable}\n}}\n")
    checked(program("nginx"), "-t", "-e", "stderr", "-p", tmp_path, "-c", whole)


def test_what_is_mounted_is_there_and_known_to_whoever_reads_it() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), f"{name} mounts {source}"
            else:
                assert source in COMPOSE["volumes"]
    provisioning = DEPLOY / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    asked = {panel["datasource"]["uid"] for panel in dashboard["panels"] if panel["type"] != "row"}
    assert asked == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    folder = yaml.safe_load((provisioning / "dashboards" / "tracker.yml").read_text())["providers"][0]["options"][
        "path"
    ]
    assert f"../grafana/dashboard.json:{folder}/tracker.json:ro" in SERVICES["grafana"]["volumes"]
