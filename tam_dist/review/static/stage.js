// The picture: frame, masks, names, what is being drawn, zoom and pan, and the pointer.
import { colourMask, css, ink, tagPlaces } from "./paint.js";

const CLICK = 4; // pixels the pointer may wander within a click

export class Stage {
  // acts: {point(x, y, positive), box(x0, y0, x1, y1), hover(x, y, positive) or hover(null), stroke()}
  constructor(host, acts) {
    this.acts = acts;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "td-canvas";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    host.append(this.canvas);
    this.tinted = document.createElement("canvas");
    this.ghost = document.createElement("canvas");
    this.drafts = new Map();           // object -> canvas of a mask not sent yet
    this.view = { scale: 1, x: 0, y: 0, fitted: true };
    this.shown = { frame: -1, revision: 0, picture: null, mask: null };
    this.look = { hidden: false, onion: false, tool: "point", brush: 14, hiddenObjects: new Set() };
    this.objects = []; this.marks = []; this.draft = null; this.hovered = null; this.drag = null; this.selected = null; this.pointer = null;
    new ResizeObserver(() => { this.fit(); this.draw(); }).observe(host);
    this.listen();
  }

  show(frame, picture, mask, before) {
    const sized = !this.shown.picture || this.shown.picture.width !== picture.width || this.shown.picture.height !== picture.height;
    this.shown = { frame, revision: mask ? mask.revision : 0, picture, mask, before };
    if (sized && this.view.fitted) this.fit();
    this.coverKey = [...this.covered].join("\n");
    this.recolour();
  }

  recolour() {
    const { mask, before } = this.shown;
    if (mask) { colourMask(this.tinted, mask, this.table(), Math.max(2, Math.round(mask.height / 360))); this.tags = tagPlaces(mask); }
    if (before && this.look.onion) colourMask(this.ghost, before, this.table().map((entry) => entry && { colour: [255, 255, 255], tint: 26, line: 255 }));
    this.draw();
  }

  // A mask that is drawn anew takes the place of the stored one, and so does SAM's under the pointer.
  get covered() { return new Set([...this.drafts.keys(), ...(this.hovered ? [this.selected] : [])]); }

  table() {
    const table = [];
    for (const object of this.objects) {
      if (this.look.hiddenObjects.has(object.name) || this.covered.has(object.name)) continue;
      table[object.id] = { colour: object.colour, tint: object.name === this.selected ? 118 : 84, line: 255 };
    }
    return Array.from(table);
  }

  get size() { const { picture } = this.shown; return { width: this.width || picture?.width || 1, height: this.height || picture?.height || 1 }; }

  fit() {
    const box = this.canvas.parentElement.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    if (!box.width || !box.height) return;
    this.canvas.width = Math.round(box.width * ratio); this.canvas.height = Math.round(box.height * ratio);
    this.canvas.style.width = `${box.width}px`; this.canvas.style.height = `${box.height}px`;
    if (!this.view.fitted) return;
    const { width, height } = this.size, margin = 12 * ratio;
    const scale = Math.min((this.canvas.width - 2 * margin) / width, (this.canvas.height - 2 * margin) / height);
    this.view = { scale, x: (this.canvas.width - width * scale) / 2, y: (this.canvas.height - height * scale) / 2, fitted: true };
  }

  reset() { this.view.fitted = true; this.fit(); this.draw(); }

  zoom(factor, at) {
    const ratio = window.devicePixelRatio || 1, point = at || { x: this.canvas.width / 2 / ratio, y: this.canvas.height / 2 / ratio };
    const x = point.x * ratio, y = point.y * ratio, old = this.view;
    const scale = Math.min(40, Math.max(0.05, old.scale * factor));
    this.view = { scale, x: x - (x - old.x) * (scale / old.scale), y: y - (y - old.y) * (scale / old.scale), fitted: false };
    this.draw();
  }

  // Colours again only where another set of objects is covered.
  cover() { const key = [...this.covered].join("\n"); if (key !== this.coverKey) { this.coverKey = key; this.recolour(); } else this.draw(); }

  draw() { if (!this.pending) this.pending = requestAnimationFrame(() => { this.pending = 0; this.paint(); }); }

  paint() {
    const context = this.canvas.getContext("2d"), { picture, mask, before } = this.shown, { width, height } = this.size;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!picture) return;
    const { scale, x, y } = this.view;
    context.setTransform(scale, 0, 0, scale, x, y);
    context.imageSmoothingEnabled = scale < 3;
    context.drawImage(picture, 0, 0, width, height);
    if (mask && !this.look.hidden) context.drawImage(this.tinted, 0, 0, width, height);
    if (before && this.look.onion) context.drawImage(this.ghost, 0, 0, width, height);
    for (const canvas of this.drafts.values()) context.drawImage(canvas, 0, 0, width, height);
    if (this.hovered) context.drawImage(this.hovered, 0, 0, width, height);
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (mask && !this.look.hidden) this.names(context);
    this.prompts(context);
    if (this.drag?.box) this.rectangle(context, this.drag.box, "#fff", true);
    if ((this.look.tool === "brush" || this.look.tool === "eraser") && this.pointer) this.ring(context);
    this.acts.painted?.();
  }

  names(context) {
    const ratio = window.devicePixelRatio || 1;
    context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    for (const object of this.objects) {
      const place = this.tags?.get(object.id);
      if (!place || this.look.hiddenObjects.has(object.name)) continue;
      const w = context.measureText(object.shown).width + 14 * ratio, h = 20 * ratio;
      const px = Math.min(Math.max(this.view.x + place.x * this.view.scale - w / 2, 4), this.canvas.width - w - 4);
      const py = Math.min(Math.max(this.view.y + place.y * this.view.scale - h - 5 * ratio, 4), this.canvas.height - h - 4);
      context.fillStyle = css(object.colour, 0.92);
      context.beginPath(); context.roundRect(px, py, w, h, h / 2); context.fill();
      context.fillStyle = ink(object.colour);
      context.fillText(object.shown, px + 7 * ratio, py + h / 2 + ratio * 0.5);
    }
  }

  prompts(context) {
    for (const mark of this.marks) {
      if (mark.box) this.rectangle(context, mark.box, "#ffffffb0", true);
      for (const point of mark.points) this.dot(context, point, 0.75, mark.object);
    }
    if (!this.draft || this.draft.frame !== this.shown.frame) return;
    for (const [name, mark] of this.draft.marks) {
      if (mark.box) this.rectangle(context, mark.box, "#fff", false);
      for (const point of mark.points) this.dot(context, point, 1, name);
    }
  }

  dot(context, [x, y, positive], alpha, name) {
    const ratio = window.devicePixelRatio || 1, px = this.view.x + x * this.view.scale, py = this.view.y + y * this.view.scale, r = 6.5 * ratio;
    context.globalAlpha = alpha * (this.selected && name !== this.selected ? 0.45 : 1);
    context.beginPath(); context.arc(px, py, r, 0, 7); context.fillStyle = positive ? "#22b573" : "#e5484d"; context.fill();
    context.lineWidth = 2 * ratio; context.strokeStyle = "#fff"; context.stroke();
    context.beginPath(); context.moveTo(px - r / 2, py); context.lineTo(px + r / 2, py);
    if (positive) { context.moveTo(px, py - r / 2); context.lineTo(px, py + r / 2); }
    context.stroke(); context.globalAlpha = 1;
  }

  rectangle(context, [x0, y0, x1, y1], colour, dashed) {
    const ratio = window.devicePixelRatio || 1;
    context.lineWidth = 2 * ratio; context.strokeStyle = colour; context.setLineDash(dashed ? [6 * ratio, 4 * ratio] : []);
    context.strokeRect(this.view.x + x0 * this.view.scale, this.view.y + y0 * this.view.scale, (x1 - x0) * this.view.scale, (y1 - y0) * this.view.scale);
    context.setLineDash([]);
  }

  ring(context) {
    const ratio = window.devicePixelRatio || 1;
    context.beginPath();
    context.arc(this.pointer.x * ratio, this.pointer.y * ratio, this.look.brush * this.view.scale, 0, 7);
    context.lineWidth = 1.5 * ratio; context.strokeStyle = this.look.tool === "brush" ? "#fff" : "#ff9a9d"; context.stroke();
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    const local = { x: event.clientX - box.left, y: event.clientY - box.top };
    return { local, x: (local.x * ratio - this.view.x) / this.view.scale, y: (local.y * ratio - this.view.y) / this.view.scale };
  }

  inside(point) { const { width, height } = this.size; return point.x >= 0 && point.y >= 0 && point.x < width && point.y < height; }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(Math.exp(-event.deltaY * 0.0016), this.at(event).local); }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      document.activeElement?.blur?.();
      canvas.setPointerCapture(event.pointerId);
      const start = this.at(event), pan = event.button === 1 || event.altKey || event.ctrlKey;
      this.drag = { start, pan, button: event.button, view: { ...this.view }, stroke: !pan && this.look.tool !== "point" && event.button === 0 };
      if (this.drag.stroke) this.acts.stroke(start, start);
    });
    canvas.addEventListener("pointermove", (event) => {
      const now = this.at(event); this.pointer = now.local;
      const drag = this.drag;
      if (!drag) { this.acts.hover(event.shiftKey && this.inside(now) ? now : null, !event.ctrlKey); if (this.look.tool !== "point") this.draw(); return; }
      const dx = now.local.x - drag.start.local.x, dy = now.local.y - drag.start.local.y;
      if (drag.pan) {
        const ratio = window.devicePixelRatio || 1;
        this.view = { ...drag.view, x: drag.view.x + dx * ratio, y: drag.view.y + dy * ratio, fitted: false };
      } else if (drag.stroke) {
        this.acts.stroke(drag.last || drag.start, now); drag.last = now;
      } else if (drag.button === 0 && Math.hypot(dx, dy) > CLICK) {
        const { width, height } = this.size, clamp = (v, high) => Math.min(Math.max(v, 0), high);
        drag.box = [clamp(Math.min(now.x, drag.start.x), width), clamp(Math.min(now.y, drag.start.y), height), clamp(Math.max(now.x, drag.start.x), width), clamp(Math.max(now.y, drag.start.y), height)];
      }
      this.draw();
    });
    canvas.addEventListener("pointerup", (event) => {
      const drag = this.drag; this.drag = null;
      if (!drag || drag.pan) return;
      if (drag.stroke) { this.acts.strokeEnd(); return; }
      if (drag.box) { const [x0, y0, x1, y1] = drag.box; if (x1 - x0 >= 2 && y1 - y0 >= 2) this.acts.box(x0, y0, x1, y1); this.draw(); return; }
      if (this.inside(drag.start) && (drag.button === 0 || drag.button === 2)) this.acts.point(drag.start.x, drag.start.y, drag.button === 0);
      void event;
    });
    canvas.addEventListener("pointercancel", () => { this.drag = null; this.draw(); });
    canvas.addEventListener("pointerleave", () => { this.pointer = null; this.acts.hover(null); this.draw(); });
  }
}
