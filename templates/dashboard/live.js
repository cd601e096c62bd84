// Keeps the open list of messages as it is now. The page works whole without it.
"use strict";
(() => {
  const list = document.getElementById("feed");
  const news = document.getElementById("news");
  if (!list || !news || !window.EventSource) return;
  const source = new EventSource(list.dataset.live);

  // Lines that are there already stay, so that a screen reader says only what is new.
  const say = (lines) => {
    const wanted = [...lines];
    for (const line of [...news.children]) {
      const at = wanted.indexOf(line.textContent);
      if (at < 0) line.remove();
      else wanted.splice(at, 1);
    }
    for (const text of wanted.reverse()) {
      const line = document.createElement("p");
      line.textContent = text;
      news.prepend(line);
    }
  };

  // Whoever stands on a link of the list goes on standing on it.
  const show = (html) => {
    const at = list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    list.innerHTML = html;
    if (at === null) return;
    const same = [...list.querySelectorAll("a")].find((link) => link.getAttribute("href") === at);
    if (same) same.focus({ preventScroll: true });
  };

  // From the first event on the list is as it is now.
  source.addEventListener("feed", (event) => {
    const told = JSON.parse(event.data);
    show(told.list);
    say(told.said);
    list.dataset.kept = "";
  });
  source.addEventListener("over", () => source.close());
})();
