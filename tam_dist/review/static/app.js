// The pane: a header, the review of one project, the list of all, and Gradio's forms in drawers beside them.
import { get, post } from "./api.js";
import { button, el } from "./dom.js";
import { uuid } from "./draft.js";
import { KEYS, actionOf } from "./keys.js";
import { toast } from "./panels.js";
import { Projects } from "./projects.js";
import { POLL, Review } from "./review.js";

const STATES = { tracking: "tracking", done: "done", new: "not begun", interrupted: "interrupted", failed: "failed", cancelled: "stopped" };

export async function start(element) {
  const root = element.querySelector("#td-app") || element;
  if (root.childElementCount) return;
  theme(localStorage.getItem("tam-dist-theme"));
  new App(root).begin();
}

function theme(name) {
  if (name) { document.documentElement.dataset.theme = name; localStorage.setItem("tam-dist-theme", name); }
  const dark = name ? name === "dark" : !matchMedia("(prefers-color-scheme: light)").matches;
  document.body.classList.toggle("dark", dark);
  return dark;
}

class App {
  constructor(root) {
    root.classList.add("td");
    this.page = uuid();
    this.toasts = el("div", { class: "td-toasts" });
    this.chip = el("span", { class: "td-chip" });
    const ask = (what) => async () => { try { await post(`/api/p/${this.review.view.id}/${what}`); this.review.poll(); } catch (error) { this.told(error.message, "error"); } };
    this.pause = button("pause", "Pause tracking", "", ask("pause"), { hidden: true }); this.resume = button("play", "Go on with tracking", "", ask("resume"), { hidden: true });
    this.title = el("button", { type: "button", class: "td-title", title: "All projects (P)", onclick: () => this.list() });
    this.offline = el("div", { class: "td-offline", hidden: true, role: "alert" }, "The pane's server does not answer. What is being tracked goes on; this page comes back by itself.");
    this.who = el("span", { class: "td-who" });
    this.reviewHost = el("div", { class: "td-review", hidden: true }); this.listHost = el("div", { class: "td-page", hidden: true });
    this.newButton = el("button", { type: "button", class: "td-text", hidden: true, onclick: () => this.drawer("new") }, "New video");
    this.exportButton = el("button", { type: "button", class: "td-text", onclick: () => this.drawer("export") }, "Export");
    root.append(el("header", { class: "td-head" },
      el("a", { class: "td-logo", href: "#", onclick: (event) => { event.preventDefault(); this.list(); } }, logo(), el("span", {}, "tam-dist"), el("small", {}, "review")),
      this.title, this.chip, this.pause, this.resume, el("nav", {}, el("button", { type: "button", class: "td-text", onclick: () => this.list() }, "Projects"), this.newButton, this.exportButton),
      this.who, button("sun", "Light or dark", "T", () => this.flip()), button("help", "Keys", "?", () => this.help())),
    this.offline, this.reviewHost, this.listHost, this.toasts);
    this.review = new Review(this.reviewHost, this);
    this.projects = new Projects(this.listHost, { open: (id) => this.go(id), told: (text, kind) => this.told(text, kind) });
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("hashchange", () => this.route());
    window.tamDist = this;
  }

  async begin() {
    const me = await get("/api/me");
    this.who.textContent = me.author; this.newButton.hidden = !me.can_add; this.me = me;
    const rows = await get("/api/projects");
    this.many = rows.length > 1;
    if (!location.hash && rows.length === 1) this.go(rows[0].id); else if (!location.hash) this.list(); else this.route();
    this.loop();
  }

  // Polls one after the other, less often where nobody looks.
  async loop() {
    let turn = 0;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, document.hidden ? 5 * POLL : POLL));
      if (this.listed) await this.projects.refresh().then(() => this.online(true), (error) => this.online(false, error));
      else { await this.review.poll(); if (turn++ % 5 === 4) await this.review.pollQueue(); }
    }
  }

  route() {
    const match = location.hash.match(/^#p=([\w-]+)(?:&f=(\d+))?/);
    if (!match) { this.list(); return; }
    if (this.review.view?.id === match[1] && !this.listed) { if (match[2] && Number(match[2]) !== this.review.target) this.review.go(Number(match[2])); return; }
    this.go(match[1], match[2] === undefined ? null : Number(match[2]));
  }

  async go(id, frame = null) {
    this.listed = false; this.reviewHost.hidden = false; this.listHost.hidden = true; this.exportButton.hidden = false; this.title.hidden = this.chip.hidden = false;
    if (this.review.view?.id !== id || frame !== null) {
      try { if (this.review.view?.id === id) this.review.go(frame); else await this.review.open(id, frame); } catch (error) { this.told(error.message, "error"); this.list(); return; }
    }
    this.visited(id, this.review.target);
  }

  list() {
    delete document.body.dataset.drawer;
    this.listed = true; this.review.stopPlaying(); this.reviewHost.hidden = true; this.listHost.hidden = false; for (const part of [this.exportButton, this.title, this.chip, this.pause, this.resume]) part.hidden = true;
    history.replaceState(null, "", "#"); this.projects.refresh().catch((error) => this.told(error.message, "error"));
  }

  visited(id, frame) { if (!this.listed) history.replaceState(null, "", `#p=${id}&f=${frame}`); }

  status(view) {
    this.title.textContent = view.name;
    this.chip.dataset.state = view.state;
    const share = view.frames ? Math.floor((100 * view.frames_done) / view.frames) : 0, waiting = view.job === "waiting" ? ", waits for its turn" : "";
    const stale = view.stale.reduce((sum, [a, b]) => sum + b - a + 1, 0);
    this.chip.textContent = view.draft ? "click on an object to begin" : `${STATES[view.state] || view.state}${view.state === "tracking" ? ` ${share} %` : ""}${view.frames_per_second ? ` · ${view.frames_per_second.toFixed(1)} fps` : ""}${stale ? ` · ${stale} frames out of date` : ""}${waiting}`;
    this.pause.hidden = this.listed || !view.live; this.resume.hidden = this.listed || view.live || view.draft || view.job !== "" || (view.state === "done" && !stale);
    if (view.reason && view.reason !== this.reason) this.told(view.reason, "error");
    this.reason = view.reason;
  }

  online(yes, error) { if (yes || error?.status === undefined) this.offline.hidden = yes; }
  told(text, kind) { toast(this.toasts, text, kind); }
  flip() { const dark = document.body.classList.contains("dark"); theme(dark ? "light" : "dark"); this.review.timeline.draw(); this.review.stage.draw(); this.review.panels.showGain(this.review.gains); }
  drawer(name) { const open = document.body.dataset.drawer === name; if (open) delete document.body.dataset.drawer; else document.body.dataset.drawer = name; }

  key(event) {
    const action = actionOf(event);
    if (!action) return;
    const own = { help: () => this.help(), theme: () => this.flip(), projects: () => this.list() };
    if (action === "drop" && document.body.dataset.drawer) { delete document.body.dataset.drawer; return; }
    if (own[action]) own[action](); else if (!this.listed) this.review.act(action); else return;
    event.preventDefault();
  }

  // --- dialogs ------------------------------------------------------------------------------------------------------------

  dialog(...content) {
    const dialog = el("dialog", { class: "td-dialog" }, ...content);
    this.toasts.parentElement.append(dialog);
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.showModal();
    return dialog;
  }

  ask(question, value) {
    return new Promise((resolve) => {
      const input = el("input", { value, "aria-label": question, maxLength: 100 });
      const dialog = this.dialog(el("form", { method: "dialog", onsubmit: () => { dialog.result = input.value; } }, el("h2", {}, question), input, el("footer", {}, el("button", { type: "button", class: "td-text", onclick: () => dialog.close() }, "Cancel"), el("button", { class: "td-primary" }, "OK"))));
      dialog.addEventListener("close", () => resolve(dialog.result ?? null)); input.select();
    });
  }

  confirm(question) {
    return new Promise((resolve) => {
      const dialog = this.dialog(el("form", { method: "dialog", onsubmit: () => { dialog.result = true; } }, el("h2", {}, question), el("footer", {}, el("button", { type: "button", class: "td-text", onclick: () => dialog.close() }, "Cancel"), el("button", { class: "td-primary", autofocus: true }, "Remove"))));
      dialog.addEventListener("close", () => resolve(Boolean(dialog.result)));
    });
  }

  help() {
    this.dialog(el("div", { class: "td-help" }, ...KEYS.map(([title, rows]) => el("section", {}, el("h2", {}, title), el("dl", {}, ...rows.flatMap(([keys, what]) => [el("dt", {}, ...keys.split(" ").map((key) => el("kbd", {}, key))), el("dd", {}, what)]))))));
  }
}

function logo() {
  const box = el("i", { class: "td-mark", "aria-hidden": "true" });
  box.append(el("b", {}), el("b", {}));
  return box;
}
