// How turns look: elements of text alone.
import { make, rich } from "/shared/page.js";

const LETTERS = ["A", "B"];

function button(label, onclick, more = {}) {
  return make("button", { type: "button", onclick, ...more }, label);
}

/** Return the switch between versions; nothing where there is one alone. */
export function branches(t, step, act) {
  const { versions, number, parent } = step;
  if (versions.length < 2) return null;
  const go = (by) => () => act.look(parent, versions[number + by]);
  return make("span", { class: "branch", role: "group" },
    button("‹", go(-1), { class: "plain", disabled: number === 0, "aria-label": t("earlier") }),
    make("span", {}, t("of", { n: number + 1, all: versions.length })),
    button("›", go(1), { class: "plain", disabled: number === versions.length - 1, "aria-label": t("later") }));
}

function stopped(t, turn, act) {
  if (!turn.blocked) return null;
  const { where, category, probability, id } = turn.blocked;
  const named = category ? (t.has(category) ? t(category) : category) : t("something");
  const words = t(`blocked_${where}`, { category: named, p: Number(probability ?? 0).toFixed(2) });
  const appeal = turn.appealed ? make("p", { class: "muted" }, t("appealed")) : button(t("appeal"), () => act.say(turn, { kind: "appeal", blocked: id }));
  return make("div", { class: "stopped" }, make("p", {}, words), appeal);
}

/** Return a field in which a message is written anew. It is made once: the page around it is drawn anew while it is written in. */
export function editField(turn, act, characters) {
  const field = make("textarea", { rows: 3, dir: "auto", maxlength: characters, value: turn.content });
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) (event.preventDefault(), act.send(turn));
    if (event.key === "Escape" && !act.isSending(turn)) (event.stopPropagation(), act.cancel(turn));
  });
  return field;
}

/** Return a message; with a field in which it is edited, that in its place. */
export function userTurn(t, step, act, field) {
  const [turn] = step.version;
  if (field) {
    field.setAttribute("aria-label", t("edit"));
    field.readOnly = act.isSending(turn);
    const tools = make("div", { class: "tools" },
      button(t("cancel"), () => act.cancel(turn), { disabled: act.isSending(turn) }),
      button(t("send"), () => act.send(turn), { class: "main", disabled: act.busy() }));
    return make("article", { class: "turn user", "aria-label": t("you"), "data-turn": turn.id }, make("div", { class: "text wide" }, field), tools);
  }
  return make("article", { class: "turn user", "aria-label": t("you"), "data-turn": turn.id },
    make("div", { class: "text" }, rich(turn.content)), stopped(t, turn, act),
    make("div", { class: "tools" }, branches(t, step, act), button(t("edit"), () => act.edit(turn), { class: "plain", disabled: act.busy() })));
}

function meta(t, turn) {
  const found = [];
  const about = turn.checkpoint;
  if (about) {
    found.push(make("span", {}, `md5 `, make("code", { title: about.md5 }, about.md5.slice(0, 8))));
    found.push(about.link ? make("a", { href: about.link, target: "_blank", rel: "noopener noreferrer" }, t("run")) : null);
  }
  if (turn.settings) found.push(make("span", {}, t("t_label", { t: turn.settings.temperature })));
  if (["length", "stopped", "left", "failed"].includes(turn.end)) {
    found.push(make("strong", { class: turn.end === "failed" ? "bad" : "warn" }, t(`end_${turn.end}`, { n: turn.reads?.max_tokens ?? turn.settings?.max_tokens, why: turn.problem ?? "" })));
  }
  return make("small", { class: "row muted meta" }, found);
}

function cut(t, reads, settings) {
  if (!reads) return null;
  const parts = [];
  if (reads.turns_cut) parts.push(t("cut", { n: reads.turns_cut, context: reads.context }));
  if (settings && reads.max_tokens < settings.max_tokens) parts.push(t("cut_length", { n: reads.max_tokens, context: reads.context }));
  return parts.map((part) => make("p", { class: "warn meta" }, part));
}

/** Return an answer: of a live one only what is known by now. */
export function answer(t, turn, act, more) {
  const name = turn.checkpoint?.name;
  const letter = LETTERS[turn.side ?? 0];
  const isPair = turn.pair !== null && turn.pair !== undefined;
  const title = [isPair ? t("side", { letter }) : null, name ?? null].filter(Boolean).join(" · ");
  const label = isPair ? t("side", { letter }) : t("answer_of", { name: name ?? "" });
  const shown = turn.live
    ? make("div", { class: "text streaming", "data-live": turn.id, dir: "auto" }, turn.content)
    : make("div", { class: "text" }, rich(turn.content));
  const state = turn.live && turn.waits !== undefined ? make("small", { class: "muted" }, turn.waits ? t("waits", { ahead: turn.waits }) : t("thinking")) : null;
  const chosen = more.chosen === turn.id;
  return make("article", { class: chosen ? "answer chosen" : "answer", "aria-label": label, "aria-busy": turn.live ? "true" : null, "data-turn": turn.id },
    make("h3", {}, make("span", {}, title || t("side", { letter })), chosen ? make("small", { class: "good" }, `✓ ${t("chosen")}`) : null, state, turn.live ? null : meta(t, turn)),
    cut(t, turn.reads, turn.settings), shown, stopped(t, turn, act),
    turn.better ? make("div", { class: "better" }, make("strong", {}, t("your_better")), make("div", { class: "text" }, rich(turn.better))) : null,
    turn.flags?.length ? make("p", { class: "warn meta" }, t("flags", { flags: turn.flags.map((flag) => t(flag)).join(", ") })) : null,
    turn.live ? null : tools(t, turn, act, more));
}

function tools(t, turn, act, more) {
  const judged = ["end", "length", "stopped"].includes(turn.end);
  const thumb = (value, sign) => button(`${sign} ${t(value === "up" ? "good" : "bad")}`, () => act.say(turn, { kind: "thumb", answer: turn.id, value: turn.thumb === value ? null : value }), { "aria-pressed": String(turn.thumb === value), "data-thumb": value });
  return make("div", { class: "tools" }, more.branches,
    judged ? [thumb("up", "▲"), thumb("down", "▼")] : null,
    judged || turn.end === "blocked" ? button(t("write_better"), () => act.better(turn), { "data-opens": "better" }) : null,
    judged || turn.end === "blocked" ? button(t("flag"), () => act.flag(turn), { "aria-pressed": String(Boolean(turn.flags?.length)), "data-opens": "flagging" }) : null,
    turn.content ? button(t("copy"), () => act.copy(turn)) : null,
    more.again ? button(`↻ ${t("again")}`, more.again, { disabled: act.busy() }) : null);
}

/** Return the two answers of a pair, and what is chosen between them. */
export function pair(t, step, act, more) {
  const { version } = step;
  const done = version.length === 2 && version.every((turn) => !turn.live && ["end", "length", "stopped"].includes(turn.end));
  const { choice } = more;
  const key = (value, label, digit) => button([label, " ", make("kbd", { "aria-hidden": "true" }, digit)], () => act.choose(version, value), { "aria-pressed": String(choice === value), "data-choice": digit });
  return make("section", { class: "turn", "aria-label": t("which") },
    make("div", { class: "pair" }, version.map((turn) => answer(t, turn, act, { chosen: choice }))),
    done ? make("div", { class: "choose", role: "group", "aria-label": t("which") },
      key(version[0].id, t("first_better"), "1"), key("tie", t("tie"), "2"), key("both_bad", t("both_bad"), "3"), key(version[1].id, t("second_better"), "4")) : null,
    make("div", { class: "tools" }, branches(t, step, act), more.again ? button(`↻ ${t("again")}`, more.again, { disabled: act.busy() }) : null));
}
