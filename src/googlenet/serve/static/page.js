"use strict";
// Class names come from folder names, and file names from anywhere: text goes in by textContent alone.

const find = (id) => document.getElementById(id);
const RAMP = [[24, 15, 61], [101, 21, 110], [174, 48, 92], [229, 92, 48], [252, 165, 10], [252, 255, 164]];
const SHOWN = 640; // pixels of the longer side of a photo that is shown
const STRONGEST = 0.8;
let models = [];
let waiting = 0;
const rows = []; // of the CSV file

async function begin() {
  try {
    const response = await fetch("info", { headers: authorization() });
    if (response.status === 401) { askForToken(); return; }
    const info = await response.json();
    models = info.models;
  } catch {
    say("The server does not answer.");
    return;
  }
  if (models.length === 0) { say("The model is not ready yet."); setTimeout(begin, 500); return; }
  say("");
  const select = find("model");
  select.replaceChildren(...models.map((each) => new Option(each.name, each.name)));
  find("model-row").hidden = models.length < 2;
  describe();
}

function chosen() { return models.find((each) => each.name === find("model").value) ?? models[0]; }

function describe() {
  const model = chosen();
  if (!model) return;
  find("about").textContent = `${model.name}, ${model.classes.length} classes, ${model.engine}`;
  const facts = [
    ["name", model.name], ["version", model.version], ["sha256", model.sha256], ["runs on", model.engine],
    ["input", `${model.size} x ${model.size} pixels`], ["classes", model.classes.join(", ")],
  ];
  find("facts").replaceChildren(...facts.flatMap(([name, value]) => [text("dt", name), text("dd", String(value))]));
  find("curl").textContent = curl("photo.jpg");
}

function curl(name) {
  const place = new URL(`predictions/${chosen()?.name ?? "googlenet"}`, location.href);
  const token = find("token-row").hidden ? "" : " -H 'Authorization: Bearer TOKEN'";
  return `curl${token} --data-binary @'${name.replaceAll("'", "'\\''")}' ${place}`;
}

function authorization() {
  const token = find("token").value;
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function askForToken() {
  find("token-row").hidden = false;
  say("This server asks for a token.");
  find("token").focus();
}

function text(tag, content) {
  const made = document.createElement(tag);
  made.textContent = content;
  return made;
}

function say(message) { find("status").textContent = message; }

async function take(files) {
  const photos = [...files];
  if (photos.length === 0) return;
  waiting += photos.length;
  for (const photo of photos) { // one after the other: the first is shown at once, and nothing is shed
    say(`Looking at ${photo.name || "the photo"} (${waiting} left) …`);
    await show(photo);
    waiting -= 1;
  }
  const answered = find("results").children.length;
  if (waiting === 0) say(`${answered} ${answered === 1 ? "photo" : "photos"} answered.`);
}

async function show(photo) {
  const card = find("card").content.firstElementChild.cloneNode(true);
  const name = photo.name || "pasted image";
  card.querySelector("h2").textContent = name;
  card.querySelector(".copy").addEventListener("click", (event) => copy(event.target, curl(name)));
  find("results").prepend(card);
  const began = performance.now();
  let found;
  try {
    const place = `explain/${encodeURIComponent(chosen().name)}`;
    const response = await fetch(place, {
      method: "POST", body: photo,
      headers: { "Content-Type": "application/octet-stream", ...authorization() },
    });
    found = await response.json();
    if (response.status === 401) askForToken();
    if (!response.ok) { fail(card, name, found.error); return; }
  } catch {
    fail(card, name, "the server does not answer");
    return;
  }
  await fill(card, photo, name, found, performance.now() - began);
}

function fail(card, name, why) {
  card.classList.add("error");
  card.querySelector(".views").remove();
  for (const part of card.querySelectorAll(".bars, .badge, .copy")) part.remove();
  card.querySelector(".times").textContent = `No answer: ${why}.`;
  rows.push([name, "", "", why, ""]);
  offer();
}

async function fill(card, photo, name, found, took) {
  const seen = card.querySelector(".seen img");
  seen.src = found.square;
  seen.alt = `What the network saw of ${name}`;
  card.querySelector(".badge").hidden = found.unfamiliar !== true;
  const picture = await upright(photo, found);
  const slider = card.querySelector("input[type=range]");
  let map = 0;
  const draw = () => paint(card.querySelector("canvas"), picture, found, map, slider.value / 100);
  slider.addEventListener("input", draw);
  const bars = found.predictions.map((each, i) => bar(each, i, (chosenBar) => {
    map = chosenBar;
    bars.forEach((other, j) => other.firstChild.setAttribute("aria-pressed", String(j === map)));
    draw();
  }));
  bars[0].firstChild.setAttribute("aria-pressed", "true");
  card.querySelector(".bars").replaceChildren(...bars);
  if (!found.predictions[0].map) slider.closest("label").remove();
  const { decode, queue, compute } = found.seconds;
  const rest = Math.max(0, took - 1000 * (decode + queue + compute));
  const parts = [["network and page", rest], ["waiting", 1000 * queue], ["decoding", 1000 * decode], ["computing", 1000 * compute]];
  card.querySelector(".times").textContent =
    `${took.toFixed(0)} ms: ${parts.map(([what, time]) => `${what} ${time.toFixed(1)}`).join(", ")}`;
  draw();
  found.predictions.forEach((each, i) =>
    rows.push([name, i + 1, each.label, each.probability, i === 0 && found.unfamiliar ? "unlike the training data" : ""]));
  offer();
}

function bar(each, i, press) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  button.title = "show what speaks for it";
  const name = text("span", each.label);
  name.className = "name";
  const meter = document.createElement("meter");
  meter.value = each.probability;
  meter.setAttribute("aria-hidden", "true");
  button.append(name, text("span", `${(100 * each.probability).toFixed(1)} %`), meter);
  button.addEventListener("click", () => press(i));
  item.append(button);
  return item;
}

// The browser turns a photo upright by itself, as the server does; formats it cannot show are seen by the server alone.
async function upright(photo, found) {
  try {
    return await createImageBitmap(photo, { imageOrientation: "from-image" });
  } catch {
    const seen = new Image();
    seen.src = found.square;
    await seen.decode();
    return seen;
  }
}

function paint(canvas, picture, found, which, opacity) {
  const whole = picture instanceof ImageBitmap;
  const { width, height } = whole ? found.photo : { width: picture.naturalWidth, height: picture.naturalHeight };
  const scale = SHOWN / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const guess = found.predictions[which];
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `The photo, with what speaks for ${guess.label}`);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const box = (whole ? found.box : [0, 0, width, height]).map((edge) => edge * scale);
  const [left, top, right, bottom] = box;
  if (guess.map && opacity > 0) {
    context.drawImage(heat(guess.map, opacity), left, top, right - left, bottom - top);
  }
  context.fillStyle = "rgba(0, 0, 0, .5)"; // what it did not see
  context.fillRect(0, 0, canvas.width, top);
  context.fillRect(0, bottom, canvas.width, canvas.height - bottom);
  context.fillRect(0, top, left, bottom - top);
  context.fillRect(right, top, canvas.width - right, bottom - top);
  context.strokeStyle = "#fff";
  context.strokeRect(left + 0.5, top + 0.5, right - left - 1, bottom - top - 1);
}

// As the package's own overlays: zero and less shows nothing, the greatest value hides most.
function heat(map, opacity) {
  const canvas = document.createElement("canvas");
  const [high, wide] = [map.length, map[0].length];
  const fine = 8;
  canvas.width = wide * fine;
  canvas.height = high * fine;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const most = Math.max(...map.flat(), 0);
  for (let y = 0; y < canvas.height; y += 1) {
    for (let x = 0; x < canvas.width; x += 1) {
      const value = most > 0 ? Math.max(0, between(map, (y + 0.5) / fine - 0.5, (x + 0.5) / fine - 0.5)) / most : 0;
      const place = Math.min(value, 1) * (RAMP.length - 1);
      const below = Math.min(Math.floor(place), RAMP.length - 2);
      const share = place - below;
      const at = 4 * (y * canvas.width + x);
      for (let c = 0; c < 3; c += 1) image.data[at + c] = RAMP[below][c] * (1 - share) + RAMP[below + 1][c] * share;
      image.data[at + 3] = 255 * STRONGEST * Math.min(value, 1) * opacity / 0.6;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function between(map, y, x) {
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);
  const [top, left] = [Math.floor(y), Math.floor(x)];
  const at = (r, c) => map[clamp(r, map.length - 1)][clamp(c, map[0].length - 1)];
  const [down, across] = [y - top, x - left];
  return (at(top, left) * (1 - across) + at(top, left + 1) * across) * (1 - down)
    + (at(top + 1, left) * (1 - across) + at(top + 1, left + 1) * across) * down;
}

async function copy(button, content) {
  try {
    await navigator.clipboard.writeText(content);
    button.textContent = "Copied";
  } catch {
    button.textContent = content;
  }
  setTimeout(() => { button.textContent = "Copy as curl"; }, 4000);
}

function offer() {
  find("csv").hidden = find("clear").hidden = rows.length === 0;
}

function save() {
  const quote = (value) => `"${String(value).replaceAll('"', '""')}"`;
  // a spreadsheet would take a text that begins so for a formula
  const safe = (value) => (/^[=+\-@\t\r]/.test(String(value)) && typeof value !== "number" ? `'${value}` : value);
  const lines = [["photo", "rank", "label", "probability", "note"], ...rows].map((row) => row.map(safe).map(quote).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  link.download = "guesses.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

for (const id of ["file", "camera"]) {
  find(id).addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
  find(id).addEventListener("focus", () => document.querySelector(`label[for=${id}]`).classList.add("focus"));
  find(id).addEventListener("blur", () => document.querySelector(`label[for=${id}]`).classList.remove("focus"));
}
const drop = find("drop");
document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files); });
document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) take(event.clipboardData.files); });
find("model").addEventListener("change", describe);
find("token").addEventListener("change", begin);
find("options").addEventListener("submit", (event) => { event.preventDefault(); begin(); });
find("csv").addEventListener("click", save);
find("clear").addEventListener("click", () => { rows.length = 0; find("results").replaceChildren(); offer(); say(""); });
begin();
