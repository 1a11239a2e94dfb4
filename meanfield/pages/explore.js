// The page with knobs: the knobs are the state, the address keeps it, the server computes, `chart.js` draws.

import { extent, frame, linear, log, path, short, svg } from "./chart.js";

const id = (name) => document.getElementById(name);
const KNOBS = ["weight_var", "bias_var", "depth"];
const FIRST = { activation: "tanh", weight_var: 1.5, bias_var: 0.05, depth: 30 };
const MEANING = {
  ordered: "all inputs grow alike, gradients vanish with depth",
  chaotic: "inputs part ways, gradients explode with depth",
  critical: "gradients keep their size through the depth",
};
const NUMBERS = [["length q", "q"], ["correlation c", "c"], ["χ<sub>1</sub>", "chi_1"], ["χ<sub>q</sub>", "chi_q"], ["ξ<sub>q</sub>", "xi_q"], ["ξ<sub>c</sub>", "xi_c"]];
const SHADES = [3, 10, 30, 100]; // layers: depth scales at which the diagram gets paler
const state = { ...FIRST };
const shown = {};

// -- asking the server: of each kind one question at a time, then the newest; of another activation at once ------------

const asked = {};

async function ask(kind, questions, draw) {
  const address = `${kind}?${new URLSearchParams(questions)}`;
  const before = asked[kind];
  if (before?.address === address && !before.next) return;
  if (before && !before.done && before.activation === questions.activation) {
    before.next = () => ask(kind, questions, draw);
    return;
  }
  before?.control.abort();
  const now = { address, activation: questions.activation, control: new AbortController() };
  asked[kind] = now;
  busy();
  try {
    const reply = await fetch(address, { signal: now.control.signal });
    const answer = await reply.json();
    if (asked[kind] !== now) return;
    if (reply.ok) draw(answer);
    complain(kind, reply.ok ? null : answer);
    if (kind === "point" && !answer.column) known = now.activation;
  } catch (error) {
    if (asked[kind] !== now) return;
    complain(kind, { error: "The program does not answer: has it been stopped? Start meanfield explore again." });
    now.address = null;
  }
  now.done = true;
  now.next?.();
  if (kind === "point") askAll();
  busy();
}

function busy() {
  const waiting = Object.values(asked).some((question) => !question.done);
  id("page").setAttribute("aria-busy", waiting);
  if (asked.point && !asked.point.done) slow ??= setTimeout(() => sayDeriving(), 300);
  else slow = clearTimeout(slow);
}
let slow;

function sayDeriving() {
  id("phase").textContent = "deriving …";
  id("meaning").textContent = "the first time, equations are derived and compiled";
  document.querySelectorAll("main .chart, #numbers").forEach((part) => part.classList.add("stale"));
}

let known; // the last activation that the server could read

function askAll() {
  const { activation, weight_var, bias_var, depth } = state;
  ask("point", { activation, weight_var, bias_var, depth }, drawPoint);
  if (activation !== known) return; // first whether it is a formula, and its point
  ask("edge", { activation, bias_var }, drawEdge);
  ask("diagram", { activation, weight_most: id("weight_var").max, bias_most: id("bias_var").max }, drawDiagram);
  ask("equations", { activation }, drawEquations);
}

// -- what is wrong -----------------------------------------------------------------------------------------------------

const complaints = {};

function complain(kind, answer) {
  complaints[kind] = answer;
  const found = Object.values(complaints).find(Boolean);
  const formula = Object.values(complaints).find((one) => one?.column);
  id("problem").hidden = !found || Boolean(formula);
  id("problem").textContent = found?.error ?? "";
  id("formula-error").hidden = !formula;
  id("activation").setAttribute("aria-invalid", Boolean(formula));
  if (formula) id("formula-error").replaceChildren(formula.error, marked(state.activation, formula.column));
  if (found && complaints.point) {
    id("phase").textContent = "no phase";
    id("meaning").textContent = "";
    document.querySelectorAll("main .chart, #numbers").forEach((part) => part.classList.add("stale"));
  }
}

function marked(text, column) {
  const code = document.createElement("code");
  const mark = document.createElement("mark");
  mark.textContent = text[column - 1] ?? " ";
  code.append(text.slice(0, column - 1), mark, text.slice(column));
  return code;
}

// -- drawing -----------------------------------------------------------------------------------------------------------

function drawPoint(answer) {
  shown.point = answer;
  document.querySelectorAll(".stale").forEach((part) => part.classList.remove("stale"));
  if (id("phase").textContent !== answer.phase) id("phase").textContent = answer.phase;
  id("meaning").textContent = MEANING[answer.phase];
  id("numbers").replaceChildren(...NUMBERS.map(([name, key]) => {
    const row = document.createElement("div");
    row.innerHTML = `<dt>${name}</dt><dd id="${key}">${short(answer[key])}</dd>`;
    return row;
  }));
  id("python").textContent = answer.python;
  id("command").textContent = answer.command;
  drawCurves(answer);
  drawDot();
}

function drawCurves(answer) {
  drawMap(answer);
  drawLayers(answer.layers);
}

function drawMap({ map, c }) {
  const { root, x, y } = frame(id("map"), { across: [-1, 1], up: [-1, 1], labels: ["c before", "c behind"], square: true });
  root.append(
    svg("path", { class: "guide", d: path([[-1, -1], [1, 1]], x, y) }),
    svg("path", { class: "curve", d: path(map.c.map((value, i) => [value, map.after[i]]), x, y) }),
  );
  if (Number.isFinite(c)) root.append(svg("circle", { class: "dot", cx: x(c), cy: y(c), r: 6 }));
}

function drawLayers({ q, c, gradient }) {
  trajectory("lengths", q, far(q) ? log : linear);
  trajectory("correlations", c, linear, extent([0, 1, ...c]));
  trajectory("gradients", gradient, log);
  id("growth").textContent = `${short(gradient[0], 3)} at the input`;
}

function far(values) {
  const known = values.filter((value) => value > 0);
  return Math.max(...known) > 50 * Math.min(...known);
}

function trajectory(name, values, kind, up = kind === log ? around(values) : extent([0, ...values])) {
  const { root, x, y } = frame(id(name), { across: [0, values.length - 1], up, labels: ["layer", ""], kinds: [linear, kind] });
  root.append(svg("path", { class: "curve", d: path(values.map((value, i) => [i, value]), x, y) }));
}

// Whole decades around positive numbers.
function around(values) {
  const known = values.filter((value) => value > 0).map(Math.log10);
  const low = Math.floor(Math.min(...known) + 1e-9);
  return [10 ** low, 10 ** Math.max(Math.ceil(Math.max(...known) - 1e-9), low + 1)];
}

function drawDiagram(answer) {
  shown.diagram = answer;
  const { weight_most, bias_most, columns, rows, scale, edge } = answer;
  const chart = frame(id("diagram"), { across: [0, weight_most], up: [0, bias_most], labels: ["weight_var", "bias_var"] });
  shown.chart = chart;
  const { back, root, x, y, left, right, top, bottom } = chart;
  const [wide, high] = [weight_most / columns, bias_most / rows];
  scale.forEach((row, j) => runs(row.map(shade)).forEach(([from, to, level]) => back.append(svg("rect", {
    class: level > 0 ? "chaotic" : "ordered", "fill-opacity": 0.1 + 0.09 * (Math.abs(level) - 1), "shape-rendering": "crispEdges",
    x: x(from * wide), y: y((j + 1) * high), width: x(to * wide) - x(from * wide), height: y(j * high) - y((j + 1) * high),
  }))));
  const clip = svg("clipPath", { id: "inside" }, svg("rect", { x: left, y: top, width: right - left, height: bottom - top }));
  const line = svg("path", { class: "edge", d: path(edge, x, y), "clip-path": "url(#inside)" });
  shown.dot = svg("circle", { class: "dot", r: 7 });
  root.append(clip, line, shown.dot);
  drawDot();
}

// 1 to 5 in the chaotic phase, -1 to -5 in the ordered one, by how fast gradients change.
function shade(scale) {
  const layers = typeof scale === "number" ? Math.abs(scale) : Infinity;
  const level = 1 + SHADES.filter((limit) => layers < limit).length;
  return scale > 0 || scale === "inf" ? level : -level;
}

function runs(row) {
  const found = [];
  row.forEach((level, i) => {
    if (found.length && found.at(-1)[2] === level) found.at(-1)[1] = i + 1;
    else found.push([i, i + 1, level]);
  });
  return found;
}

function drawDot() {
  if (!shown.dot) return;
  shown.dot.setAttribute("cx", shown.chart.x(state.weight_var));
  shown.dot.setAttribute("cy", shown.chart.y(state.bias_var));
}

function drawEdge(answer) {
  shown.edge = answer;
  id("to-edge").hidden = !answer.weight_var;
  id("edge").textContent = answer.sentence
    ?? `Critical at this bias_var: weight_var = ${short(answer.weight_var, 8)}${answer.stable ? "" : ", where lengths are not drawn to a fixed point"}.`;
}

function drawEquations(answer) {
  id("equations").innerHTML = `<p>φ(x) = ${answer.formula}</p>${answer.maps}`;
  id("closed").textContent = answer.closed ? "Closed formulas, proved against quadrature." : "No closed formula is known: E[…] is integrated.";
}

// -- the knobs ---------------------------------------------------------------------------------------------------------

function turn(changes) {
  Object.assign(state, changes);
  for (const name of KNOBS) {
    const slider = id(name);
    if (state[name] > Number(slider.max)) slider.max = Number((state[name] * 1.25).toPrecision(2));
    slider.value = state[name];
    if (document.activeElement !== id(`${name}_number`)) id(`${name}_number`).value = state[name];
  }
  if (document.activeElement !== id("activation")) id("activation").value = state.activation;
  history.replaceState(null, "", `#${new URLSearchParams(state)}`);
  drawDot();
  askAll();
}

function restored() {
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  for (const name of KNOBS) if (name in given) given[name] = Number(given[name]);
  return { ...FIRST, ...Object.fromEntries(Object.entries(given).filter(([name, value]) => name in FIRST && !Number.isNaN(value))) };
}

const within = (name, value) => {
  const { min, max, step } = id(name);
  return Number(Math.min(Math.max(Math.round(value / step) * step, min), max).toPrecision(10));
};

function pointed(event) {
  if (!shown.chart || !(event.buttons & 1)) return;
  const box = id("diagram").getBoundingClientRect();
  const { x, y } = shown.chart;
  turn({ weight_var: within("weight_var", x.back(event.clientX - box.left)), bias_var: within("bias_var", y.back(event.clientY - box.top)) });
}

function pressed(event) {
  const [name, sign] = { ArrowLeft: ["weight_var", -1], ArrowRight: ["weight_var", 1], ArrowDown: ["bias_var", -1], ArrowUp: ["bias_var", 1] }[event.key] ?? [];
  if (!name) return;
  event.preventDefault();
  turn({ [name]: within(name, state[name] + sign * (event.shiftKey ? 10 : 1) * id(name).step) });
}

async function copy(button) {
  const text = id(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(text.textContent);
    id("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(text);
    id("copied").textContent = "Selected: press Ctrl-C to copy.";
  }
}

for (const name of KNOBS) {
  id(name).addEventListener("input", (event) => turn({ [name]: Number(event.target.value) }));
  id(`${name}_number`).addEventListener("input", (event) => event.target.value !== "" && turn({ [name]: Number(event.target.value) }));
}
id("activation").addEventListener("change", (event) => turn({ activation: event.target.value }));
id("activation").addEventListener("keydown", (event) => event.key === "Enter" && turn({ activation: event.target.value }));
id("knobs").addEventListener("submit", (event) => event.preventDefault());
id("to-edge").addEventListener("click", () => turn({ weight_var: shown.edge.weight_var }));
id("diagram").addEventListener("pointerdown", pointed);
id("diagram").addEventListener("pointermove", pointed);
id("diagram").addEventListener("keydown", pressed);
document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", () => copy(button)));
addEventListener("hashchange", () => turn(restored()));
new ResizeObserver(() => {
  if (shown.diagram) drawDiagram(shown.diagram);
  if (shown.point) drawCurves(shown.point);
}).observe(id("page"));

ask("names", {}, ({ names }) => id("names").replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { value: name }))));
turn(restored());
