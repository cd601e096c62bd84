"""Names user agents that fetch what stands in mails, each with the source of that knowledge.

Facts, no code: `core/classify` reads them. Their real user agents stand in tests/data/agents.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

PROXIES: Final = (
    # support.google.com/mail/answer/145919 and filippo.io/how-the-new-gmail-image-proxy-works: fetched on opening
    "GoogleImageProxy",
    # help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html: Yahoo and AOL
    "YahooMailProxy",
    # fastmail.com/policies/bots: "When a user opens an email with links to embedded images"
    "FastmailUA/",
    # hey.com/image-proxy: "images that are explicitly referenced in emails viewed by HEY users"
    "hey.com/imageproxy",
    # Seznam.cz, WP.pl and Shortwave: known by their names; when they fetch is documented nowhere
    "SeznamEmailProxy",
    "WPImageProxy",
    "Shortwave Image Fetcher",
)
"""Image proxies of mail services, by what their user agents contain. Outlook.com's and Proton's give no name."""

SCANNERS: Final = re.compile(
    "|".join(
        (
            r"barracuda",  # "Barracuda Sentinel (EE)": Braze's documentation of clicks that are no people's
            r"mimecast",
            r"proofpoint|urldefense",
            r"safe ?links",  # Microsoft Defender for Office 365
            r"messagelabs",  # not Symantec, whose name old browsers bear ("Installed by Symantec Package")
            r"cisco ?secure|ironport",
            r"trend micro",
            r"forcepoint|websense",
            r"fireeye|trellix",
            r"fortinet|fortiguard",
            r"sophos",
            r"cloudmark",
            r"scmguard",
            r"zscaler",
        )
    )
)
"""Makers of mail filters, in lower case, by the name that some of their fetchers give. Most go as a browser: those are
told by their haste (`core/bursts`), if at all."""

OWN_WORDS: Final = re.compile(r"(?<!cu)bot\b|crawl|spider|scanner|link.?check|url.?preview|headless|monitoring")
"""What robots that stand in no list say of themselves, in lower case. A CUBOT is a telephone."""

ORDINARY: Final = re.compile(
    r"""(?:
        (?: Mozilla/5\.0
          | \( (?: Windows\ NT\ \d+\.\d (?:;\ Win64;\ x64|;\ WOW64)?
                 | Macintosh;\ Intel\ Mac\ OS\ X\ [\d._]+
                 | X11;\ (?:Ubuntu;\ )?Linux\ (?:x86_64|i686|aarch64)
                 | X11;\ CrOS\ x86_64\ [\d.]+
                 | iPhone;\ CPU\ iPhone\ OS\ [\d_]+\ like\ Mac\ OS\ X
                 | iPad;\ CPU\ OS\ [\d_]+\ like\ Mac\ OS\ X
                 | Linux;\ Android\ [\d.]+ (?:;\ (?:K|SM-[A-Z]\d{3}[A-Z]?|Pixel\ \da?(?:\ Pro)?))?
                 | Android\ [\d.]+;\ (?:Mobile|Tablet)
               ) (?:;\ rv:[\d.]+)? \)
          | \(KHTML,\ like\ Gecko\)
          | (?:AppleWebKit|Chrome|CriOS|EdgA?|EdgiOS|Firefox|FxiOS|GSA|Gecko|OPR|Safari|SamsungBrowser|Thunderbird
              |Version)/[\d.]+
          | Mobile/\d+[A-Z]\d{1,4}[a-f]?
          | Mobile
          # Outlook for Windows
          | Mozilla/4\.0\ \(compatible (?:;\ (?:MSIE\ 7\.0|Windows\ NT\ (?:6\.[1-3]|10\.0)|Win64|x64|WOW64
              |Trident/[4-8]\.0|\.NET(?:\ CLR\ )?[\d.]+[CE]?|Media\ Center\ PC\ 6\.0|Tablet\ PC\ 2\.0|InfoPath\.\d|SLCC2
              |Microsoft\ Outlook\ [\d.]+|ms-office|MSOffice\ \d+))+ \)
          # Gmail's proxy, which opens more mail than anybody
          | \(Windows\ NT\ 5\.1;\ rv:11\.0\)\ Gecko\ Firefox/11\.0\ \(via\ ggpht\.com\ GoogleImageProxy\)
        ) (?:\ +|$)
    )+""",
    re.VERBOSE,
)
"""Matches whole user agents of browsers, in which nothing else need be looked for (a test shows that it is not there):
it spares them the long lists. What it does not know takes some tens of microseconds more and has the same verdict.
"""

MICROSOFTS_FILTER: Final[tuple[IPv4Network | IPv6Network, ...]] = tuple(
    ip_network(network)
    for network in (
        "40.92.0.0/15",
        "40.107.0.0/16",
        "52.100.0.0/14",
        "52.238.78.88/32",
        "104.47.0.0/17",
        "2a01:111:f400::/48",
        "2a01:111:f403::/48",
    )
)
"""Exchange Online Protection, where Safe Links tries links before delivery: endpoint sets 9 and 10 of "Office 365 URLs
and IP address ranges" (*.protection.outlook.com), as of September 2026. No mailbox is read from there; Outlook on the
web and its image proxy have other addresses, so that opens are never judged by an address.
"""
