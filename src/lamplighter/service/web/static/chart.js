// Draws progress by uPlot from the points in `data-chart`. Without it the drawing that the server made stays.
"use strict";

const charts = new Map();

function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function sinceStart(seconds) {
  if (seconds === 0) return "start";
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  let left = Math.round(seconds);
  const said = [];
  for (const [size, unit] of parts) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) said.push(count + " " + unit);
    else if (said.length) break;
    if (said.length === 2) break;
  }
  return said.join(" ") || "0 s";
}

function drawChart(figure, data) {
  const plot = figure.querySelector(".plot");
  if (typeof uPlot === "undefined" || !plot || !data || data.x.length < 2) return;
  const ink = cssColour("--ink-soft");
  const grid = cssColour("--line");
  const series = [{ label: "since start", value: (u, v) => (v === null ? "–" : sinceStart(v)) }];
  const rows = [data.x];
  const bands = [];
  const count = (u, v) => (v === null || v === undefined ? "–" : v.toLocaleString("en-GB"));
  if (data.band) {
    const edge = cssColour("--series-2") + "66";
    series.push({ label: "at most", stroke: edge, width: 1, spanGaps: true, points: { show: false }, value: count });
    series.push({ label: "at least", stroke: edge, width: 1, spanGaps: true, points: { show: false }, value: count });
    rows.push(data.band.high, data.band.low);
    bands.push({ series: [1, 2], fill: cssColour("--series-2") + "2e" });
  }
  for (const line of data.lines) {
    const colour = cssColour("--series-" + line.tone.slice(1));
    series.push({
      label: line.name, stroke: colour, width: line.dashed ? 1.5 : 2.5, dash: line.dashed ? [6, 4] : undefined,
      spanGaps: true, points: { show: false }, value: count,
    });
    rows.push(line.y);
  }
  const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: "12px system-ui, sans-serif" };
  const wide = Math.max(280, plot.clientWidth || figure.clientWidth);
  const kind = data.lines.map((line) => line.name).join("|") + (data.band ? "+" : "");
  const known = charts.get(figure);
  if (known && known.kind === kind) {
    known.chart.setData(rows);
    return;
  }
  if (known) known.chart.destroy();
  plot.replaceChildren();
  const steps = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2419200];
  const chart = new uPlot({
    width: wide, height: 230, series, bands,
    scales: { x: { time: false }, y: { range: (u, low, high) => [0, Math.max(1, high) * 1.05] } },
    axes: [
      Object.assign({}, axis, { incrs: steps, space: 70, values: (u, ticks) => ticks.map(sinceStart) }),
      Object.assign({}, axis, { size: 64, values: (u, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick.toLocaleString("en-GB") : "")) }),
    ],
    legend: { live: true },
  }, rows, plot);
  charts.set(figure, { chart, kind, data });
}

function readChart(figure) {
  const text = figure.getAttribute("data-chart");
  if (text) drawChart(figure, JSON.parse(text));
}

function updateChart(figure, data) {
  if (!data) return;
  figure.hidden = false;
  figure.setAttribute("data-chart", JSON.stringify(data));
  drawChart(figure, data);
}

document.addEventListener("DOMContentLoaded", () => {
  const figures = document.querySelectorAll("figure[data-chart]");
  figures.forEach(readChart);
  const anew = () => figures.forEach((figure) => {
    const known = charts.get(figure);
    if (known) { known.chart.destroy(); charts.delete(figure); }
    readChart(figure);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", anew);
  let timer = 0;
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(timer);
    timer = setTimeout(anew, 150);
  });
});
