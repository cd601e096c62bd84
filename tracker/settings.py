"""Names every setting, with its default, its check and the words that explain it in tracker.toml."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, PlainValidator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tracker import config_values as values
from tracker.config_values import Listen
from tracker.core.disclosure import Wording
from tracker.model import Language

Days = Annotated[int, PlainValidator(values.whole(1, 3_650))]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], PlainValidator(values.several(values.network))]
Domains = Annotated[tuple[str, ...], PlainValidator(values.several(values.domain))]
LinkPatterns = Annotated[tuple[str, ...], PlainValidator(values.several(values.link_pattern))]
OptionalListen = Annotated[Listen | None, PlainValidator(values.optional(values.listen))]
OptionalHeader = Annotated[str | None, PlainValidator(values.optional(values.header))]
OptionalText = Annotated[str | None, PlainValidator(values.optional(values.text))]
OptionalWording = Annotated[Wording | None, PlainValidator(values.optional(values.wording))]
ListenAt = Annotated[Listen, PlainValidator(values.listen)]
FilePath = Annotated[Path, PlainValidator(values.path)]
OptionalFile = Annotated[Path | None, PlainValidator(values.optional(values.path))]

MAY_HOLD_SECRETS: Final = ("database_url", "smtp_next_hop")
SECRETS: Final = ("oidc_client_secret", "webhook_secret")
PATHS: Final = ("key_file", "journal", "blocked_hosts", "smtp_certificate", "smtp_private_key")


class Settings(BaseSettings):
    """The settings of one installation; made by `tracker.config.load`, which knows where they stand."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", case_sensitive=True, validate_default=False, hide_input_in_errors=True
    )

    controller: Annotated[str, PlainValidator(values.text)] = Field(
        description="Who asks for the consent, as recipients know them. Stands in the notice."
    )
    contact: Annotated[str, PlainValidator(values.mailbox)] = Field(
        description="Where recipients reach the controller about their data: an e-mail address."
    )
    controller_address: OptionalText = Field(
        default=None,
        description="The controller's postal address. This and the six settings that follow stand in the privacy "
        "notice (/notice) and the record of processing; while one is missing neither is shown.",
    )
    data_protection_officer: OptionalText = Field(
        default=None, description="Name and contact of the data protection officer; none: there is none."
    )
    supervisory_authority: OptionalText = Field(
        default=None, description="The data protection authority to which people can complain, with its address."
    )
    purposes: OptionalWording = Field(
        default=None,
        description="What opens and clicks are measured for, in one sentence; "
        'also by language: { de = "Damit wir ...", en = "So that we ..." }.',
    )
    data_recipients: OptionalWording = Field(
        default=None,
        description="Who gets to see what was measured: departments, processors; may be given by language.",
    )
    hosting: OptionalWording = Field(
        default=None, description="Where the data lies: whose servers, in which country; may be given by language."
    )
    transfers: OptionalWording = Field(
        default=None,
        description="Third countries that data goes to, and the safeguards; none: to none. May be given by language.",
    )
    language: Annotated[Language, PlainValidator(lambda value: Language(_language(value)))] = Field(
        default=Language.EN,
        description="In which language recipients are spoken to where nothing says otherwise: de, en, fr or it.",
    )
    public_url: Annotated[str, PlainValidator(values.public_url)] = Field(
        default="http://127.0.0.1:8080",
        description="What tracked links and pixels begin with, as recipients reach it. https, unless it is loopback.",
    )
    former_public_urls: Annotated[tuple[str, ...], PlainValidator(values.several(values.base_url))] = Field(
        default=(), description="Earlier values of public_url: still recognised as links into the tracker."
    )
    public_listen: ListenAt = Field(
        default=Listen("127.0.0.1", 8080), description="Where the server listens for recipients."
    )
    private_listen: ListenAt = Field(
        default=Listen("127.0.0.1", 8081),
        description="Where it listens for mail systems and operators. Keep it away from the Internet.",
    )
    dashboard_listen: ListenAt = Field(
        default=Listen("127.0.0.1", 8082), description="Where it listens for the dashboard."
    )
    dashboard_url: Annotated[str, PlainValidator(values.public_url)] = Field(
        default="http://127.0.0.1:8082",
        description="The dashboard's address in browsers. https, as a reverse proxy before it gives, unless it is "
        "loopback.",
    )
    crm_url: Annotated[str | None, PlainValidator(values.optional(values.reference_url))] = Field(
        default=None,
        description="Where the dashboard links a person's reference to, such as "
        "https://crm.example.com/contact/{reference}.",
    )
    crm_key: OptionalText = Field(
        default=None,
        description="The API key whose references the dashboard shows; none: those of every mail system.",
    )
    oidc_issuer: Annotated[str | None, PlainValidator(values.optional(values.issuer))] = Field(
        default=None,
        description="The OpenID Connect provider with which staff may sign in besides their password: its issuer, "
        "such as https://login.example.com. It tells the e-mail address; accounts and roles stay those of `tracker "
        "user`. Register dashboard_url with /sign-in/provider/back behind it there.",
    )
    oidc_client_id: OptionalText = Field(default=None, description="What the provider calls the dashboard.")
    oidc_client_secret: OptionalText = Field(
        default=None,
        repr=False,
        description="What it proves itself to the provider with; better in a file (TRACKER_OIDC_CLIENT_SECRET_FILE).",
    )
    webhook_url: Annotated[str | None, PlainValidator(values.optional(values.webhook_url))] = Field(
        default=None,
        repr=False,
        description="Which system is told of opens and clicks of people whose notice has the feature `webhook`: its "
        "URL, https. It is told of withdrawals too. Needs webhook_secret and webhook_source.",
    )
    webhook_secret: Annotated[str | None, PlainValidator(values.optional(values.webhook_secret))] = Field(
        default=None,
        repr=False,
        description="What webhooks are signed with, whsec_ and base64; better in a file (TRACKER_WEBHOOK_SECRET_FILE).",
    )
    webhook_source: OptionalText = Field(
        default=None, description="The API key whose references name people in webhooks: that of the same system."
    )
    webhook_private: Annotated[bool, PlainValidator(values.flag)] = Field(
        default=False,
        description="Whether webhook_url may lead to an address of a private network or of this machine.",
    )
    trusted_proxies: Networks = Field(
        default=(), description="Reverse proxies whose X-Forwarded-For is believed: addresses or networks."
    )
    database_url: Annotated[str, PlainValidator(values.database_url)] = Field(
        default="sqlite:///tracker.db",
        validate_default=True,
        repr=False,
        description="The database. Relative paths, here and below, start at the folder of this file.",
    )
    key_file: FilePath = Field(
        default=Path("tracker.keys"), description="The keys, mode 0600. Keep a copy apart from every backup."
    )
    journal: FilePath = Field(
        default=Path("journal"), description="The folder of withdrawals that no restored database may lack."
    )
    blocked_hosts: FilePath = Field(
        default=Path("blocked-hosts"),
        description="The file of hosts whose links ask before they lead on: `tracker link block`.",
    )
    retention_days: Days = Field(default=90, description="Days after sending for which opens and clicks are kept.")
    proof_days: Days = Field(default=1_095, description="Days for which a consent can be proved after it ended.")
    consent_days: Days = Field(default=730, description="Days after which a consent ends unless it is given again.")
    backup_days: Days = Field(default=35, description="The longest life of a backup of the database, in days.")
    minimum_group: Annotated[int, PlainValidator(values.whole(2, 1_000_000))] = Field(
        default=10, description="How many people a message needs for its totals to outlive its events."
    )
    machine_seconds: Annotated[int, PlainValidator(values.whole(0, 3_600))] = Field(
        default=10,
        description="Seconds after a copy was tracked within which a hit is a program's: mail filters look at a "
        "message before the person can. More where mail waits in a queue before it leaves; 0: never.",
    )
    max_message: Annotated[int, PlainValidator(values.size(1, 2**28))] = Field(
        default=25 * 2**20, description="The size up to which a message is tracked, such as 25 MiB."
    )
    bodies_in_flight: Annotated[int, PlainValidator(values.size(2**20, 2**40))] = Field(
        default=256 * 2**20,
        description="The memory that messages may take at a time in one process; beyond it mail goes out untracked.",
    )
    plan_cache: Annotated[bool, PlainValidator(values.flag)] = Field(
        default=True,
        description="Whether a message that comes again within minutes, but for its recipient, is read once.",
    )
    text_links: Annotated[bool, PlainValidator(values.flag)] = Field(
        default=False,
        description="Whether links in plain text are tracked too, and messages that are plain text alone.",
    )
    rewrite_visible_urls: Annotated[bool, PlainValidator(values.flag)] = Field(
        default=False,
        description="Whether links are tracked whose visible text is a URL or a host: mail programs may warn of them.",
    )
    excluded_links: LinkPatterns = Field(
        default=(),
        description="Links that are never tracked: hosts with their subdomains, or patterns such as "
        "accounts.example.org/login*.",
    )
    foreign_trackers: Annotated[Literal["report", "remove"], PlainValidator(values.one_of(("report", "remove")))] = (
        Field(
            default="report",
            description="What to do about other people's trackers in our mail: report them, or remove their pixels "
            "for people who have not agreed to opens.",
        )
    )
    sender_domains: Domains = Field(
        default=(), description="Only mail from these domains is tracked; empty: all. Required with smtp_listen."
    )
    smtp_listen: OptionalListen = Field(default=None, description="Where the SMTP proxy listens; empty: nowhere.")
    smtps_listen: OptionalListen = Field(
        default=None,
        description="Where it listens for TLS from the first octet; it needs smtp_certificate.",
    )
    smtp_networks: Networks = Field(
        default=(ip_network("127.0.0.0/8"), ip_network("::1/128")),
        description="Who may hand in mail without a login: addresses or networks. Others log in with an API key.",
    )
    smtp_certificate: OptionalFile = Field(
        default=None, description="The certificate chain for TLS on the SMTP proxy, a PEM file; none: no TLS there."
    )
    smtp_private_key: OptionalFile = Field(default=None, description="Its private key, a PEM file with mode 0600.")
    smtp_next_hop: Annotated[str | None, PlainValidator(values.optional(values.next_hop))] = Field(
        default=None,
        repr=False,
        description="The mail server that mail goes to: host:port or smtps://user:password@host:port.",
    )
    confirmations_per_day: Annotated[int, PlainValidator(values.whole(0, 1_000_000))] = Field(
        default=50,
        description="How many confirmations, which reports of an API key ask for, are mailed in a day for that key.",
    )
    control_networks: Networks = Field(
        default=(ip_network("127.0.0.0/8"), ip_network("::1/128")),
        description="From where the SMTP proxy believes our control headers: addresses or networks.",
    )
    campaign_header: OptionalHeader = Field(
        default=None, description="A header of your mail system that names the campaign."
    )
    reference_header: OptionalHeader = Field(
        default=None, description="A header of your mail system that holds its own id for the person."
    )
    label_from: Annotated[Literal["subject", "header"], PlainValidator(values.one_of(("subject", "header")))] = Field(
        default="subject",
        description="What reps see as a message's name over SMTP: its subject, or the header X-Tracker-Label.",
    )
    resign_domains: Domains = Field(
        default=(), description="Domains whose DKIM signature comes out because the next hop signs again."
    )
    mode: Annotated[Literal["track", "observe"], PlainValidator(values.one_of(("track", "observe")))] = Field(
        default="track", description="track, or observe: change nothing and say what would be done."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` hands in: it reads file and environment itself, to say which of them a fault is in."""
        return (init_settings,)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.smtp_listen is not None:
            for name in ("sender_domains", "smtp_next_hop"):
                if not getattr(self, name):
                    raise ValueError(f"{name}: required with smtp_listen")
            if any(_leads_to(self.smtp_next_hop or "", one) for one in (self.smtp_listen, self.smtps_listen)):
                raise ValueError("smtp_next_hop: this is where the SMTP proxy itself listens: mail would go in circles")
        if (self.oidc_issuer is None) != (self.oidc_client_id is None):
            raise ValueError("oidc_issuer, oidc_client_id: one is nothing without the other")
        webhook = (self.webhook_url, self.webhook_secret, self.webhook_source)
        if None in webhook and any(webhook):
            raise ValueError("webhook_url, webhook_secret, webhook_source: one is nothing without the others")
        if self.webhook_url is not None and self.webhook_url.startswith("http:") and not self.webhook_private:
            raise ValueError("webhook_url: without https only with webhook_private, on a loopback host")
        if (self.smtp_certificate is None) != (self.smtp_private_key is None):
            raise ValueError("smtp_certificate, smtp_private_key: one is of no use without the other")
        if self.smtps_listen is not None and (self.smtp_certificate is None or self.smtp_listen is None):
            raise ValueError("smtps_listen: needs smtp_listen and smtp_certificate")
        taken = [
            self.public_listen, self.private_listen, self.dashboard_listen, self.smtp_listen, self.smtps_listen,
        ]  # fmt: skip
        fixed = [listen for listen in taken if listen is not None and listen.port]
        if len(set(fixed)) != len(fixed):
            raise ValueError(
                "public_listen, private_listen, dashboard_listen, smtp_listen or smtps_listen: two are the same"
            )
        return self


def _leads_to(next_hop: str, listen: Listen | None) -> bool:
    return listen is not None and re.search(rf"(?:\A|[/@]){re.escape(str(listen))}/?\Z", next_hop) is not None


def _language(value: object) -> str:
    return values.one_of(tuple(Language))(value)
