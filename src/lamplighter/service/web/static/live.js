// Keeps a campaign's page up to date by server-sent events. Without it the page is as it was when it was loaded.
"use strict";

const SILENT_MILLISECONDS = 40000; // a live stream says something every 15 seconds

function spanOf(microseconds) {
  const parts = [[86400e6, "d"], [3600e6, "h"], [60e6, "min"], [1e6, "s"]];
  let left = Math.abs(microseconds);
  const said = [];
  for (const [size, unit] of parts) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) said.push(count + " " + unit);
    else if (said.length) break;
    if (said.length === 2) break;
  }
  return said.join(" ") || "0 s";
}

function tellRelative(root, now) {
  root.querySelectorAll(".rel[data-at]").forEach((element) => {
    const distance = Number(element.dataset.at) - now;
    element.textContent = distance >= 0 ? "in " + spanOf(distance) : spanOf(distance) + " ago";
  });
}

document.addEventListener("DOMContentLoaded", () => {
  const live = document.getElementById("live");
  if (!live) return;
  tellRelative(live, Number(live.dataset.now));
  if (!live.dataset.events) return;
  const state = document.getElementById("live-state");
  const status = document.getElementById("live-status");
  const figure = document.getElementById("progress-chart");
  let heard = Date.now();
  const shown = new Map();
  let first = status.textContent.trim();
  const say = (text) => { if (state.textContent !== text) state.textContent = text; };
  const clock = (iso) => iso.slice(0, 19).replace("T", " ") + " UTC";

  // Each part as the server rendered and escaped it; what somebody has opened or stands on stays so.
  const put = (parts) => {
    for (const place of live.querySelectorAll("[data-part]")) {
      const html = parts[place.dataset.part];
      if (html === undefined || shown.get(place) === html) continue;
      shown.set(place, html);
      const open = Array.from(place.querySelectorAll("details[open]"), (it) => it.id);
      const focused = place.contains(document.activeElement) ? document.activeElement : null;
      const href = focused && focused.getAttribute("href");
      const mark = focused && (focused.id ? "#" + CSS.escape(focused.id) : href ? 'a[href="' + CSS.escape(href) + '"]' : null);
      const scrolled = Array.from(place.querySelectorAll(".scroll"), (it) => it.scrollLeft);
      place.innerHTML = html;
      for (const id of open) {
        const found = id && document.getElementById(id);
        if (found) found.open = true;
      }
      place.querySelectorAll(".scroll").forEach((it, index) => { it.scrollLeft = scrolled[index] || 0; });
      const found = mark && place.querySelector(mark);
      if (found) found.focus({ preventScroll: true });
    }
  };

  const source = new EventSource(live.dataset.events);
  source.addEventListener("state", (event) => {
    heard = Date.now();
    const news = JSON.parse(event.data);
    put(news.parts);
    status.innerHTML = news.status;
    if (figure) updateChart(figure, news.chart);
    const word = status.textContent.trim();
    if (word !== first) {
      first = word; // what can be done has changed: the forms are the page's own
      const note = document.getElementById("acts-stale");
      if (note) note.hidden = false;
    }
  });
  source.addEventListener("tick", (event) => {
    heard = Date.now();
    const at = JSON.parse(event.data).at;
    say("Live, as of " + clock(at));
    tellRelative(live, Date.parse(at) * 1000);
  });
  source.addEventListener("trouble", (event) => {
    heard = Date.now();
    const at = JSON.parse(event.data).at;
    say("Not up to date: the database does not answer" + (at ? ". What you see is of " + clock(at) : ""));
  });
  source.addEventListener("over", () => { source.close(); say("It has ended; this is how it stands."); });
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) say("Live updates have ended: load the page anew.");
    else if (Date.now() - heard > 10000) say("Not connected; trying again.");
  };
  setInterval(() => {
    if (source.readyState !== EventSource.CLOSED && Date.now() - heard > SILENT_MILLISECONDS) say("Nothing heard for a while: load the page anew to be sure.");
  }, 5000);
});
