/** The transcript as a file, or on the clipboard. */

import { srt, txt, vtt } from "./captions_export.js";
import { byId } from "./dom.js";

const FORMATS = {
  txt: { type: "text/plain;charset=utf-8", write: txt },
  srt: { type: "application/x-subrip;charset=utf-8", write: srt },
  vtt: { type: "text/vtt;charset=utf-8", write: vtt },
};
/** How long a browser may take to begin with a download. */
const REVOKE_MS = 30_000;

/**
 * @typedef {object} Page
 * @property {() => import("./transcript.js").Turn[]} turns
 * @property {() => void} saved
 * @property {() => void} clear
 * @property {() => boolean} mayClear
 * @property {(tone: string, text: string) => void} noticed
 */

/**
 * The menu behind the download button.
 * @param {Page} page
 */
export function bindDownloads({ turns, saved, clear, mayClear, noticed }) {
  const button = byId("download-button");
  const menu = byId("download-menu");
  const items = () => [...menu.querySelectorAll("button:not(:disabled)")];
  const show = (isOpen) => {
    menu.hidden = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return;
    const isEmpty = turns().length === 0;
    for (const item of menu.querySelectorAll("button")) item.disabled = isEmpty;
    byId("clear-button").disabled = isEmpty || !mayClear();
    items()[0]?.focus();
  };
  const close = (isByKey) => {
    if (menu.hidden) return;
    show(false);
    if (isByKey) button.focus();
  };

  button.addEventListener("click", () => show(menu.hidden));
  document.addEventListener("pointerdown", ({ target }) => {
    if (!menu.hidden && !menu.contains(target) && !button.contains(target)) show(false);
  });
  menu.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget && !menu.contains(relatedTarget) && relatedTarget !== button) show(false);
  });
  menu.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") close(true);
    else if (step) {
      const all = items();
      all[(all.indexOf(document.activeElement) + step + all.length) % all.length]?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  menu.addEventListener("click", async ({ target, detail }) => {
    const item = target.closest("button");
    if (!item) return;
    close(detail === 0);
    if (item.dataset.format) {
      download(item.dataset.format, turns());
      saved();
    } else if (item.id === "copy-button") {
      const isCopied = await copy(turns());
      if (isCopied) saved();
      if (isCopied) noticed("good", "The text is on the clipboard.");
      else noticed("warn", "The browser did not allow copying.");
    } else clear();
  });
}

function download(format, turns) {
  const { type, write } = FORMATS[format];
  const url = URL.createObjectURL(new Blob([write(turns)], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `captions-${stampOf(new Date())}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), REVOKE_MS);
}

async function copy(turns) {
  try {
    await navigator.clipboard.writeText(turns.map((turn) => turn.text.trim()).join("\n\n"));
    return true;
  } catch {
    return false;
  }
}

function stampOf(date) {
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}-${two(date.getHours())}${two(date.getMinutes())}`;
}
