/** Single keys as shortcuts, which can be turned off, and never where somebody types or a control would take them. */

const OF_CONTROLS = new Set([" ", "Enter", "End"]);

/**
 * Who presses a tool with a pointer is not on it with the keyboard: Space is to start and stop afterwards.
 * @param {Element} tools
 */
export function leaveAfterPointer(tools) {
  const leave = (event) => {
    if (event.detail > 0) event.target.closest("button")?.blur();
  };
  tools.addEventListener("click", leave, { capture: true });
}

/**
 * @param {Record<string, () => void>} actions by key, letters in lower case
 * @param {() => boolean} areOn
 */
export function bindKeys(actions, areOn) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!Object.hasOwn(actions, key) || (key.length === 1 && !areOn())) return;
    const target = /** @type {Element} */ (event.target);
    if (target.closest("input, select, textarea, dialog, [contenteditable]")) return;
    if (OF_CONTROLS.has(key) && target.closest("button, a, summary")) return;
    event.preventDefault();
    actions[key]();
  });
}
