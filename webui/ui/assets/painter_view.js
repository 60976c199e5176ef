/* What a painter shows and how hands reach it: two canvases as large as the view (picture below, paint above), of which only
   what changed is drawn; mouse, pen, touch and keys. It knows nothing of files or buttons: `host` is the painter. */
(() => {
  const { part } = LW;
  const MOST = 32, PIXELS = 4e6; /* largest zoom; pixels of a canvas before a fine screen is drawn less finely */
  const TAKEN_BACK_MS = 300; /* a stroke younger than this was the first finger of two */
  const { min, max, round, floor, ceil, hypot } = Math;

  class View {
    constructor(root, host) {
      Object.assign(this, { root, host, area: part(root, 'area'), ring: part(root, 'ring'), shape: part(root, 'shape'), cross: part(root, 'cross') });
      this.back = part(root, 'back').getContext('2d', { alpha: false });
      this.front = part(root, 'front').getContext('2d');
      Object.assign(this, { scale: 1, x: 0, y: 0, isFitted: true, dirty: null, isWaiting: false, isWhole: false, width: 0, height: 0, density: 1 });
      this.pointers = new Map();
      Object.assign(this, { gesture: null, isSpaceDown: false, aim: { x: 0, y: 0 }, held: null, isMouseIn: false });
      new ResizeObserver(() => this.resize()).observe(this.area);
      this.listen();
      this.resize();
    }

    /* ---- where things are: view = picture * scale + (x, y), in CSS pixels ---- */
    resize() {
      const { clientWidth: width, clientHeight: height } = this.area;
      if (!width || !height || (width === this.width && height === this.height && this.density === devicePixelRatio)) return;
      const middle = this.width && !this.isFitted && this.toPicture(this.width / 2, this.height / 2);
      this.density = devicePixelRatio;
      const fine = min(devicePixelRatio || 1, Math.sqrt(PIXELS / (width * height)));
      Object.assign(this, { width, height, fine });
      for (const { canvas } of [this.back, this.front]) Object.assign(canvas, { width: round(width * fine), height: round(height * fine) });
      if (middle) this.put(this.scale, middle, width / 2, height / 2);
      else this.fit();
    }
    toPicture(x, y) { return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale }; }
    at(event) {
      const box = this.area.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }
    fit() {
      const { picture } = this.host;
      this.isFitted = true;
      if (!picture || !this.width) return this.redraw();
      const edge = this.width < 500 ? 12 : 24;
      const scale = min((this.width - 2 * edge) / picture.width, (this.height - 2 * edge) / picture.height, max(1, 2048 / max(picture.width, picture.height)), 8);
      this.put(max(scale, .01), { x: picture.width / 2, y: picture.height / 2 }, this.width / 2, this.height / 2);
    }
    /* the point of the picture comes to lie on (x, y) of the view */
    put(scale, point, x, y) {
      const { picture } = this.host;
      this.scale = min(MOST, max(.02, scale));
      const hold = (want, size, length) => min(length - 24, max(24 - size, want)); /* never all out of sight */
      this.x = hold(x - point.x * this.scale, picture.width * this.scale, this.width);
      this.y = hold(y - point.y * this.scale, picture.height * this.scale, this.height);
      this.redraw();
    }
    zoom(by, x = this.width / 2, y = this.height / 2) {
      if (!this.host.picture) return;
      this.isFitted = false;
      this.put(this.scale * by, this.toPicture(x, y), x, y);
    }
    pan(dx, dy) {
      if (!this.host.picture) return;
      this.isFitted = false;
      this.put(this.scale, { x: 0, y: 0 }, this.x + dx, this.y + dy);
    }

    /* ---- drawing ---- */
    redraw() { this.isWhole = true; this.wait(); }
    /* a part of the picture has changed */
    touch(rect) {
      const old = this.dirty;
      this.dirty = old ? { left: min(old.left, rect.left), top: min(old.top, rect.top), right: max(old.right, rect.right), bottom: max(old.bottom, rect.bottom) } : { ...rect };
      this.wait();
    }
    wait() {
      if (this.isWaiting) return;
      this.isWaiting = true;
      requestAnimationFrame(() => {
        this.host.surface?.settle();
        this.isWaiting = false;
        if (this.isWhole) this.drawBack();
        this.drawFront(this.isWhole ? { left: 0, top: 0, right: Infinity, bottom: Infinity } : this.dirty);
        Object.assign(this, { isWhole: false, dirty: null });
        this.drawAim();
        this.host.drawn();
      });
    }
    drawBack() {
      const { back, fine } = this, { picture } = this.host, { width, height } = back.canvas;
      const colour = getComputedStyle(this.area).backgroundColor;
      back.setTransform(1, 0, 0, 1, 0, 0);
      back.fillStyle = colour;
      back.fillRect(0, 0, width, height);
      if (!picture) return;
      const [x, y, w, h] = [round(this.x * fine), round(this.y * fine), round(picture.width * this.scale * fine), round(picture.height * this.scale * fine)];
      if (this.host.isAlone) { /* paint without the picture */
        back.fillStyle = this.host.mode === 'colour' ? '#fff' : '#000';
        return back.fillRect(x, y, w, h);
      }
      if (picture.isClear) { back.fillStyle = this.checks(); back.fillRect(x, y, w, h); }
      back.imageSmoothingEnabled = this.scale * fine < 3; /* near to, pixels are squares */
      back.imageSmoothingQuality = 'medium';
      back.drawImage(picture.bitmap, x, y, w, h);
    }
    checks() {
      if (this.pattern) return this.pattern;
      const tile = Object.assign(document.createElement('canvas'), { width: 16, height: 16 }), pen = tile.getContext('2d');
      for (const [colour, x, y] of [['#c8c8cc', 0, 0], ['#f2f2f4', 8, 0], ['#f2f2f4', 0, 8], ['#c8c8cc', 8, 8]]) { pen.fillStyle = colour; pen.fillRect(x, y, 8, 8); }
      return this.pattern = this.back.createPattern(tile, 'repeat');
    }
    /* paint, made for each pixel of the view from up to four pixels of the surface */
    drawFront(rect) {
      const { front, fine } = this, { surface } = this.host, { width, height } = front.canvas;
      if (!rect) return;
      if (this.isWhole || !surface) front.clearRect(0, 0, width, height);
      if (!surface) return;
      const step = this.scale * fine, dx = round(this.x * fine), dy = round(this.y * fine);
      const left = max(0, floor(max(0, rect.left) * step + dx) - 1), top = max(0, floor(max(0, rect.top) * step + dy) - 1);
      const right = min(width, ceil(min(surface.width, rect.right) * step + dx) + 1), bottom = min(height, ceil(min(surface.height, rect.bottom) * step + dy) + 1);
      if (left >= right || top >= bottom) return;
      const image = new ImageData(right - left, bottom - top);
      const places = (from, to, offset, size) => [-.25, .25].map(shift => Int32Array.from({ length: to - from }, (_, i) => {
        const at = floor((from + i + .5 - offset) / step + (step < 3 ? shift / step : 0));
        return at < 0 || at >= size ? -1 : at;
      }));
      const xs = places(left, right, dx, surface.width), ys = places(top, bottom, dy, surface.height);
      if (surface.channels === 4) this.fillColour(image, xs, ys, surface, step < 3);
      else this.fillGrey(image, xs, ys, surface, step < 3, left - dx, top - dy);
      front.putImageData(image, left, top);
    }
    fillGrey(image, [xa, xb], [ya, yb], { data, width }, isFar, left, top) {
      const out = new Uint32Array(image.data.buffer), isGrey = this.host.mode === 'depth' || this.host.isAlone, [one, other] = this.host.tints;
      for (let y = 0, to = 0; y < image.height; y++) {
        const a = ya[y] * width, b = yb[y] * width;
        if (ya[y] < 0 || yb[y] < 0) { to += image.width; continue; }
        for (let x = 0; x < image.width; x++, to++) {
          const l = xa[x], r = xb[x];
          if (l < 0 || r < 0) continue;
          const value = isFar ? data[a + l] + data[a + r] + data[b + l] + data[b + r] + 2 >> 2 : data[a + l];
          if (isGrey) out[to] = 0xff000000 | value << 16 | value << 8 | value;
          else if (value) out[to] = value << 24 | ((left + x + top + y & 15) < 8 ? one : other);
        }
      }
    }
    fillColour(image, [xa, xb], [ya, yb], { data, cells, width }, isFar) {
      const out = new Uint32Array(image.data.buffer), bytes = image.data;
      for (let y = 0, to = 0; y < image.height; y++) {
        const a = ya[y] * width, b = yb[y] * width;
        if (ya[y] < 0 || yb[y] < 0) { to += image.width; continue; }
        for (let x = 0; x < image.width; x++, to++) {
          const l = xa[x], r = xb[x];
          if (l < 0 || r < 0) continue;
          const one = cells[a + l];
          if (!isFar || (one === cells[a + r] && one === cells[b + l] && one === cells[b + r])) { out[to] = one; continue; }
          const i = (a + l) * 4, j = (a + r) * 4, k = (b + l) * 4, m = (b + r) * 4, at = to * 4;
          const [ai, aj, ak, am] = [data[i + 3], data[j + 3], data[k + 3], data[m + 3]], sum = ai + aj + ak + am;
          if (!sum) continue;
          for (let c = 0; c < 3; c++) bytes[at + c] = (data[i + c] * ai + data[j + c] * aj + data[k + c] * ak + data[m + c] * am) / sum;
          bytes[at + 3] = sum / 4;
        }
      }
    }
    /* the brush's ring, the shape that is being drawn, the cross that keys move */
    drawAim() {
      const { host, ring, scale } = this, point = this.held ?? this.aim, hasRing = Boolean(host.picture) && host.mode !== 'view' && host.tool === 'brush' && (this.isMouseIn || this.isByKeys);
      ring.hidden = !hasRing || this.gesture?.kind === 'pan' || this.isSpaceDown && !this.isByKeys;
      const size = max(4, host.size * scale), [x, y] = [this.aim.x * scale + this.x, this.aim.y * scale + this.y];
      ring.style.cssText = `width:${size}px;height:${size}px;transform:translate(${x - size / 2}px,${y - size / 2}px)`;
      this.cross.hidden = !host.picture || !this.isByKeys || host.mode === 'view';
      this.cross.style.transform = `translate(${x}px,${y}px)`;
      this.area.dataset.cursor = !host.picture ? '' : this.gesture?.kind === 'pan' ? 'grabbing' : this.isSpaceDown || host.mode === 'view' ? 'grab' : host.tool === 'brush' ? 'none' : 'crosshair';
      const drawn = this.gesture?.points, put = p => `${p.x * scale + this.x} ${p.y * scale + this.y}`;
      if (!drawn || host.tool === 'brush') return void this.shape.setAttribute('hidden', '');
      const [first] = drawn, path = host.tool === 'rectangle' ? [first, { x: point.x, y: first.y }, point, { x: first.x, y: point.y }] : [...drawn, point];
      this.shape.removeAttribute('hidden');
      for (const line of this.shape.children) line.setAttribute('d', `M${path.map(put).join('L')}Z`);
    }

    /* ---- strokes and shapes, by whatever hand ---- */
    radius(pressure) { return this.host.size / 2 * pressure; }
    start(point, isErasing, pressure = 1) {
      const { host } = this;
      if (!host.surface) return;
      this.gesture = { kind: 'draw', points: [point], since: performance.now(), isErasing, last: { ...point, r: this.radius(pressure) } };
      if (host.tool !== 'brush') return this.drawAim();
      host.surface.begin(isErasing ? 'erase' : 'stroke', host.ink(isErasing));
      host.surface.line(this.gesture.last, this.gesture.last, host.isSoft);
      this.wait();
    }
    go(point, pressure = 1) {
      const { gesture, host } = this;
      if (gesture?.kind !== 'draw') return;
      this.held = point;
      if (host.tool === 'brush') {
        const next = { ...point, r: this.radius(pressure) };
        host.surface.line(gesture.last, next, host.isSoft, true);
        gesture.last = next;
        this.wait();
      } else {
        const last = gesture.points.at(-1);
        if (host.tool === 'lasso' && hypot(point.x - last.x, point.y - last.y) * this.scale > 2 && !this.isByKeys) gesture.points.push(point);
        this.drawAim();
      }
    }
    end() {
      const { gesture, host } = this, { surface } = host, last = this.held ?? gesture?.points[0];
      this.gesture = this.held = null;
      if (gesture?.kind === 'draw' && surface) {
        if (host.tool === 'rectangle' || host.tool === 'lasso') {
          surface.begin(host.tool, host.ink(gesture.isErasing));
          if (host.tool === 'rectangle') surface.rectangle(gesture.points[0], last);
          else surface.polygon([...gesture.points, last]);
        }
        surface.commit();
        host.painted();
      }
      this.drawAim();
    }
    cancel() {
      if (this.gesture?.kind === 'draw') this.host.surface?.abort();
      this.gesture = this.held = null;
      this.drawAim();
    }

    /* ---- mouse, pen, fingers ---- */
    listen() {
      const { area } = this, on = (name, act) => area.addEventListener(name, event => act.call(this, event));
      on('pointerdown', this.down);
      on('pointermove', this.move);
      on('pointerup', this.up);
      on('pointercancel', event => { this.pointers.delete(event.pointerId); this.cancel(); });
      on('pointerenter', event => { this.isMouseIn = event.pointerType !== 'touch'; });
      on('pointerleave', () => { this.isMouseIn = false; this.drawAim(); });
      on('contextmenu', event => event.preventDefault());
      on('dblclick', event => event.preventDefault());
      area.addEventListener('wheel', event => this.wheel(event), { passive: false });
      on('keydown', this.key);
      on('keyup', this.keyUp);
      on('focus', () => { this.isByKeys = area.matches(':focus-visible'); this.drawAim(); });
      on('blur', () => { if (this.isPen) this.penUp(); Object.assign(this, { isByKeys: false, isSpaceDown: false }); this.drawAim(); });
    }
    exact({ x, y }) { /* a brush of one pixel means the pixel under it */
      return this.host.size <= 2 && this.host.tool === 'brush' ? { x: floor(x) + .5, y: floor(y) + .5 } : { x, y };
    }
    down(event) {
      const { host, pointers } = this;
      if (event.target.closest('button, a, input, label') || !host.picture) return;
      this.area.focus({ preventScroll: true });
      event.preventDefault();
      this.area.setPointerCapture(event.pointerId);
      this.isByKeys = false;
      const isPenDown = [...pointers.values()].some(pointer => pointer.type === 'pen');
      if (event.pointerType === 'touch' && isPenDown) return; /* the hand that holds the pen */
      const [x, y] = this.at(event), point = this.exact(this.toPicture(x, y));
      pointers.set(event.pointerId, { x, y, type: event.pointerType });
      this.aim = point;
      if (pointers.size === 2) {
        if (this.gesture?.kind === 'draw') performance.now() - this.gesture.since < TAKEN_BACK_MS ? this.cancel() : this.end();
        this.gesture = { kind: 'pinch', ...this.pinch() };
      } else if (pointers.size > 2) return;
      else if (event.button === 1 || this.isSpaceDown || host.mode === 'view') { this.gesture = { kind: 'pan', x, y }; this.hasDragged = true; }
      else if (host.isPicking || (event.altKey && host.mode === 'colour')) host.pick(this.toPicture(x, y));
      else this.start(point, host.isErasing !== (event.button === 2 || event.altKey), this.pressure(event));
      this.drawAim();
    }
    pressure(event) { return event.pointerType === 'pen' && event.pressure > 0 ? .15 + .85 * event.pressure : 1; }
    move(event) {
      const pointer = this.pointers.get(event.pointerId), [x, y] = this.at(event);
      if (!pointer) {
        if (event.pointerType !== 'touch') { this.aim = this.exact(this.toPicture(x, y)); this.isMouseIn = true; if (!this.gesture) this.isByKeys = false; this.drawAim(); }
        return;
      }
      Object.assign(pointer, { x, y });
      this.aim = this.exact(this.toPicture(x, y));
      if (this.gesture?.kind === 'pan') {
        this.pan(x - this.gesture.x, y - this.gesture.y);
        Object.assign(this.gesture, { x, y });
      } else if (this.gesture?.kind === 'pinch') this.pinched();
      else {
        const all = event.getCoalescedEvents?.() ?? [];
        for (const each of all.length ? all : [event]) this.go(this.exact(this.toPicture(...this.at(each))), this.pressure(each));
        if (!this.isWaiting) this.drawAim();
      }
    }
    up(event) {
      if (!this.pointers.delete(event.pointerId)) return;
      if (this.gesture?.kind === 'draw') this.end();
      else if (this.gesture?.kind !== 'pinch' || !this.pointers.size) this.gesture = null;
      else this.gesture = { kind: 'rest' }; /* one finger of two is still down: it draws nothing */
      if (!this.pointers.size && this.gesture?.kind === 'rest') this.gesture = null;
      this.drawAim();
    }
    pinch() {
      const [a, b] = [...this.pointers.values()];
      return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: max(1, hypot(a.x - b.x, a.y - b.y)) };
    }
    pinched() {
      if (this.pointers.size < 2) return;
      const before = this.gesture, now = this.pinch(), point = this.toPicture(before.x, before.y);
      this.isFitted = false;
      this.put(this.scale * now.apart / before.apart, point, now.x, now.y);
      Object.assign(this.gesture, now);
    }
    wheel(event) {
      if (!this.host.picture) return;
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      if (event.ctrlKey || event.metaKey) return this.host.resizeBrush(event.deltaY < 0 ? 1 : -1);
      if (event.shiftKey) return this.pan(-(event.deltaX || event.deltaY) * lines, 0);
      this.zoom(Math.exp(-min(120, max(-120, event.deltaY * lines)) / 400), ...this.at(event));
    }

    /* ---- keys: a cross that arrows move, a pen that Space and Enter put down ---- */
    step(dx, dy) {
      const { picture } = this.host, clamp = (value, size) => min(size - .5, max(.5, floor(value) + .5));
      this.aim = { x: clamp(this.aim.x + dx, picture.width), y: clamp(this.aim.y + dy, picture.height) };
      const [x, y] = [this.aim.x * this.scale + this.x, this.aim.y * this.scale + this.y], edge = 32;
      const over = (at, length) => at < edge ? edge - at : at > length - edge ? length - edge - at : 0;
      if (over(x, this.width) || over(y, this.height)) if (!this.isFitted) this.pan(over(x, this.width), over(y, this.height));
      if (this.gesture?.kind === 'draw') this.go(this.aim);
      this.drawAim();
    }
    penDown() {
      if (!this.host.surface) return;
      this.isPen = true;
      this.start(this.aim, this.host.isErasing);
      this.host.say(this.host.tool === 'brush' ? 'Pen down' : this.host.tool === 'rectangle' ? 'First corner' : 'First point');
    }
    penUp() {
      this.isPen = false;
      if (this.gesture?.kind === 'draw') { this.held = this.aim; this.end(); }
    }
    key(event) {
      const { host } = this, move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (event.target !== this.area || !host.picture) return;
      const stop = () => { event.preventDefault(); event.stopPropagation(); };
      const isControl = event.ctrlKey || event.metaKey;
      if (move && (isControl || host.mode === 'view')) { stop(); return this.pan(-move[0] * 40, -move[1] * 40); }
      if (event.altKey || isControl) return;
      if (move) {
        stop();
        this.byKeys();
        if (this.isSpaceDown && !this.isPen && host.tool === 'brush') this.penDown();
        const by = event.shiftKey ? 10 : 1;
        this.step(move[0] * by, move[1] * by);
      } else if (event.key === ' ') {
        stop();
        if (!event.repeat && !this.isSpaceDown) { this.isSpaceDown = true; this.hasDragged = false; this.drawAim(); }
      } else if (event.key === 'Enter') {
        stop();
        this.byKeys();
        if (this.isPen) this.penUp();
        else this.penDown();
      } else if (event.key === 'Home') { stop(); this.byKeys(); this.aim = { x: host.picture.width / 2, y: host.picture.height / 2 }; this.step(0, 0); }
    }
    keyUp(event) {
      if (event.key !== ' ' || !this.isSpaceDown) return;
      event.preventDefault();
      this.isSpaceDown = false;
      if (this.isPen && this.host.tool === 'brush') this.penUp();
      else if (!this.hasDragged && this.host.picture) {
        this.byKeys();
        if (this.host.tool === 'lasso' && this.isPen) { this.gesture?.points.push(this.aim); this.host.say(`${this.gesture?.points.length} points`); }
        else if (this.isPen) this.penUp();
        else { this.penDown(); if (this.host.tool === 'brush') { this.penUp(); this.host.say('Painted'); } }
      }
      this.drawAim();
    }
    byKeys() {
      if (this.isByKeys) return;
      this.isByKeys = true;
      const { picture } = this.host, { x, y } = this.aim;
      if (!(x > 0 && y > 0 && x < picture.width && y < picture.height)) this.aim = { x: picture.width / 2, y: picture.height / 2 };
      this.aim = { x: floor(this.aim.x) + .5, y: floor(this.aim.y) + .5 };
    }
  }

  LW.PaintView = View;
})();
