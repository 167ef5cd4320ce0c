// Windows over the page: keys, instructions, names, reasons to skip, flags, training's feedback, agreement.
import { ask, make, rich } from "/shared/page.js";
import { digitOf } from "/static/keys.js";
import { flagWords, ofPairs, percent, t } from "/static/words.js";

const dialog = document.getElementById("dialog");
const title = document.getElementById("dialog-title");
const body = document.getElementById("dialog-body");
const buttons = document.getElementById("dialog-buttons");
let onKey = null;
let back = null;
let done = null;

dialog.addEventListener("keydown", (event) => onKey?.(event));
dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  if (dialog.dataset.must === "no") close(null);
});

dialog.addEventListener("close", () => {
  if (!done || dialog.open) return; // a browser closes on a second Escape, whatever a page says
  if (dialog.dataset.must === "yes") dialog.showModal();
  else close(null);
});

export const isOpen = () => dialog.open;

function close(value) {
  const settle = done;
  done = onKey = null;
  if (dialog.open) dialog.close();
  back?.isConnected && back.focus({ preventScroll: true });
  settle?.(value);
}

/** Show a window; resolves to what its button or its key gives, or null for Escape (unless it must be answered). */
function show(heading, content, choices, { must = false, keys = null, focus = null } = {}) {
  if (done) close(null);
  back = document.activeElement;
  title.textContent = heading;
  body.replaceChildren(...content);
  buttons.replaceChildren(
    ...choices.map(([words, value, kind]) =>
      make("button", { class: kind, onclick: () => value_of(value) }, words),
    ),
  );
  dialog.dataset.must = must ? "yes" : "no";
  onKey = keys;
  dialog.showModal();
  dialog.scrollTop = 0;
  (focus ?? title).focus();
  return new Promise((resolve) => (done = resolve));
}

function value_of(value) {
  const given = typeof value === "function" ? value() : value;
  if (given !== undefined) close(given);
}

const enter = (value) => (event) => {
  if (event.key === "Enter" && event.target.tagName !== "BUTTON") {
    event.preventDefault();
    event.stopPropagation();
    value_of(value);
  }
};

export function help() {
  const rows = [
    ["1 – 9", "key_digits"], ["0", "key_zero"], ["Shift 1 – 9", "key_shift"], ["↑ ↓ ← →", "key_arrows"], ["Enter", "key_enter"],
    ["Backspace", "key_back"], ["s", "key_s"], ["f", "key_f"], ["e", "key_e"], ["n", "key_n"], ["x", "key_x"], ["w", "key_w"],
    ["i", "key_i"], ["a", "key_a"], ["?", "key_help"], ["Esc", "key_esc"],
  ];
  const list = rows.flatMap(([key, words]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, t(words))]);
  return show(t("help_title"), [make("dl", { class: "keys" }, list)], [[t("close"), null, "main"]], { keys: enter(null) });
}

export function instructions(text, isNew) {
  const hint = isNew ? [make("p", { class: "muted" }, t("instructions_new"))] : [];
  const shown = make("div", { class: "text" }, rich(text));
  const choice = isNew ? [t("read"), true, "main"] : [t("close"), null, "main"];
  return show(t("instructions"), [...hint, shown], [choice], { must: isNew, keys: enter(choice[1]) });
}

/** Ask for a name until the server takes one; resolves to it. */
export function name(current) {
  const field = make("input", { type: "text", id: "name", value: current ?? "", autocomplete: "username", autocapitalize: "none", maxlength: "40", spellcheck: "false", "aria-describedby": "name-problem" });
  const problem = make("p", { id: "name-problem", class: "bad", role: "alert" });
  const begin = () => {
    ask("/api/name", { name: field.value })
      .then((given) => close(given.labeler))
      .catch((failed) => (problem.textContent = failed.status === 422 ? t("name_bad") : t("refused", { words: failed.message })));
  };
  const content = [make("p", {}, t("name_text")), make("label", { for: "name" }, t("name_label")), make("p", {}, field), problem];
  const choices = [[t("name_button"), begin, "main"]];
  return show(t("name_title"), content, current ? [[t("close"), null, ""], ...choices] : choices, { must: !current, keys: enter(begin), focus: field });
}

const REASONS = ["unclear", "not_my_language", "expertise", "disturbing", "personal_data", "broken"];

/** Resolves to a reason, or null. */
export function skip() {
  const other = make("input", { type: "text", maxlength: "500", "aria-label": t("skip_other") });
  const problem = make("p", { class: "bad", role: "alert" });
  const choices = [...REASONS, "other"].map((reason, index) =>
    make("label", { class: "choice" },
      make("input", { type: "radio", name: "reason", value: reason, id: `reason-${reason}` }),
      make("kbd", {}, String(index + 1)),
      make("span", {}, reason === "other" ? t("skip_other") : t(reason)),
      reason === "other" && other,
    ),
  );
  const radios = () => [...body.querySelectorAll("input[type=radio]")];
  other.addEventListener("input", () => (radios().at(-1).checked = true));
  const chosen = () => {
    const reason = radios().find((one) => one.checked)?.value;
    if (reason && reason !== "other") return reason;
    if (reason === "other" && other.value.trim()) return other.value.trim();
    problem.textContent = t("skip_need");
    return undefined;
  };
  const keys = (event) => {
    const radio = radios()[digitOf(event) - 1];
    if (radio && event.target !== other && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      radio.checked = true;
      (radio.value === "other" ? other : radio).focus();
    } else enter(chosen)(event);
  };
  const field = make("fieldset", {}, make("legend", { class: "quiet" }, t("skip_title")), choices);
  return show(t("skip_title"), [field, problem], [[t("close"), null, ""], [t("skip"), chosen, "main"]], { keys, focus: choices[0].firstChild });
}

/** Let flags of an answer be switched; `change(names)` hears each time. */
export function flags(letter, known, set, change) {
  const boxes = known.map((flag, index) => {
    const box = make("input", { type: "checkbox", value: flag, onchange: () => told() });
    box.checked = set.includes(flag);
    return make("label", { class: "choice" }, box, index < 9 && make("kbd", {}, String(index + 1)), make("span", {}, flagWords(flag)));
  });
  const inputs = () => [...body.querySelectorAll("input[type=checkbox]")];
  const told = () => change(inputs().filter((box) => box.checked).map((box) => box.value));
  const keys = (event) => {
    const box = inputs()[digitOf(event) - 1]; // none is at -1
    if (box) {
      event.preventDefault();
      box.focus();
      box.click();
    } else enter(null)(event);
  };
  const field = make("fieldset", {}, make("legend", { class: "quiet" }, t("flags_of", { letter })), boxes);
  const hint = make("p", { class: "muted" }, t("flags_hint"));
  return show(t("flags_of", { letter }), [field, hint], [[t("ok"), null, "main"]], { keys, focus: boxes[0]?.firstChild });
}

export function feedback(found, letters) {
  const { item, score } = found;
  const pairs = found.own ? t("feedback_pairs", { share: percent(item.share), pairs: item.pairs }) : t("feedback_skipped");
  const row = (words, values) => make("tr", {}, make("th", { scope: "row" }, words), values.map((value) => make("td", {}, String(value ?? "–"))));
  const head = make("tr", {}, make("td", {}), letters.map((letter) => make("th", { scope: "col" }, letter)));
  const own = found.own ?? letters.map(() => null);
  const table = make("table", { class: "figures" }, make("thead", {}, head), make("tbody", {}, row(t("yours"), own), row(t("known"), found.known)));
  const why = found.why ? [make("div", { class: "text" }, rich(found.why))] : [];
  const so_far = t("feedback_score", { share: percent(score.share), pairs: score.pairs, done: score.done, items: score.items });
  return show(t("feedback_title"), [make("p", {}, pairs), make("div", { class: "wide" }, table), ...why, make("p", { class: "muted" }, so_far)], [[t("next"), true, "main"]], { must: true, keys: enter(true) });
}

function agreementContent({ own, all }, labeler) {
  const number = (value) => (value === null || value === undefined ? t("none") : value.toFixed(2));
  const head = ["labeler", "judged", "with_people", "with_known", "training"].map((key) => make("th", { scope: "col" }, t(key)));
  const rows = all.labelers.map((one) =>
    make("tr", { class: one.name === labeler ? "own" : null },
      make("th", { scope: "row" }, one.name), make("td", {}, String(one.judged)), make("td", {}, ofPairs(one.with_people)),
      make("td", {}, ofPairs(one.with_known)), make("td", {}, ofPairs(one.training)),
    ),
  );
  const known = Object.entries(own.with_known).map(([name, found]) => make("p", { class: "muted" }, t("own_known", { name, share: ofPairs(found) })));
  return [
    make("p", { class: "muted" }, t("agreement_text")),
    make("div", { class: "wide" }, make("table", { class: "figures" }, make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows))),
    make("p", {}, t("alpha", { ranks: number(all.alpha_ranks) })),
    make("p", {}, t("alpha_ratings", { ratings: number(all.alpha_ratings) })),
    ...known,
  ];
}

/** Show agreement as it is now, and as it changes while the window is open: `watch(draw)` returns what ends it. */
export async function agreement(progress, labeler, watch) {
  const shown = make("div", { id: "agreement" }, agreementContent(progress, labeler));
  const end = watch((newer) => shown.replaceChildren(...agreementContent(newer, labeler)));
  await show(t("agreement_title"), [shown], [[t("close"), null, "main"]], { keys: enter(null) });
  end();
}
