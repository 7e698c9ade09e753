// Where each node is drawn: points in a unit square, the same for the same topology. Nothing here is left to chance.

/** Rounds in which forces move the nodes. */
const TURNS = 150;

const circle = (n, at = [0.5, 0.5], radius = 0.5) => Array.from({ length: n }, (_, i) => {
  const angle = (2 * Math.PI * i) / n - Math.PI / 2;
  return n === 1 ? at : [at[0] + radius * Math.cos(angle), at[1] + radius * Math.sin(angle)];
});

const grid = (n, columns) => Array.from({ length: n }, (_, i) => {
  const rows = Math.ceil(n / columns);
  return [(i % columns) / Math.max(1, columns - 1), Math.floor(i / columns) / Math.max(1, rows - 1) || 0];
});

/** A line there and back again, so that neighbours stay side by side. */
const serpent = (n) => {
  const columns = n <= 12 ? n : Math.ceil(Math.sqrt(n * 2));
  const rows = Math.ceil(n / columns);
  return Array.from({ length: n }, (_, i) => {
    const row = Math.floor(i / columns);
    const column = row % 2 ? columns - 1 - (i % columns) : i % columns;
    return [columns === 1 ? 0.5 : column / (columns - 1), rows === 1 ? 0.5 : row / (rows - 1)];
  });
};

const shaped = (shape, n, columns) => {
  if (shape === "line") return serpent(n);
  if (shape === "grid") return grid(n, columns || Math.max(1, Math.floor(Math.sqrt(n))));
  if (shape === "star") return [[0.5, 0.5], ...circle(n - 1)].slice(0, n);
  return circle(n);
};

/** Sites side by side, each in its own shape. */
function sites(list) {
  // Few places left empty, and wider than high.
  const cost = (c) => {
    const r = Math.ceil(list.length / c);
    return (c * r - list.length) / list.length + Math.abs(Math.log(c / r / 1.6)) / 2;
  };
  const columns = list.map((_, i) => i + 1).reduce((best, c) => (cost(c) < cost(best) ? c : best), 1);
  const rows = Math.ceil(list.length / columns);
  const points = [];
  const labels = [];
  list.forEach((site, i) => {
    const [x, y] = [(i % columns) / columns, Math.floor(i / columns) / rows];
    for (const [u, v] of shaped(site.shape, site.nodes, 0)) {
      points.push([x + (0.14 + 0.72 * u) / columns, y + (0.2 + 0.66 * v) / rows]);
    }
    labels.push({ text: site.name, x: x + 0.5 / columns, y: y + 0.06 / rows });
  });
  return { points, labels };
}

function neighbours(n, links) {
  const of = Array.from({ length: n }, () => []);
  for (const { a, b } of links) {
    of[a].push(b);
    of[b].push(a);
  }
  return of;
}

/** Hops from `from` to everyone; those without a way are a little further off than the furthest. */
function hops(from, of) {
  const distance = new Array(of.length).fill(-1);
  const queue = [from];
  distance[from] = 0;
  for (let i = 0; i < queue.length; i++) {
    for (const next of of[queue[i]]) {
      if (distance[next] < 0) {
        distance[next] = distance[queue[i]] + 1;
        queue.push(next);
      }
    }
  }
  const far = distance[queue[queue.length - 1]] + 2;
  return distance.map((d) => (d < 0 ? far : d));
}

/** First positions from distances to a few pivots, which lie as far apart as can be: the two directions in which they differ most. */
function unfolded(of) {
  const n = of.length;
  const pivots = [];
  const nearest = new Array(n).fill(Infinity);
  let next = 0;
  for (let k = 0; k < Math.min(24, n); k++) {
    const row = hops(next, of);
    pivots.push(row.map((d) => d * d));
    row.forEach((d, i) => { nearest[i] = Math.min(nearest[i], d); });
    next = nearest.indexOf(Math.max(...nearest));
  }
  for (const row of pivots) {
    const mean = row.reduce((a, b) => a + b, 0) / n;
    row.forEach((d, i) => { row[i] = d - mean; });
  }
  for (let i = 0; i < n; i++) {
    const mean = pivots.reduce((a, row) => a + row[i], 0) / pivots.length;
    for (const row of pivots) row[i] -= mean;
  }
  const axes = [];
  for (let axis = 0; axis < 2; axis++) {
    let v = Array.from({ length: n }, (_, i) => Math.sin(i * 12.9898 + axis * 78.233 + 1));
    for (let turn = 0; turn < 60; turn++) {
      for (const w of axes) {
        const dot = v.reduce((a, x, i) => a + x * w[i], 0);
        v = v.map((x, i) => x - dot * w[i]);
      }
      const along = pivots.map((row) => row.reduce((a, x, i) => a + x * v[i], 0));
      v = v.map((_, i) => pivots.reduce((a, row, k) => a + row[i] * along[k], 0));
      const length = Math.hypot(...v) || 1;
      v = v.map((x) => x / length);
    }
    axes.push(v);
  }
  // Nodes at equal distances from all pivots would lie on one another.
  return axes[0].map((x, i) => [x + 1e-3 * Math.sin(i * 7.1), axes[1][i] + 1e-3 * Math.cos(i * 5.3)]);
}

/** To the unit square. One direction is drawn out by `most` at most to fill it. */
function fitted(points, most = 1) {
  const xs = points.map((p) => p[0]);
  const ys = points.map((p) => p[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const [w, h] = [x1 - x0 || 1e-9, y1 - y0 || 1e-9];
  const [sx, sy] = [Math.max(w, h / most), Math.max(h, w / most)];
  return points.map(([x, y]) => [0.5 + (x - (x0 + x1) / 2) / sx, 0.5 + (y - (y0 + y1) / 2) / sy]);
}

/** Nodes by the cell of a grid that they lie in, `size` wide. */
function celled(points, size) {
  const cells = new Map();
  const key = (x, y) => Math.floor(x / size) * 65536 + Math.floor(y / size);
  points.forEach(([x, y], i) => {
    const k = key(x, y);
    if (!cells.has(k)) cells.set(k, []);
    cells.get(k).push(i);
  });
  return ([x, y]) => {
    const near = [];
    for (const dx of [-size, 0, size]) for (const dy of [-size, 0, size]) near.push(...(cells.get(key(x + dx, y + dy)) || []));
    return near;
  };
}

/** Links pull, and nodes that are near each other push. Nothing reaches beyond the cells around a node, so that it
 * takes a second for thousands of them. */
function force(n, links) {
  const of = neighbours(n, links);
  let points = fitted(unfolded(of));
  const ideal = 0.9 / Math.sqrt(n);
  const reach = 3 * ideal;
  for (let turn = 0; turn < TURNS; turn++) {
    const near = celled(points, reach);
    const step = ideal * (0.05 + 0.5 * (1 - turn / TURNS));
    points = points.map((point, i) => {
      const [x, y] = point;
      let [fx, fy] = [0, 0];
      for (const j of near(point)) {
        const [ux, uy] = [x - points[j][0], y - points[j][1]];
        const d2 = ux * ux + uy * uy;
        if (j === i || d2 > reach * reach) continue;
        // Fades out with the distance: an edge would line the nodes up along it.
        const push = ((ideal * ideal) / Math.max(d2, 1e-8)) * (1 - d2 / (reach * reach)) ** 2;
        fx += ux * push;
        fy += uy * push;
      }
      for (const j of of[i]) {
        const [ux, uy] = [points[j][0] - x, points[j][1] - y];
        const pull = (0.6 * Math.hypot(ux, uy)) / ideal / Math.sqrt(of[i].length);
        fx += ux * pull;
        fy += uy * pull;
      }
      const size = Math.hypot(fx, fy) || 1;
      return [x + (fx / size) * Math.min(size, step), y + (fy / size) * Math.min(size, step)];
    });
  }
  return fitted(points, 2);
}

/** Points for all nodes, names of sites, and whether labels point outwards from the middle. */
function laidOut() {
  const { kind, shape, columns, sites: list } = run.layout;
  const n = run.names.length;
  if (kind === "sites") return { ...sites(list), round: false, stretch: true };
  if (kind === "shape") {
    const round = shape !== "line" && shape !== "grid";
    return { points: shaped(shape, n, columns), labels: [], round, stretch: !round };
  }
  return { points: force(n, run.links.filter((link) => link.planned)), labels: [], round: false, stretch: true };
}
