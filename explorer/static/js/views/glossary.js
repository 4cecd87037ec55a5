import { h } from "../dom.js";
import { GLOSSARY } from "../glossary.js";

export const page = {
  title: () => "Glossary",
  load: async () => Object.values(GLOSSARY).sort((one, other) => one[0].localeCompare(other[0])),
  draw: (entries) => h("div", {}, h("h1", { tabindex: "-1" }, "Glossary"),
    h("dl", { class: "glossary" }, entries.map(([word, meaning]) => h("div", { key: word }, h("dt", {}, word), h("dd", {}, meaning))))),
};
