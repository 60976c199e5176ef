/* What a painter's buttons, keys, sliders and menus do, and what things are called. Painters (painter.js) come in as p. */
(() => {
  const { one, all, part, element } = LW, files = LW.paintFiles, { feathered } = LW.surface;
  const LARGEST = 512, GROUND = 128; /* the grey of a depth map that nobody gave */
  const TINTS = { red: [255, 45, 85], green: [0, 190, 95], blue: [45, 115, 255], magenta: [225, 40, 225], yellow: [235, 190, 0] };
  const NAMES = { mask: 'mask', colour: 'sketch', depth: 'depth' };
  const SAID = {
    stroke: 'stroke', erase: 'erasing', rectangle: 'rectangle', lasso: 'lasso', fill: 'fill', clear: 'clear', invert: 'invert',
    feather: 'feather', load: 'opened mask', clearness: 'transparency as mask',
  };
  const KEYS = {
    b: 'brush', e: 'erase', r: 'rectangle', l: 'lasso', s: 'soft', i: 'invert', f: 'fill', delete: 'clear', m: 'alone', p: 'picking', o: 'open',
    '[': 'smaller', ']': 'larger', '+': 'nearer', '=': 'nearer', '-': 'farther', 0: 'fit', g: 'feather',
  };

  /* ---- buttons; keys do the same ---- */
  const edit = (painter, name, make, words) => {
    const { surface } = painter;
    if (!surface) return;
    surface.change(name, () => make(surface));
    painter.say(words);
    painter.painted();
  };
  const ACTS = {
    brush: p => p.choose({ tool: 'brush', isErasing: false, isPicking: false }, 'Brush'),
    rectangle: p => p.choose({ tool: 'rectangle', isPicking: false }, p.isErasing ? 'Rectangle, erasing' : 'Rectangle'),
    lasso: p => p.choose({ tool: 'lasso', isPicking: false }, p.isErasing ? 'Lasso, erasing' : 'Lasso'),
    erase: p => p.mode === 'depth' ? p.choose({ depthInk: p.depthInk === 'near' ? 'far' : 'near' }, p.depthInk === 'near' ? 'Far' : 'Near') : p.choose({ isErasing: !p.isErasing, isPicking: false }, p.isErasing ? 'Painting' : 'Erasing'),
    soft: p => p.choose({ isSoft: !p.isSoft }, p.isSoft ? 'Hard edge' : 'Soft edge'),
    picking: p => p.mode === 'colour' && p.choose({ isPicking: !p.isPicking }, p.isPicking ? 'Brush' : 'Pick a colour from the picture'),
    colour: (p, b) => p.choose({ colour: b.dataset.value, isErasing: false, isPicking: false }, b.title),
    ink: (p, b) => p.choose({ depthInk: b.dataset.value }, b.title),
    tint: (p, b) => p.choose({ tint: b.dataset.value }, b.title),
    alone: p => p.choose({ isAlone: !p.isAlone }, p.isAlone ? 'Picture shown' : `Only the ${NAMES[p.mode]} is shown`),
    smaller: p => p.resizeBrush(-1),
    larger: p => p.resizeBrush(1),
    nearer: p => p.view.zoom(1.25),
    farther: p => p.view.zoom(1 / 1.25),
    fit: p => p.view.fit(),
    fill: p => edit(p, 'fill', s => (s.channels === 4 ? s.cells.fill(colourCell(p.colour)) : s.data.fill(p.mode === 'depth' ? p.grey : 255)), 'Filled'),
    clear: p => edit(p, 'clear', s => (p.base ? s.data.set(p.base) : s.data.fill(p.mode === 'depth' ? GROUND : 0)), 'Cleared'),
    invert(p) { if (p.surface && p.mode !== 'colour') { p.surface.invert(); p.say('Inverted'); p.painted(); } },
    undo(p) { const name = p.surface?.undo(); p.say(name ? `Undone: ${SAID[name]}` : 'Nothing to undo'); if (name) p.painted(); },
    redo(p) { const name = p.surface?.redo(); p.say(name ? `Done again: ${SAID[name]}` : 'Nothing to do again'); if (name) p.painted(); },
    feather(p) { const field = one('[data-set="feather"]', p.root); if (field && p.picture) { openMenu(field.closest('.pt-menu')); field.focus(); } },
    applyFeather(p) {
      const pixels = p.feather?.pixels, done = p.stopFeather();
      if (pixels) edit(p, 'feather', s => s.data.set(feathered(done.original, s.width, s.height, pixels, done.bounds)), `Feathered by ${pixels} pixels`);
      closeMenus();
    },
    clearness(p) {
      if (!p.picture?.isClear) return p.say('The picture has no transparent parts');
      p.isOffered = false;
      edit(p, 'clearness', s => s.data.set(files.clearOf(p.picture.bitmap, s.width, s.height)), 'The transparent parts are the mask');
    },
    dismiss(p) { p.isOffered = false; p.tell(''); p.note(''); p.draw(); },
    open: p => part(p.root, 'file').click(),
    openMask: p => part(p.root, 'mask-file').click(),
    async saveMask(p) {
      if (!p.surface) return;
      const link = element('a', { href: URL.createObjectURL(await p.surface.png()), download: `${(p.picture.title || 'picture').replace(/\.\w+$/, '')}-${NAMES[p.mode]}.png` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    },
    camera: p => (matchMedia('(pointer: coarse)').matches || !navigator.mediaDevices ? part(p.root, 'shot-file').click() : shoot(p)),
    remove: p => p.remove(),
    blank(p, b) { const [width, height] = b.dataset.value.split('x').map(Number); p.blank(width, height); },
  };
  const SETS = {
    size: (p, field) => { p.size = Math.round(LARGEST ** (field.value / 100)); },
    pixels: (p, field) => { if (field.value >= 1) p.size = Math.min(LARGEST, Math.round(field.value)); },
    strength: (p, field) => { p.strength = field.value / 100; },
    opacity: (p, field) => { p.opacity = field.value / 100; },
    grey: (p, field) => { p.grey = +field.value; p.depthInk = 'set'; },
    colour: (p, field) => { Object.assign(p, { colour: field.value, isErasing: false }); },
    feather: (p, field) => p.showFeather(+field.value),
  };
  const colourCell = hex => (0xff000000 | parseInt(hex.slice(5, 7), 16) << 16 | parseInt(hex.slice(3, 5), 16) << 8 | parseInt(hex.slice(1, 3), 16)) >>> 0;

  /* the tint that is farthest from most of the picture's colours */
  function farthest(bitmap) {
    const pen = Object.assign(document.createElement('canvas'), { width: 16, height: 16 }).getContext('2d');
    pen.drawImage(bitmap, 0, 0, 16, 16);
    const { data } = pen.getImageData(0, 0, 16, 16);
    const worth = tint => {
      const off = Array.from({ length: 256 }, (_, i) => Math.hypot(...tint.map((value, c) => value - data[i * 4 + c]))).sort((a, b) => a - b);
      return off[26]; /* nine tenths of the picture are farther */
    };
    return ['red', 'green', 'blue', 'magenta'].reduce((best, name) => worth(TINTS[name]) > worth(TINTS[best]) * 1.25 ? name : best); /* red, unless another is clearly better */
  }

  /* a still from the camera, where the browser gives one */
  async function shoot(painter) {
    let stream;
    try { stream = await navigator.mediaDevices.getUserMedia({ video: true }); } catch { return painter.tell('There is no camera, or the browser does not allow it. Open a picture file instead.'); }
    const video = element('video', { srcObject: stream, autoplay: true, muted: true, playsInline: true });
    const take = element('button', { type: 'button', className: 'btn soft', textContent: 'Take picture' }), close = element('button', { type: 'button', className: 'btn ghost', textContent: 'Cancel' });
    const box = element('dialog', { className: 'pt-camera' }, video, element('div', {}, take, close));
    box.setAttribute('aria-label', 'Camera');
    box.addEventListener('close', () => { stream.getTracks().forEach(track => track.stop()); box.remove(); });
    close.onclick = () => box.close();
    take.onclick = () => {
      const still = Object.assign(document.createElement('canvas'), { width: video.videoWidth, height: video.videoHeight });
      still.getContext('2d').drawImage(video, 0, 0);
      still.toBlob(blob => { painter.open(new File([blob], 'Camera.png', { type: 'image/png' })); box.close(); }, 'image/png');
    };
    (painter.root.closest('.gradio-container') ?? document.body).append(box);
    box.showModal();
    take.focus();
  }

  /* ---- menus ---- */
  function closeMenus(but) {
    for (const menu of all('.pt-menu:not([data-closed])')) if (menu !== but) {
      menu.dataset.closed = '';
      one('[data-menu]', menu).setAttribute('aria-expanded', false);
      part(menu, 'sheet').hidden = true;
      menu.dispatchEvent(new CustomEvent('painter:closed', { bubbles: true }));
    }
  }
  function openMenu(menu) {
    closeMenus(menu);
    delete menu.dataset.closed;
    const sheet = part(menu, 'sheet'), button = one('[data-menu]', menu);
    sheet.hidden = false;
    button.setAttribute('aria-expanded', true);
    sheet.style.translate = '';
    const box = sheet.getBoundingClientRect(), room = menu.closest('.painter').getBoundingClientRect();
    sheet.style.translate = `${Math.max(room.left + 8 - box.left, Math.min(0, room.right - 8 - box.right))}px`;
  }

  LW.paintTools = { LARGEST, GROUND, TINTS, NAMES, SAID, KEYS, ACTS, SETS, farthest, openMenu, closeMenus };
})();
