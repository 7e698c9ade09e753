// The topology at one moment.

/** The colours of parts, told apart by eyes of every kind; the seventh stands for all further ones. */
const PARTS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c"];
const INK = ["#fff", "#000", "#fff", "#000", "#000", "#fff", "#000"];
const partColour = (number) => PARTS[Math.min(number, PARTS.length - 1)];

/** Makes a canvas as sharp as the screen, and returns its context in CSS pixels. */
function sized(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.height = height + "px";
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return context;
}

/** The style's colours; empty whenever they may have changed. */
const palette = new Map();
const colour = (name) => {
  if (!palette.has(name)) palette.set(name, getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim());
  return palette.get(name);
};
const FONT = "\"Segoe UI\", \"Liberation Sans\", Arial, sans-serif";

function makeGraph(box) {
  const [base, over] = box.querySelectorAll("canvas");
  const layout = laidOut();
  let [width, height, points, radius] = [0, 0, [], 4];
  let state = null;

  function resize() {
    width = box.clientWidth;
    height = Math.max(300, Math.min(560, width * 0.62));
    const margin = layout.round && run.names.length <= 60 ? 64 : 36;
    const [w, h] = [width - 2 * margin, height - 2 * margin];
    const [sx, sy] = layout.stretch ? [w, h] : [Math.min(w, h), Math.min(w, h)];
    points = layout.points.map(([x, y]) => [width / 2 + (x - 0.5) * sx, height / 2 + (y - 0.5) * sy]);
    layout.placed = layout.labels.map((l) => ({ ...l, x: width / 2 + (l.x - 0.5) * sx, y: height / 2 + (l.y - 0.5) * sy }));
    radius = Math.max(2.5, Math.min(13, 0.22 * Math.sqrt((sx * sy) / Math.max(1, points.length))));
  }

  function drawLinks(c) {
    const many = run.links.length > 600;
    const stroke = (filter, style, thickness, dash) => {
      c.strokeStyle = style;
      c.lineWidth = thickness;
      c.setLineDash(dash);
      c.beginPath();
      run.links.forEach((link, i) => {
        if (!filter(link, i)) return;
        c.moveTo(...points[link.a]);
        c.lineTo(...points[link.b]);
      });
      c.stroke();
    };
    c.globalAlpha = many ? 0.55 : 1;
    stroke((_, i) => state.up[i], colour("link"), many ? 0.8 : 1.6, []);
    c.globalAlpha = many ? 0.8 : 1;
    stroke((link, i) => link.planned && !state.up[i], colour("mark"), many ? 1 : 1.8, [5, 4]);
    c.setLineDash([]);
    c.globalAlpha = 1;
  }

  function drawNodes(c) {
    const touched = new Set();
    for (const band of state.active) {
      if (!band.nodes.length || band.nodes.some(([a, b]) => b - a >= run.names.length)) continue;
      for (const [a, b] of band.nodes) for (let i = a; i < b; i++) touched.add(i);
    }
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.font = "600 " + Math.round(radius * 1.1) + "px " + FONT;
    points.forEach(([x, y], i) => {
      const gone = state.down[i];
      if (touched.has(i)) {
        c.beginPath();
        c.arc(x, y, radius + 3.5, 0, 7);
        c.strokeStyle = colour("text");
        c.lineWidth = 1.2;
        c.setLineDash([2, 2]);
        c.stroke();
        c.setLineDash([]);
      }
      c.beginPath();
      c.arc(x, y, radius, 0, 7);
      c.fillStyle = gone ? colour("panel") : partColour(state.part[i]);
      c.fill();
      c.lineWidth = 1.5;
      c.strokeStyle = gone ? colour("down") : colour("ground");
      c.stroke();
      if (gone && radius >= 4) {
        const arm = radius * 0.5;
        c.beginPath();
        c.moveTo(x - arm, y - arm);
        c.lineTo(x + arm, y + arm);
        c.moveTo(x + arm, y - arm);
        c.lineTo(x - arm, y + arm);
        c.stroke();
      } else if (!gone && radius >= 8 && state.parts.length > 1) {
        // Not by colour alone.
        c.fillStyle = INK[Math.min(state.part[i], INK.length - 1)];
        c.fillText(String(state.part[i] + 1), x, y + 0.5);
      }
    });
  }

  /** Names where there is room for them. */
  function drawLabels(c) {
    const taken = [];
    // A little less than its square: the corners of a disc are free.
    const own = radius * 0.75;
    const free = (box) => {
      const clash = taken.some((b) => box[0] < b[2] && b[0] < box[2] && box[1] < b[3] && b[1] < box[3]);
      if (!clash) taken.push(box);
      return !clash && box[0] >= 0 && box[2] <= width && box[1] >= 0 && box[3] <= height;
    };
    if (points.length <= 400) points.forEach(([x, y]) => taken.push([x - own, y - own, x + own, y + own]));
    c.lineJoin = "round";
    const label = (text, x, y, align, style) => {
      c.textAlign = align;
      const w = c.measureText(text).width;
      const left = align === "left" ? x : align === "right" ? x - w : x - w / 2;
      if (!free([left, y - 7, left + w, y + 7])) return;
      c.strokeStyle = colour("ground");
      c.lineWidth = 3;
      c.strokeText(text, x, y);
      c.fillStyle = style;
      c.fillText(text, x, y);
    };
    c.textBaseline = "middle";
    c.font = "600 13px " + FONT;
    for (const l of layout.placed) label(l.text, l.x, l.y, "center", colour("text"));
    c.font = "12px " + FONT;
    points.forEach(([x, y], i) => {
      if (points.length > 400) return;
      const style = state.down[i] ? colour("muted") : colour("text");
      if (!layout.round) return label(run.names[i], x, y + radius + 10, "center", style);
      const [ux, uy] = [x - width / 2, y - height / 2];
      const d = Math.hypot(ux, uy) || 1;
      const reach = radius + 8;
      const align = Math.abs(ux) < d * 0.3 ? "center" : ux > 0 ? "left" : "right";
      return label(run.names[i], x + (ux / d) * reach, y + (uy / d) * (reach + 2), align, style);
    });
  }

  function draw(next) {
    state = next || state;
    const c = sized(base, width, height);
    c.fillStyle = colour("ground");
    c.fillRect(0, 0, width, height);
    drawLinks(c);
    drawNodes(c);
    drawLabels(c);
    sized(over, width, height);
  }

  function nodeAt(x, y) {
    let [best, distance] = [-1, Math.max(10, radius + 4) ** 2];
    points.forEach(([px, py], i) => {
      const d = (px - x) ** 2 + (py - y) ** 2;
      if (d < distance) [best, distance] = [i, d];
    });
    return best;
  }

  function linkAt(x, y) {
    let [best, distance] = [-1, 6];
    run.links.forEach((link, i) => {
      if (!link.planned && !state.up[i]) return;
      const [[ax, ay], [bx, by]] = [points[link.a], points[link.b]];
      const [ux, uy] = [bx - ax, by - ay];
      const along = Math.max(0, Math.min(1, ((x - ax) * ux + (y - ay) * uy) / (ux * ux + uy * uy || 1)));
      const d = Math.hypot(ax + along * ux - x, ay + along * uy - y);
      if (d < distance) [best, distance] = [i, d];
    });
    return best;
  }

  /** What is at a place, in words. */
  function told(x, y) {
    const node = nodeAt(x, y);
    if (node >= 0) {
      const row = run.rows[rowOf(node)];
      const bin = Math.min(bins - 1, Math.floor(state.t / run.bin_ms));
      const linked = run.links.filter((link, i) => state.up[i] && (link.a === node || link.b === node)).length;
      const part = state.part[node];
      return [
        run.names[node],
        part < 0 ? "not running" : "in part " + (part + 1) + " with " + plural(state.parts[part].length - 1, "other", "others"),
        plural(linked, "link", "links") + " up",
        ...(run.per_row === 1 ? [plural(row.reached[bin], "node", "nodes") + " reached, as it sees it"] : []),
      ].join("\n");
    }
    const link = linkAt(x, y);
    if (link < 0) return "";
    const { a, b, planned, up } = run.links[link];
    const downs = up.filter((t, i) => i % 2 === 1 && t < run.duration_ms).length;
    return run.names[a] + " – " + run.names[b] + (planned ? "" : "\nnot in the scenario: made by the nodes") +
      "\n" + (state.up[link] ? "up" : "down") + "; went down " + plural(downs, "time", "times") + " in all";
  }

  return { resize, draw, told, over };
}
