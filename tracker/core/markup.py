"""The grammar of tags: regular expressions and small readers after the tokenizer of the WHATWG HTML standard (13.2.5).

The law: each expression matches a text in one way only, or not at all, so that whatever fails, fails after one pass.
Possessive quantifiers stand over character classes only: CPython before 3.11.5 gets them wrong over groups.
"""

from __future__ import annotations

import re
from typing import Final

NAME_END: Final = rb"(?=[\t\n\f\r />])"
_VALUE: Final = rb"""(?:"[^"]*+"|'[^']*+'|[^\t\n\f\r "'>][^\t\n\f\r >]*+|(?=>))"""
ATTRIBUTES: Final = (
    rb"(?:[\t\n\f\r /]*+[^\t\n\f\r />][^\t\n\f\r />=]*+"  # a name may begin with "="
    rb'(?:="[^"]*+"'  # the common form comes first, for speed; the others exclude it
    rb'|(?!=")[\t\n\f\r ]*+(?:=[\t\n\f\r ]*+' + _VALUE + rb"|(?!=))))*"
)
TAG_END: Final = rb"[\t\n\f\r /]*+>"
_COMMON_HREF: Final = rb'(?:[\t\n\f\r ]href="(?P<href>[^"]++)"|(?![\t\n\f\r ]href="[^"]))'
"""The form of nearly all links: their first attribute is a quoted href."""
_REST: Final = rb"(?:>|" + ATTRIBUTES + TAG_END + rb")"
_RAW: Final = rb"script|style|textarea|title|xmp|iframe|noembed|noframes|plaintext"

_TAGS: Final = (
    rb"(?:(?=[aAvV])(?P<link>(?i:a|area|v:[a-z0-9]++))" + NAME_END
    + rb"(?P<attributes>" + _COMMON_HREF + ATTRIBUTES + rb")" + TAG_END
    + rb"|(?=[iI])(?i:img)" + NAME_END + rb"(?P<image>" + ATTRIBUTES + rb")" + TAG_END
    + rb"|/(?=[aAbBhH])(?P<end>(?i:a|body|html))" + NAME_END + _REST
    # Spelled by first letters: an alternative that begins otherwise is passed over at once.
    + rb"|(?P<open>[bB](?i:ody)|[sS](?i:cript|tyle)|[tT](?i:extarea|itle)|[xX](?i:mp)|[iI](?i:frame)"
    + rb"|[nN](?i:oembed|oframes)|[pP](?i:laintext))" + NAME_END + _REST
    + rb"|/?[A-Za-z][^\t\n\f\r />]*+" + _REST
)  # fmt: skip
_BOGUS: Final = rb"|(?:[?]|!(?!--)|/(?![A-Za-z]))[^>]*+>"  # bogus comments, and the doctype
_BROKEN: Final = rb"|(?P<broken>[A-Za-z!?/]))"

CONSTRUCT: Final = re.compile(rb"<" + _TAGS + rb"|!--(?:-?>|(?P<comment>(?s:.*?))--!?>)" + _BOGUS + _BROKEN)
"""Whatever begins with "<" and is not text. The last group says what it is: `attributes` (of a link), `image`, `end`,
`open`, `comment`, `broken` (it does not end); None for all that does not matter.
"""
CONSTRUCT_IN_COMMENT: Final = re.compile(rb"<" + _TAGS + _BOGUS + _BROKEN)
"""The same within a conditional comment, where no other comment can end: its beginning is `broken`."""
ATTRIBUTE: Final = re.compile(
    rb"[\t\n\f\r /]*+(?P<name>[^\t\n\f\r />][^\t\n\f\r />=]*+)"
    rb"(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+"
    rb"""(?:"(?P<double>[^"]*+)"|'(?P<single>[^']*+)'|(?P<bare>[^\t\n\f\r "'>][^\t\n\f\r >]*+))?)?"""
)
"""One of the attributes of a whole tag; without a value the last group is `name`."""
OPENED: Final = re.compile(rb"<(?P<name>[A-Za-z][^\t\n\f\r />]*+)(?P<attributes>" + ATTRIBUTES + rb")" + TAG_END)
CLOSED: Final = re.compile(rb"</(?P<name>[A-Za-z][^\t\n\f\r />]*+)")
CONDITION: Final = re.compile(rb"\[(?i:if\b)[^\]>]*+\]>")
"""How a comment begins that Outlook reads."""
VOID: Final = frozenset(b"area base br col embed hr img input link meta param source track wbr".split())
"""Elements without an end tag (13.1.2)."""

_RAW_ENDS: Final = {
    name: re.compile(rb"</(?i:" + name + rb")" + NAME_END) for name in _RAW.split(b"|") if name != b"plaintext"
}
_SCRIPT_TURN: Final = re.compile(rb"<!--|-->|<(?P<close>/?)(?i:script)(?=[\t\n\f\r />])")
_BREAKS: Final = re.compile(rb"<(?=/?(?i:br|img|p|div|table|tr|td|th|li|ul|ol|h[1-6]|hr)[\t\n\f\r />])")
_CUT_TAG: Final = re.compile(rb"<[^<>]*+\Z")


def raw_text_ends(name: bytes, body: bytes, start: int, end: int) -> int | None:
    """Where the end tag of the raw-text element NAME (lower case) stands, whose content begins at START; or None."""
    if name == b"plaintext":
        return None
    if name == b"script":
        return _script_ends(body, start, end)
    found = _RAW_ENDS[name].search(body, start, end)
    return found.start() if found else None


def _script_ends(body: bytes, start: int, end: int) -> int | None:
    """Where a script ends: 13.2.5.15 to 13.2.5.31, the "escaped" and "double escaped" states."""
    escaped = nested = False
    position = start
    while found := _SCRIPT_TURN.search(body, position, end):
        turn = found.group()
        position = found.end()
        if turn == b"<!--":
            escaped = True
            position -= 2  # "<!-->" ends at once
        elif turn == b"-->":
            escaped = nested = False
        elif found["close"]:
            if not nested:
                return found.start()
            nested = False
        else:
            nested = nested or escaped
    return None


def without_tags(markup: bytes, *, cut: bool) -> bytes:
    """The text of MARKUP; a blank stands where a line breaks. CUT: it may end within a tag."""
    tags = markup.count(b"<")
    if not tags:
        return markup
    if tags == 1 == markup.count(b">") and markup.startswith(b"<") and markup.endswith(b">"):
        return b" " if _BREAKS.match(markup) else b""  # a picture, as most links with a tag in them
    if cut:
        markup = _CUT_TAG.sub(b"", markup)
    markup = _BREAKS.sub(b" <", markup)
    kept: list[bytes] = []
    position = 0
    for found in CONSTRUCT.finditer(markup):
        kept.append(markup[position : found.start()])
        position = found.end()
        if found.lastgroup == "broken":  # nothing after it is seen; and looking on from each "<" would take for ever
            return b"".join(kept)
    return b"".join([*kept, markup[position:]])
