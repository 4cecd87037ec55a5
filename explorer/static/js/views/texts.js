// Prompt and answer in words: shown to whoever has the answer's own id, which only its client was given, or the operator's key.

import { ask, hasKey, setKey } from "../api.js";
import { h } from "../dom.js";
import { announce } from "../live.js";

export async function textOf(batch, index) {
  if (!hasKey()) return null;
  try {
    return await ask(`texts/${batch}/${index}`);
  } catch (problem) {
    if (problem.status === 403 || problem.status === 404) return { refused: problem.message };
    throw problem;
  }
}

/** `whole.served_by.texts`: whether the server knows texts at all. */
export function texts(text, whole, redraw) {
  if (!whole.served_by || !whole.served_by.texts) {
    return h("section", {}, h("h2", {}, "Prompt and answer"), h("p", { class: "soft" }, "These pages know the chain only, and texts are not on it. The provider’s own pages show them to whoever asked for the answer."));
  }
  if (text && text.prompt !== undefined) {
    return h("section", { class: "texts" }, h("h2", {}, "Prompt and answer"),
      h("h3", {}, "Prompt"), h("p", { class: "text" }, text.prompt), h("h3", {}, "Answer"), h("p", { class: "text" }, text.answer),
      h("button", { type: "button", onclick: () => { setKey(null); announce("texts are hidden"); location.reload(); } }, "Hide texts"));
  }
  return h("section", {}, h("h2", {}, "Prompt and answer"),
    h("p", {}, "Shown to whoever got this answer: give its id (", h("code", {}, "id"), " in the answer, ", h("code", {}, "chatcmpl-…"), "), or the operator’s key. It is kept in this page until it is closed."),
    h("form", { class: "key", onsubmit: take },
      h("label", { for: "key" }, "Id of the answer, or key"),
      h("input", { id: "key", type: "password", autocomplete: "off", maxlength: "300", spellcheck: "false" }), h("button", {}, "Show texts")),
    text && text.refused ? h("p", { class: "bad", role: "status" }, text.refused) : null);
  function take(event) {
    event.preventDefault();
    setKey(event.currentTarget.querySelector("input").value.trim());
    window.dispatchEvent(new Event("hashchange"));
    redraw();
  }
}
