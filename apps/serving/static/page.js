// What pages share: elements made of text alone, words in two languages, requests, and what a screen reader is told.

/** Make an element. Texts become text nodes, never markup; what begins with "on" is listened to. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Return what localStorage holds, or null where it may not be used. */
export function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // full or forbidden: what matters is kept by the server
  }
}

/** Return t(key, {name: value}) over {en: {key: "text {name}"}, zh: {...}}; `has` tells whether there is such a text. */
export function wording(words) {
  const t = (key, values = {}) => {
    const text = words[document.documentElement.lang]?.[key] ?? words.en[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  };
  t.has = (key) => key in words.en;
  return t;
}

/** Put t's texts into all elements of a page that name one: data-t for the text, data-t-label for aria-label. */
export function translate(t, root = document) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", t(element.dataset.tLabel));
}

/** Make the switches of colours and language live: #theme and #language, two <select>s. */
export function switches(onLanguage) {
  const theme = document.getElementById("theme");
  theme.value = document.documentElement.dataset.theme ?? "auto";
  theme.addEventListener("change", () => {
    if (theme.value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme.value;
    remember("theme", theme.value === "auto" ? null : theme.value);
  });
  const language = document.getElementById("language");
  language.value = document.documentElement.lang;
  language.addEventListener("change", () => {
    document.documentElement.lang = language.value;
    remember("language", language.value);
    onLanguage();
  });
}

const FENCE = /^ {0,3}(`{3,}|~{3,})[^`]*$/;

/** Return a text as paragraphs, and what stands between fences as code; whatever it holds, it is text. */
export function rich(text) {
  const made = document.createDocumentFragment();
  let lines = [];
  let fence = null;
  const flush = (code) => {
    const joined = lines.join("\n");
    lines = [];
    if (code) made.append(make("pre", { dir: "ltr", tabindex: "0" }, make("code", {}, joined)));
    else if (joined.trim()) for (const part of joined.split(/\n{2,}/)) if (part.trim()) made.append(make("p", { dir: "auto" }, part.replace(/^\n+|\n+$/g, "")));
  };
  for (const line of text.split("\n")) {
    const mark = line.match(FENCE)?.[1];
    if (fence === null && mark) {
      flush(false);
      fence = mark;
    } else if (fence !== null && mark && mark[0] === fence[0] && mark.length >= fence.length && line.trim() === mark) {
      flush(true);
      fence = null;
    } else lines.push(line);
  }
  flush(fence !== null); // a fence that is not closed holds to the end
  return made;
}

/** Tell a screen reader, and whoever looks: #status politely, #alert at once. */
export function say(text, urgent = false) {
  const place = document.getElementById(urgent ? "alert" : "status");
  place.textContent = "";
  requestAnimationFrame(() => (place.textContent = text));
}

/** What the server refused, in its own words. `status` is 0 where it could not be reached. */
export class Failed extends Error {
  constructor(status, words, content = {}) {
    super(words);
    this.status = status;
    this.content = content;
  }
}

/** Ask the server; a body makes it a POST of JSON. Throws Failed. */
export async function ask(path, body, options = {}) {
  const asked = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, { ...asked, ...options });
  } catch (error) {
    throw new Failed(0, error.message);
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Failed(answer.status, content.error ?? answer.statusText, content);
  return content;
}
