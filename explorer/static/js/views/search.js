import { ask } from "../api.js";
import { h } from "../dom.js";

export const page = {
  title: ({ asked }) => "Search for " + asked,
  async load({ query }) {
    const asked = query.get("q") || "";
    const { hits } = await ask("explorer/search?q=" + encodeURIComponent(asked));
    const link = hits.length === 1 ? "#/" + hits[0].page : null;
    if (link) location.replace(link); // one hit is where to go
    return { asked, hits };
  },
  draw: ({ asked, hits }) => h("div", {}, h("h1", { tabindex: "-1" }, "Search"),
    hits.length ? h("ul", {}, hits.map((hit) => h("li", { key: hit.page }, h("a", { href: "#/" + hit.page }, hit.title))))
      : h("p", {}, "Nothing here has the name ", h("code", { class: "asked" }, asked), ". Search for a number (12), a response (12/3), an address, or the first digits of a model id, root, salt, leaf, transaction or receipt id. Receipts of answers that nobody disputed are known to their provider’s node only.")),
  says: ({ hits }) => (hits.length ? "" : "nothing found"),
};

export const nowhere = {
  title: () => "Not here",
  load: async ({ parts }) => parts[0],
  draw: (path) => h("div", {}, h("h1", { tabindex: "-1" }, "Not here"), h("p", {}, "There is no page ", h("code", {}, path), ". ", h("a", { href: "#/" }, "To the overview"))),
};
