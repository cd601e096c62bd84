"""Puts the dashboard together from the parts: its flows, its pages, and the table of who may see which."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from aiohttp import web

from tracker.config import Settings
from tracker.doors.about import about
from tracker.doors.dashboard.account_page import AccountPage
from tracker.doors.dashboard.app import build
from tracker.doors.dashboard.campaigns_page import CampaignsPage
from tracker.doors.dashboard.cookie import Cookie
from tracker.doors.dashboard.feed_page import FeedPage
from tracker.doors.dashboard.live_page import LivePage
from tracker.doors.dashboard.officer_pages import OfficerPages
from tracker.doors.dashboard.person_page import PersonPage
from tracker.doors.dashboard.provider import Client, Provider
from tracker.doors.dashboard.provider_page import BACK, ProviderPage
from tracker.doors.dashboard.requests_page import RequestsPage
from tracker.doors.dashboard.screens import SPOKEN, TEMPLATES, Screens
from tracker.doors.dashboard.sign_in_page import SignInPage
from tracker.doors.dashboard.visit import Route
from tracker.doors.dashboard.ways_out import WaysOut
from tracker.doors.pages import Pages
from tracker.flows.accounts import Accounts
from tracker.flows.looks import Looks
from tracker.flows.oversight import Oversight
from tracker.flows.own_account import OwnAccount
from tracker.flows.passwords import Passwords
from tracker.flows.signing_in import SigningIn
from tracker.model import Language
from tracker.parts import Clock, Parts
from tracker.policies import dashboard_site, disclosure


class Dashboard:
    """The dashboard of one installation."""

    def __init__(self, parts: Parts, clock: Clock, passwords: Passwords | None = None) -> None:
        """PASSWORDS: how they are hashed; default: as the installation does."""
        settings = parts.settings
        passwords = passwords or Passwords()
        self._clock = clock
        self._answered = parts.metrics.answered
        self.signing_in = SigningIn(parts.store, parts.keys, passwords, secrets.token_bytes, parts.tries)
        self._own = OwnAccount(
            parts.store, parts.keys, passwords, self.signing_in, secrets.token_bytes, settings.controller
        )
        self._looks = Looks(parts.store)
        self._cookie = Cookie(settings.dashboard_url)
        self._screens = Screens(Pages(dashboard_site(settings), part=TEMPLATES))
        ways = WaysOut(settings.crm_url, settings.crm_key, f"{settings.public_url}/ask")
        provider = provider_client(settings)
        sign_in = SignInPage(
            self.signing_in,
            self._own,
            self._screens,
            self._cookie,
            settings.trusted_proxies,
            provider=provider is not None,
        )
        feed = FeedPage(parts.figures, self._screens, ways)
        self.routes: tuple[Route, ...] = (
            # The order is that of the navigation.
            *feed.routes,
            *LivePage(parts.live, self._looks, self._screens, feed.rendered_list).routes,
            *PersonPage(parts.people, self._screens, ways).routes,
            *CampaignsPage(parts.figures, self._screens, ways).routes,
            *OfficerPages(Oversight(parts.store), self._screens).routes,
            *RequestsPage(parts.subjects, self._screens, self._about(settings)).routes,
            *sign_in.routes,
            *AccountPage(self.signing_in, self._own, self._screens, self._cookie).routes,
            *(() if provider is None else self._by_provider(provider, sign_in, parts).routes),
        )

    def _by_provider(self, client: Client, page: SignInPage, parts: Parts) -> ProviderPage:
        return ProviderPage(
            Provider(client),
            self.signing_in,
            page,
            lambda: parts.keys().ring.staff,
            secrets.token_bytes,
            secure=self._cookie.secure,
        )

    def _about(self, settings: Settings) -> dict[Language, Mapping[str, object]]:
        told, languages = disclosure(settings), self._screens.pages.languages
        return {language: about(told, languages, language) for language in SPOKEN}

    def application(self) -> web.Application:
        """What the dashboard's listener serves."""
        return build(
            self.routes,
            self.signing_in,
            self._looks,
            self._screens,
            self._cookie,
            self._clock,
            secrets.token_bytes,
            answered=self._answered,
        )


def accounts(parts: Parts, passwords: Passwords | None = None) -> Accounts:
    """What makes, lists and disables accounts."""
    return Accounts(parts.store, passwords or Passwords(), secrets.token_bytes, parts.settings.controller)


def provider_client(settings: Settings) -> Client | None:
    """What the company's provider knows the dashboard by; None when SETTINGS name no provider."""
    if settings.oidc_issuer is None or settings.oidc_client_id is None:
        return None
    redirect = f"{settings.dashboard_url}{BACK}"
    return Client(settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret, redirect)
