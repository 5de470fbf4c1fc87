/** Small helpers for the document. */

/**
 * An element that the page is known to have.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no element "${id}".`);
  return element;
}

/**
 * A new element.
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {string} [text]
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, text = "") {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

/**
 * Change a text, if it is another: what is read aloud is then read once.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {Element} icon its svg @param {string} name of icons.svg */
export function setIcon(icon, name) {
  const use = icon.querySelector("use");
  const address = `static/shared/icons.svg#${name}`;
  if (use && use.getAttribute("href") !== address) use.setAttribute("href", address);
}
