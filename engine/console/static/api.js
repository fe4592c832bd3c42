// Requests to the server that the page is of.

export class Refused extends Error {
  constructor(status, found) {
    super(found.message || `The server responds with ${status}`);
    this.status = status;
    this.code = found.code || "";
  }
}

let place = "";
export const at = () => place;
export const go = (to) => { place = to; };

async function send(path, options) {
  let response;
  try {
    response = await fetch(`console/${path}`, {credentials: "same-origin", cache: "no-store", ...options});
  } catch {
    throw new Refused(0, {message: "The server cannot be reached"});
  }
  const found = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, found);
  return found;
}

export function address(path, query = {}) {
  const given = new URLSearchParams({...(place ? {place} : {}), ...query}).toString();
  return given ? `${path}?${given}` : path;
}

export const get = (path, query) => send(address(path, query), {});
export const drop = (path) => send(path, {method: "DELETE"});

export const post = (path, members) => send(address(path), {
  method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(members),
});

/** What a service was asked for, or its refusal. */
async function asked(path, members) {
  const {result, fault} = await post(path, members);
  if (fault) throw new Refused(400, fault);
  return result;
}

/** An operation of a service, of those that the console may call. */
export const call = (service, operation, members = {}) => asked(`call/${service}/${operation}`, members);
export const test = (members) => asked("test", members);

/** What a call gives, or `otherwise` where there is no such thing. */
export async function optional(promise, otherwise) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof Refused && error.code.includes("NotFound")) return otherwise;
    throw error;
  }
}
