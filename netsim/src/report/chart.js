// The run over time: faults, deliveries of each node, links, losses, times of resumption, all over one axis.

/** What faults of a kind do, as a colour of the style. */
const KINDS = {
  partition: "cut", cut: "cut", isolate: "cut", flap: "cut", swizzle: "cut",
  degrade: "worse", crash: "stop", churn: "stop", rolling: "stop", pause: "halt",
};
const kindColour = (kind) => colour(KINDS[kind] || "other");
const FAULT_LANES_MAX = 10;
/** Faults past that number would cover the deliveries: they are drawn in their lanes only. */
const OUTLINES_MAX = 60;

const mixed = (from, to, share) => from.map((x, i) => x + (to[i] - x) * share);
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** The colour of a share of what is usual: 0, a half, 1, 2 and more. */
function heatScale() {
  const stops = [0, 1, 2, 3].map((i) => rgb(colour("heat-" + i)));
  return (share) => {
    if (share < 0.5) return mixed(stops[0], stops[1], share / 0.5);
    // Around the usual it does not matter which side of it.
    if (share < 0.92) return mixed(stops[1], stops[2], (share - 0.5) / 0.42);
    return mixed(stops[2], stops[3], Math.min(1, Math.max(0, share - 1.15) / 0.85));
  };
}

/** Links that come up and go down, by pieces of time. */
const changes = (() => {
  const [ups, downs] = [new Array(bins).fill(0), new Array(bins).fill(0)];
  const bin = (t) => Math.min(bins - 1, Math.floor(t / run.bin_ms));
  for (const { up } of run.links) {
    up.forEach((t, i) => {
      if (i % 2 === 0) ups[bin(t)] += 1;
      else if (t < run.duration_ms) downs[bin(t)] += 1;
    });
  }
  return { ups, downs };
})();

function makeChart(box) {
  const [base, over] = box.querySelectorAll("canvas");
  const lanes = Math.max(1, Math.min(FAULT_LANES_MAX, new Set(run.bands.map((band) => band.fault)).size));
  // Each fault of the scenario has its lane; where there are too many they share.
  const order = [...new Set(run.bands.map((band) => band.fault))];
  const laneOf = (band) => order.indexOf(band.fault) % lanes;
  const unplaced = run.violations.some((violation) => violation.node === null);
  const rowHeight = Math.max(3, Math.min(26, Math.floor(560 / Math.max(1, run.rows.length))));
  const LANE = 20;
  let [width, gutter, y] = [0, 100, {}];

  const x = (t) => gutter + (t / run.duration_ms) * (width - gutter - 14);
  const timeAt = (px) => Math.max(0, Math.min(run.duration_ms, ((px - gutter) / (width - gutter - 14)) * run.duration_ms));
  const rowTop = (row) => y.heat + row * rowHeight;

  function resize() {
    width = box.clientWidth;
    const c = base.getContext("2d");
    c.font = "12px " + FONT;
    const widest = Math.max(...run.rows.map((_, row) => c.measureText(rowName(row)).width), 92);
    gutter = Math.min(widest + 14, width * 0.22);
    let at = 20;
    const place = (name, size, gap = 10) => {
      y[name] = at;
      at += size + gap;
    };
    place("faults", run.bands.length ? lanes * LANE : 0, run.bands.length ? 8 : 0);
    place("unplaced", unplaced ? 16 : 0, unplaced ? 6 : 0);
    place("heat", run.rows.length * rowHeight, 12);
    place("links", 40);
    place("lost", 34);
    place("resume", 70);
    y.end = at + 14;
  }

  function axis(c) {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400].map((s) => s * 1000);
    const fitting = Math.max(2, Math.floor((width - gutter) / 80));
    const step = steps.find((s) => run.duration_ms / s <= fitting) || 36e5 * 6;
    c.font = "12px " + FONT;
    c.textAlign = "center";
    c.textBaseline = "middle";
    for (let t = 0; t <= run.duration_ms; t += step) {
      c.fillStyle = colour("line");
      c.globalAlpha = 0.7;
      c.fillRect(Math.round(x(t)), 18, 1, y.end - 36);
      c.globalAlpha = 1;
      c.fillStyle = colour("muted");
      const text = t / 1000 + " s";
      if (x(t) + c.measureText(text).width / 2 < width) {
        c.fillText(text, x(t), 8);
        c.fillText(text, x(t), y.end - 8);
      }
    }
  }

  function title(c, text, top, size) {
    c.font = "12px " + FONT;
    c.textAlign = "right";
    c.textBaseline = "middle";
    c.fillStyle = colour("muted");
    c.fillText(text, gutter - 8, top + size / 2, gutter - 12);
  }

  function faults(c) {
    if (run.bands.length) title(c, run.bands.length > 1 ? "faults" : "fault", y.faults, LANE);
    for (const band of run.bands) {
      const [left, right] = [x(band.from), Math.max(x(band.from) + 2.5, x(band.until))];
      const top = y.faults + laneOf(band) * LANE;
      c.fillStyle = kindColour(band.kind);
      c.globalAlpha = 0.32;
      c.fillRect(left, top + 1, right - left, LANE - 3);
      c.globalAlpha = 1;
      c.fillRect(left, top + 1, 2, LANE - 3);
      c.fillRect(right - 2, top + 1, 2, LANE - 3);
    }
    c.font = "12px " + FONT;
    c.textBaseline = "middle";
    c.fillStyle = colour("text");
    order.slice(0, lanes).forEach((fault, lane) => {
      const mine = run.bands.filter((band) => laneOf(band) === lane);
      const own = mine.filter((band) => band.fault === fault);
      const hits = own.reduce((sum, band) => sum + band.hits, 0);
      const text = own[0].kind + (own.length > 1 ? " ×" + own.length : "") + ", " + plural(hits, "hit", "hits");
      const [from, until] = [x(Math.min(...mine.map((b) => b.from))), x(Math.max(...mine.map((b) => b.until)))];
      const size = c.measureText(text).width;
      const middle = y.faults + lane * LANE + LANE / 2;
      c.textAlign = "left";
      if (mine.length === 1 && size + 12 < until - from) c.fillText(text, from + 7, middle);
      else if (until + size + 10 < width) c.fillText(text, until + 7, middle);
      else if (from - size - 10 > gutter) c.fillText(text, from - size - 7, middle);
    });
  }

  /** Faults across the rows of the nodes that they are about. */
  function outlines(c) {
    if (run.bands.length > OUTLINES_MAX) return;
    for (const band of run.bands) {
      for (const [a, b] of nodesOf(band)) {
        const [top, bottom] = [rowTop(rowOf(a)), rowTop(rowOf(b - 1)) + rowHeight];
        const [left, right] = [Math.round(x(band.from)) + 0.5, Math.round(Math.max(x(band.from) + 1, x(band.until))) + 0.5];
        for (const [style, thickness] of [[colour("ground"), 3.5], [kindColour(band.kind), 1.75]]) {
          c.strokeStyle = style;
          c.lineWidth = thickness;
          c.strokeRect(left, top + 0.5, right - left, bottom - top - 1);
        }
      }
    }
  }

  function heat(c) {
    const scale = heatScale();
    const image = new ImageData(bins, run.rows.length);
    levels.forEach((row, r) => row.forEach((share, bin) => {
      if (share === null) return;
      const [red, green, blue] = scale(share);
      image.data.set([red, green, blue, 255], 4 * (r * bins + bin));
    }));
    const small = document.createElement("canvas");
    [small.width, small.height] = [bins, run.rows.length];
    small.getContext("2d").putImageData(image, 0, 0);
    c.fillStyle = colour("panel");
    c.fillRect(gutter, y.heat, x(run.duration_ms) - gutter, run.rows.length * rowHeight);
    c.save();
    c.beginPath();
    c.rect(gutter, y.heat, x(run.duration_ms) - gutter, run.rows.length * rowHeight);
    c.clip();
    c.imageSmoothingEnabled = false;
    c.drawImage(small, gutter, y.heat, x(bins * run.bin_ms) - gutter, run.rows.length * rowHeight);
    hatch(c);
    c.restore();
    c.fillStyle = colour("ground");
    for (let row = 1; row < run.rows.length && rowHeight >= 8; row++) c.fillRect(gutter, rowTop(row) - 1, width, 1);
    c.textBaseline = "middle";
    c.textAlign = "right";
    c.font = "12px " + FONT;
    c.fillStyle = colour("text");
    const each = Math.ceil(13 / rowHeight);
    for (let row = 0; row < run.rows.length; row += each) {
      c.fillText(rowName(row), gutter - 8, rowTop(row) + rowHeight / 2, gutter - 12);
    }
  }

  /** Nodes that are not running. In a row of several, each has its share of the height. */
  function hatch(c) {
    const tile = document.createElement("canvas");
    [tile.width, tile.height] = [7, 7];
    const t = tile.getContext("2d");
    t.fillStyle = colour("ground");
    t.fillRect(0, 0, 7, 7);
    t.strokeStyle = colour("down");
    t.lineWidth = 1.6;
    t.beginPath();
    for (const shift of [-7, 0, 7]) {
      t.moveTo(shift, 7);
      t.lineTo(shift + 7, 0);
    }
    t.stroke();
    const pattern = c.createPattern(tile, "repeat");
    run.down.forEach((spans, node) => {
      const share = rowHeight / run.per_row;
      for (let i = 0; i < spans.length; i += 2) {
        const [left, right] = [x(spans[i]), x(spans[i + 1])];
        const [top, size] = [rowTop(rowOf(node)) + (node % run.per_row) * share, share];
        // Too small for a hatching.
        c.fillStyle = size >= 6 ? pattern : colour("down");
        c.fillRect(left, top, Math.max(1, right - left), size);
      }
    });
  }

  /** Violations by row; those that would lie on one another as one, from its first to its last. */
  const clusters = () => {
    const apart = 9;
    const found = [];
    const last = new Map();
    for (const violation of [...run.violations].sort((a, b) => a.at - b.at)) {
      const middle = violation.node === null ? y.unplaced + 8 : rowTop(rowOf(violation.node)) + rowHeight / 2;
      const open = last.get(middle);
      const px = x(violation.at);
      if (open && px - open.right < apart) open.right = px;
      else {
        const made = { middle, left: px, right: px };
        last.set(middle, made);
        found.push(made);
      }
    }
    return found;
  };

  function marks(c) {
    if (unplaced) title(c, "violations", y.unplaced, 16);
    const arm = Math.max(3, Math.min(5, rowHeight / 2 - 1));
    c.lineCap = "round";
    for (const [style, thickness] of [[colour("ground"), 5.5], [colour("mark"), 2.2]]) {
      c.strokeStyle = style;
      c.lineWidth = thickness;
      c.beginPath();
      for (const { middle, left, right } of clusters()) {
        for (const px of left === right ? [left] : [left, right]) {
          c.moveTo(px - arm, middle - arm);
          c.lineTo(px + arm, middle + arm);
          c.moveTo(px + arm, middle - arm);
          c.lineTo(px - arm, middle + arm);
        }
        c.moveTo(left, middle);
        c.lineTo(right, middle);
      }
      c.stroke();
    }
    c.lineCap = "butt";
  }

  function bars(c, values, top, size, style, down) {
    const most = Math.max(...values, 1);
    c.fillStyle = style;
    values.forEach((value, bin) => {
      if (!value) return;
      const tall = Math.max(2, Math.sqrt(value / most) * size);
      const wide = Math.max(1.5, x((bin + 1) * run.bin_ms) - x(bin * run.bin_ms));
      c.fillRect(x(bin * run.bin_ms), down ? top : top + size - tall, wide, tall);
    });
  }

  function lanesBelow(c) {
    const right = x(run.duration_ms);
    const ground = (top, size) => {
      c.fillStyle = colour("panel");
      c.fillRect(gutter, top, right - gutter, size);
    };
    ground(y.links, 40);
    title(c, "links up", y.links, 20);
    title(c, "links down", y.links + 20, 20);
    bars(c, changes.ups, y.links, 19.5, colour("up"), false);
    bars(c, changes.downs, y.links + 20.5, 19.5, colour("mark"), true);
    c.fillStyle = colour("line");
    c.fillRect(gutter, y.links + 19.5, right - gutter, 1);
    ground(y.lost, 34);
    title(c, "lost", y.lost, 34);
    bars(c, run.lost, y.lost, 34, colour("heat-0"), false);
    ground(y.resume, 70);
    resume(c);
  }

  const longest = Math.max(run.resume_bound_ms, ...run.resumptions.map((r) => r[3] || 0)) * 1.15;
  const waitY = (after) => (after === null ? y.resume + 5 : y.resume + 70 - (after / longest) * 62);

  function resume(c) {
    title(c, "back after", y.resume, 70);
    const line = waitY(run.resume_bound_ms);
    c.strokeStyle = colour("text");
    c.lineWidth = 1;
    c.setLineDash([5, 3]);
    c.beginPath();
    c.moveTo(gutter, line);
    c.lineTo(x(run.duration_ms), line);
    c.stroke();
    c.setLineDash([]);
    for (const [at, , , after] of run.resumptions) {
      const late = after === null || after > run.resume_bound_ms;
      c.fillStyle = late ? colour("mark") : colour("up");
      c.globalAlpha = late ? 1 : 0.6;
      c.beginPath();
      if (late) c.rect(x(at) - 3, waitY(after) - 3, 6, 6);
      else c.arc(x(at), waitY(after), 3, 0, 7);
      c.fill();
    }
    c.globalAlpha = 1;
    const text = "at most " + figure(run.resume_bound_ms) + " ms";
    c.font = "12px " + FONT;
    c.textAlign = "right";
    c.textBaseline = "top";
    c.strokeStyle = colour("panel");
    c.lineWidth = 3;
    c.strokeText(text, x(run.duration_ms) - 6, line + 4);
    c.fillStyle = colour("text");
    c.fillText(text, x(run.duration_ms) - 6, line + 4);
  }

  function draw() {
    const c = sized(base, width, y.end);
    c.fillStyle = colour("ground");
    c.fillRect(0, 0, width, y.end);
    axis(c);
    heat(c);
    lanesBelow(c);
    faults(c);
    outlines(c);
    marks(c);
  }

  function cursor(t) {
    const c = sized(over, width, y.end);
    const px = Math.round(x(t)) + 0.5;
    for (const [style, thickness] of [[colour("ground"), 4], [colour("cursor"), 1.5]]) {
      c.strokeStyle = style;
      c.lineWidth = thickness;
      c.beginPath();
      c.moveTo(px, 18);
      c.lineTo(px, y.end - 18);
      c.stroke();
    }
    c.fillStyle = colour("cursor");
    c.beginPath();
    c.moveTo(px - 5, 14);
    c.lineTo(px + 5, 14);
    c.lineTo(px, 21);
    c.fill();
  }

  function toldFault(px, py) {
    const lane = Math.floor((py - y.faults) / LANE);
    const t = timeAt(px);
    const slack = timeAt(px + 3) - t;
    const mine = run.bands.filter((b) => laneOf(b) === lane && b.from - slack <= t && t <= b.until + slack);
    return mine.slice(0, 3).map((b) =>
      b.kind + ": " + b.what + "\n" + seconds(b.from) + " to " + seconds(b.until) + ", " + plural(b.hits, "hit", "hits")).join("\n\n");
  }

  function toldRow(row, t) {
    const bin = Math.min(bins - 1, Math.floor(t / run.bin_ms));
    const share = levels[row][bin];
    const last = Math.min((row + 1) * run.per_row, run.names.length);
    const nodes = run.down.slice(row * run.per_row, last);
    const gone = nodes.filter((spans) => within(spans, t)).length;
    const lines = [rowName(row), "from " + seconds(bin * run.bin_ms) + ": " + figure(run.rows[row].delivered[bin]) + " delivered"];
    if (share !== null) lines.push(Math.round(share * 100) + " % of calm time, over " + plural(run.window, "bin", "bins"));
    if (gone) lines.push(run.per_row === 1 ? "not running" : plural(gone, "node is", "nodes are") + " not running");
    else if (run.per_row === 1) lines.push(plural(run.rows[row].reached[bin], "node", "nodes") + " reached, as it sees it");
    return lines.join("\n");
  }

  function toldViolation(px, py) {
    const near = run.violations.filter((v) => {
      const middle = v.node === null ? y.unplaced + 8 : rowTop(rowOf(v.node)) + rowHeight / 2;
      return Math.abs(x(v.at) - px) < 6 && Math.abs(middle - py) < Math.max(6, rowHeight / 2);
    });
    return near.slice(0, 3).map((v) => "violation (" + v.check + ") at " + seconds(v.at) + "\n" + v.what).join("\n\n");
  }

  function toldWait(px, py) {
    const near = run.resumptions.find(([at, , , after]) => Math.hypot(x(at) - px, waitY(after) - py) < 7);
    if (!near) return "";
    const [at, receiver, publisher, after] = near;
    return run.names[receiver] + " heard " + run.names[publisher] + "\n" +
      (after === null ? "never again" : figure(after) + " ms") + " after what happened at " + seconds(at);
  }

  /** What is at a place, in words. */
  function told(px, py) {
    if (px < gutter - 4) return "";
    const t = timeAt(px);
    const bin = Math.min(bins - 1, Math.floor(t / run.bin_ms));
    const from = "from " + seconds(bin * run.bin_ms) + ": ";
    if (py >= y.faults && py < y.faults + lanes * LANE && run.bands.length) return toldFault(px, py);
    const violation = toldViolation(px, py);
    if (violation) return violation;
    const row = Math.floor((py - y.heat) / rowHeight);
    if (row >= 0 && row < run.rows.length) return toldRow(row, t);
    if (py >= y.links && py < y.links + 40) {
      return from + plural(changes.ups[bin], "link", "links") + " came up, " + figure(changes.downs[bin]) + " went down";
    }
    if (py >= y.lost && py < y.lost + 34) return from + plural(run.lost[bin], "message", "messages") + " published and lost";
    if (py >= y.resume && py < y.resume + 70) return toldWait(px, py);
    return "";
  }

  return { resize, draw, cursor, told, timeAt, over };
}
