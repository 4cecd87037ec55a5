// Small pieces of pages.

import { h } from "./dom.js";
import { short, when, iso, words } from "./format.js";
import { GLOSSARY } from "./glossary.js";
import { announce } from "./live.js";

/** A word with its meaning on hover and focus. */
export const term = (name, text) =>
  h("span", { class: "term", tabindex: "0", "data-term": name }, text || GLOSSARY[name][0]);

/** A hash or address, shortened, with a button that copies all of it. `page`: where it leads. */
export function hash(value, what, page) {
  if (!value) return "–";
  const shown = page ? h("a", { href: "#/" + page, title: value }, short(value)) : h("span", { title: value }, short(value));
  return h("span", { class: "hash" }, shown, copyButton(value, what));
}

export const copyButton = (value, what) =>
  h("button", { class: "copy", type: "button", "data-copy": value, "aria-label": "Copy " + what + " " + short(value), onclick: copied },
    h("svg", { viewBox: "0 0 16 16", width: "14", height: "14", "aria-hidden": "true" },
      h("path", { d: "M5 5V2h9v9h-3M2 5h9v9H2z", fill: "none", stroke: "currentColor", "stroke-width": "1.5", "stroke-linejoin": "round" })));

async function copied(event) {
  const button = event.currentTarget, value = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(value);
  } catch { // pages without TLS have no clipboard
    const field = document.createElement("textarea");
    field.value = value;
    field.className = "hidden";
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  announce("copied");
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 1200);
}

export const time = (seconds) => (seconds ? h("time", { datetime: iso(seconds) }, when(seconds)) : "not known");

const COLOURS = {
  pending: "warn", disputed: "bad", final: "good", void: "bad", "can be disputed": "warn", "waits to be finalised": "warn",
  provider_won: "good", challenger_won: "bad", response_voided: "bad", open: "link", private: "link", deprecated: "warn", paused: "bad",
};
const NAMES = { provider_won: "answer stands", challenger_won: "answer is void", response_voided: "void by another dispute" };
export const pill = (state) => h("span", { class: "pill " + (COLOURS[state] || "plain") }, NAMES[state] || words(state));

export const model = (label) =>
  h("span", { class: "hash" }, h("a", { href: "#/models/" + label.model_id, title: label.model_id }, label.name || short(label.model_id)),
    copyButton(label.model_id, "model id"));
export const account = (address, what = "address") => hash(address, what, "accounts/" + address);
export const response = (batch, index) => h("a", { href: `#/responses/${batch}/${index}` }, `${batch} / ${index}`);

/** Rows of (label, value), those without a value left out. */
export const facts = (rows) =>
  h("dl", { class: "facts" }, rows.filter((row) => row && row[1] !== null && row[1] !== undefined)
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

/** A table that becomes a list of cards on a narrow screen. rows: {key, cells}. */
export const table = (caption, heads, rows, empty) =>
  rows.length === 0 ? h("p", { class: "empty" }, empty)
    : h("div", { class: "scroll" }, h("table", {}, h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map((row) => h("tr", { key: row.key },
        row.cells.map((cell, place) => h("td", { "data-label": labelOf(heads[place]) }, cell)))))));

const labelOf = (head) => (typeof head === "string" ? head : head.kids.join(""));

export const tile = (label, value, page) =>
  h("div", { class: "tile" }, h("span", {}, label), h("b", {}, page ? h("a", { href: "#/" + page }, value) : value));

/** Links to newer and older entries of a list. `here`: the list's own part of the link. */
export function pager(here, page, entries, shown) {
  const link = (text, before, rel) => h("a", { class: "button", rel, href: "#/" + here + (here.includes("?") ? "&" : "?") + "before=" + before }, text);
  const newest = page.at === null || page.at >= page.total;
  const size = 25;
  return h("nav", { class: "pager", "aria-label": "Parts of the list" },
    newest ? null : h("a", { class: "button", href: "#/" + here }, "Newest"),
    newest ? null : link("Newer", Math.min(page.total, page.at + size), "prev"),
    h("span", { class: "soft" }, shown ? `${shown} of ${entries}` : ""),
    page.before ? link("Older", page.before, "next") : null,
    page.before ? link("Oldest", Math.min(size, page.total), "last") : null);
}
