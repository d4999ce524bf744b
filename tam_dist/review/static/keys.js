// Every key of the pane, once: what it does and what the help says.

export const KEYS = [
  ["Move", [["← →", "one frame"], ["Shift ← →", "ten frames"], ["Home End", "first, last frame"], ["Space", "play, pause"], ["J K", "next, previous suggested frame"], ["[ ]", "in and out mark"], ["PgUp PgDn", "previous, next prompted frame"]]],
  ["Draw", [["Left click", "the object is here"], ["Right click", "this is not the object"], ["Drag", "a box around it"], ["Shift, pointer", "SAM's mask before any click (Ctrl: beside it)"], ["B E", "brush, eraser (again: back to points)"], [", .", "smaller, larger brush"], ["C", "instead of what was given here before"], ["Enter", "accept and send"], ["Esc", "drop what was drawn"]]],
  ["Objects", [["1 … 9", "choose an object"], ["N", "new object"], ["X", "absent here, or from in to out mark"], ["L", "lock the frame as right"], ["R", "track from in to out mark anew"]]],
  ["Undo", [["Z", "take back: the last point, else the last action with all it changed"], ["Shift Z", "redo"]]],
  ["View", [["H", "hide masks"], ["O", "outline of the mask before the last change"], ["+ − 0", "zoom in, out, fit (wheel; Alt drag pans)"], ["A", "accept the suggested frame (locks it)"], ["S", "skip it"], ["P", "project list"], ["T", "light, dark"], ["?", "this help"]]],
];

// The action of a key event, null where there is none. Typing in a field is typing.
export function actionOf(event) {
  if (event.target.closest?.("input, textarea, select, [contenteditable=true], dialog")) return null;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") return event.shiftKey ? "redo" : "undo";
  if (event.ctrlKey || event.metaKey) return null;
  if (event.altKey) return { ArrowLeft: "first", ArrowRight: "last" }[event.key] || null;
  if (event.key === "Enter" || event.key === " ") { if (event.target.closest?.("button, a, article, li")) return null; }
  const named = { ArrowLeft: event.shiftKey ? "back10" : "back", ArrowRight: event.shiftKey ? "on10" : "on", Home: "first", End: "last", " ": "play", Enter: "accept", Escape: "drop", PageUp: "promptedBefore", PageDown: "promptedAfter", Delete: "absent" };
  if (named[event.key]) return named[event.key];
  if (/^[1-9]$/.test(event.key)) return `object${event.key}`;
  return { n: "add", z: event.shiftKey ? "redo" : "undo", j: "nextSpot", k: "previousSpot", l: "lock", x: "absent", h: "hide", o: "onion", c: "replace", b: "brush", e: "eraser", ",": "smaller", ".": "larger",
    "[": "markIn", "]": "markOut", r: "retrack", a: "acceptSpot", s: "skipSpot", p: "projects", t: "theme", "+": "zoomIn", "=": "zoomIn", "-": "zoomOut", "0": "fit", "?": "help" }[event.key.toLowerCase()] || null;
}
