"""Shows the body of a message in a browser, tells what stands where, and reads the pictures that it takes."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from typing import Any, Final

from playwright.sync_api import Error, Page, Route, ViewportSize

SCREEN: Final[ViewportSize] = {"width": 800, "height": 600}
PHONE: Final[ViewportSize] = {"width": 360, "height": 640}
ADDRESS: Final = "https://mail.invalid/"
GIF: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

# What somebody who looks at the notice sees of it. Colours are those that stand on each other in the end.
_SEEN: Final = """() => {
    const notice = document.querySelector('div[data-tracker="notice"]');
    if (!notice) return null;
    notice.scrollIntoView({block: "center", inline: "nearest", behavior: "instant"});
    const box = notice.getBoundingClientRect(), style = getComputedStyle(notice);
    const texts = [], walker = document.createTreeWalker(notice, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode;
        if (!node.data.trim()) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const rectangle = range.getBoundingClientRect(), own = getComputedStyle(node.parentElement);
        const line = range.getClientRects()[0] || rectangle;
        const hit = document.elementFromPoint(line.x + Math.min(line.width / 2, 20), line.y + line.height / 2);
        let ground = node.parentElement;
        while (ground !== notice && getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)")
            ground = ground.parentElement;
        texts.push({
            text: node.data.trim(),
            within: rectangle.left >= box.left && rectangle.right <= box.right + 1
                && rectangle.top >= box.top && rectangle.bottom <= box.bottom + 1,
            on_top: hit !== null && notice.contains(hit),
            size: parseFloat(own.fontSize),
            ink: own.color,
            ground: getComputedStyle(ground).backgroundColor,
            shown: node.parentElement.checkVisibility(
                {opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true}),
        });
    }
    let opacity = 1;
    for (let one = notice; one; one = one.parentElement) opacity *= parseFloat(getComputedStyle(one).opacity);
    return {
        box: {left: box.left + scrollX, top: box.top + scrollY, right: box.right + scrollX,
              bottom: box.bottom + scrollY},
        in_link: notice.parentElement.closest("a, button, label, summary") !== null,
        clickable: [...notice.querySelectorAll("a[href]")].length,
        opacity, texts,
    };
}"""

# Scrolls to the top and stops whatever moves by itself.
_HOLD_STILL: Final = """() => {
    scrollTo(0, 0);
    for (const one of document.getAnimations()) { one.pause(); one.currentTime = 0; }
    for (const one of document.querySelectorAll("video, audio")) one.style.visibility = "hidden";
}"""

# A number for each row of a picture: equal rows have equal numbers. Within the box its columns do not count.
_ROWS: Final = """async ([png, left, top, right, bottom]) => {
    const octets = Uint8Array.from(atob(png), letter => letter.charCodeAt(0));
    const image = await createImageBitmap(new Blob([octets]));
    const {width, height} = image, canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", {willReadFrequently: true});
    context.drawImage(image, 0, 0);
    const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
    const sum = (at, from, to, seed) => {
        for (let column = from; column < to; column++)
            seed = Math.imul(seed ^ pixels[at + column] ^ column, 0x01000193) + (seed >>> 15) | 0;
        return seed;
    };
    const rows = [], beside = [];
    for (let row = 0; row < height; row++) rows.push(sum(row * width, 0, width, 0x811c9dc5));
    for (let row = Math.max(top - 1, 0); row < Math.min(bottom + 1, height); row++)
        beside.push(sum(row * width, Math.min(right, width), width, sum(row * width, 0, left, 7)));
    return [width, rows, beside];
}"""


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels that holds another."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


@dataclass(frozen=True)
class Picture:
    """What a page looks like, row by row."""

    width: int
    rows: list[int]
    """Equal rows have equal numbers."""
    beside: list[int]
    """The same of what stands left and right of a box, from the row above it to the row below it."""


class Screen:
    """Shows one body after the other in the same page, without anything from elsewhere."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._body = b""
        self._type = ""
        self._session = page.context.new_cdp_session(page)
        page.route("**/*", self._answer)

    def show(self, body: bytes, charset: str) -> None:
        """Open BODY as a browser reads it that was told CHARSET."""
        self._body, self._type = body, f"text/html; charset={charset}"
        self._page.goto(ADDRESS, wait_until="load")

    def picture(self) -> str:
        """The whole page as base64 of a PNG."""
        self._page.evaluate(_HOLD_STILL)
        size = self._session.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        options = {"format": "png", "optimizeForSpeed": True, "captureBeyondViewport": True, "clip": clip}
        for tries_left in (2, 1, 0):
            try:
                taken: str = self._session.send("Page.captureScreenshot", options)["data"]
            except Error as error:  # a busy machine's Chromium sometimes has no frame to give just then
                if not tries_left or "Unable to capture screenshot" not in error.message:
                    raise
            else:
                return taken
        raise AssertionError("not reached")

    def notice(self) -> dict[str, Any] | None:
        """What is seen of the notice."""
        seen: dict[str, Any] | None = self._page.evaluate(_SEEN)
        return seen

    def turn(self, size: ViewportSize) -> None:
        """Give the window another SIZE."""
        self._page.set_viewport_size(size)

    def darken(self, dark: bool) -> None:
        """Prefer dark colours, or light ones."""
        self._page.emulate_media(color_scheme="dark" if dark else "light")

    def _answer(self, route: Route) -> None:
        url = route.request.url
        if url == ADDRESS and route.request.is_navigation_request() and route.request.frame == self._page.main_frame:
            route.fulfill(body=self._body, content_type=self._type)
        elif "/o/" in url and url.endswith(".gif"):
            route.fulfill(body=GIF, content_type="image/gif")
        else:
            route.abort()


class Pictures:
    """Reads pictures."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def read(self, png: str, box: Box = Box()) -> Picture:
        """PNG in base64, with BOX cut out of `beside`."""
        return Picture(*self._page.evaluate(_ROWS, [png, box.left, box.top, box.right, box.bottom]))
