// What a person has drawn on one frame and not sent yet. It survives a reload of the page, but for brush strokes.
import { preview } from "./api.js";
import { colourMask, labelsOf } from "./paint.js";

export class Draft {
  constructor(project, frame, revision) { this.project = project; this.frame = frame; this.revision = revision; this.marks = new Map(); this.id = uuid(); this.replace = false; }

  static key(project, frame) { return `tam-dist-draft-${project}-${frame}`; }

  static restore(project, frame) {
    const text = sessionStorage.getItem(Draft.key(project, frame));
    if (!text) return null;
    try {
      const kept = JSON.parse(text), draft = new Draft(project, frame, kept.revision);
      draft.replace = Boolean(kept.replace);
      for (const [name, mark] of kept.marks) draft.marks.set(name, { ...mark, canvas: null });
      return draft;
    } catch { return null; }
  }

  get empty() { return [...this.marks.values()].every((mark) => !mark.points.length && !mark.box && !mark.canvas); }

  mark(name, isNew) {
    if (!this.marks.has(name)) this.marks.set(name, { points: [], box: null, canvas: null, isNew });
    return this.marks.get(name);
  }

  keep() {
    const key = Draft.key(this.project, this.frame);
    if (this.empty) { sessionStorage.removeItem(key); return; }
    const marks = [...this.marks].map(([name, mark]) => [name, { points: mark.points, box: mark.box, isNew: mark.isNew }]);
    sessionStorage.setItem(key, JSON.stringify({ revision: this.revision, replace: this.replace, marks }));
  }

  drop() { this.marks.clear(); this.keep(); }

  // The newest point or box goes first; false where there was none.
  stepBack(name) {
    const mark = this.marks.get(name) || [...this.marks.values()].pop();
    if (!mark) return false;
    if (mark.canvas) { mark.canvas = null; mark.strokes = null; } else if (mark.points.length) mark.points.pop(); else if (mark.box) mark.box = null; else return false;
    this.keep();
    return true;
  }

  body(shown) {
    const marks = [];
    for (const [object, mark] of this.marks) {
      if (mark.canvas) marks.push({ object: shown(object), mask: mark.canvas.toDataURL("image/png"), new: mark.isNew });
      else if (mark.points.length || mark.box) marks.push({ object: shown(object), points: mark.points, box: mark.box, new: mark.isNew });
    }
    return { id: this.id, frame: this.frame, revision: this.revision, replace: this.replace, marks };
  }
}

// Where the page comes over plain http from another machine, crypto.randomUUID is not there.
export function uuid() {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 15) | 64; b[8] = (b[8] & 63) | 128;
  return [...b].map((v, i) => ([4, 6, 8, 10].includes(i) ? "-" : "") + v.toString(16).padStart(2, "0")).join("");
}

// Asks for SAM's masks one at a time; of the questions that come meanwhile only the last is asked.
export class Asker {
  constructor(project) { this.project = project; this.busy = false; this.waiting = null; }

  ask(body, done, failed) {
    if (this.busy) { this.waiting = [body, done, failed]; return; }
    this.busy = true;
    preview(this.project, body).then(done, failed).finally(() => {
      this.busy = false;
      const next = this.waiting; this.waiting = null;
      if (next) this.ask(...next);
    });
  }

  cancel() { this.waiting = null; }
}

export function previewCanvas(mask, colour, canvas = document.createElement("canvas")) {
  return colourMask(canvas, mask, [null, { colour, tint: 110, line: 255 }], Math.max(2, Math.round(mask.height / 240)));
}

// An object's mask as a canvas to paint on: opaque where the object is.
export function paintable(width, height, colour, mask, id) {
  const canvas = document.createElement("canvas");
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (mask) {
    const labels = labelsOf(mask), image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    const value = ((255 << 24) | (colour[2] << 16) | (colour[1] << 8) | colour[0]) >>> 0;
    for (let i = 0; i < labels.length; i++) if (labels[i] === id) pixels[i] = value;
    context.putImageData(image, 0, 0);
  }
  return canvas;
}
