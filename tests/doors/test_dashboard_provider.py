"""A company's provider says who somebody is; what was not said for this asking, or does not hold, opens nothing."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.doors.dashboard_world import HOST, MARK, RITA, Browser, World, world
from tests.doors.lying_provider import ANOTHER, KEY, LyingProvider, basic, lying_provider
from tests.doors.wire import Answer
from tracker.model import Role

SECRET = "s3cret/with:odd=signs"
BACK = f"https://{HOST}/sign-in/provider/back"


@asynccontextmanager
async def company(folder: Path, **settings: str) -> AsyncIterator[tuple[World, LyingProvider]]:
    async with lying_provider() as provider:
        given = {
            "TRACKER_OIDC_ISSUER": provider.issuer,
            "TRACKER_OIDC_CLIENT_ID": "tracker",
            "TRACKER_OIDC_CLIENT_SECRET": SECRET,
            **settings,
        }
        async with world(folder, given) as staff:
            yield staff, provider


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[World, LyingProvider]]:
    async with company(tmp_path / "tracker") as made:
        yield made


async def out(browser: Browser, provider: LyingProvider, after: str = "/account") -> dict[str, str]:
    """Follow the link; what the browser brings to the provider."""
    page = await browser.get(f"/sign-in?next={quote(after, safe='')}")
    link = page.text.partition('class="go" href="')[2].partition('"')[0]
    answer = await browser.get(link)
    assert answer.status == 303
    return provider.sent_out(answer.header("Location") or "")


async def back(browser: Browser, query: dict[str, str], **more: str) -> Answer:
    said = {"code": "c0de", "state": query["state"], **more}
    return await browser.get(f"/sign-in/provider/back?{urlencode(said)}", sec_fetch_site="cross-site")


async def opened(both: tuple[World, LyingProvider], **more: str) -> int:
    """The status of the way through the provider; 303 when it opened a session."""
    staff, provider = both
    browser = staff.browser()
    answer = await back(browser, await out(browser, provider), **{"iss": provider.issuer, **more})
    assert (answer.status == 303) == ((await browser.get("/account")).status == 200)
    return answer.status


async def test_the_way_through_the_provider(both: tuple[World, LyingProvider]) -> None:
    staff, provider = both
    browser = staff.browser()
    query = await out(browser, provider, "/account?x=1")
    assert {name: query[name] for name in ("client_id", "redirect_uri", "response_type", "scope")} == {
        "client_id": "tracker",
        "redirect_uri": BACK,
        "response_type": "code",
        "scope": "openid email",
    }
    assert query["code_challenge_method"] == "S256"
    token = browser.cookies["__Host-staff"]
    answer = await back(browser, query, iss=provider.issuer)
    assert answer.header("Location") == "/account?x=1"
    assert browser.cookies["__Host-staff"] != token
    assert "__Host-attempt" not in browser.cookies
    assert (await browser.get("/account")).status == 200
    ((path, form, authorization),) = provider.asked
    assert path == "/token"
    challenge = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
    assert challenge == query["code_challenge"]
    assert {name: form[name] for name in ("grant_type", "code", "redirect_uri")} == {
        "grant_type": "authorization_code",
        "code": "c0de",
        "redirect_uri": BACK,
    }
    assert basic(authorization) == f"tracker:{quote(SECRET, safe='')}"


async def test_each_asking_is_one_of_its_own(both: tuple[World, LyingProvider]) -> None:
    staff, provider = both
    browser = staff.browser()
    first, second = await out(browser, provider), await out(browser, provider)
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]
    assert len(first["state"]) >= 43


async def test_the_role_and_its_second_factor_stay_ours(both: tuple[World, LyingProvider]) -> None:
    """Whoever rules the provider does not rule the dashboard."""
    staff, provider = both
    provider.claims = {"email": MARK, "role": "privacy", "groups": ["privacy"], "amr": ["mfa"]}
    browser = staff.browser()
    answer = await back(browser, await out(browser, provider), iss=provider.issuer)
    assert answer.header("Location") == "/second-factor?next=%2Faccount"
    await browser.pass_second_factor(MARK)
    assert (await browser.get("/consents")).status == 403
    staff.later(minutes=1)
    provider.now = staff.now
    again = staff.browser()
    answer = await back(again, await out(again, provider), iss=provider.issuer)
    assert answer.header("Location") == "/sign-in/code?next=%2Faccount"


LIES: list[tuple[str, dict[str, Any]]] = [
    ("another issuer", {"claims": {"iss": "https://evil.example"}}),
    ("no issuer", {"claims": {"iss": None}}),
    ("for another client", {"claims": {"aud": "another"}}),
    ("for two clients, asked by the other", {"claims": {"aud": ["tracker", "another"], "azp": "another"}}),
    ("no audience", {"claims": {"aud": None}}),
    ("another nonce", {"claims": {"nonce": "x"}}),
    ("no nonce", {"claims": {"nonce": None}}),
    ("over", {"claims": {"exp": 1}}),
    ("never over", {"claims": {"exp": None}}),
    ("an end that is no number", {"claims": {"exp": "tomorrow"}}),
    ("from the future", {"claims": {"iat": 2**33}}),
    ("another's access token", {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}),
    ("an address that is not verified", {"claims": {"email_verified": False}}),
    ("an address verified in words", {"claims": {"email_verified": "true"}}),
    ("an address of which nothing is said", {"claims": {"email_verified": None}}),
    ("no address", {"claims": {"email": None}, "userinfo": {"email": None}}),
    ("an address that is a list", {"claims": {"email": [RITA]}}),
    ("nobody's address", {"claims": {"email": "nobody@werkstatt-nord.example"}}),
    ("an alias", {"claims": {"email": "r.meier@werkstatt-nord.example"}}),
    ("somebody else's address", {"claims": {"email": None}, "userinfo": {"sub": "4712"}}),
    ("signed with another key", {"key": ANOTHER}),
    ("signed with the public key", {"forged": KEY.as_pem(private=False)}),
    ("signed with the client's secret", {"forged": SECRET.encode()}),
    ("signed by nobody", {"forged": b""}),
    ("a refusal", {"status": 400}),
    ("another name of its own", {"metadata": {"issuer": "https://login.example.com"}}),
    ("a door without encryption", {"metadata": {"token_endpoint": "http://evil.example/token"}}),
    ("a door of another kind", {"metadata": {"token_endpoint": "file:///etc/passwd"}}),
    ("no door", {"metadata": {"token_endpoint": None}}),
]


@pytest.mark.parametrize("lie", [lie for _, lie in LIES], ids=[name.replace(" ", "-") for name, _ in LIES])
async def test_what_does_not_hold_opens_nothing(both: tuple[World, LyingProvider], lie: dict[str, Any]) -> None:
    staff, provider = both
    assert await opened(both) == 303, "without the lie"
    for name, value in lie.items():
        setattr(provider, name, value)
    staff.later(hours=2)  # what it published before is asked for again
    provider.now = staff.now
    browser = staff.browser()
    if "metadata" in lie:
        answer = await browser.get("/sign-in/provider?next=/account")
    else:
        answer = await back(browser, await out(browser, provider), iss=provider.issuer)
    assert answer.status == 403
    assert (await browser.get("/account")).status == 303
    said = "The company's account was not accepted here." if lie.get("claims", {}).get("email") not in (
        "nobody@werkstatt-nord.example", "r.meier@werkstatt-nord.example"
    ) else "That was not right."  # fmt: skip
    assert said in answer.text


@pytest.mark.parametrize(
    "more",
    [{"state": "x"}, {"state": ""}, {"iss": "https://evil.example"}, {"iss": ""}],
    ids=["another-state", "no-state", "another-issuer", "an-empty-issuer"],
)
async def test_an_answer_to_another_asking_opens_nothing(
    both: tuple[World, LyingProvider], more: dict[str, str]
) -> None:
    assert await opened(both, **more) == 403
    assert both[1].asked == [], "the code was not even shown to the provider"


async def test_an_answer_without_issuer_is_refused_where_the_provider_gives_one(tmp_path: Path) -> None:
    """RFC 9207: against mix-up."""
    async with company(tmp_path / "tracker") as (staff, provider):
        browser = staff.browser()
        assert (await back(browser, await out(browser, provider))).status == 403
    async with company(tmp_path / "another") as (staff, provider):
        provider.metadata = {"authorization_response_iss_parameter_supported": None}
        browser = staff.browser()
        assert (await back(browser, await out(browser, provider))).status == 303


async def test_what_another_browser_began_opens_nothing(both: tuple[World, LyingProvider]) -> None:
    """Login CSRF: somebody's own answer, put before somebody else."""
    staff, provider = both
    attacker, victim = staff.browser(), staff.browser()
    query = await out(attacker, provider)
    assert (await back(victim, query, iss=provider.issuer)).status == 403
    await out(victim, provider)
    assert (await back(victim, query, iss=provider.issuer)).status == 403
    refused = await victim.get(f"/sign-in/provider/back?error=access_denied&state={query['state']}")
    assert refused.status == 403


async def test_a_disabled_account_stays_out_whatever_the_provider_says(both: tuple[World, LyingProvider]) -> None:
    await both[0].accounts.disable(RITA, both[0].now)
    assert await opened(both) == 403


async def test_an_address_that_only_the_userinfo_tells_counts(both: tuple[World, LyingProvider]) -> None:
    both[1].claims = {"email": None, "email_verified": None}
    assert await opened(both) == 303
    assert both[1].asked[-1] == ("/me", {}, "Bearer a")


async def test_a_new_key_of_the_provider_is_learned(both: tuple[World, LyingProvider]) -> None:
    assert await opened(both) == 303
    both[1].key, both[1].keys, both[1].header = ANOTHER, (KEY, ANOTHER), {"kid": "two"}
    assert await opened(both) == 303


async def test_a_client_without_a_secret_and_one_that_posts_it(tmp_path: Path) -> None:
    async with company(tmp_path / "one", TRACKER_OIDC_CLIENT_SECRET="") as (staff, provider):
        assert await opened((staff, provider)) == 303
        ((_, form, authorization),) = provider.asked
        assert (form["client_id"], authorization, "client_secret" in form) == ("tracker", "", False)
    async with company(tmp_path / "two") as (staff, provider):
        provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        assert await opened((staff, provider)) == 303
        ((_, form, authorization),) = provider.asked
        assert (form["client_secret"], authorization) == (SECRET, "")


async def test_while_the_provider_is_away_a_password_still_signs_in(tmp_path: Path) -> None:
    nobody = {"TRACKER_OIDC_ISSUER": "http://127.0.0.1:9", "TRACKER_OIDC_CLIENT_ID": "tracker"}
    async with world(tmp_path / "tracker", nobody) as staff:
        browser = staff.browser()
        answer = await browser.get("/sign-in/provider")
        assert answer.status == 503
        assert "does not answer just now" in answer.text
        assert (await browser.sign_in(RITA)).status == 303


async def test_whoever_tries_codes_has_to_wait(both: tuple[World, LyingProvider]) -> None:
    staff, provider = both
    browser = staff.browser()
    query = await out(browser, provider)
    statuses = []
    for _ in range(51):
        browser.cookies.setdefault("__Host-attempt", "x.Lw==")
        statuses.append((await back(browser, query, iss=provider.issuer, state="x")).status)
    assert statuses == [403] * 50 + [429]


async def test_without_the_setting_there_is_no_such_way(tmp_path: Path) -> None:
    async with world(tmp_path / "tracker") as staff:
        browser = await staff.signed_in(Role.REP)
        for path in ("/sign-in/provider", "/sign-in/provider/back"):
            assert (await browser.get(path)).status == 404
            assert (await staff.browser().get(path)).status == 404


async def test_no_address_and_no_token_reaches_the_log(
    both: tuple[World, LyingProvider], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "tracker")
    both[1].claims = {"nonce": "x"}
    await opened(both)
    both[1].claims = {"email": "nobody@werkstatt-nord.example"}
    await opened(both)
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("tracker"))
    assert "does not hold" in ours
    for secret in ("c0de", SECRET, "nobody@", RITA):
        assert secret not in ours
