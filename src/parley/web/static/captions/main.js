/** The page, put together. */

import { bindThemeToggle } from "../shared/theme.js";
import { Announcer } from "./announcer.js";
import { Captioning } from "./captioning.js";
import { ask, askCredential, bindHelp, bindSettings, isAsking, showHelp, showSettings } from "./dialogs.js";
import { byId } from "./dom.js";
import { bindDownloads } from "./downloads.js";
import { bindFiles } from "./dropping.js";
import { bindKeys, leaveAfterPointer } from "./keys.js";
import { LevelMeter } from "./level_meter.js";
import { ScreenView } from "./screen_view.js";
import { lookAround } from "./server.js";
import { restored } from "./settings.js";
import { StatusView } from "./status_view.js";
import { TranscriptView, timeBeside } from "./transcript_view.js";
import { Vigil } from "./vigil.js";

const TICK_MS = 250;

const settings = restored();
let models = [];
let isLocked = false;
/** Whether there is text that was not downloaded. */
let isUnsaved = false;

const captioning = new Captioning({
  changed: () => update(),
  said: (turns) => show(turns),
  voided: (id) => view.remove(id),
  marked: () => captioning.transcript.marks.forEach((mark) => view.mark(mark)),
  noticed: (notice, isLasting) => status.notice(notice, isLasting),
  heard: (db, isSpeech) => level.add(db, isSpeech),
  askCredential: signIn,
});
const status = new StatusView();
const level = new LevelMeter();
const announcer = new Announcer();
const vigil = new Vigil();
const view = new TranscriptView((turn) => timeBeside(turn, settings.times, (ms) => captioning.dayOf(ms)));
const screen = new ScreenView(() => update());

function update() {
  const { state, transcript } = captioning;
  status.update(state, captioning.latency.ms, transcript.lengthMs, captioning.progress);
  screen.update(transcript.turns, performance.now());
  vigil.keep(state.isRecording);
  if (!captioning.isBusy) level.clear();
}

function show(turns) {
  const nowMs = performance.now();
  for (const turn of turns) {
    view.update(turn, nowMs);
    announcer.update(turn, nowMs);
  }
  isUnsaved = true;
}

/** What changes by itself: text settles, and time passes. */
function tick() {
  const nowMs = performance.now();
  for (const turn of captioning.transcript.turns.slice(-8)) {
    if (turn.isDone) continue;
    view.update(turn, nowMs);
    announcer.update(turn, nowMs);
  }
  if (captioning.isBusy || screen.isOpen) update();
}

async function signIn(code) {
  const credential = await askCredential(code);
  if (credential) await learn(credential);
  return credential;
}

async function learn(credential) {
  const found = await lookAround(credential);
  models = found.models;
  isLocked = !found.isKnown;
}

async function mayBegin() {
  if (!isLocked || captioning.credential) return true;
  captioning.credential = await signIn("credentials-missing");
  return captioning.credential !== "";
}

async function toggle() {
  if (captioning.state.isOpening) return;
  if (captioning.isBusy) await captioning.stop();
  else if (await mayBegin()) await captioning.startMicrophone(settings);
}

async function takeFile(file) {
  if (captioning.isBusy) {
    status.notice({ tone: "warn", text: "Stop what is going on first, then drop the recording again." }, false);
    return;
  }
  const question = {
    title: "Begin a new transcript?",
    text: "The text on this page is gone then. Download it first if it is wanted.",
    yes: "Begin a new one",
  };
  if (isUnsaved && !captioning.transcript.isEmpty && !(await ask(question))) return;
  if (!(await mayBegin())) return;
  clear();
  await captioning.startFile(file, settings);
}

function clear() {
  captioning.clear();
  view.clear();
  announcer.clear();
  isUnsaved = false;
  update();
}

async function askToClear() {
  const question = {
    title: "Clear the transcript?",
    text: "The text on this page is gone then. Download it first if it is wanted.",
    yes: "Clear it",
  };
  if (!isUnsaved || (await ask(question))) clear();
}

function dress() {
  document.documentElement.dataset.textSize = settings.size;
  document.documentElement.dataset.lines = settings.lines;
  view.retime(captioning.transcript.turns);
}

const themeButton = byId("theme-button");
bindThemeToggle(themeButton, "static/shared/icons.svg");
themeButton.addEventListener("click", () => level.redraw());
bindFiles(takeFile);
bindHelp();
bindSettings(settings, () => models, dress);
bindDownloads({
  turns: () => captioning.transcript.turns,
  saved: () => (isUnsaved = false),
  clear: askToClear,
  mayClear: () => !captioning.isBusy,
  noticed: (tone, text) => status.notice({ tone, text }, false),
});
byId("toggle-button").addEventListener("click", toggle);
leaveAfterPointer(byId("tools"));
bindKeys(
  {
    " ": toggle,
    f: () => screen.toggle(),
    Escape: () => screen.close(),
    o: () => screen.isOpen || byId("file-button").click(),
    d: () => screen.isOpen || byId("download-button").click(),
    s: () => screen.isOpen || isAsking() || showSettings(settings, models),
    t: () => themeButton.click(),
    "?": () => screen.isOpen || isAsking() || showHelp(),
    End: () => view.toEnd(),
  },
  () => settings.keys,
);
addEventListener("beforeunload", (event) => {
  if (captioning.isBusy || isUnsaved) event.preventDefault();
});

dress();
update();
setInterval(tick, TICK_MS);
learn("");
