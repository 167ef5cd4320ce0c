// The labelling page: who labels, what is before them, what their keys do.
import { ask, remember, remembered, say, switches, translate } from "/shared/page.js";
import * as dialogs from "/static/dialogs.js";
import { expandAll, Item, measure } from "/static/item.js";
import { keyboard } from "/static/keyboard.js";
import { identifier, isAway, pause, Saving, Watch } from "/static/saving.js";
import { alert, away, elsewhere, howFar, notice, refused } from "/static/telling.js";
import * as waiting from "/static/waiting.js";
import { t } from "/static/words.js";

const $ = (id) => document.getElementById(id);
const ALIVE = 20_000; // milliseconds between two signs of life, which also bring what others have done
const AWAY = 30 * 60_000; // without a sign of the person no more are sent, and no prompt is taken: it may go to others
const watch = new Watch();
const page = { me: null, saving: null, view: null, progress: null, leased: null, busy: false, listeners: new Set() };
const isThere = () => performance.now() - watch.sign <= AWAY;

/** Do what asks the server; what it refuses is said, and nothing is lost. */
async function attempt(does) {
  if (page.busy) return;
  page.busy = true;
  alert("");
  try {
    for (;;) {
      try {
        await does();
        break;
      } catch (failed) {
        if (failed.status === undefined) throw failed;
        if (!isAway(failed)) {
          refused(failed);
          break;
        }
        away(true);
        await pause(1500);
      }
    }
  } finally {
    page.busy = false;
  }
}

const post = (path, content = {}) => ask(`/api/${path}`, { labeler: page.me.labeler, ...content });

async function begin() {
  page.me = await ask("/api/me");
  translateAll();
  if (!page.me.labeler) page.me.labeler = await dialogs.name(null);
  $("rename").hidden = page.me.by_token;
  translateAll();
  const saving = new Saving(page.me.place, page.me.labeler, away, refused, elsewhere);
  await saving.resume(); // before anything that is done next takes its place
  page.saving = saving;
  await next();
}

/** Show what comes next. New instructions are read first. */
async function next() {
  const given = await post("next");
  away(false);
  heard(given.progress);
  await read(given.instructions);
  if (given.item) show(given.item);
  else nothing();
}

async function read(instructions) {
  page.me.instructions = instructions;
  const place = `label.read.${page.me.labeler}`;
  if (remembered(place) === instructions.sha256) return;
  await dialogs.instructions(instructions.text, true);
  remember(place, instructions.sha256);
}

function show(item, quiet = false) {
  waiting.end();
  const draft = page.saving.newest(item.key, item.draft);
  const keep = (said) => page.busy || page.saving.keep(item.key, { ...said, seconds: watch.read() });
  if (!item.judgement) page.leased = item;
  $("item").hidden = false;
  page.view = new Item(item, draft, page.me, keep);
  page.view.onFlags = flags;
  watch.restart(draft?.seconds ?? item.judgement?.seconds ?? 0);
  describe();
  if (quiet) return;
  scrollTo(0, 0);
  page.view.focus();
  scrollTo(0, 0);
  const said = item.judgement ? "said_earlier" : item.training ? "said_training" : "said_item";
  say(`${t(said, { count: item.answers.length })} ${draft ? t("said_draft") : ""}`);
}

/** What stands around an item, in the page's language. */
function describe() {
  const item = page.view?.item;
  $("withdraw").hidden = !item?.judgement || item.training;
  $("submit-text").textContent = item?.judgement ? t("submit_change") : t("submit");
  for (const id of ["undo", "skip", "write", "submit"]) $(id).disabled = !item && id !== "undo";
  const training = page.progress?.own.training;
  if (item?.training) notice(t("notice_training", { number: training.done + 1, items: training.items }));
  else if (item?.judgement) notice(t("notice_earlier"));
  else notice(item?.enough ? t("notice_enough") : "");
}

function nothing() {
  page.view = page.leased = null;
  $("item").hidden = true;
  describe();
  waiting.wait(page.progress.own.waits, () => !page.busy && isThere(), () => attempt(next));
}

function heard(progress) {
  page.progress = progress;
  howFar(progress);
  for (const draw of page.listeners) draw(progress);
}

async function submit(skipped = null) {
  const view = page.view;
  if (!view || page.busy) return;
  if (skipped === null && view.unranked.length) {
    alert(t("missing", { letters: view.unranked.join(", ") }));
    view.mark(view.said.ranks.indexOf(null));
    return;
  }
  const form = { id: identifier(), ...view.form(skipped), seconds: watch.read(), instructions: page.me.instructions.sha256 };
  await attempt(async () => {
    const answer = await page.saving.submit(form);
    if (answer.feedback) await dialogs.feedback(answer.feedback, view.letters);
    await next();
    const said = answer.unchanged ? "said_same" : answer.enough ? "said_enough" : skipped ? "said_skipped" : "said_saved";
    say(`${t(said)} ${page.view ? t(page.view.item.training ? "said_training" : "said_item", { count: page.view.num }) : t("done_title")}`);
  });
}

/** Undo the last change; with none, go back to the prompt before. */
async function undo() {
  if (!page.saving || page.view?.undo()) return;
  await attempt(async () => {
    await page.saving.drained();
    const { item } = await post("previous", { item: page.view?.item.key ?? null });
    if (item) show(item);
    else say(t("said_first"));
  });
}

async function withdraw() {
  const item = page.view?.item;
  if (!item?.judgement || item.training) return;
  const id = identifier();
  await attempt(async () => {
    await post("withdraw", { item: item.key, id });
    page.saving.settle();
    await next();
    say(t("said_withdrawn"));
  });
}

async function skip() {
  if (!page.view || dialogs.isOpen()) return;
  const reason = await dialogs.skip();
  if (reason) await submit(reason);
}

async function flags(index = page.view?.current) {
  const view = page.view;
  if (!view || !page.me.flags.length) return;
  await dialogs.flags(view.letters[index], page.me.flags, view.said.flags[index], (names) => view.setFlags(index, names));
  view.mark(index);
}

function agreement() {
  dialogs.agreement(page.progress, page.me.labeler, (draw) => {
    page.listeners.add(draw);
    const timer = setInterval(alive, 3000);
    return () => {
      clearInterval(timer);
      page.listeners.delete(draw);
    };
  });
}

async function alive() {
  if (!page.saving || !isThere()) return;
  const item = page.leased;
  try {
    const found = await post("alive", { item: item?.key ?? null });
    heard(found.progress);
    if (waiting.isWaiting()) nothing();
    if (!page.busy && !page.saving.waiting) away(false);
    if (item && page.view?.item === item && found.enough) notice(t("notice_enough"));
  } catch (failed) {
    if (!isAway(failed)) refused(failed);
  }
}

async function rename() {
  const chosen = await dialogs.name(page.me.labeler);
  if (chosen && chosen !== page.me.labeler) location.reload();
}

function translateAll() {
  translate(t);
  if (!page.me) return;
  document.title = t("title", { round: page.me.round });
  $("title").textContent = document.title;
  $("who").textContent = page.me.labeler ? t("who", { name: page.me.labeler }) : "";
  if (page.progress) heard(page.progress);
  if (page.view) {
    const { item, before, current } = page.view;
    const said = page.view.said;
    page.view = Object.assign(new Item(item, said, page.me, page.view.onChange), { before, onFlags: flags });
    page.view.mark(current, false);
    describe();
  } else if (waiting.isWaiting()) nothing();
}

const DOES = {
  Enter: () => submit(), Backspace: undo, s: skip, f: () => flags(), e: () => page.view?.write(page.view.current), n: () => page.view?.write(null),
  x: expandAll, w: withdraw, i: () => dialogs.instructions(page.me.instructions.text, false), a: agreement, "?": dialogs.help, h: dialogs.help,
  ArrowDown: () => page.view?.move(page.view.columns), ArrowUp: () => page.view?.move(-page.view.columns),
  ArrowRight: () => page.view?.move(1), ArrowLeft: () => page.view?.move(-1), 0: () => page.view?.rank(page.view.current, null),
};

document.addEventListener("keydown", keyboard(page, DOES));
// the mouse leaves the focus where it was: Enter submits after a click, too, and presses nothing twice
document.addEventListener("mousedown", (event) => {
  if (!dialogs.isOpen() && event.target.closest("button, summary")) event.preventDefault();
});
const clicks = {
  undo, withdraw, skip, submit: () => submit(), write: () => page.view?.write(null), rename, "show-help": () => dialogs.help(), "show-agreement": agreement,
  "show-instructions": () => dialogs.instructions(page.me.instructions.text, false), "remove-written": () => page.view?.removeWritten(),
};
for (const [id, does] of Object.entries(clicks)) $(id).addEventListener("click", does);
$("written").addEventListener("input", (event) => page.view?.type(event.target.value));
document.addEventListener("click", (event) => $("menu").contains(event.target) || ($("menu").open = false));
addEventListener("pagehide", () => page.saving?.flush());
document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && page.saving?.flush());
addEventListener("resize", measure);
setInterval(alive, ALIVE);
switches(translateAll);
translateAll();
attempt(begin);
