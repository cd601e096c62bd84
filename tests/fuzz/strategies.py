"""Builds messages from parts, encodings, charsets and line ends, and damages them.

A message is built as a tree whose HTML holds links of many kinds; `messages` gives whole ones, `damaged` the same after
a few accidents of the kinds that mail meets: lost, doubled and swapped pieces, odd octets, cut ends, other line ends.
"""

from __future__ import annotations

from base64 import b64encode, encodebytes
from quopri import encodestring
from typing import Final

from hypothesis import strategies as st

CHARSETS: Final = (
    *("utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "koi8-r", "shift_jis", "euc-jp", "iso-2022-jp"),
    *("gb18030", "gb2312", "big5", "euc-kr", "cp949", "utf-16", "utf-16-le", "utf-32-be", "utf-7", "cp037"),
    *("hz-gb-2312", "x-unknown", "", '"utf-8"', "unicode-1-1-utf-7"),
)
"""As they stand in headers, wrong and unknown ones too."""
NOT_ASCII: Final = ("utf-16", "utf-16-le", "utf-32-be", "cp037")
"""Those in which markup is no plain ASCII; mail carries them in base64."""

WORDS: Final = st.one_of(
    st.sampled_from(
        ["", "Guten Tag", "schön", "日本語 ソぜア表", "한국어", "中文功許蓋", "Привет", "=3D= =\n", ".\n", "From x\n",
         "-----BEGIN \n", "a < b", "&amp;&lt;", "\u00ad\u200b", "x" * 120, "x " * 60, "~{~}", "+AGE-", "\x1b", "--b\n",
         "--b--\n", "\x0b\x0c", "\ufeff"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="<>\r\0"), max_size=30),
)  # fmt: skip
HREFS: Final = st.one_of(
    st.sampled_from(
        ["https://shop.example/", "http://shop.example/a?b=1&amp;c=2#d", "HTTPS://Shop.Example:443/x y",
         "//shop.example/", "https://bücher.example/ü?ä=ö", "https://shop.example/" + "x" * 90,
         "https://shop.example/" + "x" * 900, "https://shop.example/" + "x" * 1500,
         "mailto:anna@example.org", "tel:1", "#top", "", "/relative",
         "https://shop.example/?to=anna@example.org", "https://shop.example/?to=anna%2540example.org", "cid:1@2",
         "https://user:pass@shop.example/", "https://shop.example/{{token}}", "https://t.example.com/c/x/y/z/",
         "https://t.example.com/o/" + "A" * 45 + "." + "b" * 20 + ".gif", "\n https://shop.example/a\n/b \t", "https:x",
         "https://shop.example/&copy=1&copy;&#x41;&#150&#0;", "https://[2001:db8::1]/", "http://1.2.3.4:99999/",
         "javascript:alert(1)", "data:text/html,x", "https://shop.example\\@evil.example/", "https://shop.example/\ufffd"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\"'<>\r\0"), max_size=12).map("https://shop.example/".__add__),
)  # fmt: skip
ANCHORS: Final = st.builds(
    str.format,
    st.sampled_from(
        ['<a href="{0}">{1}</a>', "<A\nHREF = '{0}' class=x>{1}</A>", '<a/href="{0}"/>{1}', '<area href="{0}">{1}',
         '<a title="x>y" href="{0}" href="https://second.example/">{1}', '<v:roundrect arcsize="1" href="{0}">{1}',
         '<!--[if mso]><a href="{0}">{1}</a><![endif]-->', '<!-- <a href="{0}">{1}</a> -->',
         '<div data-no-track><a href="{0}">{1}</a></div>', '<a clicktracking=off href="{0}">{1}</a>',
         '<noscript><a href="{0}">{1}</a></noscript>', '<style><a href="{0}">{1}</style>', '<a href={0}>{1}</a>',
         '<a href="{0}"><b>{1}</b> {0}</a>']
    ),
    HREFS,
    WORDS,
)  # fmt: skip
MARKUP: Final = st.one_of(
    ANCHORS,
    WORDS,
    st.sampled_from(
        ["<p>", "<br>", "\n", " ", "\t\n", "<body bgcolor='>'>", "</body>", "</html>", "<!-- -->", "<title>x</title>",
         "<img width=1 height=1 src=https://pixel.example/1.gif>", '<div data-tracker="notice">old</div>',
         '<base href="https://base.example/">', "<table><tr><td>", "</td></tr></table>", "<![CDATA[x]]>", "<p\n>" * 30]
    ),
)  # fmt: skip
HTML: Final = st.builds(
    lambda start, bits, end: start + "".join(bits) + end,
    st.sampled_from(["<html><body>", "<!DOCTYPE html>\n<html>\n<body class=x>\n", "", "\n"]),
    st.lists(MARKUP, max_size=8),
    st.sampled_from(["</body></html>\n", "</body></html>", "", "\n\n", "</html>\n<!-- end -->\n"]),
)
PLAIN: Final = st.lists(
    st.one_of(
        WORDS,
        HREFS,
        st.sampled_from(
            ["\n", " \n", "> quoted\n", "> ", "-- \n", "https://shop.example/\n", " ", "<", ">", ".", "(", ")"]
        ),
    )
)
ENCODINGS: Final = ("7bit", "8bit", "quoted-printable", "quoted-printable-all", "base64", "base64-one-line", "binary")
ACCIDENTS: Final = (
    *(b"", b"\n", b"\r", b"\r\n", b"\r\n\r\n", b"=", b"=\r\n", b"=3D", b"--", b"--b", b"--b--\r\n", b"<", b">", b'"'),
    *(b"'", b"<!--", b"-->", b"<script>", b"\0", b"\xff", b"\xff\xfe", b"\x1b$B", b"\x1b(B", b" ", b"\t", b"&", b"&#"),
    *(b"Content-Type: text/html\r\n", b"Content-Transfer-Encoding: base64\r\n", b"<a href=", b"</body>"),
    *(b"=\n", b"<div "),
)  # fmt: skip


def encoded(body: bytes, encoding: str) -> bytes:
    """BODY, whose lines end with line feeds, in a transfer encoding."""
    if encoding == "quoted-printable":
        return encodestring(body)
    if encoding == "quoted-printable-all":
        octets = [b"=%02X" % octet if octet != 10 else b"\n" for octet in body]
        return b"".join(octet + b"=\n" * (number % 20 == 19) for number, octet in enumerate(octets))
    if encoding == "base64":
        return encodebytes(body)
    if encoding == "base64-one-line":
        return b64encode(body)
    return body


@st.composite
def leaves(draw: st.DrawFn, kinds: tuple[str, ...] = ("html", "plain", "html", "calendar", "x-amp-html")) -> bytes:
    """A part with its header; lines end with line feeds."""
    kind = draw(st.sampled_from(kinds))
    text: str = "".join(draw(PLAIN)) if kind == "plain" else draw(HTML)
    charset = draw(st.sampled_from(CHARSETS))
    encoding = "base64" if charset in NOT_ASCII else draw(st.sampled_from(ENCODINGS))
    try:
        body = text.encode(charset, "xmlcharrefreplace")
    except (LookupError, UnicodeError):
        body = text.encode()
    if draw(st.integers(0, 9)) == 0:
        charset = draw(st.sampled_from(CHARSETS))  # it says one thing and is another
    named = f"; charset={charset}" if charset else ""
    flowed = draw(st.sampled_from(["", "", "; format=flowed", "; format=flowed; delsp=yes"])) if kind == "plain" else ""
    more = draw(
        st.sampled_from(
            ["", "", "", "Content-Disposition: inline\n", "Content-Disposition: attachment; filename=x\n",
             "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\n", "Content-ID:\n <1@2>\n"]
        )
    )  # fmt: skip
    transfer = encoding.removesuffix("-one-line").removesuffix("-all")
    head = f"Content-Type: text/{kind}{named}{flowed}\n{more}Content-Transfer-Encoding: {transfer}\n\n"
    return head.encode() + encoded(body, encoding)


@st.composite
def multiparts(draw: st.DrawFn, children: st.SearchStrategy[bytes]) -> bytes:
    """Parts under one boundary; which may be that of another around it, and then nobody can tell them apart."""
    kind = draw(st.sampled_from(["alternative", "alternative", "mixed", "related", "digest", "x-other", "signed"]))
    boundary = draw(st.integers(0, 99)).to_bytes(1, "big").hex().encode()
    parts = draw(st.lists(children, max_size=3))
    closing = draw(st.sampled_from([b"\n--%b--\n", b"\n--%b--\nepilogue", b"\n--%b-- \n\n"]))
    opening = b'Content-Type: multipart/%b; boundary="b%b"\n\n' % (kind.encode(), boundary)
    preamble = draw(st.sampled_from([b"", b"This is a multi-part message.\n", b"\n\n"]))
    body = b"".join(b"\n--b%b\n%b" % (boundary, part) for part in parts)
    return opening + preamble + body.removeprefix(b"\n" if not preamble else b"") + closing % (b"b" + boundary)


TREES: Final = st.recursive(leaves(), multiparts, max_leaves=6)
ORDINARY: Final = st.builds(
    lambda plain, html: b"Content-Type: multipart/alternative; boundary=b\n\n--b\n%b\n--b\n%b\n--b--\n" % (plain, html),
    leaves(("plain",)),
    leaves(("html",)),
)
FIELDS: Final = st.lists(
    st.sampled_from(
        [b"To: anna@example.org\n", b"Cc: bert@example.org\n", b"Message-ID: <1@shop.example>\n", b"Subject: Hello\n",
         b"List-Unsubscribe: <https://shop.example/>\n", b"Auto-Submitted: no\n", b"X-Folded: a\n\tb\n",
         "Subject: schön\n".encode(), b"Received: by x;\n for y\n"]
    ),
    max_size=5,
).map(b"".join)  # fmt: skip


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A whole message, with CRLF or LF."""
    tree: bytes = draw(st.one_of(ORDINARY, leaves(("html",)), TREES))
    message = b"From: Shop <news@shop.example>\nMIME-Version: 1.0\n" + draw(FIELDS) + tree
    return message.replace(b"\n", b"\r\n") if draw(st.booleans()) else message


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message after a few accidents."""
    message = bytearray(draw(messages()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(message)))
        length = draw(st.sampled_from([0, 0, 1, 2, 5, 60]))
        kind = draw(st.sampled_from(["put", "cut", "double", "end"]))
        if kind == "put":
            message[at : at + length] = draw(st.sampled_from(ACCIDENTS))
        elif kind == "cut":
            del message[at : at + max(length, 1)]
        elif kind == "double":
            message[at:at] = message[at : at + 60]
        else:
            other = (b"\r\n", b"\n") if draw(st.booleans()) else (b"\n", b"\r\n")
            message[at:] = bytes(message[at:]).replace(*other)
    return bytes(message)
