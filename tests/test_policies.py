"""What the settings say reaches the parts that act on it."""

from __future__ import annotations

from tracker.config import Settings
from tracker.parts import posting, utc_now
from tracker.policies import disclosure, mail_policy, send_policy, site, survey_policy


def test_settings_about_links_and_senders_reach_the_survey() -> None:
    settings = Settings(
        controller="Werkstatt Nord GmbH",
        contact="privacy@werkstatt-nord.example",
        public_url="https://t.example.com",
        former_public_urls=("https://old.example.com",),
        text_links=True,
        sender_domains=("shop.example",),
        rewrite_visible_urls=True,
        excluded_links=("accounts.example.org", "shop.example/login*"),
    )
    policy = survey_policy(settings)
    assert policy.public_urls == ("https://t.example.com", "https://old.example.com")
    assert policy.text_links
    assert policy.sender_domains == {"shop.example"}
    assert policy.rewrite_visible_urls
    assert policy.excluded_hosts == ("accounts.example.org", "shop.example/login*")


def test_by_default_links_that_show_a_url_are_left_and_no_host_is_excluded() -> None:
    policy = survey_policy(Settings(controller="A", contact="a@b.example"))
    assert (policy.rewrite_visible_urls, policy.excluded_hosts, policy.text_links) == (False, (), False)


def test_the_setting_about_other_peoples_trackers_reaches_survey_and_flow() -> None:
    for said, removes in (("report", False), ("remove", True)):
        settings = Settings(controller="A", contact="a@b.example", foreign_trackers=said)
        assert survey_policy(settings).remove_pixels is removes
        assert send_policy(settings).remove_pixels is removes
    assert not survey_policy(Settings(controller="A", contact="a@b.example")).remove_pixels


def test_the_cap_on_confirmations_reaches_the_mailer() -> None:
    assert mail_policy(Settings(controller="A", contact="a@b.example")).confirmations_per_day == 50
    settings = Settings(controller="A", contact="a@b.example", confirmations_per_day=7)
    assert mail_policy(settings).confirmations_per_day == 7


def test_mail_is_posted_only_where_there_is_a_next_hop() -> None:
    assert posting(Settings(controller="A", contact="a@b.example"), utc_now) is None
    assert posting(Settings(controller="A", contact="a@b.example", smtp_next_hop="mx.example"), utc_now) is not None


def test_pages_know_whether_a_system_is_told_and_who_keeps_the_database() -> None:
    plain = Settings(controller="A", contact="a@b.example")
    told = plain.model_copy(update={"webhook_source": "crm"})
    server = plain.model_copy(update={"database_url": "postgresql+asyncpg://tracker@db.example/tracker"})
    assert (site(plain).told_system, disclosure(plain).told_system, site(plain).own_file) == ("", "", True)
    assert (site(told).told_system, disclosure(told).told_system) == ("crm", "crm")
    assert not site(server).own_file
