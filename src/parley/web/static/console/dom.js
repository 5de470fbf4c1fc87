/** Small helpers for the document. */

const SVG = "http://www.w3.org/2000/svg";

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
 * A new element with what is in it.
 * @param {string} tag
 * @param {Record<string, string | number | boolean | null>} [attributes] those that are false or null are left out
 * @param {...(Node | string)} content
 * @returns {any}
 */
export function make(tag, attributes = {}, ...content) {
  return filled(document.createElement(tag), attributes, content);
}

/** The same in SVG. @param {string} tag @param {Record<string, any>} [attributes] @param {...(Node | string)} content @returns {any} */
export function draw(tag, attributes = {}, ...content) {
  return filled(document.createElementNS(SVG, tag), attributes, content);
}

function filled(element, attributes, content) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...content);
  return element;
}

/** Change a text if it is another: what is read aloud is then read once. @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {Element} element @param {string} name @param {string | null} value null: without it */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** A description list's pairs; leaves it alone when they are what it has. @param {HTMLElement} list @param {[string, string][]} pairs */
export function setPairs(list, pairs) {
  while (list.children.length > pairs.length) list.lastElementChild.remove();
  for (const [place, [name, value]] of pairs.entries()) {
    const pair = list.children[place] ?? list.appendChild(make("div", {}, make("dt"), make("dd")));
    setText(pair.firstElementChild, name);
    setText(pair.lastElementChild, value);
  }
}

/** How wide a meter's filling is. @param {HTMLElement} fill @param {number} share from 0 to 1 */
export function setShare(fill, share) {
  fill.style.inlineSize = `${(100 * Math.min(1, Math.max(0, share))).toFixed(1)}%`;
}
