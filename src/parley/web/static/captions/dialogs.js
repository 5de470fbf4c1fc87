/** Dialogs: signing in, a question, settings, help. */

import { byId, make } from "./dom.js";
import { keep } from "./settings.js";
import { lookAround } from "./server.js";
import { microphones } from "./microphone.js";

const WHY = {
  "credentials-missing": "This server asks who is there.",
  "expired-credentials": "What you signed in with has expired. What was said meanwhile is kept.",
};
const REFUSED = "The server does not know this key or token.";

/**
 * Ask for an API key or a token, until one is good.
 * @param {string} code why
 * @returns {Promise<string>} empty where somebody declined
 */
export function askCredential(code) {
  const dialog = byId("sign-in");
  const input = byId("credential");
  const why = byId("sign-in-why");
  why.textContent = WHY[code] ?? REFUSED;
  input.value = "";
  input.setAttribute("aria-invalid", String(!WHY[code]));
  return new Promise((resolve) => {
    const done = new AbortController();
    const { signal } = done;
    const finish = (credential) => {
      done.abort();
      input.value = "";
      dialog.close();
      resolve(credential);
    };
    const submit = async (event) => {
      event.preventDefault();
      const credential = input.value.trim();
      const { isKnown } = await lookAround(credential);
      if (signal.aborted) return;
      if (isKnown) finish(credential);
      else {
        why.textContent = REFUSED;
        input.setAttribute("aria-invalid", "true");
        input.select();
      }
    };
    byId("sign-in-form").addEventListener("submit", submit, { signal });
    byId("sign-in-cancel").addEventListener("click", () => finish(""), { signal });
    dialog.addEventListener("cancel", () => finish(""), { signal });
    dialog.showModal();
    input.focus();
  });
}

/**
 * A question with two answers.
 * @param {{title: string, text: string, yes: string}} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, yes }) {
  const dialog = byId("question");
  byId("question-title").textContent = title;
  byId("question-text").textContent = text;
  byId("question-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Whether a dialog is open. */
export const isAsking = () => document.querySelector("dialog[open]") !== null;

/** The help behind its button. */
export function bindHelp() {
  byId("help-button").addEventListener("click", showHelp);
}

export function showHelp() {
  byId("help").showModal();
}

/**
 * The settings behind their button.
 * @param {ReturnType<import("./settings.js").restored>} settings changed in place
 * @param {() => string[]} models that the server has
 * @param {() => void} changed
 */
export function bindSettings(settings, models, changed) {
  const names = ["microphone", "model", "size", "lines", "times", "pace", "keys"];
  for (const name of names) {
    const field = byId(`setting-${name}`);
    field.addEventListener("input", () => {
      settings[name] = field.type === "checkbox" ? field.checked : field.value;
      keep(settings);
      changed();
    });
  }
  byId("settings-button").addEventListener("click", () => showSettings(settings, models()));
}

/** @param {ReturnType<import("./settings.js").restored>} settings @param {string[]} models */
export async function showSettings(settings, models) {
  const own = { id: "", label: "The server's own choice" };
  fillChoice(byId("setting-model"), [own, ...models.map(named)], settings.model);
  byId("setting-model-field").hidden = models.length < 2;
  for (const name of ["size", "lines", "times", "pace"]) byId(`setting-${name}`).value = settings[name];
  byId("setting-keys").checked = settings.keys;
  byId("settings").showModal();
  const devices = await microphones();
  const choice = { id: "", label: "The system's own choice" };
  fillChoice(byId("setting-microphone"), [choice, ...devices], settings.microphone);
}

const named = (name) => ({ id: name, label: name });

function fillChoice(select, choices, chosen) {
  select.replaceChildren(...choices.map(({ id, label }) => make("option", { value: id }, label)));
  select.value = choices.some(({ id }) => id === chosen) ? chosen : "";
}
