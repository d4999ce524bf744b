// Frames and masks of one project, kept in bounded memory and fetched ahead of the person.
import { fetchMask } from "./api.js";

const PICTURE_BYTES = 160 << 20, MASKS = 400;

export class Film {
  constructor(project) {
    this.project = project;            // its view, replaced with each poll
    this.pictures = new Map();         // frame -> promise of an ImageBitmap, oldest first
    this.masks = new Map();            // frame -> promise of runs
    this.before = new Map();           // frame -> runs that a correction replaced
    this.keep = Math.max(8, Math.floor(PICTURE_BYTES / (project.width * project.height * 4)));
  }

  picture(frame) {
    let found = this.pictures.get(frame);
    if (found) { this.pictures.delete(frame); this.pictures.set(frame, found); return found; }
    const { id, version } = this.project;
    found = fetch(`/media/${id}/${version}/${frame}.jpg`).then(async (response) => {
      if (!response.ok) throw new Error((await response.json()).error);
      return createImageBitmap(await response.blob());
    });
    found.catch(() => this.pictures.delete(frame));
    this.pictures.set(frame, found);
    while (this.pictures.size > this.keep) {
      const [old, promise] = this.pictures.entries().next().value;
      this.pictures.delete(old);
      promise.then((bitmap) => bitmap.close(), () => {});
    }
    return found;
  }

  mask(frame) {
    if (this.project.draft) return Promise.resolve(null);
    let found = this.masks.get(frame);
    if (!found) {
      found = fetchMask(this.project.id, frame);
      found.catch(() => this.masks.delete(frame));
      this.masks.set(frame, found);
      if (this.masks.size > MASKS) this.masks.delete(this.masks.keys().next().value);
    }
    return found;
  }

  // Masks of these chunks are others now; what was shown before stays for comparison.
  forget(chunks) {
    const size = this.project.chunk;
    for (const [frame, promise] of [...this.masks]) {
      if (!chunks.has(Math.floor(frame / size))) continue;
      this.masks.delete(frame);
      promise.then((old) => { if (old.revision) { this.before.set(frame, old); if (this.before.size > MASKS) this.before.delete(this.before.keys().next().value); } }, () => {});
    }
  }

  // The neighbours, further ahead in the direction of travel.
  ahead(frame, direction) {
    for (const step of [1, -1, 2, 3, 4]) {
      const next = frame + step * (direction < 0 ? -1 : 1);
      if (next >= 0 && next < this.project.frames) { this.picture(next).catch(() => {}); this.mask(next).catch(() => {}); }
    }
  }

  close() { for (const promise of this.pictures.values()) promise.then((bitmap) => bitmap.close(), () => {}); this.pictures.clear(); }
}
