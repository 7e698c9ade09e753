// What the reader does: moves through time, asks what something is, filters, copies.

const $ = (id) => document.getElementById(id);
$("run").hidden = false;
const [chart, graph] = [makeChart($("chart")), makeGraph($("graph"))];
const slider = $("moment");
/** A run is played in so many seconds, whatever its length. */
const PLAY_S = 20;
let now = 0;

const element = (name, text) => {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
};

function listed(list, entries) {
  list.replaceChildren(...entries.map(([colour, text]) => {
    const item = element("li", text);
    const dot = document.createElement("i");
    dot.style.background = colour;
    item.prepend(dot);
    return item;
  }));
}

/** Shows the moment `t`. */
function show(t) {
  now = Math.max(0, Math.min(run.duration_ms, Math.round(t)));
  const state = stateAt(now);
  chart.cursor(now);
  graph.draw(state);
  slider.value = now;
  slider.setAttribute("aria-valuetext", seconds(now));
  $("clock").textContent = seconds(now);
  $("state").textContent = plural(state.parts.length, "connected part", "connected parts") + ", " +
    plural(state.missing, "link", "links") + " missing, " + plural(state.gone, "node", "nodes") + " not running.";
  const parts = state.parts.slice(0, 12).map((nodes, i) =>
    [partColour(i), (state.parts.length > 1 ? "Part " + (i + 1) + ": " : "") + plural(nodes.length, "node", "nodes") + ": " + naming(nodes)]);
  if (state.parts.length > 12) parts.push([partColour(12), figure(state.parts.length - 12) + " more parts"]);
  listed($("parts"), parts);
  const active = state.active.slice(0, 12).map((band) => [kindColour(band.kind), band.kind + ": " + band.what]);
  if (state.active.length > 12) active.push(["transparent", figure(state.active.length - 12) + " more"]);
  listed($("active"), active.length ? active : [["transparent", "none"]]);
  // What is drawn, for whoever cannot see it.
  Object.assign($("graph").dataset, { t: now, parts: state.parts.length, missing: state.missing, down: state.gone });
}

function redraw() {
  palette.clear();
  chart.resize();
  graph.resize();
  chart.draw();
  legend();
  show(now);
}

function legend() {
  const scale = heatScale();
  const entry = (style, text) => {
    const made = element("span", text);
    const key = document.createElement("i");
    key.style.background = style;
    made.prepend(key);
    return made;
  };
  const stops = [0, 0.25, 0.5, 0.75, 1, 1.5, 2].map((s) => "rgb(" + scale(s).map(Math.round).join(",") + ") " + s * 50 + "%");
  const bar = entry("linear-gradient(90deg," + stops.join(",") + ")", "deliveries: none, as in calm time, twice that");
  bar.firstChild.style.width = "90px";
  const hatch = "repeating-linear-gradient(135deg," + colour("down") + " 0 1.5px," + colour("ground") + " 1.5px 4px)";
  const entries = [bar, entry(hatch, "not running")];
  if (run.violations.length) entries.push(entry("none", "violation"));
  const kinds = [...new Map(run.bands.map((band) => [kindColour(band.kind), []]))];
  for (const [style, names] of kinds) {
    names.push(...new Set(run.bands.filter((band) => kindColour(band.kind) === style).map((band) => band.kind)));
    entries.push(entry(style, names.join(", ")));
  }
  $("legend").replaceChildren(...entries);
  if (run.violations.length) {
    const cross = $("legend").children[2].firstChild;
    cross.textContent = "✕";
    cross.style.cssText = "width:auto;height:auto;font:700 14px/1 sans-serif;color:" + colour("mark");
  }
}

let playing = 0;
function play(on) {
  cancelAnimationFrame(playing);
  playing = 0;
  $("play").textContent = on ? "Pause" : "Play";
  $("play").setAttribute("aria-pressed", String(on));
  if (!on) return;
  let [from, since] = [now >= run.duration_ms ? 0 : now, null];
  const frame = (clock) => {
    since ??= clock;
    const t = from + ((clock - since) / (PLAY_S * 1000)) * run.duration_ms;
    show(t);
    if (t >= run.duration_ms) play(false);
    else playing = requestAnimationFrame(frame);
  };
  playing = requestAnimationFrame(frame);
}

function toEvent(forward) {
  play(false);
  const next = forward ? events.find((t) => t > now) : events.findLast((t) => t < now);
  if (next !== undefined) show(next);
}

function hints(plot) {
  const place = (event) => {
    const box = plot.over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  plot.over.addEventListener("pointermove", (event) => {
    const text = plot.told(...place(event));
    $("tip").hidden = !text;
    $("tip").textContent = text;
    const box = $("tip").getBoundingClientRect();
    const left = Math.min(event.clientX + 14, innerWidth - box.width - 8);
    const below = event.clientY + 16 + box.height < innerHeight;
    $("tip").style.left = Math.max(8, left) + "px";
    $("tip").style.top = (below ? event.clientY + 16 : event.clientY - box.height - 10) + "px";
  });
  plot.over.addEventListener("pointerleave", () => { $("tip").hidden = true; });
  return place;
}

const place = hints(chart);
hints(graph);
const drag = (event) => {
  if (event.buttons !== 1) return;
  play(false);
  show(chart.timeAt(place(event)[0]));
};
chart.over.addEventListener("pointerdown", drag);
chart.over.addEventListener("pointermove", drag);
const onKey = (event) => {
  const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };
  if (event.key === "Home") show(0);
  else if (event.key === "End") show(run.duration_ms);
  else if (steps[event.key]) show(now + steps[event.key] * run.bin_ms);
  else return;
  play(false);
  event.preventDefault();
};
chart.over.addEventListener("keydown", onKey);

slider.max = run.duration_ms;
// A slider's own step would be a millisecond.
slider.addEventListener("keydown", onKey);
slider.addEventListener("input", () => {
  play(false);
  show(Number(slider.value));
});
$("play").addEventListener("click", () => play(!playing));
$("back").addEventListener("click", () => toEvent(false));
$("on").addEventListener("click", () => toEvent(true));

for (const at of document.querySelectorAll(".at")) {
  const button = element("button", at.textContent);
  button.type = "button";
  button.title = "Show this moment";
  button.addEventListener("click", () => {
    play(false);
    show(Number(at.dataset.ms));
    $("chart").scrollIntoView({ block: "nearest" });
  });
  at.replaceChildren(button);
}

const check = $("check");
if (check && check.options.length > 2) {
  check.closest(".filter").hidden = false;
  check.addEventListener("change", () => {
    for (const row of document.querySelectorAll("#violations tbody tr")) {
      row.hidden = check.value !== "" && row.dataset.check !== check.value;
    }
  });
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = $(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      // Some browsers keep the clipboard from files: then the text is at least selected.
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

/** `#t=12000` in the address shows that moment; else the first that is of interest. */
function fromAddress() {
  const asked = /^#t=(\d+)$/.exec(location.hash);
  if (asked) return Number(asked[1]);
  if (run.violations.length) return Math.min(...run.violations.map((violation) => violation.at));
  const [first] = run.bands;
  return first ? (first.from + first.until) / 2 : run.duration_ms / 2;
}
addEventListener("hashchange", () => show(fromAddress()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
// Paper is white.
addEventListener("beforeprint", () => { document.documentElement.classList.add("paper"); redraw(); });
addEventListener("afterprint", () => { document.documentElement.classList.remove("paper"); redraw(); });
let [pending, wide] = [0, $("run").clientWidth];
new ResizeObserver(() => {
  // Its height changes with what it says, which is no reason to draw again.
  if ($("run").clientWidth === wide) return;
  wide = $("run").clientWidth;
  cancelAnimationFrame(pending);
  pending = requestAnimationFrame(redraw);
}).observe($("run"));
now = fromAddress();
redraw();
