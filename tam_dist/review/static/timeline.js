// Lanes of quality over the whole film or a part of it. The server shrinks any length to one column a pixel.
import { bytesOf, get } from "./api.js";
import { css } from "./paint.js";

const LANE = 22, HEAD = 20, STATUS = 8, GAP = 3, UNKNOWN = 255;
const PROMPTED = 1, REFINED = 2, CORRECTED = 4;

// Quality 0..254 as colour: red, amber, green; the bar's height tells the same to those who don't see these apart.
const SCALE = Array.from({ length: 255 }, (_, q) => {
  const t = q / 254, stops = [[0, [214, 57, 64]], [0.5, [235, 130, 52]], [0.7, [232, 190, 60]], [0.85, [90, 184, 122]], [1, [46, 160, 110]]];
  const at = Math.max(1, stops.findIndex(([s]) => s >= t));
  const [s0, a] = stops[at - 1], [s1, b] = stops[at], f = (t - s0) / (s1 - s0);
  return a.map((v, i) => Math.round(v + (b[i] - v) * f));
});

export class Timeline {
  // acts: {go(frame), range(first, last)}
  constructor(host, acts) {
    this.acts = acts; this.host = host;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "td-timeline";
    this.canvas.setAttribute("role", "slider"); this.canvas.setAttribute("aria-label", "Timeline");
    this.canvas.tabIndex = 0;
    host.append(this.canvas);
    this.left = 112; this.frame = 0; this.data = null; this.number = -1; this.marks = []; this.suggested = [];
    this.range = null; this.cuts = [];
    new ResizeObserver(() => this.refresh()).observe(host);
    this.canvas.addEventListener("pointerdown", (event) => { this.canvas.setPointerCapture(event.pointerId); this.down = true; this.scrub(event); });
    this.canvas.addEventListener("pointermove", (event) => { if (this.down) this.scrub(event); else this.tell(event); });
    this.canvas.addEventListener("pointerup", () => { this.down = false; });
    this.canvas.addEventListener("wheel", (event) => { if (event.ctrlKey || !this.scrolls) { event.preventDefault(); this.zoom(Math.exp(event.deltaY * 0.002), this.frameAt(event)); } }, { passive: false });
  }

  set(project, objects) {
    if (this.project?.id !== project.id) { this.first = 0; this.stop = project.frames; this.data = null; }
    const stale = this.project?.number !== project.number || this.objects?.length !== objects.length || this.project?.id !== project.id;
    this.project = project; this.objects = objects;
    if (stale) this.refresh(); else this.draw();
  }

  get width() { return Math.max(50, this.host.clientWidth - this.left - 10); }
  get scrolls() { return this.host.scrollHeight > this.host.clientHeight + 2; }
  x(frame) { return this.left + ((frame - this.first) / (this.stop - this.first)) * this.width; }
  frameAt(event) {
    const x = event.clientX - this.canvas.getBoundingClientRect().left - this.left;
    return Math.max(0, Math.min(this.project.frames - 1, Math.floor(this.first + (x / this.width) * (this.stop - this.first))));
  }

  scrub(event) { if (event.clientX - this.canvas.getBoundingClientRect().left > this.left - 6) this.acts.go(this.frameAt(event)); }
  tell(event) { this.canvas.title = `frame ${this.frameAt(event)}`; }

  zoom(factor, about = this.frame) {
    const length = Math.min(this.project.frames, Math.max(Math.min(30, this.project.frames), Math.round((this.stop - this.first) * factor)));
    const share = (about - this.first) / (this.stop - this.first);
    this.place(Math.round(about - share * length), length);
  }

  place(first, length = this.stop - this.first) {
    this.first = Math.max(0, Math.min(first, this.project.frames - length)); this.stop = this.first + length;
    this.refresh();
  }

  move(frame) {
    this.frame = frame;
    const length = this.stop - this.first;
    if (frame < this.first || frame >= this.stop) this.place(frame - Math.floor(length / 2)); else this.draw();
  }

  // Asks again only when the last answer has come: what is drawn is never more than one answer old.
  async refresh() {
    if (!this.project) return;
    this.draw();
    if (this.project.draft) return;
    if (this.asking) { this.again = true; return; }
    this.asking = true;
    const started = performance.now();
    try {
      const { id, number } = this.project;
      const view = await get(`/api/p/${id}/timeline?first=${this.first}&stop=${this.stop}&columns=${Math.round(this.width)}`);
      if (id === this.project.id) {
        this.data = { ...view, lanes: view.lanes.map((lane) => ({ object: lane.object, quality: bytesOf(lane.quality), marks: bytesOf(lane.marks), gone: bytesOf(lane.gone) })) };
        this.number = number; this.paint(); this.took = performance.now() - started;
      }
    } catch { /* the next poll asks again */ } finally {
      this.asking = false;
      if (this.again) { this.again = false; this.refresh(); }
    }
  }

  draw() { if (!this.pending) this.pending = requestAnimationFrame(() => { this.pending = 0; this.paint(); }); }

  paint() {
    if (!this.project) return;
    const ratio = window.devicePixelRatio || 1, width = this.host.clientWidth, style = getComputedStyle(this.host);
    const height = HEAD + STATUS + GAP + Math.max(1, this.objects.length) * (LANE + GAP) + 4;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio); this.canvas.height = Math.round(height * ratio);
      this.canvas.style.width = `${width}px`; this.canvas.style.height = `${height}px`;
    }
    const c = this.canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0); c.clearRect(0, 0, width, height);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [text, dim, line, raised, accent, warn] = ["--text", "--dim", "--line", "--raised", "--accent", "--warn"].map(colour);
    this.ruler(c, dim, line);
    this.status(c, { line, accent, warn, good: colour("--good") });
    c.font = "600 12px system-ui, sans-serif"; c.textBaseline = "middle";
    this.objects.forEach((object, k) => {
      const y = HEAD + STATUS + GAP + k * (LANE + GAP);
      c.fillStyle = raised; c.fillRect(this.left, y, this.width, LANE);
      c.fillStyle = css(object.colour); c.beginPath(); c.arc(12, y + LANE / 2, 5, 0, 7); c.fill();
      c.fillStyle = object.name === this.selected ? text : dim;
      c.fillText(clipped(c, object.shown, this.left - 36), 24, y + LANE / 2);
      const lane = this.data?.lanes.find((each) => each.object === object.name);
      if (lane) this.lane(c, lane, y, dim);
    });
    this.prompts(c, text);
    if (this.range) {
      const a = this.x(this.range[0]), b = this.x(this.range[1] + 1);
      c.fillStyle = accent; c.globalAlpha = 0.18; c.fillRect(a, HEAD, b - a, height); c.globalAlpha = 1;
      c.fillRect(a - 1, HEAD - 4, 2, height); c.fillRect(b - 1, HEAD - 4, 2, height);
    }
    for (const frame of this.cuts) { c.fillStyle = dim; c.fillRect(this.x(frame) - 0.5, HEAD, 1, height - HEAD); }
    for (const frame of this.suggested) {
      const x = this.x(frame + 0.5);
      if (x < this.left || x > this.left + this.width) continue;
      c.fillStyle = warn; c.beginPath(); c.moveTo(x, HEAD - 1); c.lineTo(x - 4, HEAD - 9); c.lineTo(x + 4, HEAD - 9); c.fill();
    }
    const x = this.x(this.frame), wide = Math.max(2, this.x(this.frame + 1) - x);
    c.fillStyle = accent; c.globalAlpha = 0.3; c.fillRect(x, HEAD - 6, wide, height); c.globalAlpha = 1;
    c.fillRect(x + wide / 2 - 1, HEAD - 8, 2, height);
    this.canvas.setAttribute("aria-valuenow", this.frame); this.canvas.setAttribute("aria-valuemax", this.project.frames - 1);
    this.painted = performance.now();
  }

  ruler(c, dim, line) {
    const frames = this.stop - this.first, fps = this.project.fps || 25, wanted = frames / Math.max(2, this.width / 110);
    const steps = frames > 5000 ? [10, 30, 60, 120, 300, 600, 1200, 1800, 3600].map((seconds) => Math.round(seconds * fps)) : [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
    const step = steps.find((each) => each >= wanted) || steps[steps.length - 1];
    c.font = "11px system-ui, sans-serif"; c.textBaseline = "top"; c.fillStyle = dim;
    for (let f = Math.ceil(this.first / step) * step; f < this.stop; f += step) {
      const x = this.x(f);
      c.fillRect(x, HEAD - 5, 1, 5); c.fillText(frames > 5000 ? clock(f / fps + 0.5 / fps) : String(f), x + 3, 2);
    }
    c.fillStyle = line; c.fillRect(this.left, HEAD - 1, this.width, 1);
  }

  // One strip for the film: tracked, out of date (hatched as well), not there yet.
  status(c, colours) {
    const y = HEAD + 1, h = STATUS - 3;
    c.fillStyle = colours.line; c.fillRect(this.left, y, this.width, h);
    const stretch = (ranges, fill) => { c.fillStyle = fill; for (const [a, b] of ranges) { const x = Math.max(this.left, this.x(a)), x1 = Math.min(this.left + this.width, this.x(b + 1)); if (x1 > x) c.fillRect(x, y, Math.max(1, x1 - x), h); } };
    stretch(this.project.done, colours.good);
    stretch(this.project.stale, colours.warn);
    for (const [a, b] of this.project.stale) for (let x = Math.max(this.left, this.x(a)); x < Math.min(this.left + this.width, this.x(b + 1)); x += 6) { c.fillStyle = "#0006"; c.fillRect(x, y, 2, h); }
  }

  lane(c, lane, y, dim) {
    const n = this.data.columns, data = this.data;
    for (let i = 0; i < n; i++) {
      const f0 = data.first + (i * (data.stop - data.first)) / n, f1 = data.first + ((i + 1) * (data.stop - data.first)) / n;
      const x = this.x(f0), w = this.x(f1) - x;
      if (x + w < this.left || x > this.left + this.width) continue;
      const q = lane.quality[i], whole = lane.gone[i] > 250;
      if (whole) { c.fillStyle = dim; c.globalAlpha = 0.5; c.fillRect(x, y + LANE / 2 - 0.5, w + 0.5, 1); c.globalAlpha = 1; continue; }
      if (q === UNKNOWN) continue;
      const h = 4 + (q / 254) * (LANE - 4), [r, g, b] = SCALE[q];
      c.fillStyle = `rgb(${r},${g},${b})`; c.fillRect(x, y + LANE - h, w + 0.4, h);
    }
    for (let i = 0; i < n; i++) {
      if (!(lane.marks[i] & (REFINED | CORRECTED))) continue;
      const x = this.x(data.first + (i * (data.stop - data.first)) / n);
      if (x < this.left) continue;
      c.fillStyle = lane.marks[i] & CORRECTED ? "#ffffffd0" : "#ffffff80"; c.fillRect(x, y + LANE - 3, Math.max(1, this.width / n), 3);
    }
  }

  prompts(c, text) {
    const rows = new Map(this.objects.map((object, k) => [object.name, HEAD + STATUS + GAP + k * (LANE + GAP)]));
    for (const mark of this.marks) {
      const y = rows.get(mark.object);
      if (y === undefined || mark.last < this.first || mark.first >= this.stop) continue;
      const x = this.x(mark.first + 0.5), m = y + LANE / 2;
      if (mark.kind === "absent" && mark.purpose !== "lock") {
        const x1 = this.x(mark.last + 1); c.strokeStyle = text; c.globalAlpha = 0.7; c.strokeRect(this.x(mark.first) + 0.5, y + 1.5, Math.max(3, x1 - this.x(mark.first)), LANE - 3); c.globalAlpha = 1;
        continue;
      }
      c.fillStyle = "#fff"; c.strokeStyle = "#15181e"; c.lineWidth = 1.5; c.beginPath();
      if (mark.purpose === "lock") { c.roundRect(x - 4, m - 1, 8, 6, 1.5); c.moveTo(x + 2.5, m - 1); c.arc(x, m - 1.5, 2.5, 0, Math.PI, true); }
      else if (mark.purpose === "correction") { c.moveTo(x, m - 6); c.lineTo(x + 5.5, m + 4.5); c.lineTo(x - 5.5, m + 4.5); c.closePath(); }
      else { c.moveTo(x, m - 5.5); c.lineTo(x + 5.5, m); c.lineTo(x, m + 5.5); c.lineTo(x - 5.5, m); c.closePath(); }
      c.stroke(); c.fill();
    }
    c.lineWidth = 1;
  }
}

function clipped(c, text, width) {
  if (c.measureText(text).width <= width) return text;
  let n = text.length;
  while (n > 1 && c.measureText(`${text.slice(0, n)}…`).width > width) n--;
  return `${text.slice(0, n)}…`;
}

export function clock(seconds) {
  const s = Math.floor(seconds), pad = (v) => String(v).padStart(2, "0");
  return s >= 3600 ? `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}` : `${Math.floor(s / 60)}:${pad(s % 60)}`;
}
