// The run as it is embedded, and what held at one moment of it. Draws nothing.

const run = JSON.parse(document.getElementById("data").textContent);
const bins = run.lost.length;

/** Whether `t` is in one of the spans from, until, from, until … What lasts until the end of the run includes it. */
const within = (spans, t) => {
  for (let i = 0; i < spans.length && spans[i] <= t; i += 2) {
    if (t < spans[i + 1] || spans[i + 1] >= run.duration_ms) return true;
  }
  return false;
};

const seconds = (ms) => (ms / 1000).toFixed(3) + " s";
const figure = (n) => n.toLocaleString("en");
const plural = (n, one, many) => figure(n) + " " + (n === 1 ? one : many);
const rowOf = (node) => Math.floor(node / run.per_row);
const rowName = (row) => {
  const first = row * run.per_row;
  const last = Math.min(first + run.per_row, run.names.length) - 1;
  return first === last ? run.names[first] : run.names[first] + " … " + run.names[last];
};

/** What a row got around a bin, as a share of what it gets in calm time; null when nothing is due. */
const levels = (() => {
  const [first, end] = [Math.ceil(run.traffic_ms[0] / run.bin_ms), Math.floor(run.traffic_ms[1] / run.bin_ms)];
  const size = Math.max(1, Math.min(run.window, end - first));
  return run.rows.map((row) => {
    const sums = [0];
    for (const n of row.delivered) sums.push(sums[sums.length - 1] + n);
    return row.delivered.map((delivered, bin) => {
      const due = bin >= first && bin < end;
      if (row.calm === 0 || (!due && delivered === 0)) return null;
      const begin = bin - Math.floor(size / 2);
      // At both ends of the traffic, the nearest bins that are all within it.
      const from = due ? Math.max(first, Math.min(end - size, begin)) : Math.max(0, begin);
      return (sums[Math.min(bins, from + size)] - sums[from]) / ((row.calm * size) / run.window);
    });
  });
})();

/** Moments at which something begins, ends or is broken, in order. */
const events = (() => {
  const all = new Set([0, run.duration_ms]);
  for (const band of run.bands) all.add(band.from).add(band.until);
  for (const violation of run.violations) all.add(violation.at);
  return [...all].filter((t) => t <= run.duration_ms).sort((a, b) => a - b);
})();

const activeAt = (t) => run.bands.filter((band) => band.from <= t && (t < band.until || band.from === band.until));

/** The topology at a moment: which nodes and links are up, and which nodes hang together. */
function stateAt(t) {
  const down = run.down.map((spans) => within(spans, t));
  const up = run.links.map((link) => within(link.up, t));
  const parent = run.names.map((_, i) => i);
  const root = (i) => {
    while (parent[i] !== i) i = parent[i] = parent[parent[i]];
    return i;
  };
  run.links.forEach((link, i) => {
    if (up[i] && !down[link.a] && !down[link.b]) parent[root(link.a)] = root(link.b);
  });
  const members = new Map();
  down.forEach((gone, node) => {
    if (gone) return;
    const key = root(node);
    if (!members.has(key)) members.set(key, []);
    members.get(key).push(node);
  });
  // The largest part first; of two as large, the one with the first node.
  const parts = [...members.values()].sort((a, b) => b.length - a.length || a[0] - b[0]);
  const part = new Array(run.names.length).fill(-1);
  parts.forEach((nodes, number) => nodes.forEach((node) => { part[node] = number; }));
  const missing = run.links.filter((link, i) => link.planned && !up[i]).length;
  return { t, down, up, parts, part, missing, gone: down.filter(Boolean).length, active: activeAt(t) };
}

const nodesOf = (band) => band.nodes.length ? band.nodes : [[0, run.names.length]];

/** Names of some nodes, the first few of them in full. */
const naming = (nodes, max = 6) => {
  const named = nodes.slice(0, max).map((node) => run.names[node]).join(", ");
  return nodes.length > max ? named + " and " + figure(nodes.length - max) + " more" : named;
};
