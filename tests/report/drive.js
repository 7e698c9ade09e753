// Reads a page the way its reader does and says what is wrong with it, in an element "seen": "ok" when nothing is.
// It is put behind the page's own scripts, and EXPECTED before it: what is known of the run by other means.
(async () => {
  const wrong = [];
  const check = (holds, what) => { if (!holds) wrong.push(what); };
  const $ = (id) => document.getElementById(id);
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const picture = (id) => {
    const drawn = document.querySelector("#" + id + " canvas.base");
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [drawn.width, drawn.height];
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(drawn, 0, 0);
    return context.getImageData(0, 0, copy.width, copy.height).data;
  };
  const colours = (data) => {
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    return seen.size;
  };
  const differs = (a, b) => a.length !== b.length || a.some((value, i) => value !== b[i]);
  const slide = (t) => {
    $("moment").value = t;
    $("moment").dispatchEvent(new Event("input"));
  };
  const point = (element, type, x, y, buttons = 0) => {
    const box = element.getBoundingClientRect();
    element.dispatchEvent(new PointerEvent(type, { clientX: box.left + x, clientY: box.top + y, buttons, bubbles: true }));
  };

  try {
    await frame();
    check(document.title !== "escaped", "text of the scenario ran as a script");
    check(document.querySelector("img") === null, "a node's name became an element");
    check(performance.getEntriesByType("resource").length === 0, "something was loaded");
    check(document.documentElement.scrollWidth <= innerWidth, "the page is wider than the window");
    check(!$("run").hidden && $("run").getBoundingClientRect().height > 400, "nothing is drawn");
    const ground = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
    check((ground[0] < 128) === EXPECTED.dark, "the colours are not those asked for: " + ground);

    // The drawings hold something, and the topology changes with the moment.
    check(colours(picture("chart")) > 12, "the chart is blank");
    let before = null;
    for (const [t, parts, down] of EXPECTED.moments) {
      slide(t);
      const { t: shown, parts: drawn, down: gone } = $("graph").dataset;
      check(Number(shown) === t, "asked for " + t + ", got " + shown);
      check(Number(drawn) === parts, "at " + t + ": " + drawn + " parts, not " + parts);
      check(Number(gone) === down, "at " + t + ": " + gone + " nodes down, not " + down);
      check($("state").textContent.startsWith(parts + " connected part"), "the state says: " + $("state").textContent);
      const now = picture("graph");
      check(colours(now) > 4, "the topology is blank at " + t);
      check(before === null || differs(before, now), "the topology did not change at " + t);
      before = now;
    }

    // The keyboard, the buttons, the chart as a slider.
    const at = () => Number($("graph").dataset.t);
    slide(0);
    document.querySelector("#chart .over").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    check(at() === EXPECTED.bin_ms, "an arrow key went to " + at());
    $("on").click();
    check(at() === EXPECTED.first_event, "the next event is at " + at());
    $("back").click();
    check(at() < EXPECTED.first_event, "the event before is at " + at());
    const over = document.querySelector("#chart .over");
    point(over, "pointerdown", over.clientWidth - 14, 60, 1);
    check(at() === EXPECTED.duration_ms, "the right end of the chart is " + at());
    $("play").click();
    for (let i = 0; i < 30; i++) await frame();
    check($("play").textContent === "Pause", "it does not play");
    check(at() > 0 && at() < EXPECTED.duration_ms, "playing is at " + at());
    $("play").click();

    // Hints: of a row of the chart, and of a node.
    let hint = "";
    for (let y = 30; y < over.clientHeight && !hint.includes("delivered"); y += 3) {
      point(over, "pointermove", over.clientWidth / 2, y);
      hint = $("tip").hidden ? "" : $("tip").textContent;
    }
    check(hint.includes("delivered"), "the chart gives no hints");
    const graph = document.querySelector("#graph .over");
    let told = "";
    for (let y = 4; y < graph.clientHeight && !told.includes("up"); y += 6) {
      for (let x = 4; x < graph.clientWidth && !told.includes("up"); x += 6) {
        point(graph, "pointermove", x, y);
        told = $("tip").hidden ? "" : $("tip").textContent;
      }
    }
    check(/links? up/.test(told), "the topology gives no hints: " + told);
    check($("tip").getBoundingClientRect().right <= innerWidth, "a hint is cut off");

    // The filter of violations, and their times as a way to the moment.
    const rows = [...document.querySelectorAll("#violations tbody tr")];
    if (rows.length) {
      const asked = rows[rows.length - 1].dataset.check;
      $("check").value = asked;
      $("check").dispatchEvent(new Event("change"));
      check(rows.every((row) => row.hidden === (row.dataset.check !== asked)), "the filter shows something else");
      rows[0].querySelector(".at button").click();
      check(at() === Number(rows[0].querySelector(".at").dataset.ms), "a violation's time leads to " + at());
    }
    check(document.querySelectorAll("[data-copy]:not([hidden])").length === 2, "no buttons to copy");

    const shown = EXPECTED.moments[1][0];
    location.hash = "#t=" + shown;
    dispatchEvent(new HashChangeEvent("hashchange"));
    check(at() === shown, "the address leads to " + at());
  } catch (error) {
    wrong.push("stopped: " + error + " " + error.stack);
  }
  const seen = document.createElement("pre");
  seen.id = "seen";
  seen.textContent = wrong.length ? wrong.join("; ") : "ok";
  document.body.append(seen);
})();
