/* Pictures that come into a painter and what is kept of it: reading files of any kind, a shelf in the browser, uploads.
   A picture is sent as it came; only what the server does not read (a GIF, say) is made a PNG first. */
(() => {
  const MEGABYTES = 50, PIXELS = 8192 * 8192; /* what the server takes */
  const SHOWN = 4096 * 4096; /* pixels of the copy that is shown: a larger one is beyond some browsers' canvases */
  const KEPT = 64 * 2 ** 20; /* bytes a painter may keep in the browser */

  class Unreadable extends Error {}

  /* ---- what a file is, by its first bytes ---- */
  const text = (bytes, from, length) => String.fromCharCode(...bytes.subarray(from, from + length));
  function jpegSize(bytes, view) {
    for (let at = 2; at + 9 < bytes.length;) {
      if (bytes[at] !== 255) { at++; continue; }
      const marker = bytes[at + 1];
      if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return [view.getUint16(at + 7), view.getUint16(at + 5)];
      if (marker === 255 || marker === 1 || (marker >= 0xd0 && marker <= 0xd8)) { at += marker === 255 ? 1 : 2; continue; }
      at += 2 + view.getUint16(at + 2);
    }
    return [0, 0];
  }
  function webpSize(bytes, view) {
    const kind = text(bytes, 12, 4), three = at => view.getUint16(at, true) + (bytes[at + 2] << 16);
    if (kind === 'VP8X') return [three(24) + 1, three(27) + 1];
    if (kind === 'VP8L') { const bits = view.getUint32(21, true); return [(bits & 0x3fff) + 1, (bits >>> 14 & 0x3fff) + 1]; }
    return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
  }
  function gifFrames(bytes) {
    const table = flags => flags & 128 ? 3 << (flags & 7) + 1 : 0;
    let at = 13 + table(bytes[10]), frames = 0;
    const skip = () => { while (bytes[at]) at += bytes[at] + 1; at++; };
    while (at < bytes.length && frames < 2) {
      if (bytes[at] === 0x21) { at += 2; skip(); }
      else if (bytes[at] === 0x2c) { frames++; at += 10 + table(bytes[at + 9]) + 1; skip(); }
      else break;
    }
    return frames;
  }
  /* {kind, width, height, isMoving}; 0 where the size is not known before it is decoded */
  function look(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), size = ([width, height], more) => ({ width, height, isMoving: false, ...more });
    if (bytes.length < 30) return size([0, 0], { kind: '' });
    if (text(bytes, 1, 3) === 'PNG') return size([view.getUint32(16), view.getUint32(20)], { kind: 'PNG', isMoving: text(bytes, 0, 4096).includes('acTL') });
    if (bytes[0] === 0xff && bytes[1] === 0xd8) return size(jpegSize(bytes, view), { kind: 'JPEG' });
    if (text(bytes, 0, 4) === 'RIFF' && text(bytes, 8, 4) === 'WEBP') return size(webpSize(bytes, view), { kind: 'WebP', isMoving: text(bytes, 12, 4) === 'VP8X' && Boolean(bytes[20] & 2) });
    if (text(bytes, 0, 3) === 'GIF') return size([view.getUint16(6, true), view.getUint16(8, true)], { kind: 'GIF', isMoving: gifFrames(bytes) > 1 });
    if (text(bytes, 0, 2) === 'BM') return size([Math.abs(view.getInt32(18, true)), Math.abs(view.getInt32(22, true))], { kind: 'BMP' });
    return size([0, 0], { kind: '' });
  }

  const canvas = (width, height) => Object.assign(document.createElement('canvas'), { width, height });
  const counted = number => String(Math.round(number)).replace(/\B(?=(\d{3})+$)/g, ',');

  /* {blob, bitmap, width, height, title, note, isClearable}: upright, its own bytes, and a copy to show. Throws Unreadable. */
  async function read(blob) {
    const title = blob.name || 'The picture';
    if (blob.size > MEGABYTES * 2 ** 20) throw new Unreadable(`${title} has ${Math.round(blob.size / 2 ** 20)} MB. It can have ${MEGABYTES} MB; make it smaller first.`);
    const facts = look(new Uint8Array(await blob.arrayBuffer()));
    const refuse = (width, height) => { throw new Unreadable(`${title} has ${counted(width)} x ${counted(height)} pixels. It can have ${counted(PIXELS)} in all; make it smaller first.`); };
    if (facts.width * facts.height > PIXELS) refuse(facts.width, facts.height);
    let bitmap;
    try { bitmap = await createImageBitmap(blob); } catch {
      throw new Unreadable(`${title} is not a picture that this browser can read. Choose a PNG, JPEG or WebP.`);
    }
    const { width, height } = bitmap;
    if (width * height > PIXELS) refuse(width, height);
    const isTaken = ['PNG', 'JPEG', 'WebP'].includes(facts.kind);
    const sent = isTaken ? blob : await asPng(bitmap);
    const note = facts.isMoving ? `${title} moves. Only its first frame is used.` : '';
    const isClear = facts.kind !== 'JPEG' && await hasClear(bitmap);
    const scale = Math.sqrt(SHOWN / (width * height));
    if (scale < 1) bitmap = await createImageBitmap(bitmap, { resizeWidth: Math.round(width * scale), resizeHeight: Math.round(height * scale), resizeQuality: 'medium' });
    return { blob: sent, bitmap, width, height, title: blob.name ?? '', note, isClear };
  }
  function asPng(bitmap) {
    const made = canvas(bitmap.width, bitmap.height);
    made.getContext('2d').drawImage(bitmap, 0, 0);
    return new Promise(done => made.toBlob(done, 'image/png'));
  }

  /* calls take(y, pixels RGBA of one row) for each row, at width x height, on black or on nothing */
  function rows(bitmap, width, height, ground, take) {
    const band = canvas(width, Math.min(256, height)).getContext('2d', { willReadFrequently: true });
    for (let top = 0; top < height; top += 256) {
      const count = Math.min(256, height - top);
      band.clearRect(0, 0, width, 256);
      if (ground) { band.fillStyle = ground; band.fillRect(0, 0, width, 256); }
      band.drawImage(bitmap, 0, -top, width, height);
      const { data } = band.getImageData(0, 0, width, count);
      for (let y = 0; y < count; y++) if (take(top + y, data.subarray(y * width * 4, (y + 1) * width * 4)) === false) return;
    }
  }
  async function hasClear(bitmap) {
    let is = false;
    rows(bitmap, bitmap.width, bitmap.height, '', (_, row) => {
      for (let x = 3; x < row.length && !is; x += 4) is = row[x] < 255;
      return !is;
    });
    return is;
  }
  /* a mask from a picture: white paints, clear or black does not; lightness times opacity, soft values kept */
  function maskOf(bitmap, width, height) {
    const made = new Uint8ClampedArray(width * height);
    rows(bitmap, width, height, '#000', (y, row) => {
      for (let x = 0; x < width; x++) made[y * width + x] = Math.round(.299 * row[x * 4] + .587 * row[x * 4 + 1] + .114 * row[x * 4 + 2]);
    });
    return made;
  }
  function layerOf(bitmap, width, height) {
    const made = new Uint8ClampedArray(width * height * 4);
    rows(bitmap, width, height, '', (y, row) => { made.set(row, y * width * 4); });
    return made;
  }
  /* a mask from the parts of a picture that can be seen through */
  function clearOf(bitmap, width, height) {
    const made = new Uint8ClampedArray(width * height);
    rows(bitmap, width, height, '', (y, row) => { for (let x = 0; x < width; x++) made[y * width + x] = 255 - row[x * 4 + 3]; });
    return made;
  }

  /* ---- the shelf: in IndexedDB a record for the picture and one for the paint, so that a stroke does not write the picture
     anew; a browser that gives none only forgets ---- */
  let opened;
  const whenDone = request => new Promise((done, fail) => { request.onsuccess = () => done(request.result); request.onerror = () => fail(request.error); });
  function store(mode) {
    opened ??= (() => {
      const request = indexedDB.open('lw-painter', 1);
      request.onupgradeneeded = () => request.result.createObjectStore('painters');
      return whenDone(request);
    })();
    return opened.then(db => db.transaction('painters', mode).objectStore('painters'));
  }
  const shelf = {
    async get(key) { try { return await whenDone((await store('readonly')).get(key)); } catch { return undefined; } },
    /* false where it is too large, or where the browser keeps nothing; undefined takes the record away */
    async put(key, record) {
      const bytes = (record?.blob?.size ?? 0) + (record?.paint?.byteLength ?? 0), isKept = record && bytes <= KEPT;
      try {
        const place = await store('readwrite');
        await whenDone(isKept ? place.put(record, key) : place.delete(key));
        return Boolean(isKept) || !record;
      } catch { return false; }
    },
    /* a short text, at once; it lives as long as the browser tab */
    note(key, text) {
      try {
        if (text === undefined) return sessionStorage.getItem(key);
        return text === null ? sessionStorage.removeItem(key) : sessionStorage.setItem(key, text);
      } catch { return null; } /* no room, private mode */
    },
  };

  /* keep a picture on the server: its name */
  async function upload(blob) {
    let answer, told;
    try {
      answer = await fetch(LW.address('api/v1/inputs'), { method: 'POST', body: blob, headers: { 'Content-Type': 'application/octet-stream' } });
      told = await answer.json();
    } catch { throw new Unreadable('Not connected. The picture is still here; try again.'); }
    if (!answer.ok) throw new Unreadable(typeof told.detail === 'string' ? told.detail : `The picture was not taken (${answer.status}).`);
    return told.name;
  }
  async function download(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Unreadable('That picture is not there any more.');
    return answer.blob();
  }

  LW.paintFiles = { Unreadable, read, maskOf, layerOf, clearOf, shelf, upload, download, rows };
})();
