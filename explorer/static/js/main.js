// From the part of the address behind # to a page, again and again.

import { ask } from "./api.js";
import { h, patch } from "./dom.js";
import { count, when } from "./format.js";
import { announce } from "./live.js";
import { hash } from "./parts.js";
import * as tips from "./tips.js";
import * as accounts from "./views/accounts.js";
import * as batches from "./views/batches.js";
import * as games from "./views/games.js";
import * as glossary from "./views/glossary.js";
import * as home from "./views/home.js";
import * as models from "./views/models.js";
import * as responses from "./views/responses.js";
import * as search from "./views/search.js";

// A page: {title(data), load(parameters), draw(data, now), says(data)?}; `says` is announced when it changes.
const PAGES = [
  [/^$/, home.page],
  [/^games$/, games.list],
  [/^games\/(\d+)$/, games.page],
  [/^responses$/, responses.list],
  [/^responses\/(\d+)\/(\d+)$/, responses.page],
  [/^batches$/, batches.list],
  [/^batches\/(\d+)$/, batches.page],
  [/^audits$/, games.audits],
  [/^models$/, models.list],
  [/^models\/(0x[0-9a-f]{64})$/i, models.page],
  [/^accounts$/, accounts.list],
  [/^accounts\/(0x[0-9a-f]{40})$/i, accounts.page],
  [/^search$/, search.page],
  [/^glossary$/, glossary.page],
];
const LOOK_MS = 1500, HIDDEN_MS = 15000;

const main = document.getElementById("main"), trouble = document.getElementById("trouble"), foot = document.getElementById("foot");
let route = null, data = null, whole = null, skew = 0, said = null, timer = 0, missing = null;

function routeOf(fragment) {
  const [path, query] = fragment.replace(/^#\/?/, "").split("?");
  for (const [pattern, page] of PAGES) {
    const match = pattern.exec(path);
    if (match) return { fragment, path, page, parameters: { parts: match.slice(1), query: new URLSearchParams(query || "") } };
  }
  return { fragment, path, page: search.nowhere, parameters: { parts: [path], query: new URLSearchParams() } };
}

const now = () => Date.now() / 1000 + skew;

async function look() {
  const asked = route;
  try {
    const [overview, page] = await Promise.all([ask("explorer"), asked.page.load(asked.parameters)]);
    if (asked !== route) return; // somebody went elsewhere meanwhile
    whole = overview;
    data = page;
    missing = null;
    // The chain's clock where it is ahead of this machine's; a chain that stands still is no clock.
    skew = Math.max(0, whole.chain.time - Date.now() / 1000);
    trouble.hidden = true;
  } catch (problem) {
    if (asked !== route) return;
    if (problem.status === 404) missing = problem.message;
    else {
      trouble.textContent = "Nothing new can be read (" + problem.message + "). This page tries again.";
      trouble.hidden = false;
    }
  }
  draw();
}

function draw() {
  if (missing !== null) patch(main, [h("h1", { tabindex: "-1" }, "Not here"), h("p", {}, missing)]);
  else if (data !== null && whole !== null) {
    patch(main, [route.page.draw(data, { now: now(), whole, redraw: draw })]);
    document.title = route.page.title(data) + " · Gainsay explorer";
    speak();
  }
  if (whole !== null) patch(foot, footer());
}

function speak() {
  if (!route.page.says) return;
  const words = route.page.says(data);
  if (said !== null && words !== said && words) announce(words);
  said = words;
}

function footer() {
  const chain = whole.chain, sync = whole.sync;
  const behind = chain.head - chain.read_to;
  const read = sync.caught_up || behind <= 0 ? "block " + count(chain.head)
    : `reading block ${count(Math.max(0, chain.read_to))} of ${count(chain.head)}`;
  return [
    h("p", {}, "Chain " + chain.id + ", " + read, sync.problem ? h("span", { class: "bad" }, " · " + sync.problem) : null,
      chain.delayed_until > now() ? " · a guardian delays new batches and rewards until " + when(chain.delayed_until) : null,
      whole.unreadable ? ` · ${whole.unreadable} events cannot be read by this release` : null),
    h("p", { class: "soft" }, "Drawn from the chain’s events alone. Contracts: ledger ", hash(whole.contracts.ledger, "ledger"), ", disputes ",
      hash(whole.contracts.game, "dispute contract"), ", stakes ", hash(whole.contracts.stake, "vault"),
      whole.served_by && whole.served_by.provider ? [", served by the node of ", hash(whole.served_by.provider, "provider", "accounts/" + whole.served_by.provider)] : null),
  ];
}

async function go(first) {
  route = routeOf(location.hash);
  data = null; missing = null; said = null;
  for (const link of document.querySelectorAll("#nav a")) {
    const target = link.hash.replace(/^#\/?/, "");
    if (target === route.path.split("/")[0]) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  clearTimeout(timer);
  await look();
  const heading = main.querySelector("h1");
  if (!first && heading) { window.scrollTo(0, 0); heading.focus({ preventScroll: true }); }
  again();
}

function again() {
  clearTimeout(timer);
  timer = setTimeout(async () => { await look(); again(); }, document.hidden ? HIDDEN_MS : LOOK_MS);
}

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = document.getElementById("q").value.trim();
  if (asked) location.hash = "#/search?q=" + encodeURIComponent(asked);
});
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
window.addEventListener("hashchange", () => go(false));
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
window.addEventListener("resize", draw);
setInterval(draw, 1000); // clocks run on between two looks
tips.start();
go(true);
