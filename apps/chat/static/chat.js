// The chat page. What was said lies with the server; here is what is looked at, and what is on its way.
import { ask, Failed, make, remember, remembered, say, switches, translate, wording } from "/shared/page.js";
import { dialogs } from "./dialogs.js";
import { settings } from "./settings.js";
import { answered } from "./stream.js";
import { Tree } from "./tree.js";
import { answer, branches, editField, pair, userTurn } from "./turns.js";
import { words } from "./words.js";

const t = wording(words);
const $ = (id) => document.getElementById(id);
const CHOICES = [1, 2, 3, 4];
let told = null; // by /api/start
let user = remembered("chat-user");
let tree = new Tree();
let going = null; // {ids: Map, text, edited, turn}: answers on their way, and the message that they are to
const edits = new Map(); // by turn: the field in which it is written anew, until that is sent or given up

const chosen = settings(t);
const about = dialogs(t, feedback);
const draft = {
  key: () => `chat-draft-${tree.id ?? "new"}`,
  keep: () => { try { sessionStorage.setItem(draft.key(), $("text").value); } catch { /* forbidden: only a reload loses it */ } },
  back: () => { try { $("text").value = sessionStorage.getItem(draft.key()) ?? ""; } catch { $("text").value = ""; } },
};

const act = {
  busy: () => going !== null,
  look: (parent, version) => { tree.look(parent, version); draw(); },
  edit: (turn) => {
    edits.set(turn.id, editField(turn, act, told.limits.characters));
    draw();
    edits.get(turn.id).focus();
  },
  cancel: (turn) => { edits.delete(turn.id); draw(); },
  isSending: (turn) => going?.edited === turn.id,
  send: (turn) => {
    const text = edits.get(turn.id).value;
    if (text.trim() && !going) send({ parent: turn.parent, text }, turn.id);
  },
  say: (turn, what) => feedback(what),
  choose: (version, chosen) => feedback({ kind: "choice", pair: version[0].pair, answers: version.map((turn) => turn.id), chosen }),
  copy: (turn) => navigator.clipboard?.writeText(turn.content).then(() => say(t("copied"))),
  better: about.better,
  flag: (turn) => about.flag(turn, told.flags),
};

/** Return what some work with the server gives; null where it refused, which is said in a place. */
async function guarded(work, place = $("alert")) {
  place.textContent = "";
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    const words = error.status ? error.message : t("gone");
    requestAnimationFrame(() => (place.textContent = words)); // changed after it was emptied: it is heard again
    if (error.status === 403) await begin();
    return null;
  }
}

/** Send what is said of answers; returns whether the server has it. */
async function feedback(what, place) {
  const found = await guarded(() => ask("/api/feedback", { user, ...what }), place);
  if (!found) return false;
  if (what.kind === "choice") tree.choices[what.pair] = what.chosen;
  for (const turn of found.turns) tree.put(withLink(turn));
  draw(true);
  return true;
}

/** An answer's checkpoint has its run's address, where that is known by now. */
function withLink(turn) {
  const known = turn.checkpoint && told.checkpoints.find((one) => one.name === turn.checkpoint.name && one.md5 === turn.checkpoint.md5);
  return known?.link ? { ...turn, checkpoint: { ...turn.checkpoint, link: known.link } } : turn;
}

/** Ask for an answer: to a new message ({parent, text}), which may be another one `edited`, or again ({turn}). */
async function send(what, edited = null) {
  if (going) return;
  const body = { user, ...chosen.asked(), conversation: what.turn ? null : tree.id, ...what };
  const live = new Map();
  going = { ids: live, text: what.text, edited };
  draw();
  const done = await guarded(() => answered(body, (event) => received(event, body, live)));
  const lost = done === null && what.text && !going.turn;
  going = null;
  for (const id of live.keys()) tree.turns.delete(id);
  if (lost && !edits.has(edited)) putBack(what.text);
  draw();
  if (done !== null) say(t("done"));
  list();
}

/** A message that was not taken goes before what has been written meanwhile. */
function putBack(text) {
  $("text").value = [text, $("text").value].filter(Boolean).join("\n");
  draft.keep();
}

function received(event, body, live) {
  if (event.type === "turn") {
    going.turn = event.turn;
    edits.delete(going.edited);
    if (tree.id !== event.conversation) {
      tree.id = event.conversation;
      history.replaceState(null, "", `#${tree.id}`);
    }
    if (body.text) tree.put({ id: event.turn, parent: event.parent, role: "user", content: body.text });
    tree.looked.set(event.parent, event.turn);
    draw(false, true);
  } else if (event.type === "blocked") {
    const { id, where, category, probability } = event;
    tree.put({ id: event.turn, blocked: { id, where, category, probability } });
    draw();
  } else if (event.type === "answer") {
    const isPair = body.models.length > 1;
    const turn = { id: event.answer, parent: going.turn, role: "assistant", content: "", live: true, waits: 0, pair: isPair ? "live" : null, side: event.side };
    live.set(event.answer, turn);
    tree.put({ ...turn, checkpoint: isPair ? null : { name: body.models[0], md5: "" } });
    tree.looked.set(going.turn, [...live.keys()][0]);
    draw(false, true);
  } else if (event.type === "text") grown(event);
  else if (event.type === "waits" || event.type === "begins") {
    tree.put({ id: event.answer, waits: event.ahead ?? 0 });
    draw();
  } else if (event.type === "ends" || event.type === "failed") {
    live.delete(event.answer);
    tree.turns.delete(event.answer);
    if (event.shown) {
      tree.put(withLink(event.shown));
      if (event.shown.pair) for (const [id] of live) tree.put({ id, pair: event.shown.pair });
      tree.looked.set(going.turn, event.answer);
    }
    if (event.error) say(event.error, true);
    draw();
  } else if (event.type === "pair") { // all is known of it that may be
    for (const turn of event.turns) tree.put(withLink(turn));
    draw();
  }
}

/** Show more of an answer without drawing all anew. */
function grown(event) {
  const turn = tree.turns.get(event.answer);
  if (!turn) return;
  turn.content = event.whole ?? turn.content + event.add;
  delete turn.waits;
  const place = document.querySelector(`[data-live="${event.answer}"]`);
  if (!place) return;
  const follows = isAtEnd();
  if (event.whole === undefined) place.append(event.add);
  else place.textContent = event.whole;
  if (follows) toEnd();
}

const isAtEnd = () => $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 80;
const toEnd = () => { $("log").scrollTop = $("log").scrollHeight; };

function draw(stay = false, end = false) {
  const log = $("log");
  const [top, follows, focus] = [log.scrollTop, isAtEnd(), focused()];
  const field = [...edits.values()].find((one) => one === document.activeElement);
  const steps = tree.path();
  const last = steps.at(-1);
  log.replaceChildren(...(steps.length ? steps.map((step) => drawn(step, step === last)) : [hint()]));
  if (last?.version[0].role === "user" && !last.version[0].blocked && !going) log.append(make("div", { class: "tools" }, make("small", { class: "muted" }, t("not_sent")), make("button", { type: "button", onclick: () => send({ turn: last.version[0].id }) }, `↻ ${t("again")}`)));
  log.scrollTop = top;
  if (focus) log.querySelectorAll(`${focus.within} button`)[focus.number]?.focus({ preventScroll: true });
  field?.focus({ preventScroll: true });
  if (end || (follows && !stay)) toEnd();
  const waits = waitsForChoice();
  $("blocker").hidden = !waits;
  $("blocker").textContent = waits ? t("choose_first") : "";
  $("send").disabled = Boolean(going) || Boolean(waits);
  $("send").hidden = Boolean(going);
  $("stop").hidden = !going;
}

/** Return which button of which turn has the focus, so that drawing anew does not take it away. */
function focused() {
  const active = document.activeElement;
  const turn = active?.closest?.("[data-turn], .choose");
  if (!turn || active.tagName !== "BUTTON") return null;
  const within = turn.dataset.turn ? `[data-turn="${turn.dataset.turn}"]` : ".choose";
  return { within, number: [...turn.querySelectorAll("button")].indexOf(active) };
}

function drawn(step, isLast) {
  if (step.version[0].role === "user") return userTurn(t, step, act, edits.get(step.version[0].id));
  const again = isLast ? () => send({ turn: step.parent }) : null;
  const more = { again, choice: tree.choices[step.version[0].pair], chosen: tree.choices[step.version[0].pair] };
  if (step.version[0].pair) return pair(t, step, act, more);
  return answer(t, step.version[0], act, { ...more, branches: branchesOf(step) });
}

function branchesOf(step) {
  return step.versions.length > 1 ? branches(t, step, act) : null;
}

function hint() {
  return make("div", { class: "hint muted" }, make("p", {}, t("empty")), make("p", {}, t("empty_models")), told?.moderated ? make("p", {}, t("moderated")) : null);
}

async function list() {
  const found = await guarded(() => ask(`/api/start?user=${encodeURIComponent(user)}`));
  if (!found) return;
  told = found;
  chosen.describe(told);
  const waits = told.traces.state === "opening" || told.checkpoints.some((one) => !one.md5);
  clearTimeout(list.again);
  if (waits) list.again = setTimeout(list, 2000);
  $("conversations").replaceChildren(...told.conversations.map((one) => make("li", {}, make("button", { type: "button", title: one.title, "aria-current": one.id === tree.id ? "true" : null, onclick: () => open(one.id) }, one.title))));
}

async function open(id) {
  $("side").classList.remove("open");
  if (going) return;
  const found = id && (await guarded(() => ask(`/api/conversation?user=${encodeURIComponent(user)}&id=${encodeURIComponent(id)}`)));
  tree = found ? new Tree({ ...found, turns: found.turns.map(withLink) }) : new Tree();
  history.replaceState(null, "", tree.id ? `#${tree.id}` : "#");
  draft.back();
  draw(false, true);
  await list();
}

/** Find out who it is, let them agree, and show what they said before. */
async function begin() {
  const found = await guarded(() => ask(`/api/start${user ? `?user=${encodeURIComponent(user)}` : ""}`));
  if (!found) return; // what was told before still holds
  told = found;
  chosen.fill(told);
  user = told.who ?? null;
  $("who").textContent = user ?? "";
  if (!user) {
    $("name").value = remembered("chat-user") ?? "";
    if (!$("hello").open) $("hello").showModal();
    return;
  }
  if (!told.consent.given) {
    $("consent-text").textContent = told.consent.texts[document.documentElement.lang];
    $("other-name").hidden = told.fixed;
    if (!$("consent").open) $("consent").showModal();
    return;
  }
  remember("chat-user", user);
  await open(location.hash.slice(1) || null);
  $("text").focus();
}

function listen() {
  switches(() => { translate(t); if (told) { chosen.fill(told); draw(true); } document.title = t("chat"); });
  for (const id of ["hello", "consent"]) $(id).addEventListener("cancel", (event) => event.preventDefault());
  $("hello-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const found = await ask(`/api/start?user=${encodeURIComponent($("name").value)}`);
      [user, told] = [found.who, found];
      if (!user) throw new Failed(400, t("name"));
      $("name-problem").textContent = "";
      $("hello").close();
      await begin();
    } catch (error) {
      $("name-problem").textContent = error.message;
    }
  });
  $("agree").addEventListener("click", async () => {
    const given = await guarded(() => ask("/api/consent", { user, text: told.consent.sum }));
    $("consent").close();
    if (given) await begin();
  });
  $("other-name").addEventListener("click", () => { user = null; $("consent").close(); begin(); });
  $("composer").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  $("text").addEventListener("input", draft.keep);
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) (event.preventDefault(), submit());
  });
  $("stop").addEventListener("click", stop);
  document.addEventListener("keydown", keys);
  $("new").addEventListener("click", () => { open(null); $("text").focus(); });
  $("menu").addEventListener("click", () => $("menu").setAttribute("aria-expanded", String($("side").classList.toggle("open"))));
}

/** Say whether the conversation goes on only when one of the last two answers is chosen. */
function waitsForChoice() {
  const last = tree.path().at(-1);
  return Boolean(last && tree.isOpen(last.version));
}

function submit() {
  const text = $("text").value;
  const last = tree.path().at(-1);
  if (!text.trim() || going || waitsForChoice()) return;
  $("text").value = "";
  draft.keep();
  send({ parent: last ? (last.version[0].role === "user" ? last.parent : tree.next(last.version)) : null, text });
}

async function stop() {
  for (const id of going?.ids.keys() ?? []) await guarded(() => ask("/api/stop", { user, answer: id }));
}

/** A digit chooses between the two answers that wait for it, once: afterwards it is known who gave which. */
function keys(event) {
  if (event.repeat || event.isComposing || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && going) stop();
  const isTyping = event.target.matches("textarea, input, select");
  const digit = Number(event.key);
  if (isTyping || event.ctrlKey || event.altKey || event.metaKey || !CHOICES.includes(digit)) return;
  if (waitsForChoice()) [...document.querySelectorAll(`[data-choice="${digit}"]`)].at(-1)?.click();
}

translate(t);
document.title = t("chat");
listen();
begin();
