/* Painters: one a tab, for a mask, a colour sketch or a depth map on a picture. LW.painter is what the page calls:
   mount, state, collect, set. What is painted lives here, not in the element: Gradio may build a tab anew. */
(() => {
  const { one, all, part } = LW, files = LW.paintFiles, { Surface, feathered } = LW.surface;
  const painters = new Map(); /* tab -> painter */
  const { LARGEST, GROUND, TINTS, NAMES, SAID, KEYS, ACTS, SETS, farthest, openMenu, closeMenus } = LW.paintTools;
  const SAVE_MS = 80;
  const SETTINGS = ['tool', 'size', 'isSoft', 'strength', 'opacity', 'tint', 'colour', 'grey', 'depthInk'];

  class Painter {
    constructor(tab, mode) {
      Object.assign(this, { tab, mode, root: null, view: null, picture: null, surface: null, base: null, names: { image: '', mask: '', revision: -1 } });
      Object.assign(this, { tool: 'brush', isErasing: false, isSoft: false, isAlone: false, isPicking: false, size: 48, strength: mode === 'depth' ? .25 : 1 });
      Object.assign(this, { colour: '#e0245e', grey: 255, depthInk: 'near', opacity: mode === 'mask' ? .6 : mode === 'depth' ? .8 : 1, tint: 'auto', found: 'red', turn: 0 });
      this.ready = this.restore();
    }
    get tints() {
      const colour = TINTS[this.tint] ?? TINTS[this.found], pale = colour.map(value => Math.round(value + (255 - value) * .38));
      return [colour, pale].map(([r, g, b]) => b << 16 | g << 8 | r);
    }
    /* what a stroke lays down; see painter_surface.js */
    ink(isErasing) {
      const strength = this.strength;
      if (this.mode === 'mask') return { kind: isErasing ? 'take' : 'add', strength };
      if (this.mode === 'colour') return { kind: isErasing ? 'take' : 'add', strength, colour: [1, 3, 5].map(at => parseInt(this.colour.slice(at, at + 2), 16)) };
      const kind = isErasing && this.depthInk !== 'set' ? { near: 'far', far: 'near' }[this.depthInk] : this.depthInk;
      return { kind, strength, value: isErasing ? GROUND : this.grey };
    }

    /* ---- pictures ---- */
    async open(blob, { isMaskKept = false, name = '' } = {}) {
      const turn = ++this.turn;
      this.tell('');
      this.root?.classList.add('pt-busy');
      try {
        const picture = await files.read(blob);
        if (turn !== this.turn) return;
        const isSame = isMaskKept && this.surface?.width === picture.width && this.surface?.height === picture.height;
        picture.stamp = `${Date.now()} ${Math.random()}`;
        this.take(picture, isSame);
        this.names.image = name;
        this.note(picture.note);
        this.say(`${picture.title || 'Picture'}, ${picture.width} by ${picture.height} pixels`);
        this.changed(true, !isMaskKept);
      } catch (error) {
        if (!(error instanceof files.Unreadable)) throw error;
        if (turn === this.turn) this.tell(error.message);
      } finally { if (turn === this.turn) this.root?.classList.remove('pt-busy'); }
    }
    take(picture, isSurfaceKept) {
      this.picture = picture;
      this.names = { image: '', mask: isSurfaceKept ? this.names.mask : '', revision: isSurfaceKept ? this.names.revision : -1 };
      this.found = picture ? farthest(picture.bitmap) : 'red';
      if (!isSurfaceKept) this.lay(picture && this.mode !== 'view' && new Surface(picture.width, picture.height, this.mode === 'colour' ? 4 : 1, this.mode === 'depth' ? GROUND : 0));
      const side = picture && Math.min(picture.width, picture.height);
      if (picture && !isSurfaceKept && this.size > side / 3) this.size = Math.max(1, Math.round(side / 6)); /* a brush that covers a small picture paints nothing in particular */
      this.isOffered = Boolean(picture?.isClear) && this.mode === 'mask' && !isSurfaceKept;
      this.isAlone = false;
      this.view?.fit();
      this.draw();
    }
    lay(surface) {
      this.feather = null;
      this.base = null;
      this.surface = surface || null;
      if (surface) surface.onchange = rect => this.view?.touch(rect);
    }
    /* a mask, sketch or depth map from a file, stretched to the picture where it has another size */
    async openPaint(blob, isBase = false) {
      this.tell('');
      try {
        const given = await files.read(blob), { surface } = this;
        if (!surface) return;
        const { width, height } = surface, pixels = (this.mode === 'colour' ? files.layerOf : files.maskOf)(given.bitmap, width, height);
        if (isBase && this.mode === 'depth') this.base = pixels;
        surface.change('load', () => surface.data.set(pixels));
        const isOther = given.width !== width || given.height !== height;
        this.note(isOther ? `The ${NAMES[this.mode]} has ${given.width} x ${given.height} pixels. It was stretched to the picture's ${width} x ${height}.` : '');
        this.say(`${SAID.load}`);
        this.painted();
      } catch (error) {
        if (!(error instanceof files.Unreadable)) throw error;
        this.tell(error.message);
      }
    }
    remove() {
      this.turn++;
      this.take(null, false);
      this.note('');
      this.tell('');
      this.say('Picture removed');
      this.changed();
    }
    async blank(width, height) {
      await this.open(new File([await LW.surface.png(width, height, 1, new Uint8Array(width * height).fill(255))], 'Blank canvas', { type: 'image/png' }));
    }

    /* ---- what is kept in the browser ---- */
    async restore() {
      const turn = this.turn, record = await files.shelf.get(this.tab), kept = await files.shelf.get(`${this.tab}/picture`);
      if (!record || turn !== this.turn || record.mode !== this.mode) return;
      Object.assign(this, record.settings);
      if (kept?.blob && record.stamp === kept.stamp) {
        try {
          const picture = await files.read(kept.blob), paint = record.paint && await LW.surface.unsqueeze(record.paint);
          if (turn !== this.turn) return;
          this.take({ ...picture, title: kept.title, note: kept.note, stamp: kept.stamp, isKept: true }, false);
          const [stamp, text] = (files.shelf.note(this.going) ?? '').split(/\n([^]*)/); /* what was painted as the page went */
          if (stamp === kept.stamp && this.surface) LW.surface.readBack(this.surface, text);
          else if (this.surface && paint?.length === this.surface.data.length) this.surface.data.set(paint);
          this.hasMap = record.hasMask;
          this.isOffered = false;
          this.surface?.changed(this.surface.whole);
          this.names = { image: record.names.image, mask: record.names.mask, revision: record.names.isFresh && stamp !== kept.stamp && this.surface ? this.surface.revision : -1 };
          this.note(kept.note);
          this.changed(stamp === kept.stamp);
        } catch (error) { if (!(error instanceof files.Unreadable)) throw error; }
      }
      this.draw();
    }
    get going() { return `lw-painter-${this.tab}`; }
    save() {
      this.isUnsaved = true;
      clearTimeout(this.saving);
      this.saving = setTimeout(() => this.saveSoon(), SAVE_MS);
    }
    async saveSoon() {
      const { picture, surface, names, mode } = this, revision = surface?.revision;
      const record = { mode, settings: Object.fromEntries(SETTINGS.map(key => [key, this[key]])), stamp: picture?.stamp };
      if (picture) Object.assign(record, { hasMask: this.hasMask, names: { image: names.image, mask: names.mask, isFresh: names.revision === revision }, paint: surface && await LW.surface.squeeze(this.feather?.original ?? surface.data) });
      if (this.surface !== surface || surface?.revision !== revision) return this.save(); /* painted on meanwhile */
      let isKept = await files.shelf.put(this.tab, record);
      if (!picture) await files.shelf.put(`${this.tab}/picture`, undefined);
      else if (!picture.isKept) {
        const { blob, title, note, stamp } = picture;
        picture.isKept = await files.shelf.put(`${this.tab}/picture`, { blob, title, note, stamp });
        isKept &&= picture.isKept;
      }
      if (this.surface === surface && surface?.revision === revision) { this.isUnsaved = false; files.shelf.note(this.going, null); }
      if (isKept || !picture || this.isWarned) return;
      this.isWarned = true;
      this.note(`This picture is too large to outlive a reload.${this.surface ? ` Save the ${NAMES[this.mode]} before you leave the page.` : ''}`);
    }
    /* at once, because the page is going */
    saveNow() {
      if (!this.isUnsaved || !this.surface) return;
      const text = LW.surface.written(this.surface);
      if (text !== null) files.shelf.note(this.going, `${this.picture.stamp}\n${text}`);
    }

    /* ---- for the page ---- */
    get hasMask() {
      if (!this.surface) return false;
      return this.mode === 'depth' ? Boolean(this.hasMap) || this.surface.past.length > 0 || this.base !== null : this.surface.isPainted();
    }
    state() {
      const { picture, names, surface } = this, isFresh = surface && names.revision === surface.revision;
      return { image: names.image, mask: isFresh && this.hasMask ? names.mask : '', width: picture?.width ?? 0, height: picture?.height ?? 0, hasImage: Boolean(picture), hasMask: this.hasMask };
    }
    async collect(isAgain = false) {
      await this.ready;
      this.stopFeather();
      this.view?.gesture?.kind === 'draw' && this.view.end();
      const { picture, surface, names } = this;
      if (!picture) return this.state();
      try {
        if (!names.image || isAgain) names.image = await files.upload(picture.blob);
        if (this.hasMask && (names.revision !== surface.revision || isAgain)) {
          const { revision } = surface;
          names.mask = await files.upload(await surface.png());
          names.revision = revision;
        }
      } catch (error) { this.tell(error.message); throw error; }
      this.save();
      const mask = names.mask && this.hasMask ? names.mask : '';
      return { ...this.state(), image: names.image, mask };
    }
    async set({ imageUrl, maskUrl, blob, maskBlob }) {
      await this.ready;
      try {
        const name = /\/api\/v1\/inputs\/([0-9a-f]{64})$/.exec(imageUrl ?? '')?.[1] ?? '';
        if (imageUrl || blob) await this.open(blob ?? await files.download(imageUrl), { isMaskKept: true, name });
        if (maskUrl || maskBlob) await this.openPaint(maskBlob ?? await files.download(maskUrl), true);
      } catch (error) {
        if (!(error instanceof files.Unreadable)) throw error;
        this.tell(error.message);
      }
    }

    /* ---- after something was done ---- */
    painted() { this.draw(); this.changed(); }
    /* isNew: a person opened another picture, so that its size counts */
    changed(isSaved = true, isNew = false) {
      if (isSaved) this.save();
      (this.root ?? document).dispatchEvent(new CustomEvent('painter:change', { bubbles: true, detail: { tab: this.tab, isNew, ...this.state() } }));
    }
    say(words) { const box = this.root && part(this.root, 'said'); if (box) box.textContent = words; }
    show(name, words) {
      const box = this.root && part(this.root, name);
      if (!box) return;
      box.hidden = !words;
      part(box, 'words').textContent = words;
    }
    tell(words) { this.message = words; this.show('message', words); }
    note(words) { this.words = words ?? ''; this.show('note', this.words); }
    drawn() {
      const box = this.root && part(this.root, 'zoom'), words = this.picture ? `${Math.round(this.view.scale * 100)}%` : '';
      if (box && box.textContent !== words) box.textContent = words;
    }
    /* buttons and numbers as they are now */
    draw() {
      const { root, picture, surface } = this;
      if (!root) return;
      root.dataset.has = Boolean(picture);
      root.dataset.ink = this.depthInk;
      root.style.setProperty('--ratio', picture ? `${picture.width} / ${picture.height}` : '4 / 3');
      part(root, 'empty').hidden = Boolean(picture);
      part(root, 'front').style.opacity = this.isAlone ? 1 : this.mode === 'depth' && !this.hasMask ? 0 : this.opacity; /* no veil where there is no depth yet */
      part(root, 'facts').textContent = picture ? [picture.title, `${picture.width} x ${picture.height}`].filter(Boolean).join(' · ') : '';
      for (const b of all('[data-needs]', root)) b.disabled = !picture;
      const pressed = { brush: this.tool === 'brush', rectangle: this.tool === 'rectangle', lasso: this.tool === 'lasso', erase: this.isErasing, soft: this.isSoft, alone: this.isAlone, picking: this.isPicking };
      for (const [name, is] of Object.entries(pressed)) for (const b of all(`[data-act="${name}"]`, root)) b.setAttribute('aria-pressed', is);
      for (const b of all('[data-act="tint"]', root)) b.setAttribute('aria-pressed', b.dataset.value === this.tint);
      for (const b of all('[data-act="colour"]', root)) b.setAttribute('aria-pressed', b.dataset.value === this.colour);
      for (const b of all('[data-act="ink"]', root)) b.setAttribute('aria-pressed', b.dataset.value === this.depthInk);
      for (const [act, steps] of [['undo', surface?.past], ['redo', surface?.future]]) one(`[data-act="${act}"]`, root)?.setAttribute('aria-disabled', !steps?.length);
      const values = { size: 100 * Math.log(this.size) / Math.log(LARGEST), strength: this.strength * 100, opacity: this.opacity * 100, grey: this.grey, colour: this.colour, pixels: this.size };
      const words = { size: `${this.size} px`, strength: `${Math.round(this.strength * 100)}%`, opacity: `${Math.round(this.opacity * 100)}%`, grey: `${this.grey}` };
      for (const field of all('[data-set]', root)) {
        const name = field.dataset.set;
        if (name in values && field !== document.activeElement || field.type === 'range') field.value = values[name] ?? field.value;
        if (words[name]) field.setAttribute('aria-valuetext', words[name]);
        if (field.type === 'range') field.style.setProperty('--range_progress', `${100 * (field.value - field.min) / (field.max - field.min)}%`);
        const output = part(root, `${name}-words`);
        if (output && words[name]) output.textContent = words[name];
      }
      const offer = part(root, 'offer');
      if (offer) offer.hidden = !this.isOffered;
      this.view?.drawAim();
    }
    resizeBrush(step) {
      const next = Math.max(this.size + step, Math.round(this.size * (step > 0 ? 1.15 : 1 / 1.15)));
      this.size = Math.min(LARGEST, Math.max(1, step > 0 ? next : Math.min(this.size - 1, Math.round(this.size / 1.15))));
      this.say(`Size ${this.size}`);
      this.draw();
      this.save();
    }
    choose(change, words) {
      this.view?.gesture?.kind === 'draw' && this.view.cancel();
      Object.assign(this, change);
      this.say(words);
      this.draw();
      this.save();
    }
    pick(point) {
      const { picture, surface } = this, x = Math.floor(point.x), y = Math.floor(point.y);
      if (x < 0 || y < 0 || x >= picture.width || y >= picture.height) return;
      const pen = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d'), { bitmap } = picture;
      pen.drawImage(bitmap, -Math.floor(x * bitmap.width / picture.width), -Math.floor(y * bitmap.height / picture.height));
      const under = pen.getImageData(0, 0, 1, 1).data, over = surface.data.subarray((y * picture.width + x) * 4), a = over[3] / 255;
      const hex = [0, 1, 2].map(c => Math.round(over[c] * a + under[c] * (1 - a)).toString(16).padStart(2, '0')).join('');
      this.choose({ colour: `#${hex}`, isPicking: false, isErasing: false }, `Colour #${hex}`);
    }

    /* ---- feather: seen while the slider moves, done by Apply, taken back by anything else ---- */
    showFeather(pixels) {
      const { surface } = this;
      if (!surface) return;
      if (!this.feather) {
        surface.commit();
        this.feather = { original: surface.data.slice(), bounds: surface.bounds() };
      }
      this.feather.pixels = pixels;
      part(this.root, 'feather-words').textContent = `${pixels} px`;
      one('[data-act="applyFeather"]', this.root).disabled = !pixels;
      if (this.feather.isWaiting) return;
      this.feather.isWaiting = true;
      requestAnimationFrame(() => {
        if (!this.feather) return;
        this.feather.isWaiting = false;
        surface.data.set(feathered(this.feather.original, surface.width, surface.height, this.feather.pixels, this.feather.bounds));
        surface.changed(surface.whole);
      });
    }
    stopFeather() {
      const { feather, surface } = this;
      this.feather = null;
      const field = this.root && one('[data-set="feather"]', this.root);
      if (field) { field.value = 0; field.style.setProperty('--range_progress', '0%'); part(this.root, 'feather-words').textContent = '0 px'; one('[data-act="applyFeather"]', this.root).disabled = true; }
      if (!feather || !surface) return feather;
      surface.data.set(feather.original);
      surface.changed(surface.whole);
      return feather;
    }
  }

  /* ---- the page's events ---- */
  const painterAt = target => [...painters.values()].find(p => p.root?.isConnected && p.root.contains(target));
  const seen = () => [...painters.values()].find(p => p.root?.isConnected && (p.root.offsetParent || p.root.closest('.board')?.offsetParent));
  const pictureIn = data => [...data?.files ?? []].find(file => file.type.startsWith('image/')) ?? data?.files?.[0];
  document.addEventListener('pointerdown', event => { if (!event.target.closest?.('.pt-menu')) closeMenus(); }, true);
  document.addEventListener('paste', event => {
    const painter = seen(), file = [...event.clipboardData?.files ?? []].find(file => file.type.startsWith('image/'));
    if (!painter || !file) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    painter.open(file);
  }, true);
  /* Escape takes an open stroke or menu back before the page may read it as Interrupt */
  window.addEventListener('keydown', event => {
    if (event.key !== 'Escape') return;
    const menu = one('.pt-menu:not([data-closed])'), painter = painterAt(event.target);
    if (menu) { closeMenus(); one('[data-menu]', menu).focus(); }
    else if (painter?.view.gesture?.kind === 'draw') { painter.view.isPen = false; painter.view.cancel(); painter.say('Taken back'); }
    else if (painter?.isPicking) painter.choose({ isPicking: false }, 'Brush');
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  for (const name of ['pagehide', 'visibilitychange']) (name === 'pagehide' ? window : document).addEventListener(name, () => { if (name === 'pagehide' || document.hidden) painters.forEach(p => p.saveNow()); });

  function keys(painter, event) {
    const key = event.key.toLowerCase(), isControl = event.ctrlKey || event.metaKey;
    if (event.target.matches('input:not([type=range]):not([type=color])')) return;
    const act = isControl ? { z: event.shiftKey ? 'redo' : 'undo', y: 'redo' }[key] : !event.altKey && KEYS[key];
    if (!act || (event.target.matches('input[type=range]') && /^[-+0=]$/.test(key))) return;
    event.preventDefault();
    event.stopPropagation();
    if (painter.picture || act === 'open') { if (act !== 'applyFeather' && act !== 'feather') painter.stopFeather(); ACTS[act](painter, event.target); }
  }
  function listen(root, painter) {
    root.addEventListener('click', event => {
      const b = event.target.closest('[data-act], [data-menu]');
      if (!b || b.disabled || b.getAttribute('aria-disabled') === 'true') return;
      if (b.dataset.menu !== undefined) return b.getAttribute('aria-expanded') === 'true' ? closeMenus() : openMenu(b.closest('.pt-menu'));
      if (b.dataset.act !== 'applyFeather') painter.stopFeather();
      ACTS[b.dataset.act](painter, b);
      if (b.closest('.pt-sheet') && b.dataset.stay === undefined) { closeMenus(); part(root, 'area').focus({ preventScroll: true }); }
    });
    root.addEventListener('input', event => {
      const field = event.target.closest('[data-set]');
      if (!field) return;
      SETS[field.dataset.set](painter, field);
      painter.draw();
      painter.save();
    });
    root.addEventListener('change', event => {
      const field = event.target, [file] = field.files ?? [];
      if (field.type !== 'file') { if (field.dataset.set === 'pixels') field.value = painter.size; return; }
      field.value = '';
      if (!file) return;
      if (field.dataset.part === 'mask-file') painter.openPaint(file);
      else painter.open(file);
    });
    root.addEventListener('keydown', event => keys(painter, event));
    root.addEventListener('painter:closed', () => { if (painter.feather) painter.stopFeather(); });
    let inside = 0;
    for (const name of ['dragenter', 'dragover', 'dragleave', 'drop']) root.addEventListener(name, event => {
      if (![...event.dataTransfer.types].includes('Files')) return;
      event.preventDefault();
      inside = name === 'drop' ? 0 : inside + ({ dragenter: 1, dragleave: -1 }[name] ?? 0);
      root.classList.toggle('pt-over', inside > 0);
      const file = name === 'drop' && pictureIn(event.dataTransfer);
      if (file) painter.open(file);
    });
  }

  const waiting = new Map(); /* tab -> what was sent to a painter that isn't on the page yet */
  LW.painter = {
    /* options: {tab, mode: 'mask' | 'colour' | 'depth'} */
    mount(holder, { tab, mode = 'mask' }) {
      const root = one('.painter', holder) ?? holder;
      if (!painters.has(tab)) painters.set(tab, new Painter(tab, mode));
      const painter = painters.get(tab);
      painter.root = root;
      painter.view = root.painterView = new LW.PaintView(root, painter);
      listen(root, painter);
      for (const b of all('[data-act="camera"]', root)) b.hidden = !navigator.mediaDevices && !matchMedia('(pointer: coarse)').matches;
      painter.tell(painter.message ?? '');
      painter.note(painter.words ?? '');
      painter.draw();
      waiting.get(tab)?.();
      waiting.delete(tab);
      LW.examples?.draw();
      return painter.ready;
    },
    state: tab => painters.get(tab)?.state() ?? { image: '', mask: '', width: 0, height: 0, hasImage: false, hasMask: false },
    collect: (tab, { again = false } = {}) => painters.get(tab)?.collect(again) ?? Promise.resolve(LW.painter.state(tab)),
    async set(tab, given) {
      if (!painters.has(tab)) await new Promise(done => waiting.set(tab, done));
      return painters.get(tab).set(given);
    },
    clear: tab => painters.get(tab)?.remove(),
  };
})();
