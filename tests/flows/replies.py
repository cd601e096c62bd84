"""The offer that Anna got, tracked, and which the golden replies in tests/data/replies quote."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data" / "replies"
OFFER = b"""\
From: Jonas Brandt <jonas@werkstatt-nord.example>\r
To: Anna Keller <anna@example.org>\r
Subject: Angebot 2026-118\r
Message-ID: <offer-118@werkstatt-nord.example>\r
Content-Type: text/html; charset=utf-8\r
\r
<p>Guten Tag Anna, hier ist <a href="https://shop.example/a?b=1&amp;c=2">das Angebot</a>.</p>\r
"""
