"""Makes the messages that are measured: a note, a quoted-printable and a base64 newsletter, one with attachments.

They are built as mail systems build them: text and HTML side by side, folded header fields, tables with styles of
their own, conditional comments for Outlook, and several links (picture, title, button) to one target.
"""

from __future__ import annotations

import base64
import email
import quopri
import random
from dataclasses import dataclass

PROSE = (
    "die werkbank aus buche steht im licht und wartet auf hände die wissen was zu tun ist für große stücke "
    "the plane runs quietly over oak while shavings curl and fall to the floor of our workshop"
)
WORDS = PROSE.split()


@dataclass(frozen=True)
class Sample:
    """One message and what it is called."""

    name: str
    message: bytes
    further: str = ""
    """What a further recipient may cost, in the first one's time; empty where nothing is aimed at."""
    copies: str = ""
    """And in memory copies."""


def samples() -> tuple[Sample, ...]:
    """The four messages, the same in every run."""
    chance = random.Random(7)
    newsletter = _newsletter(chance, 20, 900)
    return (
        Sample("2 kB note", _note(chance)),
        Sample(
            "27 kB newsletter, quoted-printable, 20 links", _alternative(newsletter, "quoted-printable"), "1/50", "12"
        ),
        Sample(
            "100 kB newsletter, base64, 60 links", _alternative(_newsletter(chance, 60, 920), "base64"), "1/100", "5"
        ),
        Sample("5 MB with attachments", _attached(chance, newsletter, 3_700_000)),
    )


def of_size(size: int) -> bytes:
    """A base64 newsletter of about SIZE octets: the longer, the more of the same."""
    return _alternative(_newsletter(random.Random(7), size * 6 // 10_000, 920), "base64")


def html_of(sample: Sample) -> str:
    """The HTML of SAMPLE, decoded, for yardsticks that read nothing else."""
    for part in email.message_from_bytes(sample.message).walk():
        if part.get_content_type() == "text/html":
            body = part.get_payload(decode=True)
            assert isinstance(body, bytes)
            return body.decode()
    raise AssertionError(sample.name)


def _note(chance: random.Random) -> bytes:
    offer = "https://werkstatt-nord.example/angebot/4711"
    text = f"Liebe Frau Berg,\n\n{_prose(chance, 360)}\n\n{offer}\n\nIhr Jonas Holm\n"
    paragraphs = "".join(f"<p>{part}</p>\n" for part in text.split("\n\n"))
    html = (
        '<html><head><meta http-equiv="content-type" content="text/html; charset=UTF-8"></head>\n<body>\n'
        + paragraphs.replace(offer, f'Hier ist <a href="{offer}?von=brief">unser Angebot</a>.')
        + '<p>--<br><a href="https://werkstatt-nord.example/">Werkstatt Nord</a></p>\n</body></html>\n'
    )
    head = (
        "Message-ID: <3f0f7a52-9a61-4c3e-8a55-0d2f6d3f5a10@werkstatt-nord.example>\n"
        "Date: Mon, 23 Nov 2026 12:00:00 +0100\nMIME-Version: 1.0\nUser-Agent: Mozilla Thunderbird\n"
        "Content-Language: de-DE\nTo: Anna Berg <anna@example.org>\nFrom: Jonas Holm <jonas@werkstatt-nord.example>\n"
        "Subject: Unser Angebot =?UTF-8?Q?f=C3=BCr_die_Werkbank?=\n"
        'Content-Type: multipart/alternative;\n boundary="------------0V9x2hQH7bXb8tS3f1aWZq5d"\n\n'
    )
    return _of_parts(head, "------------0V9x2hQH7bXb8tS3f1aWZq5d", text, html, "8bit")


def _newsletter(chance: random.Random, links: int, prose: int) -> tuple[str, str]:
    """Text and HTML of a newsletter with at least LINKS links: a product takes three, to one target."""
    blocks: list[str] = []
    lines: list[str] = []
    for number in range((links - 2) // 3):
        target = f"https://shop.example.com/de/hobel/{number}-{chance.choice(WORDS)}?utm_source=news&utm_campaign=kw48"
        title, said = _prose(chance, 28), _prose(chance, prose)
        blocks.append(_block(target.replace("&", "&amp;"), number, title, said))
        lines.append(f"{title}\n{said}\n{target}\n")
    html = _TOP + "".join(blocks) + _BOTTOM
    return "Neues aus der Werkstatt\n\n" + "\n".join(lines) + "\nWerkstatt Nord, Hafenweg 3, Kiel\n", html


def _block(target: str, number: int, title: str, said: str) -> str:
    font = "font-family:Helvetica,Arial,sans-serif"
    return f"""\
<!--[if mso | IE]><table role="presentation" border="0" cellpadding="0" cellspacing="0" width="600"><tr><td><![endif]-->
<table align="center" border="0" cellpadding="0" cellspacing="0" role="presentation" \
style="background:#ffffff;width:100%;">
  <tbody>
    <tr>
      <td style="direction:ltr;font-size:0px;padding:20px 0;text-align:center;vertical-align:top;">
        <a href="{target}" target="_blank"><img alt="{title}" src="https://cdn.example.com/bild/{number}.jpg" \
style="border:0;display:block;outline:none;text-decoration:none;height:auto;width:100%;font-size:13px;" width="550"></a>
      </td>
    </tr>
    <tr>
      <td align="left" style="font-size:0px;padding:10px 25px;word-break:break-word;">
        <h2 style="{font};font-size:20px;line-height:1.2;"><a href="{target}" style="color:#222222;">{title}</a></h2>
        <div style="{font};font-size:15px;line-height:1.5;text-align:left;color:#444444;">{said}</div>
      </td>
    </tr>
    <tr>
      <td align="center" bgcolor="#0b4f8a" role="presentation" style="border:none;border-radius:3px;cursor:auto;">
        <a href="{target}" style="display:inline-block;background:#0b4f8a;color:#ffffff;{font};font-size:13px;\
text-decoration:none;padding:10px 25px;border-radius:3px;" target="_blank">Jetzt ansehen &rarr;</a>
      </td>
    </tr>
  </tbody>
</table>
<!--[if mso | IE]></td></tr></table><![endif]-->
"""


_TOP = """\
<!doctype html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:v="urn:schemas-microsoft-com:vml" lang="de">
<head>
<title>Neues aus der Werkstatt</title>
<meta http-equiv="Content-Type" content="text/html; charset=UTF-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style type="text/css">
  #outlook a { padding:0; }
  body { margin:0;padding:0;-webkit-text-size-adjust:100%;-ms-text-size-adjust:100%; }
  table, td { border-collapse:collapse;mso-table-lspace:0pt;mso-table-rspace:0pt; }
  img { border:0;height:auto;line-height:100%; outline:none;text-decoration:none;-ms-interpolation-mode:bicubic; }
  p { display:block;margin:13px 0; }
  @media only screen and (min-width:480px) { .column { width:100% !important; max-width:100%; } }
</style>
<!--[if mso]>
<xml><o:OfficeDocumentSettings><o:AllowPNG/><o:PixelsPerInch>96</o:PixelsPerInch></o:OfficeDocumentSettings></xml>
<![endif]-->
</head>
<body style="word-spacing:normal;background-color:#f4f4f4;">
<div style="display:none;font-size:1px;color:#ffffff;line-height:1px;max-height:0px;overflow:hidden;">Neue Hobel</div>
<p><a href="https://shop.example.com/de/?utm_source=news">Zum Laden</a></p>
<!--[if mso]><v:roundrect href="https://shop.example.com/de/?utm_source=news" style="height:40px;width:200px;">
<center>Zum Laden</center></v:roundrect><![endif]-->
"""
_BOTTOM = """\
<p style="font-size:11px;color:#888888;">Werkstatt Nord, Hafenweg 3, Kiel.
<a href="https://shop.example.com/abmelden/8c1f?l=de">Abmelden</a>
<a href="mailto:post@werkstatt-nord.example">Schreiben</a></p>
</body>
</html>
"""


def _prose(chance: random.Random, size: int) -> str:
    words: list[str] = []
    while sum(map(len, words)) + len(words) < size:
        words.append(chance.choice(WORDS))
    return " ".join(words)


def _alternative(bodies: tuple[str, str], encoding: str) -> bytes:
    head = _head('multipart/alternative;\n\tboundary="=_news_2026_48_7f3a"')
    return _of_parts(head, "=_news_2026_48_7f3a", *bodies, encoding)


def _attached(chance: random.Random, bodies: tuple[str, str], size: int) -> bytes:
    """Two attachments of together SIZE octets, and the newsletter before them."""
    inner = 'Content-Type: multipart/alternative; boundary="=_inner"\n\n'
    files = b"".join(
        b"\r\n--=_outer\r\nContent-Type: application/pdf; name=%b\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment; filename=%b\r\n\r\n"
        % (name, name)
        + base64.encodebytes(chance.randbytes(size // 2)).replace(b"\n", b"\r\n")
        for name in (b"katalog.pdf", b"preise.pdf")
    )
    return (
        _head('multipart/mixed; boundary="=_outer"').replace("\n", "\r\n").encode()
        + b"--=_outer\r\n"
        + _of_parts(inner, "=_inner", *bodies, "quoted-printable")
        + files
        + b"--=_outer--\r\n"
    )


def _head(kind: str) -> str:
    """A header as it reaches the last relay before the recipients."""
    return f"""\
Return-Path: <bounce-8c1f@news.werkstatt-nord.example>
Received: from app3.werkstatt-nord.example (app3.werkstatt-nord.example [192.0.2.31])
\tby mx.werkstatt-nord.example (Postfix) with ESMTPS id 4XyZ1q0wJtz9sT
\tfor <anna@example.org>; Mon, 23 Nov 2026 12:00:01 +0100 (CET)
Received: from localhost (localhost [127.0.0.1])
\tby app3.werkstatt-nord.example (Postfix) with ESMTP id 4XyZ1p5zK8z1B
\tfor <anna@example.org>; Mon, 23 Nov 2026 12:00:00 +0100 (CET)
Date: Mon, 23 Nov 2026 12:00:00 +0100
From: =?utf-8?Q?Werkstatt_Nord_=E2=80=93_Jonas_Holm?= <jonas@werkstatt-nord.example>
Reply-To: Werkstatt Nord <post@werkstatt-nord.example>
To: Anna Berg <anna@example.org>
Message-ID: <5e0d2c8f.48.7f3a@news.werkstatt-nord.example>
Subject: =?utf-8?Q?Neue_Hobel=2C_gro=C3=9Fe_St=C3=BCcke_und_ein_Blick_in_die?=
\t=?utf-8?Q?_Werkstatt?=
MIME-Version: 1.0
List-Id: Neues aus der Werkstatt <neues.werkstatt-nord.example>
List-Unsubscribe: <https://shop.example.com/abmelden/8c1f?l=de>,
\t<mailto:abmelden@werkstatt-nord.example?subject=8c1f>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
Precedence: bulk
X-Mailer: news 4.2
X-Campaign: 2026-48
Feedback-ID: 48:8c1f:news
Content-Type: {kind}

"""


def _of_parts(head: str, boundary: str, text: str, html: str, encoding: str) -> bytes:
    out = [head.encode()]
    for kind, body in (("plain", text), ("html", html)):
        part = f"Content-Type: text/{kind}; charset=UTF-8\nContent-Transfer-Encoding: {encoding}\n\n"
        out.append(f"--{boundary}\n{part}".encode())
        out.append(_encoded(body.encode(), encoding))
        out.append(b"\n")
    out.append(f"--{boundary}--\n".encode())
    return b"".join(out).replace(b"\n", b"\r\n")


def _encoded(body: bytes, encoding: str) -> bytes:
    if encoding == "quoted-printable":
        return quopri.encodestring(body)
    return base64.encodebytes(body) if encoding == "base64" else body
