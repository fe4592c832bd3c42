// A function's source files.

import {get} from "./api.js";
import {h, loaded, replace} from "./dom.js";
import {bytes} from "./format.js";

export function code(inner, name) {
  const list = h("ul", {class: "files"}), view = h("div", {class: "source"});
  loaded(inner, get("code", {function: name}), (found) => {
    const first = found.files.find(([path]) => path.endsWith(".py") && !path.includes("/")) || found.files[0];
    replace(list, found.files.map(([path, size]) => h("li", {}, h("button", {type: "button", class: "quiet file",
      onclick: (event) => open(path, event.currentTarget)}, h("span", {}, path), h("span", {class: "soft"}, bytes(size))))));
    if (first) open(first[0], [...list.querySelectorAll("button")].find((each) => each.firstChild.textContent === first[0]));
    return [h("h2", {}, "Code"), found.more && h("p", {class: "soft"}, "Not all files are listed."),
      found.files.length ? h("div", {class: "code"}, list, view) : h("p", {class: "soft"}, "The package has no files.")];
  });

  function open(path, button) {
    for (const each of list.querySelectorAll("[aria-pressed]")) each.removeAttribute("aria-pressed");
    button.setAttribute("aria-pressed", "true");
    loaded(view, get("code", {function: name, path}), (found) => {
      if (found.text === null) return h("p", {class: "soft"}, `${path}: ${bytes(found.size)}, which is no text, or too long`);
      const lines = found.text.replace(/\n$/, "").split("\n");
      const numbers = lines.map((_, index) => index + 1).join("\n");
      return h("div", {class: "listingcode", tabindex: 0, role: "region", "aria-label": path},
        h("pre", {class: "numbers", "aria-hidden": "true"}, numbers), h("pre", {}, lines.join("\n")));
    });
  }
}
