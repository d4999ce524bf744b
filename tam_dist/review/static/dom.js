// A few words for making elements; text is always text, never markup.

export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else if (key === "style") Object.assign(element.style, value);
    else if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Puts these rows in the place of those there; whoever is at one by keyboard stays at it.
export function refill(host, rows) {
  const focused = document.activeElement, at = [...host.children].findIndex((row) => row.contains(focused)), label = focused?.getAttribute("aria-label");
  host.replaceChildren(...rows);
  if (at < 0 || !rows.length) return;
  const row = rows[Math.min(at, rows.length - 1)];
  ([...row.querySelectorAll("[aria-label]")].find((part) => label && part.getAttribute("aria-label") === label) ?? row).focus({ preventScroll: true });
}

// Makes a row act like a button, by pointer and by keyboard.
export function pressable(act) {
  return { tabIndex: 0, onclick: act, onkeydown: (event) => { if (event.target === event.currentTarget && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); act(event); } } };
}

const SVG = "http://www.w3.org/2000/svg";
const PATHS = {
  play: "M7 5v14l12-7z", pause: "M7 5h4v14H7zM13 5h4v14h-4z", lock: "M7 10V8a5 5 0 0 1 10 0v2h1a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-8a1 1 0 0 1 1-1zm2 0h6V8a3 3 0 0 0-6 0z",
  undo: "M8 5 3 10l5 5v-3.500h6a3.500 3.500 0 0 1 0 7H9V21h5a6 6 0 0 0 0-12H8z", redo: "m16 5 5 5-5 5v-3.500h-6a3.500 3.500 0 0 0 0 7h5V21h-5a6 6 0 0 1 0-12h6z",
  eye: "M12 6c5 0 8.500 4 10 6-1.500 2-5 6-10 6S3.500 14 2 12c1.500-2 5-6 10-6zm0 2.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7z", absent: "M5.600 4.200 4.200 5.600 10.600 12l-6.400 6.400 1.400 1.400L12 13.400l6.400 6.400 1.400-1.400L13.400 12l6.400-6.400-1.400-1.400L12 10.600z",
  check: "m9.500 17.500-5-5 1.800-1.800 3.200 3.200 8.200-8.200 1.800 1.800z", next: "M5 5v14l9-7zM16 5h3v14h-3z", plus: "M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z", help: "M11 16.500h2v2h-2zM12 5a5 5 0 0 1 2.800 9.100c-1 .7-1.800 1-1.800 1.900h-2c0-2 1.200-2.700 2.500-3.600A3 3 0 1 0 9 10H7a5 5 0 0 1 5-5z",
  sun: "M12 7.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9zM11 2h2v3h-2zm0 17h2v3h-2zM2 11h3v2H2zm17 0h3v2h-3zM4.200 5.600l1.400-1.400 2.100 2.100-1.400 1.400zm12.100 12.100 1.400-1.400 2.100 2.100-1.400 1.400zM4.200 18.400l2.100-2.100 1.400 1.400-2.100 2.100zM16.300 6.300l2.100-2.100 1.400 1.400-2.100 2.100z",
  brush: "M19.800 3.200a2 2 0 0 0-2.800 0l-8 8.500 3.300 3.300 8-8.500a2 2 0 0 0-.5-3.300zM7.600 13.200c-2 0-3.100 1.500-3.200 3.300-.1 1.200-.9 2-2 2.400 2 1.600 7.600 1.800 8.400-2.500z", grid: "M4 4h7v7H4zm9 0h7v7h-7zM4 13h7v7H4zm9 0h7v7h-7z", out: "M12 3l5 5-1.400 1.400L13 6.800V15h-2V6.800L8.400 9.400 7 8zM4 17h16v4H4z",
  swap: "M7 6h9V3l5 4.500-5 4.500V9H7zM17 18H8v3l-5-4.500L8 12v3h9z", edit: "m4 16.500 9.700-9.700 3.500 3.500L7.500 20H4zM15 5.500l1.500-1.500a1.500 1.500 0 0 1 2 0L20 5.500a1.500 1.500 0 0 1 0 2L18.500 9z", trash: "M9 3h6l1 2h4v2H4V5h4zM6 8h12l-1 13H7z", back: "M5 5h3v14H5zm14 0v14l-9-7z",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24"); svg.setAttribute("width", "18"); svg.setAttribute("height", "18"); svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", PATHS[name]); path.setAttribute("fill", "currentColor"); path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
}

export function button(name, label, key, act, properties = {}) {
  return el("button", { type: "button", class: "td-icon", title: key ? `${label} (${key})` : label, "aria-label": label, onclick: act, ...properties }, icon(name));
}

export function ago(seconds) {
  const d = Math.max(0, Date.now() / 1000 - seconds);
  return d < 60 ? "just now" : d < 3600 ? `${Math.floor(d / 60)} min ago` : d < 86400 ? `${Math.floor(d / 3600)} h ago` : `${Math.floor(d / 86400)} d ago`;
}
