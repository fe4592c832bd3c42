// Elements. Whatever is shown goes in as text: there is no way here to make markup of it.

/** h("a", {href: "#/", class: "x", onclick: f}, "text", child, …). false, null and undefined are left out. */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function s(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== false && child !== null && child !== undefined) element.append(child);
  }
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

/** Sets it only when it is another: a text that stays costs no layout. */
export function text(element, value) {
  const wanted = String(value);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** A button that says what became of its work, which may fail. */
export function button(label, work, attributes = {}) {
  const note = h("span", {class: "note", role: "status"});
  const made = h("button", {type: "button", ...attributes, onclick: async () => {
    made.disabled = true;
    text(note, "…");
    try {
      text(note, (await work()) ?? "");
      note.className = "note";
    } catch (error) {
      text(note, error.message);
      note.className = "note bad";
    } finally {
      made.disabled = false;
    }
  }}, label);
  return h("span", {class: "act"}, made, note);
}

/** What a region shows until a promise has it, and when it fails. */
export async function loaded(element, promise, show) {
  replace(element, h("p", {class: "soft"}, "Loading…"));
  try {
    const found = await promise;
    replace(element, show(found));
  } catch (error) {
    replace(element, h("p", {class: "bad", role: "alert"}, error.message));
  }
}
