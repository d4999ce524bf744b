// All projects of the pane with their live progress.
import { get, post } from "./api.js";
import { button, el, pressable } from "./dom.js";

const STATES = { tracking: "tracking", done: "done", new: "not begun", interrupted: "interrupted", failed: "failed", cancelled: "stopped", damaged: "damaged" };

export class Projects {
  // acts: {open(id), told(text, kind)}
  constructor(host, acts) {
    this.host = host; this.acts = acts; this.cards = new Map();
    this.grid = el("div", { class: "td-cards" });
    this.empty = el("p", { class: "td-empty", hidden: true }, "No project here yet.");
    host.append(el("header", { class: "td-page-head" }, el("h1", {}, "Projects"), (this.total = el("span", {})), (this.filter = el("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter by name", oninput: () => this.show(this.rows || []) }))), this.grid, this.empty);
  }

  async refresh() { this.show(await get("/api/projects")); }

  show(rows) {
    this.rows = rows;
    const frames = rows.reduce((sum, row) => sum + row.frames_total, 0), done = rows.reduce((sum, row) => sum + row.frames_done, 0), live = rows.filter((row) => row.live).length;
    this.total.textContent = `${rows.length} ${rows.length === 1 ? "video" : "videos"} · ${done.toLocaleString("en")} of ${frames.toLocaleString("en")} frames${live ? ` · ${live} being tracked` : ""}`;
    const wanted = rows.filter((row) => row.name.toLowerCase().includes(this.filter.value.toLowerCase()));
    this.empty.hidden = wanted.length > 0;
    for (const [id, card] of [...this.cards]) if (!wanted.some((row) => row.id === id)) { card.remove(); this.cards.delete(id); }
    wanted.forEach((row, i) => {
      let card = this.cards.get(row.id);
      if (!card) { card = this.card(row); this.cards.set(row.id, card); }
      if (this.grid.children[i] !== card) this.grid.insertBefore(card, this.grid.children[i] || null);
      this.update(card, row);
    });
  }

  card(row) {
    const card = el("article", { class: "td-card", "aria-label": `Open ${row.name}`, ...pressable(() => this.acts.open(row.id)) });
    card.parts = { picture: el("img", { alt: "", loading: "lazy" }), name: el("strong", {}), state: el("span", { class: "td-chip" }), bar: el("i", {}), facts: el("span", {}), failure: el("p", { class: "td-failure" }) };
    const stop = (act) => async (event) => { event.stopPropagation(); try { await act(); await this.refresh(); } catch (error) { this.acts.told(error.message, "error"); } };
    card.parts.pause = button("pause", `Pause ${row.name}`, "", stop(() => post(`/api/p/${row.id}/pause`)));
    card.parts.resume = button("play", `Go on with ${row.name}`, "", stop(() => post(`/api/p/${row.id}/resume`)));
    const { picture, name, state, bar, facts, failure, pause, resume } = card.parts;
    card.append(el("div", { class: "td-thumb" }, picture), el("div", { class: "td-card-body" }, el("div", { class: "td-row" }, name, state, pause, resume), el("div", { class: "td-bar", role: "progressbar" }, bar), facts, failure));
    return card;
  }

  update(card, row) {
    const { picture, name, state, bar, facts, failure, pause, resume } = card.parts, share = row.frames_total ? row.frames_done / row.frames_total : 0;
    const source = `/media/${row.id}/thumb/${Math.floor(row.frames_total / 3)}?d=${Math.floor(share * 4)}`;
    if (row.state !== "damaged" && !picture.src.endsWith(source)) picture.src = source;
    name.textContent = row.name;
    state.textContent = STATES[row.state] || row.state; state.dataset.state = row.state;
    bar.style.width = `${share * 100}%`; bar.parentElement.setAttribute("aria-valuenow", Math.round(share * 100));
    const speed = row.live && row.frames_per_second ? ` · ${row.frames_per_second.toFixed(1)} frames/s` : "";
    facts.textContent = `${row.frames_done.toLocaleString("en")} / ${row.frames_total.toLocaleString("en")} frames · ${row.objects} ${row.objects === 1 ? "object" : "objects"}${row.quality === null ? "" : ` · quality ${row.quality.toFixed(2)}`}${speed}`;
    failure.textContent = row.failure; failure.hidden = !row.failure;
    pause.hidden = !row.live; resume.hidden = row.live || row.state === "done" || row.state === "damaged";
  }
}
