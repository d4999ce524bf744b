// Label maps to pixels: tinted areas, full-colour outlines, and where each object's name goes.

export function labelsOf(mask, into) {
  const size = mask.width * mask.height;
  const labels = into && into.length === size ? into : new Uint16Array(size);
  let at = 0;
  for (let i = 0; i < mask.runs.length; i += 2) { labels.fill(mask.runs[i], at, at + mask.runs[i + 1]); at += mask.runs[i + 1]; }
  return labels;
}

const packed = (r, g, b, a) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;

// table: label -> {colour: [r, g, b], tint: 0..255, line: 0..255}; labels without an entry stay clear.
export function colourMask(canvas, mask, table, lineWidth = 1) {
  const { width, height } = mask;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  const labels = (canvas.labels = labelsOf(mask, canvas.labels));
  let at = 0;
  for (let i = 0; i < mask.runs.length; i += 2) {
    const entry = table[mask.runs[i]];
    if (entry && entry.tint) pixels.fill(packed(...entry.colour, entry.tint), at, at + mask.runs[i + 1]);
    at += mask.runs[i + 1];
  }
  outline(labels, width, height, pixels, table, lineWidth);
  context.putImageData(image, 0, 0);
  return canvas;
}

function outline(labels, width, height, pixels, table, w) {
  const lines = table.map((entry) => (entry && entry.line ? packed(...entry.colour, entry.line) : 0));
  for (let y = 0; y < height; y++) {
    for (let x = 0, p = y * width; x < width; x++, p++) {
      const label = labels[p];
      if (!label || !lines[label]) continue;
      if ((x >= w && labels[p - w] !== label) || (x + w < width && labels[p + w] !== label) ||
          (y >= w && labels[p - w * width] !== label) || (y + w < height && labels[p + w * width] !== label)) pixels[p] = lines[label];
    }
  }
}

// label -> {x, y, area}: the middle of its top, where a name tag stands.
export function tagPlaces(mask) {
  const boxes = new Map();
  let at = 0;
  for (let i = 0; i < mask.runs.length; i += 2) {
    const label = mask.runs[i], length = mask.runs[i + 1];
    if (label) {
      const y = Math.floor(at / mask.width), x0 = at % mask.width, x1 = Math.min(mask.width, x0 + length);
      const box = boxes.get(label) || { x0, x1, y, area: 0 };
      box.x0 = Math.min(box.x0, x0); box.x1 = Math.max(box.x1, x1); box.area += length;
      boxes.set(label, box);
    }
    at += length;
  }
  for (const box of boxes.values()) box.x = (box.x0 + box.x1) / 2;
  return boxes;
}

export const css = (colour, alpha = 1) => `rgba(${colour[0]},${colour[1]},${colour[2]},${alpha})`;
export const ink = (colour) => (colour[0] * 0.299 + colour[1] * 0.587 + colour[2] * 0.114 > 128 ? "#101012" : "#fff");
