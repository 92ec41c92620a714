"use strict";
// Class names come from folder names, and file names from anywhere: text goes in by textContent alone.

const find = (id) => document.getElementById(id);
let items = [];
let classes = [];
let decisions = {};
let lost = [];
let at = 0;
let busy = false;

async function begin() {
  const found = await ask("state");
  if (!found) return;
  ({ items, classes, decisions, lost } = found);
  const first = items.findIndex((item) => !decisions[item.path]);
  at = first < 0 ? 0 : first;
  find("work").hidden = items.length === 0;
  show();
}

function take(change) {
  ({ classes, lost } = change);
  if (change.decision) decisions[change.path] = change.decision;
  else delete decisions[change.path];
}

async function ask(place, content) {
  try {
    const options = content === undefined ? {} : { method: "POST", body: JSON.stringify(content) };
    const response = await fetch(place, options);
    const found = await response.json();
    fail(response.ok ? "" : found.error);
    return response.ok ? found : null;
  } catch {
    fail("The server does not answer: nothing was decided. Start googlenet relabel again, then reload this page.");
    return null;
  }
}

function fail(message) { find("error").textContent = message; }

function text(tag, content) {
  const made = document.createElement(tag);
  made.textContent = content;
  return made;
}

function choices(item) {
  const guesses = item.guesses.filter((guess) => guess.label !== item.given);
  const named = new Set([item.given, ...guesses.map((guess) => guess.label)]);
  const rest = classes.filter((name) => !named.has(name)).map((label) => ({ label, probability: null }));
  return [...guesses, ...rest];
}

function show() {
  const decided = items.filter((item) => decisions[item.path]).length;
  const gone = lost.length ? ` No photo is left of ${lost.join(", ")}.` : "";
  if (items.length === 0) {
    find("progress").textContent = "No label is suspect.";
    return;
  }
  find("progress").textContent = `Photo ${at + 1} of ${items.length}; ${decided} decided.${gone}`;
  find("bar").max = items.length;
  find("bar").value = decided;
  const item = items[at];
  const decision = decisions[item.path];
  find("photo").src = `photos/${item.number}`;
  find("photo").alt = `The photo ${item.path}`;
  find("path").textContent = item.path;
  find("given").textContent = item.given;
  find("copy").hidden = item.copy_of === null;
  find("decided").hidden = !decision;
  find("decided").textContent = decision ? said(decision) : "";
  find("keep").classList.toggle("chosen", decision?.action === "keep");
  find("exclude").classList.toggle("chosen", decision?.action === "exclude");
  find("classes").replaceChildren(...choices(item).map((choice, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.classList.toggle("chosen", decision?.action === "correct" && decision.label === choice.label);
    const key = i === 0 ? "1, Enter" : String(i + 1);
    button.append(i < 9 ? text("kbd", key) : text("span", ""), text("span", choice.label));
    button.append(text("span", choice.probability === null ? "" : `${(100 * choice.probability).toFixed(0)} %`));
    button.addEventListener("click", () => decide("correct", choice.label));
    const row = document.createElement("li");
    row.append(button);
    return row;
  }));
  find("known").replaceChildren(...classes.map((name) => new Option(name, name)));
  find("label").value = "";
  const following = items[at + 1];
  if (following) new Image().src = `photos/${following.number}`; // so that it is there at once
}

function said(decision) {
  if (decision.action === "keep") return "You kept the label.";
  return decision.action === "exclude" ? "You excluded it." : `You said: ${decision.label}`;
}

async function decide(action, label) {
  if (busy || items.length === 0) return;
  busy = true;
  const item = items[at];
  const change = await ask("decisions", { path: item.path, action, label: label ?? null });
  if (change) {
    take(change);
    at = undecided(at);
  }
  busy = false;
  show();
}

function undecided(from) {
  for (let step = 1; step <= items.length; step += 1) {
    const place = (from + step) % items.length;
    if (!decisions[items[place].path]) return place;
  }
  return Math.min(from + 1, items.length - 1);
}

async function undo() {
  if (busy) return;
  busy = true;
  const change = await ask("undo", {});
  if (change && change.path !== null) {
    take(change);
    const place = items.findIndex((item) => item.path === change.path);
    if (place >= 0) at = place;
  }
  busy = false;
  show();
}

function move(step) {
  fail("");
  at = Math.min(Math.max(at + step, 0), Math.max(items.length - 1, 0));
  show();
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target === find("label")) {
    if (event.key === "Escape") find("label").blur();
    return;
  }
  if (event.key === "Enter" && event.target.tagName === "BUTTON") return; // the button that has the focus
  const offered = items.length ? choices(items[at]) : [];
  const number = event.key === "Enter" ? 1 : Number(event.key);
  const keys = {
    k: () => decide("keep"), x: () => decide("exclude"), u: undo, o: () => { at = undecided(at); show(); },
    n: () => find("label").focus(), arrowleft: () => move(-1), arrowright: () => move(1),
  };
  const action = keys[event.key.toLowerCase()];
  if (action) {
    event.preventDefault();
    action();
  } else if (number >= 1 && number <= 9 && offered[number - 1]) {
    event.preventDefault();
    decide("correct", offered[number - 1].label);
  }
}

find("keep").addEventListener("click", () => decide("keep"));
find("exclude").addEventListener("click", () => decide("exclude"));
find("undo").addEventListener("click", undo);
find("back").addEventListener("click", () => move(-1));
find("next").addEventListener("click", () => move(1));
find("open").addEventListener("click", () => { at = undecided(at); show(); });
find("other").addEventListener("submit", (event) => {
  event.preventDefault();
  const label = find("label").value.trim();
  if (!label) { fail("Type the name of a class."); return; }
  find("label").blur();
  decide("correct", label);
});
find("photo").addEventListener("error", () => fail("This photo cannot be shown: it was moved, or cannot be read."));
document.addEventListener("keydown", press);
begin();
