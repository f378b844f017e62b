// Shows the gateway's answers as they change. All text is set as text: names are other people's words.

"use strict";

const list = document.getElementById("answers");
const last = document.getElementById("last");

/** A line of the panel: the one that is there, or a new one. */
function lineOf(number) {
  const there = list.querySelector(`[data-device="${number}"]`);
  if (there) return there;
  const line = document.createElement("li");
  line.dataset.device = number;
  for (const name of ["device", "where", "answer", "detail"]) {
    const part = document.createElement("span");
    part.className = name;
    line.append(part, " ");
  }
  return line;
}

function write(line, name, text) {
  const part = line.querySelector(`.${name}`);
  // A screen reader and the browser have nothing to do for a text that stays.
  if (part.textContent !== text) part.textContent = text;
}

function show(views) {
  const lines = [];
  for (const view of views) {
    const line = lineOf(view.number);
    const wasAdmitted = line.dataset.state === "admitted";
    line.dataset.state = view.state;
    write(line, "device", view.name);
    write(line, "where", `${view.person}, ${view.town}`);
    write(line, "answer", view.answer);
    write(line, "detail", view.detail);
    if (wasAdmitted && view.state === "refused") {
      last.textContent = `${view.name}: refused ${view.detail}`;
    }
    lines.push(line);
  }
  if (lines.some((line, place) => list.children[place] !== line) || lines.length !== list.children.length) {
    list.replaceChildren(...lines);
  }
}

const answers = new EventSource("/demo/answers");
answers.onmessage = (message) => show(JSON.parse(message.data));
