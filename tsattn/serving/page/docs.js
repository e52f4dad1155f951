// The page with the OpenAPI document: every request with its parameters, and the schemas of its body and answer.

import { el } from "./elements.js";

const find = (id) => document.getElementById(id);
const MAX_DEPTH = 6;

/** Return a schema with its references replaced, as far as they are not nested in themselves. */
function resolve(part, document, depth = 0) {
  if (Array.isArray(part)) return part.map((item) => resolve(item, document, depth));
  if (part === null || typeof part !== "object") return part;
  if (part.$ref) {
    const keys = part.$ref.replace("#/", "").split("/");
    if (depth >= MAX_DEPTH) return keys.at(-1);
    return resolve(keys.reduce((at, key) => at[key], document), document, depth + 1);
  }
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, resolve(value, document, depth)]));
}

function bodies(title, content, document) {
  return Object.entries(content ?? {}).flatMap(([kind, { schema }]) => [
    el("h3", {}, `${title}, ${kind}`),
    el("pre", { tabindex: "0" }, JSON.stringify(resolve(schema, document), null, 2)),
  ]);
}

function operation(method, path, described, document) {
  const parameters = (described.parameters ?? []).flatMap(({ name, description }) => [el("dt", {}, name), el("dd", {}, description ?? "")]);
  return el(
    "details",
    { class: "card operation" },
    el("summary", {}, el("b", {}, method.toUpperCase()), el("code", {}, path), el("span", {}, described.summary)),
    ...(parameters.length ? [el("dl", {}, ...parameters)] : []),
    ...bodies("Body", described.requestBody?.content, document),
    ...bodies("Answer", described.responses?.["200"]?.content, document),
  );
}

async function load(token = "") {
  const response = await fetch("openapi.json", { headers: token ? { authorization: `Bearer ${token}` } : {}, cache: "no-store" });
  find("access").hidden = response.status !== 401;
  if (!response.ok) throw new Error(response.status === 401 ? "The server requires a token." : `The server responded with ${response.status}.`);
  const document = await response.json();
  find("error").hidden = true;
  find("name").textContent = document.info.title;
  find("about").textContent = `OpenAPI ${document.openapi}, tsattn ${document.info.version}. ${document.info.description}`;
  const paths = Object.entries(document.paths).sort(([one], [other]) => (other === "/v1/forecast") - (one === "/v1/forecast"));
  find("operations").replaceChildren(
    ...paths.flatMap(([path, methods]) => Object.entries(methods).map(([method, described]) => operation(method, path, described, document))),
  );
}

function run(token) {
  load(token).catch((error) => {
    find("error").textContent = error.message;
    find("error").hidden = false;
  });
}

find("access").addEventListener("submit", (event) => {
  event.preventDefault();
  run(find("token").value.trim());
});
run();
