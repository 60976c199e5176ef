/* The Checkpoints tab: cards, what is in memory, notes and settings of each. Asked for when the tab is first opened, when files
   come or go, and as jobs begin and end. Names and words of strangers come in through textContent alone. */
(() => {
  const { part, element, one, all, address } = LW;
  const PATH = 'api/v1/checkpoints', PAGE = 60, JSON_TYPE = { 'Content-Type': 'application/json' };
  const NUMBERS = new Set(['steps', 'guidance', 'width', 'height']);
  let root = null, rows = [], memory = { bars: [], loading: '', chosen: '', can_change: false }, shown = PAGE, open = null, parts = null;
  const cards = new Map(), names = new Map(); /* title -> element; name -> how many have it */
  const busy = new Map(); /* title -> what is done with it now */

  async function ask(path, method = 'GET', body) {
    const more = body ? { method, body: JSON.stringify(body), headers: JSON_TYPE } : { method };
    const answer = await fetch(address(path), more).catch(() => null);
    const told = await answer?.json().catch(() => null);
    return answer?.ok ? { told } : { problem: told?.detail ?? 'The program did not answer. Is it still running?' };
  }
  /* whoever may change nothing has a choice of this page's own */
  const own = told => told.can_change ? told : { ...told, chosen: one('#checkpoint input')?.value || told.chosen };
  const size = bytes => bytes >= 1e9 ? `${(bytes / 1e9).toFixed(bytes < 1e10 ? 2 : 1)} GB` : bytes >= 1e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.ceil(bytes / 1e3)} KB`;
  const held = title => memory.bars.flatMap(bar => bar.held).filter(one => one.title === title);
  const pinned = title => held(title).some(one => one.is_pinned) || rows.find(row => row.title === title)?.pinned;

  /* a picture for a family: latents on their way to one, the same for all of its checkpoints. As a mask, so that it takes the theme's greys */
  const drawn = new Map();
  function placeholder(family) {
    if (!drawn.has(family)) {
      let seed = [...family].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) >>> 0, 7);
      const random = () => { seed = (seed * 1664525 + 1013904223) >>> 0; return seed / 2 ** 32; };
      const [cx, cy, reach] = [4 + random() * 4, 3 + random() * 2, 2.2 + random() * 1.6];
      let cells = '';
      for (let y = 0; y < 8; y++) for (let x = 0; x < 12; x++) {
        const near = Math.max(0, 1 - Math.hypot(x + .5 - cx, y + .5 - cy) / reach);
        const dark = Math.min(1, .06 + .26 * random() * (1 - near) + .9 * near * (.75 + .25 * random()));
        cells += `<rect x='${x}' y='${y}' width='1' height='1' fill-opacity='${dark.toFixed(2)}'/>`;
      }
      drawn.set(family, `url("data:image/svg+xml,${encodeURIComponent(`<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 12 8' preserveAspectRatio='none' shape-rendering='crispEdges'>${cells}</svg>`)}")`);
    }
    return drawn.get(family);
  }
  function picture(box, row) {
    const img = part(box, 'picture'), frame = img.parentElement;
    const wanted = row.preview ? address(row.preview) : '';
    frame.style.setProperty('--latents', placeholder(row.family || row.title));
    if (img.dataset.from === wanted) return;
    img.dataset.from = wanted;
    img.hidden = !wanted;
    img.onerror = () => { img.hidden = true; };
    if (wanted) img.src = wanted; else img.removeAttribute('src');
  }

  const stateOf = row => busy.get(row.title) ?? (memory.loading === row.title ? 'loading' : row.error ? 'broken'
    : row.title === memory.chosen ? 'in use' : held(row.title).length ? 'in memory' : 'on disk');
  const about = row => row.notes.split('\n', 1)[0] || row.about || (row.is_known || row.error ? '' : 'Not read yet');

  function fill(card, row) {
    const state = stateOf(row), inMemory = held(row.title).length > 0, isPinned = Boolean(pinned(row.title));
    const set = (name, text) => { const place = part(card, name); if (place.textContent !== text) place.textContent = text; };
    set('name', names.get(row.name) > 1 ? row.title : row.name); /* of two of one name each stands with its folder */
    part(card, 'name').title = row.title;
    set('family', row.family);
    part(card, 'family').hidden = !row.family;
    set('about', about(row));
    part(card, 'about').hidden = Boolean(row.error);
    set('error', row.error);
    part(card, 'problem').hidden = !row.error;
    set('state', state === 'broken' ? 'cannot be opened' : state);
    part(card, 'state').dataset.state = state;
    set('facts', [size(row.size), row.precision].filter(Boolean).join(' · '));
    picture(card, row);
    const can = memory.can_change && !row.error && row.does !== undefined;
    const pin = part(card, 'pin');
    pin.hidden = !can;
    pin.setAttribute('aria-pressed', isPinned);
    pin.title = isPinned ? 'Kept in memory. Let it go when room is needed' : 'Keep in memory once it is there';
    pin.setAttribute('aria-label', `${pin.title}: ${row.name}`);
    for (const [name, is] of [['load', !inMemory], ['unload', inMemory]]) {
      const b = part(card, name);
      b.hidden = !can || !is;
      b.disabled = busy.has(row.title) || memory.loading === row.title;
      b.setAttribute('aria-label', `${b.title}: ${row.name}`);
    }
    const use = part(card, 'use');
    use.hidden = Boolean(row.error) || !row.does || row.title === memory.chosen;
    use.setAttribute('aria-label', `Use ${row.name}`);
  }
  function make(row) {
    const card = part(root, 'card').content.cloneNode(true).firstElementChild;
    card.dataset.title = row.title;
    cards.set(row.title, card);
    return card;
  }

  /* which cards: words are sought in names, titles, families and notes; all of them must be there */
  function matching() {
    const sought = part(root, 'search').value.toLowerCase().split(/\s+/).filter(Boolean), family = part(root, 'families').value;
    const found = rows.filter(row => {
      const text = `${row.title} ${row.family} ${row.notes}`.toLowerCase();
      return (!family || (family === '!' ? row.error : row.family === family)) && sought.every(word => text.includes(word));
    });
    return [...found.filter(row => !row.error), ...found.filter(row => row.error)]; /* nothing moves when it is loaded */
  }
  function families() {
    const menu = part(root, 'families'), chosen = menu.value, counts = new Map();
    for (const row of rows) if (row.family) counts.set(row.family, (counts.get(row.family) ?? 0) + 1);
    const broken = rows.filter(row => row.error).length;
    const names = [['', 'Any family'], ...[...counts].sort().map(([name, n]) => [name, `${name} (${n})`]), ...broken ? [['!', `Cannot be opened (${broken})`]] : []];
    const now = JSON.stringify(names);
    if (menu.dataset.names === now) return;
    menu.dataset.names = now;
    menu.replaceChildren(...names.map(([value, textContent]) => element('option', { value, textContent })));
    menu.value = names.some(([value]) => value === chosen) ? chosen : '';
  }
  const more = new IntersectionObserver(seen => {
    if (seen.some(one => one.isIntersecting)) { shown += PAGE; draw(); }
  }, { rootMargin: '600px' });

  function draw() {
    if (!root?.isConnected) return;
    const list = part(root, 'list'), found = matching(), titles = new Set(rows.map(row => row.title));
    for (const title of cards.keys()) if (!titles.has(title)) cards.delete(title);
    part(root, 'filters').hidden = !rows.length;
    if (!found.length) {
      list.replaceChildren(part(root, rows.length ? 'nomatch' : 'none').content.cloneNode(true));
    } else {
      const visible = found.slice(0, shown), before = all('.card', list).map(card => card.dataset.title);
      for (const row of visible) fill(cards.get(row.title) ?? make(row), row);
      if (JSON.stringify(before) !== JSON.stringify(visible.map(row => row.title)) || !one('.cards', list)) {
        const rest = element('li', { className: 'card-rest', ariaHidden: 'true' });
        list.replaceChildren(element('ul', { className: 'cards' }, ...visible.map(row => cards.get(row.title)), rest));
        more.disconnect();
        if (found.length > shown) more.observe(rest);
      }
    }
    const all_ = `${rows.length} checkpoint${rows.length === 1 ? '' : 's'}`;
    const count = found.length === rows.length ? `${all_}. Each one says itself what it is.` : `${found.length} of ${all_}`;
    if (part(root, 'count').textContent !== count) part(root, 'count').textContent = count;
    part(root, 'refresh').hidden = !memory.can_change;
  }

  function bars() {
    const made = memory.bars.map(bar => {
      const box = part(root, 'bar').content.cloneNode(true).firstElementChild;
      const name = title => { const row = rows.find(one => one.title === title); return row && names.get(row.name) === 1 ? row.name : title; };
      const words = `${size(bar.used)} used, ${size(bar.free)} left for checkpoints`;
      part(box, 'label').textContent = bar.label;
      part(box, 'words').textContent = words;
      const most = Math.max(bar.used + bar.free, 1), meter = part(box, 'meter');
      meter.setAttribute('aria-label', `${bar.label}: ${words}`);
      const all_ = [...bar.held].sort((a, b) => b.bytes - a.bytes);
      meter.append(...all_.map((one, i) => {
        const piece = element('i');
        piece.style.cssText = `width:${(100 * one.bytes / most).toFixed(3)}%;--shade:${Math.max(100 - 28 * i, 22)}%`;
        return piece;
      }));
      part(box, 'legend').append(...all_.map((one, i) => {
        const mark = element('i');
        mark.style.setProperty('--shade', `${Math.max(100 - 28 * i, 22)}%`);
        return element('li', { title: one.title }, mark, `${name(one.title)} `, element('span', { className: 'hint', textContent: [size(one.bytes), one.is_in_use && 'drawing', one.is_pinned && 'kept'].filter(Boolean).join(' · ') }));
      }));
      if (!all_.length) part(box, 'legend').append(element('li', { className: 'hint', textContent: 'Nothing is in memory yet. The first picture loads its checkpoint.' }));
      return box;
    });
    part(root, 'memory').replaceChildren(...made);
  }

  let asked = 0, timer = 0;
  async function load() {
    if (!root?.isConnected) return;
    const turn = ++asked, [list, now] = await Promise.all([ask(PATH), ask(`${PATH}/memory`)]);
    if (turn !== asked || !root.isConnected) return;
    if (list.told && now.told) {
      [rows, memory] = [list.told, own(now.told)];
      names.clear();
      for (const row of rows) names.set(row.name, (names.get(row.name) ?? 0) + 1);
      families();
      bars();
      draw();
    } else if (!rows.length) part(root, 'list').replaceChildren(element('p', { className: 'hint bad', textContent: list.problem ?? now.problem }));
    again();
  }
  async function look() { /* at memory alone */
    if (!root?.isConnected) return;
    const { told } = await ask(`${PATH}/memory`);
    if (told) { memory = own(told); bars(); draw(); }
    again();
  }
  const isSeen = () => root?.isConnected && !document.hidden && LW.tabName() === 'checkpoints';
  function again() {
    clearTimeout(timer);
    if (isSeen()) timer = setTimeout(look, memory.loading ? 600 : 5000);
  }

  /* what can be done with one */
  const rowOf = b => rows.find(row => row.title === b.closest('[data-title]').dataset.title);
  const say = (title, text) => {
    const note = cards.get(title) && part(cards.get(title), 'note');
    if (note) note.textContent = text;
  };
  async function change(row, doing, path, body) {
    if (busy.has(row.title)) return;
    if (doing) busy.set(row.title, doing);
    say(row.title, '');
    draw();
    const { told, problem } = await ask(`${PATH}/${path}`, 'POST', { name: row.title, ...body });
    busy.delete(row.title);
    if (problem) say(row.title, problem);
    else if (told.bars) { memory = { ...memory, ...told }; bars(); }
    draw();
    return !problem;
  }
  Object.assign(LW.actions, {
    async checkpoint_use(b) {
      const row = rowOf(b);
      if (memory.can_change && !await change(row, '', 'choose')) return;
      memory.chosen = row.title;
      draw();
      LW.use(row.title); /* the page's controls follow */
      cards.get(row.title)?.querySelector('.card-name').focus();
      setTimeout(look, 300);
    },
    checkpoint_load: b => change(rowOf(b), 'loading', 'load').then(() => look()),
    checkpoint_unload: b => change(rowOf(b), '', 'unload').then(() => load()),
    async checkpoint_pin(b) {
      const row = rowOf(b), wish = b.getAttribute('aria-pressed') !== 'true';
      if (!await change(row, '', 'pin', { pinned: wish })) return;
      row.pinned = wish;
      draw();
    },
    async checkpoints_refresh(b) {
      b.disabled = true;
      const { problem } = await ask(`${PATH}/refresh`, 'POST');
      b.disabled = false;
      if (problem) LW.note(problem);
      await load();
    },
    checkpoint_open: b => details(rowOf(b)),
    checkpoint_close: () => box().close(),
    checkpoint_save: save,
  });

  /* one with all that is known of it */
  const box = () => one('#checkpoint_details');
  async function details(row) {
    const { told, problem } = await ask(`${PATH}/details?${new URLSearchParams({ name: row.title })}`);
    if (problem) return say(row.title, problem);
    parts ??= await Promise.all(['api/v1/samplers', 'api/v1/schedules'].map(path => ask(path)));
    open = told;
    show(told);
    box().showModal();
    part(box(), 'saved').textContent = '';
  }
  function show(told) {
    const place = box();
    const text = (name, words) => { part(place, name).textContent = words; };
    text('name', told.name);
    text('family', told.family);
    part(place, 'family').hidden = !told.family;
    text('error', told.error);
    part(place, 'problem').hidden = !told.error;
    text('about', told.about ?? '');
    picture(place, told);
    const facts = [['File', told.title], ['Size', size(told.size)], ['Precision', told.precision], ['Predicts', { eps: 'noise (eps)', v: 'velocity (v)' }[told.prediction] ?? ''],
      ['Native size', told.native_size ? `${told.native_size} × ${told.native_size}` : ''], ['Settings file', told.config], ['SHA-256', told.sha256 || 'not computed yet']];
    part(place, 'facts').replaceChildren(...facts.filter(([, words]) => words).flatMap(([title, words]) =>
      [element('dt', { textContent: title }), element('dd', { textContent: words })]));
    part(place, 'beside').hidden = !told.beside.text;
    text('file', `From ${told.beside.file}`);
    text('text', told.beside.text);
    const form = part(place, 'form');
    part(place, 'fields').disabled = !told.can_change;
    part(place, 'save').hidden = !told.can_change;
    form.elements.notes.value = told.notes;
    for (const h of all('h3, .own-grid, .own-line, .hint', form)) h.hidden = !told.family_defaults && !h.closest('label');
    if (!told.family_defaults) return;
    const names = kind => parts[kind].told?.map(one => one.name) ?? [];
    menu(form.elements.sampler, names(0), told.family_defaults.sampler);
    menu(form.elements.schedule, ['Automatic', ...names(1).filter(name => name !== 'Automatic')], told.family_defaults.schedule);
    for (const [name, value] of Object.entries(told.family_defaults)) {
      const control = form.elements[name];
      control.value = told.own_defaults[name] ?? '';
      if (NUMBERS.has(name)) control.placeholder = value;
    }
  }
  function menu(select, names, own) {
    select.replaceChildren(element('option', { value: '', textContent: `${own} (family)` }), ...names.map(name => element('option', { value: name, textContent: name })));
  }
  async function save(b) {
    const form = part(box(), 'form'), said = part(box(), 'saved'), name = open.title;
    const wrong = [...NUMBERS].map(name => form.elements[name]).find(control => control.validity.badInput);
    if (wrong) {
      [said.textContent, said.className] = [`${wrong.labels[0].textContent} must be a number.`, 'spring bad'];
      return wrong.focus();
    }
    b.disabled = true;
    const defaults = Object.fromEntries(Object.keys(open.family_defaults ?? {}).map(name => {
      const value = form.elements[name].value.trim();
      return [name, value === '' ? null : NUMBERS.has(name) ? Number(value) : value];
    }));
    let answer = await ask(`${PATH}/notes`, 'PUT', { name, notes: form.elements.notes.value });
    if (!answer.problem && open.family_defaults) answer = await ask(`${PATH}/defaults`, 'PUT', { name, defaults });
    b.disabled = false;
    [said.textContent, said.className] = answer.problem ? [answer.problem, 'spring bad'] : ['Saved', 'spring good'];
    if (answer.problem) return;
    open = answer.told;
    if (memory.chosen === name) LW.use(name); /* the controls take them at once */
    load();
  }

  /* the menus of the page hear of files by a hidden field, whose event asks the server for them */
  let relist = 0, relisted = 0;
  function files() {
    if (relist) return;
    const wait = Math.max(300, relisted + 3000 - Date.now()); /* while thousands are read there is news all the time */
    relist = setTimeout(() => {
      [relist, relisted] = [0, Date.now()];
      LW.setBox('checkpoints_changed', String(relisted));
      load();
    }, wait);
  }
  LW.views.push(event => {
    if (event.kind === 'checkpoints') files();
    else if (event.kind === 'snapshot') load(); /* the program may be another one now */
    else if (['started', 'finished', 'failed', 'interrupted'].includes(event.kind) && isSeen()) look();
  });
  document.addEventListener('visibilitychange', () => { if (isSeen()) look(); });
  LW.checkpoints = {
    mount(place) {
      root = place;
      rows = [];
      cards.clear();
      const filter = () => { shown = PAGE; draw(); };
      part(root, 'search').addEventListener('input', filter);
      part(root, 'families').addEventListener('change', filter);
      part(root, 'form').addEventListener('submit', event => event.preventDefault());
      box().addEventListener('click', event => { if (event.target === box()) box().close(); });
      document.addEventListener('click', event => { if (event.target.closest('#tab_checkpoints-button')) setTimeout(look, 50); });
      load();
    },
  };
})();
