/* Pixels that are painted on, without a page: one byte a pixel (mask, depth) or four (colour), history in tiles, PNG.
   A stroke is never drawn twice over itself: its coverage is kept apart (the largest value wins), and the pixels are made
   anew from what lay there before it. So a soft edge stays soft, and a stroke can be taken back at any moment. */
(() => {
  const TILE = 128; /* a tile of a grey surface has 16 kB */
  const STEPS = 200, BYTES = 192 * 2 ** 20; /* of history: whichever is reached first; the oldest step goes */
  const CORE = .2; /* the part of a soft brush that is full */

  const FALLS = Uint8Array.from({ length: 1025 }, (_, i) => { const u = 1 - i / 1024; return u * u * (3 - 2 * u) * 255; }); /* a soft edge, from core to rim */
  const BROAD = 100; /* from this radius on, two pixels side by side of a soft stroke share their coverage: they differ by 1 or 2 */

  /* where the row at height y meets all points within r of the line from a to b: [left, right], or left > right */
  function span(y, ax, ay, bx, by, r) {
    let left = Infinity, right = -Infinity;
    const meet = x => { if (x < left) left = x; if (x > right) right = x; };
    for (const [x, top] of [[ax, ay], [bx, by]]) {
      const half = r * r - (y - top) * (y - top);
      if (half >= 0) { meet(x - Math.sqrt(half)); meet(x + Math.sqrt(half)); }
    }
    const length = Math.hypot(bx - ax, by - ay);
    if (length > 0 && ay !== by) for (const side of [-r, r]) {
      const nx = -(by - ay) / length * side, ny = (bx - ax) / length * side, t = (y - ay - ny) / (by - ay);
      if (t >= 0 && t <= 1) meet(ax + nx + t * (bx - ax));
    }
    return [left, right];
  }

  /* what a stroke makes of a grey pixel, by (the pixel before, coverage 0 to 255, value 0 to 255) */
  const GREY = {
    add: (before, v) => before > v ? before : v,
    take: (before, v) => before < 255 - v ? before : 255 - v,
    near: (before, v) => before + v > 255 ? 255 : before + v,
    far: (before, v) => before < v ? 0 : before - v,
    set: (before, v, value) => Math.round(before + (value - before) * v / 255),
  };

  class Surface {
    constructor(width, height, channels = 1, value = 0) {
      Object.assign(this, { width, height, channels, columns: Math.ceil(width / TILE), past: [], future: [], bytes: 0, revision: 0, stroke: null });
      this.data = new Uint8ClampedArray(width * height * channels);
      this.cells = channels === 4 ? new Uint32Array(this.data.buffer) : new Uint8Array(this.data.buffer); /* one a pixel */
      if (value) this.data.fill(value);
      this.onchange = () => {};
    }
    get whole() { return { left: 0, top: 0, right: this.width, bottom: this.height }; }

    /* ---- tiles ---- */
    tileAt(index) {
      const left = index % this.columns * TILE, top = Math.floor(index / this.columns) * TILE;
      return { left, top, right: Math.min(left + TILE, this.width), bottom: Math.min(top + TILE, this.height) };
    }
    tilesIn({ left, top, right, bottom }) {
      const found = [];
      for (let row = Math.floor(top / TILE); row * TILE < bottom; row++)
        for (let column = Math.floor(left / TILE); column * TILE < right; column++) found.push(row * this.columns + column);
      return found;
    }
    copyTile(index) {
      const { left, top, right, bottom } = this.tileAt(index), copy = new this.cells.constructor(TILE * TILE);
      for (let y = top; y < bottom; y++) copy.set(this.cells.subarray(y * this.width + left, y * this.width + right), (y - top) * TILE);
      return copy;
    }
    putTile(index, tile) {
      const { left, top, right, bottom } = this.tileAt(index);
      for (let y = top; y < bottom; y++) {
        if (typeof tile === 'number') this.cells.fill(tile, y * this.width + left, y * this.width + right);
        else this.cells.set(tile.subarray((y - top) * TILE, (y - top) * TILE + right - left), y * this.width + left);
      }
    }
    /* a tile of one value is kept as that value */
    packed(index, tile) {
      const { left, top, right, bottom } = this.tileAt(index), first = tile[0];
      for (let y = 0; y < bottom - top; y++) for (let x = 0; x < right - left; x++) if (tile[y * TILE + x] !== first) return tile;
      return first;
    }
    changed(rect) { this.revision++; this.onchange(rect); }

    /* ---- strokes ---- */
    /* ink: {kind, strength 0 to 1, value (grey) or colour [r, g, b]} */
    begin(name, ink) {
      this.commit();
      const worth = Uint8Array.from({ length: 256 }, (_, cover) => Math.round(cover * ink.strength));
      this.stroke = { name, ink, worth, before: new Map(), cover: new Map(), open: new Set() };
    }
    /* of a tile: its coverage, and of each row what has changed since its pixels were made: from low up to high */
    coverOf(index) {
      let cover = this.stroke.cover.get(index);
      if (!cover) {
        this.stroke.before.set(index, this.copyTile(index));
        cover = Object.assign(new Uint8Array(TILE * TILE), { low: new Uint8Array(TILE).fill(TILE), high: new Uint8Array(TILE) });
        this.stroke.cover.set(index, cover);
      }
      this.stroke.open.add(index);
      return cover;
    }
    /* from a to b, both {x, y, r}, in pixels of the surface; soft: the edge falls off smoothly; going: another line
       has ended at a, and covered what lies behind it. settle() makes the pixels. */
    line(a, b, isSoft, isGoing = false) {
      const most = Math.max(a.r, b.r) + .5, least = isSoft ? Math.min(a.r, b.r) * CORE : Math.min(a.r, b.r) - .5;
      const top = Math.max(0, Math.floor(Math.min(a.y, b.y) - most)), bottom = Math.min(this.height, Math.ceil(Math.max(a.y, b.y) + most));
      const dx = b.x - a.x, dy = b.y - a.y, square = dx * dx + dy * dy || 1;
      const coverAt = (x, y) => {
        const along = ((x - a.x) * dx + (y - a.y) * dy) / square, t = along < 0 ? 0 : along > 1 ? 1 : along;
        if (along < 0 && isGoing) return 0;
        const r = a.r + (b.r - a.r) * t, ex = x - a.x - dx * t, ey = y - a.y - dy * t, far = Math.sqrt(ex * ex + ey * ey);
        if (!isSoft) return r + .5 <= far ? 0 : r - .5 >= far ? 255 : (r + .5 - far) * 255;
        const core = r * CORE;
        return far <= core ? 255 : far >= r + .5 ? 0 : FALLS[(far - core) / (r + .5 - core) * 1024 | 0];
      };
      for (let y = top; y < bottom; y++) {
        const [left, right] = span(y + .5, a.x, a.y, b.x, b.y, most);
        if (left > right) continue;
        const [full, end] = least > 0 ? span(y + .5, a.x, a.y, b.x, b.y, least) : [Infinity, -Infinity];
        this.coverRow(y, Math.max(0, Math.floor(left)), Math.min(this.width, Math.ceil(right)), Math.ceil(full - .5), Math.floor(end - .5), coverAt, isSoft && Math.min(a.r, b.r) > BROAD);
      }
    }
    /* one row of coverage, from left up to right; between full and end it is 255 */
    coverRow(y, left, right, full, end, coverAt, isBroad = false) {
      const tiles = Math.floor(y / TILE) * this.columns, row = y % TILE, down = row * TILE;
      for (let x = left; x < right;) {
        const column = Math.floor(x / TILE), start = column * TILE, stop = Math.min(right, start + TILE) - start, cover = this.coverOf(tiles + column);
        let { [row]: low } = cover.low, { [row]: high } = cover.high;
        for (let at = x - start, last = -1; at < stop;) {
          if (at + start >= full && at + start <= end) {
            const next = Math.min(stop, end + 1 - start);
            let first = at, after = next; /* what isn't full already */
            while (first < after && cover[down + first] === 255) first++;
            while (after > first && cover[down + after - 1] === 255) after--;
            if (first < after) {
              cover.fill(255, down + first, down + after);
              if (first < low) low = first;
              if (after > high) high = after;
            }
            at = next;
            last = -1;
            continue;
          }
          const old = cover[down + at];
          if (old < 255) {
            const value = last = isBroad && at & 1 && last >= 0 ? last : coverAt(start + at + .5, y + .5) | 0;
            if (value > old) {
              cover[down + at] = value;
              if (at < low) low = at;
              if (at >= high) high = at + 1;
            }
          }
          at++;
        }
        cover.low[row] = low;
        cover.high[row] = high;
        x = start + stop;
      }
    }
    /* make the pixels that lines have covered since the last time; once a frame is enough */
    settle() {
      if (!this.stroke?.open.size) return;
      const all = { left: this.width, top: this.height, right: 0, bottom: 0 };
      for (const index of this.stroke.open) {
        const { left, top, bottom } = this.tileAt(index), cover = this.stroke.cover.get(index), before = this.stroke.before.get(index);
        for (let row = 0; row < bottom - top; row++) {
          const { [row]: low } = cover.low, { [row]: high } = cover.high;
          if (low >= high) continue;
          if (this.channels === 4) this.makeColour(row * TILE, (top + row) * this.width + left, low, high, cover, before);
          else this.makeGrey(row * TILE, (top + row) * this.width + left, low, high, cover, before);
          if (left + low < all.left) all.left = left + low;
          if (left + high > all.right) all.right = left + high;
          if (top + row < all.top) all.top = top + row;
          if (top + row >= all.bottom) all.bottom = top + row + 1;
        }
        cover.low.fill(TILE);
        cover.high.fill(0);
      }
      this.stroke.open.clear();
      if (all.left < all.right) this.changed(all);
    }
    /* a row of a tile, from low up to high, of the pixels before the stroke and its coverage */
    makeGrey(down, place, low, high, cover, before) {
      const { ink, worth } = this.stroke, mix = GREY[ink.kind], { data } = this;
      for (let x = low; x < high; x++) if (cover[down + x]) data[place + x] = mix(before[down + x], worth[cover[down + x]], ink.value);
    }
    makeColour(down, place, low, high, cover, before) {
      const { ink, worth } = this.stroke, { cells } = this, [red, green, blue] = ink.colour, full = blue << 16 | green << 8 | red;
      for (let x = low, at = down + low; x < high; x++, at++) {
        if (!cover[at]) continue;
        const v = worth[cover[at]], cell = before[at], old = cell >>> 24;
        if (ink.kind === 'take') { cells[place + x] = cell & 0xffffff | Math.round(old * (255 - v) / 255) << 24; continue; }
        if (v === 255 || !old) { cells[place + x] = full | v << 24; continue; }
        const over = v / 255, under = old / 255 * (1 - over), alpha = over + under, half = .5;
        const r = (red * over + (cell & 255) * under) / alpha + half, g = (green * over + (cell >>> 8 & 255) * under) / alpha + half, b = (blue * over + (cell >>> 16 & 255) * under) / alpha + half;
        cells[place + x] = alpha * 255 + half << 24 | b << 16 | g << 8 | r;
      }
    }
    rectangle(a, b) {
      const rect = this.within({ left: Math.min(a.x, b.x), top: Math.min(a.y, b.y), right: Math.max(a.x, b.x), bottom: Math.max(a.y, b.y) }, Math.round);
      for (let y = rect.top; y < rect.bottom; y++) this.coverRow(y, rect.left, rect.right, rect.left, rect.right - 1);
      this.settle();
    }
    /* inside a line of points, with smooth edges: the browser fills it, in bands of a few rows */
    polygon(points) {
      const xs = points.map(p => p.x), ys = points.map(p => p.y);
      const rect = this.within({ left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) });
      const width = rect.right - rect.left;
      for (let top = rect.top; top < rect.bottom && width > 0; top += 256) {
        const height = Math.min(256, rect.bottom - top);
        const band = Object.assign(document.createElement('canvas'), { width, height }).getContext('2d', { willReadFrequently: true });
        band.translate(-rect.left, -top);
        band.beginPath();
        for (const { x, y } of points) band.lineTo(x, y);
        band.fill();
        const alpha = band.getImageData(0, 0, width, height).data;
        for (let y = 0; y < height; y++) this.coverRow(top + y, rect.left, rect.right, Infinity, -Infinity, x => alpha[(y * width + Math.floor(x) - rect.left) * 4 + 3]);
      }
      this.settle();
    }
    within({ left, top, right, bottom }, low = Math.floor, high = low === Math.floor ? Math.ceil : low) {
      return { left: Math.max(0, low(left)), top: Math.max(0, low(top)), right: Math.min(this.width, high(right)), bottom: Math.min(this.height, high(bottom)) };
    }
    commit() {
      this.settle();
      const stroke = this.stroke;
      this.stroke = null;
      if (stroke?.before.size) this.remember({ name: stroke.name, tiles: stroke.before });
    }
    /* take the open stroke back, as if it had never begun */
    abort() {
      const stroke = this.stroke;
      this.stroke = null;
      for (const [index, tile] of stroke?.before ?? []) { this.putTile(index, tile); this.changed(this.tileAt(index)); }
    }

    /* ---- history ---- */
    remember(entry) {
      entry.bytes = 0;
      for (const [index, tile] of entry.tiles ?? []) {
        const small = typeof tile === 'number' ? tile : this.packed(index, tile);
        entry.tiles.set(index, small);
        entry.bytes += typeof small === 'number' ? 8 : small.byteLength;
      }
      for (const gone of this.future.splice(0)) this.bytes -= gone.bytes;
      this.past.push(entry);
      this.bytes += entry.bytes;
      while (this.past.length > 1 && (this.past.length > STEPS || this.bytes > BYTES)) this.bytes -= this.past.shift().bytes;
    }
    /* change everything at once by make(), which writes into data */
    change(name, make) {
      this.commit();
      const tiles = new Map(this.tilesIn(this.whole).map(index => [index, this.packed(index, this.copyTile(index))]));
      make();
      this.remember({ name, tiles });
      this.changed(this.whole);
    }
    invert() {
      this.commit();
      this.flip();
      this.remember({ name: 'invert', isInverted: true });
    }
    flip() {
      for (let i = 0; i < this.data.length; i++) this.data[i] = 255 - this.data[i];
      this.changed(this.whole);
    }
    /* the name of the step that was taken back (or done again), or undefined */
    undo() { this.commit(); return this.swap(this.past, this.future); }
    redo() { this.commit(); return this.swap(this.future, this.past); }
    swap(from, to) {
      const entry = from.pop();
      if (!entry) return undefined;
      if (entry.isInverted) this.flip();
      for (const [index, tile] of entry.tiles ?? []) {
        const now = this.packed(index, this.copyTile(index));
        this.bytes += (typeof now === 'number' ? 8 : now.byteLength) - (typeof tile === 'number' ? 8 : tile.byteLength);
        entry.bytes += (typeof now === 'number' ? 8 : now.byteLength) - (typeof tile === 'number' ? 8 : tile.byteLength);
        this.putTile(index, tile);
        entry.tiles.set(index, now);
        this.changed(this.tileAt(index));
      }
      to.push(entry);
      return entry.name;
    }

    /* ---- looking ---- */
    /* whether anything is painted: a value above 0, or colour that isn't clear */
    isPainted() {
      if (this.known?.revision !== this.revision) this.known = { revision: this.revision, is: this.cells.some(this.channels === 4 ? cell => cell >>> 24 : cell => cell) };
      return this.known.is;
    }
    /* the rectangle round all that is not 0, or null */
    bounds() {
      let left = this.width, right = 0, top = -1, bottom = 0;
      for (let y = 0; y < this.height; y++) {
        const row = this.cells.subarray(y * this.width, (y + 1) * this.width), first = row.findIndex(cell => cell);
        if (first < 0) continue;
        left = Math.min(left, first);
        right = Math.max(right, row.findLastIndex(cell => cell) + 1);
        if (top < 0) top = y;
        bottom = y + 1;
      }
      return top < 0 ? null : { left, top, right, bottom };
    }
    png() { return png(this.width, this.height, this.channels, this.data); }
  }

  /* A grey picture whose edges are softened by `pixels` to each side: three running means, whose reaches add up to that.
     Beyond its border the picture goes on with the values at the border. */
  function feathered(data, width, height, pixels, bounds) {
    const made = data.slice();
    if (!bounds || pixels < 1) return made;
    const left = Math.max(0, bounds.left - pixels), right = Math.min(width, bounds.right + pixels);
    const top = Math.max(0, bounds.top - pixels), bottom = Math.min(height, bounds.bottom + pixels);
    const w = right - left, h = bottom - top;
    let from = new Float32Array(w * h), to = new Float32Array(w * h);
    for (let y = 0; y < h; y++) from.set(data.subarray((top + y) * width + left, (top + y) * width + right), y * w);
    for (const reach of [0, 1, 2].map(i => Math.floor((pixels + i) / 3)).filter(Boolean)) {
      mean(from, to, h, w, w, 1, reach);
      mean(to, from, w, h, 1, w, reach);
    }
    for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) made[(top + y) * width + left + x] = Math.round(from[y * w + x]);
    return made;
  }
  /* running mean over 2 reach + 1 values of `count` lines of `length`, which lie `line` apart, their values `step` apart */
  function mean(from, to, count, length, line, step, reach) {
    const share = 1 / (2 * reach + 1);
    for (let i = 0; i < count; i++) {
      const start = i * line, end = start + (length - 1) * step;
      const at = place => from[place < 0 ? start : place >= length ? end : start + place * step];
      let sum = 0;
      for (let place = -reach; place <= reach; place++) sum += at(place);
      for (let place = 0; place < length; place++) {
        to[start + place * step] = sum * share;
        sum += at(place + reach + 1) - at(place - reach);
      }
    }
  }

  /* ---- PNG: grey or RGBA, 8 bits, the values as they are (a canvas would multiply colours by their alpha) ---- */
  const CRC = Uint32Array.from({ length: 256 }, (_, n) => { for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ n >>> 1 : n >>> 1; return n; });
  function chunk(kind, body) {
    const made = new Uint8Array(body.length + 12), view = new DataView(made.buffer);
    view.setUint32(0, body.length);
    for (let i = 0; i < 4; i++) made[4 + i] = kind.charCodeAt(i);
    made.set(body, 8);
    let crc = ~0;
    for (let i = 4; i < body.length + 8; i++) crc = CRC[(crc ^ made[i]) & 255] ^ crc >>> 8;
    view.setUint32(body.length + 8, ~crc);
    return made;
  }
  const through = async (bytes, stream) => new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
  async function png(width, height, channels, data) {
    const head = new Uint8Array(13), view = new DataView(head.buffer), size = width * channels, rows = new Uint8Array((size + 1) * height);
    view.setUint32(0, width);
    view.setUint32(4, height);
    head.set([8, channels === 4 ? 6 : 0], 8);
    for (let y = 0; y < height; y++) rows.set(data.subarray(y * size, (y + 1) * size), y * (size + 1) + 1);
    const packed = await through(rows, new CompressionStream('deflate'));
    const start = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
    return new Blob([start, chunk('IHDR', head), chunk('IDAT', packed), chunk('IEND', new Uint8Array())], { type: 'image/png' });
  }

  /* a surface as runs of equal pixels, in a text: at once, for a page that is going; null where that takes too much */
  function written({ cells, channels }, most = 3e6) {
    const out = [];
    for (let at = 0; at < cells.length;) {
      const value = cells[at];
      let end = at + 1;
      while (end < cells.length && cells[end] === value) end++;
      let count = end - at;
      for (; count > 127; count >>>= 7) out.push(count & 127 | 128);
      out.push(count);
      for (let c = 0; c < channels; c++) out.push(value >>> 8 * c & 255);
      if (out.length > most) return null;
      at = end;
    }
    let text = '';
    for (let at = 0; at < out.length; at += 8192) text += String.fromCharCode(...out.slice(at, at + 8192));
    return text;
  }
  function readBack({ cells, channels }, text) {
    for (let at = 0, place = 0; place < text.length;) {
      let count = 0, shift = 0, value = 0, byte;
      do { byte = text.charCodeAt(place++); count |= (byte & 127) << shift; shift += 7; } while (byte > 127);
      for (let c = 0; c < channels; c++) value |= text.charCodeAt(place++) << 8 * c;
      cells.fill(value >>> 0, at, at += count);
    }
  }

  LW.surface = {
    Surface, feathered, png, written, readBack,
    squeeze: bytes => through(bytes, new CompressionStream('deflate-raw')),
    unsqueeze: bytes => through(bytes, new DecompressionStream('deflate-raw')),
  };
})();
