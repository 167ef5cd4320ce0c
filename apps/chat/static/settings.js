// What goes with a message: the models, how warm, how long; and what is said of the model that is chosen and of traces.
import { make, remember, remembered } from "/shared/page.js";

const $ = (id) => document.getElementById(id);
const FIELDS = ["model", "other", "temperature", "length"];
const named = (id) => `chat-${id}`;

/** Return the settings' door: `told` is what /api/start says. */
export function settings(t) {
  let told = null;

  function models() {
    const names = [$("model").value, $("other").value];
    return names[1] && names[1] !== names[0] ? names : [names[0]];
  }

  function describe(given = told) {
    told = given;
    const [first, second] = models();
    const known = told.checkpoints.find((one) => one.name === first);
    const parts = second ? [t("hidden")] : known ? [t("as", { name: known.name, md5: known.md5 ?? "…" })] : [t("none")];
    const run = !second && known ? (known.link ? linked(known.link, t("run")) : t("no_run")) : null;
    $("about").replaceChildren(...parts, ...(run ? [" · ", run] : []));
    const { state, why, link } = told.traces;
    const kept = t(`traces_${state}`, { why });
    $("kept").replaceChildren(link && state === "kept" ? linked(link, kept) : kept);
  }

  function fill(given) {
    const names = given.checkpoints.map((one) => one.name);
    for (const [id, none] of [["model", null], ["other", t("nobody")]]) {
      const before = $(id).value || remembered(named(id)) || "";
      const options = names.map((name) => make("option", { value: name }, name));
      $(id).replaceChildren(...(none ? [make("option", { value: "" }, none)] : []), ...options);
      $(id).value = names.includes(before) ? before : none ? "" : (names.at(-1) ?? "");
    }
    const { temperature, max_tokens: length, usual, characters } = given.limits;
    Object.assign($("temperature"), { min: temperature[0], max: temperature[1] });
    Object.assign($("length"), { min: length[0], max: length[1] });
    for (const id of ["text", "better-text"]) $(id).maxLength = characters;
    $("temperature").value = remembered(named("temperature")) ?? usual.temperature;
    $("length").value = remembered(named("length")) ?? usual.max_tokens;
    $("shown").textContent = $("temperature").value;
    describe(given);
  }

  for (const id of FIELDS) {
    const changed = () => {
      remember(named(id), $(id).value);
      $("shown").textContent = $("temperature").value;
      if (told) describe();
    };
    for (const kind of ["input", "change"]) $(id).addEventListener(kind, changed); // some ways to choose fire one alone
  }
  const asked = () => ({ models: models(), temperature: Number($("temperature").value), max_tokens: Number($("length").value) });
  return { asked, describe, fill };
}

function linked(href, words) {
  return make("a", { href, target: "_blank", rel: "noopener noreferrer" }, words);
}
