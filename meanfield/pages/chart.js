// Charts as SVG: scales from numbers to pixels, ticks, axes, lines. Every function is pure but `svg`, which draws.

const SPACE = "http://www.w3.org/2000/svg";
const MARGIN = { left: 48, right: 12, top: 22, bottom: 36 };

export function linear([low, high], [from, to]) {
  const scale = (value) => from + ((value - low) / (high - low)) * (to - from);
  scale.back = (pixel) => low + ((pixel - from) / (to - from)) * (high - low);
  scale.ticks = (count = 5) => steps(low, high, count);
  return scale;
}

export function log([low, high], range) {
  const inner = linear([Math.log10(low), Math.log10(high)], range);
  const scale = (value) => inner(Math.log10(value));
  scale.back = (pixel) => 10 ** inner.back(pixel);
  scale.ticks = (count = 5) => decades(Math.log10(low), Math.log10(high), count);
  return scale;
}

// Round numbers in [low, high], 1, 2 or 5 times a power of ten apart.
export function steps(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((m) => m * power >= rough * (1 - 1e-9)) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) found.push(Number((i * step).toPrecision(12)));
  return found;
}

function decades(low, high, count) {
  const step = Math.max(1, Math.ceil((high - low) / count));
  const found = [];
  for (let i = Math.ceil((low - 1e-9) / step) * step; i <= high + 1e-9; i += step) found.push(10 ** i);
  return found;
}

// A few digits; 1e-7 for what is small.
export function short(value, digits = 6) {
  if (typeof value !== "number") return { inf: "∞", "-inf": "−∞" }[value] ?? "–";
  const size = Math.abs(value);
  const rounded = Number(value.toPrecision(digits));
  const text = size !== 0 && (size < 1e-4 || size >= 1e6) ? rounded.toExponential() : String(rounded);
  return text.replace("e+", "e").replaceAll("-", "−");
}

// "M x,y L x,y ...", broken where a number is missing.
export function path(points, x, y) {
  let pen = "M";
  return points.map(([a, b]) => {
    if (!Number.isFinite(a) || !Number.isFinite(b)) {
      pen = "M";
      return "";
    }
    const part = `${pen}${x(a).toFixed(2)},${y(b).toFixed(2)}`;
    pen = "L";
    return part;
  }).join("");
}

// Low and high of a curve with a little air; a flat curve gets a tenth around it.
export function extent(values) {
  const known = values.filter(Number.isFinite);
  const low = Math.min(...known);
  const high = Math.max(...known);
  const air = high - low > 1e-9 * Math.abs(high) ? 0.06 * (high - low) : 0.1 * Math.abs(high) || 1;
  return [low - air, high + air];
}

export function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// The frame of a chart in the size of its box: its root, scales made by `kind`s, axes with ticks and names.
export function frame(box, { across, up, labels: [xname, yname], kinds: [xkind, ykind] = [linear, linear], square = false }) {
  const { clientWidth: width, clientHeight: height } = box;
  const side = Math.min(width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom);
  const right = square ? MARGIN.left + side : width - MARGIN.right;
  const bottom = square ? MARGIN.top + side : height - MARGIN.bottom;
  const x = xkind(across, [MARGIN.left, right]);
  const y = ykind(up, [bottom, MARGIN.top]);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const back = svg("g");
  const axes = svg("g");
  for (const tick of x.ticks(Math.max(2, Math.floor((right - MARGIN.left) / 60)))) {
    axes.append(
      svg("line", { class: "grid", x1: x(tick), x2: x(tick), y1: bottom, y2: bottom + 5 }),
      svg("text", { x: x(tick), y: bottom + 17, "text-anchor": "middle" }, short(tick)),
    );
  }
  for (const tick of y.ticks(Math.max(2, Math.floor((bottom - MARGIN.top) / 36)))) {
    axes.append(
      svg("line", { class: "grid", x1: MARGIN.left - 5, x2: MARGIN.left, y1: y(tick), y2: y(tick) }),
      svg("text", { x: MARGIN.left - 8, y: y(tick), "text-anchor": "end", "dominant-baseline": "middle" }, short(tick, 3)),
    );
  }
  axes.append(
    svg("path", { class: "axis", fill: "none", d: `M${MARGIN.left},${MARGIN.top}V${bottom}H${right}` }),
    svg("text", { x: right, y: bottom + 31, "text-anchor": "end" }, xname),
    svg("text", { x: MARGIN.left - 8, y: MARGIN.top - 12 }, yname),
  );
  root.append(back, axes);
  box.replaceChildren(root);
  return { root, back, x, y, left: MARGIN.left, right, top: MARGIN.top, bottom };
}
