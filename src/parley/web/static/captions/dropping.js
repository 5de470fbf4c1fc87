/** Recordings that are dropped on the page, or chosen. */

import { byId } from "./dom.js";

/** @param {(file: File) => void} take */
export function bindFiles(take) {
  const veil = byId("drop");
  const input = byId("file-input");
  // Each element under the pointer is entered and left on its own.
  let depth = 0;
  const show = (isOver) => {
    depth = isOver ? depth : 0;
    veil.hidden = !isOver;
  };
  const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

  addEventListener("dragenter", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    depth += 1;
    show(true);
  });
  addEventListener("dragover", (event) => {
    if (hasFile(event)) event.preventDefault();
  });
  addEventListener("dragleave", (event) => {
    if (!hasFile(event)) return;
    depth -= 1;
    if (depth <= 0) show(false);
  });
  addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    show(false);
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
  byId("file-button").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = "";
    if (file) take(file);
  });
}
