// Talking to the pane's server: nothing else is ever asked.

export class Refused extends Error {
  constructor(status, sentence, body) { super(sentence); this.status = status; this.body = body; }
}

async function answer(response) {
  if (response.ok) return response;
  if (response.status === 401) { location.href = "/login"; }
  let body = {};
  try { body = await response.json(); } catch { /* no JSON: the status says it */ }
  const sentence = body.error || (body.detail ? "The server did not understand the page: reload it." : `The server answered ${response.status}.`);
  throw new Refused(response.status, sentence, body);
}

export async function get(path) { return (await answer(await fetch(path))).json(); }

export async function post(path, body = {}) {
  return (await answer(await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }))).json();
}

// Run lengths as tam_dist/review/runs.py makes them.
export function runsOf(buffer) {
  const numbers = new Uint32Array(buffer);
  return { width: numbers[0], height: numbers[1], revision: numbers[2], runs: numbers.subarray(3) };
}

export async function fetchMask(project, frame, signal) {
  const response = await answer(await fetch(`/media/${project}/mask/${frame}`, { signal }));
  // quality 0..254 (255 unknown) and origin of each object
  const scores = (response.headers.get("X-Scores") || "").split(",").filter(Boolean).map((pair) => pair.split(":").map(Number));
  return { ...runsOf(await response.arrayBuffer()), scores };
}

export async function preview(project, body, signal) {
  const response = await answer(await fetch(`/api/p/${project}/preview`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal }));
  return { ...runsOf(await response.arrayBuffer()), score: Number(response.headers.get("X-Score")), milliseconds: Number(response.headers.get("X-Milliseconds")) };
}

export function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
