// Where requests must be signed: the way in, by an access key and its secret.

import {post} from "./api.js";
import {h, replace, text} from "./dom.js";

export const enter = (given) => post("session", given);

export function entrance(main) {
  const note = h("p", {class: "bad", role: "alert"});
  const key = h("input", {id: "key", autocomplete: "username", required: true, spellcheck: "false"});
  const secret = h("input", {id: "secret", type: "password", autocomplete: "current-password", required: true});
  const form = h("form", {class: "card signin", onsubmit: async (event) => {
    event.preventDefault();
    try {
      await enter({key: key.value.trim(), secret: secret.value});
      location.reload();
    } catch (error) {
      text(note, error.message);
    }
  }}, h("h1", {}, "Sign in"),
  h("p", {class: "soft"}, "Use the link that stoker serve printed when it started, or an access key of its credentials."),
  h("label", {for: "key"}, "Access key"), key, h("label", {for: "secret"}, "Secret access key"), secret,
  h("button", {}, "Sign in"), note);
  replace(main, form);
  key.focus();
}
