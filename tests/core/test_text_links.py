"""URLs in plain text begin and end where mail programs agree and lead where they led; what is doubtful is left."""

from __future__ import annotations

import re
import time
from base64 import decodebytes, encodebytes
from quopri import decodestring, encodestring

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracker.core import charset, text_links
from tracker.core.layout import Plan, PlanUrls, lay_out, render
from tracker.core.linkpart import LinkSigner
from tracker.core.notice import NoticeTexts
from tracker.core.survey import Refused, Survey, SurveyPolicy, survey
from tracker.model import MAIL_PURPOSES, Language, Left, Purpose

BASE = "https://t.example.com"
POLICY = SurveyPolicy((BASE, "https://old.example.com"), text_links=True)
SIGNER = LinkSigner(b"k" * 32)
DELIVERY, STOP = b"D" * 66, b"S" * 84
URL = "https://shop.example/a"
TRACKED = re.compile(rf"{BASE}/c/D{{66}}/([A-Za-z0-9._-]+)/([A-Za-z0-9._~%:-]+)/")
HEAD = "From: a@shop.example\r\nMessage-ID: <1@shop.example>\r\n"
CLICK, OPEN = frozenset({Purpose.CLICK}), frozenset({Purpose.OPEN})


def found(text: str, name: str = "utf-8", *, flowed: bool = False, delsp: bool = False) -> list[str]:
    """The URLs in TEXT, and in capitals why something is left."""
    view = charset.view(text.encode(name), name)
    assert view is not None
    seen = list(text_links.scan(view, flowed=flowed, delsp=delsp))
    for one in seen:
        if not isinstance(one.found, Left):
            assert view.text[one.start : one.end].decode(view.charset or "") == one.found
    return [one.found.name if isinstance(one.found, Left) else one.found for one in seen]


def message(text: str, kind: str = "; charset=utf-8", encoding: str = "8bit", head: str = "") -> bytes:
    name = re.search(r"charset=([\w-]+)", kind)
    body = text.encode(name[1] if name else "utf-8")
    if encoding == "quoted-printable":
        body = encodestring(body.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    elif encoding == "base64":
        body = encodebytes(body).replace(b"\n", b"\r\n")
    fields = f"{HEAD}{head}Content-Type: text/plain{kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return fields.encode() + body


def alternative(text: str, html: str = "<p>Hello") -> bytes:
    return (
        f"{HEAD}Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n{text}\r\n--b\r\n"
        f"Content-Type: text/html\r\n\r\n{html}\r\n--b--\r\n"
    ).encode()


def planned(
    sent: bytes, policy: SurveyPolicy = POLICY, purposes: frozenset[Purpose] = MAIL_PURPOSES
) -> tuple[Survey, Plan | None]:
    seen = survey(sent, policy)
    assert isinstance(seen, Survey)
    parts = {link.target: SIGNER.sign(b"plan.", link.target) for link in seen.links}
    return seen, lay_out(seen, purposes, NoticeTexts(Language.EN), PlanUrls(BASE.encode(), parts))


def copy(sent: bytes, policy: SurveyPolicy = POLICY, purposes: frozenset[Purpose] = MAIL_PURPOSES) -> bytes:
    _, plan = planned(sent, policy, purposes)
    return sent if plan is None else render(plan, DELIVERY, STOP)


def opened(text: str) -> str:
    """TEXT with each tracked URL opened again."""

    def target(one: re.Match[str]) -> str:
        led = SIGNER.read(b"plan.", one[1], one[2])
        assert led is not None
        return led

    return TRACKED.sub(target, text)


# --- where a URL begins and ends -----------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        URL, "http://shop.example", "HTTPS://Shop.Example/A", "https://shop.example:8443/", "https://shop.example/",
        "https://shop.example/a(b)c", "https://shop.example/wiki/X_(y)", "https://shop.example/a,b",
        "https://shop.example/a!b", "https://shop.example/it's", "https://shop.example/@anna",
        "https://shop.example/?a[]=1&b[2]=3", "https://[2001:db8::1]/",
        "https://shop.example/#/route", "https://shop.example/#color=gr%C3%BCn", "https://shop.example/%2F%EF?a=b;c=d",
        "https://shop.example/a_", "https://shop.example/a=", "https://shop.example/a&b=", "https://shop.example/~anna",
        "https://web.archive.org/web/2020/https://shop.example/", "https://shop.example/?to=https://b.example/",
        "https://shop.example/grüße", "https://bücher.example/ä?ö=ü", "https://мойсайт.рф", "https://shop.example/a*b$c+d",
    ],
)  # fmt: skip
def test_a_url_is_found_whole_whatever_sentence_it_stands_in(url: str) -> None:
    for before, after in (
        ("", ""), ("See ", ""), ("See ", " now"), ("See ", "."), ("", ","), ("(", ")"), ("(see ", ")."), ("<", ">"),
        ("<URL:", ">"), ("[", "]"), ("[text](", ")"), ('"', '"'), ("'", "'"), ("*", "*"), ("_", "_"), ("Link:", "!"),
        ("→", "?"), ("„", "“"), ("「", "」"), ("見る：", "。"), ("", "…"), ("\u00a0", "\u00a0"), ("\t", "\t"),
        ("x <", "> y"), ("Is it ", "?!"), ("", ";"), ("- ", "\r\n- more"), ("", "\r\n\r\nmore/less"), ("\ufeff", ""),
    ):  # fmt: skip
        assert found(f"{before}{url}{after}") == [url], (before, after)
        assert found(f"Dear Anna,\r\n{before}{url}{after}\r\n") == [url], (before, after)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"{URL} and {URL}/b.", [URL, URL + "/b"]),
        (f"<{URL}><{URL}/b>", [URL, URL + "/b"]),
        (f"Offer<{URL}>", [URL]),
        (f"{URL}<{URL}/b>", [URL, URL + "/b"]),
        (f"{URL}。{URL}/b", [URL, URL + "/b"]),
        (f"--\r\n-- \r\nAnna, {URL}", [URL]),
        ("https://", []),
        ("http:// shop.example https:shop.example https:/shop.example", []),
        ("www.shop.example shop.example/a mailto:a@b.example ftp://shop.example/", []),
    ],
)
def test_several_and_none(text: str, what: list[str]) -> None:
    assert found(text) == what


@pytest.mark.parametrize(
    "text",
    [
        f"x{URL}", f"view-{URL}", f"1+{URL}", f"a.{URL}", f"www.b.example/,{URL}", f"ftp://b.example/,{URL}",
        f"a@b.example,{URL}", f"{URL},{URL}", f"{URL};{URL}", f'<a href="{URL}">', f"<a href='{URL}'>",
        f"<img src={URL}>", f'href=3D"{URL}"', f"[{URL}]({URL})", f"{URL})b", f"{URL}]b", f"{URL}(b", f"{URL}-",
        f"{URL}*", f"{URL}`b", f"{URL}^b", f"{URL}|b", f"{URL}\\b", f"{URL}をご覧", f"{URL}→", f"{URL}😀", f"<{URL}.>",
        f"<{URL} b>", f"<{URL}", f"{URL}&gt;", f"{URL}&quot;.", f"{URL}\0b", f"{URL}\x7f", "https://shop.example/日本",
    ],
)  # fmt: skip
def test_what_programs_read_differently_is_left(text: str) -> None:
    told = found(text)
    assert told[0] == "UNREADABLE"
    assert set(told) == {"UNREADABLE"} or text.startswith("[")


@pytest.mark.parametrize(
    "text",
    [
        f"<{URL}/very/\r\nlong>", f"<{URL}/very/ \r\n long>", f"{URL}?x=\r\nabc", f"{URL}?x&\r\nabc", f"{URL}%\r\n20b",
        f"{URL}/\r\nb/c.html", f"{URL}/{'long/' * 12}\r\nrest", f"{URL}/{'long/' * 12}\r\n12-b more",
        f"{URL}/{'long/' * 12}\r\n  b?c more", f"See {URL}/{'long/' * 12}\nrest.html\n", f"{URL}\r\n?page=2",
    ],
)  # fmt: skip
def test_a_url_that_goes_on_in_the_next_line_is_left(text: str) -> None:
    assert found(text) == ["UNREADABLE"]


@pytest.mark.parametrize(
    "after",
    [
        "\r\n", "\r\n\r\nb/c", "\r\nBest regards", "\r\nYours, Anna", "\r\n-- \r\nAnna", "\r\n----", "\r\n> quoted/x",
        "\r\n2) more", "\r\n(more)", "\r\n* more", "\r\nGrüße aus dem Norden", "\r\n\tBest regards",
    ],
)  # fmt: skip
def test_a_line_that_ends_with_a_url_is_no_broken_one(after: str) -> None:
    url = f"{URL}/{'long/' * 12}"
    assert found(url + after) == [url]


def test_a_url_in_a_quotation_is_one_as_any_other() -> None:
    assert found(f"> {URL}\r\n>> {URL} {URL}\r\n>{URL}\r\n{URL}") == [URL] * 5
    assert found(f" > {URL}") == [URL]


@pytest.mark.parametrize("mark", ["> ", ">", ">> ", "> > "])
def test_a_url_that_goes_on_in_the_next_quoted_line_is_left(mark: str) -> None:
    url = f"{URL}/{'long/' * 12}"
    assert found(f"{mark}{url}\r\n{mark}and/more.html\r\n") == ["UNREADABLE"]
    assert found(f"{mark}{url}\r\nand more\r\n") == [url]
    assert found(f"{mark}{url}\r\n{mark}\r\n{mark}and more\r\n") == [url]
    assert found(f"{mark}{URL} \r\n{mark}x", flowed=True, delsp=True) == ["UNREADABLE"]


@pytest.mark.parametrize("delsp", [False, True])
def test_flowed_lines_begin_and_end_urls_as_they_are_shown(delsp: bool) -> None:
    def shown(text: str) -> list[str]:
        return found(text.replace("\n", "\r\n"), flowed=True, delsp=delsp)

    goes_on = ["UNREADABLE"] if delsp else [URL]
    assert shown(f"See {URL} \nb") == goes_on
    assert shown(f"See {URL}  \nb") == [URL]
    assert shown(f"See \n{URL}\n") == goes_on
    assert shown(f"See  \n{URL}\n") == [URL]
    assert shown(f"See: \n{URL}\n") == [URL]
    assert shown(f"See\n{URL}\n") == [URL]
    assert shown(f"See \n {URL}\n") == goes_on
    assert shown(f"-- \n{URL}\n") == [URL]
    assert shown(f"{URL} \n> quoted") == ([URL])
    assert shown(f"{URL} \n-- \nAnna") == [URL]
    assert shown(f"{URL} \n") == [URL]
    assert shown(f" From\n {URL}\n") == [URL]
    assert shown(f"\n{URL}\n") == [URL]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("iso-2022-jp", f"詳細は{URL}。次", [URL]), ("iso-2022-jp", f"「{URL}」", [URL]),
        ("iso-2022-jp", f"{URL}をご覧", ["UNREADABLE"]), ("shift_jis", f"表{URL}ソ", ["UNREADABLE"]),
        ("shift_jis", f"表{URL}。", [URL]), ("gb18030", f"见{URL}。中", [URL]), ("big5", f"功{URL}，許", [URL]),
        ("euc-kr", f"보기 {URL} 한", [URL]), ("koi8-r", f"см. {URL}/ж", [URL + "/ж"]),
        ("iso-8859-1", f"»{URL}/ü«", [URL + "/ü"]), ("windows-1252", f"„{URL}“ – {URL}…", [URL, URL]),
        ("utf-16", f"表{URL}/ü。", [URL + "/ü"]), ("cp037", f"a {URL}.", [URL]),
    ],
)  # fmt: skip
def test_urls_in_every_charset(name: str, text: str, what: list[str]) -> None:
    assert found(text, name) == what


def test_letters_that_are_none_in_the_charset_are_left() -> None:
    for said in ("utf-8", "us-ascii", "x-unknown"):
        view = charset.view(URL.encode() + b"/\xfc", said)
        assert view is not None
        assert [one.found for one in text_links.scan(view)] == [Left.UNREADABLE]


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [URL, "https://", "http://b.example/(c)", " ", " \r\n", "\r\n", "\n", ">", "<", "(", ")", "[", "]", ".",
             ",", "'", '"', "*", "|", "{{x}}", "。", "ü", "日", "-- \r\n", "=", "&", "\x1b", "\t", "<%= id %>",
             "www.", "@"]
        ),
        st.text(st.characters(codec="utf-8"), max_size=9),
    ),
    max_size=12,
).map("".join)  # fmt: skip


@given(PIECES, st.sampled_from(["utf-8", "shift_jis", "iso-2022-jp", "gb18030", "utf-16", "us-ascii"]), st.booleans())
@example(f"{URL} \r\n{URL} \r\n", "utf-8", True)
def test_whatever_the_text_spans_are_in_order_and_hold_one_url(text: str, name: str, delsp: bool) -> None:
    view = charset.view(text.encode(name, "replace"), name)
    if view is None:
        return
    last = 0
    for one in text_links.scan(view, flowed=True, delsp=delsp):
        assert last <= one.start < one.end <= len(view.text)
        last = one.end
        span = view.text[one.start : one.end]
        assert re.match(rb"(?i)https?://", span)
        if not isinstance(one.found, Left):
            assert not re.search(rb"[\s<>\"{}|\\^`]", span)
            assert not one.found.endswith((".", ",", ")", "]", ";", ":", "!", "?", "'")) or (
                "(" in one.found or "[" in one.found
            )


# --- what becomes of them ------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_a_text_only_message_is_tracked_and_says_so_at_its_end(encoding: str) -> None:
    text = f"Grüße!\r\n\r\nSee {URL}?a=1&b=2, or <{URL}/b>.\r\n> {URL}/quoted\r\n"
    sent = message(text, encoding=encoding)
    seen, plan = planned(sent)
    assert plan is not None
    assert (plan.purposes, plan.links_tracked, seen.links_found) == (CLICK, 3, 3)
    head, _, body = render(plan, DELIVERY, STOP).partition(b"\r\n\r\n")
    assert head == sent.partition(b"\r\n\r\n")[0]
    decode = {"quoted-printable": decodestring, "base64": decodebytes}.get(encoding, bytes)
    told = decode(body).decode()
    assert opened(told).startswith(text + "\r\n")
    notice = told[len(told) - len(opened(told)) + len(text) + 2 :].split("\r\n")
    assert notice[0] == "With your consent we see which links in this e-mail are followed."
    assert notice[-2:] == [f"{BASE}/privacy/{STOP.decode()}", ""]
    assert "/o/" not in told, "plain text shows no pixel"
    assert told.count("/shop.example/") >= 2, "a tracked link shows where it leads"


def test_without_the_setting_nothing_in_plain_text_is_a_link() -> None:
    off = SurveyPolicy(POLICY.public_urls)
    seen, plan = planned(message(f"See {URL}"), off)
    assert (plan, seen.links_found, dict(seen.left)) == (None, 0, {})
    seen, plan = planned(alternative(f"See {URL}"), off)
    assert plan is not None
    assert (plan.links_tracked, seen.links_found) == (0, 0)
    assert f"See {URL}\r\n".encode() in render(plan, DELIVERY, STOP)


def test_a_text_only_message_needs_a_grant_for_clicks_and_a_link() -> None:
    assert planned(message(f"See {URL}"), purposes=OPEN)[1] is None
    assert planned(message("No link"))[1] is None
    plan = planned(message(f"See {URL}"), purposes=CLICK)[1]
    assert plan is not None
    assert plan.purposes == CLICK


def test_the_text_alternative_is_tracked_beside_its_html() -> None:
    sent = alternative(f"See {URL}/1 and {URL}/2.", f'<a href="{URL}/1">one</a>')
    seen, plan = planned(sent)
    assert plan is not None
    assert (plan.purposes, plan.links_tracked, seen.links_found) == (MAIL_PURPOSES, 3, 3)
    assert [link.path for link in plan.links] == ["/a/1", "/a/2"]
    after = render(plan, DELIVERY, STOP).decode()
    assert opened(after).count(f"See {URL}/1 and {URL}/2.\r\n\r\nWith your consent we see whether") == 1
    opens = planned(sent, purposes=OPEN)[1]
    assert opens is not None
    assert (opens.links_tracked, opens.left) == (0, {Left.NO_GRANT: 3})
    assert f"See {URL}/1 and {URL}/2.".encode() in render(opens, DELIVERY, STOP)


def test_links_in_the_text_alone_make_a_message_tracked_for_clicks() -> None:
    plan = planned(alternative(f"See {URL}"), purposes=CLICK)[1]
    assert plan is not None
    assert (plan.purposes, plan.links_tracked) == (CLICK, 1)
    after = render(plan, DELIVERY, STOP)
    assert after.count(b"/privacy/") == 2, "one notice for those who read the HTML"


def test_other_texts_stay() -> None:
    two = (
        f"{HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\r\n--b\r\n\r\nSee {URL}\r\n--b\r\n\r\n"
        f"List: {URL}/list\r\n--b\r\nContent-Disposition: attachment\r\n\r\n{URL}/log\r\n--b--\r\n"
    ).encode()
    after = copy(two).decode()
    assert opened(after).count(f"See {URL}\r\n\r\nWith your consent") == 1
    assert after.endswith(two.decode().partition(f"See {URL}")[2])
    mixed = alternative(f"See {URL}").replace(b"alternative", b"mixed")
    assert f"\r\n\r\nSee {URL}\r\n--b".encode() in copy(mixed), "no alternative to the HTML"
    cannot = message(f"See {URL}", "; charset=utf-7")
    assert copy(cannot) == cannot


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://shop.example/leave?u=1", Left.UNSUBSCRIBE), ("https://SHOP.example/leave?u=1#x", Left.UNSUBSCRIBE),
        ("https://shop.example/?to=anna@example.org", Left.ADDRESS_IN_TARGET),
        ("https://shop.example/?to=anna%2540example.org", Left.ADDRESS_IN_TARGET),
        ("https://shop.example/u/YW5uYUBleGFtcGxlLm9yZw==", Left.ADDRESS_IN_TARGET),
        ("https://shop.example/{{ name }}", Left.PLACEHOLDER), ("https://shop.example/{% url %}", Left.PLACEHOLDER),
        ("https://shop.example/*|UNIQID|*", Left.PLACEHOLDER), ("https://shop.example/%%emailid%%", Left.PLACEHOLDER),
        ("https://shop.example/%recipient.id%", Left.PLACEHOLDER), ("https://shop.example/[[token]]", Left.PLACEHOLDER),
        ("https://shop.example/${id}", Left.PLACEHOLDER), ("https://shop.example/<%= id %>", Left.PLACEHOLDER),
        ("https://{{host}}/", Left.PLACEHOLDER), ("https://shop.example/%7B%7Bid%7D%7D", Left.PLACEHOLDER),
        (f"{BASE}/privacy/x", Left.TRACKER_LINK), ("https://old.example.com/c/a/b/c/", Left.TRACKER_LINK),
        ("https://accounts.example.org/reset", Left.EXCLUDED), ("https://sso.accounts.example.org/", Left.EXCLUDED),
        ("https://shop.example/login/now", Left.EXCLUDED), ("http://1.2.3.4:99999/", Left.UNREADABLE),
        ("https://shop.example/" + "x" * 1_500, Left.TOO_LONG), ("https://shop.example/日本", Left.UNREADABLE),
    ],
)  # fmt: skip
def test_what_is_left_in_html_is_left_in_text(url: str, why: Left) -> None:
    policy = SurveyPolicy(
        POLICY.public_urls, text_links=True, excluded_hosts=("accounts.example.org", "shop.example/login*")
    )
    sent = message(f"Go to {url} now.\r\n{URL}\r\n", head="List-Unsubscribe: <https://shop.example/leave?u=1>\r\n")
    seen, plan = planned(sent, policy)
    assert plan is not None
    assert (plan.left, plan.links_tracked, seen.links_found) == ({why: 1}, 1, 2)
    assert f"Go to {url} now.\r\n".encode() in render(plan, DELIVERY, STOP)


def test_a_link_that_would_make_its_line_too_long_is_left() -> None:
    text = f"{'x' * 900} {URL}\r\n{URL}/b"
    plan = planned(message(text))[1]
    assert plan is not None
    assert (plan.links_tracked, plan.left) == (1, {Left.TOO_LONG: 1})
    assert max(map(len, render(plan, DELIVERY, STOP).split(b"\r\n"))) <= 998
    encoded = planned(message(text, encoding="base64"))[1]
    assert encoded is not None
    assert encoded.links_tracked == 2


def test_a_text_that_ends_in_a_line_too_long_gets_its_notice_on_lines_of_its_own() -> None:
    after = copy(message(f"{URL}\r\n" + "x" * 2_000))
    assert after.count(b"x" * 2_000 + b"\r\n\r\nWith your consent") == 1
    assert max(map(len, after.partition(b"With your")[2].split(b"\r\n"))) <= 130


def test_one_link_that_programs_decode_differently_is_left() -> None:
    sent = message("").rstrip() + b"\r\n\r\n"
    sent = sent.replace(b"8bit", b"quoted-printable") + URL.encode() + b"?a=1 \r\n" + URL.encode() + b"/b\r\n"
    seen, plan = planned(sent)
    assert plan is not None
    assert (plan.links_tracked, plan.left, seen.links_found) == (1, {Left.UNREADABLE: 1}, 2)


@pytest.mark.parametrize(
    "name", ["utf-8", "iso-8859-1", "shift_jis", "iso-2022-jp", "gb18030", "utf-16", "utf-32-be", "cp037"]
)
def test_text_in_every_charset_is_spliced_exactly(name: str) -> None:
    letters = {"iso-8859-1": "Grüße", "cp037": "Grüße", "shift_jis": "表ソ", "iso-2022-jp": "日本"}.get(
        name, "Grüße 日本"
    )
    text = f"{letters}\r\n{letters} {URL} {letters}\r\n"
    after = copy(message(text, f"; charset={name}", "base64")).partition(b"\r\n\r\n")[2]
    told = decodebytes(after).decode(name)
    assert BASE + "/c/" in told
    assert opened(told).startswith(text)
    assert told.endswith(f"{BASE}/privacy/{STOP.decode()}\r\n")


def test_what_was_rewritten_is_known_again() -> None:
    again = survey(copy(message(f"See {URL} and {URL}/b")), POLICY)
    assert isinstance(again, Survey)
    assert again.tracker_tokens == (DELIVERY.decode(),)
    assert again.links == ()
    assert again.left == {Left.TRACKER_LINK: 3}


def test_a_signed_text_stays() -> None:
    assert isinstance(survey(message(f"-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\n{URL}\r\n"), POLICY), Refused)


@pytest.mark.parametrize(
    "sentence", ["(http://a.example ", "(", "https://", "http://a.example,", "<http://a.example", "ü"]
)
def test_time_is_linear(sentence: str) -> None:
    def seconds(size: int) -> float:
        view = charset.view((URL + sentence * size).encode(), "utf-8")
        assert view is not None
        begun = time.thread_time()
        for _ in text_links.scan(view, flowed=True, delsp=True):
            pass
        return time.thread_time() - begun

    for runs in (1, 3, 5):
        if min(seconds(20_000) for _ in range(runs)) <= 8 * max(min(seconds(5_000) for _ in range(runs)), 0.002):
            return
    pytest.fail("not linear")
