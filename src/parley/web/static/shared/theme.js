/**
 * Light or dark: as the system has it, until somebody chooses otherwise. The choice is kept in this browser.
 */

const KEY = "parley.theme";
const ICONS = { light: "moon", dark: "sun" };

/**
 * The theme that is shown now.
 * @returns {"light" | "dark"}
 */
export function shownTheme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === "light" || chosen === "dark") return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Show what was chosen before, if anything was. */
export function restoreTheme() {
  const chosen = read();
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}

/**
 * Make a button change the theme. Its `<use>` becomes the icon of what it would change to, its name says so.
 * @param {HTMLButtonElement} button
 * @param {string} icons the address of icons.svg
 */
export function bindThemeToggle(button, icons) {
  const show = () => {
    const theme = shownTheme();
    const label = theme === "dark" ? "Light colours" : "Dark colours";
    button.setAttribute("aria-label", label);
    button.title = label;
    button.querySelector("use")?.setAttribute("href", `${icons}#${ICONS[theme]}`);
  };
  button.addEventListener("click", () => {
    const theme = shownTheme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    write(theme);
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
}

// A browser may forbid a page to keep anything; the theme is then the system's at each visit.
function read() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function write(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // It holds until the page is left.
  }
}

restoreTheme();
