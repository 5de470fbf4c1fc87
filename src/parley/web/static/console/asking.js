/** Dialogs: who is there, and whether something is really meant. */

import { WANTS_CREDENTIAL, inWords, Refused } from "./api.js";
import { byId, make } from "./dom.js";

const WHY = {
  "credentials-missing": "This node asks who is there.",
  "invalid-token": "That is none that this node knows. Check it and try again.",
  "expired-credentials": "What you signed in with has expired. Sign in again.",
};

/**
 * Ask for a credential until there is a good one, which the API then has.
 * @param {import("./api.js").Api} api @param {string} code why it is asked for
 * @returns {Promise<void>}
 */
export function signIn(api, code) {
  const dialog = byId("sign-in");
  const input = byId("credential");
  const say = (text, isWrong) => {
    byId("sign-in-why").textContent = text;
    input.setAttribute("aria-invalid", String(isWrong));
  };
  say(WHY[code] ?? WHY["credentials-missing"], false);
  input.value = "";
  for (const open of document.querySelectorAll("dialog[open]")) open.close();
  return new Promise((resolve) => {
    const done = new AbortController();
    const { signal } = done;
    dialog.addEventListener("cancel", (event) => event.preventDefault(), { signal });
    byId("sign-in-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      api.signIn(input.value.trim());
      try {
        await api.get("me");
      } catch (error) {
        api.signIn("");
        const isWrong = error instanceof Refused && WANTS_CREDENTIAL.has(error.code);
        say(isWrong ? WHY[error.code] : inWords(error), isWrong);
        input.select();
        return;
      }
      input.value = "";
      done.abort();
      dialog.close();
      resolve();
    }, { signal });
    dialog.showModal();
    input.focus();
  });
}

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {string[]} text paragraphs
 * @property {string} yes what the button says that does it
 * @property {boolean} [isGrave] it can't be taken back
 * @property {{name: string, label: string, hint: string, value?: string}[]} [fields] numbers; empty ones are left out
 * @property {(fields: Record<string, number>) => Promise<void>} act
 */

/**
 * Ask, and act when the answer is yes: what the node refuses is said in the dialog.
 * @param {Question} question
 * @returns {Promise<void>} when it is closed
 */
export function confirm({ title, text, yes, isGrave = false, fields = [], act }) {
  const dialog = byId("question");
  const button = byId("question-yes");
  const problem = byId("question-problem");
  const inputs = fields.map(({ name, label, hint, value = "" }) => {
    const input = make("input", { class: "input tabular", inputmode: "decimal", name, value, "aria-describedby": `hint-${name}` });
    const shown = make("span", { class: "field-hint", id: `hint-${name}` }, hint);
    return { input, field: make("label", { class: "field" }, make("span", { class: "field-label" }, label), input, shown) };
  });
  byId("question-title").textContent = title;
  byId("question-text").replaceChildren(...text.map((paragraph) => make("p", {}, paragraph)));
  byId("question-fields").replaceChildren(...inputs.map(({ field }) => field));
  button.textContent = yes;
  button.className = isGrave ? "button button-grave" : "button button-primary";
  button.disabled = false;
  problem.hidden = true;
  const say = (words) => {
    problem.textContent = words;
    problem.hidden = false;
  };
  return new Promise((resolve) => {
    const done = new AbortController();
    const { signal } = done;
    dialog.addEventListener("close", () => {
      done.abort();
      resolve();
    }, { signal });
    byId("question-no").addEventListener("click", () => dialog.close(), { signal });
    byId("question-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const numbers = read(inputs.map(({ input }) => input));
      if (numbers === null) return say("That is no number of seconds.");
      button.disabled = true;
      try {
        await act(numbers);
        if (!signal.aborted) dialog.close();
      } catch (error) {
        say(inWords(error));
      } finally {
        button.disabled = false;
      }
    }, { signal });
    dialog.showModal();
    byId("question-no").focus();
  });
}

function read(inputs) {
  const numbers = {};
  for (const input of inputs) {
    const text = input.value.trim().replace(",", ".");
    if (!text) continue;
    const number = Number(text);
    const isBad = !Number.isFinite(number) || number < 0;
    input.setAttribute("aria-invalid", String(isBad));
    if (isBad) {
      input.focus();
      return null;
    }
    numbers[input.name] = number;
  }
  return numbers;
}

/** Something that was done, for a few seconds. @param {string} text */
export function toast(text) {
  const shown = make("p", { class: "toast" }, text);
  byId("toasts").append(shown);
  setTimeout(() => shown.remove(), 7_000);
}

/** Whether a dialog is open. */
export const isAsking = () => document.querySelector("dialog[open]") !== null;
