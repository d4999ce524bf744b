// One project under review: what is shown, what is drawn, what is sent. The server's answer is the truth; nothing is kept here
// that it does not have, but what was drawn and not sent.
import { get, post } from "./api.js";
import { button, el, icon } from "./dom.js";
import { Asker, Draft, paintable, previewCanvas } from "./draft.js";
import { Film } from "./film.js";
import { Panels } from "./panels.js";
import { Stage } from "./stage.js";
import { Timeline, clock } from "./timeline.js";

const POLL = 700, ABSENT = 5, UNKNOWN = 255;

export class Review {
  // shell: {page, told(text, kind), ask(question, value), confirm(question)}
  constructor(host, shell) {
    this.shell = shell; this.host = host;
    this.target = 0; this.direction = 1; this.objects = []; this.marks = []; this.history = []; this.spots = []; this.left = 0; this.spot = null; this.gains = []; this.names = new Set();
    const stageHost = el("div", { class: "td-stage" }), lineHost = el("div", { class: "td-lanes" }), side = el("aside", { class: "td-side" });
    this.toolbar = this.makeToolbar();
    this.banner = el("div", { class: "td-banner", hidden: true });
    stageHost.append(this.banner);
    host.append(el("div", { class: "td-main" }, stageHost, this.toolbar, lineHost), side);
    this.stage = new Stage(stageHost, {
      point: (x, y, positive) => this.point(x, y, positive), box: (...box) => this.box(box), hover: (at, positive) => this.hover(at, positive),
      stroke: (from, to) => this.stroke(from, to), strokeEnd: () => this.redraw(), painted: () => { this.paintedAt = performance.now(); },
    });
    this.timeline = new Timeline(lineHost, { go: (frame) => this.go(frame) });
    this.panels = new Panels(side, {
      select: (name) => this.select(name), toggle: (name) => this.toggle(name), rename: (object) => this.rename(object), remove: (object) => this.remove(object), add: () => this.add(),
      open: (spot) => this.openSpot(spot),
    });
  }

  makeToolbar() {
    const act = (name) => () => this.act(name);
    this.parts = { frame: el("input", { class: "td-frame", type: "number", min: 0, "aria-label": "Frame", onchange: (event) => { this.go(Number(event.target.value)); event.target.blur(); } }), of: el("span", { class: "td-of" }), unsent: el("span", { class: "td-unsent" }) };
    this.parts.play = button("play", "Play", "Space", act("play"));
    this.parts.send = el("button", { type: "button", class: "td-primary", onclick: act("accept"), disabled: true }, icon("check"), "Accept", el("kbd", {}, "Enter"));
    this.parts.brush = button("brush", "Brush", "B", act("brush"), { "aria-pressed": "false" });
    this.parts.replace = button("swap", "Instead of what was given here before", "C", act("replace"), { "aria-pressed": "false" });
    return el("div", { class: "td-tools", role: "toolbar", "aria-label": "Tools" },
      el("div", {}, this.parts.play, this.parts.frame, this.parts.of),
      el("div", {}, button("undo", "Undo", "Z", act("undo")), button("redo", "Redo", "Shift Z", act("redo"))),
      el("div", {}, this.parts.brush, this.parts.replace, button("absent", "Absent here", "X", act("absent")), button("lock", "Lock frame", "L", act("lock")), button("eye", "Hide masks", "H", act("hide"))),
      el("div", {}, button("back", "Previous suggested frame", "K", act("previousSpot")), button("next", "Next suggested frame", "J", act("nextSpot"))),
      el("div", { class: "td-push" }, this.parts.unsent, this.parts.send));
  }

  // --- opening and keeping up ------------------------------------------------------------------------------------------

  async open(id, frame = null) {
    this.stopPlaying(); this.film?.close();
    this.film = null; this.view = null; this.log = ''; this.usedSam = false; this.gains = []; this.spot = this.spot?.project === id ? this.spot : null; this.names = new Set();
    this.stage.shown = { frame: -1, revision: 0, picture: null, mask: null }; this.stage.view.fitted = true; this.stage.drafts.clear(); this.stage.hovered = null;
    const view = await get(`/api/p/${id}`);
    this.film = new Film(view); this.asker = new Asker(id);
    this.take(view);
    this.stage.width = view.width; this.stage.height = view.height;
    this.go(Math.min(frame ?? 0, view.frames - 1));
    this.pollQueue();
    return view;
  }

  take(view) {
    const first = !this.view;
    this.view = view;
    this.film.project = view;
    const added = [...this.names].filter((name) => !view.objects.some((o) => o.name === name)).map((name, i) => ({ id: 0, name, shown: name, colour: NEW_COLOURS[(view.objects.length + i) % NEW_COLOURS.length] }));
    this.objects = [...view.objects, ...added];
    if (!this.objects.some((o) => o.name === this.selected)) this.selected = this.objects[0]?.name ?? null;
    Object.assign(this.stage, { objects: view.objects, selected: this.selected });
    Object.assign(this.timeline, { selected: this.selected, suggested: this.spots.filter((s) => s.project === view.id).map((s) => s.frame) });
    this.timeline.set(view, this.objects);
    const changed = new Set(Object.keys(view.changed).map(Number));
    if (!first && changed.size) {
      this.film.forget(changed);
      if (changed.has(Math.floor(this.stage.shown.frame / view.chunk))) this.paintFrame(this.stage.shown.frame);
    }
    if (view.quality !== null && view.quality !== this.gains[this.gains.length - 1]) { this.gains.push(view.quality); if (this.gains.length > 200) this.gains.splice(1, 1); this.panels.showGain(this.gains); }
    const log = `${view.entries} ${view.live}`; // when tracking has ended, history says what it changed
    if (log !== this.log) { this.log = log; this.loadLog(); }
    this.parts.of.textContent = ` / ${(view.frames - 1).toLocaleString("en")}`;
    this.parts.frame.max = view.frames - 1;
    this.showObjects();
    this.shell.status(view);
  }

  async loadLog() {
    if (this.view.draft) { this.marks = []; this.history = []; this.timeline.marks = []; this.timeline.cuts = []; return; }
    const id = this.view.id, [marks, history, cuts] = await Promise.all(['marks', 'history', 'cuts'].map((what) => get(`/api/p/${id}/${what}`)));
    if (this.view?.id !== id) return;
    this.marks = marks; this.history = history;
    this.timeline.marks = marks; this.timeline.cuts = cuts; this.timeline.draw();
    this.panels.showHistory(history, (frame) => this.go(frame));
    this.showMarks();
  }

  async poll() {
    if (!this.film || this.polling) return;
    this.polling = true;
    const id = this.view.id;
    try { const view = await get(`/api/p/${id}?since=${this.view.number}`); if (this.view?.id === id) this.take(view); this.shell.online(true); }
    catch (error) { this.shell.online(false, error); } finally { this.polling = false; }
  }

  async pollQueue() {
    if (this.view?.draft) return;
    try {
      const queue = await get(`/api/queue?page=${this.shell.page}${this.shell.many ? "" : `&project=${this.view.id}`}`);
      this.spots = queue.spots; this.left = queue.left;
      this.panels.showQueue(queue, this.spot, this.shell.many);
      if (this.view) { this.timeline.suggested = this.spots.filter((s) => s.project === this.view.id).map((s) => s.frame); this.timeline.draw(); }
    } catch { /* the next one tells */ }
  }

  // --- going somewhere ----------------------------------------------------------------------------------------------------

  go(frame) {
    if (!this.view || !Number.isFinite(frame)) return;
    const next = Math.max(0, Math.min(this.view.frames - 1, Math.round(frame)));
    this.direction = next < this.target ? -1 : 1;
    this.target = next;
    this.timeline.move(next);
    if (document.activeElement !== this.parts.frame) this.parts.frame.value = next;
    this.paintFrame(next);
  }

  async paintFrame(frame) {
    const film = this.film;
    try {
      const [picture, mask] = await Promise.all([film.picture(frame), film.mask(frame)]);
      if (film !== this.film || (frame !== this.target && Math.abs(this.target - frame) >= Math.abs(this.target - this.stage.shown.frame))) return; // a nearer one is shown
      const other = this.stage.shown.frame !== frame;
      this.stage.show(frame, picture, mask, film.before.get(frame));
      this.shownAt = performance.now();
      if (other) { this.takeDraft(frame); this.shell.visited(this.view.id, frame); }
      if (frame === this.target) { film.ahead(frame, this.direction); this.embedSoon(); }
      this.showObjects(); this.showMarks();
      this.stage.canvas.setAttribute("aria-label", `Frame ${frame} of ${this.view.name}`);
    } catch (error) { if (film === this.film && frame === this.target) this.shell.told(error.message, "error"); }
  }

  // Whoever uses SAM on this video will probably do so on the frame where they stop: its embedding is made before they ask.
  embedSoon() {
    clearTimeout(this.embedding);
    if (!this.usedSam) return;
    this.embedding = setTimeout(() => {
      const { width, height } = this.view;
      if (!this.playing && !this.asker.busy) this.asker.ask({ frame: this.shown.frame, points: [[width / 2, height / 2, 1]], hover: true }, () => {}, () => {});
    }, 350);
  }

  get shown() { return this.stage.shown; }

  play() {
    if (this.playing) { this.stopPlaying(); return; }
    if (this.target >= this.view.frames - 1) this.go(0);
    let next = performance.now();
    const step = 1000 / Math.min(60, this.view.fps || 25);
    const tick = () => {
      if (!this.playing) return;
      if (performance.now() >= next && this.shown.frame === this.target) {
        if (this.target >= this.view.frames - 1) { this.stopPlaying(); return; }
        this.go(this.target + 1); next = Math.max(next + step, performance.now() - step);
      }
      this.playing = requestAnimationFrame(tick);
    };
    this.playing = requestAnimationFrame(tick);
    this.parts.play.replaceChildren(icon("pause"));
  }

  stopPlaying() { if (this.playing) cancelAnimationFrame(this.playing); this.playing = 0; this.parts.play.replaceChildren(icon("play")); }

  // --- drawing ----------------------------------------------------------------------------------------------------------

  takeDraft(frame) {
    this.draft = Draft.restore(this.view.id, frame);
    this.stage.drafts.clear(); this.stage.hovered = null;
    for (const [name, mark] of this.draft?.marks ?? []) { if (mark.isNew) this.names.add(name); this.askSam(name); }
    this.redraw();
  }

  // What is drawn for the chosen object; where there is none, one is named first.
  async begin() { if (!this.selected) await this.add(); return this.selected ? this.mark() : null; }

  mark() {
    this.stopPlaying();
    if (!this.draft || this.draft.frame !== this.shown.frame) this.draft = new Draft(this.view.id, this.shown.frame, this.shown.revision);
    return this.draft.mark(this.selected, this.names.has(this.selected));
  }

  // Clicks, boxes and masks that are in force for an object in the frame shown.
  given(name) { return this.marks.filter((m) => m.object === name && m.first === this.shown.frame && m.kind !== "absent" && m.purpose !== "lock"); }

  replace() {
    if (!this.draft?.replace && !(this.selected && this.given(this.selected).length)) { this.shell.told("Nothing was given for this object in this frame before."); return; }
    if (!this.draft || this.draft.frame !== this.shown.frame) this.mark();
    this.draft.replace = !this.draft.replace; this.draft.keep();
    for (const name of this.draft.marks.keys()) this.askSam(name);
    this.showMarks(); this.redraw();
    if (this.draft.replace) this.shell.told("What you draw now takes the place of what was given here before.");
  }

  async point(x, y, positive) {
    const mark = this.selected ? this.mark() : await this.begin();
    if (!mark) return;
    mark.points.push([Math.round(x * 10) / 10, Math.round(y * 10) / 10, positive ? 1 : 0]);
    mark.canvas = null;
    this.clickedAt = performance.now();
    this.changed(this.selected);
  }

  async box(box) { const mark = await this.begin(); if (!mark) return; mark.box = box.map((v) => Math.round(v * 10) / 10); mark.canvas = null; this.changed(this.selected); }

  stroke(from, to) {
    if (!this.selected) { this.add(); return; }
    const mark = this.mark();
    const object = this.object(this.selected), { width, height } = this.view;
    if (!mark.canvas) {
      mark.canvas = this.stage.drafts.get(this.selected)?.mask ? paintable(width, height, object.colour, this.stage.drafts.get(this.selected).mask, 1) : paintable(width, height, object.colour, this.shown.mask, object.id || -1);
      this.stage.drafts.set(this.selected, tinted(mark.canvas));
    }
    const context = mark.canvas.getContext("2d");
    context.globalCompositeOperation = this.stage.look.tool === "eraser" ? "destination-out" : "source-over";
    context.strokeStyle = context.fillStyle = `rgb(${object.colour.join(",")})`; context.lineCap = "round"; context.lineWidth = this.stage.look.brush * 2;
    context.beginPath(); context.moveTo(from.x, from.y); context.lineTo(to.x + 0.01, to.y); context.stroke();
    this.stage.drafts.set(this.selected, tinted(mark.canvas, this.stage.drafts.get(this.selected)));
    this.redraw();
  }

  changed(name) {
    this.draft.keep(); this.askSam(name); if (this.draft.replace) this.showMarks(); this.redraw();
  }

  askSam(name) {
    const draft = this.draft, mark = draft?.marks.get(name);
    if (!mark || mark.canvas || !(mark.points.length || mark.box)) { this.stage.drafts.delete(name); this.redraw(); return; }
    this.usedSam = true;
    this.asker.ask({ frame: draft.frame, object: name, points: mark.points, box: mark.box, replace: draft.replace }, (mask) => {
      if (this.draft !== draft || !draft.marks.has(name)) return;
      const canvas = previewCanvas(mask, this.object(name)?.colour ?? [255, 255, 255]);
      canvas.mask = mask;
      this.stage.drafts.set(name, canvas); this.stage.hovered = null; this.previewedAt = performance.now(); this.redraw();
    }, (error) => this.shell.told(error.message, "error"));
  }

  hover(at, positive = true) {
    if (!at) { if (this.stage.hovered) { this.stage.hovered = null; this.stage.cover(); } this.hovering = false; this.asker?.cancel(); return; }
    const object = this.object(this.selected), points = this.draft?.frame === this.shown.frame ? this.draft.marks.get(this.selected)?.points ?? [] : [];
    this.hovering = this.usedSam = true;
    this.asker.ask({ frame: this.shown.frame, object: this.selected ?? "", points: [...points, [at.x, at.y, positive ? 1 : 0]], hover: true, replace: this.draft?.frame === this.shown.frame && this.draft.replace }, (mask) => {
      if (!this.hovering) return;
      this.stage.hovered = previewCanvas(mask, object?.colour ?? [255, 255, 255], this.hoverCanvas ??= document.createElement("canvas"));
      this.hoveredAt = performance.now(); this.previewTook = mask.milliseconds; this.stage.cover();
    }, () => {});
  }

  redraw() {
    this.stage.draft = this.draft;
    const empty = !this.draft || this.draft.empty;
    this.parts.send.disabled = empty;
    this.parts.unsent.textContent = empty ? "" : "not sent yet";
    this.parts.replace.setAttribute("aria-pressed", String(Boolean(this.draft?.replace)));
    this.showObjects(); this.stage.cover();
  }

  async accept() {
    if (!this.draft || this.draft.empty) return;
    const draft = this.draft, fresh = this.view.draft;
    const answer = await this.send("correct", draft.body((name) => this.shownName(name)));
    if (!answer) return;
    for (const [name] of draft.marks) this.names.delete(name);
    draft.drop(); this.draft = null; this.stage.drafts.clear(); this.redraw();
    if (fresh) { this.shell.go(answer.project, draft.frame); return; }
    this.shell.told(answer.live ? "Sent: the running job takes it in." : "Sent: tracking starts.");
    this.leaveSpot();
  }

  // Sends an action; null where it was refused, and then people are told why.
  async send(what, body = {}) {
    try { const answer = await post(`/api/p/${this.view.id}/${what}`, body); this.poll(); return answer; }
    catch (error) {
      this.shell.told(error.message, "error");
      if (error.status === 409) { this.film.forget(new Set([Math.floor(this.shown.frame / this.view.chunk)])); await this.poll(); this.paintFrame(this.shown.frame); if (this.draft) { this.draft.revision = (await this.film.mask(this.draft.frame)).revision; this.draft.keep(); } }
      return null;
    }
  }

  // --- objects ----------------------------------------------------------------------------------------------------------

  // The server takes objects by the names that people see.
  shownName(name) { return this.object(name)?.shown ?? name; }
  object(name) { return this.objects.find((o) => o.name === name); }
  select(name) { this.selected = name; Object.assign(this.stage, { selected: name }); this.timeline.selected = name; this.stage.recolour(); this.timeline.draw(); this.showObjects(); }
  toggle(name) { const { hiddenObjects } = this.stage.look; if (!hiddenObjects.delete(name)) hiddenObjects.add(name); this.stage.recolour(); this.showObjects(); }

  async add() {
    const name = (await this.shell.ask("Name of the new object", `object ${this.objects.length + 1}`))?.trim();
    if (!name) return;
    if (this.objects.some((o) => o.name === name || o.shown === name)) { this.shell.told(`There is an object ${name} already.`, "error"); return; }
    this.names.add(name); this.selected = name; this.take(this.view);
    this.shell.told(`Click on ${name} in the picture.`);
  }

  async rename(object) { const name = (await this.shell.ask(`New name of ${object.shown}`, object.shown))?.trim(); if (name && name !== object.shown) await this.send("rename", { object: object.shown, name }); }
  async remove(object) {
    if (!object.id) { this.names.delete(object.name); this.draft?.marks.delete(object.name); this.take(this.view); this.redraw(); return; }
    const range = this.timeline.range, where = range ? `from frames ${range[0]} to ${range[1]}` : "from the whole video";
    if (await this.shell.confirm(`Remove ${object.shown} ${where}? It can be undone.`)) await this.send("remove", { object: object.shown, first: range?.[0] ?? null, last: range?.[1] ?? null });
  }

  showObjects() {
    if (!this.view) return;
    const scores = this.shown.mask?.scores ?? [], drafts = new Set([...(this.draft?.marks ?? [])].filter(([, m]) => m.points.length || m.box || m.canvas).map(([name]) => name));
    const quality = this.objects.map((o) => { const s = scores[o.id - 1]; return !s || !o.id ? null : s[1] === ABSENT ? "gone" : s[0] === UNKNOWN ? null : (s[0] / 254).toFixed(2); });
    const key = JSON.stringify([this.objects, this.selected, [...this.stage.look.hiddenObjects], quality, [...drafts]]);
    if (key === this.objectsKey) return;
    this.objectsKey = key;
    this.panels.showObjects(this.objects, this.selected, this.stage.look.hiddenObjects, quality, drafts);
  }

  showMarks() {
    const here = this.marks.filter((m) => m.first === this.shown.frame && (m.kind === "clicks" || m.kind === "box") && m.purpose !== "lock");
    const replaced = (m) => this.draft?.replace && this.draft.frame === this.shown.frame && this.draft.marks.has(m.object);
    this.stage.marks = here.filter((m) => !replaced(m)).map((m) => ({ object: m.object, points: m.points, box: m.box }));
    const locked = this.marks.some((m) => m.purpose === "lock" && m.first <= this.shown.frame && this.shown.frame <= m.last);
    this.banner.hidden = !locked; this.locked = locked;
    if (locked) this.banner.replaceChildren(icon("lock"), "locked");
    this.stage.draw();
  }

  // --- suggested frames ---------------------------------------------------------------------------------------------------

  async openSpot(spot) {
    try { await post("/api/queue/claim", { page: this.shell.page, project: spot.project, frame: spot.frame, object: spot.object }); }
    catch (error) { this.shell.told(error.message, "error"); this.pollQueue(); return; }
    this.spot = spot;
    if (spot.project !== this.view.id) await this.shell.go(spot.project, spot.frame); else this.go(spot.frame);
    if (this.object(spot.object)) this.select(spot.object);
    this.panels.showQueue({ spots: this.spots, left: this.left }, this.spot, this.shell.many);
  }

  async stepSpot(direction) {
    await this.pollQueue();
    if (!this.spots.length) { this.shell.told("Nothing is suggested any more."); return; }
    const at = this.spots.findIndex((s) => this.spot && s.project === this.spot.project && s.frame === this.spot.frame && s.object === this.spot.object);
    await this.openSpot(this.spots[(at + direction + this.spots.length) % this.spots.length] ?? this.spots[0]);
  }

  async leaveSpot() { if (this.spot) { this.spot = null; await post("/api/queue/release", { page: this.shell.page }).catch(() => {}); } this.pollQueue(); }

  async skipSpot() {
    if (!this.spot) { await this.stepSpot(1); return; }
    const spot = this.spot; this.spot = null;
    await post("/api/queue/pass", { page: this.shell.page, project: spot.project, frame: spot.frame, object: spot.object }).catch(() => {});
    await this.stepSpot(1);
  }

  async acceptSpot() {
    if (await this.lock(true)) { await this.leaveSpot(); await this.stepSpot(1); }
  }

  async lock(only) {
    if (this.locked && !only) { if (await this.send("unlock", { frame: this.shown.frame })) this.shell.told("Unlocked."); return false; }
    const answer = await this.send("lock", { frame: this.shown.frame, revision: this.shown.revision });
    if (answer) this.shell.told(`Frame ${this.shown.frame} is locked as right.`);
    return Boolean(answer);
  }

  // --- keys ------------------------------------------------------------------------------------------------------------------

  act(name) {
    if (!this.view) return;
    const look = this.stage.look, t = this.timeline;
    const tool = (which) => { look.tool = look.tool === which ? "point" : which; this.parts.brush.setAttribute("aria-pressed", String(look.tool !== "point")); this.stage.canvas.dataset.tool = look.tool; this.stage.draw(); };
    const acts = {
      on: () => this.go(this.target + 1), back: () => this.go(this.target - 1), on10: () => this.go(this.target + 10), back10: () => this.go(this.target - 10),
      first: () => this.go(0), last: () => this.go(this.view.frames - 1), play: () => this.play(), accept: () => this.accept(),
      drop: () => { this.draft?.drop(); this.draft = null; this.stage.drafts.clear(); this.stage.hovered = null; t.range = null; t.draw(); this.showMarks(); this.redraw(); },
      undo: async () => { if (this.draft && !this.draft.empty) { this.draft.stepBack(this.selected); this.askSam(this.selected); this.redraw(); } else if (await this.send("undo")) this.shell.told("Taken back."); },
      redo: async () => { if (await this.send("redo")) this.shell.told("In force again."); },
      add: () => this.add(), replace: () => this.replace(), lock: () => this.lock(false),
      absent: async () => { if (this.selected) { const [first, last] = t.range ?? [this.shown.frame, this.shown.frame]; if (await this.send("remove", { object: this.shownName(this.selected), first, last })) this.shell.told(`${this.object(this.selected).shown} is absent in ${first === last ? `frame ${first}` : `frames ${first} to ${last}`}.`); } },
      hide: () => { look.hidden = !look.hidden; this.stage.draw(); }, onion: () => { look.onion = !look.onion; this.stage.recolour(); if (look.onion && !this.shown.before) this.shell.told("This frame has not changed since you opened the page."); },
      brush: () => tool("brush"), eraser: () => tool("eraser"), smaller: () => { look.brush = Math.max(1, look.brush * 0.8); this.stage.draw(); }, larger: () => { look.brush = Math.min(200, look.brush * 1.25); this.stage.draw(); },
      markIn: () => { t.range = [this.target, Math.max(this.target, t.range?.[1] ?? this.view.frames - 1)]; t.draw(); }, markOut: () => { t.range = [Math.min(this.target, t.range?.[0] ?? 0), this.target]; t.draw(); },
      retrack: async () => { if (!t.range) this.shell.told("Set in and out marks first: [ and ]."); else if (await this.send("retrack", { first: t.range[0], last: t.range[1] })) this.shell.told("These frames are tracked anew."); },
      promptedBefore: () => this.go(Math.max(-1, ...this.marks.map((m) => m.first).filter((f) => f < this.target)) < 0 ? this.target : Math.max(...this.marks.map((m) => m.first).filter((f) => f < this.target))),
      promptedAfter: () => { const after = this.marks.map((m) => m.first).filter((f) => f > this.target); if (after.length) this.go(Math.min(...after)); },
      nextSpot: () => this.stepSpot(1), previousSpot: () => this.stepSpot(-1), acceptSpot: () => this.acceptSpot(), skipSpot: () => this.skipSpot(),
      zoomIn: () => this.stage.zoom(1.25), zoomOut: () => this.stage.zoom(0.8), fit: () => { this.stage.reset(); t.place(0, this.view.frames); },
    };
    if (name.startsWith("object")) { const object = this.objects[Number(name.slice(6)) - 1]; if (object) this.select(object.name); return; }
    Promise.resolve(acts[name]?.()).catch((error) => this.shell.told(error.message, "error"));
  }
}

// Beyond the server's colours for objects that are there: for those not sent yet.
const NEW_COLOURS = [[255, 166, 77], [77, 210, 255], [255, 112, 200], [170, 255, 112], [190, 150, 255]];

// A painted mask, half transparent.
function tinted(source, canvas = document.createElement("canvas")) {
  if (canvas.width !== source.width || canvas.height !== source.height) { canvas.width = source.width; canvas.height = source.height; }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height); context.globalAlpha = 0.6; context.drawImage(source, 0, 0); context.globalAlpha = 1;
  return canvas;
}

export { POLL, clock };
