import { ask } from "../api.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { account, copyButton, facts, hash, model, pill, table, term } from "../parts.js";

export const list = {
  title: () => "Models",
  load: () => ask("explorer/models"),
  draw: ({ models }) => h("div", {}, h("h1", { tabindex: "-1" }, "Models"),
    h("p", { class: "lead" }, "Anybody may register a ", term("model"), "; its id follows from everything that it is."),
    table("Models", ["model", "kind", "steps", "longest text", "responses", "registered by"], models.map((one) => ({
      key: one.model_id,
      cells: [model(one), h("span", {}, pill(one.private ? "private" : "public"), one.deprecated ? pill("deprecated") : null), count(one.steps), count(one.positions) + " tokens",
        h("a", { href: "#/responses?model=" + one.model_id }, count(one.responses)), account(one.registrant, "registrant")],
    })), "No model is registered yet.")),
};

export const page = {
  title: (one) => "Model " + (one.name || one.model_id.slice(0, 10)),
  load: ({ parts }) => ask("explorer/models/" + parts[0]),
  draw: (one) => h("div", {}, h("h1", { tabindex: "-1" }, "Model " + (one.name || one.model_id.slice(0, 10) + "…"), " ", one.deprecated ? pill("deprecated") : null),
    h("p", { class: "lead" }, one.private ? "Its weights are secret: chosen steps of its answers are audited."
      : "Whoever has these weights can run every answer again, bit for bit."),
    facts([
      ["id", h("span", { class: "hash long" }, h("code", {}, one.model_id), copyButton(one.model_id, "model id"))],
      ["registered by", account(one.registrant, "registrant")],
      ["responses", h("a", { href: "#/responses?model=" + one.model_id }, count(one.responses))],
      ["batches", h("a", { href: "#/batches?model=" + one.model_id }, count(one.batches))],
      [term("step", "steps"), `${count(one.steps)} of ${count(one.kinds)} kinds`],
      ["vocabulary", count(one.vocabulary)],
      ["longest text", count(one.positions) + " tokens"],
      ["architecture", hash(one.spec.architecture_digest, "architecture digest")],
      ["weights", hash(one.spec.step_keys_root, "root of step keys")],
      ["token rows", hash(one.spec.embedding_rows_root, "root of token rows")],
      ["tokenizer", hash(one.spec.tokenizer_digest, "tokenizer digest")],
      ["reference string", hash(one.spec.srs_digest, "digest of the reference string")],
      ["transaction", hash(one.transaction, "transaction")],
    ]),
    h("h2", {}, "Verifiers"),
    table("Verifiers", ["of", "contract"], [["embedding", one.embedding_verifier], ["head", one.head_verifier],
      ...one.step_verifiers.map((address, kind) => ["steps of kind " + kind, address])].map(([name, address]) => ({ key: name, cells: [name, hash(address, "verifier")] })), "")),
};
