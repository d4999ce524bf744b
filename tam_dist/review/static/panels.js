// The column at the right: objects, suggested frames, and what was asked so far.
import { ago, button, el, icon, pressable, refill } from "./dom.js";
import { css } from "./paint.js";

export class Panels {
  // acts: select, toggle, rename, remove, add, open(spot), accept, skip, undo, redo, go
  constructor(host, acts) {
    this.acts = acts;
    this.objects = el("ul", { class: "td-objects", role: "listbox", "aria-label": "Objects" });
    this.queue = el("div", { class: "td-list" });
    this.history = el("div", { class: "td-list", hidden: true });
    this.left = el("span", { class: "td-count" });
    this.gain = el("canvas", { class: "td-gain", width: 560, height: 72, title: "Mean quality while this page was open" });
    this.tabs = { queue: this.tab("To review", this.queue, true), history: this.tab("History", this.history, false) };
    this.tabs.queue.append(this.left);
    host.append(
      el("section", { class: "td-panel" },
        el("header", {}, el("h2", {}, "Objects"), button("plus", "New object", "N", () => acts.add())), this.objects),
      el("section", { class: "td-panel td-grow" }, el("header", { role: "tablist" }, this.tabs.queue, this.tabs.history), this.queue, this.history, this.gain),
    );
  }

  tab(label, list, on) {
    return el("button", { type: "button", class: "td-tab", role: "tab", "aria-selected": String(on), onclick: (event) => {
      for (const other of Object.values(this.tabs)) other.setAttribute("aria-selected", "false");
      event.currentTarget.setAttribute("aria-selected", "true");
      this.queue.hidden = list !== this.queue; this.history.hidden = list !== this.history;
    } }, label);
  }

  showObjects(objects, selected, hidden, quality, drafts) {
    const rows = objects.map((object, k) => {
      const percent = quality[k];
      return el("li", { role: "option", class: "td-object", "aria-selected": String(object.name === selected), ...pressable(() => this.acts.select(object.name)) },
        el("kbd", {}, k < 9 ? String(k + 1) : ""),
        el("i", { style: { background: css(object.colour) } }),
        el("span", { class: "td-name", title: object.shown, ondblclick: () => this.acts.rename(object) }, object.shown), drafts.has(object.name) ? el("em", { title: "Drawn and not sent yet" }, "unsent") : null,
        el("span", { class: "td-quality", title: "Quality in this frame: the IoU the mask is expected to have" }, percent === null || percent === undefined ? "–" : percent === "gone" ? "absent" : `${percent}`),
        button("edit", `Rename ${object.shown}`, "", (event) => { event.stopPropagation(); this.acts.rename(object); }),
        button("eye", hidden.has(object.name) ? `Show ${object.shown}` : `Hide ${object.shown}`, "", (event) => { event.stopPropagation(); this.acts.toggle(object.name); }, { class: `td-icon${hidden.has(object.name) ? " td-off" : ""}` }),
        button("trash", `Remove ${object.shown}`, "", (event) => { event.stopPropagation(); this.acts.remove(object); }));
    });
    refill(this.objects, rows.length ? rows : [el("li", { class: "td-empty" }, "No object yet: press N, name one, and click on it.")]);
  }

  showQueue(queue, current, many) {
    this.left.textContent = queue.left ? String(queue.left) : "";
    const rows = queue.spots.map((spot) => el("article", { class: "td-spot", "aria-current": String(spot.project === current?.project && spot.frame === current?.frame && spot.object === current?.object),
      ...pressable(() => this.acts.open(spot)) },
      el("img", { loading: "lazy", alt: "", width: 104, height: 58, src: `/media/${spot.project}/thumb/${spot.frame}` }),
      el("div", {}, el("strong", {}, spot.object), el("span", {}, many ? `frame ${spot.frame} · ${spot.name}` : `frame ${spot.frame}`), el("span", { class: "td-why" }, spot.reason)),
      el("b", { title: "Expected IoU" }, spot.quality.toFixed(2))));
    refill(this.queue, rows.length ? rows : [el("p", { class: "td-empty" }, "Nothing is suggested: every mask is expected to be good, or has been looked at.")]);
  }

  showHistory(entries, selectable) {
    refill(this.history, entries.length ? entries.map((entry) => el("article", { class: `td-entry${entry.in_force ? "" : " td-undone"}`, ...(entry.frame === null ? {} : pressable(() => selectable(entry.frame))) },
      el("div", {}, el("strong", {}, entry.what), el("span", {}, `${entry.author} · ${ago(entry.time)}${entry.effect ? ` · ${entry.effect}` : ""}${entry.in_force ? "" : " · undone"}`)))) : [el("p", { class: "td-empty" }, "Nothing has been asked yet.")]);
  }

  showGain(points) {
    const c = this.gain.getContext("2d"), { width, height } = this.gain;
    c.clearRect(0, 0, width, height);
    this.gain.hidden = points.length < 2;
    if (points.length < 2) return;
    const style = getComputedStyle(this.gain), low = Math.min(...points), high = Math.max(...points), span = Math.max(high - low, 0.02);
    c.strokeStyle = style.getPropertyValue("--good"); c.lineWidth = 3; c.beginPath();
    points.forEach((value, i) => c.lineTo(8 + (i / (points.length - 1)) * (width - 190), height - 12 - ((value - low) / span) * (height - 24)));
    c.stroke();
    c.fillStyle = style.getPropertyValue("--dim"); c.font = "24px system-ui, sans-serif"; c.textBaseline = "middle";
    const gained = points[points.length - 1] - points[0];
    c.fillText(`${gained >= 0 ? "+" : "−"}${Math.abs(gained).toFixed(3)} IoU`, width - 165, height / 2);
  }
}

export function toast(host, text, kind = "note") {
  const box = el("div", { class: `td-toast td-${kind}`, role: kind === "error" ? "alert" : "status" }, text);
  host.append(box);
  setTimeout(() => box.remove(), kind === "error" ? 9000 : 3500);
}

export { icon };
